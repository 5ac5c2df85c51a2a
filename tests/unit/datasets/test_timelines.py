"""Timelines and boxes are read from CSV, and what is wrong in a file is told with line, value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.datasets.timelines import match_sources, read_boxes, read_timelines
from tubelet.errors import DatasetError
from tubelet.metrics.timeline import LabelledInterval

HEADER = "source,track_id,start_s,end_s,label\n"
BOX_HEADER = "source,track_id,time_s,x0_px,y0_px,x1_px,y1_px\n"


def file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "truth.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_timelines_come_in_order_by_source_and_track(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + "b.mp4,2,1.5,2,run\na.mp4,1,0,1,walk\n\nb.mp4,2,0,1.5,walk\n")
    assert read_timelines(path) == {
        "b.mp4": {"2": [LabelledInterval(0, 1.5, "walk"), LabelledInterval(1.5, 2, "run")]},
        "a.mp4": {"1": [LabelledInterval(0, 1, "walk")]},
    }


def test_more_columns_another_order_quotes_a_bom_and_windows_lines_are_fine(tmp_path: Path) -> None:
    text = '\ufefflabel,probability,source,end_s,start_s,track_id\r\nwalk,0.9,"a, b.mp4",2,1,1\r\n'
    assert read_timelines(file(tmp_path, text)) == {"a, b.mp4": {"1": [LabelledInterval(1, 2, "walk")]}}


def test_only_a_header_is_nobody(tmp_path: Path) -> None:
    assert read_timelines(file(tmp_path, HEADER)) == {}
    assert read_boxes(file(tmp_path, BOX_HEADER)) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"truth\.csv: is empty; allowed: source,track_id,start_s,end_s,label \(and more\)"),
        ("a,b\n", "line 1: the header lacks source, track_id, start_s, end_s, label; allowed: source,"),
        ("source,track,start_s,end_s,label\n", "lacks track_id; .* Perhaps 'track' should be 'track_id'"),
        (HEADER.replace(",", ";"), "It has semicolons; save it with commas"),
        (HEADER.replace("label", "label,label"), "column label is there twice"),
        (HEADER + "a.mp4,1,0,1\n", "line 2: 4 values; allowed: 5, as in the header"),
        (HEADER + "a.mp4,1,0,1,walk\na.mp4,1,x,2,walk\n", "line 3: start_s is 'x'; allowed: a finite number with ."),
        (HEADER + "a.mp4,1,0,nan,walk\n", "line 2: end_s is 'nan'; allowed: a finite number"),
        (HEADER + "a.mp4,1,0,inf,walk\n", "line 2: end_s is 'inf'; allowed: a finite number"),
        (HEADER + 'a.mp4,1,0,"1,5",walk\n', "line 2: end_s is '1,5'; allowed: a finite number with . for decimals"),
        (HEADER + "a.mp4,1,2,2,walk\n", r"line 2: end_s is 2; allowed: a number above start_s \(2\)"),
        (
            HEADER + "a.mp4,1,-0.5,2,walk\n",
            r"line 2: start_s is -0.5; allowed: 0 \(the first displayed frame\) or more",
        ),
        (HEADER + "a.mp4,1,0,1,\n", "line 2: label is empty; allowed: any text"),
        (HEADER + ",1,0,1,walk\n", "line 2: source is empty"),
        (
            HEADER + "a.mp4,1,5,9,walk\na.mp4,2,0,9,run\na.mp4,1,0,6,run\n",
            r"line 2: 5 to 9 s of track 1 in a\.mp4 overlaps 0 to 6 s \(line 4\); allowed: segments of one track that",
        ),
        (b"\xff\xfes\x00", "is not UTF-8 text"),
        (HEADER + 'a.mp4,1,0,1,"walk\n', "is not CSV: "),
    ],
)
def test_a_wrong_timeline_says_where_and_what_is_allowed(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        read_timelines(file(tmp_path, text))


def test_segments_that_touch_do_not_overlap(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER + "a,1,0,0.3,walk\na,1,0.3,0.9,run\na,2,0,5,walk\nb,1,0,5,walk\n")
    assert len(read_timelines(path)["a"]["1"]) == 2


def test_boxes_come_in_order_of_time(tmp_path: Path) -> None:
    path = file(tmp_path, BOX_HEADER + "a,1,0.5,1,2,3,4\na,1,0,5,6,7,8.5\n")
    boxes = read_boxes(path)["a"]["1"]
    assert boxes.times_s.tolist() == [0, 0.5]
    assert boxes.boxes_px.tolist() == [[5, 6, 7, 8.5], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,1,0,5,0,5,9", r"line 2: x1_px is 5; allowed: a number above x0_px \(5\)"),
        ("a,1,0,5,9,6,8", r"line 2: y1_px is 8; allowed: a number above y0_px \(9\)"),
        ("a,1,zero,0,0,1,1", "line 2: time_s is 'zero'"),
        ("a,1,0,0,0,1,1\na,1,0.0,0,0,2,2", "line 3: track 1 in a has a box at time_s 0 already; allowed: one per time"),
    ],
)
def test_a_wrong_box_says_where_and_what_is_allowed(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        read_boxes(file(tmp_path, BOX_HEADER + row + "\n"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv: cannot be read: No such file or directory"):
        read_timelines(tmp_path / "none.csv")
    with pytest.raises(DatasetError, match="cannot be read: Is a directory"):
        read_boxes(tmp_path)


def test_sources_are_the_same_text_or_the_same_file_name() -> None:
    there = ["videos/a.mp4", "b.mp4", "x/c.mp4", "y/c.mp4"]
    assert match_sources(["a.mp4", "b.mp4", "none.mp4"], there, where="actions.csv") == {
        "a.mp4": "videos/a.mp4",
        "b.mp4": "b.mp4",
    }
    assert match_sources(["x/c.mp4", "c.mp4"], there, where="actions.csv") == {"x/c.mp4": "x/c.mp4", "c.mp4": "y/c.mp4"}
    assert match_sources([], there, where="actions.csv") == {}


@pytest.mark.parametrize(
    ("wanted", "there"), [(["c.mp4"], ["x/c.mp4", "y/c.mp4"]), (["p/c.mp4", "q/c.mp4"], ["x/c.mp4"])]
)
def test_a_file_name_that_several_have_does_not_tell(wanted: list[str], there: list[str]) -> None:
    with pytest.raises(DatasetError, match="could be any of 'x/c.mp4'.* in actions.csv: the file name alone does not"):
        match_sources(wanted, there, where="actions.csv")
