"""A weak attacker that tells people again: pictures of them, compared by a network that was trained on other things."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8

from tubelet import weights
from tubelet.metrics.intervals import Estimate, ratio_interval
from tubelet.models.efficientnet_lite import efficientnet_lite0, load_efficientnet_lite_weights

_CROP = (128, 256)  # width, height: people stand
_CROPS_AT_ONCE = 4  # more do not fit into the caches of a CPU core
_ROWS_AT_ONCE = 512
_TIME_SLACK_S = 1e-3  # times of frames are rounded to the clock of their file
_TIE = 1e-5  # of a similarity: what differs by less is the arithmetic


class Reidentified(NamedTuple):
    """How often the most similar picture of another moment shows the same person.

    Attributes:
        rank1: The share, over pictures whose person is to be seen at another moment and for which somebody else is too.
            Its interval is over people: `num_groups` of them have such pictures.
        chance: The share that a random choice would have; NaN where there are no such pictures.
        num_pictures: How many such pictures there are.
    """

    rank1: Estimate
    chance: float
    num_pictures: int


class LikenessModel:
    """Turns people into vectors whose inner product says how alike they look.

    Nothing in it was trained on people's identity: an attacker who trains for that finds more.

    Args:
        path: Published weights of EfficientNet-lite0; None fetches them.
        notify: Called with a sentence when the file is being fetched.

    Raises:
        WeightsError: The file cannot be brought, or is not this network's.
    """

    def __init__(self, path: Path | None = None, *, notify: Callable[[str], None] | None = None) -> None:
        network = efficientnet_lite0(None)
        load_efficientnet_lite_weights(network, path or weights.fetch(weights.EFFICIENTNET_LITE0, notify=notify))
        self._network = network.fused()
        self.num_features = network.num_features

    def features(
        self, image: UInt8[np.ndarray, "height width 3"], boxes_px: Float[np.ndarray, "people 4"]
    ) -> Float32[np.ndarray, "people features"]:
        """Unit vectors of the people in boxes, in their order; what is behind them in the box is seen too.

        Args:
            image: RGB.
            boxes_px: `x0, y0, x1, y1` in pixels; each must show at least one pixel of the image.

        Raises:
            ValueError: A box shows nothing of the image.
        """
        if len(boxes_px) == 0:
            return np.zeros((0, self.num_features), np.float32)
        crops = np.stack([_crop(image, box) for box in boxes_px])
        scaled = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self._network.mean, self._network.std))
        with torch.inference_mode():
            parts = [self._network.features((part - mean) / std) for part in torch.split(scaled, _CROPS_AT_ONCE)]
        found = torch.cat(parts).numpy().astype(np.float32)
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))


def inside(boxes_px: Float[np.ndarray, "people 4"], width: int, height: int) -> Bool[np.ndarray, " people"]:
    """Which boxes show at least one whole pixel of an image of this size."""
    low = np.ceil(np.maximum(boxes_px[:, :2], 0))
    high = np.floor(np.minimum(boxes_px[:, 2:], [width, height]))
    return np.asarray((high - low >= 1).all(axis=1))


def _crop(
    image: UInt8[np.ndarray, "height width 3"], box_px: Float[np.ndarray, " 4"]
) -> UInt8[np.ndarray, "rows columns 3"]:
    height, width = image.shape[:2]
    if not inside(box_px[None], width, height)[0]:
        raise ValueError(
            f"box {[float(value) for value in box_px]} shows no pixel of an image of {width} x {height}; "
            "leave out people who are outside of the picture"
        )
    x0, y0 = (math.ceil(max(float(value), 0.0)) for value in box_px[:2])
    x1, y1 = (math.floor(min(float(value), size)) for value, size in zip(box_px[2:], (width, height), strict=True))
    patch = np.ascontiguousarray(image[y0:y1, x0:x1])
    return np.asarray(cv2.resize(patch, _CROP, interpolation=cv2.INTER_AREA))


def reidentified(
    features: Float[np.ndarray, "crops features"],
    track_ids: Int[np.ndarray, " crops"],
    times_s: Float[np.ndarray, " crops"],
    *,
    min_gap_s: float = 1.0,
) -> Reidentified:
    """For each picture the most similar one of another moment: is it of the same person?

    A picture asks only where there is something to find and something to confuse it with: some picture of the same
    track and some of another, both at least `min_gap_s` away. Of several that are equally alike, as all black ones are,
    one is drawn, the same one every time. Pictures of one person resemble each other, so the interval draws people, not
    pictures; it takes a track for a person, and is too narrow where one person has several.

    Args:
        features: Unit vectors.
        track_ids: Whom each shows.
        times_s: When each was seen.
        min_gap_s: Pictures closer in time are not compared: nothing has changed between them.

    Raises:
        ValueError: The lengths differ, or the gap is negative.
    """
    if not len(features) == len(track_ids) == len(times_s):
        raise ValueError(
            f"{len(features)} features, {len(track_ids)} track ids and {len(times_s)} times; wanted one each"
        )
    if not min_gap_s >= 0:
        raise ValueError(f"min_gap_s is {min_gap_s}; allowed: 0 or more")
    rights, owners, chances = [np.zeros(0)], [np.zeros(0, np.int64)], [np.zeros(0)]
    draw = np.random.default_rng(0)
    for start in range(0, len(features), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        allowed = np.abs(times_s[rows, None] - times_s[None]) >= min_gap_s - _TIME_SLACK_S
        allowed[np.arange(len(allowed)), start + np.arange(len(allowed))] = False  # never itself, also with a gap of 0
        same = (track_ids[rows, None] == track_ids[None]) & allowed
        asks = same.any(axis=1) & (allowed & ~same).any(axis=1)
        similar = features[rows].astype(np.float64) @ features.T + draw.uniform(0, _TIE, allowed.shape)
        similar = np.where(allowed, similar, -np.inf)[asks]
        right = same[asks][np.arange(len(similar)), similar.argmax(axis=1)] if len(similar) else np.zeros(0, bool)
        rights.append(right.astype(np.float64))
        owners.append(np.asarray(track_ids[rows][asks], np.int64))
        chances.append(same[asks].sum(axis=1) / allowed[asks].sum(axis=1))
    right, chance = np.concatenate(rights), np.concatenate(chances)
    rank1 = ratio_interval(right, np.ones(len(right)), np.concatenate(owners).tolist())
    return Reidentified(rank1, float(chance.mean()) if len(chance) else math.nan, len(right))
