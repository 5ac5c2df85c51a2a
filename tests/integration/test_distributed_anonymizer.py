"""Several processes train an anonymiser as one does, and one of them writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tubelet.cli.main import main
from tubelet.methods.anonymization.model import Anonymizer
from tubelet.runs import RunDirectory

SMALL = [
    *("--set", "num_warm_steps=2", "--set", "num_steps=4", "--set", "batch_size=4", "--set", "validate_every=2"),
    *("--set", "data.num_train=24", "--set", "data.num_val=12", "--set", "data.num_test=4"),
]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert main(["train", "anonymization:glyphs", "--out", str(alone), *SMALL]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    child = subprocess.run(
        [*launcher, "-m", "tubelet", "train", "anonymization:glyphs", "--out", str(together), *SMALL],
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert child.returncode == 0, child.stderr
    logs = [RunDirectory(path).read_log() for path in (alone, together)]
    assert [log[0]["num_processes"] for log in logs] == [1, 2]
    assert [log[-1]["num_examples"] for log in logs] == [16, 16]
    (lost, *_), (found, *_) = ([line["loss"] for line in log if line["event"] == "step"] for log in logs)
    assert found == pytest.approx(lost, abs=1e-3)
    tops = [[line["top1"] for line in log if line["event"] == "validation"] for log in logs]
    assert len(tops[0]) == 2 and tops[0] == tops[1]
    weights = [Anonymizer.load(path).network.state_dict() for path in (alone, together)]
    for name, tensor in weights[0].items():
        # AdamW turns rounding into steps where gradients are tiny.
        torch.testing.assert_close(weights[1][name], tensor, atol=5e-3, rtol=0, msg=name)
    assert (together / "least_private.safetensors").exists()
