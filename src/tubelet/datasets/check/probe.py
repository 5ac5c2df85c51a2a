"""Look into one video file: facts, the pictures that must decode, and a sketch of each clip in it. Runs in a worker."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from tubelet.datasets.check.sketch import NUM_PICTURES, make_sketch, sketch_times_s
from tubelet.datasets.views import END_SLACK_S
from tubelet.errors import VideoReadError
from tubelet.video import VideoReader

SPANS_PER_TASK = 8
_HAIR_S = 2e-3
_SHORT_SIDE_PX = 64
_THUMBNAIL_PX = 108
_FACTS = ("duration_s", "average_fps", "width", "height", "is_variable_frame_rate", "codec", "container", "has_audio")

Span = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file, and some of the clips in it.

    Attributes:
        key: What the journal calls it.
        path: The file.
        spans: Begin and end of each clip, seconds; an end of None is the end of the file.
    """

    key: str
    path: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class SpanResult:
    """What was found about one clip.

    Attributes:
        start_s: Begin, as the annotations have it.
        end_s: End, as the annotations have it.
        sketch: Its pictures, see `sketch`, as base64; empty where it cannot be used.
        cause: Why it cannot be used; empty where it can.
        detail: The same in a sentence.
        time_s: Where in the file, if known.
    """

    start_s: float
    end_s: float | None
    sketch: str = ""
    cause: str = ""
    detail: str = ""
    time_s: float | None = None


def examine(task: FileTask) -> dict[str, Any]:
    """Decode the first, a middle and the last picture of a file and of each clip in it, and sketch the clips.

    Returns:
        `video`: facts about the file, None where it cannot be opened; `spans`: one `SpanResult` per clip, as a mapping.
    """
    # Errors of other kinds pass: the pool tells them apart.
    video: dict[str, Any] | None = None
    try:
        with VideoReader(task.path, num_threads=1) as reader:
            info = asdict(reader.info)
            video = {name: info[name] for name in _FACTS}
            if any(not _is_whole(span) for span in task.spans):
                last_s = reader.info.duration_s
                reader.frames_at([0.0, last_s / 2, last_s], short_side=_SHORT_SIDE_PX)
            spans = [_examine_span(reader, span) for span in task.spans]
    except VideoReadError as error:
        spans = [_broken(span, error.cause, error.detail, error.time_s) for span in task.spans]
    return {"video": video, "spans": [asdict(span) for span in spans]}


def thumbnails(task: tuple[str, Sequence[float]]) -> list[bytes]:
    """Small JPEG pictures of a file at some times."""
    path, times_s = task
    with VideoReader(path, num_threads=1) as reader:
        clip = reader.frames_at(list(times_s), short_side=_THUMBNAIL_PX)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 74]
    encoded = [cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), quality) for frame in clip.frames]
    return [data.tobytes() for _, data in encoded]


def span_problem(start_s: float, end_s: float | None, duration_s: float) -> str:
    """What is wrong with the place of a clip in its file; empty where nothing is."""
    if start_s >= duration_s:
        return f"it begins at {start_s:g} s, and the file ends at {duration_s:.2f} s; correct the annotation"
    if end_s is not None and end_s > duration_s + END_SLACK_S:
        return f"it ends at {end_s:g} s, and the file at {duration_s:.2f} s; correct the annotation"
    return ""


def _is_whole(span: Span) -> bool:
    return span[0] == 0 and span[1] is None


def _examine_span(reader: VideoReader, span: Span) -> SpanResult:
    duration_s = reader.info.duration_s
    start_s, end_s = span
    problem = span_problem(start_s, end_s, duration_s)
    if problem:
        return _broken(span, "span_outside", problem, None)
    stop_s = duration_s if end_s is None else min(end_s, duration_s)
    last_s = stop_s if end_s is None else max(start_s, stop_s - _HAIR_S)
    times_s = np.concatenate([[start_s], sketch_times_s(start_s, stop_s), [last_s]])
    try:
        clip = reader.frames_at(times_s, short_side=_SHORT_SIDE_PX)
    except VideoReadError as error:
        # The rest of the file may be sound, and with it the other clips.
        return _broken(span, error.cause, error.detail, error.time_s)
    sketch = make_sketch(clip.frames[1 : 1 + NUM_PICTURES])
    return SpanResult(start_s, end_s, sketch=base64.b64encode(sketch.tobytes()).decode("ascii"))


def _broken(span: Span, cause: str, detail: str, time_s: float | None) -> SpanResult:
    return SpanResult(*span, cause=cause, detail=detail, time_s=time_s)
