"""What a Report says, in plain words."""

from __future__ import annotations

from tubelet.runs import Metric, Report

_MANY = 1000  # items from which on a tenth of a percent means something


def percent(value: float, num_items: int) -> str:
    """A share as a person reads it: `83 %`, of many items `83.4 %`."""
    return f"{_digits(value, num_items)} %"


def with_interval(metric: Metric) -> str:
    """`83 % (76 to 89)`, or `not measured`."""
    if metric.value is None:
        return "not measured"
    text = percent(metric.value, metric.n)
    if metric.low is None or metric.high is None:
        return text
    return f"{text} ({_digits(metric.low, metric.n)} to {_digits(metric.high, metric.n)})"


def count(number: int, noun: str) -> str:
    """`1 clip`, `2 clips`; a noun that ends in s, x or ch takes es."""
    plural = f"{noun}es" if noun.endswith(("s", "x", "ch")) else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def plain_headline(report: Report) -> str:
    """What an evaluation of clips found, in a sentence or two; an incomplete one says so first."""
    details = report.details
    num_groups = details["num_groups"]
    said = []
    if not report.is_complete:
        missing = report.num_expected - report.num_scored
        said.append(f"INCOMPLETE: {missing} of {count(report.num_expected, 'clip')} could not be scored.")
    if report.num_scored == 0:
        said.append("Nothing was scored.")
        return " ".join(said)
    where = f"{count(report.num_scored, 'clip')} from {count(num_groups, details['group'])}"
    chance = report.metrics["chance"]
    if details["is_multi_label"]:
        precision = report.metrics["mAP"]
        rest = "" if chance.value is None else f"; scores that say nothing would get {percent(chance.value, chance.n)}"
        said.append(f"Mean average precision {with_interval(precision)} on {where}{rest}.")
    else:
        majority = report.metrics["majority_class"]
        rest = "" if majority.value is None else percent(majority.value, majority.n)
        said.append(
            f"Right on {with_interval(report.metrics['top1'])} of {where}; always guessing the most frequent class "
            f"would get {rest}."
        )
    if num_groups < 2:
        said.append(f"All clips come from one {details['group']}: nobody can tell how it would do on another one.")
    return " ".join(said)


def _digits(value: float, num_items: int) -> str:
    return f"{100 * value:.1f}" if num_items >= _MANY else f"{100 * value:.0f}"
