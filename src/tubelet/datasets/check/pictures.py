"""Small pictures of the copies that the page shows side by side."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence

import numpy as np

from tubelet.datasets.check.facts import Facts
from tubelet.datasets.check.leakage import Duplicate
from tubelet.datasets.check.probe import thumbnails
from tubelet.datasets.labelled import ClipSet
from tubelet.datasets.workers import FAILURES, ordered_map

MAX_SHOWN = 24
_PICTURES = 3


def duplicate_pictures(
    clips: ClipSet, facts: Facts, found: Sequence[Duplicate], *, num_workers: int, timeout_s: float
) -> dict[str, list[str]]:
    """Pictures of the first few copies and of what they are copies of, as data addresses, by the id of the clip.

    Args:
        clips: The set.
        facts: Where clips end.
        found: Of which the first `MAX_SHOWN` are shown.
        num_workers: Processes that decode.
        timeout_s: For each clip.
    """
    places = list(dict.fromkeys(index for one in found[:MAX_SHOWN] for index in (one.first, one.other)))
    shares = (np.arange(_PICTURES) + 0.5) / _PICTURES
    tasks = [
        (
            os.fspath(clips.clips[index].path),
            (clips.clips[index].start_s + shares * float(facts.length_s[index])).tolist(),
        )
        for index in places
    ]
    shown: dict[str, list[str]] = {}
    outcomes = ordered_map(
        thumbnails,
        tasks,
        num_workers=min(num_workers, len(tasks)),
        timeout_s=timeout_s,
        failures=(*FAILURES, ValueError),
    )
    for index, outcome in zip(places, outcomes, strict=True):
        # A file that was there a minute ago and is gone has no picture; the page says so.
        pictures = outcome.value or []
        shown[clips.clips[index].id] = ["data:image/jpeg;base64," + base64.b64encode(one).decode() for one in pictures]
    return shown
