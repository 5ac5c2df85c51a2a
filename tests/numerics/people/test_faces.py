"""Anchors and box code of the face detector by hand, and its network against MediaPipe's recorded answers."""

import av
import cv2
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tubelet import weights
from tubelet.people import faces
from tubelet.people.boxes import iou_matrix
from tubelet.people.faces import FaceDetector, anchors, decode_faces

# Recorded with mediapipe 0.10.21 (`solutions.face_detection`, model_selection=1) from squares of 192 px of the demo
# clip, which no resampling touches: frame, x0, y0 of the square, score, and box as x0, y0, x1, y1 in parts of it.
# MediaPipe averages the boxes that overlap the best one, each with its score as weight.
MEDIAPIPE = {
    "jumper": (90, 560, 20, 0.62127, (0.48025, 0.31438, 0.65245, 0.48657)),
    "walker": (120, 720, 460, 0.83200, (0.37862, 0.37473, 0.56697, 0.56304)),
    "walker later": (150, 420, 460, 0.87455, (0.36600, 0.35515, 0.55293, 0.54210)),
}
# What it was also shown, with a threshold of .2, and did not call a face: its graph drops all below .6 before that.
NOT_FOUND = (90, 1015, 460)


@pytest.fixture(scope="module")
def frames() -> dict[int, np.ndarray]:
    wanted = {number for number, *_ in MEDIAPIPE.values()}
    with av.open(str(weights.fetch(weights.DEMO_VIDEO))) as container:
        decoded = enumerate(container.decode(video=0))
        return {index: frame.to_ndarray(format="rgb24") for index, frame in decoded if index in wanted}


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(num_workers=1)


def square(frames: dict[int, np.ndarray], number: int, x0: int, y0: int) -> np.ndarray:
    return np.ascontiguousarray(frames[number][y0 : y0 + 192, x0 : x0 + 192])


def test_anchors_lie_row_by_row_in_the_middle_of_every_fourth_pixel() -> None:
    expected = [((column + 0.5) / 48, (row + 0.5) / 48) for row in range(48) for column in range(48)]
    assert len(expected) == faces.NUM_ANCHORS
    np.testing.assert_allclose(anchors(), expected, atol=1e-7)


def test_the_box_code_by_hand() -> None:
    values, logits = np.zeros((2304, 16), np.float32), np.full(2304, -9.0, np.float32)
    row, column = 10, 30
    values[row * 48 + column, :4] = [6.0, -4.0, 48.0, 24.0]
    values[row * 48 + column, 4:] = 1000.0  # eyes, nose, mouth and ears have no say
    logits[row * 48 + column] = np.log(3.0)
    found = decode_faces(values, logits, 0.6)
    # Middle (30.5 * 4 + 6, 10.5 * 4 - 4) = (128, 38) px, 48 x 24 px, of 192; the score is 3 / (1 + 3).
    np.testing.assert_allclose(found.xyxy_px, [[104 / 192, 26 / 192, 152 / 192, 50 / 192]], atol=1e-6)
    np.testing.assert_allclose(found.scores, [0.75], atol=1e-6)


def test_the_threshold_is_part_of_what_is_found_and_huge_logits_do_no_harm() -> None:
    values, logits = np.zeros((2304, 16), np.float32), np.full(2304, -3e4, np.float32)
    logits[[0, 1, 2]] = [0.0, 3e4, -1e-3]
    found = decode_faces(values, logits, 0.5)
    np.testing.assert_allclose(found.scores, [0.5, 1.0])


@pytest.mark.parametrize("name", MEDIAPIPE)
def test_faces_as_in_mediapipe(name: str, frames: dict[int, np.ndarray], detector: FaceDetector) -> None:
    number, x0, y0, score, box = MEDIAPIPE[name]
    batch = square(frames, number, x0, y0)[None].astype(np.float32) / 127.5 - 1
    values, logits = detector._pool.run(batch, ("Identity", "Identity_1"))
    found = decode_faces(values[0], logits[0, :, 0], 0.6)
    best = int(found.scores.argmax())
    assert found.scores[best] == pytest.approx(score, abs=2e-3)
    near = iou_matrix(found.xyxy_px[best : best + 1], found.xyxy_px)[0] > 0.3
    averaged = np.average(found.xyxy_px[near], axis=0, weights=found.scores[near])
    np.testing.assert_allclose(averaged, box, atol=2e-3)


@pytest.mark.parametrize("name", MEDIAPIPE)
def test_detect_finds_the_face_where_mediapipe_does(
    name: str, frames: dict[int, np.ndarray], detector: FaceDetector
) -> None:
    number, x0, y0, score, box = MEDIAPIPE[name]
    found = detector.detect(square(frames, number, x0, y0))
    assert len(found) == 1
    assert found.scores[0] == pytest.approx(score, abs=2e-3)
    assert iou_matrix(found.xyxy_px, np.array([box], np.float32) * 192)[0, 0] > 0.8


def test_what_mediapipe_drops_is_dropped(frames: dict[int, np.ndarray], detector: FaceDetector) -> None:
    assert len(detector.detect(square(frames, *NOT_FOUND))) == 0


def test_as_with_the_reference_kernels(frames: dict[int, np.ndarray], detector: FaceDetector) -> None:
    batch = square(frames, 120, 720, 460)[None].astype(np.float32) / 127.5 - 1
    path = str(weights.fetch(weights.FACE_DETECTION_FULL))
    plain = Interpreter(path, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    plain.allocate_tensors()
    plain.set_tensor(plain.get_input_details()[0]["index"], batch)
    plain.invoke()
    for detail in plain.get_output_details():
        (ours,) = detector._pool.run(batch, (detail["name"],))
        assert np.abs(ours - plain.get_tensor(detail["index"])).max() < 0.01


def test_a_small_face_of_a_person_is_found_in_the_large_frame(
    frames: dict[int, np.ndarray], detector: FaceDetector
) -> None:
    walker = np.array([750, 520, 880, 980], np.float32)  # by hand, at 4 s
    alone = detector.detect(frames[120])
    told = detector.detect(frames[120], people_px=walker[None])
    face = np.array([[795, 532, 830, 568]], np.float32)
    assert len(alone) == 0
    assert iou_matrix(told.xyxy_px, face).max() > 0.5


def test_nobody_is_found_where_the_person_is_blacked_out(frames: dict[int, np.ndarray], detector: FaceDetector) -> None:
    walker = np.array([750, 520, 880, 980], np.float32)
    hidden = frames[120].copy()
    hidden[520:980, 750:880] = 0
    assert len(detector.detect(hidden, people_px=walker[None])) == 0


def test_a_larger_frame_gives_the_same_face(frames: dict[int, np.ndarray], detector: FaceDetector) -> None:
    _, x0, y0, _, box = MEDIAPIPE["walker"]
    large = cv2.resize(square(frames, 120, x0, y0), (960, 960), interpolation=cv2.INTER_CUBIC)
    found = detector.detect(large)
    assert iou_matrix(found.xyxy_px, np.array([box], np.float32) * 960).max() > 0.8
