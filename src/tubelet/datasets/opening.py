"""Open labelled clips of whatever format: the one door for training, evaluation and checking."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from tubelet.datasets import (
    activitynet,
    charades,
    diving48,
    folder,
    hmdb51,
    kinetics,
    manifest,
    mmaction2,
    something_v2,
    ucf101,
)
from tubelet.datasets.annotation_files import annotation_folders, csv_header, find_annotations
from tubelet.datasets.labelled import ClipSet
from tubelet.datasets.video_files import is_video_name
from tubelet.errors import DatasetError

Format = Literal[
    "auto",
    "folder",
    "manifest",
    "ucf101",
    "hmdb51",
    "kinetics",
    "something_v2",
    "diving48",
    "charades",
    "activitynet",
    "mmaction2",
]
FORMATS: tuple[Format, ...] = get_args(Format)
_MANIFESTS = ("manifest.csv", "manifest.jsonl")
_NO_CLIPS = {
    "ava_*_v*.csv": "holds AVA's boxes of people at moments, not clips with labels; read them with datasets.ava",
    "*.skeleton": "holds skeletons, not videos; read them with datasets.ntu_rgbd",
    "*.pkl": "holds pickles, of poses perhaps, and no annotations of videos; read poses with datasets.pose_pickle",
}
"""What is known and gives no clips."""

_LOOKED_FOR = {
    "manifest": "manifest.csv or manifest.jsonl",
    "ucf101": "classInd.txt with trainlist01.txt",
    "hmdb51": "*_test_split1.txt",
    "kinetics": "train.csv with youtube_id,time_start,time_end",
    "something_v2": "labels.json with train.json",
    "diving48": "Diving48_V2_train.json",
    "charades": "Charades_v1_train.csv",
    "activitynet": "activity_net*.json",
    "mmaction2": "*train*videos.txt",
    "folder": "CLASS/FILE.mp4, or train, val and test with CLASS/FILE.mp4 in each",
}


def open_clips(
    path: str | os.PathLike[str],
    *,
    format: Format = "auto",  # noqa: A002 - the word that users of the command line know
    annotations: str | os.PathLike[str] | None = None,
    fold: int = 1,
    allow_missing: bool = False,
) -> ClipSet:
    """Open labelled clips. No video is opened.

    Args:
        path: The folder of the dataset, or a file of annotations.
        format: One of `FORMATS`; "auto" tells it from the files of annotations that are there, and takes a folder
            without any for a folder per class. `ClipSet.name` and `split_rule` say what was taken.
        annotations: Folder of the annotations (or the file, where a format has one), if it is not in `path`.
        fold: Which of the official folds, for datasets that have several.
        allow_missing: Leave out clips that are listed and not there, and say so in `split_rule`, instead of refusing.

    Raises:
        DatasetError: There is no such path, no format fits or several do, or the files are not what the format
            promises.
        ValueError: `format` is none of the formats.
    """
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; allowed: {', '.join(FORMATS)}")
    root, beside = Path(path), None if annotations is None else Path(annotations)
    for each in (root, beside):
        if each is not None and not each.exists():
            raise DatasetError(f"{each}: there is no such file or folder; give the folder of the clips")
    kind = _detect(root, beside, fold) if format == "auto" else format
    if format == "auto" and kind == "folder":
        return _folder_or_nothing(root)
    readers: dict[str, Callable[[], ClipSet]] = {
        "folder": lambda: folder.read_folder(root),
        "manifest": lambda: manifest.read_manifest(_manifest(root, beside), allow_missing=allow_missing),
        "ucf101": lambda: ucf101.read_ucf101(root, annotations=beside, fold=fold, allow_missing=allow_missing),
        "hmdb51": lambda: hmdb51.read_hmdb51(root, annotations=beside, fold=fold, allow_missing=allow_missing),
        "kinetics": lambda: kinetics.read_kinetics(root, annotations=beside, allow_missing=allow_missing),
        "something_v2": lambda: something_v2.read_something_v2(root, annotations=beside, allow_missing=allow_missing),
        "diving48": lambda: diving48.read_diving48(root, annotations=beside, allow_missing=allow_missing),
        "charades": lambda: charades.read_charades(root, annotations=beside, allow_missing=allow_missing),
        "activitynet": lambda: activitynet.read_activitynet(root, annotations=beside, allow_missing=allow_missing),
        "mmaction2": lambda: mmaction2.read_mmaction2(root, annotations=beside, fold=fold, allow_missing=allow_missing),
    }
    return readers[kind]()


def _folder_or_nothing(root: Path) -> ClipSet:
    try:
        return folder.read_folder(root)
    except DatasetError as error:
        looked = "; ".join(f"{name}: {what}" for name, what in _LOOKED_FOR.items())
        raise DatasetError(f"{error}. Nor are there annotations of a known format; looked for {looked}") from error


def _manifest(root: Path, beside: Path | None) -> Path:
    for each in (beside, root):
        if each is not None and each.is_file():
            return each
    found = find_annotations(_MANIFESTS, [each for each in (beside, root) if each is not None])
    if found is None:
        raise DatasetError(f"{root}: there is no {' or '.join(_MANIFESTS)}; give the manifest itself")
    return found


def _detect(root: Path, beside: Path | None, fold: int) -> str:
    if root.is_file():
        return _detect_file(root)
    if beside is not None and beside.is_file():
        raise DatasetError(f"{beside}: is a file; say which format it is with format=, one of {', '.join(FORMATS[1:])}")

    def has(*names: str, usual: tuple[str, ...] = ()) -> bool:
        folders = annotation_folders(root, beside, *usual)
        return any(next(each.glob(name), None) is not None for each in folders for name in names)

    usual = annotation_folders(root, beside)
    sthv2 = something_v2.PREFIX
    there = {
        "manifest": has(*_MANIFESTS),
        "ucf101": has("classInd.txt", usual=ucf101.ANNOTATION_FOLDERS)
        and has("trainlist*.txt", usual=ucf101.ANNOTATION_FOLDERS),
        "hmdb51": has("*_test_split[0-9].txt", usual=hmdb51.ANNOTATION_FOLDERS),
        "kinetics": bool(kinetics.kinetics_files(usual)),
        "something_v2": has(f"{sthv2}labels.json") or (has("labels.json") and has("train.json", "validation.json")),
        "diving48": has("Diving48_V2_*.json"),
        "charades": has("Charades_v1_*.csv", usual=charades.ANNOTATION_FOLDERS),
        "activitynet": has(*activitynet.FILE_NAMES),
        "mmaction2": bool(mmaction2.mmaction2_lists(usual, fold)),
    }
    found = [name for name, is_there in there.items() if is_there]
    if len(found) > 1:
        raise DatasetError(f"{root}: could be {' or '.join(found)} by the files in it; say which with format=")
    if found:
        return found[0]
    for names, what in _NO_CLIPS.items():
        if has(names):
            raise DatasetError(f"{root}: {what}")
    return "folder"


def _detect_file(path: Path) -> str:
    kind = path.suffix.lower()
    if kind == ".csv" and set(kinetics.COLUMNS) <= set(csv_header(path)):
        return "kinetics"
    if kind in (".csv", ".jsonl"):
        return "manifest"
    if kind == ".txt":
        return "mmaction2"
    if kind in (".pkl", ".skeleton"):
        raise DatasetError(
            f"{path}: holds skeletons, not videos; read it with datasets.pose_pickle or datasets.ntu_rgbd"
        )
    if is_video_name(path.name):
        raise DatasetError(f"{path}: is a video without a label; give the folder of the clips, or recognize it")
    raise DatasetError(
        f"{path}: no format is told by this file; give its folder, or say format=, one of {', '.join(FORMATS)}"
    )
