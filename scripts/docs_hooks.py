"""Hooks of the documentation build, which fill in what the code knows better than a page.

`<!-- help: COMMAND -->` becomes what `tubelet COMMAND --help` prints. `<!-- room: NAME -->` becomes the reference of a
room: of its door where it exports names, else of each of its modules. Design notes come into the navigation by date.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from tubelet.cli.main import build_parser

_SOURCE = Path(__file__).resolve().parents[1] / "src"
_HELP = re.compile(r"<!-- help: ?([a-z -]*?) ?-->")
_ROOM = re.compile(r"<!-- room: ([a-z_.]+) -->")
_OPTIONS = "    options: { show_root_heading: false, show_root_toc_entry: false, heading_level: LEVEL }\n"


def on_config(config: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Puts every design note into the navigation under its own heading."""
    folder = Path(config["docs_dir"])
    notes = sorted(path.relative_to(folder).as_posix() for path in (folder / "design").glob("*.md"))
    for section in config["nav"]:
        if "Design notes" in section:
            section["Design notes"] = notes
    return config


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fills the places of one page."""
    markdown = _HELP.sub(lambda place: f"```text\n{help_of(place[1].split())}```", markdown)
    return _ROOM.sub(lambda place: reference_of(place[1]), markdown)


def help_of(command: list[str]) -> str:
    """The help of one (sub-)command, 88 columns wide.

    Raises:
        KeyError: There is no such sub-command.
    """
    os.environ["COLUMNS"] = "88"  # as wide as a page shows
    os.environ["NO_COLOR"] = "1"
    parser = build_parser()
    for word in command:
        parser.fill()  # a method's commands are there once they are used
        choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = choices[0][word]
    return parser.format_help()


def reference_of(room: str) -> str:
    """Directives that render the docstrings of a room."""
    folder = _SOURCE.joinpath(*room.split("."))
    if not folder.is_dir() or "\n__all__ = [" in (folder / "__init__.py").read_text(encoding="utf-8"):
        return f"::: {room}\n" + _OPTIONS.replace("LEVEL", "2")
    names = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    return "\n".join(f"## {room}.{name}\n\n::: {room}.{name}\n" + _OPTIONS.replace("LEVEL", "3") for name in names)
