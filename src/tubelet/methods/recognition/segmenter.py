"""Class probabilities of moments -> segments of action, one person at a time, with a bounded delay.

The most likely path through the classes is found by Viterbi decoding in which every change of label costs
`change_cost`, so that one doubtful moment does not break a walk in two. Abstaining is a state of its own: its
likelihood is the threshold, so a stretch is `unknown` where no class stays above it. The decision about a moment
falls `lag` moments later and is never revised, which is why a stream and a file give the same segments.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int

from tubelet.methods.recognition.timeline import UNKNOWN, Segment

_FLOOR = 1e-6  # smallest probability whose logarithm is taken


@dataclass(frozen=True, kw_only=True)
class SegmenterSettings:
    """How probabilities become segments.

    Attributes:
        min_score: Abstain where the best class stays below this probability.
        min_duration_s: A shorter stretch is taken into the one before it, or at the start of a life into the next.
        change_cost: Cost of a change of label in nats; 3 means that a change must make what is seen 20 times likelier.
        lag: Moments between a moment and the decision about it.
        num_runners_up: How many next classes a segment names.
    """

    min_score: float
    min_duration_s: float = 0.4
    change_cost: float = 3.0
    lag: int = 15
    num_runners_up: int = 2


@dataclass(frozen=True, kw_only=True)
class ActionEvent:
    """Something that became certain about one person.

    The label of a `begin` is what it looks like so far. The `end` is final, and may abstain where the whole segment did
    not reach the threshold.

    Attributes:
        kind: `begin` when a label starts, `end` when its segment is complete.
        track_id: Which person.
        time_s: The moment in the video that the event speaks of.
        label: The label that begins or ended.
        segment: The complete segment, for `end` only.
    """

    kind: Literal["begin", "end"]
    track_id: int
    time_s: float
    label: str
    segment: Segment | None = None


@dataclass
class _Run:
    """Moments in a row with one state."""

    state: int
    start_s: float
    total: Float64[np.ndarray, " classes"]
    count: int

    def add(self, seen: Float64[np.ndarray, " classes"]) -> None:
        self.total += seen
        self.count += 1

    @property
    def mean(self) -> Float64[np.ndarray, " classes"]:
        mean: Float64[np.ndarray, " classes"] = self.total / max(self.count, 1)
        return mean


class Segmenter:
    """Segments one person's time as probabilities arrive.

    Args:
        labels: Class names, in the order of the probabilities.
        allowed: The labels to report; the others count as probability 0. All if None.
        track_id: Whose time it is.
        start_s: When the person appeared: the first segment starts here.
        settings: How probabilities become segments.
    """

    def __init__(
        self,
        labels: tuple[str, ...],
        *,
        track_id: int,
        start_s: float,
        settings: SegmenterSettings,
        allowed: frozenset[str] | None = None,
    ) -> None:
        self._labels = labels
        self._mask = np.array([allowed is None or label in allowed for label in labels])
        self._settings = settings
        self._track_id = track_id
        self._start_s = start_s
        self._scores: Float64[np.ndarray, " states"] | None = None
        self._waiting: deque[tuple[float, Float64[np.ndarray, " classes"], Int[np.ndarray, " states"]]] = deque()
        self._first: _Run | None = None  # the stretch at the start of a life, until it is long enough to stand
        self._current: _Run | None = None
        self._pending: _Run | None = None
        self._unknown: _Run | None = None  # complete but for what may follow: neighbours never have the same label
        self._unknown_end_s = start_s

    def push(self, time_s: float, probabilities: Float[np.ndarray, " classes"]) -> list[ActionEvent]:
        """Takes in the class probabilities of the next moment."""
        seen = np.where(self._mask, probabilities, 0.0).astype(np.float64)
        emission = np.log(np.maximum(np.append(seen, self._settings.min_score), _FLOOR))
        if self._scores is None:
            came_from = np.arange(len(emission))
            self._scores = emission
        else:
            best = int(self._scores.argmax())
            stays = self._scores >= self._scores[best] - self._settings.change_cost
            came_from = np.where(stays, np.arange(len(emission)), best)
            self._scores = (
                np.where(stays, self._scores, self._scores[best] - self._settings.change_cost)
                - self._scores[best]  # only differences matter; this keeps them finite over hours
                + emission
            )
        self._waiting.append((time_s, seen, came_from))
        return self._decide() if len(self._waiting) > self._settings.lag else []

    def finish(self, end_s: float) -> list[ActionEvent]:
        """Decides all that waits and closes the last segment at `end_s`."""
        events: list[ActionEvent] = []
        while self._waiting:
            events += self._decide()
        if self._current is None:  # a life shorter than any segment, or without a single classified moment
            nothing = _Run(len(self._labels), self._start_s, np.zeros(len(self._labels)), 0)
            self._current = self._first or nothing
            self._current.start_s = self._start_s
            events.append(self._begins(self._current))
        pending, self._pending = self._pending, None
        if pending is not None and end_s - pending.start_s >= self._settings.min_duration_s:
            events += self._promote(self._current, pending)
            self._current = pending
        events += self._close(self._current, end_s)
        if self._unknown is not None:
            events.append(self._ends(self._unknown, self._unknown_end_s, UNKNOWN))
        return events

    def _decide(self) -> list[ActionEvent]:
        """Fixes the state of the oldest waiting moment by walking the best path back to it."""
        if self._scores is None:
            raise ValueError("no moment waits for a decision")
        state = int(self._scores.argmax())
        for _, _, came_from in reversed(list(self._waiting)[1:]):
            state = int(came_from[state])
        time_s, seen, _ = self._waiting.popleft()
        return self._extend(state, time_s, seen)

    def _extend(self, state: int, time_s: float, seen: Float64[np.ndarray, " classes"]) -> list[ActionEvent]:
        if self._current is None:
            return self._start(state, time_s, seen)
        if state == self._current.state:
            self._pending = None  # a stretch too short to stand alone belongs to the one before it
            self._current.add(seen)
            return []
        if self._pending is None or self._pending.state != state:
            self._pending = _Run(state, time_s, seen.copy(), 1)
        else:
            self._pending.add(seen)
        if time_s - self._pending.start_s >= self._settings.min_duration_s:
            return self._promote(self._current, self._pending)
        return []

    def _start(self, state: int, time_s: float, seen: Float64[np.ndarray, " classes"]) -> list[ActionEvent]:
        """The start of a life: the first stretch that is long enough begins there, and takes in what came before."""
        if self._first is None or self._first.state != state:
            self._first = _Run(state, time_s, seen.copy(), 1)
        else:
            self._first.add(seen)
        if time_s - self._first.start_s < self._settings.min_duration_s:
            return []
        self._current, self._first = self._first, None
        self._current.start_s = self._start_s
        return [self._begins(self._current)]

    def _promote(self, current: _Run, pending: _Run) -> list[ActionEvent]:
        """The pending stretch is long enough: the current one ends where it starts."""
        self._current, self._pending = pending, None
        return [*self._close(current, pending.start_s), self._begins(pending)]

    def _close(self, run: _Run, end_s: float) -> list[ActionEvent]:
        """Ends a stretch. One without a label waits for the next, since that may turn out to have none either."""
        if run.state < len(self._labels) and run.mean[run.state] >= self._settings.min_score:
            before = [] if self._unknown is None else [self._ends(self._unknown, self._unknown_end_s, UNKNOWN)]
            self._unknown = None
            return [*before, self._ends(run, end_s, self._labels[run.state])]
        if self._unknown is None:
            self._unknown = run
        else:
            self._unknown.total += run.total
            self._unknown.count += run.count
        self._unknown_end_s = end_s
        return []

    def _begins(self, run: _Run) -> ActionEvent:
        label = UNKNOWN if run.state == len(self._labels) else self._labels[run.state]
        return ActionEvent(kind="begin", track_id=self._track_id, time_s=run.start_s, label=label)

    def _ends(self, run: _Run, end_s: float, label: str) -> ActionEvent:
        order = [int(index) for index in np.argsort(-run.mean, kind="stable")]
        best = order[0] if label == UNKNOWN else run.state
        others = [index for index in order if index != best and run.mean[index] > 0]
        segment = Segment(
            track_id=self._track_id,
            start_s=run.start_s,
            end_s=end_s,
            label=label,
            probability=float(run.mean[best]),
            best_label=self._labels[best],
            runners_up=tuple(
                (self._labels[index], float(run.mean[index])) for index in others[: self._settings.num_runners_up]
            ),
        )
        return ActionEvent(kind="end", track_id=self._track_id, time_s=end_s, label=label, segment=segment)
