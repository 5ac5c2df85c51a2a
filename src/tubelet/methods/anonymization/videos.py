"""Labelled videos with private attributes, read as training, attacks and measurements want them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from jaxtyping import Float, UInt8

from tubelet.datasets.labelled import ClipSet, Split
from tubelet.datasets.loader import ClipLoader, FailureLimit, load_views
from tubelet.datasets.order import EpochOrder
from tubelet.datasets.private_attributes import PrivateLabels, constant_attributes
from tubelet.datasets.private_opening import open_private_clips
from tubelet.datasets.sampling import Sampling
from tubelet.datasets.splitting import with_splits
from tubelet.errors import ConfigError, DatasetError
from tubelet.methods.anonymization.data import ClipSource, Hide, PrivateBatch, as_video
from tubelet.methods.anonymization.model import VitShape
from tubelet.methods.anonymization.recipes import VideoData
from tubelet.video.augment import ClipAugmentation

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

    Args:
        clips: With splits.
        labels: One row for each clip, in their order.
        sampling: Which pictures.
        num_workers: Processes that read.
        hide: What happens to clips before anybody sees them; None for nothing.
    """

    def __init__(
        self, clips: ClipSet, labels: PrivateLabels, sampling: Sampling, *, num_workers: int, hide: Hide | None = None
    ) -> None:
        self.name, self.clips, self.sampling = clips.name, clips, sampling
        self.action_names, self.attribute_names = clips.classes, labels.attributes
        self._labels, self._num_workers, self._hide = labels, num_workers, hide
        self._private = {clip.id: row for clip, row in zip(clips.clips, labels.rows(clips), strict=True)}

    def fingerprint(self) -> str:
        """Of clips and labels."""
        return f"{self.clips.fingerprint()} {self._labels.fingerprint()}"

    def training(
        self, *, num_steps: int, batch_size: int, seed: int
    ) -> AbstractContextManager[Callable[[int], PrivateBatch]]:
        """Random views, epoch by epoch."""
        return self._training(num_steps, batch_size, seed)

    @contextmanager
    def _training(self, num_steps: int, batch_size: int, seed: int) -> Iterator[Callable[[int], PrivateBatch]]:
        clips = self.clips.of("train")
        order = EpochOrder(len(clips), batch_size=min(batch_size, len(clips)), seed=seed)
        with ClipLoader(
            clips, order, self.sampling, seed=seed, augmentation=AUGMENTATION, num_workers=self._num_workers
        ) as loader:

            def batch_at(step: int) -> PrivateBatch:
                batch = loader.batch_at(step)
                return self._batch(batch.frames.numpy(), batch.ids, progress=step / num_steps)

            yield batch_at

    def evaluation(self, split: Split, *, batch_size: int, num_views: int) -> Iterator[PrivateBatch]:
        """Plain views of every clip, the same every time.

        Raises:
            DatasetError: Too many clips cannot be read.
        """
        del batch_size  # a clip at a time: its views are what goes through a network together
        clips = self.clips.of(split)
        limit, failures = FailureLimit(), []
        for seen, outcome in enumerate(
            load_views(clips.clips, self.sampling, num_views=num_views, num_workers=self._num_workers), start=1
        ):
            if outcome.value is None:
                failures.append(outcome.failure.reason if outcome.failure is not None else outcome.task.id)
                if not limit.allows(len(failures), seen):
                    raise DatasetError(
                        f"{clips.name}: {len(failures)} of {seen} clips cannot be read, first: {failures[0]}; run "
                        f"`tubelet check {clips.root}`"
                    )
                continue
            yield self._batch(outcome.value.frames, (outcome.task.id,) * len(outcome.value.frames))

    def hidden(self, hide: Hide) -> ClipSource:
        """The same clips, hidden as they are read."""
        return VideoSource(self.clips, self._labels, self.sampling, num_workers=self._num_workers, hide=hide)

    def _batch(
        self, frames: UInt8[np.ndarray, "batch time height width 3"], ids: tuple[str, ...], *, progress: float = 0.0
    ) -> PrivateBatch:
        facts = {clip.id: clip for clip in self.clips.clips}
        private: Float[np.ndarray, "batch attributes"] = np.stack([self._private[name] for name in ids])
        video = as_video(frames)
        return PrivateBatch(
            video=video if self._hide is None else self._hide(video),
            actions=torch.tensor([facts[name].label for name in ids]),
            private=torch.from_numpy(private.astype(np.float32)),
            ids=ids,
            groups=tuple(facts[name].group for name in ids),
            progress=progress,
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
    sampling = Sampling(num_frames=shape.num_frames, step_s=data.stride / _FPS, size_px=shape.size_px)
    return VideoSource(with_splits(clips), labels, sampling, num_workers=num_workers)
