"""`tubelet score` for what is no timeline: predictions of clips, detected segments, detected boxes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tubelet.runs import Report

Kind = Literal["predictions", "segments", "boxes"]
_TIMELINE_OPTIONS = ("boxes", "tracks", "ignore")


def find_kind(path: Path) -> Kind | None:
    """What a file holds, from its first line; None where it is a timeline, or cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            first = file.readline(1_000_000).strip()
    except OSError:
        return None  # whoever reads the timeline says what is wrong with it
    if first.startswith("{"):
        try:
            content = json.loads(first)
        except ValueError:
            return "predictions"
        return "segments" if "video" in content and "schema" not in content else "predictions"
    names = [name.strip() for name in first.split(",")]
    if "video" in names and "score" in names:
        return "boxes" if "time_s" in names else "segments"
    return "boxes" if len(names) == 8 and "source" not in names and _is_number(names[1]) else None


def run_clips(arguments: argparse.Namespace, path: Path, kind: Kind) -> int:
    """Scores the file, prints, and writes report and page."""
    from tubelet.cli.output import write_report
    from tubelet.errors import ConfigError
    from tubelet.evaluation.detection import score_boxes_file, score_segments_file
    from tubelet.evaluation.page import write_evaluation
    from tubelet.evaluation.scoring import score_predictions
    from tubelet.evaluation.words import plain_headline
    from tubelet.runs import Report

    given = [name for name in _TIMELINE_OPTIONS if getattr(arguments, name) is not None]
    if given or arguments.match != "auto":
        raise ConfigError(f"--{given[0] if given else 'match'} is for a timeline; {path} holds {kind}: leave it away")
    if kind == "predictions":
        if arguments.truth is not None:
            raise ConfigError(f"{path} holds predictions with their true labels; leave TRUTH ({arguments.truth}) away")

        def make() -> Report:
            report = score_predictions(path, calibrate_on=arguments.calibrate_on)
            if arguments.page is not None:
                write_evaluation(report, arguments.page)
            return report

        report = write_report(
            arguments, make, text=lambda report: f"{plain_headline(report)}\n\n{report.to_markdown()}"
        )
        return 0 if report.is_complete else 1
    for option, value in (("calibrate-on", arguments.calibrate_on), ("page", arguments.page)):
        if value is not None:
            raise ConfigError(f"--{option} is for a predictions.jsonl; {path} holds {kind}: leave it away")
    if arguments.truth is None:
        raise ConfigError(
            f"{path} holds detected {kind}, which are measured against true ones: give the file TRUTH too"
        )
    score = score_segments_file if kind == "segments" else score_boxes_file
    write_report(arguments, lambda: score(path, arguments.truth), text=Report.to_markdown)
    return 0


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
