"""`tubelet check` from files to files: broken clips, killed and hanging workers, going on after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import check_workers
import pytest
from broken_videos import BROKEN_CASES
from media import make_video, run_ffmpeg

from tubelet.cli import check as command
from tubelet.datasets.check import check_clips, runner
from tubelet.datasets.labelled import ClipSet, LabelledClip
from tubelet.datasets.quarantine import read_quarantine
from tubelet.errors import READ_CAUSES, ConfigError


def clip_set(root: Path, clips: Sequence[LabelledClip] | None = None, **changes) -> ClipSet:
    """All files below a folder, by the name of their folder."""
    paths = sorted(path for path in root.glob("*/*") if not path.name.endswith((".json", ".jsonl", ".html")))
    classes = tuple(sorted({path.parent.name for path in paths}))
    if clips is None:
        clips = [
            LabelledClip(
                id=path.relative_to(root).as_posix(),
                path=path,
                labels=(classes.index(path.parent.name),),
                group=path.stem,
                **changes,
            )
            for path in paths
        ]
    return ClipSet(name="mine", root=root, classes=classes, clips=tuple(clips))


def good(root: Path, name: str, seed: int, **changes: object) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return make_video(path, num_frames=24, seed=seed * 7, **changes)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "clips"
    for number in range(4):
        good(root, f"{'run' if number < 2 else 'walk'}/{number}.mp4", number)
    return root


def test_every_kind_of_broken_file_is_named_by_its_cause(tmp_path: Path) -> None:
    root = tmp_path / "clips"
    expected: dict[str, str | None] = {}
    clips = []
    for case in BROKEN_CASES:
        folder = root / case.name
        folder.mkdir(parents=True)
        path = case.make(folder)
        expected[case.name] = case.cause
        clips.append(LabelledClip(id=case.name, path=path, labels=(0,), group=case.name))
    whole = ClipSet(name="mine", root=root, classes=("run",), clips=tuple(clips))

    result = check_clips(whole, tmp_path / "out", num_workers=2)

    causes = {row["id"]: row["cause"] for row in result.document["broken"]}
    # Damage in the middle is found where a picture is that is looked at, or that one of those refers to.
    in_the_middle = {name for name in expected if "middle" in name}
    for name, cause in expected.items():
        assert causes.get(name) == cause or (name in in_the_middle and causes.get(name) is None), name
    assert set(causes.values()) <= set(READ_CAUSES)
    assert len(causes) >= 20
    assert read_quarantine(result.out / "quarantine.jsonl").keys() == causes.keys()
    assert not result.is_clean
    assert result.document["num_expected"] == result.document["num_checked"] == len(BROKEN_CASES)
    page = (result.out / "check.html").read_text(encoding="utf-8")
    assert "unsupported codec" in page
    assert "its contents are in no known video format" in page


def test_a_clean_folder_is_called_clean_and_read_once(data: Path, tmp_path: Path) -> None:
    first = check_clips(clip_set(data), tmp_path / "out", num_workers=1)
    assert first.is_clean
    assert (first.num_resumed, first.document["num_sound"], first.quarantined) == (0, 4, ())
    assert first.document["schema"] == "tubelet.check/1"
    assert first.document["sizes"] == [{"width_px": 96, "height_px": 64, "num_clips": 4}]
    assert first.document["histograms"]["length_s"]["median"] == pytest.approx(0.96)
    assert first.document["codecs"] == {"h264": 4}
    assert json.loads((tmp_path / "out" / "check.json").read_text()) == first.document

    size = (tmp_path / "out" / "check-journal.jsonl").stat().st_size
    again = check_clips(clip_set(data), tmp_path / "out", num_workers=1)
    assert again.num_resumed == 4
    assert (tmp_path / "out" / "check-journal.jsonl").stat().st_size == size
    differing = {key for key in again.document if again.document[key] != first.document[key]}
    assert differing <= {"num_resumed", "took_s", "created"}


def test_a_file_that_has_changed_and_one_that_is_new_are_read_again(data: Path, tmp_path: Path) -> None:
    (data / "run" / "1.mp4").write_bytes(b"")
    broken = check_clips(clip_set(data), tmp_path / "out", num_workers=0)
    assert [clip.cause for clip in broken.quarantined] == ["empty"]

    good(data, "run/1.mp4", 1)
    good(data, "run/9.mp4", 9)
    mended = check_clips(clip_set(data), tmp_path / "out", num_workers=0)
    assert (mended.num_resumed, mended.quarantined, mended.document["num_sound"]) == (3, (), 5)
    assert check_clips(clip_set(data), tmp_path / "out", num_workers=0).num_resumed == 5
    assert check_clips(clip_set(data), tmp_path / "out", num_workers=0, resume=False).num_resumed == 0


def test_killed_hanging_and_raising_workers_are_findings(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kill", "hang", "raise"):
        shutil.copy(data / "run" / "0.mp4", data / "run" / f"{name}.mp4")
    monkeypatch.setattr(runner, "examine", check_workers.examine_with_accidents)
    result = check_clips(clip_set(data), tmp_path / "out", num_workers=2, timeout_s=4)

    causes = {clip.id: clip.cause for clip in result.quarantined}
    assert causes == {"run/kill.mp4": "worker_died", "run/hang.mp4": "time_out", "run/raise.mp4": "invalid"}
    assert result.document["num_sound"] == 4
    reasons = read_quarantine(tmp_path / "out" / "quarantine.jsonl")
    assert "signal 9" in reasons["run/kill.mp4"]
    assert "longer than 4 s" in reasons["run/hang.mp4"]

    # It may have been the machine's fault: those two are tried again.
    monkeypatch.undo()
    again = check_clips(clip_set(data), tmp_path / "out", num_workers=0)
    assert again.num_resumed == 5
    assert [clip.id for clip in again.quarantined] == ["run/raise.mp4"]


def test_parts_of_files_are_looked_at_each(data: Path, tmp_path: Path) -> None:
    path = good(data, "run/long.mp4", 5, fps=8)  # 3 s
    spans = [(0.0, 1.0), (1.0, 3.08), (2.0, None), (2.5, 4.5), (3.5, 4.0)] + [
        (0.1 * n, 1.0 + 0.1 * n) for n in range(1, 9)
    ]
    clips = [
        LabelledClip(id=f"long@{start:g}-{end}", path=path, labels=(0,), start_s=start, end_s=end, group="long")
        for start, end in spans
    ]
    result = check_clips(clip_set(data, clips), tmp_path / "out", num_workers=0)
    broken = {row["id"]: row for row in result.document["broken"]}
    assert {name: row["cause"] for name, row in broken.items()} == {
        "long@2.5-4.5": "span_outside",
        "long@3.5-4.0": "span_outside",
    }
    assert "it ends at 4.5 s, and the file at 3.00 s; correct the annotation" in broken["long@2.5-4.5"]["detail"]
    assert "it begins at 3.5 s" in broken["long@3.5-4.0"]["detail"]
    assert result.document["seconds"] == pytest.approx(1.0 + 2.0 + 1.0 + 8.0, abs=0.1)
    again = check_clips(clip_set(data, clips), tmp_path / "out", num_workers=0)
    assert again.num_resumed == len(clips)


def test_copies_between_splits_are_shown_and_can_be_dropped(data: Path, tmp_path: Path) -> None:
    small = data / "run" / "small.mp4"
    run_ffmpeg(["-i", data / "run" / "0.mp4", "-vf", "scale=64:48", "-crf", "28", "-threads", "1", small])
    mirrored = data / "walk" / "mirrored.mp4"
    run_ffmpeg(["-i", data / "run" / "1.mp4", "-vf", "hflip", "-threads", "1", mirrored])
    shutil.copy(data / "walk" / "2.mp4", data / "walk" / "same.mp4")
    plain = clip_set(data)
    test = {"run/small.mp4", "walk/same.mp4"}
    clips = [
        LabelledClip(
            id=clip.id,
            path=clip.path,
            labels=clip.labels,
            group=clip.group,
            split="test" if clip.id in test else "train",
        )
        for clip in plain.clips
    ]
    result = check_clips(clip_set(data, clips), tmp_path / "out", num_workers=0)

    pairs = {(row["first"]["id"], row["other"]["id"]): row for row in result.document["duplicates"]}
    assert pairs.keys() == {
        ("run/small.mp4", "run/0.mp4"),
        ("run/1.mp4", "walk/mirrored.mp4"),
        ("walk/same.mp4", "walk/2.mp4"),
    }
    assert pairs["walk/same.mp4", "walk/2.mp4"]["kind"] == "same_bytes"
    turned = pairs["run/1.mp4", "walk/mirrored.mp4"]
    assert (turned["is_mirrored"], turned["is_leak"], turned["labels_differ"]) == (True, False, True)
    assert {finding.kind for finding in result.findings if finding.weight == "error"} == {
        "duplicate_leak",
        "label_conflict",
    }
    page = (tmp_path / "out" / "check.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 18
    assert result.quarantined == ()

    dropped = check_clips(clip_set(data, clips), tmp_path / "out", num_workers=0, drop_duplicates=True)
    assert read_quarantine(tmp_path / "out" / "quarantine.jsonl") == {
        "run/0.mp4": "duplicate: it shows what run/small.mp4 of test shows",
        "walk/2.mp4": "duplicate: it shows what walk/same.mp4 of test shows",
    }
    assert dropped.document["num_quarantined"] == 2


def test_a_check_that_is_killed_goes_on(data: Path, tmp_path: Path) -> None:
    for number in range(10, 40):
        shutil.copy(data / "run" / "0.mp4", data / "run" / f"{number}.mp4")
    script = "\n".join(
        [
            "import sys",
            "from pathlib import Path",
            "from tubelet.datasets.check import check_clips",
            "from tubelet.datasets.folder import read_folder",
            "check_clips(read_folder(Path(sys.argv[1])), sys.argv[2], num_workers=0)",
        ]
    )
    out = tmp_path / "out"
    journal = out / "check-journal.jsonl"
    process = subprocess.Popen([sys.executable, "-c", script, str(data), str(out)])
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 5):
        threading.Event().wait(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    known = journal.read_bytes().count(b"\n") - 1
    assert 4 <= known < 34

    result = check_clips(clip_set(data), out, num_workers=0)
    assert result.num_resumed == known
    assert result.document["num_sound"] == 34


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_read(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "ordered_map", None)  # would fail
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="results cannot be written here .*name a folder that you may write to"):
        check_clips(clip_set(data), tmp_path / "file" / "out", num_workers=0)


def test_a_full_disk_is_said_to_be_one_and_loses_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(runner, "write_json", full)
    with pytest.raises(ConfigError, match="No space left on device.*the next check goes on from there"):
        check_clips(clip_set(data), tmp_path / "out", num_workers=0)
    monkeypatch.undo()
    assert check_clips(clip_set(data), tmp_path / "out", num_workers=0).num_resumed == 4


def arguments(*words: str):
    import argparse

    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return parser.parse_args(["check", *words])


def test_the_command_says_what_is_wrong_and_what_to_do_next(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "run" / "0.mp4").write_bytes(b"")
    parsed = arguments(str(data), "--workers", "0")
    assert parsed.run(parsed) == 1
    said = capsys.readouterr().out
    assert "4 clips of 2 classes; no split is given, training will make one" in said
    assert "3 can be read, 1 cannot." in said
    assert "to mend: broken clips, by cause: empty 1" in said
    assert "Training will leave out 1 clip." in said
    assert f"report: {data / 'check.html'}" in said
    assert f"mend what is above, check again, then tubelet train {data} --out runs/first" in said

    good(data, "run/0.mp4", 0)
    parsed = arguments(str(data), "--workers", "0")
    assert parsed.run(parsed) == 0  # what was written into the folder is not taken for annotations
    said = capsys.readouterr().out
    assert "3 were known from an earlier check." in said
    assert "Training will use every clip." in said


def test_the_command_reports_annotations_that_cannot_be_used(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "empty_class").mkdir()
    parsed = arguments(str(data), "--workers", "0")
    assert parsed.run(parsed) == 1
    said = capsys.readouterr().err
    assert "The annotations cannot be used as they are" in said
    assert "empty_class" in said
    assert not (data / "check.json").exists()


def test_the_command_checks_what_is_there_when_files_are_missing(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["path,label", "run/0.mp4,run", "run/gone.mp4,run", "walk/2.mp4,walk"]
    (data / "manifest.csv").write_text("\n".join(rows) + "\n")
    parsed = arguments(str(data), "--workers", "0")
    assert parsed.run(parsed) == 1
    said = capsys.readouterr().out
    assert "Files that the annotations list are missing" in said
    assert "gone.mp4" in said
    assert "2 clips of 2 classes" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{data}/none",), "none is not there; give the folder of clips"),
        (("{data}", "--format", "ufc101"), "--format is 'ufc101'; allowed: auto, folder"),
        (("{data}", "--workers", "-1"), "--workers is -1; allowed: 0"),
        (("{data}", "--timeout", "0"), "--timeout is 0; allowed: more than 0 seconds"),
    ],
)
def test_wrong_usage_is_refused(data: Path, words: tuple[str, ...], message: str) -> None:
    parsed = arguments(*[word.format(data=data) for word in words])
    with pytest.raises(ConfigError, match=message):
        parsed.run(parsed)
