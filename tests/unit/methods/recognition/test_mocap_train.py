"""The recipe end to end on a tiny scale: trains, repeats to the bit, calibrates, saves, loads, evaluates."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tubelet.configs import from_json, to_json
from tubelet.datasets.performances import LABELS
from tubelet.errors import WeightsError
from tubelet.methods.recognition import mocap_train, recipes, train
from tubelet.methods.recognition.action_model import load_action_model
from tubelet.methods.recognition.examples import Drawing, draw_examples
from tubelet.methods.recognition.mocap_evaluate import evaluate_mocap
from tubelet.methods.recognition.model_card import (
    CARD_FILE,
    DESCRIPTION,
    EVIDENCE_FILE,
    SHIPPED,
    WEIGHTS_FILE,
    class_evidence,
    load_card,
)
from tubelet.methods.recognition.preprocess import NUM_FEATURES
from tubelet.methods.recognition.split import hold_outs
from tubelet.runs import RunDirectory
from tubelet.training import OptimizerConfig

TINY = recipes.MocapSkeletonConfig(
    num_people=12,
    views=1,
    num_validation=8,
    num_steps=6,
    batch_size=4,
    window=60,
    channels=16,
    num_workers=1,
    optimizer=OptimizerConfig(num_warmup_steps=2),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    directory = RunDirectory.create(tmp_path_factory.mktemp("runs") / "first", {"recipe": "recognition:mocap_skeleton"})
    train.train(TINY, directory)
    return directory


def test_a_run_leaves_a_model_that_can_be_used(run: RunDirectory) -> None:
    model = load_action_model(run.path)
    assert model.labels == LABELS
    found = model.probabilities(np.random.default_rng(0).normal(size=(NUM_FEATURES, 50)).astype(np.float32))
    assert found.shape == (50, len(LABELS))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert model.probabilities(np.zeros((NUM_FEATURES, 0), np.float32)).shape == (0, len(LABELS))
    assert 0.4 <= model.min_score <= 0.7


def test_training_repeats_to_the_bit(run: RunDirectory, tmp_path: Path) -> None:
    again = RunDirectory.create(tmp_path / "again", {})
    train.train(TINY, again)
    assert (again.path / WEIGHTS_FILE).read_bytes() == (run.path / WEIGHTS_FILE).read_bytes()
    cards = [json.loads((folder.path / CARD_FILE).read_text()) for folder in (run, again)]
    assert cards[0] == cards[1]
    other = RunDirectory.create(tmp_path / "other", {})
    train.train(replace(TINY, seed=1), other)
    assert (other.path / WEIGHTS_FILE).read_bytes() != (run.path / WEIGHTS_FILE).read_bytes()


def test_the_card_says_what_the_model_is(run: RunDirectory) -> None:
    card = load_card(run.path)
    assert card["training"]["config"] == to_json(TINY)
    assert len(card["training"]["examples_sha256"]) == 64
    assert len(card["training"]["clips"]) == 20
    assert set(card["evidence"]) == set(LABELS)
    assert card["preprocessing"]["rate_hz"] == 15
    assert sum(card["calibration"]["expected_shares"].values()) == pytest.approx(1, abs=1e-3)


def test_evaluation_reports_every_class(run: RunDirectory) -> None:
    report = evaluate_mocap(TINY, run)
    assert report.num_scored == report.num_expected == TINY.num_validation
    assert {"frame_accuracy", "coverage", "expected_calibration_error", "none_labelled"} <= set(report.metrics)
    assert set(report.details["classes"]) == set(report.details["hold_out"]) == set(LABELS)
    assert [point["threshold"] for point in report.details["abstention"]] == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    json.dumps(report.to_json())


def test_examples_are_the_same_for_any_number_of_workers() -> None:
    clips = mocap_train.load_motions()
    drawing = Drawing(seed=3, seconds=4.0, views=2)
    one, two = (draw_examples(clips, drawing, 40, num_workers=workers) for workers in (1, 2))
    assert one.digest() == two.digest()
    assert len(one) == 80
    assert np.isfinite(one.features).all()
    assert (one.weights[one.features[:, -1] == 0] == 0).all()
    assert one.digest() != draw_examples(clips, replace(drawing, seed=4), 40, num_workers=1).digest()


def test_the_expected_shares_are_a_distribution() -> None:
    shares = mocap_train.expected_shares()
    assert shares.sum() == pytest.approx(1)
    assert shares.min() > 0
    labels = np.repeat(np.arange(len(LABELS)), 10)
    labels = np.concatenate([labels, np.full(30, -1)])
    drawn = labels[mocap_train.as_expected(labels, 0)]
    assert (drawn == LABELS.index("walk")).mean() == pytest.approx(0.42 * 0.9, abs=0.02)
    assert (drawn < 0).mean() == pytest.approx(0.1, abs=0.02)


def test_recipes_are_complete_configs() -> None:
    for recipe in (recipes.mocap_skeleton, recipes.mocap_skeleton_held_out):
        config = recipe()
        assert from_json(type(config), to_json(config)) == config
    with pytest.raises(ValueError, match="num_steps is 0; allowed: 1 or more"):
        recipes.MocapSkeletonConfig(num_steps=0)
    with pytest.raises(ValueError, match=r"held_out_span_share is 0.9; allowed: 0.1 to 0.5"):
        recipes.MocapSkeletonConfig(held_out_span_share=0.9)


def test_the_shipped_model_loads_and_knows_its_evidence() -> None:
    model = load_action_model()
    assert model.labels == LABELS
    assert sum(tensor.numel() for tensor in model.network.state_dict().values()) < 200_000
    assert model.card["training"]["recipe"] == "recognition:mocap_skeleton"
    assert "procedural" in model.card["evidence"]["stand"]
    shipped = json.loads((SHIPPED / CARD_FILE).read_text(encoding="utf-8"))
    assert shipped["evidence"] == class_evidence(LABELS)
    assert shipped["description"] == DESCRIPTION


def test_what_the_card_says_of_held_out_performances_is_what_the_reports_say() -> None:
    reports = Path(__file__).parents[4] / "benchmarks" / "reports"
    held, seen = (
        json.loads((reports / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("mocap_skeleton_held_out", "mocap_skeleton")
    )
    for label in ("dance", "getup", "crawl", "spin"):
        assert held["details"]["classes"][label]["recall_decided"] < 0.05
        assert seen["details"]["classes"][label]["recall_decided"] > 0.5
    assert held["metrics"]["frame_accuracy"]["high"] < seen["metrics"]["frame_accuracy"]["low"]
    assert held["details"]["hold_out"] == hold_outs(recipes.mocap_skeleton_held_out())
    assert seen["details"]["min_score"] == load_card()["calibration"]["min_score"]


def test_what_was_measured_on_real_footage_was_measured_with_the_shipped_weights() -> None:
    measured = json.loads((SHIPPED / EVIDENCE_FILE).read_text(encoding="utf-8"))
    assert measured["weights_sha256"] == hashlib.sha256((SHIPPED / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert set(measured["classes"]) <= set(LABELS)


def test_evidence_of_classes(run: RunDirectory, tmp_path: Path) -> None:
    assert class_evidence(("walk", "fall")) == {
        "walk": "learned from 6 recorded performances and procedural animation",
        "fall": "learned from procedural animation",
    }
    shutil.copytree(run.path, tmp_path / "run")
    assert load_card(tmp_path / "run")["evidence"]["fall"].endswith("; synthetic evidence only")
    weights_sha256 = hashlib.sha256((tmp_path / "run" / WEIGHTS_FILE).read_bytes()).hexdigest()
    evidence = {"weights_sha256": weights_sha256, "classes": {"fall": "seen twice"}}
    (tmp_path / "run" / EVIDENCE_FILE).write_text(json.dumps(evidence))
    assert load_card(tmp_path / "run")["evidence"]["fall"] == "learned from procedural animation; seen twice"


def test_a_part_of_a_sequence_gives_the_same_probabilities() -> None:
    model = load_action_model()
    torch.manual_seed(0)
    features = torch.randn(NUM_FEATURES, 200).numpy()
    whole = model.probabilities(features)
    part = model.probabilities(np.ascontiguousarray(features[:, 60 - model.context : 100 + model.context]))
    np.testing.assert_allclose(part[model.context : -model.context], whole[60:100], atol=1e-5)


def test_models_that_cannot_be_used_are_named(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no action model in .*nowhere: action_model.json is missing"):
        load_action_model(tmp_path / "nowhere")
    card = load_card(run.path)

    def written(name: str, content: str, weights: bytes | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / CARD_FILE).write_text(content)
        if weights is not None:
            (folder / WEIGHTS_FILE).write_bytes(weights)
        return folder

    with pytest.raises(WeightsError, match="is not JSON"):
        load_action_model(written("text", "{"))
    with pytest.raises(WeightsError, match="is not a card of schema"):
        load_action_model(written("other", "{}"))
    with pytest.raises(WeightsError, match="is missing; it belongs beside"):
        load_action_model(written("no_weights", json.dumps(card)))
    with pytest.raises(WeightsError, match="does not hold the network"):
        load_action_model(written("cut", json.dumps(card), (run.path / WEIGHTS_FILE).read_bytes()[:1000]))
    older = card | {"preprocessing": card["preprocessing"] | {"features": ["nose_x"]}}
    with pytest.raises(WeightsError, match="reads other features"):
        load_action_model(written("older", json.dumps(older), (run.path / WEIGHTS_FILE).read_bytes()))
