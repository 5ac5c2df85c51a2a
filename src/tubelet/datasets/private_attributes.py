"""Private attributes of clips: what a viewer learns of the people in them besides what they do.

A label is 1 where the attribute shows, 0 where it does not, and NaN where nobody knows. Labels belong to a key, the
class and the name of the video without its ending (`YoYo/v_YoYo_g01_c01`), so that it does not matter where the videos
lie, in which container, or in which order a file lists them: labels are joined by key and never by the number of a row.

As a file they are a CSV with the header `video,attr0,attr1,…` and 0, 1 or nothing in the cells.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from tubelet.datasets.annotation_files import Row, csv_header, csv_rows
from tubelet.datasets.clip_keys import check_keys, clip_key, clip_keys, listed
from tubelet.datasets.labelled import ClipSet
from tubelet.errors import DatasetError, OutputExistsError
from tubelet.runs import write_text

KEY_COLUMN = "video"


@dataclass(frozen=True, kw_only=True, eq=False)
class PrivateLabels:
    """Private attributes by key.

    Attributes:
        name: Where they come from.
        attributes: Their names.
        keys: What each row belongs to.
        values: 1, 0, or NaN where nobody knows.

    Raises:
        DatasetError: A key or an attribute is there twice, or a value is something else.
        ValueError: There are not as many rows as keys, or not as many columns as attributes.
    """

    name: str
    attributes: tuple[str, ...]
    keys: tuple[str, ...]
    values: Float32[np.ndarray, "clips attributes"]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.keys), len(self.attributes)):
            raise ValueError(
                f"{self.name}: values are {self.values.shape}; needed: {len(self.keys)} keys by "
                f"{len(self.attributes)} attributes"
            )
        for what, names in (("attributes", self.attributes), ("keys", self.keys)):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise DatasetError(
                    f"{self.name}: {len(twice)} {what} are there more than once: {listed(twice)}; keep each once"
                )
        wrong = np.argwhere(~(np.isnan(self.values) | (self.values == 0) | (self.values == 1)))
        if len(wrong):
            row, column = wrong[0]
            raise DatasetError(
                f"{self.name}: {self.attributes[column]} of {self.keys[row]} is {self.values[row, column]:g} "
                f"({len(wrong)} such values); allowed: 0, 1, and NaN where it is not known"
            )

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, clips: ClipSet) -> Float32[np.ndarray, "clips attributes"]:
        """The values of clips, in their order.

        Raises:
            DatasetError: Some have none.
        """
        keys = clip_keys(clips)
        known = set(self.keys)
        check_keys(keys, [key for key in keys if key in known], what=f"{self.name} and {clips.name}")
        places = {key: row for row, key in enumerate(self.keys)}
        taken: Float32[np.ndarray, "clips attributes"] = self.values[[places[key] for key in keys]]
        return taken

    def without(self, attributes: Collection[str]) -> PrivateLabels:
        """The other attributes.

        Raises:
            DatasetError: None are left.
        """
        kept = [column for column, name in enumerate(self.attributes) if name not in attributes]
        if not kept:
            raise DatasetError(f"{self.name}: without {', '.join(sorted(attributes))} no attribute is left")
        return replace(
            self, attributes=tuple(self.attributes[column] for column in kept), values=self.values[:, kept].copy()
        )

    def fingerprint(self) -> str:
        """A sha256 over keys and values that does not depend on the order of the rows."""
        digest = hashlib.sha256(json.dumps(self.attributes).encode())
        for row in sorted(range(len(self.keys)), key=lambda row: self.keys[row]):
            values = ["" if np.isnan(value) else int(value) for value in self.values[row]]
            digest.update(json.dumps([self.keys[row], values]).encode())
        return digest.hexdigest()


def read_private_csv(path: Path) -> PrivateLabels:
    """Read labels from a CSV `video,attr0,attr1,…`.

    The columns besides `video` are the attributes. A cell is 0, 1, or empty (or `nan`) where it is not known.

    Raises:
        DatasetError: The file cannot be read, has no `video`, no attribute or no line, a video is listed twice, or a
            value is something else.
    """
    rows = list(csv_rows(path, [KEY_COLUMN]))
    attributes = tuple(name for name in csv_header(path) if name != KEY_COLUMN)
    if not attributes or not all(attributes):
        raise DatasetError(f"{path}: has a column without a name, or {KEY_COLUMN} alone; allowed: video,attr0,attr1,…")
    if not rows:
        raise DatasetError(f"{path}: has a header and no labels; give one line per video")
    return PrivateLabels(
        name=str(path),
        attributes=attributes,
        keys=tuple(clip_key(row.text(KEY_COLUMN)) for row in rows),
        values=np.array([[_value(row, name) for name in attributes] for row in rows], dtype=np.float32),
    )


def _value(row: Row, attribute: str) -> float:
    text = row.values[attribute].strip()
    if text.lower() in ("", "nan"):
        return float("nan")
    if text not in ("0", "1", "0.0", "1.0"):
        raise row.place.error(
            f"{attribute} of {row.text(KEY_COLUMN)} is {text!r}; allowed: 0, 1, and nothing where it is not known"
        )
    return float(text)


def write_private_csv(labels: PrivateLabels, path: Path) -> None:
    """Write labels as `read_private_csv` reads them, in the order of their keys.

    Raises:
        OutputExistsError: The file is there already.
    """
    if path.exists():
        raise OutputExistsError(f"{path} is there already; name a new file, or delete it")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([KEY_COLUMN, *labels.attributes])
    for row in sorted(range(len(labels)), key=lambda row: labels.keys[row]):
        cells = ["" if np.isnan(value) else str(int(value)) for value in labels.values[row]]
        writer.writerow([labels.keys[row], *cells])
    write_text(path, text.getvalue())


def joined(labels: PrivateLabels, clips: ClipSet, *, known: Collection[str] = ()) -> PrivateLabels:
    """The labels of a set of clips, one row for each clip in the order of the set.

    Args:
        labels: By key, in any order.
        clips: What to label.
        known: Keys that may have labels and no clip: videos that the dataset lists in no part of this fold, say.

    Raises:
        DatasetError: Clips have no label, labels belong to no clip, or two clips have one key.
    """
    keys = clip_keys(clips)
    check_keys(keys, labels.keys, known=known, what=f"{labels.name} and {clips.name}")
    return replace(labels, keys=tuple(keys), values=labels.rows(clips))


def require_disjoint(train: ClipSet, test: ClipSet, *, within_class: bool = False) -> None:
    """Refuse two parts that share a video or the source of one.

    Args:
        train: One part.
        test: The other.
        within_class: Let parts share a source whose clips are of different classes, as the folds of HMDB51 do.

    Raises:
        DatasetError: They share a video or a group; the message has the first five and the counts.
    """
    said = []
    train_keys, train_paths = set(clip_keys(train)), {clip.path for clip in train.clips}
    videos = [
        key
        for key, clip in zip(clip_keys(test), test.clips, strict=True)
        if key in train_keys or clip.path in train_paths
    ]
    if videos:
        said.append(f"{len(videos)} videos are in both: {listed(videos)}")
    groups = _groups(train, within_class=within_class) & _groups(test, within_class=within_class)
    if groups:
        said.append(f"{len(groups)} sources of clips are in both: {listed(sorted(groups))}")
    if said:
        raise DatasetError(
            f"train ({train.name}) and test ({test.name}) are not apart: {'; '.join(said)}. What is measured on them "
            f"would be memory: split by source (here a source is: {test.group_rule})"
        )


def _groups(clips: ClipSet, *, within_class: bool) -> set[str]:
    if not within_class:
        return {clip.group for clip in clips.clips}
    return {f"{clip.group} in {clips.classes[label]}" for clip in clips.clips for label in clip.labels}


def with_parts_apart(clips: ClipSet, *, within_class: bool = False) -> ClipSet:
    """Check that training and test of a set share nothing, and say in `split_rule` what they do share.

    Args:
        clips: With both parts.
        within_class: As in `require_disjoint`.

    Raises:
        DatasetError: As `require_disjoint`, or a part is not there.
    """
    train, test = clips.of("train"), clips.of("test")
    require_disjoint(train, test, within_class=within_class)
    trained = {clip.group for clip in train.clips}
    shared = sum(clip.group in trained for clip in test.clips)
    if not shared:
        return clips
    said = f"; {shared} of {len(test)} test clips come from a source that is trained on in another class"
    return replace(clips, split_rule=clips.split_rule + said)


def constant_attributes(labels: PrivateLabels, train: ClipSet, test: ClipSet) -> dict[str, str]:
    """Attributes that cannot be learnt or not be tested, each with the reason.

    Args:
        labels: Of both parts.
        train: Clips for training.
        test: Clips for the test.

    Returns:
        Names of the attributes whose known labels are all alike, or missing altogether, in one of the parts.
    """
    found: dict[str, str] = {}
    for part, clips in (("train", train), ("test", test)):
        for name, column in zip(labels.attributes, labels.rows(clips).T, strict=True):
            values = np.unique(column[~np.isnan(column)])
            if len(values) < 2:
                found.setdefault(name, f"always {values[0]:g} in {part}" if len(values) else f"not known in {part}")
    return found
