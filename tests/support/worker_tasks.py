"""Functions that tests run in worker processes, which find them by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

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
