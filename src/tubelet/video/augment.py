"""Random changes to the pictures of a clip, the same for all of them, so that nothing flickers that did not before.

    frames uint8 --> random resized crop --> mirror --> colour --> RandAugment --> random erasing --> uint8

What is drawn, is drawn once for the clip, from one generator: the same generator state gives the same clip. Statistics
that an operation needs (the mean, the histogram) are those of the whole clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from tubelet.video.transform import IMAGENET_MEAN, Frames, NewFrames, crop

# The strongest magnitude; RandAugment's own scale reaches to 10 with the ranges below.
MAX_MAGNITUDE = 10.0
# What shows where a picture was moved away: the mean colour, which is 0 for the network.
_FILL = tuple(round(255 * mean) for mean in IMAGENET_MEAN)
# Brightness of a colour, ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114])
_TRIES = 10

Strength = float
Operation = Callable[[Frames, Strength, np.random.Generator], Frames]


@dataclass(frozen=True, kw_only=True)
class ClipAugmentation:
    """What happens to a clip in training.

    Attributes:
        scale: Least and largest share of the picture's area that is cut out; (1, 1) with `aspect` (1, 1) cuts the
            largest square, at a random place.
        aspect: Least and largest ratio of width to height of what is cut out and brought to a square.
        mirror: Exchange left and right in half of the clips. Off where a class names a side ("turn left").
        num_operations: Of RandAugment, drawn one after the other; 0 for none.
        magnitude: Of RandAugment's operations, 0 (nothing happens) to 10.
        erasing_probability: Share of clips in which a rectangle is replaced by noise.
        brightness, contrast, saturation: Each is multiplied by a factor within 1 plus or minus this; 0 leaves it.
        hue: Colours are turned by at most this share of the full circle, 0 to 0.5.

    Raises:
        ValueError: A value is out of its range.
    """

    scale: tuple[float, float] = (0.5, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    mirror: bool = True
    num_operations: int = 0
    magnitude: float = 7.0
    erasing_probability: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        limits = {"scale": (0.0, 1.0), "aspect": (0.0, math.inf)}
        for name, (least, most) in limits.items():
            low, high = getattr(self, name)
            if not least < low <= high <= most or math.isinf(high):
                raise ValueError(f"{name} is ({low:g}, {high:g}); needed: {least:g} < lowest <= highest <= {most:g}")
        ends = {"magnitude": MAX_MAGNITUDE, "hue": 0.5, "num_operations": math.inf}
        for name in (
            "num_operations",
            "magnitude",
            "erasing_probability",
            "brightness",
            "contrast",
            "saturation",
            "hue",
        ):
            if not 0 <= getattr(self, name) <= ends.get(name, 1.0):
                raise ValueError(f"{name} is {getattr(self, name):g}; allowed: 0 to {ends.get(name, 1.0):g}")


def augment(
    frames: Frames, augmentation: ClipAugmentation, generator: np.random.Generator, *, size_px: int
) -> NewFrames:
    """A changed copy of a clip, `size_px` high and wide.

    Args:
        frames: The clip, of any size.
        augmentation: What may happen, and how strongly.
        generator: Source of all chance.
        size_px: Side of the result.
    """
    top, left, height, width = random_rectangle(frames.shape[1], frames.shape[2], augmentation, generator)
    is_mirrored = augmentation.mirror and generator.random() < 0.5
    frames = _resized(crop(frames, top=top, left=left, height=height, width=width), size_px, is_mirrored)
    frames = jittered(frames, augmentation, generator)
    if augmentation.num_operations and augmentation.magnitude > 0:
        frames = rand_augmented(frames, augmentation.num_operations, augmentation.magnitude, generator)
    if augmentation.erasing_probability and generator.random() < augmentation.erasing_probability:
        erase_rectangle(frames, generator)
    return frames


def random_rectangle(
    height: int, width: int, augmentation: ClipAugmentation, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """Top, left, height and width of what is cut out.

    Source:
        Szegedy et al., Going deeper with convolutions, CVPR 2015, section 6: an area between two shares of the
        picture's, the ratio of sides between 3/4 and 4/3 (here drawn evenly on a logarithmic scale, as is usual).

    Differs:
        Where no rectangle fits in 10 tries, the largest square is taken, at a random place instead of in the middle.
    """
    for _ in range(_TRIES):
        area = height * width * generator.uniform(*augmentation.scale)
        ratio = math.exp(generator.uniform(math.log(augmentation.aspect[0]), math.log(augmentation.aspect[1])))
        cut_width, cut_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < cut_width <= width and 0 < cut_height <= height:
            break
    else:
        cut_width = cut_height = min(height, width)
    top, left = (int(generator.integers(0, room, endpoint=True)) for room in (height - cut_height, width - cut_width))
    return top, left, cut_height, cut_width


def _resized(frames: Frames, size_px: int, is_mirrored: bool) -> NewFrames:
    """A square of every picture, whatever its shape; always a copy."""
    height, width = frames.shape[1:3]
    out = np.empty((len(frames), size_px, size_px, 3), dtype=np.uint8)
    how = cv2.INTER_AREA if height * width > size_px * size_px else cv2.INTER_LINEAR
    for image, target in zip(frames, out, strict=True):
        cv2.resize(image, (size_px, size_px), dst=target, interpolation=how)
        if is_mirrored:
            cv2.flip(target, 1, dst=target)
    return out


def jittered(frames: Frames, augmentation: ClipAugmentation, generator: np.random.Generator) -> Frames:
    """Brightness, contrast, saturation and hue changed by random factors: one linear map of the colours.

    Source:
        Howard, Some improvements on deep convolutional neural network based image classification, 2013.

    Differs:
        The changes are always applied in this order, and rounded once. Hue is turned in the YIQ plane.
    """
    names = ("brightness", "contrast", "saturation")
    factors = [1 + getattr(augmentation, name) * generator.uniform(-1, 1) for name in names]
    turn = 2 * math.pi * augmentation.hue * generator.uniform(-1, 1)
    if factors == [1, 1, 1] and turn == 0:
        return frames
    brightness, contrast, saturation = factors
    colours = _hue_turned(turn) @ (saturation * np.eye(3) + (1 - saturation) * _LUMA)
    grey = (1 - contrast) * brightness * _mean_luma(frames) if contrast != 1 else 0.0
    return _mapped(frames, brightness * contrast * colours, grey)


def _hue_turned(turn_rad: float) -> Float64[np.ndarray, "3 3"]:
    to_yiq = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    cosine, sine = math.cos(turn_rad), math.sin(turn_rad)
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    turned: Float64[np.ndarray, "3 3"] = np.linalg.inv(to_yiq) @ turn @ to_yiq
    return turned


def _mapped(frames: Frames, colours: Float64[np.ndarray, "3 3"], offset: float) -> Frames:
    """Every pixel's colour times a matrix, plus a number, rounded and kept within 0..255."""
    matrix = np.concatenate([colours, np.full((3, 1), offset)], axis=1)
    mapped: Frames = cv2.transform(_tall(frames), matrix).reshape(frames.shape)
    return mapped


def _tall(frames: Frames) -> UInt8[np.ndarray, "rows width 3"]:
    """All pictures on top of each other, for what does not care where a pixel is."""
    return np.ascontiguousarray(frames).reshape(-1, frames.shape[2], 3)


def _mean_luma(frames: Frames) -> float:
    return float(np.dot(cv2.mean(_tall(frames))[:3], _LUMA))


def erase_rectangle(frames: Frames, generator: np.random.Generator) -> None:
    """Replace a random rectangle by noise, in place: the same noise at the same place in all pictures.

    Source:
        Zhong et al., Random Erasing Data Augmentation, AAAI 2020: 2 % to 40 % of the area, ratio of sides 0.3 to 1/0.3,
        each pixel a random value.

    Differs:
        At most a third of the area, as training recipes for video transformers have it.
    """
    height, width = frames.shape[1:3]
    shape = ClipAugmentation(scale=(0.02, 1 / 3), aspect=(0.3, 1 / 0.3))
    top, left, cut_height, cut_width = random_rectangle(height, width, shape, generator)
    noise = generator.integers(0, 256, (cut_height, cut_width, 3), dtype=np.uint8)
    frames[:, top : top + cut_height, left : left + cut_width] = noise


def rand_augmented(frames: Frames, num_operations: int, magnitude: float, generator: np.random.Generator) -> Frames:
    """Random operations one after the other, all of the same magnitude.

    Args:
        frames: The clip.
        num_operations: How many are drawn; the same one may come again.
        magnitude: 0 to 10; each operation has its own range, see `OPERATIONS`.
        generator: Which operations, and in which direction.

    Source:
        Cubuk et al., RandAugment, NeurIPS 2020, with the 14 operations of its section 3 and the ranges of its reference
        code at magnitude 10.

    Differs:
        Histograms and means are those of the whole clip. What is moved in is the mean colour. Contrast and its kin go
        up as well as down, as later recipes have it ("increasing").
    """
    names = sorted(OPERATIONS)
    for number in generator.integers(0, len(names), num_operations).tolist():
        frames = OPERATIONS[names[number]](frames, magnitude / MAX_MAGNITUDE, generator)
    return frames


def _signed(strength: Strength, generator: np.random.Generator) -> float:
    return strength if generator.random() < 0.5 else -strength


def _identity(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:  # noqa: ARG001
    return frames


def _auto_contrast(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:  # noqa: ARG001
    """Each colour stretched to 0..255. Has no strength."""
    tables = []
    for channel in range(3):
        used = np.flatnonzero(_histogram(frames, channel))
        low, high = int(used[0]), int(used[-1])
        stretched = (np.arange(256) - low) * (255 / max(1, high - low)) if high > low else np.arange(256.0)
        tables.append(np.clip(stretched, 0, 255))
    return _looked_up(frames, np.stack(tables, axis=-1))


def _equalize(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:  # noqa: ARG001
    """Each colour spread so that all values are equally frequent. Has no strength."""
    tables = []
    for channel in range(3):
        rank = np.cumsum(_histogram(frames, channel))
        first = rank[rank > 0][0]
        spread = (rank - first) * (255 / (rank[-1] - first)) if rank[-1] > first else np.arange(256.0)
        tables.append(np.clip(spread, 0, 255))
    return _looked_up(frames, np.stack(tables, axis=-1))


def _histogram(frames: Frames, channel: int) -> Float64[np.ndarray, "256"]:
    return cv2.calcHist([_tall(frames)], [channel], None, [256], [0, 256]).astype(np.float64).ravel()


def _looked_up(frames: Frames, table: Float64[np.ndarray, "256 channels"]) -> Frames:
    table = np.broadcast_to(np.rint(table).astype(np.uint8), (256, 3))
    out: Frames = cv2.LUT(_tall(frames), np.ascontiguousarray(table).reshape(1, 256, 3)).reshape(frames.shape)
    return out


def _posterize(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:  # noqa: ARG001
    """Only the upper bits kept: 8 down to 4."""
    num_dropped = round(4 * strength)
    return frames & np.uint8((0xFF << num_dropped) & 0xFF)


def _solarize(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:  # noqa: ARG001
    """Values from a threshold on inverted: from 256 (none) down to 0 (all)."""
    values = np.arange(256)
    table = np.where(values >= round(256 * (1 - strength)), 255 - values, values)
    return _looked_up(frames, table.astype(np.float64)[:, None])


def _brightness(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:
    """Times 1 plus or minus 0.9."""
    return _mapped(frames, (1 + _signed(0.9 * strength, generator)) * np.eye(3), 0.0)


def _contrast(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:
    """Distance from the clip's mean grey times 1 plus or minus 0.9."""
    factor = 1 + _signed(0.9 * strength, generator)
    return _mapped(frames, factor * np.eye(3), (1 - factor) * _mean_luma(frames))


def _colour(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:
    """Distance from each pixel's grey times 1 plus or minus 0.9."""
    factor = 1 + _signed(0.9 * strength, generator)
    return _mapped(frames, factor * np.eye(3) + (1 - factor) * _LUMA, 0.0)


def _sharpness(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:
    """Distance from the smoothed picture times 1 plus or minus 0.9."""
    factor = 1 + _signed(0.9 * strength, generator)
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernel = (1 - factor) * kernel
    kernel[1, 1] += factor
    return _each(frames, lambda image: cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE))


def _rotate(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:
    """By at most 30 degrees either way about the middle."""
    height, width = frames.shape[1:3]
    middle = ((width - 1) / 2, (height - 1) / 2)
    return _warped(frames, cv2.getRotationMatrix2D(middle, _signed(30 * strength, generator), 1.0))


def _shear_x(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:
    """Rows moved against each other by at most 0.3 pixels for each pixel of height, the middle one not at all."""
    share = _signed(0.3 * strength, generator)
    return _warped(frames, np.array([[1, share, -share * (frames.shape[1] - 1) / 2], [0, 1, 0]]))


def _shear_y(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:
    """Columns moved against each other likewise."""
    share = _signed(0.3 * strength, generator)
    return _warped(frames, np.array([[1, 0, 0], [share, 1, -share * (frames.shape[2] - 1) / 2]]))


def _translate_x(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:
    """By at most 0.45 of the width either way."""
    return _warped(frames, np.array([[1, 0, _signed(0.45 * strength, generator) * frames.shape[2]], [0, 1, 0]]))


def _translate_y(frames: Frames, strength: Strength, generator: np.random.Generator) -> Frames:
    """By at most 0.45 of the height either way."""
    return _warped(frames, np.array([[1, 0, 0], [0, 1, _signed(0.45 * strength, generator) * frames.shape[1]]]))


def _warped(frames: Frames, matrix: Float64[np.ndarray, "2 3"]) -> Frames:
    size = (frames.shape[2], frames.shape[1])
    return _each(frames, lambda image: cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=_FILL))


def _each(frames: Frames, change: Callable[[UInt8[np.ndarray, "h w 3"]], UInt8[np.ndarray, "h w 3"]]) -> Frames:
    return np.stack([change(np.ascontiguousarray(image)) for image in frames])


OPERATIONS: dict[str, Operation] = {
    "auto_contrast": _auto_contrast,
    "brightness": _brightness,
    "colour": _colour,
    "contrast": _contrast,
    "equalize": _equalize,
    "identity": _identity,
    "posterize": _posterize,
    "rotate": _rotate,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "solarize": _solarize,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
