"""Published video models of others behind the interface of tubelet's own networks, through transformers.

    model = load_hub_model("MCG-NJU/videomae-base-finetuned-kinetics")  # a hub id or a folder
    logits = model(model.preprocessing(frames)[None])

Weights are read from safetensors alone, no code of a repository is ever run, and with `TUBELET_OFFLINE` set nothing is
fetched.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tubelet.errors import ConfigError, WeightsError
from tubelet.models.hub_families import (
    FAMILIES,
    fresh_network,
    has_size,
    num_frames,
    read_network,
    tokenised,
    wrong_count,
)
from tubelet.models.hub_files import model_folder, read_json
from tubelet.models.hub_preprocessing import HubPreprocessing, read_preprocessing
from tubelet.models.named_weights import classifier

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_STEM = re.compile(r"network\.(?:\w+\.)?(?:\w+\.)?(?:embeddings|pre_layernorm|pre_layrnorm)\.")


class TextPrompts(nn.Module):
    """The last layer of a model that compares videos with sentences: one sentence for each class, as tokens."""

    def __init__(
        self, input_ids: Int64[Tensor, "classes length"], attention_mask: Int64[Tensor, "classes length"]
    ) -> None:
        super().__init__()
        self.register_buffer("input_ids", input_ids)
        self.register_buffer("attention_mask", attention_mask)
        self.input_ids: Tensor
        self.attention_mask: Tensor


class HubNetwork(nn.Module):
    """A published model as a clip network.

    Args:
        network: The model of transformers; its last layer becomes `head`.
        family: Its `model_type`, one of those known here.
        classes: Names of its classes.
        preprocessing: From pictures to input.
        prompts: The sentences of a zero-shot model.
        fresh: Parameters that the published weights did not set.

    Attributes:
        network: The model of transformers, without its last layer.
        head: The last layer; `TextPrompts` in a zero-shot model.
        classes: Names of the classes in the order of the logits; empty after `replace_head`.
        preprocessing: From pictures to input.
        mean: Of red, green and blue on the scale 0..1 that inputs are normalised with.
        std: Likewise.
        num_frames: Frames that a clip must have.
        size_px: Side of the pictures.
        num_features: Width of what the head reads.
        num_layers: Steps of a learning rate that decays by depth: stem, blocks, head.
        fresh: Parameters that the published weights did not set.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        family: str,
        classes: Sequence[str],
        preprocessing: HubPreprocessing,
        *,
        prompts: TextPrompts | None = None,
        fresh: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.family, self.classes, self.fresh = family, tuple(classes), tuple(fresh)
        self.preprocessing = preprocessing
        self.mean, self.std = preprocessing.mean, preprocessing.std
        self.num_frames = num_frames(network.config, family)
        self.size_px = preprocessing.size_px[0]
        self.network: Any = network
        if prompts is not None:
            self.head: nn.Module = prompts
            self.num_features = int(network.config.projection_dim)
        else:
            self.head = network.get_submodule("classifier")
            self.num_features = int(self.head.get_parameter("weight").shape[1])
            # The model then gives out what its last layer would read, whatever comes before that in its architecture.
            self.network.classifier = nn.Identity()
        about = FAMILIES[family]
        for name in about.unused:
            network.get_submodule(name).requires_grad_(False)
        self._block = re.compile(rf"network\.{about.blocks}(\d+)\.")
        blocks = [int(found[1]) for name, _ in self.named_parameters() if (found := self._block.match(name))]
        self.num_layers = max(blocks) + 3

    def forward(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch classes"]:
        """Class logits of normalised clips; of a zero-shot model, its scaled likeness to the sentences.

        Raises:
            ValueError: The clips have another number of frames or another size than the model takes.
        """
        if isinstance(self.head, TextPrompts):
            pixels = self._pixels(video)
            ids, mask = self.head.input_ids, self.head.attention_mask
            likeness: Tensor = self.network(input_ids=ids, attention_mask=mask, pixel_values=pixels).logits_per_video
            return likeness
        logits: Tensor = self.head(self.features(video))
        return logits

    def features(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch features"]:
        """What the last layer reads; of a zero-shot model, the video's place in the space shared with sentences.

        Raises:
            ValueError: As in `forward`.
        """
        pixels = self._pixels(video)
        if self.family == "xclip":
            found: Tensor = self.network.get_video_features(pixel_values=pixels).pooler_output
        else:
            found = self.network(**{FAMILIES[self.family].inputs: pixels}).logits
        return found

    def replace_head(self, num_classes: int) -> None:
        """A fresh linear layer for another number of classes.

        A zero-shot model no longer looks at sentences then; what reads them is frozen.

        Raises:
            ValueError: There are no classes.
        """
        like = next(self.network.parameters())
        old = nn.Linear(self.num_features, 1, device=like.device, dtype=like.dtype)
        self.head = classifier(old.in_features, num_classes, std=0.02).to(old.weight)
        self.classes = ()
        for name, parameter in self.network.named_parameters():
            if name.startswith(FAMILIES[self.family].reads_sentences):
                parameter.requires_grad_(False)

    def layer_of(self, parameter_name: str) -> int:
        """The depth of a parameter: 0 in the stem, 1 in the first block, `num_layers` - 1 in the head.

        Raises:
            ValueError: It belongs to no part of this model.
        """
        found = self._block.match(parameter_name)
        if found:
            return int(found[1]) + 1
        if not parameter_name.startswith(("network.", "head.")):
            raise ValueError(f"{parameter_name!r} is no parameter of this network; named_parameters() lists them")
        return 0 if _STEM.match(parameter_name) else self.num_layers - 1

    def description(self) -> dict[str, Any]:
        """All but the weights, as JSON data, for `rebuilt_hub_model`."""
        prompts = None
        if isinstance(self.head, TextPrompts):
            prompts = {name: getattr(self.head, name).tolist() for name in ("input_ids", "attention_mask")}
        return {
            "family": self.family,
            "config": json.loads(self.network.config.to_json_string(use_diff=False)),
            "classes": list(self.classes),
            "num_classes": self.head.out_features if isinstance(self.head, nn.Linear) else None,
            "preprocessing": asdict(self.preprocessing),
            "prompts": prompts,
        }

    def _pixels(self, video: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch time 3 height width"]:
        wanted = (self.num_frames, *self.preprocessing.size_px)
        if tuple(video.shape[2:]) != wanted:
            time, height, width = video.shape[2:]
            raise ValueError(
                f"clips have {time} frames of {width}x{height} pixels; this {FAMILIES[self.family].title} takes "
                f"{wanted[0]} frames of {wanted[2]}x{wanted[1]}; sample that many and use its preprocessing"
            )
        return video.transpose(1, 2)


def load_hub_model(
    source: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    new_head: bool = False,
    template: str = "{}",
    revision: str | None = None,
) -> HubNetwork:
    """A published VideoMAE, TimeSformer, ViViT, V-JEPA 2 or X-CLIP.

    Args:
        source: A folder as transformers' `save_pretrained` writes it, or a hub id such as `owner/name`.
        classes: Names of the classes: instead of the model's own label map, of a fresh head, or what a zero-shot model
            (X-CLIP) is to tell apart.
        new_head: Whether the last layer is made new for `classes`, to be trained.
        template: Sentence about a class for a zero-shot model; `{}` stands for its name.
        revision: Branch, tag or commit on the hub.

    Returns:
        The model in eval mode, on the CPU, in float32.

    Raises:
        WeightsError: The model cannot be found or brought, is of no known architecture, has no safetensors, lacks
            weights or settings, or does not fit its own configuration.
        ConfigError: `classes` are needed and not given, are not as many as the head has, or do not make sense.
        MissingExtraError: transformers is not installed.
    """
    _require_sensible(classes, new_head, template)
    folder = model_folder(source, revision=revision)
    where, raw = os.fspath(source), read_json(folder / "config.json")
    family = raw.get("model_type")
    if family not in FAMILIES:
        known = ", ".join(f"{about.title} ({name})" for name, about in FAMILIES.items())
        raise WeightsError(f"{where}: its config.json says model_type {family!r}; known are {known}")
    preprocessing = read_preprocessing(folder, offset=FAMILIES[family].offset)
    names = _class_names(where, raw, family, classes, new_head)
    network, fresh = read_network(where, folder, family, num_labels=len(names), new_head=new_head)
    if not has_size(network.config, family, preprocessing.size_px):
        height, width = preprocessing.size_px
        raise WeightsError(
            f"{where}: its preprocessing makes pictures of {width}x{height} pixels and its network takes others; "
            "use the settings and the weights of one and the same repository"
        )
    prompts = None
    if family == "xclip" and not new_head:
        prompts = TextPrompts(*tokenised(where, folder, network.config, [template.format(name) for name in names]))
    elif family == "xclip":
        network.classifier = nn.Linear(int(network.config.projection_dim), len(names))
    model = HubNetwork(network, family, names, preprocessing, prompts=prompts, fresh=fresh)
    if new_head:
        model.replace_head(len(names))
        model.classes = names
    return model.eval()


def rebuilt_hub_model(description: Mapping[str, Any]) -> HubNetwork:
    """The network that `HubNetwork.description` is of, with random weights: load its state into it.

    Raises:
        WeightsError: It describes no known architecture.
        MissingExtraError: transformers is not installed.
    """
    family = description.get("family")
    if family not in FAMILIES:
        raise WeightsError(f"a model of the family {family!r} is described; known are {', '.join(FAMILIES)}")
    network = fresh_network(family, description["config"])
    settings: dict[str, Any] = dict(description["preprocessing"])
    for name in ("size_px", "mean", "std"):
        settings[name] = tuple(settings[name])
    prompts = description["prompts"]
    if prompts is not None:
        prompts = TextPrompts(torch.tensor(prompts["input_ids"]), torch.tensor(prompts["attention_mask"]))
    elif family == "xclip":
        network.classifier = nn.Linear(int(network.config.projection_dim), 1)
    model = HubNetwork(network, family, description["classes"], HubPreprocessing(**settings), prompts=prompts)
    if prompts is None:
        model.replace_head(description["num_classes"])
        model.classes = tuple(description["classes"])
    return model.eval()


def _require_sensible(classes: Sequence[str] | None, new_head: bool, template: str) -> None:
    if classes is not None and (not classes or len(set(classes)) != len(classes)):
        raise ConfigError(f"classes are {list(classes)[:5]}; allowed: one name or more, each once")
    if new_head and classes is None:
        raise ConfigError("new_head needs the classes it is for; give their names as classes")
    if template.count("{}") != 1:
        raise ConfigError(f"template is {template!r}; allowed: a sentence with one {{}} for the name of the class")


def _class_names(
    where: str, raw: Mapping[str, Any], family: str, classes: Sequence[str] | None, new_head: bool
) -> tuple[str, ...]:
    """Names of the classes: given, or of the label map."""
    if family == "xclip" and classes is None:
        raise ConfigError(
            f"{where}: X-CLIP compares videos with the names of classes and has none of its own; give them as classes"
        )
    if family == "xclip" or new_head:
        return tuple(classes or ())
    labels = raw.get("id2label") or {}
    ordered = [labels.get(str(index)) for index in range(len(labels))]
    is_real = bool(labels) and all(isinstance(name, str) for name in ordered)
    if classes is None and (not is_real or ordered == [f"LABEL_{index}" for index in range(len(labels))]):
        raise ConfigError(
            f"{where}: its config.json has no label map (id2label names no classes); give the names of its classes in "
            "the order of its outputs as classes, or new_head=True with the classes to train for"
        )
    if classes is None:
        return tuple(str(name) for name in ordered)
    if labels and len(labels) != len(classes):
        raise wrong_count(where, len(labels), len(classes))
    return tuple(classes)
