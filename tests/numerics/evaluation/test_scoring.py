"""Outside truth: scikit-learn on the mean probabilities, on random and on degenerate predictions."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import predicted
import pytest
import scipy.special
import sklearn.metrics as truth
from hypothesis import given, settings
from hypothesis import strategies as st

from tubelet.errors import ConfigError
from tubelet.evaluation.protocol import ClipTruth
from tubelet.evaluation.scoring import score_predictions
from tubelet.evaluation.writing import PredictionsWriter
from tubelet.metrics.calibration import fit_temperature
from tubelet.runs import Report

ALL = list(range(len(predicted.CLASSES)))


def written(path: Path, clips: list[ClipTruth], logits: dict[str, np.ndarray], **changes: Any) -> Path:
    with PredictionsWriter(path, predicted.header(num_expected=len(clips), **changes)) as writer:
        for clip in clips:
            writer.write(clip, logits[clip.id])
    return path


def scored(clips: list[ClipTruth], logits: dict[str, np.ndarray], **changes: Any) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        return score_predictions(written(Path(folder) / "p.jsonl", clips, logits, **changes))


def values(report: Report) -> dict[str, float | None]:
    return {name: metric.value for name, metric in report.metrics.items()}


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(1, 60), st.floats(0, 4))
def test_against_scikit_learn(seed: int, num_clips: int, skill: float) -> None:
    clips = predicted.clips(num_clips, num_groups=7, seed=seed)
    logits = {clip.id: predicted.logits(clip, skill=skill, seed=seed) for clip in clips}
    report = scored(clips, logits)
    labels = np.array([clip.labels[0] for clip in clips])
    probabilities = np.stack([scipy.special.softmax(logits[clip.id], axis=1).mean(axis=0) for clip in clips])
    guesses = probabilities.argmax(axis=1)
    found = values(report)
    assert found["top1"] == pytest.approx(truth.accuracy_score(labels, guesses))
    assert found["top5"] == pytest.approx(truth.top_k_accuracy_score(labels, probabilities, k=5, labels=ALL))
    recalls = truth.recall_score(labels, guesses, labels=sorted(set(labels)), average=None, zero_division=0)
    assert found["mean_class_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["nll"] == pytest.approx(truth.log_loss(labels, probabilities, labels=ALL), rel=1e-5)
    assert found["brier"] == pytest.approx(np.square(probabilities - np.eye(6)[labels]).sum(axis=1).mean(), rel=1e-5)
    assert found["majority_class"] == max(np.bincount(labels)) / num_clips
    assert found["chance"] == 1 / 6
    single = np.mean([(logits[clip.id].argmax(axis=1) == clip.labels[0]).mean() for clip in clips])
    assert found["top1_single_view"] == pytest.approx(single)
    matrix = np.zeros((6, 6), dtype=int)
    for true, guess, number in report.details["confusion"]:
        matrix[true, guess] = number
    assert np.array_equal(matrix, truth.confusion_matrix(labels, guesses, labels=ALL))
    precision, recall, f1, _ = truth.precision_recall_fscore_support(labels, guesses, labels=ALL, zero_division=np.nan)
    for row in report.details["per_class"]:
        index = predicted.CLASSES.index(row["class"])
        assert _or_nan(row["recall"].value) == pytest.approx(recall[index], nan_ok=True)
        assert _or_nan(row["precision"]) == pytest.approx(precision[index], nan_ok=True)
        assert _or_nan(row["f1"]) == pytest.approx(f1[index], nan_ok=True)
    for metric in report.metrics.values():
        assert metric.low is None or metric.low <= metric.high


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_several_labels_against_scikit_learn(seed: int, num_clips: int) -> None:
    generator = np.random.default_rng(seed)
    clips, logits = [], {}
    for clip in predicted.clips(num_clips, num_groups=6, seed=seed):
        labels = tuple(np.flatnonzero(generator.random(6) < 0.3).tolist())
        clips.append(replace(clip, labels=labels))
        logits[clip.id] = np.round(2 * predicted.logits(clips[-1], seed=seed)) / 2  # with ties
    report = scored(clips, logits, is_multi_label=True, num_clips=2)
    positive = np.array([[index in clip.labels for index in ALL] for clip in clips])
    probabilities = np.stack([scipy.special.expit(logits[clip.id]).mean(axis=0) for clip in clips])
    each = [
        truth.average_precision_score(positive[:, index], probabilities[:, index])
        for index in ALL
        if positive[:, index].any()
    ]
    assert _or_nan(values(report)["mAP"]) == pytest.approx(np.mean(each) if each else math.nan, nan_ok=True)
    found = [row["average_precision"].value for row in report.details["per_class"]]
    assert [value for value in found if value is not None] == pytest.approx(each)
    counted = positive.any(axis=1)
    if counted.any():
        hits = positive[np.arange(num_clips), probabilities.argmax(axis=1)]
        assert values(report)["hit_at_1"] == pytest.approx(hits[counted].mean())


def test_the_temperature_comes_from_the_other_clips_alone(tmp_path: Path) -> None:
    path = predicted.write(tmp_path / "test.jsonl")
    others = [replace(clip, id=f"val/{clip.id}") for clip in predicted.clips(80, seed=5)]
    said = {clip.id: predicted.logits(clip) for clip in others}
    val = written(tmp_path / "val.jsonl", others, said, split="val")
    report = score_predictions(path, calibrate_on=val)
    mean = np.log(np.stack([scipy.special.softmax(said[clip.id], axis=1).mean(axis=0) for clip in others]))
    expected = fit_temperature(mean, np.array([clip.labels[0] for clip in others]))
    found = values(report)
    assert found["temperature"] == pytest.approx(expected, rel=1e-4)
    assert report.metrics["temperature"].n == 80
    assert found["nll_with_temperature"] < found["nll"]
    assert found["ece_with_temperature"] < found["ece"]
    assert values(score_predictions(path))["nll"] == found["nll"]
    own = written(tmp_path / "one.jsonl", others[:1], said, num_clips=2, split="val")
    with pytest.raises(ConfigError, match="holds 60 of the clips that are scored, e.g. .* on the validation split"):
        score_predictions(path, calibrate_on=path)
    other_model = written(tmp_path / "other.jsonl", others[:1], said, model={"name": "x"})
    with pytest.raises(ConfigError, match="is of another model; a temperature fits only the model"):
        score_predictions(path, calibrate_on=other_model)
    assert score_predictions(path, calibrate_on=own).metrics["temperature"].value is not None
    empty = tmp_path / "empty.jsonl"
    with PredictionsWriter(empty, predicted.header(num_expected=2, split="val")) as writer:
        for clip in others[:2]:
            writer.write_failure(clip, "cut off")
    with pytest.raises(ConfigError, match="no scored clip.* none of the 2 clips of the split val .*: cut off. Run"):
        score_predictions(path, calibrate_on=empty)


def test_intervals_are_of_groups_and_repeat_themselves(tmp_path: Path) -> None:
    path = predicted.write(tmp_path / "p.jsonl")
    first, again = score_predictions(path), score_predictions(path)
    assert first.to_json() == again.to_json()
    other = score_predictions(path, seed=1)
    assert values(other) == values(first)
    assert (
        other.metrics["top1"].low != first.metrics["top1"].low or other.metrics["nll"].low != first.metrics["nll"].low
    )
    clips = predicted.clips(60)
    copies = [replace(clip, id=f"{clip.id} {copy}") for clip in clips for copy in range(4)]
    logits = {clip.id: predicted.logits(replace(clip, id=clip.id[:-2])) for clip in copies}
    copied = scored(copies, logits)
    assert values(copied)["top1"] == pytest.approx(values(first)["top1"])
    # Four copies of each clip in the same groups say no more than one.
    assert copied.metrics["top1"].low == pytest.approx(first.metrics["top1"].low, abs=0.02)
    assert copied.metrics["top1"].high == pytest.approx(first.metrics["top1"].high, abs=0.02)


def test_an_incomplete_evaluation_says_so_first(tmp_path: Path) -> None:
    failing = predicted.clips(60)[7].id
    report = score_predictions(predicted.write(tmp_path / "p.jsonl", failing=(failing,)))
    assert report.headline.startswith("INCOMPLETE: tiny on yard, split test (59 of 60 items scored)")
    assert [(failure.item, failure.reason) for failure in report.failures] == [
        (failing, "truncated: the file ends early")
    ]
    found = values(report)
    assert found["top1_failures_as_wrong"] == pytest.approx(found["top1"] * 59 / 60)


def one_by_one(label: int, number: int, *, groups: int) -> list[ClipTruth]:
    return [
        ClipTruth(id=f"{index:02d}", path=f"{index}.mp4", group=f"g{index % groups}", labels=(label,), duration_s=None)
        for index in range(number)
    ]


def test_degenerate_predictions() -> None:
    one_class = one_by_one(2, 8, groups=4)
    right = {clip.id: np.tile(20.0 * np.eye(6)[2], (2, 1)) for clip in one_class}
    wrong = {clip.id: np.tile(20.0 * np.eye(6)[1], (2, 1)) for clip in one_class}
    tied = {clip.id: np.zeros((2, 6)) for clip in one_class}
    best = scored(one_class, right)
    assert values(best)["top1"] == values(best)["mean_class_accuracy"] == values(best)["majority_class"] == 1.0
    assert best.metrics["top1"].low < 1.0  # four groups are not certainty
    assert best.details["mistakes"] == [] and best.details["by_length"] == []
    worst = scored(one_class, wrong)
    assert values(worst)["top1"] == 0.0 and worst.metrics["top1"].high > 0.0
    assert values(worst)["ece"] == pytest.approx(1.0, abs=1e-6)
    assert values(worst)["nll"] == pytest.approx(20.0, abs=0.01)
    assert len(worst.details["mistakes"]) == 8
    undecided = scored(one_class, tied)
    assert values(undecided)["top1"] == 0.0 and values(undecided)["top5"] == 0.0
    assert sum(number for true, guess, number in undecided.details["confusion"] if true != guess) == 8
    one_group = scored(one_by_one(0, 5, groups=1), {f"{index:02d}": np.zeros((2, 6)) for index in range(5)})
    assert one_group.metrics["top1"].low is None
    huge = scored(one_class, {clip.id: np.tile(1e30 * np.eye(6)[1], (2, 1)) for clip in one_class})
    assert math.isfinite(values(huge)["nll"])
    nothing = scored([], {})
    assert values(nothing)["top1"] is None and nothing.num_scored == 0


def test_two_classes_have_no_top5_and_one_view_no_single_view(tmp_path: Path) -> None:
    path = predicted.write(tmp_path / "p.jsonl", classes=("no", "yes"), num_clips=1)
    assert set(score_predictions(path).metrics) == {
        "top1", "mean_class_accuracy", "chance", "majority_class", "ece", "nll", "brier",
    }  # fmt: skip


def test_lengths_and_mistakes(tmp_path: Path) -> None:
    clips = predicted.clips(60)
    report = score_predictions(predicted.write(tmp_path / "p.jsonl"))
    bins = report.details["by_length"]
    assert sum(one["accuracy"].n for one in bins) == 60
    for one in bins:
        inside = [clip for clip in clips if one["from_s"] <= clip.duration_s < (one["to_s"] or math.inf)]
        right = [_probabilities(clip).argmax() == clip.labels[0] for clip in inside]
        assert one["accuracy"].value == pytest.approx(np.mean(right))
    mistakes = report.details["mistakes"]
    assert (
        len(mistakes)
        == report.details["num_mistakes"]
        == sum(_probabilities(clip).argmax() != clip.labels[0] for clip in clips)
    )
    assert [mistake["probability"] for mistake in mistakes] == sorted(
        (mistake["probability"] for mistake in mistakes), reverse=True
    )
    by_id = {clip.id: clip for clip in clips}
    for mistake in mistakes:
        said = _probabilities(by_id[mistake["id"]])
        assert mistake["predicted"] == predicted.CLASSES[said.argmax()]
        assert mistake["probability"] == pytest.approx(said.max(), abs=1e-6)


def _probabilities(clip: ClipTruth) -> np.ndarray:
    return scipy.special.softmax(predicted.logits(clip), axis=1).mean(axis=0)
