"""The main person of a clip as skeleton features: what the skeleton network is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from tubelet import weights
from tubelet.datasets.feature_cache import FeatureCache
from tubelet.datasets.labelled import LabelledClip
from tubelet.datasets.workers import ordered_map
from tubelet.errors import VideoReadError
from tubelet.methods.recognition.engine import ANALYSIS_HZ
from tubelet.methods.recognition.preprocess import FEATURE_NAMES, NUM_FEATURES, features
from tubelet.methods.recognition.recognizer import Recognizer
from tubelet.methods.recognition.timeline import TrackRow
from tubelet.people.detector import load_detector
from tubelet.runs import Failure, Progress
from tubelet.skeletons import BLAZEPOSE_33, BODY_13, convert
from tubelet.weights import cache_dir

_TIMEOUT_S = 600.0
_CODE = "1"  # counts up when what is computed here changes

_BOX_KNOWN = FEATURE_NAMES.index("box_known")


@dataclass(frozen=True, kw_only=True)
class PersonSequences:
    """The main person of each clip.

    Attributes:
        clips: Those in which somebody was found or nobody was, in order; not those that could not be read.
        features: Of each clip as it is, and mirrored; no columns where nobody was found.
        failures: Clips that could not be read, by id.
    """

    clips: tuple[LabelledClip, ...]
    features: tuple[tuple[Float32[np.ndarray, "features _"], Float32[np.ndarray, "features _"]], ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class _Task:
    path: Path
    start_s: float
    end_s: float | None


def find_people(clips: Sequence[LabelledClip], *, detector: str, num_workers: int) -> PersonSequences:
    """The main person of each clip: who is seen in most moments, and of several the largest.

    What was found is kept in tubelet's cache, so that a clip is looked at once for all trainings.

    Args:
        clips: Which clips.
        detector: Which person detector.
        num_workers: Processes.
    """
    chosen = load_detector(detector).name
    cache = FeatureCache(cache_dir() / "people", _facts(chosen))
    found: dict[str, Float32[np.ndarray, "2 features _"] | None] = {}
    failures: dict[str, Failure] = {}
    todo = []
    for clip in clips:
        try:
            found[clip.id] = cache.get(clip)
        except VideoReadError as error:
            failures[clip.id] = Failure(item=clip.id, reason=str(error))
            continue
        if found[clip.id] is None:
            todo.append(clip)
    tasks = [_Task(clip.path, clip.start_s, clip.end_s) for clip in todo]
    outcomes = ordered_map(partial(_look, chosen), tasks, num_workers=num_workers, timeout_s=_TIMEOUT_S)
    with Progress() as progress:
        line = progress.add("looking for people", len(todo), "clips")
        for clip, outcome in zip(todo, outcomes, strict=True):
            line.advance()
            if outcome.failure is not None:
                failures[clip.id] = Failure(item=clip.id, reason=f"{outcome.failure.cause}: {outcome.failure.reason}")
            elif outcome.value is not None:
                found[clip.id] = outcome.value
                cache.put(clip, outcome.value)
    kept = [(clip, person) for clip in clips if (person := found.get(clip.id)) is not None]
    return PersonSequences(
        clips=tuple(clip for clip, _ in kept),
        features=tuple((person[0], person[1]) for _, person in kept),
        failures=tuple(failures.values()),
    )


def _facts(detector: str) -> dict[str, str]:
    """All that a found person depends on, besides the file."""
    networks = {"oidv4": weights.OIDV4_SSD, "ssdlite": weights.PEDESTRIAN_SSDLITE}
    return {
        "what": "main person",
        "detector": detector,
        "detector_sha256": networks[detector].sha256,
        "landmarks_sha256": weights.POSE_LANDMARK_FULL.sha256,
        "analysis_hz": f"{ANALYSIS_HZ:g}",
        "code": _CODE,
    }


@lru_cache(maxsize=1)
def _recognizer(detector: str) -> Recognizer:
    return Recognizer(detector=detector)


def _look(detector: str, task: _Task) -> Float32[np.ndarray, "2 features time"]:
    """Features of the main person of one clip, and of their mirror image."""
    start_s = task.start_s if task.start_s > 0 else None
    found = _recognizer(detector).recognize(str(task.path), start_s=start_s, end_s=task.end_s, keep_rows=True)
    rows = main_person([row for row in found.rows if not row.interpolated])
    if not rows:
        return np.zeros((2, NUM_FEATURES, 0), np.float32)
    times_s = np.array([row.time_s for row in rows])
    boxes = np.array([row.box_px for row in rows], np.float32)
    poses = np.stack([_joints(row) for row in rows])
    return np.stack([features(poses, boxes, times_s), features(*_mirrored(poses, boxes), times_s)])


def main_person(rows: Sequence[TrackRow]) -> list[TrackRow]:
    """The rows of the one who is seen in most frames; of several, whose boxes are largest."""
    by_track: dict[int, list[TrackRow]] = {}
    for row in rows:
        by_track.setdefault(row.track_id, []).append(row)

    def weight(track: list[TrackRow]) -> tuple[int, float]:
        heights = [row.box_px[3] - row.box_px[1] for row in track]
        return len(track), float(np.median(heights))

    return max(by_track.values(), key=weight, default=[])


def _joints(row: TrackRow) -> Float32[np.ndarray, "13 3"]:
    if row.landmarks_px is None:
        return np.full((len(BODY_13), 3), np.nan, np.float32)
    joints: Float32[np.ndarray, "13 3"] = convert(row.landmarks_px, BLAZEPOSE_33, BODY_13).astype(np.float32)
    return joints


def _mirrored(
    poses: Float32[np.ndarray, "time 13 3"], boxes: Float32[np.ndarray, "time 4"]
) -> tuple[Float32[np.ndarray, "time 13 3"], Float32[np.ndarray, "time 4"]]:
    """Left and right exchanged, of the body and of the picture; where the picture's edge is does not matter."""
    turned = poses[:, BODY_13.mirror].copy()
    turned[..., 0] *= -1
    return turned, boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)


def known_frames(person: Float32[np.ndarray, "features time"]) -> Float32[np.ndarray, " time"]:
    """1 where the person's box is known, else 0."""
    known: Float32[np.ndarray, " time"] = (person[_BOX_KNOWN] > 0).astype(np.float32)
    return known
