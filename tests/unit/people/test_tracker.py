"""Following people: identities through motion, gaps and crossings; false boxes that never become people."""

import numpy as np
import pytest

from tubelet.people.boxes import Boxes
from tubelet.people.landmarks import Pose
from tubelet.people.tracker import BoxFilter, Tracker, TrackerSettings

STEP_S = 1 / 15


def box(x: float, y: float = 100.0, height: float = 80.0) -> np.ndarray:
    width = 0.4 * height
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2], np.float32)


def pose_in(box_px: np.ndarray, presence: float = 0.95) -> Pose:
    """A standing body that fills the box."""
    x0, y0, x1, y1 = box_px
    across, down = np.full(33, 0.5), np.linspace(0.05, 0.95, 33)
    across[::2], across[1::2] = 0.3, 0.7
    points = np.stack([x0 + across * (x1 - x0), y0 + down * (y1 - y0), np.ones(33)], axis=1)
    return Pose(points.astype(np.float32), presence)


def boxes(*found: np.ndarray) -> Boxes:
    if not found:
        return Boxes.empty()
    return Boxes(np.stack(found).astype(np.float32), np.full(len(found), 0.6, np.float32))


class Scene:
    """Runs a tracker over people whose places are known; poses follow the true body nearest to each track."""

    def __init__(self, presence: float = 0.95) -> None:
        self.tracker = Tracker()
        self.presence = presence
        self.ended: list[int] = []
        self.places: dict[int, list[tuple[int, float]]] = {}

    def run(self, moments: list[list[np.ndarray]], seen: list[bool] | None = None, start: int = 0) -> None:
        for offset, people in enumerate(moments):
            number = start + offset
            visible = seen is None or seen[offset]
            detections = boxes(*(people if visible else [])) if number % 3 == 0 else None
            self.tracker.advance(number * STEP_S, detections)
            poses = [self._pose(track.box_px, people if visible else []) for track in self.tracker.live]
            self.ended += [track.serial for track in self.tracker.observe(number * STEP_S, poses)]
            for track in self.tracker.live:
                if track.is_confirmed and track.is_measured:
                    centre = float(track.box_px[0] + track.box_px[2]) / 2
                    self.places.setdefault(track.serial, []).append((number, centre))

    def _pose(self, near: np.ndarray, people: list[np.ndarray]) -> Pose:
        if not people:
            return pose_in(near, 0.05)
        distances = [abs(float(near[0] + near[2] - person[0] - person[2])) for person in people]
        best = people[int(np.argmin(distances))]
        return pose_in(best, self.presence) if min(distances) < 120 else pose_in(near, 0.05)


def test_one_walker_keeps_one_identity_and_the_box_follows() -> None:
    scene = Scene()
    scene.run([[box(100 + 6 * k)] for k in range(60)])
    assert list(scene.places) == [0]
    for number, centre in scene.places[0][10:]:
        assert centre == pytest.approx(100 + 6 * number, abs=6)


def test_a_gap_of_half_a_second_is_bridged() -> None:
    scene = Scene()
    seen = [True] * 30 + [False] * 8 + [True] * 30
    scene.run([[box(100 + 4 * k)] for k in range(68)], seen)
    assert list(scene.places) == [0]
    assert scene.places[0][-1][0] == 67


def test_someone_who_left_ends_and_a_newcomer_is_someone_else() -> None:
    scene = Scene()
    seen = [True] * 30 + [False] * 40 + [True] * 30
    scene.run([[box(100)]] * 100, seen)
    assert scene.ended == [0]
    assert list(scene.places) == [0, 1]


def test_two_people_who_pass_each_other_keep_their_identities() -> None:
    scene = Scene()
    scene.run([[box(100 + 5 * k), box(400 - 5 * k, y=112)] for k in range(60)])
    assert sorted(scene.places) == [0, 1]
    starts = {serial: places[0][1] for serial, places in scene.places.items()}
    ends = {serial: places[-1][1] for serial, places in scene.places.items()}
    for serial, start in starts.items():
        assert (start < 250) == (ends[serial] > 250)


def test_a_thing_without_a_pose_never_becomes_a_person() -> None:
    scene = Scene(presence=0.1)
    scene.run([[box(200)]] * 60)
    assert scene.places == {}


def test_two_tracks_on_one_body_become_one() -> None:
    scene = Scene()
    body = box(200)
    half = np.array([body[0], body[1], body[2], (body[1] + body[3]) / 2 + 5], np.float32)
    scene.tracker.advance(0.0, boxes(body, half))
    scene.tracker.observe(0.0, [pose_in(body), pose_in(body)])
    scene.run([[body]] * 40, start=1)
    assert len(scene.places) == 1
    assert len(scene.tracker.live) == 1


def test_the_filter_learns_a_velocity() -> None:
    box_filter = BoxFilter(0.0, box(100))
    for k in range(1, 20):
        box_filter.predict(k * 0.1)
        box_filter.update(box(100 + 10 * k), 0.04)
    box_filter.predict(2.4)
    assert (box_filter.box_px[0] + box_filter.box_px[2]) / 2 == pytest.approx(100 + 240, abs=4)


def test_wrong_number_of_poses_is_an_error() -> None:
    tracker = Tracker(TrackerSettings())
    tracker.advance(0.0, boxes(box(100)))
    with pytest.raises(ValueError, match="0 poses for 1 live tracks"):
        tracker.observe(0.0, [])
