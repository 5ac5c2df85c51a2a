"""What an evaluation found, in a form that outlives the process: versioned JSON and a Markdown table."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tubelet.errors import IncompleteEvaluationError, ReportError
from tubelet.runs.files import to_json_text, write_json

REPORT_SCHEMA = "tubelet.report/1"
_VERSIONED_PACKAGES = ("torch", "av", "numpy", "tubelet")


def installed_versions() -> dict[str, str]:
    """Versions of python, the platform, and the packages that numbers depend on, without importing them."""
    versions = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for package in _VERSIONED_PACKAGES:
        versions[package] = importlib.metadata.version(package)
    return versions


def this_command() -> str:
    """The command line of this process, as one would type it.

    Absolute paths become relative to the working folder, or the bare name outside of it: a report is for others, whose
    machines have other folders.
    """
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    return shlex.join([program, *(_without_machine(argument) for argument in sys.argv[1:])])


def _without_machine(argument: str) -> str:
    option, equals, value = argument.rpartition("=")
    if not os.path.isabs(value):
        return argument
    path = Path(os.path.normpath(value))
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else Path(path.name)
    return f"{option}{equals}{shown}"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number with what it rests on.

    Attributes:
        value: The number, or None where nothing could be measured.
        low: Lower end of the 95 % interval, None where none was computed.
        high: Upper end of the 95 % interval.
        n: Number of items behind the value.
        unit: "" for shares of 1, "count" for how many, else a unit such as "s".
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    unit: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is None:
                continue
            # numpy scalars pass as floats here and would not as JSON
            object.__setattr__(self, name, float(number))
            if not math.isfinite(number):
                raise ValueError(f"Metric.{name} is {number}; allowed: a finite number, or None for 'not measured'")
        if (self.low is None) != (self.high is None):
            raise ValueError(f"Metric has low={self.low}, high={self.high}; give both ends of an interval or neither")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"Metric has low={self.low} above high={self.high}")
        if self.n < 0:
            raise ValueError(f"Metric.n is {self.n}; allowed: 0 or more")
        object.__setattr__(self, "n", int(self.n))

    def cells(self) -> tuple[str, str, str]:
        """Value, interval and n as text for a table."""
        if self.value is None:
            return "not measured", "", str(self.n)
        digits = ".3f" if self.unit == "" else "g"
        unit = "" if self.unit in ("", "count") else f" {self.unit}"
        interval = "" if self.low is None else f"{self.low:{digits}} to {self.high:{digits}}"
        return f"{self.value:{digits}}{unit}", interval, str(self.n)

    def __str__(self) -> str:
        value, interval, _ = self.cells()
        return f"{value} ({interval})" if interval else value


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An expected item that was not scored, and why."""

    item: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of one evaluation.

    Attributes:
        title: What was evaluated, in a few words.
        metrics: The numbers, by name, in the order they are shown in.
        num_expected: How many items the evaluation is over (clips, videos, tracks; `protocol` says which).
        num_scored: How many of them were scored.
        failures: The others, each with its reason.
        protocol: How it was measured, in a sentence or two: split, items, sampling, interval.
        dataset: Name of the data.
        dataset_fingerprint: What tells this data from another of the same name, e.g. a sha256.
        seed: Of everything random in the evaluation, None where nothing is.
        command: What to type to get this report again.
        versions: Of python and the packages that numbers depend on.
        details: Anything more that is JSON: per-class tables, confusion matrix, settings.
    """

    title: str
    metrics: Mapping[str, Metric]
    num_expected: int
    num_scored: int
    failures: tuple[Failure, ...] = ()
    protocol: str
    dataset: str
    dataset_fingerprint: str
    seed: int | None
    command: str = field(default_factory=this_command)
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.num_scored <= self.num_expected:
            raise ValueError(f"num_scored is {self.num_scored}; allowed: 0 to num_expected ({self.num_expected})")
        missing = self.num_expected - self.num_scored
        if len(self.failures) != missing:
            raise ValueError(
                f"{missing} of {self.num_expected} items were not scored, but {len(self.failures)} failures are listed;"
                " give one Failure(item, reason) for each"
            )

    @property
    def is_complete(self) -> bool:
        """Whether every expected item was scored."""
        return self.num_scored == self.num_expected

    @property
    def headline(self) -> str:
        """One line that says what was evaluated and over how much; an incomplete evaluation says so first."""
        count = f"{self.num_scored} of {self.num_expected} {'item' if self.num_expected == 1 else 'items'} scored"
        return f"{self.title} ({count})" if self.is_complete else f"INCOMPLETE: {self.title} ({count})"

    def require_complete(self) -> None:
        """Raise where a number over only some items would be taken for the whole.

        Raises:
            IncompleteEvaluationError: Some expected items were not scored.
        """
        if not self.is_complete:
            first = self.failures[0]
            raise IncompleteEvaluationError(
                f"{self.title}: {len(self.failures)} of {self.num_expected} items were not scored, "
                f"first {first.item!r} ({first.reason}); mend or leave out the items and evaluate again"
            )

    def to_json(self) -> dict[str, Any]:
        """The report as plain values, `schema` first."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content = {"schema": REPORT_SCHEMA, "headline": self.headline, **plain}
        return dict(json.loads(to_json_text(content)))

    @classmethod
    def from_json(cls, content: object) -> Report:
        """Check and read what `to_json` made.

        Raises:
            ReportError: A field is missing, unknown, or of the wrong type.
        """
        if not isinstance(content, dict) or content.get("schema") != REPORT_SCHEMA:
            schema = content.get("schema") if isinstance(content, dict) else type(content).__name__
            raise ReportError(f"not a report: schema is {schema!r}; this version reads {REPORT_SCHEMA!r}")
        fields = {name: value for name, value in content.items() if name not in ("schema", "headline")}
        _check_fields(fields)
        try:
            fields["metrics"] = {name: Metric(**metric) for name, metric in fields["metrics"].items()}
            fields["failures"] = tuple(Failure(**failure) for failure in fields["failures"])
            return cls(**fields)
        except (TypeError, ValueError) as error:
            raise ReportError(f"not a valid report: {error}") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON, atomically."""
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Report:
        """Read a report from its JSON file.

        Raises:
            ReportError: The file is missing, is not JSON, or is no report.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ReportError(f"{os.fspath(path)}: cannot be read as a report: {error}") from error
        try:
            return cls.from_json(content)
        except ReportError as error:
            raise ReportError(f"{os.fspath(path)}: {error}") from error

    def to_markdown(self) -> str:
        """Headline, table of the metrics with intervals, failures and protocol, for docs and terminals."""
        lines = [f"**{self.headline}**", ""]
        rows = [(name, *metric.cells()) for name, metric in self.metrics.items()]
        lines += markdown_table(("metric", "value", "95 % interval", "n"), rows, align="lrrr")
        for failure in self.failures:
            lines.append(f"- not scored: {failure.item}: {failure.reason}")
        if self.failures:
            lines.append("")
        seed = "" if self.seed is None else f", seed {self.seed}"
        lines.append(f"{self.protocol} Data: {self.dataset} ({self.dataset_fingerprint}){seed}.")
        return "\n".join(lines) + "\n"


def markdown_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, align: str) -> list[str]:
    """Lines of a Markdown table, padded so that it reads as text too, with an empty line after it.

    Args:
        header: Names of the columns.
        rows: Cells as text, as many per row as there are columns.
        align: One letter per column, `l` or `r`.
    """
    escaped = [tuple(cell.replace("|", "\\|") for cell in row) for row in [header, *rows]]
    widths = [max(3, *(len(row[column]) for row in escaped)) for column in range(len(header))]

    def line(cells: tuple[str, ...]) -> str:
        padded = (
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(cells, widths, align, strict=True)
        )
        return "| " + " | ".join(padded) + " |"

    rule = tuple("-" * (width - 1) + (":" if side == "r" else "-") for width, side in zip(widths, align, strict=True))
    return [line(escaped[0]), line(rule), *(line(row) for row in escaped[1:]), ""]


_Kind = Literal["a string", "a count", "a count or null", "an object", "a list"]
_FIELDS: dict[str, _Kind] = {
    "title": "a string",
    "metrics": "an object",
    "num_expected": "a count",
    "num_scored": "a count",
    "failures": "a list",
    "protocol": "a string",
    "dataset": "a string",
    "dataset_fingerprint": "a string",
    "seed": "a count or null",
    "command": "a string",
    "versions": "an object",
    "details": "an object",
}


def _check_fields(fields: dict[str, Any]) -> None:
    missing, unknown = _FIELDS.keys() - fields.keys(), fields.keys() - _FIELDS.keys()
    if missing or unknown:
        said = [
            f"{word} {', '.join(sorted(names))}"
            for word, names in (("lacks", missing), ("has unknown", unknown))
            if names
        ]
        raise ReportError(f"not a valid report: it {' and '.join(said)}")
    for name, kind in _FIELDS.items():
        value = fields[name]
        is_count = isinstance(value, int) and not isinstance(value, bool)
        fits = {
            "a string": isinstance(value, str),
            "a count": is_count,
            "a count or null": value is None or is_count,
            "an object": isinstance(value, dict),
            "a list": isinstance(value, list),
        }[kind]
        if not fits:
            raise ReportError(f"not a valid report: {name} is {value!r}; allowed: {kind}")
