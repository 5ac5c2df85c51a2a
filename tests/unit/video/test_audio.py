"""Sound that is put beside pictures: when it is heard, and what is not taken along."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from media import make_video, run_ffmpeg

from tubelet.errors import VideoWriteError
from tubelet.video import VideoWriter, probe, read_frames
from tubelet.video.audio import copy_audio


def _pictures(source: Path, path: Path) -> Path:
    """The pictures of a file from 0 s on, as everything that is written begins."""
    info = probe(source)
    with VideoWriter(path, width=info.width, height=info.height, fps=25) as writer:
        for frame in read_frames(source):
            writer.write(np.ascontiguousarray(frame.image), frame.time_s)
    return path


def _heard_s(path: Path) -> np.ndarray:
    """When each packet of sound is heard, after the first picture."""
    start_s = probe(path).start_pts_s
    with av.open(str(path)) as container:
        ticks = [float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.pts is not None]
    return np.array(ticks) - start_s


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("sound") / "clip.mp4", num_frames=50, has_audio=True)


@pytest.mark.parametrize("name", ["late.mkv", "late.ts", "late.mp4", "begins_at_0.mp4"])
def test_sound_is_heard_with_the_same_picture_whatever_the_clock(clip: Path, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    run_ffmpeg(["-i", clip, "-c", "copy", "-output_ts_offset", "5" if name.startswith("late") else "0", source])
    info = probe(source)
    assert (info.start_pts_s >= 5) == name.startswith("late")
    target = tmp_path / "out.mp4"
    copy_audio(source, _pictures(source, tmp_path / "silent.mp4"), target, start_s=info.start_pts_s)
    assert len(_heard_s(target)) > 20
    np.testing.assert_allclose(_heard_s(target), _heard_s(source), atol=2e-3)
    assert sum(1 for _ in read_frames(target)) == 50


def test_sound_that_begins_later_than_the_pictures_still_does(clip: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "waits.mkv", tmp_path / "out.mp4"
    run_ffmpeg(["-i", clip, "-itsoffset", "0.7", "-i", clip, "-map", "0:v", "-map", "1:a", "-c", "copy", source])
    copy_audio(source, clip, target, start_s=probe(source).start_pts_s)
    assert 0.6 < _heard_s(target)[0] < 0.7
    np.testing.assert_allclose(_heard_s(target), _heard_s(source), atol=2e-3)


def test_sound_from_before_the_first_picture_is_left_out(clip: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "early.mkv", tmp_path / "out.mp4"
    run_ffmpeg(["-itsoffset", "0.7", "-i", clip, "-i", clip, "-map", "0:v", "-map", "1:a", "-c", "copy", source])
    assert _heard_s(source)[0] < -0.6
    copy_audio(source, clip, target, start_s=probe(source).start_pts_s)
    heard = _heard_s(target)
    assert heard[0] > -0.2
    np.testing.assert_allclose(heard, _heard_s(source)[-len(heard) :], atol=2e-3)
    with av.open(str(target)) as container:
        assert next(container.decode(audio=0)).time == pytest.approx(0, abs=2e-3)


def test_a_file_without_sound_is_an_error_and_leaves_nothing(clip: Path, tmp_path: Path) -> None:
    silent = make_video(tmp_path / "silent.mp4", num_frames=3)
    with pytest.raises(VideoWriteError, match=r"silent\.mp4: has no sound; leave --keep-audio away"):
        copy_audio(silent, clip, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["silent.mp4"]
