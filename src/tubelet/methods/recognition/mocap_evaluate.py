"""Measure a trained action model on synthetic people that it has not seen: `tubelet evaluate RUN`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from tubelet.datasets.performances import LABELS
from tubelet.errors import ConfigError
from tubelet.methods.recognition.action_model import load_action_model
from tubelet.methods.recognition.examples import Examples, draw_examples
from tubelet.methods.recognition.mocap_train import as_expected, load_motions
from tubelet.methods.recognition.model_card import CARD_FILE
from tubelet.methods.recognition.recipes import MocapSkeletonConfig
from tubelet.methods.recognition.split import hold_outs, split_clips, validation_drawing
from tubelet.metrics.calibration import expected_calibration_error, risk_coverage
from tubelet.metrics.classification import class_scores, confusion_matrix
from tubelet.metrics.intervals import Estimate, ratio_interval
from tubelet.runs import Metric, Report, RunDirectory

_CURVE_POINTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def evaluate_mocap(config: MocapSkeletonConfig, run: RunDirectory) -> Report:
    """Evaluate the model of a run on validation performances that it was not calibrated on.

    Raises:
        ConfigError: The run's training did not come to its end.
    """
    if not (run.path / CARD_FILE).exists():
        recipe = run.description().get("recipe", config.recipe)
        raise ConfigError(
            f"the training in {run.path} is not finished: it has no {CARD_FILE} yet; "
            f"go on with `tubelet train {recipe} --out {run.path} --resume`"
        )
    model = load_action_model(run.path)
    _, clips = split_clips(load_motions(), config)
    examples = draw_examples(
        clips, validation_drawing(config, 2), config.num_validation, num_workers=config.num_workers
    )
    probabilities = np.stack([model.probabilities(features) for features in examples.features])
    return report_on(probabilities, examples, min_score=model.min_score, config=config)


def report_on(
    probabilities: Float[np.ndarray, "examples time classes"],
    examples: Examples,
    *,
    min_score: float,
    config: MocapSkeletonConfig,
) -> Report:
    """The report of these probabilities on these examples."""
    counted = examples.weights >= 1
    people = np.broadcast_to(np.arange(len(examples))[:, None], counted.shape)[counted]
    labels, rows = examples.labels[counted], np.clip(probabilities[counted], 0, 1)
    best, confidence = rows.argmax(axis=1), rows.max(axis=1)
    shown, decided = labels >= 0, confidence >= min_score
    right = best == labels
    usual = as_expected(labels, config.seed)
    usual = usual[labels[usual] >= 0]
    everything = np.ones(len(labels), dtype=bool)
    metrics = {
        "frame_accuracy": _share(right, shown, people),
        "frame_accuracy_decided": _share(right, shown & decided, people),
        "coverage": _share(decided, shown, people),
        "none_labelled": _share(decided, ~shown, people),
        "wrong_among_labelled": _share(~right, everything & decided, people),
        "mean_class_accuracy": Metric(value=_mean_recall(labels[shown], best[shown]), n=int(shown.sum())),
        "expected_calibration_error": Metric(
            value=expected_calibration_error(confidence[usual], right[usual]), n=int(shown.sum())
        ),
    }
    held = (
        "clips and time spans that training left out where a class has them (details: hold_out), all filmed from a "
        "side and on body proportions that it left out"
        if config.held_out_clips
        else "the clips it was trained on"
    )
    return Report(
        title="Skeleton action model on synthetic people",
        metrics=metrics,
        num_expected=len(examples),
        num_scored=len(examples),
        protocol=f"Frames (15 per second) of {len(examples)} synthetic performances from {held}, with other random "
        "bodies, cameras and landmark errors than in training; blends between two actions left out; the calibration "
        "error is over frames drawn as often as the classes are expected on footage; 95 % intervals over performances. "
        "Says little about real footage.",
        dataset="synthetic performances (pybullet 3.2.7 motion files and procedural animation)",
        dataset_fingerprint=examples.digest(),
        seed=config.seed,
        command=f"tubelet train {config.recipe} --out RUN && tubelet evaluate RUN",
        details={
            "min_score": min_score,
            "hold_out": hold_outs(config),
            "classes": _per_class(labels, best, decided),
            "abstention": _curve(confidence, right, shown),
        },
    )


def _share(
    hit: Bool[np.ndarray, " frames"], among: Bool[np.ndarray, " frames"], people: Int[np.ndarray, " frames"]
) -> Metric:
    """Share of frames with an interval over people."""
    found: Estimate = ratio_interval((hit & among).astype(np.float64), among.astype(np.float64), people.tolist())
    low, high = (None, None) if math.isnan(found.low) else (found.low, found.high)
    return Metric(value=None if math.isnan(found.value) else found.value, n=int(among.sum()), low=low, high=high)


def _mean_recall(labels: Int[np.ndarray, " frames"], best: Int[np.ndarray, " frames"]) -> float:
    recalls = [float((best[labels == label] == label).mean()) for label in np.unique(labels)]
    return float(np.mean(recalls))


def _per_class(
    labels: Int[np.ndarray, " frames"], best: Int[np.ndarray, " frames"], decided: Bool[np.ndarray, " frames"]
) -> dict[str, Any]:
    """Frames, precision, recall without and with abstention, and the class it is taken for most often."""
    shown = labels >= 0
    table = confusion_matrix(best[shown], labels[shown], num_classes=len(LABELS))
    scores = class_scores(table)
    out: dict[str, Any] = {}
    for index, label in enumerate(LABELS):
        own = labels == index
        if not own.any():
            out[label] = {"frames": 0}
            continue
        others = table[index].copy()
        others[index] = 0
        out[label] = {
            "frames": int(own.sum()),
            "recall": _number(scores.recall[index]),
            "precision": _number(scores.precision[index]),
            "recall_decided": _number(((best == index) & decided)[own].mean()),
            "taken_for": LABELS[int(others.argmax())] if others.any() else None,
        }
    return out


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def _curve(
    confidence: Float[np.ndarray, " frames"], right: Bool[np.ndarray, " frames"], shown: Bool[np.ndarray, " frames"]
) -> list[dict[str, float | None]]:
    """Coverage and risk at a few thresholds, and how much of what is no class would be labelled."""
    curve = risk_coverage(confidence[shown], right[shown])
    points = []
    for threshold in _CURVE_POINTS:
        place = int(np.searchsorted(-curve.thresholds, -threshold, side="right")) - 1
        nothing = confidence[~shown] >= threshold
        points.append(
            {
                "threshold": threshold,
                "coverage": round(float(curve.coverage[place]), 4) if place >= 0 else 0.0,
                "risk": round(float(curve.risk[place]), 4) if place >= 0 else None,
                "none_labelled": round(float(nothing.mean()), 4) if len(nothing) else None,
            }
        )
    return points
