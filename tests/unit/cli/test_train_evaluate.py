"""`tubelet train` and `tubelet evaluate` as a user runs them, on a method from outside."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tubelet.cli.main import main
from tubelet.runs import Report, RunDirectory

METHOD = """
from dataclasses import dataclass, field
from tubelet.runs import Failure, Metric, Report

@dataclass(frozen=True, kw_only=True)
class Optim:
    lr: float = 0.1

@dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0
    optim: Optim = field(default_factory=Optim)
    num_missing: int = 0
    report: bool = True

def tiny():
    return Config()

def train(config, run):
    run.log(event="trained", lr=config.optim.lr, seed=config.seed)

def evaluate(config, run, out):
    if not config.report:
        return 3
    failures = tuple(Failure(item=str(number), reason="lost") for number in range(config.num_missing))
    return Report(title="tiny", metrics={"lr": Metric(value=config.optim.lr, n=1)}, num_expected=2,
        num_scored=2 - len(failures), failures=failures, protocol="None.", dataset="none", dataset_fingerprint="-",
        seed=config.seed)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "outside_run.py").write_text(METHOD)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "__init__.py").write_text("")
    (tmp_path / "outside" / "run.py").write_text(METHOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    for name in [name for name in sys.modules if name.startswith("outside")]:
        del sys.modules[name]


def train(*arguments: str) -> int:
    return main(["train", "outside.run:tiny", "--out", "run", *arguments])


def test_a_run_is_trained_resumed_and_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--set", "optim.lr=0.5", "--seed", "7") == 0
    assert capsys.readouterr().out == "run: run\n"
    stored = json.loads(Path("run/config.json").read_text())
    assert stored["config"] == {"seed": 7, "optim": {"lr": 0.5}, "num_missing": 0, "report": True}
    assert stored["recipe"] == "outside.run:tiny"
    assert stored["versions"]["torch"]
    assert train("--resume") == 0
    assert train("--resume", "--seed", "7") == 0  # no change
    records = RunDirectory("run").read_log()
    assert records == [{"event": "trained", "lr": 0.5, "seed": 7}] * 3
    capsys.readouterr()

    assert main(["evaluate", "run"]) == 0
    out = capsys.readouterr().out
    assert "**tiny (2 of 2 items scored)**" in out
    assert out.endswith("report: run/evaluation/report.json\n")
    assert Report.read("run/evaluation/report.json").seed == 7


def test_what_is_there_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    assert train() == 2
    assert "run already holds something" in capsys.readouterr().err
    assert main(["evaluate", "run"]) == 0
    assert main(["evaluate", "run"]) == 2
    assert "run/evaluation/report.json is there already; add --overwrite" in capsys.readouterr().err
    assert main(["evaluate", "run", "--overwrite"]) == 0
    assert main(["evaluate", "run", "--out", "elsewhere/deep"]) == 0
    assert Report.read("elsewhere/deep/report.json") == Report.read("run/evaluation/report.json")


def test_an_incomplete_evaluation_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--set", "num_missing=1") == 0
    assert main(["evaluate", "run"]) == 1
    out, err = capsys.readouterr()
    assert "**INCOMPLETE: tiny (1 of 2 items scored)**" in out
    assert "- not scored: 0: lost" in out
    assert "tubelet: error: tiny: 1 of 2 items were not scored, first '0' (lost); mend or leave out" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["train", "outside.run:tiny", "--out", "run", "--set", "optim.lrr=1"],
            "no setting 'optim.lrr'; did you mean 'lr'?",
        ),
        (["train", "outside.run:tiny", "--out", "run", "--resume"], "run is not a run: it has no config.json"),
        (
            ["train", "outside", "--out", "run"],
            "outside: there are no",
        ),
        (["train", "nothing:x", "--out", "run"], "no such method 'nothing'"),
        (["train", "outside.run:tinny", "--out", "run"], "has no recipe 'tinny'; did you mean 'tiny'?"),
        (
            ["evaluate", "run"],
            "run is not a run: it has no config.json; give the folder that `tubelet train --out` made",
        ),
    ],
)
def test_wrong_usage_says_what_is_wrong_and_leaves_nothing(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
    assert not Path("run").exists()


def test_resuming_keeps_recipe_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    assert train("--resume", "--set", "optim.lr=3") == 2
    assert "--resume keeps the settings of run, and optim.lr would change" in capsys.readouterr().err
    assert main(["train", "outside_run.x:tiny", "--out", "run", "--resume"]) == 2
    assert "no such module 'outside_run.x'" in capsys.readouterr().err
    stored = json.loads(Path("run/config.json").read_text())
    Path("run/config.json").write_text(json.dumps(stored | {"recipe": "another:one"}))
    assert train("--resume") == 2
    assert "run is a run of 'another:one', not of 'outside.run:tiny'" in capsys.readouterr().err


def test_evaluate_wants_a_report_and_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--set", "report=false") == 0
    assert main(["evaluate", "run"]) == 2
    assert "outside.run:tiny: evaluate returned int; it must return a Report" in capsys.readouterr().err
    RunDirectory.create("bare", {})
    assert main(["evaluate", "bare"]) == 2
    assert "bare/config.json names no recipe" in capsys.readouterr().err


def test_results_that_cannot_be_written_are_refused_before_the_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("file").touch()
    assert main(["train", "outside.run:tiny", "--out", "file/run"]) == 2
    assert "file/run: results cannot be written here" in capsys.readouterr().err
    assert train("--set", "report=false") == 0
    assert main(["evaluate", "run", "--out", "file"]) == 2
    assert "file/report.json: results cannot be written here" in capsys.readouterr().err
