"""Keeping the memory of a long-running command flat."""

from __future__ import annotations

import ctypes
import sys

_M_ARENA_MAX = -8  # of glibc's mallopt


def share_one_heap() -> bool:
    """Lets all threads of this process share one heap; for a command's own process, not for a library call.

    glibc gives each thread a heap of its own and keeps what is freed there. Decoder, detector and landmark threads hand
    pictures to each other, so over an hour those heaps grow although nothing is held.

    Returns:
        Whether the C library here has such a setting and took it.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    return hasattr(libc, "mallopt") and libc.mallopt(_M_ARENA_MAX, 1) == 1
