"""The frames that come out are those of the ffmpeg program: same number, same times, same values."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import Recipe, make_video, number_of, reference_frames, reference_times_s, run_ffmpeg

from tubelet.video import VideoReader, probe, read_clip, read_frames
from tubelet.video.reader import TIME_SLACK_S

_STEPS = np.random.default_rng(3).integers(1, 9, size=40)
_UNEVEN = tuple(int(time) for time in np.cumsum(_STEPS))
_DEEP = "format=yuv420p,scale=flags=bilinear"  # in the same two steps as the reader
_FIELDS = "scale=flags=bilinear:interl=1"

CASES: dict[str, tuple[Recipe, str | None]] = {
    "constant_rate.mp4": (Recipe(has_audio=True), None),
    "many_b_frames.mp4": (Recipe(b_frames=5, options={"x264-params": "b-pyramid=normal:b-adapt=0"}), None),
    "open_gop.mp4": (Recipe(b_frames=3, num_frames=70, options={"x264-params": "open-gop=1"}), None),
    "no_b_frames.mp4": (Recipe(b_frames=0), None),
    "odd_444.mp4": (Recipe(width=97, height=63, pixel_format="yuv444p"), None),
    "odd_420.mkv": (Recipe(width=97, height=63, codec="ffv1", b_frames=0), None),
    "uneven.mp4": (Recipe(times=_UNEVEN, time_base=Fraction(1, 100)), None),
    "uneven.mkv": (Recipe(times=_UNEVEN, time_base=Fraction(1, 1000)), None),
    "late_start.mkv": (Recipe(times=tuple(range(1000, 1040))), None),
    "negative_start.mp4": (Recipe(times=tuple(range(-10, 30))), None),
    "turned_90.mp4": (Recipe(turn_deg=90), None),
    "turned_180.mp4": (Recipe(turn_deg=180), None),
    "turned_270.mp4": (Recipe(turn_deg=-90), None),
    "mirrored.mp4": (Recipe(is_mirrored=True), None),
    "mirrored_turned.mp4": (Recipe(turn_deg=90, is_mirrored=True), None),
    "deep_h264.mp4": (Recipe(pixel_format="yuv420p10le"), _DEEP),
    "deep_hevc.mp4": (Recipe(codec="libx265", pixel_format="yuv420p10le"), _DEEP),
    "hevc.mp4": (Recipe(codec="libx265"), None),
    "vp9.webm": (Recipe(codec="libvpx-vp9", b_frames=0, options={"cpu-used": "8", "deadline": "realtime"}), None),
    "transport_stream.ts": (Recipe(), None),
    "fragmented.mp4": (Recipe(container_options={"movflags": "frag_keyframe+empty_moov"}), None),
    "mpeg4.avi": (Recipe(codec="mpeg4", b_frames=0), None),
    "mpeg4_b_frames.avi": (Recipe(codec="mpeg4", b_frames=2), None),
    "alpha.mov": (Recipe(codec="qtrle", pixel_format="argb", b_frames=0), None),
    "interlaced.ts": (Recipe(codec="mpeg2video", options={"flags": "+ilme+ildct"}), _FIELDS),
    "interlaced.mp4": (Recipe(options={"x264-params": "tff=1"}), _FIELDS),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module", params=CASES)
def video(request: pytest.FixtureRequest, folder: Path) -> tuple[Path, str]:
    recipe, filters = CASES[request.param]
    return make_video(folder / request.param, recipe), filters or "scale=flags=bilinear"


def _read_all(path: Path) -> tuple[np.ndarray, np.ndarray]:
    frames = list(read_frames(path))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    return np.stack([frame.image for frame in frames]), np.array([frame.time_s for frame in frames])


def _on_display(times_s: np.ndarray, asked_s: np.ndarray) -> np.ndarray:
    return np.searchsorted(times_s, asked_s + TIME_SLACK_S, side="right") - 1


def test_sequential_frames_and_times_are_those_of_ffmpeg(video: tuple[Path, str]) -> None:
    path, filters = video
    info = probe(path)
    images, times_s = _read_all(path)
    reference = reference_frames(path, info.width, info.height, filters=filters)
    assert images.shape == reference.shape
    np.testing.assert_array_equal(images, reference)
    np.testing.assert_allclose(times_s, reference_times_s(path), atol=1e-9)


def test_frames_at_random_times_are_the_ones_on_display(video: tuple[Path, str]) -> None:
    path, _ = video
    images, times_s = _read_all(path)
    duration_s = probe(path).duration_s
    generator = np.random.default_rng(11)
    for num_times in (1, 3, 40):
        asked_s = generator.uniform(0, duration_s, num_times)
        clip = read_clip(path, asked_s)
        on_display = _on_display(times_s, asked_s)
        np.testing.assert_array_equal(clip.timestamps_s, times_s[on_display])
        np.testing.assert_array_equal(clip.frames, images[on_display])


def test_frame_times_find_their_own_frames(video: tuple[Path, str]) -> None:
    path, _ = video
    images, times_s = _read_all(path)
    order = np.random.default_rng(5).permutation(len(times_s))
    clip = read_clip(path, times_s[order])
    np.testing.assert_array_equal(clip.timestamps_s, times_s[order])
    np.testing.assert_array_equal(clip.frames, images[order])


def test_a_part_is_cut_out_of_the_whole(video: tuple[Path, str]) -> None:
    path, _ = video
    images, times_s = _read_all(path)
    start_s, end_s = float(times_s[len(times_s) // 3]), float(times_s[2 * len(times_s) // 3])
    part = list(read_frames(path, start_s=start_s, end_s=end_s))
    inside = (times_s >= start_s) & (times_s < end_s)
    np.testing.assert_array_equal([frame.time_s for frame in part], times_s[inside])
    np.testing.assert_array_equal(np.stack([frame.image for frame in part]), images[inside])


def test_an_edit_list_that_cuts_the_beginning_is_honoured(folder: Path) -> None:
    whole = make_video(folder / "whole.mp4", Recipe(num_frames=60, key_frame_every=30))
    path = folder / "edited.mp4"
    run_ffmpeg(["-y", "-ss", "0.5", "-i", whole, "-c", "copy", path])
    images, times_s = _read_all(path)
    np.testing.assert_array_equal(images, reference_frames(path, 96, 64))
    assert number_of(images[0]) in (12, 13)
    assert times_s[0] == 0.0
    info = probe(path)
    assert info.num_frames == len(images)
    clip = read_clip(path, [0.0, 0.2])
    assert [number_of(image) for image in clip.frames] == [number_of(images[0]), number_of(images[5])]


def test_cover_art_is_not_the_video(folder: Path) -> None:
    plain = make_video(folder / "plain.mp4", Recipe())
    cover = folder / "cover.png"
    run_ffmpeg(["-y", "-f", "lavfi", "-i", "color=red:size=200x200", "-frames:v", "1", cover])
    path = folder / "with_cover.mp4"
    covered = ["-map", "1", "-map", "0", "-c", "copy", "-c:v:0", "png", "-disposition:v:0", "attached_pic"]
    run_ffmpeg(["-y", "-i", plain, "-i", cover, *covered, path])
    assert (probe(path).width, probe(path).height) == (96, 64)
    np.testing.assert_array_equal(_read_all(path)[0], _read_all(plain)[0])


@pytest.mark.parametrize("seed", range(4))
def test_skipping_and_seeking_never_change_a_frame(folder: Path, seed: int) -> None:
    """Sparse and dense picks from differently coded long files, against their own sequential frames."""
    params = [
        "b-adapt=0:b-pyramid=strict:ref=4",
        "weightp=2:open-gop=1:ref=2",
        "bluray-compat=1:slices=4",
        "b-adapt=2:direct=auto:ref=3:cabac=0",
    ][seed]
    path = folder / f"long_{seed}.mp4"
    recipe = Recipe(num_frames=400, key_frame_every=60, b_frames=3, options={"x264-params": params}, seed=seed)
    make_video(path, recipe)
    images, times_s = _read_all(path)
    generator = np.random.default_rng(seed)
    with VideoReader(path) as reader:
        for num_times, spread_s in ((16, 16.0), (32, 2.5), (5, 16.0), (100, 16.0)):
            asked_s = generator.uniform(0, 16.0 - spread_s, 1) + generator.uniform(0, spread_s, num_times)
            clip = reader.frames_at(asked_s)
            on_display = _on_display(times_s, asked_s)
            np.testing.assert_array_equal(clip.frames, images[on_display])
            assert [number_of(image) for image in clip.frames] == on_display.tolist()


def test_small_pictures_are_the_average_of_large_ones(folder: Path) -> None:
    path = make_video(folder / "to_shrink.mp4", Recipe(width=192, height=128))
    large = read_clip(path, [0.0, 0.5]).frames.astype(float)
    small = read_clip(path, [0.0, 0.5], short_side=64)
    assert small.frames.shape == (2, 64, 96, 3)
    averaged = large.reshape(2, 64, 2, 96, 2, 3).mean(axis=(2, 4))
    # Brightness only: small pictures share their colour between neighbours, as compressed ones do.
    brightness = np.array([0.299, 0.587, 0.114])
    assert np.abs((small.frames - averaged) @ brightness).mean() < 1.5
