"""A Report survives the disk, refuses what it should not say, and tells when it is incomplete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tubelet.errors import IncompleteEvaluationError, ReportError
from tubelet.runs import Failure, Metric, Report, markdown_table, this_command


def report(**changes: Any) -> Report:
    fields: dict[str, Any] = {
        "title": "walkers",
        "metrics": {
            "accuracy": Metric(value=0.91234, low=0.8, high=0.95, n=12),
            "switches": Metric(value=3, n=4, unit="count"),
            "delay": Metric(value=1.25, low=1.0, high=1.5, n=4, unit="s"),
            "map": Metric(value=None, n=0),
        },
        "num_expected": 3,
        "num_scored": 3,
        "protocol": "Held-out clips.",
        "dataset": "shapes",
        "dataset_fingerprint": "sha256:00",
        "seed": 7,
        "details": {"confusion": [[1, 2], [3, 4]]},
    }
    return Report(**fields | changes)


def test_a_report_survives_the_disk(tmp_path: Path) -> None:
    first = report(num_scored=2, failures=(Failure(item="a.mp4", reason="truncated"),))
    first.write(tmp_path / "report.json")
    second = Report.read(tmp_path / "report.json")
    assert second == first
    content = json.loads((tmp_path / "report.json").read_text())
    assert list(content)[:2] == ["schema", "headline"]
    assert content["schema"] == "tubelet.report/1"
    assert content["metrics"]["accuracy"] == {"value": 0.91234, "low": 0.8, "high": 0.95, "n": 12, "unit": ""}


def test_it_says_what_it_ran_on() -> None:
    assert {"python", "torch", "av", "numpy", "tubelet", "platform"} <= set(report().versions)
    assert all(report().versions.values())
    assert report().command


def test_the_command_tells_no_folders_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    here, elsewhere = str(tmp_path / "runs" / "a"), str(tmp_path.parent / "x y" / "truth.csv")
    monkeypatch.setattr(
        "sys.argv", ["/opt/bin/tubelet", "train", here, elsewhere + "/..", f"--out={here}", "a/b", "x=1"]
    )
    assert this_command() == "tubelet train runs/a 'x y' --out=runs/a a/b x=1"


def test_an_incomplete_report_says_so_first() -> None:
    whole = report()
    assert whole.headline == "walkers (3 of 3 items scored)"
    assert report(num_expected=1, num_scored=1).headline == "walkers (1 of 1 item scored)"
    whole.require_complete()
    part = report(num_scored=2, failures=(Failure(item="a.mp4", reason="truncated"),))
    assert part.headline == "INCOMPLETE: walkers (2 of 3 items scored)"
    assert "- not scored: a.mp4: truncated" in part.to_markdown()
    with pytest.raises(IncompleteEvaluationError, match=r"1 of 3 items were not scored, first 'a\.mp4' \(truncated\)"):
        part.require_complete()


def test_every_item_that_was_not_scored_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="1 of 3 items were not scored, but 0 failures are listed"):
        report(num_scored=2)
    with pytest.raises(ValueError, match="num_scored is 4; allowed: 0 to num_expected"):
        report(num_scored=4)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"value": float("nan"), "n": 1}, "Metric.value is nan; allowed: a finite number, or None"),
        ({"value": 1.0, "low": 0.5, "n": 1}, "give both ends of an interval or neither"),
        ({"value": 1.0, "low": 0.5, "high": 0.4, "n": 1}, "low=0.5 above high=0.4"),
        ({"value": 1.0, "n": -1}, "Metric.n is -1; allowed: 0 or more"),
    ],
)
def test_a_metric_refuses(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Metric(**fields)


def test_numpy_numbers_become_plain_ones() -> None:
    metric = Metric(value=np.float32(0.5), low=np.float64(0.25), high=np.float64(1), n=np.int64(3))
    assert (type(metric.value), type(metric.low), type(metric.n)) == (float, float, int)


def test_the_table_can_be_read_as_text() -> None:
    lines = report().to_markdown().splitlines()
    assert lines[0] == "**walkers (3 of 3 items scored)**"
    assert lines[2:8] == [
        "| metric   |        value |  95 % interval |   n |",
        "| -------- | -----------: | -------------: | --: |",
        "| accuracy |        0.912 | 0.800 to 0.950 |  12 |",
        "| switches |            3 |                |   4 |",
        "| delay    |       1.25 s |       1 to 1.5 |   4 |",
        "| map      | not measured |                |   0 |",
    ]
    assert lines[-1] == "Held-out clips. Data: shapes (sha256:00), seed 7."
    assert str(report().metrics["accuracy"]) == "0.912 (0.800 to 0.950)"
    assert str(report().metrics["switches"]) == "3"


def test_a_bar_in_a_cell_does_not_split_it() -> None:
    assert markdown_table(("a",), [("x|y",)], align="l")[2] == "| x\\|y |"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "tubelet.report/2"}, "schema is 'tubelet.report/2'; this version reads 'tubelet.report/1'"),
        ({"title": 3}, "title is 3; allowed: a string"),
        ({"num_scored": True}, "num_scored is True; allowed: a count"),
        ({"seed": 1.5}, "seed is 1.5; allowed: a count or null"),
        ({"metrics": []}, r"metrics is \[\]; allowed: an object"),
        ({"metrics": {"a": {"value": 1.0}}}, "not a valid report: .*'n'"),
        ({"failures": [{"item": "x"}]}, "not a valid report: .*'reason'"),
        ({"num_scored": 1}, "2 of 3 items were not scored"),
        ({"colour": "red"}, "it has unknown colour"),
    ],
)
def test_a_damaged_report_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ReportError, match=said):
        Report.from_json(report().to_json() | change)


def test_a_report_that_lacks_a_field_is_refused() -> None:
    content = report().to_json()
    del content["seed"]
    with pytest.raises(ReportError, match="it lacks seed"):
        Report.from_json(content)
    with pytest.raises(ReportError, match="not a report: schema is 'list'"):
        Report.from_json([])


def test_a_file_that_is_no_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"none\.json: cannot be read as a report"):
        Report.read(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ReportError, match=r"a\.json: cannot be read as a report"):
        Report.read(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(ReportError, match=r"b\.json: not a report"):
        Report.read(tmp_path / "b.json")
