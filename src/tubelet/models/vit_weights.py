"""Bringing published checkpoints into a `VideoViT`: explicit maps of names, and an account of what was done.

Four layouts are known and told apart by their names:

    tubelet        a VideoViT's own state
    videomae       the official VideoMAE and VideoMAEv2 checkpoints, fine-tuned or pretrained
    transformers   VideoMAEForVideoClassification, as it lies on model hubs
    image          a timm-style image ViT; its patches are inflated over time
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.models.checkpoint_files import read_state, some_names
from tubelet.models.positions import resized_positions
from tubelet.models.vit import VideoViT

State = dict[str, Tensor]

# Names of a VideoViT beside those of the other layouts. {i} is the number of a block.
_OFFICIAL = {
    "patch_embed.proj.weight": "patch_embed.weight",
    "patch_embed.proj.bias": "patch_embed.bias",
    "blocks.{i}.norm1.weight": "blocks.{i}.norm1.weight",
    "blocks.{i}.norm1.bias": "blocks.{i}.norm1.bias",
    "blocks.{i}.attn.qkv.weight": "blocks.{i}.attention.qkv.weight",
    "blocks.{i}.attn.qkv.bias": "blocks.{i}.attention.qkv.bias",
    "blocks.{i}.attn.q_bias": "blocks.{i}.attention.qkv.q_bias",
    "blocks.{i}.attn.v_bias": "blocks.{i}.attention.qkv.v_bias",
    "blocks.{i}.attn.proj.weight": "blocks.{i}.attention.proj.weight",
    "blocks.{i}.attn.proj.bias": "blocks.{i}.attention.proj.bias",
    "blocks.{i}.norm2.weight": "blocks.{i}.norm2.weight",
    "blocks.{i}.norm2.bias": "blocks.{i}.norm2.bias",
    "blocks.{i}.mlp.fc1.weight": "blocks.{i}.mlp.fc1.weight",
    "blocks.{i}.mlp.fc1.bias": "blocks.{i}.mlp.fc1.bias",
    "blocks.{i}.mlp.fc2.weight": "blocks.{i}.mlp.fc2.weight",
    "blocks.{i}.mlp.fc2.bias": "blocks.{i}.mlp.fc2.bias",
    "head.weight": "head.weight",
    "head.bias": "head.bias",
}
_VIDEOMAE = _OFFICIAL | {"fc_norm.weight": "norm.weight", "fc_norm.bias": "norm.bias", "pos_embed": "positions"}
_IMAGE = _VIDEOMAE | {"norm.weight": "norm.weight", "norm.bias": "norm.bias", "cls_token": "cls_tokens"}
_TRANSFORMERS = {
    "videomae.embeddings.patch_embeddings.projection.weight": "patch_embed.weight",
    "videomae.embeddings.patch_embeddings.projection.bias": "patch_embed.bias",
    "{layer}.layernorm_before.weight": "blocks.{i}.norm1.weight",
    "{layer}.layernorm_before.bias": "blocks.{i}.norm1.bias",
    "{layer}.attention.attention.query.weight": "blocks.{i}.query",
    "{layer}.attention.attention.key.weight": "blocks.{i}.key",
    "{layer}.attention.attention.value.weight": "blocks.{i}.value",
    "{layer}.attention.attention.query.bias": "blocks.{i}.attention.qkv.q_bias",
    "{layer}.attention.attention.value.bias": "blocks.{i}.attention.qkv.v_bias",
    "{layer}.attention.attention.q_bias": "blocks.{i}.attention.qkv.q_bias",
    "{layer}.attention.attention.v_bias": "blocks.{i}.attention.qkv.v_bias",
    "{layer}.attention.output.dense.weight": "blocks.{i}.attention.proj.weight",
    "{layer}.attention.output.dense.bias": "blocks.{i}.attention.proj.bias",
    "{layer}.layernorm_after.weight": "blocks.{i}.norm2.weight",
    "{layer}.layernorm_after.bias": "blocks.{i}.norm2.bias",
    "{layer}.intermediate.dense.weight": "blocks.{i}.mlp.fc1.weight",
    "{layer}.intermediate.dense.bias": "blocks.{i}.mlp.fc1.bias",
    "{layer}.output.dense.weight": "blocks.{i}.mlp.fc2.weight",
    "{layer}.output.dense.bias": "blocks.{i}.mlp.fc2.bias",
    "fc_norm.weight": "norm.weight",
    "fc_norm.bias": "norm.bias",
    "classifier.weight": "head.weight",
    "classifier.bias": "head.bias",
}
Layout = Literal["tubelet", "videomae", "transformers", "image"]
_TABLES: dict[Layout, dict[str, str]] = {
    "videomae": _VIDEOMAE,
    "transformers": _TRANSFORMERS,
    "image": _IMAGE,
}
# What belongs to pretraining and is no part of a classifier.
_PRETRAINING: dict[Layout, str] = {
    "videomae": r"(decoder|encoder_to_decoder|norm)\.|mask_token$",
    "transformers": r"(decoder|encoder_to_decoder|videomae\.layernorm)\.|mask_token$|position_embeddings$",
    "image": r"mask_token$",
}
_KERNEL, _HUB_KERNEL = "patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight"


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """What became of a checkpoint.

    Attributes:
        layout: The layout it was recognised as.
        fresh: Parameters of the model that it did not set: they keep their values.
        left_out: Names of the checkpoint that were not used.
        changes: What was done to make it fit, in sentences.
    """

    layout: Layout
    fresh: tuple[str, ...]
    left_out: tuple[str, ...]
    changes: tuple[str, ...]


def load_vit_weights(
    model: VideoViT,
    source: str | os.PathLike[str] | Mapping[str, Tensor],
    *,
    head: Literal["load", "keep"] = "load",
) -> LoadedWeights:
    """Load a published checkpoint into a video transformer.

    A checkpoint of an image transformer is inflated: its kernel is copied along time and divided by the frames of a
    tubelet, its positions are repeated for every time step, its CLS token for every CLS token. Learned positions of
    another grid are interpolated.

    Args:
        model: Where to; changed only when everything fits.
        source: A `.safetensors` or `.pth` file, or its content.
        head: "load" takes the last layer too, whose classes must be as many as the model's; "keep" leaves the model's
            own, and also the normalisation before it where a pretrained checkpoint has none.

    Returns:
        What was loaded, left out and changed.

    Raises:
        WeightsError: The file cannot be read, is of no known layout, or has other parameters, shapes or classes than
            the model.
    """
    if isinstance(source, Mapping):
        where, given = "the given weights", dict(source)
    else:
        where, given = os.fspath(source), read_state(source)
    layout, state = _recognised(where, given)
    found, left_out, unknown = _renamed(layout, state)
    changes: list[str] = []
    if layout == "transformers":
        _join_queries_keys_values(found)
    own = model.state_dict()
    _fit_qkv_bias(own, found, changes)
    if layout == "image":
        _fit_image(model, found, left_out, changes, where)
    elif "positions" in found and isinstance(model.positions, nn.Parameter):
        found["positions"] = _fit_positions(model, found["positions"], changes, where)
    if head == "keep":
        left_out += [name for name in ("head.weight", "head.bias") if found.pop(name, None) is not None]
    _require_match(where, layout, found, unknown, own, head)
    model.load_state_dict(own | found)
    fresh = tuple(sorted(own.keys() - found.keys()))
    return LoadedWeights(layout=layout, fresh=fresh, left_out=tuple(sorted(left_out)), changes=tuple(changes))


def _recognised(where: str, state: State) -> tuple[Layout, State]:
    """The layout by the name and shape of the tubelets' kernel, and the state without what training put before it."""
    if "patch_embed.weight" in state:
        return "tubelet", state
    for suffix in (_HUB_KERNEL, _KERNEL):
        kernel = next((name for name in state if name.endswith(suffix)), None)
        if kernel is None:
            continue
        prefix = kernel.removesuffix(suffix)
        bare = {name.removeprefix(prefix): value for name, value in state.items()}
        if suffix == _KERNEL:
            return ("image" if state[kernel].ndim == 4 else "videomae"), bare
        # The head lies beside the prefix here, so the encoder gets it back.
        return "transformers", {
            f"videomae.{name}" if name.startswith(("embeddings.", "encoder.layer.", "layernorm.")) else name: value
            for name, value in bare.items()
        }
    shown = ", ".join(list(state)[:3])
    raise WeightsError(
        f"{where}: not the weights of a video or image transformer that is known (its names begin with {shown}); "
        "known are VideoMAE, VideoMAEv2, VideoMAEForVideoClassification of transformers, and image ViTs of timm"
    )


def _renamed(layout: Layout, state: State) -> tuple[State, list[str], list[str]]:
    """The state by this network's names; what pretraining alone needs; what nobody knows."""
    if layout == "tubelet":
        return dict(state), [], []
    found: State = {}
    left_out, unknown = [], []
    for name, value in state.items():
        number = re.match(r"(?:videomae\.encoder\.layer|blocks)\.(\d+)\.", name)
        template = name
        if number:
            start = "{layer}." if layout == "transformers" else "blocks.{i}."
            template = start + name[number.end() :]
        ours = _TABLES[layout].get(template)
        if ours is not None:
            found[ours.replace("{i}", number[1] if number else "")] = value
        elif re.match(_PRETRAINING[layout], name):
            left_out.append(name)
        else:
            unknown.append(name)
    return found, left_out, unknown


def _join_queries_keys_values(found: State) -> None:
    for name in [name for name in found if name.endswith(".query")]:
        block = name.removesuffix(".query")
        parts = [found.pop(f"{block}.{part}", None) for part in ("query", "key", "value")]
        present = [part for part in parts if part is not None]
        found[f"{block}.attention.qkv.weight"] = torch.cat(present)


def _fit_qkv_bias(own: State, found: State, changes: list[str]) -> None:
    """Biases of queries and values alone, or of keys too: a bias of the keys changes nothing after the softmax."""
    for name in [name for name in found if name.endswith("attention.qkv.weight")]:
        start = name.removesuffix("weight")
        if start + "q_bias" in own and start + "bias" in found:
            query, _, value = found.pop(start + "bias").chunk(3)
            found |= {start + "q_bias": query.clone(), start + "v_bias": value.clone()}
            said = "the bias of the keys was left out, which the softmax does not see"
        elif start + "bias" in own and start + "q_bias" in found:
            query, value = found.pop(start + "q_bias"), found.pop(start + "v_bias")
            found[start + "bias"] = torch.cat([query, torch.zeros_like(query), value])
            said = "the bias of the keys was set to 0"
        else:
            continue
        if said not in changes:
            changes.append(said)


def _fit_image(model: VideoViT, found: State, left_out: list[str], changes: list[str], where: str) -> None:
    """Kernel, positions and CLS token of pictures, for clips."""
    kernel, frames = found["patch_embed.weight"], model.tubelet[0]
    found["patch_embed.weight"] = kernel[:, :, None].repeat(1, 1, frames, 1, 1) / frames
    changes.append(f"the kernel was inflated over {frames} frames")
    cls, table = found.pop("cls_tokens", None), found.pop("positions", None)
    if table is not None and cls is not None and _side(table.shape[1]) is None:
        cls, table = cls + table[:, :1], table[:, 1:]
    if cls is not None and model.cls_tokens is not None:
        found["cls_tokens"] = cls.expand(-1, model.num_cls_tokens, -1).clone()
    elif cls is not None:
        left_out.append("cls_token")
    if table is None:
        return
    if not isinstance(model.positions, nn.Parameter):
        raise WeightsError(
            f'{where}: has learned positions and the model fixed ones; build the model with positions="learned"'
        )
    side = _side(table.shape[1])
    if side is None:
        raise WeightsError(
            f"{where}: its {table.shape[1]} positions are not those of a square picture; none can be used"
        )
    steps, rows, columns = model.position_grid
    if (rows, columns) != (side, side):
        changes.append(f"positions of {side}x{side} patches were interpolated to {rows}x{columns}")
    found["positions"] = resized_positions(table, (1, side, side), (1, rows, columns)).repeat(1, steps, 1)
    changes.append(f"positions were repeated over {steps} time steps")


def _fit_positions(model: VideoViT, table: Tensor, changes: list[str], where: str) -> Tensor:
    """Learned positions of a video network, for this model's grid."""
    steps, rows, columns = model.position_grid
    count = table.shape[1]
    if count == steps * rows * columns:
        return table
    side = _side(count // steps) if count % steps == 0 else None
    if count % (rows * columns) == 0:
        old = (count // (rows * columns), rows, columns)
    elif side is not None:
        old = (steps, side, side)
    else:
        raise WeightsError(
            f"{where}: has {count} positions and the model {steps} x {rows} x {columns}; they can be interpolated "
            "where either the time steps or the rows and columns are the same"
        )
    changes.append(f"positions of {old[0]}x{old[1]}x{old[2]} tubelets were interpolated to {steps}x{rows}x{columns}")
    return resized_positions(table, old, model.position_grid)


def _side(count: int) -> int | None:
    side = math.isqrt(count)
    return side if side * side == count else None


def _require_match(
    where: str, layout: Layout, found: State, unknown: list[str], own: State, head: Literal["load", "keep"]
) -> None:
    """Say what does not fit, the likeliest cause first."""
    if head == "load" and "head.weight" not in found:
        raise WeightsError(
            f'{where}: has no last layer (a pretrained checkpoint?); load with head="keep" and train the model\'s own'
        )
    if head == "load" and len(found["head.weight"]) != len(own["head.weight"]):
        raise WeightsError(
            f"{where}: has {len(found['head.weight'])} classes and the model {len(own['head.weight'])}; load with "
            'head="keep" to keep the model\'s own last layer, or build the model with as many classes'
        )
    may_lack = {"head.weight", "head.bias"} if head == "keep" else set()
    if head == "keep" and "norm.weight" not in found:
        may_lack |= {"norm.weight", "norm.bias"}
    missing, unexpected = (
        sorted(own.keys() - found.keys() - may_lack),
        sorted(unknown) + sorted(found.keys() - own.keys()),
    )
    if missing or unexpected:
        said = [
            f"{word} {some_names(names)}" for word, names in (("lacks", missing), ("also has", unexpected)) if names
        ]
        raise WeightsError(
            f"{where}: read as {layout} weights, it does not fit this model: it {' and '.join(said)}; build the model "
            "with the depth, positions, num_cls_tokens and qkv_bias that the weights were trained with"
        )
    other = [name for name in found if found[name].shape != own[name].shape]
    if other:
        shapes = f"{tuple(found[other[0]].shape)}, the model {tuple(own[other[0]].shape)}"
        raise WeightsError(
            f"{where}: {len(other)} of {len(found)} parameters have another shape than the model's, first {other[0]}: "
            f"the weights have {shapes}; build the model with the channels, tubelet and size they were trained with"
        )
