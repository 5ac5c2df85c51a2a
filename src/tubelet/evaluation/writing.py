"""Writing the predictions file, line by line, so that an evaluation that was stopped goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from jaxtyping import Float

from tubelet.errors import ConfigError, OutputExistsError
from tubelet.evaluation.predictions import read_predictions
from tubelet.evaluation.protocol import ClipTruth, Header
from tubelet.runs import to_json_text

_DIGITS = 7  # of a logit: what a float32 holds


class PredictionsWriter:
    """Appends predictions to a file; use it as a context manager.

    Args:
        path: The file; its folder must exist.
        header: What the first line says.
        resume: Go on with a file that is there. Clips that it has scored are in `done`; clips that failed are not, so
            that they are tried again.
        sync_every: Lines after which the file is put on the disk; each line is handed to the system at once.

    Raises:
        OutputExistsError: The file is there and `resume` was not asked for.
        ReportError: The file that is there is damaged.
        ConfigError: It was begun with other data, another model or another protocol, or cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], header: Header, *, resume: bool = False, sync_every: int = 16
    ) -> None:
        self.path = Path(path)
        self.header = header
        self.done: frozenset[str] = frozenset()
        self._sync_every = sync_every
        self._num_unsynced = 0
        keep = self._keep(resume)
        try:
            self._file: BinaryIO = open(self.path, "r+b" if keep else "wb")  # noqa: SIM115 - closed by close()
            self._file.truncate(keep)
            self._file.seek(keep)
        except OSError as error:
            raise self._unwritable(error) from error
        if keep == 0:
            self._append(header.to_json())

    def _keep(self, resume: bool) -> int:
        """How many bytes of a file that is there are whole lines of this evaluation."""
        if not self.path.exists():
            return 0
        if not resume:
            raise OutputExistsError(
                f"{self.path} is there already; go on with it by resuming, replace it by --overwrite, or give another "
                "--out"
            )
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole == 0:  # nothing, or a first line that was never finished
            return 0
        there = read_predictions(self.path)
        different = self.header.differences(there.header)
        if different:
            raise ConfigError(
                f"{self.path} was begun with another {', '.join(different)}; one file holds one evaluation: "
                "evaluate as before to go on with it, or give another --out"
            )
        self.done = frozenset(there.ids)
        return whole

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Put everything on the disk and close the file."""
        if not self._file.closed:
            self._sync()
            self._file.close()

    def write(self, clip: ClipTruth, logits: Float[np.ndarray, "views classes"]) -> None:
        """Append what the network said of a clip, view by view; logits that are not finite make it a failure."""
        if logits.shape[1] != len(self.header.classes):
            raise ValueError(f"{logits.shape[1]} logits for {len(self.header.classes)} classes")
        if logits.shape[0] != self.header.protocol.num_views:
            raise ValueError(f"{logits.shape[0]} views of {clip.id}; the protocol has {self.header.protocol.num_views}")
        if not np.isfinite(logits).all():
            self.write_failure(clip, "the network's output is not finite (NaN or infinity)")
            return
        rounded = [[float(f"{value:.{_DIGITS}g}") for value in view] for view in logits.tolist()]
        self._append({**asdict(clip), "logits": rounded})

    def write_failure(self, clip: ClipTruth, reason: str) -> None:
        """Append why a clip could not be scored."""
        self._append({**asdict(clip), "error": reason})

    def _append(self, content: Mapping[str, Any]) -> None:
        try:
            self._file.write(to_json_text(content, indent=None).encode("utf-8"))
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        self._num_unsynced += 1
        if self._num_unsynced >= self._sync_every:
            self._sync()

    def _sync(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error
        self._num_unsynced = 0

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"{self.path}: predictions cannot be written ({error.strerror or error}); clips that are in the file are "
            "safe: make room or give another --out, then go on by resuming"
        )
