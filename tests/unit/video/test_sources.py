"""From what the user names to single sources."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tubelet.errors import ConfigError, VideoReadError
from tubelet.video import Source, expand_sources, read_frames
from tubelet.video.sources import as_source, without_password


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


def test_passwords_are_not_shown() -> None:
    assert Source("rtsp://user:secret@cam.lan:554/live", "stream").label == "rtsp://user:***@cam.lan:554/live"
    assert Source("rtsp://cam.lan/live", "stream").label == "rtsp://cam.lan/live"
    assert Source("walk@home.mp4", "file").label == "walk@home.mp4"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://cam.lan:554/live?a=1&b=2", None),
        ("rtsp://[fe80::1]:554/live@2", None),
        ("rtsp://cam.lan:554: unavailable: no answer; ask me@home", None),
        ("rtsp://u:secret@cam/x?a=1&b=2", "rtsp://u:***@cam/x?a=1&b=2"),
        (
            "tubelet recognize 'rtsp://u:secret@cam/x?a=1&b=2' --json",
            "tubelet recognize 'rtsp://u:***@cam/x?a=1&b=2' --json",
        ),
        (
            "rtsp://u:secret@cam/1: no answer from rtsp://u:secret@cam/1",
            "rtsp://u:***@cam/1: no answer from rtsp://u:***@cam/1",
        ),
        ("rtsp://u:se/cr?et#secret@cam/x", "rtsp://u:***@cam/x"),
        ("rtsp://u:secret secret@cam/x", "rtsp://u:***@cam/x"),
        ("rtsp://u:se'cret@cam/x", "rtsp://u:***@cam/x"),
        ("rtsp://u:secret@[fe80::1/x", "rtsp://u:***@[fe80::1/x"),
        ("rtsp://u:rtsp://secret@cam/x", "rtsp://u:***@cam/x"),
        ("RTSP://secret@cam/x?User=me&Password=secret&c=1", "RTSP://secret:***@cam/x?User=me&Password=***&c=1"),
        ("rtsp://cam/user=me&pwd=secret&c=1", "rtsp://cam/user=me&pwd=***&c=1"),
        ("rtsp:// and nothing", None),
    ],
)
def test_passwords_are_found_in_whatever_form(text: str, shown: str | None) -> None:
    assert without_password(text) == (text if shown is None else shown)


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/x\xff.mp4")
    Path(name).touch()
    (source,) = expand_sources([tmp_path])
    assert source.name == name
    assert source.label == f"{tmp_path}/x\\xff.mp4"
    source.label.encode("utf-8")
    with pytest.raises(VideoReadError) as caught:
        next(read_frames(source))
    assert caught.value.path == name
    assert str(caught.value) == f"{source.label}: empty: it has zero bytes; copy or record it again"
    assert Source("h\u00e9 \ud800.mp4", "file").label == "h\u00e9 \\ud800.mp4"


def test_a_folder_that_cannot_be_looked_into_is_a_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert _names(expand_sources([folder]), folder) == ["a.MKV", "b.mp4", "below/c.mov", "below/deep"]
    assert _names(expand_sources([folder / "below" / "deep"]), folder) == ["below/deep"]
    with pytest.raises(VideoReadError) as caught:
        next(read_frames(folder / "below" / "deep"))
    assert caught.value.cause == "permission"


def test_links_that_lead_nowhere_are_sources_and_pipes_are_not(folder: Path) -> None:
    (folder / "below" / "lost.mp4").symlink_to(folder / "gone.mp4")
    os.mkfifo(folder / "below" / "pipe.mp4")
    assert _names(expand_sources([folder / "below"]), folder) == ["below/c.mov", "below/deep/d.webm", "below/lost.mp4"]
    for argument in (folder / "below", f"{folder}/below/l*.mp4"):
        source = next(source for source in expand_sources([argument]) if source.name.endswith("lost.mp4"))
        with pytest.raises(VideoReadError) as caught:
            next(read_frames(source))
        assert caught.value.cause == "missing"


def test_results_are_not_taken_for_sources(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    results = Path("below/deep")
    assert [source.name for source in expand_sources(["."], leave_out=results)] == [
        "a.MKV",
        "b.mp4",
        "below/c.mov",
    ]
    found = expand_sources(["below", "**/*.webm", "*.mp4"], leave_out=Path("nowhere/yet"))
    assert [source.name for source in found] == ["below/c.mov", "below/deep/d.webm", "b.mp4"]
    assert [source.name for source in expand_sources(["**/*.[mw]*"], leave_out=results)] == ["b.mp4", "below/c.mov"]
    assert [source.name for source in expand_sources(["below/deep/d.webm"], leave_out=results)] == ["below/deep/d.webm"]
    for argument in ("below/deep", "below/deep/*.webm"):
        with pytest.raises(ConfigError, match="results are to go into below/deep, and nothing in there is taken"):
            expand_sources([argument], leave_out=results)


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


@pytest.mark.parametrize("address", ["rtsp://", "rtsp:///live", "rtsps://:554/live", "rtsp://user:secret@/live"])
def test_an_address_without_a_host_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"the address names no host; write rtsp://HOST\[:PORT\]/PATH") as caught:
        expand_sources([address])
    assert "secret" not in str(caught.value)
