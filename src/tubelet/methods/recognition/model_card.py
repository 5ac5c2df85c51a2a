"""What an action model is, where it comes from, and what evidence there is that it works. Reads no network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tubelet.datasets.everyday import EVERYDAY_ACTIONS
from tubelet.datasets.mocap import LABEL_OF_CLIP
from tubelet.errors import WeightsError
from tubelet.weights.archives import file_sha256

SHIPPED = Path(__file__).parent / "weights"
"""The folder of the model that ships with the package."""

WEIGHTS_FILE = "action_model.safetensors"
CARD_FILE = "action_model.json"
CARD_SCHEMA = "tubelet.action_model/1"

DESCRIPTION = (
    "Labels what one person does, 15 times a second, from body landmarks within about two seconds round each moment. "
    "Learned from motion capture and procedural animation filmed by virtual cameras; no real footage was trained on. "
    "An action learned from recorded performances alone is recognised when it is done much as they did it: the same "
    "network, trained without some of the dancing, getting up, crawling and spinning, without views from behind and "
    "without long-legged bodies, gave hardly a moment of those actions its label and was less often right over all."
)
"""What the default model is, and what `benchmarks/reports/mocap_skeleton_held_out.json` says of it."""

_KEYS = ("name", "licence", "labels", "evidence", "preprocessing", "network", "calibration", "training")

EVIDENCE_FILE = "evidence.json"
"""Beside a model's files, what real footage said about just these weights: `weights_sha256`, and sentences by class."""


def load_card(folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """The card of a model.

    Args:
        folder: Where its files lie; the shipped model where not given.

    Returns:
        What the card's file says, with what is known from real footage in `evidence`.

    Raises:
        WeightsError: There is no card, it is not one that this version can read, or the evidence beside it is of other
            weights.
    """
    path = (SHIPPED if folder is None else Path(folder)) / CARD_FILE
    try:
        card = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WeightsError(
            f"no action model in {path.parent}: {CARD_FILE} is missing; name `default`, or the folder of a finished "
            "run of `tubelet train recognition:mocap_skeleton`"
        ) from error
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON: {error}; train the model again") from error
    if not isinstance(card, dict) or card.get("schema") != CARD_SCHEMA or any(key not in card for key in _KEYS):
        raise WeightsError(
            f"{path} is not a card of schema {CARD_SCHEMA} with {', '.join(_KEYS)}; train the model again"
        )
    measured = real_evidence(path.parent)
    unmeasured = card.get("unmeasured", "synthetic evidence only")
    for label, learned in card["evidence"].items():
        card["evidence"][label] = f"{learned}; {measured.get(label, unmeasured)}"
    return card


def real_evidence(folder: Path) -> dict[str, str]:
    """What is known of each class from real footage; empty where nobody measured.

    Raises:
        WeightsError: The file that says so is damaged, or speaks of other weights than those beside it.
    """
    path = folder / EVIDENCE_FILE
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        measured = str(content["weights_sha256"])
        evidence = {str(label): str(said) for label, said in content["classes"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path} is not JSON with weights_sha256 and classes: {error!r}; correct or delete it"
        ) from error
    weights = folder / WEIGHTS_FILE
    if not weights.exists():
        raise WeightsError(f"{weights} is missing, of which {EVIDENCE_FILE} speaks; bring it, or train the model again")
    found = file_sha256(weights)
    if found != measured:
        raise WeightsError(
            f"{path} speaks of other weights (sha256 {measured[:16]}…) than those in {WEIGHTS_FILE} ({found[:16]}…); "
            "measure these on real footage and write down what came out, or delete the file"
        )
    return evidence


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def class_evidence(labels: tuple[str, ...]) -> dict[str, str]:
    """For each class, what it was learned from."""
    evidence = {}
    for label in labels:
        clips = sum(own == label for own in LABEL_OF_CLIP.values())
        sources = [f"{clips} recorded performance{'s' if clips > 1 else ''}"] if clips else []
        if label in EVERYDAY_ACTIONS or label in ("walk", "run"):
            sources.append("procedural animation")
        evidence[label] = f"learned from {' and '.join(sources)}"
    return evidence
