"""What every reader of annotations returns: clips of video files with class labels, groups and splits."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from tubelet.errors import DatasetError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledClip:
    """A video file, or a part of one, and what it shows.

    Attributes:
        id: Name that is unique within its set and stays the same wherever the files lie: the path below the root, and
            for a part of a file `path@start-end` in seconds.
        path: The file.
        labels: Indices into the classes of its set, rising; one unless the set is multi-label, none where unknown.
        start_s: Begin of the part.
        end_s: End of the part, None for the end of the file.
        group: What it shares with clips that are not independent of it: the source video, the performer. Splits keep
            groups together and intervals are drawn over them.
        split: Which part of the data it belongs to, None where nobody has said yet.
    """

    id: str
    path: Path
    labels: tuple[int, ...]
    start_s: float = 0.0
    end_s: float | None = None
    group: str
    split: Split | None = None

    def __post_init__(self) -> None:
        if self.end_s is not None and not 0 <= self.start_s < self.end_s:
            raise ValueError(f"{self.id}: from {self.start_s:g} to {self.end_s:g} s; needed: 0 <= start_s < end_s")
        if list(self.labels) != sorted(set(self.labels)):
            raise ValueError(f"{self.id}: labels are {self.labels}; needed: rising, each once")

    @property
    def label(self) -> int:
        """The only label.

        Raises:
            ValueError: There is none, or more than one.
        """
        if len(self.labels) != 1:
            raise ValueError(f"{self.id} has {len(self.labels)} labels; a single one is needed here")
        return self.labels[0]


@dataclass(frozen=True, kw_only=True)
class ClipSet:
    """Labelled clips of one dataset.

    Attributes:
        name: What the data are called.
        root: Folder that ids are relative to.
        classes: Class names; labels are indices into them.
        clips: In the order of the annotations, or of their names.
        is_multi_label: Whether a clip may have several labels, or none.
        split_rule: How the splits came about, in a sentence.
        group_rule: What makes a group, in a sentence.

    Raises:
        DatasetError: Two clips have one id, two classes one name, or a label is no class.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    clips: tuple[LabelledClip, ...]
    is_multi_label: bool = False
    split_rule: str = "no split was given"
    group_rule: str = "every file is its own group"

    def __post_init__(self) -> None:
        for what, names in (("clips have the id", [clip.id for clip in self.clips]), ("classes are", self.classes)):
            name, count = next(iter(Counter(names).most_common(1)), ("", 1))
            if count > 1:
                raise DatasetError(f"{self.name}: {count} {what} {name!r}; each must be there once")
        for clip in self.clips:
            if clip.labels and not 0 <= clip.labels[0] <= clip.labels[-1] < len(self.classes):
                raise DatasetError(
                    f"{self.name}: {clip.id} has the labels {clip.labels}; allowed: 0 to {len(self.classes) - 1}, "
                    f"one for each of the {len(self.classes)} classes (do the ids count from 1?)"
                )
            if not self.is_multi_label and len(clip.labels) > 1:
                raise DatasetError(f"{self.name}: {clip.id} has the labels {clip.labels}; one is allowed here")

    def __len__(self) -> int:
        return len(self.clips)

    def of(self, split: Split) -> ClipSet:
        """The clips of one split.

        Raises:
            DatasetError: There are none.
        """
        found = tuple(clip for clip in self.clips if clip.split == split)
        if not found:
            there = sorted({str(clip.split) for clip in self.clips})
            raise DatasetError(
                f"{self.name} has no clips in split {split!r}; it has {', '.join(there) or 'no clips'}. "
                f"Add some, or evaluate another one with --split"
            )
        return replace(self, clips=found)

    def without(self, ids: Collection[str]) -> ClipSet:
        """The clips whose ids are not among these."""
        return replace(self, clips=tuple(clip for clip in self.clips if clip.id not in ids))

    def fingerprint(self) -> str:
        """A sha256 over classes and clips (ids, labels, spans, groups, splits) and the sizes of their files."""
        digest = hashlib.sha256(json.dumps([self.classes, self.is_multi_label]).encode())
        sizes: dict[Path, int] = {}
        for clip in sorted(self.clips, key=lambda clip: clip.id):
            if clip.path not in sizes:
                sizes[clip.path] = clip.path.stat().st_size if clip.path.exists() else -1
            facts = [clip.id, clip.labels, clip.start_s, clip.end_s, clip.group, clip.split, sizes[clip.path]]
            digest.update(json.dumps(facts).encode())
        return digest.hexdigest()


def class_indices(names: Sequence[str], classes: Sequence[str], *, where: str) -> tuple[int, ...]:
    """Indices of class names, rising.

    Raises:
        DatasetError: A name is no class; `where` says whose name it is.
    """
    places = {name: index for index, name in enumerate(classes)}
    unknown = [name for name in names if name not in places]
    if unknown:
        shown = ", ".join(list(classes)[:10]) + (", …" if len(classes) > 10 else "")
        raise DatasetError(f"{where}: there is no class {unknown[0]!r}; the classes are {shown}")
    return tuple(sorted({places[name] for name in names}))
