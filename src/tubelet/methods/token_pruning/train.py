"""`tubelet train token_pruning:RECIPE`: trains a video-language model with tokens removed on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tubelet.configs import from_json, to_json
from tubelet.errors import ConfigError, WeightsError
from tubelet.methods.token_pruning.data import QuestionBatch, QuestionSource
from tubelet.methods.token_pruning.language import PrunedVideoLanguage
from tubelet.methods.token_pruning.measure import answered
from tubelet.methods.token_pruning.questions import open_source
from tubelet.methods.token_pruning.recipes import TokenPruningConfig
from tubelet.methods.token_pruning.words import PLAIN, published_decoder
from tubelet.models.video_language import tiny_video_language
from tubelet.runs import RunDirectory, installed_versions
from tubelet.training.loop import LoopConfig, fit
from tubelet.training.optimizer import adamw
from tubelet.training.precision import find_device
from tubelet.training.schedule import cosine
from tubelet.training.seed import seed_everything, step_generator
from tubelet.training.stopping import ValidationConfig
from tubelet.training.weights_files import load_weights, save_weights

MODEL_FILE = "model.safetensors"
_SHARES = 7  # stream of random numbers: which share is removed in a step


def train(config: TokenPruningConfig, run: RunDirectory) -> None:
    """Train what the config describes and leave the model in the run's folder.

    Raises:
        ConfigError: The device is absent.
        TrainingError: The loss is not finite.
    """
    model = train_model(config, run)
    facts = {"config": json.dumps(to_json(config)), "versions": json.dumps(installed_versions())}
    save_weights(run.path / MODEL_FILE, model.state_dict(), facts)


def train_model(config: TokenPruningConfig, run: RunDirectory) -> PrunedVideoLanguage:
    """The training itself.

    Args:
        config: What and how long.
        run: Where log and checkpoints go.

    Raises:
        ConfigError: The device is absent.
        TrainingError: The loss is not finite.

    Source: STTS (arXiv:2603.18004) for the loss: cross-entropy of the answer, and the weighted temporal loss.
    """
    device = find_device(config.device)
    seed_everything(config.seed, num_threads=config.num_threads, deterministic=device.type == "cpu")
    model = begun(config).to(device)
    source = open_source(config)
    trained = fit(
        model,
        adamw(model, lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay),
        batch_at=lambda step: source.training_batch(step, batch_size=config.batch_size, seed=config.seed),
        compute_loss=lambda network, batch: _loss(network, batch, config),
        lr_factor=lambda step: cosine(
            step,
            num_steps=config.num_steps,
            num_warmup_steps=min(config.optimizer.num_warmup_steps, config.num_steps),
            final_factor=config.optimizer.final_lr_factor,
        ),
        config=LoopConfig(
            num_steps=config.num_steps, precision=config.precision, checkpoint_every=max(1, config.num_steps // 5)
        ),
        run=run,
        validate=lambda network, _: _validate(network, config, source),
        validation=ValidationConfig(
            every=config.validate_every or max(1, config.num_steps // 5), metric="accuracy", goal="max"
        ),
    )
    if source.failures:
        run.log(unreadable=dict(source.failures))
    if not isinstance(trained, PrunedVideoLanguage):
        raise TypeError(f"training returned {type(trained).__name__}; PrunedVideoLanguage expected")
    return trained.cpu()


def check(config: TokenPruningConfig) -> None:
    """See that a training can begin.

    Raises:
        ConfigError: The device is absent, no questions are named, shape and pruning do not fit each other, or the run
            to start from is of another shape.
        WeightsError: The run to start from has no model.
        DatasetError: Questions cannot be read.
    """
    find_device(config.device)
    try:
        begun(config)
    except ValueError as error:
        raise ConfigError(f"shape and pruning do not fit each other: {error}") from error
    open_source(config)


def build(config: TokenPruningConfig) -> PrunedVideoLanguage:
    """The model of a config, with random weights but for a published language model.

    Raises:
        ValueError: The pruning does not fit the model.
        MissingExtraError: A library for the language model is not installed.
        WeightsError: Its file cannot be had.
    """
    shape = config.shape
    decoder, tokenizer = (None, PLAIN.tokenizer) if shape.decoder == "characters" else published_decoder()
    model = tiny_video_language(
        tokenizer,
        decoder=decoder,
        num_frames=config.data.num_frames,
        size_px=shape.size_px,
        patch_px=shape.patch_px,
        pool=shape.pool,
        channels=shape.channels,
        depth=shape.depth,
        num_heads=shape.num_heads,
        lm_width=shape.lm_width,
        lm_depth=shape.lm_depth,
        lm_heads=shape.lm_heads,
        lm_kv_heads=shape.lm_kv_heads,
    )
    return PrunedVideoLanguage(model, config.pruning)


def begun(config: TokenPruningConfig) -> PrunedVideoLanguage:
    """The model with the weights that its training starts from.

    Raises:
        ConfigError: The run to start from is of another shape.
        WeightsError: It has no model.
    """
    model = build(config)
    if config.start is None:
        return model
    other, its = load(Path(config.start))
    ours, theirs = asdict(config.shape), asdict(its.shape)
    wrong = [f"{name}={value}, here {ours[name]}" for name, value in theirs.items() if value != ours[name]]
    if wrong:
        raise ConfigError(
            f"start is {config.start}, whose model has another shape: {'; '.join(wrong)}; give the same shape, or "
            "start from nothing"
        )
    model.model.load_state_dict(other.model.state_dict())
    return model


def load(folder: Path) -> tuple[PrunedVideoLanguage, TokenPruningConfig]:
    """The model of a run, and its config.

    Raises:
        WeightsError: The file is absent, damaged or of something else.
    """
    tensors, facts = load_weights(folder / MODEL_FILE)
    try:
        config = from_json(TokenPruningConfig, json.loads(facts["config"]))
    except KeyError as error:
        raise WeightsError(
            f"{folder / MODEL_FILE} says nothing of its config; give a run of `tubelet train token_pruning:RECIPE`"
        ) from error
    model = build(config)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{folder / MODEL_FILE} does not fit its own config: {error}") from error
    return model.eval(), config


def _loss(network: nn.Module, batch: QuestionBatch, config: TokenPruningConfig) -> Mapping[str, Tensor]:
    device = next(network.parameters()).device
    shares = config.train_removes
    share = shares[int(step_generator(config.seed, batch.step, _SHARES).integers(len(shares)))]
    output: Any = network(
        batch.frames.to(device),
        batch.clip_lengths.to(device),
        batch.questions,
        batch.answer_ids,
        remove=share,
        draw=batch.step,
    )
    answer = output.losses.mean()
    auxiliary = output.notes.get("aux_loss")
    if auxiliary is None:
        return {"loss": answer}
    return {"loss": answer + config.pruning.aux_weight * auxiliary, "answer": answer, "temporal": auxiliary}


def _validate(network: nn.Module, config: TokenPruningConfig, source: QuestionSource) -> Mapping[str, float]:
    """Mean accuracy over the shares of the training."""
    if not isinstance(network, PrunedVideoLanguage):
        raise TypeError(f"{type(network).__name__} is no PrunedVideoLanguage")
    shares = sorted(set(config.train_removes))
    found = [answered(network, source, "val", remove=share).accuracy for share in shares]
    return {"accuracy": sum(found) / len(found)}
