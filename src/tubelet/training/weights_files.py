"""Files of weights: safetensors, written whole or not at all, equal bytes for equal weights."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.runs.files import write_bytes
from tubelet.training.model_state import load_model_tensors


def save_weights(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors as safetensors, atomically; equal input gives equal bytes.

    Args:
        path: Where.
        tensors: E.g. `model.state_dict()`.
        metadata: Strings that travel inside the file: labels, preprocessing, provenance (JSON text where structured).
    """
    # Cloned because safetensors refuses views that share memory.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in sorted(tensors.items())}
    write_bytes(path, _in_order(safetensors_bytes(plain, metadata=dict(metadata or {}) or None)))


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with its header sorted; the library writes metadata in a random order."""
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format wants the tensors aligned
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_weights` wrote.

    Returns:
        The tensors by name, on the CPU, and the metadata.

    Raises:
        WeightsError: The file is missing or is not safetensors.
    """
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            return tensors, dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{os.fspath(path)}: cannot be read as safetensors: {error}") from error


def load_into(model: nn.Module, path: Path, names: Collection[str] | None) -> None:
    """Put a file of weights into a model; `names` are those it holds where it does not hold all.

    Raises:
        WeightsError: The file cannot be read or does not fit.
    """
    may_lack = set() if names is None else model.state_dict().keys() - set(names)
    load_model_tensors(model, load_weights(path)[0], where=str(path), may_lack=may_lack)


def chosen(tensors: Mapping[str, Tensor], names: Collection[str] | None) -> dict[str, Tensor]:
    """The tensors of these names; all where `names` is None."""
    return {name: tensor for name, tensor in tensors.items() if names is None or name in names}
