"""What importing costs: counted in modules that are loaded, not in seconds, which differ from machine to machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"ai_edge_litert", "av", "cv2", "scipy", "torch"}
REPORT = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def _loaded_after(code: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{REPORT}"],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_the_probe_sees_what_is_loaded() -> None:
    assert "scipy" in _loaded_after("import scipy")


@pytest.mark.parametrize("module", ["tubelet", "tubelet.cli", "tubelet.cli.main", "tubelet.errors", "tubelet.configs"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert _loaded_after(f"import {module}") & HEAVY == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["recognize", "--help"],
        ["score", "--help"],
        ["info", "--help"],
        ["weights", "--help"],
    ],
    ids=" ".join,
)
def test_asking_for_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from tubelet.cli.main import main
sys.argv = ["tubelet", *{arguments!r}]
try:
    code = main()
except SystemExit as stop:
    code = stop.code
assert not code, code
"""
    assert _loaded_after(code) & HEAVY == set()
