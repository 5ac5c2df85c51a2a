"""Pose files of MMAction2 and PYSKL (`.pkl`), read without running what they say.

A file holds `{"split": {"xsub_train": [names], …}, "annotations": [...]}`, or the list alone. An annotation is a dict
with `frame_dir` (or `filename`, its name), `label`, `total_frames`, `keypoint` (people, time, joints, 2 or 3
coordinates), and for two coordinates `keypoint_score` (people, time, joints) and `img_shape` (height, width). Splits
are called `train` and `val`, `train1` and `test1` to `train3` and `test3`, `xsub_train` and `xsub_val`, `xview_…` or
`xset_…`. Labels count from 0.

Source: MMAction2, tools/data/skeleton/README.md and mmaction/datasets/pose_dataset.py at commit 4d6c9347.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tubelet.datasets.annotation_files import Place, split_named
from tubelet.datasets.class_labels import WrittenLabels, resolve_labels
from tubelet.datasets.grouping import source_of
from tubelet.datasets.labelled import Split
from tubelet.datasets.ntu_rgbd import parse_ntu_name
from tubelet.datasets.plain_pickle import read_plain_pickle
from tubelet.datasets.skeleton_sequences import SkeletonSequence, SkeletonSet
from tubelet.errors import DatasetError

_SPLIT_KEY = re.compile(r"(?:(?P<protocol>[a-z0-9]+)_)?(?P<split>train|val|test)(?P<fold>\d*)")


def read_pose_pickle(
    path: Path, *, protocol: str | None = None, classes: Sequence[str] | None = None, fps: float | None = None
) -> SkeletonSet:
    """Read a pose file.

    Args:
        path: The file.
        protocol: Which splits to take where there are several: "xsub", "xview", "xset", or the number of a fold, "1".
        classes: Names of the classes; without them they are called by their numbers.
        fps: Frames per second of the videos, which the file does not say.

    Raises:
        DatasetError: The file cannot be read as plain data (see `plain_pickle`), is not as described, has several
            protocols and none was named, lists a name twice in it, or labels count from 1 or have gaps.
    """
    content = read_plain_pickle(path)
    annotations: object = content
    splits: object = {}
    if isinstance(content, dict):
        annotations, splits = content.get("annotations"), content.get("split") or {}
    if not isinstance(annotations, list) or not annotations or not isinstance(splits, dict):
        raise DatasetError(
            f"{path}: holds no list of annotations; allowed: what MMAction2 calls a pose annotation file"
        )
    split_of, split_rule = _splits(path, splits, protocol)
    places = [Place(path, f"annotation {number}") for number in range(len(annotations))]
    items = [_checked(item, place) for item, place in zip(annotations, places, strict=True)]
    found, labels = resolve_labels(
        [WrittenLabels(labels=_labels(item, place), place=place) for item, place in zip(items, places, strict=True)],
        classes,
    )
    sequences = tuple(
        _sequence(item, place, its_labels, split_of, fps)
        for item, place, its_labels in zip(items, places, labels, strict=True)
    )
    there = {each.id for each in sequences}
    lost = sorted(set(split_of) - there)
    if lost:
        raise DatasetError(
            f"{path}: {len(lost)} names of its splits have no annotation, {lost[0]} for one; take another copy"
        )
    return SkeletonSet(
        name=f"{path.name} (poses)",
        classes=found,
        sequences=sequences,
        split_rule=split_rule,
        group_rule="the performer where names are those of NTU RGB+D, the source of parts that the name tells "
        "(_g01_c02 and the like), else the sequence",
    )


def _splits(path: Path, splits: Mapping[Any, Any], protocol: str | None) -> tuple[dict[str, Split], str]:
    """The split of each name by one protocol."""
    by_protocol: dict[str, dict[Split, tuple[str, Any]]] = {}
    for key, names in splits.items():
        parts = _SPLIT_KEY.fullmatch(str(key))
        split = split_named(parts["split"]) if parts else None
        if parts is None or split is None or not isinstance(names, list | tuple | set | frozenset):
            raise DatasetError(f"{path}: has the split {key!r}; allowed: train, val, test1, xsub_train and the like")
        by_protocol.setdefault(parts["protocol"] or parts["fold"], {})[split] = (str(key), names)
    if not by_protocol:
        return {}, "no split was given"
    if protocol is None and len(by_protocol) == 1:
        (protocol,) = by_protocol
    if protocol not in by_protocol:
        asked = "none was named" if protocol is None else f"{protocol!r} is none of them"
        raise DatasetError(f"{path}: has the protocols {', '.join(map(repr, by_protocol))}, and {asked}; name one")
    split_of: dict[str, Split] = {}
    for split, (key, names) in by_protocol[protocol].items():
        for name in names:
            if split_of.setdefault(str(name), split) != split:
                raise DatasetError(f"{path}: {name} is in {key} and in another split of it; keep one of them")
    return split_of, f"the lists {' and '.join(key for key, _ in by_protocol[protocol].values())} of the file"


def _checked(item: object, place: Place) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("frame_dir", item.get("filename")), str):
        raise place.error("is no dict with frame_dir; allowed: frame_dir, label, total_frames and keypoint")
    if "keypoint" not in item:
        raise place.error("has no keypoint: this file is a table of contents whose skeletons lie elsewhere; give those")
    return item


def _labels(item: Mapping[str, Any], place: Place) -> tuple[object, ...]:
    label = item.get("label", -1)
    label = label.item() if isinstance(label, np.generic) else label
    if isinstance(label, bool) or not isinstance(label, int | list | tuple):
        raise place.error(f"the label is {label!r}; allowed: a number counted from 0")
    if isinstance(label, int):
        return () if label == -1 else (label,)  # -1 is how these files say that it is not known
    return tuple(label)


def _sequence(
    item: Mapping[str, Any],
    place: Place,
    labels: tuple[int, ...],
    split_of: Mapping[str, Split],
    fps: float | None,
) -> SkeletonSequence:
    name = str(item.get("frame_dir", item.get("filename")))
    joints, scores = item["keypoint"], item.get("keypoint_score")
    if not _is_numbers(joints) or joints.ndim != 4 or joints.shape[-1] not in (2, 3):
        shape = joints.shape if isinstance(joints, np.ndarray) else type(joints).__name__
        raise place.error(f"keypoint is {shape}; allowed: an array of people, time, joints and 2 or 3 coordinates")
    if scores is not None and (not _is_numbers(scores) or scores.shape != joints.shape[:3]):
        shape = scores.shape if isinstance(scores, np.ndarray) else type(scores).__name__
        raise place.error(f"keypoint_score is {shape}; allowed: an array of {joints.shape[:3]}, as keypoint")
    total = item.get("total_frames", joints.shape[1])
    if total != joints.shape[1]:
        raise place.error(f"total_frames is {total} and keypoint has {joints.shape[1]} frames; they must be the same")
    size = item.get("img_shape")
    subject = parse_ntu_name(name)
    return SkeletonSequence(
        id=name,
        joints=joints.astype(np.float32),
        scores=None if scores is None else scores.astype(np.float32),
        labels=labels,
        group=f"P{subject.subject:03d}" if subject else source_of(Path(name).name) or name,
        split=split_of.get(name),
        fps=fps,
        image_size_px=(int(size[0]), int(size[1])) if isinstance(size, tuple | list) and len(size) == 2 else None,
    )


def _is_numbers(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
