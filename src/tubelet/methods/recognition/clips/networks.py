"""From the settings of a network to the network itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tubelet import weights
from tubelet.datasets.sampling import Sampling
from tubelet.errors import ConfigError, WeightsError
from tubelet.methods.recognition.clips.config import NetworkConfig
from tubelet.models.efficientnet_lite import load_efficientnet_lite_weights
from tubelet.models.frames import FrameNetwork, frame_lite0
from tubelet.models.mvit import load_mvit_weights, mvit_b_16x4, mvit_v2_s
from tubelet.models.r2plus1d import load_r2plus1d_weights, r2plus1d_18, r3d_18
from tubelet.models.vit import VitOptions, vit_base, vit_small, vit_tiny
from tubelet.models.vit_weights import load_vit_weights
from tubelet.models.x3d import load_x3d_weights, x3d_m, x3d_s, x3d_xs
from tubelet.training.lora import TRANSFORMERS_TARGETS, VIT_TARGETS, LoraConfig, add_lora
from tubelet.training.parameter_groups import freeze_all_but
from tubelet.training.weights_files import load_weights

MODEL_FILE = "model.safetensors"
_MVIT_FRAMES, _MVIT_SIDE = 16, 224
_CONVOLUTIONAL: Mapping[str, Callable[[int], nn.Module]] = {
    "r2plus1d_18": r2plus1d_18,
    "r3d_18": r3d_18,
    "x3d_xs": x3d_xs,
    "x3d_s": x3d_s,
    "x3d_m": x3d_m,
}
_VITS = {"vit_tiny": vit_tiny, "vit_small": vit_small, "vit_base": vit_base}


def build_network(
    settings: NetworkConfig, sampling: Sampling, classes: Sequence[str], *, stored: Mapping[str, Any] | None = None
) -> nn.Module:
    """The network with random weights; `start_from` loads others.

    Args:
        settings: Which one.
        sampling: What it will see.
        classes: Names of the classes.
        stored: Of a published model, what its run kept of its configuration, so that the model need not be there.

    Raises:
        ConfigError: The network cannot take clips of this size.
    """
    name, num_classes = settings.name, len(classes)
    if name in ("frames", "single_frame"):
        return frame_lite0(num_classes, temporal="single_frame" if name == "single_frame" else "attention")
    if name in _VITS:
        try:
            options: VitOptions = {"num_frames": sampling.num_frames, "size_px": sampling.size_px}
            if settings.layout == "image":
                options |= {"num_cls_tokens": 1, "positions": "learned", "qkv_bias": "all", "norm_eps": 1e-6}
            return _VITS[name](num_classes, **options)
        except ValueError as error:
            raise ConfigError(f"sampling does not fit {name}: {error}") from error
    if name in ("mvit_b_16x4", "mvit_v2_s"):
        if (sampling.num_frames, sampling.size_px) != (_MVIT_FRAMES, _MVIT_SIDE):
            raise ConfigError(
                f"sampling has {sampling.num_frames} frames of {sampling.size_px} px; {name} takes {_MVIT_FRAMES} of "
                f"{_MVIT_SIDE}: --set sampling.num_frames={_MVIT_FRAMES} --set sampling.size_px={_MVIT_SIDE}"
            )
        return (mvit_b_16x4 if name == "mvit_b_16x4" else mvit_v2_s)(num_classes)
    if name == "hub":
        from tubelet.models.hub import load_hub_model, rebuilt_hub_model

        if stored is not None:
            return rebuilt_hub_model(stored)
        if settings.weights is None:
            raise ConfigError(
                "network.weights is not given; name the hub id or the folder of the published model: "
                "--set network.weights=ID_OR_FOLDER"
            )
        return load_hub_model(settings.weights, classes=classes, new_head=True)
    return _CONVOLUTIONAL[name](num_classes)


def loaded_backbone(tensors: Mapping[str, torch.Tensor]) -> FrameNetwork:
    """A frame network with the image backbone of these weights; the rest of it is random.

    Raises:
        WeightsError: They are not those of a frame network.
    """
    network = frame_lite0(2)
    own = {name: tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    try:
        network.load_state_dict({**network.state_dict(), **own})
    except RuntimeError as error:
        raise WeightsError(f"these are no weights of a frame network: {error}") from error
    return network


def start_from(network: nn.Module, settings: NetworkConfig) -> None:
    """Load the weights that training starts from, but for the last layer where its classes are others.

    Raises:
        WeightsError: They cannot be read or fetched, or do not fit the network.
    """
    source = settings.weights
    if source is None or settings.name == "hub":
        return
    if source == "imagenet" and isinstance(network, FrameNetwork):
        load_efficientnet_lite_weights(network.backbone, weights.fetch(weights.EFFICIENTNET_LITE0))
    elif (Path(source) / MODEL_FILE).is_file():
        _load_run(network, Path(source))
    elif settings.name in _VITS:
        load_vit_weights(network, source, head="keep")  # type: ignore[arg-type]
    elif settings.name.startswith("mvit"):
        load_mvit_weights(network, source, new_head=True)  # type: ignore[arg-type]
    elif settings.name.startswith("x3d"):
        load_x3d_weights(network, source, new_head=True)  # type: ignore[arg-type]
    elif settings.name in _CONVOLUTIONAL:
        load_r2plus1d_weights(network, source, new_head=True)  # type: ignore[arg-type]
    else:
        raise WeightsError(f"network.weights is {source!r}; {settings.name} takes 'imagenet' or the folder of a run")


def _load_run(network: nn.Module, folder: Path) -> None:
    """Weights of an earlier training; the last layer too, where it has as many classes."""
    tensors, _ = load_weights(folder / MODEL_FILE)
    own = network.state_dict()
    in_head = {id(parameter) for parameter in head_of(network).parameters()}
    head = {name for name, parameter in network.named_parameters() if id(parameter) in in_head}
    if any(name in tensors and tensors[name].shape != own[name].shape for name in head):
        tensors = {name: tensor for name, tensor in tensors.items() if name not in head} | {
            name: own[name] for name in head
        }
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"{folder} was trained with another network: {error}; give --set network.name as it has it"
        ) from error


def choose_trained(network: nn.Module, settings: NetworkConfig) -> None:
    """Freeze what is not to be trained, and put low-rank matrices where they are asked for. In place.

    Raises:
        MissingExtraError: `lora` is asked for, and peft is not installed.
    """
    if settings.tune == "lora":
        targets = (*VIT_TARGETS, *TRANSFORMERS_TARGETS) if settings.name == "hub" else VIT_TARGETS
        add_lora(network, LoraConfig(rank=settings.lora_rank, targets=targets), trained=[head_of(network)])
    elif settings.tune == "probe" and isinstance(network, FrameNetwork):
        network.freeze_backbone()
    elif settings.tune == "probe":
        freeze_all_but(network, [head_of(network)])


def head_of(network: nn.Module) -> nn.Module:
    """The last layer."""
    head = network.head
    if not isinstance(head, nn.Module):
        raise TypeError(f"the head of {type(network).__name__} is a {type(head).__name__}")
    return head


def parameters_sha256(network: nn.Module) -> str:
    """A digest of all weights, to tell what was computed with them."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(
            name.encode() + tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
