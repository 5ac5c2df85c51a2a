"""`tubelet synth`: a folder that can be read, with what is held out written beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tubelet.cli.main import main
from tubelet.datasets.opening import open_clips
from tubelet.datasets.synth import write_synthetic_set
from tubelet.errors import ConfigError, OutputExistsError
from tubelet.video import probe


def test_glyph_clips_are_written_in_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", str(tmp_path / "g"), "--kind", "glyphs", "--clips", "8", "--workers", "1"]) == 0
    clips = sorted((tmp_path / "g").glob("*/*/*.mp4"))
    assert len(clips) == 32
    assert {clip.parent.name for clip in clips} == {"left", "right", "up", "down"}
    assert {clip.parent.parent.name for clip in clips} == {"train", "val", "test"}
    info = probe(clips[0])
    assert (info.width, info.height, info.num_frames) == (64, 64, 8)
    facts = json.loads((tmp_path / "g" / "synth.json").read_text())
    assert facts["num_clips"] == {"train": 20, "val": 4, "test": 8}
    assert "next: tubelet check" in capsys.readouterr().out


def test_two_cameras_film_a_scene(tmp_path: Path) -> None:
    facts = write_synthetic_set(tmp_path / "p", classes=["wave", "walk"], clips=8, seed=2, num_workers=2)
    names = sorted(path.relative_to(tmp_path / "p").as_posix() for path in (tmp_path / "p").glob("*/*/*.mp4"))
    assert len(names) == 16
    found = open_clips(tmp_path / "p")
    assert len({clip.group for clip in found.clips}) == 8  # a scene filmed twice is one group
    assert {clip.split for clip in found.clips} == {"train", "val", "test"}
    assert names[:2] == ["test/walk/walk_test000_c1.mp4", "test/walk/walk_test000_c2.mp4"]
    assert facts["held_out_for_test"]["performances"] == {
        "wave": "performances drawn anew",
        "walk": "performances drawn anew",
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 1}, "classes is 1; allowed: 2 to 22"),
        ({"classes": 99}, "classes is 99; allowed: 2 to 22"),
        ({"classes": ["wave", "wavee"]}, "there is no class 'wavee' among the people; did you mean 'wave'"),
        ({"classes": ["wave"]}, "two or more different ones"),
        ({"classes": ["wave", "wave"]}, "two or more different ones"),
        ({"clips": 3}, "clips is 3; allowed: 8 or more"),
        ({"kind": "glyphs", "classes": 5}, "classes is 5; allowed: 2 to 4"),
    ],
)
def test_what_cannot_be_drawn_is_said(options: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        write_synthetic_set(tmp_path / "new", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputExistsError, match="already holds something"):
        write_synthetic_set(tmp_path, clips=8)
    with pytest.raises(ConfigError, match="is a file, not a folder"):
        write_synthetic_set(tmp_path / "mine.txt", clips=8)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_wrong_options_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", str(tmp_path / "x"), "--seed", "-1"]) == 2
    assert "--seed is -1" in capsys.readouterr().err
    assert main(["synth", str(tmp_path / "x"), "--workers", "0"]) == 2
    assert "--workers is 0" in capsys.readouterr().err
