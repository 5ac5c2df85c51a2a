"""A run of token pruning from its recipe to its report, as a user makes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tubelet.cli.main import main
from tubelet.datasets.needle_qa import NeedleStyle
from tubelet.errors import WeightsError
from tubelet.methods.token_pruning.data import NeedleSource
from tubelet.methods.token_pruning.measure import answered
from tubelet.methods.token_pruning.pruning import PruningConfig
from tubelet.methods.token_pruning.recipes import NeedleData, TokenPruningConfig, needle_qa
from tubelet.methods.token_pruning.train import MODEL_FILE, begun, build, load, train
from tubelet.runs import RunDirectory
from tubelet.training.weights_files import load_weights, save_weights

SMALL = ["num_steps=4", "batch_size=4", "num_threads=1", "data.num_val=8", "data.num_test=16", "validate_every=2"]


def config() -> TokenPruningConfig:
    return replace(
        needle_qa(), num_steps=4, batch_size=4, num_threads=1, data=NeedleData(num_val=8, num_test=16), validate_every=2
    )


def arguments(out: Path) -> list[str]:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    return ["train", "token_pruning:needle_qa", "--out", str(out), *settings]


def test_a_recipe_is_trained_evaluated_and_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path / "run")) == 0
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert "accuracy_at_0.5_removed" in capsys.readouterr().out
    report = json.loads((tmp_path / "run" / "evaluation" / "report.json").read_text())
    assert report["num_expected"] == report["num_scored"] == 16
    for remove in (0, 0.5, 0.7, 0.8):
        kept = report["metrics"][f"kept_at_{remove:g}_removed"]["value"]
        assert kept == pytest.approx(1 - int(remove * 72) / 72)
    model, loaded = load(tmp_path / "run")
    assert loaded == config()
    tensors, _ = load_weights(tmp_path / "run" / MODEL_FILE)
    assert all(bool((value == tensors[name]).all()) for name, value in model.state_dict().items())


def test_a_training_that_was_cut_off_ends_in_the_same_bits(tmp_path: Path) -> None:
    train(config(), RunDirectory.create(tmp_path / "whole", {"recipe": "needle_qa"}))
    run = RunDirectory.create(tmp_path / "cut", {"recipe": "needle_qa"})

    class Cut(Exception):  # noqa: N818 - no error, the end of a process
        pass

    class Fragile(RunDirectory):
        def log(self, **fields: object) -> None:
            super().log(**fields)
            if fields.get("event") == "validation":
                raise Cut

    with pytest.raises(Cut):
        train(config(), Fragile(run.path))
    train(config(), RunDirectory(run.path))
    one, _ = load_weights(tmp_path / "whole" / MODEL_FILE)
    other, _ = load_weights(tmp_path / "cut" / MODEL_FILE)
    assert all(bool((value == other[name]).all()) for name, value in one.items())


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path / "run")) == 0
    (tmp_path / "run" / MODEL_FILE).unlink()
    assert main(["evaluate", str(tmp_path / "run")]) != 0
    assert "--resume" in capsys.readouterr().err


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / MODEL_FILE, {"a": torch.zeros(2)}, {"hello": "1"})
    with pytest.raises(WeightsError, match="says nothing of its config"):
        load(tmp_path)


def test_what_was_kept_is_counted_against_where_things_are() -> None:
    """A model that keeps the whole first frame and nothing else keeps the evidence of that frame alone."""
    small = NeedleData(num_test=8, strata=("standing", "entering"), style=NeedleStyle(num_flicker=1))
    base = replace(needle_qa(), data=small)
    model = build(replace(base, pruning=replace(base.pruning, method="uniform_frames"))).eval()
    source = NeedleSource(small)
    found = answered(model, source, "test", remove=7 / 8)
    assert found.kept_share == pytest.approx(1 / 8)
    for number, clip in enumerate(source.clips("test", range(8))):
        cells = clip.evidence_groups(8)
        assert found.evidence_kept[number] == pytest.approx(cells[0].sum() / cells.sum())
    has_flicker = np.array(found.strata) == "entering"
    assert found.flicker_kept[has_flicker] == pytest.approx(1 / 8)
    assert np.isnan(found.flicker_kept[~has_flicker]).all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train_removes=[1.0]", "train_removes is"),
        ("shape.size_px=48", "data.style.size_px is 24 and shape.size_px 48"),
        ("pruning.after_block=3", "after_block is 3"),
        ("pruning.method=magic", "magic"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, message: str
) -> None:
    assert main(["train", "token_pruning:needle_qa", "--out", str(tmp_path / "run"), "--set", setting]) != 0
    assert message in capsys.readouterr().err


def test_a_training_goes_on_from_the_model_of_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dense = replace(config(), pruning=PruningConfig(method="dense", remove=0.0), train_removes=(0.0,))
    train(dense, RunDirectory.create(tmp_path / "dense", {"recipe": "needle_qa_dense"}))
    first, _ = load(tmp_path / "dense")
    wanted = replace(config(), start=str(tmp_path / "dense"))
    begins = begun(wanted)
    for name, value in first.model.state_dict().items():
        assert torch.equal(begins.model.state_dict()[name], value)
    assert begins.scorer is not None
    assert main([*arguments(tmp_path / "run"), "--set", f"start={tmp_path / 'dense'}"]) == 0
    (tmp_path / "dense" / MODEL_FILE).unlink()
    model, loaded = load(tmp_path / "run")  # what it started from is not needed any more
    assert loaded.start is not None
    assert not torch.equal(model.model.decoder.embed(torch.tensor([1])), first.model.decoder.embed(torch.tensor([1])))
    for setting, message in (
        ("shape.num_heads=2", "whose model has another shape: num_heads=4, here 2; give the same shape"),
        ("start=nowhere", "nowhere"),
    ):
        train(dense, RunDirectory(tmp_path / "dense"))
        begin = [*arguments(tmp_path / "other"), "--set", f"start={tmp_path / 'dense'}", "--set", setting]
        assert main(begin) == 2, setting
        assert message in capsys.readouterr().err
