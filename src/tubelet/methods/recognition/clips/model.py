"""A trained clip classifier as one file: network, class names, what it sees of a clip, calibration, and provenance."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8
from torch import nn

from tubelet.configs import from_json
from tubelet.datasets.sampling import Sampling
from tubelet.errors import ConfigError, WeightsError
from tubelet.methods.recognition.clips.config import NetworkConfig
from tubelet.methods.recognition.clips.networks import MODEL_FILE, build_network
from tubelet.models.frames import FrameNetwork
from tubelet.models.token_merging import TokenMerging
from tubelet.models.vit import VideoViT
from tubelet.training.weights_files import load_weights, save_weights
from tubelet.video.transform import centre_crop, resized_short_side

MODEL_SCHEMA = "tubelet.clip_model/1"
_KEYS = ("classes", "is_multi_label", "network", "sampling", "calibration", "window_s", "data", "training")


class ClipModel:
    """Labels clips, and windows of longer videos.

    Args:
        network: In its final state.
        card: What its file says of it.
        device: Where it runs.
        token_budget: See `Recognizer`.

    Raises:
        ConfigError: The budget is no share, or below 1 and the network no video transformer.

    Attributes:
        labels: Class names in the order of the logits.
        sampling: What it sees of a clip.
        window_s: Length of the clips that it was trained on, in the middle: what it is shown of a longer video.
        min_score: Calibrated probability below which it should abstain.
        temperature: What logits are divided by so that probabilities mean what they say.
    """

    def __init__(
        self, network: nn.Module, card: Mapping[str, Any], device: str = "cpu", *, token_budget: float = 1.0
    ) -> None:
        check_token_budget(token_budget)
        # What the network is called with besides a clip; nothing at a budget of 1, which most networks know alone.
        self._options: dict[str, Any] = {}
        if token_budget < 1:
            if not isinstance(network, VideoViT):
                raise no_tokens_error(token_budget, f"a model of the network {card['network'].get('name')!r}")
            self._options["reduction"] = TokenMerging(token_budget, len(network.blocks))
        self.labels: tuple[str, ...] = tuple(card["classes"])
        self.card = {**card, "labels": list(self.labels)}
        self.is_multi_label = bool(card["is_multi_label"])
        self.sampling: Sampling = from_json(Sampling, card["sampling"])
        self.num_frames = self.sampling.num_frames
        self.window_s = float(card["window_s"])
        self.min_score = float(card["calibration"]["min_score"])
        self.temperature = float(card["calibration"]["temperature"])
        self._device = torch.device(device)
        network = network.fused() if isinstance(network, FrameNetwork) else network
        self.network = network.to(self._device).eval().requires_grad_(False)

    @torch.inference_mode()
    def logits(self, views: UInt8[np.ndarray, "views time size size 3"]) -> Float32[np.ndarray, "views classes"]:
        """Logits of views as the loader gives them."""
        video = normalised_video(torch.from_numpy(views).to(self._device), self.network)
        out: Float32[np.ndarray, "views classes"] = self.network(video, **self._options).float().cpu().numpy()
        return out

    def probabilities(self, logits: Float32[np.ndarray, "views classes"]) -> Float32[np.ndarray, "views classes"]:
        """Calibrated probabilities: of one class each, or of every class for itself."""
        scaled = torch.from_numpy(logits) / self.temperature
        out: Float32[np.ndarray, "views classes"] = (
            scaled.sigmoid() if self.is_multi_label else scaled.softmax(dim=1)
        ).numpy()
        return out

    @torch.inference_mode()
    def prepare(self, image: UInt8[np.ndarray, "height width 3"]) -> Shaped[np.ndarray, "*any"]:
        """What is kept of a picture of a longer video: its features where the network looks at single pictures."""
        pixels = fitted(image[None], self.sampling)
        if not isinstance(self.network, FrameNetwork):
            single: Shaped[np.ndarray, "*any"] = pixels[0]
            return single
        video = normalised_video(torch.from_numpy(pixels)[None].to(self._device), self.network)
        kept: Shaped[np.ndarray, "*any"] = self.network.frame_features(video)[0, 0].cpu().numpy()
        return kept

    @torch.inference_mode()
    def window_probabilities(self, prepared: list[Shaped[np.ndarray, "*any"]]) -> Float32[np.ndarray, " classes"]:
        """Class probabilities of a window of `num_frames` prepared pictures."""
        stacked = np.stack(prepared)
        if isinstance(self.network, FrameNetwork):
            logits = self.network.head_forward(torch.from_numpy(stacked)[None].to(self._device)).cpu().numpy()
        else:
            logits = self.logits(stacked[None])
        found: Float32[np.ndarray, " classes"] = self.probabilities(logits)[0]
        return found


def fitted(
    frames: UInt8[np.ndarray, "time height width 3"], sampling: Sampling
) -> UInt8[np.ndarray, "time size size 3"]:
    """Whole pictures as the squares that a network sees."""
    if sampling.fit == "stretch":
        size = (sampling.size_px, sampling.size_px)
        return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in frames])
    return np.ascontiguousarray(centre_crop(resized_short_side(frames, sampling.size_px), sampling.size_px))


def normalised_video(
    frames: UInt8[torch.Tensor, "batch time height width 3"], network: nn.Module
) -> Float32[torch.Tensor, "batch 3 time height width"]:
    """Pixels 0..255 as the network takes them: channels first, minus its mean, over its standard deviation."""
    mean = torch.tensor(network.mean, device=frames.device) * 255
    std = torch.tensor(network.std, device=frames.device) * 255
    video: Float32[torch.Tensor, "batch 3 time height width"] = ((frames.float() - mean) / std).permute(0, 4, 1, 2, 3)
    return video.contiguous()


def check_token_budget(token_budget: float) -> None:
    """Refuse what is no share.

    Raises:
        ConfigError: It is none.
    """
    if not 0 < token_budget <= 1:
        raise ConfigError(
            f"token_budget is {token_budget:g}; allowed: more than 0, at most 1 (1 keeps all tokens); give for example "
            "0.5"
        )


def no_tokens_error(token_budget: float, model: str) -> ConfigError:
    """That a model is no video transformer, and has no tokens that could become fewer."""
    return ConfigError(
        f"token_budget is {token_budget:g}, and {model} is no video transformer, whose tokens could become fewer; "
        "allowed: a run of the recipe recognition:vit_small or recognition:vit_base (tubelet train CLIPS --recipe "
        "recognition:vit_small --out RUN); with this model leave token_budget at 1"
    )


def is_clip_model(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a trained clip classifier."""
    return (Path(folder) / MODEL_FILE).is_file()


def save_clip_model(
    folder: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], card: Mapping[str, Any]
) -> None:
    """Write weights and card as one file, whole or not at all."""
    content = {"schema": MODEL_SCHEMA, **card}
    metadata = {"card": json.dumps(content, sort_keys=True, allow_nan=False)}
    save_weights(Path(folder) / MODEL_FILE, tensors, metadata)


def load_card(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What the model's file says of it.

    Raises:
        WeightsError: There is no model, or one that this version cannot read.
    """
    return _read(folder)[1]


def load_clip_model(folder: str | os.PathLike[str], *, device: str = "cpu", token_budget: float = 1.0) -> ClipModel:
    """Load a trained clip classifier from the folder of its run.

    Args:
        folder: Of the run.
        device: Where it runs.
        token_budget: See `Recognizer`.

    Raises:
        ConfigError: The budget is no share, or below 1 and the network no video transformer.
        WeightsError: There is no model there, its parts do not belong together, or this version cannot read it.
    """
    tensors, card = _read(folder)
    path = Path(folder) / MODEL_FILE
    try:
        settings: NetworkConfig = from_json(NetworkConfig, card["network"])
        sampling: Sampling = from_json(Sampling, card["sampling"])
    except ConfigError as error:
        raise WeightsError(f"{path}: its card cannot be read by this version: {error}") from error
    network = build_network(settings, sampling, card["classes"], stored=card.get("published"))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not hold the network that its card describes: {error}") from error
    return ClipModel(network, card, device, token_budget=token_budget)


def _read(folder: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    path = Path(folder) / MODEL_FILE
    if not path.is_file():
        raise WeightsError(
            f"no clip model in {folder}: {MODEL_FILE} is missing; give the folder of a finished training"
        )
    tensors, metadata = load_weights(path)
    try:
        card = json.loads(metadata.get("card", ""))
    except ValueError as error:
        raise WeightsError(f"{path}: has no card; it is no clip model of tubelet's") from error
    if not isinstance(card, dict) or card.get("schema") != MODEL_SCHEMA or any(key not in card for key in _KEYS):
        raise WeightsError(f"{path}: its card is not of schema {MODEL_SCHEMA} with {', '.join(_KEYS)}; train it again")
    return tensors, card
