"""Which of two is better, in numbers and in words, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import predicted
import pytest

from tubelet.errors import ConfigError, ReportError
from tubelet.evaluation.compare import compare_predictions, predictions_of, verdict_of
from tubelet.evaluation.writing import PredictionsWriter
from tubelet.metrics.paired import paired_difference
from tubelet.runs import Report


def pair(tmp_path: Path, **changes: Any) -> tuple[Path, Path]:
    return (
        predicted.write(tmp_path / "a.jsonl", num_expected=120, skill=3.0, seed=1, **changes),
        predicted.write(tmp_path / "b.jsonl", num_expected=120, skill=0.8, seed=2, **changes),
    )


def test_a_clear_difference(tmp_path: Path) -> None:
    a, b = pair(tmp_path)
    report = compare_predictions(a, b, name_a="large", name_b="small")
    difference = report.metrics["difference"]
    assert difference.value == pytest.approx(report.metrics["top1_a"].value - report.metrics["top1_b"].value)
    assert 0 < difference.low < difference.value < difference.high
    assert report.metrics["p_value"].value < 0.01
    points = [f"{100 * number:.1f}" for number in (difference.value, difference.low, difference.high)]
    assert report.details["verdict"].startswith(
        f"large is better than small by {points[0]} points ({points[1]} to {points[2]}); 15 source videos; this would "
        "rarely happen by chance (p"
    )
    other_way = compare_predictions(b, a, name_a="small", name_b="large")
    assert other_way.details["verdict"] == report.details["verdict"]
    assert other_way.metrics["difference"].value == -difference.value
    assert "sign flips of groups" in report.protocol
    assert report.is_complete
    assert Report.from_json(report.to_json()).to_json() == report.to_json()


def test_classes_with_the_largest_differences_come_first(tmp_path: Path) -> None:
    report = compare_predictions(*pair(tmp_path))
    rows = report.details["per_class"]
    sizes = [abs(row["difference"].value) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert {row["class"] for row in rows} == set(predicted.CLASSES)
    for row in rows:
        assert row["difference"].value == pytest.approx(row["right"][0] - row["right"][1])
        assert row["stands_out"] in (True, False)


def test_a_small_difference_cannot_be_told(tmp_path: Path) -> None:
    a = predicted.write(tmp_path / "a.jsonl", skill=1.0, seed=1)
    b = predicted.write(tmp_path / "b.jsonl", skill=1.05, seed=3)
    report = compare_predictions(a, b)
    said = report.details["verdict"]
    assert said.startswith("A and B cannot be told apart with 15 source videos: the difference is ")
    assert "which happens by chance too (p = " in said
    assert "points or more in four of five experiments" in said


def verdict(first: list[int], second: list[int], groups: list[int]) -> str:
    found = paired_difference(np.array(first, dtype=bool), np.array(second, dtype=bool), groups, num_resamples=200)
    return verdict_of(found, ("A", "B"), "source video")


def test_verdicts_of_degenerate_pairs() -> None:
    six = list(range(6))
    assert verdict([1] * 6, [1] * 6, six).startswith("A and B are equally often right in every source video (6 source")
    assert "all clips come from one source video" in verdict([1] * 6, [0] * 6, [0] * 6)
    # Five videos cannot show anything by an exact test, however large the difference.
    assert "cannot be told apart with 5 source videos" in verdict([1] * 5, [0] * 5, list(range(5)))
    assert verdict([1] * 6, [0] * 6, six).startswith("A is better than B by 100.0 points")
    balanced = verdict([1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 2, 3])
    assert "the difference is +0.0 points" in balanced
    assert "would be needed" not in balanced
    few = verdict([1, 1, 0, 1, 1, 0], [1, 0, 1, 1, 0, 0], six)
    assert "For one of this size about " in few and few.endswith("source videos would be needed.")


def test_clips_of_only_one_are_left_out_and_said_first(tmp_path: Path) -> None:
    clips = predicted.clips(60)
    a = predicted.write(tmp_path / "a.jsonl", failing=(clips[0].id, clips[1].id))
    b = predicted.write(tmp_path / "b.jsonl", failing=(clips[1].id, clips[2].id), seed=4)
    report = compare_predictions(a, b)
    assert report.headline.startswith("INCOMPLETE: A against B on yard, split test (57 of 60 items scored)")
    assert report.details["verdict"].startswith("3 clips that only one or neither could score left out. ")
    reasons = {failure.item: failure.reason for failure in report.failures}
    assert reasons[clips[0].id] == "not scored by A: truncated: the file ends early"
    assert reasons[clips[1].id].count("not scored by") == 2


def test_an_evaluation_that_was_stopped_is_compared_over_what_is_there(tmp_path: Path) -> None:
    a, b = pair(tmp_path)
    lines = b.read_text().splitlines(keepends=True)
    b.write_text("".join(lines[:91]))
    report = compare_predictions(a, b)
    assert (report.num_expected, report.num_scored) == (120, 90)
    assert report.failures[0].reason == "not scored by B: it has no line in the file"
    a.write_text("".join(a.read_text().splitlines(keepends=True)[:91]))
    report = compare_predictions(a, b)
    assert (report.num_expected, report.num_scored) == (120, 90)
    assert report.failures[0].item == "clip without a line, 1 of 30"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_fingerprint": "ff"}, r"another data \(their fingerprints differ\)"),
        ({"split": "val"}, "another split; they are about yard .test. and yard .val."),
        ({"classes": tuple("abcdef")}, "another classes"),
    ],
)
def test_other_data_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    a = predicted.write(tmp_path / "a.jsonl")
    b = predicted.write(tmp_path / "b.jsonl", **changes)
    with pytest.raises(ConfigError, match=f"are not comparable: {message}.*evaluate both runs on the same data"):
        compare_predictions(a, b)


def test_other_labels_and_nothing_in_common_are_refused(tmp_path: Path) -> None:
    a = predicted.write(tmp_path / "a.jsonl", num_expected=2)
    b = tmp_path / "b.jsonl"
    b.write_text(a.read_text().replace('"group": "video 0"', '"group": "video 9"'))
    with pytest.raises(ConfigError, match="in one file, .* in the other; evaluate both runs on the same annotations"):
        compare_predictions(a, b)
    with PredictionsWriter(tmp_path / "c.jsonl", predicted.header(num_expected=2)):
        pass
    with pytest.raises(ConfigError, match="have no scored clip in common"):
        compare_predictions(a, tmp_path / "c.jsonl")


def test_several_labels_are_compared_by_mean_average_precision(tmp_path: Path) -> None:
    a, b = pair(tmp_path, is_multi_label=True)
    report = compare_predictions(a, b)
    assert set(report.metrics) == {"difference", "mAP_a", "mAP_b"}
    assert report.details["verdict"].startswith("A is better than B by ")
    assert "points of mean average precision" in report.details["verdict"]
    same = compare_predictions(a, a)
    assert same.metrics["difference"].value == same.metrics["difference"].low == 0.0
    assert "cannot be told apart with 15 source videos" in same.details["verdict"]
    one = predicted.write(tmp_path / "one.jsonl", num_expected=1, is_multi_label=True)
    assert "takes clips with labels from several" in compare_predictions(one, one).details["verdict"]


def test_where_predictions_are_found(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "evaluation").mkdir(parents=True)
    with pytest.raises(ReportError, match="holds no predictions.jsonl; make it with `tubelet evaluate"):
        predictions_of(run)
    (run / "predictions.jsonl").touch()
    assert predictions_of(run) == run / "predictions.jsonl"
    (run / "evaluation" / "predictions.jsonl").touch()
    assert predictions_of(run) == run / "evaluation" / "predictions.jsonl"
    assert predictions_of(tmp_path / "x.jsonl") == tmp_path / "x.jsonl"
