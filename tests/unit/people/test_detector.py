"""The detector over a stand-in network that answers with boxes of our choice."""

import numpy as np
import pytest

from tubelet import weights
from tubelet.errors import WeightsError
from tubelet.people import detector as module
from tubelet.people import ssd
from tubelet.people.detector import SsdDetector, load_detector


class Painted:
    """Answers with one box round the red pixels of the crop, exactly, through the nearest anchor."""

    num_workers = 2

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls += 1
        encodings, logits = np.zeros((1917, 4), np.float32), np.full(1917, -9.0, np.float32)
        rows, columns = np.nonzero(crop[:, :, 0] == 255)
        if len(rows):
            height, width = crop.shape[:2]
            y0, y1, x0, x1 = (
                rows.min() / height,
                (rows.max() + 1) / height,
                columns.min() / width,
                (columns.max() + 1) / width,
            )
            anchor = ssd.anchors()[1700]
            encodings[1700] = [
                ((y0 + y1) / 2 - anchor[0]) / anchor[2] * 10,
                ((x0 + x1) / 2 - anchor[1]) / anchor[3] * 10,
                np.log((y1 - y0) / anchor[2]) * 5,
                np.log((x1 - x0) / anchor[3]) * 5,
            ]
            logits[1700] = 2.0
        return encodings, logits


def street(*people: tuple[int, int, int, int]) -> np.ndarray:
    image = np.zeros((300, 600, 3), np.uint8)
    for x0, y0, x1, y1 in people:
        image[y0:y1, x0:x1] = 255
    return image


@pytest.mark.parametrize("tile_px", [None, 150])
def test_one_person_is_one_box_in_pixels_of_the_image(tile_px: int | None) -> None:
    found = SsdDetector(Painted(), name="painted").detect(street((250, 100, 270, 160)), tile_px=tile_px)
    np.testing.assert_allclose(found.xyxy_px, [[250, 100, 270, 160]], atol=0.01)
    assert found.scores == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_a_person_cut_by_a_square_counts_only_where_they_are_whole() -> None:
    # x = 300 is the right edge of the first square and lies inside the next.
    found = SsdDetector(Painted(), name="painted").detect(street((290, 100, 310, 160)))
    np.testing.assert_allclose(found.xyxy_px, [[290, 100, 310, 160]], atol=0.01)


def test_a_person_at_the_edge_of_the_image_is_kept() -> None:
    found = SsdDetector(Painted(), name="painted").detect(street((0, 240, 20, 300)))
    np.testing.assert_allclose(found.xyxy_px, [[0, 240, 20, 300]], atol=0.01)


class Beside:
    """Answers with one box, given as x0, y0, x1, y1 in parts of the crop; it may lie outside."""

    num_workers = 1

    def __init__(self, *box: float) -> None:
        self.box = box

    def __call__(self, crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        encodings, logits = np.zeros((1917, 4), np.float32), np.full(1917, -9.0, np.float32)
        (x0, y0, x1, y1), anchor = self.box, ssd.anchors()[1700]
        encodings[1700] = [
            ((y0 + y1) / 2 - anchor[0]) / anchor[2] * 10,
            ((x0 + x1) / 2 - anchor[1]) / anchor[3] * 10,
            np.log((y1 - y0) / anchor[2]) * 5,
            np.log((x1 - x0) / anchor[3]) * 5,
        ]
        logits[1700] = 2.0
        return encodings, logits


@pytest.mark.parametrize(
    ("box", "num_people"),
    [
        ((-0.2, 0.2, 0.0, 0.8), 0),
        ((-0.2, 0.2, 0.001, 0.8), 0),
        ((0.2, 1.0, 0.4, 1.3), 0),
        ((1.1, 0.2, 1.3, 0.8), 0),
        ((-0.2, 0.2, 0.01, 0.8), 1),
    ],
)
def test_a_box_of_which_the_frame_shows_no_pixel_is_dropped(box: tuple[float, ...], num_people: int) -> None:
    found = SsdDetector(Beside(*box), name="beside", fast=True).detect(street())
    assert len(found) == num_people
    assert (found.xyxy_px[:, 2:] - found.xyxy_px[:, :2] >= 1).all()


def test_fast_asks_once() -> None:
    network = Painted()
    SsdDetector(network, name="painted", fast=True).detect(street())
    assert network.calls == 1
    SsdDetector(network, name="painted").detect(street())
    assert network.calls == 1 + 4


def test_an_empty_street_has_nobody() -> None:
    assert len(SsdDetector(Painted(), name="painted").detect(street())) == 0


def test_min_score_must_be_a_probability() -> None:
    with pytest.raises(ValueError, match=r"min_score is 1\.5; it must lie between 0 and 1"):
        SsdDetector(Painted(), name="painted", min_score=1.5)


def test_an_image_must_be_one(unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match=r"image is float64 \(4, 4\); wanted uint8"):
        SsdDetector(Painted(), name="painted").detect(np.zeros((4, 4)))


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no detector 'yolo'; allowed: auto, oidv4, ssdlite"):
        load_detector("yolo")


def choose(
    monkeypatch: pytest.MonkeyPatch, *, cached: bool, obstacle: str | None, error: str | None
) -> tuple[str, str]:
    def fetch(item: weights.Weights, **_: object) -> None:
        assert item is weights.OIDV4_SSD
        if error is not None:
            raise WeightsError(error)

    monkeypatch.setattr(module.weights, "is_cached", lambda item: cached)
    monkeypatch.setattr(module.weights, "obstacle", lambda item: obstacle)
    monkeypatch.setattr(module.weights, "fetch", fetch)
    return module._choose(None)


def test_auto_takes_the_better_one_where_it_can_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, cached=True, obstacle="offline", error=None) == (
        "oidv4",
        "the better detector is in the cache",
    )
    assert choose(monkeypatch, cached=False, obstacle=None, error=None)[0] == "oidv4"


def test_auto_says_why_it_takes_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    name, reason = choose(monkeypatch, cached=False, obstacle="no npm client is on the PATH", error=None)
    assert (name, reason.endswith("could not be brought: no npm client is on the PATH")) == ("ssdlite", True)
    name, reason = choose(monkeypatch, cached=False, obstacle=None, error="npm failed with status 1\nlong story")
    assert (name, reason.endswith("could not be brought: npm failed with status 1")) == ("ssdlite", True)
