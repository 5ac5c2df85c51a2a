"""Peak memory of recognition on a minute and on an hour of video: it must not grow with the length.

The videos repeat the demo clip (real people, 480 x 270). All parts are the real ones, with `--fast`, and all files but
the annotated video are written. Few frames per second are the default, so that the hour takes minutes and not half an
hour: 18,000 frames. `--fps 30` is what a camera gives, and the report says which it was. A test with stand-ins for the
pretrained parts has an hour of 108,000 frames (`pytest -m slow tests/integration/test_memory.py`).

    python benchmarks/speed/memory.py
    python benchmarks/speed/memory.py --fps 30

Writes benchmarks/reports/memory.json and prints the peaks.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

from tubelet import read_frames, weights
from tubelet.runs.files import write_json
from tubelet.runs.progress import track
from tubelet.runs.report import installed_versions, this_command
from tubelet.video import VideoWriter

REPORT = Path(__file__).resolve().parents[1] / "reports" / "memory.json"
WIDTH, HEIGHT = 480, 270
DEFAULT_FPS = 5.0
CLIP_FPS = 30
LENGTHS_S = {"a minute": 60, "ten minutes": 600, "an hour": 3600}


def write_video(path: Path, duration_s: int, fps: float) -> int:
    """The demo clip over and over, at its own pace; returns the number of frames."""
    step, num_frames = max(1, round(CLIP_FPS / fps)), round(duration_s * fps)
    pictures = [
        cv2.resize(frame.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        for frame in read_frames(weights.fetch(weights.DEMO_VIDEO))
        if frame.index % step == 0
    ]
    with VideoWriter(path, width=WIDTH, height=HEIGHT, fps=fps) as writer:
        for index in range(num_frames):
            writer.write(pictures[index % len(pictures)], index / fps)
    return num_frames


def peak_mib(video: Path, out: Path) -> float:
    """Peak resident memory of the whole command in MiB."""
    command = [sys.executable, "-m", "tubelet", "recognize", str(video), "--no-video", "--out", str(out), "--fast"]
    subprocess.run(command, check=True, capture_output=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Measures each length in a process of its own and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=2, metavar=("VIDEO", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument(
        "--fps", type=float, default=DEFAULT_FPS, help=f"frames per second, up to {CLIP_FPS}; default %(default)g"
    )
    options = parser.parse_args()
    if not 1 <= options.fps <= CLIP_FPS:
        parser.error(f"--fps is {options.fps:g}; allowed: 1 to {CLIP_FPS}")
    if options.measure:
        print(peak_mib(Path(options.measure[0]), Path(options.measure[1])))
        return
    peaks: dict[str, float] = {}
    num_frames: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, duration_s in track(list(LENGTHS_S.items()), "recognising", unit="videos"):
            video = Path(folder) / f"{duration_s}.mp4"
            num_frames[name] = write_video(video, duration_s, options.fps)
            # A process of its own for each: the largest child so far is what the system remembers.
            arguments = [sys.executable, __file__, "--measure", str(video), str(Path(folder) / f"out-{duration_s}")]
            done = subprocess.run(arguments, check=True, capture_output=True, text=True)
            peaks[name] = round(float(done.stdout), 1)
    write_json(
        REPORT,
        {
            "schema": "tubelet.benchmark/1",
            "command": this_command(),
            "versions": installed_versions(),
            "machine": {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()},
            "video": {"width": WIDTH, "height": HEIGHT, "fps": options.fps, "num_frames": num_frames},
            "protocol": "tubelet recognize --fast --no-video --out, one process per video; peak resident memory",
            "peak_mib": peaks,
            "hour_over_minute": round(peaks["an hour"] / peaks["a minute"], 3),
        },
    )
    for name, peak in peaks.items():
        print(f"{name:<12} {num_frames[name]:>7} frames {peak:8.1f} MiB")


if __name__ == "__main__":
    main()
