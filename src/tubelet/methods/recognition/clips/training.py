"""Train a clip classifier on labelled videos: end to end, or what comes after a frozen image backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from tubelet.configs import to_json
from tubelet.datasets.labelled import ClipSet
from tubelet.datasets.loader import ClipBatch, ClipLoader, DecodedCache, load_views
from tubelet.datasets.order import EpochOrder, Share
from tubelet.errors import ConfigError, TrainingError
from tubelet.methods.recognition.clips.calibration import Calibration, calibrate
from tubelet.methods.recognition.clips.config import ClipConfig
from tubelet.methods.recognition.clips.data import (
    begin_with,
    command_of,
    data_card,
    open_data,
    require_few_failures,
    typical_length_s,
)
from tubelet.methods.recognition.clips.features import ClipFeatures, FeatureBatch, labels_of
from tubelet.methods.recognition.clips.model import normalised_video, save_clip_model
from tubelet.methods.recognition.clips.networks import build_network, choose_trained, start_from
from tubelet.metrics.classification import mean_average_precision, top_k
from tubelet.models.frames import FrameNetwork
from tubelet.runs import RunDirectory, installed_versions
from tubelet.training.batch_checks import check_labels, check_targets
from tubelet.training.distributed import World, joined, seed_rank
from tubelet.training.loggers import tensorboard_log, wandb_log
from tubelet.training.loop import LoopConfig, fit
from tubelet.training.lora import merge_lora
from tubelet.training.losses import (
    multi_label_cross_entropy,
    smoothed_multi_hot,
    soft_cross_entropy,
    soft_targets,
    target_entropy,
)
from tubelet.training.mixing import MixingConfig, mix
from tubelet.training.model_state import model_tensors
from tubelet.training.overfit import overfit_one_batch
from tubelet.training.parameter_groups import layerwise_adamw
from tubelet.training.precision import find_device
from tubelet.training.schedule import cosine
from tubelet.training.seed import seed_everything, step_generator
from tubelet.training.sharding import shard
from tubelet.training.stopping import ValidationConfig
from tubelet.weights import cache_dir

Logits = Float32[np.ndarray, "clips classes"]
_MIX_STREAM = 2
_WANDB_PROJECT = "tubelet"


@dataclass(frozen=True)
class _Parts:
    """What end-to-end training and training on kept features have in common.

    Attributes:
        trained: The module that the optimiser is over, and that the loss is computed through.
        batch_at: From the number of a micro-batch to the batch.
        compute_loss: From the module and a batch to the loss.
        predict_val: From the module to logits of the validation clips, with those clips.
        num_clips: For training.
    """

    trained: nn.Module
    batch_at: Callable[[int], Any]
    compute_loss: Callable[[nn.Module, Any], Mapping[str, Tensor]]
    predict_val: Callable[[nn.Module], tuple[Logits, ClipSet]]
    num_clips: int


class FeatureHead(nn.Module):
    """What comes after the image backbone of a `FrameNetwork`; shares its parameters."""

    def __init__(self, network: FrameNetwork) -> None:
        super().__init__()
        self.temporal, self.dropout, self.head = network.temporal, network.dropout, network.head

    def forward(self, features: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch classes"]:
        """Logits from features of frames."""
        logits: Float[Tensor, "batch classes"] = self.head(self.dropout(self.temporal(features)))
        return logits


def train_clips(config: ClipConfig, run: RunDirectory) -> None:
    """Train, calibrate on validation clips, and write the model into the run's folder.

    Raises:
        DatasetError: The clips cannot be used, or too many cannot be read.
        ConfigError: Settings do not go together, or a device is absent.
        TrainingError: The loss is not finite, or another process ended.
    """
    with joined(config.device) as world, ExitStack() as stack:
        seed_everything(config.seed, num_threads=config.num_threads, deterministic=world.device.type == "cpu")
        data = open_data(config.data)
        if world.is_first:
            begin_with(data, config.data, run)
        world.gather(None)  # nobody goes on with data that the first refused
        network, config = _network(config, data)
        network.to(world.device)
        seed_rank(config.seed, world)
        if config.fsdp:
            shard(network, world)
        prepare = _with_features if config.caches_features else _end_to_end
        parts = stack.enter_context(prepare(network, config, data, world, run))
        trained = _fit(parts, config, data, world, run, stack)
        calibration = _calibrated(trained, parts, config, data)
        if isinstance(parts.trained, FeatureHead):
            _put_back(network, trained)
            trained = network
        if config.network.tune == "lora":
            merge_lora(trained)
        tensors = model_tensors(trained)
        if world.is_first:
            save_clip_model(run.path, tensors, _card(config, data, calibration, network, run))


def self_test(config: ClipConfig) -> str:
    """See whether one batch can be learned by heart; the verdict.

    Raises:
        TrainingError: It cannot; the message says why.
    """
    seed_everything(config.seed, num_threads=config.num_threads)
    data = open_data(config.data)
    world = World(device=find_device(config.device))
    network, config = _network(config, data)
    network.to(world.device)
    plain = replace(config, mixup_alpha=0.0, cutmix_alpha=0.0)
    order = EpochOrder(len(data.of("train")), batch_size=_batch_size(config, data), seed=config.seed)
    with ClipLoader(
        data.of("train"), order, config.sampling, seed=config.seed, num_workers=config.num_workers
    ) as loader:
        batch = loader.batch_at(0)
    targets = _targets(batch, data, config)
    found = overfit_one_batch(
        network,
        _optimizer(network, config),
        batch,
        _pixel_loss(network, plain, data, world),
        labels=batch.labels.tolist(),
        floor=0.0 if data.is_multi_label else target_entropy(targets),
    )
    if not found.has_passed:
        raise TrainingError(f"one batch of {len(batch.ids)} clips was not learned: {found.reason}")
    return f"one batch of {len(batch.ids)} clips was learned: {found.reason}"


def _network(config: ClipConfig, data: ClipSet) -> tuple[nn.Module, ClipConfig]:
    """The network as training begins, and the config with the sampling that a published network asks for."""
    network = build_network(config.network, config.sampling, data.classes)
    start_from(network, config.network)
    if config.network.name == "hub":
        taken = replace(config.sampling, num_frames=_count(network.num_frames), size_px=_count(network.size_px))
        config = replace(config, sampling=taken)
    choose_trained(network, config.network)
    return network, config


def _count(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"a published network says {value!r} where a number is needed")
    return value


def _batch_size(config: ClipConfig, data: ClipSet) -> int:
    """Clips of one micro-batch over all processes; no more than there are."""
    return max(1, min(config.batch_size // config.num_micro_batches, len(data.of("train"))))


def _optimizer(model: nn.Module, config: ClipConfig) -> torch.optim.Optimizer:
    return layerwise_adamw(
        model, lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay, layer_decay=config.layer_decay
    )


@contextmanager
def _end_to_end(
    network: nn.Module, config: ClipConfig, data: ClipSet, world: World, run: RunDirectory
) -> Iterator[_Parts]:
    """Clips are read anew in each epoch and the network sees their pictures."""
    train, val = data.of("train"), data.of("val")
    order = EpochOrder(
        len(train),
        batch_size=_per_world(_batch_size(config, data), world),
        seed=config.seed,
        share=Share(rank=world.rank, world_size=world.size),
        labels=[clip.labels for clip in train.clips] if config.balance_classes else None,
    )

    def predict_val(model: nn.Module) -> tuple[Logits, ClipSet]:
        return _view_logits(model, network, val, config, world, run)

    with ClipLoader(
        train,
        order,
        config.sampling,
        seed=config.seed,
        augmentation=config.augmentation,
        cache=_decoded_cache(config),
        num_workers=config.num_workers,
    ) as loader:
        loss = _pixel_loss(network, config, data, world)
        yield _Parts(network, loader.batch_at, loss, predict_val, len(train))


def _decoded_cache(config: ClipConfig) -> DecodedCache | None:
    """Where decoded pictures are kept; one folder for all trainings, so that they share what they have in common."""
    if config.decoded_cache_gb == 0:
        return None
    max_bytes = max(1, round(config.decoded_cache_gb * 1e9))
    return DecodedCache(
        folder=str(cache_dir() / "decoded"), max_bytes=max_bytes, views_per_clip=config.num_cached_views
    )


def _per_world(batch_size: int, world: World) -> int:
    """A batch that the processes share equally."""
    return max(world.size, batch_size - batch_size % world.size)


@contextmanager
def _with_features(
    network: nn.Module, config: ClipConfig, data: ClipSet, world: World, run: RunDirectory
) -> Iterator[_Parts]:
    """The backbone is frozen: its features are computed once, and the rest is trained on them."""
    if not isinstance(network, FrameNetwork):
        raise TypeError(f"{type(network).__name__} has no features of frames")
    if config.mixup_alpha or config.cutmix_alpha:
        raise ConfigError("mixup_alpha and cutmix_alpha mix pictures, which a frozen backbone sees once; set them to 0")
    if config.fsdp:
        raise ConfigError("fsdp is for networks that do not fit; the part that recognition:frames trains is small")
    training, validation = (ClipFeatures(network, config, is_training=is_training) for is_training in (True, False))
    # A clip that failed when the run was begun stays out, so that a resumed run has the batches of the whole one.
    earlier = {str(line["item"]) for line in run.read_log() if line.get("event") == "failure"}
    world.gather(None)  # read by all before the first writes more
    val = validation.compute(data.of("val").without(earlier), world)  # the smaller: what is wrong shows sooner
    train = training.compute(data.of("train").without(earlier), world)
    if world.is_first:
        for failed in (*training.failures.values(), *validation.failures.values()):
            run.log(event="failure", item=failed.item, reason=failed.reason)
    order = EpochOrder(
        len(train),
        batch_size=_per_world(min(_batch_size(config, data), len(train)), world),
        seed=config.seed,
        share=Share(rank=world.rank, world_size=world.size),
        labels=[clip.labels for clip in train.clips] if config.balance_classes else None,
    )

    def compute_loss(model: nn.Module, batch: FeatureBatch) -> Mapping[str, Tensor]:
        logits = model(batch.features.to(world.device))
        return {"loss": _loss(logits, _targets(batch, data, config).to(world.device), data)}

    def predict_val(model: nn.Module) -> tuple[Logits, ClipSet]:
        parts = []
        with torch.inference_mode():
            for clip in val.clips:
                features = torch.from_numpy(validation.of(clip).astype(np.float32)).to(world.device)
                parts.append(model(features).float().cpu().numpy()[0])
        return np.stack(parts), val

    yield _Parts(
        FeatureHead(network), lambda step: training.batch(train, order, step), compute_loss, predict_val, len(train)
    )


def _put_back(network: nn.Module, trained: nn.Module) -> None:
    """The trained head (or its running average, which is a copy) into the network that it came from."""
    if isinstance(network, FrameNetwork) and isinstance(trained, FeatureHead):
        network.temporal.load_state_dict(trained.temporal.state_dict())
        network.head.load_state_dict(trained.head.state_dict())


def _pixel_loss(
    network: nn.Module, config: ClipConfig, data: ClipSet, world: World
) -> Callable[[nn.Module, ClipBatch], Mapping[str, Tensor]]:
    mixing = MixingConfig(mixup_alpha=config.mixup_alpha, cutmix_alpha=config.cutmix_alpha)
    mixes = config.mixup_alpha > 0 or config.cutmix_alpha > 0

    def compute_loss(model: nn.Module, batch: ClipBatch) -> Mapping[str, Tensor]:
        video = normalised_video(batch.frames.to(world.device, non_blocking=True), network)
        targets = _targets(batch, data, config).to(world.device)
        if mixes:
            generator = step_generator(config.seed, batch.step * world.size + world.rank, _MIX_STREAM)
            video, targets = mix(video, targets, config=mixing, generator=generator)
        return {"loss": _loss(model(video), targets, data)}

    return compute_loss


def _targets(batch: ClipBatch | FeatureBatch, data: ClipSet, config: ClipConfig) -> Float32[Tensor, "batch classes"]:
    if data.is_multi_label:
        return smoothed_multi_hot(batch.labels.float(), label_smoothing=config.label_smoothing)
    return soft_targets(batch.labels, len(data.classes), label_smoothing=config.label_smoothing)


def _loss(
    logits: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"], data: ClipSet
) -> Float[Tensor, ""]:
    return multi_label_cross_entropy(logits, targets) if data.is_multi_label else soft_cross_entropy(logits, targets)


def _view_logits(
    model: nn.Module, network: nn.Module, clips: ClipSet, config: ClipConfig, world: World, run: RunDirectory
) -> tuple[Logits, ClipSet]:
    """Logits of one plain view of each clip; clips that cannot be read are left out and noted."""
    rows: list[Float32[np.ndarray, " classes"]] = []
    failed: dict[str, str] = {}
    with torch.inference_mode():
        cache = _decoded_cache(config)
        for outcome in load_views(clips.clips, config.sampling, cache=cache, num_workers=config.num_workers):
            if outcome.value is None:
                failed[outcome.task.id] = "" if outcome.failure is None else outcome.failure.reason
                if world.is_first:
                    run.log(event="failure", item=outcome.task.id, reason=failed[outcome.task.id])
                continue
            video = normalised_video(torch.from_numpy(outcome.value.frames).to(world.device), network)
            rows.append(model(video).float().cpu().numpy()[0])
    if not rows:
        require_few_failures(clips, failed)
    return np.stack(rows), clips.without(failed)


def _validate(model: nn.Module, parts: _Parts) -> Mapping[str, float]:
    """Loss and accuracy (or mAP) on validation clips."""
    logits, clips = parts.predict_val(model)
    labels = labels_of(clips.clips, clips)
    found = torch.from_numpy(logits)
    if clips.is_multi_label:
        precision = mean_average_precision(logits, labels.numpy() > 0)
        loss = multi_label_cross_entropy(found, labels.float())
        return {"loss": float(loss), **({} if np.isnan(precision) else {"map": precision})}
    loss = soft_cross_entropy(found, soft_targets(labels, len(clips.classes)))
    return {"loss": float(loss), "top1": top_k(logits, labels.numpy())}


def _fit(
    parts: _Parts, config: ClipConfig, data: ClipSet, world: World, run: RunDirectory, stack: ExitStack
) -> nn.Module:
    micro_size = _per_world(min(_batch_size(config, data), parts.num_clips), world)
    steps_per_epoch = max(1, round(parts.num_clips / (micro_size * config.num_micro_batches)))
    num_steps = max(1, round(config.num_epochs * steps_per_epoch))
    return fit(
        parts.trained,
        _optimizer(parts.trained, config),
        batch_at=parts.batch_at,
        compute_loss=parts.compute_loss,
        lr_factor=lambda step: cosine(
            step,
            num_steps=num_steps,
            num_warmup_steps=min(config.optimizer.num_warmup_steps, num_steps),
            final_factor=config.optimizer.final_lr_factor,
        ),
        config=LoopConfig(
            num_steps=num_steps,
            ema_decay=config.ema_decay,
            log_every=min(10, num_steps),
            checkpoint_every=max(1, steps_per_epoch * max(1, round(config.num_epochs / 10))),
            num_micro_batches=config.num_micro_batches,
            precision=config.precision,
            keep_frozen=config.network.tune == "full",
        ),
        run=run,
        check_batch=lambda batch: _check(batch, data),
        validate=lambda model, _: _validate(model, parts),
        validation=ValidationConfig(
            every=steps_per_epoch * config.validate_every, metric="loss", goal="min", patience=config.patience
        ),
        num_examples_per_epoch=parts.num_clips,
        logs=_logs(config, run, stack) if world.is_first else (),
        world=world,
    )


def _check(batch: ClipBatch | FeatureBatch, data: ClipSet) -> None:
    """See that labels are labels before a network sees them."""
    num_classes = len(data.classes)
    if data.is_multi_label:
        check_targets(batch.labels, num_classes=num_classes, ids=batch.ids, is_multi_label=True)
    else:
        check_labels(batch.labels, num_classes=num_classes, ids=batch.ids)


def _logs(
    config: ClipConfig, run: RunDirectory, stack: ExitStack
) -> tuple[Callable[[int, Mapping[str, float]], None], ...]:
    logs = []
    for name in config.logs:
        if name == "tensorboard":
            logs.append(stack.enter_context(tensorboard_log(run.path / "tensorboard")))
        else:
            logs.append(stack.enter_context(wandb_log(run.path, project=_WANDB_PROJECT, config=dict(to_json(config)))))
    return tuple(logs)


def _calibrated(trained: nn.Module, parts: _Parts, config: ClipConfig, data: ClipSet) -> Calibration:
    """Temperature and threshold on the validation clips."""
    logits, clips = parts.predict_val(trained.eval())
    if data.is_multi_label:
        return Calibration(num_clips=len(clips))
    labels = np.array([clip.label for clip in clips.clips])
    return calibrate(logits, labels, greatest_risk=config.greatest_risk)


def _window_s(config: ClipConfig, data: ClipSet) -> float:
    """What the network is shown of a longer video at once: a window as in training, or as long as a clip of it."""
    sampling = config.sampling
    return typical_length_s(data.of("train")) if sampling.step_s is None else sampling.num_frames * sampling.step_s


def _card(
    config: ClipConfig, data: ClipSet, calibration: Calibration, network: nn.Module, run: RunDirectory
) -> dict[str, Any]:
    counts = [
        sum(clip.split == "train" and label in clip.labels for clip in data.clips) for label in range(len(data.classes))
    ]
    published = network.description() if config.network.name == "hub" else None  # type: ignore[operator]
    return {
        "name": config.network.name,
        "classes": list(data.classes),
        "is_multi_label": data.is_multi_label,
        "evidence": {name: f"learned from {count} clips" for name, count in zip(data.classes, counts, strict=True)},
        "network": to_json(config.network),
        "published": published,
        "sampling": to_json(config.sampling),
        "calibration": to_json(calibration),
        "window_s": round(_window_s(config, data), 4),
        "data": data_card(data),
        "training": {
            "config": to_json(config),
            "command": command_of(run),
            "versions": installed_versions(),
        },
        "licence": "of its training clips and of the weights that it started from",
    }
