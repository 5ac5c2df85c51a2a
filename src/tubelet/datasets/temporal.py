"""What readers of temporal and spatio-temporal annotations return: actions from when to when, and boxes of people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from tubelet.datasets.labelled import Split
from tubelet.errors import DatasetError
from tubelet.metrics.timeline import LabelledInterval


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoTimeline:
    """A video and what happens in it from when to when.

    Attributes:
        id: The path below the root of its set.
        path: The file.
        intervals: In order of time. They may overlap: two things can happen at once.
        duration_s: Length of the video where the annotations tell it.
        group: What it shares with videos that are not independent of it.
        split: Which part of the data it belongs to.
    """

    id: str
    path: Path
    intervals: tuple[LabelledInterval, ...]
    duration_s: float | None = None
    group: str
    split: Split | None = None


@dataclass(frozen=True, kw_only=True)
class TimelineSet:
    """Videos of one dataset with their timelines.

    Attributes:
        name: What the data are called.
        root: Folder that ids are relative to.
        classes: Class names; labels of intervals are among them.
        videos: In the order of the annotations.
        left_out: Annotations that were not taken, each with the reason.
        split_rule: How the splits came about, in a sentence.
        group_rule: What makes a group, in a sentence.

    Raises:
        DatasetError: Two videos have one id, or a label is no class.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    videos: tuple[VideoTimeline, ...]
    left_out: tuple[str, ...] = ()
    split_rule: str = "no split was given"
    group_rule: str = "every video is its own group"

    def __post_init__(self) -> None:
        known = set(self.classes)
        for video in self.videos:
            for interval in video.intervals:
                if interval.label not in known:
                    raise DatasetError(f"{self.name}: {video.id} has the label {interval.label!r}, which is no class")
        name, count = next(iter(Counter(video.id for video in self.videos).most_common(1)), ("", 1))
        if count > 1:
            raise DatasetError(f"{self.name}: {count} videos have the id {name!r}; each must be there once")

    def of(self, split: Split) -> TimelineSet:
        """The videos of one split.

        Raises:
            DatasetError: There are none.
        """
        found = tuple(video for video in self.videos if video.split == split)
        if not found:
            there = sorted({str(video.split) for video in self.videos})
            raise DatasetError(
                f"{self.name} has no videos in split {split!r}; it has {', '.join(there) or 'no videos'}"
            )
        return replace(self, videos=found)


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonBox:
    """One person in one picture and what they do.

    Attributes:
        box: x0, y0, x1, y1 as shares of the picture's width and height, from its top left corner.
        labels: Indices into the classes of the set, rising; none where nobody labelled the person.
        person_id: The same for one person through a stretch of video, None where not told.
    """

    box: tuple[float, float, float, float]
    labels: tuple[int, ...]
    person_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyFrame:
    """A moment of a video at which people are labelled.

    Attributes:
        video_id: Name of the video.
        time_s: Seconds from the beginning of the file that is read.
        people: Who is seen, in the order of the annotations.
        path: The file, None where videos were not asked for.
        split: Which part of the data it belongs to.
    """

    video_id: str
    time_s: float
    people: tuple[PersonBox, ...]
    path: Path | None = None
    split: Split | None = None


@dataclass(frozen=True, kw_only=True)
class KeyFrameSet:
    """Labelled moments of one dataset.

    Attributes:
        name: What the data are called.
        classes: Class names; labels are indices into them.
        class_ids: For each class, its number in the dataset's own files.
        frames: In order of video and time. Videos are the groups.
        excluded: Video and time of moments that the dataset says not to use; they are not among `frames`.
        unlisted_actions: Numbers of actions that rows have and the list of classes has not; they are not taken.
    """

    name: str
    classes: tuple[str, ...]
    class_ids: tuple[int, ...]
    frames: tuple[KeyFrame, ...]
    excluded: tuple[tuple[str, float], ...] = ()
    unlisted_actions: tuple[int, ...] = ()
