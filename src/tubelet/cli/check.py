"""`tubelet check`: says what is wrong with a folder of clips before a training finds out."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tubelet.datasets.check import CheckResult, Finding
    from tubelet.datasets.labelled import ClipSet

_EPILOG = """OUT holds check.html to look at, check.json for programs, and quarantine.jsonl, the clips that
`tubelet train` leaves out. What was found is kept: the next check reads only files that are new or have changed.
exit codes: 0 nothing to mend, 1 something costs clips or makes scores untrue, 2 wrong usage.
example: tubelet check clips/ && tubelet train clips/ --out runs/first"""
_MAX_LINES = 12


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet check`."""
    parser = subparsers.add_parser(
        "check",
        help="find broken, doubled and leaking clips in a folder",
        description="Looks into every clip of a folder: broken files, copies, leaks between splits, balance.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", metavar="DIR", help="the folder of clips")
    parser.add_argument("--format", default="auto", metavar="NAME", help="how DIR is annotated; found out by default")
    parser.add_argument("--annotations", metavar="PATH", help="where the annotations are, if not in DIR")
    parser.add_argument("--fold", type=int, default=1, metavar="N", help="which of several given splits (default 1)")
    parser.add_argument("--out", metavar="OUT", help="folder for the results; DIR by default")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that decode; by default one per processor")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds for one file (default 60)")
    parser.add_argument("--fresh", action="store_true", help="read everything again, also what has not changed")
    parser.add_argument(
        "--drop-duplicates",
        action="store_true",
        help="put into quarantine what is in training and shows the same as a clip of validation or test",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Checks, prints, and says by its code whether something is to be mended."""
    from tubelet.datasets.check import check_clips
    from tubelet.datasets.opening import FORMATS
    from tubelet.errors import ConfigError, DatasetError

    if not os.path.exists(arguments.data):
        raise ConfigError(f"{arguments.data} is not there; give the folder of clips, for example: tubelet check clips/")
    if arguments.format not in FORMATS:
        raise ConfigError(f"--format is {arguments.format!r}; allowed: {', '.join(FORMATS)}")
    workers = _processors() if arguments.workers is None else arguments.workers
    if workers < 0:
        raise ConfigError(f"--workers is {workers}; allowed: 0 (decode in this process) or more")
    if not arguments.timeout > 0:
        raise ConfigError(f"--timeout is {arguments.timeout:g}; allowed: more than 0 seconds")
    try:
        clips, known = _open(arguments)
    except DatasetError as error:
        print("The annotations cannot be used as they are, so no clip was looked at.\n", file=sys.stderr)
        print(f"  to mend: {error}", file=sys.stderr)
        return 1
    result = check_clips(
        clips,
        clips.root if arguments.out is None else arguments.out,
        num_workers=workers,
        resume=not arguments.fresh,
        timeout_s=arguments.timeout,
        drop_duplicates=arguments.drop_duplicates,
        known=known,
    )
    print(_text(result, arguments.data))
    return 0 if result.is_clean else 1


def _open(arguments: argparse.Namespace) -> tuple[ClipSet, list[Finding]]:
    """The clips, without those whose files are missing, and what is to be said of those."""
    from tubelet.datasets.check import Finding
    from tubelet.datasets.opening import open_clips
    from tubelet.errors import DatasetError

    where = {"format": arguments.format, "annotations": arguments.annotations, "fold": arguments.fold}
    try:
        return open_clips(arguments.data, **where), []
    except DatasetError as error:
        clips = open_clips(arguments.data, **where, allow_missing=True)
        finding = Finding(
            kind="missing_files",
            weight="error",
            title="Files that the annotations list are missing",
            text=f"{error}.",
            advice="Bring the files, or take them out of the annotations. What is there was checked.",
        )
        return clips, [finding]


def _processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _text(result: CheckResult, data: str) -> str:
    """The result for a person: what is wrong, what training will make of it, what to do next."""
    from tubelet.datasets.check.findings import counted

    document = result.document
    dataset = document["dataset"]
    splits = ", ".join(f"{split} {number}" for split, number in dataset["splits"].items())
    lines = [
        f"{dataset['name']}: {counted(document['num_expected'], 'clip')} of "
        + counted(dataset["num_classes"], "class", "classes")
        + (f" ({splits})" if splits else "; no split is given, training will make one"),
        f"{document['num_sound']} can be read, {len(document['broken'])} cannot."
        + (f" {result.num_resumed} were known from an earlier check." if result.num_resumed else ""),
        "",
    ]
    names = {"error": "to mend", "warning": "to look at", "note": "good to know"}
    causes = Counter(row["cause"] for row in document["broken"])
    if causes:
        listed = ", ".join(f"{cause.replace('_', ' ')} {number}" for cause, number in causes.most_common())
        lines.append(f"to mend: broken clips, by cause: {listed}")
        lines.append(
            "    Training leaves them out; quarantine.jsonl says what is wrong with each. Copy or convert them."
        )
    findings = [finding for finding in result.findings if finding.kind not in causes]
    for finding in findings[:_MAX_LINES]:
        lines.append(f"{names[finding.weight]}: {finding.title}")
        lines.append(f"    {finding.text} {finding.advice}")
    if len(findings) > _MAX_LINES:
        lines.append(f"… and {len(findings) - _MAX_LINES} more in the report")
    if not result.findings:
        lines.append("Nothing was found.")
    lines += ["", _next(result, data)]
    return "\n".join(lines)


def _next(result: CheckResult, data: str) -> str:
    from tubelet.datasets.check.findings import counted

    number = len(result.quarantined)
    is_elsewhere = number and str(result.out.resolve()) != os.path.realpath(
        data if os.path.isdir(data) else os.path.dirname(data)
    )
    named = f" --set data.quarantine={result.out / 'quarantine.jsonl'}" if is_elsewhere else ""
    left_out = f"Training will leave out {counted(number, 'clip')}." if number else "Training will use every clip."
    return (
        f"{left_out}\nreport: {result.out / 'check.html'}\n"
        f"next:   {'' if result.is_clean else 'mend what is above, check again, then '}"
        f"tubelet train {data} --out runs/first{named}"
    )
