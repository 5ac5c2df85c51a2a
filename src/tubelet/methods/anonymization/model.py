"""The network with two heads, and what a user holds: `Anonymizer`, from clips to masked clips."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.configs import from_json, to_json
from tubelet.errors import WeightsError
from tubelet.methods.anonymization.image_stem import TUBELET, FeatureEmbedding, ImageFeatures
from tubelet.methods.anonymization.losses import reverse_gradient
from tubelet.methods.anonymization.masks import masked, pixel_mask
from tubelet.methods.anonymization.pruning import ContrastPruning, PruningConfig, kept_places
from tubelet.models.narrow import spread_weights
from tubelet.models.positions import Grid
from tubelet.models.token_reduction import Tokens
from tubelet.models.vit import VideoViT
from tubelet.training.weights_files import load_weights, save_weights

PrivacyMode = Literal["grl", "coop"]
Stem = Literal["pixels", "lite0"]
MODEL_SCHEMA = "tubelet.anonymizer/1"
MODEL_FILE = "model.safetensors"
EMBEDDED = "people"
"""Name of the anonymiser that ships; see `Anonymizer.load`."""

SHOWN_PEOPLE, SHOWN_PICTURES = "people", "pictures"
_EMBEDDED_FILE = Path(__file__).parent / "weights" / "people.safetensors"
_MIDDLE_GREY = 0.4


@dataclass(frozen=True, kw_only=True)
class VitShape:
    """Size of the video transformer. The defaults are ViT-B/16 on 16 frames of 224x224.

    Attributes:
        num_frames: Frames of a clip.
        size_px: Side of the pictures.
        tubelet: Frames, rows and columns of a tubelet.
        channels: Width of the tokens.
        depth: Blocks.
        num_heads: Heads.
        dropout, attention_dropout, drop_path: In training.
        stem: What tokens are made from: "pixels", or "lite0" for features of a network trained on pictures, which stay
            as they are; see `ImageFeatures`.
    """

    num_frames: int = 16
    size_px: int = 224
    tubelet: Grid = (2, 16, 16)
    channels: int = 768
    depth: int = 12
    num_heads: int = 12
    dropout: float = 0.2
    attention_dropout: float = 0.1
    drop_path: float = 0.2
    stem: Stem = "pixels"

    def __post_init__(self) -> None:
        if self.stem == "lite0" and self.tubelet != TUBELET:
            raise ValueError(f"tubelet is {self.tubelet}; the stem lite0 has features of {TUBELET} alone")


@dataclass(frozen=True, kw_only=True)
class DualOutput:
    """What the network says of clips.

    Attributes:
        actions: Logits.
        private: Logits of the attributes.
        kept: Which tubelets are left after the last pruning block.
        tokens: What is left after the last block.
    """

    actions: Float[Tensor, "clips actions"]
    private: Float[Tensor, "clips attributes"]
    kept: Bool[Tensor, "clips steps rows columns"]
    tokens: Tokens


class DualTokenViT(nn.Module):
    """A video transformer whose first CLS token reads the action and whose second reads what is private.

    Args:
        num_actions: Actions.
        num_attributes: Attributes.
        shape: Of the transformer.

    Source: arXiv:2603.26336. Clips are RGB from 0 to 1 and not normalised, so that black is 0.
    """

    def __init__(self, num_actions: int, num_attributes: int, shape: VitShape) -> None:
        super().__init__()
        if num_attributes < 1:
            raise ValueError(f"num_attributes is {num_attributes}; allowed: 1 or more")
        self.shape = shape
        sizes = asdict(shape)
        self.image = ImageFeatures() if sizes.pop("stem") == "lite0" else None
        if self.image is not None:  # the transformer's clips are of features, one for each tubelet
            steps, side = shape.num_frames // TUBELET[0], shape.size_px // TUBELET[1]
            sizes |= {"num_frames": steps, "size_px": side, "tubelet": (1, 1, 1)}
        self.vit = VideoViT(
            num_actions,
            **sizes,
            num_cls_tokens=2,
            positions="learned",
            qkv_bias="all",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
        )
        self.privacy_head = nn.Linear(shape.channels, num_attributes)
        nn.init.trunc_normal_(self.privacy_head.weight, std=0.02)
        nn.init.zeros_(self.privacy_head.bias)
        # Clips are not normalised here.
        spread_weights(self.vit, grey=_MIDDLE_GREY)
        if self.image is not None:
            self.vit.patch_embed = FeatureEmbedding(shape.channels)  # type: ignore[assignment]

    def seen(self, video: Float[Tensor, "clips values time height width"]) -> Float[Tensor, "clips values2 t h w"]:
        """What the transformer takes: the clips, or their features; features go through as they are.

        Raises:
            ValueError: The clips cannot be cut into tubelets.
        """
        if self.image is None or video.shape[1] != 3:
            return video
        if any(size % part for size, part in zip(video.shape[2:], TUBELET, strict=True)):
            raise ValueError(f"clips of {tuple(video.shape[2:])} cannot be cut into tubelets of {TUBELET}")
        found: Tensor = self.image(video)
        return found

    def own_state(self) -> dict[str, Tensor]:
        """What was trained; the stem's weights are those that were published."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("image.")}

    def forward(
        self,
        video: Float[Tensor, "clips values time height width"],
        pruning: PruningConfig,
        *,
        reversal: float | None = None,
    ) -> DualOutput:
        """Logits of both, and what was kept.

        Args:
            video: From 0 to 1, or features of `seen`.
            pruning: Where and how much is removed.
            reversal: Weight of the reversed gradient of the attributes; None lets the gradient through as it is.

        Raises:
            ValueError: The clips cannot be cut into tubelets, or the pruning does not fit the network.
        """
        video = self.seen(video)
        grid = self.vit.grid_of(video)
        reduction = ContrastPruning(grid, pruning, depth=len(self.vit.blocks))
        encoded = self.vit.encode(video, reduction=reduction)
        private = encoded.cls[:, 1]
        if reversal is not None:
            private = reverse_gradient(private, reversal)
        return DualOutput(
            actions=self.vit.head(self.vit.head_dropout(encoded.cls[:, 0])),
            private=self.privacy_head(self.vit.head_dropout(private)),
            kept=kept_places(encoded.tokens, len(video), grid),
            tokens=encoded.tokens,
        )


class Anonymizer:
    """Removes tubelets from clips.

        anonymizer = Anonymizer.load("runs/glyphs")
        video, mask = anonymizer(clips, keep=0.5)

    Args:
        network: Trained; put into evaluation mode.
        pruning: As it was trained with.
        facts: What else is known of it: names of actions and attributes, recipe, versions.
    """

    def __init__(self, network: DualTokenViT, pruning: PruningConfig, facts: Mapping[str, Any]) -> None:
        self.network, self.pruning, self.facts = network.eval(), pruning, dict(facts)

    @property
    def is_shown_people(self) -> bool:
        """Whether its clips are squares that go with a person, and not whole pictures."""
        return bool(self.facts.get("shown") == SHOWN_PEOPLE)

    @torch.inference_mode()
    def __call__(
        self,
        video: Float[Tensor, "clips 3 time height width"],
        *,
        keep: float | None = None,
        fill: tuple[float, float, float] = (0.0, 0.0, 0.0),
        **changes: Any,  # noqa: ANN401 - fields of PruningConfig, which checks them
    ) -> tuple[Float[Tensor, "clips 3 time height width"], Bool[Tensor, "clips 1 time height width"]]:
        """The masked clips, and the mask: true where pixels stay.

        Args:
            video: RGB from 0 to 1.
            keep: Share of the tubelets that stays; what it was trained with if None.
            fill: Colour of what is removed.
            **changes: Other fields of `PruningConfig`.

        Raises:
            ValueError: Pixels are not finite, or a setting is not allowed.
        """
        kept = self.kept(video, keep=keep, **changes)
        tubelet = self.network.shape.tubelet
        return masked(video, kept, tubelet, fill=fill), pixel_mask(kept, tubelet)

    @torch.inference_mode()
    def kept(
        self,
        video: Float[Tensor, "clips 3 time height width"],
        *,
        keep: float | None = None,
        **changes: Any,  # noqa: ANN401
    ) -> Bool[Tensor, "clips steps rows columns"]:
        """Which tubelets stay; arguments as in a call."""
        check_pixels(video)
        if keep is not None or "keep_rate" in changes:  # a rate of each block is asked for instead of an exact share
            changes["keep"] = keep
        found: DualOutput = self.network(video, replace(self.pruning, **changes))
        return found.kept

    @torch.inference_mode()
    def tokens(self, video: Float[Tensor, "clips 3 time height width"], *, keep: float | None = None) -> Tokens:
        """The tokens that are left, to publish instead of pixels; without the fused one, which holds what was removed.

        What is removed has been attended to by other tokens before it went, so tokens carry more than masked pixels do.
        """
        check_pixels(video)
        pruning = self.pruning if keep is None else replace(self.pruning, keep=keep)
        found: DualOutput = self.network(video, replace(pruning, fuse=False))
        return found.tokens

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write network, settings and facts as one safetensors file."""
        card = {
            "schema": MODEL_SCHEMA,
            "num_actions": self.network.vit.head.out_features,
            "num_attributes": self.network.privacy_head.out_features,
            "shape": to_json(self.network.shape),
            "pruning": to_json(self.pruning),
            **self.facts,
        }
        save_weights(path, self.network.own_state(), {"card": json.dumps(card, sort_keys=True)})

    @staticmethod
    def file_of(path: str | os.PathLike[str]) -> Path:
        """The file that `load` reads."""
        file = _EMBEDDED_FILE if path == EMBEDDED else Path(path)
        return file / MODEL_FILE if file.is_dir() else file

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Anonymizer:
        """An anonymiser from a run folder or a file; "people" is the one that ships.

        Raises:
            WeightsError: The file is missing, is no anonymiser, or its tensors do not fit what it says of itself.
        """
        file = cls.file_of(path)
        tensors, metadata = load_weights(file)
        card = json.loads(metadata.get("card", "{}"))
        if card.get("schema") != MODEL_SCHEMA:
            raise WeightsError(
                f"{file}: schema is {card.get('schema')!r}; this version reads {MODEL_SCHEMA!r}, as "
                "`tubelet train anonymization:RECIPE` writes it"
            )
        network = DualTokenViT(card["num_actions"], card["num_attributes"], from_json(VitShape, card["shape"]))
        own = network.own_state()
        wrong = [name for name in own if name not in tensors or tensors[name].shape != own[name].shape]
        if wrong or len(own) != len(tensors):
            found = tuple(tensors[wrong[0]].shape) if wrong and wrong[0] in tensors else "nothing"
            raise WeightsError(
                f"{file}: does not fit what it says of itself: {wrong[0] if wrong else 'further tensors'} has {found}, "
                f"{tuple(own[wrong[0]].shape) if wrong else 'none'} is needed; train it anew"
            )
        network.load_state_dict(tensors, strict=network.image is None)
        known = ("schema", "num_actions", "num_attributes", "shape", "pruning")
        facts = {name: value for name, value in card.items() if name not in known}
        return cls(network, from_json(PruningConfig, card["pruning"]), facts)


def check_pixels(video: Float[Tensor, "clips 3 time height width"]) -> None:
    """See that clips are pictures from 0 to 1.

    Raises:
        ValueError: A pixel is not finite; the message names the clip.

    Warns:
        UserWarning: Values lie outside of 0 to 1: black would not be 0.
    """
    finite = video.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        raise ValueError(f"clip {int((~finite).nonzero()[0])} of the batch has pixels that are not finite")
    low, high = video.aminmax()
    if float(low) < -1e-3 or float(high) > 1 + 1e-3 or math.isnan(float(low)):
        warnings.warn(
            f"pixels lie between {float(low):.2f} and {float(high):.2f}; from 0 to 1 is expected, or black is not 0: "
            "give clips that are not normalised, or name the colour with fill",
            stacklevel=3,
        )
