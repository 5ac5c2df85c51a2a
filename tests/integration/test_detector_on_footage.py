"""Detector and landmarks together, on a real clip with people labelled by hand."""

from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest

from tubelet import weights
from tubelet.people.boxes import iou_matrix
from tubelet.people.detector import SsdDetector, load_detector
from tubelet.people.landmarks import LandmarkModel, body_angle, box_from_landmarks, roi_from_landmarks

# The walking woman in the foreground, drawn by hand: frame -> x0, y0, x1, y1.
WALKER = {60: (1269, 545, 1500, 940), 90: (1073, 518, 1183, 931), 120: (715, 517, 950, 928), 150: (385, 508, 614, 935)}
LEFT_ANKLE, RIGHT_ANKLE, NOSE = 27, 28, 0


@pytest.fixture(scope="module")
def frames() -> dict[int, np.ndarray]:
    with av.open(str(weights.fetch(weights.DEMO_VIDEO))) as container:
        wanted = {*WALKER, 200}
        return {i: f.to_ndarray(format="rgb24") for i, f in enumerate(container.decode(video=0)) if i in wanted}


@pytest.fixture(scope="module")
def landmarks() -> LandmarkModel:
    return LandmarkModel()


@pytest.fixture(scope="module", params=["oidv4", "ssdlite"])
def detector(request: pytest.FixtureRequest) -> SsdDetector:
    if request.param == "ssdlite":
        return load_detector("ssdlite")
    found = load_detector("auto")
    if found.name != "oidv4":
        # A machine without npm has only the pip-only detector, and must say so.
        assert "could not be brought" in found.reason
    return found


@pytest.mark.parametrize("index", list(WALKER))
def test_the_walker_is_found_and_confirmed(
    detector: SsdDetector, landmarks: LandmarkModel, frames: dict[int, np.ndarray], index: int
) -> None:
    found = detector.detect(frames[index])
    truth = np.array([WALKER[index]], np.float32)
    overlap = iou_matrix(found.xyxy_px, truth)[:, 0]
    assert overlap.max() > 0.5
    pose = landmarks.estimate(frames[index], found.xyxy_px[int(overlap.argmax())])
    assert pose.presence > 0.9
    assert iou_matrix(box_from_landmarks(pose.landmarks)[None], truth)[0, 0] > 0.7


def test_ankles_are_below_the_nose_and_inside_the_box(landmarks: LandmarkModel, frames: dict[int, np.ndarray]) -> None:
    for index, box in WALKER.items():
        points = landmarks.estimate(frames[index], box).landmarks
        x0, y0, x1, y1 = box
        inside = (
            (points[:, 0] > x0 - 20) & (points[:, 0] < x1 + 20) & (points[:, 1] > y0 - 20) & (points[:, 1] < y1 + 20)
        )
        assert inside.all()
        assert points[NOSE, 1] + 200 < min(points[LEFT_ANKLE, 1], points[RIGHT_ANKLE, 1])
        assert abs(body_angle(points)) < np.radians(15)


def test_grass_is_not_a_person(landmarks: LandmarkModel, frames: dict[int, np.ndarray]) -> None:
    assert landmarks.estimate(frames[90], [100, 700, 350, 990]).presence < 0.2


def test_the_pose_leads_to_the_person_a_moment_later(landmarks: LandmarkModel, frames: dict[int, np.ndarray]) -> None:
    first = landmarks.estimate(frames[90], WALKER[90])
    again = landmarks.estimate(frames[90], roi_from_landmarks(first.landmarks), body_angle(first.landmarks))
    assert again.presence > 0.9
    assert np.abs(again.landmarks[:, :2] - first.landmarks[:, :2]).mean() < 12


def test_turning_the_crop_follows_somebody_who_bends_over(
    landmarks: LandmarkModel, frames: dict[int, np.ndarray]
) -> None:
    # Frame 200: the man has landed and runs off, bent forward by some 80 degrees; upright crops make him stand.
    box, angle = (1050, 640, 1330, 900), 0.0
    angles = []
    for _ in range(6):
        pose = landmarks.estimate(frames[200], box, angle)
        angle = body_angle(pose.landmarks)
        angles.append(np.degrees(angle))
    assert angles[0] < 50
    assert 55 < angles[-1] < 100
    assert pose.presence > 0.9


def test_many_at_once_are_the_same_as_one_by_one(landmarks: LandmarkModel, frames: dict[int, np.ndarray]) -> None:
    boxes = [np.array(box, np.float32) for box in WALKER.values()] * 2
    angles = [0.1 * k for k in range(8)]
    together = landmarks.estimate_many(frames[120], boxes, angles)
    alone = [landmarks.estimate(frames[120], box, angle) for box, angle in zip(boxes, angles, strict=True)]
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours.landmarks, theirs.landmarks)
        assert ours.presence == theirs.presence
    with pytest.raises(ValueError, match="7 angles for 8 boxes; wanted one each"):
        landmarks.estimate_many(frames[120], boxes, angles[:7])


def test_a_detector_serves_several_threads(detector: SsdDetector, frames: dict[int, np.ndarray]) -> None:
    expected = {index: detector.detect(frames[index]).xyxy_px for index in WALKER}
    with ThreadPoolExecutor(4) as pool:
        for index, found in pool.map(lambda i: (i, detector.detect(frames[i])), list(WALKER) * 2):
            np.testing.assert_array_equal(found.xyxy_px, expected[index])
