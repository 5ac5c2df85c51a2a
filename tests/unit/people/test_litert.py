"""What the pool of interpreters says about files that are not the network it wants."""

from pathlib import Path

import pytest

from tubelet.errors import WeightsError
from tubelet.people.landmarks import LandmarkModel
from tubelet.people.litert import InterpreterPool


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    with pytest.raises(WeightsError, match=r"broken\.tflite cannot be loaded as a LiteRT network \(.*weights verify"):
        InterpreterPool(path, 1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.tflite cannot be loaded"):
        InterpreterPool(tmp_path / "gone.tflite", 1)


@pytest.mark.parametrize("num_workers", [0, -1])
def test_there_must_be_a_worker(tmp_path: Path, num_workers: int) -> None:
    with pytest.raises(ValueError, match="at least 1 is needed"):
        InterpreterPool(tmp_path / "any.tflite", num_workers)


def test_the_crop_must_have_a_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="roi_scale is 0; it must be positive"):
        LandmarkModel(tmp_path / "any.tflite", roi_scale=0)
