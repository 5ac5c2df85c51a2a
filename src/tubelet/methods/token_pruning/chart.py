"""Lines of one or more series as SVG that loads nothing and follows dark mode."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

Place = Callable[[float, float], tuple[float, float]]

_WIDTH, _HEIGHT = 400, 260
_LEFT, _TOP, _RIGHT, _BELOW = 58, 30, 24, 46
_COLOURS = (
    "#2b5fc1",
    "#c2571a",
    "#1d7f55",
    "#a03a8c",
    "#8a6d00",
    "#0f7c90",
    "#b3304a",
    "#5a6272",
    "#6b4fc0",
    "#4d7a1c",
)
_DARK_COLOURS = (
    "#8db4ff", "#ffa66b", "#7fdcaa", "#f09be0", "#f2d184", "#7fdcec", "#ff9b92", "#a2a9b8", "#c0acff", "#b4dd84",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measured point.

    Attributes:
        x: Where it stands.
        y: What was measured.
        low, high: Ends of an interval; None where there is none.
        text: What it says when pointed at.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture of lines.

    Attributes:
        title: What is on the vertical axis.
        lines: Points of each series, by name; the same names have the same colour in all panels.
        level: Height of a dashed line to compare with; None for none.
        level_name: What it is.
        is_percent: Whether heights are shares.
        includes_zero: Whether the vertical axis begins at 0.
    """

    title: str
    lines: dict[str, tuple[Point, ...]]
    level: float | None = None
    level_name: str = ""
    is_percent: bool = False
    includes_zero: bool = True


def style(names: Sequence[str]) -> str:
    """Rules for charts of these series, for a page's own styles."""
    rules = {False: "", True: ""}
    for dark, colours in ((False, _COLOURS), (True, _DARK_COLOURS)):
        rules[dark] = "".join(f" --series-{place}: {colours[place % len(colours)]};" for place, _ in enumerate(names))
    return (
        f":root {{{rules[False]} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{{rules[True]} }} }}\n"
        ".chart { font: 12px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }\n"
        ".chart text { fill: var(--text); } .chart .soft { fill: var(--soft); }\n"
        ".chart .rule { stroke: var(--line); fill: none; }\n"
        ".chart .level { stroke: var(--soft); stroke-dasharray: 5 4; }"
    )


def key_svg(place: int) -> str:
    """The mark of a series, for a legend.

    Args:
        place: Of the series among all.
    """
    return (
        f'<svg class="chart" viewBox="0 0 30 14" width="30" height="14" aria-hidden="true">'
        f'<path d="M1 7H29" stroke="var(--series-{place})" stroke-width="2" fill="none"/>'
        f"{_mark(place, 15, 7)}</svg>"
    )


def panel_svg(panel: Panel, names: Sequence[str], *, x_name: str) -> str:
    """One panel, its horizontal axis from 0 to 100 %.

    Args:
        panel: What to draw.
        names: All series, in the order of their colours.
        x_name: What is on the horizontal axis.

    Raises:
        ValueError: A point lies outside of 0 to 1, or there is none.
    """
    points = [point for line in panel.lines.values() for point in line]
    if not points or not all(0 <= point.x <= 1 for point in points):
        raise ValueError(f"x is {[point.x for point in points]}; needed: one point or more, each from 0 to 1")
    heights = [height for point in points for height in (point.y, point.low, point.high) if height is not None]
    heights += [panel.level] if panel.level is not None else []
    ticks = ticks_between(0.0 if panel.includes_zero else min(heights), max(heights))
    if panel.is_percent:
        ticks = [tick for tick in ticks if tick <= 1.0 + 1e-9]
        ticks = ticks if len(ticks) > 1 else [0.0, 1.0]
    low, high = ticks[0], max(ticks[-1], *heights)

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + _WIDTH * x, _TOP + _HEIGHT * (1 - (y - low) / (high - low))

    parts = _axes(panel, ticks, at, x_name, [(percent / 100, f"{percent} %") for percent in range(0, 101, 20)])
    if panel.level is not None:
        y = at(0, panel.level)[1]
        parts.append(
            f'<path class="level" d="M{_LEFT} {y:.1f}h{_WIDTH}"><title>{escape(panel.level_name)}</title></path>'
        )
        parts.append(f'<text class="soft" x="{_LEFT + 4}" y="{y - 5:.1f}">{escape(panel.level_name)}</text>')
    for name, line in panel.lines.items():
        parts += _line(line, names.index(name), at)
    width, height = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BELOW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="{escape(panel.title)}" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">' + "".join(parts) + "</svg>"
    )


def ticks_between(low: float, high: float) -> list[float]:
    """Round numbers, three to seven of them, from below the lowest height to the last before or at the highest.

    Args:
        low: Lowest height.
        high: Highest height.
    """
    span = max(high - low, 1e-6)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if span / (factor * power) <= 6)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def _axes(
    panel: Panel, ticks: Sequence[float], at: Place, x_name: str, x_ticks: Sequence[tuple[float, str]]
) -> list[str]:
    parts = [f'<text x="{_LEFT - 40}" y="16" font-weight="600">{escape(panel.title)}</text>']
    for tick in ticks:
        y = at(0, tick)[1]
        said = f"{100 * tick:g} %" if panel.is_percent else f"{tick:g}"
        parts.append(f'<path class="rule" d="M{_LEFT} {y:.1f}h{_WIDTH}"/>')
        parts.append(f'<text class="soft" text-anchor="end" x="{_LEFT - 7}" y="{y + 4:.1f}">{said}</text>')
    for share, said in x_ticks:
        x = _LEFT + _WIDTH * share
        parts.append(f'<path class="rule" d="M{x:.1f} {_TOP + _HEIGHT}v5"/>')
        parts.append(f'<text class="soft" text-anchor="middle" x="{x:.1f}" y="{_TOP + _HEIGHT + 19}">{said}</text>')
    parts.append(
        f'<text class="soft" text-anchor="middle" x="{_LEFT + _WIDTH / 2}" y="{_TOP + _HEIGHT + 38}">'
        f"{escape(x_name)}</text>"
    )
    return parts


def _line(points: Sequence[Point], place: int, at: Place) -> list[str]:
    """A series: intervals, line, marks."""
    colour, parts = f"var(--series-{place})", []
    ordered = sorted(points, key=lambda point: point.x)
    for point in ordered:
        if point.low is not None and point.high is not None:
            (x, low), (_, high) = at(point.x, point.low), at(point.x, point.high)
            parts.append(
                f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-opacity="0.35" stroke-width="2"/>'
            )
    places = "L".join("{:.1f} {:.1f}".format(*at(point.x, point.y)) for point in ordered)
    parts.append(f'<path d="M{places}" stroke="{colour}" stroke-width="2" fill="none"/>')
    for point in ordered:
        parts.append(f"<g>{_mark(place, *at(point.x, point.y))}<title>{escape(point.text)}</title></g>")
    return parts


def _mark(place: int, x: float, y: float) -> str:
    """A dot, a square, a diamond or a triangle: colours alone do not tell series apart for everybody."""
    fill = f'fill="var(--series-{place})"'
    shape = place % 4
    if shape == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.2" {fill}/>'
    if shape == 1:
        return f'<rect x="{x - 3.8:.1f}" y="{y - 3.8:.1f}" width="7.6" height="7.6" {fill}/>'
    if shape == 2:
        return f'<path d="M{x:.1f} {y - 5.4:.1f}l5.4 5.4l-5.4 5.4l-5.4 -5.4z" {fill}/>'
    return f'<path d="M{x:.1f} {y - 5:.1f}l5.2 9.2h-10.4z" {fill}/>'


def share_over_time_svg(times_s: Sequence[float], shares: Sequence[float], *, width: int = 1200) -> str:
    """A share of every frame over time, as steps; of long videos the means of short spans.

    Args:
        times_s: Of the frames, rising.
        shares: From 0 to 1.
        width: Of the picture.
    """
    left, top, high = 52, 12, 150
    inner = width - left - 16
    begin_s, end_s = times_s[0], times_s[-1] + (times_s[-1] - times_s[0]) / max(1, len(times_s) - 1)
    span_s = max(end_s - begin_s, 1e-6)
    count = min(len(shares), inner // 2)
    edges = [number * len(shares) // count for number in range(count + 1)]
    path, parts = "", []
    for first, last in itertools.pairwise(edges):
        mean = sum(shares[first:last]) / (last - first)
        from_s, to_s = times_s[first], times_s[last] if last < len(times_s) else end_s
        x, y = left + inner * (from_s - begin_s) / span_s, top + high * (1 - mean)
        path += f"{'L' if path else 'M'}{x:.1f} {y:.1f}H{left + inner * (to_s - begin_s) / span_s:.1f}"
    for percent in (0, 50, 100):
        y = top + high * (1 - percent / 100)
        parts.append(f'<path class="rule" d="M{left} {y:.1f}h{inner}"/>')
        parts.append(f'<text class="soft" text-anchor="end" x="{left - 7}" y="{y + 4:.1f}">{percent} %</text>')
    for tick in ticks_between(begin_s, end_s):
        if begin_s - 1e-9 <= tick <= end_s + 1e-9:
            x = left + inner * (tick - begin_s) / span_s
            parts.append(f'<text class="soft" text-anchor="middle" x="{x:.1f}" y="{top + high + 18}">{tick:g} s</text>')
    parts.append(f'<path d="{path}" stroke="var(--accent)" stroke-width="1.6" fill="none"/>')
    height = top + high + 28
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="Share that stays over time" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">' + "".join(parts) + "</svg>"
    )
