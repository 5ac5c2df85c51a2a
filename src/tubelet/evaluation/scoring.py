"""From a predictions file to a Report: accuracy with intervals, calibration, per class, by length, mistakes."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from tubelet.errors import ConfigError
from tubelet.evaluation.predictions import Predictions, read_predictions
from tubelet.evaluation.protocol import Header
from tubelet.metrics.calibration import (
    brier_scores,
    expected_calibration_error_interval,
    fit_temperature,
    reliability_bins,
)
from tubelet.metrics.classification import (
    class_scores,
    confusion_matrix,
    label_ranks,
    mean_class_accuracy_interval,
    predicted_classes,
)
from tubelet.metrics.intervals import Estimate, ratio_interval
from tubelet.metrics.multi_label import average_precisions
from tubelet.runs import Metric, Report

NUM_BINS = 15  # of confidence
LENGTH_EDGES_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, math.inf)
_MAX_MISTAKES = 50
_MAX_TAKEN_FOR = 3
_NUM_RESAMPLES = 2_000
_LEAST_CLASSES_FOR_TOP5 = 6


def score_predictions(
    path: str | os.PathLike[str], *, calibrate_on: str | os.PathLike[str] | None = None, seed: int = 0
) -> Report:
    """Everything that an evaluation says, from its predictions file alone.

    Args:
        path: The predictions file.
        calibrate_on: Predictions of the same model on other clips (the validation split): a temperature is fitted on
            them and never on the clips that are scored.
        seed: Of the bootstrap; the same file and seed give the same Report.

    Raises:
        ReportError: A file is missing or damaged.
        ConfigError: `calibrate_on` is of another model or other classes, or holds clips that are scored.
    """
    predictions = read_predictions(path)
    others = None
    if calibrate_on is not None:
        others = read_predictions(calibrate_on)
        _check_calibration(predictions, others, os.fspath(calibrate_on))
    if predictions.header.is_multi_label:
        metrics, details = _score_multi_label(predictions, seed)
    else:
        metrics, details = _score_single_label(predictions, others, seed)
    header = predictions.header
    return Report(
        title=f"{model_name(header)} on {header.dataset}, split {header.split}",
        metrics=metrics,
        num_expected=header.num_expected,
        num_scored=len(predictions.clips),
        failures=predictions.failures,
        protocol=f"Items are clips. {header.protocol.sentence()} 95 % intervals from drawing whole groups of clips "
        f"(by {header.protocol.group}) again and again (bootstrap).",
        dataset=f"{header.dataset}, split {header.split}",
        dataset_fingerprint=header.dataset_fingerprint,
        seed=seed,
        versions=header.versions,
        details={
            "kind": "clips",
            "predictions": Path(path).name,
            "evaluated_by": header.command,
            "evaluation_seed": header.seed,
            "model": dict(header.model),
            "protocol": header.to_json()["protocol"],
            "is_multi_label": header.is_multi_label,
            "classes": list(header.classes),
            "group": header.protocol.group,
            "num_groups": len(set(predictions.groups)),
            **details,
        },
    )


def model_name(header: Header) -> str:
    """What to call the model that predicted."""
    name = header.model.get("name")
    return name if isinstance(name, str) and name else "model"


def to_metric(estimate: Estimate, num_items: int, unit: str = "") -> Metric:
    """An estimate as a Report holds it: what could not be measured is None."""
    value, low, high = (None if math.isnan(number) else number for number in estimate[:3])
    return Metric(value=value, low=low, high=high, n=num_items, unit=unit)


def share(right: Bool[np.ndarray, " items"], groups: Sequence[str], seed: int) -> Estimate:
    """Share of items that are right, with its interval."""
    return _mean(right.astype(np.float64), groups, seed)


def _check_calibration(predictions: Predictions, others: Predictions, where: str) -> None:
    mine, theirs = predictions.header, others.header
    if mine.is_multi_label:
        raise ConfigError("a temperature is fitted where clips have one label each; leave calibrate_on away")
    different = [name for name in ("classes", "model", "protocol") if getattr(mine, name) != getattr(theirs, name)]
    if different:
        raise ConfigError(
            f"{where} is of another {', '.join(different)}; a temperature fits only the model and the way of looking "
            "that it was fitted for: give predictions of the same model on the validation split"
        )
    shared = set(predictions.ids) & set(others.ids)
    if shared:
        raise ConfigError(
            f"{where} holds {len(shared)} of the clips that are scored, e.g. {min(shared)!r}; a temperature fitted on "
            "them would look better than it is: give predictions on the validation split"
        )
    if not others.clips:
        first = others.failures[0] if others.failures else None
        why = "" if first is None else f"; the first is {first.item}: {first.reason}"
        raise ConfigError(
            f"{where} holds no scored clip, and a temperature needs some to be fitted on: none of the "
            f"{theirs.num_expected} clips of the split {theirs.split} could be read{why}. Run `tubelet check` on them, "
            "bring them back and evaluate again, or leave calibrate_on away"
        )


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What became of each clip; `counted` leaves out those without any label."""

    predicted: Int64[np.ndarray, " clips"]
    confidence: Float64[np.ndarray, " clips"]
    right: Bool[np.ndarray, " clips"]
    counted: Bool[np.ndarray, " clips"]


def _score_single_label(
    predictions: Predictions, others: Predictions | None, seed: int
) -> tuple[dict[str, Metric], dict[str, Any]]:
    log_p, labels, groups = predictions.log_probabilities, predictions.labels, predictions.groups
    num_items, num_classes = log_p.shape
    ranks = label_ranks(log_p, labels)
    predicted = predicted_classes(log_p, labels)
    confidence = np.clip(np.exp(log_p.max(axis=1, initial=-math.inf)), 0.0, 1.0)
    right = ranks == 1
    metrics = {"top1": to_metric(share(right, groups, seed), num_items)}
    if num_classes >= _LEAST_CLASSES_FOR_TOP5:
        metrics["top5"] = to_metric(share(ranks <= 5, groups, seed), num_items)
    metrics["mean_class_accuracy"] = to_metric(
        mean_class_accuracy_interval(predicted, labels, num_classes, groups, seed=seed), num_items
    )
    if predictions.header.protocol.num_views > 1:
        single = _mean(predictions.single_view_right, groups, seed)
        metrics["top1_single_view"] = to_metric(single, num_items)
    if predictions.failures:
        padded = np.append(right, np.zeros(len(predictions.failures), dtype=bool))
        metrics["top1_failures_as_wrong"] = Metric(value=float(padded.mean()), n=len(padded))
    majority = np.bincount(labels, minlength=num_classes).argmax() if num_items else 0
    metrics["chance"] = Metric(value=1 / num_classes, n=num_items)
    metrics["majority_class"] = to_metric(share(labels == majority, groups, seed), num_items)
    metrics |= _calibration_metrics(log_p, labels, groups, seed)
    details: dict[str, Any] = {"majority_class": predictions.header.classes[majority] if num_items else None}
    if others is not None:
        temperature = fit_temperature(others.log_probabilities, others.labels)
        metrics["temperature"] = Metric(value=temperature, n=len(others.clips))
        scaled = log_p / temperature
        scaled = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
        metrics |= _calibration_metrics(scaled, labels, groups, seed, suffix="_with_temperature")
        details["temperature_fitted_on"] = f"{others.header.dataset}, split {others.header.split}"
        details["reliability_with_temperature"] = _reliability(
            np.clip(np.exp(scaled.max(axis=1, initial=-math.inf)), 0.0, 1.0), right
        )
    confusion = confusion_matrix(predicted, labels, num_classes)
    outcome = _Outcome(predicted=predicted, confidence=confidence, right=right, counted=np.ones(num_items, dtype=bool))
    details |= {
        "per_class": _per_class(predictions, confusion, right, seed),
        "confusion": [[*map(int, cell), int(confusion[tuple(cell)])] for cell in np.argwhere(confusion)],
        "reliability": _reliability(confidence, right),
        **_clip_details(predictions, outcome, seed),
    }
    return metrics, details


def _calibration_metrics(
    log_p: Float64[np.ndarray, "clips classes"],
    labels: Int64[np.ndarray, " clips"],
    groups: Sequence[str],
    seed: int,
    *,
    suffix: str = "",
) -> dict[str, Metric]:
    """Of probabilities as they are: the error of calibration, the likelihood, Brier's score.

    Source: temperature after Guo et al., 2017.
    Differs: probabilities are means over views, so what is scaled are their logarithms; of one view that is the same.
    """
    num_items = len(labels)
    confidence = np.clip(np.exp(log_p.max(axis=1, initial=-math.inf)), 0.0, 1.0)
    right = label_ranks(log_p, labels) == 1
    ece = expected_calibration_error_interval(confidence, right, groups, num_bins=NUM_BINS, seed=seed)
    nll = -log_p[np.arange(num_items), labels]
    brier = brier_scores(np.exp(log_p), labels)
    return {
        f"ece{suffix}": to_metric(ece, num_items),
        f"nll{suffix}": to_metric(_mean(nll, groups, seed), num_items),
        f"brier{suffix}": to_metric(_mean(brier, groups, seed), num_items),
    }


def _mean(values: Float64[np.ndarray, " items"], groups: Sequence[str], seed: int) -> Estimate:
    return ratio_interval(values, np.ones(len(values)), groups, num_resamples=_NUM_RESAMPLES, seed=seed)


def _score_multi_label(predictions: Predictions, seed: int) -> tuple[dict[str, Metric], dict[str, Any]]:
    log_p, positive, groups = predictions.log_probabilities, predictions.positive, predictions.groups
    num_items = len(log_p)
    found = average_precisions(log_p, positive, groups, seed=seed)
    p = np.clip(np.exp(log_p), 0.0, 1.0)
    predicted = log_p.argmax(axis=1) if num_items else np.zeros(0, dtype=np.int64)
    right = positive[np.arange(num_items), predicted]
    counted = np.array(positive.any(axis=1))
    own = [group for group, is_counted in zip(groups, counted, strict=True) if is_counted]
    prevalence = positive.mean(axis=0) if num_items else np.zeros(positive.shape[1])
    repeated = [group for group in groups for _ in range(positive.shape[1])]
    metrics = {
        "mAP": to_metric(found.mean, num_items),
        "hit_at_1": to_metric(share(right[counted], own, seed), int(counted.sum())),
        # Scores that say nothing give every class its share of the clips as average precision.
        "chance": Metric(
            value=float(prevalence[prevalence > 0].mean()) if (prevalence > 0).any() else None, n=num_items
        ),
        "ece": to_metric(
            expected_calibration_error_interval(p.ravel(), positive.ravel(), repeated, num_bins=NUM_BINS, seed=seed),
            num_items,
        ),
    }
    per_class = [
        {
            "class": name,
            "num_clips": int(positive[:, index].sum()),
            "num_groups": len({group for group, has in zip(groups, positive[:, index], strict=True) if has}),
            "average_precision": to_metric(found.of_class[index], num_items),
            "chance": float(prevalence[index]),
        }
        for index, name in enumerate(predictions.header.classes)
    ]
    outcome = _Outcome(predicted=predicted, confidence=p.max(axis=1, initial=0.0), right=right, counted=counted)
    return metrics, {
        "per_class": per_class,
        "reliability": _reliability(p.ravel(), positive.ravel()),
        **_clip_details(predictions, outcome, seed),
    }


def _per_class(
    predictions: Predictions,
    confusion: Int64[np.ndarray, "classes classes"],
    right: Bool[np.ndarray, " clips"],
    seed: int,
) -> list[dict[str, Any]]:
    """Per class: how many clips, how many of them are right, and what they are taken for."""
    classes, labels, groups = predictions.header.classes, predictions.labels, np.array(predictions.groups, dtype=object)
    scores = class_scores(confusion)
    rows = []
    for index, name in enumerate(classes):
        own = labels == index
        recall = share(right[own], groups[own].tolist(), seed)
        mistaken = confusion[index].copy()
        mistaken[index] = 0
        order = np.argsort(-mistaken, kind="stable")[:_MAX_TAKEN_FOR]
        rows.append(
            {
                "class": name,
                "num_clips": int(own.sum()),
                "num_groups": recall.num_groups,
                "recall": to_metric(recall, int(own.sum())),
                "precision": _number(scores.precision[index]),
                "f1": _number(scores.f1[index]),
                "taken_for": [
                    {"class": classes[other], "num_clips": int(mistaken[other])} for other in order if mistaken[other]
                ],
            }
        )
    return rows


def _reliability(confidence: Float64[np.ndarray, " items"], right: Bool[np.ndarray, " items"]) -> dict[str, Any]:
    bins = reliability_bins(confidence, right, NUM_BINS)
    return {
        "edges": bins.edges.tolist(),
        "num_items": bins.num_items.tolist(),
        "confidence": [_number(value) for value in bins.confidence],
        "accuracy": [_number(value) for value in bins.accuracy],
    }


def _clip_details(predictions: Predictions, outcome: _Outcome, seed: int) -> dict[str, Any]:
    """Accuracy by length of the clip, and the mistakes that the model was surest of."""
    clips, classes = predictions.clips, predictions.header.classes
    lengths = np.array([math.nan if clip.duration_s is None else clip.duration_s for clip in clips])
    by_length = []
    for low_s, high_s in itertools.pairwise(LENGTH_EDGES_S):
        inside = (lengths >= low_s) & (lengths < high_s) & outcome.counted
        if inside.any():
            groups = [clip.group for clip, is_inside in zip(clips, inside, strict=True) if is_inside]
            accuracy = share(outcome.right[inside], groups, seed)
            by_length.append(
                {
                    "from_s": low_s,
                    "to_s": None if math.isinf(high_s) else high_s,
                    "num_groups": accuracy.num_groups,
                    "accuracy": to_metric(accuracy, int(inside.sum())),
                }
            )
    wrong = np.flatnonzero(~outcome.right & outcome.counted)
    surest = wrong[np.argsort(-outcome.confidence[wrong], kind="stable")]
    return {
        "by_length": by_length,
        "num_without_length": int(np.isnan(lengths).sum()),
        "num_mistakes": len(wrong),
        "mistakes": [
            {
                "id": clips[index].id,
                "path": clips[index].path,
                "group": clips[index].group,
                "true": [classes[label] for label in clips[index].labels],
                "predicted": classes[outcome.predicted[index]],
                "probability": float(outcome.confidence[index]),
            }
            for index in surest[:_MAX_MISTAKES].tolist()
        ],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
