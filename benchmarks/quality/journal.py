"""Results of long experiments, a line each, so that what a kill leaves is not done again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_journal(path: Path) -> list[dict[str, Any]]:
    """What was done before; a line that a kill cut off counts as not done."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def note(path: Path, row: dict[str, Any]) -> None:
    """Append a result; it is on the disk when this returns."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(row)}\n")  # a line that a kill cut off damages no other
        file.flush()
        os.fsync(file.fileno())
