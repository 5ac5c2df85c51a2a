"""What papers claim, and what was found when it was measured here: one JSON list per method, in `benchmarks/claims`.

The program that measures a claim writes it with `update_claims`; pages, READMEs and `tubelet claims` are rendered from
the files. A claim that did not hold stays.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath

from tubelet.errors import ReportError
from tubelet.evaluation.protocol import is_count
from tubelet.runs import write_json

CLAIMS_FOLDER = "benchmarks/claims"
REPORTS_FOLDER = "benchmarks/reports"
_SHELL_WORDS = {"&&", "||", "|", "&", ";", ">", ">>", "<"}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of a paper, and what was measured.

    Attributes:
        id: What it is called within its method, e.g. "E1": letters, digits, `_`, `-` and `.`.
        statement: The claim in a sentence.
        unit: Of `paper`, `ours` and `interval`, e.g. "%" or "GFLOP"; "" where they have none.
        paper: The paper's number, None where it gives none.
        ours: The number measured here, None where none was.
        interval: Ends of the 95 % interval of `ours`, None where there is none.
        num_seeds: Over how many seeds was measured, 0 where nothing was or nothing is random.
        holds: Whether the claim holds as far as was measured; None if it was not measured.
        command: What to type in the repository to measure it again. One program: it is run without a shell.
        report: File with the measurement, from the root of the repository, below `benchmarks/reports`.
        machine: What it was measured on.
        commit: The code that was measured.
        note: What a reader has to know besides, "" for nothing.

    Raises:
        ValueError: A field is not as above. `report`, `machine` and `commit` may be None only where `holds` is.
    """

    id: str
    statement: str
    unit: str
    paper: float | None
    ours: float | None
    interval: tuple[float, float] | None
    num_seeds: int
    holds: bool | None
    command: str
    report: str | None
    machine: str | None
    commit: str | None
    note: str = ""

    def __post_init__(self) -> None:
        _require(_is_text(self.id) and re.fullmatch(r"[\w.-]+", self.id), "id", self.id, "letters, digits, _ - and .")
        for name in ("statement", "command"):
            _require(_is_text(getattr(self, name)), name, getattr(self, name), "a text that is not empty")
        for name in ("unit", "note"):
            _require(isinstance(getattr(self, name), str), name, getattr(self, name), 'a text, "" for none')
        for name in ("paper", "ours"):
            value = getattr(self, name)
            _require(value is None or _is_number(value), name, value, "a finite number, or null for none")
        _require(is_count(self.num_seeds), "num_seeds", self.num_seeds, "0 or more")
        _require(self.holds is None or isinstance(self.holds, bool), "holds", self.holds, "true, false or null")
        for name in ("report", "machine", "commit"):
            value = getattr(self, name)
            is_fine = _is_text(value) or (value is None and self.holds is None)
            _require(is_fine, name, value, "a text; null only where holds is null, which is 'not measured'")
        self._check_interval()
        self._check_command()
        if self.report is not None:
            file = PurePosixPath(self.report)
            is_below = file.is_relative_to(REPORTS_FOLDER) and ".." not in file.parts
            _require(is_below, "report", self.report, f"a path below {REPORTS_FOLDER}/, from the repository's root")

    def _check_interval(self) -> None:
        if self.interval is None:
            return
        ends: tuple[float, ...] = self.interval
        is_fine = len(ends) == 2 and all(map(_is_number, ends)) and ends[0] <= ends[1]
        _require(is_fine, "interval", ends, "low and high, low first, or null")
        _require(self.ours is not None, "interval", self.interval, "null where ours is null")

    def _check_command(self) -> None:
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ValueError(f"command is {self.command!r}, which cannot be split into words: {error}") from error
        is_one = words and not _SHELL_WORDS.intersection(words) and "=" not in words[0]
        allowed = "one program with its arguments, no shell; `env NAME=VALUE program` sets a variable"
        _require(is_one, "command", self.command, allowed)


def read_claims(path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None) -> tuple[Claim, ...]:
    """Read and check a file of claims.

    Args:
        path: `benchmarks/claims/METHOD.json` of a checkout.
        root: Root of the repository, in which the reports are; by default, two folders above the file's.

    Raises:
        ReportError: The file is missing or is no file of claims, two claims have one id, or a report is not there.
    """
    claims = _read(path)
    _check(path, claims, root)
    return claims


def write_claims(
    path: str | os.PathLike[str], claims: Iterable[Claim], *, root: str | os.PathLike[str] | None = None
) -> None:
    """Write a file of claims, atomically; its folder is made if need be.

    Args:
        path: As for `read_claims`.
        claims: What the file will hold, in this order.
        root: As for `read_claims`.

    Raises:
        ReportError: Two claims have one id, or a report is not there; nothing was written.
    """
    claims = tuple(claims)
    _check(path, claims, root)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_json(path, [asdict(claim) for claim in claims])


def update_claims(
    path: str | os.PathLike[str], new_claims: Iterable[Claim], *, root: str | os.PathLike[str] | None = None
) -> None:
    """Replace claims by their ids and keep the others, in their order; ids that are new come last.

    The file appears whole or stays as it was. Of two programs that do this at the same moment one may lose.

    Args:
        path: As for `read_claims`; the file need not be there yet.
        new_claims: What was measured now.
        root: As for `read_claims`.

    Raises:
        ReportError: The file that is there is no file of claims, two new claims have one id, or a report is not there;
            nothing was written.
    """
    new_claims = tuple(new_claims)
    _check_ids(path, new_claims)
    claims = {claim.id: claim for claim in (_read(path) if Path(path).exists() else ())}
    claims.update({claim.id: claim for claim in new_claims})
    write_claims(path, claims.values(), root=root)


def current_commit(root: str | os.PathLike[str]) -> str:
    """The short name of the commit that is checked out, for `Claim.commit`.

    Args:
        root: Root of the repository.

    Raises:
        ReportError: git is not there, or the folder is no checkout.
    """
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise ReportError(
            f"{os.fspath(root)}: cannot tell which commit is measured: {error}; run in a clone"
        ) from error
    return done.stdout.strip()


def claim_table(claims: Sequence[Claim]) -> str:
    """A Markdown table with one line per claim.

    Args:
        claims: In the order of the lines.
    """
    header = ("id", "claim", "paper", "ours", "95 % interval", "holds", "report", "note")
    lines = [header, ("---",) * len(header)]
    for claim in claims:
        low_high = "" if claim.interval is None else " to ".join(map(number_text, claim.interval))
        report = "" if claim.report is None else f"`{claim.report}`"
        numbers = (with_unit(claim.paper, claim.unit), with_unit(claim.ours, claim.unit), low_high)
        cells = (claim.id, claim.statement, *numbers, verdict(claim.holds), report, claim.note)
        # A line break would end the row, and an upright bar the cell.
        lines.append(tuple(" ".join(cell.split()).replace("|", "\\|") for cell in cells))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def verdict(holds: bool | None) -> str:
    """What `holds` means, in a word or two."""
    return {True: "yes", False: "no", None: "not measured"}[holds]


def with_unit(value: float | None, unit: str) -> str:
    """A number as a table shows it; "" for None."""
    return "" if value is None else f"{number_text(value)} {unit}".rstrip()


def number_text(value: float) -> str:
    """A number with four digits, or all that stand before the point."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _read(path: str | os.PathLike[str]) -> tuple[Claim, ...]:
    name = os.fspath(path)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{name}: cannot be read as a file of claims: {error}") from error
    if not isinstance(content, list):
        raise ReportError(f"{name}: it holds {type(content).__name__}; a file of claims is a list of objects")
    claims = []
    for number, entry in enumerate(content, 1):
        where = f"{name}: claim {entry.get('id', number) if isinstance(entry, Mapping) else number}"
        try:
            claims.append(_claim(entry))
        except ValueError as error:
            raise ReportError(f"{where}: {error}; mend the entry, or measure it again") from error
    return tuple(claims)


def _claim(entry: object) -> Claim:
    if not isinstance(entry, dict):
        raise ValueError(f"it is {entry!r}; allowed: an object")  # noqa: TRY004 - of the file, not of a caller
    known = {each.name for each in fields(Claim)}
    missing, unknown = known - entry.keys(), entry.keys() - known
    if missing or unknown:
        said = [f"lacks {', '.join(sorted(missing))}"] if missing else []
        said += [f"has unknown {', '.join(sorted(unknown))}"] if unknown else []
        raise ValueError(f"it {' and '.join(said)}")
    interval = entry["interval"]
    _require(interval is None or isinstance(interval, list), "interval", interval, "[low, high], or null")
    return Claim(**{**entry, "interval": None if interval is None else tuple(interval)})


def _check(path: str | os.PathLike[str], claims: Sequence[Claim], root: str | os.PathLike[str] | None) -> None:
    _check_ids(path, claims)
    place = Path(path).resolve().parents[2] if root is None else Path(root)
    for claim in claims:
        if claim.report is not None and not (place / claim.report).is_file():
            raise ReportError(
                f"{os.fspath(path)}: claim {claim.id}: its report {claim.report} is not in {place}; "
                f"write the report first, for example with `{claim.command}`"
            )


def _check_ids(path: str | os.PathLike[str], claims: Sequence[Claim]) -> None:
    ids = [claim.id for claim in claims]
    doubled = sorted({name for name in ids if ids.count(name) > 1})
    if doubled:
        raise ReportError(f"{os.fspath(path)}: more than one claim has the id {', '.join(doubled)}; ids are unique")


def _require(is_fine: object, name: str, value: object, allowed: str) -> None:
    if not is_fine:
        raise ValueError(f"{name} is {value!r}; allowed: {allowed}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
