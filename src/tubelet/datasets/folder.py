"""Clips in a folder per class: `clips/CLASS/*.mp4`, or `clips/{train,val,test}/CLASS/*.mp4`.

Nothing has to be written. Classes are the names of the folders in the order of the alphabet. Which files share a source
is told by their names (`grouping.GROUP_RULE`). Folders for the splits may be called `train` or `training`, `val`,
`valid`, `validate` or `validation`, `test` or `testing`, in any case. Links to files and folders are followed. Names
that begin with a dot, and files that are not videos, are not looked at.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from tubelet.datasets.annotation_files import split_named
from tubelet.datasets.clip_ids import path_id
from tubelet.datasets.grouping import GROUP_RULE, groups_of
from tubelet.datasets.labelled import ClipSet, LabelledClip, Split
from tubelet.datasets.video_files import folders_in, other_endings, videos_in
from tubelet.errors import DatasetError

_ALLOWED = "allowed: CLASS/FILE.mp4, or train, val and test with CLASS/FILE.mp4 in each"


def read_folder(root: Path) -> ClipSet:
    """Read a folder per class.

    Args:
        root: The folder.

    Raises:
        DatasetError: There is no such folder or no class in it, a class folder has no video, videos lie beside or
            below the class folders, folders of splits and of classes are mixed, two folders are for one split, or two
            classes differ in capitals only.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: there is no such folder; give a folder with a folder of videos for each class")
    loose = videos_in(root)
    if loose:
        raise DatasetError(
            f"{root}: videos lie beside the class folders ({len(loose)}, {loose[0].name} for one); {_ALLOWED}. "
            "Move each into the folder of its class, or write a manifest"
        )
    splits = _split_folders(root)
    found: list[tuple[Split | None, str, Path]] = []
    for split, folder in splits.items() or [(None, root)]:
        found += [(split, name, path) for name, path in _clips_by_class(folder)]
    classes = tuple(sorted({name for _, name, _ in found}))
    for one, other in itertools.pairwise(sorted(classes, key=str.lower)):
        if one.lower() == other.lower():
            raise DatasetError(f"{root}: the classes {one} and {other} differ in capitals only; make them one folder")
    places = {name: index for index, name in enumerate(classes)}
    ids = [path_id(path, root) for _, _, path in found]
    clips = tuple(
        LabelledClip(id=each, path=path, labels=(places[name],), group=group, split=split)
        for each, group, (split, name, path) in zip(ids, groups_of(ids), found, strict=True)
    )
    return ClipSet(
        name=f"{root.resolve().name} (a folder per class)",
        root=root,
        classes=classes,
        clips=clips,
        split_rule="by the folders " + ", ".join(f.name for f in splits.values()) if splits else "no split was given",
        group_rule=GROUP_RULE,
    )


def _split_folders(root: Path) -> dict[Split, Path]:
    """Folders of splits, none where the folders are classes."""
    splits: dict[Split, Path] = {}
    others = []
    for folder in folders_in(root):
        split = split_named(folder.name)
        if split is None:
            others.append(folder)
            continue
        if split in splits:
            raise DatasetError(f"{root}: {splits[split].name} and {folder.name} are both for {split}; keep one of them")
        splits[split] = folder
    if all(videos_in(folder) for folder in splits.values()) and not any(
        folders_in(folder) for folder in splits.values()
    ):
        return {}  # a class may be called `test`: then the videos lie right in it
    with_videos = [folder.name for folder in others if videos_in(folder)]
    if with_videos:
        raise DatasetError(
            f"{root}: there are folders for splits ({', '.join(f.name for f in splits.values())}) and beside them "
            f"folders with videos ({', '.join(with_videos[:5])}); {_ALLOWED}"
        )
    return splits


def _clips_by_class(folder: Path) -> list[tuple[str, Path]]:
    class_folders = folders_in(folder)
    if not class_folders:
        there = other_endings(folder)
        raise DatasetError(f"{folder}: there are no class folders in it ({there or 'it is empty'}); {_ALLOWED}")
    found = []
    empty = []
    for class_folder in class_folders:
        videos = videos_in(class_folder)
        inner = [below for below in folders_in(class_folder) if videos_in(below)]
        if inner:
            raise DatasetError(
                f"{class_folder}: videos lie in a folder inside it ({inner[0].name}); {_ALLOWED}. Move them up, or "
                "write a manifest, whose column group can say what they share"
            )
        if not videos:
            empty.append(class_folder)
        found += [(class_folder.name, path) for path in videos]
    if empty:
        there = other_endings(empty[0])
        raise DatasetError(
            f"{folder}: {len(empty)} of {len(class_folders)} class folders have no video: "
            f"{', '.join(each.name for each in empty[:5])}{', …' if len(empty) > 5 else ''} "
            f"({empty[0].name} has {there or 'nothing'}); put videos into them, or take them away"
        )
    return found
