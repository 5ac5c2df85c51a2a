"""`tubelet recognize`: the main job."""

from __future__ import annotations

import argparse
import shlex
import sys

_DESCRIPTION = """Finds the people in videos, follows them, and says what each does from when to when.

A SOURCE is a video file, a folder of them, a glob pattern, the index of a camera (0, 1, ...) or an rtsp:// address."""

_EPILOG = """examples:
  tubelet recognize video.mp4
  tubelet recognize clips/ --out results
  tubelet recognize 'clips/*.mp4' --labels walk,run,fall --json > actions.json
  tubelet recognize 0 --json

A file whose name begins with a dash is named as ./-clip.mp4."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet recognize`."""
    parser = commands.add_parser(
        "recognize",
        help="say who does what, from when to when",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="file, folder, glob, camera index or rtsp:// address")
    add(
        "--out",
        metavar="DIR",
        help="write actions.json, actions.csv, tracks.csv, subtitles, video and report.html here",
    )
    add("--overwrite", action="store_true", help="replace results that are already in DIR")
    add("--no-video", action="store_true", help="no annotated video (drawing takes half as long as the rest, or more)")
    add("--json", action="store_true", help="print one JSON object on stdout, or JSON lines for a camera or stream")
    add("--labels", metavar="A,B,...", help="report these actions only; all else is unknown")
    add("--min-score", type=_probability, metavar="P", help="abstain below this probability (default: the model's own)")
    add("--min-duration", type=_seconds, default=0.4, metavar="S", help="no segment shorter than this (default: 0.4)")
    add("--start", type=_seconds, metavar="S", help="begin at this time")
    add("--end", type=_seconds, metavar="S", help="stop before this time")
    add("--model", default="default", help="`default` or the folder of a trained run (default: %(default)s)")
    add(
        "--detector",
        choices=("auto", "oidv4", "ssdlite"),
        default="auto",
        help="person detector (default: %(default)s)",
    )
    add("--fast", action="store_true", help="about twice as fast; small people are missed")
    add(
        "--token-budget",
        type=_budget,
        default=1.0,
        metavar="SHARE",
        help="of a video transformer (a run of recognition:vit_small or vit_base): tokens that are left after its last "
        "block; less is faster (default: 1, all)",
    )
    add("--device", default="cpu", choices=("cpu", "cuda"), help="where the action model runs (default: %(default)s)")
    parser.set_defaults(run=run)


def _probability(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a probability; give a number from 0 to 1")
    return value


def _budget(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share of tokens; give more than 0 and at most 1, such as 0.5")
    return value


def _seconds(text: str) -> float:
    """Seconds, or minutes and seconds as 1:30."""
    value = 0.0
    for part in text.split(":"):
        value = 60 * value + _number(part)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a time; give seconds, 0 or more, or 1:30")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error


def run(arguments: argparse.Namespace) -> int:
    """Recognises all sources; failures of single sources are listed at the end and make the exit code 1."""
    from tubelet.methods.recognition.commands import recognize_sources
    from tubelet.video.sources import printable, without_password

    # File names need not be UTF-8, and addresses may hold passwords: neither may reach a result as it is.
    words = [printable(word) for word in sys.argv[1:]]
    command = shlex.join(["tubelet", *(without_password(word) for word in words)])
    return recognize_sources(arguments, command=command)
