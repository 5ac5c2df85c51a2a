"""The keys by which labels from one file find the clips of another: class and file name, whatever else differs.

Files of labels and lists of videos call a video by other folders and endings (`YoYo/v_YoYo_g01_c01.mp4`,
`UCF-101/YoYo/v_YoYo_g01_c01.avi`) and have it in other rows. The key is what stays: `YoYo/v_YoYo_g01_c01`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Float32

from tubelet.datasets.labelled import ClipSet, LabelledClip
from tubelet.datasets.video_files import is_video_name
from tubelet.errors import DatasetError

_SHOWN = 5


def clip_key(name: str) -> str:
    """The key of a video by its path: the last folder and the file's name without its ending."""
    path = PurePosixPath(name.replace("\\", "/"))
    stem = path.stem if is_video_name(path.name) else path.name
    return f"{path.parent.name}/{stem}" if path.parent.name else stem


def clip_keys(clips: ClipSet) -> list[str]:
    """The key of each clip: its class, whatever folder it lies in, and its file's name; by path without a class."""
    return [_key(clip, clips.classes) for clip in clips.clips]


def _key(clip: LabelledClip, classes: Sequence[str]) -> str:
    if len(clip.labels) != 1:
        return clip_key(clip.path.as_posix())
    return f"{classes[clip.label]}/{clip.path.stem}"


def check_keys(wanted: Sequence[str], labelled: Sequence[str], *, what: str, known: Collection[str] = ()) -> None:
    """Refuse labels that do not fit what is to be labelled.

    Args:
        wanted: Keys of what is to be labelled.
        labelled: Keys that have labels.
        what: Names of the two, for the message.
        known: Keys that may have labels without being wanted.

    Raises:
        DatasetError: Keys are missing, too many, or there twice; the message has the first five and the count of each.
    """
    have, want, may = set(labelled), set(wanted), set(known)
    problems: Mapping[str, list[str]] = {
        "have no label": [key for key in dict.fromkeys(wanted) if key not in have],
        "have a label and are not in the set": [
            key for key in dict.fromkeys(labelled) if key not in want and key not in may
        ],
        "are in the set more than once": [key for key, count in Counter(wanted).items() if count > 1],
        "have a label more than once": [key for key, count in Counter(labelled).items() if count > 1],
    }
    said = [f"{len(keys)} {problem}: {listed(keys)}" for problem, keys in problems.items() if keys]
    if said:
        raise DatasetError(
            f"{what} do not fit: {'; '.join(said)}. Labels are joined by class and file name, never by the number of "
            "a row: give the label file of this dataset, or complete it"
        )


def numbers_in(value: object) -> Float32[np.ndarray, " numbers"] | None:
    """The numbers of an array, or of a list of them, in a row; None where it is something else."""
    if isinstance(value, list | tuple) and all(isinstance(each, int | float) for each in value):
        value = np.array(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        return None
    return value.astype(np.float32).ravel()


def listed(names: Sequence[str]) -> str:
    """The first five names, for a message."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
