"""Annotation lists of MMAction2, and the `path label` files of SlowFast and VideoMAE.

A line is `some/path/000.mp4 1`, with several numbers where the set is multi-label, or `some/path/000.mp4,1`. Labels
count from 0. `label_map.txt` (or `classes.txt`) beside the list or in `annotations/`, one name a line, names the
classes; without one they are called by their numbers. Paths are absolute, or relative to the list's folder, to
`videos/` in it, or to `videos_train/`, `videos_val/` or `videos_test/` for the list's split. A folder is read by its
lists: names that end in `videos.txt` and have train, val or test in them, and the number of the fold where there are
folds (`ucf101_train_split_1_videos.txt`). Lists of folders with pictures (rawframes) are not read.

Source: MMAction2, mmaction/datasets/video_dataset.py, tools/data/kinetics/README.md and the lists in
tests/data/annotations at commit 4d6c9347; SlowFast, slowfast/datasets/DATASET.md at commit 287ec00.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tubelet.datasets.annotation_files import (
    Place,
    annotation_folders,
    find_annotations,
    line_of,
    read_lines,
    split_named,
)
from tubelet.datasets.class_labels import WrittenLabels, read_classes, resolve_labels
from tubelet.datasets.clip_ids import path_id
from tubelet.datasets.grouping import GROUP_RULE, groups_of
from tubelet.datasets.labelled import ClipSet, LabelledClip, Split
from tubelet.datasets.video_files import is_video_name, left_out
from tubelet.errors import DatasetError

_CLASS_FILES = ("label_map.txt", "classes.txt")
_LINE = re.compile(r"(?P<path>.+?)(?P<labels>(?:[ \t,]+[+-]?\d+)*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    place: Place
    name: str
    path: Path | None
    labels: tuple[object, ...]
    split: Split | None


def read_mmaction2(
    path: Path, *, annotations: Path | None = None, fold: int = 1, allow_missing: bool = False
) -> ClipSet:
    """Read one list, or the lists of a folder.

    Args:
        path: A list, or the folder of the dataset.
        annotations: Folder of the lists, where it is not `path`.
        fold: Which fold's lists, where a folder has several.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing.

    Raises:
        DatasetError: There is no list, a line is not as described or lists a folder of pictures, a video is listed
            twice, labels count from 1 or have gaps, or files are missing.
    """
    if path.is_file():
        root, lists = path.parent, {_split_of(path): path}
        folders = [root]
    else:
        root, folders = path, annotation_folders(path, annotations)
        lists = mmaction2_lists(folders, fold)
        if not lists:
            raise DatasetError(
                f"no list of MMAction2 is there: looked for *train*videos.txt and the like (fold {fold}) in "
                f"{', '.join(map(str, folders))}; give the list itself"
            )
    lines = [line for split, file in lists.items() for line in _read(file, split, root)]
    _check_once(lines)
    named = find_annotations(_CLASS_FILES, folders)
    written = [WrittenLabels(labels=line.labels, place=line.place) for line in lines]
    classes, labels = resolve_labels(written, read_classes(named) if named else None)
    missing = [line.name for line in lines if line.path is None]
    rule = left_out(missing, len(lines), root, allow_missing=allow_missing)
    there = [(line, line.path, its) for line, its in zip(lines, labels, strict=True) if line.path is not None]
    ids = [path_id(file, root) for _, file, _ in there]
    clips = tuple(
        LabelledClip(id=each, path=file, labels=its, group=group, split=line.split)
        for each, group, (line, file, its) in zip(ids, groups_of(ids), there, strict=True)
    )
    return ClipSet(
        name=f"{', '.join(file.name for file in lists.values())} (path and label)",
        root=root,
        classes=classes,
        clips=clips,
        is_multi_label=any(len(line.labels) > 1 for line in lines),
        split_rule=("by the lists" if None not in lists else "no split was given") + rule,
        group_rule=GROUP_RULE,
    )


def mmaction2_lists(folders: list[Path], fold: int = 1) -> dict[Split | None, Path]:
    """Lists of videos by split: those of one fold in the first of these folders that has some.

    Raises:
        DatasetError: A folder has two for one split.
    """
    for folder in folders:
        found: dict[Split | None, Path] = {}
        for path in sorted(folder.glob("*videos.txt")):
            number = re.search(r"split_?(\d+)", path.stem)
            split = _split_of(path)
            if split is None or (number and int(number[1]) != fold):
                continue
            if split in found:
                raise DatasetError(f"{folder}: {found[split].name} and {path.name} are both for {split}; give one list")
            found[split] = path
        if found:
            return found
    return {}


def _split_of(path: Path) -> Split | None:
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((split for word in words if (split := split_named(word))), None)


def _read(file: Path, split: Split | None, root: Path) -> Iterator[_Line]:
    prefixes = [file.parent, root, root / "videos", *([root / f"videos_{split}"] if split else [])]
    for number, text in read_lines(file):
        place = line_of(file, number)
        found = _LINE.fullmatch(text)
        name = found["path"].strip() if found else text
        labels = tuple(found["labels"].replace(",", " ").split()) if found else ()
        if not is_video_name(os.path.basename(name)):
            raise place.error(
                f"{name!r} has no ending of a video; allowed: a video and its label. Lists of folders with pictures "
                "(rawframes: folder, number of pictures, label) are not read: make videos of them first"
            )
        if not labels and split != "test":
            raise place.error(f"{text!r} has no label; allowed: a video and its number, counted from 0")
        paths = (prefix / name for prefix in prefixes)
        path = next((path for path in paths if os.path.isfile(path)), None)
        yield _Line(
            place=place,
            name=name,
            path=None if path is None else Path(os.path.normpath(path)),
            labels=labels,
            split=split,
        )


def _check_once(lines: list[_Line]) -> None:
    seen: dict[str, _Line] = {}
    for line in lines:
        key = line.name if line.path is None else str(line.path)
        before = seen.setdefault(key, line)
        if before is not line:
            raise line.place.error(
                f"{line.name} is in {before.place.path.name}, {before.place.where} already; keep one"
            )
