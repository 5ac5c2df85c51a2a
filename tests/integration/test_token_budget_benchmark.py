"""The benchmark of token budgets runs and reports times, operations and accuracy by budget."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from tubelet.cli.main import main

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "speed" / "token_budget.py"
SETTINGS = [
    *("--recipe", "recognition:vit_small", "--set", "network.name=vit_tiny", "--set", "sampling.size_px=32"),
    *("--set", "sampling.num_frames=4", "--set", "sampling.step_s=none", "--set", "num_epochs=1"),
    *("--set", "num_workers=0", "--set", "num_threads=1", "--set", "evaluation.num_views=1"),
    *("--set", "augmentation.mirror=false"),
]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("token_budget_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_reports_every_budget(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    clips, run, path = tmp_path / "clips", tmp_path / "run", tmp_path / "report.json"
    assert main(["synth", str(clips), "--kind", "glyphs", "--clips", "8", "--workers", "1"]) == 0
    assert main(["train", str(clips), "--out", str(run), *SETTINGS]) == 0
    small = ["--rounds", "1", "--recognize-rounds", "0", "--networks", "vit_small", "--frames", "4", "--size-px", "64"]
    benchmark.main([*small, "--run", str(run), "--report", str(path)])
    report = json.loads(path.read_text(encoding="utf-8"))
    budgets = report["forward"]["vit_small"]
    assert list(budgets) == ["1", "0.7", "0.5", "0.3"]
    assert all(each["processor_s"] > 0 for each in budgets.values())
    limits = [each["limit"] for each in budgets.values()]
    assert limits == sorted(limits)
    assert limits[0] == budgets["1"]["speed"] == 1
    assert list(report["accuracy"]["budgets"]) == list(budgets)
    assert report["accuracy"]["budgets"]["0.5"]["n"] == 8
    assert report["accuracy"]["config"]["network"]["name"] == "vit_tiny"
    assert "vit_small   0.5" in capsys.readouterr().out
