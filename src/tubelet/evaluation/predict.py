"""Many views of many clips through a network, in batches that mix clips, into a predictions file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from tubelet.datasets.labelled import LabelledClip
from tubelet.datasets.loader import ClipViews
from tubelet.datasets.workers import Outcome
from tubelet.evaluation.protocol import ClipTruth
from tubelet.evaluation.writing import PredictionsWriter
from tubelet.runs import Progress

Views = UInt8[np.ndarray, "views time height width 3"]
Logits = Float[np.ndarray, "views classes"]


@dataclass(frozen=True, kw_only=True)
class PredictionCounts:
    """What `predict_clips` did.

    Attributes:
        num_scored: Clips with predictions.
        num_failed: Clips without.
        num_views: Views that went through the network.
        wait_s: Seconds spent waiting for views.
        predict_s: Seconds spent in the network.
        total_s: Seconds in all.
    """

    num_scored: int
    num_failed: int
    num_views: int
    wait_s: float
    predict_s: float
    total_s: float


@dataclass(kw_only=True)
class _Pending:
    """A clip of which some views have not been through the network yet."""

    clip: ClipTruth
    num_views: int
    logits: list[Logits] = field(default_factory=list)


class _Batch:
    """Views of several clips in one array that is used again and again: memory does not grow with the clips."""

    def __init__(self, predict: Callable[[Views], Logits], writer: PredictionsWriter, size: int) -> None:
        self._predict, self._writer, self._size = predict, writer, size
        self._views: Views | None = None
        self._owners: list[_Pending] = []
        self.num_scored = self.num_failed = self.num_views = 0
        self.predict_s = 0.0

    def add(self, clip: ClipTruth, views: Views) -> None:
        """Take the views of a clip; the network runs whenever the array is full."""
        if self._views is None or self._views.shape[1:] != views.shape[1:]:
            self.flush()
            self._views = np.empty((self._size, *views.shape[1:]), dtype=np.uint8)
        pending = _Pending(clip=clip, num_views=len(views))
        for view in views:
            self._views[len(self._owners)] = view
            self._owners.append(pending)
            if len(self._owners) == self._size:
                self.flush()

    def flush(self) -> None:
        """Send what is there through the network and write the clips that are complete."""
        if self._views is None or not self._owners:
            return
        num = len(self._owners)
        began_s = time.perf_counter()
        logits = self._predict(self._views[:num])
        self.predict_s += time.perf_counter() - began_s
        if logits.shape != (num, len(self._writer.header.classes)):
            raise ValueError(
                f"predict returned shape {logits.shape} for {num} views; needed: "
                f"{(num, len(self._writer.header.classes))} (views, classes)"
            )
        owners, self._owners = self._owners, []
        self.num_views += num
        for pending, row in zip(owners, logits, strict=True):
            pending.logits.append(row)
            if len(pending.logits) == pending.num_views:
                said = np.stack(pending.logits)
                is_finite = bool(np.isfinite(said).all())
                self._writer.write(pending.clip, said)
                self.num_scored += is_finite
                self.num_failed += not is_finite


def predict_clips(
    viewed: Iterable[Outcome[LabelledClip, ClipViews]],
    predict: Callable[[Views], Logits],
    writer: PredictionsWriter,
    *,
    root: Path,
    num_clips: int | None = None,
    views_per_batch: int = 8,
    change: Callable[[Views, LabelledClip], Views] | None = None,
    show_progress: bool | None = None,
) -> PredictionCounts:
    """Predict clips and append what was said of each to the predictions file.

    Leave out clips that the file has already (`writer.done`) before reading them.

    Args:
        viewed: What `datasets.loader.load_views` yields: views of each clip, or why there are none.
        predict: From views to logits. It is given at most `views_per_batch` views, of one clip or of several, in an
            array that is filled anew afterwards.
        writer: Of the predictions file.
        root: Root of the data, to name files below it.
        num_clips: How many there are, for the progress bar; None where that is not known.
        views_per_batch: Views that go through the network together; memory holds so many, and those of one clip. On a
            CPU more than a few are no faster.
        change: What to do to the pictures first, e.g. a corruption.
        show_progress: True or False to decide, None for "only on a terminal".

    Raises:
        ValueError: `predict` returned an array of another shape.
    """
    if views_per_batch < 1:
        raise ValueError(f"views_per_batch is {views_per_batch}; allowed: 1 or more")
    batch = _Batch(predict, writer, views_per_batch)
    num_failed, wait_s, began_s = 0, 0.0, time.perf_counter()
    with Progress(enabled=show_progress) as progress:
        task = progress.add("evaluate", num_clips, "clips")
        waiting_since_s = began_s
        for outcome in viewed:
            wait_s += time.perf_counter() - waiting_since_s
            clip, shown = outcome.task, outcome.value
            if shown is None:
                assert outcome.failure is not None  # noqa: S101 - an outcome has one of the two
                writer.write_failure(_truth(clip, root, None), f"{outcome.failure.cause}: {outcome.failure.reason}")
                num_failed += 1
            else:
                frames = shown.frames if change is None else change(shown.frames, clip)
                batch.add(_truth(clip, root, shown.duration_s), frames)
            task.advance()
            waiting_since_s = time.perf_counter()
        batch.flush()
        task.finish()
    return PredictionCounts(
        num_scored=batch.num_scored,
        num_failed=num_failed + batch.num_failed,
        num_views=batch.num_views,
        wait_s=wait_s,
        predict_s=batch.predict_s,
        total_s=time.perf_counter() - began_s,
    )


def _truth(clip: LabelledClip, root: Path, duration_s: float | None) -> ClipTruth:
    path = clip.path.relative_to(root) if clip.path.is_relative_to(root) else Path(clip.path.name)
    return ClipTruth(id=clip.id, path=path.as_posix(), group=clip.group, labels=clip.labels, duration_s=duration_s)
