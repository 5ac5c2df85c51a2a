"""How pictures become the input of a published model, in plain torch, from the settings that lie beside its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.models.hub_files import preprocessing_file

Interpolation = Literal["nearest-exact", "bilinear", "bicubic"]
# Numbers of PIL's filters.
_INTERPOLATIONS: dict[int, Interpolation] = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, kw_only=True)
class HubPreprocessing:
    """Resize, crop, and normalise.

    Attributes:
        short_side_px: The shorter side is brought to this and the longer one in proportion; None to stretch to
            `size_px`.
        size_px: (height, width) of what the network sees; cut out of the middle, or stretched to.
        interpolation: How pictures are resized; shrinking averages over the pixels that fall together.
        mean: Of red, green and blue on the scale 0..1: the network sees (value / 255 - mean) / std.
        std: Likewise.

    Source: what the image and video processors of transformers do, which need torchvision.
    """

    short_side_px: int | None
    size_px: tuple[int, int]
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, frames: UInt8[Tensor, "time height width 3"]) -> Float32[Tensor, "3 time new_height new_width"]:
        """The pictures of a clip as the network wants them; add a batch axis in front."""
        height, width = self.size_px
        pictures = frames.permute(0, 3, 1, 2)
        target = self._resized(pictures.shape[2], pictures.shape[3])
        if target != tuple(pictures.shape[2:]):
            antialias = self.interpolation != "nearest-exact"
            pictures = nn.functional.interpolate(pictures, target, mode=self.interpolation, antialias=antialias)
        top, left = (target[0] - height) // 2, (target[1] - width) // 2
        cut = pictures[:, :, top : top + height, left : left + width].to(torch.float32)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return ((cut / 255 - mean) / std).permute(1, 0, 2, 3).contiguous()

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.short_side_px is None:
            return self.size_px
        if height <= width:
            return self.short_side_px, int(self.short_side_px * width / height)
        return int(self.short_side_px * height / width), self.short_side_px


def read_preprocessing(folder: Path, *, offset: bool = False) -> HubPreprocessing:
    """The settings of a published model.

    Args:
        folder: With preprocessor_config.json or one of its successors.
        offset: Whether values are lowered by 1 after rescaling where the file does not say (ViViT's were).

    Raises:
        WeightsError: There are none, they are incomplete, or ask for what is not supported.
    """
    path, given = preprocessing_file(folder)
    resizes, crops = given.get("do_resize", True), given.get("do_center_crop", "crop_size" in given)
    if not resizes:
        raise WeightsError(f"{path}: do_resize is false; a model that takes pictures of any size is not supported")
    size = given.get("size")
    short_side, stretched = _size(size, path, "size")
    cropped = _size(given.get("crop_size"), path, "crop_size")[1] if crops else None
    if cropped is None and stretched is None:
        raise WeightsError(
            f"{path}: pictures get no fixed size ({size}, no centre crop); such a model is not supported"
        )
    shape = cropped or stretched or (0, 0)
    smallest = min(stretched) if stretched else short_side or 0
    if cropped is not None and (smallest < max(cropped) or (stretched is not None and stretched != cropped)):
        raise WeightsError(f"{path}: a crop of {cropped} from pictures resized to {size} is not supported")
    number = given.get("resample", 2)
    if number not in _INTERPOLATIONS:
        allowed = ", ".join(f"{key} ({name})" for key, name in _INTERPOLATIONS.items())
        raise WeightsError(f"{path}: resample is {number}; supported: {allowed}")
    mean, std = _folded(given, path, offset)
    return HubPreprocessing(
        short_side_px=short_side, size_px=shape, interpolation=_INTERPOLATIONS[number], mean=mean, std=std
    )


def _size(given: object, path: Path, name: str) -> tuple[int | None, tuple[int, int] | None]:
    """A shorter side, or (height, width)."""
    if isinstance(given, int):
        return (given, None) if name == "size" else (None, (given, given))
    if isinstance(given, dict) and isinstance(given.get("shortest_edge"), int):
        return given["shortest_edge"], None
    if isinstance(given, dict) and {"height", "width"} <= given.keys():
        return None, (int(given["height"]), int(given["width"]))
    raise WeightsError(
        f'{path}: {name} is {given}; supported: a number, {{"shortest_edge": …}} or {{"height": …, "width": …}}'
    )


def _folded(
    given: dict[str, Any], path: Path, offset: bool
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Rescaling, offset and normalisation as one mean and one deviation on the scale 0..1."""
    scale = 255.0 * (float(given.get("rescale_factor", 1 / 255)) if given.get("do_rescale", True) else 1.0)
    shift = 1.0 if given.get("do_rescale", True) and given.get("offset", offset) else 0.0
    mean, std = [0.0] * 3, [1.0] * 3
    if given.get("do_normalize", True):
        mean, std = (_three(given.get(name), path, name) for name in ("image_mean", "image_std"))
    first, second, third = ((value + shift) / scale for value in mean)
    red, green, blue = (value / scale for value in std)
    return (first, second, third), (red, green, blue)


def _three(given: object, path: Path, name: str) -> list[float]:
    if isinstance(given, int | float):
        return [float(given)] * 3
    if isinstance(given, list) and len(given) == 3 and all(isinstance(value, int | float) for value in given):
        return [float(value) for value in given]
    raise WeightsError(f"{path}: {name} is {given}; needed: three numbers, for red, green and blue")
