"""What readers of skeletons return: who moves how, and what it is called."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from tubelet.datasets.labelled import Split
from tubelet.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class SkeletonSequence:
    """The joints of one or several people over time.

    Attributes:
        id: Name that is unique within its set.
        joints: Two coordinates in the picture, in pixels, or three in space, in metres; 0 where a person is not seen.
        scores: From 0 (not seen) to 1 for each joint; None where the source has none.
        labels: Indices into the classes of its set, none where unknown.
        group: What it shares with sequences that are not independent of it: the performer, the source video.
        split: Which part of the data it belongs to.
        fps: Frames per second, None where the source does not say.
        image_size_px: Height and width of the picture that two coordinates lie in, None where the source does not say.
    """

    id: str
    joints: Float32[np.ndarray, "people time joints axes"]
    scores: Float32[np.ndarray, "people time joints"] | None
    labels: tuple[int, ...]
    group: str
    split: Split | None = None
    fps: float | None = None
    image_size_px: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class SkeletonSet:
    """Sequences of one dataset.

    Attributes:
        name: What the data are called.
        classes: Class names; labels are indices into them.
        sequences: In the order of the annotations, or of their names.
        split_rule: How the splits came about, in a sentence.
        group_rule: What makes a group, in a sentence.
        left_out: Names of sequences that were not taken, each with the reason.

    Raises:
        DatasetError: Two sequences have one id, or a label is no class.
    """

    name: str
    classes: tuple[str, ...]
    sequences: tuple[SkeletonSequence, ...]
    split_rule: str = "no split was given"
    group_rule: str = "every sequence is its own group"
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name, count = next(iter(Counter(each.id for each in self.sequences).most_common(1)), ("", 1))
        if count > 1:
            raise DatasetError(f"{self.name}: {count} sequences have the id {name!r}; each must be there once")
        for each in self.sequences:
            if each.labels and not 0 <= min(each.labels) <= max(each.labels) < len(self.classes):
                raise DatasetError(
                    f"{self.name}: {each.id} has the labels {each.labels}; allowed: 0 to {len(self.classes) - 1} "
                    "(do the ids count from 1?)"
                )

    def __len__(self) -> int:
        return len(self.sequences)

    def of(self, split: Split) -> SkeletonSet:
        """The sequences of one split.

        Raises:
            DatasetError: There are none.
        """
        found = tuple(each for each in self.sequences if each.split == split)
        if not found:
            there = sorted({str(each.split) for each in self.sequences})
            raise DatasetError(
                f"{self.name} has no sequences in split {split!r}; it has {', '.join(there) or 'no sequences'}"
            )
        return replace(self, sequences=found)
