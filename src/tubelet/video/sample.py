"""Which times to look at: pure functions from a duration to times.

Every function returns times in seconds inside [0, duration_s), increasing, for `read_clip` or
`VideoReader.frames_at`. Asking for times, not for frame numbers, is right on variable frame rate too. Where a window
does not fit into the video, a named edge policy says what happens:

    "hold"    times beyond the end become the last one inside, so its frame is repeated
    "wrap"    times beyond the end go on from the beginning (they then no longer increase)
    "error"   ValueError
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64

EdgePolicy = Literal["hold", "wrap", "error"]


def uniform_times(duration_s: float, num_frames: int) -> Float64[np.ndarray, " time"]:
    """The middles of `num_frames` equal parts of the video.

        |--x--|--x--|--x--|--x--|      num_frames = 4

    Args:
        duration_s: Length of the video.
        num_frames: At least 1.
    """
    _check(duration_s, num_frames=num_frames)
    return (np.arange(num_frames) + 0.5) * (duration_s / num_frames)


def dense_times(
    duration_s: float, num_frames: int, *, step_s: float, start_s: float | None = None, edge: EdgePolicy = "hold"
) -> Float64[np.ndarray, " time"]:
    """`num_frames` times that are `step_s` apart.

        |        x--x--x--x        |   start_s None: in the middle of the video

    Args:
        duration_s: Length of the video.
        num_frames: At least 1.
        step_s: Between two times; `stride / average_fps` for every `stride`-th frame.
        start_s: Of the first time; None centres the window, or begins at 0 when it does not fit.
        edge: What to do with times beyond the end.

    Raises:
        ValueError: An argument is out of range, or a time is beyond the end and `edge` is "error".
    """
    _check(duration_s, num_frames=num_frames, step_s=step_s)
    if start_s is None:
        start_s = max(0.0, (duration_s - num_frames * step_s) / 2)
    if not 0 <= start_s < duration_s:
        raise ValueError(f"start_s is {start_s:g}; it must lie in [0, {duration_s:g}), the length of the video")
    return _inside(start_s + np.arange(num_frames) * step_s, duration_s, edge)


def segment_times(
    duration_s: float, num_segments: int, *, generator: np.random.Generator | None = None
) -> Float64[np.ndarray, " time"]:
    """One time from each of `num_segments` equal parts: a random one for training, the middle one without a generator.

        |-x---|---x-|--x--|x----|      num_segments = 4

    Args:
        duration_s: Length of the video.
        num_segments: At least 1.
        generator: Where randomness comes from; None for the middles.

    Source:
        Wang et al., Temporal Segment Networks, ECCV 2016, section 3.2.
    """
    _check(duration_s, num_segments=num_segments)
    inside = np.full(num_segments, 0.5) if generator is None else generator.random(num_segments)
    return (np.arange(num_segments) + inside) * (duration_s / num_segments)


def multi_view_times(
    duration_s: float, num_views: int, num_frames: int, *, step_s: float, edge: EdgePolicy = "hold"
) -> Float64[np.ndarray, "views time"]:
    """Several dense windows, spread evenly: the first begins at 0, the last ends with the video.

        |x-x-x                     |
        |          x-x-x           |   num_views = 3, num_frames = 3
        |                     x-x-x|

    Args:
        duration_s: Length of the video.
        num_views: Windows, at least 1; a single one is centred.
        num_frames: In each window, at least 1.
        step_s: Between two times of a window.
        edge: What to do with times beyond the end when a window is longer than the video.

    Raises:
        ValueError: An argument is out of range, or a window does not fit and `edge` is "error".

    Source:
        Feichtenhofer et al., SlowFast Networks, ICCV 2019, section 4 (clips uniformly sampled along the temporal axis).
    """
    _check(duration_s, num_views=num_views, num_frames=num_frames, step_s=step_s)
    room_s = max(0.0, duration_s - num_frames * step_s)
    starts = np.linspace(0.0, room_s, num_views) if num_views > 1 else np.array([room_s / 2])
    return _inside(starts[:, None] + np.arange(num_frames) * step_s, duration_s, edge)


def _inside(
    times_s: Float64[np.ndarray, "*shape"], duration_s: float, edge: EdgePolicy
) -> Float64[np.ndarray, "*shape"]:
    if edge not in get_args(EdgePolicy):
        raise ValueError(f"edge is {edge!r}; allowed: {', '.join(get_args(EdgePolicy))}")
    is_beyond = times_s >= duration_s
    if not is_beyond.any():
        return times_s
    if edge == "error":
        raise ValueError(
            f"the window reaches to {float(times_s.max()):g} s and the video lasts {duration_s:g} s; "
            'take fewer or closer times, or the edge policy "hold" or "wrap"'
        )
    if edge == "wrap":
        wrapped: Float64[np.ndarray, "*shape"] = np.mod(times_s, duration_s)
        return wrapped
    held: Float64[np.ndarray, "*shape"] = np.where(is_beyond, float(times_s[~is_beyond].max()), times_s)
    return held


def _check(duration_s: float, step_s: float = 1.0, **counts: int) -> None:
    if not 0 < duration_s < np.inf:
        raise ValueError(f"duration_s is {duration_s:g}; it must be positive and finite")
    if not 0 < step_s < np.inf:
        raise ValueError(f"step_s is {step_s:g}; it must be positive and finite")
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}; it must be at least 1")
