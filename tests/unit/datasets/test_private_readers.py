"""Datasets with private attributes are read in their real layouts, joined by key, and refused where they do not fit."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from miniature_datasets import (
    VISPR_SHOWN,
    make_pa_hmdb51,
    make_vispr,
    make_vp_hmdb51,
    make_vp_ucf101,
    private_bits,
    put_text,
)

from tubelet.datasets.clip_keys import clip_keys
from tubelet.datasets.hmdb51 import names_in_hmdb51
from tubelet.datasets.labelled import ClipSet
from tubelet.datasets.pa_hmdb51 import CODES, read_pa_hmdb51, read_pa_hmdb51_labels
from tubelet.datasets.private_attributes import PrivateLabels, read_private_csv
from tubelet.datasets.private_opening import PRIVATE_DATASETS, open_private_clips
from tubelet.datasets.ucf101 import names_in_ucf101
from tubelet.datasets.vispr import VISPR1, read_vispr
from tubelet.datasets.vp_labels import VP_ATTRIBUTES, convert_vp_labels, read_vp_labels, read_vp_ucf101
from tubelet.errors import DatasetError

NAN = float("nan")


def said_of(read: Callable[[], object]) -> str:
    with pytest.raises(DatasetError) as caught:
        read()
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def assert_labelled(clips: ClipSet, labels: PrivateLabels) -> None:
    """Every clip has the bits that were made out of its own name."""
    assert list(labels.keys) == clip_keys(clips) and len(clips) > 2
    for clip, row in zip(clips.clips, labels.values, strict=True):
        assert row.tolist() == private_bits(f"{clip.path.stem}.avi")


def test_vp_ucf101(tmp_path: Path) -> None:
    pickled = make_vp_ucf101(tmp_path)
    clips, labels = open_private_clips(tmp_path, pickled, dataset="vp_ucf101")
    assert clips.name == "VP-UCF101, UCF-101 fold 1" and len(clips) == 12
    assert labels.attributes == VP_ATTRIBUTES == ("attr0", "attr1", "attr2", "attr3", "attr4")
    assert_labelled(clips, labels)
    test = clips.of("test")
    assert labels.rows(test).tolist() == [private_bits(f"{clip.path.stem}.avi") for clip in test.clips]
    second, _ = open_private_clips(str(tmp_path), str(pickled), dataset="vp_ucf101", fold=2)
    assert {clip.group.split("_")[-1] for clip in second.of("test").clips} == {"g02"}
    assert len(names_in_ucf101(tmp_path)) == 12


def test_vp_hmdb51_with_labels_of_clips_in_neither_part(tmp_path: Path) -> None:
    pickled = make_vp_hmdb51(tmp_path)
    assert len(read_vp_labels(pickled)) == len(names_in_hmdb51(tmp_path)) == 8
    clips, labels = open_private_clips(tmp_path, pickled, dataset="vp_hmdb51")
    assert clips.name == "VP-HMDB51, HMDB51 fold 1" and len(labels) == 6
    assert_labelled(clips, labels)


def test_a_film_that_is_trained_on_in_another_class_is_said(tmp_path: Path) -> None:
    pickled = make_vp_hmdb51(tmp_path)
    lists = tmp_path / "testTrainMulti_7030_splits"
    edit(lists / "climb_stairs_test_split1.txt", "ba_med_0.avi 1", "ba_med_0.avi 2")
    clips, _ = open_private_clips(tmp_path, pickled, dataset="vp_hmdb51")
    assert "; 1 of 3 test clips come from a source that is trained on in another class" in clips.split_rule
    edit(lists / "brush_hair_test_split1.txt", "goo_1.avi 1", "goo_1.avi 2")
    assert "1 sources of clips are in both: April_09 in brush_hair" in said_of(
        lambda: open_private_clips(tmp_path, pickled, dataset="vp_hmdb51")
    )


def test_a_fold_whose_parts_share_a_group_is_refused(tmp_path: Path) -> None:
    pickled = make_vp_ucf101(tmp_path)
    edit(tmp_path / "ucfTrainTestlist" / "trainlist01.txt", "YoYo/v_YoYo_g02_c01.avi 2\n", "")
    edit(
        tmp_path / "ucfTrainTestlist" / "testlist01.txt", "YoYo/v_YoYo_g01", "YoYo/v_YoYo_g02_c01.avi\nYoYo/v_YoYo_g01"
    )
    said = said_of(lambda: open_private_clips(tmp_path, pickled, dataset="vp_ucf101"))
    assert "1 sources of clips are in both: YoYo/v_YoYo_g02" in said and "the group gXX of its class" in said


def test_all_layouts_of_vp_labels_say_the_same(tmp_path: Path) -> None:
    pickled = make_vp_ucf101(tmp_path)
    labels = convert_vp_labels(pickled, tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text().startswith("video,attr0,attr1,attr2,attr3,attr4\nApplyEyeMakeup/v_")
    rows = zip(labels.keys, labels.values.astype(int).tolist(), strict=True)
    lines = [f'{key}.mp4,"{values if n % 2 else [values]}"' for n, (key, values) in enumerate(rows)]
    put_text(tmp_path, {"published.csv": "File Path,Array Values\n" + "\n".join(reversed(lines))})
    prints = {
        read_vp_labels(tmp_path / name).fingerprint() for name in ("labels.csv", "published.csv", pickled.name)
    } | {read_private_csv(tmp_path / "labels.csv").fingerprint()}
    assert prints == {labels.fingerprint()}
    assert_labelled(*read_vp_ucf101(tmp_path, tmp_path / "published.csv"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a/b.mp4": np.zeros((1, 4), int)}, "a/b.mp4 has array([[0, 0, 0, 0]]); allowed: 5 numbers, each 0 or 1"),
        ({"a/b.mp4": np.array([[0, 0, 2, 0, 0]])}, "attr2 of a/b is 2 (1 such values); allowed: 0, 1"),
        ({"a/b.mp4": "01010"}, "a/b.mp4 has '01010'; allowed: 5 numbers"),
        ({"a/b.mp4": [0, 1, 0, 1, None]}, "a/b.mp4 has [0, 1, 0, 1, None]; allowed"),
        ({"a/b.mp4": [0] * 5, "a/b.avi": [0] * 5}, "1 keys are there more than once: a/b;"),
        ({1: [0] * 5}, "holds no dict of videos; each Class/video.mp4 must have its labels"),
        ([1, 2], "holds no dict of videos"),
        ({}, "holds no dict of videos"),
        ({"a/b.mp4": Path("x")}, "which could run a program; nothing of it was run"),
    ],
)
def test_a_wrong_pickle_of_labels(tmp_path: Path, content: object, said: str) -> None:
    (tmp_path / "labels.pkl").write_bytes(pickle.dumps(content))
    assert said in said_of(lambda: read_vp_labels(tmp_path / "labels.pkl"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'File Path,Array Values\na/b.mp4,"[1, 0, 0, 0]"\n',
            "line 2: Array Values of a/b.mp4 is '[1, 0, 0, 0]'; allowed",
        ),
        ('File Path,Array Values\na/b.mp4,"[1, 0, 0, 0, x]"\n', "is '[1, 0, 0, 0, x]'; allowed: 5 numbers"),
        ("File Path,Values\na/b.mp4,1\n", "the header lacks Array Values"),
        ("video,attr0\na/b,1\n", "has the attributes attr0; allowed: video,attr0,attr1,attr2,attr3,attr4"),
    ],
)
def test_a_wrong_csv_of_vp_labels(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    assert said in said_of(lambda: read_vp_labels(tmp_path / "labels.csv"))
    assert "is .txt; allowed: .pickle, .pkl or .csv" in said_of(lambda: read_vp_labels(tmp_path / "labels.txt"))


def test_labels_of_the_other_dataset_are_refused(tmp_path: Path) -> None:
    pickled = make_vp_ucf101(tmp_path / "ucf")
    make_vp_hmdb51(tmp_path / "hmdb")
    said = said_of(lambda: open_private_clips(tmp_path / "hmdb", pickled, dataset="vp_hmdb51"))
    assert "VP-HMDB51, HMDB51 fold 1 do not fit: 6 have no label: brush_hair/April_09" in said
    assert "12 have a label and are not in the set: " in said
    with pytest.raises(ValueError, match="dataset is 'vp'; allowed: vp_ucf101, vp_hmdb51, pa_hmdb51"):
        open_private_clips(tmp_path, pickled, dataset="vp")  # type: ignore[arg-type]
    assert PRIVATE_DATASETS == ("vp_ucf101", "vp_hmdb51", "pa_hmdb51")


def test_videos_that_are_missing_may_be_left_out(tmp_path: Path) -> None:
    pickled = make_vp_ucf101(tmp_path)
    next((tmp_path / "UCF-101" / "YoYo").glob("*g03_c01*")).unlink()
    assert "are not there: YoYo/v_YoYo_g03_c01.avi" in said_of(
        lambda: open_private_clips(tmp_path, pickled, dataset="vp_ucf101")
    )
    clips, labels = open_private_clips(tmp_path, pickled, dataset="vp_ucf101", allow_missing=True)
    assert len(clips) == 11 and "1 of 12 videos that are listed are not there" in clips.split_rule
    assert_labelled(clips, labels)


def test_pa_hmdb51_by_the_majority_of_frames(tmp_path: Path) -> None:
    folder = make_pa_hmdb51(tmp_path)
    labels = read_pa_hmdb51_labels(folder)
    assert labels.attributes == tuple(CODES) == ("skin_color", "face", "gender", "nudity", "relationship")
    rows = dict(zip((key.split("/")[1].split("_")[0] for key in labels.keys), labels.values.tolist(), strict=True))
    assert labels.keys[0] == "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0" and len(labels) == 5
    assert rows["April"] == [1, 1, 1, 0, 0]  # face in 6 of 10 frames; male and female
    assert rows["Prelinger"] == [1, 0, 1, 0, 0]  # face in 5 of 10: half is not more than half
    np.testing.assert_array_equal(rows["Crash"], [1, 0, 1, NAN, 0])  # a face in 1 of 3 frames; nudity was never coded
    assert read_pa_hmdb51_labels(tmp_path).fingerprint() == labels.fingerprint()


def test_pa_hmdb51_with_the_folds_of_hmdb51(tmp_path: Path) -> None:
    folder = make_pa_hmdb51(tmp_path)
    clips, labels = open_private_clips(tmp_path, folder, dataset="pa_hmdb51")
    assert [(clip.path.name.split("_")[0], clip.split) for clip in clips.clips] == [
        ("April", "train"),
        ("Prelinger", "test"),
        ("Crash", "train"),
        ("BIG", "test"),
    ]
    assert list(labels.keys) == clip_keys(clips) and labels.values[3].tolist() == [1, 1, 0, 0, 1]
    assert "of those, the 4 of 6 clips that have private labels" in clips.split_rule
    edit(folder / "brush_hair.json", "April_09_brush", "May_09_brush")
    assert "1 have a label and are not in the set: brush_hair/May_09" in said_of(
        lambda: read_pa_hmdb51(tmp_path, folder)
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"face": ', '"faces": ', "goo_0.avi: face is None; allowed: a list of [first frame, last frame, code]"),
        (
            "[0, 5, 2]",
            "[0, 5, 3]",
            "face has [0, 5, 3]; allowed: [first frame, last frame, code] with 0 <= first <= last",
        ),
        ("[0, 5, 2]", "[5, 0, 2]", "face has [5, 0, 2]"),
        ("[0, 5, 2]", "[0, 99999999, 2]", "face has [0, 99999999, 2]"),
        ("[0, 5, 2]", "[0, 5]", "face has [0, 5]"),
        ("[0, 5, 2]", "[0, 5, []]", "face has [0, 5, []]"),
        ("[0, 5, 2]", "[0, 5, true]", "face has [0, 5, True]"),
        ("[0, 5, 2]", "[0.5, 5, 1]", "face has [0.5, 5, 1]"),
    ],
)
def test_a_wrong_file_of_pa_hmdb51(tmp_path: Path, old: str, new: str, said: str) -> None:
    folder = make_pa_hmdb51(tmp_path)
    path = folder / "brush_hair.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    edit(path, old, new)
    assert said in said_of(lambda: read_pa_hmdb51_labels(folder))


def test_other_things_where_pa_hmdb51_should_be(tmp_path: Path) -> None:
    assert "there is no PrivacyAttributes with one JSON file" in said_of(lambda: read_pa_hmdb51_labels(tmp_path))
    put_text(tmp_path, {"clap.json": "[]"})
    assert "is no object of videos" in said_of(lambda: read_pa_hmdb51_labels(tmp_path))
    put_text(tmp_path, {"clap.json": '{"a_clap_u.avi": []}'})
    assert "clap.json, a_clap_u.avi: is []; allowed: an object with skin_color, face" in said_of(
        lambda: read_pa_hmdb51_labels(tmp_path)
    )


@pytest.mark.parametrize("labels", ["pkl", "json", "each"])
def test_vispr(tmp_path: Path, labels: str) -> None:
    images = read_vispr(make_vispr(tmp_path, labels=labels), attributes=VISPR1)
    assert images.name == "VISPR (7 attributes)" and len(images) == 5
    assert [path.stem for path in images.paths] == list(images.labels.keys)
    assert images.splits == ("train",) * 3 + ("test",) * 2
    for path, row in zip(images.paths, images.labels.values, strict=True):
        shown = VISPR_SHOWN[f"{path.parent.name}/{path.stem}"]
        assert row.tolist() == [float(name in shown) for name in VISPR1]
    test = images.of("test")
    assert [path.stem for path in test.paths] == ["2017_10000004", "2017_10000005"] == list(test.labels.keys)
    assert "has no pictures in 'val'; it has test, train" in said_of(lambda: images.of("val"))


def test_attributes_of_vispr_without_names_and_others(tmp_path: Path) -> None:
    vectors = make_vispr(tmp_path / "vectors")
    assert read_vispr(vectors).labels.attributes == tuple(f"attr{n}" for n in range(7))
    each = make_vispr(tmp_path / "each", labels="each")
    assert read_vispr(each).labels.attributes == VISPR1
    landmark = read_vispr(each, attributes=["a73_landmark"], splits=["test"])
    assert landmark.labels.values.tolist() == [[0], [1]]
    assert "no picture has a4_gendr; allowed: attributes that are there: a0_safe, a10_face" in said_of(
        lambda: read_vispr(each, attributes=["a4_gendr"])
    )
    (vectors / "test_labels.pkl").unlink()
    everything = json.dumps({"labels": VISPR1})
    put_text(vectors, {f"annotations/{name}.json": everything for name in VISPR_SHOWN if "test" in name})
    assert "test has the attributes a17_color, a4_gender, a9_face" in said_of(lambda: read_vispr(vectors))
    beside = read_vispr(vectors, labels=each, attributes=VISPR1)
    assert beside.labels.fingerprint() == read_vispr(each).labels.fingerprint()


def test_what_is_wrong_with_vispr_is_told(tmp_path: Path) -> None:
    root = make_vispr(tmp_path / "vispr")
    assert "allowed: 1 numbers (x)" in said_of(lambda: read_vispr(root, attributes=["x"]))
    (root / "train2017" / "2017_10000001.jpg").rename(root / "train2017" / "2017_10000009.jpg")
    said = said_of(lambda: read_vispr(root))
    assert "1 have no label: 2017_10000009; 1 have a label and are not in the set: 2017_10000001" in said
    put_text(root, {"annotations/train2017/2017_1.json": "{}"})
    assert "both have labels; give the folder of one with labels=" in said_of(lambda: read_vispr(root))
    (root / "train_labels.pkl").unlink()
    assert "2017_1.json: has no list of labels" in said_of(lambda: read_vispr(root))
    (root / "annotations" / "train2017" / "2017_1.json").unlink()
    assert "the labels of train are not there: looked for train_labels.pkl" in said_of(lambda: read_vispr(root))
    put_text(root, {"train_labels.json": "[]"})
    assert "holds no dict of pictures" in said_of(lambda: read_vispr(root))
    assert "val2017: there is no such folder" in said_of(lambda: read_vispr(root, splits=["val"]))
    (root / "val2017").mkdir()
    assert "val2017: there is no picture in it" in said_of(lambda: read_vispr(root, splits=["val"]))
    with pytest.raises(ValueError, match="splits is empty"):
        read_vispr(root, splits=[])


def test_a_picture_in_two_parts_of_vispr_is_refused(tmp_path: Path) -> None:
    root = make_vispr(tmp_path, labels="json")
    put_text(root, {"test2017/2017_10000001.jpg": ""})
    edit(root / "test_labels.json", "2017_10000004", "2017_10000001")
    (root / "test2017" / "2017_10000004.jpg").unlink()
    assert "1 keys are there more than once: 2017_10000001" in said_of(lambda: read_vispr(root))
