"""Subtitles of what people do: WebVTT and SubRip.

Several people act at once, and players differ in how they show cues that overlap. So time is cut wherever any
person's label changes, and each piece is one cue that names everybody: cues never overlap.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tubelet.methods.recognition.documents import written_segments
from tubelet.methods.recognition.timeline import Segment

# More lines than this hide the picture; the same people are then named in one line per label.
MAX_LINES = 4


@dataclass(frozen=True, kw_only=True)
class Cue:
    """Lines of text that are shown from `start_s` until `end_s`."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]


def percent(probability: float) -> str:
    """A probability as text, never claiming certainty: `93 %`, at most `99 %`."""
    return f"{min(99, max(0, round(100 * probability)))} %"


def cues(segments: Iterable[Segment]) -> list[Cue]:
    """Cues that do not overlap, from segments that may.

    Where the recogniser abstains a person is left out; where nobody has a label there is no cue.

    Args:
        segments: Of all tracks of one source.

    Returns:
        Cues in order of time; neighbours with the same text are joined.
    """
    labelled = [segment for segment in written_segments(segments) if not segment.abstained]
    starts: dict[float, list[Segment]] = {}
    ends: dict[float, list[Segment]] = {}
    for segment in labelled:
        starts.setdefault(segment.start_s, []).append(segment)
        ends.setdefault(segment.end_s, []).append(segment)
    moments = sorted(starts.keys() | ends.keys())
    active: dict[int, Segment] = {}
    result: list[Cue] = []
    for moment, following in itertools.pairwise(moments):
        for segment in ends.get(moment, ()):
            active.pop(segment.track_id, None)
        for segment in starts.get(moment, ()):
            active[segment.track_id] = segment
        lines = cue_lines([active[track_id] for track_id in sorted(active)])
        if not lines:
            continue
        if result and result[-1].end_s == moment and result[-1].lines == lines:
            result[-1] = Cue(start_s=result[-1].start_s, end_s=following, lines=lines)
        else:
            result.append(Cue(start_s=moment, end_s=following, lines=lines))
    return result


def cue_lines(active: Sequence[Segment]) -> tuple[str, ...]:
    """The text for the people who act at one moment, in the order given."""
    if len(active) <= MAX_LINES:
        return tuple(_named(segment) for segment in active)
    by_label: dict[str, list[int]] = {}
    for segment in active:
        by_label.setdefault(_one_line(segment.label), []).append(segment.track_id)
    grouped = sorted(by_label.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        f"{label}: {'person' if len(people) == 1 else 'people'} {', '.join(str(track_id) for track_id in people)}"
        for label, people in grouped
    )


def to_webvtt(segments: Iterable[Segment]) -> str:
    """A WebVTT file."""
    blocks = ["WEBVTT\n"]
    for cue in cues(segments):
        text = "\n".join(html.escape(line, quote=False) for line in cue.lines)
        blocks.append(f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{text}\n")
    return "\n".join(blocks)


# SubRip has no escapes, and players read tags and braces as styling: such characters become look-alikes.
_SUBRIP_LOOKALIKES = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")"})


def to_subrip(segments: Iterable[Segment]) -> str:
    """A SubRip (.srt) file; empty where nobody has a label."""
    blocks = []
    for number, cue in enumerate(cues(segments), start=1):
        text = "\n".join(line.translate(_SUBRIP_LOOKALIKES) for line in cue.lines)
        blocks.append(f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{text}\n")
    return "\n".join(blocks)


def _named(segment: Segment) -> str:
    what = f"{_one_line(segment.label)} ({percent(segment.probability)})"
    # Whole-frame models see a scene, not a person, and say so with track 0.
    return what if segment.track_id == 0 else f"Person {segment.track_id}: {what}"


def _one_line(label: str) -> str:
    """A label as a person reads it, on one line."""
    return " ".join(label.replace("_", " ").split())


def _clock(time_s: float, decimal: str) -> str:
    milliseconds = round(time_s * 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{decimal}{milliseconds:03d}"
