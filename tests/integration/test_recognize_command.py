"""`tubelet recognize` from its words to its files and exit codes."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from scenes import ColourDetector, scene, write_scene

from tubelet import Frame, VideoReadError
from tubelet.cli.main import main
from tubelet.methods.recognition.draw import Annotator

pytestmark = pytest.mark.usefixtures("stand_ins")

ACTIONS_HEADER = "source,track_id,start_s,end_s,label,probability"
TRACKS_HEADER = "source,track_id,time_s,x0_px,y0_px,x1_px,y1_px,score,interpolated"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("clips") / "scene.mp4", 150)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_all_files_are_written_in_their_fixed_formats(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["recognize", str(clip), "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {
        "actions.json",
        "actions.csv",
        "tracks.csv",
        "report.html",
        "scene",
    }
    assert {path.name for path in (out / "scene").iterdir()} == {"actions.vtt", "actions.srt", "annotated.mp4"}
    assert (out / "actions.csv").read_text(encoding="utf-8").splitlines()[0] == ACTIONS_HEADER
    assert (out / "tracks.csv").read_text(encoding="utf-8").splitlines()[0] == TRACKS_HEADER
    tracks, actions = rows_of(out / "tracks.csv"), rows_of(out / "actions.csv")
    assert {row["source"] for row in tracks + actions} == {str(clip)}
    for track_id in {row["track_id"] for row in actions}:
        own = [row for row in actions if row["track_id"] == track_id]
        times = [float(row["time_s"]) for row in tracks if row["track_id"] == track_id]
        assert len(times) == len(set(times))
        assert float(own[0]["start_s"]) == pytest.approx(times[0], abs=2e-3)
        assert float(own[-1]["end_s"]) == pytest.approx(times[-1] + 1 / 30, abs=2e-3)
        for before, after in pairwise(own):
            assert before["end_s"] == after["start_s"]
    red = [row for row in tracks if row["track_id"] == "1"]
    assert len(red) == 150
    document = json.loads((out / "actions.json").read_text(encoding="utf-8"))
    assert document["schema"] == "tubelet.actions/1"
    assert document["failures"] == []


def test_json_is_alone_on_stdout(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", str(clip), "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["schema"] == "tubelet.actions/1"
    assert [source["source"] for source in document["sources"]] == [str(clip)]
    assert len(document["sources"][0]["tracks"]) == 2
    assert "\r" not in captured.err  # no progress bar where nobody watches


def test_a_result_in_the_way_is_an_error_before_any_work(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["recognize", str(clip), "--out", str(out), "--no-video"]
    assert main(arguments) == 0
    before = (out / "actions.json").read_bytes()
    capsys.readouterr()
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "actions.json").read_bytes() == before
    assert main([*arguments, "--overwrite"]) == 0


def test_nobody_is_not_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_scene(tmp_path / "blink.mp4", 3)
    assert main(["recognize", str(clip), "--out", str(tmp_path / "out")]) == 0
    assert "nobody was found" in capsys.readouterr().out
    assert (tmp_path / "out" / "actions.csv").read_text(encoding="utf-8").splitlines() == [ACTIONS_HEADER]
    assert (tmp_path / "out" / "tracks.csv").read_text(encoding="utf-8").splitlines() == [TRACKS_HEADER]


def test_start_and_end_limit_the_time_and_keep_the_clock(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["recognize", str(clip), "--start", "1.5", "--end", "3", "--out", str(out)]) == 0
    times = [float(row["time_s"]) for row in rows_of(out / "tracks.csv")]
    assert min(times) == pytest.approx(1.5, abs=0.04)
    assert 2.9 < max(times) < 3.0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--start", "3", "--end", "2"], "--end is 2 s; it must be later than --start (3 s)"),
        (["--labels", "walk,flying"], "there is no label 'flying'; allowed: backflip"),
        (["--labels", "Walk,wlak"], "there is no label 'Walk'; did you mean 'walk'?"),
        (["--overwrite"], "name the folder with --out DIR"),
        (["--model", "no/such/run"], "no action model in"),
        (["--min-score", "1.5"], "give a number from 0 to 1"),
        (["--min-duration", "-1"], "give seconds, 0 or more"),
        (["--start", "soon"], "'soon' is not a number"),
        (["--device", "cuda"], "use --device cpu"),
    ],
)
def test_wrong_usage_says_what_is_allowed_and_exits_2(
    clip: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["recognize", str(clip), *options]) == 2
    assert said in capsys.readouterr().err


def test_ctrl_c_keeps_what_was_found_and_exits_130(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = ColourDetector.detect

    def interrupted(self: ColourDetector, *args: object, **options: object) -> object:
        if self.calls == 12:
            os.kill(os.getpid(), signal.SIGINT)
        return look(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ColourDetector, "detect", interrupted)
    out = tmp_path / "out"
    assert main(["recognize", str(clip), str(clip.with_name("never.mp4")), "--out", str(out)]) == 130
    document = json.loads((out / "actions.json").read_text(encoding="utf-8"))
    assert [source["source"] for source in document["sources"]] == [str(clip)]
    assert any("interrupted after" in warning for warning in document["sources"][0]["warnings"])
    assert 1.0 < max(float(row["time_s"]) for row in rows_of(out / "tracks.csv")) < 4.0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_two_sources_of_one_name_keep_apart(clip: Path, tmp_path: Path) -> None:
    other = write_scene(tmp_path / "scene.mp4", 60)
    out = tmp_path / "out"
    assert main(["recognize", str(clip), str(other), "--out", str(out)]) == 0
    assert (out / "scene" / "annotated.mp4").is_file()
    assert (out / "scene-2" / "annotated.mp4").is_file()
    assert {row["source"] for row in rows_of(out / "actions.csv")} == {str(clip), str(other)}


def test_a_source_that_cannot_honour_an_option_does_not_stop_the_others(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = write_scene(tmp_path / "short.mp4", 30)
    out = tmp_path / "out"
    assert main(["recognize", str(short), str(clip), "--start", "2", "--out", str(out), "--no-video"]) == 1
    document = json.loads((out / "actions.json").read_text(encoding="utf-8"))
    assert [failure["source"] for failure in document["failures"]] == [str(short)]
    assert [source["source"] for source in document["sources"]] == [str(clip)]
    assert f"{clip}: 2.0 to 5.0 s" in capsys.readouterr().out


def test_a_full_disk_is_a_listed_failure(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tubelet.methods.recognition.commands.draw_video", full)
    out = tmp_path / "out"
    assert main(["recognize", str(clip), "--out", str(out)]) == 1
    document = json.loads((out / "actions.json").read_text(encoding="utf-8"))
    assert "No space left" in document["failures"][0]["message"]
    assert len(document["sources"]) == 1  # what was recognised is kept


def test_ctrl_c_while_drawing_keeps_the_results_and_drops_the_video(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Annotator.draw
    drawn = 0

    def interrupted(self: Annotator, *arguments: object) -> object:
        nonlocal drawn
        drawn += 1
        if drawn == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return draw(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Annotator, "draw", interrupted)
    out = tmp_path / "out"
    assert main(["recognize", str(clip), "--out", str(out)]) == 130
    assert drawn < 10
    assert {path.name for path in (out / "scene").iterdir()} == {"actions.vtt", "actions.srt"}
    assert len(rows_of(out / "actions.csv")) >= 2


def test_a_live_source_prints_events_as_json_lines_and_its_failure_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def camera(_name: str) -> Iterator[Frame]:
        yield from scene(150)
        raise VideoReadError("0", "unavailable", "the camera gives no pictures; check its cable", 5.0)

    monkeypatch.setattr("tubelet.video.streaming.camera_frames", camera)
    monkeypatch.setattr("tubelet.video.streaming._LIVE_BUFFER", 1000)
    assert main(["recognize", "0", "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["event"] for line in lines} == {"begin", "end", "failure"}
    assert lines[-1]["cause"] == "unavailable"
    assert sum(line["event"] == "begin" for line in lines) == sum(line["event"] == "end" for line in lines)


def test_a_live_source_prints_lines_for_people_and_a_table_at_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tubelet.video.streaming.camera_frames", lambda _name: scene(150))
    monkeypatch.setattr("tubelet.video.streaming._LIVE_BUFFER", 1000)
    assert main(["recognize", "0", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "person 1" in printed
    assert "begins" in printed
    assert "probability" in printed
    assert not (tmp_path / "out" / "camera-0" / "annotated.mp4").exists()


def test_a_name_that_is_not_utf8_is_written_readably(clip: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    os.link(clip, odd)
    out = tmp_path / "out"
    assert main(["recognize", str(odd), "--out", str(out), "--no-video"]) == 0
    assert {row["source"] for row in rows_of(out / "actions.csv")} == {f"{tmp_path}/caf\\xe9.mp4"}


def test_an_empty_name_for_the_results_is_refused(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", str(clip), "--out", ""]) == 2
    assert "name a folder" in capsys.readouterr().err


def test_a_result_never_replaces_a_source(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["recognize", str(clip), "--out", str(out)]) == 0
    annotated = out / "scene" / "annotated.mp4"
    other = tmp_path / "out" / "annotated"
    other.mkdir()
    source = other / "annotated.mp4"
    source.write_bytes(annotated.read_bytes())
    before = source.read_bytes()
    assert main(["recognize", str(source), "--out", str(out), "--overwrite"]) == 2
    assert "would be replaced" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_a_typo_in_a_name_costs_no_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing needs to be loaded for a file that is not there")

    monkeypatch.setattr("tubelet.methods.recognition.commands.Recognizer", never)
    assert main(["recognize", str(tmp_path / "nofile.mp4"), "--json"]) == 1
    assert "there is no such file" in capsys.readouterr().err


def test_minutes_and_seconds_are_understood(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", str(clip), "--start", "0:01.5", "--end", "0:3"]) == 0
    assert f"{clip}: 1.5 to 3.0 s" in capsys.readouterr().out


def test_too_few_frames_are_said_to_be_too_few(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", str(write_scene(tmp_path / "slow.mp4", 12, fps=2.0))]) == 0
    assert "2.0 frames per second are too few" in capsys.readouterr().out
    assert main(["recognize", str(write_scene(tmp_path / "one.mp4", 1))]) == 0
    assert "too few to follow anybody" in capsys.readouterr().out


def test_a_second_run_over_a_folder_does_not_recognise_its_own_results(clip: Path, tmp_path: Path) -> None:
    os.link(clip, tmp_path / "a.mp4")
    out = tmp_path / "results"
    for _ in range(2):
        assert main(["recognize", str(tmp_path), "--out", str(out), "--overwrite"]) == 0
        assert {row["source"] for row in rows_of(out / "actions.csv")} == {str(tmp_path / "a.mp4")}
