"""Utility against leakage over kept share and weight, as a table and a picture, from the report of `anonymization.py`.

python benchmarks/quality/anonymization_curve.py
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "reports" / "anonymization.json"
TABLE = ROOT / "benchmarks" / "reports" / "anonymization_curve.csv"
PICTURE = ROOT / "docs" / "assets" / "anonymization_curve.svg"
LINES = {
    "random": ("random tubelets", "#9aa0ac", ""),
    "random+tube": ("random places", "#5a6272", ""),
    "centre+tube": ("places in the middle", "#b07a00", ""),
    "motion+tube": ("places with most change", "#12805c", ""),
    "evit": ("one token alone (EViT)", "#8d6e63", ""),
    "merging": ("merged least", "#8a5cc2", ""),
    "privacy_only": ("privacy token alone", "#c2528b", ""),
    "action_only": ("action's token alone, published mixing", "#c0392b", "5 4"),
    "grl_0.25": ("published, weight 0.25", "#e39d92", ""),
    "grl_0.5": ("published, weight 0.5", "#d4604f", ""),
    "grl_1": ("published, weight 1", "#c0392b", ""),
    "grl_2": ("published, weight 2", "#7d2218", ""),
    "action_only_place+tube": ("action's token alone, by place", "#2b5fc1", "5 4"),
    "coop_0.25_place+tube": ("recommended, weight 0.25", "#a9c1ee", ""),
    "coop_0.5_place+tube": ("recommended, weight 0.5", "#6c95de", ""),
    "coop_1_place+tube": ("recommended, weight 1", "#2b5fc1", ""),
    "coop_2_place+tube": ("recommended, weight 2", "#143370", ""),
}
FIELDS = ("top1", "private_cmap")
LEFT, TOP, WIDTH, HEIGHT, LEGEND = 60, 30, 520, 420, 290


def main() -> None:
    """Reads, writes."""
    arms = json.loads(REPORT.read_text())["arms"]
    rows = [row for row in arms if row["set"] == "apart"]
    with open(TABLE, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        ends = [f"{field}_{end}" for field in FIELDS for end in ("low", "high")]
        writer.writerow(["arm", "keep", "num_seeds", *FIELDS, *ends, "excess_leakage", "union_visibility"])
        for row in rows:
            spans = [f"{value:.4f}" for field in FIELDS for value in row[f"{field}_interval"]]
            writer.writerow(
                [row["arm"], row["keep"], row["num_seeds"], *(f"{row[field]:.4f}" for field in FIELDS), *spans]
                + [f"{row[name]:.4f}" if name in row else "" for name in ("excess_leakage", "union_visibility")]
            )
    PICTURE.write_text(picture(rows), encoding="utf-8")
    print(f"{TABLE}\n{PICTURE}")


def picture(rows: list[dict[str, Any]]) -> str:
    """Leakage to the right, utility upwards: a line for each way of hiding, from little to much kept."""
    of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["arm"] in LINES:
            of[row["arm"]].append(row)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + LEGEND} {TOP + HEIGHT + 60}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        "<title>Action accuracy against what the attacker reads</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for tick in range(3, 11):
        x, y = _x(tick / 10), _y(tick / 10)
        parts.append(f'<path d="M{x:.1f} {TOP}V{TOP + HEIGHT}M{LEFT} {y:.1f}H{LEFT + WIDTH}" stroke="#e3e6ec"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle" fill="#5a6272">{tick * 10}</text>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#5a6272">{tick * 10}</text>')
    middle = LEFT + WIDTH / 2
    parts.append(
        f'<text x="{middle}" y="{TOP + HEIGHT + 42}" text-anchor="middle">attacker\'s mean average precision, %</text>'
    )
    parts.append(f'<text x="{LEFT - 44}" y="{TOP - 12}">action accuracy, %; larger points: more kept</text>')
    shown = [arm for arm in LINES if arm in of]
    for number, arm in enumerate(shown):
        name, colour, dashes = LINES[arm]
        parts += _line(sorted(of[arm], key=lambda row: row["keep"]), colour, dashes)
        y = TOP + 10 + 22 * number
        x = LEFT + WIDTH + 24
        parts.append(
            f'<path d="M{x} {y}h26" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dashes}"/>'
            f'<text x="{x + 34}" y="{y + 4}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _line(rows: list[dict[str, Any]], colour: str, dashes: str) -> list[str]:
    points = [(_x(row["private_cmap"]), _y(row["top1"])) for row in rows]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>']
    for row, (x, y) in zip(rows, points, strict=True):
        low, high = (_x(value) for value in row["private_cmap_interval"])
        bottom, top = (_y(value) for value in row["top1_interval"])
        parts.append(
            f'<path d="M{low:.1f} {y:.1f}H{high:.1f}M{x:.1f} {bottom:.1f}V{top:.1f}" stroke="{colour}" opacity="0.45"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2 + 4 * row["keep"]:.1f}" fill="{colour}"/>'
        )
    return parts


def _x(value: float) -> float:
    return LEFT + (min(max(value, 0.25), 1.0) - 0.25) / 0.75 * WIDTH


def _y(value: float) -> float:
    return TOP + HEIGHT - (min(max(value, 0.25), 1.0) - 0.25) / 0.75 * HEIGHT


if __name__ == "__main__":
    main()
