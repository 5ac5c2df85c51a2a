"""VISPR: photographs with private attributes, for attackers and anonymisers that look at single pictures.

Layout: pictures `train2017/2017_64948624.jpg`, `val2017/…` and `test2017/…`. Their labels come in one of two layouts:

- as published, a JSON file for each picture whose `labels` list the attributes that show, out of 68
  (`["a4_gender", "a17_color"]`), in `annotations/train2017/`, `train2017_annotation/` or beside the pictures;
- as TeD-SPAD and SPAct use them, a file `train_labels.pkl` and a `test_labels.pkl` (or `.json`) with a dict from
  `2017_64948624` to seven numbers 0 and 1. Pickles are read as data, without running what they say.

Nothing in the seven numbers says which attribute is which. They are called `attr0` to `attr6` unless their names are
given; `VISPR1` are the attributes that SPAct names, in an order that fits how frequent the columns are (a skin colour
or a gender shows in half of the pictures, nudity and relationships in few), which is no proof.

Source: Orekondy, Schiele, Fritz 2017, arXiv:1703.10660; SPAct, Dave, Chen, Shah 2022, arXiv:2203.15205; TeD-SPAD,
Fioresi, Dave, Shah 2023, arXiv:2308.11072, with the labels in its repository at commit d374a91.
Differs: SPAct's second set of attributes is not given here; name any others of the 68 with `attributes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from tubelet.datasets.annotation_files import find_annotations, read_json
from tubelet.datasets.clip_keys import check_keys, numbers_in
from tubelet.datasets.labelled import Split
from tubelet.datasets.plain_pickle import read_plain_pickle
from tubelet.datasets.private_attributes import PrivateLabels
from tubelet.errors import DatasetError

VISPR1 = (
    "a17_color",
    "a4_gender",
    "a9_face_complete",
    "a10_face_partial",
    "a12_semi_nudity",
    "a64_rel_personal",
    "a65_rel_social",
)
"""The seven attributes of SPAct's first set."""

_PICTURES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, kw_only=True, eq=False)
class PrivateImages:
    """Pictures with private attributes.

    Attributes:
        name: What the data are called.
        paths: The files.
        splits: Which part each belongs to.
        labels: One row for each picture in the same order; a key is the file's name without its ending.
    """

    name: str
    paths: tuple[Path, ...]
    splits: tuple[Split, ...]
    labels: PrivateLabels

    def __len__(self) -> int:
        return len(self.paths)

    def of(self, split: Split) -> PrivateImages:
        """The pictures of one part.

        Raises:
            DatasetError: There are none.
        """
        rows = [row for row, each in enumerate(self.splits) if each == split]
        if not rows:
            raise DatasetError(
                f"{self.name} has no pictures in {split!r}; it has {', '.join(sorted(set(self.splits)))}"
            )
        keys = tuple(self.labels.keys[row] for row in rows)
        return replace(
            self,
            paths=tuple(self.paths[row] for row in rows),
            splits=tuple(self.splits[row] for row in rows),
            labels=replace(self.labels, keys=keys, values=self.labels.values[rows]),
        )


def read_vispr(
    root: Path,
    *,
    labels: Path | None = None,
    attributes: Sequence[str] | None = None,
    splits: Sequence[Split] = ("train", "test"),
) -> PrivateImages:
    """Read pictures and labels. No picture is opened.

    Args:
        root: Folder with `train2017` and the like in it.
        labels: Folder of the labels, where it is not the root.
        attributes: Names of the attributes. For a JSON file per picture they choose among the 68, `VISPR1` if none are
            given; for files of numbers they name the columns.
        splits: Which parts to read.

    Raises:
        DatasetError: A folder or the labels of a part are not there or not as described, both layouts are there, a
            picture has no label, a label no picture, or two parts share a picture.
    """
    paths: list[Path] = []
    parts: list[Split] = []
    tables: list[Float32[np.ndarray, "pictures attributes"]] = []
    names: tuple[str, ...] = ()
    for split in splits:
        pictures = _pictures(root / f"{split}2017")
        found, by_key = _labels_of(split, root, labels, attributes)
        if names and found != names:
            raise DatasetError(f"{root}: {split} has the attributes {', '.join(found)}, not {', '.join(names)}")
        names = found
        keys = [path.stem for path in pictures]
        check_keys(keys, list(by_key), what=f"the labels and the pictures of {root / f'{split}2017'}")
        paths += pictures
        parts += [split] * len(pictures)
        tables.append(np.stack([by_key[key] for key in keys]))
    if not paths:
        raise ValueError("splits is empty; allowed: train, val and test")
    return PrivateImages(
        name=f"VISPR ({len(names)} attributes)",
        paths=tuple(paths),
        splits=tuple(parts),
        labels=PrivateLabels(
            name=f"VISPR in {labels or root}",
            attributes=names,
            keys=tuple(path.stem for path in paths),
            values=np.concatenate(tables),
        ),
    )


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: there is no such folder; allowed: train2017, val2017 and test2017 with pictures")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not found:
        raise DatasetError(f"{folder}: there is no picture in it; allowed: {', '.join(_PICTURES)}")
    return found


def _labels_of(
    split: Split, root: Path, labels: Path | None, attributes: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, Float32[np.ndarray, " attributes"]]]:
    """Names of the attributes, and the labels of each picture of a part."""
    where = root if labels is None else labels
    vectors = find_annotations([f"{split}_labels.pkl", f"{split}_labels.json"], [where, where / "vispr_labels"])
    folders = [where / "annotations" / f"{split}2017", where / f"{split}2017_annotation", where / f"{split}2017"]
    folder = next((each for each in folders if each.is_dir() and next(each.glob("*.json"), None)), None)
    if vectors is not None and folder is not None:
        raise DatasetError(
            f"{where}: {vectors.name} and {folder} both have labels; give the folder of one with labels="
        )
    if vectors is not None:
        return _read_vectors(vectors, attributes)
    if folder is not None:
        return _read_annotations(folder, tuple(attributes or VISPR1))
    raise DatasetError(
        f"{where}: the labels of {split} are not there: looked for {split}_labels.pkl, {split}_labels.json and JSON "
        f"files in {', '.join(str(each) for each in folders)}"
    )


def _read_vectors(
    path: Path, attributes: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, Float32[np.ndarray, " attributes"]]]:
    content = read_plain_pickle(path) if path.suffix == ".pkl" else read_json(path)
    if not isinstance(content, Mapping) or not content:
        raise DatasetError(f"{path}: holds no dict of pictures; allowed: the name of each with its numbers 0 and 1")
    names = tuple(attributes or (f"attr{number}" for number in range(len(VISPR1))))
    by_key = {}
    for name, value in content.items():
        row = numbers_in(value)
        if row is None or row.shape != (len(names),):
            raise DatasetError(f"{path}: {name} has {value!r}; allowed: {len(names)} numbers ({', '.join(names)})")
        by_key[str(name)] = row
    return names, by_key


def _read_annotations(
    folder: Path, names: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, Float32[np.ndarray, " attributes"]]]:
    shown = {}
    for path in sorted(folder.glob("*.json")):
        content = read_json(path)
        listed = content.get("labels") if isinstance(content, dict) else None
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise DatasetError(f"{path}: has no list of labels; take the annotation of the dataset")
        shown[path.stem] = set(listed)
    never = [name for name in names if not any(name in each for each in shown.values())]
    if never:
        there = ", ".join(sorted(set.union(*shown.values()))) or "none"
        raise DatasetError(f"{folder}: no picture has {', '.join(never)}; allowed: attributes that are there: {there}")
    return names, {key: np.array([name in each for name in names], np.float32) for key, each in shown.items()}
