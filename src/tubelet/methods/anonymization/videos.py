"""Labelled videos with private attributes, read as training, attacks and measurements want them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from jaxtyping import UInt8

from tubelet.datasets.labelled import ClipSet, Split
from tubelet.datasets.loader import ClipBatch, ClipLoader, FailedClip, FailureLimit, load_views
from tubelet.datasets.order import EpochOrder, Share
from tubelet.datasets.private_attributes import PrivateLabels, constant_attributes
from tubelet.datasets.private_opening import open_private_clips
from tubelet.datasets.sampling import Sampling
from tubelet.datasets.splitting import with_splits
from tubelet.errors import ConfigError, DatasetError
from tubelet.methods.anonymization.data import ClipSource, Hide, PrivateBatch, Truth, as_frames, as_video
from tubelet.methods.anonymization.model import VitShape
from tubelet.methods.anonymization.recipes import VideoData
from tubelet.video.augment import ClipAugmentation, augment

_AFTER_HIDING = 1  # stream of random numbers: what is drawn for a clip after it was hidden
_FPS = 25.0  # of the published sets, more or less: a stride in frames is a step in time
AUGMENTATION = ClipAugmentation(
    scale=(0.6, 1.0), mirror=True, erasing_probability=0.25, brightness=0.2, contrast=0.2, saturation=0.2
)
"""Of the training of an anonymiser and of its attackers.

Source: arXiv:2603.26336's code (crops of 0.6 to 1, colours, mirror images, erased boxes).
Differs: one erased box at most, filled with noise.
"""


class VideoSource:
    """Clips of a published set.

    Hidden clips are made as `tubelet anonymization apply` makes them: the network sees whole pictures, squeezed into
    its own size, and whoever gets the result may cut and change it only afterwards. So a mask never depends on what an
    attacker's training cuts out.

    Args:
        clips: With splits.
        labels: One row for each clip, in their order.
        sampling: Which pictures, and that they are whole.
        num_workers: Processes that read.
        hide: What happens to whole clips before anybody sees them; None for nothing.
        dropped_attributes: Attributes that `labels` had and that were left out, with the reasons.
    """

    def __init__(
        self,
        clips: ClipSet,
        labels: PrivateLabels,
        sampling: Sampling,
        *,
        num_workers: int,
        hide: Hide | None = None,
        dropped_attributes: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.clips, self.sampling = clips.name, clips, sampling
        self.action_names, self.attribute_names = clips.classes, labels.attributes
        self.split_rule = clips.split_rule
        self.dropped_attributes: Mapping[str, str] = dict(dropped_attributes or {})
        self.failures: dict[str, str] = {}
        self._labels, self._num_workers, self._hide = labels, num_workers, hide
        self._private = {clip.id: row for clip, row in zip(clips.clips, labels.rows(clips), strict=True)}
        self._facts = {clip.id: clip for clip in clips.clips}

    def fingerprint(self) -> str:
        """Of clips and labels."""
        return f"{self.clips.fingerprint()} {self._labels.fingerprint()}"

    def labels(self, split: Split) -> Truth:
        """Of all clips, whether they can be read or not; no file is opened."""
        clips = self.clips.of(split).clips
        rows = [self._private[clip.id] for clip in clips]
        return Truth(
            ids=tuple(clip.id for clip in clips),
            groups=tuple(clip.group for clip in clips),
            actions=np.array([clip.label for clip in clips], np.int64),
            private=np.array(rows, np.float32).reshape(len(clips), len(self.attribute_names)),
        )

    def training(
        self, *, num_steps: int, batch_size: int, seed: int, share: Share | None = None
    ) -> AbstractContextManager[Callable[[int], PrivateBatch]]:
        """Random views, epoch by epoch."""
        return self._training(num_steps, batch_size, seed, share or Share())

    @contextmanager
    def _training(
        self, num_steps: int, batch_size: int, seed: int, share: Share
    ) -> Iterator[Callable[[int], PrivateBatch]]:
        clips = self.clips.of("train")
        size = max(share.world_size, min(batch_size, len(clips)) // share.world_size * share.world_size)
        order = EpochOrder(len(clips), batch_size=size, seed=seed, share=share)
        # What is hidden is hidden whole and changed afterwards, here; the rest is changed by the workers.
        early = AUGMENTATION if self._hide is None else None
        with ClipLoader(
            clips, order, self.sampling, seed=seed, augmentation=early, num_workers=self._num_workers
        ) as loader:

            def batch_at(step: int) -> PrivateBatch:
                batch = loader.batch_at(step)
                frames = batch.frames.numpy() if self._hide is None else self._changed(batch, seed)
                return self._batch(frames, batch.ids, progress=step / num_steps, failures=batch.failures)

            yield batch_at

    def evaluation(self, split: Split, *, batch_size: int, num_views: int) -> Iterator[PrivateBatch]:
        """Plain views of every clip, the same every time.

        Raises:
            DatasetError: Too many clips cannot be read.
        """
        del batch_size  # a clip at a time: its views are what goes through a network together
        clips = self.clips.of(split)
        limit, failed = FailureLimit(), []
        for seen, outcome in enumerate(
            load_views(clips.clips, self.sampling, num_views=num_views, num_workers=self._num_workers), start=1
        ):
            if outcome.value is None:
                failed.append(outcome.task.id)
                self.failures[outcome.task.id] = "unknown" if outcome.failure is None else outcome.failure.reason
                if not limit.allows(len(failed), seen) or len(failed) == len(clips):
                    raise DatasetError(
                        f"{clips.name}: {len(failed)} of {seen} clips cannot be read, first: {failed[0]}: "
                        f"{self.failures[failed[0]]}; run `tubelet check {clips.root}`"
                    )
                continue
            frames = self._published(outcome.value.frames)
            yield self._batch(frames, (outcome.task.id,) * len(frames))

    def hidden(self, hide: Hide) -> ClipSource:
        """The same clips, hidden as they are read."""
        return VideoSource(
            self.clips,
            self._labels,
            self.sampling,
            num_workers=self._num_workers,
            hide=hide,
            dropped_attributes=self.dropped_attributes,
        )

    def _published(
        self, frames: UInt8[np.ndarray, "batch time height width 3"]
    ) -> UInt8[np.ndarray, "batch time height width 3"]:
        """Whole clips as others get them."""
        return frames if self._hide is None or not len(frames) else as_frames(self._hide(as_video(frames)))

    def _changed(self, batch: ClipBatch, seed: int) -> UInt8[np.ndarray, "batch time height width 3"]:
        """Published clips, cut and changed at random: by numbers that belong to the clip and the epoch."""
        frames = self._published(batch.frames.numpy())
        for clip, item in zip(frames, batch.items, strict=True):
            generator = np.random.default_rng((seed, item.epoch, item.index, item.draw, _AFTER_HIDING))
            clip[:] = augment(clip, AUGMENTATION, generator, size_px=self.sampling.size_px)
        return frames

    def _batch(
        self,
        frames: UInt8[np.ndarray, "batch time height width 3"],
        ids: tuple[str, ...],
        *,
        progress: float = 0.0,
        failures: tuple[FailedClip, ...] = (),
    ) -> PrivateBatch:
        rows = [self._private[name] for name in ids]
        return PrivateBatch(
            video=as_video(frames),
            actions=torch.tensor([self._facts[name].label for name in ids], dtype=torch.int64),
            private=torch.from_numpy(np.array(rows, np.float32).reshape(len(ids), len(self.attribute_names))),
            ids=ids,
            groups=tuple(self._facts[name].group for name in ids),
            progress=progress,
            failures=failures,
        )


def open_videos(data: VideoData, shape: VitShape, *, num_workers: int) -> VideoSource:
    """A published set, with a validation part taken out of its training part; attributes that say nothing left out.

    Raises:
        ConfigError: No path or no labels were given.
        DatasetError: Videos or labels cannot be used.
    """
    for name in ("path", "labels"):
        if not getattr(data, name):
            raise ConfigError(f"data.{name} is empty; name it: --set data.{name}=…")
    clips, labels = open_private_clips(data.path, data.labels, dataset=data.dataset, fold=data.fold)
    constant = constant_attributes(labels, clips.of("train"), clips.of("test"))
    if constant:
        labels = labels.without(constant)
    sampling = Sampling(
        num_frames=shape.num_frames, step_s=data.stride / _FPS, size_px=shape.size_px, fit="stretch"
    )  # whole pictures, as `apply` shows them to the network
    return VideoSource(with_splits(clips), labels, sampling, num_workers=num_workers, dropped_attributes=constant)
