"""HMDB51 with its three official folds.

Layout: videos `brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi` anywhere below the folder, with any ending; and a
file `brush_hair_test_split1.txt` for each class and fold in it, in `testTrainMulti_7030_splits/` or in `annotations/`.
Its lines are a file name and 1 (train), 2 (test) or 0 (in neither part of this fold). Classes are in the order of the
alphabet. There is no validation part.

Names tell the source before the class (`April_09`), then what is seen of the body, camera motion, number of people,
view, quality, and a count.

Source: Kuehne, Jhuang, Garrote, Poggio, Serre 2011 (ICCV) and the readme of its splits; the layout as MMAction2 keeps
it (tools/data/hmdb51/README.md and parse_file_list.py at commit 4d6c9347).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tubelet.datasets.annotation_files import Place, annotation_folders, line_of, read_lines
from tubelet.datasets.labelled import ClipSet, Split
from tubelet.datasets.listed_clips import ListedClips
from tubelet.errors import DatasetError

ANNOTATION_FOLDERS = ("testTrainMulti_7030_splits",)
_FACTS = r"_[a-z]+_(?:cm|nm)_np\d+_[a-z]+_[a-z]+_\d+"
_SPLITS: dict[str, Split | None] = {"0": None, "1": "train", "2": "test"}


def read_hmdb51(root: Path, *, annotations: Path | None = None, fold: int = 1, allow_missing: bool = False) -> ClipSet:
    """Read one fold of HMDB51, or of a dataset in its layout.

    Args:
        root: Folder with the videos at any depth.
        annotations: Folder of the lists, where it is not in the root.
        fold: 1 to 3.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing.

    Raises:
        DatasetError: The lists of the fold are missing or have a line that is not as described; a clip is listed twice;
            files are missing.
    """
    classes, lines = _read_lists(root, annotations, fold)
    listed = ListedClips(root)
    for line in lines:
        if line.split is None:
            continue
        stem = line.name.rpartition(".")[0] or line.name
        listed.add(
            f"{line.class_name}/{line.name}",
            line.place,
            stems=[stem],
            near=[line.class_name],
            labels=(classes.index(line.class_name),),
            group=_source(stem, line.class_name),
            split=line.split,
        )
    return listed.clip_set(
        f"HMDB51 fold {fold}",
        classes,
        split_rule=f"the official lists of fold {fold}; clips in neither part are left out",
        group_rule="the film or source that the file name tells before the class, in whatever class; else the file",
        allow_missing=allow_missing,
    )


def names_in_hmdb51(root: Path, *, annotations: Path | None = None, fold: int = 1) -> tuple[str, ...]:
    """Every video that the lists of a fold name, as `CLASS/FILE.avi`, those in neither part among them.

    Args:
        root: Folder of the dataset.
        annotations: Folder of the lists, where it is not in the root.
        fold: 1 to 3.

    Raises:
        DatasetError: The lists of the fold are missing or have a line that is not as described.
    """
    return tuple(f"{line.class_name}/{line.name}" for line in _read_lists(root, annotations, fold)[1])


class _Line(NamedTuple):
    place: Place
    class_name: str
    name: str
    split: Split | None


def _read_lists(root: Path, annotations: Path | None, fold: int) -> tuple[tuple[str, ...], list[_Line]]:
    """Classes, and the lines of all their lists."""
    ending = f"_test_split{fold}.txt"
    folders = annotation_folders(root, annotations, *ANNOTATION_FOLDERS)
    lists = next((found for folder in folders if (found := sorted(folder.glob(f"*{ending}")))), [])
    if not lists:
        looked = ", ".join(map(str, folders))
        raise DatasetError(f"the lists of fold {fold} are not there: looked for *{ending} in {looked}; allowed: 1 to 3")
    lines = []
    for path in lists:
        for line, text in read_lines(path):
            place = line_of(path, line)
            name, _, number = text.rpartition(" ")
            name = name.strip()
            if number not in _SPLITS or not name:
                raise place.error(f"{text!r}; allowed: a file name and 1 (train), 2 (test) or 0 (neither)")
            lines.append(_Line(place, path.name.removesuffix(ending), name, _SPLITS[number]))
    return tuple(path.name.removesuffix(ending) for path in lists), lines


def _source(stem: str, class_name: str) -> str:
    found = re.fullmatch(rf"(.+)_{re.escape(class_name)}{_FACTS}", stem)
    return found[1] if found else f"{class_name}/{stem}"
