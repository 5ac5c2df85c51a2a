"""The pictures of a labelled clip that a network is given: read from its file at the size that is needed, once.

A clip may be a part of a file; times are then counted from where the part begins. Where a clip has fewer pictures than
are asked for, some are repeated: a picture stays on display until the next one.

Workers import this module and what it needs, and nothing larger: torch stays out of it.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from tubelet.datasets.array_store import ArrayStore
from tubelet.datasets.labelled import LabelledClip
from tubelet.datasets.order import Item
from tubelet.datasets.sampling import Sampling
from tubelet.errors import DatasetError, VideoReadError
from tubelet.video import VideoReader
from tubelet.video.augment import ClipAugmentation, augment
from tubelet.video.probing import claimed_duration_s
from tubelet.video.transform import centre_crop, three_crops

# Annotations are rounded, and so are the lengths that files claim.
END_SLACK_S = 0.1
# What is cut out of a picture is smaller than it, so pictures are read somewhat larger than the network sees them: 256
# pixels for 224, as is usual.
_MARGIN = 8 / 7
# Raise it when the same file gives other pictures than before.
_DECODING_VERSION = 1

View = UInt8[np.ndarray, "time size size 3"]
Views = UInt8[np.ndarray, "views time size size 3"]
Times = Float64[np.ndarray, "views time"]


@dataclass(frozen=True, kw_only=True)
class DecodedCache:
    """Pictures that were read before, on disk, so that a file is decoded a few times and not once an epoch.

    Attributes:
        folder: Made where it is missing.
        max_bytes: More is not kept; see `ArrayStore`.
        views_per_clip: Different random views of each clip in training, which take turns from epoch to epoch. They are
            cut and changed anew each time; only where in time they lie is drawn from so few.
    """

    folder: str
    max_bytes: int
    views_per_clip: int = 4

    def __post_init__(self) -> None:
        for name in ("max_bytes", "views_per_clip"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")


def read_random_view(
    clip: LabelledClip,
    sampling: Sampling,
    generator: np.random.Generator,
    *,
    augmentation: ClipAugmentation | None = None,
    cache: DecodedCache | None = None,
    view: int = 0,
) -> View:
    """A view for training: random times, cut out and changed at random.

    Args:
        clip: What to read.
        sampling: How many pictures, how far apart, how large.
        generator: Source of all chance.
        augmentation: What may happen to the pictures; None takes the middle of each.
        cache: Where pictures are kept that were read before; None reads the file each time.
        view: With a cache, which of its `views_per_clip` random views of the clip to take.

    Raises:
        VideoReadError: The file cannot be read.
        DatasetError: The clip is not within its file.
    """
    decoded_px = sampling.size_px
    if augmentation is not None and augmentation.scale != (1.0, 1.0):
        decoded_px = round(sampling.size_px * _MARGIN)
    if cache is None:
        times_from = generator
        kept_as = ""
    else:
        kept_as = f"random view {view} of {clip.id}"
        times_from = np.random.default_rng(list(hashlib.sha256(kept_as.encode()).digest()))
    frames = _read(
        clip,
        sampling,
        lambda duration_s: sampling.training_times(duration_s, times_from)[None],
        decoded_px,
        cache,
        kept_as,
    )[0]
    if augmentation is not None:
        return augment(frames, augmentation, generator, size_px=sampling.size_px)
    return centre_crop(frames, sampling.size_px)


def read_views(
    clip: LabelledClip,
    sampling: Sampling,
    *,
    num_views: int = 1,
    num_crops: Literal[1, 3] = 1,
    times_s: Times | None = None,
    cache: DecodedCache | None = None,
) -> Views:
    """Views for evaluation, the same every time; the file is decoded once for all of them.

    Args:
        clip: What to read.
        sampling: How many pictures in each view, how far apart, how large.
        num_views: Places in time.
        num_crops: 1 takes the middle of each picture, 3 the two ends of its longer side as well.
        times_s: Other times than those of the sampling, seconds from the beginning of the clip; `num_views` is then
            not used.
        cache: Where pictures are kept that were read before; None reads the file.

    Returns:
        All crops of the first place in time, then those of the next.

    Raises:
        VideoReadError: The file cannot be read.
        DatasetError: The clip is not within its file.
        ValueError: Three crops are asked for of pictures that are not cut, or a number is out of range.
    """
    if num_views < 1 or num_crops not in (1, 3):
        raise ValueError(f"num_views is {num_views} and num_crops {num_crops}; allowed: 1 or more, and 1 or 3")
    if num_crops == 3 and sampling.fit == "stretch":
        raise ValueError('num_crops is 3 with fit="stretch", which shows the whole picture; take fit="crop" or 1 crop')

    def times_at(duration_s: float) -> Times:
        return sampling.view_times(duration_s, num_views) if times_s is None else times_s

    kept_as = f"{num_views} views" if times_s is None else f"times {times_s.tolist()}"
    decoded = _read(clip, sampling, times_at, sampling.size_px, cache, kept_as)
    cut = three_crops if num_crops == 3 else lambda frames, size: (centre_crop(frames, size),)
    return np.stack([part for frames in decoded for part in cut(frames, sampling.size_px)])


def clip_duration_s(clip: LabelledClip) -> float:
    """Length of a clip; nothing is decoded where its file states its own.

    Raises:
        VideoReadError: The file cannot be read.
        DatasetError: The clip is not within its file.
    """
    with _Reader(clip.path, num_threads=1) as reader:
        return _span_s(clip, reader.duration_s)[1]


def read_task(
    sampling: Sampling,
    seed: int,
    augmentation: ClipAugmentation | None,
    cache: DecodedCache | None,
    task: tuple[LabelledClip, Item, int],
) -> View:
    """`read_random_view` of a clip, an item and the number of the view, for a worker process."""
    clip, item, view = task
    return read_random_view(clip, sampling, item.generator(seed), augmentation=augmentation, cache=cache, view=view)


def read_views_task(
    sampling: Sampling, num_views: int, num_crops: Literal[1, 3], cache: DecodedCache | None, clip: LabelledClip
) -> tuple[Views, float]:
    """`read_views` of a clip, and its length, for a worker process."""
    views = read_views(clip, sampling, num_views=num_views, num_crops=num_crops, cache=cache)
    return views, clip_duration_s(clip)


def _read(
    clip: LabelledClip,
    sampling: Sampling,
    times_at: Callable[[float], Times],
    short_side: int,
    cache: DecodedCache | None,
    kept_as: str,
) -> UInt8[np.ndarray, "views time height width 3"]:
    """Whole pictures at the times that `times_at` finds for the length of the clip."""
    if cache is None:
        return _decoded(clip, sampling, times_at, short_side)
    store = ArrayStore(cache.folder, max_bytes=cache.max_bytes)
    key = _key(clip, sampling, short_side, kept_as)
    frames = store.get(key)
    if frames is None:
        frames = _decoded(clip, sampling, times_at, short_side)
        store.put(key, frames)
    return frames


def _key(clip: LabelledClip, sampling: Sampling, short_side: int, kept_as: str) -> str:
    """Names what is kept by all it depends on; a file by its place, size and time of change."""
    try:
        facts = os.stat(clip.path)
    except FileNotFoundError as error:
        raise VideoReadError(clip.path, "missing", "there is no such file; check the path") from error
    file = (os.path.abspath(clip.path), facts.st_size, facts.st_mtime_ns)
    pictures = (sampling.num_frames, sampling.step_s, sampling.fit, short_side, kept_as, _DECODING_VERSION)
    return hashlib.sha256(repr((file, clip.start_s, clip.end_s, pictures)).encode()).hexdigest()


def _decoded(
    clip: LabelledClip, sampling: Sampling, times_at: Callable[[float], Times], short_side: int
) -> UInt8[np.ndarray, "views time height width 3"]:
    with _Reader(clip.path, num_threads=1) as reader:
        start_s, duration_s = _span_s(clip, reader.duration_s)
        times_s = start_s + times_at(duration_s)
        frames = reader.frames_at(times_s.ravel(), short_side=short_side).frames
    if sampling.fit == "stretch":
        size = (short_side, short_side)
        frames = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in frames])
    return frames.reshape(*times_s.shape, *frames.shape[1:])


class _Reader(VideoReader):
    @property
    def duration_s(self) -> float:
        """Length of the picture stream, where the file states it without decoding anything: opening costs less."""
        claimed_s = claimed_duration_s(self._file)
        return self.info.duration_s if claimed_s is None else claimed_s


def _span_s(clip: LabelledClip, file_s: float) -> tuple[float, float]:
    """Begin and length of a clip within a file of a given length."""
    end_s = file_s if clip.end_s is None else clip.end_s
    if not 0 < file_s < math.inf:
        raise DatasetError(f"{clip.path}: the file says that it lasts {file_s:g} s; record or export it again")
    if clip.start_s >= file_s or end_s > file_s + END_SLACK_S:
        raise DatasetError(
            f"{clip.id}: the clip is from {clip.start_s:g} to {end_s:g} s, but its file lasts {file_s:.3f} s; correct "
            "the annotation, or get the whole file"
        )
    return clip.start_s, min(end_s, file_s) - clip.start_s
