"""What is read of a clip: the right pictures, of the right part, at the right size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import make_video, run_ffmpeg

from tubelet.datasets import views
from tubelet.datasets.labelled import LabelledClip
from tubelet.datasets.sampling import Sampling
from tubelet.datasets.views import DecodedCache, clip_duration_s, read_random_view, read_views
from tubelet.errors import DatasetError, VideoReadError
from tubelet.video import VideoReader, read_clip
from tubelet.video.augment import ClipAugmentation

SAMPLING = Sampling(num_frames=4, size_px=32)
DENSE = replace(SAMPLING, step_s=0.08)
DURATION_S = 1.6


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> LabelledClip:
    path = make_video(tmp_path_factory.mktemp("videos") / "a.mp4")  # 96 x 64, 40 pictures, 25 a second
    return LabelledClip(id="a.mp4", path=path, labels=(0,), group="a")


def pictures(clip: LabelledClip, times_s: list[float], left: int = 8, size: int = 32) -> np.ndarray:
    """Cut out of what the reader gives at a short side of 32 pixels, which is 48 x 32."""
    frames = read_clip(clip.path, times_s, short_side=size).frames
    return frames[:, :, left : left + size]


def test_a_view_without_augmentation_is_the_middle_of_the_pictures_on_display(clip: LabelledClip) -> None:
    view = read_views(clip, SAMPLING)
    np.testing.assert_array_equal(view, pictures(clip, [0.2, 0.6, 1.0, 1.4])[None])


def test_crops_of_a_place_in_time_come_together(clip: LabelledClip) -> None:
    frames = read_views(clip, DENSE, num_views=3, num_crops=3)

    assert frames.shape == (9, 4, 32, 32, 3)
    times_s = DENSE.view_times(DURATION_S, 3)
    for view in range(3):
        for crop, left in enumerate((0, 8, 16)):
            expected = pictures(clip, times_s[view].tolist(), left)
            np.testing.assert_array_equal(frames[3 * view + crop], expected)


def test_each_file_is_opened_and_decoded_once_for_all_views(
    clip: LabelledClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = VideoReader.frames_at
    monkeypatch.setattr(
        VideoReader, "frames_at", lambda self, *a, **k: calls.append(self.path) or original(self, *a, **k)
    )
    read_views(clip, SAMPLING, num_views=5, num_crops=3)
    assert len(calls) == 1


def test_readers_are_closed_also_after_an_error(clip: LabelledClip, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    original = VideoReader.close
    monkeypatch.setattr(VideoReader, "close", lambda self: closed.append(self.path) or original(self))
    read_views(clip, SAMPLING)
    with pytest.raises(DatasetError):
        read_views(replace(clip, end_s=9.0), SAMPLING)
    assert len(closed) == 2


def test_other_times_can_be_asked_for(clip: LabelledClip) -> None:
    frames = read_views(clip, SAMPLING, times_s=np.array([[0.0, 0.5], [1.0, 1.5]]))
    np.testing.assert_array_equal(frames[1], pictures(clip, [1.0, 1.5]))


def test_stretching_keeps_the_whole_picture(clip: LabelledClip) -> None:
    sampling = replace(SAMPLING, fit="stretch")
    whole = read_clip(clip.path, [0.2, 0.6, 1.0, 1.4], short_side=32).frames
    expected = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA) for image in whole])
    np.testing.assert_array_equal(read_views(clip, sampling)[0], expected)
    with pytest.raises(ValueError, match='num_crops is 3 with fit="stretch", which shows the whole picture'):
        read_views(clip, sampling, num_crops=3)


def test_a_part_of_a_file_is_a_clip_of_its_own(clip: LabelledClip) -> None:
    part = replace(clip, start_s=0.4, end_s=1.2)
    np.testing.assert_array_equal(read_views(part, SAMPLING)[0], pictures(clip, [0.5, 0.7, 0.9, 1.1]))
    assert clip_duration_s(part) == pytest.approx(0.8) and clip_duration_s(clip) == pytest.approx(DURATION_S)
    for seed in range(20):
        times_s = DENSE.training_times(0.8, np.random.default_rng(seed)) + 0.4
        view = read_random_view(part, DENSE, np.random.default_rng(seed))
        np.testing.assert_array_equal(view, pictures(clip, times_s.tolist()))


def test_an_end_that_was_rounded_is_taken_as_the_end_of_the_file(clip: LabelledClip) -> None:
    rounded = replace(clip, start_s=0.8, end_s=1.69)
    np.testing.assert_array_equal(read_views(rounded, SAMPLING), read_views(replace(clip, start_s=0.8), SAMPLING))
    for part in (replace(clip, end_s=1.71), replace(clip, start_s=1.6), replace(clip, start_s=5.0, end_s=6.0)):
        with pytest.raises(DatasetError, match=r"a\.mp4: the clip is from .* s, but its file lasts 1\.600 s; correct"):
            read_views(part, SAMPLING)


def test_pictures_are_held_where_a_clip_has_fewer_than_asked_for(clip: LabelledClip, tmp_path: Path) -> None:
    short = replace(clip, path=make_video(tmp_path / "short.mp4", num_frames=2))
    view = read_views(short, replace(SAMPLING, num_frames=16))[0]
    assert len(np.unique(view.reshape(16, -1), axis=0)) == 2
    one = replace(clip, path=make_video(tmp_path / "one.mp4", num_frames=1))
    for sampling in (SAMPLING, DENSE):
        view = read_random_view(one, sampling, np.random.default_rng(0))
        assert view.shape == (4, 32, 32, 3) and (view == view[:1]).all()
        assert read_views(replace(clip, start_s=1.59), sampling, num_views=2).shape == (2, 4, 32, 32, 3)


def test_random_views_come_from_their_generator(clip: LabelledClip) -> None:
    augmentation = ClipAugmentation()
    read = [
        read_random_view(clip, SAMPLING, np.random.default_rng(seed), augmentation=augmentation).tobytes()
        for seed in (0, 0, 1, 2)
    ]
    assert read[0] == read[1] and len(set(read)) == 3


@pytest.mark.parametrize(
    ("augmentation", "short_side"), [(None, 32), (ClipAugmentation(), 37), (ClipAugmentation(scale=(1, 1)), 32)]
)
def test_pictures_are_decoded_at_the_size_that_is_needed(
    clip: LabelledClip, monkeypatch: pytest.MonkeyPatch, augmentation: ClipAugmentation | None, short_side: int
) -> None:
    asked = []
    original = VideoReader.frames_at
    monkeypatch.setattr(
        VideoReader,
        "frames_at",
        lambda self, times, *, short_side: asked.append(short_side) or original(self, times, short_side=short_side),
    )
    view = read_random_view(clip, SAMPLING, np.random.default_rng(0), augmentation=augmentation)
    assert asked == [short_side] and view.shape == (4, 32, 32, 3)


def test_a_cache_gives_the_same_pictures_without_decoding(
    clip: LabelledClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DecodedCache(folder=str(tmp_path / "cache"), max_bytes=10**8, views_per_clip=2)
    augmentation = ClipAugmentation()

    def read(view: int) -> list[np.ndarray]:
        random = read_random_view(
            clip, SAMPLING, np.random.default_rng(0), augmentation=augmentation, cache=cache, view=view
        )
        return [random, read_views(clip, SAMPLING, num_views=2, cache=cache)]

    first, other = read(0), read(1)
    assert not np.array_equal(first[0], other[0])
    np.testing.assert_array_equal(first[1], read_views(clip, SAMPLING, num_views=2))
    monkeypatch.setattr(views, "_decoded", lambda *_: pytest.fail("decoded again"))
    for before, again in zip([*first, *other], [*read(0), *read(1)], strict=True):
        np.testing.assert_array_equal(before, again)


def test_what_pictures_depend_on_is_in_the_key_of_the_cache(clip: LabelledClip, tmp_path: Path) -> None:
    copy = replace(clip, path=tmp_path / "copy.mp4")
    copy.path.write_bytes(clip.path.read_bytes())
    keys = {views._key(one, SAMPLING, 32, "1 views") for one in (clip, copy, replace(clip, start_s=0.5, end_s=1.0))}
    copy.path.write_bytes(clip.path.read_bytes() + b"x")
    keys |= {views._key(copy, SAMPLING, 32, "1 views"), views._key(clip, SAMPLING, 37, "1 views")}
    keys |= {views._key(clip, changed, 32, "1 views") for changed in (DENSE, replace(SAMPLING, num_frames=8))}
    keys |= {views._key(clip, replace(SAMPLING, fit="stretch"), 32, "1 views"), views._key(clip, SAMPLING, 32, "2")}
    assert len(keys) == 9


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("a.mkv", {}),
        ("a.ts", {}),
        ("a.avi", {"b_frames": 0}),
        ("a.webm", {"codec": "libvpx-vp9", "b_frames": 0}),
        ("fragments.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ],
)
def test_views_reach_to_the_end_of_every_container(tmp_path: Path, name: str, changes: dict[str, object]) -> None:
    path = make_video(tmp_path / name, num_frames=20, **changes)
    clip = LabelledClip(id=name, path=path, labels=(0,), group=name)

    assert clip_duration_s(clip) == pytest.approx(0.8, abs=0.002)
    frames = read_views(clip, replace(SAMPLING, num_frames=20))[0]
    assert len(np.unique(frames.reshape(20, -1), axis=0)) == 20


def test_sound_that_goes_on_does_not_make_a_clip_longer(clip: LabelledClip, tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    tone = ["-f", "lavfi", "-i", "sine=frequency=400:duration=6"]
    run_ffmpeg(["-i", clip.path, *tone, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", path])
    assert clip_duration_s(replace(clip, path=path)) == pytest.approx(DURATION_S, abs=0.002)


def _missing(path: Path) -> Path:
    return path


def _text(path: Path) -> Path:
    path.write_text("no video")
    return path


def _cut_off(path: Path) -> Path:
    make_video(path)
    path.write_bytes(path.read_bytes()[:-9000])
    return path


@pytest.mark.parametrize(("make", "cause"), [(_missing, "missing"), (_text, "not_a_video"), (_cut_off, "truncated")])
@pytest.mark.parametrize("is_cached", [False, True])
def test_a_broken_file_is_an_error_with_its_cause(
    tmp_path: Path, make: Callable[[Path], Path], cause: str, is_cached: bool
) -> None:
    cache = DecodedCache(folder=str(tmp_path / "cache"), max_bytes=10**8) if is_cached else None
    broken = LabelledClip(id="b", path=make(tmp_path / "b.mp4"), labels=(0,), group="b")
    with pytest.raises(VideoReadError) as caught:
        read_views(broken, SAMPLING, cache=cache)
    assert caught.value.cause == cause
    assert list(tmp_path.rglob("*.array")) == []


def test_numbers_out_of_range_are_refused(clip: LabelledClip) -> None:
    with pytest.raises(ValueError, match="num_views is 0 and num_crops 1; allowed: 1 or more, and 1 or 3"):
        read_views(clip, SAMPLING, num_views=0)
    with pytest.raises(ValueError, match="max_bytes is 0; allowed: 1 or more"):
        DecodedCache(folder="x", max_bytes=0)
