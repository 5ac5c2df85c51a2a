"""Moving shapes with known answers: what moves where, from when to when, in which box. Seeded, made in no time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8

from tubelet.metrics.timeline import LabelledInterval
from tubelet.video import Clip, VideoWriter

MOTIONS = ("still", "left", "right", "up", "down", "circle", "grow", "blink")
_SHAPES = ("disc", "square", "triangle")
_BLINKS_PER_S = 2.0


@dataclass(frozen=True, kw_only=True)
class SyntheticVideo:
    """Pictures of one moving shape, and the truth about it.

    Attributes:
        frames: RGB.
        timestamps_s: When each picture is first displayed.
        end_s: When the last picture ends.
        segments: Which motion, from when to when.
        boxes_px: The smallest box round the shape in each picture; NaN where it is not to be seen.
        is_visible: Whether the shape is to be seen in each picture.
        seed: Of shape, colours, path and noise.
    """

    frames: UInt8[np.ndarray, "time height width 3"]
    timestamps_s: Float64[np.ndarray, " time"]
    end_s: float
    segments: tuple[LabelledInterval, ...]
    boxes_px: Float[np.ndarray, "time 4"]
    is_visible: Bool[np.ndarray, " time"]
    seed: int

    def __repr__(self) -> str:
        labels = ", ".join(segment.label for segment in self.segments)
        return f"SyntheticVideo({labels}; {len(self.frames)} frames, {self.end_s:g} s, seed={self.seed})"

    def clip(self) -> Clip:
        """The pictures as the video room passes them on."""
        return Clip(self.frames, self.timestamps_s, f"synthetic:{self.seed}")


@dataclass(frozen=True)
class _Look:
    """What stays the same while the shape moves.

    Attributes:
        shape: One of `_SHAPES`.
        radius: Of the shape, as a share of the picture's shorter side.
        colour: RGB of the shape.
        background: RGB of the top left and the bottom right corner.
        lane: 0 to 1: where the path lies across its direction.
        phase: Where a circle begins, in turns.
        noise: Standard deviation of the pixel noise, in grey levels.
    """

    shape: str
    radius: float
    colour: Float64[np.ndarray, "3"]
    background: Float64[np.ndarray, "2 3"]
    lane: float
    phase: float
    noise: float


def moving_shape(
    motions: Sequence[str],
    *,
    seed: int,
    seconds_each: float = 2.0,
    fps: float = 15.0,
    width: int = 96,
    height: int = 72,
    noise: float = 4.0,
) -> SyntheticVideo:
    """A shape that goes through some motions, one after the other.

    Args:
        motions: Of `MOTIONS`, at least one.
        seed: The same seed gives the same bytes.
        seconds_each: How long each motion lasts.
        fps: Pictures per second.
        width: Of the pictures, at least 16.
        height: Of the pictures, at least 16.
        noise: Standard deviation of the pixel noise, in grey levels; 0 for none.

    Raises:
        ValueError: A motion is unknown, or a size is too small.
    """
    unknown = [motion for motion in motions if motion not in MOTIONS]
    if unknown or not motions:
        raise ValueError(f"motions are {list(motions)}; allowed: one or more of {', '.join(MOTIONS)}")
    if min(width, height) < 16 or seconds_each * fps < 1:
        raise ValueError(
            f"size is {width} x {height} with {seconds_each * fps:g} pictures per motion; allowed: 16 x 16 or more, "
            "1 picture or more"
        )
    generator = np.random.default_rng(seed)
    look = _new_look(generator, noise)
    backdrop = _backdrop(look, width, height)
    num_frames = round(len(motions) * seconds_each * fps)
    times_s = np.arange(num_frames) / fps
    frames = np.empty((num_frames, height, width, 3), dtype=np.uint8)
    boxes = np.full((num_frames, 4), np.nan)
    for index, time_s in enumerate(times_s):
        # A hair added, so that a picture at a boundary belongs to the motion that begins there.
        which = min(int(time_s / seconds_each + 1e-9), len(motions) - 1)
        mask = _mask(look, motions[which], time_s - which * seconds_each, seconds_each, (height, width))
        picture = np.where(mask[..., None], look.colour, backdrop)
        picture = picture + generator.normal(0.0, 1.0, picture.shape) * look.noise
        frames[index] = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            boxes[index] = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    segments = tuple(
        LabelledInterval(index * seconds_each, (index + 1) * seconds_each, motion)
        for index, motion in enumerate(motions)
    )
    return SyntheticVideo(
        frames=frames,
        timestamps_s=times_s,
        end_s=num_frames / fps,
        segments=segments,
        boxes_px=boxes,
        is_visible=~np.isnan(boxes[:, 0]),
        seed=seed,
    )


def write_video(video: SyntheticVideo, path: str | os.PathLike[str]) -> None:
    """Write the pictures to an .mp4 file; lossy, so pixels come back nearly as they were and times exactly."""
    _, height, width, _ = video.frames.shape
    fps = len(video.frames) / video.end_s
    with VideoWriter(path, width=width, height=height, fps=fps, quality=18) as writer:
        for image, time_s in zip(video.frames, video.timestamps_s, strict=True):
            writer.write(image, float(time_s))


def _new_look(generator: np.random.Generator, noise: float) -> _Look:
    background = generator.uniform(30, 110, size=(2, 3))
    return _Look(
        shape=_SHAPES[generator.integers(len(_SHAPES))],
        radius=generator.uniform(0.10, 0.15),
        colour=generator.uniform(150, 250, size=3),  # always brighter than any background
        background=background,
        lane=generator.uniform(0.3, 0.7),
        phase=generator.uniform(),
        noise=noise,
    )


def _backdrop(look: _Look, width: int, height: int) -> Float64[np.ndarray, "height width 3"]:
    """A slope of colour from one corner to the other."""
    rows, columns = np.linspace(0.0, 0.5, height)[:, None], np.linspace(0.0, 0.5, width)[None, :]
    share = (rows + columns)[..., None]
    first, last = look.background
    return np.asarray(first * (1.0 - share) + last * share)


def _mask(
    look: _Look, motion: str, since_s: float, lasts_s: float, size: tuple[int, int]
) -> Bool[np.ndarray, "height width"]:
    """Which pixels the shape covers `since_s` after its motion began."""
    height, width = size
    done = since_s / lasts_s
    x, y, radius = 0.5, look.lane, look.radius
    sweep = 0.2 + 0.6 * done
    if motion in ("left", "right"):
        x, y = (sweep if motion == "right" else 1.0 - sweep), look.lane
    elif motion in ("up", "down"):
        x, y = look.lane, (sweep if motion == "down" else 1.0 - sweep)
    elif motion == "circle":
        turn = 2 * np.pi * (look.phase + done)
        x, y = 0.5 + 0.25 * np.cos(turn), 0.5 + 0.25 * np.sin(turn)
    elif motion == "grow":
        y, radius = 0.5, look.radius * (1.0 + 1.5 * done)
    elif motion == "blink" and (since_s * _BLINKS_PER_S) % 1.0 >= 0.5:
        return np.zeros(size, dtype=bool)
    reach = radius * min(size)
    across = np.arange(width)[None, :] + 0.5 - x * width
    down = np.arange(height)[:, None] + 0.5 - y * height
    if look.shape == "disc":
        return np.asarray(across**2 + down**2 <= reach**2)
    if look.shape == "square":
        return np.asarray(np.maximum(np.abs(across), np.abs(down)) <= reach)
    return np.asarray((down <= reach) & (np.abs(across) <= (down + reach) / 2))
