"""VP-UCF101 and VP-HMDB51: five private attributes for every video of UCF-101 and of HMDB51.

The labels are one file for each dataset, and the videos and their folds are those of UCF-101 and HMDB51. Published is
a pickled dict from `Class/video.mp4` to a (1, 5) array of 0 and 1, and the scripts beside it read the same from a CSV
with the columns `File Path` and `Array Values` (`[1, 0, 1, 0, 0]`). The pickle is read as data, without running what it
says, and `convert_vp_labels` writes either as a CSV `video,attr0,attr1,attr2,attr3,attr4`, which is read here as well.

Nothing that is published says which attribute is which. The labels were made for skin colour, face, gender, nudity and
relationship; until somebody confirms the order they are called `attr0` to `attr4`.

Source: labels of STPrivacy, Li et al. 2023, arXiv:2301.03046, in the files that come with arXiv:2603.26336 (commit
f819730 of its repository).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tubelet.datasets.annotation_files import Row, csv_header, csv_rows
from tubelet.datasets.clip_keys import clip_key, numbers_in
from tubelet.datasets.hmdb51 import names_in_hmdb51, read_hmdb51
from tubelet.datasets.labelled import ClipSet
from tubelet.datasets.plain_pickle import read_plain_pickle
from tubelet.datasets.private_attributes import (
    KEY_COLUMN,
    PrivateLabels,
    joined,
    read_private_csv,
    with_parts_apart,
    write_private_csv,
)
from tubelet.datasets.ucf101 import names_in_ucf101, read_ucf101
from tubelet.errors import DatasetError

VP_ATTRIBUTES = ("attr0", "attr1", "attr2", "attr3", "attr4")
_PATH, _VALUES = "File Path", "Array Values"
_ALLOWED = f"allowed: {len(VP_ATTRIBUTES)} numbers, each 0 or 1"


def read_vp_labels(path: Path) -> PrivateLabels:
    """Read the labels of one of the two datasets.

    Args:
        path: The published pickle (`.pickle` or `.pkl`) or CSV, or a CSV of `convert_vp_labels`.

    Raises:
        DatasetError: The file cannot be read as plain data, has another layout, a video twice, or a label that is not
            five times 0 or 1.
    """
    kind = path.suffix.lower()
    if kind in (".pickle", ".pkl"):
        return _from_pickle(path)
    if kind != ".csv":
        raise DatasetError(f"{path}: is {kind or 'a file without an ending'}; allowed: .pickle, .pkl or .csv")
    if _PATH in csv_header(path):
        rows = list(csv_rows(path, [_PATH, _VALUES]))
        return _labels(path, [row.text(_PATH) for row in rows], [_cells(row) for row in rows])
    labels = read_private_csv(path)
    if len(labels.attributes) != len(VP_ATTRIBUTES):
        raise DatasetError(
            f"{path}: has the attributes {', '.join(labels.attributes)}; "
            f"allowed: {KEY_COLUMN},{','.join(VP_ATTRIBUTES)}"
        )
    return labels


def convert_vp_labels(source: Path, out: Path) -> PrivateLabels:
    """Write labels, of whatever layout `read_vp_labels` reads, as a CSV `video,attr0,…,attr4`.

    Args:
        source: The published file.
        out: The CSV to write.

    Returns:
        What was written.

    Raises:
        DatasetError: As `read_vp_labels`.
        OutputExistsError: The CSV is there already.
    """
    labels = read_vp_labels(source)
    write_private_csv(labels, out)
    return labels


def read_vp_ucf101(
    root: Path, labels: Path, *, fold: int = 1, annotations: Path | None = None, allow_missing: bool = False
) -> tuple[ClipSet, PrivateLabels]:
    """One fold of UCF-101 with the private attributes of its clips.

    Args:
        root: Folder with the videos at any depth.
        labels: As for `read_vp_labels`.
        fold: 1 to 3.
        annotations: Folder of the lists of UCF-101, where it is not in the root.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing.

    Returns:
        The clips, and one row of labels for each of them in the same order.

    Raises:
        DatasetError: As `read_ucf101`, `read_vp_labels`, `joined` and `require_disjoint`.
    """
    clips = read_ucf101(root, annotations=annotations, fold=fold, allow_missing=allow_missing)
    clips = with_parts_apart(replace(clips, name=f"VP-UCF101, {clips.name}"))
    known = names_in_ucf101(root, annotations=annotations, fold=fold)
    return clips, joined(read_vp_labels(labels), clips, known=[clip_key(name) for name in known])


def read_vp_hmdb51(
    root: Path, labels: Path, *, fold: int = 1, annotations: Path | None = None, allow_missing: bool = False
) -> tuple[ClipSet, PrivateLabels]:
    """One fold of HMDB51 with the private attributes of its clips.

    The official folds keep clips of one film apart within a class and not across classes; `split_rule` says how many
    test clips come from a film that is trained on in another class.

    Args:
        root: Folder with the videos at any depth.
        labels: As for `read_vp_labels`.
        fold: 1 to 3.
        annotations: Folder of the lists of HMDB51, where it is not in the root.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing.

    Returns:
        The clips, and one row of labels for each of them in the same order. Labels of clips in neither part of the fold
        are left out.

    Raises:
        DatasetError: As `read_hmdb51`, `read_vp_labels`, `joined` and `require_disjoint`.
    """
    clips = read_hmdb51(root, annotations=annotations, fold=fold, allow_missing=allow_missing)
    clips = with_parts_apart(replace(clips, name=f"VP-HMDB51, {clips.name}"), within_class=True)
    known = names_in_hmdb51(root, annotations=annotations, fold=fold)
    return clips, joined(read_vp_labels(labels), clips, known=[clip_key(name) for name in known])


def _from_pickle(path: Path) -> PrivateLabels:
    content = read_plain_pickle(path)
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content):
        raise DatasetError(f"{path}: holds no dict of videos; each Class/video.mp4 must have its labels; {_ALLOWED}")
    return _labels(path, list(content), list(content.values()))


def _labels(path: Path, names: Sequence[str], values: Sequence[object]) -> PrivateLabels:
    table = np.empty((len(names), len(VP_ATTRIBUTES)), dtype=np.float32)
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        row = numbers_in(value)
        if row is None or row.shape != (len(VP_ATTRIBUTES),):
            raise DatasetError(f"{path}: {name} has {value!r}; {_ALLOWED}")
        table[number] = row
    keys = tuple(clip_key(name) for name in names)
    return PrivateLabels(name=str(path), attributes=VP_ATTRIBUTES, keys=keys, values=table)


def _cells(row: Row) -> list[float]:
    words = re.split(r"[\s,]+", row.text(_VALUES).strip("[]() "))
    if len(words) != len(VP_ATTRIBUTES) or not set(words) <= {"0", "1", "0.", "1.", "0.0", "1.0"}:
        raise row.place.error(f"{_VALUES} of {row.text(_PATH)} is {row.text(_VALUES)!r}; {_ALLOWED}")
    return [float(word) for word in words]
