"""Writing files whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file that appears under `path` only when it is complete and on the disk.

    A process killed at any moment leaves the old file, or none, plus at worst a hidden `*.tmp` beside it.

    Args:
        path: Where the file goes; its folder must exist.
        write: Receives the open binary file.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        # Not tempfile: that makes files only their owner can read, and results are for sharing.
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Put a folder's list of names on the disk, where the system can (Windows cannot)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a binary file atomically."""
    write_atomically(path, lambda file: file.write(content))


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write a UTF-8 text file atomically, line ends as given."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Write a JSON file atomically.

    Dataclasses, paths, and numpy scalars and arrays are written as the plain values they hold.

    Raises:
        ValueError: `content` holds a NaN or an infinity, which JSON has no word for.
        TypeError: `content` holds something that has no JSON form.
    """
    write_text(path, to_json_text(content))


def to_json_text(content: object, *, indent: int | None = 2) -> str:
    """The text that `write_json` writes, with the last line ended."""
    return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
