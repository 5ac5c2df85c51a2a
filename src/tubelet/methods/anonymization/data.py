"""Batches of clips with actions and private attributes: what training, attacks and measurements read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from tubelet.datasets.glyph_motion import load_digits
from tubelet.datasets.labelled import SPLITS, Split
from tubelet.datasets.loader import FailedClip
from tubelet.datasets.order import Share
from tubelet.datasets.private_glyphs import PrivateClips, draw_private_clips
from tubelet.errors import DatasetError
from tubelet.methods.anonymization.recipes import GlyphData
from tubelet.training.seed import step_generator

Hide = Callable[[Float[Tensor, "clips 3 time height width"]], Float[Tensor, "clips 3 time height width"]]
"""Removes what is private from clips of 0 to 1; it may compute, and leave its result, on another device."""


@dataclass(frozen=True, kw_only=True)
class PrivateBatch:
    """Clips of a step.

    Attributes:
        video: RGB from 0 to 1, or features of tubelets where a network has looked already (`LookedAt`).
        actions: Which action each shows.
        private: 1, 0 or NaN for unknown.
        ids: Names of the clips; views of one clip share theirs.
        groups: Clips of one group are not independent of each other.
        progress: Share of the training that is done.
        failures: Clips that are missing because they cannot be read.
    """

    video: Float32[Tensor, "batch values time height width"]
    actions: Int64[Tensor, " batch"]
    private: Float32[Tensor, "batch attributes"]
    ids: tuple[str, ...]
    groups: tuple[str, ...] = ()
    progress: float = 0.0
    failures: tuple[FailedClip, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What clips really show.

    Attributes:
        ids: Of the clips.
        groups: Clips of one group are not independent of each other.
        actions: Which action.
        private: 1, 0 or NaN.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    actions: Int64[np.ndarray, " clips"]
    private: Float32[np.ndarray, "clips attributes"]

    def of(self, rows: Int64[np.ndarray, " some"]) -> Truth:
        """Some of the clips, by their numbers."""
        return Truth(
            ids=tuple(self.ids[row] for row in rows),
            groups=tuple(self.groups[row] for row in rows),
            actions=self.actions[rows],
            private=self.private[rows],
        )


class ClipSource(Protocol):
    """Where clips come from.

    Attributes:
        name: What the data are called.
        action_names: Names of the actions.
        attribute_names: Names of the attributes.
        split_rule: How its splits came about.
        dropped_attributes: Attributes that were left out, with the reasons.
        failures: Reasons of the clips that could not be read in an evaluation so far, by id.
    """

    name: str
    action_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    split_rule: str
    dropped_attributes: Mapping[str, str]
    failures: dict[str, str]

    def fingerprint(self) -> str:
        """What tells this data from another of the same name."""

    def labels(self, split: Split) -> Truth:
        """What all clips of a split show, in their order; no clip is read for it."""

    def training(
        self, *, num_steps: int, batch_size: int, seed: int, share: Share | None = None
    ) -> AbstractContextManager[Callable[[int], PrivateBatch]]:
        """Batches by their number; each is a function of the number and the seed alone.

        Args:
            num_steps: Of the training.
            batch_size: Clips of a step, over all processes together.
            seed: Of clips and views.
            share: Which piece of each batch this process takes; None for all of it.
        """

    def evaluation(self, split: Split, *, batch_size: int, num_views: int) -> Iterator[PrivateBatch]:
        """All clips of a split in order, views of a clip one after the other; those that fail go into `failures`."""

    def hidden(self, hide: Hide) -> ClipSource:
        """The same clips as an attacker gets them."""


class MemorySource:
    """Clips in memory.

    Args:
        name: What they are called.
        splits: The clips.
        split_rule: How the splits came about.
    """

    def __init__(
        self, name: str, splits: Mapping[Split, PrivateClips], *, split_rule: str = "as they were given"
    ) -> None:
        self.name, self.splits, self.split_rule = name, dict(splits), split_rule
        self.dropped_attributes: Mapping[str, str] = {}
        self.failures: dict[str, str] = {}
        self.action_names = self.splits["train"].action_names
        self.attribute_names = self.splits["train"].attribute_names

    def fingerprint(self) -> str:
        """A sha256 over pictures and labels of the test."""
        return self.splits["test"].fingerprint()

    def labels(self, split: Split) -> Truth:
        """Of all clips."""
        clips = self.splits[split]
        return Truth(
            ids=tuple(map(_name, range(len(clips)))),
            groups=tuple(map(str, clips.groups)),
            actions=clips.actions,
            private=clips.private,
        )

    def training(
        self, *, num_steps: int, batch_size: int, seed: int, share: Share | None = None
    ) -> AbstractContextManager[Callable[[int], PrivateBatch]]:
        """Clips drawn with replacement."""
        clips = self.splits["train"]
        own = list((share or Share()).of(0, batch_size))

        def batch_at(step: int) -> PrivateBatch:
            rows = step_generator(seed, step).integers(0, len(clips), batch_size)
            return self._batch("train", rows[own], progress=step / num_steps)

        return nullcontext(batch_at)

    def evaluation(self, split: Split, *, batch_size: int, num_views: int = 1) -> Iterator[PrivateBatch]:
        """All clips, one batch after the other; these clips have one view."""
        del num_views
        clips = self.splits[split]
        for start in range(0, len(clips), batch_size):
            yield self._batch(split, np.arange(start, min(start + batch_size, len(clips))))

    def _batch(self, split: Split, rows: Int64[np.ndarray, " batch"], *, progress: float = 0.0) -> PrivateBatch:
        return batch_of(self.splits[split], rows, progress=progress)

    def hidden(self, hide: Hide) -> MemorySource:
        """The clips hidden once, in bytes as they would be published."""
        hidden = {split: _hidden(clips, hide) for split, clips in self.splits.items()}
        return MemorySource(self.name, hidden, split_rule=self.split_rule)


def _hidden(clips: PrivateClips, hide: Hide) -> PrivateClips:
    frames = np.empty_like(clips.frames)
    for start in range(0, len(clips), 256):
        rows = slice(start, start + 256)
        frames[rows] = as_frames(hide(as_video(clips.frames[rows])))
    return replace(clips, frames=frames)


def open_glyphs(data: GlyphData) -> MemorySource:
    """The glyphs, drawn."""
    digits = load_digits()
    counts = dict(zip(SPLITS, (data.num_train, data.num_val, data.num_test), strict=True))
    splits = {
        split: draw_private_clips(split, counts[split], seed=data.seed, digits=digits, style=data.style, gait=data.gait)
        for split in SPLITS
    }
    return MemorySource(
        f"glyph motion ({data.style.variant})", splits, split_rule="no picture of a digit is in two splits"
    )


def as_video(frames: UInt8[np.ndarray, "clips time height width 3"]) -> Float32[Tensor, "clips 3 time height width"]:
    """Pictures as the networks here take them: from 0 to 1, so that black is 0."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 4, 1, 2, 3))).float() / 255


def as_frames(video: Float[Tensor, "clips 3 time height width"]) -> UInt8[np.ndarray, "clips time height width 3"]:
    """The reverse of `as_video`: bytes, as clips are published in."""
    frames = (video * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(frames.cpu().numpy().transpose(0, 2, 3, 4, 1))


def batch_of(clips: PrivateClips, rows: Int64[np.ndarray, " batch"], *, progress: float = 0.0) -> PrivateBatch:
    """These clips."""
    return PrivateBatch(
        video=as_video(clips.frames[rows]),
        actions=torch.from_numpy(clips.actions[rows]),
        private=torch.from_numpy(clips.private[rows]),
        ids=tuple(map(_name, rows.tolist())),
        groups=tuple(str(group) for group in clips.groups[rows]),
        progress=progress,
    )


def _name(row: int) -> str:
    return f"clip {row}"


def check_private(private: Float32[Tensor, "batch attributes"], ids: tuple[str, ...]) -> None:
    """See that attributes are 0, 1 or unknown.

    Raises:
        DatasetError: One is not; the message names the clip.
    """
    wrong = ~((private == 0) | (private == 1) | private.isnan())
    if bool(wrong.any()):
        row, column = (int(place) for place in wrong.nonzero()[0])
        raise DatasetError(
            f"{ids[row]}: attribute {column} is {float(private[row, column]):g}; allowed: 0, 1, or nothing for unknown"
        )
