"""PA-HMDB51: frame by frame, five private attributes for some of the videos of HMDB51.

Layout: a folder `PrivacyAttributes` with a JSON file for each class, `brush_hair.json`. It holds an object for each
video (`April_09_brush_hair_u_nm_np1_ba_goo_0.avi`), and in it for each attribute a list of `[first, last, code]`:
frames counted from 0, both ends included. A code may be a list, where people differ. The videos and their folds are
those of HMDB51.

The codes (`CODES`) are grades; here each attribute is 0 or 1 for the whole video by this rule: a frame shows the
attribute if its code, or one of several, is above 0; the video has it if more than half of the frames that have a
code show it. Half is not more than half. Frames without a code do not count, a frame with two codes counts once and
shows the attribute if either does, and an attribute without any frame is unknown.

Source: Wu, Wang, Wang, Jin, Wang 2020, arXiv:1906.05675, and its annotation files (github.com/VITA-Group/PA-HMDB51 at
commit f0a2d96).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tubelet.datasets.annotation_files import Place, read_json
from tubelet.datasets.clip_keys import clip_key, clip_keys
from tubelet.datasets.hmdb51 import names_in_hmdb51, read_hmdb51
from tubelet.datasets.labelled import ClipSet
from tubelet.datasets.private_attributes import PrivateLabels, joined, with_parts_apart
from tubelet.errors import DatasetError

CODES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "skin_color": ("unidentifiable", "white", "brown or yellow", "black"),
        "face": ("invisible", "partial", "complete"),
        "gender": ("unidentifiable", "male", "female"),
        "nudity": ("none", "partial", "semi"),
        "relationship": ("unidentifiable", "identifiable"),
    }
)
"""What the codes 0, 1, … of each attribute mean."""

LABEL_FOLDER = "PrivacyAttributes"
_LONGEST = 1_000_000  # frames are counted one by one, and a clip of hours is a slip of the keyboard


def read_pa_hmdb51_labels(folder: Path) -> PrivateLabels:
    """Read the labels and make each 0 or 1, as described above.

    Args:
        folder: The folder of the JSON files, or the one that it is in.

    Raises:
        DatasetError: There are no such files, or one is not as described.
    """
    inside = folder / LABEL_FOLDER if (folder / LABEL_FOLDER).is_dir() else folder
    files = sorted(inside.glob("*.json")) if inside.is_dir() else []
    if not files:
        raise DatasetError(f"{folder}: there is no {LABEL_FOLDER} with one JSON file per class; give that folder")
    keys: list[str] = []
    rows: list[list[float]] = []
    for path in files:
        videos = read_json(path)
        if not isinstance(videos, dict) or not videos:
            raise DatasetError(f"{path}: is no object of videos; take the file of the dataset")
        for name, video in videos.items():
            place = Place(path, name)
            if not isinstance(video, dict):
                raise place.error(f"is {video!r}; allowed: an object with {', '.join(CODES)}")
            keys.append(clip_key(f"{path.stem}/{name}"))
            rows.append([_shown(video.get(attribute), attribute, place) for attribute in CODES])
    return PrivateLabels(
        name=f"{inside} (PA-HMDB51)",
        attributes=tuple(CODES),
        keys=tuple(keys),
        values=np.array(rows, dtype=np.float32),
    )


def read_pa_hmdb51(
    root: Path, labels: Path, *, fold: int = 1, annotations: Path | None = None, allow_missing: bool = False
) -> tuple[ClipSet, PrivateLabels]:
    """The clips of one fold of HMDB51 that PA-HMDB51 labels, with their private attributes.

    Args:
        root: Folder with the videos of HMDB51 at any depth.
        labels: Folder of the JSON files.
        fold: 1 to 3, of HMDB51: PA-HMDB51 has no training part of its own.
        annotations: Folder of the lists of HMDB51, where it is not in the root.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing.

    Returns:
        The clips, and one row of labels for each of them in the same order. Clips in neither part of the fold are left
        out, and so are clips without labels.

    Raises:
        DatasetError: As `read_hmdb51`, `read_pa_hmdb51_labels`, `joined` and `require_disjoint`.
    """
    found = read_pa_hmdb51_labels(labels)
    clips = read_hmdb51(root, annotations=annotations, fold=fold, allow_missing=allow_missing)
    there = set(found.keys)
    kept = tuple(clip for key, clip in zip(clip_keys(clips), clips.clips, strict=True) if key in there)
    clips = replace(
        clips,
        name=f"PA-HMDB51, {clips.name}",
        clips=kept,
        split_rule=f"{clips.split_rule}; of those, the {len(kept)} of {len(clips)} clips that have private labels",
    )
    known = [clip_key(name) for name in names_in_hmdb51(root, annotations=annotations, fold=fold)]
    return with_parts_apart(clips, within_class=True), joined(found, clips, known=known)


def _shown(spans: object, attribute: str, place: Place) -> float:
    """1 if most frames show the attribute, 0 if not, NaN without frames."""
    if not isinstance(spans, list):
        raise place.error(f"{attribute} is {spans!r}; allowed: a list of [first frame, last frame, code]")
    frames: dict[int, bool] = {}
    for span in spans:
        first, last, codes = _span(span, attribute, place)
        shows = any(code > 0 for code in codes)
        for frame in range(first, last + 1):
            frames[frame] = frames.get(frame, False) or shows
    if not frames:
        return float("nan")
    return float(2 * sum(frames.values()) > len(frames))


def _span(span: object, attribute: str, place: Place) -> tuple[int, int, list[int]]:
    if isinstance(span, list) and len(span) == 3:
        first, last, code = span
        codes = code if isinstance(code, list) else [code]
        allowed = range(len(CODES[attribute]))
        if (
            all(type(number) is int for number in (first, last, *codes))
            and 0 <= first <= last <= _LONGEST
            and codes
            and all(each in allowed for each in codes)
        ):
            return first, last, codes
    raise place.error(
        f"{attribute} has {span!r}; allowed: [first frame, last frame, code] with 0 <= first <= last <= {_LONGEST} and "
        f"codes from 0 to {len(CODES[attribute]) - 1}"
    )
