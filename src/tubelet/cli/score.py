"""`tubelet score`: measures a timeline against hand labels."""

from __future__ import annotations

import argparse


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet score`."""
    parser = subparsers.add_parser("score", help="measure a timeline against hand labels")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scores."""
    raise NotImplementedError
