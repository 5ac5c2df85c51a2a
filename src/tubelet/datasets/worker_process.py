"""What runs inside a worker process of `workers`: take a task, run the function, send what came of it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, Self

import numpy as np
from jaxtyping import UInt8

from tubelet.datasets.shared_slots import SharedSlots
from tubelet.errors import VideoReadError


@dataclass(frozen=True, slots=True)
class ItemFailure:
    """Why there is no result for a task.

    Attributes:
        cause: One word: one of `READ_CAUSES` for a video, `time_out`, `worker_died`, `out_of_memory`, `system`, or
            `invalid`.
        reason: A sentence that says what was wrong and what to do.
    """

    cause: str
    reason: str


@dataclass(frozen=True, slots=True)
class ArrayInSlot:
    """An array that lies in the slot of its task."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Raised:
    """The function raised what is no failure of an item but a mistake in the program."""

    traceback: str


class Ready:
    """The worker has started and takes tasks."""


def cause_of(error: Exception) -> str:
    """The word for an error that makes an item fail, see `ItemFailure`."""
    if isinstance(error, VideoReadError):
        return error.cause
    if isinstance(error, MemoryError):
        return "out_of_memory"
    return "system" if isinstance(error, OSError) else "invalid"


def failure_of(error: Exception) -> ItemFailure:
    """What is told of an error that makes an item fail."""
    return ItemFailure(cause_of(error), str(error) or type(error).__name__)


class Caught:
    """A context manager that keeps any error, for another thread or process where it is raised again."""

    error: BaseException | None = None
    text: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.error = error
        self.text = "" if error is None else "".join(traceback.format_exception(error))
        return True


def serve(
    connection: Connection,
    function: Callable[[Any], Any],
    failures: tuple[type[Exception], ...],
    slots: SharedSlots | None,
) -> None:
    """The life of a worker: until the other end of the connection closes."""
    # The parent decides what Ctrl-C means; it holds the signal back until this line has run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_die_with_parent, name="tubelet-parent-watch", daemon=True).start()
    _use_one_thread()
    try:
        connection.send(Ready())
        while True:
            number, slot, task = connection.recv()
            with Caught() as caught:
                value = run(function, task, failures)
                if slots is not None:
                    value = packed(value, slots.bytes_of(slot))
                message = ForkingPickler.dumps((number, value))
            if caught.error is not None:
                message = ForkingPickler.dumps((number, Raised(caught.text)))
            connection.send_bytes(message)
    except (EOFError, ConnectionError):
        return  # nobody wants the results any more


def run(
    function: Callable[[Any], Any],
    task: Any,  # noqa: ANN401
    failures: tuple[type[Exception], ...],
) -> Any:  # noqa: ANN401
    """The value of the function, or an `ItemFailure` where it raised one of `failures`."""
    try:
        return function(task)
    except failures as error:
        return failure_of(error)


def packed(value: Any, memory: UInt8[np.ndarray, " bytes"]) -> Any:  # noqa: ANN401
    """A value as it is sent: an array, or one that is the first of a tuple, is copied into a slot.

    Raises:
        ValueError: The array is larger than the slot.
    """
    if isinstance(value, tuple) and value and isinstance(value[0], np.ndarray):
        return (packed(value[0], memory), *value[1:])
    if not isinstance(value, np.ndarray):
        return value
    if value.nbytes > len(memory):
        raise ValueError(f"an array of {value.nbytes} bytes was returned; array_bytes allows {len(memory)}")
    placed = ArrayInSlot(value.shape, value.dtype.str)
    np.copyto(unpacked(placed, memory), value)
    return placed


def unpacked(value: Any, memory: UInt8[np.ndarray, " bytes"]) -> Any:  # noqa: ANN401
    """The value that was sent; an array is a view of the slot, not a copy."""
    if isinstance(value, tuple) and value and isinstance(value[0], ArrayInSlot):
        return (unpacked(value[0], memory), *value[1:])
    if isinstance(value, ArrayInSlot):
        return np.ndarray(value.shape, dtype=value.dtype, buffer=memory.data)
    return value


def _die_with_parent() -> None:
    """End at once when the parent is gone, also in the middle of a file that takes long."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _use_one_thread() -> None:
    """Workers share the processor with each other; threads inside of each would only get in the way."""
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
