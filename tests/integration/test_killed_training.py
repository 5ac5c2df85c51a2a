"""A training killed at any moment at which it touches the disk ends, when resumed, in the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import killed_training


def test_a_run_killed_at_any_write_resumes_to_equal_weights(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, killed_training.__file__, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert child.returncode == 0, child.stderr
    result = json.loads(child.stdout)
    kills = result["kills"]
    assert len(kills) > 15
    assert {kill["call"] for kill in kills} == set(killed_training.CALLS)
    assert all(kill["was_killed"] for kill in kills)
    assert {(kill["digest"], kill["error"]) for kill in kills} == {(result["expected"], "")}
