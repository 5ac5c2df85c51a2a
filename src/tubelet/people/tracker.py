"""Boxes and poses of moments -> people over time.

Every person is a constant-velocity Kalman filter over box centre and size. Detections (a few times a second) are
assigned to people by overlap, distance and colour; between detections the body landmarks carry the box. A person who
is not measured for a moment (behind a lamp post, upside down) coasts on the filter and is taken up again if a
detection fits.

Two tracks whose poses lie on top of each other are the same body: the landmark model, asked for someone who is
hidden, answers with whoever stands in front. The track that the pose fits worse is then treated as hidden, and ends
if nothing else is found.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32
from scipy.optimize import linear_sum_assignment

from tubelet.people.boxes import Boxes, iou_matrix
from tubelet.people.landmarks import Pose, body_angle, box_from_landmarks

_DETECTION_SIGMA = 0.04  # standard deviation of a detected edge, in box heights
_POSE_SIGMA = 0.06  # the same for a box drawn round landmarks
_ACCELERATION_SIGMA = 3.0  # box heights / s^2: a start, a stop, a jump
_SIZE_SIGMA = 0.6  # box heights / s^2: sizes change more slowly than places
_FADING_S = 0.4
_LEAST_MOMENTS = 5
_LEAST_LOOKS = 3
_LEAN_RAD = 0.5  # from here on an upright crop pulls the pose visibly towards standing
_MAIN_JOINTS = np.array([0, 11, 12, 23, 24, 25, 26, 27, 28])  # nose, shoulders, hips, knees, ankles

_HEAD_AND_SHOULDERS = np.array([0, 7, 8, 11, 12])
_LEGS = np.array([25, 26, 27, 28])


@dataclass(frozen=True, kw_only=True)
class TrackerSettings:
    """What counts as a person, and for how long.

    Attributes:
        min_presence: A pose measures a person if the landmark model's presence reaches this.
        confirm_s: A new track becomes a person once measured for this long …
        confirm_presence: … with at least this median presence …
        confirm_detections: … and this many detections.
        tentative_s: A new track that is not confirmed by then is dropped.
        rejected_presence: A new track whose poses stay below this is dropped after a few looks …
        rejected_s: … and nothing new is begun at its place for this long: a tripod need not be looked at all the time.
        max_coast_s: A person not measured for longer than this has left.
        max_undetected_s: A person carried by the landmarks alone for longer than this has left: a pose can settle on
            a bush.
        memory_s: How far back `max_hidden` looks.
        max_hidden: A track that shows another one's body for more than this share of the time is a ghost beside it.
        duplicate_distance: Two poses closer than this (mean distance of the main joints, in body sizes) are one body.
    """

    min_presence: float = 0.5
    confirm_s: float = 0.3
    confirm_presence: float = 0.6
    confirm_detections: int = 2
    tentative_s: float = 1.5
    rejected_presence: float = 0.25
    rejected_s: float = 1.0
    max_coast_s: float = 1.2
    max_undetected_s: float = 2.5
    memory_s: float = 1.5
    max_hidden: float = 0.5
    duplicate_distance: float = 0.12


class BoxFilter:
    """Kalman filter with constant velocity over centre x, centre y, width and height of one box, in pixels."""

    def __init__(self, time_s: float, box_px: Float[np.ndarray, "4"]) -> None:
        self.time_s = time_s
        self.mean = np.stack([_to_centre(box_px), np.zeros(4)])  # values; velocities per second
        height = max(float(self.mean[0, 3]), 1.0)
        self.covariance = np.zeros((4, 2, 2))
        self.covariance[:, 0, 0] = (_DETECTION_SIGMA * height) ** 2
        self.covariance[:2, 1, 1] = (1.0 * height) ** 2
        self.covariance[2:, 1, 1] = (0.2 * height) ** 2

    def predict(self, time_s: float) -> None:
        """Moves the filter forward to `time_s`."""
        step = time_s - self.time_s
        if step <= 0:
            return
        self.time_s = time_s
        transition = np.array([[1.0, step], [0.0, 1.0]])
        self.mean = transition @ self.mean
        height = max(float(self.mean[0, 3]), 1.0)
        sigma = height * np.array([_ACCELERATION_SIGMA, _ACCELERATION_SIGMA, _SIZE_SIGMA, _SIZE_SIGMA])
        noise = np.array([[step**4 / 4, step**3 / 2], [step**3 / 2, step**2]])
        self.covariance = transition @ self.covariance @ transition.T + sigma[:, None, None] ** 2 * noise

    def slow_down(self, time_s: float) -> None:
        """Lets the velocity fade until `time_s`: what is not seen moving has more likely stopped."""
        self.mean[1] *= np.exp(-max(time_s - self.time_s, 0.0) / _FADING_S)

    def update(self, box_px: Float[np.ndarray, "4"], sigma: float) -> None:
        """Takes in a measured box whose edges have a standard deviation of `sigma` box heights."""
        measured = _to_centre(box_px)
        variance = (sigma * max(float(measured[3]), 1.0)) ** 2
        gain = self.covariance[:, :, 0] / (self.covariance[:, 0, 0] + variance)[:, None]
        self.mean = self.mean + (gain * (measured - self.mean[0])[:, None]).T
        self.covariance = self.covariance - gain[:, :, None] * self.covariance[:, None, 0, :]

    @property
    def box_px(self) -> Float32[np.ndarray, "4"]:
        """x0, y0, x1, y1 now."""
        x, y, width, height = self.mean[0]
        width, height = max(width, 2.0), max(height, 2.0)
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2], np.float32)


@dataclass
class Track:
    """One person followed through time.

    Attributes:
        serial: Order of birth, never reused.
        is_confirmed: A person; before that it may still turn out to be a signboard.
        score: Score of the latest detection.
        pose: The pose of this moment; None if there is none to trust.
        is_measured: Detected, or seen by the landmark model, at this very moment.
        angle_rad: How to turn the crop for the next pose (see `LandmarkModel.estimate`): 0 unless the last pose leant
            far.
        has_ended: Left, lost, or never a person.
    """

    serial: int
    filter: BoxFilter
    born_s: float
    score: float
    descriptor: Float32[np.ndarray, " bins"] | None
    last_detected_s: float
    last_measured_s: float
    num_detections: int = 1
    is_confirmed: bool = False
    has_ended: bool = False
    is_detected: bool = True
    is_measured: bool = True
    pose: Pose | None = None
    angle_rad: float = 0.0
    presences: list[float] = field(default_factory=list)
    hidden: deque[tuple[float, bool]] = field(default_factory=deque)

    @property
    def box_px(self) -> Float32[np.ndarray, "4"]:
        """x0, y0, x1, y1 at this moment."""
        return self.filter.box_px


class Tracker:
    """Follows people.

    A moment takes two calls: `advance` moves every track to the moment and gives it its detection, if detections were
    made; then the caller estimates a pose in each `track.box_px` of `live` and hands them to `observe`.

    Args:
        settings: What counts as a person.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.live: list[Track] = []
        self._rejected: list[tuple[float, Float32[np.ndarray, " 4"]]] = []  # until when, and where
        self._num_born = 0

    def advance(
        self,
        time_s: float,
        detections: Boxes | None,
        descriptors: Float32[np.ndarray, "people bins"] | None = None,
    ) -> None:
        """Moves all tracks to `time_s` and assigns the detections of that moment.

        Args:
            time_s: The moment; never earlier than the one before.
            detections: What the detector found; None if it did not run at this moment.
            descriptors: Colour of each detection (see `appearance.describe`).
        """
        for track in self.live:
            if not track.is_measured:
                track.filter.slow_down(time_s)
            track.filter.predict(time_s)
            track.is_detected = track.is_measured = False
            track.pose = None
        if detections is None:
            return
        if descriptors is not None and len(descriptors) != len(detections):
            raise ValueError(f"{len(descriptors)} descriptors for {len(detections)} detections")
        free = set(range(len(detections)))
        for track_index, index in self._assign(time_s, detections, descriptors):
            free.discard(index)
            self._detected(self.live[track_index], time_s, detections, descriptors, index)
        self._rejected = [(until_s, place) for until_s, place in self._rejected if until_s > time_s]
        places = np.array([place for _, place in self._rejected], np.float32).reshape(-1, 4)
        known = iou_matrix(detections.xyxy_px, places).max(axis=1, initial=0.0) > 0.5
        for index in sorted(free):
            if not known[index]:
                self._give_birth(time_s, detections, descriptors, index)

    def observe(self, time_s: float, poses: list[Pose]) -> list[Track]:
        """Takes in the poses of `live`, in order, and returns the tracks that ended.

        Raises:
            ValueError: If the number of poses is not the number of live tracks.
        """
        if len(poses) != len(self.live):
            raise ValueError(f"{len(poses)} poses for {len(self.live)} live tracks")
        hidden = self._hidden(poses)
        for index, (track, pose) in enumerate(zip(self.live, poses, strict=True)):
            track.hidden.append((time_s, index in hidden))
            while track.hidden[0][0] < time_s - self.settings.memory_s:
                track.hidden.popleft()
            if index in hidden:
                track.is_measured = False
                continue
            track.presences.append(pose.presence)
            del track.presences[:-30]
            if pose.presence >= self.settings.min_presence:
                track.pose = pose
                track.angle_rad = _lean(pose)
                track.is_measured = True
                if not track.is_detected:
                    track.filter.update(box_from_landmarks(pose.landmarks), _POSE_SIGMA)
            else:
                track.angle_rad = 0.0  # perhaps the crop was turned wrongly: try upright next
                track.is_measured = track.is_detected
            if track.is_measured:
                track.last_measured_s = time_s
        self._judge(time_s)
        ended = [track for track in self.live if track.has_ended]
        self.live = [track for track in self.live if not track.has_ended]
        return ended

    def _assign(
        self, time_s: float, detections: Boxes, descriptors: Float32[np.ndarray, "people bins"] | None
    ) -> list[tuple[int, int]]:
        if not self.live or not len(detections):
            return []
        predicted = np.stack([track.box_px for track in self.live])
        overlap = iou_matrix(predicted, detections.xyxy_px)
        distance = _distance(predicted, detections.xyxy_px)
        waited = np.array([time_s - track.last_measured_s for track in self.live])
        reach = 0.45 + 0.6 * np.minimum(waited, 1.0)  # box heights: the longer unseen, the further away it may turn up
        ratio = np.log(detections.heights_px[None] / (predicted[:, 3] - predicted[:, 1])[:, None])
        widths = detections.xyxy_px[:, 2] - detections.xyxy_px[:, 0]
        stretch = np.log(widths[None] / (predicted[:, 2] - predicted[:, 0])[:, None])  # two people in one box are wide
        cost = (1 - overlap) + 0.6 * distance + 0.5 * np.abs(ratio) + 0.3 * np.abs(stretch)
        if descriptors is not None:
            cost += 0.8 * np.stack([_unlikeness(track.descriptor, descriptors) for track in self.live])
        allowed = ((overlap > 0.1) | (distance < reach[:, None])) & (np.abs(ratio) < 0.7)
        cost += np.array([0.0 if track.is_confirmed else 0.3 for track in self.live])[:, None]
        rows, columns = linear_sum_assignment(np.where(allowed, cost, 1e3))
        return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]

    def _detected(
        self,
        track: Track,
        time_s: float,
        detections: Boxes,
        descriptors: Float32[np.ndarray, "people bins"] | None,
        index: int,
    ) -> None:
        track.filter.update(detections.xyxy_px[index], _DETECTION_SIGMA)
        track.is_detected = track.is_measured = True
        track.score = float(detections.scores[index])
        track.last_detected_s = track.last_measured_s = time_s
        track.num_detections += 1
        if descriptors is not None:
            old = track.descriptor
            track.descriptor = descriptors[index] if old is None else 0.8 * old + 0.2 * descriptors[index]

    def _give_birth(
        self,
        time_s: float,
        detections: Boxes,
        descriptors: Float32[np.ndarray, "people bins"] | None,
        index: int,
    ) -> None:
        self.live.append(
            Track(
                serial=self._num_born,
                filter=BoxFilter(time_s, detections.xyxy_px[index]),
                born_s=time_s,
                score=float(detections.scores[index]),
                descriptor=None if descriptors is None else descriptors[index],
                last_detected_s=time_s,
                last_measured_s=time_s,
            )
        )
        self._num_born += 1

    def _hidden(self, poses: list[Pose]) -> set[int]:
        """Indices of tracks whose pose belongs to another track's body."""
        sure = [i for i, pose in enumerate(poses) if pose.presence >= self.settings.min_presence]
        bodies = {i: box_from_landmarks(poses[i].landmarks) for i in sure}
        hidden: set[int] = set()
        for place, i in enumerate(sure):
            for j in sure[place + 1 :]:
                if i in hidden or j in hidden or not _same_body(poses[i], poses[j], self.settings.duplicate_distance):
                    continue
                # The larger pose is the whole body where the other has only half of it.
                whole = max((bodies[i], bodies[j]), key=lambda body: float(body[3] - body[1]))
                hidden.add(min((i, j), key=lambda k: self._claim(self.live[k], whole)))
        return hidden

    def _claim(self, track: Track, body_px: Float[np.ndarray, " 4"]) -> tuple[bool, float]:
        """How good a claim to a body is: a person before a newcomer, then by overlap, more if just detected."""
        overlap = float(iou_matrix(track.box_px[None], body_px[None])[0, 0])
        return (track.is_confirmed, overlap + (0.15 if track.is_detected else 0.0))

    def _judge(self, time_s: float) -> None:
        rules = self.settings
        for track in self.live:
            presence = float(np.median(track.presences)) if track.presences else 0.0
            hidden = float(np.mean([is_hidden for _, is_hidden in track.hidden]))
            if len(track.hidden) >= _LEAST_MOMENTS and hidden > rules.max_hidden:
                track.has_ended = True
            elif not track.is_confirmed:
                age = time_s - track.born_s
                waited = time_s - track.last_detected_s
                if (
                    age >= rules.confirm_s
                    and presence >= rules.confirm_presence
                    and track.num_detections >= rules.confirm_detections
                    and hidden <= rules.max_hidden / 2
                ):
                    track.is_confirmed = True
                elif len(track.presences) >= _LEAST_LOOKS and presence < rules.rejected_presence:
                    track.has_ended = True
                    self._rejected.append((time_s + rules.rejected_s, track.box_px))
                elif age > rules.tentative_s or waited > rules.tentative_s / 2:
                    track.has_ended = True
            elif (
                time_s - track.last_measured_s > rules.max_coast_s
                or time_s - track.last_detected_s > rules.max_undetected_s
                or (len(track.presences) >= 30 and presence < rules.min_presence / 2)
            ):
                track.has_ended = True


def _to_centre(box_px: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4"]:
    x0, y0, x1, y1 = (float(value) for value in box_px)
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])


def _distance(a_px: Float[np.ndarray, "m 4"], b_px: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "m n"]:
    """Distance of centres in units of the mean box height."""
    centre_a, centre_b = (a_px[:, :2] + a_px[:, 2:]) / 2, (b_px[:, :2] + b_px[:, 2:]) / 2
    height = ((a_px[:, 3] - a_px[:, 1])[:, None] + (b_px[:, 3] - b_px[:, 1])[None]) / 2
    distance: Float[np.ndarray, "m n"] = np.linalg.norm(centre_a[:, None] - centre_b[None], axis=-1) / height
    return distance


def _unlikeness(
    own: Float32[np.ndarray, " bins"] | None, others: Float32[np.ndarray, "n bins"]
) -> Float[np.ndarray, " n"]:
    """Hellinger distance of colour histograms, 0 (same) to 1."""
    if own is None:
        return np.zeros(len(others))
    distance: Float[np.ndarray, " n"] = np.sqrt(np.clip(1 - np.sqrt(own[None] * others).sum(-1), 0, 1))
    return distance


def _lean(pose: Pose) -> float:
    """The body's angle where it is far from upright; the jitter of a standing body would only shake the crop."""
    angle = body_angle(pose.landmarks)
    return angle if abs(angle) > _LEAN_RAD else 0.0


def _same_body(a: Pose, b: Pose, limit: float) -> bool:
    """Whether two poses are of one body: all of it, or its upper or lower part, where one box holds half a person."""
    first, second = a.landmarks[:, :2], b.landmarks[:, :2]
    size = max(float(np.ptp(pose[_MAIN_JOINTS], axis=0).max()) for pose in (first, second))
    apart = np.linalg.norm(first - second, axis=1) / max(size, 1.0)
    return any(float(apart[joints].mean()) < limit for joints in (_MAIN_JOINTS, _HEAD_AND_SHOULDERS, _LEGS))
