"""Weights and training state on disk, whole or not at all, and read back without pickle.

A checkpoint is a folder `step_00000500` with `model.safetensors`, `ema.safetensors` where there is an average,
`state.pt` (optimiser and random generators; tensors and plain values only) and `state.json` (step, sha256 of the rest).
It is written under another name and renamed when complete, so a folder that is called `step_…` can be trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.runs.files import sync_folder, write_atomically, write_bytes, write_json
from tubelet.training.ema import Ema
from tubelet.training.seed import random_state, restore_random_state

CHECKPOINT_SCHEMA = "tubelet.checkpoint/1"
_NAME = re.compile(r"step_(\d{8,})")
_NUM_KEPT = 2  # the newest, and one to fall back on


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


def save_checkpoint(
    folder: str | os.PathLike[str],
    *,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: Ema | None = None,
) -> Path:
    """Save everything that training goes on from, then drop all but the newest two checkpoints.

    Args:
        folder: Where checkpoints lie; made if missing.
        step: Number of optimiser steps done.
        model: Its state dict is saved.
        optimizer: Its state dict is saved.
        ema: The average, where there is one.

    Returns:
        The folder of this checkpoint.
    """
    parent = Path(folder)
    parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(parent)
    final = parent / f"step_{step:08d}"
    draft = parent / f".{final.name}.{secrets.token_hex(4)}.tmp"
    draft.mkdir()
    save_weights(draft / "model.safetensors", model.state_dict())
    if ema is not None:
        save_weights(draft / "ema.safetensors", ema.model.state_dict())
    state = {"optimizer": optimizer.state_dict(), "random": random_state()}
    write_atomically(draft / "state.pt", lambda file: torch.save(state, file))
    sums = {path.name: _sha256(path) for path in sorted(draft.iterdir())}
    write_json(draft / "state.json", {"schema": CHECKPOINT_SCHEMA, "step": step, "sha256": sums})
    if final.exists():
        _remove(final)
    os.rename(draft, final)
    sync_folder(parent)
    for old in _checkpoints(parent)[:-_NUM_KEPT]:
        _remove(old)
    return final


def latest_checkpoint(folder: str | os.PathLike[str]) -> Path | None:
    """The checkpoint with the most steps, or None where there is none yet."""
    checkpoints = _checkpoints(Path(folder))
    return checkpoints[-1] if checkpoints else None


def load_checkpoint(
    checkpoint: str | os.PathLike[str],
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    ema: Ema | None = None,
) -> int:
    """Put a checkpoint's state into the given objects.

    Args:
        checkpoint: A folder that `save_checkpoint` returned.
        model: Receives the weights.
        optimizer: Receives its state, and the global random generators receive theirs; None to load weights only.
        ema: Receives the average.

    Returns:
        The number of optimiser steps done.

    Raises:
        WeightsError: A file is missing or damaged, or the weights do not fit the model.
    """
    path = Path(checkpoint)
    try:
        facts = json.loads((path / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: no readable checkpoint ({error}); train anew or use an older one") from error
    if facts.get("schema") != CHECKPOINT_SCHEMA:
        raise WeightsError(f"{path}: schema is {facts.get('schema')!r}; this version reads {CHECKPOINT_SCHEMA!r}")
    if ema is not None and "ema.safetensors" not in facts["sha256"]:
        raise WeightsError(f"{path}: was trained without a weight average; train anew, or leave the average off")
    for name, expected in facts["sha256"].items():
        if not (path / name).is_file() or _sha256(path / name) != expected:
            raise WeightsError(f"{path / name}: is missing or not as it was written; use an older checkpoint")
    _load_into(model, path / "model.safetensors")
    if ema is not None:
        _load_into(ema.model, path / "ema.safetensors")
    if optimizer is not None:
        try:
            state: dict[str, Any] = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
            optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(f"{path / 'state.pt'}: the optimiser cannot go on from it: {error}") from error
        restore_random_state(state["random"])
    return int(facts["step"])


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_into(model: nn.Module, path: Path) -> None:
    tensors, _ = load_weights(path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path}: the weights do not fit the model: {error}") from error


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        (path for path in folder.iterdir() if _NAME.fullmatch(path.name)), key=lambda path: int(path.name.split("_")[1])
    )


def _remove(checkpoint: Path) -> None:
    """Take the trusted name away first, so that no half-deleted checkpoint is ever read."""
    doomed = checkpoint.with_name(f".{checkpoint.name}.{secrets.token_hex(4)}.tmp")
    os.rename(checkpoint, doomed)
    shutil.rmtree(doomed)


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.glob(".step_*.tmp"):
        shutil.rmtree(leftover)
