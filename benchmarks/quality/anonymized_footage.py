"""What is left to see in real footage that `tubelet anonymization apply` hid, by fill.

    python benchmarks/quality/anonymized_footage.py

The clip is the demonstration of Sports2D (two people, 7.7 s). Each fill is applied to whole bodies and to faces alone.
Measured are the recogniser's agreement with what it says of the original, faces that a detector still finds, and how
often the most similar picture of another moment shows the same person to a weak attacker. One clip of two people: this
shows how the fills differ, not how safe they are. Writes benchmarks/reports/anonymized_footage.json.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

from tubelet import weights
from tubelet.cli.main import main as tubelet
from tubelet.methods.anonymization.fills import FILLS
from tubelet.methods.anonymization.leftover import measure_leftover
from tubelet.runs import installed_versions, this_command, write_json

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "reports" / "anonymized_footage.json"
WAYS = {"bodies": ["--people", "body"], "faces": ["--people", "face"]}
SAMPLES_PER_S = 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "benchmarks" / "anonymized_footage")
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args()
    clip = weights.fetch(weights.DEMO_VIDEO)
    rows = []
    for way, more in WAYS.items():
        for fill in FILLS:
            out = options.work / f"{way.replace(' ', '_')}_{fill}"
            began_s = time.perf_counter()
            arguments = ["apply", str(clip), "--out", str(out), "--fill", fill, "--no-measure", "--overwrite", *more]
            if tubelet(["anonymization", *arguments]) != 0:
                raise SystemExit(f"apply failed for {fill}")
            spent_s = time.perf_counter() - began_s
            left = measure_leftover(clip, out / f"{clip.stem}.anonymized.mp4", samples_per_s=SAMPLES_PER_S)
            metrics = {
                name: {"value": each.value, "low": each.low, "high": each.high, "n": each.n}
                for name, each in left.items()
            }
            rows.append({"way": way, "fill": fill, "apply_s": spent_s, "metrics": metrics})
            print(way, fill, {name: str(each) for name, each in left.items()}, flush=True)
            write_json(
                options.report,
                {
                    "schema": "tubelet.benchmark.anonymized_footage/1",
                    "command": this_command(),
                    "versions": installed_versions(),
                    "machine": {"processor": platform.machine(), "num_cores": os.cpu_count()},
                    "clip": clip.name,
                    "samples_per_s": SAMPLES_PER_S,
                    "rows": rows,
                },
            )
    print(f"report: {options.report}")


if __name__ == "__main__":
    main()
