"""Pictures of an evaluation as SVG that loads nothing and follows dark mode; the confusion matrix as a table too."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int64
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from tubelet.runs import Metric

MAX_SHOWN_CLASSES = 40
_MAX_NUMBERED = 25  # classes up to which cells hold their counts
_MAX_LABEL = 24  # letters of a class name
_LETTER_PX = 6.7  # mean width of a letter in the font of labels

_STYLE = """<style>
.plot { --ink: #1b1f2a; --soft: #5a6272; --rule: #dfe2e9; --back: #ffffff; --right: #2b5fc1; --wrong: #c0392b; --alt: #b07a00;
  font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
@media (prefers-color-scheme: dark) {
  .plot { --ink: #e7e9ef; --soft: #a2a9b8; --rule: #2e3441; --back: #1a1e27; --right: #8db4ff; --wrong: #ff8a7d; --alt: #f2d184; }
}
@media print { .plot { --ink: #1b1f2a; --soft: #5a6272; --rule: #dfe2e9; --back: #ffffff; --right: #2b5fc1; --wrong: #c0392b; --alt: #b07a00; } }
.plot text { fill: var(--ink); } .plot .soft { fill: var(--soft); } .plot .on { fill: var(--back); }
.plot .back { fill: var(--back); } .plot .rule { stroke: var(--rule); fill: none; } .plot .right { fill: var(--right); }
.plot .wrong { fill: var(--wrong); } .plot .line { stroke: var(--right); stroke-width: 2; fill: none; } .plot .alt { fill: var(--alt); }
.plot .ideal { stroke: var(--soft); stroke-dasharray: 4 4; fill: none; }
.plot .mid { text-anchor: middle; } .plot .end { text-anchor: end; } .plot .num { font-size: 11px; }
</style>"""  # noqa: E501 - the rules of one element in one line


class ShownClasses(NamedTuple):
    """Which classes a picture of a confusion matrix shows.

    Attributes:
        order: Their numbers, in the order they are shown in.
        is_part: Whether others are left out.
    """

    order: tuple[int, ...]
    is_part: bool


def confusion_matrix_of(details: Mapping[str, Any]) -> Int64[np.ndarray, "classes classes"]:
    """The matrix (rows true, columns predicted) that a Report's details hold as a list of cells."""
    matrix = np.zeros((len(details["classes"]),) * 2, dtype=np.int64)
    for true, predicted, count in details["confusion"]:
        matrix[true, predicted] = count
    return matrix


def shown_classes(confusion: Int[np.ndarray, "classes classes"]) -> ShownClasses:
    """All classes in their order; of more than 40 those with the most mistakes, alike ones beside each other.

    A mistake counts for its true class and for the one that it was taken for. Neighbours come from clustering by how
    often two classes are taken for each other.
    """
    num_classes = len(confusion)
    if num_classes <= MAX_SHOWN_CLASSES:
        return ShownClasses(tuple(range(num_classes)), is_part=False)
    mistakes = confusion - np.diag(np.diagonal(confusion))
    both = mistakes.sum(axis=0) + mistakes.sum(axis=1)
    chosen = np.sort(np.argsort(-both, kind="stable")[:MAX_SHOWN_CLASSES])
    mutual = (mistakes + mistakes.T)[np.ix_(chosen, chosen)]
    distance = 1.0 / (1.0 + mutual)
    np.fill_diagonal(distance, 0.0)
    condensed = squareform(distance, checks=False)
    leaves = leaves_list(optimal_leaf_ordering(linkage(condensed, method="average"), condensed))
    return ShownClasses(tuple(chosen[leaves].tolist()), is_part=True)


def confusion_svg(confusion: Int[np.ndarray, "classes classes"], classes: Sequence[str]) -> str:
    """The confusion matrix, true classes down and predicted ones across, as deep as the share of the true class.

    Args:
        confusion: Counts, rows true and columns predicted.
        classes: Their names.
    """
    order, _ = shown_classes(confusion)
    size = len(order)
    cell = 72 if size <= 3 else 56 if size <= 8 else 34 if size <= 16 else 22 if size <= 25 else 18
    names = [_short(classes[index]) for index in order]
    label = 12 + _LETTER_PX * max(map(len, names))
    slant = label * math.sqrt(0.5)
    left, top = label + 22, slant + 30
    width, height = left + size * cell + slant + 4, top + size * cell + 8
    parts = [f'<text class="soft" x="{left}" y="14">predicted class →</text>']
    parts.append(f'<text class="soft" transform="translate(12 {top:.0f}) rotate(90)">true class →</text>')
    totals = confusion.sum(axis=1)
    for place, (index, name) in enumerate(zip(order, names, strict=True)):
        middle = place * cell + cell / 2
        full = escape(classes[index])
        parts.append(
            f'<text class="end" x="{left - 6:.0f}" y="{top + middle + 4:.0f}">{escape(name)}<title>{full}, '
            f"{totals[index]} clips</title></text>"
            f'<text transform="translate({left + middle + 3:.0f} {top - 6:.0f}) rotate(-45)">{escape(name)}'
            f"<title>{full}</title></text>"
        )
    for row, true in enumerate(order):
        for column, predicted in enumerate(order):
            count = int(confusion[true, predicted])
            if count == 0:
                continue
            share = count / totals[true]
            x, y = left + column * cell, top + row * cell
            kind = "right" if true == predicted else "wrong"
            said = f"{escape(classes[true])} taken for {escape(classes[predicted])}: {count} of {totals[true]} clips"
            parts.append(
                f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{cell}" height="{cell}" '
                f'fill-opacity="{0.14 + 0.86 * share:.2f}"><title>{said}</title></rect>'
            )
            if size <= _MAX_NUMBERED:
                on = " on" if share > 0.5 else ""
                parts.append(
                    f'<text class="mid num{on}" x="{x + cell / 2:.0f}" y="{y + cell / 2 + 4:.0f}" '
                    f'pointer-events="none">{count}</text>'
                )
    side = size * cell
    grid = "".join(
        f"M{left:.0f} {top + place * cell:.0f}h{side}M{left + place * cell:.0f} {top:.0f}v{side}"
        for place in range(size + 1)
    )
    parts.append(f'<path class="rule" d="{grid}" pointer-events="none"/>')
    return _svg(width, height, "Confusion matrix", parts)


def confusion_csv(confusion: Int[np.ndarray, "classes classes"], classes: Sequence[str]) -> str:
    """The whole confusion matrix as CSV: one row per true class, one column per predicted class."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["true \\ predicted", *classes])
    for name, row in zip(classes, confusion.tolist(), strict=True):
        table.writerow([name, *row])
    return text.getvalue()


def reliability_svg(reliability: Mapping[str, Any], rescaled: Mapping[str, Any] | None = None) -> str:
    """How often the model is right at each confidence; a model that means what it says lies on the diagonal.

    Args:
        reliability: `edges`, `num_items`, `confidence` and `accuracy` of the bins, as a Report's details hold them.
        rescaled: The same with a fitted temperature, where there is one; drawn as diamonds.
    """
    left, top, side, low = 46, 14, 280, 56
    parts = _axes(left, top, side, side, "confidence", "share right")
    parts.append(f'<path class="ideal" d="M{left} {top + side}L{left + side} {top}"/>')
    most = max([1, *reliability["num_items"]])
    for index, count in enumerate(reliability["num_items"]):
        if count == 0:
            continue
        edges = reliability["edges"]
        x, width = left + side * edges[index], side * (edges[index + 1] - edges[index])
        accuracy, confidence = reliability["accuracy"][index], reliability["confidence"][index]
        said = f"{count} at {100 * confidence:.0f} % confidence: {100 * accuracy:.0f} % right"
        parts.append(
            f'<rect class="right" x="{x + 1:.1f}" y="{top + side * (1 - accuracy):.1f}" width="{width - 2:.1f}" '
            f'height="{side * accuracy:.1f}" fill-opacity="0.35"/>'
            f'<circle class="right" cx="{left + side * confidence:.1f}" cy="{top + side * (1 - accuracy):.1f}" r="4">'
            f"<title>{said}</title></circle>"
            f'<rect class="soft" x="{x + 1:.1f}" y="{top + side + 44:.0f}" width="{width - 2:.1f}" '
            f'height="{max(1.0, low * count / most):.1f}" fill-opacity="0.5"><title>{count}</title></rect>'
        )
    if rescaled is not None:
        for confidence, accuracy in zip(rescaled["confidence"], rescaled["accuracy"], strict=True):
            if confidence is not None:
                x, y = left + side * confidence, top + side * (1 - accuracy)
                parts.append(f'<path class="alt" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"/>')
    parts.append(f'<text class="soft mid" x="{left + side / 2:.0f}" y="{top + side + 60 + low}">how many</text>')
    return _svg(left + side + 16, top + side + 68 + low, "Reliability", parts)


def accuracy_by_length_svg(bins: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy against the length of the clip, with 95 % intervals.

    Args:
        bins: `from_s`, `to_s` and `accuracy` of each, as a Report's details hold them.
    """
    step, left, top, height = 74, 46, 14, 200
    width = step * max(3, len(bins))
    parts = _axes(left, top, width, height, "length of the clip", "share right", has_x_ticks=False)
    points = []
    for place, one in enumerate(bins):
        accuracy: Metric = one["accuracy"] if isinstance(one["accuracy"], Metric) else Metric(**one["accuracy"])
        x = left + step * (place + 0.5)
        y = top + height * (1 - (accuracy.value or 0.0))
        points.append(f"{x:.0f} {y:.1f}")
        if accuracy.low is not None and accuracy.high is not None:
            ends = f"M{x:.0f} {top + height * (1 - accuracy.low):.1f}V{top + height * (1 - accuracy.high):.1f}"
            parts.append(f'<path class="line" stroke-opacity="0.4" d="{ends}"/>')
        parts.append(
            f'<circle class="right" cx="{x:.0f}" cy="{y:.1f}" r="5"><title>{accuracy}</title></circle>'
            f'<text class="mid" x="{x:.0f}" y="{top + height + 18}">{_span(one)}</text>'
            f'<text class="soft mid num" x="{x:.0f}" y="{top + height + 33}">{accuracy.n} '
            f"{'clip' if accuracy.n == 1 else 'clips'}</text>"
        )
    if len(points) > 1:
        parts.append(f'<path class="line" d="M{"L".join(points)}"/>')
    return _svg(left + width + 10, top + height + 62, "Accuracy by length", parts)


def _span(one: Mapping[str, Any]) -> str:
    return f"over {one['from_s']:g} s" if one["to_s"] is None else f"{one['from_s']:g} to {one['to_s']:g} s"


def _axes(
    left: float, top: float, width: float, height: float, x_name: str, y_name: str, *, has_x_ticks: bool = True
) -> list[str]:
    """Frame, ticks of both axes from 0 to 100 %, and their names."""
    parts = []
    for percent in (0, 25, 50, 75, 100):
        y = top + height * (1 - percent / 100)
        parts.append(f'<path class="rule" d="M{left} {y:.0f}h{width}"/>')
        parts.append(f'<text class="soft end num" x="{left - 6}" y="{y + 4:.0f}">{percent} %</text>')
        if has_x_ticks:
            x = left + width * percent / 100
            parts.append(f'<text class="soft mid num" x="{x:.0f}" y="{top + height + 16}">{percent} %</text>')
    below = 34 if has_x_ticks else 52
    parts.append(f'<text class="soft mid" x="{left + width / 2:.0f}" y="{top + height + below}">{x_name}</text>')
    parts.append(f'<text class="soft" x="{left}" y="{top - 3}">{y_name}</text>')
    return parts


def _short(name: str) -> str:
    return name if len(name) <= _MAX_LABEL else name[: _MAX_LABEL - 1] + "…"


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" aria-label="{title}" '
        f'viewBox="0 0 {math.ceil(width)} {math.ceil(height)}" width="{math.ceil(width)}" '
        f'height="{math.ceil(height)}">\n{_STYLE}\n<rect class="back" width="100%" height="100%"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
