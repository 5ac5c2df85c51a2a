"""The one progress bar, for the command line and for methods.

It is drawn on stderr and only where a person watches: not when stderr is piped or `TERM=dumb`. `NO_COLOR` takes the
colours away and leaves the bar. Nothing is imported until a bar is really drawn.

A bar that is opened while another is on the screen becomes a line of the other, until it is closed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

Item = TypeVar("Item")

_REFRESHES_PER_SECOND = 5  # the drawing thread competes with decoding for two cores


class _Screen:
    """The display that owns the terminal now."""

    lock = threading.Lock()
    display: RichProgress | None = None


def is_watched() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


class Task:
    """One line of a progress display; does nothing where nobody watches."""

    def __init__(self, display: RichProgress | None, task_id: TaskID | None) -> None:
        self._display = display
        self._task_id = task_id

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more items as done."""
        if self._display is not None and self._task_id is not None:
            self._display.advance(self._task_id, amount)

    def update(
        self, *, completed: float | None = None, total: float | None = None, description: str | None = None
    ) -> None:
        """Set what is given and leave the rest as it is."""
        if self._display is not None and self._task_id is not None:
            shown = None if description is None else _escape(description)
            self._display.update(self._task_id, completed=completed, total=total, description=shown)

    def finish(self) -> None:
        """Call the task done, also when its total was unknown or too large."""
        if self._display is not None and self._task_id is not None:
            done = next(task.completed for task in self._display.tasks if task.id == self._task_id)
            self._display.update(self._task_id, total=done, completed=done)
            self._display.stop_task(self._task_id)

    def remove(self) -> None:
        """Take the line off the screen."""
        if self._display is not None and self._task_id is not None:
            self._display.remove_task(self._task_id)
            self._task_id = None


class Progress:
    """A display with one line per task: description, bar, count, rate, time left.

    A context manager; leaving it in any way (also by an exception or Ctrl-C) gives the terminal back.

    Args:
        enabled: True or False to decide, None for "only on a terminal".

    Example:
        with Progress() as progress:
            frames = progress.add("street.mp4", total=900, unit="frames")
            for frame in reader.frames():
                frames.advance()
    """

    def __init__(self, *, enabled: bool | None = None) -> None:
        self._enabled = enabled
        self._display: RichProgress | None = None
        self._owns_screen = False
        self._tasks: list[Task] = []

    def __enter__(self) -> Self:
        with _Screen.lock:
            if _Screen.display is not None and self._enabled is not False:
                self._display = _Screen.display
                return self
            if not (is_watched() if self._enabled is None else self._enabled):
                return self
            display = _new_display()
            display.start()
            _Screen.display = self._display = display
            self._owns_screen = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        display, self._display = self._display, None
        if display is None:
            return
        if not self._owns_screen:
            # A batch opens an inner bar per video; the lines of those that are over would push the rest off the screen.
            for task in self._tasks:
                task.remove()
            return
        self._owns_screen = False
        with _Screen.lock:
            _Screen.display = None
        display.stop()

    def add(self, description: str, total: float | None = None, unit: str = "") -> Task:
        """Add a line.

        Args:
            description: What is being done, in a few words, or the name of a file.
            total: Number of items, or None if it is not known.
            unit: What is counted, for the rate ("frames" gives "31.2 frames/s").
        """
        if self._display is None:
            return Task(None, None)
        task = Task(self._display, self._display.add_task(_escape(description), total=total, unit=unit))
        self._tasks.append(task)
        return task

    def track(
        self, iterable: Iterable[Item], description: str, total: float | None = None, unit: str = ""
    ) -> Iterator[Item]:
        """Yield the items of `iterable` while its line counts them."""
        task = self.add(description, _length(iterable) if total is None else total, unit)
        for item in iterable:
            yield item
            task.advance()
        task.finish()


def track(
    iterable: Iterable[Item],
    description: str,
    total: float | None = None,
    *,
    unit: str = "",
    enabled: bool | None = None,
) -> Iterator[Item]:
    """Yield the items of `iterable` under a progress bar.

    Args:
        iterable: What to go through; its length is the total where it has one.
        description: What is being done, in a few words.
        total: Number of items, where the iterable does not know it.
        unit: What is counted, for the rate.
        enabled: True or False to decide, None for "only on a terminal".
    """
    with Progress(enabled=enabled) as progress:
        yield from progress.track(iterable, description, total, unit)


def _length(iterable: object) -> float | None:
    return float(len(iterable)) if isinstance(iterable, Sized) else None


def _escape(text: str) -> str:
    """File names may hold square brackets, which are markup to the display."""
    from rich.markup import escape

    return escape(text)


def _new_display() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.progress import Task as RichTask
    from rich.text import Text

    class Count(ProgressColumn):
        def render(self, task: RichTask) -> Text:
            total = "" if task.total is None else f"/{task.total:.0f}"
            return Text(f"{task.completed:.0f}{total}", style="progress.download")

    class Rate(ProgressColumn):
        def render(self, task: RichTask) -> Text:
            speed = task.finished_speed or task.speed
            if not speed:
                return Text("")
            unit = task.fields.get("unit") or "items"
            # Below one item a second, seconds per item is what a person can read.
            shown = f"{speed:.1f} {unit}/s" if speed >= 1 else f"{1 / speed:.1f} s/{unit.removesuffix('s')}"
            return Text(shown, style="progress.data.speed")

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        Count(),
        Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        refresh_per_second=_REFRESHES_PER_SECOND,
        # Redirected prints would come out on stderr; harmless on a terminal, wrong for `tubelet … --json > file`.
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
    )
