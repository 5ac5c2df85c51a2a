"""From what the user names to single sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.errors import ConfigError, VideoReadError
from tubelet.video import Source, expand_sources, read_frames
from tubelet.video.sources import as_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.MKV", "notes.txt", "._a.mkv", "below/c.mov", "below/deep/d.webm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def _names(sources: list[Source], folder: Path) -> list[str]:
    return [str(Path(source.name).relative_to(folder)) for source in sources]


def test_a_folder_gives_its_videos_and_those_below_by_name(folder: Path) -> None:
    sources = expand_sources([folder])
    assert _names(sources, folder) == ["a.MKV", "b.mp4", "below/c.mov", "below/deep/d.webm"]
    assert {source.kind for source in sources} == {"file"}


def test_patterns(folder: Path) -> None:
    assert _names(expand_sources([f"{folder}/*.mp4"]), folder) == ["b.mp4"]
    assert _names(expand_sources([f"{folder}/**/*.mov"]), folder) == ["below/c.mov"]
    assert _names(expand_sources([f"{folder}/[ab].*"]), folder) == ["a.MKV", "b.mp4"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "clip[1].mp4"
    path.touch()
    assert expand_sources([path]) == [Source(str(path), "file")]


def test_order_is_kept_and_nothing_comes_twice(folder: Path) -> None:
    sources = expand_sources([folder / "below", folder / "b.mp4", folder])
    assert _names(sources, folder) == ["below/c.mov", "below/deep/d.webm", "b.mp4", "a.MKV"]


def test_a_missing_file_is_left_to_reading() -> None:
    assert expand_sources(["no/such.mp4"]) == [Source("no/such.mp4", "file")]


def test_cameras_and_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert expand_sources(["0", "rtsp://host/live"]) == [Source("0", "camera"), Source("rtsp://host/live", "stream")]
    assert as_source(2) == Source("2", "camera")
    (tmp_path / "0").touch()
    assert expand_sources(["0"]) == [Source("0", "file")]
    assert [source.is_live for source in expand_sources(["0", "1", "rtsps://host/x"])] == [False, True, True]


def test_names_for_results() -> None:
    assert Source("videos/walk.tar.mp4", "file").stem == "walk.tar"
    assert Source("1", "camera").stem == "camera1"
    assert Source("rtsp://user:secret@cam.lan:554/live/main", "stream").stem == "cam.lan_live_main"


def test_passwords_are_not_shown() -> None:
    assert Source("rtsp://user:secret@cam.lan:554/live", "stream").label == "rtsp://user:***@cam.lan:554/live"
    assert Source("rtsp://cam.lan/live", "stream").label == "rtsp://cam.lan/live"
    assert Source("walk@home.mp4", "file").label == "walk@home.mp4"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("*.avi", r"\*\.avi: missing: no file matches this pattern; check"),
        ("empty", "empty: directory: it is a folder without video files; name a file"),
    ],
)
def test_what_gives_nothing_is_named_when_it_is_read(folder: Path, name: str, message: str) -> None:
    (folder / "empty").mkdir()
    (source,) = expand_sources([folder / name])
    with pytest.raises(VideoReadError, match=message):
        next(read_frames(source))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no source was named; give video files, folders"),
        (["https://u:secret@host/a.mp4"], r"https://u:\*\*\*@host/a.mp4: addresses of this kind are not read; allowed"),
    ],
)
def test_errors_name_the_argument(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        expand_sources(arguments)
    assert "secret" not in str(caught.value)
