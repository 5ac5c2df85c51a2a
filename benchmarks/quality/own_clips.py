"""Trains the default recipes on sets of clips that anybody can make again, and keeps the Report of each.

    python benchmarks/quality/own_clips.py people glyphs --work WORK
    python benchmarks/quality/own_clips.py real --work WORK --vtest PATH

People and glyphs are drawn (`tubelet synth`). Real clips are cut out of the demo, beam and street footage around the
hand labels in `real_footage/`; the street clip lies in a Debian package (see there) and is named with `--vtest`. Runs
that are in WORK already are not trained again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tubelet import weights
from tubelet.cli.main import main as tubelet
from tubelet.runs import write_json
from tubelet.video import VideoReader, VideoWriter

LABELS = Path(__file__).parent / "real_footage"
REPORTS = Path(__file__).resolve().parents[1] / "reports"
PEOPLE = "sit_down,stand_up,jumping_jack,wave,walk,bend_over,kick,punch,dance,getup"
FROM_NOTHING = ["--set", "pretrained=false"]
SIDES = ["--set", "augmentation.mirror=false"]
RECIPES = {
    "people": {
        "frames": ["recognition:frames"],
        "single_frame": ["recognition:single_frame"],
        "skeleton": ["recognition:skeleton"],
        "skeleton_from_nothing": ["recognition:skeleton", *FROM_NOTHING],
        "fusion": ["recognition:fusion"],
    },
    "glyphs": {
        "frames": ["recognition:frames", *SIDES],
        "single_frame": ["recognition:single_frame", *SIDES],
    },
    "real": {
        "frames": ["recognition:frames"],
        "frames_from_people": ["recognition:frames", "--set", "network.weights={people}/frames"],
        "skeleton": ["recognition:skeleton"],
        "skeleton_from_nothing": ["recognition:skeleton", *FROM_NOTHING],
    },
}
COMPARED = {
    "people": [("frames", "single_frame"), ("skeleton", "frames"), ("fusion", "skeleton")],
    "glyphs": [("frames", "single_frame")],
    "real": [("frames_from_people", "frames"), ("skeleton", "skeleton_from_nothing")],
}
# Real clips: which label a stretch of the footage is filed under. A man who keeps his balance on a beam is "balance".
STREET_HALF_S, STREET_MARGIN = 0.5, 0.35
DEVELOPMENT_S = (5.0, 15.0, 25.0, 35.0)
CLIP_S, SIDE_PX = 1.0, 224


def run(*arguments: str) -> None:
    """One command; a failure ends the benchmark."""
    print("tubelet", *arguments, flush=True)
    code = tubelet(list(arguments))
    if code not in (0, 1):
        sys.exit(code)


def train_all(name: str, clips: Path, work: Path, seed: int) -> None:
    """Every recipe on one set, its Report, and the comparisons."""
    seconds = {}
    for recipe, arguments in RECIPES[name].items():
        out = work / name / recipe
        if not (out / "evaluation" / "report.json").exists():
            shutil.rmtree(out, ignore_errors=True)
            settings = [text.format(people=work / "people") for text in arguments[1:]]
            began_s = time.perf_counter()
            run("train", str(clips), "--recipe", arguments[0], "--out", str(out), "--seed", str(seed), *settings)
            seconds[recipe] = round(time.perf_counter() - began_s, 1)
            run("evaluate", str(out))
        report = json.loads((out / "evaluation" / "report.json").read_text(encoding="utf-8"))
        report["details"].pop("mistakes", None)
        report["details"]["training"] = training_facts(out, name, recipe, seconds)
        report["command"] = f"python benchmarks/quality/own_clips.py {name} --work WORK --seed {seed}"
        write_json(REPORTS / f"clips_{name}_{recipe}.json", report)
    for first, second in COMPARED[name]:
        path = REPORTS / f"clips_{name}_{first}_against_{second}.json"
        run("compare", *(str(work / name / each) for each in (first, second)), "--out", str(path), "--overwrite")
        report = json.loads(path.read_text(encoding="utf-8"))
        report["command"] = f"python benchmarks/quality/own_clips.py {name} --work WORK --seed {seed}"
        write_json(path, report)


def training_facts(out: Path, name: str, recipe: str, seconds: dict[str, float]) -> dict[str, object]:
    """How long the training took, and what its log says of speed, waiting and memory at the end."""
    kept = out.parent / f"{recipe}_seconds.json"
    if recipe in seconds:
        write_json(kept, {"train_s": seconds[recipe]})
    facts: dict[str, object] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    log = out / "log.jsonl"
    steps = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if '"event": "step"' in line]
    for key in ("data_wait_share", "clips_per_s", "peak_memory_mb"):
        if steps and key in steps[-1]:
            facts[key] = steps[-1][key]
    return {"set": name, "recipe": recipe, **facts}


def boxes_of(source: str) -> dict[str, list[tuple[float, list[float]]]]:
    """Hand-drawn boxes of one clip by person, in order of time."""
    found: dict[str, list[tuple[float, list[float]]]] = defaultdict(list)
    with (LABELS / "boxes.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == source:
                box = [float(row[edge]) for edge in ("x0_px", "y0_px", "x1_px", "y1_px")]
                found[row["track_id"]].append((float(row["time_s"]), box))
    return {track: sorted(own) for track, own in found.items()}


def region(own: list[tuple[float, list[float]]], start_s: float, end_s: float) -> list[float]:
    """What holds a person between two times: boxes are read off lines between the drawn ones."""
    times = np.array([time_s for time_s, _ in own])
    table = np.array([box for _, box in own])
    at = np.linspace(start_s, end_s, 9)
    boxes = np.stack([np.interp(at, times, table[:, edge]) for edge in range(4)], axis=1)
    return [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)]


def stretches() -> Iterator[tuple[str, str, float, float, list[float], str, str]]:
    """Source, label, start, end, region, split and group of every real clip."""
    with (LABELS / "actions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        own = boxes_of(row["source"]).get(row["track_id"])
        label = "balance" if row["label"] == "other" else row["label"]
        if own is None or label not in ("jumping_jack", "walk", "stand", "balance"):
            continue
        start_s, end_s = float(row["start_s"]), float(row["end_s"])
        count = max(1, int((end_s - start_s) / CLIP_S))
        edges = np.linspace(start_s, end_s, count + 1)
        for part in range(count):
            begin, end = float(edges[part]), float(edges[part + 1])
            # One half of each person's time, or two of four views of the beam, are for training.
            is_first = row["source"] in ("cam01.mp4", "cam03.mp4") if "cam" in row["source"] else part < count / 2
            # The views of the beam show one performance: one group.
            stem = "beam" if "cam" in row["source"] else Path(row["source"]).stem
            name = f"{stem}_{row['track_id']}"
            yield row["source"], label, begin, end, region(own, begin, end), "train" if is_first else "test", name
    with (LABELS / "moments.csv").open(encoding="utf-8", newline="") as file:
        moments = [row for row in csv.DictReader(file) if row["source"] == "vtest.avi"]
    street = boxes_of("vtest.avi")
    for row in moments:
        time_s = float(row["time_s"])
        if row["person_id"] not in street or row["label"] not in ("walk", "stand"):
            continue
        box = street[row["person_id"]][0][1]
        split = "train" if time_s in DEVELOPMENT_S else "test"
        start_s = max(0.0, time_s - STREET_HALF_S)
        yield "vtest.avi", row["label"], start_s, time_s + STREET_HALF_S, box, split, f"vtest_at_{time_s * 10:.0f}"


def cut_real(folder: Path, vtest: Path) -> None:
    """Write the real clips as `split/label/group_cNN.mp4`."""
    if folder.exists():
        return
    files = {"demo.mp4": weights.fetch(weights.DEMO_VIDEO), "vtest.avi": vtest}
    files |= {item.filename: weights.fetch(item) for item in weights.MULTI_VIEW_VIDEOS}
    draft = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    numbers: dict[str, int] = defaultdict(int)
    for source, label, start_s, end_s, box, split, group in stretches():
        numbers[group] += 1
        path = draft / split / label / f"{group}_c{numbers[group]:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoReader(files[source]) as reader:
            fps = min(reader.info.average_fps, 15.0)
            times = np.arange(start_s, min(end_s, reader.info.duration_s) - 1e-6, 1 / fps)
            frames = reader.frames_at(times).frames
        frames = cropped(frames, box, STREET_MARGIN if source == "vtest.avi" else 0.1)
        height, width = frames.shape[1:3]
        with VideoWriter(path, width=width, height=height, fps=fps, quality=18) as writer:
            for index, frame in enumerate(frames):
                writer.write(np.ascontiguousarray(frame), index / fps)
    os.rename(draft, folder)


def cropped(frames: np.ndarray, box: list[float], margin: float) -> np.ndarray:
    """A square round the box, as far as the picture reaches."""
    x0, y0, x1, y1 = box
    half = max(x1 - x0, y1 - y0) * (0.5 + margin)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    top, left = max(0, int(y - half)), max(0, int(x - half))
    return frames[:, top : int(y + half), left : int(x + half)]


def main() -> None:
    """Makes the sets that were asked for and trains on them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=tuple(RECIPES))
    parser.add_argument("--work", type=Path, required=True, help="folder for clips and runs")
    parser.add_argument("--vtest", type=Path, help="vtest.avi, for the real clips")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    for name in arguments.sets:
        clips = arguments.work / f"clips_{name}"
        if name == "people" and not clips.exists():
            run("synth", str(clips), "--classes", PEOPLE, "--clips", "32", "--seed", str(arguments.seed))
        elif name == "glyphs" and not clips.exists():
            run("synth", str(clips), "--kind", "glyphs", "--clips", "120", "--seed", str(arguments.seed))
        elif name == "real":
            if arguments.vtest is None:
                parser.error("--vtest is missing: the street clip is named by its path")
            cut_real(clips, arguments.vtest)
        train_all(name, clips, arguments.work, arguments.seed)


if __name__ == "__main__":
    main()
