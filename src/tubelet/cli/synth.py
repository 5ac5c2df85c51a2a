"""`tubelet synth`: makes a folder of labelled clips to try things with."""

from __future__ import annotations

import argparse

_DESCRIPTION = """Draws labelled clips into DIR/{train,val,test}/CLASS/*.mp4, ready for `tubelet check`, `train` and
`evaluate`. People: one drawn person does one action; bodies, places and directions of view of the test clips are in no
other clip, and performances as far as there are several (synth.json says of each class). Glyphs: a block moves beside
a handwritten digit, and only the motion tells the class."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet synth`."""
    parser = subparsers.add_parser(
        "synth",
        help="draw a folder of labelled clips to try things with",
        description=_DESCRIPTION,
        epilog="example: tubelet synth clips --classes wave,walk,squat --clips 24 --seed 1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", help="a folder that is missing or empty")
    parser.add_argument("--kind", choices=("people", "glyphs"), default="people", help="what to draw (default: people)")
    parser.add_argument(
        "--classes", default=None, metavar="N|A,B,...", help="how many classes, or which (default: 6; glyphs: 4)"
    )
    parser.add_argument("--clips", type=int, default=40, metavar="N", help="clips of each class (default: 40)")
    parser.add_argument("--seed", type=int, default=0, help="of everything; the same gives the same clips (default: 0)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: 2)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Draws the clips."""
    from tubelet.datasets.synth import write_synthetic_set
    from tubelet.errors import ConfigError

    if arguments.seed < 0:
        raise ConfigError(f"--seed is {arguments.seed}; allowed: 0 or more")
    if arguments.workers < 1:
        raise ConfigError(f"--workers is {arguments.workers}; allowed: 1 or more")
    text = arguments.classes or ("6" if arguments.kind == "people" else "4")
    classes = int(text) if text.isdigit() else [name.strip() for name in text.split(",")]
    facts = write_synthetic_set(
        arguments.folder,
        kind=arguments.kind,
        classes=classes,
        clips=arguments.clips,
        seed=arguments.seed,
        num_workers=arguments.workers,
    )
    counts = ", ".join(f"{count} for {split}" for split, count in facts["num_clips"].items())
    print(f"{arguments.folder}: {', '.join(facts['classes'])}; clips: {counts}")
    print(f"next: tubelet check {arguments.folder}")
    return 0
