"""What recognition found as rows and as one JSON object: the fixed formats, without any file.

The schema of the JSON object is `actions.schema.json` beside this module, explained in `docs/reference/formats.md`.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tubelet
from tubelet.errors import VideoReadError
from tubelet.methods.recognition.segmenter import ActionEvent
from tubelet.methods.recognition.timeline import Recognition, Segment, TrackRow

ACTIONS_SCHEMA = "tubelet.actions/1"
EVENT_SCHEMA = "tubelet.event/1"
ACTIONS_COLUMNS = ("source", "track_id", "start_s", "end_s", "label", "probability")
TRACKS_COLUMNS = (
    "source",
    "track_id",
    "time_s",
    "x0_px",
    "y0_px",
    "x1_px",
    "y1_px",
    "score",
    "interpolated",
)

# Neighbouring segments meet exactly; two floats that differ by less than this are the same moment computed twice.
_SAME_MOMENT_S = 0.0015


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A source that could not be recognised.

    Attributes:
        source: As the user named it.
        cause: One of `tubelet.errors.READ_CAUSES`, or the name of the error class for any other failure.
        message: What was wrong, what is allowed, what to do, in sentences.
    """

    source: str
    cause: str
    message: str

    @classmethod
    def of(cls, source: str, error: Exception) -> Failure:
        """The failure that an error stands for."""
        cause = error.cause if isinstance(error, VideoReadError) else type(error).__name__
        return cls(source=source, cause=cause, message=str(error))


def now_utc() -> str:
    """The present moment as ISO 8601 in UTC, to the second."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_milliseconds(time_s: float) -> float:
    """A time as it is written: three decimals, never `-0.0`."""
    return round(time_s, 3) + 0.0


def written_segments(segments: Iterable[Segment]) -> list[Segment]:
    """The segments as they are written: ordered, rounded, and meeting exactly where they touch.

    Args:
        segments: Of any number of tracks, in any order.

    Returns:
        Segments ordered by track and start, times to the millisecond, probabilities to four decimals. A segment that
        is shorter than half a millisecond has no length left and is dropped; its neighbours still meet.
    """
    written: list[Segment] = []
    for segment in sorted(segments, key=lambda item: (item.track_id, item.start_s, item.end_s)):
        start_s, end_s = to_milliseconds(segment.start_s), to_milliseconds(segment.end_s)
        previous = written[-1] if written and written[-1].track_id == segment.track_id else None
        if previous is not None and abs(start_s - previous.end_s) < _SAME_MOMENT_S:
            start_s = previous.end_s
        if end_s <= start_s:
            continue
        written.append(
            dataclasses.replace(
                segment,
                start_s=start_s,
                end_s=end_s,
                probability=round(float(segment.probability), 4),
                runners_up=tuple((label, round(float(p), 4)) for label, p in segment.runners_up),
            )
        )
    return written


def csv_line(values: Sequence[object]) -> str:
    """One line of CSV as RFC 4180 quotes it, ending in a plain newline."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def actions_csv_lines(recognition: Recognition) -> Iterator[str]:
    """The lines of `actions.csv` for one source, without the header."""
    for segment in written_segments(recognition.segments):
        yield csv_line(
            (
                recognition.source,
                segment.track_id,
                f"{segment.start_s:.3f}",
                f"{segment.end_s:.3f}",
                segment.label,
                f"{segment.probability:.4f}",
            )
        )


def tracks_csv_line(quoted_source: str, row: TrackRow) -> str:
    """One line of `tracks.csv`.

    Args:
        quoted_source: The source as CSV quotes it; quoting it once keeps a long video fast.
        row: Where one person is in one frame.
    """
    x0, y0, x1, y1 = row.box_px
    return (
        f"{quoted_source},{row.track_id},{to_milliseconds(row.time_s):.3f},{x0:.1f},{y0:.1f},{x1:.1f},{y1:.1f},"
        f"{row.score:.4f},{'true' if row.interpolated else 'false'}\n"
    )


def actions_document(
    recognitions: Sequence[Recognition],
    failures: Sequence[Failure] = (),
    *,
    command: str = "",
    created: str | None = None,
) -> dict[str, Any]:
    """The JSON object of `actions.json`, which `--json` prints too.

    Args:
        recognitions: One per source, in the order of the command line.
        failures: Sources that could not be recognised.
        command: The command line that was run, or an empty string from Python.
        created: When, as ISO 8601 in UTC; now if not given.

    Returns:
        A dictionary of plain JSON types that agrees with `actions.schema.json`.
    """
    return {
        "schema": ACTIONS_SCHEMA,
        "tubelet": tubelet.__version__,
        "command": command,
        "created": created or now_utc(),
        "sources": [source_document(recognition) for recognition in recognitions],
        "failures": [dataclasses.asdict(failure) for failure in failures],
    }


def source_document(recognition: Recognition) -> dict[str, Any]:
    """What was recognised in one source, as plain JSON types."""
    segments = written_segments(recognition.segments)
    tracks = []
    for track_id in dict.fromkeys(segment.track_id for segment in segments):
        own = [segment for segment in segments if segment.track_id == track_id]
        tracks.append(
            {
                "track_id": track_id,
                "start_s": own[0].start_s,
                "end_s": own[-1].end_s,
                "segments": [segment_document(segment) for segment in own],
            }
        )
    return {
        "source": recognition.source,
        "video": None if recognition.info is None else dataclasses.asdict(recognition.info),
        "num_frames": recognition.num_frames,
        "duration_s": to_milliseconds(recognition.duration_s),
        "detector": recognition.detector,
        "model": _plain(recognition.model),
        "settings": _plain(recognition.settings),
        "tracks": tracks,
        "timings_s": {stage: to_milliseconds(seconds) for stage, seconds in recognition.timings_s.items()},
        "warnings": list(recognition.warnings),
    }


def segment_document(segment: Segment) -> dict[str, Any]:
    """One segment without its track, as plain JSON types."""
    return {
        "start_s": to_milliseconds(segment.start_s),
        "end_s": to_milliseconds(segment.end_s),
        "label": segment.label,
        "probability": round(float(segment.probability), 4),
        "best_label": segment.best_label,
        "runners_up": [{"label": label, "probability": round(float(p), 4)} for label, p in segment.runners_up],
    }


def event_document(source: str, event: ActionEvent) -> dict[str, Any]:
    """One event of a stream: a line of what `--json` prints for cameras and network streams."""
    document: dict[str, Any] = {
        "schema": EVENT_SCHEMA,
        "source": source,
        "event": event.kind,
        "track_id": event.track_id,
        "time_s": to_milliseconds(event.time_s),
        "label": event.label,
    }
    if event.segment is not None:
        document["segment"] = segment_document(event.segment)
    return document


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """`value` with mappings, tuples and numpy numbers turned into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [_plain(item) for item in items]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    if hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form: {value!r}")
