"""Where one person was: measured at some frames, filled in between, settled in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from tubelet.methods.recognition.timeline import TrackRow
from tubelet.people.landmarks import Pose

_MAX_POSE_GAP_S = 0.25  # over a longer gap limbs move too far for a straight line between two poses


@dataclass(frozen=True)
class Observation:
    """One person measured in one frame."""

    frame_index: int
    time_s: float
    box_px: Float32[np.ndarray, "4"]
    score: float
    pose: Pose | None


class Trail:
    """The measurements of one track, and what follows from them for the frames between.

    A gap is filled only once its far side is known, so a person who leaves does not go on as a ghost.
    """

    def __init__(self) -> None:
        self._unsettled: list[Observation] = []
        self._fresh: list[Observation] = []
        self._last: Observation | None = None
        self._end_s: float | None = None
        self._start_s: float | None = None

    @property
    def start_s(self) -> float:
        """Time of the first measurement."""
        if self._start_s is None:
            raise ValueError("the trail has no measurement yet")
        return self._start_s

    @property
    def open_frame(self) -> int | None:
        """First frame about which this trail may still yield a row; None before any measurement."""
        if self._last is not None:
            return self._last.frame_index + 1
        return self._unsettled[0].frame_index if self._unsettled else None

    def end_s(self, frame_period_s: float) -> float:
        """End of the last frame that has a row, exclusive."""
        if self._end_s is None:
            raise ValueError("nothing is settled yet")
        return self._end_s + frame_period_s

    def measure(self, observation: Observation) -> None:
        """Takes in a measurement, later than all before."""
        if self._start_s is None:
            self._start_s = observation.time_s
        self._unsettled.append(observation)

    def settle(self, track_id: int, decoded: Iterable[tuple[int, float]]) -> list[TrackRow]:
        """Rows for every decoded frame up to the latest measurement that have not been given before.

        Args:
            track_id: Whose rows they become.
            decoded: Number and time of decoded frames in order; must reach back to `open_frame`.
        """
        rows: list[TrackRow] = []
        for observation in self._unsettled:
            if self._last is not None:
                first, last = self._last.frame_index + 1, observation.frame_index
                between = [(index, time_s) for index, time_s in decoded if first <= index < last]
                rows += [_between(track_id, self._last, observation, index, time_s) for index, time_s in between]
            rows.append(_row(track_id, observation, observation.frame_index, observation.time_s, interpolated=False))
            self._last = observation
            self._end_s = observation.time_s
        self._fresh += self._unsettled
        self._unsettled = []
        return rows

    def hold_until_end(self, track_id: int, decoded: Iterable[tuple[int, float]], max_s: float) -> list[TrackRow]:
        """Rows for the last frames of a video, which are not analysed: the person stays put, for `max_s` at most."""
        last = self._last
        if last is None:
            return []
        after = [(i, t) for i, t in decoded if i > last.frame_index and t - last.time_s <= max_s]
        if after:
            self._end_s = after[-1][1]
        return [_row(track_id, last, index, time_s, interpolated=True) for index, time_s in after]

    def take_observations(self) -> list[Observation]:
        """The measurements settled since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh


def _row(track_id: int, seen: Observation, frame_index: int, time_s: float, *, interpolated: bool) -> TrackRow:
    x0, y0, x1, y1 = (float(value) for value in seen.box_px)
    return TrackRow(
        track_id=track_id,
        frame_index=frame_index,
        time_s=time_s,
        box_px=(x0, y0, x1, y1),
        score=seen.score,
        interpolated=interpolated,
        landmarks_px=None if seen.pose is None else seen.pose.landmarks,
    )


def _between(track_id: int, before: Observation, after: Observation, frame_index: int, time_s: float) -> TrackRow:
    gap_s = after.time_s - before.time_s
    share = (time_s - before.time_s) / gap_s if gap_s > 0 else 1.0
    x0, y0, x1, y1 = (float(value) for value in (1 - share) * before.box_px + share * after.box_px)
    landmarks = None
    if before.pose is not None and after.pose is not None and gap_s <= _MAX_POSE_GAP_S:
        landmarks = ((1 - share) * before.pose.landmarks + share * after.pose.landmarks).astype(np.float32)
    return TrackRow(
        track_id=track_id,
        frame_index=frame_index,
        time_s=time_s,
        box_px=(x0, y0, x1, y1),
        score=before.score,
        interpolated=True,
        landmarks_px=landmarks,
    )
