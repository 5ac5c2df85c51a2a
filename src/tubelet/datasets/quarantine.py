"""The list of clips that training leaves out, with the reason for each: `tubelet check` writes it, training reads it.

One JSON object per line, so that a person can read it, and strike out a line to have that clip back. The first line
says what the file is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tubelet.errors import DatasetError
from tubelet.runs import write_text

QUARANTINE_SCHEMA = "tubelet.quarantine/1"
QUARANTINE_NAME = "quarantine.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantinedClip:
    """A clip that cannot be used.

    Attributes:
        id: Of the clip in its set.
        cause: One word: one of `READ_CAUSES`, or `time_out`, `worker_died`, `out_of_memory`, `system`, `invalid`,
            `span_outside`, `duplicate`.
        detail: What was found, in a sentence.
        time_s: Where in the file, if known.
    """

    id: str
    cause: str
    detail: str
    time_s: float | None = None

    @property
    def reason(self) -> str:
        """Cause, place and detail in one line."""
        where = "" if self.time_s is None else f" at {self.time_s:.2f} s"
        return f"{self.cause}{where}: {self.detail}"


def write_quarantine(path: str | os.PathLike[str], clips: Iterable[QuarantinedClip], *, dataset: str) -> None:
    """Write the list, whole or not at all; an empty list is written too, and says that nothing is left out.

    Args:
        path: The file; its folder must exist.
        clips: In the order in which they are to be read.
        dataset: What the data are called.
    """
    rows = list(clips)
    head = {"schema": QUARANTINE_SCHEMA, "dataset": dataset, "num_clips": len(rows)}
    lines = [json.dumps(head)]
    lines += [json.dumps({key: value for key, value in asdict(row).items() if value is not None}) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def read_quarantine(path: str | os.PathLike[str]) -> dict[str, str]:
    """The reason for each clip that is to be left out, by its id; empty where there is no such file.

    Raises:
        DatasetError: The file cannot be read, is no such list, or was written by a version with another schema.
    """
    return {clip.id: clip.reason for clip in quarantined_clips(path)}


def quarantined_clips(path: str | os.PathLike[str]) -> list[QuarantinedClip]:
    """The list as it was written; empty where there is no such file.

    Raises:
        DatasetError: The file cannot be read, is no such list, or was written by a version with another schema.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{os.fspath(path)}: cannot be read ({error}); mend it, or delete it and run `tubelet check` again"
        ) from error
    rows = [(number, _object(line, path, number)) for number, line in enumerate(lines, start=1) if line.strip()]
    schema = rows[0][1].get("schema") if rows else None
    if schema != QUARANTINE_SCHEMA:
        raise DatasetError(
            f"{os.fspath(path)}: its first line names the schema {schema!r}; this version reads {QUARANTINE_SCHEMA!r}. "
            "Delete the file and run `tubelet check` again"
        )
    return [_clip(row, path, number) for number, row in rows[1:]]


def _object(line: str, path: str | os.PathLike[str], number: int) -> dict[str, object]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DatasetError(
            f"{os.fspath(path)}, line {number}: is not JSON ({error}); strike it out, or run `tubelet check` again"
        ) from error
    if not isinstance(row, dict):
        raise DatasetError(f"{os.fspath(path)}, line {number}: is {line[:40]!r}; each line must be a JSON object")
    return row


def _clip(row: dict[str, object], path: str | os.PathLike[str], number: int) -> QuarantinedClip:
    name, cause, detail, time_s = (row.get(key) for key in ("id", "cause", "detail", "time_s"))
    if not isinstance(name, str) or not name:
        raise DatasetError(f"{os.fspath(path)}, line {number}: has no id; each line needs the id of a clip")
    return QuarantinedClip(
        id=name,
        cause=cause if isinstance(cause, str) else "unstated",
        detail=detail if isinstance(detail, str) else "no reason was given",
        time_s=float(time_s) if isinstance(time_s, int | float) else None,
    )
