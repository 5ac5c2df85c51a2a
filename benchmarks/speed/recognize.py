"""Wall time of `tubelet recognize` on the demo clip, as a user starts it, and where the time goes.

Both detectors, with and without annotated video, and `--fast`, take turns. The factor is wall time over the length of
the clip: below 1 it is faster than the clip plays.

    python benchmarks/speed/recognize.py --rounds 3

Writes benchmarks/reports/recognize_speed.json and prints its table. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tubelet import probe, weights
from tubelet.runs.files import write_json
from tubelet.runs.progress import track
from tubelet.runs.report import installed_versions, this_command

REPORT = Path(__file__).resolve().parents[1] / "reports" / "recognize_speed.json"
VARIANTS = {
    "oidv4, no video": ["--detector", "oidv4", "--no-video"],
    "oidv4, annotated video": ["--detector", "oidv4"],
    "oidv4, fast, no video": ["--detector", "oidv4", "--fast", "--no-video"],
    "ssdlite, no video": ["--detector", "ssdlite", "--no-video"],
    "ssdlite, annotated video": ["--detector", "ssdlite"],
    "ssdlite, fast, no video": ["--detector", "ssdlite", "--fast", "--no-video"],
}


def run_once(clip: Path, options: list[str]) -> tuple[float, dict[str, float]]:
    """Wall seconds of one command, start-up included, and its own account of them."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tubelet", "recognize", str(clip), "--out", folder, *options]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        wall_s = time.perf_counter() - started
        document = json.loads((Path(folder) / "actions.json").read_text(encoding="utf-8"))
    return wall_s, document["sources"][0]["timings_s"]


def main() -> None:
    """Measures all variants and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    clip = weights.fetch(weights.DEMO_VIDEO)
    length_s = probe(clip).duration_s
    run_once(clip, VARIANTS["oidv4, annotated video"])  # warms the disk cache
    run_once(clip, VARIANTS["ssdlite, no video"])
    walls: dict[str, list[float]] = {name: [] for name in VARIANTS}
    stages: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    turns = [name for _ in range(options.rounds) for name in VARIANTS]
    for name in track(turns, "recognising", unit="runs"):
        wall_s, timings_s = run_once(clip, VARIANTS[name])
        walls[name].append(wall_s)
        stages[name].append(timings_s)
    results: dict[str, Any] = {
        name: {
            "wall_s": round(statistics.median(walls[name]), 2),
            "wall_s_min": round(min(walls[name]), 2),
            "wall_s_max": round(max(walls[name]), 2),
            "factor": round(statistics.median(walls[name]) / length_s, 2),
            "stages_s": {
                stage: round(statistics.median(each.get(stage, 0.0) for each in stages[name]), 2)
                for stage in stages[name][0]
            },
        }
        for name in VARIANTS
    }
    write_json(
        REPORT,
        {
            "schema": "tubelet.benchmark/1",
            "command": this_command(),
            "versions": installed_versions(),
            "machine": {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()},
            "clip": {"name": "demo.mp4", "length_s": length_s, "rounds": options.rounds},
            "results": results,
        },
    )
    for name, result in results.items():
        busy = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in result["stages_s"].items())
        print(f"{name:<26} {result['wall_s']:6.2f} s  {result['factor']:5.2f} x clip   ({busy})")


if __name__ == "__main__":
    main()
