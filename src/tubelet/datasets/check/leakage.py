"""What the parts of a split share that they must not share, and clips that show the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tubelet.datasets.check.duplicates import Copy, CopySet
from tubelet.datasets.labelled import SPLITS, ClipSet, LabelledClip


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """Something that clips of several splits have in common.

    Attributes:
        name: The group, the file, or the first clip of the scene.
        num_clips: In each split.
        ids: Of a few of the clips, from each split.
    """

    name: str
    num_clips: dict[str, int]
    ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """A clip that shows what another one shows.

    Attributes:
        first: Place of the other one; of several, one in test, or else in val, comes first.
        other: Place of this one.
        kind: `same_bytes` for a copy of the file, `same_pictures` else.
        likeness: 1 for the same pictures.
        is_mirrored: Whether left and right are exchanged.
        is_leak: Whether they are in different splits.
        labels_differ: Whether they are labelled differently, so that one of them is wrong.
    """

    first: int
    other: int
    kind: str
    likeness: float
    is_mirrored: bool
    is_leak: bool
    labels_differ: bool


_SHOWN_IDS = 2


def shared_by_splits(clips: ClipSet, name_of: Callable[[LabelledClip], str]) -> list[Shared]:
    """What has clips in more than one split, most clips first.

    Args:
        clips: The set; clips without a split are passed over.
        name_of: What must not be shared: the group, the file.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, clip in enumerate(clips.clips):
        if clip.split is not None:
            members[name_of(clip)].append(index)
    return _shared(clips, members.items())


def shared_scenes(clips: ClipSet, scenes: Iterable[Sequence[int]]) -> list[Shared]:
    """Scenes with clips in more than one split, most clips first.

    Args:
        clips: The set.
        scenes: Places of the clips of each.
    """
    return _shared(clips, ((clips.clips[scene[0]].id, scene) for scene in scenes))


def _shared(clips: ClipSet, sets: Iterable[tuple[str, Sequence[int]]]) -> list[Shared]:
    found = []
    for name, members in sets:
        ids: dict[str, list[str]] = defaultdict(list)
        for index in members:
            clip = clips.clips[index]
            if clip.split is not None:
                ids[clip.split].append(clip.id)
        if len(ids) > 1:
            some = tuple(one for split in sorted(ids) for one in ids[split][:_SHOWN_IDS])
            found.append(Shared(name=name, num_clips={split: len(ids[split]) for split in sorted(ids)}, ids=some))
    return sorted(found, key=lambda one: (-sum(one.num_clips.values()), one.name))


def duplicates(clips: ClipSet, copies: Iterable[CopySet]) -> list[Duplicate]:
    """Each copy with the clip that it is a copy of: leaks first, then different labels, then the likest.

    Args:
        clips: The set.
        copies: What `find_copies` found.
    """
    found = []
    for one in copies:
        # Whatever is in test is what all others are copies of: so a copy in train is seen to be a leak, also where the
        # clip that was found first is in train too.
        members = [Copy(one.first, 1.0, False), *one.copies]
        root = max(members, key=lambda copy: (_rank(clips.clips[copy.index]), -copy.index))
        first = clips.clips[root.index]
        for copy in members:
            other = clips.clips[copy.index]
            if copy is root:
                continue
            if _overlap(first, other):
                continue  # two labels for one part of a file are no copy
            is_mirrored = copy.is_mirrored != root.is_mirrored
            is_same_file = not is_mirrored and _same_bytes(first.path, other.path)
            found.append(
                Duplicate(
                    first=root.index,
                    other=copy.index,
                    kind="same_bytes" if is_same_file else "same_pictures",
                    likeness=min(root.likeness, copy.likeness),
                    is_mirrored=is_mirrored,
                    is_leak=None not in (first.split, other.split) and first.split != other.split,
                    labels_differ=first.labels != other.labels,
                )
            )
    return sorted(found, key=lambda one: (not one.is_leak, not one.labels_differ, -one.likeness, one.other))


def _rank(clip: LabelledClip) -> int:
    return -1 if clip.split is None else SPLITS.index(clip.split)


def _overlap(one: LabelledClip, other: LabelledClip) -> bool:
    if one.path != other.path:
        return False
    ends = [float("inf") if clip.end_s is None else clip.end_s for clip in (one, other)]
    return one.start_s < ends[1] and other.start_s < ends[0]


def _same_bytes(one: Path, other: Path) -> bool:
    """Whether two files hold the same; a file that is gone by now does not."""
    try:
        if one.stat().st_size != other.stat().st_size:
            return False
        with open(one, "rb") as first, open(other, "rb") as second:
            while piece := first.read(1 << 20):
                if piece != second.read(len(piece)):
                    return False
    except OSError:
        return False
    return True
