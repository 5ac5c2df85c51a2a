"""Features of a frozen image backbone for every clip, computed once and kept between trainings."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from tubelet.configs import to_json
from tubelet.datasets.feature_cache import FeatureCache
from tubelet.datasets.labelled import ClipSet, LabelledClip
from tubelet.datasets.loader import FailedClip
from tubelet.datasets.order import EpochOrder
from tubelet.datasets.sampling import Sampling
from tubelet.datasets.views import read_random_view, read_views
from tubelet.datasets.workers import ordered_map
from tubelet.errors import DatasetError, VideoReadError
from tubelet.methods.recognition.clips.config import ClipConfig
from tubelet.methods.recognition.clips.data import require_few_failures
from tubelet.methods.recognition.clips.model import normalised_video
from tubelet.methods.recognition.clips.networks import loaded_backbone, parameters_sha256
from tubelet.models.frames import FrameNetwork
from tubelet.runs import Progress, to_json_text
from tubelet.training.distributed import ALONE, World
from tubelet.training.weights_files import load_weights, save_weights
from tubelet.video.augment import ClipAugmentation
from tubelet.weights import cache_dir
from tubelet.weights.archives import file_sha256

_CODE = "1"  # counts up when what is computed here changes
_TIMEOUT_S = 120.0
_HELD_BYTES = 512_000_000  # features of training clips that are kept in memory; more are read from the disk again


@dataclass(frozen=True, kw_only=True)
class FeatureBatch:
    """Features of the clips of one step.

    Attributes:
        ids: Of the clips.
        failures: Clips that were to be in it and cannot be read.
    """

    features: Float32[Tensor, "batch time features"]
    labels: Int64[Tensor, " batch"] | Float32[Tensor, "batch classes"]
    ids: tuple[str, ...]
    step: int
    failures: tuple[FailedClip, ...] = ()


class ClipFeatures:
    """Frame features of clips, several changed views of each for training, or the plain view for validation.

    Args:
        network: With the frozen backbone.
        config: Sampling, augmentation, seed, number of views, workers.
        is_training: Whether views are changed at random.

    Attributes:
        failures: Clips that could not be read, by id.
    """

    def __init__(self, network: FrameNetwork, config: ClipConfig, *, is_training: bool) -> None:
        self._network = network
        self._augmentation = config.augmentation if is_training else None
        self._num_views = config.num_cached_views if is_training else 1
        self._config = config
        facts: dict[str, Any] = {
            "sampling": to_json(config.sampling),
            "augmentation": None if self._augmentation is None else to_json(self._augmentation),
            "num_views": self._num_views,
            "seed": config.seed if is_training else 0,
            "backbone": parameters_sha256(network.backbone),
            "grid": network.grid,
            "code": _CODE,
        }
        names = {name: to_json_text(value, indent=None).strip() for name, value in facts.items()}
        self._cache = FeatureCache(cache_dir() / "features", names, dtype="float16")
        self._held: dict[str, Float[np.ndarray, "views time features"]] = {}
        self._held_bytes = 0
        self.failures: dict[str, FailedClip] = {}

    def compute(self, clips: ClipSet, world: World = ALONE) -> ClipSet:
        """Compute what is not kept yet; of several processes, each its part.

        Returns:
            The clips without those that cannot be read, which are in `failures`.

        Raises:
            DatasetError: Too many clips cannot be read.
        """
        todo: list[LabelledClip] = []
        for clip in clips.clips:
            try:
                if self._cache.get(clip) is None:
                    todo.append(clip)
            except VideoReadError as error:
                self._fail(clip, error.cause, str(error))
        world.gather(None)  # all have looked at the same cache
        for clip, features in self._computed(world.part_of(todo)):
            self._cache.put(clip, features)
        for failed in world.gather([asdict(failed) for failed in self.failures.values()]):
            self.failures |= {each["item"]: FailedClip(**each) for each in failed}
        require_few_failures(clips, {failed.item: failed.reason for failed in self.failures.values()})
        return clips.without(self.failures)

    def of(self, clip: LabelledClip) -> Float[np.ndarray, "views time features"]:
        """Features of a clip, from memory or from the disk; made again where the disk lost them."""
        held = self._held.get(clip.id)
        if held is not None:
            return held
        found = self._cache.get(clip)
        if found is None:
            for _, features in self._computed([clip]):
                self._cache.put(clip, features)
            found = self._cache.get(clip)  # as it is kept, in half precision
        if found is None:
            raise DatasetError(
                f"{clip.id}: its features are lost and cannot be made again ({self.failures[clip.id].reason}); "
                "bring the file back, or start a new run"
            )
        if self._held_bytes + found.nbytes <= _HELD_BYTES:
            self._held[clip.id] = found
            self._held_bytes += found.nbytes
        return found

    def batch(self, clips: ClipSet, order: EpochOrder, step: int) -> FeatureBatch:
        """The features of a step: each clip in one of its views, another one in each epoch."""
        items = order.at(step)
        chosen = [clips.clips[item.index] for item in items]
        views = [
            self.of(clip)[(item.epoch + item.draw) % self._num_views] for clip, item in zip(chosen, items, strict=True)
        ]
        return FeatureBatch(
            features=torch.from_numpy(np.stack(views).astype(np.float32)),
            labels=labels_of(chosen, clips),
            ids=tuple(clip.id for clip in chosen),
            step=step,
        )

    def _fail(self, clip: LabelledClip, cause: str, reason: str) -> None:
        self.failures[clip.id] = FailedClip(item=clip.id, path=str(clip.path), cause=cause, reason=reason)

    def _computed(
        self, clips: Sequence[LabelledClip]
    ) -> Iterator[tuple[LabelledClip, Float[np.ndarray, "views time features"]]]:
        """Features of clips, computed where they are read: a worker with one thread each wastes no time on waiting."""
        if not clips:
            return
        config = self._config
        with tempfile.TemporaryDirectory() as folder, Progress() as progress:
            path = Path(folder) / "network.safetensors"
            save_weights(path, self._network.state_dict())
            job = _Job(str(path), config.sampling, self._augmentation, self._num_views, config.seed)
            outcomes = ordered_map(partial(_features, job), clips, num_workers=config.num_workers, timeout_s=_TIMEOUT_S)
            line = progress.add("features of pictures", len(clips), "clips")
            for outcome in outcomes:
                line.advance()
                if outcome.value is None:
                    cause = "invalid" if outcome.failure is None else outcome.failure.cause
                    self._fail(outcome.task, cause, "" if outcome.failure is None else outcome.failure.reason)
                else:
                    yield outcome.task, outcome.value


def labels_of(
    chosen: Sequence[LabelledClip], clips: ClipSet
) -> Int64[Tensor, " batch"] | Float32[Tensor, "batch classes"]:
    """The class of each clip; or for each class whether the clip has it, where clips may have several."""
    if not clips.is_multi_label:
        return torch.tensor([clip.label for clip in chosen], dtype=torch.int64)
    labels = torch.zeros((len(chosen), len(clips.classes)), dtype=torch.float32)
    for row, clip in zip(labels, chosen, strict=True):
        row[list(clip.labels)] = 1.0
    return labels


@dataclass(frozen=True)
class _Job:
    """What a worker is told once."""

    weights_path: str
    sampling: Sampling
    augmentation: ClipAugmentation | None
    num_views: int
    seed: int


@lru_cache(maxsize=1)
def _network(weights_path: str) -> FrameNetwork:
    """The network of a worker; the head does not matter."""
    tensors, _ = load_weights(weights_path)
    # Without workers this is the process that trains: its random numbers must not depend on what was kept before.
    with torch.random.fork_rng(devices=[]):
        return loaded_backbone(tensors).fused()


def _features(job: _Job, clip: LabelledClip) -> Float32[np.ndarray, "views time features"]:
    """Frame features of views of a clip, in a worker."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = _network(job.weights_path)
        with torch.inference_mode():
            parts = [
                network.frame_features(normalised_video(torch.from_numpy(view[None]), network)).numpy()
                for view in _read(job, clip)
            ]
    finally:
        torch.set_num_threads(threads)
    return np.concatenate(parts)


def _read(job: _Job, clip: LabelledClip) -> UInt8[np.ndarray, "views time size size 3"]:
    """Views of a clip: what is random belongs to the clip, not to its place in the set."""
    if job.augmentation is None:
        return read_views(clip, job.sampling, num_views=job.num_views)
    digest = file_sha256(clip.path)  # as the cache tells clips apart, whatever they are called
    own = int.from_bytes(hashlib.sha256(f"{digest} {clip.start_s} {clip.end_s}".encode()).digest()[:8], "little")
    views = [
        read_random_view(
            clip, job.sampling, np.random.default_rng((job.seed, own, view)), augmentation=job.augmentation
        )
        for view in range(job.num_views)
    ]
    return np.stack(views)
