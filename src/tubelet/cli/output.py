"""Where a command that makes a Report puts it: stdout for people or as JSON, and a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tubelet.runs import Report


def write_report(arguments: argparse.Namespace, make: Callable[[], Report], *, text: Callable[[Report], str]) -> Report:
    """See that `--out` can be written, make the report, write it, and print it.

    Args:
        arguments: With `out`, `overwrite` and `json`.
        make: Does the work.
        text: The report for people.

    Raises:
        ConfigError: `--overwrite` without `--out`, or a place that cannot be written.
        OutputExistsError: The file is there and `--overwrite` is not given.
    """
    from tubelet.errors import ConfigError
    from tubelet.runs import to_json_text
    from tubelet.runs.directory import check_output

    out = None if arguments.out is None else Path(arguments.out)
    if out is not None:
        check_output(out, overwrite=arguments.overwrite)
    elif arguments.overwrite:
        raise ConfigError("--overwrite is for a report in a file; name the file with --out REPORT")
    report = make()
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        report.write(out)
    sys.stdout.write(to_json_text(report.to_json()) if arguments.json else text(report))
    return report
