"""Kinetics-400, -600 and -700 by their CSV files.

Layout: `train.csv`, `val.csv` (or `validate.csv`), `test.csv`, also called `kinetics_train.csv` or `k400_train.csv` and
the like, in the folder, in `annotations/` or `labels/`. Columns `label`, `youtube_id`, `time_start`, `time_end` and
mostly `split`; tests that are held out have no label. Videos lie anywhere below the folder and are called
`YOUTUBEID_000417_000427.mp4` or just `YOUTUBEID.mp4`, with any ending: flat in a folder for each split, or in a folder
for each class in it, whose blanks may be underscores. They are the ten seconds already, cut out. Classes are in the
order of the alphabet. Some videos are gone from the web for everybody.

Source: Kay et al. 2017, arXiv:1705.06950; the CSV files of the dataset; the layouts as the crawler of ActivityNet and
MMAction2 make them (tools/data/kinetics/README.md and download.py at commit 4d6c9347).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tubelet.datasets.annotation_files import Place, annotation_folders, csv_header, csv_rows, split_named
from tubelet.datasets.labelled import ClipSet, Split
from tubelet.datasets.listed_clips import ListedClips
from tubelet.errors import DatasetError

COLUMNS = ("youtube_id", "time_start", "time_end")
_WORDS = re.compile(r"[^a-z]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    place: Place
    youtube_id: str
    stem: str
    label: str
    split: Split


def read_kinetics(root: Path, *, annotations: Path | None = None, allow_missing: bool = False) -> ClipSet:
    """Read Kinetics, or a dataset in its layout.

    Args:
        root: Folder with the videos at any depth.
        annotations: Folder of the CSV files, or one of them, where they are not in the root.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing;
            `missing_from_kinetics` gives all of them.

    Raises:
        DatasetError: There is no CSV file, a line is not as described, a clip is listed twice, a class has clips in
            other splits but none for training, or files are missing.
    """
    lines = _lines(root, annotations)
    classes = tuple(sorted({line.label for line in lines if line.label}))
    return _listed(root, lines, classes).clip_set(
        f"Kinetics ({len(classes)} classes)",
        classes,
        split_rule=f"the official {', '.join(sorted({line.place.path.name for line in lines}))}",
        group_rule="the video on the web that a clip is cut from",
        allow_missing=allow_missing,
    )


def missing_from_kinetics(root: Path, *, annotations: Path | None = None) -> tuple[str, ...]:
    """Names of all clips that the CSV files list and that are not below the folder.

    Raises:
        DatasetError: As `read_kinetics`, but for the missing files.
    """
    lines = _lines(root, annotations)
    return tuple(_listed(root, lines, sorted({line.label for line in lines})).missing)


def kinetics_files(folders: list[Path]) -> dict[Split, Path]:
    """CSV files of Kinetics by split: in the first of these folders that has some, by their columns and names.

    Raises:
        DatasetError: A folder has two for one split.
    """
    for folder in folders:
        found: dict[Split, Path] = {}
        for path in sorted(folder.glob("*.csv")):
            if not set(COLUMNS) <= set(csv_header(path)):
                continue
            split = _split_of(path)
            if split is None:
                continue
            if split in found:
                raise DatasetError(
                    f"{folder}: {found[split].name} and {path.name} are both for {split}; keep one of them"
                )
            found[split] = path
        if found:
            return found
    return {}


def _split_of(path: Path) -> Split | None:
    return next((split for word in _WORDS.split(path.stem.lower()) if (split := split_named(word))), None)


def _lines(root: Path, annotations: Path | None) -> list[_Line]:
    if annotations is not None and annotations.is_file():
        files: list[tuple[Split | None, Path]] = [(_split_of(annotations), annotations)]
    else:
        folders = annotation_folders(root, annotations)
        files = list(kinetics_files(folders).items())
        if not files:
            raise DatasetError(
                f"no CSV file of Kinetics is there: looked for train.csv, val.csv, validate.csv and test.csv with the "
                f"columns label,{','.join(COLUMNS)} in {', '.join(map(str, folders))}; put it there"
            )
    lines: list[_Line] = []
    for split, path in files:
        lines += _read(path, split)
    for_training = {line.label for line in lines if line.split == "train"}
    other = next((line for line in lines if for_training and line.label and line.label not in for_training), None)
    if other is not None:
        raise other.place.error(f"the class {other.label!r} has no clip for training; is it spelt otherwise there?")
    return lines


def _read(path: Path, split_of_file: Split | None) -> Iterator[_Line]:
    for row in csv_rows(path, COLUMNS, optional=("label", "split")):
        start_s, end_s = row.number("time_start"), row.number("time_end")
        if not 0 <= start_s < end_s:
            raise row.place.error(
                f"time_start is {start_s:g} and time_end {end_s:g}; allowed: 0 <= time_start < time_end"
            )
        written = row.values.get("split", "")
        split = split_named(written) if written.strip() else split_of_file
        if split is None:
            raise row.place.error(
                f"split is {written!r}; allowed: train, val, validate or test, here or in the file's name"
            )
        label = row.values.get("label", "").strip().strip('"')
        if not label and split != "test":
            raise row.place.error("label is empty; allowed: the name of a class (only a test may have none)")
        youtube_id = row.text("youtube_id")
        yield _Line(
            place=row.place,
            youtube_id=youtube_id,
            stem=f"{youtube_id}_{int(start_s):06d}_{int(end_s):06d}",
            label=label,
            split=split,
        )


def _listed(root: Path, lines: list[_Line], classes: Sequence[str]) -> ListedClips:
    places = {name: index for index, name in enumerate(classes)}
    clips_of_video = Counter(line.youtube_id for line in lines)
    listed = ListedClips(root)
    for line in lines:
        # Without times in its name a file can only be told where one clip was cut from the video.
        is_alone = clips_of_video[line.youtube_id] == 1
        listed.add(
            line.stem,
            line.place,
            stems=[line.stem, line.youtube_id] if is_alone else [line.stem],
            near=[line.label, line.split, f"videos_{line.split}"],
            labels=(places[line.label],) if line.label else (),
            group=line.youtube_id,
            split=line.split,
        )
    return listed
