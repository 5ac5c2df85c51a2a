"""`tubelet compare`: says which of two runs is better, if that can be said."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tubelet.runs import Report

_EPILOG = """The clips of one source video are not independent of each other, so whole groups of clips are drawn and
exchanged. exit codes: 0 compared, 1 compared, but not over all clips, 2 wrong usage or runs that cannot be compared."""
_MAX_CLASSES = 15  # in the table for people


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet compare`."""
    parser = subparsers.add_parser(
        "compare",
        help="say which of two evaluated runs is better",
        description="Compares two runs over the clips that both have scored: paired difference with its interval, an "
        "exact test, and a verdict in plain language.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_a", metavar="RUN_A", help="an evaluated run folder, or a predictions.jsonl")
    parser.add_argument("run_b", metavar="RUN_B", help="another one, evaluated on the same data and split")
    parser.add_argument("--seed", type=int, default=0, help="of the intervals (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, alone on stdout")
    parser.add_argument("--out", metavar="REPORT", help="write the report as JSON to this file")
    parser.add_argument("--overwrite", action="store_true", help="replace a REPORT that is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compares, prints, and writes the report."""
    from tubelet.cli.output import write_report
    from tubelet.errors import ConfigError
    from tubelet.evaluation.compare import compare_predictions, predictions_of

    if arguments.seed < 0:
        raise ConfigError(f"--seed is {arguments.seed}; allowed: 0 or more")
    name_a, name_b = _names(arguments.run_a, arguments.run_b)

    def compare() -> Report:
        return compare_predictions(
            predictions_of(arguments.run_a),
            predictions_of(arguments.run_b),
            name_a=name_a,
            name_b=name_b,
            seed=arguments.seed,
        )

    report = write_report(arguments, compare, text=_text)
    if not report.is_complete:
        left_out = report.num_expected - report.num_scored
        print(f"tubelet: warning: {left_out} of {report.num_expected} clips left out", file=sys.stderr)
    return 0 if report.is_complete else 1


def _names(path_a: str, path_b: str) -> tuple[str, str]:
    """As little of each path, from its end, as tells the two apart."""
    parts = []
    for path in (path_a, path_b):
        whole = Path(path).absolute()
        parts.append([part for part in whole.parts if part not in ("predictions.jsonl", "evaluation")])
    for length in range(1, max(map(len, parts)) + 1):
        names = tuple("/".join(own[-length:]) for own in parts)
        if names[0] != names[1]:
            return names[0], names[1]
    return "A", "B"


def _text(report: Report) -> str:
    """Verdict first, then the numbers, then the classes that differ most."""
    from tubelet.runs import markdown_table

    details = report.details
    lines = [details["verdict"], "", report.to_markdown()]
    rows = []
    for row in details["per_class"][:_MAX_CLASSES]:
        if "right" in row:
            both = [f"{value:.3f}" for value in row["right"]]
            rows.append((row["class"], str(row["num_clips"]), *both, str(row["difference"]), _mark(row["stands_out"])))
    if rows:
        header = ("class", "clips", *details["names"], "difference", "beyond chance")
        lines += markdown_table(header, rows, align="lrrrrl")
    return "\n".join(lines)


def _mark(stands_out: bool) -> str:
    return "yes" if stands_out else ""
