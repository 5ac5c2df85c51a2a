"""`tubelet claims`: lists what was measured, and measures a claim again, in a checkout made for the test."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tubelet.cli.main import main
from tubelet.evaluation.claims import Claim, read_claims, write_claims

CLAIM = Claim(
    id="E1",
    statement="Half of the tubelets are enough.",
    unit="%",
    paper=71.2,
    ours=64.0,
    interval=(60.5, 67.5),
    num_seeds=1,
    holds=True,
    command="python measure.py true",
    report="benchmarks/reports/e1.json",
    machine="2 cores",
    commit="d7adf0e",
    note="Small data.",
)
# Says what it does, and sets the verdict of every claim as it is told.
MEASURE = """
import pathlib, sys
print("measuring in", pathlib.Path.cwd().name, "with", sys.executable)
path = pathlib.Path("benchmarks/claims/hiding.json")
for old in ("true", "false", "null"):
    path.write_text(path.read_text().replace(f'"holds": {old}', f'"holds": {sys.argv[1]}'))
"""


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    (root / "benchmarks" / "reports").mkdir(parents=True)
    (root / "benchmarks" / "reports" / "e1.json").write_text("{}")
    (root / "measure.py").write_text(MEASURE)
    record(root, CLAIM)
    monkeypatch.chdir(root)
    return root


def record(root: Path, *claims: Claim, method: str = "hiding") -> None:
    write_claims(root / "benchmarks" / "claims" / f"{method}.json", claims)


def test_claims_are_listed(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = replace(CLAIM, id="E2", paper=None, ours=None, interval=None, num_seeds=0, holds=None, note="")
    record(checkout, replace(bare, report=None, machine=None, commit=None, statement="Other."), method="asking")
    assert main(["claims"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "asking:E2  holds: not measured",
        "    Other.",
        "    paper: none; ours: none",
        "hiding:E1  holds: yes",
        "    Half of the tubelets are enough.",
        "    paper: 71.2 %; ours: 64 % (60.5 to 67.5), 1 seed",
        "    benchmarks/reports/e1.json, 2 cores, d7adf0e",
        "    Small data.",
    ]
    assert main(["claims", "hiding"]) == 0
    assert "asking" not in capsys.readouterr().out
    assert main(["claims", "--json", "hiding"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["hiding"][0]["interval"] == [60.5, 67.5]
    assert shown.keys() == {"hiding"}


def test_the_folder_can_be_named(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["claims"]) == 2
    assert "benchmarks/claims is not there; run this in a checkout of tubelet, or name" in capsys.readouterr().err
    assert main(["claims", "--folder", "checkout/benchmarks/claims"]) == 0
    assert main(["claims", "rerun", "hiding:E1", "--folder", "checkout/benchmarks/claims"]) == 0
    assert main(["claims", "--folder", "checkout"]) == 2
    assert "checkout holds no claims (METHOD.json)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hidin"], "no claims are recorded of 'hidin'; did you mean 'hiding'?"),
        (["zzzz"], "no claims are recorded of 'zzzz'; allowed: hiding"),
        (["hiding", "E1"], "'E1' is one word too many; list a METHOD, or `tubelet claims rerun METHOD:ID`"),
        (["rerun"], "rerun needs a claim: `tubelet claims rerun METHOD:ID`"),
        (["rerun", "hiding:E1", "--json"], "--json is for listing"),
        (["rerun", "hiding"], "'hiding' does not name a claim; give METHOD:ID, for example hiding:E1"),
        (["rerun", "hidin:E1"], "no claims are recorded of 'hidin'; did you mean 'hiding'?"),
        (["rerun", "hiding:E2"], "hiding has no claim 'E2'; "),
    ],
)
def test_what_is_not_there_is_told(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["claims", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_wrong_is_told(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "benchmarks" / "claims" / "hiding.json").write_text("{}")
    assert main(["claims"]) == 2
    assert "hiding.json: it holds dict; a file of claims is a list" in capsys.readouterr().err


def test_a_claim_is_measured_again_in_the_root_with_this_python(
    capfd: pytest.CaptureFixture[str], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["claims", "rerun", "hiding:E1"]) == 0
    shown = capfd.readouterr()
    assert f"measuring in checkout with {Path(sys.executable).parent}" in shown.out
    assert shown.out.endswith("hiding:E1: holds: yes, as before\n")
    assert shown.err == f"{checkout}$ python measure.py true\n"


@pytest.mark.parametrize(("new", "word", "holds"), [("false", "no", False), ("null", "not measured", None)])
def test_a_verdict_that_changed_is_a_failure(
    capfd: pytest.CaptureFixture[str], checkout: Path, new: str, word: str, holds: bool | None
) -> None:
    record(checkout, replace(CLAIM, command=f"python measure.py {new}"))
    assert main(["claims", "rerun", "hiding:E1"]) == 1
    assert capfd.readouterr().out.endswith(f"hiding:E1: holds: {word}; before: yes\n")
    (after,) = read_claims("benchmarks/claims/hiding.json")
    assert after.holds is holds
    assert main(["claims", "rerun", "hiding:E1"]) == 0


def test_a_command_that_fails_or_is_not_there_is_told(capfd: pytest.CaptureFixture[str], checkout: Path) -> None:
    record(checkout, replace(CLAIM, command="python -c 'raise SystemExit(3)'"))
    assert main(["claims", "rerun", "hiding:E1"]) == 1
    assert "the command of hiding:E1 ended with exit code 3" in capfd.readouterr().err
    record(checkout, replace(CLAIM, command="a-program-that-is-not-there x"))
    assert main(["claims", "rerun", "hiding:E1"]) == 2
    assert "'a-program-that-is-not-there' cannot be run in " in capfd.readouterr().err


def test_a_command_is_not_read_by_a_shell(capfd: pytest.CaptureFixture[str], checkout: Path) -> None:
    record(checkout, replace(CLAIM, command="python -c 'import sys; print(sys.argv[1:])' '$HOME' 'a;b' '*'"))
    assert main(["claims", "rerun", "hiding:E1"]) == 0
    assert "['$HOME', 'a;b', '*']" in capfd.readouterr().out
