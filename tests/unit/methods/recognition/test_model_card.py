"""A card and the evidence beside it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tubelet.errors import WeightsError
from tubelet.methods.recognition.model_card import CARD_FILE, EVIDENCE_FILE, SHIPPED, WEIGHTS_FILE, load_card


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in (CARD_FILE, WEIGHTS_FILE):
        shutil.copy(SHIPPED / name, tmp_path)
    return tmp_path


def state(model: Path, **content: object) -> None:
    (model / EVIDENCE_FILE).write_text(json.dumps(content), encoding="utf-8")


def test_the_shipped_evidence_is_of_the_shipped_weights() -> None:
    assert load_card()["labels"]


def test_evidence_of_these_weights_is_told(model: Path) -> None:
    digest = hashlib.sha256((model / WEIGHTS_FILE).read_bytes()).hexdigest()
    state(model, weights_sha256=digest, classes={"walk": "seen on real footage"})
    evidence = load_card(model)["evidence"]
    assert evidence["walk"].endswith("; seen on real footage")
    assert evidence["fall"].endswith("; synthetic evidence only")


def test_evidence_of_other_weights_is_refused(model: Path) -> None:
    state(model, weights_sha256=64 * "0", classes={"walk": "seen on real footage"})
    with pytest.raises(WeightsError, match=r"speaks of other weights \(sha256 0{16}…\) than those in .* measure these"):
        load_card(model)
    (model / WEIGHTS_FILE).unlink()
    with pytest.raises(WeightsError, match=r"action_model.safetensors is missing, of which evidence.json speaks"):
        load_card(model)


@pytest.mark.parametrize("content", ["[]", "{", '{"classes": {}}', '{"weights_sha256": "", "classes": []}'])
def test_damaged_evidence_is_refused(content: str, model: Path) -> None:
    (model / EVIDENCE_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(WeightsError, match=r"evidence.json is not JSON with weights_sha256 and classes"):
        load_card(model)


def test_a_card_with_what_is_no_number_is_refused(model: Path) -> None:
    card = json.loads((model / CARD_FILE).read_text(encoding="utf-8"))
    card["calibration"]["min_score"] = float("nan")
    (model / CARD_FILE).write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(WeightsError, match="is not JSON: NaN is no number; train the model again"):
        load_card(model)
