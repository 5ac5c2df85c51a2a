"""A trained action model as a file: a network with its labels, its calibration and its card."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tubelet.errors import WeightsError
from tubelet.methods.recognition.model_card import CARD_FILE, SHIPPED, WEIGHTS_FILE, load_card
from tubelet.methods.recognition.preprocess import FEATURE_NAMES
from tubelet.models.skeleton import SkeletonTCN
from tubelet.runs import write_json


class ActionModel:
    """Labels every 15th of a second of one person's features.

    Attributes:
        labels: Class names in the order of the probabilities.
        context: Frames on each side that a frame's probabilities depend on.
        min_score: Calibrated threshold: below it the model should abstain.
        temperature: What logits are divided by, so that probabilities mean what they say. Before that they are shifted
            from how often classes occur in training to how often they are expected on footage.
        card: What the model is, as in its JSON file.
    """

    def __init__(self, network: SkeletonTCN, card: Mapping[str, Any], device: str = "cpu") -> None:
        self.network = network.to(device).eval()
        self._device = device
        self.card = dict(card)
        self.labels: tuple[str, ...] = tuple(card["labels"])
        self.context = network.context
        self.min_score = float(card["calibration"]["min_score"])
        self.temperature = float(card["calibration"]["temperature"])
        shift = torch.tensor(card["calibration"]["prior_shift"], dtype=torch.float32, device=device)
        if len(shift) != len(self.labels):
            raise WeightsError(
                f"the card shifts {len(shift)} classes and names {len(self.labels)}; train the model again"
            )
        self._shift = shift[:, None]

    def probabilities(self, features: Float32[np.ndarray, "features time"]) -> Float32[np.ndarray, "time classes"]:
        """Calibrated class probabilities of every frame.

        Args:
            features: From `preprocess.features`.
        """
        if features.shape[1] == 0:
            return np.zeros((0, len(self.labels)), np.float32)
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(features)[None].to(self._device))[0]
            found: Float32[np.ndarray, "time classes"] = (
                torch.softmax((logits + self._shift) / self.temperature, dim=0).T.cpu().numpy()
            )
        return found


def load_action_model(name_or_path: str | os.PathLike[str] = "default", *, device: str = "cpu") -> ActionModel:
    """Load a model.

    Args:
        name_or_path: `default`, which ships with the package, or the folder of a run that trained one.
        device: Where it runs.

    Raises:
        WeightsError: There is no model there, its files do not belong together, or this version cannot read its
            features.
    """
    folder = SHIPPED if str(name_or_path) == "default" else Path(name_or_path)
    card = load_card(folder)
    preprocessing = card["preprocessing"]
    if tuple(preprocessing["features"]) != FEATURE_NAMES:
        raise WeightsError(
            f"{folder / CARD_FILE}: the model reads other features than this version of tubelet computes; "
            "train it again"
        )
    network = SkeletonTCN(num_features=len(FEATURE_NAMES), num_classes=len(card["labels"]), **card["network"])
    path = folder / WEIGHTS_FILE
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing; it belongs beside {CARD_FILE}") from error
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{path} does not hold the network that {CARD_FILE} describes: {error}") from error
    return ActionModel(network, card, device)


def save_action_model(folder: str | os.PathLike[str], network: SkeletonTCN, card: Mapping[str, Any]) -> None:
    """Write a network and its card where `load_action_model` finds them."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE)
    write_json(folder / CARD_FILE, card)
