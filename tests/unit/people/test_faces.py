"""Where the face detector looks, and what it says about what it cannot use; the network itself has tests elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from tubelet.people import faces
from tubelet.people.faces import FaceDetector, head_square
from tubelet.people.squares import Square, crop_square


class Marked:
    """A network that finds a face round the brightest pixel of its input, 24 x 24 input pixels large."""

    def __init__(self, *_: object) -> None:
        self.calls = 0

    def require(self, input_shape: tuple[int, ...], outputs: tuple[str, ...]) -> None:
        assert input_shape == (1, 192, 192, 3)

    def run(self, batch: np.ndarray, outputs: tuple[str, ...]) -> list[np.ndarray]:
        self.calls += 1
        assert batch.dtype == np.float32
        assert batch.min() >= -1
        assert batch.max() <= 1
        values, logits = np.zeros((1, 2304, 16), np.float32), np.full((1, 2304, 1), -9.0, np.float32)
        grey = batch[0, :, :, 0]
        if grey.max() > 0:
            y, x = np.argwhere(grey > 0).mean(axis=0) + 0.5
            values[0, 0, :4] = [x - 2, y - 2, 24, 24]
            logits[0, 0] = 3.0
        return [values, logits]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> FaceDetector:
    monkeypatch.setattr(faces, "InterpreterPool", Marked)
    return FaceDetector(Path("any.tflite"))


def test_an_upright_person_is_looked_at_from_above_the_box() -> None:
    assert head_square(np.array([100, 200, 150, 400], np.float32)) == Square(x0=55, y0=186, side=140)


def test_a_person_who_lies_is_looked_at_as_a_whole() -> None:
    assert head_square(np.array([100, 200, 300, 250], np.float32)) == Square(x0=90, y0=115, side=220)


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [5, 9, 9, 5], [0, 0, np.inf, 9]])
def test_an_empty_box_is_refused(box: list[float]) -> None:
    with pytest.raises(ValueError, match="is empty; wanted x0 < x1 and y0 < y1 in pixels"):
        head_square(np.array(box, np.float32))


def test_a_square_beyond_the_edges_sees_black_there() -> None:
    image = np.full((96, 96, 3), 200, np.uint8)
    seen = crop_square(image, Square(-96, -96, 192), 192)
    assert (seen[96:, 96:] == 200).all()
    assert (seen[:96] == 0).all()
    assert (seen[:, :96] == 0).all()
    assert (crop_square(image, Square(500, 0, 50), 192) == 0).all()
    assert (crop_square(image, Square(-50, -50, 50), 192) == 0).all()


def test_shrinking_averages() -> None:
    image = np.zeros((384, 384, 3), np.uint8)
    image[::2] = 200
    assert np.unique(crop_square(image, Square(0, 0, 384), 192)).tolist() == [100]


@pytest.mark.parametrize(("size", "num_looks"), [((192, 192), 1), ((192, 384), 4), ((400, 200), 4)])
def test_a_face_comes_back_in_pixels_of_the_image(marked: FaceDetector, size: tuple[int, int], num_looks: int) -> None:
    image = np.zeros((*size, 3), np.uint8)
    image[96:100, 96:100] = 255
    found = marked.detect(image)
    middle = (found.xyxy_px[0, :2] + found.xyxy_px[0, 2:]) / 2
    np.testing.assert_allclose(middle, [98, 98], atol=2)
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-3)))
    assert marked._pool.calls == num_looks


def test_people_are_looked_at_besides(marked: FaceDetector) -> None:
    image = np.zeros((192, 192, 3), np.uint8)
    people = np.array([[10, 10, 40, 90], [100, 20, 160, 180]], np.float32)
    assert len(marked.detect(image, people_px=people)) == 0
    assert marked._pool.calls == 3


def test_boxes_lie_inside_the_image(marked: FaceDetector) -> None:
    image = np.zeros((192, 192, 3), np.uint8)
    image[:2, :2] = 255
    np.testing.assert_allclose(marked.detect(image).xyxy_px, [[0, 0, 13, 13]], atol=0.1)


def test_what_is_no_image_is_refused(marked: FaceDetector, unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match=r"image is float64 \(4, 4\); wanted uint8 \(height, width, 3\)"):
        marked.detect(np.zeros((4, 4)))


@pytest.mark.parametrize("score", [0.0, 1.0, -0.2])
def test_the_threshold_must_lie_between_0_and_1(score: float) -> None:
    with pytest.raises(ValueError, match="it must lie between 0 and 1"):
        FaceDetector(min_score=score)
