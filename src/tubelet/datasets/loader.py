"""Batches of clips for training, and views of clips for evaluation, read in worker processes.

    with ClipLoader(clips, EpochOrder(len(clips), batch_size=8), Sampling(), num_workers=2) as loader:
        for step in range(first_step, num_steps):
            batch = loader.batch_at(step)       # frames uint8 (batch, time, height, width, 3), labels, ids

What a batch holds is a function of its step alone: clips by `order`, moments and changes by random numbers that belong
to the clip and the epoch. So it does not depend on the number of workers, and a resumed training needs no state.

A clip that cannot be read is missing from its batch, never replaced by another one. It is counted, told of with cause
and reason, and too many of them end the training.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from types import TracebackType
from typing import Literal, Protocol, Self, cast

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from tubelet.datasets.labelled import ClipSet, LabelledClip
from tubelet.datasets.order import Item
from tubelet.datasets.sampling import Sampling
from tubelet.datasets.views import DecodedCache, Views, read_random_view, read_task, read_views, read_views_task
from tubelet.datasets.workers import ItemFailure, Outcome, ordered_map
from tubelet.errors import DatasetError
from tubelet.video.augment import ClipAugmentation

__all__ = [
    "ClipBatch",
    "ClipLoader",
    "ClipViews",
    "DecodedCache",
    "FailedClip",
    "FailureLimit",
    "load_views",
    "read_random_view",
    "read_views",
]

_SHOWN_FAILURES = 5


class Order(Protocol):
    """Which clips the batch of a step holds: `EpochOrder` is one."""

    def at(self, step: int) -> Sequence[Item]:
        """The items of a step, always the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedClip:
    """A clip that could not be read.

    Attributes:
        item: Id of the clip.
        path: Its file.
        cause: One word, see `ItemFailure`.
        reason: What was found, and what to do.
    """

    item: str
    path: str
    cause: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """The clips of one step.

    Attributes:
        frames: RGB.
        labels: The class of each clip; or for each class whether the clip has it, where clips may have several.
        ids: Of the clips.
        items: Which draw of which epoch each is.
        step: Whose batch it is.
        failures: Clips that are missing from it.
    """

    frames: UInt8[Tensor, "batch time height width 3"]
    labels: Int64[Tensor, " batch"] | Float32[Tensor, "batch classes"]
    ids: tuple[str, ...]
    items: tuple[Item, ...]
    step: int
    failures: tuple[FailedClip, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FailureLimit:
    """How many clips may fail before it is an error. Each clip counts once, however often it fails.

    Attributes:
        share: Of the clips that were asked for so far.
        tolerated: So many may fail whatever their share.
        count: Never more than so many.
    """

    share: float = 0.05
    tolerated: int = 2
    count: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or self.tolerated < 0 or self.count < 0:
            raise ValueError(
                f"share is {self.share:g}, tolerated {self.tolerated}, count {self.count}; "
                "allowed: 0 to 1, and 0 or more"
            )

    def allows(self, num_failed: int, num_seen: int) -> bool:
        """Whether so many of so many may fail."""
        return num_failed <= min(self.count, max(self.tolerated, self.share * num_seen))


class ClipLoader:
    """Batches of random views of labelled clips, a step at a time.

    Args:
        clips: What to read; leave out beforehand what is known to be broken (`ClipSet.without`).
        order: Which clips the batch of each step holds.
        sampling: Which pictures of a clip.
        seed: Of everything random about the views.
        augmentation: What happens to the pictures; None for nothing.
        cache: Where pictures are kept that were read before; None reads each file anew.
        num_workers: Processes that read; 0 reads here. The batches are the same.
        prefetch_batches: Batches that are being read while one is used.
        timeout_s: A clip that takes longer fails.
        limit: How many clips may fail.

    Attributes:
        wait_s: Seconds that were spent waiting for batches so far.
        failures: Clips that failed so far, by id.

    Raises:
        DatasetError: A clip has no label.
    """

    def __init__(
        self,
        clips: ClipSet,
        order: Order,
        sampling: Sampling,
        *,
        seed: int = 0,
        augmentation: ClipAugmentation | None = None,
        cache: DecodedCache | None = None,
        num_workers: int = 2,
        prefetch_batches: int = 2,
        timeout_s: float = 60.0,
        limit: FailureLimit | None = None,
    ) -> None:
        if prefetch_batches < 1:
            raise ValueError(f"prefetch_batches is {prefetch_batches}; allowed: 1 or more")
        unlabelled = [] if clips.is_multi_label else [clip.id for clip in clips.clips if not clip.labels]
        if unlabelled:
            raise DatasetError(
                f"{clips.name}: {len(unlabelled)} of {len(clips)} clips have no label, the first is {unlabelled[0]}; "
                "label them or leave them out"
            )
        self.clips, self.order, self.sampling = clips, order, sampling
        self._read = partial(read_task, sampling, seed, augmentation, cache)
        self._views_per_clip = 1 if cache is None else cache.views_per_clip
        self._num_workers, self._prefetch_batches, self._timeout_s = num_workers, prefetch_batches, timeout_s
        self._limit = limit or FailureLimit()
        self.wait_s = 0.0
        self.failures: dict[str, FailedClip] = {}
        self._seen: set[int] = set()
        self._batches: Generator[ClipBatch] | None = None
        self._next_step = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers. Harmless when it was done already; asking for another batch starts new ones."""
        batches, self._batches = self._batches, None
        if batches is not None:
            batches.close()

    def batch_at(self, step: int) -> ClipBatch:
        """The batch of a step. Steps that follow each other are read ahead; another one begins anew from there.

        Raises:
            DatasetError: No clip of the batch can be read, too many failed, or workers die one after the other.
        """
        began_s = time.perf_counter()
        if self._batches is None or step != self._next_step:
            self.close()
            self._batches = self.batches(step)
        self._next_step = -1  # after an error the next call begins anew
        batch = next(self._batches)
        self._next_step = step + 1
        self.wait_s += time.perf_counter() - began_s
        return batch

    def batches(self, first_step: int = 0, num_steps: int | None = None) -> Generator[ClipBatch]:
        """The batches from a step on; without `num_steps` they never end. `wait_s` does not count these.

        Raises:
            DatasetError: As `batch_at`.
        """
        steps = count(first_step) if num_steps is None else range(first_step, first_step + num_steps)
        batch_size = len(self.order.at(first_step))
        outcomes = ordered_map(
            self._read,
            ((self.clips.clips[item.index], item, self._view(item)) for step in steps for item in self.order.at(step)),
            num_workers=self._num_workers,
            prefetch=max(1, batch_size) * self._prefetch_batches,
            timeout_s=self._timeout_s,
            array_bytes=self._item_bytes(),
        )
        with closing(outcomes):
            for step in count(first_step) if num_steps is None else range(first_step, first_step + num_steps):
                yield self._batch(step, self.order.at(step), outcomes)

    def _view(self, item: Item) -> int:
        return (item.epoch + item.draw) % self._views_per_clip

    def _item_bytes(self) -> int:
        return self.sampling.num_frames * self.sampling.size_px**2 * 3

    def _batch(
        self, step: int, items: Sequence[Item], outcomes: Iterator[Outcome[tuple[LabelledClip, Item, int], np.ndarray]]
    ) -> ClipBatch:
        size = self.sampling.size_px
        frames = torch.empty((len(items), self.sampling.num_frames, size, size, 3), dtype=torch.uint8)
        read: list[tuple[LabelledClip, Item]] = []
        failures = []
        for outcome in islice(outcomes, len(items)):
            clip, item, _ = outcome.task
            self._seen.add(item.index)
            if outcome.failure is not None or outcome.value is None:
                failures.append(self._failed(clip, cast("ItemFailure", outcome.failure)))
                continue
            np.copyto(frames[len(read)].numpy(), outcome.value)
            read.append((clip, item))
        if failures:
            self._require_enough(step, len(read), failures)
        return ClipBatch(
            frames=frames[: len(read)],
            labels=self._labels([clip for clip, _ in read]),
            ids=tuple(clip.id for clip, _ in read),
            items=tuple(item for _, item in read),
            step=step,
            failures=tuple(failures),
        )

    def _failed(self, clip: LabelledClip, failure: ItemFailure) -> FailedClip:
        failed = FailedClip(item=clip.id, path=str(clip.path), cause=failure.cause, reason=failure.reason)
        self.failures.setdefault(clip.id, failed)
        return failed

    def _labels(self, clips: Sequence[LabelledClip]) -> Int64[Tensor, " batch"] | Float32[Tensor, "batch classes"]:
        if not self.clips.is_multi_label:
            return torch.tensor([clip.label for clip in clips], dtype=torch.int64)
        labels = torch.zeros((len(clips), len(self.clips.classes)), dtype=torch.float32)
        for row, clip in zip(labels, clips, strict=True):
            row[list(clip.labels)] = 1.0
        return labels

    def _require_enough(self, step: int, num_read: int, failures: Sequence[FailedClip]) -> None:
        num_failed, num_seen = len(self.failures), len(self._seen)
        if self._limit.allows(num_failed, num_seen):
            return
        if num_read == 0:
            what, shown = f"none of the {len(failures)} clips of step {step} can be read", failures
        else:
            what, shown = (
                f"{num_failed} of {num_seen} clips cannot be read, which is too many",
                [*self.failures.values()],
            )
        listed = "".join(f"\n  {_line(one)}" for one in shown[:_SHOWN_FAILURES])
        more = f"\n  and {len(shown) - _SHOWN_FAILURES} more" if len(shown) > _SHOWN_FAILURES else ""
        raise DatasetError(
            f"{self.clips.name}: {what}:{listed}{more}\n"
            f"Run `tubelet check {self.clips.root}`: it lists what is broken, and training then leaves it out"
        )


def _line(failed: FailedClip) -> str:
    """An error in reading names the file itself."""
    return failed.reason if failed.path in failed.reason else f"{failed.path}: {failed.cause}: {failed.reason}"


@dataclass(frozen=True, slots=True)
class ClipViews:
    """What a network is shown of one clip.

    Attributes:
        frames: RGB; valid until the next clip is asked for.
        duration_s: Of the clip.
    """

    frames: Views
    duration_s: float


def load_views(
    clips: Sequence[LabelledClip],
    sampling: Sampling,
    *,
    num_views: int = 1,
    num_crops: Literal[1, 3] = 1,
    cache: DecodedCache | None = None,
    num_workers: int = 2,
    timeout_s: float = 60.0,
) -> Generator[Outcome[LabelledClip, ClipViews]]:
    """Views of clips for evaluation, in the order of the clips; see `read_views` for what they are.

    Args:
        clips: What to read.
        sampling: Which pictures of a clip.
        num_views: Places in time.
        num_crops: 1 or 3 in each picture.
        cache: Where pictures are kept that were read before.
        num_workers: Processes that read; 0 reads here.
        timeout_s: A clip that takes longer fails.

    Raises:
        DatasetError: Workers die one after the other.
    """
    outcomes = ordered_map(
        partial(read_views_task, sampling, num_views, num_crops, cache),
        clips,
        num_workers=num_workers,
        prefetch=2 * max(1, num_workers),
        timeout_s=timeout_s,
        array_bytes=num_views * num_crops * sampling.num_frames * sampling.size_px**2 * 3,
    )
    with closing(outcomes):
        for outcome in outcomes:
            value = None if outcome.value is None else ClipViews(*outcome.value)
            yield Outcome(outcome.task, value, outcome.failure)
