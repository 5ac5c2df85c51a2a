"""What reading returns: one picture with its time, or several with theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture.

    Attributes:
        image: RGB in display orientation. Rows may be padded in memory (the array is a view of the decoder's own
            picture, not a copy), pixels within a row are contiguous.
        time_s: Seconds from the first displayed frame.
        index: Number of frames that the same read gave before this one; the frame's number in the file when the read
            began at 0 s.
    """

    image: UInt8[np.ndarray, "height width 3"]
    time_s: float
    index: int

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"Frame({width}x{height}, time_s={self.time_s:.3f}, index={self.index})"


@dataclass(frozen=True, slots=True)
class Clip:
    """Several pictures of one source, in the order they were asked for.

    Attributes:
        frames: RGB in display orientation.
        timestamps_s: When each picture is first displayed, seconds from the first displayed frame of the source.
        source: As the user named it.

    Raises:
        ValueError: The arrays do not fit together.
    """

    frames: UInt8[np.ndarray, "time height width 3"]
    timestamps_s: Float64[np.ndarray, " time"]
    source: str

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8:
            raise ValueError(
                f"frames is {self.frames.dtype} {self.frames.shape}; it must be uint8 (time, height, width, 3)"
            )
        if self.timestamps_s.shape != self.frames.shape[:1] or self.timestamps_s.dtype != np.float64:
            raise ValueError(
                f"timestamps_s is {self.timestamps_s.dtype} {self.timestamps_s.shape}; it must be float64 with one "
                f"time for each of the {len(self.frames)} frames"
            )
        if not np.all(np.isfinite(self.timestamps_s)):
            raise ValueError("timestamps_s holds values that are not finite; every frame needs a time in seconds")

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        return f"Clip(frames {self.frames.shape}, source={self.source!r})"
