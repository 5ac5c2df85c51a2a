"""One door opens every format, says which it took, and says what it looked for where it finds none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import miniature_datasets as made
import pytest

from tubelet.datasets.opening import FORMATS, open_clips
from tubelet.datasets.splitting import with_splits
from tubelet.errors import DatasetError

BUILDERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "folder": (made.make_folder, "data (a folder per class)"),
    "manifest": (made.make_manifest, "manifest.csv (a manifest)"),
    "ucf101": (made.make_ucf101, "UCF-101 fold 1"),
    "hmdb51": (made.make_hmdb51, "HMDB51 fold 1"),
    "kinetics": (made.make_kinetics, "Kinetics (2 classes)"),
    "something_v2": (made.make_something_v2, "Something-Something V2"),
    "diving48": (made.make_diving48, "Diving48 V2"),
    "charades": (made.make_charades, "Charades"),
    "activitynet": (made.make_activitynet, "activity_net.v1-3.min (segments)"),
    "mmaction2": (made.make_mmaction2, "mini_train_list_videos.txt, mini_val_list_videos.txt (path and label)"),
}


def test_every_format_has_a_miniature() -> None:
    assert set(BUILDERS) == set(FORMATS) - {"auto"}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_format_is_told_by_its_files_and_named(tmp_path: Path, name: str) -> None:
    build, wanted = BUILDERS[name]
    root = tmp_path / "data"
    root.mkdir()
    build(root)
    clips = open_clips(root)
    assert clips.name == wanted and clips.split_rule and clips.group_rule
    assert open_clips(str(root), format=name) == clips  # type: ignore[arg-type]
    assert len(clips.fingerprint()) == 64
    assert len(clips) >= 3 and len(clips.classes) >= 2


def test_files_are_told_by_ending_and_header(tmp_path: Path) -> None:
    assert open_clips(made.make_manifest(tmp_path / "m")).name == "manifest.csv (a manifest)"
    assert open_clips(made.make_mmaction2(tmp_path / "l") / "mini_train_list_videos.txt").classes == ("0", "1")
    for file, said in (
        ("poses.pkl", "holds skeletons, not videos; read it with datasets.pose_pickle"),
        ("a.mp4", "is a video without a label; give the folder of the clips"),
        ("notes.xml", "no format is told by this file; give its folder, or say format="),
    ):
        (tmp_path / file).touch()
        with pytest.raises(DatasetError) as caught:
            open_clips(tmp_path / file)
        assert said in str(caught.value)


def test_annotations_may_lie_elsewhere(tmp_path: Path) -> None:
    root = made.make_ucf101(tmp_path / "data")
    lists = (root / "ucfTrainTestlist").rename(tmp_path / "lists")
    assert open_clips(root, annotations=lists, fold=2).name == "UCF-101 fold 2"
    with pytest.raises(DatasetError, match="videos lie in a folder inside it|there are no class folders"):
        open_clips(root)  # UCF-101/CLASS/FILE is one folder too deep for a folder per class
    assert open_clips(root / "UCF-101").name == "UCF-101 (a folder per class)"


def test_two_formats_in_one_folder_have_to_be_told_apart(tmp_path: Path) -> None:
    made.make_ucf101(tmp_path)
    made.put_text(tmp_path, {"manifest.csv": "path,label\n"})
    with pytest.raises(DatasetError, match="could be manifest or ucf101 by the files in it; say which with format="):
        open_clips(tmp_path)
    assert open_clips(tmp_path, format="ucf101").name == "UCF-101 fold 1"


def test_nothing_known_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DatasetError) as caught:
        open_clips(tmp_path)
    said = str(caught.value)
    assert "there are no class folders in it (1 .jpg)" in said and "Nor are there annotations of a known format" in said
    for name in FORMATS[1:]:
        assert f"{name}: " in said
    with pytest.raises(DatasetError, match="there is no such file or folder; give the folder of the clips"):
        open_clips(tmp_path / "nothing")
    with pytest.raises(ValueError, match="format is 'coco'; allowed: auto, folder, manifest"):
        open_clips(tmp_path, format="coco")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=r"there is no manifest\.csv or manifest\.jsonl; give the manifest itself"):
        open_clips(tmp_path, format="manifest")


@pytest.mark.parametrize(
    ("build", "below", "said"),
    [
        (
            made.make_ava,
            "",
            "holds AVA's boxes of people at moments, not clips with labels; read them with datasets.ava",
        ),
        (made.make_ntu_rgbd, "nturgb+d_skeletons", "holds skeletons, not videos; read them with datasets.ntu_rgbd"),
    ],
)
def test_what_gives_no_clips_says_who_reads_it(
    tmp_path: Path, build: Callable[[Path], Path], below: str, said: str
) -> None:
    with pytest.raises(DatasetError, match=said):
        open_clips(build(tmp_path) / below)


def test_missing_files_may_be_left_out(tmp_path: Path) -> None:
    root = made.make_kinetics(tmp_path)
    (root / "test" / "zzR5jVB-WPk_000000_000010.mp4").unlink()
    with pytest.raises(DatasetError, match="1 of 5 videos that are listed are not there"):
        open_clips(root)
    assert len(open_clips(root, allow_missing=True)) == 4


def test_a_folder_opened_and_split_has_all_three(tmp_path: Path) -> None:
    clips = with_splits(open_clips(made.make_folder(tmp_path)))
    assert {name: len(clips.of(name)) for name in ("train", "val", "test")} == {"train": 8, "val": 2, "test": 2}
