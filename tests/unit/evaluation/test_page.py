"""The page, the pictures and the table: what they say, that they load nothing, and that names cannot break out."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import predicted
import pytest

from tubelet.evaluation.page import render_page, write_evaluation
from tubelet.evaluation.pictures import (
    accuracy_by_length_svg,
    confusion_csv,
    confusion_matrix_of,
    confusion_svg,
    reliability_svg,
    shown_classes,
)
from tubelet.evaluation.robustness import Severity, score_robustness
from tubelet.evaluation.scoring import score_predictions
from tubelet.evaluation.words import count, percent, plain_headline, with_interval
from tubelet.runs import Metric, Report

SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """Text and tags of a page; complains about tags that are not closed in order."""

    VOID = frozenset({"meta", "br", "link", "img", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += f" {' '.join(data.split())}"


def report_of(tmp_path: Path, **changes: Any) -> Report:
    path = tmp_path / "p.jsonl"
    path.unlink(missing_ok=True)
    return score_predictions(predicted.write(path, **changes))


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    failing = predicted.clips(60)[3].id
    report = report_of(tmp_path, failing=(failing,))
    page = Page(render_page(report))
    assert plain_headline(report) in page.text
    assert f"{failing} : truncated: the file ends early" in page.text
    for name in (*predicted.CLASSES, *report.metrics):
        assert f" {name}" in page.text
    for mistake in report.details["mistakes"]:
        assert f" {mistake['id']} {mistake['true'][0]} {mistake['predicted']} " in page.text
    assert "Each clip seen in 2 x 1 views" in page.text
    assert report.dataset_fingerprint in page.text
    assert "tubelet evaluate runs/tiny" in page.text
    rows = [tag for tag, _ in page.tags if tag == "tr"]
    assert len(rows) == 3 + 6 + len(report.details["mistakes"]) + len(report.metrics)


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page = Page(render_page(report_of(tmp_path)))
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed", "video"}
    assert not [attributes for _, attributes in page.tags if {"src", "href", "onload", "onclick"} & attributes.keys()]
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = tuple(f'</text></svg><script>alert({n})</script>&"' for n in range(6))
    report = report_of(tmp_path, classes=evil, dataset='<b onload="x">', model={"name": "<script>"})
    page = Page(render_page(report))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "b" not in {tag for tag, attributes in page.tags if "onload" in attributes}
    assert '<b onload="x">' in page.text
    ET.fromstring(confusion_svg(confusion_matrix_of(report.details), evil))


@pytest.mark.parametrize("num_clips", [0, 1, 3])
def test_pages_of_almost_nothing(num_clips: int, tmp_path: Path) -> None:
    report = report_of(tmp_path, num_expected=num_clips, num_clips=1)
    page = Page(render_page(report))
    if num_clips == 0:
        assert "Nothing was scored." in page.text
    else:
        assert plain_headline(report) in page.text


def test_a_page_of_several_labels(tmp_path: Path) -> None:
    report = report_of(tmp_path, is_multi_label=True)
    page = Page(render_page(report))
    assert "Mean average precision" in page.text and "What is taken for what" not in page.text
    assert set(write_evaluation(report, tmp_path / "out")) == {
        "report.json", "report.html", "reliability.svg", "length.svg",
    }  # fmt: skip


def test_what_is_written_says_the_same(tmp_path: Path) -> None:
    path = predicted.write(tmp_path / "p.jsonl")
    worse = predicted.write(tmp_path / "blur.jsonl", skill=0.3)
    report = score_predictions(path, calibrate_on=None)
    robustness = score_robustness(path, {Severity("blur", 2): worse})
    files = write_evaluation(report, tmp_path / "deep" / "out", robustness=robustness)
    assert set(files) == {
        "report.json", "report.html", "confusion.svg", "confusion.csv", "reliability.svg", "length.svg",
        "robustness.json",
    }  # fmt: skip
    assert all(file.is_file() for file in files.values())
    assert Report.read(files["report.json"]).to_json() == report.to_json()
    assert Report.read(files["robustness.json"]).metrics["top1_blur_2"].value < report.metrics["top1"].value
    page = files["report.html"].read_text()
    assert "With spoilt pictures" in Page(page).text
    # Fresh and read from its file, a report gives the same page.
    assert render_page(Report.read(files["report.json"]), robustness=Report.read(files["robustness.json"])) == page
    rows = list(csv.reader(io.StringIO(files["confusion.csv"].read_text())))
    assert [row[0] for row in rows[1:]] == rows[0][1:] == list(predicted.CLASSES)
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == confusion_matrix_of(report.details).tolist()


@pytest.mark.parametrize("num_classes", [2, 7, 20, 40, 41, 400])
def test_confusion_pictures_of_any_number_of_classes(num_classes: int) -> None:
    generator = np.random.default_rng(num_classes)
    confusion = np.diag(generator.integers(1, 30, num_classes))
    np.add.at(confusion, tuple(generator.integers(num_classes, size=(2, 4 * num_classes))), 1)
    names = [f"class {index} with a rather long name" for index in range(num_classes)]
    picture = ET.fromstring(confusion_svg(confusion, names))
    order, is_part = shown_classes(confusion)
    assert is_part == (num_classes > 40)
    assert len(order) == len(set(order)) == min(num_classes, 40)
    cells = [each for each in picture.iter(f"{SVG}rect") if each.get("class") in ("right", "wrong")]
    assert len(cells) == np.count_nonzero(confusion[np.ix_(order, order)])
    width = float(picture.attrib["width"])
    assert all(0 <= float(cell.attrib["x"]) < width for cell in cells)
    assert len(confusion_csv(confusion, names).splitlines()) == num_classes + 1


def test_of_many_classes_the_most_confused_are_shown_and_stand_together() -> None:
    confusion = 10 * np.eye(60, dtype=np.int64)
    for first, second in ((3, 50), (20, 59)):
        confusion[first, second] = confusion[second, first] = 8
    for index in range(38):
        confusion[index, (index + 1) % 38] += 1
    order, _ = shown_classes(confusion)
    for first, second in ((3, 50), (20, 59)):
        assert abs(order.index(first) - order.index(second)) == 1


def test_a_picture_without_any_clip_is_drawn_too() -> None:
    ET.fromstring(confusion_svg(np.zeros((2, 2), dtype=np.int64), ["a", "b"]))
    ET.fromstring(accuracy_by_length_svg([]))
    empty = {"edges": [0, 0.5, 1], "num_items": [0, 0], "confidence": [None, None], "accuracy": [None, None]}
    ET.fromstring(reliability_svg(empty))


def test_the_reliability_picture_has_a_point_per_filled_bin(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    picture = ET.fromstring(reliability_svg(report.details["reliability"], report.details["reliability"]))
    filled = sum(number > 0 for number in report.details["reliability"]["num_items"])
    assert len(list(picture.iter(f"{SVG}circle"))) == filled
    assert len([each for each in picture.iter(f"{SVG}path") if each.get("class") == "alt"]) == filled
    circles = list(picture.iter(f"{SVG}circle"))
    assert all(re.fullmatch(r"\d+ at \d+ % confidence: \d+ % right", circle[0].text or "") for circle in circles)


def test_headlines_in_plain_words(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    top1, majority = report.metrics["top1"], report.metrics["majority_class"]
    assert plain_headline(report) == (
        f"Right on {100 * top1.value:.0f} % ({100 * top1.low:.0f} to {100 * top1.high:.0f}) of 60 clips from 15 source "
        f"videos; always guessing the most frequent class would get {100 * majority.value:.0f} %."
    )
    failing = report_of(tmp_path, failing=(predicted.clips(60)[0].id,))
    assert plain_headline(failing).startswith("INCOMPLETE: 1 of 60 clips could not be scored. Right on ")
    assert "All clips come from one source video" in plain_headline(report_of(tmp_path, num_expected=1))


def test_words() -> None:
    assert percent(0.834, 100) == "83 %" and percent(0.834, 5000) == "83.4 %"
    assert with_interval(Metric(value=0.5, low=0.4, high=0.6, n=10)) == "50 % (40 to 60)"
    assert with_interval(Metric(value=0.5, n=10)) == "50 %"
    assert with_interval(Metric(value=None, n=0)) == "not measured"
    assert [count(1, "clip"), count(1200, "class")] == ["1 clip", "1,200 classes"]
