"""Memory that a process and its workers share, in equal slots, for arrays that are too large to send."""

from __future__ import annotations

import mmap
import os
import tempfile
from multiprocessing.reduction import DupFd

import numpy as np
from jaxtyping import UInt8


class SharedSlots:
    """Slots of bytes that all processes see which got this object when they were started.

    The memory has no name: nothing is left behind however the processes end, and the size of `/dev/shm`, which is small
    in containers, does not limit it. Pages are taken from the system when they are first written to.

    Args:
        num_slots: How many.
        slot_bytes: Size of each.
    """

    def __init__(self, num_slots: int, slot_bytes: int) -> None:
        # Slots begin at whole pages, so that arrays of any type are aligned.
        self._stride = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.num_slots, self.slot_bytes = num_slots, slot_bytes
        self._file = _nameless_file()
        os.ftruncate(self._file, max(1, num_slots) * self._stride)
        self._memory = self._mapped()

    def _mapped(self) -> UInt8[np.ndarray, " bytes"]:
        return np.frombuffer(mmap.mmap(self._file, max(1, self.num_slots) * self._stride), dtype=np.uint8)

    def bytes_of(self, slot: int) -> UInt8[np.ndarray, " bytes"]:
        """The bytes of one slot: a view, not a copy."""
        if not 0 <= slot < self.num_slots:
            raise ValueError(f"slot is {slot}; allowed: 0 to {self.num_slots - 1}")
        start = slot * self._stride
        return self._memory[start : start + self.slot_bytes]

    def close(self) -> None:
        """Give up the file; views that were handed out stay valid. Harmless when it was done already."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __getstate__(self) -> dict[str, object]:
        """What a starting process is given: only there can a file descriptor be handed over."""
        return {"file": DupFd(self._file), "shape": (self.num_slots, self.slot_bytes, self._stride)}

    def __setstate__(self, state: dict[str, object]) -> None:
        self._file = state["file"].detach()  # type: ignore[attr-defined]
        self.num_slots, self.slot_bytes, self._stride = state["shape"]  # type: ignore[misc]
        self._memory = self._mapped()
        self.close()


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("tubelet-slots")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
