"""What is wrong with a batch is said before a network sees it, with the names of the clips."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tubelet.errors import DatasetError
from tubelet.training.batch_checks import check_clips, check_labels, check_targets

IDS = ("run/1.mp4", "run/2.mp4", "walk/3.mp4")
VIDEO = torch.zeros(3, 3, 4, 8, 8)


def spoiled(value: float) -> Tensor:
    video = VIDEO.clone()
    video[1, 2, 3, 4, 5] = value
    return video


def test_a_sound_batch_passes() -> None:
    check_clips(VIDEO, ids=IDS)
    check_clips(VIDEO.half(), ids=IDS)
    check_clips(VIDEO[:0], ids=())
    check_labels(torch.tensor([0, 1, 4]), num_classes=5, ids=IDS)
    check_labels(torch.tensor([], dtype=torch.int64), num_classes=5, ids=())
    check_targets(torch.eye(3), num_classes=3, ids=IDS, is_multi_label=False)
    check_targets(torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.5, 1.0]]), num_classes=2, ids=IDS, is_multi_label=True)


@pytest.mark.parametrize(
    ("video", "said"),
    [
        (VIDEO[0], r"clips have shape \(3, 4, 8, 8\); needed: \(batch, 3, time, height, width\) \(clips run/1.mp4"),
        (VIDEO.transpose(1, 2), r"clips have shape \(3, 4, 3, 8, 8\); needed"),
        (VIDEO[:, :, :0], r"clips have shape \(3, 3, 0, 8, 8\); needed"),
        (VIDEO[:2], "the batch has 2 clips and 3 names; needed: one name for each"),
        (VIDEO.to(torch.uint8), "clips are torch.uint8; needed: normalised floats"),
        (spoiled(math.nan), "clips hold NaN or infinity: run/2.mp4; look at these files, or leave them out"),
        (spoiled(-math.inf), "clips hold NaN or infinity: run/2.mp4;"),
    ],
)
def test_wrong_clips_are_named(video: Tensor, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        check_clips(video, ids=IDS)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            torch.tensor([1, 2, 3]),
            r"labels are no classes: walk/3.mp4 has 3; allowed: 0 to 2 \(do the ids count from 1\?\)",
        ),
        (torch.tensor([0, 2, 3]), r"walk/3.mp4 has 3; allowed: 0 to 2$"),
        (torch.tensor([-1, -7, 0]), "run/1.mp4 has -1, run/2.mp4 has -7; allowed: 0 to 2"),
        (torch.tensor([0.0, 1.0, 2.0]), "labels are torch.float32; needed: whole numbers"),
        (torch.tensor([True, False, True]), "labels are torch.bool; needed: whole numbers"),
        (torch.tensor([[0, 1, 2]]), r"labels have shape \(1, 3\); needed: \(3,\), one for each clip"),
        (torch.tensor([0, 1]), r"labels have shape \(2,\); needed: \(3,\)"),
    ],
)
def test_wrong_labels_are_named(labels: Tensor, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        check_labels(labels, num_classes=3, ids=IDS)


def test_many_names_are_cut_short() -> None:
    ids = [f"{index}.mp4" for index in range(9)]
    with pytest.raises(DatasetError, match=r"4.mp4 has 7 and 4 more; allowed"):
        check_labels(torch.full((9,), 7), num_classes=3, ids=ids)


@pytest.mark.parametrize(
    ("targets", "said", "is_multi_label"),
    [
        (torch.zeros(3, 4), r"targets have shape \(3, 4\); needed: \(3, 3\), clips by classes", True),
        (torch.eye(3).long(), "targets are torch.int64; needed: floats from 0 to 1", True),
        (torch.eye(3) * 2, r"targets of run/1.mp4, run/2.mp4, walk/3.mp4 are not numbers from 0 to 1;", True),
        (torch.eye(3).index_fill(0, torch.tensor([1]), math.nan), "targets of run/2.mp4 are not", True),
        (torch.eye(3) * torch.tensor([[1.0], [1.0], [0.5]]), "of walk/3.mp4 are not numbers .* that sum to 1", False),
    ],
)
def test_wrong_targets_are_named(targets: Tensor, said: str, is_multi_label: bool) -> None:
    with pytest.raises(DatasetError, match=said):
        check_targets(targets, num_classes=3, ids=IDS, is_multi_label=is_multi_label)
