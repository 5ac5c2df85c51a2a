"""Batches of clips with questions: what training and tests read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from tubelet.datasets.glyph_motion import Digits, load_digits
from tubelet.datasets.labelled import Split
from tubelet.datasets.needle_qa import NeedleClip, draw_needle_clip
from tubelet.methods.token_pruning.recipes import NeedleData
from tubelet.methods.token_pruning.words import PLAIN, Words
from tubelet.video.transform import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True, kw_only=True)
class QuestionBatch:
    """Clips of a step with their questions.

    Attributes:
        frames: Of all clips, one after the other, normalised.
        clip_lengths: Frames of each clip.
        questions: Token ids.
        choices: Token ids of every possible answer, each with the end token.
        answers: Which choice is right.
        ids: Names of the clips.
        step: Of the training.
    """

    frames: Float32[Tensor, "frames 3 height width"]
    clip_lengths: Int64[Tensor, " clips"]
    questions: tuple[tuple[int, ...], ...]
    choices: tuple[tuple[tuple[int, ...], ...], ...]
    answers: tuple[int, ...]
    ids: tuple[str, ...]
    step: int = 0

    @property
    def answer_ids(self) -> list[tuple[int, ...]]:
        """Token ids of the right answers."""
        return [choices[answer] for choices, answer in zip(self.choices, self.answers, strict=True)]


class AskedClip(Protocol):
    """A clip with its question; `NeedleClip` says what its parts are."""

    @property
    def frames(self) -> UInt8[np.ndarray, "time height width 3"]:
        """RGB."""
        ...

    @property
    def question(self) -> str:
        """In words."""
        ...

    @property
    def choices(self) -> tuple[str, ...]:
        """Possible answers."""
        ...

    @property
    def answer(self) -> int:
        """Index into them."""
        ...

    @property
    def stratum(self) -> str:
        """Kind of question."""
        ...

    @property
    def digit_ids(self) -> tuple[int, ...]:
        """What it is about, first: clips that share it are not independent."""
        ...

    def evidence_groups(self, group_px: int) -> Bool[np.ndarray, "time rows columns"]:
        """In which groups of pixels the answer stands, where that is known."""
        ...

    def flicker_groups(self, group_px: int) -> Bool[np.ndarray, "time rows columns"]:
        """In which groups of pixels it flickers."""
        ...


class QuestionSource(Protocol):
    """What training, tests and measurements read."""

    @property
    def failures(self) -> Mapping[str, str]:
        """Why questions could not be asked, by id."""
        ...

    @property
    def name(self) -> str:
        """What the set is called."""
        ...

    @property
    def strata(self) -> Sequence[str]:
        """Kinds of questions."""
        ...

    def fingerprint(self) -> str:
        """All that the clips follow from."""
        ...

    def num_expected(self, split: Split) -> int:
        """Questions of a split that are to be asked."""
        ...

    def training_batch(self, step: int, *, batch_size: int, seed: int) -> QuestionBatch:
        """Clips of a step."""
        ...

    def evaluation(self, split: Split, *, batch_size: int) -> Iterator[tuple[QuestionBatch, Sequence[Any]]]:
        """All clips of a split in order, with what is known of them, each an `AskedClip`."""
        ...


class NeedleSource:
    """Needle questions.

    Args:
        data: Which.
        words: How questions are written.
    """

    def __init__(self, data: NeedleData, words: Words = PLAIN) -> None:
        self.data, self.words = data, words
        self.digits = _digits()
        self.failures: dict[str, str] = {}

    @property
    def name(self) -> str:
        """What the set is called."""
        return f"needle questions ({', '.join(self.data.strata)})"

    @property
    def strata(self) -> tuple[str, ...]:
        """Kinds of questions."""
        return self.data.strata

    def num_expected(self, split: Split) -> int:
        """Clips of a split."""
        return self.data.num_val if split == "val" else self.data.num_test

    def fingerprint(self) -> str:
        """All that the clips follow from."""
        return f"drawn: {self.data}"

    def clips(self, split: Split, numbers: Sequence[int]) -> list[NeedleClip]:
        """These clips of a split."""
        data = self.data
        return [
            draw_needle_clip(data.seed, number, split, self.digits, data.style, strata=data.strata)
            for number in numbers
        ]

    def training_batch(self, step: int, *, batch_size: int, seed: int) -> QuestionBatch:
        """Clips that no other step has; other seeds see others."""
        first = (seed * 1_000_003 + step) * batch_size
        return batch_of(self.clips("train", range(first, first + batch_size)), self.words, first=first, step=step)

    def evaluation(self, split: Split, *, batch_size: int) -> Iterator[tuple[QuestionBatch, list[NeedleClip]]]:
        """All clips of a split in order, with what is known of them."""
        total = self.num_expected(split)
        for first in range(0, total, batch_size):
            clips = self.clips(split, range(first, min(first + batch_size, total)))
            yield batch_of(clips, self.words, first=first, step=first // batch_size), clips


@cache
def _digits() -> Digits:
    return load_digits()


def batch_of(clips: Sequence[AskedClip], words: Words, *, first: int = 0, step: int = 0) -> QuestionBatch:
    """Clips as the model takes them."""
    frames = np.concatenate([clip.frames for clip in clips])
    scaled = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return QuestionBatch(
        frames=(scaled - mean) / std,
        clip_lengths=torch.tensor([len(clip.frames) for clip in clips]),
        questions=tuple(words.question(clip.question) for clip in clips),
        choices=tuple(tuple(words.answer(choice) for choice in clip.choices) for clip in clips),
        answers=tuple(clip.answer for clip in clips),
        ids=tuple(f"clip {first + number}" for number in range(len(clips))),
        step=step,
    )
