"""A clip in three kilobytes: a few tiny pictures at equal shares of its length, and what can be told from them.

Two clips show the same when their sketches agree in what is to be seen (the median picture), in its colours, and in how
it moves (what differs from the mean picture). Any one alone is not enough: clips of one fixed camera share the median
picture, and clips in front of a plain wall have nothing to compare but what moves there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8, UInt64

NUM_PICTURES = 8
SIDE_PX = 16
COLOUR_SIDE_PX = 8
SKETCH_BYTES = NUM_PICTURES * (SIDE_PX**2 + 2 * COLOUR_SIDE_PX**2)
NUM_BITS = 64
_NUM_FREQUENCIES = 12  # per direction, of which the lowest NUM_BITS pairs are used

# In grey levels, standard deviations. Below the first there is nothing in a picture to compare; below the second
# nothing moves that would stand out from the noise of compression.
FLAT = 2.0
STILL = 1.0

Sketch = UInt8[np.ndarray, " bytes"]


def sketch_times_s(start_s: float, end_s: float) -> Float64[np.ndarray, " time"]:
    """When the pictures of a sketch are taken: the middles of equal parts of the span."""
    return start_s + (np.arange(NUM_PICTURES) + 0.5) / NUM_PICTURES * (end_s - start_s)


def make_sketch(frames: UInt8[np.ndarray, "time height width 3"]) -> Sketch:
    """A sketch of the pictures at `sketch_times_s`, whatever their size and shape: grey levels, then colours."""
    small = [cv2.resize(one, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for one in frames]
    parts = [cv2.cvtColor(one, cv2.COLOR_RGB2YCrCb) for one in small]
    grey = np.stack([one[..., 0] for one in parts])
    size = (COLOUR_SIDE_PX, COLOUR_SIDE_PX)
    colour = np.stack([cv2.resize(one[..., 1:], size, interpolation=cv2.INTER_AREA) for one in parts])
    sketch: Sketch = np.concatenate([grey.ravel(), colour.ravel()])
    return sketch


@dataclass(frozen=True, slots=True)
class Look:
    """What a sketch is compared by.

    Attributes:
        scene: The median picture without its slope: a light that falls off to one side says nothing about the place.
        colour: Red and blue differences, of the median picture.
        motion: The grey pictures minus their mean picture.
        colour_motion: The colours minus their mean.
        detail: Standard deviation of `scene`, grey levels.
        movement: Standard deviation of `motion`, grey levels.
        brightness: Mean grey level, 0 to 255.
    """

    scene: Float32[np.ndarray, "16 16"]
    colour: Float32[np.ndarray, "8 8 2"]
    motion: Float32[np.ndarray, "8 16 16"]
    colour_motion: Float32[np.ndarray, "8 8 8 2"]
    detail: float
    movement: float
    brightness: float

    @property
    def is_flat(self) -> bool:
        """Whether there is nothing to see: black, or one colour, or a plain gradient, and nothing moves."""
        return self.detail < FLAT and self.movement < FLAT

    @property
    def is_still(self) -> bool:
        """Whether nothing moves."""
        return self.movement < STILL


def look_at(sketch: Sketch) -> Look:
    """Scene, colours and motion of a sketch."""
    grey, colours = np.split(sketch.astype(np.float32), [NUM_PICTURES * SIDE_PX**2])
    pictures = grey.reshape(NUM_PICTURES, SIDE_PX, SIDE_PX)
    # A flicker of the whole picture is no motion.
    pictures = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    mean = pictures.mean(axis=0)
    motion = pictures - mean
    # The median shows the place without who passes through it.
    usual = np.median(pictures, axis=0).ravel()
    usual -= usual.mean()
    scene = (usual - _SLOPE @ (_SLOPE.T @ usual)).reshape(SIDE_PX, SIDE_PX)
    tints = colours.reshape(NUM_PICTURES, COLOUR_SIDE_PX, COLOUR_SIDE_PX, 2) - 128
    tint = tints.mean(axis=0)
    return Look(
        scene=scene.astype(np.float32),
        colour=np.median(tints, axis=0),
        motion=motion,
        colour_motion=tints - tint,
        detail=float(scene.std()),
        movement=float(motion.std()),
        brightness=float(grey.mean()),
    )


def mirrored(look: Look) -> Look:
    """The same clip as a mirror shows it."""
    return replace(
        look,
        scene=look.scene[:, ::-1],
        colour=look.colour[:, ::-1],
        motion=look.motion[:, :, ::-1],
        colour_motion=look.colour_motion[:, :, ::-1],
    )


# Red and blue differences below this (root of the mean square, levels) are noise: the clip is grey.
_GREY = 1.5


def likeness(one: Look, other: Look) -> float:
    """How far two clips show the same, at most 1: the least of the agreements in scene, colour and motion.

    What neither clip has (detail, colour, motion) is not compared; what only one has makes them different. 0 where
    there is nothing to compare at all.
    """
    if one.is_flat or other.is_flat or one.is_still != other.is_still:
        return 0.0
    agreements = []
    if max(one.detail, other.detail) >= FLAT:
        agreements.append(_agreement([one.scene], [other.scene]))
    if max(_rms(one.colour), _rms(other.colour)) >= _GREY:
        agreements.append(_agreement([one.colour], [other.colour]))
    if not one.is_still:
        agreements.append(_agreement([one.motion, one.colour_motion], [other.motion, other.colour_motion]))
    return min(agreements, default=0.0)


def scene_likeness(one: Look, other: Look) -> float:
    """How far two clips were taken in the same place: the least of the agreements in scene and colour, at most 1."""
    if min(one.detail, other.detail) < 2 * FLAT:
        return 0.0
    agreements = [_agreement([one.scene], [other.scene])]
    if max(_rms(one.colour), _rms(other.colour)) >= _GREY:
        agreements.append(_agreement([one.colour], [other.colour]))
    return min(agreements)


def _rms(array: Float32[np.ndarray, "..."]) -> float:
    return float(np.sqrt(np.mean(np.square(array))))


def _agreement(ones: list[Float32[np.ndarray, "..."]], others: list[Float32[np.ndarray, "..."]]) -> float:
    """Cosine of the angle between two vectors given in parts, so that brightness and contrast do not matter."""
    product = sum(float(np.vdot(one, other)) for one, other in zip(ones, others, strict=True))
    size = sum(float(np.vdot(one, one)) for one in ones) * sum(float(np.vdot(other, other)) for other in others)
    return float(product / np.sqrt(size)) if size > 0 else 0.0


def hashes(pictures: Float32[np.ndarray, "picture 16 16"]) -> UInt64[np.ndarray, " picture"]:
    """A 64-bit hash of each picture: the signs of its lowest cosine frequencies, the lowest in the lowest bits.

    Brighter, darker or more contrast leaves it as it is; so do other sizes and codecs, but for a few bits.

    Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.1.
    Differs: the sign is taken against zero, not against the median, so that mirroring flips a known set of bits.
    """
    waves, rows, columns = _cosines(), *_order()
    spectrum = waves @ pictures @ waves.T
    bits = spectrum[:, rows, columns] > 0
    packed: UInt64[np.ndarray, " picture"] = np.packbits(np.ascontiguousarray(bits), axis=1, bitorder="little").view(
        "<u8"
    )[:, 0]
    return packed.astype(np.uint64)


@cache
def mirror_bits() -> int:
    """The bits of a hash that mirroring flips."""
    _, columns = _order()
    return sum(1 << bit for bit, column in enumerate(columns.tolist()) if column % 2)


@cache
def _cosines() -> Float32[np.ndarray, "frequency 16"]:
    frequency, place = np.mgrid[0:_NUM_FREQUENCIES, 0:SIDE_PX]
    waves: Float32[np.ndarray, "frequency 16"] = np.cos(np.pi / SIDE_PX * (place + 0.5) * frequency).astype(np.float32)
    return waves


@cache
def _order() -> tuple[Int64[np.ndarray, " bit"], Int64[np.ndarray, " bit"]]:
    """Rows and columns of the lowest frequencies, lowest first, without the mean of the picture."""
    pairs = [(row, column) for row in range(_NUM_FREQUENCIES) for column in range(_NUM_FREQUENCIES)][1:]
    pairs = sorted(pairs, key=lambda pair: (pair[0] + pair[1], pair))[:NUM_BITS]
    return np.array([row for row, _ in pairs]), np.array([column for _, column in pairs])


def _slope_basis() -> Float32[np.ndarray, "256 3"]:
    """An orthonormal basis of the pictures that are constant or rise evenly in one direction."""
    ramp = np.arange(SIDE_PX, dtype=np.float32) - (SIDE_PX - 1) / 2
    down, across = np.meshgrid(ramp, ramp, indexing="ij")
    basis = np.stack([np.ones(SIDE_PX**2, np.float32), down.ravel(), across.ravel()], axis=1)
    slopes: Float32[np.ndarray, "256 3"] = basis / np.sqrt(np.square(basis).sum(axis=0))
    return slopes


_SLOPE = _slope_basis()
