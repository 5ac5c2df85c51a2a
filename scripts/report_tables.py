"""Reports of the repository, and their numbers as Markdown; for the scripts that fill in pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "benchmarks" / "reports"


def load(name: str) -> dict[str, Any]:
    """A report by its file name without ending."""
    content: dict[str, Any] = json.loads((REPORTS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def share(metric: dict[str, Any] | None) -> str:
    """A share in per cent with its interval and how many items are behind it."""
    if metric is None or metric["value"] is None:
        return "not measured"
    text = f"{100 * metric['value']:.0f} %"
    if metric["low"] is not None:
        text += f" ({100 * metric['low']:.0f} to {100 * metric['high']:.0f})"
    return f"{text}, n={metric['n']}"
