"""Measure a trained clip classifier: predictions of every clip, and a report made from them alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from jaxtyping import Float, UInt8

from tubelet.configs import to_json
from tubelet.datasets.labelled import ClipSet, LabelledClip, Split
from tubelet.datasets.loader import load_views
from tubelet.datasets.sampling import Sampling
from tubelet.errors import ConfigError, DatasetError
from tubelet.evaluation.page import write_evaluation
from tubelet.evaluation.predict import predict_clips
from tubelet.evaluation.predictions import PREDICTIONS_FILE
from tubelet.evaluation.protocol import ClipTruth, Header, ViewProtocol
from tubelet.evaluation.robustness import CORRUPTIONS, SEVERITIES, Severity, corrupt, score_robustness
from tubelet.evaluation.scoring import score_predictions
from tubelet.evaluation.writing import PredictionsWriter
from tubelet.methods.recognition.action_model import load_action_model
from tubelet.methods.recognition.clips.config import (
    FRAMES_RUN,
    SKELETON_RUN,
    AnyClipConfig,
    ClipConfig,
    EvaluationConfig,
    FusionConfig,
    SkeletonClipConfig,
)
from tubelet.methods.recognition.clips.data import EvaluationClips, clips_to_evaluate, require_validation
from tubelet.methods.recognition.clips.fusion import fused, load_share
from tubelet.methods.recognition.clips.model import ClipModel, load_clip_model, no_tokens_error
from tubelet.methods.recognition.clips.networks import MODEL_FILE
from tubelet.methods.recognition.clips.skeleton import clip_logits, people_of
from tubelet.methods.recognition.model_card import WEIGHTS_FILE
from tubelet.runs import Report, RunDirectory
from tubelet.training.precision import find_device
from tubelet.weights.archives import file_sha256

_PERSON = "body landmarks of the main person"
_AT_ONCE = 64  # clips of which people are held in memory
_VAL_FILE = "predictions_val.jsonl"
_KEPT = ("data", "evaluation", "device", "num_workers", "num_threads", "logs")  # what evaluating may change


def evaluate_clips(config: AnyClipConfig, run: RunDirectory, out: Path) -> Report:
    """Predict the clips of a split, write predictions, report and page into `out`, and return the report.

    An evaluation that was stopped goes on where it was, from the predictions that are there. A temperature is fitted on
    the validation clips of the training, and only where these are the clips that the training was over.

    Raises:
        ConfigError: The training is not finished, or a setting that belongs to it would change.
        DatasetError: The clips cannot be read, or have other classes than the model.
    """
    _require_training_settings(config, run)
    split = config.evaluation.split
    found = clips_to_evaluate(config.data, split, run)
    predict = _Predictor(config, run, found.clips)
    val, calibrate_on = None, None
    if split == "test" and found.is_own and not found.clips.is_multi_label:
        val, calibrate_on = clips_to_evaluate(config.data, "val", run), out / _VAL_FILE
        if not calibrate_on.exists():
            require_validation(val.clips, {clip.id: reason for clip, reason in val.missing})
    predict.write(found, split, out / PREDICTIONS_FILE)
    if val is not None and calibrate_on is not None:
        predict.write(val, "val", calibrate_on)
    report = score_predictions(out / PREDICTIONS_FILE, calibrate_on=calibrate_on, seed=config.seed)
    rules = f"Splits: {found.clips.split_rule}.{found.note} Groups: {found.clips.group_rule}."
    budget = config.evaluation.token_budget
    tokens = f" Merging leaves {100 * budget:g} % of the network's tokens." if budget < 1 else ""
    report = replace(report, protocol=f"{report.protocol}{tokens} {rules}")
    robustness = predict.robustness(found, split, out, config.seed) if config.evaluation.robustness else None
    write_evaluation(report, out, robustness=robustness)
    return report


def _require_training_settings(config: AnyClipConfig, run: RunDirectory) -> None:
    stored, given = run.description().get("config"), to_json(config)
    if not isinstance(stored, dict):
        return
    changed = [name for name in given if name not in _KEPT and stored.get(name) != given[name]]
    of_data = stored.get("data", {})
    changed += [f"data.{name}" for name in ("fold", "split_seed") if of_data.get(name) != given["data"][name]]
    if changed:
        raise ConfigError(
            f"{', '.join(changed)} belongs to the training of {run.path} and cannot change for an evaluation; "
            f"allowed: settings of {', '.join(_KEPT)}"
        )


class _Predictor:
    """Writes predictions of one run, whatever kind of model it trained."""

    def __init__(self, config: AnyClipConfig, run: RunDirectory, data: ClipSet) -> None:
        self._config, self._run = config, run
        pictures = config.frames if isinstance(config, FusionConfig) else config
        device = pictures.device if isinstance(pictures, ClipConfig) else "cpu"
        find_device(device)
        torch.set_num_threads(pictures.num_threads)
        budget = config.evaluation.token_budget
        if budget < 1 and isinstance(config, SkeletonClipConfig):
            raise no_tokens_error(budget, f"the model of {run.path}, which looks at body landmarks,")
        self._pictures: ClipModel | None = None
        labels: tuple[str, ...] = ()
        if not isinstance(config, SkeletonClipConfig):
            folder = run.path / FRAMES_RUN if isinstance(config, FusionConfig) else run.path
            _require_finished(folder / MODEL_FILE, run)
            self._pictures = load_clip_model(folder, device=device, token_budget=budget)
            labels = self._pictures.labels
            if config.evaluation.num_crops == 3 and self._pictures.sampling.fit == "stretch":
                raise ConfigError(
                    "evaluation.num_crops is 3, and this model is shown whole pictures, which leaves nothing to crop; "
                    "allowed: 1"
                )
        if not isinstance(config, ClipConfig):
            folder = run.path / SKELETON_RUN if isinstance(config, FusionConfig) else run.path
            _require_finished(folder / WEIGHTS_FILE, run)
            self._skeleton = load_action_model(folder)
            labels = self._skeleton.labels
        if tuple(data.classes) != labels:
            raise DatasetError(
                f"{data.name} has the classes {_listed(data.classes)} and the model of {run.path} has "
                f"{_listed(labels)}; "
                "evaluate it on clips with the same classes in the same order"
            )

    def write(self, found: EvaluationClips, split: Split, path: Path) -> None:
        """Predictions of one split into a file, from where it stops if it is there."""
        clips = found.clips.of(split)
        unlabelled = [clip.id for clip in clips.clips if not clip.labels and not clips.is_multi_label]
        if unlabelled:
            raise DatasetError(
                f"{clips.name}: {len(unlabelled)} clips of the {split} split have no label, the first is "
                f"{unlabelled[0]}; nothing can be measured on them: label them, or evaluate another split"
            )
        with PredictionsWriter(path, self._header(found, clips, split), resume=True) as writer:
            todo = [clip for clip in clips.clips if clip.id not in writer.done]
            for clip, reason in found.missing:
                writer.write_failure(_truth(clip, clips.root), reason)
            if isinstance(self._config, ClipConfig):
                self._write_views(todo, clips, writer)
                return
            for start in range(0, len(todo), _AT_ONCE):
                self._write_people(replace(clips, clips=tuple(todo[start : start + _AT_ONCE])), writer)

    def robustness(self, found: EvaluationClips, split: Split, out: Path, seed: int) -> Report:
        """Predictions with every corruption at every severity, and what they cost."""
        if not isinstance(self._config, ClipConfig):
            raise ConfigError("robustness is measured for networks that see pictures, such as recognition:frames")
        clips, files = found.clips.of(split), {}
        for kind in CORRUPTIONS:
            for level in SEVERITIES:
                spoilt = Severity(kind, level)
                files[spoilt] = out / f"predictions_{spoilt.name}.jsonl"
                header = self._header(found, clips, split, f"{kind.replace('_', ' ')}, severity {level}")
                with PredictionsWriter(files[spoilt], header, resume=True) as writer:
                    for clip, reason in found.missing:
                        writer.write_failure(_truth(clip, clips.root), reason)
                    todo = [clip for clip in clips.clips if clip.id not in writer.done]
                    self._write_views(todo, clips, writer, _spoiling(spoilt, seed))
        return score_robustness(out / PREDICTIONS_FILE, files, seed=seed)

    def _header(self, found: EvaluationClips, clips: ClipSet, split: Split, corruption: str | None = None) -> Header:
        return Header(
            classes=clips.classes,
            is_multi_label=clips.is_multi_label,
            dataset=clips.name,
            dataset_fingerprint=found.clips.fingerprint(),
            split=split,
            num_expected=len(clips) + len(found.missing),
            protocol=self._protocol(corruption),
            model={"name": self._name(), "sha256": self._sha256(), **self._budget()},
            seed=self._config.seed,
        )

    def _protocol(self, corruption: str | None) -> ViewProtocol:
        evaluation: EvaluationConfig = self._config.evaluation
        decoder = f"PyAV {av.__version__}"
        views, crops = self._views(), evaluation.num_crops
        if self._pictures is None:
            return ViewProtocol(fit=_PERSON, decoder=decoder)
        if isinstance(self._config, FusionConfig):
            return ViewProtocol(fit=f"{_PERSON}, and {views} x {crops} views of the pictures", decoder=decoder)
        sampling: Sampling = self._pictures.sampling
        return ViewProtocol(
            num_clips=views,
            num_crops=crops,
            num_frames=sampling.num_frames,
            step_s=sampling.step_s,
            size_px=sampling.size_px,
            fit=sampling.fit,
            decoder=decoder,
            corruption=corruption,
        )

    def _views(self) -> int:
        return self._config.evaluation.num_views

    def _name(self) -> str:
        recipe = self._run.description().get("recipe")
        return recipe if isinstance(recipe, str) else type(self._config).__name__

    def _budget(self) -> dict[str, float]:
        """The budget of tokens, where there is one: predictions without it stay as they always were."""
        budget = self._config.evaluation.token_budget
        return {"token_budget": budget} if budget < 1 else {}

    def _sha256(self) -> str:
        files = [
            path
            for folder in (self._run.path, self._run.path / FRAMES_RUN, self._run.path / SKELETON_RUN)
            for path in (folder / MODEL_FILE, folder / WEIGHTS_FILE)
            if path.is_file()
        ]
        digests = [file_sha256(path) for path in files]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    def _viewed(self, clips: Sequence[LabelledClip], model: ClipModel) -> Any:  # noqa: ANN401 - a generator of outcomes
        config = self._config
        workers = config.frames.num_workers if isinstance(config, FusionConfig) else config.num_workers
        return load_views(
            clips,
            model.sampling,
            num_views=self._views(),
            num_crops=config.evaluation.num_crops,
            num_workers=workers,
        )

    def _write_views(
        self,
        clips: Sequence[LabelledClip],
        data: ClipSet,
        writer: PredictionsWriter,
        change: Callable[[UInt8[np.ndarray, "views time height width 3"], LabelledClip], Any] | None = None,
    ) -> None:
        model = self._pictures
        if model is None:
            raise TypeError("a skeleton model sees no views")
        predict_clips(
            self._viewed(clips, model),
            model.logits,
            writer,
            root=data.root,
            num_clips=len(clips),
            views_per_batch=self._config.evaluation.batch_size,
            change=change,
        )

    def _write_people(self, clips: ClipSet, writer: PredictionsWriter) -> None:
        """Predictions from the main person of each clip, alone or together with the pictures."""
        if not clips.clips:
            return
        config = self._config
        settings = config.skeleton if isinstance(config, FusionConfig) else config
        if not isinstance(settings, SkeletonClipConfig):
            raise TypeError(f"{type(settings).__name__} has no people")
        people = people_of(clips, settings)
        logits = clip_logits(self._skeleton.network, people, mirror=settings.mirror)
        by_id = dict(zip([clip.id for clip in people.clips], logits, strict=True))
        failed = {failure.item: failure.reason for failure in people.failures}
        if isinstance(config, FusionConfig):
            by_id = self._with_pictures(clips, by_id, failed)
        for clip in clips.clips:
            truth = _truth(clip, clips.root)
            if clip.id in by_id:
                writer.write(truth, by_id[clip.id][None])
            else:
                writer.write_failure(truth, failed[clip.id])

    def _with_pictures(
        self,
        clips: ClipSet,
        people: dict[str, Float[np.ndarray, " classes"]],
        failed: dict[str, str],
    ) -> dict[str, Float[np.ndarray, " classes"]]:
        model, share = self._pictures, load_share(self._run.path)
        if model is None:
            raise TypeError("a fusion run has a picture model")
        found: dict[str, Float[np.ndarray, " classes"]] = {}
        for outcome in self._viewed(clips.clips, model):
            clip = outcome.task
            if outcome.value is None:
                failed.setdefault(clip.id, "" if outcome.failure is None else outcome.failure.reason)
            elif clip.id in people:
                mean = model.probabilities(model.logits(outcome.value.frames)).mean(axis=0)
                found[clip.id] = fused(np.log(np.maximum(mean, 1e-8)), people[clip.id], share)
        return found


def _spoiling(spoilt: Severity, seed: int) -> Callable[[Any, LabelledClip], Any]:
    """What a corruption does to the views of a clip; its chance belongs to the clip."""

    def change(views: UInt8[np.ndarray, "views time height width 3"], clip: LabelledClip) -> Any:  # noqa: ANN401
        own = int.from_bytes(hashlib.sha256(clip.id.encode()).digest()[:8], "little")
        generator = np.random.default_rng((seed, own, spoilt.level))
        return np.stack([corrupt(view, spoilt.kind, spoilt.level, generator) for view in views])

    return change


def _truth(clip: LabelledClip, root: Path) -> ClipTruth:
    path = clip.path.relative_to(root) if clip.path.is_relative_to(root) else Path(clip.path.name)
    duration_s = None if clip.end_s is None else clip.end_s - clip.start_s
    return ClipTruth(id=clip.id, path=path.as_posix(), group=clip.group, labels=clip.labels, duration_s=duration_s)


def _require_finished(path: Path, run: RunDirectory) -> None:
    if not path.exists():
        recipe = run.description().get("recipe", "RECIPE")
        raise ConfigError(
            f"the training in {run.path} is not finished: it has no {path.name} yet; go on with --resume "
            f"(recipe {recipe})"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
