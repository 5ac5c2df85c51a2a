"""`tubelet train` on clips, killed at any moment from the first file to the model's, ends in the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import killed_pipeline
import pytest


@pytest.mark.parametrize("recipe", killed_pipeline.SETTINGS)
def test_a_killed_command_goes_on_to_an_equal_model_file(recipe: str, tmp_path: Path) -> None:
    place, temporary = tmp_path / "place", tmp_path / "temporary"
    place.mkdir()
    temporary.mkdir()  # what the killed leave behind goes away with the rest
    child = subprocess.run(
        [sys.executable, killed_pipeline.__file__, str(place), recipe],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
    )
    assert child.returncode == 0, child.stderr
    result = json.loads(child.stdout)
    kills = result["kills"]
    assert [kill["when"] for kill in kills] == list(killed_pipeline.MOMENTS[recipe])
    assert all(kill["was_killed"] for kill in kills), kills
    assert {kill["when"]: kill["digest"] for kill in kills} == {kill["when"]: result["expected"] for kill in kills}
