"""Which of two models is better on the same clips, and whether chance alone would say so too."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from tubelet.errors import ConfigError, ReportError
from tubelet.evaluation.predictions import PREDICTIONS_FILE, Predictions, read_predictions, silent
from tubelet.evaluation.scoring import model_name, share, to_metric
from tubelet.evaluation.words import count
from tubelet.metrics.classification import label_ranks
from tubelet.metrics.intervals import Estimate, percentile_estimate
from tubelet.metrics.multi_label import average_precisions
from tubelet.metrics.paired import PairedDifference, holm, paired_difference
from tubelet.runs import Failure, Metric, Report

_RARE = 0.05
_TOO_MANY = 100_000  # groups beyond which a number would only pretend to be one
_MAP_RESAMPLES = 2_000


def predictions_of(path: str | os.PathLike[str]) -> Path:
    """The predictions file that a path means: itself, or that of a run's evaluation, or of the folder.

    Raises:
        ReportError: There is none.
    """
    given = Path(path)
    if not given.is_dir():
        return given
    places = (given / "evaluation" / PREDICTIONS_FILE, given / PREDICTIONS_FILE)
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise ReportError(f"{given} holds no {PREDICTIONS_FILE}; make it with `tubelet evaluate {given}`")
    return found


def compare_predictions(
    path_a: str | os.PathLike[str],
    path_b: str | os.PathLike[str],
    *,
    name_a: str = "A",
    name_b: str = "B",
    seed: int = 0,
) -> Report:
    """Compare two predictions files over the clips that both have scored; differences are A minus B.

    Clips of one label each are tested exactly: see `paired.sign_flip_test`. Where clips may have several labels, mean
    average precision is compared by the bootstrap alone.

    Args:
        path_a: Predictions of the first model.
        path_b: Of the second, on the same clips.
        name_a: What to call the first.
        name_b: What to call the second.
        seed: Of the bootstrap.

    Returns:
        A Report over the clips that either file expects. Clips that only one of them has scored are its failures, so
        its headline says that they were left out. `details.verdict` is the result in plain language.

    Raises:
        ReportError: A file is missing or damaged.
        ConfigError: The two are not about the same data, or share no scored clip.
    """
    a, b = read_predictions(path_a), read_predictions(path_b)
    names = (f"{name_a} ({os.fspath(path_a)})", f"{name_b} ({os.fspath(path_b)})")
    _check_same_data(a, b, names)
    shared = sorted(set(a.ids) & set(b.ids))
    if not shared:
        raise ConfigError(f"{names[0]} and {names[1]} have no scored clip in common; nothing can be compared")
    failures = _left_out(a, b, (name_a, name_b))
    both = (_only(a, shared), _only(b, shared))
    _check_same_truth(*both)
    labels = (name_a, name_b)
    metrics, details = (_multi_label if a.header.is_multi_label else _single_label)(both, labels, seed)
    group = a.header.protocol.group
    how = (
        "differences of mean average precision in the same draws"
        if a.header.is_multi_label
        else f"the p-value is of an exact test that exchanges the models in whole groups "
        f"({'McNemar: each group has one clip' if details['num_groups'] == len(shared) else 'sign flips of groups'})"
    )
    verdict = str(details["verdict"])
    if failures:
        verdict = f"{count(len(failures), 'clip')} that only one or neither could score left out. {verdict}"
    return Report(
        title=f"{name_a} against {name_b} on {a.header.dataset}, split {a.header.split}",
        metrics=metrics,
        num_expected=len(shared) + len(failures),
        num_scored=len(shared),
        failures=failures,
        protocol=f"Items are clips, the same for both. 95 % intervals from drawing whole groups of clips (by {group}) "
        f"again and again (bootstrap); {how}. {name_a}: {model_name(a.header)}. {a.header.protocol.sentence()} "
        f"{name_b}: {model_name(b.header)}. {b.header.protocol.sentence()}",
        dataset=f"{a.header.dataset}, split {a.header.split}",
        dataset_fingerprint=a.header.dataset_fingerprint,
        seed=seed,
        details={
            "kind": "comparison",
            "names": list(labels),
            "models": [dict(a.header.model), dict(b.header.model)],
            "versions_of_predictions": [dict(a.header.versions), dict(b.header.versions)],
            "group": group,
            "protocols_differ": a.header.protocol != b.header.protocol,
            **details,
            "verdict": verdict,
        },
    )


def _check_same_data(a: Predictions, b: Predictions, names: tuple[str, str]) -> None:
    said = {
        "dataset_fingerprint": "data (their fingerprints differ)",
        "classes": "classes",
        "is_multi_label": "number of labels per clip",
        "split": "split",
    }
    different = [what for name, what in said.items() if getattr(a.header, name) != getattr(b.header, name)]
    if different:
        raise ConfigError(
            f"{names[0]} and {names[1]} are not comparable: another {', another '.join(different)}; they are about "
            f"{a.header.dataset} ({a.header.split}) and {b.header.dataset} ({b.header.split}): evaluate both runs on "
            "the same data and split"
        )


def _check_same_truth(a: Predictions, b: Predictions) -> None:
    for mine, theirs in zip(a.clips, b.clips, strict=True):
        if (mine.labels, mine.group) != (theirs.labels, theirs.group):
            raise ConfigError(
                f"clip {mine.id!r} has labels {list(mine.labels)} and group {mine.group!r} in one file, "
                f"{list(theirs.labels)} and {theirs.group!r} in the other; evaluate both runs on the same annotations"
            )


def _left_out(a: Predictions, b: Predictions, names: tuple[str, str]) -> tuple[Failure, ...]:
    """Clips that not both have scored, each once; those that neither file names come last."""
    reasons: dict[str, str] = {}
    for mine, other, name in ((a, b, names[0]), (b, a, names[1])):
        scored, why = set(mine.ids), mine.failed
        for item in (*other.ids, *other.failed, *why):
            if item not in scored and f"by {name}:" not in reasons.get(item, ""):
                said = f"not scored by {name}: {why.get(item, 'it has no line in the file')}"
                reasons[item] = f"{reasons[item]}; {said}" if item in reasons else said
    num_silent = max(0, a.header.num_expected - len(set(a.ids) | set(b.ids) | reasons.keys()))
    return (*(Failure(item=item, reason=reason) for item, reason in sorted(reasons.items())), *silent(num_silent))


def _only(predictions: Predictions, ids: list[str]) -> Predictions:
    place = {name: index for index, name in enumerate(predictions.ids)}
    rows = [place[name] for name in ids]
    return Predictions(
        header=predictions.header,
        clips=tuple(predictions.clips[row] for row in rows),
        log_probabilities=predictions.log_probabilities[rows],
        single_view_right=predictions.single_view_right[rows],
        failed={},
        num_silent=0,
    )


def _single_label(
    both: tuple[Predictions, Predictions], names: tuple[str, str], seed: int
) -> tuple[dict[str, Metric], dict[str, Any]]:
    a = both[0]
    labels, groups, num_items = a.labels, a.groups, len(a.clips)
    right_a, right_b = (label_ranks(each.log_probabilities, labels) == 1 for each in both)
    found = paired_difference(right_a, right_b, groups, seed=seed)
    metrics = {
        "difference": to_metric(found.difference, num_items),
        "p_value": Metric(value=found.p_value, n=num_items),
        "top1_a": to_metric(share(right_a, groups, seed), num_items),
        "top1_b": to_metric(share(right_b, groups, seed), num_items),
    }
    details = {
        "verdict": verdict_of(found, names, a.header.protocol.group),
        "num_groups": found.difference.num_groups,
        "num_groups_better": [found.num_groups_for_first, found.num_groups_for_second],
        "num_clips_only_right": [int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())],
        "groups_needed": _finite(found.groups_needed),
        "least_detectable": _finite(found.least_detectable),
        "per_class": _per_class(a, right_a, right_b, seed),
    }
    return metrics, details


def _per_class(
    a: Predictions, right_a: Bool[np.ndarray, " clips"], right_b: Bool[np.ndarray, " clips"], seed: int
) -> list[dict[str, Any]]:
    """Differences in each class that has clips, the largest first; `stands_out` allows for their number."""
    labels: Int64[np.ndarray, " clips"] = a.labels
    groups = np.array(a.groups, dtype=object)
    rows = []
    for index in np.unique(labels).tolist():
        own = labels == index
        found = paired_difference(right_a[own], right_b[own], groups[own].tolist(), num_resamples=2_000, seed=seed)
        rows.append(
            {
                "class": a.header.classes[index],
                "num_clips": int(own.sum()),
                "num_groups": found.difference.num_groups,
                "right": [float(right_a[own].mean()), float(right_b[own].mean())],
                "difference": to_metric(found.difference, int(own.sum())),
                "p_value": found.p_value,
            }
        )
    for row, raised in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["stands_out"] = raised < _RARE
    return sorted(rows, key=lambda row: -abs(row["difference"].value or 0.0))


def _multi_label(
    both: tuple[Predictions, Predictions], names: tuple[str, str], seed: int
) -> tuple[dict[str, Metric], dict[str, Any]]:
    a = both[0]
    num_items = len(a.clips)
    precision_a, precision_b = (
        average_precisions(each.log_probabilities, a.positive, a.groups, num_resamples=_MAP_RESAMPLES, seed=seed)
        for each in both
    )
    num_groups = precision_a.mean.num_groups
    drawn: Float64[np.ndarray, " draws"] = precision_a.drawn_means - precision_b.drawn_means
    difference = percentile_estimate(precision_a.mean.value - precision_b.mean.value, drawn, num_groups)
    metrics = {
        "difference": to_metric(difference, num_items),
        "mAP_a": to_metric(precision_a.mean, num_items),
        "mAP_b": to_metric(precision_b.mean, num_items),
    }
    details = {
        "verdict": _map_verdict(difference, names, a.header.protocol.group),
        "num_groups": num_groups,
        "per_class": [
            {
                "class": name,
                "num_clips": int(a.positive[:, index].sum()),
                "average_precision": [
                    to_metric(each.of_class[index], num_items) for each in (precision_a, precision_b)
                ],
            }
            for index, name in enumerate(a.header.classes)
        ],
    }
    return metrics, details


def verdict_of(found: PairedDifference, names: tuple[str, str], group: str = "source") -> str:
    """What a paired comparison says, in plain language.

    One is called better only where both the interval leaves out 0 and the exact test says that chance would rarely do
    it.

    Args:
        found: Difference of shares right.
        names: Of the first and the second model.
        group: What makes a group, as a noun.
    """
    value, low, high, num_groups = found.difference
    groups = count(num_groups, group)
    if num_groups < 2:
        return (
            f"{names[0]} and {names[1]} cannot be told apart: all clips come from one {group}, which says nothing "
            "about another one."
        )
    if found.num_groups_for_first == found.num_groups_for_second == 0 and value == 0:
        return (
            f"{names[0]} and {names[1]} are equally often right in every {group} ({groups}); a difference below "
            f"{100 * high:.1f} points could go unseen."
        )
    if found.p_value < _RARE and (low > 0 or high < 0):
        better, worse = names if value > 0 else names[::-1]
        small, large = sorted((abs(low), abs(high)))
        return (
            f"{better} is better than {worse} by {100 * abs(value):.1f} points ({100 * small:.1f} to "
            f"{100 * large:.1f}); {groups}; this would rarely happen by chance ({_p_words(found.p_value)})."
        )
    return (
        f"{names[0]} and {names[1]} cannot be told apart with {groups}: the difference is {100 * value:+.1f} points "
        f"({100 * low:+.1f} to {100 * high:+.1f}), which happens by chance too ({_p_words(found.p_value)}). "
        f"{_power_words(found, group)}"
    )


def _power_words(found: PairedDifference, group: str) -> str:
    least = (
        f"So many show a difference of {100 * found.least_detectable:.1f} points or more in four of five experiments."
    )
    if not math.isfinite(found.groups_needed):
        return least
    if found.groups_needed > _TOO_MANY:
        return f"{least} No number of {group}s within reach would show one as small as this."
    digits = 10 ** max(0, len(str(round(found.groups_needed))) - 2)
    needed = max(2, math.ceil(found.groups_needed / digits) * digits)
    return f"{least} For one of this size about {count(needed, group)} would be needed."


def _p_words(p_value: float) -> str:
    return f"p = {p_value:.2g}" if p_value >= 1e-4 else "p < 0.0001"


def _map_verdict(difference: Estimate, names: tuple[str, str], group: str) -> str:
    value, low, high, num_groups = difference
    if math.isnan(low):
        return f"{names[0]} and {names[1]} cannot be told apart: that takes clips with labels from several {group}s."
    groups = count(num_groups, group)
    interval = f"({100 * low:+.1f} to {100 * high:+.1f})"
    if low > 0 or high < 0:
        better, worse = names if value > 0 else names[::-1]
        small, large = sorted((abs(low), abs(high)))
        return (
            f"{better} is better than {worse} by {100 * abs(value):.1f} points of mean average precision "
            f"({100 * small:.1f} to {100 * large:.1f}); {groups}; the interval leaves out 0."
        )
    return (
        f"{names[0]} and {names[1]} cannot be told apart with {groups}: mean average precision differs by "
        f"{100 * value:+.1f} points {interval}."
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
