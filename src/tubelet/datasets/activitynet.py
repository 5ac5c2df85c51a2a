"""ActivityNet, and other datasets of segments in its JSON format (HACS, THUMOS14 in that form, and more).

Layout: one JSON file, `activity_net.v1-3.min.json` say, in the folder, in `annotations/` or `labels/`: `{"database":
{"sJFgo9H6zNo": {"duration": 130.37, "subset": "training", "annotations": [{"segment": [0, 130.37], "label": "Fixing
bicycle"}]}}}`. Subsets are `training`, `validation` and `testing`; those in testing are not annotated. The inner
object alone, as MMAction2 writes it (`anet_anno_train.json`, with `duration_second`), is read too, with the split out
of the file's name. Videos are `v_sJFgo9H6zNo.mp4` or `sJFgo9H6zNo.mp4`, with any ending, anywhere below the folder.
Classes are the labels in the order of the alphabet.

Source: Caba Heilbron et al. 2015 (CVPR) and the JSON file of release 1.3; MMAction2's tools/data/activitynet/README.md
and process_annotations.py at commit 4d6c9347.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.datasets.annotation_files import (
    Place,
    annotation_folders,
    need_annotations,
    read_json,
    split_named,
)
from tubelet.datasets.clip_ids import path_id, span_id
from tubelet.datasets.labelled import ClipSet, LabelledClip, Split
from tubelet.datasets.listed_clips import ListedClips
from tubelet.datasets.temporal import TimelineSet, VideoTimeline
from tubelet.errors import DatasetError
from tubelet.metrics.timeline import LabelledInterval

FILE_NAMES = ("activity_net*.json", "activitynet*.json", "ActivityNet*.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Segments:
    place: Place
    duration_s: float | None
    split: Split | None
    intervals: tuple[LabelledInterval, ...]


def read_activitynet_timelines(
    root: Path, *, annotations: Path | None = None, allow_missing: bool = False
) -> TimelineSet:
    """Read videos with segments, for temporal detection.

    Args:
        root: Folder with the videos at any depth.
        annotations: The JSON file, or its folder, where it is not in the root.
        allow_missing: Leave out videos whose file is not there, and say so in `split_rule`, instead of refusing.

    Returns:
        Segments of no length, or written twice, are in `left_out`.

    Raises:
        DatasetError: The JSON file is missing or not as described, or videos are missing.
    """
    if annotations is not None and annotations.is_file():
        path = annotations
    else:
        path = need_annotations(FILE_NAMES, annotation_folders(root, annotations), "the JSON file of segments")
    not_taken: list[str] = []
    database = dict(_database(path, not_taken))
    listed = ListedClips(root)
    videos: list[VideoTimeline] = []
    for name, segments in database.items():
        found = listed.find(name, segments.place, stems=[f"v_{name}", name])
        if found is None:
            continue
        videos.append(
            VideoTimeline(
                id=path_id(found, root),
                path=found,
                intervals=segments.intervals,
                duration_s=segments.duration_s,
                group=name,
                split=segments.split,
            )
        )
    return TimelineSet(
        name=f"{path.stem} (segments)",
        root=root,
        classes=tuple(sorted({each.label for segments in database.values() for each in segments.intervals})),
        videos=tuple(videos),
        left_out=tuple(not_taken),
        split_rule=f"the subsets of {path.name}{listed.left_out(allow_missing=allow_missing)}",
        group_rule="the video that a segment lies in",
    )


def read_activitynet(root: Path, *, annotations: Path | None = None, allow_missing: bool = False) -> ClipSet:
    """Read every segment as a clip with one label. Videos without segments give none.

    Args:
        root: Folder with the videos at any depth.
        annotations: The JSON file, or its folder, where it is not in the root.
        allow_missing: Leave out videos whose file is not there, and say so in `split_rule`, instead of refusing.

    Raises:
        DatasetError: As `read_activitynet_timelines`; two segments have the same times and different labels.
    """
    timelines = read_activitynet_timelines(root, annotations=annotations, allow_missing=allow_missing)
    return clips_of(timelines)


def clips_of(timelines: TimelineSet) -> ClipSet:
    """Every interval of the videos as a clip with one label.

    Raises:
        DatasetError: Two intervals of a video have the same times and different labels.
    """
    places = {name: index for index, name in enumerate(timelines.classes)}
    clips: dict[str, LabelledClip] = {}
    for video in timelines.videos:
        for interval in video.intervals:
            name = span_id(video.id, interval.start_s, interval.end_s)
            if name in clips:
                other = timelines.classes[clips[name].label]
                raise DatasetError(
                    f"{timelines.name}: {name} is labelled {other!r} and {interval.label!r}; a clip has one label "
                    "here: read the timelines instead, or take one of the two out"
                )
            clips[name] = LabelledClip(
                id=name,
                path=video.path,
                labels=(places[interval.label],),
                start_s=interval.start_s,
                end_s=interval.end_s,
                group=video.group,
                split=video.split,
            )
    rest = f"; {len(timelines.left_out)} segments are left out ({timelines.left_out[0]})" if timelines.left_out else ""
    return ClipSet(
        name=timelines.name,
        root=timelines.root,
        classes=timelines.classes,
        clips=tuple(clips.values()),
        split_rule=timelines.split_rule + rest,
        group_rule=timelines.group_rule,
    )


def _database(path: Path, not_taken: list[str]) -> Iterator[tuple[str, _Segments]]:
    whole = read_json(path)
    database = whole.get("database", whole) if isinstance(whole, dict) else None
    if not isinstance(database, dict) or not database:
        raise DatasetError(f'{path}: has no videos; allowed: {{"database": {{NAME: {{"annotations": […]}}}}}}')
    words = re.split(r"[^a-z]+", path.stem.lower())
    split_of_file = next((split for word in words if (split := split_named(word))), None)
    for name, entry in database.items():
        place = Place(path, f"video {name}")
        if not isinstance(entry, dict) or not isinstance(entry.get("annotations", []), list):
            raise place.error("is no object with a list of annotations; take the JSON file of the dataset")
        split = split_of_file
        if "subset" in entry:
            split = split_named(str(entry["subset"]))
            if split is None:
                raise place.error(f"subset is {entry['subset']!r}; allowed: training, validation or testing")
        duration = entry.get("duration", entry.get("duration_second"))
        intervals: dict[LabelledInterval, None] = {}
        for item in entry.get("annotations", []):
            interval = _interval(item, place)
            if not interval.end_s > interval.start_s:
                not_taken.append(f"{name}: {interval.start_s:g} to {interval.end_s:g} s has no length")
            elif interval in intervals:
                not_taken.append(f"{name}: {interval.start_s:g} to {interval.end_s:g} s is there twice")
            else:
                intervals[interval] = None
        yield (
            name,
            _Segments(
                place=place,
                duration_s=None if duration is None else place.number(duration, "duration"),
                split=split,
                intervals=tuple(sorted(intervals)),
            ),
        )


def _interval(item: Any, place: Place) -> LabelledInterval:  # noqa: ANN401
    segment = item.get("segment") if isinstance(item, dict) else None
    if not isinstance(segment, list) or len(segment) != 2:
        raise place.error(f"{item!r} has no segment; allowed: [begin, end] in seconds")
    label = item.get("label")
    if not isinstance(label, str) or not label.strip():
        raise place.error(f"the label is {label!r}; allowed: the name of a class")
    start_s, end_s = (place.number(value, "segment") for value in segment)
    if start_s < 0:
        raise place.error(f"a segment begins at {start_s:g} s; allowed: 0 (the beginning of the video) or more")
    return LabelledInterval(start_s, end_s, label.strip())
