"""Synthetic training examples: performances filmed by random cameras, as features with a label for every frame."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int64

from tubelet.datasets.mocap import Motion
from tubelet.datasets.performances import NO_LABEL, Script
from tubelet.datasets.virtual_camera import Footage, clutter, film
from tubelet.methods.recognition.preprocess import FEATURE_NAMES, NUM_FEATURES, RATE_HZ, features, frame_range
from tubelet.runs import Progress
from tubelet.skeletons import HUMANOID_15

_JOINT_RATE_HZ = 30.0
_CHUNK = 32
_BLEND_WEIGHT = 0.25  # between two actions either label is right


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Sequences of one length, cut short ones filled with zeros.

    Attributes:
        features: As the action model reads them.
        labels: Index into the vocabulary, or `NO_LABEL` where the person does none of it.
        weights: 1 where the label counts, 0 where there is nothing or the label is in between two.
    """

    features: Float32[np.ndarray, "examples features time"]
    labels: Int64[np.ndarray, "examples time"]
    weights: Float32[np.ndarray, "examples time"]

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """SHA-256 of everything: two machines that trained on the same examples have the same."""
        digest = hashlib.sha256()
        for array in (self.features, self.labels, self.weights):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How examples are drawn.

    Attributes:
        seed: Example i depends on the seed and i alone.
        seconds: Length of an example.
        views: How many cameras film each performance.
        severity: Factor on the landmark model's imperfections.
        clutter: Share of examples in which there is no person at all.
        azimuth_deg: A range of directions of view, mirror images included; 0 is from behind. None: all directions.
        inside_azimuth: Film from that range only, or from everywhere else only. Moments at which the person turned
            so that the view is another do not count.
        leg_shares: Bodies of these proportions only: `leg_share` is at least the first and below the second number.
    """

    seed: int
    seconds: float = 9.0
    views: int = 2
    severity: float = 1.0
    clutter: float = 0.04
    azimuth_deg: tuple[float, float] | None = None
    inside_azimuth: bool = True
    leg_shares: tuple[float, float] = (0.0, 1.0)

    @property
    def frames(self) -> int:
        """Feature frames of an example."""
        return round(self.seconds * RATE_HZ)


def draw_examples(clips: Sequence[Motion], drawing: Drawing, count: int, *, num_workers: int = 2) -> Examples:
    """Draw examples, the same ones for any number of workers.

    Args:
        clips: Motion capture to draw from.
        drawing: How.
        count: How many performances; there are `drawing.views` examples of each.
        num_workers: Processes.
    """
    starts = list(range(0, count, _CHUNK))
    jobs = [(list(clips), drawing, start, min(start + _CHUNK, count)) for start in starts]
    parts: list[Examples] = []
    with Progress() as progress:
        line = progress.add("drawing examples", count, "people")
        if num_workers == 1:
            for job in jobs:
                parts.append(_draw_chunk(job))
                line.advance(job[3] - job[2])
        else:
            # Fresh processes: forking one that already runs threads may hang.
            with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
                for job, part in zip(jobs, pool.map(_draw_chunk, jobs), strict=True):
                    parts.append(part)
                    line.advance(job[3] - job[2])
    return Examples(
        features=np.concatenate([part.features for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
    )


def _draw_chunk(job: tuple[list[Motion], Drawing, int, int]) -> Examples:
    clips, drawing, start, end = job
    script = Script(clips, drawing.leg_shares)
    size = (end - start) * drawing.views
    out = Examples(
        features=np.zeros((size, NUM_FEATURES, drawing.frames), np.float32),
        labels=np.full((size, drawing.frames), NO_LABEL, np.int64),
        weights=np.zeros((size, drawing.frames), np.float32),
    )
    for number in range(start, end):
        rng = np.random.default_rng((drawing.seed, number))
        performance = script.draw(rng, drawing.seconds)
        for view in range(drawing.views):
            row = (number - start) * drawing.views + view
            if rng.random() < drawing.clutter:
                nothing = np.full(1, NO_LABEL)
                _fill(out, row, clutter(rng, drawing.seconds), nothing, np.ones(1), rng)
                continue
            azimuth = _azimuth(rng, drawing, performance.joints_m)
            footage, offset = film(rng, performance.joints_m, azimuth_rad=azimuth, severity=drawing.severity)
            weights = np.where(performance.near_change, _BLEND_WEIGHT, 1.0)
            weights = weights * allowed_views(drawing, performance.joints_m, azimuth)
            _fill(out, row, footage, performance.labels[offset:], weights[offset:], rng)
    return out


def _facing(joints_m: Float[np.ndarray, "time 15 3"]) -> Float[np.ndarray, "time 2"]:
    """Where the person's front points, along x and z, as unit vectors: square to the line through both hips."""
    across = joints_m[:, HUMANOID_15.index("right_hip")] - joints_m[:, HUMANOID_15.index("left_hip")]
    front = np.stack([across[:, 2], -across[:, 0]], axis=1)
    return np.asarray(front / np.maximum(np.linalg.norm(front, axis=1, keepdims=True), 1e-9))


def view_deg(joints_m: Float[np.ndarray, "time 15 3"], azimuth_rad: float) -> Float[np.ndarray, " time"]:
    """The side from which a camera that looks in this direction sees the person at each moment.

    0 is from behind, 180 from the front; left and right are not told apart.
    """
    along = _facing(joints_m) @ np.array([np.cos(azimuth_rad), np.sin(azimuth_rad)])
    return np.asarray(np.degrees(np.arccos(np.clip(along, -1, 1))))


def allowed_views(
    drawing: Drawing, joints_m: Float[np.ndarray, "time 15 3"], azimuth_rad: float
) -> Bool[np.ndarray, " time"]:
    """Moments at which this camera sees the person from a side that the drawing allows."""
    if drawing.azimuth_deg is None:
        return np.ones(len(joints_m), dtype=bool)
    low, high = drawing.azimuth_deg
    seen = view_deg(joints_m, azimuth_rad)
    return np.asarray(((seen >= low) & (seen < high)) == drawing.inside_azimuth)


def _azimuth(rng: np.random.Generator, drawing: Drawing, joints_m: Float[np.ndarray, "time 15 3"]) -> float:
    """A direction of view in radians that the drawing allows; a range is relative to where the person mostly faces."""
    if drawing.azimuth_deg is None:
        return float(rng.uniform(0, 2 * np.pi))
    low, high = drawing.azimuth_deg
    x, z = _facing(joints_m).mean(axis=0)
    while True:
        degrees = rng.uniform(0, 180)
        if (low <= degrees < high) == drawing.inside_azimuth:
            return float(np.arctan2(z, x) + np.radians(degrees) * rng.choice([-1, 1]))


def _fill(
    out: Examples,
    row: int,
    footage: Footage,
    labels: Int[np.ndarray, " moments"],
    weights: Float[np.ndarray, " moments"],
    rng: np.random.Generator,
) -> None:
    """Write one example into a row: a stretch at random where there is more footage than fits."""
    length = out.labels.shape[1]
    first, end = frame_range(footage.times_s)
    if end - first > length:
        first += int(rng.integers(end - first - length + 1))
        end = first + length
    place = np.minimum(np.arange(first, end) * round(_JOINT_RATE_HZ / RATE_HZ), len(labels) - 1)
    columns = features(footage.landmarks_px, footage.box_px, footage.times_s, (first, end))
    out.features[row, :, : end - first] = columns
    out.labels[row, : end - first] = labels[place]
    is_boxed = columns[FEATURE_NAMES.index("box_known")] > 0
    out.weights[row, : end - first] = weights[place] * is_boxed
