"""Weights and training state on disk, whole or not at all, and read back without pickle.

A checkpoint is a folder `step_00000500` with `model.safetensors`, `ema.safetensors` where there is an average,
`state.pt` (optimiser, scale of fp16, random generators of every process; tensors and plain values only) and
`state.json` (step, ledger of the data seen, best validation, sha256 of the rest). It is written under another name and
renamed when complete, so a folder that is called `step_…` can be trusted. The best weights lie beside it as
`best_00000400.safetensors` and stay as long as a checkpoint names them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError, TrainingError, WeightsError
from tubelet.runs.files import sync_folder, write_bytes, write_json
from tubelet.training.distributed import ALONE, World
from tubelet.training.ema import Ema
from tubelet.training.ledger import Ledger
from tubelet.training.model_state import (
    frozen_sha256,
    load_optimizer_state,
    model_tensors,
    optimizer_state,
    trained_names,
)
from tubelet.training.seed import random_state, restore_random_state
from tubelet.training.stopping import Best
from tubelet.training.weights_files import chosen, load_into, save_weights
from tubelet.weights.archives import file_sha256

CHECKPOINT_SCHEMA = "tubelet.checkpoint/2"
_NAME = re.compile(r"step_(\d{8,})")
_NUM_KEPT = 2  # the newest, and one to fall back on


@dataclass(kw_only=True)
class LoopState:
    """Where a training stands, beside its tensors.

    Attributes:
        ledger: What this process has seen of the data.
        best: The best validation so far.
        num_overflows: Steps that fp16 lost because a gradient was too large for it.
        overflows_in_a_row: Those since the last step that counted.
    """

    ledger: Ledger = field(default_factory=Ledger)
    best: Best = field(default_factory=Best)
    num_overflows: int = 0
    overflows_in_a_row: int = 0


def save_checkpoint(
    folder: str | os.PathLike[str],
    *,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: Ema | None = None,
    scaler: torch.amp.GradScaler | None = None,
    loop: LoopState | None = None,
    world: World = ALONE,
    trained_only: bool = False,
) -> Path:
    """Save everything that training goes on from, then drop all but the newest two checkpoints.

    Of several processes all must call this; the first writes.

    Args:
        folder: Where checkpoints lie; made if missing.
        step: Number of optimiser steps done.
        model: Its state dict is saved.
        optimizer: Its state dict is saved.
        ema: The average, where there is one.
        scaler: The scale of fp16, where there is one.
        loop: Ledger, best validation and counts.
        world: The processes of this training.
        trained_only: Leave frozen parameters out and write their sha256, for a small model on top of a large one.

    Returns:
        The folder of this checkpoint.

    Raises:
        TrainingError: It cannot be written (disk full, say); earlier checkpoints are as they were.
    """
    parent = Path(folder)
    final = parent / f"step_{step:08d}"
    loop = loop or LoopState()
    names = trained_names(model) if trained_only else None
    files = {"model.safetensors": chosen(model_tensors(model), names)}
    if ema is not None:
        files["ema.safetensors"] = chosen(model_tensors(ema.model), names)
    state = {
        "optimizer": optimizer_state(model, optimizer),
        "scaler": None if scaler is None else scaler.state_dict(),
        "random": [_from_bytes(each) for each in world.gather_bytes(_to_bytes(random_state()))],
    }
    facts = {
        "schema": CHECKPOINT_SCHEMA,
        "step": step,
        "num_processes": world.size,
        "frozen_sha256": frozen_sha256(model) if trained_only else None,
        "num_overflows": loop.num_overflows,
        "overflows_in_a_row": loop.overflows_in_a_row,
        "best": loop.best.to_json(),
        "ledgers": world.gather(loop.ledger.to_json()),
    }
    if world.is_first:
        with writing(final, parent):
            _write(final, files, state, facts)
    return final


def _write(
    final: Path, files: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    parent = final.parent
    parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(parent)
    draft = parent / f".{final.name}.{secrets.token_hex(4)}.tmp"
    try:
        draft.mkdir()
        for name, tensors in files.items():
            save_weights(draft / name, tensors)
        write_bytes(draft / "state.pt", _to_bytes(state))
        sums = {path.name: file_sha256(path) for path in sorted(draft.iterdir())}
        write_json(draft / "state.json", {**facts, "sha256": sums})
        if final.exists():
            _remove(final)
        os.rename(draft, final)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)  # half a checkpoint on a full disk is in the way of everything else
        raise
    sync_folder(parent)
    for old in _checkpoints(parent)[:-_NUM_KEPT]:
        _remove(old)
    kept = [json.loads((path / "state.json").read_text(encoding="utf-8")) for path in _checkpoints(parent)]
    named = {each.get("best", {}).get("file") for each in kept}
    for best in parent.glob("best_*.safetensors"):
        if best.name not in named:
            best.unlink()


def _to_bytes(state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()  # torch's own writer turns a full disk into an error without a name
    torch.save(state, buffer)
    return buffer.getvalue()


def _from_bytes(content: bytes) -> dict[str, Any]:
    return dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))


@contextlib.contextmanager
def writing(path: Path, checkpoints: Path) -> Iterator[None]:
    """Tells what a full or read-only disk means for a training that is writing `path`.

    Args:
        path: What is being written.
        checkpoints: The folder of checkpoints, to name the last good one.

    Raises:
        TrainingError: The operating system refused.
    """
    try:
        yield
    except OSError as error:
        kept = latest_checkpoint(checkpoints)
        sound = f"the last good checkpoint, {kept}, is whole" if kept else "there is no earlier checkpoint"
        raise TrainingError(
            f"{path}: cannot be written ({error.strerror or error}); {sound}. "
            "Make room or give it a disk that can be written, and go on with --resume"
        ) from error


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
    scaler: torch.amp.GradScaler | None = None,
    loop: LoopState | None = None,
    world: World = ALONE,
) -> int:
    """Put a checkpoint's state into the given objects.

    Args:
        checkpoint: A folder that `save_checkpoint` returned.
        model: Receives the weights.
        optimizer: Receives its state, and the global random generators receive theirs; None to load weights only.
        ema: Receives the average.
        scaler: Receives the scale of fp16.
        loop: Receives ledger, best validation and counts.
        world: The processes of this training.

    Returns:
        The number of optimiser steps done.

    Raises:
        WeightsError: A file is missing or damaged, or the weights do not fit the model.
        ConfigError: It was written by another number of processes, and training is to go on.
    """
    path = Path(checkpoint)
    facts = _checked_facts(path)
    if ema is not None and "ema.safetensors" not in facts["sha256"]:
        raise WeightsError(f"{path}: was trained without a weight average; train anew, or leave the average off")
    if optimizer is not None and facts["num_processes"] != world.size:
        raise ConfigError(
            f"{path} was written by {facts['num_processes']} processes, and these are {world.size}; each has data and "
            f"random numbers of its own, so go on with torchrun --nproc-per-node {facts['num_processes']}"
        )
    names = None if facts["frozen_sha256"] is None else trained_names(model)
    load_into(model, path / "model.safetensors", names)  # first: another number of classes is told by both counts
    if ema is not None:
        load_into(ema.model, path / "ema.safetensors", names)
    if names is not None and frozen_sha256(model) != facts["frozen_sha256"]:
        raise WeightsError(
            f"{path}: holds only what was trained, and the frozen weights of this model are not those it was trained "
            "upon (their sha256 differ); load the same pretrained weights first"
        )
    if optimizer is not None:
        try:
            state = _from_bytes((path / "state.pt").read_bytes())
            load_optimizer_state(model, optimizer, state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(f"{path / 'state.pt'}: the optimiser cannot go on from it: {error}") from error
        if scaler is not None:
            if state["scaler"] is None:
                raise WeightsError(f"{path}: was trained without fp16; go on with the precision that it was trained in")
            scaler.load_state_dict(state["scaler"])
        restore_random_state(state["random"][world.rank])
    if loop is not None:
        loop.best = Best.from_json(facts["best"])
        loop.ledger = Ledger.from_json(facts["ledgers"][world.rank])
        loop.num_overflows, loop.overflows_in_a_row = facts["num_overflows"], facts["overflows_in_a_row"]
    return int(facts["step"])


def _checked_facts(path: Path) -> dict[str, Any]:
    """state.json, after a look at every file that it names."""
    try:
        facts: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: no readable checkpoint ({error}); train anew or use an older one") from error
    if facts.get("schema") != CHECKPOINT_SCHEMA:
        raise WeightsError(f"{path}: schema is {facts.get('schema')!r}; this version reads {CHECKPOINT_SCHEMA!r}")
    for name, expected in facts["sha256"].items():
        if not (path / name).is_file() or file_sha256(path / name) != expected:
            raise WeightsError(f"{path / name}: is missing or not as it was written; use an older checkpoint")
    return facts


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
