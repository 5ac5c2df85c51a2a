"""Diving48, version 2 of its labels.

Layout: `Diving48_V2_train.json`, `Diving48_V2_test.json` and `Diving48_vocab.json` in the folder, in `annotations/` or
`labels/`; videos `rgb/_8Vy3dlHg2w_00000.mp4` anywhere below it. An item is
`{"vid_name": "_8Vy3dlHg2w_00000", "label": 12, "start_frame": 0, "end_frame": 84}`; the vocabulary is a list of
`["Back", "15som", "05Twis", "FREE"]`, whose place in the list is the label, from 0. A file is one dive; its frames run
from the first to the last of the file, so nothing is cut. There is no validation part.

Source: Li, Li, Vasconcelos 2018 (ECCV) and the JSON files of the dataset; the layout as MMAction2 keeps it
(tools/data/diving48/README.md at commit 4d6c9347).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tubelet.datasets.annotation_files import Place, annotation_folders, need_annotations, read_items, read_json
from tubelet.datasets.labelled import ClipSet, Split
from tubelet.datasets.listed_clips import ListedClips
from tubelet.errors import DatasetError

_FILES: dict[Split, str] = {"train": "Diving48_V2_train.json", "test": "Diving48_V2_test.json"}


def read_diving48(root: Path, *, annotations: Path | None = None, allow_missing: bool = False) -> ClipSet:
    """Read Diving48, or a dataset in its layout.

    Args:
        root: Folder with the videos at any depth.
        annotations: Folder of the JSON files, where it is not in the root.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing.

    Raises:
        DatasetError: A JSON file is missing or is not as described, a video is listed twice, or files are missing.
    """
    folders = annotation_folders(root, annotations)
    classes = _read_vocabulary(need_annotations(["Diving48_vocab.json"], folders, "the vocabulary"))
    listed = ListedClips(root)
    for split, file in _FILES.items():
        for place, item in read_items(need_annotations([file], folders, f"the {split} list")):
            name, label = _read_item(item, len(classes), place)
            group = re.sub(r"_\d+$", "", name)
            listed.add(name, place, stems=[name], labels=(label,), group=group, split=split)
    return listed.clip_set(
        "Diving48 V2",
        classes,
        split_rule=f"the official {' and '.join(_FILES.values())}",
        group_rule="the video of the competition that a dive is cut from, as the name tells before its number",
        allow_missing=allow_missing,
    )


def _read_vocabulary(path: Path) -> tuple[str, ...]:
    items = read_json(path)
    if not isinstance(items, list) or not all(isinstance(item, list | str) and item for item in items) or not items:
        raise DatasetError(f'{path}: is no list of dives such as ["Back", "15som", "05Twis", "FREE"]')
    return tuple(item if isinstance(item, str) else " ".join(map(str, item)) for item in items)


def _read_item(item: dict[str, Any], num_classes: int, place: Place) -> tuple[str, int]:
    name, label = item.get("vid_name"), item.get("label")
    if not isinstance(name, str) or not name:
        raise place.error(f"vid_name is {name!r}; allowed: an object with vid_name and label")
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < num_classes:
        raise place.error(f"the label is {label!r}; allowed: 0 to {num_classes - 1} (do the ids count from 1?)")
    return name, label
