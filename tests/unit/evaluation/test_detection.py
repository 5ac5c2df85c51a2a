"""Detected segments and boxes: files in, Report out, faults named by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tubelet.errors import DatasetError
from tubelet.evaluation.detection import score_boxes_file, score_frames, score_segments_file, score_temporal
from tubelet.evaluation.detection_files import (
    read_detected_boxes,
    read_detected_segments,
    read_true_boxes,
    read_true_segments,
)
from tubelet.metrics.frame_map import DetectedBox, TrueBox
from tubelet.metrics.temporal_detection import DetectedSegment, TrueSegment
from tubelet.runs import Report

TRUTH = """video,start_s,end_s,label
a,0,4,run
a,4,6,jump
b,1,3,run
"""
DETECTED = """video,start_s,end_s,label,score
a,0,4,run,0.9
a,4.1,6,jump,0.8
a,3,5,jump,0.4
b,5,6,run,0.7
b,1,3,run,0.6
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_segments_of_files_are_scored(tmp_path: Path) -> None:
    truth, detected = write(tmp_path / "truth.csv", TRUTH), write(tmp_path / "found.csv", DETECTED)
    report = score_segments_file(detected, truth)
    # run: right, wrong, right of 2: 1/2 * 1 + 1/2 * 2/3; jump: right up to an IoU of 0.95.
    assert report.metrics["mAP_0.50"].value == pytest.approx((5 / 6 + 1) / 2)
    assert report.metrics["mAP_0.95"].value == pytest.approx((5 / 6 + 1) / 2)
    assert report.metrics["mAP"].value == pytest.approx((5 / 6 + 1) / 2)
    # Kept are run and jump of a (the second jump overlaps surer ones), and both of b: 3 found, 1 false.
    assert report.metrics["segment_f1_0.50"].value == pytest.approx(6 / 7)
    # b: run, run against run are neighbours apart in time: 1 of 2 is one too many.
    assert report.metrics["edit_score"].value == pytest.approx((1 + 0.5) / 2)
    assert (report.num_expected, report.num_scored) == (2, 2)
    assert report.details["labels"]["run"]["num_true"] == 2
    assert report.dataset == f"{tmp_path.name}/truth.csv" and report.dataset_fingerprint.startswith("sha256:")
    assert Report.from_json(report.to_json()).to_json() == report.to_json()


def test_json_lines_say_the_same_as_csv(tmp_path: Path) -> None:
    rows = [
        dict(zip(DETECTED.split("\n")[0].split(","), line.split(","), strict=True)) for line in DETECTED.split()[1:]
    ]
    for row in rows:
        row |= {name: float(row[name]) for name in ("start_s", "end_s", "score")}
    lines = write(tmp_path / "found.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert read_detected_segments(lines) == read_detected_segments(write(tmp_path / "found.csv", DETECTED))


def test_where_true_segments_overlap_f1_is_not_measured() -> None:
    truth = [TrueSegment("v", 0, 4, "a"), TrueSegment("v", 2, 6, "b")]
    report = score_temporal([], truth, dataset="d", dataset_fingerprint="f")
    assert report.metrics["segment_f1_0.50"].value is None and report.metrics["edit_score"].value is None
    assert report.metrics["mAP"].value == 0.0


def test_predictions_elsewhere_count_as_false_and_are_told() -> None:
    truth = [TrueSegment("v", 0, 4, "a")]
    detected = [DetectedSegment("w", 0, 4, "a", 0.9), DetectedSegment("v", 0, 4, "a", 0.5)]
    report = score_temporal(detected, truth, dataset="d", dataset_fingerprint="f")
    assert report.metrics["mAP"].value == 0.5
    assert "Predictions in 1 videos without true segments (e.g. w) count as false." in report.protocol
    nothing = score_temporal([], [], dataset="d", dataset_fingerprint="f")
    assert nothing.metrics["mAP"].value is None and nothing.num_expected == 0


def test_boxes_of_ava_are_scored(tmp_path: Path) -> None:
    truth = write(tmp_path / "truth.csv", "v,0902,0.1,0.1,0.5,0.9,12,0\nv,0903,0.1,0.1,0.5,0.9,12,0\nw,0902\n")
    detected = write(
        tmp_path / "found.csv",
        "v,902,0.1,0.1,0.5,0.9,12,0.9\nw,902,0.1,0.1,0.5,0.9,12,0.8\nv,903,0.1,0.1,0.5,0.9,12,0.7\nv,999,0,0,1,1,12,1\n",
    )
    report = score_boxes_file(detected, truth)
    assert report.metrics["frame_mAP_0.50"].value == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert report.num_expected == 3
    assert report.details["num_frames_without_truth"] == 1
    with_header = "video,time_s,x0,y0,x1,y1,label,score\nv,902,0.1,0.1,0.5,0.9,12,0.9\n"
    assert read_detected_boxes(write(tmp_path / "named.csv", with_header)) == read_detected_boxes(detected)[:1]
    direct = score_frames(
        [DetectedBox("v", 1, (0, 0, 1, 1), "a", 1.0)],
        [TrueBox("v", 1, (0, 0, 1, 1), "a")],
        dataset="d",
        dataset_fingerprint="f",
    )
    assert direct.metrics["frame_mAP_0.50"].value == 1.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,4,2,run,1", "line 3: the segment goes from 4 to 2 s"),
        ("a,0,x,run,1", "line 3: end_s is 'x'; needed: a finite number"),
        ("a,0,nan,run,1", "line 3: end_s is 'nan'; needed: a finite number"),
        ("a,0,1,,1", "line 3: label is ''; needed: a text"),
        ("a,0,1,run", "line 3: the row has 4 cells for 5 columns"),
        ('{"video": "a", "start_s": true, "end_s": [1]}', "line 3: start_s is True; needed: a finite number"),
        ('{"video"', "line 3: Expecting"),
    ],
)
def test_a_wrong_row_is_named(row: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "found.csv", "\n".join([*DETECTED.splitlines()[:2], row]) + "\n")
    with pytest.raises(DatasetError, match=f"found.csv, {message}"):
        read_detected_segments(path)


def test_other_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="line 1: there is no header with the column `video`"):
        read_true_segments(write(tmp_path / "a.csv", "a,0,1,run\n"))
    with pytest.raises(DatasetError, match="must start before it ends"):
        read_true_segments(write(tmp_path / "b.csv", "video,start_s,end_s,label\na,1,1,run\n"))
    with pytest.raises(DatasetError, match="has no area; it needs x0 < x1 and y0 < y1"):
        read_true_boxes(write(tmp_path / "c.csv", "v,1,0.5,0,0.5,1,3\n"))
    with pytest.raises(DatasetError, match="line 1: the row has 3 cells for 8 columns"):
        read_true_boxes(write(tmp_path / "d.csv", "v,1,0.5\n"))
    with pytest.raises(DatasetError, match="cannot be read"):
        read_true_boxes(tmp_path / "none.csv")
    (tmp_path / "e.csv").write_bytes(b"\xff\xfe\x00video")
    with pytest.raises(DatasetError, match="is not text in UTF-8"):
        read_true_boxes(tmp_path / "e.csv")
