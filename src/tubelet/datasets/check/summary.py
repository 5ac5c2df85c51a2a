"""check.json: everything that a check found, for programs; the page and the lines on the terminal are made of it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float

from tubelet.datasets.check.facts import Facts
from tubelet.datasets.check.findings import Finding
from tubelet.datasets.check.leakage import Duplicate, Shared
from tubelet.datasets.labelled import SPLITS, ClipSet

CHECK_SCHEMA = "tubelet.check/1"
_MAX_BINS = 24
_MAX_ROWS = 2000  # of the longest lists; what is left out is counted


def shown_name(name: str) -> str:
    """A name that is text: bytes of a file name that are none are written as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def class_rows(clips: ClipSet, facts: Facts) -> list[dict[str, Any]]:
    """Per class: sound clips, broken clips, groups, seconds, and sound clips per split."""
    counts, broken, seconds = Counter[int](), Counter[int](), defaultdict[int, float](float)
    groups: dict[int, set[str]] = defaultdict(set)
    splits: dict[int, Counter[str]] = defaultdict(Counter)
    for index, clip in enumerate(clips.clips):
        for label in clip.labels:
            if not facts.is_sound[index]:
                broken[label] += 1
                continue
            counts[label] += 1
            seconds[label] += float(facts.length_s[index])
            groups[label].add(clip.group)
            splits[label][clip.split or "none"] += 1
    return [
        {
            "name": name,
            "num_clips": counts[label],
            "num_broken": broken[label],
            "num_groups": len(groups[label]),
            "seconds": round(seconds[label], 2),
            "splits": {split: splits[label][split] for split in (*SPLITS, "none") if splits[label][split]},
        }
        for label, name in enumerate(clips.classes)
    ]


def histogram(values: Float[np.ndarray, " value"], *, unit: str) -> dict[str, Any]:
    """Counts in bins of round widths; the longest tail above the 99.5th percentile goes into the last bin.

    Args:
        values: Finite; may be empty.
        unit: Of the values.
    """
    if len(values) == 0:
        return {"unit": unit, "edges": [], "counts": [], "is_cut": False, "min": None, "median": None, "max": None}
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    is_cut = float(values.max()) > 2 * high
    top = high if is_cut else float(values.max())
    width = _round_width((top - low) / _MAX_BINS)
    first = math.floor(low / width + 1e-9)
    number = max(1, math.floor(top / width + 1e-9) + 1 - first)
    places = np.clip(np.floor(values / width + 1e-6).astype(np.int64) - first, 0, number - 1)
    counts = np.bincount(places, minlength=number)
    return {
        "unit": unit,
        "edges": [round((first + index) * width, 6) for index in range(number + 1)],
        "counts": counts.tolist(),
        "is_cut": is_cut,
        "min": round(low, 4),
        "median": round(float(np.median(values)), 4),
        "max": round(float(values.max()), 4),
    }


def _round_width(width: float) -> float:
    """The next of 1, 2, 5, 10, … times a power of ten."""
    if width <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(width))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= width * (1 - 1e-9))


def size_rows(facts: Facts) -> list[dict[str, Any]]:
    """How many clips have which picture size, most first."""
    sound = facts.is_sound
    counts = Counter(zip(facts.width_px[sound].tolist(), facts.height_px[sound].tolist(), strict=True))
    return [
        {"width_px": width, "height_px": height, "num_clips": count}
        for (width, height), count in counts.most_common(_MAX_ROWS)
    ]


def document(
    clips: ClipSet,
    facts: Facts,
    *,
    findings: Sequence[Finding],
    found: Sequence[Duplicate],
    leaks: dict[str, Sequence[Shared]],
    num_quarantined: int,
    about: dict[str, Any],
) -> dict[str, Any]:
    """What check.json holds.

    Args:
        clips: The set.
        facts: What was found of each clip.
        findings: In the order in which a person should read them.
        found: Clips that show the same.
        leaks: Groups, files and scenes that occur in several splits.
        num_quarantined: How many clips training will leave out.
        about: Version, command, time taken, settings.
    """
    sound = facts.is_sound
    fps, length_s = (values[sound].astype(np.float64) for values in (facts.fps, facts.length_s))
    ids = [clip.id for clip in clips.clips]
    return {
        "schema": CHECK_SCHEMA,
        **about,
        "dataset": {
            "name": shown_name(clips.name),
            "num_clips": len(clips),
            "num_files": len({clip.path for clip in clips.clips}),
            "num_groups": len({clip.group for clip in clips.clips}),
            "num_classes": len(clips.classes),
            "is_multi_label": clips.is_multi_label,
            "splits": {split: n for split in SPLITS if (n := sum(clip.split == split for clip in clips.clips))},
            "split_rule": clips.split_rule,
            "group_rule": clips.group_rule,
            "fingerprint": clips.fingerprint(),
        },
        "num_expected": len(clips),
        "num_checked": int(facts.is_done.sum()),
        "num_sound": int(sound.sum()),
        "num_quarantined": num_quarantined,
        "seconds": round(float(length_s.sum()), 1),
        "findings": [{**asdict(one), "ids": [shown_name(name) for name in one.ids]} for one in findings],
        "broken": [
            {"id": shown_name(ids[index]), "cause": cause, "detail": shown_name(detail), "time_s": time_s}
            for index, (cause, detail, time_s) in sorted(facts.broken.items())
        ],
        "classes": class_rows(clips, facts),
        "histograms": {"length_s": histogram(length_s, unit="s"), "fps": histogram(fps, unit="frames per second")},
        "sizes": size_rows(facts),
        "codecs": dict(facts.codecs.most_common()),
        "num_variable_rate": int((facts.is_variable & sound).sum()),
        "duplicates": [_duplicate_row(clips, one) for one in found[:_MAX_ROWS]],
        "num_duplicates": len(found),
        "leaks": {
            kind: [
                {"name": shown_name(one.name), "num_clips": one.num_clips, "ids": [shown_name(i) for i in one.ids]}
                for one in shared[:_MAX_ROWS]
            ]
            for kind, shared in leaks.items()
        },
        "num_leaks": {kind: len(shared) for kind, shared in leaks.items()},
    }


def _duplicate_row(clips: ClipSet, one: Duplicate) -> dict[str, Any]:
    def side(index: int) -> dict[str, Any]:
        clip = clips.clips[index]
        names = [shown_name(clips.classes[label]) for label in clip.labels]
        return {"id": shown_name(clip.id), "split": clip.split, "labels": names}

    return {
        "first": side(one.first),
        "other": side(one.other),
        "kind": one.kind,
        "likeness": round(one.likeness, 4),
        "is_mirrored": one.is_mirrored,
        "is_leak": one.is_leak,
        "labels_differ": one.labels_differ,
    }
