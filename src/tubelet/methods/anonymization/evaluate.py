"""`tubelet evaluate RUN` and `tubelet anonymization attack RUN`: utility and leakage of what a run's model hides."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from tubelet.configs import from_json, to_json
from tubelet.errors import ConfigError
from tubelet.methods.anonymization.attack import attack
from tubelet.methods.anonymization.data import ClipSource, Hide
from tubelet.methods.anonymization.measure import Measured, as_metric, known_of, mask_metrics, measured
from tubelet.methods.anonymization.model import MODEL_FILE, Anonymizer
from tubelet.methods.anonymization.opening import open_source
from tubelet.methods.anonymization.pruning import flops
from tubelet.methods.anonymization.recipes import RANDOM_START, AnonymizationConfig, random_start_warning, start_of
from tubelet.runs import Failure, Metric, Report, RunDirectory
from tubelet.runs.directory import check_output
from tubelet.training.precision import find_device

NO_GUARANTEE = (
    "Empirical: leakage to the attackers that were trained here, not a bound. There is no formal privacy, and the mask "
    "itself shows shapes."
)
_PROTOCOL = (
    "A recogniser and {count} attackers trained anew on clips hidden by the frozen model, {steps} steps each, scored "
    "on the test split; the attacker that is strongest on {chosen_on} clips counts; 95 % intervals over groups. "
    "label_floor: answers without any information. action_floor: an attacker who knows the action as well as the "
    "recogniser does and nothing else. kept, union_visibility and flicker are of the masks. " + NO_GUARANTEE
)


def evaluate(config: AnonymizationConfig, run: RunDirectory, out: Path) -> Report:
    """Attack what the model of a run hides, and the same clips as they are.

    Args:
        config: Of the run.
        run: Its folder; the attackers' trainings go there too, and go on where they were cut off.
        out: An existing folder.

    Raises:
        ConfigError: The training did not come to its end, or the device is absent.
        DatasetError: Too many clips cannot be read.
        WeightsError: Weights that attackers are to start from cannot be read or do not fit.
    """
    del out
    if not (run.path / MODEL_FILE).exists():
        raise ConfigError(
            f"the training in {run.path} is not finished: it has no {MODEL_FILE} yet; go on with "
            f"`tubelet train {run.description().get('recipe', 'RECIPE')} --out {run.path} --resume`"
        )
    torch.set_num_threads(config.num_threads)
    anonymizer = Anonymizer.load(run.path)
    device = find_device(config.device)
    hide, kept_of = hiding_on(anonymizer, device)
    source = open_source(config)
    known = known_of(source)
    found: dict[str, Measured] = {}
    for name, published in (
        ("raw", source.hidden(lambda video: video)),  # through the same hands, so that nothing else differs
        ("hidden", source.hidden(hide)),
    ):
        attacked = attack(
            published,
            config.attack,
            run.path / "attack" / f"{name}_{_digest(config, run.path / MODEL_FILE)}",
            num_frames=config.shape.num_frames,
            size_px=config.shape.size_px,
            seed=config.seed,
            device=config.device,
        )
        found[name] = measured(attacked, known, source.attribute_names, len(source.action_names), seed=config.seed)
    return _report(config, source, found, mask_metrics(source, kept_of, config.shape.tubelet))


def hiding_on(anonymizer: Anonymizer, device: torch.device) -> tuple[Hide, Hide]:
    """What hides clips on a device, and what says which of their tubelets stay; clips may come from elsewhere."""
    anonymizer.network.to(device)
    return lambda video: anonymizer(video.to(device))[0], lambda video: anonymizer.kept(video.to(device))


def _digest(config: AnonymizationConfig, model: Path) -> str:
    """Tells attacks on other clips, of other networks or on another model apart, so that none is taken for another."""
    parts = json.dumps([to_json(config.data), to_json(config.attack), config.seed], sort_keys=True).encode()
    return hashlib.sha256(parts + model.read_bytes()).hexdigest()[:12]


def _report(
    config: AnonymizationConfig, source: ClipSource, found: dict[str, Measured], masks: dict[str, Metric]
) -> Report:
    raw, hidden = found["raw"], found["hidden"]
    beats_floor = raw.excess.low > 0
    metrics = {
        **hidden.metrics(),
        **masks,
        "flops_share": _flops_share(config),
        "raw_top1": as_metric(raw.top1),
        "raw_private_cmap": as_metric(raw.cmap),
        "raw_excess_leakage": as_metric(raw.excess),
    }
    left_out = {**source.dropped_attributes, **hidden.attackers[hidden.strongest].excluded}
    protocol = _PROTOCOL.format(
        count=len(config.attack.attackers), steps=config.attack.num_steps, chosen_on=hidden.chosen_on
    )
    return Report(
        title="Utility and leakage of hidden clips" + ("" if beats_floor else " (VOID: the attackers are too weak)"),
        metrics=metrics,
        num_expected=hidden.num_clips + len(hidden.failures),
        num_scored=hidden.num_clips,
        failures=tuple(Failure(item=item, reason=reason) for item, reason in hidden.failures.items()),
        protocol=" ".join([protocol, *_remarks(config, source, left_out, beats_floor=beats_floor)]),
        dataset=source.name,
        dataset_fingerprint=source.fingerprint(),
        seed=config.seed,
        details={
            "privacy_mode": config.privacy_mode,
            "privacy_weight": config.pruning.privacy_weight,
            "temporal": config.pruning.temporal,
            "strongest": hidden.strongest,
            "strongest_chosen_on": hidden.chosen_on,
            "strongest_on_test": hidden.strongest_on_test,
            "val_cmap": {name: None if math.isnan(value) else value for name, value in hidden.val_cmap.items()},
            "start": start_of(config),
            "random_starts": list(config.attack.random_starts),
            "split_rule": source.split_rule,
            "raw_failures": dict(raw.failures),
            "attributes": {
                attribute: {
                    "average_precision": scores.average_precision.value,
                    "auroc": scores.auroc.value,
                    "balanced_accuracy": scores.balanced_accuracy.value,
                    "f1": scores.f1.value,
                    "prevalence": scores.prevalence.value,
                }
                for attribute, scores in hidden.attackers[hidden.strongest].of_attribute.items()
            },
            "excluded_attributes": left_out,
        },
    )


def _remarks(
    config: AnonymizationConfig, source: ClipSource, left_out: Mapping[str, str], *, beats_floor: bool
) -> list[str]:
    """What a reader of the numbers must know besides how they were measured."""
    remarks = [f"Splits: {source.split_rule}."]
    if left_out:
        named = "; ".join(f"{name} ({why})" for name, why in left_out.items())
        remarks.append(f"Attributes left out: {named}.")
    if config.attack.random_starts:
        remarks.append(
            f"Started from random numbers: {', '.join(config.attack.random_starts)}; attackers with published weights "
            "would read more, so that leakage is understated (attack.weights names files of them)."
        )
    if start_of(config) == RANDOM_START:
        remarks.append(random_start_warning(config))
    if not beats_floor:
        remarks.append(
            "VOID: no attacker reads more from the clips as they are than the action tells, so that nothing follows "
            "from low leakage."
        )
    return remarks


def _flops_share(config: AnonymizationConfig) -> Metric:
    """Of the network's work, what is left with pruning."""
    shape = config.shape
    frames, rows, columns = shape.tubelet
    places = (shape.num_frames // frames) * (shape.size_px // rows) * (shape.size_px // columns)
    sizes = {
        "num_places": places,
        "channels": shape.channels,
        "depth": shape.depth,
        "mlp_ratio": 4.0,
        "patch_values": 3 * frames * rows * columns,
    }
    dense = replace(config.pruning, keep=1.0)
    return Metric(value=flops(config.pruning, **sizes) / flops(dense, **sizes), n=1)  # type: ignore[arg-type]


def attack_run(directory: str | os.PathLike[str], *, overwrite: bool = False) -> str:
    """Attack a run, write its report, and give the text to show.

    Raises:
        ConfigError: The folder is no run of this method, or its training is not finished.
        OutputExistsError: There is a report already.
    """
    run = RunDirectory.open(directory)
    check_output(run.report_path, overwrite=overwrite)
    description = run.description()
    if not str(description.get("recipe", "")).startswith("anonymization:"):
        raise ConfigError(
            f"{run.path} is a run of {description.get('recipe')!r}; give one of `tubelet train anonymization:RECIPE`"
        )
    config = from_json(AnonymizationConfig, description["config"])
    run.report_path.parent.mkdir(parents=True, exist_ok=True)
    report = evaluate(config, run, run.report_path.parent)
    report.write(run.report_path)
    return report.to_markdown()


def shown_report(directory: str | os.PathLike[str]) -> str:
    """The report of a run, as text.

    Raises:
        ConfigError: The folder is no run, or nothing was measured yet.
    """
    run = RunDirectory.open(directory)
    if not run.report_path.exists():
        raise ConfigError(f"{run.path} was not attacked yet; do so with `tubelet anonymization attack {run.path}`")
    return Report.read(run.report_path).to_markdown()
