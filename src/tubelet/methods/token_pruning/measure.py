"""What a pruned model answers, clip by clip, and what it kept of the evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from tubelet.datasets.labelled import Split
from tubelet.methods.token_pruning.data import QuestionSource
from tubelet.methods.token_pruning.language import PrunedVideoLanguage

_BATCH = 50


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Answers to the questions of a split.

    Attributes:
        right: Whether each answer was right.
        strata: Kind of each question.
        digit_ids: The digit image, or the video, that each question is about: clips that share it are not independent.
        num_visual: Visual tokens that the language model got, of each clip.
        num_groups: Groups of each clip.
        evidence_kept: Of the groups that show what is asked for, the share that stayed; NaN without groups to remove.
        flicker_kept: Of the groups that flicker; NaN where nothing does.
        evidence_score: Mean score of groups with evidence, frames but the first; NaN without scores.
        flicker_score: Likewise of groups that flicker.
    """

    right: Bool[np.ndarray, " clips"]
    strata: tuple[str, ...]
    digit_ids: Int64[np.ndarray, " clips"]
    num_visual: Int64[np.ndarray, " clips"]
    num_groups: Int64[np.ndarray, " clips"]
    evidence_kept: Float[np.ndarray, " clips"]
    flicker_kept: Float[np.ndarray, " clips"]
    evidence_score: Float[np.ndarray, " clips"]
    flicker_score: Float[np.ndarray, " clips"]

    @property
    def accuracy(self) -> float:
        """Of all questions."""
        return float(self.right.mean())

    @property
    def kept_share(self) -> float:
        """Visual tokens that the language model got, as a share of all groups."""
        return float(self.num_visual.sum() / self.num_groups.sum())

    def accuracy_of(self, stratum: str) -> float:
        """Of one kind of question; NaN where there is none."""
        chosen = np.array(self.strata) == stratum
        return float(self.right[chosen].mean()) if chosen.any() else float("nan")


@torch.no_grad()
def answered(model: PrunedVideoLanguage, source: QuestionSource, split: Split, *, remove: float) -> Answered:
    """Answer all questions of a split: the choice whose words are most probable.

    Args:
        model: In evaluation mode.
        source: Of the clips.
        split: Which of them.
        remove: Share of the groups that goes.
    """
    device = next(model.parameters()).device
    group_px = model.model.pool * model.model.vit.tubelet[1]
    rows: dict[str, list[float]] = {name: [] for name in ("evidence", "flicker", "evidence_score", "flicker_score")}
    right: list[bool] = []
    strata: list[str] = []
    digit_ids: list[int] = []
    num_visual: list[int] = []
    num_groups: list[int] = []
    for batch, clips in source.evaluation(split, batch_size=_BATCH):
        reading = model.options(batch.frames.to(device), batch.clip_lengths.to(device), remove=remove, draw=batch.step)
        scored = model.model.score_answers(
            batch.frames.to(device), batch.clip_lengths.to(device), batch.questions, batch.choices, **reading
        )
        ends = np.cumsum([len(clip.frames) for clip in clips])
        kept = scored.kept.cpu().numpy()
        scores = scored.notes.get("scores")
        for number, (clip, end) in enumerate(zip(clips, ends, strict=True)):
            span = slice(end - len(clip.frames), end)
            right.append(int(scored.scores[number].argmax()) == clip.answer)
            strata.append(clip.stratum)
            digit_ids.append(clip.digit_ids[0])
            num_visual.append(int(scored.num_visual[number]))
            num_groups.append(kept[span].size)
            for name, groups in (
                ("evidence", clip.evidence_groups(group_px)),
                ("flicker", clip.flicker_groups(group_px)),
            ):
                flat = groups.reshape(len(groups), -1)
                rows[name].append(_mean(kept[span].astype(float), flat))
                later = flat.copy()
                later[0] = False
                rows[f"{name}_score"].append(
                    float("nan") if scores is None else _mean(scores[span].float().cpu().numpy(), later)
                )
    return Answered(
        right=np.array(right),
        strata=tuple(strata),
        digit_ids=np.array(digit_ids),
        num_visual=np.array(num_visual),
        num_groups=np.array(num_groups),
        evidence_kept=np.array(rows["evidence"]),
        flicker_kept=np.array(rows["flicker"]),
        evidence_score=np.array(rows["evidence_score"]),
        flicker_score=np.array(rows["flicker_score"]),
    )


def _mean(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(values[chosen].mean()) if chosen.any() else float("nan")
