"""Skeletons of NTU RGB+D and MMAction2 are read by their published formats."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from miniature_datasets import make_ntu_rgbd, pose_annotations, skeleton_text

from tubelet.datasets.ntu_rgbd import NtuName, ntu_split, parse_ntu_name, read_ntu_rgbd, read_skeleton_file
from tubelet.datasets.pose_pickle import read_pose_pickle
from tubelet.datasets.skeleton_sequences import SkeletonSequence, SkeletonSet
from tubelet.errors import DatasetError


def test_a_skeleton_file_gives_joints_in_metres_and_scores(tmp_path: Path) -> None:
    path = tmp_path / "a.skeleton"
    path.write_text(skeleton_text(8, ("72057594037931101", "72057594037931102")))
    joints, scores = read_skeleton_file(path)
    assert joints.shape == (2, 8, 25, 3) and scores.shape == (2, 8, 25)
    np.testing.assert_allclose(joints[0, :, 0, 0], 0.1 * np.arange(8), rtol=1e-6)
    np.testing.assert_allclose(joints[1, 3, 24], [0.6, 24 / 25, 3], rtol=1e-6)
    assert not joints[1, 4:].any() and not scores[1, 4:].any()  # the second body leaves
    assert set(scores[0, 0, :24]) == {1.0} and scores[0, 0, 24] == 0.5


def test_bodies_that_move_most_are_kept_in_the_order_they_appear(tmp_path: Path) -> None:
    path = tmp_path / "a.skeleton"
    path.write_text(
        skeleton_text(9, ("7", "8", "9"))
    )  # the first goes 0.8 m, the others 0.8 and 1.2 m in half the time
    (one,) = read_skeleton_file(path, max_people=1)[0]
    np.testing.assert_allclose(one[:5, 0, 0], 0.3 * np.arange(5), rtol=1e-6)
    two, _ = read_skeleton_file(path, max_people=2)
    np.testing.assert_allclose(two[:, 4, 0, 0], [0.8, 1.2], rtol=1e-6)


def test_names_tell_setup_camera_subject_and_action() -> None:
    assert parse_ntu_name("S001C002P003R002A013") == NtuName(setup=1, camera=2, subject=3, replication=2, action=13)
    assert parse_ntu_name("v_YoYo_g01_c01") is None


@pytest.mark.parametrize(
    ("protocol", "classes", "name", "split"),
    [
        ("xsub", 60, "S001C001P038R001A001", "train"),
        ("xsub", 60, "S001C001P003R001A001", "test"),
        ("xsub", 60, "S018C001P103R001A001", "test"),
        ("xsub", 120, "S018C001P103R001A061", "train"),
        ("xview", 60, "S001C001P001R001A001", "test"),
        ("xview", 60, "S001C003P001R001A001", "train"),
        ("xset", 120, "S018C001P001R001A001", "train"),
        ("xset", 120, "S017C001P001R001A001", "test"),
    ],
)
def test_protocols_train_on_the_published_samples(protocol: str, classes: int, name: str, split: str) -> None:
    parsed = parse_ntu_name(name)
    assert parsed is not None
    assert ntu_split(parsed, protocol, classes) == split  # type: ignore[arg-type]


def test_protocols_have_the_published_numbers_of_subjects() -> None:
    def subjects(num_classes: int) -> int:
        names = [NtuName(setup=1, camera=1, subject=n, replication=1, action=1) for n in range(1, 107)]
        return sum(ntu_split(name, "xsub", num_classes) == "train" for name in names)  # type: ignore[arg-type]

    assert (subjects(60), subjects(120)) == (20, 53)
    with pytest.raises(ValueError, match="protocol is 'xset'; allowed with 60 classes: xsub or xview"):
        ntu_split(NtuName(setup=1, camera=1, subject=1, replication=1, action=1), "xset", 60)


def test_a_folder_of_ntu_is_read_without_what_is_on_the_list(tmp_path: Path) -> None:
    make_ntu_rgbd(tmp_path)
    folder, listed = tmp_path / "nturgb+d_skeletons", tmp_path / "NTU_RGBD_samples_with_missing_skeletons.txt"
    found = read_ntu_rgbd(folder, missing_skeletons=listed)
    assert [(each.id, each.split, each.group, each.labels) for each in found.sequences] == [
        ("S001C001P001R001A001", "train", "P001", (0,)),
        ("S001C002P001R001A001", "train", "P001", (0,)),
        ("S001C002P003R002A050", "test", "P003", (49,)),
    ]
    assert found.left_out == ("S001C002P006R001A008: on the list of missing skeletons",)
    assert (found.classes[0], found.classes[49], len(found.classes)) == (
        "drink water",
        "punching/slapping other person",
        60,
    )
    assert found.sequences[2].joints.shape[0] == 2 and found.sequences[0].fps == 30
    by_view = read_ntu_rgbd(folder, protocol="xview")
    assert [each.split for each in by_view.sequences] == ["test", "train", "train", "train"]
    assert "in both splits" in by_view.group_rule
    assert len(found.of("train")) == 2
    with pytest.raises(DatasetError, match="has no sequences in split 'val'; it has test, train"):
        found.of("val")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ends too early, after 0 values; take another copy"),
        ("x", "the number of frames is 'x'; allowed: 1 to 100000. Take another copy"),
        ("1\n0\n", "nobody is in any of its 1 frames; leave it out"),
        ("1\n1\n" + "0 " * 10 + "24\n", "the number of joints is '24'; allowed: 25. Take another copy"),
        (skeleton_text(2)[:-40], "ends too early"),
        (skeleton_text(2) + "3\n", "goes on after its last frame"),
        (skeleton_text(2).replace("3.000000", "nan", 1), "a joint in frame 0 is nowhere; leave the file out"),
        (skeleton_text(2).replace("3.000000", "3,0", 1), "a joint has a value that is no number"),
    ],
)
def test_a_damaged_skeleton_file_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text(text)
    with pytest.raises(DatasetError) as caught:
        read_skeleton_file(path)
    assert said in str(caught.value) and str(path) in str(caught.value)


def test_a_folder_without_skeletons_or_with_other_names(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no .skeleton file in it; give the folder nturgb"):
        read_ntu_rgbd(tmp_path)
    (tmp_path / "walk.skeleton").write_text(skeleton_text(2))
    with pytest.raises(DatasetError, match=r"walk\.skeleton: the name is not such as S001C002P003R002A013\.skeleton"):
        read_ntu_rgbd(tmp_path)


def dump(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "poses.pkl"
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def test_a_pose_file_gives_sequences_with_the_splits_of_a_fold(tmp_path: Path) -> None:
    content = pose_annotations()
    path = dump(tmp_path, content)
    found = read_pose_pickle(path, protocol="1", fps=25)
    assert [(each.id, each.split, each.labels, each.group) for each in found.sequences] == [
        (f"v_Walk_g0{n}_c01", "test" if n == 4 else "train", ((n - 1) % 2,), f"v_Walk_g0{n}") for n in (1, 2, 3, 4)
    ]
    first = content["annotations"][0]  # type: ignore[index]
    np.testing.assert_array_equal(found.sequences[0].joints, first["keypoint"].astype(np.float32))
    np.testing.assert_array_equal(found.sequences[0].scores, first["keypoint_score"].astype(np.float32))
    assert found.sequences[1].joints.shape == (2, 6, 17, 2)
    assert found.sequences[0].image_size_px == (32, 48) and found.sequences[0].fps == 25
    assert found.classes == ("0", "1")
    assert found.split_rule == "the lists train1 and test1 of the file"
    assert [each.split for each in read_pose_pickle(path, protocol="2").sequences] == [
        "test",
        "train",
        "train",
        "train",
    ]
    assert read_pose_pickle(path, protocol="1", classes=["run", "walk"]).classes == ("run", "walk")


def test_a_list_alone_and_names_of_ntu(tmp_path: Path) -> None:
    item = {
        "frame_dir": "S001C001P007R001A002",
        "label": np.int64(0),
        "total_frames": 3,
        "keypoint": np.zeros((1, 3, 25, 3)),
    }
    other = item | {"frame_dir": "S001C001P008R001A002", "label": 1}
    found = read_pose_pickle(dump(tmp_path, [item, other]))
    assert [(each.group, each.split, each.scores) for each in found.sequences] == [
        ("P007", None, None),
        ("P008", None, None),
    ]
    splits = {"xsub_train": [item["frame_dir"]], "xsub_val": [other["frame_dir"]]}
    found = read_pose_pickle(dump(tmp_path, {"split": splits, "annotations": [item, other]}))
    assert [each.split for each in found.sequences] == ["train", "val"]


def changed(**changes: object) -> dict[str, object]:
    content = pose_annotations(2)
    first = content["annotations"][0]  # type: ignore[index]
    return {"annotations": [{k: v for k, v in (first | changes).items() if v is not ...}]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": 1}, "holds no list of annotations; allowed: what MMAction2 calls a pose annotation file"),
        ([], "holds no list of annotations"),
        ([1], "annotation 0: is no dict with frame_dir"),
        (changed(keypoint=...), "annotation 0: has no keypoint: this file is a table of contents"),
        (
            changed(keypoint=np.zeros((5, 17, 2))),
            "keypoint is (5, 17, 2); allowed: an array of people, time, joints and 2 or 3",
        ),
        (changed(keypoint=[1]), "keypoint is list; allowed"),
        (changed(keypoint_score=np.zeros((1, 5, 9))), "keypoint_score is (1, 5, 9); allowed: an array of (1, 5, 17)"),
        (changed(total_frames=9), "total_frames is 9 and keypoint has 5 frames"),
        (changed(label="walk"), "the label is 'walk'; allowed: a number counted from 0"),
        (changed(label=1), "The ids seem to count from 1"),
        (changed() | {"split": {"x": []}}, "has the split 'x'; allowed: train, val, test1, xsub_train and the like"),
        (changed() | {"split": {"train": ["gone"]}}, "1 names of its splits have no annotation, gone for one"),
        (pose_annotations(4), "has the protocols '1', '2', and none was named; name one"),
        (changed() | {"split": {"train": ["a"], "val": ["a"]}}, "a is in val and in another split of it"),
    ],
)
def test_a_wrong_pose_file_says_what_is_wrong(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_pose_pickle(dump(tmp_path, content))
    assert said in str(caught.value)


def test_reading_poses_does_not_load_the_pickle_machinery(tmp_path: Path) -> None:
    path = dump(tmp_path, pose_annotations())
    program = (
        "import pickle, sys, pathlib\n"
        "def refuse(*a, **k): raise AssertionError('unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = refuse\n"
        "from tubelet.datasets.pose_pickle import read_pose_pickle\n"
        f"print(len(read_pose_pickle(pathlib.Path({str(path)!r}), protocol='1')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "4\n"


def test_sets_refuse_two_of_one_name_and_labels_beyond_the_classes() -> None:
    one = SkeletonSequence(id="a", joints=np.zeros((1, 2, 3, 2), np.float32), scores=None, labels=(0,), group="a")
    with pytest.raises(DatasetError, match="2 sequences have the id 'a'"):
        SkeletonSet(name="s", classes=("x",), sequences=(one, one))
    with pytest.raises(DatasetError, match=r"a has the labels \(0,\); allowed: 0 to -1|do the ids count from 1"):
        SkeletonSet(name="s", classes=(), sequences=(one,))
