"""Places for a training's numbers beside log.jsonl. Each gives a function of step and numbers, for `fit(logs=[…])`.

    with tensorboard_log(run.path / "tensorboard") as log:
        fit(…, logs=[log])

Nothing leaves this machine unless W&B's mode "online" is asked for by name.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from tubelet.errors import ConfigError, MissingExtraError

Log = Callable[[int, Mapping[str, float]], None]
WandbMode = Literal["offline", "online"]


@contextlib.contextmanager
def tensorboard_log(folder: str | os.PathLike[str], *, first_step: int = 0) -> Iterator[Log]:
    """Write numbers where `tensorboard --logdir` finds them.

    Args:
        folder: Where the event file goes; made if missing.
        first_step: Steps done already. What an earlier process wrote after them is hidden: they are done again.

    Yields:
        The function that takes step and numbers; each call is on the disk when it returns.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            f"logs for TensorBoard need the package tensorboard ({error}); "
            "install it with: pip install 'tubelet[tensorboard]'"
        ) from error
    writer: Any = SummaryWriter(os.fspath(folder), purge_step=first_step + 1 if first_step else None)

    def log(step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()


@contextlib.contextmanager
def wandb_log(
    folder: str | os.PathLike[str],
    *,
    project: str,
    config: Mapping[str, Any],
    mode: WandbMode = "offline",
) -> Iterator[Log]:
    """Write numbers for Weights & Biases: into the run's folder, to be sent by `wandb sync`, or sent at once.

    Args:
        folder: The run's folder; W&B makes `wandb` in it.
        project: Name of the W&B project.
        config: The resolved settings of the run.
        mode: "offline" sends nothing; "online" sends numbers, config and facts about the machine to the W&B server.

    Yields:
        The function that takes step and numbers.

    Raises:
        MissingExtraError: The client is not installed.
        ConfigError: The environment's WANDB_MODE forbids what `mode` asks for.
    """
    said = os.environ.get("WANDB_MODE")
    if said in ("offline", "disabled", "dryrun") and mode == "online":
        raise ConfigError(
            f"W&B is to send (mode 'online') and the environment says WANDB_MODE={said}; "
            "unset it, or use mode 'offline'"
        )
    try:
        import wandb
    except ImportError as error:
        raise MissingExtraError(
            f"logs for W&B need the package wandb ({error}); install it with: pip install 'tubelet[wandb]'"
        ) from error
    path = Path(folder).resolve()
    run = wandb.init(
        project=project,
        name=path.name,
        # A run that is gone on with is the same run there too.
        id=f"{path.name}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}",
        resume="allow",
        dir=os.fspath(path),
        config=dict(config),
        mode=mode,
        save_code=False,
        settings=wandb.Settings(disable_git=True, disable_code=True, console="off"),
    )

    def log(step: int, numbers: Mapping[str, float]) -> None:
        run.log({name: value for name, value in numbers.items() if math.isfinite(value)}, step=step)

    try:
        yield log
    finally:
        run.finish()
