"""Hooks of the documentation build: the command line's own help, put where a page says `<!-- help: COMMAND -->`."""

from __future__ import annotations

import argparse
import os
import re

from tubelet.cli.main import build_parser

_PLACE = re.compile(r"<!-- help: ?([a-z -]*?) ?-->")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replaces every place by what `tubelet COMMAND --help` prints at 88 columns."""
    return _PLACE.sub(lambda match: f"```text\n{help_of(match[1].split())}```", markdown)


def help_of(command: list[str]) -> str:
    """The help of one (sub-)command.

    Raises:
        KeyError: There is no such sub-command.
    """
    os.environ["COLUMNS"] = "88"  # as wide as a page shows
    os.environ["NO_COLOR"] = "1"
    parser = build_parser()
    for word in command:
        choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = choices[0][word]
    return parser.format_help()
