"""check.html: one self-contained page that shows what is wrong with a set of clips, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from tubelet.datasets.check.pictures import MAX_SHOWN
from tubelet.datasets.quarantine import QUARANTINE_NAME
from tubelet.runs.pages import fill_page

_MAX_CLASSES_OPEN = 40
_MAX_PER_CAUSE = 100
_MAX_LEAKS = 50
_MAX_SIZES = 12
_SPLIT_NAMES = ("train", "val", "test", "none")


def render_page(document: Mapping[str, Any], pictures: Mapping[str, Sequence[str]]) -> str:
    """The whole page.

    Args:
        document: What check.json holds.
        pictures: Of clips that are shown, by their ids, as data addresses.

    Returns:
        HTML that needs no other file and loads nothing.
    """
    classes = sorted(document["classes"], key=lambda row: (-row["num_clips"], row["name"]))
    values = {
        "document": document,
        "quarantine_name": QUARANTINE_NAME,
        "weights": _by_weight(document),
        "causes": _by_cause(document),
        "classes_open": classes[:_MAX_CLASSES_OPEN],
        "classes_folded": classes[_MAX_CLASSES_OPEN:],
        "most": max((row["num_clips"] + row["num_broken"] for row in classes), default=0) or 1,
        "splits": [name for name in _SPLIT_NAMES if any(name in row["splits"] for row in classes)],
        "length_plot": _plot(document["histograms"]["length_s"]),
        "fps_plot": _plot(document["histograms"]["fps"]),
        "sizes": document["sizes"][:_MAX_SIZES],
        "num_more_sizes": max(0, len(document["sizes"]) - _MAX_SIZES),
        "duplicates": document["duplicates"][:MAX_SHOWN],
        "pictures": pictures,
        "leaks": _leak_tables(document),
    }
    filters: dict[str, Callable[..., object]] = {
        "code": _code,
        "count": _count,
        "duration": _duration,
        "tick": _tick,
        "words": lambda text: text.replace("_", " "),
    }
    return fill_page("tubelet.datasets.check", "check", values, filters=filters)


def _by_weight(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    causes = {row["cause"] for row in document["broken"]}  # they have a section of their own
    titles = {"error": "To mend", "warning": "To look at", "note": "Good to know"}
    return [
        {"weight": weight, "title": title, "findings": rows}
        for weight, title in titles.items()
        if (rows := [row for row in document["findings"] if row["weight"] == weight and row["kind"] not in causes])
    ]


def _by_cause(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The broken clips with what the finding of each cause says."""
    said = {row["kind"]: row for row in document["findings"]}
    causes: dict[str, list[Mapping[str, Any]]] = {}
    for row in document["broken"]:
        causes.setdefault(row["cause"], []).append(row)
    ordered = sorted(causes.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        {
            "cause": cause,
            "rows": rows[:_MAX_PER_CAUSE],
            "num_more": len(rows[_MAX_PER_CAUSE:]),
            "num": len(rows),
            "text": said[cause]["text"],
            "advice": said[cause]["advice"],
        }
        for cause, rows in ordered
    ]


def _leak_tables(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    titles = {
        "groups": "Groups in several splits",
        "files": "Files in several splits",
        "scenes": "Look-alike scenes in several splits",
    }
    tables = []
    for kind, title in titles.items():
        rows = document["leaks"][kind][:_MAX_LEAKS]
        if rows:
            splits = [name for name in _SPLIT_NAMES if any(name in row["num_clips"] for row in rows)]
            more = document["num_leaks"][kind] - len(rows)
            tables.append({"kind": kind, "title": title, "rows": rows, "splits": splits, "num_more": more})
    return tables


_WIDTH, _HEIGHT = 480, 130


def _plot(histogram: Mapping[str, Any]) -> dict[str, Any]:
    """Bars and marks of a histogram in the coordinates of its drawing."""
    counts, edges = histogram["counts"], histogram["edges"]
    if not counts:
        return {"bars": [], "ticks": [], "width": _WIDTH, "height": _HEIGHT}
    step, most = _WIDTH / len(counts), max(counts)
    gap = min(2.0, step * 0.1)
    bars = [
        {
            "x": round(index * step + gap / 2, 2),
            "width": round(step - gap, 2),
            # A bar of one clip among thousands is still to be seen.
            "height": round(max(_HEIGHT * count / most, 2.0), 2) if count else 0,
            "low": edges[index],
            "high": edges[index + 1],
            "count": count,
            "is_tail": histogram["is_cut"] and index == len(counts) - 1,
        }
        for index, count in enumerate(counts)
    ]
    every = max(1, -(-len(edges) // 6))
    ticks = [
        {"share": round(100 * index / len(counts), 3), "value": edges[index]} for index in range(0, len(edges), every)
    ]
    return {"bars": bars, "ticks": ticks, "width": _WIDTH, "height": _HEIGHT}


def _code(text: str) -> Markup:
    """Text with what stands between backticks set as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    pieces = [Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)]
    return Markup("").join(pieces)


def _count(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")


def _tick(value: float) -> str:
    return f"{value:.4g}"


def _duration(seconds: float | None) -> str:
    """A duration: `3.2 s`, `4 min 10 s`, `1 h 02 min`."""
    if seconds is None:
        return "–"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
