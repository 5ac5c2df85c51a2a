"""Open clips with private attributes: the one door for methods that hide them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from tubelet.datasets.labelled import ClipSet
from tubelet.datasets.pa_hmdb51 import read_pa_hmdb51
from tubelet.datasets.private_attributes import PrivateLabels
from tubelet.datasets.vp_labels import read_vp_hmdb51, read_vp_ucf101

PrivateDataset = Literal["vp_ucf101", "vp_hmdb51", "pa_hmdb51"]
PRIVATE_DATASETS: tuple[PrivateDataset, ...] = get_args(PrivateDataset)
_READERS: dict[str, Callable[..., tuple[ClipSet, PrivateLabels]]] = {
    "vp_ucf101": read_vp_ucf101,
    "vp_hmdb51": read_vp_hmdb51,
    "pa_hmdb51": read_pa_hmdb51,
}


def open_private_clips(
    root: str | os.PathLike[str],
    labels_path: str | os.PathLike[str],
    *,
    dataset: PrivateDataset,
    fold: int = 1,
    annotations: str | os.PathLike[str] | None = None,
    allow_missing: bool = False,
) -> tuple[ClipSet, PrivateLabels]:
    """Open one fold of a dataset with action classes and private attributes. No video is opened.

    Training and test share no video and no source of one (in HMDB51: none of the same class); labels are joined by
    class and file name. Attributes that are constant in a part are still there: `constant_attributes` of
    `private_attributes` names them.

    Args:
        root: Folder with the videos and the lists of UCF-101 or HMDB51.
        labels_path: The file of the private labels; for "pa_hmdb51" their folder.
        dataset: One of `PRIVATE_DATASETS`.
        fold: 1 to 3.
        annotations: Folder of the lists, where it is not in the root.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing.

    Returns:
        The clips, and one row of labels for each of them in the same order; `labels.rows(clips.of("train"))` gives
        those of a part.

    Raises:
        DatasetError: Videos, lists or labels are missing or not what their format promises, labels do not fit the
            clips, or the parts are not apart.
        ValueError: `dataset` is none of them.
    """
    if dataset not in _READERS:
        raise ValueError(f"dataset is {dataset!r}; allowed: {', '.join(PRIVATE_DATASETS)}")
    beside = None if annotations is None else Path(annotations)
    return _READERS[dataset](Path(root), Path(labels_path), fold=fold, annotations=beside, allow_missing=allow_missing)
