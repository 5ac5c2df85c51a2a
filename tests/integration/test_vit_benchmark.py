"""The benchmark of the video transformer runs, compares equal networks, and says when there is no GPU."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "speed" / "vit.py"
SMALL = ["--blocks", "1", "--channels", "64", "--frames", "2", "--size-px", "32", "--rounds", "2"]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vit_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_it_reports_both_networks_side_by_side(
    benchmark: ModuleType, dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark.main([*SMALL, "--dtype", dtype, "--report", str(tmp_path / "vit.json")])
    report = json.loads((tmp_path / "vit.json").read_text(encoding="utf-8"))
    assert report["schema"] == "tubelet.benchmark.vit/1" and report["dtype"] == dtype
    assert 0 < report["differences_in_fp32"]["logits"] < 1e-5 < report["differences_in_fp32"]["logits_scale"]
    for case in ("forward", "training_step"):
        assert {name: len(each) for name, each in report["cases"][case]["all_ms"].items()} == {
            "tubelet": 2,
            "transformers": 2,
        }
        assert report["cases"][case]["speed"] > 0
    assert "| forward |" in capsys.readouterr().out


def test_networks_that_differ_are_not_timed(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    load = benchmark.load_vit_weights

    def wrong(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
        load(model, state)
        with torch.no_grad():
            model.head.bias.add_(1e-3)

    monkeypatch.setattr(benchmark, "load_vit_weights", wrong)
    with pytest.raises(SystemExit, match="the two networks do not give the same: .*allowed: logits 0.0001"):
        benchmark.main(SMALL)


def test_a_gpu_that_is_not_there_is_said(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        benchmark.main(["--device", "cuda", "--dtype", "bf16", "--compile"])
    assert "--device cuda: PyTorch finds no CUDA device here; run with --device cpu" in capsys.readouterr().err
