"""Memory does not grow with the length of a video: `recognize --out` with everything, in a process of its own.

Detector and landmarks are stand-ins; decoding, tracking, the shipped action model and all output, the annotated video
too, are real. Run as a script this file is that process: it recognises one video and prints its peak memory.
`pytest -s` shows the peaks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import pytest
from scenes import ColourDetector, ColourLandmarks, write_scene

from tubelet.cli.main import main
from tubelet.methods.recognition import recognizer

PIECE_S, FPS = 20, 30
PIECE_FRAMES = PIECE_S * FPS


def repeat(piece: Path, times: int, path: Path) -> Path:
    """A video that shows another one several times; its packets are copied, which takes next to no time."""
    with av.open(str(piece)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        starts = [(packet.pts, packet.dts) for packet in packets]
        length = round(PIECE_S / stream.time_base)
        for number in range(times):
            for packet, (pts, dts) in zip(packets, starts, strict=True):
                packet.stream = copy
                packet.time_base = stream.time_base
                packet.pts, packet.dts = pts + number * length, dts + number * length
                target.mux(packet)
                # muxing rescales the packet in place to the new file's clock
                packet.time_base = stream.time_base
    return path


def peak_of(video: Path, num_frames: int) -> float:
    """Peak memory in MiB of recognising a video in a fresh process."""
    out = video.with_suffix("")
    support = Path(__file__).resolve().parents[1] / "support"
    result = subprocess.run(
        [sys.executable, __file__, str(video), "--out", str(out)],
        env={**os.environ, "PYTHONPATH": str(support)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (source,) = json.loads((out / "actions.json").read_text(encoding="utf-8"))["sources"]
    assert source["num_frames"] == num_frames
    with av.open(str(out / video.stem / "annotated.mp4")) as annotated:
        assert annotated.streams.video[0].frames == num_frames
    return float(result.stdout.splitlines()[-1])


def compare(folder: Path, times: int) -> None:
    """Recognises a short video and the same one repeated, and compares the peaks."""
    short = write_scene(folder / "short.mp4", PIECE_FRAMES, FPS)
    long = repeat(short, times, folder / "long.mp4")
    few, many = peak_of(short, PIECE_FRAMES), peak_of(long, times * PIECE_FRAMES)
    sys.stdout.write(f"peak memory: {few:.0f} MiB for {PIECE_S} s, {many:.0f} MiB for {times * PIECE_S} s\n")
    assert many - few < min(40, 0.15 * few)


def test_four_minutes_need_no_more_memory_than_twenty_seconds(tmp_path: Path) -> None:
    compare(tmp_path, times=12)


@pytest.mark.slow
def test_an_hour_needs_no_more_memory_than_twenty_seconds(tmp_path: Path) -> None:
    # The index of the written mp4 grows by 80 bytes a frame: 9 MiB of what is allowed.
    compare(tmp_path, times=180)


def peak_mib() -> float:
    """The most memory that this process held; what its parent held before it began does not count here."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    recognizer.load_detector = lambda *_, **__: ColourDetector()  # type: ignore[assignment, return-value]
    recognizer.LandmarkModel = lambda **_: ColourLandmarks()  # type: ignore[assignment, misc]
    code = main(["recognize", *sys.argv[1:]])
    sys.stdout.write(f"{peak_mib()}\n")
    sys.exit(code)
