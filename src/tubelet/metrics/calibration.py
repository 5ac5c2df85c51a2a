"""Whether a probability means what it says, and what abstaining buys."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from tubelet.metrics.intervals import Estimate, totals_interval

_LEAST_TEMPERATURE, _GREATEST_TEMPERATURE = 1e-2, 1e2


class ReliabilityBins(NamedTuple):
    """Items by confidence; means are NaN in an empty bin.

    Attributes:
        edges: Bin i holds confidences above edges[i] and up to edges[i + 1]; the first holds 0 too.
        num_items: Per bin.
        confidence: Mean confidence per bin.
        accuracy: Share that is right per bin.
    """

    edges: Float64[np.ndarray, "edges"]
    num_items: Int64[np.ndarray, "bins"]
    confidence: Float64[np.ndarray, "bins"]
    accuracy: Float64[np.ndarray, "bins"]


class RiskCoverage(NamedTuple):
    """What abstaining below each threshold leaves, from the highest threshold to the lowest.

    Attributes:
        thresholds: Each confidence that occurs, falling; items at or above it are decided.
        coverage: Share of items decided.
        risk: Share of the decided items that is wrong.
    """

    thresholds: Float64[np.ndarray, "thresholds"]
    coverage: Float64[np.ndarray, "thresholds"]
    risk: Float64[np.ndarray, "thresholds"]


def reliability_bins(
    confidences: Float[np.ndarray, "items"], right: Bool[np.ndarray, "items"], num_bins: int = 15
) -> ReliabilityBins:
    """Confidence and accuracy of items in bins of equal width.

    Args:
        confidences: Probability of the predicted class, 0 to 1.
        right: Whether the predicted class is the true one.
        num_bins: 1 or more.

    Raises:
        ValueError: A confidence is not in 0 to 1.
    """
    edges, which = _bins(confidences, num_bins)
    num_items = np.bincount(which, minlength=num_bins)

    def means(values: Float64[np.ndarray, "items"]) -> Float64[np.ndarray, "bins"]:
        result = np.full(num_bins, np.nan)
        np.divide(np.bincount(which, weights=values, minlength=num_bins), num_items, out=result, where=num_items > 0)
        return result

    return ReliabilityBins(
        edges, num_items.astype(np.int64), means(confidences.astype(np.float64)), means(right.astype(np.float64))
    )


def expected_calibration_error(
    confidences: Float[np.ndarray, "items"], right: Bool[np.ndarray, "items"], num_bins: int = 15
) -> float:
    """Mean gap of accuracy and confidence over bins, weighted by their items; NaN without items.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017, eq. 3.
    """
    bins = reliability_bins(confidences, right, num_bins)
    if bins.num_items.sum() == 0:
        return math.nan
    gaps = np.abs(bins.accuracy - bins.confidence) * bins.num_items
    return float(np.nansum(gaps) / bins.num_items.sum())


def expected_calibration_error_interval(
    confidences: Float[np.ndarray, "items"],
    right: Bool[np.ndarray, "items"],
    groups: Sequence[Hashable],
    *,
    num_bins: int = 15,
    seed: int = 0,
) -> Estimate:
    """`expected_calibration_error` with its 95 % interval from drawing whole groups.

    The error of few items is too large on average (each bin's accuracy is off by chance), and so is its interval.

    Args:
        confidences: Probability of the predicted class, 0 to 1.
        right: Whether the predicted class is the true one.
        groups: Which group each item belongs to.
        num_bins: 1 or more.
        seed: Of the draws.
    """
    _, which = _bins(confidences, num_bins)
    # The error is the sum over bins of |right - confidence|, divided by the items.
    totals = np.zeros((len(confidences), num_bins + 1))
    totals[np.arange(len(confidences)), which] = right.astype(np.float64) - confidences
    totals[:, num_bins] = 1.0
    return totals_interval(
        totals, groups, lambda sums: np.abs(sums[:, :num_bins]).sum(axis=1) / sums[:, num_bins], seed=seed
    )


def brier_scores(
    probabilities: Float[np.ndarray, "items classes"], labels: Int[np.ndarray, "items"]
) -> Float64[np.ndarray, "items"]:
    """Per item, the squared distance of its probabilities from certainty of the true class: 0 to 2.

    Source: Brier, Verification of forecasts expressed in terms of probability, 1950, eq. 2.
    """
    off = probabilities.astype(np.float64)
    off[np.arange(len(labels)), labels] -= 1.0
    squares: Float64[np.ndarray, "items"] = np.square(off).sum(axis=1)
    return squares


def negative_log_likelihood(
    logits: Float[np.ndarray, "items classes"], labels: Int[np.ndarray, "items"], temperature: float = 1.0
) -> float:
    """Mean of -log softmax(logits / temperature) at the true class."""
    scaled = logits.astype(np.float64) / temperature
    own = scaled[np.arange(len(labels)), labels]
    return float(np.mean(logsumexp(scaled, axis=1) - own))


def fit_temperature(logits: Float[np.ndarray, "items classes"], labels: Int[np.ndarray, "items"]) -> float:
    """The temperature that makes softmax(logits / temperature) most likely, on data the network was not trained on.

    Args:
        logits: Finite.
        labels: Class index of each item.

    Returns:
        0.01 to 100; an end of that range where the data ask for more (e.g. every item is right).

    Raises:
        ValueError: There are no items, or a logit is not finite.

    Source: Guo et al., 2017, section 4.2.
    """
    if len(labels) == 0:
        raise ValueError("there are no items to fit a temperature on")
    if not np.isfinite(logits).all():
        raise ValueError("logits hold NaN or infinity; allowed: finite numbers")
    # Convex in 1 / temperature, hence with one valley in its logarithm.
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, math.exp(log_t)),
        bounds=(math.log(_LEAST_TEMPERATURE), math.log(_GREATEST_TEMPERATURE)),
        method="bounded",
        options={"xatol": 1e-8},
    )
    inner = math.exp(float(found.x))
    # The search never tries the ends themselves.
    candidates = (inner, _LEAST_TEMPERATURE, _GREATEST_TEMPERATURE)
    return min(candidates, key=lambda temperature: negative_log_likelihood(logits, labels, temperature))


def risk_coverage(confidences: Float[np.ndarray, "items"], right: Bool[np.ndarray, "items"]) -> RiskCoverage:
    """Risk among decided items at every threshold; items of one confidence are decided together.

    Source: El-Yaniv and Wiener, On the Foundations of Noise-free Selective Classification, 2010.
    """
    _check_confidences(confidences)
    order = np.argsort(-confidences, kind="stable")
    falling = confidences[order].astype(np.float64)
    last_of_its_confidence = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)[: len(falling)]
    num_decided = last_of_its_confidence + 1
    num_wrong = np.cumsum(~right[order])[last_of_its_confidence]
    return RiskCoverage(falling[last_of_its_confidence], num_decided / max(1, len(falling)), num_wrong / num_decided)


def abstention_threshold(
    confidences: Float[np.ndarray, "items"], right: Bool[np.ndarray, "items"], greatest_risk: float
) -> float:
    """The lowest threshold whose decided items are wrong at most `greatest_risk` of the time.

    Args:
        confidences: On data that is neither training data nor the test.
        right: Whether the predicted class is the true one.
        greatest_risk: 0 to 1.

    Returns:
        A confidence that occurs, or infinity where no threshold is good enough.
    """
    if not 0.0 <= greatest_risk <= 1.0:
        raise ValueError(f"greatest_risk is {greatest_risk}; allowed: 0 to 1")
    curve = risk_coverage(confidences, right)
    good = np.flatnonzero(curve.risk <= greatest_risk)
    return float(curve.thresholds[good[-1]]) if len(good) else math.inf


def _bins(
    confidences: Float[np.ndarray, "items"], num_bins: int
) -> tuple[Float64[np.ndarray, "edges"], Int64[np.ndarray, "items"]]:
    """Edges of bins of equal width, and the bin of each confidence."""
    _check_confidences(confidences)
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    return edges, np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, num_bins - 1)


def _check_confidences(confidences: Float[np.ndarray, "items"]) -> None:
    if not ((confidences >= 0.0) & (confidences <= 1.0)).all():
        raise ValueError(f"confidences go from {confidences.min()} to {confidences.max()}; allowed: 0 to 1")
