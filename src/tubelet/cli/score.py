"""`tubelet score`: measures a timeline against hand labels."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tubelet.datasets.timelines import Boxes, Timelines
    from tubelet.metrics.assignment import Assignment
    from tubelet.metrics.scoring import SourceScore, Summary
    from tubelet.metrics.timeline import LabelledInterval
    from tubelet.runs import Metric, Report

_EPILOG = """Labels in TRUTH: `unknown` is time that nobody can tell and that is not counted; `other` is an action that
the vocabulary has no word for: abstaining is right there.
Matching tracks to people: `boxes` by where they are, `id` where ids mean the same in both files, `overlap` by the time
they share, one to one. `auto` takes boxes if they are given, else ids if the true ids are all there, else overlap.
Sources are matched by the same text, else by the same file name.
ACTIONS may be a predictions.jsonl instead (no TRUTH: it holds the labels), segments of untrimmed videos
(video,start_s,end_s,label,score; TRUTH without score; CSV or JSON lines), or boxes in frames
(video,time_s,x0,y0,x1,y1,label,score, or AVA's rows without a header). exit code 1: some clips could not be scored."""
_ACTIONS = "actions.csv of `tubelet recognize --out`, or its folder; or predictions.jsonl of `tubelet evaluate`"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet score`."""
    parser = subparsers.add_parser(
        "score",
        help="measure a timeline against hand labels, or the predictions of an evaluation anew",
        description="Measures actions.csv against hand labels: accuracy over time, segments, people, tracks. "
        "Or computes everything that `tubelet evaluate` says from its predictions.jsonl alone; or measures detected "
        "segments or boxes against true ones.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("actions", metavar="ACTIONS", help=_ACTIONS)
    parser.add_argument(
        "truth",
        metavar="TRUTH",
        nargs="?",
        help="hand labels: source,track_id,start_s,end_s,label; none for predictions",
    )
    parser.add_argument(
        "--boxes", metavar="CSV", help="hand-drawn boxes: source,track_id,time_s,x0_px,y0_px,x1_px,y1_px"
    )
    parser.add_argument("--tracks", metavar="CSV", help="tracks.csv; the one beside ACTIONS if --boxes is given")
    parser.add_argument("--ignore", metavar="CSV", help="boxes of people that count neither as missed nor as false")
    parser.add_argument(
        "--match", choices=("auto", "boxes", "id", "overlap"), default="auto", help="how tracks are matched to people"
    )
    parser.add_argument(
        "--calibrate-on", metavar="FILE", help="predictions of the validation split, to fit a temperature on"
    )
    parser.add_argument(
        "--page", metavar="DIR", help="for predictions: write report.html and its pictures into this folder"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON, alone on stdout")
    parser.add_argument("--out", metavar="REPORT", help="write the report as JSON to this file")
    parser.add_argument("--overwrite", action="store_true", help="replace a REPORT that is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Scores, prints, and writes the report."""
    from tubelet.cli.output import write_report
    from tubelet.cli.score_clips import find_kind, run_clips
    from tubelet.errors import ConfigError

    path = _actions_path(arguments)
    kind = find_kind(path)
    if kind is not None:
        return run_clips(arguments, path, kind)
    for option, given in (("calibrate-on", arguments.calibrate_on), ("page", arguments.page)):
        if given is not None:
            raise ConfigError(f"--{option} is for a predictions.jsonl; {path} is a timeline: leave it away")
    if arguments.truth is None:
        if not path.exists():
            raise ConfigError(f"{path} is not there; give an actions.csv, a predictions.jsonl, or a folder with one")
        raise ConfigError(f"{path} is a timeline, which is measured against hand labels: give the file TRUTH too")
    report = write_report(arguments, lambda: _report(arguments, *_score(arguments)), text=_text)
    for notice in report.details["notices"]:
        print(f"tubelet: note: {notice}", file=sys.stderr)
    return 0


def _score(arguments: argparse.Namespace) -> tuple[list[SourceScore], list[str]]:
    """Scores of all sources of the truth, and what the user should know about them."""
    from tubelet.datasets.timelines import match_sources, read_timelines
    from tubelet.errors import DatasetError
    from tubelet.metrics.scoring import score_source

    actions_path = _actions_path(arguments)
    predicted, truth = read_timelines(actions_path), read_timelines(arguments.truth)
    boxes, tracks, ignored = _read_boxes(arguments)
    sources = list(dict.fromkeys([*truth, *boxes]))
    if not sources:
        raise DatasetError(f"{arguments.truth}: holds no labels; nothing can be measured against it")
    found = match_sources(sources, list(predicted), where=str(actions_path))
    tracks_found = match_sources(sources, list(tracks), where="tracks.csv")
    ignored_found = match_sources(sources, list(ignored), where=arguments.ignore or "")
    if predicted and not found:
        raise DatasetError(
            f"{actions_path}: holds none of the sources of {arguments.truth}: it has {_listed(predicted)}, "
            f"the truth has {_listed(sources)}; write them alike in both files"
        )
    notices = _notices(sources, predicted, found) + _label_notices(predicted, truth)
    scores = []
    for source in sources:
        guesses, people = predicted.get(found.get(source, ""), {}), truth.get(source, {})
        assignment = _assign(
            arguments.match,
            source,
            (guesses, people),
            (tracks.get(tracks_found.get(source, ""), {}), boxes.get(source, {})),
            list(ignored.get(ignored_found.get(source, ""), {}).values()),
        )
        scores.append(score_source(source, guesses, people, assignment))
        if arguments.match == "auto" and assignment.method == "id" and _ids_look_wrong(guesses, people):
            notices.append(
                f"{source}: tracks were matched by equal ids, yet other tracks share more time with these people; "
                "if ids do not mean the same in both files, add --match overlap, or --boxes"
            )
    return scores, notices


def _actions_path(arguments: argparse.Namespace) -> Path:
    """The file that was named, or the one in the folder that was named: of an evaluated run, or of a recognition."""
    path = Path(arguments.actions)
    if not path.is_dir():
        return path
    predictions = path / "evaluation" / "predictions.jsonl"
    return predictions if predictions.exists() else path / "actions.csv"


def _ids_look_wrong(guesses: Mapping[str, Any], people: Mapping[str, Any]) -> bool:
    """Whether some other pairing shares clearly more time: small ids are equal by chance."""
    from tubelet.metrics.assignment import assign_by_overlap
    from tubelet.metrics.timeline import shared_s

    by_id = math.fsum(shared_s(people[person], guesses[person]) for person in people)
    pairs = assign_by_overlap(guesses, people).tracks_of
    by_time = math.fsum(shared_s(people[person], guesses[track]) for person, own in pairs.items() for track in own)
    return by_time > 1.1 * by_id


def _read_boxes(arguments: argparse.Namespace) -> tuple[Boxes, Boxes, Boxes]:
    """True boxes, tracks, ignored boxes; empty where they are not given."""
    from tubelet.datasets.timelines import read_boxes
    from tubelet.errors import ConfigError

    if arguments.boxes is None:
        for option in ("tracks", "ignore"):
            if getattr(arguments, option) is not None:
                raise ConfigError(f"--{option} is of no use without --boxes; give the hand-drawn boxes too")
        if arguments.match == "boxes":
            raise ConfigError("--match boxes needs --boxes; give the hand-drawn boxes, or match by id or overlap")
        return {}, {}, {}
    if arguments.match not in ("auto", "boxes"):
        raise ConfigError(f"--boxes is of no use with --match {arguments.match}; leave one of them away")
    tracks_path = Path(arguments.tracks) if arguments.tracks else _actions_path(arguments).with_name("tracks.csv")
    if not tracks_path.exists():
        raise ConfigError(
            f"{tracks_path} is not there; --boxes needs the tracks.csv of the same recognition (--tracks)"
        )
    ignored = {} if arguments.ignore is None else read_boxes(arguments.ignore)
    return read_boxes(arguments.boxes), read_boxes(tracks_path), ignored


def _assign(
    match: str,
    source: str,
    timelines: tuple[Mapping[str, Any], Mapping[str, Any]],
    boxes: tuple[Mapping[str, Any], Mapping[str, Any]],
    ignored: Sequence[Any],
) -> Assignment:
    from tubelet.errors import DatasetError
    from tubelet.metrics.assignment import assign_by_boxes, assign_by_id, assign_by_overlap

    (guesses, people), (tracks, true_boxes) = timelines, boxes
    if true_boxes or match == "boxes":
        bare = [person for person in people if person not in true_boxes]
        if bare:
            raise DatasetError(
                f"{source}: person {', '.join(bare)} has labels and no box in --boxes; draw a box of each person, "
                "or match by id or overlap"
            )
        lost = [track for track in guesses if track not in tracks]
        if lost:
            raise DatasetError(
                f"{source}: track {', '.join(lost)} has actions and no row in tracks.csv; "
                "give the tracks.csv of the same recognition"
            )
        return assign_by_boxes(tracks, true_boxes, ignored)
    by_id = match == "id" or (match == "auto" and all(person in guesses for person in people))
    return assign_by_id(guesses, people) if by_id else assign_by_overlap(guesses, people)


def _notices(sources: Sequence[str], predicted: Timelines, found: Mapping[str, str]) -> list[str]:
    notices = []
    renamed = [f"{there} for {source}" for source, there in found.items() if there != source]
    if renamed:
        notices.append(f"sources matched by file name only: {', '.join(renamed)}")
    absent = [source for source in sources if source not in found]
    if absent:
        notices.append(f"no actions for {_listed(absent)}: everyone there counts as missed; check the spelling")
    unlabelled = [source for source in predicted if source not in found.values()]
    if unlabelled:
        notices.append(f"no truth for {_listed(unlabelled)}: not scored")
    return notices


def _label_notices(predicted: Timelines, truth: Timelines) -> list[str]:
    """A note on each true label that nothing can be right about: mostly a slip of the pen."""
    from difflib import get_close_matches

    from tubelet.methods.recognition.model_card import load_card
    from tubelet.metrics.scoring import OTHER
    from tubelet.metrics.timeline import UNKNOWN

    seconds: dict[str, float] = {}
    for interval in _intervals(truth):
        seconds[interval.label] = seconds.get(interval.label, 0.0) + interval.duration_s
    known = {*load_card()["labels"], OTHER, UNKNOWN, *(interval.label for interval in _intervals(predicted))}
    notices = []
    for label in sorted(seconds.keys() - known):
        near = get_close_matches(label.lower().replace(" ", "_"), sorted(known), n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"write {OTHER!r} for an action that there is no word for"
        notices.append(
            f"label {label!r} of the truth ({seconds[label]:.1f} s) is neither in the actions nor a label of the "
            f"default model, so nothing there can be right; {advice}"
        )
    return notices


def _intervals(timelines: Timelines) -> list[LabelledInterval]:
    return [interval for tracks in timelines.values() for timeline in tracks.values() for interval in timeline]


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    shown = [repr(name) for name in list(names)[:5]]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _report(arguments: argparse.Namespace, scores: Sequence[SourceScore], notices: Sequence[str]) -> Report:
    from tubelet.metrics.scoring import summarise, total_confusion_s
    from tubelet.runs import Report

    summary = summarise(scores)
    methods = sorted({score.assignment.method for score in scores})
    truth_s = math.fsum(person.time.truth_s for score in scores for person in score.people)
    num_people = sum(len(score.people) for score in scores)
    return Report(
        title=f"{arguments.actions} against {arguments.truth}",
        metrics=_metrics(summary),
        num_expected=len(scores),
        num_scored=len(scores),
        protocol=f"{num_people} {'person' if num_people == 1 else 'people'}, {truth_s:.1f} s of labelled time; "
        f"items are sources. Tracks are matched to people by {' and '.join(methods)}. 95 % intervals from drawing "
        f"whole {'sources' if summary.clusters == 'source' else 'people and tracks'} (bootstrap).",
        dataset=_short(arguments.truth),
        dataset_fingerprint=_fingerprint([arguments.truth, arguments.boxes, arguments.ignore]),
        seed=0,
        details={
            "sources": {score.source: _source_details(score) for score in scores},
            "confusion_s": total_confusion_s(scores),
            "notices": list(notices),
        },
    )


def _metrics(summary: Summary) -> dict[str, Metric]:
    from tubelet.runs import Metric

    metrics = {}
    for name, (estimate, num_items) in summary.shares.items():
        value, low, high = (None if math.isnan(number) else number for number in estimate[:3])
        metrics[name] = Metric(value=value, low=low, high=high, n=num_items)
    for name, (number, out_of) in summary.counts.items():
        metrics[name] = Metric(value=number, n=out_of, unit="count")
    return metrics


def _source_details(score: SourceScore) -> dict[str, object]:
    from tubelet.metrics.scoring import summarise

    assignment = score.assignment
    return {
        "matched_by": assignment.method,
        "metrics": _metrics(summarise([score])),
        "people": {
            person.person: {
                "tracks": person.tracks,
                **person.time._asdict(),
                "edit_score": None if math.isnan(person.edit) else person.edit,
                "segments": {f"{iou:.2f}": counts._asdict() for iou, counts in person.segments.items()},
            }
            for person in score.people
        },
        "false_tracks": assignment.false_tracks,
        "unjudged_tracks": assignment.unjudged_tracks,
    }


def _short(path: str) -> str:
    """File and folder, which tell files of one name apart without telling where on a machine they lie."""
    return "/".join(Path(path).parts[-2:])


def _fingerprint(paths: Sequence[str | None]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for path in paths:
        if path is not None:
            digest.update(Path(path).read_bytes())
    return f"sha256:{digest.hexdigest()[:16]}"


def _text(report: Report) -> str:
    """The report for people: overall, per source where there are several, per label."""
    from tubelet.metrics.scoring import OTHER
    from tubelet.runs import markdown_table

    lines = [report.to_markdown()]
    if len(report.details["sources"]) > 1:
        shown = ("accuracy", "accuracy_decided", "coverage", "segment_f1_0.50", "edit_score")
        rows = []
        for source, details in report.details["sources"].items():
            metrics = details["metrics"]
            cells = ["" if metrics[name].value is None else f"{metrics[name].value:.3f}" for name in shown]
            counts = [f"{metrics[name].value:.0f}" for name in ("missed_people", "false_tracks")]
            rows.append((source, details["matched_by"], *cells, *counts))
        header = ("source", "matched by", *shown, "missed_people", "false_tracks")
        lines += markdown_table(header, rows, align="ll" + "r" * 7)
    confusion = report.details["confusion_s"]
    if confusion:
        label_rows = []
        for label, row in confusion.items():
            total = math.fsum(row.values())
            wrong = {name: seconds for name, seconds in row.items() if name not in (label, "unknown", "untracked")}
            taken_for = max(wrong, key=lambda name: wrong[name]) if wrong else ""
            right = "unknown" if label == OTHER else label
            parts = [f"{row.get(name, 0.0) / total:.2f}" for name in (right, "unknown", "untracked")]
            label_rows.append((label, f"{total:.1f}", *parts, taken_for))
        label_header = ("true label", "seconds", "right", "unknown", "untracked", "most often taken for")
        lines += markdown_table(label_header, label_rows, align="lrrrrl")
    return "\n".join(lines)
