"""Which pictures of a clip a network sees: times and size, for training and for evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from tubelet.video import dense_times, multi_view_times, segment_times, uniform_times


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What a network is given of a clip.

    Attributes:
        num_frames: Pictures of one view.
        step_s: Seconds between two pictures; None spreads them over the whole clip.
        size_px: Side of the square that the network sees.
        fit: How a picture becomes a square: "crop" brings its shorter side to `size_px` and cuts, "stretch" changes its
            shape and keeps everything.
    """

    num_frames: int = 16
    step_s: float | None = None
    size_px: int = 224
    fit: Literal["crop", "stretch"] = "crop"

    def __post_init__(self) -> None:
        for name in ("num_frames", "size_px"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        if self.step_s is not None and not 0 < self.step_s < float("inf"):
            raise ValueError(f"step_s is {self.step_s:g}; allowed: above 0, or none to spread over the clip")

    def training_times(self, duration_s: float, generator: np.random.Generator) -> Float64[np.ndarray, " time"]:
        """A random view: one moment of each of `num_frames` equal parts, or a window at a random place.

        Args:
            duration_s: Of the clip; times are seconds from its beginning.
            generator: Source of chance.
        """
        if self.step_s is None:
            return segment_times(duration_s, self.num_frames, generator=generator)
        room_s = max(0.0, duration_s - self.num_frames * self.step_s)
        start_s = float(generator.uniform(0.0, room_s)) if room_s > 0 else 0.0
        return dense_times(duration_s, self.num_frames, step_s=self.step_s, start_s=start_s)

    def view_times(self, duration_s: float, num_views: int = 1) -> Float64[np.ndarray, "views time"]:
        """Views for evaluation, the same every time.

        Windows are spread evenly over the clip. Where the pictures of a view cover the whole clip, views are shifted
        against each other within the equal parts.
        """
        if self.step_s is not None:
            return multi_view_times(duration_s, num_views, self.num_frames, step_s=self.step_s)
        middle = uniform_times(duration_s, self.num_frames)
        part_s = duration_s / self.num_frames
        shifts = (np.arange(num_views) + 0.5) / num_views - 0.5
        times: Float64[np.ndarray, "views time"] = middle[None] + shifts[:, None] * part_s
        return times
