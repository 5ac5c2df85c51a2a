"""`tubelet info` as a user reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from media import Recipe, make_video

from tubelet.cli.info import _describe
from tubelet.cli.main import main
from tubelet.video import probe


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4", Recipe(num_frames=25))


def test_the_facts_are_told_in_plain_words(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(clip)]) == 0
    out = capsys.readouterr().out
    assert "1.000 s, 25 frames, 25.000 frames/s" in out
    assert "h264 in mp4, yuv420p, 8 bit" in out
    assert main(["info", str(clip), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["container"] == "mp4"


@pytest.mark.parametrize(
    ("num_frames", "said"), [(1, ", 1 frame, "), (2, ", 2 frames, "), (None, ", an unknown number of frames, ")]
)
def test_frames_are_counted_as_one_says_it(clip: Path, num_frames: int | None, said: str) -> None:
    assert said in _describe(replace(probe(clip), num_frames=num_frames))
