"""The ids that clips get: the path below the root, and for a part of a file the seconds that it spans."""

from __future__ import annotations

import os
from pathlib import Path


def path_id(path: Path, root: Path) -> str:
    """The path below the root with `/`; a file outside is named by the way to it from there, `../videos/a.mp4`."""
    inside = os.path.relpath(path, root)
    return inside if os.sep == "/" else Path(inside).as_posix()


def span_id(name: str, start_s: float, end_s: float | None) -> str:
    """`name@1.5-4` for the part from 1.5 to 4 s, `name@1.5-` where it goes to the end, `name` for the whole file."""
    if end_s is None and start_s == 0:
        return name
    return f"{name}@{_seconds(start_s)}-{'' if end_s is None else _seconds(end_s)}"


def _seconds(time_s: float) -> str:
    """With as many decimals as it has, six at most."""
    return f"{time_s:.6f}".rstrip("0").rstrip(".")
