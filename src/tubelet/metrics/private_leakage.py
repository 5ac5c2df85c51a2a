"""What an attacker learns of private attributes, beside what is learnt without looking at any picture.

Labels are 1, 0, or NaN where nobody knows; an unknown label counts for nothing in its attribute. An attribute whose
known labels are all alike cannot be told right or wrong: it is excluded, and named with the reason.

Two floors belong beside every result. The *label floor* is what an attacker earns who knows nothing but how frequent an
attribute is. The *action floor* is what one earns who knows the action too and answers with the attribute's frequency
in that class, seen in training; whatever keeps the action gives that much away, however well it hides people.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from tubelet.metrics.intervals import Estimate, group_draws, group_numbers, percentile_estimate
from tubelet.metrics.multi_label import mean_of_measured, ranks_by_lot, weighted_auroc, weighted_average_precision

THRESHOLD = 0.5
"""From this probability on an attribute counts as claimed."""


class AttributeScores(NamedTuple):
    """What an attacker reaches in one attribute, or on average over attributes.

    Attributes:
        average_precision: As `classification.average_precision`.
        auroc: How often a clip with the attribute is ranked above one without.
        balanced_accuracy: Mean of the shares that are right with and without the attribute, at probability 0.5.
        f1: Of the attribute, at probability 0.5.
        prevalence: Share of clips with the attribute.
    """

    average_precision: Estimate
    auroc: Estimate
    balanced_accuracy: Estimate
    f1: Estimate
    prevalence: Estimate


class Leakage(NamedTuple):
    """What an attacker reaches, shares from 0 to 1 with 95 % intervals.

    Attributes:
        mean: Unweighted means over the attributes.
        of_attribute: By name.
        excluded: Attributes that could not be measured, with the reason.
        drawn_cmap: `cmap` in each draw of the bootstrap; none with fewer than two groups.
    """

    mean: AttributeScores
    of_attribute: dict[str, AttributeScores]
    excluded: dict[str, str]
    drawn_cmap: Float64[np.ndarray, " draws"]

    @property
    def cmap(self) -> Estimate:
        """Mean average precision over attributes."""
        return self.mean.average_precision

    @property
    def macro_f1(self) -> Estimate:
        """Mean F1 over attributes."""
        return self.mean.f1

    @property
    def label_floor(self) -> Estimate:
        """Mean prevalence, which is the `cmap` of an attacker who gives every clip the same scores."""
        return self.mean.prevalence


def measure_leakage(
    probabilities: Float[np.ndarray, "clips attributes"],
    labels: Float[np.ndarray, "clips attributes"],
    groups: Sequence[Hashable],
    attributes: Sequence[str],
    *,
    tie_seed: int | None = None,
    num_resamples: int = 500,
    seed: int = 0,
) -> Leakage:
    """Score an attacker, with 95 % intervals from drawing whole groups.

    Args:
        probabilities: That each clip has each attribute, 0 to 1.
        labels: 1, 0 or NaN.
        groups: Which group (source video) each clip belongs to.
        attributes: Names of the attributes.
        tie_seed: For average precision, clips of equal probability come under one threshold, as scikit-learn has it.
            With a number they are put in an order by lot instead, of which this is the seed. So must a floor be
            measured that an attacker without ties is compared with: an order that says nothing earns a little all the
            same.
        num_resamples: Draws of the bootstrap. Two calls with the same groups and seed draw the same groups.
        seed: Of the draws.

    Raises:
        ValueError: A probability is none (a logit, NaN), a label is something else, the shapes do not fit, or no
            attribute can be measured.

    Source: cMAP as in Wu et al. 2020, arXiv:1906.05675; each measure as scikit-learn has it.
    """
    _check_probabilities(probabilities)
    check_private_labels(labels)
    if probabilities.shape != labels.shape or labels.shape[1] != len(attributes):
        raise ValueError(
            f"probabilities are {probabilities.shape}, labels {labels.shape}, and there are {len(attributes)} "
            "attributes; needed: one row per clip and one column per attribute in both"
        )
    excluded = _not_measurable(labels, attributes)
    columns = [column for column, name in enumerate(attributes) if name not in excluded]
    if not columns:
        said = ", ".join(f"{name} ({why})" for name, why in excluded.items())
        raise ValueError(f"no attribute can be measured: {said}; give clips with and without an attribute")
    which = group_numbers(groups, len(labels))
    num_groups = int(which.max()) + 1
    ranked = probabilities
    if tie_seed is not None:
        ranked = ranks_by_lot(probabilities, np.random.default_rng(tie_seed).random(probabilities.shape))
    value = _scores(probabilities, ranked, labels, columns, np.ones((1, len(labels)), dtype=np.int64))[0]
    drawn = np.zeros((0, len(columns), len(AttributeScores._fields)))
    if num_groups >= 2:
        drawn = np.concatenate(
            [
                _scores(probabilities, ranked, labels, columns, draws[:, which])
                for draws in group_draws(num_groups, num_resamples, seed)
            ]
        )
    means = mean_of_measured(drawn, axis=1)
    return Leakage(
        mean=_estimates(mean_of_measured(value[None], axis=1)[0], means, num_groups),
        of_attribute={
            attributes[column]: _estimates(value[place], drawn[:, place], len(set(which[~np.isnan(labels[:, column])])))
            for place, column in enumerate(columns)
        },
        excluded=excluded,
        drawn_cmap=means[:, 0],
    )


def excess_leakage(attacker: Leakage, floor: Leakage) -> Estimate:
    """How far the `cmap` of an attacker lies above a floor, with the interval of the difference.

    Raises:
        ValueError: The two were not measured on the same clips, groups, draws and seed.
    """
    if (
        len(attacker.drawn_cmap) != len(floor.drawn_cmap)
        or list(attacker.of_attribute) != list(floor.of_attribute)
        or not np.array_equal(attacker.label_floor, floor.label_floor, equal_nan=True)
    ):
        raise ValueError(
            "attacker and floor were measured on other clips or draws; measure both with the same labels, groups, "
            "num_resamples and seed"
        )
    return percentile_estimate(
        attacker.cmap.value - floor.cmap.value, attacker.drawn_cmap - floor.drawn_cmap, attacker.cmap.num_groups
    )


def prior_attacker(
    train_labels: Float[np.ndarray, "train attributes"], num_clips: int
) -> Float64[np.ndarray, "clips attributes"]:
    """Answers of an attacker who knows nothing but the frequency of each attribute in training.

    Raises:
        ValueError: A label is something else than 1, 0 or NaN, or an attribute has no label at all.
    """
    check_private_labels(train_labels)
    frequencies = mean_of_measured(train_labels.astype(np.float64), axis=0)
    if np.isnan(frequencies).any():
        unknown = np.flatnonzero(np.isnan(frequencies)).tolist()
        raise ValueError(f"the attributes {unknown} have no label in training; leave them out")
    return np.repeat(frequencies[None], num_clips, axis=0)


def class_prior_attacker(
    train_labels: Float[np.ndarray, "train attributes"],
    train_actions: Int[np.ndarray, " train"],
    actions: Int[np.ndarray, " clips"],
) -> Float64[np.ndarray, "clips attributes"]:
    """Answers of an attacker who knows the action alone: the frequency of each attribute in that class in training.

    Args:
        train_labels: 1, 0 or NaN.
        train_actions: Class of each training clip.
        actions: Class of each clip to attack, or what a classifier takes it for.

    Returns:
        Probabilities; where a class has no known label in training, the frequency over all classes.

    Raises:
        ValueError: As `prior_attacker`.
    """
    answers = prior_attacker(train_labels, len(actions))
    for action in np.unique(actions):
        rows = train_labels[train_actions == action]
        known = (~np.isnan(rows)).sum(axis=0)
        is_known = known > 0
        answers[np.ix_(actions == action, is_known)] = np.nansum(rows, axis=0)[is_known] / known[is_known]
    return answers


def guessed_actions(
    actions: Int[np.ndarray, " clips"], accuracy: float, num_classes: int, *, seed: int = 0
) -> Int64[np.ndarray, " clips"]:
    """Classes as a classifier of a measured accuracy could take them: so many right, each other one any other class.

    Args:
        actions: The true classes.
        accuracy: Share that is right, rounded to whole clips.
        num_classes: How many classes there are.
        seed: Of which are right, and of the wrong ones.

    Raises:
        ValueError: The accuracy is not from 0 to 1, or there are fewer than two classes.
    """
    if not 0 <= accuracy <= 1 or num_classes < 2:
        raise ValueError(f"accuracy is {accuracy:g} of {num_classes} classes; allowed: 0 to 1 and 2 or more classes")
    generator = np.random.default_rng(seed)
    wrong = generator.permutation(len(actions))[round(accuracy * len(actions)) :]
    guessed: Int64[np.ndarray, " clips"] = actions.astype(np.int64)
    # One of the other classes: a step of 1 to num_classes - 1 never leads back.
    guessed[wrong] = (guessed[wrong] + generator.integers(1, num_classes, size=len(wrong))) % num_classes
    return guessed


def check_private_labels(labels: Float[np.ndarray, "clips attributes"]) -> None:
    """Refuse labels that are something else than 1, 0 or NaN.

    Raises:
        ValueError: One is; the message has its row and column.
    """
    wrong = np.argwhere(~(np.isnan(labels) | (labels == 0) | (labels == 1)))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"labels[{row}, {column}] is {labels[row, column]:g} ({len(wrong)} such); allowed: 0, 1, and NaN where it "
            "is not known"
        )


def _scores(
    probabilities: Float[np.ndarray, "clips attributes"],
    ranked: Float[np.ndarray, "clips attributes"],
    labels: Float[np.ndarray, "clips attributes"],
    columns: Sequence[int],
    weights: Int[np.ndarray, "draws clips"],
) -> Float64[np.ndarray, "draws columns scores"]:
    """Every score of every attribute in every draw, in the order of `AttributeScores`."""
    scores = np.empty((len(weights), len(columns), len(AttributeScores._fields)))
    for place, column in enumerate(columns):
        known = ~np.isnan(labels[:, column])
        answers, drawn = probabilities[known, column], weights[:, known]
        positive: Bool[np.ndarray, " known"] = labels[known, column] == 1
        claimed = answers >= THRESHOLD
        # Sums of whole numbers, which floating point holds exactly and multiplies much faster.
        counts = drawn.astype(np.float64) @ np.stack([positive & claimed, positive, claimed, ~positive & ~claimed], 1)
        found, positives, claims, rejected = counts.T
        sizes = drawn.sum(axis=1).astype(np.float64)
        recalls = np.stack([_shares(found, positives), _shares(rejected, sizes - positives)])
        scores[:, place, 0] = weighted_average_precision(ranked[known, column], positive, drawn)
        scores[:, place, 1] = weighted_auroc(answers, positive, drawn)
        scores[:, place, 2] = mean_of_measured(recalls, axis=0)
        scores[:, place, 3] = np.where(positives > 0, _shares(2 * found, positives + claims), np.nan)
        scores[:, place, 4] = _shares(positives, sizes)
    return scores


def _shares(parts: Float[np.ndarray, " draws"], wholes: Float[np.ndarray, " draws"]) -> Float64[np.ndarray, " draws"]:
    shares = np.full(len(parts), np.nan)
    np.divide(parts, wholes, out=shares, where=wholes > 0)
    return shares


def _estimates(
    value: Float64[np.ndarray, " scores"], drawn: Float64[np.ndarray, "draws scores"], num_groups: int
) -> AttributeScores:
    return AttributeScores(
        *(percentile_estimate(float(each), drawn[:, place], num_groups) for place, each in enumerate(value))
    )


def _not_measurable(labels: Float[np.ndarray, "clips attributes"], attributes: Sequence[str]) -> dict[str, str]:
    reasons = {}
    for name, column in zip(attributes, labels.T, strict=True):
        values = np.unique(column[~np.isnan(column)])
        if len(values) < 2:
            reasons[name] = f"always {values[0]:g}" if len(values) else "no label is known"
    return reasons


def _check_probabilities(probabilities: Float[np.ndarray, "clips attributes"]) -> None:
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        low, high = (probabilities.min(), probabilities.max()) if probabilities.size else (math.nan, math.nan)
        raise ValueError(
            f"probabilities go from {low:g} to {high:g}; allowed: 0 to 1 (are these logits? put them through a sigmoid)"
        )
