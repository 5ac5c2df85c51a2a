"""Manifests are read by their columns, and what is wrong in one is told with its line."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from miniature_datasets import make_manifest, put_text, put_videos

from tubelet.datasets.manifest import read_manifest
from tubelet.errors import DatasetError


def csv_file(root: Path, text: str | bytes) -> Path:
    put_videos(root, ["a.mp4", "b.mp4"])
    path = root / "manifest.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def jsonl_file(root: Path, *items: object) -> Path:
    put_videos(root, ["a.mp4", "b.mp4"])
    path = root / "clips.jsonl"
    path.write_text("\n".join(item if isinstance(item, str) else json.dumps(item) for item in items) + "\n")
    return path


def test_spans_splits_and_groups_are_read(tmp_path: Path) -> None:
    clips = read_manifest(make_manifest(tmp_path))
    assert clips.classes == ("run", "walk")
    assert [(c.id, c.label, c.start_s, c.end_s, c.split, c.group) for c in clips.clips] == [
        ("videos/a.mp4@0-0.5", 1, 0, 0.5, "train", "ann"),
        ("videos/a.mp4@0.5-1", 0, 0.5, 1, "train", "ann"),
        ("videos/b.mp4", 0, 0, None, "val", "bob"),
        ("videos/c.mp4@0.25-", 1, 0.25, None, "test", "cleo"),
    ]
    assert clips.split_rule == "by the manifest" and "column group" in clips.group_rule
    assert clips.name == "manifest.csv (a manifest)" and clips.root == tmp_path


def test_two_columns_are_enough_and_parts_of_a_file_share_a_group(tmp_path: Path) -> None:
    put_videos(tmp_path, ["tape_c1.mp4", "tape_c2.mp4"])
    path = csv_file(tmp_path, "label,path,note\nwalk,a.mp4,x\nrun,tape_c1.mp4,y\nrun,tape_c2.mp4,\n")
    clips = read_manifest(path)
    assert [(clip.group, clip.split) for clip in clips.clips] == [("a.mp4", None), ("tape", None), ("tape", None)]
    spans = csv_file(tmp_path, "path,label,start,end\na.mp4,walk,0,0.5\na.mp4,run,0.5,1\n")
    assert [clip.group for clip in read_manifest(spans).clips] == ["a.mp4", "a.mp4"]


def test_a_mark_of_byte_order_windows_lines_quotes_and_blank_lines_are_fine(tmp_path: Path) -> None:
    put_videos(tmp_path, ["a, b.mp4"])
    clips = read_manifest(csv_file(tmp_path, '\ufeffpath,label\r\n"a, b.mp4",walk\r\n\r\na.mp4,run\r\n'))
    assert [clip.id for clip in clips.clips] == ["a, b.mp4", "a.mp4"]


def test_json_lines_mean_the_same_and_may_have_several_labels(tmp_path: Path) -> None:
    clips = read_manifest(
        jsonl_file(
            tmp_path,
            {"path": "a.mp4", "label": 1, "start_s": 0.5, "split": "val", "group": 7},
            {"path": "b.mp4", "label": 0},
        )
    )
    assert [(c.id, c.label, c.split, c.group) for c in clips.clips] == [
        ("a.mp4@0.5-", 1, "val", "7"),
        ("b.mp4", 0, None, "b.mp4"),
    ]
    assert clips.classes == ("0", "1")
    several = read_manifest(
        jsonl_file(tmp_path, {"path": "a.mp4", "labels": ["run", "jump"]}, {"path": "b.mp4", "labels": []})
    )
    assert several.is_multi_label and [clip.labels for clip in several.clips] == [(0, 1), ()]
    in_csv = read_manifest(csv_file(tmp_path, "path,labels\na.mp4,run|jump\nb.mp4,\n"))
    assert in_csv.is_multi_label and [clip.labels for clip in in_csv.clips] == [(0, 1), ()]


def test_a_list_of_classes_fixes_their_order(tmp_path: Path) -> None:
    put_text(tmp_path, {"classes.txt": "walk\nrun\nfall\n"})
    by_name = read_manifest(csv_file(tmp_path, "path,label\na.mp4,run\nb.mp4,walk\n"))
    by_id = read_manifest(csv_file(tmp_path, "path,label\na.mp4,1\nb.mp4,0\n"))
    assert by_name.classes == by_id.classes == ("walk", "run", "fall")
    assert [clip.label for clip in by_name.clips] == [clip.label for clip in by_id.clips] == [1, 0]
    with pytest.raises(DatasetError, match="line 2: there is no class 'fly'; the classes are walk, run, fall"):
        read_manifest(csv_file(tmp_path, "path,label\na.mp4,fly\n"))
    with pytest.raises(DatasetError, match=r"line 3: the label is 3; allowed: 0 to 2.*\. The ids seem to count from 1"):
        read_manifest(csv_file(tmp_path, "path,label\na.mp4,1\nb.mp4,3\n"))
    put_text(tmp_path, {"classes.txt": "walk\nrun\nwalk\n"})
    with pytest.raises(DatasetError, match=r"classes\.txt, line 3: the class 'walk' is in line 1 already"):
        read_manifest(csv_file(tmp_path, "path,label\na.mp4,1\n"))


def test_paths_may_lead_out_of_the_folder_and_be_absolute(tmp_path: Path) -> None:
    put_videos(tmp_path / "videos", ["x.mp4", "y.mp4"])
    rows = f"path,label\n../videos/x.mp4,run\n{tmp_path}/videos/y.mp4,walk\n./a.mp4,run\n"
    clips = read_manifest(csv_file(tmp_path / "lists", rows))
    assert [clip.id for clip in clips.clips] == ["../videos/x.mp4", "../videos/y.mp4", "a.mp4"]
    assert all(clip.path.is_file() for clip in clips.clips)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; allowed: path (and label, start_s, end_s, split, group)"),
        ("path,label\n", "lists no clips; write one line for each"),
        ("a.mp4,walk\n", "line 1: the header lacks path; .* Is there a header at all? The first line is 'a.mp4,walk'"),
        ("path;label\na.mp4;walk\n", "line 1: the header lacks path; .* It has semicolons; save it with commas"),
        ("paths,label\na.mp4,walk\n", "Perhaps 'paths' should be 'path'"),
        ("path,lable\na.mp4,walk\n", "line 1: the header lacks label"),
        ("path,label,path\n", "column path is there twice"),
        ("path,label\na.mp4\n", "line 2: 1 values; allowed: 2, as in the header"),
        ("path,label\n,walk\n", "line 2: path is ''; allowed: the path of a video"),
        ("path,label\na.mp4,\n", "line 2: the label is ''; allowed: the name of a class, or its number counted from 0"),
        ("path,label\na.mp4,1.5\n", "line 2: the label is '1.5'"),
        ("path,label\na.mp4,-1\n", "line 2: the label is '-1'"),
        (
            "path,label\na.mp4,walk\nb.mp4,3\n",
            "line 3: the label is the number 3 but elsewhere the name 'walk'; use one",
        ),
        (
            "path,label\na.mp4,1\nb.mp4,2\n",
            "line 3: the labels go up to 2, but nothing has the label 0. The ids seem to",
        ),
        (
            "path,label\na.mp4,0\nb.mp4,2\n",
            "up to 2, but nothing has the label 1. Give the list of classes, or write names",
        ),
        ("path,label,start_s,end_s\na.mp4,walk,2,1\n", "line 2: end_s is 1; allowed: a number above start_s (2)"),
        (
            "path,label,start_s\na.mp4,walk,-1\n",
            "line 2: start_s is -1; allowed: 0 (the beginning of the file) or more",
        ),
        ("path,label,end\na.mp4,walk,soon\n", "line 2: end is 'soon'; allowed: a finite number with . for decimals"),
        ("path,label,end,end_s\na.mp4,walk,1,1\n", "line 2: end_s and end are both given; use one of them"),
        ("path,label,split\na.mp4,walk,dev\n", "line 2: split is 'dev'; allowed: train, val, test, or nothing"),
        ("path,label\na.mp4,walk\n./a.mp4,walk\n", "line 3: ./a.mp4 is listed in line 2 already; list each clip once"),
        ("path,label\na.mp4,walk\na.mp4,run\n", "already with another label; for several labels use a column labels"),
        (
            "path,label,split\na.mp4,w,train\na.mp4,w,test\n",
            "already, there in train and here in test; keep one of them",
        ),
        (b"path,label\n\xff.mp4,walk\n", "is not UTF-8 text"),
        ('path,label\n"a.mp4,walk\n', "is not CSV: "),
        (
            "path,label\na.mp4,walk\nx.mp4,run\n",
            "1 of 2 videos that are listed are not there: x.mp4; bring them, or pass",
        ),
    ],
)
def test_a_wrong_manifest_says_where_and_what_is_allowed(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_manifest(csv_file(tmp_path, text))
    for part in said.split(" .* "):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (["{"], "line 1: is not JSON"),
        (['{"path": "a.mp4", "label": ' + "1" * 5000 + "}"], "line 1: is not JSON"),
        ([{"path": "a.mp4", "label": "1" * 5000}], "line 1: the label is '111"),
        (
            [{"path": "a.mp4"}],
            'line 1: is no object with "path" and "label"; allowed: {"path": "a.mp4", "label": "walk"}',
        ),
        ([[1]], 'line 1: is no object with "path" and "label"'),
        ([{"path": 3, "label": "x"}], "line 1: path is 3; allowed: the path of a video"),
        ([{"path": "a\0.mp4", "label": "x"}], "allowed: the path of a video"),
        ([{"path": "a\udce9.mp4", "label": "x"}], r"the name a\xe9.mp4 is not UTF-8 text; rename it"),
        ([{"path": "a.mp4", "label": True}], "line 1: the label is True; allowed"),
        ([{"path": "a.mp4", "label": None}], "line 1: the label is None; allowed"),
        ([{"path": "a.mp4", "label": ["x"]}], "line 1: the label is ['x']; allowed"),
        ([{"path": "a.mp4", "label": 0.5}], "line 1: the label is 0.5; allowed"),
        ([{"path": "a.mp4", "labels": "x"}], "line 1: labels is 'x'; allowed: a list of names, which may be empty"),
        (
            [{"path": "a.mp4", "labels": []}, {"path": "b.mp4", "label": "x"}],
            "line 2: has label where other lines have labels",
        ),
        ([{"path": "a.mp4", "label": "x", "end_s": True}], "line 1: end_s is True; allowed: a finite number"),
        ([{"path": "a.mp4", "label": "x", "end_s": 10**400}], "allowed: a finite number"),
    ],
)
def test_a_wrong_json_line_says_where_and_what_is_allowed(tmp_path: Path, items: list[object], said: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_manifest(jsonl_file(tmp_path, *items))
    assert said in str(caught.value)


def test_missing_files_are_counted_and_the_first_five_named(tmp_path: Path) -> None:
    rows = "path,label\na.mp4,walk\nb.mp4,run\n" + "".join(f"gone{n}.mp4,run\n" for n in range(7))
    path = csv_file(tmp_path, rows)
    with pytest.raises(DatasetError) as caught:
        read_manifest(path)
    assert (
        "7 of 9 videos that are listed are not there: gone0.mp4, gone1.mp4, gone2.mp4, gone3.mp4, gone4.mp4, …; bring"
        in str(caught.value)
    )
    clips = read_manifest(path, allow_missing=True)
    assert [clip.id for clip in clips.clips] == ["a.mp4", "b.mp4"]
    assert clips.split_rule.startswith(
        "no split was given; 7 of 9 videos that are listed are not there and are left out (gone0"
    )
    with pytest.raises(DatasetError, match="1 of 1 videos .* are not there: x.mp4; is this the right folder?"):
        read_manifest(csv_file(tmp_path, "path,label\nx.mp4,run\n"), allow_missing=True)


def test_other_files_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no manifest; allowed: a .csv or a .jsonl file"):
        read_manifest(tmp_path / "x.xlsx")
    with pytest.raises(DatasetError, match="cannot be read: No such file or directory; give a CSV file"):
        read_manifest(tmp_path / "x.csv")


def test_thousands_of_lines_open_in_a_moment(tmp_path: Path) -> None:
    rows = "".join(
        f"videos/clip{n % 100}.mp4,class{n % 20},{n // 100},{n // 100 + 1},train,g{n % 100}\n" for n in range(4_000)
    )
    put_videos(tmp_path, [f"videos/clip{n}.mp4" for n in range(100)])
    path = csv_file(tmp_path, "path,label,start_s,end_s,split,group\n" + rows)
    start = time.process_time()
    assert len(read_manifest(path)) == 4_000
    assert time.process_time() - start < 10  # 0.2 s; the rest is for a busy machine, checked annotations and coverage
