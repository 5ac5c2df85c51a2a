"""`tubelet anonymization`: hide videos, attack a trained anonymiser, show what was measured."""

from __future__ import annotations

import argparse
import sys

_APPLY = """Hides people in videos and keeps what they do as visible as may be.

Whole people are hidden where they are found. With --keep only their faces are, and of what is round and on each person
the tubelets that tell more of looks than of the action, as a trained network (--model) sees them.

The protection is empirical: it is measured against the attackers that were tried and promises nothing about others;
the mask itself shows shapes, and the way somebody moves stays."""

_APPLY_EPILOG = """examples:
  tubelet anonymization apply street.mp4 --out hidden
  tubelet anonymization apply street.mp4 --out hidden --keep 0.5
  tubelet anonymization apply clips/ --out hidden --fill silhouette
  tubelet anonymization apply clips/ --out hidden --model runs/mine --keep 0.5

report.html shows the originals beside the results: it is for you, not for publishing."""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-commands."""
    commands = parser.add_subparsers(dest="anonymization_command", metavar="COMMAND", required=True)
    _add_apply(commands)
    attack = commands.add_parser(
        "attack",
        help="train attackers on what a run hides, and measure utility and leakage",
        description="Trains a recogniser and several attackers anew on the clips that the run's anonymiser hides, and "
        "writes RUN/evaluation/report.json. The same as `tubelet evaluate RUN`.",
    )
    attack.add_argument("directory", metavar="RUN", help="folder of `tubelet train anonymization:RECIPE`")
    attack.add_argument("--overwrite", action="store_true", help="replace the report that is there")
    attack.set_defaults(run=_attack)
    report = commands.add_parser(
        "report",
        help="show utility, leakage, its floors and what stays visible, together",
        description="Prints what `tubelet anonymization attack RUN` measured.",
    )
    report.add_argument("directory", metavar="RUN", help="folder of a run that was attacked")
    report.set_defaults(run=_report)


def _add_apply(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "apply",
        help="hide people in videos",
        description=_APPLY,
        epilog=_APPLY_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", nargs="+", metavar="VIDEO|FOLDER", help="video files, folders of them, or patterns")
    add("--out", required=True, metavar="DIR", help="where STEM.anonymized.mp4, STEM.masks.json and report.html go")
    add("--overwrite", action="store_true", help="replace results that are already there")
    add(
        "--model",
        metavar="RUN",
        help="anonymiser that prunes tubelets: folder or file of one that you trained, or people for the one that "
        "ships, which is shown a square round each person (default: people with --keep or --keep-rate, else none)",
    )
    add("--keep", type=float, metavar="SHARE", help="share of the tubelets left visible (default with a model: 0.5)")
    add("--keep-rate", type=float, metavar="SHARE", help="share that each pruning block keeps, instead of --keep")
    add(
        "--temporal",
        choices=("none", "ema", "tube"),
        default="tube",
        help="tube hides a place for a whole window or not at all, so that what stands still is not shown piece by "
        "piece; none is as published (default: %(default)s)",
    )
    add(
        "--people",
        choices=("none", "face", "body"),
        help="what of people is hidden wherever they are found, whatever the tubelets say (default: face where a "
        "model prunes round people, else body)",
    )
    add(
        "--fill",
        choices=("black", "blur", "pixelate", "silhouette"),
        default="black",
        help="what comes where pixels were; blur and pixelate keep something of them (default: %(default)s)",
    )
    add(
        "--detector",
        choices=("auto", "oidv4", "ssdlite"),
        default="auto",
        help="person detector (default: %(default)s)",
    )
    add("--keep-audio", action="store_true", help="copy the sound; voices and names can be heard in it")
    add(
        "--measure",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure what is left to see: recogniser, faces, likeness (takes longer than hiding; default: on)",
    )
    parser.set_defaults(run=_apply)


def _apply(arguments: argparse.Namespace) -> int:
    from tubelet.methods.anonymization.batch import apply_to_sources

    return apply_to_sources(
        arguments,
        say=lambda text: print(text, flush=True),
        warn=lambda text: print(f"tubelet: {text}", file=sys.stderr, flush=True),
    )


def _attack(arguments: argparse.Namespace) -> int:
    from tubelet.methods.anonymization.evaluate import attack_run

    print(attack_run(arguments.directory, overwrite=arguments.overwrite))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from tubelet.methods.anonymization.evaluate import shown_report

    print(shown_report(arguments.directory))
    return 0
