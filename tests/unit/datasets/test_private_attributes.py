"""Private labels find their clips by key, and whatever does not fit is told by name and count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.datasets.clip_keys import clip_key, clip_keys
from tubelet.datasets.labelled import ClipSet, LabelledClip, Split
from tubelet.datasets.private_attributes import (
    PrivateLabels,
    constant_attributes,
    joined,
    read_private_csv,
    require_disjoint,
    with_parts_apart,
    write_private_csv,
)
from tubelet.errors import DatasetError, OutputExistsError

NAN = float("nan")


def clip_set(*names: str, groups: Sequence[str] = (), splits: Sequence[Split] = (), ending: str = "avi") -> ClipSet:
    """Clips `CLASS/FILE`, each its own group unless groups are given."""
    classes = tuple(dict.fromkeys(name.split("/")[0] for name in names))
    clips = tuple(
        LabelledClip(
            id=f"deep/{name}.{ending}",
            path=Path(f"/data/deep/{name}.{ending}"),
            labels=(classes.index(name.split("/")[0]),),
            group=groups[n] if groups else name,
            split=splits[n] if splits else None,
        )
        for n, name in enumerate(names)
    )
    return ClipSet(name="clips", root=Path("/data"), classes=classes, clips=clips)


def labels_of(rows: dict[str, Sequence[float]], attributes: Sequence[str] = ("face", "gender")) -> PrivateLabels:
    return PrivateLabels(
        name="labels",
        attributes=tuple(attributes),
        keys=tuple(rows),
        values=np.array(list(rows.values()), dtype=np.float32).reshape(len(rows), len(attributes)),
    )


def said_of(call: Callable[[], object]) -> str:
    with pytest.raises(DatasetError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("YoYo/v_YoYo_g01_c01.mp4", "YoYo/v_YoYo_g01_c01"),
        ("UCF-101/YoYo/v_YoYo_g01_c01.avi", "YoYo/v_YoYo_g01_c01"),
        ("UCF-101\\YoYo\\v_YoYo_g01_c01.avi", "YoYo/v_YoYo_g01_c01"),
        ("YoYo/v_YoYo_g01_c01", "YoYo/v_YoYo_g01_c01"),
        ("clap/Dr._No_clap_u", "clap/Dr._No_clap_u"),
        ("tape.mp4", "tape"),
    ],
)
def test_the_key_of_a_path(name: str, key: str) -> None:
    assert clip_key(name) == key


def test_the_key_of_a_clip_is_its_class_and_name_whatever_the_folder() -> None:
    clips = clip_set("walk/a", "run/b")
    assert clip_keys(clips) == ["walk/a", "run/b"]
    nameless = replace(clips, clips=tuple(replace(clip, labels=()) for clip in clips.clips), is_multi_label=True)
    assert clip_keys(nameless) == ["walk/a", "run/b"]


@given(st.permutations(range(6)), st.permutations(range(6)))
def test_the_order_of_rows_changes_nothing(rows: list[int], clips: list[int]) -> None:
    truth = {f"walk/{n}": (n % 2, n // 3) for n in range(6)}
    names = [f"walk/{n}" for n in clips]
    found = joined(labels_of({f"walk/{n}": truth[f"walk/{n}"] for n in rows}), clip_set(*names))
    assert found.keys == tuple(names)
    assert found.values.tolist() == [list(truth[name]) for name in names]
    assert found.fingerprint() == labels_of(truth).fingerprint()


def test_what_does_not_fit_is_listed_and_counted() -> None:
    clips = clip_set(*(f"walk/{n}" for n in range(8)))
    labels = labels_of({f"{name}/{n}": (0, 1) for n in range(7) for name in ("walk", "run")})
    said = said_of(lambda: joined(labels, clips))
    assert "labels and clips do not fit: 1 have no label: walk/7; 7 have a label and are not in the set: run/0" in said
    assert "run/4, …." in said and "run/5" not in said and "never by the number of a row" in said
    few = said_of(lambda: joined(labels_of({"walk/7": (0, 1)}), clips))
    assert "7 have no label: walk/0, walk/1, walk/2, walk/3, walk/4, …." in few
    known = joined(labels, clip_set("walk/3", "walk/0"), known=list(labels.keys))
    assert known.keys == ("walk/3", "walk/0")


def test_a_key_that_is_there_twice() -> None:
    with pytest.raises(DatasetError, match="2 keys are there more than once: a, b; keep each once"):
        PrivateLabels(name="l", attributes=("x",), keys=("a", "b", "a", "b"), values=np.zeros((4, 1), np.float32))
    with pytest.raises(DatasetError, match="1 attributes are there more than once: x"):
        PrivateLabels(name="l", attributes=("x", "x"), keys=("a",), values=np.zeros((1, 2), np.float32))
    clips = clip_set("walk/a", "walk/b")
    same = replace(clips, clips=(clips.clips[0], replace(clips.clips[0], id="other")))
    assert "1 are in the set more than once: walk/a" in said_of(lambda: joined(labels_of({"walk/a": (0, 1)}), same))


def test_values_are_0_1_or_unknown() -> None:
    said = said_of(lambda: labels_of({"a": (0, NAN), "b": (1, 2), "c": (-1, 0.5)}))
    assert "gender of b is 2 (3 such values); allowed: 0, 1, and NaN" in said
    assert "is inf" in said_of(lambda: labels_of({"a": (0, float("inf"))}))
    with pytest.raises(ValueError, match=r"values are \(2, 1\); needed: 1 keys by 1 attributes"):
        PrivateLabels(name="l", attributes=("x",), keys=("a",), values=np.zeros((2, 1), np.float32))


def test_rows_and_attributes_can_be_taken() -> None:
    labels = labels_of({"walk/a": (0, 1), "walk/b": (NAN, 0)})
    assert len(labels) == 2
    np.testing.assert_array_equal(labels.rows(clip_set("walk/b")), [[NAN, 0]])
    assert "1 have no label: run/a" in said_of(lambda: labels.rows(clip_set("run/a")))
    assert labels.without(["face"]).attributes == ("gender",)
    assert labels.without(["face"]).values.tolist() == [[1], [0]]
    assert "no attribute is left" in said_of(lambda: labels.without(["face", "gender"]))
    assert labels.fingerprint() != labels.without(["face"]).fingerprint()


def test_a_csv_is_read_as_it_was_written(tmp_path: Path) -> None:
    labels = labels_of({"walk/b, c": (NAN, 0), "walk/a": (0, 1)})
    write_private_csv(labels, tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text() == 'video,face,gender\nwalk/a,0,1\n"walk/b, c",,0\n'
    found = read_private_csv(tmp_path / "labels.csv")
    assert found.attributes == labels.attributes and found.keys == ("walk/a", "walk/b, c")
    assert found.fingerprint() == labels.fingerprint()
    with pytest.raises(OutputExistsError, match=r"labels\.csv is there already; name a new file"):
        write_private_csv(labels, tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,face\na/b.mp4,2\n", "line 2: face of a/b.mp4 is '2'; allowed: 0, 1, and nothing"),
        ("video,face\na/b.mp4,yes\n", "face of a/b.mp4 is 'yes'"),
        ("video,face\na/b.mp4,1\na/b.avi,1\n", "1 keys are there more than once: a/b;"),
        ("video\na/b.mp4\n", "has a column without a name, or video alone"),
        ("video,,face\na/b.mp4,1,1\n", "has a column without a name"),
        ("file,face\na/b.mp4,1\n", "the header lacks video"),
        ("video,face\n", "has a header and no labels"),
        ("video,face\n,1\n", "line 2: video is empty"),
        ("", "is empty; allowed: video"),
    ],
)
def test_a_wrong_csv(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    assert said in said_of(lambda: read_private_csv(tmp_path / "labels.csv"))


def test_a_csv_by_another_hand(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("face,video,gender\n1.0,x/walk/a.mp4,NaN\n 0,walk/b.avi,\n")
    found = read_private_csv(tmp_path / "labels.csv")
    assert found.attributes == ("face", "gender") and found.keys == ("walk/a", "walk/b")
    np.testing.assert_array_equal(found.values, [[1, NAN], [0, NAN]])


def test_parts_that_share_a_video_or_a_source() -> None:
    train = clip_set("walk/a", "walk/b", "run/c", groups=["g1", "g2", "g3"])
    require_disjoint(train, clip_set("walk/d", groups=["g4"]))
    said = said_of(lambda: require_disjoint(train, clip_set("walk/a", "walk/e", groups=["g5", "g2"], ending="mp4")))
    assert "are not apart: 1 videos are in both: walk/a; 1 sources of clips are in both: g2. What" in said
    assert "split by source (here a source is: every file is its own group)" in said
    moved = clip_set("jump/a")
    by_path = replace(moved, clips=tuple(replace(clip, path=train.clips[0].path) for clip in moved.clips))
    assert "1 videos are in both" in said_of(lambda: require_disjoint(train, by_path))


def test_a_source_in_two_classes_may_be_allowed() -> None:
    splits: list[Split] = ["train", "test", "test"]
    clips = clip_set("walk/a", "run/b", "run/c", groups=["film", "film", "other"], splits=splits)
    assert "1 sources of clips are in both: film" in said_of(lambda: with_parts_apart(clips))
    apart = with_parts_apart(clips, within_class=True)
    assert "; 1 of 2 test clips come from a source that is trained on in another class" in apart.split_rule
    same = clip_set("walk/a", "walk/b", groups=["film", "film"], splits=splits[:2])
    assert "film in walk" in said_of(lambda: with_parts_apart(same, within_class=True))
    alone = clip_set("walk/a", "walk/b", splits=splits[:2])
    assert with_parts_apart(alone) is alone
    assert "no clips in split 'test'" in said_of(lambda: with_parts_apart(alone.of("train")))


def test_constant_attributes_are_named() -> None:
    labels = labels_of(
        {"w/a": (1, 0, NAN, 0), "w/b": (1, 1, NAN, NAN), "w/c": (0, 1, 1, 1), "w/d": (1, 0, 0, 0)},
        ("face", "gender", "nudity", "skin"),
    )
    train, test = clip_set("w/a", "w/b"), clip_set("w/c", "w/d")
    found = constant_attributes(labels, train, test)
    assert found == {"face": "always 1 in train", "nudity": "not known in train", "skin": "always 0 in train"}
    assert constant_attributes(labels, test, train) == {
        "face": "always 1 in test",
        "nudity": "not known in test",
        "skin": "always 0 in test",
    }
    assert labels.without(found).attributes == ("gender",)
