"""What must hold of a batch before a network sees it; of a label that is no class, a GPU says only that it failed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tubelet.errors import DatasetError


def check_clips(video: Tensor, *, ids: Sequence[str]) -> None:
    """See that clips are finite floats of the shape that video networks take.

    Args:
        video: Clips as batch, 3, time, height, width.
        ids: Their names, for messages.

    Raises:
        DatasetError: They are not.
    """
    if video.ndim != 5 or video.shape[1] != 3 or 0 in video.shape[2:]:
        raise DatasetError(
            f"clips have shape {tuple(video.shape)}; needed: (batch, 3, time, height, width){_among(ids)}"
        )
    if len(video) != len(ids):
        raise DatasetError(f"the batch has {len(video)} clips and {len(ids)} names; needed: one name for each")
    if not video.is_floating_point():
        raise DatasetError(f"clips are {video.dtype}; needed: normalised floats, made from the bytes of the pictures")
    is_finite = torch.isfinite(video).flatten(1).all(dim=1)
    if not bool(is_finite.all()):
        broken = [name for name, is_good in zip(ids, is_finite.tolist(), strict=True) if not is_good]
        raise DatasetError(f"clips hold NaN or infinity: {_listed(broken)}; look at these files, or leave them out")


def check_labels(labels: Tensor, *, num_classes: int, ids: Sequence[str]) -> None:
    """See that labels are whole numbers from 0, one for each clip.

    Args:
        labels: One class index for each clip.
        num_classes: How many classes the network has.
        ids: Names of the clips, for messages.

    Raises:
        DatasetError: They are not.
    """
    if labels.ndim != 1 or len(labels) != len(ids):
        raise DatasetError(f"labels have shape {tuple(labels.shape)}; needed: ({len(ids)},), one for each clip")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DatasetError(f"labels are {labels.dtype}; needed: whole numbers (torch.int64), the indices of classes")
    is_class = (labels >= 0) & (labels < num_classes)
    if not bool(is_class.all()):
        wrong = [
            f"{name} has {label}"
            for name, label, is_good in zip(ids, labels.tolist(), is_class.tolist(), strict=True)
            if not is_good
        ]
        hint = " (do the ids count from 1?)" if int(labels.max()) == num_classes and int(labels.min()) >= 1 else ""
        raise DatasetError(f"labels are no classes: {_listed(wrong)}; allowed: 0 to {num_classes - 1}{hint}")


def check_targets(targets: Tensor, *, num_classes: int, ids: Sequence[str], is_multi_label: bool) -> None:
    """See that targets are numbers from 0 to 1 for each clip and class, and distributions unless they are multi-label.

    Args:
        targets: One row for each clip, one column for each class.
        num_classes: How many classes the network has.
        ids: Names of the clips, for messages.
        is_multi_label: Whether a clip may have several classes, or none.

    Raises:
        DatasetError: They are not.
    """
    if tuple(targets.shape) != (len(ids), num_classes):
        raise DatasetError(
            f"targets have shape {tuple(targets.shape)}; needed: ({len(ids)}, {num_classes}), clips by classes"
        )
    if not targets.is_floating_point():
        raise DatasetError(f"targets are {targets.dtype}; needed: floats from 0 to 1")
    is_good = ((targets >= 0) & (targets <= 1)).all(dim=1)  # false for NaN
    allowed = "numbers from 0 to 1"
    if not is_multi_label:
        is_good &= (targets.sum(dim=1) - 1).abs() < 1e-3
        allowed += " that sum to 1"
    if not bool(is_good.all()):
        wrong = [name for name, is_right in zip(ids, is_good.tolist(), strict=True) if not is_right]
        raise DatasetError(f"targets of {_listed(wrong)} are not {allowed}; look at the labels of these clips")


def _listed(names: Sequence[str], count: int = 5) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _among(ids: Sequence[str]) -> str:
    return f" (clips {_listed(ids)})" if ids else ""
