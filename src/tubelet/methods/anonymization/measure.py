"""Utility and leakage of what would be published, always together: no number of one without the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from tubelet.methods.anonymization.attack import Attacked
from tubelet.methods.anonymization.data import ClipSource, Hide, MemorySource, Truth
from tubelet.methods.anonymization.masks import flicker, kept_fraction, share_kept_of, union_visibility
from tubelet.metrics.classification import average_precision
from tubelet.metrics.conditional_leakage import ConditionalLeakage, conditional_leakage
from tubelet.metrics.intervals import Estimate, ratio_interval
from tubelet.metrics.private_leakage import (
    Leakage,
    class_prior_attacker,
    excess_leakage,
    guessed_actions,
    measure_leakage,
)
from tubelet.models.positions import Grid
from tubelet.runs import Metric


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What an attack found.

    Attributes:
        top1: Of the action, by the network trained anew on published clips.
        attackers: What each attacker reads.
        strongest: Name of the one that counts: with the highest cMAP on validation clips, so that it is not chosen by
            what it is judged on.
        chosen_on: "test" where no attribute varies among the validation clips; the choice is then the attacker's best.
        strongest_on_test: The one with the highest cMAP on the test.
        val_cmap: Of each attacker on validation clips; NaN where no attribute varies among them.
        label_floor: cMAP of answers that know nothing: the mean prevalence.
        action_floor: What an attacker reaches who knows the action as well as the utility network, and nothing else.
        excess: How far the strongest attacker is above that.
        num_clips: Clips of the test that were scored.
        failures: Reasons why the others were not, by id.
        within_classes: The strongest attacker among clips of one action at a time: what the action does not explain.
    """

    top1: Estimate
    attackers: Mapping[str, Leakage]
    strongest: str
    chosen_on: Literal["validation", "test"]
    strongest_on_test: str
    val_cmap: Mapping[str, float]
    label_floor: Estimate
    action_floor: Leakage
    excess: Estimate
    num_clips: int
    failures: Mapping[str, str]
    within_classes: ConditionalLeakage | None

    @property
    def cmap(self) -> Estimate:
        """Of the strongest attacker."""
        return self.attackers[self.strongest].mean.average_precision

    def metrics(self) -> dict[str, Metric]:
        """As a report shows them."""
        strongest = self.attackers[self.strongest].mean
        return {
            "top1": as_metric(self.top1),
            "private_cmap": as_metric(strongest.average_precision),
            "private_f1": as_metric(strongest.f1),
            "private_auroc": as_metric(strongest.auroc),
            "label_floor": as_metric(self.label_floor),
            "action_floor": as_metric(self.action_floor.mean.average_precision),
            "excess_leakage": as_metric(self.excess),
            "excess_within_classes": Metric(value=None, n=0)
            if self.within_classes is None
            else as_metric(self.within_classes.excess),
            **{
                f"private_cmap_by_{name}": as_metric(found.mean.average_precision)
                for name, found in self.attackers.items()
            },
        }


def as_metric(estimate: Estimate) -> Metric:
    """An estimate for a report; not measured where it is NaN."""
    if np.isnan(estimate.value):
        return Metric(value=None, n=estimate.num_groups)
    if np.isnan(estimate.low) or np.isnan(estimate.high):
        return Metric(value=estimate.value, n=estimate.num_groups)
    return Metric(value=estimate.value, low=estimate.low, high=estimate.high, n=estimate.num_groups)


def measured(attacked: Attacked, known: Truth, attributes: Sequence[str], num_actions: int, *, seed: int) -> Measured:
    """Judge an attack.

    Args:
        attacked: What the networks read from the test.
        known: Of the training clips: what an attacker who sees nothing knows.
        attributes: Names.
        num_actions: Actions.
        seed: Of bootstrap and guesses.

    Source: metrics and floors of arXiv:2603.26336 and its predecessors; the action floor is this toolkit's.
    """
    truth = attacked.truth
    right = attacked.action_scores.argmax(1) == truth.actions
    top1 = ratio_interval(right.astype(float), np.ones(len(right)), truth.groups, seed=seed)
    attackers = {
        name: measure_leakage(scores, truth.private, truth.groups, attributes, seed=seed)
        for name, scores in attacked.private_scores.items()
    }
    strongest_on_test = max(attackers, key=lambda name: attackers[name].mean.average_precision.value)
    val_cmap = {name: _val_cmap(attacked, name) for name in attackers}
    is_measured = not any(np.isnan(value) for value in val_cmap.values())
    strongest = max(attackers, key=lambda name: val_cmap[name]) if is_measured else strongest_on_test
    guessed = guessed_actions(truth.actions, top1.value, num_actions, seed=seed)
    floor = measure_leakage(
        class_prior_attacker(known.private, known.actions, guessed),
        truth.private,
        truth.groups,
        attributes,
        tie_seed=seed,  # answers by class come in few values, and an attacker is not paid for ties
        seed=seed,
    )
    return Measured(
        top1=top1,
        attackers=attackers,
        strongest=strongest,
        chosen_on="validation" if is_measured else "test",
        strongest_on_test=strongest_on_test,
        val_cmap=val_cmap,
        label_floor=attackers[strongest].label_floor,
        action_floor=floor,
        excess=excess_leakage(attackers[strongest], floor),
        num_clips=len(truth.ids),
        failures=dict(attacked.failures),
        within_classes=_within_classes(attacked.private_scores[strongest], truth, attributes, seed),
    )


def _val_cmap(attacked: Attacked, attacker: str) -> float:
    """Mean average precision of an attacker on validation clips, over the attributes that vary among them."""
    if attacked.val_truth is None:
        return float("nan")
    found = []
    for scores, labels in zip(attacked.val_scores[attacker].T, attacked.val_truth.private.T, strict=True):
        known = ~np.isnan(labels)
        if len(np.unique(labels[known])) == 2:
            found.append(average_precision(scores[known], labels[known] == 1))
    return float(np.mean(found)) if found else float("nan")


def _within_classes(
    scores: Float[np.ndarray, "clips attributes"], truth: Truth, attributes: Sequence[str], seed: int
) -> ConditionalLeakage | None:
    """None where no action has clips with and without an attribute."""
    varies = any(
        len(np.unique(column[(truth.actions == action) & ~np.isnan(column)])) == 2
        for column in truth.private.T
        for action in np.unique(truth.actions)
    )
    if not varies:
        return None
    return conditional_leakage(scores, truth.private, truth.actions, truth.groups, attributes, seed=seed)


def known_of(source: ClipSource) -> Truth:
    """Labels of the training clips; none of them is read for it."""
    return source.labels("train")


def mask_metrics(source: ClipSource, kept_of: Hide, tubelet: Grid) -> dict[str, Metric]:
    """What masks leave visible of the test's clips.

    Args:
        source: Clips that are not hidden yet.
        kept_of: From clips to which of their tubelets stay.
        tubelet: Frames, rows and columns of one.
    """
    batches = source.evaluation("test", batch_size=64, num_views=1)
    kept = torch.cat([kept_of(batch.video).cpu() for batch in batches]).bool()
    found = {
        "kept": kept_fraction(kept),
        "union_visibility": union_visibility(kept),
        "flicker": flicker(kept),
    }
    if isinstance(source, MemorySource):
        clips = source.splits["test"]
        if clips.motion is not None and clips.secret is not None:
            time = clips.frames.shape[1]
            secret = torch.from_numpy(clips.secret)[:, None].expand(-1, time, -1, -1)
            found["motion_kept"] = share_kept_of(kept, torch.from_numpy(clips.motion), tubelet)
            found["secret_kept"] = share_kept_of(kept, secret, tubelet)
    return {name: Metric(value=float(values.mean()), n=len(kept)) for name, values in found.items()}
