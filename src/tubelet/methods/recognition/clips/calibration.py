"""Temperature and threshold of a clip classifier, from validation clips."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax

from tubelet.metrics.calibration import abstention_threshold, fit_temperature

_LEAST_THRESHOLD, _GREATEST_THRESHOLD = 0.3, 0.9
_LEAST_TEMPERATURE, _GREATEST_TEMPERATURE = 0.5, 10.0  # a few clips that are all right would ask for certainty
_FEW = 8  # clips below which nothing can be fitted


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How logits become decisions.

    Attributes:
        temperature: What logits are divided by.
        min_score: Probability below which to abstain.
        coverage: Share of validation clips that are decided; None where nothing was measured.
        risk: Share of those that are wrong; None where nothing was measured.
        num_clips: How many clips it rests on.
    """

    temperature: float = 1.0
    min_score: float = 0.5
    coverage: float | None = None
    risk: float | None = None
    num_clips: int = 0


def calibrate(
    logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], *, greatest_risk: float
) -> Calibration:
    """Fit temperature and threshold; with fewer than 8 clips the defaults stay.

    Args:
        logits: Of validation clips.
        labels: Their classes.
        greatest_risk: Share of decided clips that may be wrong.
    """
    if len(labels) < _FEW:
        return Calibration(num_clips=len(labels))
    temperature = min(max(fit_temperature(logits, labels), _LEAST_TEMPERATURE), _GREATEST_TEMPERATURE)
    probabilities = softmax(logits / temperature, axis=1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    wanted = abstention_threshold(confidence, right, greatest_risk)
    threshold = (
        min(max(wanted, _LEAST_THRESHOLD), _GREATEST_THRESHOLD) if math.isfinite(wanted) else _GREATEST_THRESHOLD
    )
    decided = confidence >= threshold
    return Calibration(
        temperature=round(float(temperature), 6),
        min_score=round(float(threshold), 4),
        coverage=round(float(decided.mean()), 4),
        risk=round(float((~right[decided]).mean()), 4) if decided.any() else None,
        num_clips=len(labels),
    )
