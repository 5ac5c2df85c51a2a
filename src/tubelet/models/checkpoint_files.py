"""Reading the tensors of somebody's checkpoint without running anything that is in it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch._weights_only_unpickler import UnpicklingError  # type: ignore[attr-defined]
from torch.serialization import safe_globals

from tubelet.errors import WeightsError

# Where training scripts put the tensors beside optimiser, epoch and arguments.
_WRAPPERS = ("module", "model", "state_dict", "model_state_dict", "model_state")


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors by name from a `.safetensors` file, or a `.pth`, `.pt` or `.bin` file that holds nothing but data.

    Args:
        path: The file. Where it holds more than tensors (an optimiser, arguments), the table named module, model or
            state_dict is taken.

    Raises:
        WeightsError: It is missing or a folder, is damaged, would run code, or holds no table of tensors.
    """
    file = Path(path)
    if file.is_dir():
        raise WeightsError(f"{file}: is a folder; give the file in it that holds the weights (model.safetensors, say)")
    if not file.is_file():
        raise WeightsError(f"{file}: there is no such file; give a .safetensors file or a checkpoint of PyTorch")
    content = _safetensors(file) if file.suffix == ".safetensors" else _pytorch(file)
    while isinstance(content, Mapping) and not _is_state(content):
        inner = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not _is_state(content):
        keys = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        raise WeightsError(f"{file}: holds no table of tensors (found: {keys}); give a checkpoint of network weights")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _is_state(content: Mapping[object, object]) -> bool:
    """Whether there are tensors right here; a checkpoint's own entries may be tensors too (an epoch), so one in two."""
    return sum(isinstance(value, Tensor) for value in content.values()) * 2 > len(content)


def _safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file}: cannot be read as safetensors ({error}); copy or download it again") from error


def _pytorch(file: Path) -> object:
    try:
        # Scripts save their command line beside the weights; a namespace of plain values runs nothing.
        with safe_globals([argparse.Namespace]):
            content: object = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, UnpicklingError) as error:
        raise _unreadable(file, error) from error
    return content


def _unreadable(file: Path, error: BaseException) -> WeightsError:
    first = (str(error).splitlines() or ["it ends too early"])[0]
    return WeightsError(
        f"{file}: cannot be read as PyTorch weights ({first}); only files of plain tensors are read. Copy it "
        "again if it may be damaged; if it holds objects, save its state_dict() with the code that made it"
    )


def some_names(names: Sequence[str]) -> str:
    """The first names of a list and how many more there are, for a message."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
