"""Functions that tests run in worker processes, which find them by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from tubelet.datasets.array_store import ArrayStore
from tubelet.errors import DatasetError, VideoReadError


def slow_square(number: int) -> int:
    """Later tasks are quicker, so that they overtake."""
    time.sleep(0.02 * (5 - number % 5))
    return number * number


def pid(_: object) -> int:
    return os.getpid()


def picture(number: int) -> np.ndarray:
    return np.full((3, 5, number % 7 + 1), number, dtype=np.uint8)


def misbehave(how: str) -> str:
    """Does what its argument says."""
    if how == "hang":
        time.sleep(600)
    elif how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "crash":
        os.abort()
    elif how == "exit":
        os._exit(7)
    elif how == "damaged":
        raise VideoReadError("a.mp4", "corrupt", "a picture is damaged; get the file again")
    elif how == "invalid":
        raise DatasetError("a.csv: no such column")
    elif how == "system":
        raise OSError(5, "Input/output error", "a.mp4")
    elif how == "memory":
        raise MemoryError
    elif how == "mistake":
        raise ZeroDivisionError("a mistake in the program")
    elif how == "unsendable":
        return lambda: how  # type: ignore[return-value]
    return how


def note_pid_and_hang(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)


def leave(_: object) -> None:
    sys.exit(3)


def fill_store(folder: str, max_bytes: int, seed: int) -> None:
    """Puts the same 100 arrays as others do, in another order, and reads on the way."""
    store = ArrayStore(folder, max_bytes=max_bytes)
    for number in np.random.default_rng(seed).permutation(100).tolist():
        if store.get(str(number)) is None:
            store.put(str(number), np.full(1000, number, dtype=np.int16))
    if store.counts.damaged:
        raise RuntimeError(f"{store.counts.damaged} entries were damaged")
