"""Sub-commands that methods bring: `tubelet NAME …`, from the `commands.py` in a method's folder.

A method has them if its `commands.py` defines `add_commands(parser)`. Listing them runs nothing of a method: whether it
has commands, and the title of its CARD, are read off its source. So `tubelet --help` takes no longer for heavy imports,
and a method that is broken breaks its own sub-command only. `commands.py` is imported when its sub-command is called.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

_ADDS_COMMANDS = re.compile(rb"^def add_commands\(", re.MULTILINE)
_INVALID_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)$")


class LazyParser(argparse.ArgumentParser):
    """A parser that gets its arguments when it is first used, and that knows the nearest word to a wrong one.

    Args:
        fill: Adds the arguments; None where they are added as to any other parser.
    """

    def __init__(self, *, fill: Callable[[argparse.ArgumentParser], None] | None = None, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        self._fill = fill

    def fill(self) -> None:
        """Adds the arguments, if that is still to be done.

        Raises:
            ConfigError: They cannot be had: the module that adds them failed to import, say.
        """
        fill, self._fill = self._fill, None
        if fill is not None:
            fill(self)

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: object = None) -> tuple[Any, list[str]]:
        """Fills the parser, and parses; it is what the parser of the whole command line calls."""
        self.fill()
        return super().parse_known_args(None if args is None else list(args), namespace)

    def format_help(self) -> str:
        """Fills the parser, and says what it takes."""
        self.fill()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Prints usage and message, and leaves."""
        found = _INVALID_CHOICE.search(message)
        if found is not None:
            from difflib import get_close_matches

            near = get_close_matches(found[1], [word.strip(" '") for word in found[2].split(",")], n=1)
            message += f"; did you mean {near[0]!r}?" if near else ""
        super().error(message)


def add_method_parsers(commands: argparse._SubParsersAction[LazyParser]) -> None:
    """Adds a sub-command for each method that brings some."""
    for folder in _folders():
        title = _title(folder) or f"commands of the method {folder.name}"
        commands.add_parser(folder.name, help=title.replace("%", "%%"), fill=partial(_fill, folder.name))


def _folders() -> Iterator[Path]:
    """Folders of the methods that bring sub-commands, by name."""
    import tubelet.methods

    # Of two folders of one name the first is the one that is imported.
    found = {folder.name: folder for place in reversed(tubelet.methods.__path__) for folder in Path(place).iterdir()}
    for _, folder in sorted(found.items()):
        file = folder / "commands.py"
        if file.is_file() and (folder / "__init__.py").is_file() and _ADDS_COMMANDS.search(file.read_bytes()):
            yield folder


def _title(folder: Path) -> str:
    """Title on the CARD in a method's source; "" where none is to be read, which is told when the method is called."""
    try:
        tree = ast.parse((folder / "__init__.py").read_bytes())
    except (SyntaxError, ValueError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Card":
            for keyword in node.keywords:
                if keyword.arg == "title" and isinstance(keyword.value, ast.Constant):
                    return str(keyword.value.value)
    return ""


def _fill(name: str, parser: argparse.ArgumentParser) -> None:
    """Lets a method add its commands; what it sets is stronger than what is set here."""
    from tubelet.cli.finder import method_card, method_commands

    add_commands = method_commands(name)
    parser.description = method_card(name).problem
    parser.set_defaults(run=partial(_nothing_named, name))
    add_commands(parser)


def _nothing_named(name: str, _: argparse.Namespace) -> int:
    from tubelet.errors import ConfigError

    raise ConfigError(f"`tubelet {name}` needs one of its sub-commands; `tubelet {name} --help` lists them")
