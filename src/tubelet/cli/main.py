"""The `tubelet` command: parses, calls, and turns errors into sentences and exit codes."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from tubelet import __version__
from tubelet.cli import check, claims, compare, evaluate, info, models, recognize, score, synth, train, weights
from tubelet.cli.method_commands import LazyParser, add_method_parsers
from tubelet.errors import TubeletError, VideoReadError

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

_EPILOG = """exit codes: 0 done (also when nobody is found), 1 some source failed, 2 wrong usage or configuration, 130
interrupted. tubelet sends nothing anywhere: no telemetry. It downloads only the weights files that `tubelet weights
list` names."""


def build_parser() -> LazyParser:
    """The parser with all sub-commands, those of the methods too; builds without importing anything heavy."""
    parser = LazyParser(
        prog="tubelet",
        description="See who does what, from when to when, in a video.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tubelet {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where in the code an error was raised")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (recognize, score, info, models, weights, synth, check, train, evaluate, compare, claims):
        module.add_parser(commands)
    add_method_parsers(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: Arguments without the program's name; those of the process if None.

    Returns:
        The exit code.
    """
    # Threads of torch that wait for each other by spinning take the processors from the workers that read clips, and
    # from everything else. Read when torch is loaded, which has not happened yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold bytes that are no text
    arguments = argparse.Namespace(traceback=False)
    code = None
    try:
        code = _call(arguments, argv)
        sys.stdout.flush()
    except BrokenPipeError:  # `tubelet … | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # Where nobody reads the output to its end, an exit code that is not known yet must not say that all went well.
    if code is None:
        code = DONE if getattr(arguments, "only_lists", False) else FAILED
    return code


def _call(arguments: argparse.Namespace, argv: Sequence[str] | None) -> int:
    """Parses into `arguments`, runs, and turns whatever is raised into a sentence and an exit code."""
    try:
        try:
            build_parser().parse_args(argv, arguments)  # imports the commands of a method, where one is called
        except SystemExit as stop:  # argparse has printed help or what is wrong
            return stop.code if isinstance(stop.code, int) else WRONG_USAGE
        code: int = arguments.run(arguments)
        return code
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        print("tubelet: interrupted", file=sys.stderr)
        return INTERRUPTED
    except TubeletError as error:
        if arguments.traceback:
            raise
        print(f"tubelet: error: {error}", file=sys.stderr)
        return FAILED if isinstance(error, VideoReadError) else WRONG_USAGE
    except Exception as error:  # the one place where anything may end up
        if arguments.traceback:
            raise
        print(
            f"tubelet: unexpected error: {type(error).__name__}: {error}\n"
            "This is a defect of tubelet. Run again with `tubelet --traceback …` and report what it prints.",
            file=sys.stderr,
        )
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
