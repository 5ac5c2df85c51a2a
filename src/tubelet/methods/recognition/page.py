"""`report.html`: one self-contained page that shows who does what, from when to when, and how sure that is.

The page loads nothing from anywhere: styles, script and pictures are inside, and a content security policy forbids the
rest. Only the annotated video stays a file of its own, beside the page. Everything that comes from outside (names of
sources, labels, messages) passes through the template engine's escaping.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tubelet.methods.recognition.palette import ink_on, label_colours, person_colour, to_hex
from tubelet.methods.recognition.subtitles import percent
from tubelet.methods.recognition.timeline import UNKNOWN, Recognition
from tubelet.runs.pages import fill_page
from tubelet.video.sources import without_password

# Longer lists are folded: the page stays readable for fifty people and an hour.
MAX_OPEN_PEOPLE = 12
MAX_OPEN_SEGMENTS = 30
MAX_OPEN_SOURCES = 3


@dataclass(frozen=True, kw_only=True)
class AnnotatedVideo:
    """An annotated video that the report can play.

    Attributes:
        relative_path: From the folder of the report, with forward slashes.
        offset_s: Time in the source at which the annotated video begins.
    """

    relative_path: str
    offset_s: float = 0.0


@dataclass(kw_only=True)
class _Person:
    """One lane of the timeline and one row of the table of times."""

    track_id: int
    name: str
    colour: str
    start_s: float
    end_s: float
    segments: list[dict[str, Any]]
    pictures: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def seen_s(self) -> float:
        return sum(self.seconds.values())


def render_report(
    document: Mapping[str, Any], recognitions: Sequence[Recognition], videos: Mapping[str, AnnotatedVideo]
) -> str:
    """The whole page.

    Args:
        document: What `actions_document` returned: everything that is said in words and numbers.
        recognitions: The same sources in the same order, for their thumbnails.
        videos: Annotated videos by source, where there are any.

    Returns:
        HTML that needs no other file except the annotated videos, and shows everything else without them.
    """
    colours = _colours(document)
    sources = [
        _source_view(index, source, recognition, videos.get(source["source"]))
        for index, (source, recognition) in enumerate(zip(document["sources"], recognitions, strict=True))
    ]
    values = {
        "document": document,
        "command": without_password(document["command"]),
        "sources": sources,
        "title": _title(sources),
        "failures": [_failure_view(failure, document) for failure in document["failures"]],
        "colours": {
            label: {"fill": to_hex(colour), "ink": to_hex(ink_on(colour))} for label, colour in colours.items()
        },
        "models": _distinct_models(document),
        "totals": _totals(sources),
        "open_sources": len(sources) <= MAX_OPEN_SOURCES,
        "UNKNOWN": UNKNOWN,
    }
    filters: dict[str, Callable[..., object]] = {
        "clock": clock,
        "percent": percent,
        "words": _words,
        "seconds": _seconds,
        "tick_label": _tick_label,
        "plain": _plain_text,
    }
    return fill_page("tubelet.methods.recognition", "report", values, filters=filters)


def clock(time_s: float) -> str:
    """A moment as a person reads it: `3.2 s`, `1:03.2`, `1:02:03`."""
    if time_s < 60:
        return f"{time_s:.1f} s" if round(time_s, 1) < 60 else "1:00.0"
    tenths = round(time_s * 10)
    minutes, tenths = divmod(tenths, 600)
    if minutes < 60:
        return f"{minutes}:{tenths // 10:02d}.{tenths % 10}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{tenths // 10:02d}"


def axis_ticks(start_s: float, end_s: float, most: int = 9) -> list[float]:
    """Round moments for a time axis, at most about `most` of them."""
    span = max(end_s - start_s, 1e-3)
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
    step = next((step for step in steps if span / step <= most), 86400.0)
    first = math.ceil(start_s / step - 1e-9)
    return [round(index * step, 3) for index in range(first, math.floor(end_s / step + 1e-9) + 1)]


def _title(sources: Sequence[Mapping[str, Any]]) -> str:
    if not sources:
        return "No result"
    return str(sources[0]["short_name"]) if len(sources) == 1 else f"{len(sources)} videos"


def _failure_view(failure: Mapping[str, str], document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **failure,
        "source": without_password(failure["source"]),
        "message": without_password(failure["message"]),
        "is_partial": any(source["source"] == failure["source"] for source in document["sources"]),
    }


def _source_view(
    index: int, source: Mapping[str, Any], recognition: Recognition, video: AnnotatedVideo | None
) -> dict[str, Any]:
    """What the template shows of one source."""
    people = [_person(track, recognition) for track in source["tracks"]]
    starts, ends = [person.start_s for person in people], [person.end_s for person in people]
    # With --start/--end only a part was looked at: the axis shows that part. `duration_s` counts from the first frame.
    start_s = min([float(source["settings"].get("start_s") or 0.0), *starts])
    end_s = max([source["duration_s"], *ends, start_s + 0.1])
    shown, folded = _fold(people)
    labels = _by_time(people)
    return {
        "id": f"source-{index + 1}",
        "name": without_password(source["source"]),
        "short_name": _short_name(source["source"]),
        "facts": _facts(source),
        "people": people,
        "shown": shown,
        "folded": folded,
        "labels": labels,
        "label_seconds": {label: sum(person.seconds.get(label, 0.0) for person in people) for label in labels},
        "start_s": start_s,
        "end_s": end_s,
        "span_s": end_s - start_s,
        "ticks": axis_ticks(start_s, end_s),
        "num_segments": sum(len(person.segments) for person in people),
        "fold_segments": sum(len(person.segments) for person in people) > MAX_OPEN_SEGMENTS,
        "video": None if video is None else {"href": quote(video.relative_path), "offset_s": video.offset_s},
        "detector": source["detector"],
        "warnings": [without_password(warning) for warning in source["warnings"]],
        "settings": source["settings"],
        "timings_s": source["timings_s"],
    }


def _person(track: Mapping[str, Any], recognition: Recognition) -> _Person:
    track_id = track["track_id"]
    seconds: dict[str, float] = {}
    for segment in track["segments"]:
        seconds[segment["label"]] = seconds.get(segment["label"], 0.0) + segment["end_s"] - segment["start_s"]
    pictures = sorted(
        (thumbnail for thumbnail in recognition.thumbnails if thumbnail.track_id == track_id),
        key=lambda item: item.time_s,
    )
    return _Person(
        track_id=track_id,
        name="Whole picture" if track_id == 0 else f"Person {track_id}",
        colour=to_hex(person_colour(track_id)),
        start_s=track["start_s"],
        end_s=track["end_s"],
        segments=track["segments"],
        pictures=[
            {"time_s": item.time_s, "src": "data:image/jpeg;base64," + base64.b64encode(item.jpeg).decode()}
            for item in pictures
        ],
        seconds=seconds,
    )


def _fold(people: list[_Person]) -> tuple[list[_Person], list[_Person]]:
    """The people whose lanes are open, and those that are folded away: those seen longest stay open."""
    if len(people) <= MAX_OPEN_PEOPLE:
        return people, []
    longest = {person.track_id for person in sorted(people, key=lambda item: -item.seen_s)[:MAX_OPEN_PEOPLE]}
    return (
        [person for person in people if person.track_id in longest],
        [person for person in people if person.track_id not in longest],
    )


def _by_time(people: Sequence[_Person]) -> list[str]:
    """Labels that occur, longest first, and `unknown` last."""
    totals: dict[str, float] = {}
    for person in people:
        for label, seconds in person.seconds.items():
            totals[label] = totals.get(label, 0.0) + seconds
    return sorted(totals, key=lambda label: (label == UNKNOWN, -totals[label], label))


def _colours(document: Mapping[str, Any]) -> dict[str, tuple[int, int, int]]:
    """One colour per label for the whole page, given out by how long a label lasts; then the model's other labels."""
    totals: dict[str, float] = {}
    for source in document["sources"]:
        for track in source["tracks"]:
            for segment in track["segments"]:
                label = segment["label"]
                totals[label] = totals.get(label, 0.0) + segment["end_s"] - segment["start_s"]
    occurring = sorted((label for label in totals if label != UNKNOWN), key=lambda label: (-totals[label], label))
    best = [
        segment["best_label"]
        for source in document["sources"]
        for track in source["tracks"]
        for segment in track["segments"]
    ]
    known = [label for source in document["sources"] for label in source["model"].get("labels", ())]
    return label_colours(label for label in [*occurring, *best, *known] if label != UNKNOWN)


def _facts(source: Mapping[str, Any]) -> list[str]:
    """Facts about the video in a few words each."""
    video = source["video"]
    facts = [_seconds(source["duration_s"])]
    if video is not None:
        rate = f"{video['average_fps']:.4g} fps" + (" (variable)" if video["is_variable_frame_rate"] else "")
        facts += [
            f"{video['width']} × {video['height']}",
            rate,
            f"{video['codec']} in {video['container']}",
        ]
        if video["rotation_deg"]:
            facts.append(f"rotated by {video['rotation_deg']}°")
        if video["is_interlaced"]:
            facts.append("interlaced")
        facts.append(_size(video["size_bytes"]))
    unit = "frame" if source["num_frames"] == 1 else "frames"
    facts.append(f"{source['num_frames']:,} {unit}".replace(",", "\u202f"))
    return facts


def _totals(sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers at the top of the page."""
    people = [person for source in sources for person in source["people"]]
    seen_s = sum(person.seen_s for person in people)
    unknown_s = sum(person.seconds.get(UNKNOWN, 0.0) for person in people)
    return {
        "people": sum(person.track_id != 0 for person in people),
        "scenes": sum(person.track_id == 0 for person in people),
        "seen_s": seen_s,
        "labelled": 0.0 if seen_s == 0 else 1 - unknown_s / seen_s,
        "labels": [label for label in _by_time(people) if label != UNKNOWN],
    }


def _distinct_models(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The models that ran, each once, with the detectors that found people for them."""
    models: list[dict[str, Any]] = []
    for source in document["sources"]:
        found = next((entry for entry in models if entry["model"] == source["model"]), None)
        if found is None:
            card = source["model"]
            facts = {key: value for key, value in card.items() if key not in ("evidence", "labels", "schema")}
            found = {
                "model": card,
                "evidence": _evidence(card),
                "facts": {key: value for key, value in facts.items() if not isinstance(value, (Mapping, list, tuple))},
                "details": {key: value for key, value in facts.items() if isinstance(value, (Mapping, list, tuple))},
                "detectors": [],
            }
            models.append(found)
        if source["detector"] and source["detector"] not in found["detectors"]:
            found["detectors"].append(source["detector"])
    return models


def _evidence(model: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is known about each class: `{"label", "kind", "text"}`, kind one of real, synthetic, unstated."""
    stated = model.get("evidence") or {}
    texts = {label: str(stated.get(label) or "") for label in model.get("labels", ())}
    return [
        {"label": label, "kind": _evidence_kind(text), "text": text or "the model does not say"}
        for label, text in texts.items()
    ]


def _evidence_kind(text: str) -> str:
    lower = text.lower()
    if re.search(r"\bsynthetic\b[^.;]*\bonly\b|\bonly\b[^.;]*\bsynthetic\b", lower):
        return "synthetic"
    if re.search(r"\breal\b", lower):
        return "real"
    return "synthetic" if "synthetic" in lower else "unstated"


def _short_name(source: str) -> str:
    """What a heading says: the name of a file without its folders, an address as it is."""
    if "://" in source:
        return without_password(source)
    return f"Camera {source}" if source.isdecimal() else re.split(r"[/\\]", source.rstrip("/\\"))[-1]


def _words(label: str) -> str:
    return label.replace("_", " ")


def _seconds(seconds: float) -> str:
    """A duration: `3.2 s`, `4 min 10 s`, `1 h 02 min`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _tick_label(tick_s: float, span_s: float) -> str:
    text = clock(tick_s)
    return text if span_s < 1 else text.replace(".0", "")


def _plain_text(value: object) -> str:
    """A setting or a line of the model card as text."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{_words(str(key))}: {_plain_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain_text(item) for item in value)
    return str(value)


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"
