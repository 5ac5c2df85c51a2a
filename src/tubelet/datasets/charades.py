"""Charades: several actions in one video, from when to when.

Layout: `Charades_v1_train.csv`, `Charades_v1_test.csv` and `Charades_v1_classes.txt` in the folder, in `Charades/`, in
`annotations/` or `labels/`; videos `Charades_v1_480/46GP8.mp4` anywhere below it. The CSV has, among others, the
columns `id`, `subject`, `length` (seconds) and `actions`: `c092 11.90 21.20;c147 0.00 12.60`, which may be empty. A
line of the classes is `c092 Pouring something into a cup`. There is no validation part; people practise on the test
part.

Source: Sigurdsson et al. 2016, arXiv:1604.01753, and the CSV files and readme of the dataset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tubelet.datasets.annotation_files import (
    Row,
    annotation_folders,
    csv_rows,
    line_of,
    need_annotations,
    read_lines,
)
from tubelet.datasets.clip_ids import path_id
from tubelet.datasets.labelled import ClipSet, LabelledClip, Split
from tubelet.datasets.listed_clips import ListedClips
from tubelet.datasets.temporal import TimelineSet, VideoTimeline
from tubelet.metrics.timeline import LabelledInterval

ANNOTATION_FOLDERS = ("Charades",)
_FILES: dict[Split, str] = {"train": "Charades_v1_train.csv", "test": "Charades_v1_test.csv"}
_GROUP_RULE = "the person who made the video (column subject)"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Video:
    path: Path
    group: str
    split: Split
    length_s: float | None
    actions: tuple[tuple[int, float, float], ...]  # class, from, to


@dataclass(frozen=True, kw_only=True)
class _Annotations:
    classes: tuple[str, ...]
    videos: tuple[_Video, ...]
    split_rule: str
    left_out: tuple[str, ...]


def read_charades(root: Path, *, annotations: Path | None = None, allow_missing: bool = False) -> ClipSet:
    """Read Charades as whole videos with all the actions in each: a multi-label set.

    Args:
        root: Folder with the videos at any depth.
        annotations: Folder of the CSV files, where it is not in the root.
        allow_missing: Leave out videos whose file is not there, and say so in `split_rule`, instead of refusing.

    Raises:
        DatasetError: A file of annotations is missing or has a line that is not as described, a video is listed twice,
            or videos are missing.
    """
    read = _read(root, annotations, allow_missing=allow_missing)
    clips = tuple(
        LabelledClip(
            id=path_id(video.path, root),
            path=video.path,
            labels=tuple(sorted({label for label, _, _ in video.actions})),
            group=video.group,
            split=video.split,
        )
        for video in read.videos
    )
    return ClipSet(
        name="Charades",
        root=root,
        classes=read.classes,
        clips=clips,
        is_multi_label=True,
        split_rule=read.split_rule,
        group_rule=_GROUP_RULE,
    )


def read_charades_timelines(root: Path, *, annotations: Path | None = None, allow_missing: bool = False) -> TimelineSet:
    """Read Charades as videos with actions from when to when, for temporal detection.

    Args:
        root: Folder with the videos at any depth.
        annotations: Folder of the CSV files, where it is not in the root.
        allow_missing: Leave out videos whose file is not there, and say so in `split_rule`, instead of refusing.

    Returns:
        Actions of no length are in `left_out`.

    Raises:
        DatasetError: As `read_charades`.
    """
    read = _read(root, annotations, allow_missing=allow_missing)
    videos = tuple(
        VideoTimeline(
            id=path_id(video.path, root),
            path=video.path,
            intervals=tuple(
                sorted(LabelledInterval(start_s, end_s, read.classes[label]) for label, start_s, end_s in video.actions)
            ),
            duration_s=video.length_s,
            group=video.group,
            split=video.split,
        )
        for video in read.videos
    )
    return TimelineSet(
        name="Charades",
        root=root,
        classes=read.classes,
        videos=videos,
        left_out=read.left_out,
        split_rule=read.split_rule,
        group_rule=_GROUP_RULE,
    )


def _read(root: Path, annotations: Path | None, *, allow_missing: bool) -> _Annotations:
    folders = annotation_folders(root, annotations, *ANNOTATION_FOLDERS)
    classes = _read_classes(need_annotations(["Charades_v1_classes.txt"], folders, "the list of classes"))
    places = {code: index for index, code in enumerate(classes)}
    listed = ListedClips(root)
    videos: list[_Video] = []
    without_length: list[str] = []
    for split, file in _FILES.items():
        for row in csv_rows(
            need_annotations([file], folders, f"the {split} list"), ("id", "subject", "actions"), optional=("length",)
        ):
            name = row.text("id")
            path = listed.find(name, row.place, stems=[name])
            actions = tuple(_actions(row, places))
            without_length += [
                f"{name}: {start_s:g} to {end_s:g} s has no length" for _, start_s, end_s in actions if end_s <= start_s
            ]
            if path is None:
                continue
            videos.append(
                _Video(
                    path=path,
                    group=row.text("subject"),
                    split=split,
                    length_s=row.number("length") if row.values.get("length", "").strip() else None,
                    actions=tuple(each for each in actions if each[2] > each[1]),
                )
            )
    return _Annotations(
        classes=tuple(classes.values()),
        videos=tuple(videos),
        split_rule=f"the official {' and '.join(_FILES.values())}{listed.left_out(allow_missing=allow_missing)}",
        left_out=tuple(without_length),
    )


def _read_classes(path: Path) -> dict[str, str]:
    """Names by code, in the order of the codes."""
    classes: dict[str, str] = {}
    for line, text in read_lines(path):
        code, _, name = text.partition(" ")
        if not name.strip() or code in classes or not (code[:1] == "c" and code[1:].isdigit()):
            raise line_of(path, line).error(f"{text!r}; allowed: a new code such as c092, a space and a name")
        classes[code] = name.strip()
    return dict(sorted(classes.items()))


def _actions(row: Row, places: dict[str, int]) -> Iterator[tuple[int, float, float]]:
    for text in filter(None, (part.strip() for part in row.values["actions"].split(";"))):
        parts = text.split()
        if len(parts) != 3:
            raise row.place.error(f"an action is {text!r}; allowed: a class and two times, c092 11.90 21.20")
        if parts[0] not in places:
            raise row.place.error(
                f"there is no class {parts[0]!r} in Charades_v1_classes.txt; it has {min(places)} to {max(places)}"
            )
        yield places[parts[0]], row.place.number(parts[1], "the begin"), row.place.number(parts[2], "the end")
