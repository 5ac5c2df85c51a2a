"""What the writer leaves on the disk."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import make_video, picture, run_ffmpeg

from tubelet.errors import VideoWriteError
from tubelet.video import VideoWriter, probe, read_frames
from tubelet.video.writer import pixel_aspect_of


def _write(path: Path, times_s: list[float], width: int = 96, height: int = 64, **options: int) -> None:
    with VideoWriter(path, width=width, height=height, fps=25, **options) as writer:
        for number, time_s in enumerate(times_s):
            writer.write(picture(number, width, height), time_s)


def test_it_plays_in_a_browser(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    _write(path, [number / 25 for number in range(30)])
    info = probe(path)
    assert (info.codec, info.pixel_format, info.num_frames) == ("h264", "yuv420p", 30)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range, context.color_primaries, context.color_trc) == (1, 1, 1, 1)
    run_ffmpeg(["-xerror", "-i", path, "-f", "null", "-"])


def test_colours_survive(tmp_path: Path) -> None:
    path = tmp_path / "colours.mp4"
    colours = [(220, 30, 30), (30, 200, 40), (30, 60, 220), (240, 240, 240), (10, 10, 10), (200, 180, 40)]
    with VideoWriter(path, width=64, height=64, fps=10, quality=10) as writer:
        for number, colour in enumerate(colours):
            writer.write(np.full((64, 64, 3), colour, np.uint8), number / 10)
    # The program honours the colour tags, as browsers do.
    raw = run_ffmpeg(["-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
    seen = np.frombuffer(raw, np.uint8).reshape(-1, 64, 64, 3)[:, 16:48, 16:48].mean(axis=(1, 2))
    np.testing.assert_allclose(seen, colours, atol=6)


@pytest.mark.parametrize(("width", "height"), [(97, 64), (96, 63), (97, 63), (1, 1)])
def test_odd_sizes_are_made_even_by_repeating_the_edge(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "odd.mp4"
    with VideoWriter(path, width=width, height=height, fps=25, quality=4) as writer:
        image = np.full((height, width, 3), 90, np.uint8)
        image[-1:] = 200
        writer.write(image, 0.0)
    frame = next(read_frames(path))
    assert frame.image.shape == (height + height % 2, width + width % 2, 3)
    assert abs(int(frame.image[-1].mean()) - 200) < 12


@pytest.mark.parametrize("aspect", [None, Fraction(4, 3), Fraction(16, 15)])
def test_the_shape_of_pixels_is_written(tmp_path: Path, aspect: Fraction | None) -> None:
    path = tmp_path / "wide.mp4"
    with VideoWriter(path, width=97, height=64, fps=25, pixel_aspect=aspect) as writer:
        writer.write(picture(0, 97, 64), 0.0)
    assert pixel_aspect_of(probe(path)) == aspect
    # From the pictures alone as well: where they leave the container, players still show them right.
    run_ffmpeg(["-i", path, "-c", "copy", "-f", "h264", tmp_path / "bare.h264"])
    with av.open(str(tmp_path / "bare.h264")) as container:
        assert container.streams.video[0].codec_context.sample_aspect_ratio == aspect


def test_pixels_are_turned_with_the_picture(tmp_path: Path) -> None:
    for name, turn_deg in (("upright.mp4", 0), ("turned.mp4", 90), ("over.mp4", 180)):
        make_video(tmp_path / f"square_{name}", num_frames=2, turn_deg=turn_deg)
        options = ["-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=4/3", "-aspect", "2"]
        run_ffmpeg(["-i", tmp_path / f"square_{name}", *options, tmp_path / name])
    found = {name: pixel_aspect_of(probe(tmp_path / name)) for name in ("upright.mp4", "turned.mp4", "over.mp4")}
    assert found == {"upright.mp4": Fraction(4, 3), "turned.mp4": Fraction(3, 4), "over.mp4": Fraction(4, 3)}


def test_uneven_times_are_kept_and_begin_at_zero(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mp4"
    times_s = [12.5, 12.52, 12.9, 13.0, 14.75, 14.7502]
    _write(path, times_s)
    read_s = [frame.time_s for frame in read_frames(path)]
    np.testing.assert_allclose(read_s, np.array(times_s) - 12.5, atol=2e-5)


def test_the_file_appears_when_it_is_done(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("old")
    writer = VideoWriter(path, width=32, height=32, fps=25)
    writer.write(picture(0, 32, 32), 0.0)
    assert path.read_text() == "old"
    writer.close()
    writer.close()
    assert probe(path).num_frames == 1
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("old")

    def interrupted() -> None:
        with VideoWriter(path, width=32, height=32, fps=25) as writer:
            writer.write(picture(0, 32, 32), 0.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == ["out.mp4"]
    assert path.read_text() == "old"


def test_no_picture_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(VideoWriteError, match="no picture was written"),
        VideoWriter(tmp_path / "out.mp4", width=32, height=32, fps=25),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        VideoWriteError, match=r"no/out\.mp4: it cannot be written \(No such file or directory\); check"
    ):
        VideoWriter(tmp_path / "no" / "out.mp4", width=32, height=32, fps=25)


def test_a_full_disk(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.fail("this test needs Linux's /dev/full")
    path = tmp_path / "out.mp4"
    (tmp_path / f".out.{os.getpid()}.partial.mp4").symlink_to("/dev/full")
    with pytest.raises(VideoWriteError, match="No space left on device"):
        _write(path, [number / 25 for number in range(200)], width=320, height=240)
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "out.avi"}, r"the name must end in \.mp4"),
        ({"width": 0}, "width 0, height 32, fps 25, quality 23: sizes must be positive"),
        ({"fps": 0}, "fps 0"),
        ({"quality": 99}, "quality 99"),
        ({"pixel_aspect": Fraction(-1, 2)}, "pixel_aspect is -1/2; it must be above 0, or None"),
    ],
)
def test_misuse_at_the_start(tmp_path: Path, options: dict[str, object], message: str) -> None:
    arguments = {"path": "out.mp4", "width": 32, "height": 32, "fps": 25} | options
    path = tmp_path / str(arguments.pop("path"))
    with pytest.raises(ValueError, match=message):
        VideoWriter(path, **arguments)  # type: ignore[arg-type]


def test_misuse_while_writing(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", width=32, height=32, fps=25) as writer:
        writer.write(picture(0, 32, 32), 1.0)
        with pytest.raises(ValueError, match="time_s is 1.000000; it must be later"):
            writer.write(picture(1, 32, 32), 1.0)
        with pytest.raises(ValueError, match=r"image is uint8 \(32, 34, 3\); it must be uint8 \(32, 32, 3\)"):
            writer.write(picture(1, 34, 32), 2.0)
    with pytest.raises(ValueError, match="the writer is closed"):
        writer.write(picture(1, 32, 32), 3.0)
