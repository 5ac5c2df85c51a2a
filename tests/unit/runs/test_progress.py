"""The bar is drawn where a person watches, is silent elsewhere, and always gives the terminal back."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tubelet.runs.progress import Progress, is_watched, track

SHOW_CURSOR = b"\x1b[?25h"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def terminal(kind: str = "xterm", **environment: str) -> Iterator[Terminal]:
    """Stderr is a terminal in the block (not in a fixture: pytest puts its own stderr in place for each phase)."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(Terminal()) as stream:
        patch.delenv("NO_COLOR", raising=False)
        for name, value in {"TERM": kind, **environment}.items():
            patch.setenv(name, value)
        yield stream


def on_a_terminal(tmp_path: Path, program: str, **environment: str) -> tuple[int, bytes, bytes]:
    """Exit code, what stderr got through a pseudo terminal, and what stdout got through a pipe."""
    script = tmp_path / "program.py"
    script.write_text(program, encoding="utf-8")
    outer, inner = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-W", "error", str(script)],
        stdout=subprocess.PIPE,
        stderr=inner,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", **environment},
    )
    os.close(inner)
    seen = b""
    while True:
        try:
            chunk = os.read(outer, 4096)
        except OSError:  # how a Linux terminal says that the other side is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(outer)
    out, _ = child.communicate(timeout=60)
    return child.returncode, seen, out


def test_nothing_is_written_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(5), "counting")) == [0, 1, 2, 3, 4]
    with Progress() as progress:
        task = progress.add("a video", 10, "frames")
        task.advance()
        task.update(completed=5, total=8, description="b")
        task.finish()
        task.remove()
    assert capsys.readouterr() == ("", "")


def test_rich_is_not_imported_where_nobody_watches() -> None:
    program = (
        "import sys\nfrom tubelet.runs import Progress, track\nlist(track(range(3), 'x'))\n"
        "with Progress() as p: p.add('y').advance()\nassert 'rich' not in sys.modules, 'rich was imported'"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).stderr == b""


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_a_terminal_that_cannot_redraw_is_not_drawn_on(kind: str) -> None:
    with terminal():
        assert is_watched()
    with terminal(kind) as stream:
        assert not is_watched()
        list(track(range(3), "x"))
        assert stream.getvalue() == ""


def test_it_can_be_switched_off_on_a_terminal() -> None:
    with terminal() as stream, Progress(enabled=False) as progress:
        progress.add("x").advance()
        assert stream.getvalue() == ""


def test_a_bar_shows_description_count_rate_and_unit() -> None:
    with terminal() as stream:
        list(track(range(40), "clip [a].mp4", unit="frames"))
    shown = stream.getvalue()
    assert "clip [a].mp4" in shown  # square brackets are no markup
    assert "40/40" in shown
    assert "frames/s" in shown


def test_no_color_leaves_the_bar_without_colours() -> None:
    with terminal(NO_COLOR="1") as stream:
        list(track(range(3), "x"))
    assert "3/3" in stream.getvalue()
    assert "\x1b[3" not in stream.getvalue()
    with terminal() as stream:
        list(track(range(3), "x"))
    assert "\x1b[3" in stream.getvalue()


def test_an_inner_bar_is_a_line_of_the_outer_one_and_goes_with_its_block() -> None:
    with terminal(), Progress() as outer:
        outer.add("outer", 2)
        display = outer._display
        assert display is not None
        with Progress() as inner:
            inner.add("inner", 3)
            assert [task.description for task in display.tasks] == ["outer", "inner"]
        assert [task.description for task in display.tasks] == ["outer"]
    with terminal(), Progress() as after:
        assert after._display is not display


def test_a_task_without_total_ends_full() -> None:
    with terminal(), Progress() as progress:
        task = progress.add("stream")
        task.advance(7)
        task.update(description="stream [1]")
        task.finish()
        assert progress._display is not None
        assert [(each.completed, each.total, each.finished) for each in progress._display.tasks] == [(7, 7, True)]


def test_leaving_a_loop_early_stops_the_bar() -> None:
    with terminal() as stream:
        for each in track(range(10), "x"):
            if each == 3:
                break
        assert stream.getvalue().endswith("\x1b[?25h")


@pytest.mark.parametrize("error", ["KeyError('x')", "KeyboardInterrupt"])
def test_the_terminal_is_given_back_after_an_error(tmp_path: Path, error: str) -> None:
    program = (
        f"from tubelet.runs import track\nprint('answer')\nfor each in track(range(9), 'work'):\n    raise {error}\n"
    )
    code, seen, out = on_a_terminal(tmp_path, program)
    assert code != 0
    assert b"work" in seen
    assert seen.rindex(SHOW_CURSOR) < seen.index(b"Traceback")
    assert out == b"answer\n"


def test_what_is_printed_meanwhile_stays_on_stdout_when_that_is_piped(tmp_path: Path) -> None:
    program = "from tubelet.runs import track\nfor each in track(range(2), 'work'):\n    print({'thing': each})\n"
    code, seen, out = on_a_terminal(tmp_path, program)
    assert (code, out) == (0, b"{'thing': 0}\n{'thing': 1}\n")
    assert b"thing" not in seen
