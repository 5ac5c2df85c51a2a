"""`report.html`: one self-contained page that says what an evaluation of clips found; and the files beside it.

The page loads nothing from anywhere and runs no script: styles and pictures are inside, and a content security policy
forbids the rest. Names of clips and classes pass through the template engine's escaping.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tubelet.evaluation.pictures import (
    accuracy_by_length_svg,
    confusion_csv,
    confusion_matrix_of,
    confusion_svg,
    reliability_svg,
    shown_classes,
)
from tubelet.evaluation.words import count, percent, plain_headline, with_interval
from tubelet.runs import Metric, Report, write_text
from tubelet.runs.pages import fill_page

REPORT_FILE, PAGE_FILE = "report.json", "report.html"
MAX_OPEN_CLASSES = 30  # longer tables are folded

_METRIC_WORDS = {
    "top1": "right at the first guess",
    "top5": "right among the first five guesses",
    "mean_class_accuracy": "share right, every class counting the same",
    "top1_single_view": "right from one view alone, mean over the views",
    "top1_failures_as_wrong": "right, if clips that failed count as wrong",
    "chance": "blind guessing",
    "majority_class": "always guessing the most frequent class",
    "mAP": "mean average precision over classes",
    "hit_at_1": "the surest class is one of the clip's",
    "ece": "expected calibration error: mean gap between confidence and accuracy",
    "nll": "negative log-likelihood (nats)",
    "brier": "Brier score, 0 is best and 2 is worst",
    "temperature": "temperature that the logits are divided by",
}


def write_evaluation(
    report: Report, folder: str | os.PathLike[str], *, robustness: Report | None = None
) -> dict[str, Path]:
    """Write report.json, report.html, and pictures and tables as files of their own.

    Args:
        report: Of `score_predictions`.
        folder: Where; it is made if it is not there. Files of these names are replaced.
        robustness: Of `score_robustness`, shown on the page where it is given.

    Returns:
        The files, by name.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    texts = {PAGE_FILE: render_page(report, robustness=robustness), **_pictures(report.details)}
    if not report.details["is_multi_label"]:
        texts["confusion.csv"] = confusion_csv(confusion_matrix_of(report.details), report.details["classes"])
    for name, text in texts.items():
        write_text(out / name, text)
    report.write(out / REPORT_FILE)
    if robustness is not None:
        robustness.write(out / "robustness.json")
        texts["robustness.json"] = ""
    return {name: out / name for name in (REPORT_FILE, *texts)}


def render_page(report: Report, *, robustness: Report | None = None) -> str:
    """The page as HTML.

    Args:
        report: Of `score_predictions`, fresh or read from its JSON.
        robustness: Of `score_robustness`.
    """
    content = report.to_json()
    details = content["details"]
    pictures = {name: Markup(picture) for name, picture in _pictures(details).items()}  # noqa: S704 - escaped there
    values = {
        "report": content,
        "details": details,
        "headline": plain_headline(report),
        "tiles": _tiles(report),
        "per_class": _class_rows(details),
        "open_classes": len(details["classes"]) <= MAX_OPEN_CLASSES,
        "pictures": pictures,
        "num_shown": _num_shown(details),
        "metrics": [(name, _metric_words(name), *metric.cells()) for name, metric in report.metrics.items()],
        "robustness": None if robustness is None else robustness.to_json(),
        "count": count,
        "percent": percent,
    }
    filters = {"metric": lambda metric: with_interval(Metric(**metric))}
    return fill_page("tubelet.evaluation", "evaluation", values, filters=filters)


def _pictures(details: Mapping[str, Any]) -> dict[str, str]:
    """SVG by file name."""
    pictures = {"reliability.svg": reliability_svg(details["reliability"], details.get("reliability_with_temperature"))}
    if details["by_length"]:
        pictures["length.svg"] = accuracy_by_length_svg(details["by_length"])
    if not details["is_multi_label"]:
        pictures["confusion.svg"] = confusion_svg(confusion_matrix_of(details), details["classes"])
    return pictures


def _num_shown(details: Mapping[str, Any]) -> int | None:
    """How many classes the picture of the confusion matrix shows, None for all."""
    if details["is_multi_label"]:
        return None
    shown = shown_classes(confusion_matrix_of(details))
    return len(shown.order) if shown.is_part else None


def _tiles(report: Report) -> list[tuple[str, str, str]]:
    """What, value and a remark, for the head of the page."""
    metrics = report.metrics
    names = (
        [("mAP", "mean average precision"), ("hit_at_1", "surest class is right"), ("ece", "gap of confidence")]
        if report.details["is_multi_label"]
        else [
            ("top1", "right at the first guess"),
            ("top5", "right among five guesses"),
            ("mean_class_accuracy", "right, classes alike"),
            ("majority_class", "always the most frequent"),
            ("ece", "gap of confidence"),
        ]
    )
    tiles = []
    for name, said in names:
        if name in metrics:
            metric = metrics[name]
            value = "–" if metric.value is None else percent(metric.value, metric.n)
            whole = with_interval(metric)
            tiles.append((said, value, whole[whole.find("(") + 1 : -1] if "(" in whole else ""))
    tiles.append(("clips scored", f"{report.num_scored:,}", f"of {report.num_expected:,}"))
    return tiles


def _class_rows(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Classes, those that are found worst first; classes without clips last."""
    name = "average_precision" if details["is_multi_label"] else "recall"
    rows = [{**row, "score": row[name]} for row in details["per_class"]]
    return sorted(rows, key=lambda row: (row["num_clips"] == 0, row["score"]["value"] or 0.0))


def _metric_words(name: str) -> str:
    base = name.removesuffix("_with_temperature")
    return _METRIC_WORDS.get(base, "") + (", with the temperature" if base != name else "")
