"""A folder per class is read without anything being written, and what is wrong in one is told by name."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from miniature_datasets import make_folder, make_split_folder, put_text, put_videos

from tubelet.datasets.folder import read_folder
from tubelet.errors import DatasetError


def test_classes_are_folders_and_ids_are_paths(tmp_path: Path) -> None:
    clips = read_folder(make_folder(tmp_path / "clips", ["walk", "run"], 2))
    assert clips.classes == ("run", "walk")
    assert [(clip.id, clip.label, clip.split, clip.group) for clip in clips.clips] == [
        ("run/r0.mp4", 0, None, "run/r0.mp4"),
        ("run/r1.mp4", 0, None, "run/r1.mp4"),
        ("walk/w0.mp4", 1, None, "walk/w0.mp4"),
        ("walk/w1.mp4", 1, None, "walk/w1.mp4"),
    ]
    assert clips.name == "clips (a folder per class)"
    assert clips.split_rule == "no split was given"
    assert all(clip.path.is_file() for clip in clips.clips)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "testing"), ("train", "valid")])
def test_folders_of_splits_go_by_any_of_their_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    put_videos(tmp_path, [f"{split}/{name}/x.mp4" for split in names for name in "ab"])
    clips = read_folder(tmp_path)
    assert clips.classes == ("a", "b")
    assert {clip.id: clip.split for clip in clips.clips} == {
        f"{folder}/{name}/x.mp4": split
        for folder, split in zip(names, ("train", "val", "test"), strict=False)
        for name in "ab"
    }
    assert clips.split_rule.startswith("by the folders ")


def test_a_class_may_be_in_one_split_only(tmp_path: Path) -> None:
    put_videos(tmp_path, ["train/a/1.mp4", "train/b/2.mp4", "test/a/3.mp4"])
    assert read_folder(tmp_path).classes == ("a", "b")


def test_classes_may_be_called_like_splits(tmp_path: Path) -> None:
    clips = read_folder(put_videos(tmp_path, ["test/1.mp4", "train/2.mp4"]))
    assert clips.classes == ("test", "train")
    assert {clip.split for clip in clips.clips} == {None}


def test_other_files_hidden_ones_and_folders_of_annotations_beside_splits_do_not_count(tmp_path: Path) -> None:
    make_split_folder(tmp_path)
    put_text(
        tmp_path, {"annotations/notes.txt": "x", "README.md": "x", "train/a/.hidden.mp4": "", "train/.cache/x.mp4": ""}
    )
    put_text(tmp_path, {"train/a/subtitles.srt": "x", "__MACOSX/x/y.mp4": ""})
    assert len(read_folder(tmp_path)) == 12


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    store = put_videos(tmp_path / "store", ["x.mp4", "deep/y.mp4"])
    root = make_folder(tmp_path / "clips", ["a"], 1)
    (root / "b").symlink_to(store / "deep", target_is_directory=True)
    (root / "a" / "linked.mp4").symlink_to(store / "x.mp4")
    assert [clip.id for clip in read_folder(root).clips] == ["a/a0.mp4", "a/linked.mp4", "b/y.mp4"]


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    (make_folder(tmp_path, ["a"], 1) / "a" / "lost.mp4").symlink_to(tmp_path / "gone.mp4")
    with pytest.raises(
        DatasetError, match=r"lost\.mp4: is a link that leads nowhere \(1 in that folder\); mend or remove it"
    ):
        read_folder(tmp_path)


def test_parts_of_one_source_share_a_group_across_classes(tmp_path: Path) -> None:
    put_videos(tmp_path, ["run/tape7_clip1.mp4", "walk/tape7_clip2.mp4", "walk/v_Walk_g01_c02.avi", "walk/tape8.mp4"])
    assert [clip.group for clip in read_folder(tmp_path).clips] == [
        "tape7",
        "tape7",
        "walk/tape8.mp4",
        "walk/v_Walk_g01",
    ]


@pytest.mark.parametrize(
    ("videos", "texts", "said"),
    [
        ([], {}, "there are no class folders in it (it is empty); allowed: CLASS/FILE.mp4, or train, val and test"),
        ([], {"a.jpg": "", "b.jpg": ""}, "there are no class folders in it (2 .jpg)"),
        (["a.mp4", "walk/b.mp4"], {}, "videos lie beside the class folders (1, a.mp4 for one)"),
        (
            ["walk/b.mp4"],
            {"run/x.jpg": "", "jump/y": ""},
            "2 of 3 class folders have no video: jump, run (jump has 1 without",
        ),
        (["walk/day1/b.mp4"], {}, "walk: videos lie in a folder inside it (day1); allowed"),
        (["train/a/1.mp4", "walk/b.mp4"], {}, "folders for splits (train) and beside them folders with videos (walk)"),
        (["val/a/1.mp4", "validation/a/2.mp4"], {}, "val and validation are both for val; keep one of them"),
        (["Walk/1.mp4", "walk/2.mp4"], {}, "the classes Walk and walk differ in capitals only; make them one folder"),
        (["train/a/1.mp4"], {"test/notes.txt": ""}, "test: there are no class folders in it (1 .txt)"),
    ],
)
def test_a_wrong_folder_says_what_is_there_and_what_to_do(
    tmp_path: Path, videos: list[str], texts: dict[str, str], said: str
) -> None:
    put_text(put_videos(tmp_path, videos), texts)
    with pytest.raises(DatasetError) as caught:
        read_folder(tmp_path)
    assert said in str(caught.value)


def test_a_missing_folder_and_a_name_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match="there is no such folder; give a folder with a folder of videos for each class"
    ):
        read_folder(tmp_path / "nothing")
    make_folder(tmp_path, ["walk"], 1)
    with open(os.fsencode(tmp_path) + b"/walk/caf\xe9.mp4", "wb"):
        pass
    with pytest.raises(DatasetError, match=r"walk: the name caf\\xe9.mp4 is not UTF-8 text; rename it"):
        read_folder(tmp_path)


def test_a_thousand_files_open_in_a_moment(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / name).mkdir()
        for number in range(200):
            (tmp_path / name / f"clip{number}.mp4").touch()
    start = time.process_time()
    assert len(read_folder(tmp_path)) == 1_000
    assert time.process_time() - start < 0.5  # 0.03 s; the rest is for a busy machine
