"""How long `import tubelet` and `tubelet --help` take, beside an interpreter that does nothing.

    python benchmarks/speed/startup.py --rounds 15

Writes benchmarks/reports/startup.json and prints its table.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tubelet.runs.files import write_json
from tubelet.runs.report import installed_versions, this_command

REPORT = Path(__file__).resolve().parents[1] / "reports" / "startup.json"
COMMANDS = {
    "python, nothing": [sys.executable, "-c", "pass"],
    "import tubelet": [sys.executable, "-c", "import tubelet"],
    "tubelet --help": [sys.executable, "-m", "tubelet", "--help"],
    "tubelet --version": [sys.executable, "-m", "tubelet", "--version"],
}


def main() -> None:
    """Measures all commands in turn and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    walls: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(options.rounds + 1):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if turn > 0:  # the first turn warms the disk cache
                walls[name].append(time.perf_counter() - started)
    results = {
        name: {"median_s": round(statistics.median(own), 3), "min_s": round(min(own), 3), "max_s": round(max(own), 3)}
        for name, own in walls.items()
    }
    write_json(
        REPORT,
        {
            "schema": "tubelet.benchmark/1",
            "command": this_command(),
            "versions": installed_versions(),
            "machine": {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()},
            "rounds": options.rounds,
            "results": results,
        },
    )
    for name, result in results.items():
        print(f"{name:<20} {result['median_s']:.3f} s  ({result['min_s']:.3f} to {result['max_s']:.3f})")


if __name__ == "__main__":
    main()
