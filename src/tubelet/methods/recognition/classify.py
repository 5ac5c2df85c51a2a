"""Class probabilities of one person's moments, as the measurements arrive."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float32

from tubelet.methods.recognition.preprocess import MARGIN_S, NUM_JOINTS, RATE_HZ, features, frame_range
from tubelet.methods.recognition.segmenter import ActionEvent, Segmenter, SegmenterSettings
from tubelet.methods.recognition.trail import Observation
from tubelet.skeletons import BLAZEPOSE_33, BODY_13, convert

_BATCH_FRAMES = 8  # moments labelled at once: half a second, so that the network is not called for every one


class Classifier(Protocol):
    """What is asked of an action model (see `action_model`)."""

    labels: tuple[str, ...]
    context: int

    def probabilities(self, features: Float32[np.ndarray, "features frames"]) -> Float32[np.ndarray, "frames classes"]:
        """Class probabilities of every frame."""
        ...


class PersonClassifier:
    """Labels one person's time while it goes by.

    A moment is labelled once everything that its label depends on has been measured, which is why the labels do not
    depend on how the measurements were cut into calls. Only the measurements that are still needed are kept.

    Args:
        model: Features to probabilities.
        track_id: Whose time it is.
        start_s: When the person appeared.
        segmenting: How probabilities become segments.
        allowed: Labels to report; all if None.
    """

    def __init__(
        self,
        model: Classifier,
        *,
        track_id: int,
        start_s: float,
        segmenting: SegmenterSettings,
        allowed: frozenset[str] | None = None,
    ) -> None:
        self._model = model
        self._segmenter = Segmenter(
            model.labels, track_id=track_id, start_s=start_s, settings=segmenting, allowed=allowed
        )
        self._held: list[Observation] = []
        self._first = 0  # first frame of the person's life on the model's clock
        self._next = 0  # first frame without a label
        self._has_begun = False

    def push(self, observations: list[Observation]) -> list[ActionEvent]:
        """Takes in measurements, each later than all before, and gives what has become certain."""
        if not observations:
            return []
        self._held += observations
        if not self._has_begun:
            self._first = self._next = frame_range(np.array([self._held[0].time_s]))[0]
            self._has_begun = True
        final_s = self._held[-1].time_s - MARGIN_S
        ready = int(np.floor(final_s * RATE_HZ + 1e-6)) + 1 - self._model.context
        if ready - self._next < _BATCH_FRAMES:
            return []
        events = self._label(ready, ready + self._model.context)
        self._forget()
        return events

    def finish(self, end_s: float) -> list[ActionEvent]:
        """Labels the rest, as far as it was measured, and closes the last segment at `end_s`."""
        events: list[ActionEvent] = []
        if self._held:
            end = frame_range(np.array([seen.time_s for seen in self._held]))[1]
            if end > self._next:
                events = self._label(end, end)
        return events + self._segmenter.finish(end_s)

    def _label(self, end: int, known_end: int) -> list[ActionEvent]:
        """Labels the frames from the next one to `end`, with features up to `known_end`."""
        start = max(self._first, self._next - self._model.context)
        times_s = np.array([seen.time_s for seen in self._held])
        boxes = np.stack([seen.box_px for seen in self._held])
        poses = np.stack([_joints(seen) for seen in self._held])
        found = self._model.probabilities(features(poses, boxes, times_s, (start, known_end)))
        events: list[ActionEvent] = []
        for frame in range(self._next, end):
            events += self._segmenter.push(frame / RATE_HZ, found[frame - start])
        self._next = end
        return events

    def _forget(self) -> None:
        """Drops measurements that no later label depends on."""
        needed_s = (self._next - self._model.context) / RATE_HZ - MARGIN_S
        keep = sum(seen.time_s < needed_s for seen in self._held)
        del self._held[: max(keep - 1, 0)]  # one before the margin: lines between measurements start there


def _joints(seen: Observation) -> Float32[np.ndarray, "13 3"]:
    if seen.pose is None:
        return np.full((NUM_JOINTS, 3), np.nan, np.float32)
    joints: Float32[np.ndarray, "13 3"] = convert(seen.pose.landmarks, BLAZEPOSE_33, BODY_13).astype(np.float32)
    return joints
