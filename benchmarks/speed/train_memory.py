"""Peak memory of training and evaluation by the number of clips, each in a process of its own.

    python benchmarks/speed/train_memory.py --clips 200 800 3200

The clips are drawn once and linked under many names; the network is small, so that what grows would show. Writes
benchmarks/reports/train_memory.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tubelet.datasets.synth import write_synthetic_set
from tubelet.runs import installed_versions, write_json

REPORT = Path(__file__).resolve().parents[1] / "reports" / "train_memory.json"
SETTINGS = [
    *("--set", "network.weights=none", "--set", "sampling.size_px=32", "--set", "sampling.num_frames=4"),
    *("--set", "num_epochs=1", "--set", "num_cached_views=1", "--set", "num_threads=1"),
    *("--set", "augmentation.mirror=false"),
]
PIXELS = [
    *("--recipe", "recognition:vit_small", "--set", "network.name=vit_tiny", "--set", "sampling.size_px=32"),
    *("--set", "sampling.num_frames=4", "--set", "sampling.step_s=none", "--set", "num_epochs=1"),
    *("--set", "num_threads=1", "--set", "evaluation.num_views=1", "--set", "augmentation.mirror=false"),
]


def linked(source: Path, folder: Path, count: int) -> Path:
    """A set of about `count` clips: the drawn ones under many names."""
    files = sorted(source.glob("*/*/*.mp4"))
    for number in range(count):
        file = files[number % len(files)]
        target = folder / file.parent.relative_to(source) / f"n{number:06d}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, target)
    return folder


def peak_mib(*arguments: str, cache: Path) -> float:
    """Runs a command and returns the peak of its own process, without its workers."""
    code = (
        "import resource, sys; from tubelet.cli.main import main; code = main(sys.argv[1:]); "
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024); sys.exit(code)"
    )
    environment = {**os.environ, "TUBELET_CACHE": str(cache), "OMP_WAIT_POLICY": "PASSIVE"}
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, check=True
    )
    return round(float(result.stdout.rsplit("peak ", 1)[1]), 1)


def main() -> None:
    """Measures and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", type=int, default=[200, 800, 3200])
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        write_synthetic_set(work / "drawn", kind="glyphs", classes=4, clips=8)
        for count in arguments.clips:
            clips = linked(work / "drawn", work / f"clips{count}", count)
            row: dict[str, object] = {"num_clips": count}
            for name, settings in (("frames", SETTINGS), ("end_to_end", PIXELS)):
                run = str(work / f"{name}{count}")
                row[f"train_{name}_mib"] = peak_mib("train", str(clips), "--out", run, *settings, cache=work / "cache")
                row[f"evaluate_{name}_mib"] = peak_mib("evaluate", run, cache=work / "cache")
            print(row, flush=True)
            rows.append(row)
    write_json(
        REPORT,
        {
            "schema": "tubelet.benchmark/1",
            "what": "peak resident memory of the command's own process, MiB",
            "command": f"python benchmarks/speed/train_memory.py --clips {' '.join(map(str, arguments.clips))}",
            "versions": installed_versions(),
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
