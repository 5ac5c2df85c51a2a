"""Broken files at every entry point: cause named, the others go on, the failure is listed, exit code 1."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from broken_videos import BROKEN_CASES, BrokenCase
from scenes import write_scene

from tubelet import Recognizer, VideoReadError
from tubelet.cli.main import main
from tubelet.video import expand_sources

pytestmark = pytest.mark.usefixtures("stand_ins")

BAD = [case for case in BROKEN_CASES if case.cause is not None]


def test_the_cases_are_all_here() -> None:
    assert len(BAD) >= 20
    assert {"empty", "truncated", "no_video_stream", "not_a_video", "unsupported_codec", "corrupt"} < {
        case.cause for case in BAD
    }


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("good") / "good.mp4", 60)


@pytest.mark.parametrize("case", BAD, ids=str)
def test_a_batch_goes_on_and_lists_the_failure(
    case: BrokenCase, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad").mkdir()
    bad, out = case.make(tmp_path / "bad"), tmp_path / "out"
    assert main(["recognize", str(bad), str(good), "--out", str(out), "--no-video"]) == 1
    captured = capsys.readouterr()
    assert str(bad) in captured.err
    assert str(case.cause) in captured.err
    document = json.loads((out / "actions.json").read_text(encoding="utf-8"))
    (failure,) = document["failures"]
    assert (failure["source"], failure["cause"]) == (str(bad), case.cause)
    assert str(good) in [source["source"] for source in document["sources"]]


@pytest.mark.parametrize("case", BAD, ids=str)
def test_python_and_stream_raise_the_same_error(case: BrokenCase, tmp_path: Path) -> None:
    bad = case.make(tmp_path)
    recognizer = Recognizer()
    with pytest.raises(VideoReadError) as from_file:
        recognizer.recognize(bad)
    with pytest.raises(VideoReadError) as from_stream:
        list(recognizer.stream(bad))
    for error in (from_file.value, from_stream.value):
        assert error.cause == case.cause
        assert error.path == str(bad)


def test_a_folder_with_a_bad_file_in_it(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"")
    os.link(good, tmp_path / "clips" / "b.mp4")
    assert main(["recognize", str(tmp_path / "clips"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [failure["cause"] for failure in document["failures"]] == ["empty"]
    assert [Path(source["source"]).name for source in document["sources"]] == ["b.mp4"]


@pytest.fixture
def locked(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the system refuses to open, beside one that it opens."""
    folder = tmp_path / "clips"
    folder.mkdir()
    os.link(good, folder / "b.mp4")
    path = folder / "a.mp4"
    os.link(good, path)
    real_open = open

    def guarded(file: object, *args: object, **options: object) -> object:
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied", str(file))
        return real_open(file, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", guarded)
    return path


@pytest.mark.parametrize("door", ["recognize", "stream"])
def test_a_file_without_permission_from_python(door: str, locked: Path) -> None:
    recognizer = Recognizer()
    with pytest.raises(VideoReadError, match="permission: this user may not read it") as caught:
        recognizer.recognize(locked) if door == "recognize" else list(recognizer.stream(locked))
    assert (caught.value.cause, caught.value.path) == ("permission", str(locked))


@pytest.mark.parametrize("batch", ["files", "folder"])
def test_a_file_without_permission_on_the_command_line(
    batch: str, locked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readable = locked.with_name("b.mp4")
    sources = [str(locked), str(readable)] if batch == "files" else [str(locked.parent)]
    assert main(["recognize", *sources, "--json"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert [(each["source"], each["cause"]) for each in document["failures"]] == [(str(locked), "permission")]
    assert [source["source"] for source in document["sources"]] == [str(readable)]
    assert f"{locked}: permission" in captured.err


def test_a_damaged_file_keeps_what_came_before_the_damage(tmp_path: Path) -> None:
    whole = write_scene(tmp_path / "whole.mp4", 150)
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(len(data) * 0.7)])
    with pytest.raises(VideoReadError) as caught:
        Recognizer().recognize(cut, keep_rows=True)
    partial = caught.value.partial
    assert partial is not None
    assert getattr(partial, "num_frames", 0) > 20


@pytest.mark.parametrize("argument", ["nothing-*.mp4", "empty-folder"])
def test_a_source_that_gives_nothing_fails_and_the_others_go_on(
    argument: str, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty-folder").mkdir()
    assert main(["recognize", str(tmp_path / argument), str(good), "--json"]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert [source["source"] for source in document["sources"]] == [str(good)]
    assert [failure["source"] for failure in document["failures"]] == [str(tmp_path / argument)]


def test_expanding_names_no_file_twice(good: Path) -> None:
    assert [source.name for source in expand_sources([good, str(good)])] == [str(good)]
