"""The best weights of a training so far, in a file beside the checkpoints."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from torch import nn

from tubelet.errors import WeightsError
from tubelet.training.checkpoint import writing
from tubelet.training.distributed import ALONE, World
from tubelet.training.model_state import model_tensors
from tubelet.training.stopping import Best
from tubelet.training.weights_files import chosen, load_into, save_weights
from tubelet.weights.archives import file_sha256


def save_best(
    folder: str | os.PathLike[str], *, model: nn.Module, best: Best, names: Collection[str] | None, world: World = ALONE
) -> None:
    """Write the weights that `best` speaks of beside the checkpoints, and write their file's name and sha256 into it.

    The files of earlier bests stay until no checkpoint names them, so a kill before the next checkpoint loses nothing.

    Args:
        folder: Where checkpoints lie; made if missing.
        model: The model that was validated.
        best: Judged already.
        names: The tensors to write; None for all.
        world: The processes of this training; all must call this, and the first writes.

    Raises:
        TrainingError: It cannot be written (disk full, say).
    """
    path = Path(folder) / f"best_{best.step:08d}.safetensors"
    tensors = chosen(model_tensors(model), names)
    sha256 = ""
    if world.is_first:
        with writing(path, path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            save_weights(path, tensors, {"step": str(best.step), "value": repr(best.value)})
            sha256 = file_sha256(path)
    best.file, best.sha256 = path.name, world.gather(sha256)[0]


def load_best(folder: str | os.PathLike[str], *, model: nn.Module, best: Best, names: Collection[str] | None) -> None:
    """Put the weights of the best validation into `model`.

    Raises:
        WeightsError: Their file is missing, damaged or does not fit.
    """
    path = Path(folder) / str(best.file)
    if not path.is_file() or file_sha256(path) != best.sha256:
        raise WeightsError(
            f"{path}: the best weights, of step {best.step}, are missing or not as they were written; "
            "use the weights in the newest checkpoint beside it, or train anew"
        )
    load_into(model, path, names)
