"""What is wrong with a set of clips, in sentences: what was found, what training makes of it, what to do."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool

from tubelet.datasets.check.facts import Facts
from tubelet.datasets.check.leakage import Duplicate, Shared
from tubelet.datasets.check.sketch import FLAT, STILL
from tubelet.datasets.labelled import SPLITS, ClipSet, Split
from tubelet.datasets.sampling import Sampling

Weight = Literal["error", "warning", "note"]
_MAX_IDS = 50
_FEW_CLIPS = 10
_FEW_GROUPS = 3  # one each for training, validation and test
_UNEVEN = 10.0
_LOWEST_FPS = 10.0
_FPS_FACTOR = 1.5
_DARK = 16.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that a person should know about a set of clips.

    Attributes:
        kind: One word for programs.
        weight: `error` costs clips or makes scores untrue, `warning` is likely to make a model worse, `note` is good to
            know.
        title: What was found, in a few words.
        text: What it means.
        advice: What to do, and what training does by itself.
        num_clips: How many clips it is about.
        ids: The first few of them.
    """

    kind: str
    weight: Weight
    title: str
    text: str
    advice: str
    num_clips: int = 0
    ids: tuple[str, ...] = field(default=())


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 clip`, `2 clips`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}".replace(",", "\u202f")


def broken_findings(clips: ClipSet, facts: Facts) -> list[Finding]:
    """One finding for each cause of broken clips, most clips first."""
    by_cause: dict[str, list[int]] = defaultdict(list)
    for index, (cause, _, _) in sorted(facts.broken.items()):
        by_cause[cause].append(index)
    found = []
    for cause, places in sorted(by_cause.items(), key=lambda item: (-len(item[1]), item[0])):
        text, advice = _CAUSES.get(cause, ("They could not be read.", "Look at the reasons in the list."))
        found.append(
            Finding(
                kind=cause,
                weight="error",
                title=f"{counted(len(places), 'clip')} broken: {cause.replace('_', ' ')}",
                text=text,
                advice=f"{advice} Until then training leaves {'it' if len(places) == 1 else 'them'} out.",
                num_clips=len(places),
                ids=_ids(clips, places),
            )
        )
    return found


_CAUSES = {
    "missing": ("The annotations name files that are not there.", "Bring the files, or take them out."),
    "directory": ("There is a folder where a file should be.", "Move it away."),
    "permission": ("The system does not let you read these files.", "Change their permissions, then check again."),
    "empty": ("The files have no bytes: a copy or a download was cut off.", "Copy them again."),
    "not_a_video": ("The contents are no video, whatever the names say.", "Replace or delete the files."),
    "truncated": ("The files end too early: a copy, a download or a recording was cut off.", "Copy them again."),
    "no_video_stream": ("The files hold sound and no pictures.", "Replace or delete the files."),
    "unsupported_codec": ("There is no decoder for their pictures.", "Convert them, for example to H.264 in mp4."),
    "corrupt": ("Pictures in them are damaged and cannot be decoded.", "Copy or convert them again."),
    "no_frames": ("They yield no picture.", "Replace or delete the files."),
    "absurd_metadata": ("They claim a size, rate or length that no real video has.", "Convert them again."),
    "time_out": (
        "Reading them took longer than allowed; a damaged file can hang a decoder, a slow disk can too.",
        "Check again when the machine is idle (they are tried again), or convert them.",
    ),
    "worker_died": (
        "The process that read them was killed: memory ran out, or the decoder crashed on a damaged file.",
        "Check again with fewer --workers (they are tried again), or convert them.",
    ),
    "out_of_memory": ("Memory ran out while they were read.", "Check again with fewer --workers."),
    "span_outside": ("The annotations cut them from behind the end of their files.", "Correct the times."),
    "duplicate": ("They show what a clip of another split shows.", "Delete one of the two."),
}


def label_findings(clips: ClipSet) -> list[Finding]:
    """Classes and labels that cannot be meant as they are."""
    found = []
    counts = Counter(label for clip in clips.clips for label in clip.labels)
    unlabelled = [index for index, clip in enumerate(clips.clips) if not clip.labels]
    if unlabelled and not clips.is_multi_label:
        found.append(
            Finding(
                kind="unlabelled",
                weight="error",
                title=f"{counted(len(unlabelled), 'clip')} without a label",
                text="The annotations do not say what they show.",
                advice="Label them. Training cannot use them.",
                num_clips=len(unlabelled),
                ids=_ids(clips, unlabelled),
            )
        )
    if len(counts) > 1 and counts[0] == 0 and all(counts[index] for index in range(1, len(clips.classes))):
        found.append(
            Finding(
                kind="ids_from_one",
                weight="error",
                title="Label ids seem to count from 1",
                text=f"No clip has the first class, {clips.classes[0]!r}, and every other class has clips.",
                advice="Count ids from 0, or write class names. As it is, every clip would be taught the next class.",
            )
        )
    else:
        found += _empty_classes(clips, counts)
    return found + _alike_names(clips)


def _empty_classes(clips: ClipSet, counts: Counter[int]) -> list[Finding]:
    empty = [name for index, name in enumerate(clips.classes) if counts[index] == 0]
    if not empty:
        return []
    return [
        Finding(
            kind="empty_class",
            weight="warning",
            title=f"{counted(len(empty), 'class', 'classes')} without a clip: {listed(empty)}",
            text="A model would have an output that it never learns.",
            advice="Add clips, or take the class (its folder) away.",
        )
    ]


def _alike_names(clips: ClipSet) -> list[Finding]:
    alike: dict[str, list[str]] = defaultdict(list)
    for name in clips.classes:
        alike[re.sub(r"[\W_]+", "", name.casefold()).removesuffix("s") or name].append(name)
    pairs = [names for names in alike.values() if len(names) > 1]
    return (
        [
            Finding(
                kind="alike_classes",
                weight="warning",
                title="Classes whose names are nearly the same: "
                + listed([" and ".join(map(repr, names)) for names in pairs]),
                text="One class may have been written in two ways, and would be learnt as two.",
                advice="Give them one name, if they are one class.",
            )
        ]
        if pairs
        else []
    )


def balance_findings(clips: ClipSet, facts: Facts) -> list[Finding]:
    """Classes with too little to learn or to measure from, counted over sound clips."""
    found = []
    counts: Counter[int] = Counter()
    groups: dict[int, set[str]] = defaultdict(set)
    splits: dict[int, Counter[str]] = defaultdict(Counter)
    for index, clip in enumerate(clips.clips):
        if not facts.is_sound[index]:
            continue
        for label in clip.labels:
            counts[label] += 1
            groups[label].add(clip.group)
            splits[label][clip.split or ""] += 1
    there = [label for label in range(len(clips.classes)) if counts[label]]
    few = [clips.classes[label] for label in there if counts[label] < _FEW_CLIPS]
    if few:
        advice = "Add clips; scores of them say little."
        found.append(_few(few, f"with fewer than {_FEW_CLIPS} clips", "few_clips", advice))
    given = {clip.split for clip in clips.clips} - {None}
    narrow = [clips.classes[label] for label in there if len(groups[label]) < _FEW_GROUPS]
    if narrow and len(given) < len(SPLITS):
        advice = (
            f"Add clips of other sources or people. A split keeps a group together, and needs {_FEW_GROUPS} per class "
            "to have the class in training, validation and test."
        )
        found.append(_few(narrow, f"with fewer than {_FEW_GROUPS} groups", "few_groups", advice))
    if "train" in given:
        found += _one_sided(clips, splits, [split for split in SPLITS[1:] if split in given])
    if len(there) > 1:
        least, most = min(there, key=lambda one: counts[one]), max(there, key=lambda one: counts[one])
        if counts[most] >= _UNEVEN * counts[least]:
            found.append(
                Finding(
                    kind="imbalance",
                    weight="warning",
                    title=f"The largest class has {counts[most] / counts[least]:.0f} times the clips of the smallest",
                    text=f"{clips.classes[most]!r} has {counts[most]}, {clips.classes[least]!r} has {counts[least]}.",
                    advice="Look at mean class accuracy beside accuracy, and consider class-balanced sampling.",
                )
            )
    return found


def _one_sided(clips: ClipSet, splits: Mapping[int, Counter[str]], others: Sequence[Split]) -> list[Finding]:
    """Classes that are in train and not in another split, or the other way round."""
    found = []
    for split in others:
        names = [(clips.classes[label], counts["train"], counts[split]) for label, counts in sorted(splits.items())]
        unseen = [name for name, taught, tested in names if tested and not taught]
        if unseen:
            text = "A model cannot know what it was never shown."
            advice = "Move all clips of some of their groups to train."
            found.append(_few(unseen, f"in {split} and not in train", "untaught_class", advice, text))
        untested = [name for name, taught, tested in names if taught and not tested]
        if untested:
            text = "Nothing can be said about how well they are recognised."
            advice = f"Add clips of other groups to {split}."
            found.append(_few(untested, f"in train and not in {split}", "untested_class", advice, text))
    return found


def _few(
    names: Sequence[str], what: str, kind: str, advice: str, text: str = "Too little to learn from or to measure with."
) -> Finding:
    return Finding(
        kind=kind,
        weight="warning",
        title=f"{counted(len(names), 'class', 'classes')} {what}: {listed(names)}",
        text=text,
        advice=advice,
    )


def media_findings(clips: ClipSet, facts: Facts, sampling: Sampling) -> list[Finding]:
    """Clips that can be read and are odd: too short, black, frozen, of another rate than the rest."""
    sound = facts.is_sound
    if not sound.any():
        return []
    needed_s = sampling.num_frames * sampling.step_s if sampling.step_s else sampling.num_frames / facts.fps
    usual = float(np.median(facts.fps[sound]))
    is_odd_rate = (facts.fps * _FPS_FACTOR < usual) | (facts.fps > _FPS_FACTOR * usual)
    is_plain = (facts.detail < FLAT) & (facts.movement < FLAT)
    is_dark = is_plain & (facts.brightness < _DARK)
    rows: list[tuple[str, Weight, Bool[np.ndarray, " clip"], str, str, str]] = [
        (
            "short",
            "warning",
            facts.length_s < needed_s - 1e-3,
            f"shorter than a view of {sampling.num_frames} pictures",
            "Some pictures are shown to the network twice.",
            "That does no harm to a few; for many, sample fewer frames.",
        ),
        ("dark", "warning", is_dark, "black from begin to end", "There is nothing to see.", "Look at them."),
        (
            "plain",
            "warning",
            is_plain & ~is_dark,
            "of one plain colour",
            "There is nothing to see: an empty recording, or something drawn too small.",
            "Look at them.",
        ),
        (
            "still",
            "note",
            (facts.movement < STILL) & ~is_plain,
            "in which nothing moves",
            "The picture stands still, or what moves is very small.",
            "Look at some; a frozen recording teaches nothing about actions.",
        ),
        (
            "odd_rate",
            "note",
            is_odd_rate,
            f"of an unusual frame rate (most have {usual:.4g} per second)",
            "Motion looks faster or slower where frames are counted; tubelet samples by seconds.",
            "Nothing has to be done; see that slow motion is not among them.",
        ),
        (
            "low_rate",
            "note",
            facts.fps < _LOWEST_FPS,
            f"with fewer than {_LOWEST_FPS:g} pictures per second",
            "Fast motion is lost between two pictures.",
            "Nothing has to be done if the actions are slow.",
        ),
        (
            "variable_rate",
            "note",
            facts.is_variable,
            "of a variable frame rate",
            "Phones record like this. tubelet goes by the time of each picture, so nothing shifts.",
            "Nothing has to be done.",
        ),
    ]
    return [
        Finding(
            kind=kind,
            weight=weight,
            title=f"{counted(int((which & sound).sum()), 'clip')} {what}",
            text=text,
            advice=advice,
            num_clips=int((which & sound).sum()),
            ids=_ids(clips, np.flatnonzero(which & sound).tolist()),
        )
        for kind, weight, which, what, text, advice in rows
        if (which & sound).any()
    ]


def duplicate_findings(clips: ClipSet, found: Sequence[Duplicate]) -> list[Finding]:
    """Copies: between splits, with different labels, and the rest."""
    rows: list[tuple[str, Weight, list[Duplicate], str, str, str]] = [
        (
            "duplicate_leak",
            "error",
            [one for one in found if one.is_leak],
            "showing what a clip of another split shows",
            "A model is tested on what it was trained on; scores come out too high.",
            "Delete one of each two, or let `tubelet check --drop-duplicates` put the one in training into quarantine.",
        ),
        (
            "label_conflict",
            "error",
            [one for one in found if one.labels_differ and not clips.is_multi_label],
            "showing what another clip shows, with another label",
            "One of the two labels is wrong.",
            "Look at both and correct one. Training uses both as they are.",
        ),
        (
            "duplicate",
            "note",
            [one for one in found if not one.is_leak and not one.labels_differ],
            "showing what another clip shows",
            "They count twice in training, and make intervals of scores too narrow.",
            "Delete one of each two, or give both one group, so that a split keeps them together.",
        ),
    ]
    return [
        Finding(
            kind=kind,
            weight=weight,
            title=f"{counted(len(some), 'clip')} {what}",
            text=text,
            advice=advice,
            num_clips=len(some),
            ids=_ids(clips, [one.other for one in some]),
        )
        for kind, weight, some, what, text, advice in rows
        if some
    ]


def leak_findings(groups: Sequence[Shared], files: Sequence[Shared], scenes: Sequence[Shared]) -> list[Finding]:
    """Groups, files and scenes that occur in several splits."""
    rows: list[tuple[str, Weight, Sequence[Shared], str, str, str]] = [
        (
            "group_leak",
            "error",
            groups,
            "in more than one split",
            "Clips of one source or person are in training and in the test of it; scores come out too high.",
            "Move all clips of a group to one split, or let `tubelet train` make the split.",
        ),
        (
            "file_leak",
            "error",
            files,
            "cut into clips of more than one split",
            "Parts of one recording are in training and in the test of it; scores come out too high.",
            "Move all clips of a file to one split.",
        ),
        (
            "scene_leak",
            "note",
            scenes,
            "with clips in more than one split",
            "They look as if one fixed camera took them. If they are of one recording, scores come out too high; if "
            "you always film in this place, that is as it should be.",
            "Look at them below. Clips of one recording belong into one split.",
        ),
    ]
    nouns = {"group_leak": "group", "file_leak": "file", "scene_leak": "look-alike scene"}
    return [
        Finding(
            kind=kind,
            weight=weight,
            title=f"{counted(len(shared), nouns[kind])} {what}",
            text=text,
            advice=advice,
            num_clips=sum(sum(one.num_clips.values()) for one in shared),
            ids=tuple(name for one in shared for name in one.ids)[:_MAX_IDS],
        )
        for kind, weight, shared, what, text, advice in rows
        if shared
    ]


def listed(names: Sequence[str], most: int = 5) -> str:
    """A few names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _ids(clips: ClipSet, places: Sequence[int]) -> tuple[str, ...]:
    return tuple(clips.clips[index].id for index in places[:_MAX_IDS])
