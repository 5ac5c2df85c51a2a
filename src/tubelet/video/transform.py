"""Changes to the pictures of a clip, the same for all of them: sizes, crops, mirror, normalisation.

All functions take and return `uint8 (time, height, width, 3)` but `normalised`, whose result goes into a network.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

Frames = UInt8[np.ndarray, "time height width 3"]
NewFrames = UInt8[np.ndarray, "time new_height new_width 3"]

# Mean and standard deviation of ImageNet's pictures, red green blue, on the scale 0..1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def resized_short_side(frames: Frames, short_side: int) -> NewFrames:
    """The shorter side brought to `short_side` pixels and the longer one in proportion.

    Shrinking averages over the pixels that fall together; enlarging interpolates linearly.
    """
    height, width = frames.shape[1:3]
    if short_side < 1:
        raise ValueError(f"short_side is {short_side}; it must be at least 1 pixel")
    scale = short_side / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return frames
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.stack([cv2.resize(np.ascontiguousarray(image), size, interpolation=how) for image in frames])


def crop(frames: Frames, *, top: int, left: int, height: int, width: int) -> NewFrames:
    """A rectangle of every picture; a view, not a copy.

    Raises:
        ValueError: The rectangle is empty or reaches beyond the picture.
    """
    full_height, full_width = frames.shape[1:3]
    if not (0 <= top < top + height <= full_height and 0 <= left < left + width <= full_width):
        raise ValueError(
            f"the crop of {width}x{height} pixels at left {left}, top {top} does not lie in the picture of "
            f"{full_width}x{full_height}; resize first or crop less"
        )
    return frames[:, top : top + height, left : left + width]


def centre_crop(frames: Frames, size: int) -> NewFrames:
    """The square of `size` pixels in the middle."""
    height, width = frames.shape[1:3]
    return crop(frames, top=(height - size) // 2, left=(width - size) // 2, height=size, width=size)


def three_crops(frames: Frames, size: int) -> tuple[NewFrames, NewFrames, NewFrames]:
    """Three squares of `size` pixels along the longer side: its beginning, its middle, its end."""
    height, width = frames.shape[1:3]
    middle_top, middle_left = (height - size) // 2, (width - size) // 2
    if width >= height:
        places = [(middle_top, left) for left in (0, middle_left, width - size)]
    else:
        places = [(top, middle_left) for top in (0, middle_top, height - size)]
    first, second, third = (crop(frames, top=top, left=left, height=size, width=size) for top, left in places)
    return first, second, third


def random_crop(frames: Frames, size: int, generator: np.random.Generator) -> NewFrames:
    """A square of `size` pixels at a random place, the same in every picture."""
    height, width = frames.shape[1:3]
    if size > min(height, width):
        raise ValueError(f"size is {size}; pictures of {width}x{height} hold at most {min(height, width)}")
    top, left = (int(generator.integers(0, room, endpoint=True)) for room in (height - size, width - size))
    return crop(frames, top=top, left=left, height=size, width=size)


def mirrored(frames: Frames) -> Frames:
    """Left and right exchanged; a view, not a copy. Labels that name a side must be exchanged with it."""
    return frames[:, :, ::-1]


def normalised(
    frames: Frames,
    *,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
    axes: Literal["channels_first", "channels_last"] = "channels_first",
) -> Float32[np.ndarray, "a b c d"]:
    """(value / 255 - mean) / std for each colour.

    Args:
        frames: RGB.
        mean: Of red, green and blue on the scale 0..1.
        std: Likewise.
        axes: "channels_first" gives (channels, time, height, width), "channels_last" keeps (time, height, width,
            channels).
    """
    scale = 1.0 / (255.0 * np.asarray(std, dtype=np.float32))
    offset = np.asarray(mean, dtype=np.float32) / np.asarray(std, dtype=np.float32)
    values = frames * scale.astype(np.float32) - offset
    return np.ascontiguousarray(values.transpose(3, 0, 1, 2)) if axes == "channels_first" else values
