"""What is left to see, with the real recogniser, face detector and backbone, on seconds of a real clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tubelet import read_frames, weights
from tubelet.cli.main import main
from tubelet.methods.anonymization.leftover import measure_leftover
from tubelet.people.faces import FaceDetector
from tubelet.video import VideoWriter

SIDE, LEFT, END_S = 500, 420, 2.6  # a square round the man on the roof


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("footage") / "demo.mp4"
    with VideoWriter(path, width=SIDE, height=SIDE, fps=30.0, quality=18) as writer:
        for frame in read_frames(weights.fetch(weights.DEMO_VIDEO), end_s=END_S):
            writer.write(np.ascontiguousarray(frame.image[:SIDE, LEFT : LEFT + SIDE]), frame.time_s)
    return path


def masks_of(original: Path, out: Path, *more: str) -> dict[str, Any]:
    """What `apply` says of its masks, after it hid the clip."""
    arguments = ["apply", str(original), "--out", str(out), "--no-measure", "--detector", "ssdlite", *more]
    assert main(["anonymization", *arguments]) == 0
    found: dict[str, Any] = json.loads((out / "demo.masks.json").read_text())
    return found


def test_faces_are_hidden_wherever_the_face_detector_sees_them(original: Path, tmp_path: Path) -> None:
    masks_of(original, tmp_path, "--people", "face")
    faces, num_seen = FaceDetector(), 0
    for before, after in zip(
        read_frames(original, end_s=1.0), read_frames(tmp_path / "demo.anonymized.mp4", end_s=1.0), strict=True
    ):
        for x0, y0, x1, y1 in faces.detect(np.ascontiguousarray(before.image)).xyxy_px.round().astype(int):
            num_seen += 1
            assert after.image[y0:y1, x0:x1].mean() < 4, before.index
        # The man's shirt stays: faces alone are hidden.
        assert (after.image > 40).any(axis=2).mean() > 0.5 * (before.image > 40).any(axis=2).mean()
    assert num_seen > 10


def test_the_network_that_ships_hides_a_part_of_the_man_and_goes_with_him(original: Path, tmp_path: Path) -> None:
    masks = masks_of(original, tmp_path, "--keep", "0.5")
    assert masks["settings"]["model"] == "people"
    assert masks["settings"]["people"] == "face"
    assert masks["prunes_round_people"]
    assert masks["tubelets_kept"] == 0.5
    assert 0.3 < masks["pixels_kept"] < 1
    spans = [span for span in masks["spans"] if span["person"] == 0]
    assert [len(span["kept"]) for span in spans] == [8] * len(spans)
    assert [span["end_s"] for span in spans[:-1]] == [span["start_s"] for span in spans[1:]]
    boxes = {look["time_s"]: look["boxes_px"] for look in masks["people"] if look["boxes_px"]}
    num_compared = 0
    for square in (square for span in spans for square in span["squares"] if square["time_s"] in boxes):
        x0, y0, side = square["x0_y0_side_px"]
        middles = [((left + right) / 2, (top + low) / 2) for left, top, right, low in boxes[square["time_s"]]]
        assert min(abs(x0 + side / 2 - x) + abs(y0 + side / 2 - y) for x, y in middles) < 2
        num_compared += 1
    assert num_compared > 5


def test_a_rate_of_each_block_may_be_asked_for(original: Path, tmp_path: Path) -> None:
    masks = masks_of(original, tmp_path, "--keep-rate", "0.6")
    assert masks["settings"]["model"] == "people"
    assert len(masks["settings"]["model_sha256"]) == 64
    assert 0.34 < masks["tubelets_kept"] < 0.40  # 0.6 at each of two blocks


def test_in_a_black_video_nothing_is_left(original: Path, tmp_path: Path) -> None:
    path = tmp_path / "black.mp4"
    with VideoWriter(path, width=SIDE, height=SIDE, fps=30.0) as writer:
        for frame in read_frames(original):
            writer.write(np.zeros_like(frame.image), frame.time_s)
    found = measure_leftover(original, path, detector="ssdlite", fast=True, samples_per_s=15.0)
    assert found["faces_still_found"].n >= 30
    assert found["faces_still_found"].value == 0.0
    assert found["recogniser_agreement"].n > 0
    assert found["recogniser_agreement"].value in (0.0, None)
    assert found["people_told_again_after"].n == found["people_told_again_before"].n
