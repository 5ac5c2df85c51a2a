"""AVA: what each person does at moments of films, as boxes with several actions.

Layout: `ava_train_v2.2.csv` and `ava_val_v2.2.csv` (any release), without a header: video, second of the film, x0, y0,
x1, y1 as shares of the picture, number of the action, number of the person:
`-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1`; a person with two actions has two rows. Without an action the person
does none of them. `ava_action_list_v2.2_for_activitynet_2019.pbtxt` (or a CSV with `label_id,label_name`) names the
actions, whose numbers begin at 1 and have gaps. Rows may have actions that the list has not; they are told and not
taken. `ava_train_excluded_timestamps_v2.2.csv` lists video and second of moments not to use. All are in the folder or
in `annotations/`. Videos are `-5KQ66BBWC4.mkv`, with any ending, anywhere below it; the usual cuts to minutes 15 to 30
begin at second 900 of the film.

Source: Gu et al. 2018, arXiv:1705.08421, and the CSV files of the dataset; MMAction2,
tools/data/ava/AVA_annotation_explained.md and ava_utils.py, and SlowFast's slowfast/datasets/ava_helper.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tubelet.datasets.annotation_files import (
    Place,
    annotation_folders,
    csv_cells,
    csv_rows,
    find_annotations,
    line_of,
    need_annotations,
    read_text,
)
from tubelet.datasets.labelled import Split
from tubelet.datasets.listed_clips import ListedClips
from tubelet.datasets.temporal import KeyFrame, KeyFrameSet, PersonBox
from tubelet.errors import DatasetError

_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_ITEM = re.compile(r"(?:item|label)\s*\{(?P<inside>[^{}]*)\}")
_NAME = re.compile(r'\bname:\s*"((?:[^"\\]|\\.)*)"')
_ID = re.compile(r"\b(?:label_)?id:\s*(\d+)")
_ROW = "allowed: video,second,x0,y0,x1,y1,action,person"

_Key = tuple[str, float]  # video, second of the film
_Person = tuple[tuple[float, float, float, float], str | None]


def read_ava(
    root: Path,
    *,
    annotations: Path | None = None,
    with_videos: bool = True,
    video_begins_at_s: float = 0.0,
    allow_missing: bool = False,
) -> KeyFrameSet:
    """Read AVA, or a dataset in its layout.

    Args:
        root: Folder with the videos at any depth.
        annotations: Folder of the CSV files, where it is not in the root.
        with_videos: Whether to look for the videos; rows alone suffice to compare predictions with.
        video_begins_at_s: Second of the film at which the files begin: 900 for the usual cuts.
        allow_missing: Leave out moments of videos that are not there instead of refusing.

    Raises:
        DatasetError: A file of annotations is missing or has a line that is not as described, a moment lies before the
            beginning of the files, or videos are missing.
    """
    folders = annotation_folders(root, annotations)
    ids, classes = _read_actions(
        need_annotations(["ava_action_list*.pbtxt", "ava_action_list*.csv", "*.pbtxt"], folders, "the list of actions")
    )
    places = {number: index for index, number in enumerate(ids)}
    listed = ListedClips(root) if with_videos else None
    frames: list[KeyFrame] = []
    excluded: list[_Key] = []
    unlisted: set[int] = set()
    for split in _SPLITS:
        path = find_annotations([f"ava_{split}_v*.csv"], folders)
        if path is None:
            continue
        unused = find_annotations([f"ava_{split}_excluded_timestamps_v*.csv"], folders)
        not_used = set(_read_excluded(unused)) if unused else set()
        excluded += sorted(not_used)
        rows = _read_rows(path, places, unlisted)
        paths: dict[str, Path | None] = {}
        for (video, second), (place, people) in sorted(rows.items()):
            if video not in paths:
                paths[video] = listed.find(video, Place(path, place.where), stems=[video]) if listed else None
            if (video, second) in not_used or (listed and paths[video] is None):
                continue
            if second < video_begins_at_s:
                raise place.error(f"the second is {second:g}, before the files begin ({video_begins_at_s:g})")
            frames.append(
                KeyFrame(
                    video_id=video,
                    time_s=second - video_begins_at_s,
                    people=tuple(
                        PersonBox(box=box, labels=tuple(sorted(labels)), person_id=person)
                        for (box, person), labels in people.items()
                    ),
                    path=paths[video],
                    split=split,
                )
            )
    if not frames:
        raise DatasetError(
            f"{root}: no ava_train_v*.csv, ava_val_v*.csv or ava_test_v*.csv lists a moment; put them there"
        )
    if listed:
        listed.left_out(allow_missing=allow_missing)
    if not any(person.labels for frame in frames for person in frame.people):
        raise DatasetError(f"{root}: no row has an action of the list; are rows and list of one release?")
    return KeyFrameSet(
        name="AVA",
        classes=classes,
        class_ids=ids,
        frames=tuple(frames),
        excluded=tuple(dict.fromkeys(excluded)),
        unlisted_actions=tuple(sorted(unlisted)),
    )


def _read_actions(path: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Numbers and names of the actions, by rising number."""
    pairs: list[tuple[int, str]] = []
    if path.suffix.lower() == ".csv":
        for row in csv_rows(path, ("label_id", "label_name")):
            number = row.text("label_id")
            if not number.isdecimal():
                raise row.place.error(f"label_id is {number!r}; allowed: a whole number")
            pairs.append((int(number), row.text("label_name")))
    else:
        for item in _ITEM.finditer(read_text(path)):
            named, numbered = _NAME.search(item["inside"]), _ID.search(item["inside"])
            if named is None or numbered is None:
                raise DatasetError(f'{path}: has the entry {item[0]!r}; allowed: item {{ name: "sit" id: 11 }}')
            pairs.append((int(numbered[1]), named[1].replace('\\"', '"')))
    pairs.sort()
    numbers, names = tuple(number for number, _ in pairs), tuple(name for _, name in pairs)
    if not pairs or len(set(numbers)) < len(numbers) or len(set(names)) < len(names):
        raise DatasetError(f"{path}: has {'no action' if not pairs else 'a number or a name twice'}; take another copy")
    return numbers, names


def _read_rows(
    path: Path, places: dict[int, int], unlisted: set[int]
) -> dict[_Key, tuple[Place, dict[_Person, set[int]]]]:
    found: dict[_Key, tuple[Place, dict[_Person, set[int]]]] = {}
    for line, cells in csv_cells(path):
        place = line_of(path, line)
        if len(cells) not in (7, 8) or not cells[0].strip():
            raise place.error(f"has {len(cells)} values; {_ROW}")
        x0, y0, x1, y1 = (
            place.number(value, name) for value, name in zip(cells[2:6], ("x0", "y0", "x1", "y1"), strict=True)
        )
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise place.error(f"the box is {','.join(cells[2:6])}; allowed: 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1")
        action = cells[6].strip()
        if action and not action.isdecimal():
            raise place.error(f"the action is {action!r}; allowed: a number of the list of actions, or nothing")
        key = (cells[0].strip(), place.number(cells[1], "the second"))
        people = found.setdefault(key, (place, {}))[1]
        labels = people.setdefault(((x0, y0, x1, y1), cells[7].strip() if len(cells) == 8 else None), set())
        if action and int(action) in places:
            labels.add(places[int(action)])
        elif action:
            unlisted.add(int(action))
    return found


def _read_excluded(path: Path) -> Iterator[_Key]:
    for line, cells in csv_cells(path):
        place = line_of(path, line)
        if len(cells) != 2:
            raise place.error(f"has {len(cells)} values; allowed: video,second")
        yield cells[0].strip(), place.number(cells[1], "the second")
