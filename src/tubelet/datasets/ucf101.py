"""UCF-101 with its three official folds.

Layout: videos `ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi` anywhere below the folder, with any ending; and
`classInd.txt` (`1 ApplyEyeMakeup`), `trainlist01.txt` (`ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1`) and
`testlist01.txt` (without the number) in it, in `ucfTrainTestlist/` or in `annotations/`. Ids in the files count from 1.
The 25 groups `g01` to `g25` of a class are each cut from one video; no group is in both parts of a fold. There is no
validation part.

Source: Soomro, Zamir, Shah 2012, arXiv:1212.0402, and its annotation files; the layout as MMAction2 keeps it
(tools/data/ucf101/README.md and parse_file_list.py at commit 4d6c9347).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tubelet.datasets.annotation_files import Place, annotation_folders, line_of, need_annotations, read_lines
from tubelet.datasets.grouping import source_of
from tubelet.datasets.labelled import ClipSet, Split
from tubelet.datasets.listed_clips import ListedClips

ANNOTATION_FOLDERS = ("ucfTrainTestlist",)
_LISTS: dict[Split, str] = {"train": "trainlist", "test": "testlist"}


def read_ucf101(root: Path, *, annotations: Path | None = None, fold: int = 1, allow_missing: bool = False) -> ClipSet:
    """Read one fold of UCF-101, or of a dataset in its layout.

    Args:
        root: Folder with the videos at any depth.
        annotations: Folder of the lists, where it is not in the root.
        fold: 1 to 3.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing.

    Raises:
        DatasetError: A list is missing or has a line that is not as described; a clip is listed twice; files are
            missing.
    """
    classes, lines = _read_lists(root, annotations, fold)
    listed = ListedClips(root)
    for place, name, split in lines:
        class_name = name.parent.name
        group = source_of(name.stem, class_name)
        if group is None:
            raise place.error(f"{name.name} has no group and part (_g01_c02); is it another dataset's list?")
        listed.add(
            str(name),
            place,
            stems=[name.stem],
            near=[class_name],
            labels=(classes[class_name] - 1,),
            group=group,
            split=split,
        )
    return listed.clip_set(
        f"UCF-101 fold {fold}",
        tuple(classes),
        split_rule=f"the official trainlist{fold:02d}.txt and testlist{fold:02d}.txt",
        group_rule="the group gXX of its class, as the file name tells: clips cut from one video",
        allow_missing=allow_missing,
    )


def names_in_ucf101(root: Path, *, annotations: Path | None = None, fold: int = 1) -> tuple[str, ...]:
    """Every video that the lists of a fold name, as `CLASS/FILE.avi`.

    Args:
        root: Folder of the dataset.
        annotations: Folder of the lists, where it is not in the root.
        fold: 1 to 3.

    Raises:
        DatasetError: A list is missing or has a line that is not as described.
    """
    return tuple(str(name) for _, name, _ in _read_lists(root, annotations, fold)[1])


def _read_lists(
    root: Path, annotations: Path | None, fold: int
) -> tuple[dict[str, int], list[tuple[Place, PurePosixPath, Split]]]:
    """Numbers of the classes from 1, and where each video is listed, its name and its part."""
    folders = annotation_folders(root, annotations, *ANNOTATION_FOLDERS)
    classes = _read_class_numbers(need_annotations(["classInd.txt"], folders, "the list of classes"))
    lines = []
    for split, kind in _LISTS.items():
        path = need_annotations([f"{kind}{fold:02d}.txt"], folders, f"the {split} list of fold {fold}")
        for line, text in read_lines(path):
            place = line_of(path, line)
            lines.append((place, _read_line(text, classes, place), split))
    return classes, lines


def _read_class_numbers(path: Path) -> dict[str, int]:
    """Names and numbers from 1, in that order."""
    classes: dict[str, int] = {}
    for line, text in read_lines(path):
        number, _, name = text.partition(" ")
        if number != str(len(classes) + 1) or not name.strip() or name.strip() in classes:
            raise line_of(path, line).error(f"{text!r}; allowed: the number {len(classes) + 1}, a space and a new name")
        classes[name.strip()] = len(classes) + 1
    return classes


def _read_line(text: str, classes: dict[str, int], place: Place) -> PurePosixPath:
    before, _, last = text.rpartition(" ")
    name, number = (PurePosixPath(before), last) if last.isdigit() else (PurePosixPath(text), "")
    class_name = name.parent.name
    if not class_name:
        raise place.error(f"{text!r}; allowed: CLASS/FILE.avi, and in a list for training its number")
    if class_name not in classes:
        raise place.error(f"there is no class {class_name!r} in classInd.txt; is it another dataset's list?")
    if number and int(number) != classes[class_name]:
        raise place.error(
            f"{class_name} has the number {number} here and {classes[class_name]} in classInd.txt (both count from 1)"
        )
    return name
