"""Bad files: every way into the room gives the documented cause, says which file, and keeps quiet otherwise."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from broken_videos import BROKEN_CASES, NUM_FRAMES, BrokenCase
from media import Recipe, make_video, number_of, run_ffmpeg

from tubelet.errors import READ_CAUSES, VideoReadError
from tubelet.video import VideoReader, probe, read_clip, read_frames

T = TypeVar("T")


def _numbers(path: Path, **options: int) -> tuple[list[int], VideoReadError | None]:
    numbers = []
    try:
        for frame in read_frames(path, **options):  # type: ignore[arg-type]
            numbers.append(number_of(frame.image))
    except VideoReadError as error:
        return numbers, error
    return numbers, None


def _outcome(call: Callable[[], T]) -> tuple[str | None, T | None]:
    """The cause of the failure, or the result."""
    try:
        return None, call()
    except VideoReadError as error:
        return error.cause, None


def test_every_kind_of_fault_is_covered() -> None:
    assert len(BROKEN_CASES) == 28
    assert len({case.name for case in BROKEN_CASES}) == len(BROKEN_CASES)
    covered = {case.cause for case in BROKEN_CASES}
    # Permission and pictureless streams have tests of their own; cameras and network streams live elsewhere.
    assert covered == {None, *READ_CAUSES} - {"permission", "no_frames", "unavailable"}


@pytest.mark.parametrize("case", BROKEN_CASES, ids=str)
@pytest.mark.parametrize("prefetch", [0, 3])
def test_sequential_reading(case: BrokenCase, prefetch: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = case.make(tmp_path)
    capfd.readouterr()
    numbers, error = _numbers(path, prefetch=prefetch)
    assert numbers == list(range(len(numbers))), "a frame is missing, doubled or damaged"
    if case.num_frames is not None:
        assert len(numbers) == case.num_frames
    assert (error and error.cause) == case.cause
    if error is not None:
        assert str(path) in str(error)
        assert case.cause in str(error)
        assert len(error.detail) > 20
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("case", BROKEN_CASES, ids=str)
def test_asking_for_times_never_gives_a_wrong_frame(
    case: BrokenCase, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = case.make(tmp_path)
    capfd.readouterr()
    for time_s in np.arange(0, NUM_FRAMES, 5) / 25 if case.num_frames != 1 else [0.0]:
        cause, clip = _outcome(lambda at_s=time_s: read_clip(path, [at_s]))
        assert cause in (None, case.cause)
        assert clip is None or number_of(clip.frames[0]) == round(time_s * 25)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("case", BROKEN_CASES, ids=str)
def test_probing_says_the_cause_or_the_facts(case: BrokenCase, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    cause, info = _outcome(lambda: probe(path))
    if info is None:
        assert cause == case.cause
    else:
        # What is cut off or damaged further on cannot be known from the first frame.
        assert case.cause in (None, "truncated", "corrupt")
        assert (info.width, info.height) == (96, 64)


@pytest.mark.parametrize("open_it", [probe, VideoReader, lambda path: next(read_frames(path))])
def test_no_permission(open_it: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "secret.mp4", Recipe(num_frames=2))

    def refuse(file: object, *arguments: object, **options: object) -> object:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(VideoReadError, match=r"secret\.mp4: permission: this user may not read it") as caught:
        open_it(path)
    assert caught.value.cause == "permission"


def test_a_damaged_stretch_in_a_long_file_leaves_both_sides_readable(tmp_path: Path) -> None:
    path = make_video(tmp_path / "long.mp4", Recipe(num_frames=300, key_frame_every=25))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = bytes(position * 167 & 255 for position in range(1500))
    path.write_bytes(data)
    numbers, error = _numbers(path)
    assert error is not None
    assert error.cause == "corrupt"
    assert error.time_s == pytest.approx((len(numbers) - 1) / 25)
    assert numbers == list(range(len(numbers)))
    assert 100 < len(numbers) < 200
    after = [number_of(frame.image) for frame in read_frames(path, start_s=9.0)]
    assert after == list(range(225, 300))


def test_a_stream_without_pictures(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mkv", Recipe(num_frames=3))
    path = tmp_path / "header_only.mkv"
    data = whole.read_bytes()
    cluster = data.index(b"\x1f\x43\xb6\x75")
    segment = data.index(b"\x18\x53\x80\x67") + 4
    head = bytearray(data[:cluster])
    head[segment : segment + 8] = b"\x01\xff\xff\xff\xff\xff\xff\xff"  # a recording of unknown length
    path.write_bytes(head)
    with pytest.raises(VideoReadError) as caught:
        next(read_frames(path))
    assert caught.value.cause in ("no_frames", "corrupt")


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
def test_whatever_is_damaged_nothing_goes_missing_silently(codec: str, tmp_path: Path) -> None:
    """Overwritten, cut off or cut out at random: what is read is the video's beginning, and all of it or an error."""
    sound = make_video(tmp_path / "sound.mp4", Recipe(codec=codec, container_options={"movflags": "+faststart"}))
    data = sound.read_bytes()
    expected_s = [frame.time_s for frame in read_frames(sound)]
    assert len(expected_s) == NUM_FRAMES
    num_failed = 0
    for seed in range(24):
        generator = np.random.default_rng(seed)
        damaged = bytearray(data)
        place, size = int(generator.integers(1, len(data))), int(generator.choice([1, 20, 300]))
        if seed % 3 == 0:
            damaged[place : place + size] = generator.bytes(min(size, len(data) - place))
        elif seed % 3 == 1:
            del damaged[place:]
        else:
            del damaged[place : place + size]
        path = tmp_path / f"damaged_{seed}.mp4"
        path.write_bytes(damaged)
        times_s, cause = [], None
        frames = read_frames(path)
        while cause is None:
            cause, frame = _outcome(lambda frames=frames: next(frames, None))
            if frame is None:
                break
            times_s.append(frame.time_s)
        assert times_s == expected_s[: len(times_s)]
        assert cause is not None or len(times_s) == NUM_FRAMES
        num_failed += cause is not None
    assert num_failed >= 16  # every cut is noticed


def test_a_recording_that_begins_between_key_frames(tmp_path: Path) -> None:
    whole = make_video(
        tmp_path / "whole.ts", Recipe(num_frames=60, key_frame_every=20, options={"bf": "0"}, b_frames=0)
    )
    data = whole.read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(data[: 188 * 3] + data[len(data) // 188 // 4 * 188 :])
    numbers, error = _numbers(path)
    assert error is None
    assert numbers == list(range(20, 60)) or numbers == list(range(40, 60))
    clip = read_clip(path, [0.0, 0.4])
    assert [number_of(image) for image in clip.frames] == [numbers[0], numbers[10]]


def test_an_open_group_at_the_start_begins_with_its_key_frame(tmp_path: Path) -> None:
    """Pictures in front of the first key frame need pictures that were cut away; no time is given to them."""
    options = {"x264-params": "open-gop=1:b-adapt=0:keyint=20:min-keyint=20:bframes=3"}
    whole = make_video(tmp_path / "whole.mkv", Recipe(num_frames=80, options=options, b_frames=3))
    path = tmp_path / "cut.mkv"
    run_ffmpeg(["-ss", "1.0", "-i", whole, "-c", "copy", "-copyts", path])
    frames = list(read_frames(path))
    numbers = [number_of(frame.image) for frame in frames]
    assert numbers == list(range(numbers[0], 80))
    assert frames[0].time_s == 0.0
    later_s = [frame.time_s for frame in frames][::7]
    assert [number_of(image) for image in read_clip(path, later_s).frames] == numbers[::7]
