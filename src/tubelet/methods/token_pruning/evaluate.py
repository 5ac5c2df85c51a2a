"""`tubelet evaluate RUN`: how well a pruned model answers at several budgets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tubelet.errors import ConfigError
from tubelet.methods.token_pruning.data import QuestionSource
from tubelet.methods.token_pruning.measure import Answered, answered
from tubelet.methods.token_pruning.questions import open_source
from tubelet.methods.token_pruning.recipes import NeedleData, TokenPruningConfig
from tubelet.methods.token_pruning.train import MODEL_FILE, load
from tubelet.metrics.intervals import bootstrap_interval
from tubelet.runs import Failure, Metric, Report, RunDirectory
from tubelet.training.precision import find_device

_PROTOCOL = (
    "Questions about held-out digit images; of the possible answers the most probable counts. Accuracy at each share "
    "of the groups that is removed, overall and by kind of question, and the visual tokens that the language model "
    "got; 95 % intervals over the digit images that are asked for."
)

_VIDEO_PROTOCOL = (
    "Questions about video files; of the possible answers the most probable counts. Accuracy at each share of the "
    "groups that is removed, and the visual tokens that the language model got; 95 % intervals over the videos. "
    "Questions whose video cannot be read are not scored and are listed."
)


def evaluate(config: TokenPruningConfig, run: RunDirectory, out: Path) -> Report:
    """Answer the test questions at every share of the config.

    Args:
        config: Of the run.
        run: Its folder.
        out: An existing folder.

    Raises:
        ConfigError: The training did not come to its end, or the device is absent.
    """
    del out
    if not (run.path / MODEL_FILE).exists():
        raise ConfigError(
            f"the training in {run.path} is not finished: it has no {MODEL_FILE} yet; go on with "
            f"`tubelet train {run.description().get('recipe', 'RECIPE')} --out {run.path} --resume`"
        )
    torch.set_num_threads(config.num_threads)
    model, _ = load(run.path)
    model.to(find_device(config.device))
    source = open_source(config)
    found = {share: answered(model, source, "test", remove=share) for share in config.test_removes}
    metrics: dict[str, Metric] = {}
    for share, answers in found.items():
        metrics |= _metrics(f"at_{share:g}_removed", answers, source, config.seed)
    return Report(
        title=f"Answers with tokens removed ({config.pruning.method})",
        metrics=metrics,
        num_expected=source.num_expected("test"),
        num_scored=len(next(iter(found.values())).right),
        failures=tuple(Failure(item=item, reason=reason) for item, reason in source.failures.items()),
        protocol=_PROTOCOL if isinstance(config.data, NeedleData) else _VIDEO_PROTOCOL,
        dataset=source.name,
        dataset_fingerprint=source.fingerprint(),
        seed=config.seed,
        details={"method": config.pruning.method, "train_removes": list(config.train_removes)},
    )


def _metrics(suffix: str, answers: Answered, source: QuestionSource, seed: int) -> dict[str, Metric]:
    metrics = {f"accuracy_{suffix}": share_right(answers.right, answers.digit_ids, seed)}
    for stratum in source.strata if len(source.strata) > 1 else ():
        chosen = np.array(answers.strata) == stratum
        metrics[f"accuracy_{stratum}_{suffix}"] = share_right(answers.right[chosen], answers.digit_ids[chosen], seed)
    metrics[f"kept_{suffix}"] = Metric(value=answers.kept_share, n=len(answers.right))
    for name in ("evidence_kept", "flicker_kept"):
        values = getattr(answers, name)
        known = ~np.isnan(values)
        if known.any():
            metrics[f"{name}_{suffix}"] = Metric(value=float(values[known].mean()), n=int(known.sum()))
    return metrics


def share_right(right: np.ndarray, groups: np.ndarray, seed: int) -> Metric:
    """Share of right answers, with a 95 % interval over groups of answers that are not independent."""
    estimate = bootstrap_interval(right.astype(float), groups.tolist(), seed=seed)
    # Of a single group there is no interval.
    low, high = (estimate.low, estimate.high) if np.isfinite(estimate.low) else (None, None)
    return Metric(value=estimate.value, low=low, high=high, n=len(right))
