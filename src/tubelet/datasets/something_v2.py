"""Something-Something V2.

Layout: `labels.json` (`{"Putting something on something": "0", …}`), `train.json`, `validation.json` and `test.json`,
or the same with `something-something-v2-` before, in the folder, in `labels/` or in `annotations/`. A video in them is
`{"id": "78687", "label": "holding potato next to vicks vaporub", "template": "Holding [something] next to [something]",
"placeholders": […]}`; its class is the template without the brackets. In a test that is held out there is only the id.
Videos are `78687.webm`, with any ending, anywhere below the folder.

Source: Goyal et al. 2017, arXiv:1706.04261, and the JSON files of the dataset; as MMAction2 reads them
(tools/data/parse_file_list.py at commit 4d6c9347).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tubelet.datasets.annotation_files import (
    Place,
    annotation_folders,
    find_annotations,
    need_annotations,
    read_items,
    read_json,
)
from tubelet.datasets.labelled import ClipSet, Split
from tubelet.datasets.listed_clips import ListedClips
from tubelet.errors import DatasetError

PREFIX = "something-something-v2-"
_FILES: dict[Split, str] = {"train": "train.json", "val": "validation.json", "test": "test.json"}


def read_something_v2(root: Path, *, annotations: Path | None = None, allow_missing: bool = False) -> ClipSet:
    """Read Something-Something V2, or a dataset in its layout.

    Args:
        root: Folder with the videos at any depth.
        annotations: Folder of the JSON files, where it is not in the root.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing.

    Raises:
        DatasetError: A JSON file is missing or is not as described, a template is no class, a video is listed twice, or
            files are missing.
    """
    folders = annotation_folders(root, annotations)
    classes = _read_classes(need_annotations([f"{PREFIX}labels.json", "labels.json"], folders, "the list of classes"))
    places = {name: index for index, name in enumerate(classes)}
    listed = ListedClips(root)
    files = []
    for split, file in _FILES.items():
        path = find_annotations([f"{PREFIX}{file}", file], folders)
        if path is None:
            continue
        files.append(path.name)
        for place, item in read_items(path):
            video_id, labels = _read_item(item, places, place, split)
            listed.add(video_id, place, stems=[video_id], labels=labels, group=video_id, split=split)
    if not files:
        raise DatasetError(f"{root}: none of {', '.join(_FILES.values())} is there; put them there")
    return listed.clip_set(
        "Something-Something V2",
        classes,
        split_rule=f"the official {', '.join(files)}",
        group_rule="every video is its own group: who made it is not published",
        allow_missing=allow_missing,
    )


def _read_classes(path: Path) -> tuple[str, ...]:
    names = read_json(path)
    if not isinstance(names, dict) or not names:
        raise DatasetError(f"{path}: is no object of class names and numbers; take the labels.json of the dataset")
    numbers: dict[int, str] = {}
    for name, number in names.items():
        if not str(number).isdigit() or int(number) >= len(names) or int(number) in numbers:
            raise DatasetError(f"{path}: {name!r} has the number {number!r}; allowed: 0 to {len(names) - 1}, each once")
        numbers[int(number)] = name
    return tuple(numbers[number] for number in range(len(numbers)))


def _read_item(item: dict[str, Any], places: dict[str, int], place: Place, split: Split) -> tuple[str, tuple[int, ...]]:
    video_id = item.get("id")
    if not isinstance(video_id, str | int) or isinstance(video_id, bool) or not str(video_id):
        raise place.error(f"the id is {video_id!r}; allowed: an object with id and template")
    template = item.get("template")
    if template is None and split == "test":
        return str(video_id), ()
    name = str(template).replace("[", "").replace("]", "")
    if name not in places:
        raise place.error(f"the template {template!r} is no class of labels.json; are both of one release?")
    return str(video_id), (places[name],)
