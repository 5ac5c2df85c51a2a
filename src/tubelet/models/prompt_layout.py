"""Where words and visual tokens stand in what a language model reads: order, positions, and who may attend to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from tubelet.models.language_decoder import ANSWER, NOTHING, PROMPT, VISUAL

PositionIds = Literal["contiguous", "original"]


@dataclass(frozen=True, kw_only=True)
class PromptLayout:
    """A batch of prompts, padded at the end of each row.

    Of each clip: for each frame its time as text and then the groups of it that were kept, row by row; the question;
    and the answers, none, one, or several side by side that do not see each other.

    Attributes:
        text: Text tokens of all clips one after the other.
        source: What stands at each place: a number into `text`, or beyond them into the visual tokens that were kept.
        kinds: NOTHING, VISUAL, PROMPT or ANSWER.
        branches: Number of the answer that a place belongs to, from 1; 0 for what comes before the answers.
        positions: Position of each place.
        asked: For each answer of each clip, the places whose next token is asked for: the last of the question, and
            those of the answer. Without an answer, the last of the question.
    """

    text: Int64[Tensor, " text"]
    source: Int64[Tensor, "clips places"]
    kinds: Int64[Tensor, "clips places"]
    branches: Int64[Tensor, "clips places"]
    positions: Int64[Tensor, "clips places"]
    asked: tuple[tuple[tuple[int, ...], ...], ...]

    def allowed(self) -> Bool[Tensor, "clips places places"]:
        """Which places attend to which: visual tokens to each other, all else to what comes before it."""
        number = torch.arange(self.source.shape[1], device=self.source.device)
        visual, before = self.kinds == VISUAL, number[:, None] >= number
        of_other_answer = (self.branches[:, None, :] > 0) & (self.branches[:, None, :] != self.branches[:, :, None])
        seen = (before & ~of_other_answer) | (visual[:, :, None] & visual[:, None, :])
        # Padding attends to itself: without any key the softmax has no value.
        return (seen & (self.kinds != NOTHING)[:, None, :]) | (number[:, None] == number)


def lay_out(
    kept: Bool[np.ndarray, "frames groups"],
    lengths: Sequence[int],
    frame_texts: Sequence[Sequence[int]],
    questions: Sequence[Sequence[int]],
    answers: Sequence[Sequence[Sequence[int]]],
    *,
    position: PositionIds = "contiguous",
    device: torch.device | None = None,
) -> PromptLayout:
    """Bring prompts into rows.

    Args:
        kept: Groups of each frame that were kept; their visual tokens come frame after frame, row by row.
        lengths: Frames of each clip.
        frame_texts: Text before each frame, all frames of all clips.
        questions: Of each clip, at least one token.
        answers: Of each clip, any number.
        position: "contiguous" counts what is there; "original" counts removed groups too, so that the rest stands where
            it would stand without pruning.
        device: Where the layout is needed.

    Raises:
        ValueError: A question is empty, or there is no such way of counting.
    """
    if position not in ("contiguous", "original"):
        raise ValueError(f"position is {position!r}; allowed: 'contiguous' or 'original'")
    num_text = sum(map(len, frame_texts)) + sum(map(len, questions)) + sum(len(a) for each in answers for a in each)
    rows, asked = [], []
    text: list[int] = []
    next_visual, frame = num_text, 0
    for clip, (length, question, its_answers) in enumerate(zip(lengths, questions, answers, strict=True)):
        if not question:
            raise ValueError(f"the text of clip {clip} is empty; give at least one token to answer to")
        builder = _Row(text)
        for now in range(frame, frame + length):
            builder.add_text(frame_texts[now], PROMPT)
            next_visual = builder.add_visual(kept[now], next_visual)
        frame += length
        builder.add_text(question, PROMPT)
        asked.append(builder.add_answers(its_answers))
        rows.append(builder.table(position))
    widest = max((row.shape[1] for row in rows), default=0)
    padded = np.zeros((4, len(rows), widest), np.int64)
    padded[1] = NOTHING
    for clip, row in enumerate(rows):
        padded[:, clip, : row.shape[1]] = row
    table = torch.from_numpy(padded).to(device)
    return PromptLayout(
        text=torch.tensor(text, dtype=torch.int64, device=device),
        source=table[0],
        kinds=table[1],
        branches=table[2],
        positions=table[3],
        asked=tuple(asked),
    )


class _Row:
    """One clip's places, built from left to right; text goes into the list that all clips share."""

    def __init__(self, text: list[int]) -> None:
        self.text = text
        self.parts: list[np.ndarray] = []
        self.length = self.original = 0

    def add_text(self, ids: Sequence[int], kind: int, branch: int = 0) -> None:
        count, first = len(ids), len(self.text)
        self.text.extend(ids)
        self._add(np.arange(first, first + count), kind, branch, self.original + np.arange(count))
        self.original += count

    def add_visual(self, kept: np.ndarray, first: int) -> int:
        groups = np.flatnonzero(kept)
        self._add(np.arange(first, first + len(groups)), VISUAL, 0, self.original + groups)
        self.original += len(kept)
        return first + len(groups)

    def add_answers(self, answers: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        """Put answers side by side: each goes on where the question ended."""
        last, end = self.length - 1, self.original
        asked = []
        for branch, answer in enumerate(answers, start=1):
            self.original = end
            start = self.length
            self.add_text(answer, ANSWER, branch)
            asked.append((last, *range(start, self.length)))
        return tuple(asked) if answers else ((last,),)

    def table(self, position: PositionIds) -> np.ndarray:
        """Rows: source, kind, branch, position."""
        table = np.concatenate(self.parts, axis=1) if self.parts else np.zeros((4, 0), np.int64)
        if position == "contiguous":
            # Places before the answers are counted; in an answer, on from the last of them.
            trunk = table[2] == 0
            first = table[3, ~trunk].min() if not trunk.all() else 0
            table[3] = np.where(trunk, np.arange(table.shape[1]), trunk.sum() + table[3] - first)
        return table

    def _add(self, source: np.ndarray, kind: int, branch: int, positions: np.ndarray) -> None:
        part = np.empty((4, len(source)), np.int64)
        part[0], part[1], part[2], part[3] = source, kind, branch, positions
        self.parts.append(part)
        self.length += len(source)
