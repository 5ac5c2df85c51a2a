"""Recipes refuse settings that no training can be made with, before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.cli.main import main
from tubelet.configs import to_json
from tubelet.datasets.mocap import LABEL_OF_CLIP
from tubelet.methods.recognition.recipes import MocapSkeletonConfig, mocap_skeleton_held_out
from tubelet.runs import RunDirectory
from tubelet.training import OptimizerConfig


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["seed=-1"], "seed is -1; allowed: 0 to 4294967295"),
        (["num_steps=6"], "optimizer.num_warmup_steps is 60; allowed: 0 to num_steps (6)"),
        (["optimizer.num_warmup_steps=-2"], "optimizer.num_warmup_steps is -2; allowed: 0 or more"),
        (["optimizer.lr=0"], "optimizer.lr is 0; allowed: above 0"),
        (["optimizer.weight_decay=-0.5"], "optimizer.weight_decay is -0.5; allowed: 0 or more"),
        (["optimizer.final_lr_factor=2"], "optimizer.final_lr_factor is 2; allowed: 0 to 1"),
        (["num_workers=0"], "num_workers is 0; allowed: 1 or more"),
        (["channels=0"], "channels is 0; allowed: 1 or more"),
        (["window=500"], "window is 500; allowed: 2 to 135, the frames of an example"),
        (["dropout=1.5"], "dropout is 1.5; allowed: 0 to 0.9"),
        (["severity=-1"], "severity is -1; allowed: 0 to 10"),
        (["greatest_risk=1"], "greatest_risk is 1; allowed: 0.001 to 0.999"),
        (["held_out_leg_share=0.9"], "held_out_leg_share is 0.9; allowed: 0.54 to 0.62"),
        (["held_out_azimuth_deg=[0, 180]"], "held_out_azimuth_deg is 0 to 180; allowed: 1 to 179 degrees"),
        (['held_out_clips=["nope"]'], f"held_out_clips has 'nope'; allowed: {', '.join(LABEL_OF_CLIP)}"),
        (['held_out_spans=["nope"]'], "held_out_spans has 'nope'; allowed: 0walk_forward, "),
        (
            ['held_out_clips=["turn_left0"]', 'held_out_spans=["turn_left0"]'],
            "held_out_spans has turn_left0, which held_out_clips has too; name it in one",
        ),
        (["foo"], "--set 'foo' is not NAME=VALUE; write for example --set optimizer.lr=0.003"),
    ],
)
def test_a_setting_that_cannot_be_trained_with_leaves_no_folder(
    settings: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = [word for setting in settings for word in ("--set", setting)]
    assert main(["train", "recognition:mocap_skeleton", "--out", str(out), *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("tubelet: error: ")
    assert said in err
    assert not out.exists()


def test_settings_at_the_ends_of_what_is_allowed_are_taken() -> None:
    MocapSkeletonConfig(num_steps=60, window=135, held_out_leg_share=0.54, severity=0.0)
    MocapSkeletonConfig(num_steps=1, optimizer=OptimizerConfig(num_warmup_steps=1), held_out_azimuth_deg=(1.0, 180.0))
    assert mocap_skeleton_held_out().held_out_clips


def test_a_training_that_is_not_finished_is_not_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    recipe = "recognition:mocap_skeleton"
    RunDirectory.create(run, {"recipe": recipe, "config": to_json(MocapSkeletonConfig())})
    assert main(["evaluate", str(run)]) == 2
    assert capsys.readouterr().err == (
        f"tubelet: error: the training in {run} is not finished: it has no action_model.json yet; "
        f"go on with `tubelet train {recipe} --out {run} --resume`\n"
    )
