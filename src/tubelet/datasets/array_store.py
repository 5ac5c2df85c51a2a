"""A folder of arrays by key, for caches that many processes write at once and that may be killed at any moment.

An entry is one file: a line of JSON (type, shape, checksum), then the bytes. It appears under its name only when it is
complete, and what was damaged later is found by the checksum, so nothing has to be waited for to reach the disk.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped

from tubelet.errors import DatasetError

_SUFFIX = ".array"
_LONGEST_HEADER = 4096


@dataclass(slots=True)
class StoreCounts:
    """What this process found in a store.

    Attributes:
        found: Entries that were there and sound.
        missing: Keys that had no entry.
        damaged: Entries that were there and could not be used; they count as missing too.
        left_out: Arrays that were not kept because the store is full.
    """

    found: int = 0
    missing: int = 0
    damaged: int = 0
    left_out: int = 0


class ArrayStore:
    """Arrays by key in a folder.

    Args:
        folder: Made where it is missing.
        max_bytes: Full means that no more is kept. Nothing is thrown out: where all entries are read in turn, epoch
            after epoch, throwing out the oldest would throw out exactly what is needed next. None for no limit.

    Raises:
        DatasetError: The folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str], *, max_bytes: int | None = None) -> None:
        self.folder, self.max_bytes = Path(folder), max_bytes
        self.counts = StoreCounts()
        with _said_plainly(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def path_of(self, key: str) -> Path:
        """Where the entry of a key is, or would be."""
        return self.folder / key[:2] / f"{key}{_SUFFIX}"

    def get(self, key: str) -> Shaped[np.ndarray, "*shape"] | None:
        """The array of a key; None where there is none, or a damaged one, which is counted."""
        try:
            with open(self.path_of(key), "rb") as file:
                array = _read(file)
        except FileNotFoundError:
            self.counts.missing += 1
            return None
        if array is None:
            self.counts.damaged += 1
            self.counts.missing += 1
            return None
        self.counts.found += 1
        return array

    def put(self, key: str, array: Shaped[np.ndarray, "*shape"]) -> bool:
        """Keep an array, unless the store is full.

        Returns:
            Whether it was kept.

        Raises:
            DatasetError: It cannot be written: the disk is full, say.
        """
        array = np.ascontiguousarray(array)
        content = array.reshape(-1).view(np.uint8).data
        checksum = _checksum(array.dtype.str, array.shape, content)
        facts = {"dtype": array.dtype.str, "shape": array.shape, "crc32": checksum}
        header = json.dumps(facts).encode() + b"\n"
        target = self.path_of(key)
        with _said_plainly(self.folder):
            if not self._has_room_for(0 if target.exists() else len(header) + len(content)):
                self.counts.left_out += 1
                return False
            target.parent.mkdir(exist_ok=True)
            temporary = target.with_suffix(f".{secrets.token_hex(4)}.tmp")
            try:
                with open(temporary, "xb") as file:
                    file.write(header)
                    file.write(content)
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def _has_room_for(self, num_bytes: int) -> bool:
        """Whether so many bytes may be added; they are counted at once, for all processes."""
        if self.max_bytes is None:
            return True
        with open(self.folder / "bytes_used", "a+b") as file:
            # The system lets go of the lock when its process ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            used = int(text) if text.isdigit() else self._count_bytes()
            has_room = used + num_bytes <= self.max_bytes
            if has_room:
                file.truncate(0)
                file.write(str(used + num_bytes).encode())
        return has_room

    def _count_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob(f"*/*{_SUFFIX}"))


def _read(file: BinaryIO) -> Shaped[np.ndarray, "*shape"] | None:
    """The array that a file holds; None where the file is not as it was written."""
    try:
        facts = json.loads(file.readline(_LONGEST_HEADER))
        content = bytearray(file.read())
        if facts["crc32"] != _checksum(facts["dtype"], facts["shape"], content):
            return None
        return np.frombuffer(content, dtype=np.dtype(facts["dtype"])).reshape(facts["shape"])
    except (ValueError, TypeError, KeyError):
        return None


def _checksum(dtype: str, shape: Sequence[int], content: bytes | bytearray | memoryview) -> int:
    return zlib.crc32(content, zlib.crc32(f"{dtype} {list(shape)}".encode()))


class _said_plainly:  # noqa: N801 - used like a function
    """Tells of a folder that cannot be written, and what to do."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise DatasetError(
                f"{self._folder}: the cache cannot be written ({error.strerror}); free some space, name another "
                "folder, or do without a cache"
            ) from error
