"""How the reader behaves: facts, closing, misuse, background decoding, and how much it decodes."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media import Recipe, make_video, number_of, picture, run_ffmpeg

from tubelet.errors import ConfigError, VideoReadError
from tubelet.video import Clip, Frame, VideoReader, probe, read_clip, read_frames
from tubelet.video.picking import _Picker


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe(num_frames=250, key_frame_every=50, has_audio=True)
    return make_video(tmp_path_factory.mktemp("video") / "video.mp4", recipe)


def _open_files() -> set[str]:
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return {os.readlink(link) for link in links if link.is_symlink()}


def test_facts(video: Path) -> None:
    info = probe(video)
    assert info.path == str(video)
    assert info.container == "mp4"
    assert (info.codec, info.width, info.height, info.rotation_deg) == ("h264", 96, 64, 0)
    assert (info.num_frames, info.duration_s, info.average_fps, info.start_pts_s) == (250, 10.0, 25.0, 0.0)
    assert (info.pixel_format, info.bit_depth, info.has_alpha, info.is_interlaced) == ("yuv420p", 8, False, False)
    assert info.has_audio
    assert not info.is_variable_frame_rate
    assert info.size_bytes == video.stat().st_size
    with VideoReader(video) as reader:
        assert reader.info == info


@pytest.mark.parametrize(
    ("name", "recipe", "facts"),
    [
        ("turned.mp4", Recipe(turn_deg=-90), {"width": 64, "height": 96, "rotation_deg": 90}),
        ("turned.mp4", Recipe(turn_deg=90), {"width": 64, "height": 96, "rotation_deg": 270}),
        ("turned.mp4", Recipe(turn_deg=180), {"width": 96, "height": 64, "rotation_deg": 180}),
        ("deep.mp4", Recipe(pixel_format="yuv420p10le"), {"bit_depth": 10, "pixel_format": "yuv420p10le"}),
        ("alpha.mov", Recipe(codec="qtrle", pixel_format="argb", b_frames=0), {"has_alpha": True, "bit_depth": 8}),
        ("fields.mp4", Recipe(options={"x264-params": "tff=1"}), {"is_interlaced": True}),
        ("even.mkv", Recipe(fps=30), {"is_variable_frame_rate": False, "average_fps": 30.0}),
        (
            "uneven.mkv",
            Recipe(times=(0, 40, 60, 200, 240, 280, 400), time_base=Fraction(1, 1000)),
            {"is_variable_frame_rate": True, "average_fps": pytest.approx(15.0)},
        ),
        ("late.mkv", Recipe(times=tuple(range(100, 140))), {"start_pts_s": 4.0, "duration_s": pytest.approx(1.6)}),
    ],
)
def test_unusual_facts(tmp_path: Path, name: str, recipe: Recipe, facts: dict[str, object]) -> None:
    info = probe(make_video(tmp_path / name, recipe))
    assert {key: getattr(info, key) for key in facts} == facts


def test_a_raw_stream_is_counted(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "raw.h264"
    run_ffmpeg(["-i", video, "-map", "0:v", "-c", "copy", path])
    info = probe(path)
    assert info.num_frames == 250
    assert info.duration_s == pytest.approx(10.0, rel=0.3)  # such a stream states no times; only its rate may be in it
    assert [number_of(frame.image) for frame in read_frames(path)] == list(range(250))
    # Without times nothing can be sought; the frames are counted off instead.
    assert [number_of(image) for image in read_clip(path, [4.0, 9.9, 1.0]).frames] == [100, 247, 25]


def test_separate_alpha_is_known_from_its_tag(tmp_path: Path) -> None:
    path = tmp_path / "alpha.webm"
    source = "color=red@0.5:size=64x64:rate=5:duration=1,format=yuva420p"
    run_ffmpeg(["-f", "lavfi", "-i", source, "-c:v", "libvpx-vp9", "-deadline", "realtime", path])
    assert probe(path).has_alpha


def test_everything_is_closed_at_once(video: Path) -> None:
    name = str(video)
    with VideoReader(video) as reader:
        assert name in _open_files()
        frames = reader.frames()
        next(frames)
        reader.frames_at([1.0])
    assert name not in _open_files()
    reader.close()
    for stream in (read_frames(video), read_frames(video, prefetch=3)):
        next(stream)
        assert name in _open_files()
        stream.close()  # type: ignore[attr-defined]
        assert name not in _open_files()
    probe(video)
    read_clip(video, [3.0])
    assert name not in _open_files()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tubelet")]


def test_nothing_stays_open_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "audio.m4a"
    run_ffmpeg(["-f", "lavfi", "-i", "sine=duration=1", path])
    with pytest.raises(VideoReadError):
        probe(path)
    assert str(path) not in _open_files()


def test_a_closed_reader_says_so(video: Path) -> None:
    with VideoReader(video) as reader:
        frames = reader.frames()
        next(frames)
    with pytest.raises(ValueError, match="its reader was closed"):
        list(frames)
    with pytest.raises(ValueError, match="is closed; open another one"):
        reader.frames_at([1.0])


def test_one_read_at_a_time(video: Path) -> None:
    with VideoReader(video) as reader:
        first = reader.frames()
        next(first)
        assert [number_of(image) for image in reader.frames_at([4.0, 2.0]).frames] == [100, 50]
        with pytest.raises(ValueError, match=r"another read of .* was begun before this one ended"):
            next(first)
        assert [number_of(frame.image) for frame in reader.frames(9.8)] == [245, 246, 247, 248, 249]
        assert [frame.index for frame in reader.frames(0, 0.1)] == [0, 1, 2]


def test_times_are_checked(video: Path) -> None:
    with VideoReader(video) as reader:
        for start_s, end_s in ((-1.0, None), (2.0, 2.0), (3.0, 1.0), (float("nan"), None)):
            with pytest.raises(ValueError, match="needed: 0 <= start_s < end_s"):
                reader.frames(start_s, end_s)
        with pytest.raises(ConfigError, match=r"the start is 11 s, but the video ends at 10\.000 s; start earlier"):
            reader.frames(11.0)
        for times_s in ([], [float("nan")]):
            with pytest.raises(ValueError, match="it must be a list of at least one time"):
                reader.frames_at(times_s)
        with pytest.raises(ValueError, match="times from -1 to 3 s asked for; the video lasts from 0 s to 10.000 s"):
            reader.frames_at([3.0, -1.0])
        with pytest.raises(ValueError, match="10.5 s asked for"):
            reader.frames_at([10.5])
        assert number_of(reader.frames_at([10.0]).frames[0]) == 249


def test_sparse_reading_decodes_a_small_part(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    take = _Picker._take

    def counted(self: _Picker, queue: object, decoded: av.VideoFrame) -> None:
        taken.append(decoded.pts)
        take(self, queue, decoded)  # type: ignore[arg-type]

    monkeypatch.setattr(_Picker, "_take", counted)
    clip = read_clip(video, [9.64, 4.2])
    assert [number_of(image) for image in clip.frames] == [241, 105]
    # Key frames are 50 apart: without seeking 242 pictures would be decoded, without skipping 6 + 42 and those in hand.
    assert len(taken) < 40


def test_memory_of_frames_is_their_own(video: Path) -> None:
    frames = list(read_frames(video, end_s=2.0))
    first = frames[0].image.copy()
    for frame in frames[1:]:
        frame.image[:] = 0
    np.testing.assert_array_equal(frames[0].image, first)


@pytest.mark.parametrize("prefetch", [1, 4, 1000])
def test_decoding_ahead_gives_the_same(video: Path, prefetch: int) -> None:
    plain = list(read_frames(video, start_s=3.0, end_s=5.0))
    ahead = list(read_frames(video, start_s=3.0, end_s=5.0, prefetch=prefetch))
    assert [frame.time_s for frame in ahead] == [frame.time_s for frame in plain]
    np.testing.assert_array_equal([frame.image for frame in ahead], [frame.image for frame in plain])


def test_decoding_ahead_is_bounded(video: Path) -> None:
    with pytest.raises(ValueError, match="prefetch is -1; it must be 0 or more"):
        read_frames(video, prefetch=-1)


def test_clip_and_frame_check_and_show_themselves(unchecked_shapes: None) -> None:
    frames = np.zeros((2, 4, 6, 3), np.uint8)
    assert repr(Clip(frames, np.array([0.0, 1.0]), "a.mp4")) == "Clip(frames (2, 4, 6, 3), source='a.mp4')"
    assert repr(Frame(frames[0], 1.5, 3)) == "Frame(6x4, time_s=1.500, index=3)"
    with pytest.raises(ValueError, match=r"frames is uint8 \(4, 6, 3\); it must be uint8 \(time, height, width, 3\)"):
        Clip(frames[0], np.array([0.0]), "a.mp4")
    with pytest.raises(ValueError, match=r"timestamps_s is float64 \(1,\); .* for each of the 2 frames"):
        Clip(frames, np.array([0.0]), "a.mp4")
    with pytest.raises(ValueError, match="not finite"):
        Clip(frames, np.array([0.0, np.nan]), "a.mp4")


class _Camera:
    """Three pictures, then the cable is pulled."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pictures: Iterator[np.ndarray] = iter([picture(n, 32, 32)[:, :, ::-1] for n in range(3)])
        self.is_released = False
        _Camera.last = self

    last: _Camera

    def isOpened(self) -> bool:  # noqa: N802
        return self.number == 0

    def read(self) -> tuple[bool, np.ndarray | None]:
        image = next(self.pictures, None)
        return image is not None, image

    def release(self) -> None:
        self.is_released = True


def test_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", _Camera)
    stream = read_frames("0")
    frames = [next(stream) for _ in range(3)]
    with pytest.raises(VideoReadError, match="0: unavailable at .* s: the camera gives no pictures; check its cable"):
        next(stream)
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2]
    assert frames[0].time_s == 0.0
    assert frames[0].time_s <= frames[1].time_s <= frames[2].time_s
    assert _Camera.last.is_released
    next(read_frames(0, end_s=5.0))
    with pytest.raises(VideoReadError, match="7: unavailable: there is no such camera"):
        next(read_frames(7))
    with pytest.raises(ConfigError, match="a live source begins now; leave out the start time"):
        read_frames("0", start_s=2.0)


def test_no_camera_makes_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(VideoReadError, match="unavailable"):
        next(read_frames("63"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "container"), [("a.mp4", "mp4"), ("a.mov", "mov"), ("a.mkv", "matroska/webm"), ("a.avi", "avi")]
)
def test_the_container_has_one_plain_name(tmp_path: Path, name: str, container: str) -> None:
    made = make_video(tmp_path / name, Recipe(num_frames=3, b_frames=0))
    assert probe(made).container == container
    renamed = made.rename(tmp_path / "film.dat")
    assert probe(renamed).container == container


def test_a_network_stream(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: dict[str, object] = {}
    really_open = av.open

    def open_file_instead(address: str, **options: object) -> object:
        opened.update(options, address=address)
        return really_open(str(video))

    monkeypatch.setattr(av, "open", open_file_instead)
    frames = list(read_frames("rtsp://user:secret@camera/live", end_s=1.0, timeout_s=3.0))
    # A live source does not wait: frames may be left out for a slow caller, and their indices say which.
    numbers = [number_of(frame.image) for frame in frames]
    assert numbers == [frame.index for frame in frames] == sorted(set(numbers))
    assert numbers[-1] == 24
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(numbers) / 25)
    assert opened["address"] == "rtsp://user:secret@camera/live"
    assert opened["timeout"] == 3.0


def test_a_stream_whose_server_keeps_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"rtsp://127.0.0.1:{server.getsockname()[1]}/live"
        with pytest.raises(VideoReadError, match=r"unavailable: no answer within 0\.5 s; check address and network"):
            next(read_frames(address, timeout_s=0.5))


def test_a_stream_that_nobody_serves(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(VideoReadError) as caught:
        next(read_frames("rtsp://user:secret@127.0.0.1:9/live", timeout_s=2.0))
    assert caught.value.cause == "unavailable"
    assert "rtsp://user:***@127.0.0.1:9/live: unavailable: the connection was refused" in str(caught.value)
    assert "within" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
