"""The better person detector: an SSD-MobileNetV2 for 24 everyday classes, trained on Open Images v4, in LiteRT."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tubelet.people import ssd
from tubelet.people.litert import InterpreterPool

_PERSON = 4  # of 24 classes, 0 is the background
_OUTPUTS = ("raw_outputs/box_encodings", "raw_outputs/class_predictions")


class Oidv4Network:
    """One forward pass of the network over a rectangle of an image; thread-safe.

    Args:
        path: The `.tflite` file.
        num_workers: How many passes may run at the same time.

    Raises:
        WeightsError: The file is not this network.
    """

    def __init__(self, path: Path, num_workers: int) -> None:
        self.num_workers = num_workers
        self._pool = InterpreterPool(path, num_workers)
        self._pool.require((1, ssd.INPUT_SIZE_PX, ssd.INPUT_SIZE_PX, 3), _OUTPUTS)

    def __call__(
        self, crop: UInt8[np.ndarray, "height width 3"]
    ) -> tuple[Float[np.ndarray, "1917 4"], Float[np.ndarray, " 1917"]]:
        """Box encodings and the logit of "person" for every anchor; the crop is stretched to the input."""
        side = ssd.INPUT_SIZE_PX
        resized = cv2.resize(crop, (side, side), interpolation=cv2.INTER_LINEAR)
        batch = resized[None].astype(np.float32)
        batch *= 1 / 127.5
        batch -= 1
        encodings, logits = self._pool.run(batch, _OUTPUTS)
        return encodings[0], logits[0, :, _PERSON]
