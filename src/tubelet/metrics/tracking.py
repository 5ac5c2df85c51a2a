"""How well predicted boxes and tracks tell the true ones. Boxes are x0, y0, x1, y1 with x1/y1 exclusive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy.optimize import linear_sum_assignment

_IOU_SLACK = 1e-9


class BoxCounts(NamedTuple):
    """Boxes over all times; sums over sources add up."""

    num_truth: int
    num_predicted: int
    num_matched: int

    @property
    def recall(self) -> float:
        """Share of true boxes that were found; NaN where there are none."""
        return self.num_matched / self.num_truth if self.num_truth else math.nan

    @property
    def precision(self) -> float:
        """Share of predicted boxes that are true; NaN where there are none."""
        return self.num_matched / self.num_predicted if self.num_predicted else math.nan


@dataclass(frozen=True, kw_only=True)
class BoxMatches:
    """Which track lies on which person, at every moment with true boxes.

    Attributes:
        track_of: Per moment, from the person to the track matched to it.
        counts: Boxes over all moments.
    """

    track_of: tuple[Mapping[str, str], ...]
    counts: BoxCounts


def iou_matrix(first: Float[np.ndarray, "m 4"], second: Float[np.ndarray, "n 4"]) -> Float64[np.ndarray, "m n"]:
    """Intersection over union of every pair; 0 where both boxes are empty."""
    shared = _shared_areas(first, second)
    union = _areas(first)[:, None] + _areas(second)[None, :] - shared
    return _ratio(shared, union)


def containment_matrix(inner: Float[np.ndarray, "m 4"], outer: Float[np.ndarray, "n 4"]) -> Float64[np.ndarray, "m n"]:
    """Share of each inner box's area that lies in each outer box; 0 for an empty inner box."""
    shared = _shared_areas(inner, outer)
    return _ratio(shared, np.broadcast_to(_areas(inner)[:, None], shared.shape))


def _shared_areas(first: Float[np.ndarray, "m 4"], second: Float[np.ndarray, "n 4"]) -> Float64[np.ndarray, "m n"]:
    one, other = first[:, None, :].astype(np.float64), second[None, :, :].astype(np.float64)
    sides = np.clip(np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2]), 0.0, None)
    areas: Float64[np.ndarray, "m n"] = sides.prod(axis=-1)
    return areas


def _areas(boxes: Float[np.ndarray, "m 4"]) -> Float64[np.ndarray, "m"]:
    sides = np.clip(boxes[:, 2:].astype(np.float64) - boxes[:, :2].astype(np.float64), 0.0, None)
    areas: Float64[np.ndarray, "m"] = sides.prod(axis=-1)
    return areas


def _ratio(parts: Float64[np.ndarray, "m n"], wholes: Float64[np.ndarray, "m n"]) -> Float64[np.ndarray, "m n"]:
    shares = np.zeros_like(parts)
    np.divide(parts, wholes, out=shares, where=wholes > 0)
    return shares


def match_boxes(iou: Float[np.ndarray, "m n"], least_iou: float) -> Int[np.ndarray, "pairs 2"]:
    """One-to-one pairs with at least `least_iou`: as many as possible, and of those the best overlapping.

    Args:
        iou: Of every pair, e.g. from `iou_matrix`.
        least_iou: Above 0, at most 1.

    Returns:
        Row and column of each pair, by row.
    """
    if not 0.0 < least_iou <= 1.0:
        raise ValueError(f"least_iou is {least_iou}; allowed: above 0, at most 1")
    fits = iou >= least_iou - _IOU_SLACK
    # The overlaps of all pairs together weigh less than one more pair.
    weights = np.where(fits, 1.0 + iou / (min(iou.shape) + 1), 0.0)
    rows, columns = linear_sum_assignment(weights, maximize=True)
    kept = fits[rows, columns]
    return np.stack([rows[kept], columns[kept]], axis=1).astype(np.int64)


def match_boxes_greedily(iou: Float[np.ndarray, "m n"], least_iou: float) -> Int[np.ndarray, "pairs 2"]:
    """One-to-one pairs in which each row, in order (best score first), takes the best column that is left.

    Source: the matching of the PASCAL VOC detection protocol, Everingham et al., 2010.
    """
    if not 0.0 < least_iou <= 1.0:
        raise ValueError(f"least_iou is {least_iou}; allowed: above 0, at most 1")
    left = iou.astype(np.float64)
    pairs: list[tuple[int, int]] = []
    for row in range(iou.shape[0] if iou.shape[1] else 0):
        column = int(left[row].argmax())
        if left[row, column] >= least_iou - _IOU_SLACK:
            pairs.append((row, column))
            left[:, column] = -1.0
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def match_over_time(
    truth: Sequence[Mapping[str, Sequence[float]]],
    predicted: Sequence[Mapping[str, Sequence[float]]],
    least_iou: float,
) -> BoxMatches:
    """Match tracks to people moment by moment; a pair that still fits is kept before new ones are made.

    Args:
        truth: Per moment, the box of each person.
        predicted: Per moment, the box of each track, already without those that are not to be judged.
        least_iou: Above 0, at most 1.

    Source: Bernardin and Stiefelhagen, Evaluating Multiple Object Tracking Performance: the CLEAR MOT metrics, 2008.
    """
    last: dict[str, str] = {}
    track_of: list[Mapping[str, str]] = []
    for people, tracks in zip(truth, predicted, strict=True):
        now = _match_moment(people, tracks, last, least_iou)
        last.update(now)
        track_of.append(now)
    counts = BoxCounts(
        num_truth=sum(len(people) for people in truth),
        num_predicted=sum(len(tracks) for tracks in predicted),
        num_matched=sum(len(now) for now in track_of),
    )
    return BoxMatches(track_of=tuple(track_of), counts=counts)


def _match_moment(
    people: Mapping[str, Sequence[float]],
    tracks: Mapping[str, Sequence[float]],
    last: Mapping[str, str],
    least_iou: float,
) -> dict[str, str]:
    people_ids, track_ids = list(people), list(tracks)
    iou = iou_matrix(_boxes(people), _boxes(tracks))
    now: dict[str, str] = {}
    for row, person in enumerate(people_ids):
        track = last.get(person)
        if track is None or track not in tracks or track in now.values():
            continue
        if iou[row, track_ids.index(track)] >= least_iou - _IOU_SLACK:
            now[person] = track
    for row, column in match_boxes(_without(iou, people_ids, track_ids, now), least_iou):
        now[people_ids[row]] = track_ids[column]
    return now


def _without(
    iou: Float64[np.ndarray, "m n"],
    people_ids: list[str],
    track_ids: list[str],
    matched: Mapping[str, str],
) -> Float64[np.ndarray, "m n"]:
    left = iou.copy()
    left[[row for row, person in enumerate(people_ids) if person in matched], :] = 0.0
    left[:, [column for column, track in enumerate(track_ids) if track in matched.values()]] = 0.0
    return left


def _boxes(by_id: Mapping[str, Sequence[float]]) -> Float64[np.ndarray, "boxes 4"]:
    return np.array(list(by_id.values()), dtype=np.float64).reshape(-1, 4)


def identity_switches(track_of: Sequence[Mapping[str, str]]) -> int:
    """How often a person's matched track is another than the one it was last matched to.

    Args:
        track_of: Per moment, from the person to the track matched to it; people without a match are left out.

    Source: Bernardin and Stiefelhagen, 2008 (mismatches).
    """
    last: dict[str, str] = {}
    num_switches = 0
    for now in track_of:
        num_switches += sum(person in last and last[person] != track for person, track in now.items())
        last.update(now)
    return num_switches
