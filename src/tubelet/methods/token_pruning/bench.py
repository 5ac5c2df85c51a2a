"""`tubelet token_pruning bench`: answers, time and memory against the share of tokens that stays."""

from __future__ import annotations

import argparse
import csv
import io
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tubelet.errors import ConfigError
from tubelet.evaluation.clock import Speed, in_turns, peak_bytes, speed_of
from tubelet.methods.token_pruning.bench_models import Sizes, Subject, chosen_methods, open_subject
from tubelet.methods.token_pruning.chart import Panel, Point, key_svg, panel_svg, style
from tubelet.methods.token_pruning.page import page_of, require_empty
from tubelet.runs import Metric, Progress, installed_versions, markdown_table, this_command, write_json, write_text
from tubelet.training.precision import find_device

SCHEMA = "tubelet.token_pruning_bench/1"
PAGE = "report.html"
_MIB = 2**20
_X_NAME = "share of the visual tokens that stays"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method at a budget.

    Attributes:
        method: Its name; "dense" removes nothing.
        budget: Share that was to stay.
        kept_share: Share that stayed.
        seconds: Of each round.
        speed: Beside the dense model.
        peak_bytes: What a pass takes beyond weights and pictures.
        memory_ratio: The dense model's bytes over these.
        accuracy: Of the answers; None where there are no questions.
    """

    method: str
    budget: float
    kept_share: float
    seconds: list[float]
    speed: Speed
    peak_bytes: int
    memory_ratio: float
    accuracy: Metric | None


def bench_model(arguments: argparse.Namespace, *, say: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Measure a model and write what was found.

    Args:
        arguments: Of the command.
        say: Called with what was found.
        warn: Called with what is unusual.

    Raises:
        ConfigError: A setting is not allowed, or there is no such model.
        WeightsError: The model cannot be read.
        OutputExistsError: The folder is not empty.
    """
    budgets, device, out = _checked_budgets(arguments.budgets), find_device(arguments.device), Path(arguments.out)
    for name in ("rounds", "clips", "frames", "size", "questions", "threads"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} is {value}; allowed: 1 or more")
    require_empty(out, overwrite=arguments.overwrite)
    sizes = Sizes(
        clips=arguments.clips,
        num_frames=arguments.frames,
        size_px=arguments.size,
        questions=arguments.questions,
        seed=arguments.seed,
    )
    subject = open_subject(arguments.model, sizes)
    methods = chosen_methods(subject, arguments.method)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    subject.moved(device)
    with torch.inference_mode(), Progress() as progress:
        rows = measured(subject, methods, budgets, rounds=arguments.rounds, device=device, progress=progress)
    if device.type == "cpu" and os.getloadavg()[0] > (os.cpu_count() or 1):
        warn(f"the machine is busy (load {os.getloadavg()[0]:.1f}); ratios hold better than milliseconds")
    document = _document(arguments, subject, rows, device)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "bench.json", document)
    write_text(out / "bench.csv", _csv(rows))
    write_text(out / PAGE, _page(subject, rows, document))
    say(f"{subject.title}: {subject.about}\n\n{_table(rows)}\n{out / PAGE}")
    return 0


def measured(
    subject: Subject,
    methods: tuple[str, ...],
    budgets: tuple[float, ...],
    *,
    rounds: int,
    device: torch.device,
    progress: Progress,
) -> list[Row]:
    """The dense model and every method at every budget, timed in turns.

    Args:
        subject: What is measured.
        methods: Without "dense".
        budgets: Shares that are to stay.
        rounds: How often each is timed.
        device: Where the subject is.
        progress: Gets a line for each part.

    Raises:
        ConfigError: A method or a budget is not possible with the model.
    """
    modules = {method: _wrapped(subject, method) for method in ("dense", *methods)}
    names = [("dense", 1.0), *((method, budget) for method in methods for budget in budgets)]
    passes = {name: partial(subject.look, modules[name[0]], 1 - name[1]) for name in names}
    costs = progress.add("memory", len(names), "passes")
    kept, peaks = {}, {}
    for name in names:
        kept[name] = _tried(subject, passes[name], name)
        peaks[name] = peak_bytes(passes[name], device)
        costs.advance()
    costs.finish()
    line = progress.add("time", len(names) * (rounds + 1), "passes")
    seconds = in_turns(passes, rounds, device=device, on_done=line.advance)
    line.finish()
    accuracy = _accuracies(subject, modules, names, progress)
    dense = names[0]
    return [
        Row(
            method=name[0],
            budget=name[1],
            kept_share=kept[name],
            seconds=seconds[name],
            speed=speed_of(seconds[name], seconds[dense]),
            peak_bytes=peaks[name],
            memory_ratio=peaks[dense] / max(1, peaks[name]),
            accuracy=accuracy[name],
        )
        for name in names
    ]


def _checked_budgets(text: str) -> tuple[float, ...]:
    try:
        budgets = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError as error:
        raise ConfigError(f"--budgets is {text!r}; allowed: shares with commas between, such as 1,0.5,0.3") from error
    wrong = [budget for budget in budgets if not 0 < budget <= 1]
    if wrong:
        raise ConfigError(f"--budgets has {wrong[0]:g}; allowed: shares that stay, above 0, to 1")
    return budgets


def _wrapped(subject: Subject, method: str) -> nn.Module:
    try:
        return subject.wrapped(method)
    except ValueError as error:
        raise ConfigError(f"method {method!r} is not possible with {subject.title}: {error}") from error


def _tried(subject: Subject, once: Callable[[], Any], name: tuple[str, float]) -> float:
    """Share that stays, from a first pass; too small a budget for short clips shows here."""
    method, budget = name
    try:
        return subject.kept_share(method, once(), 1 - budget)
    except ValueError as error:
        raise ConfigError(
            f"a budget of {budget:g} is not possible with {subject.title} and {method}: {error}"
        ) from error


def _accuracies(
    subject: Subject, modules: Mapping[str, nn.Module], names: list[tuple[str, float]], progress: Progress
) -> dict[tuple[str, float], Metric | None]:
    """Of each; where nothing is removed every method answers as the dense model does, to the bit."""
    found: dict[tuple[str, float], Metric | None] = {}
    for name in progress.track(names, "answers", len(names), "budgets"):
        method, budget = name
        is_dense = budget == 1 and method != "dense"
        found[name] = found[names[0]] if is_dense else subject.accuracy(modules[method], 1 - budget)
    return found


def _document(arguments: argparse.Namespace, subject: Subject, rows: list[Row], device: torch.device) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "command": this_command(),
        "versions": installed_versions(),
        "seed": arguments.seed,
        "machine": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "processor": platform.machine(),
            "num_cores": os.cpu_count(),
            "num_threads": torch.get_num_threads(),
        },
        "model": {"title": subject.title, "weights": subject.weights, "about": subject.about, **subject.facts},
        "rounds": arguments.rounds,
        "rows": [
            {
                "method": row.method,
                "budget": row.budget,
                "kept_share": row.kept_share,
                "median_ms": 1000 * row.speed.median_s,
                "speedup": row.speed.ratio,
                "speedup_range": [row.speed.lowest, row.speed.highest],
                "round_ms": [round(1000 * value, 4) for value in row.seconds],
                "peak_bytes": row.peak_bytes,
                "memory_ratio": row.memory_ratio,
                "accuracy": row.accuracy,
            }
            for row in rows
        ],
    }


_COLUMNS = (
    *("method", "budget", "kept_share", "median_ms", "speedup", "speedup_lowest", "speedup_highest"),
    *("peak_bytes", "memory_ratio", "accuracy", "accuracy_low", "accuracy_high", "num_questions"),
)


def _csv(rows: list[Row]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for row in rows:
        found = row.accuracy or Metric(value=None, n=0)
        speed = row.speed
        table.writerow(
            [
                *(row.method, row.budget, row.kept_share),
                *(1000 * speed.median_s, speed.ratio, speed.lowest, speed.highest),
                *(row.peak_bytes, row.memory_ratio, found.value, found.low, found.high, found.n),
            ]
        )
    return text.getvalue()


def _cells(row: Row) -> tuple[str, ...]:
    speed = row.speed
    return (
        row.method,
        f"{row.budget:g}",
        f"{row.kept_share:.3f}",
        "" if row.accuracy is None else str(row.accuracy),
        f"{1000 * speed.median_s:.2f}",
        f"{speed.ratio:.2f} ({speed.lowest:.2f} to {speed.highest:.2f})",
        f"{row.peak_bytes / _MIB:.2f}",
        f"{row.memory_ratio:.2f}",
    )


_HEADER = ("method", "budget", "kept", "accuracy", "ms", "speedup (rounds)", "peak MiB", "memory, dense / this")


def _table(rows: list[Row]) -> str:
    has_accuracy = any(row.accuracy is not None for row in rows)
    columns = [place for place in range(len(_HEADER)) if has_accuracy or _HEADER[place] != "accuracy"]
    cells = [tuple(_cells(row)[place] for place in columns) for row in rows]
    header = tuple(_HEADER[place] for place in columns)
    return "\n".join(markdown_table(header, cells, align="l" + "r" * (len(columns) - 1)))


def _page(subject: Subject, rows: list[Row], document: Mapping[str, Any]) -> str:
    dense, rest = rows[0], rows[1:]
    names = tuple(dict.fromkeys(row.method for row in rest))
    svgs = [panel_svg(panel, names, x_name=_X_NAME) for panel in _panels(dense, rest)] if rest else []
    has_accuracy = dense.accuracy is not None
    return page_of(
        "bench",
        {
            "title": subject.title,
            "about": subject.about,
            "has_accuracy": has_accuracy,
            "chart_style": style(names),
            "keys": [(name, key_svg(place)) for place, name in enumerate(names)],
            "panels": svgs,
            "header": [name for name in _HEADER if has_accuracy or name != "accuracy"],
            "rows": [
                [cell for name, cell in zip(_HEADER, _cells(row), strict=True) if has_accuracy or name != "accuracy"]
                for row in rows
            ],
            "document": document,
        },
    )


def _panels(dense: Row, rows: list[Row]) -> list[Panel]:
    """Accuracy, speed and memory, each against the share that stays."""
    panels = []
    if dense.accuracy is not None and dense.accuracy.value is not None:
        panels.append(
            Panel(
                title="answers that are right",
                lines=_lines(rows, _accuracy_point),
                level=dense.accuracy.value,
                level_name=f"dense: {dense.accuracy.value:.1%}",
                is_percent=True,
            )
        )
    panels.append(
        Panel(
            title="times as fast as dense",
            lines=_lines(
                rows,
                lambda row: Point(
                    x=row.kept_share,
                    y=row.speed.ratio,
                    low=row.speed.lowest,
                    high=row.speed.highest,
                    text=f"{row.method}, {row.kept_share:.1%} kept: {row.speed.ratio:.2f} times as fast",
                ),
            ),
            level=1.0,
            level_name="dense",
        )
    )
    panels.append(
        Panel(
            title="memory of a pass, share of dense",
            lines=_lines(
                rows,
                lambda row: Point(
                    x=row.kept_share,
                    y=1 / row.memory_ratio,
                    text=f"{row.method}, {row.kept_share:.1%} kept: {row.peak_bytes / _MIB:.2f} MiB",
                ),
            ),
            level=1.0,
            level_name=f"dense: {dense.peak_bytes / _MIB:.2f} MiB",
        )
    )
    return panels


def _accuracy_point(row: Row) -> Point:
    found = row.accuracy
    if found is None or found.value is None:
        raise ValueError(f"{row.method} was not asked")
    text = f"{row.method}, {row.kept_share:.1%} kept: {found}"
    return Point(x=row.kept_share, y=found.value, low=found.low, high=found.high, text=text)


def _lines(rows: list[Row], point: Callable[[Row], Point]) -> dict[str, tuple[Point, ...]]:
    names = dict.fromkeys(row.method for row in rows)
    return {name: tuple(point(row) for row in rows if row.method == name) for name in names}
