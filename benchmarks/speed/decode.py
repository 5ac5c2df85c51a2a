"""Sampling frames from files: tubelet beside torchcodec, decord and OpenCV in one run.

Three seeded files (short, 720p, five minutes) and two ways to sample (16 uniform frames; 32 frames with stride 2 at a
random offset). Opening the file is part of each measurement; the output is uint8 RGB with a short side of 224 pixels.
The scene changes every five seconds, as in edited footage, and x264 puts a key frame there (with `--cut-every 0` key
frames are about 240 apart, nearly the worst case of its default settings). The methods take turns, so that a busy
machine slows all of them; their order is shuffled in every round.

    apt-get install ffmpeg                              # its shared libraries, for torchcodec
    pip install -c constraints.txt '.[bench,test]'
    python benchmarks/speed/decode.py --rounds 9

A peer that is not there is an error that says how to install it. Writes benchmarks/reports/decode.json and prints its
table.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from tubelet.runs.files import write_json
from tubelet.video import dense_times, probe, read_clip, uniform_times

SHORT_SIDE = 224
HOPELESS = 4.0  # a peer this many times slower than the best one in the warm-up round is not measured further
ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "reports" / "decode.json"
Read = Callable[[Path, np.ndarray], np.ndarray]
PEERS = ("torchcodec", "decord", "opencv-python-headless", "imageio-ffmpeg")


@dataclass(frozen=True)
class VideoSpec:
    """A file to make: name, size, rate, length and bit rate."""

    name: str
    width: int
    height: int
    fps: int
    duration_s: int
    bit_rate: str


FILES = (
    VideoSpec("short", 320, 240, 25, 10, "400k"),
    VideoSpec("720p", 1280, 720, 30, 10, "3000k"),
    VideoSpec("long", 640, 360, 30, 300, "1000k"),
)


def require_peers() -> dict[str, str]:
    """Versions of all peers; exits with the install line when one is missing."""
    versions, missing = {}, []
    for name in PEERS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        sys.exit(f"missing: {', '.join(missing)}; run: pip install -c constraints.txt '.[bench,test]'")
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, RuntimeError) as error:
        sys.exit(f"torchcodec cannot load ({str(error).splitlines()[0]}); run: apt-get install ffmpeg")
    return versions


def ffmpeg() -> str:
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def make_file(spec: VideoSpec, folder: Path, seed: int, cut_every_s: int) -> Path:
    """x264 with its default settings (about half the pictures B), moving content, temporal noise, and sound."""
    path = folder / f"{spec.name}_{seed}_cut{cut_every_s}.mp4"
    if path.exists():
        return path
    content = f"testsrc2=size={spec.width}x{spec.height}:rate={spec.fps}:duration={spec.duration_s},"
    if cut_every_s:
        content += f"negate=enable='lt(mod(t,{2 * cut_every_s}),{cut_every_s})',"
    content += f"noise=alls=4:allf=t:all_seed={seed},format=yuv420p[v]"
    tone = f"sine=frequency=440:duration={spec.duration_s}[s]"
    partial = path.with_suffix(".partial.mp4")
    command = [
        ffmpeg(),
        "-v",
        "error",
        "-nostdin",
        "-y",
        "-filter_complex",
        f"{content};{tone}",
        "-map",
        "[v]",
        "-map",
        "[s]",
    ]
    command += ["-c:v", "libx264", "-b:v", spec.bit_rate, "-c:a", "aac", "-shortest", str(partial)]
    subprocess.run(command, check=True)
    partial.rename(path)
    return path


def small(images: Sequence[np.ndarray]) -> np.ndarray:
    """The peers' full-size pictures brought to the output size, by the quickest averaging resize at hand."""
    height, width = images[0].shape[:2]
    scale = SHORT_SIDE / min(height, width)
    size = (round(width * scale), round(height * scale))
    return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images])


def with_tubelet(path: Path, times_s: np.ndarray) -> np.ndarray:
    return read_clip(path, times_s, short_side=SHORT_SIDE).frames


def with_torchcodec(mode: str, num_threads: int) -> Read:
    from torchcodec.decoders import VideoDecoder

    def read(path: Path, times_s: np.ndarray) -> np.ndarray:
        decoder = VideoDecoder(str(path), seek_mode=mode, dimension_order="NHWC", num_ffmpeg_threads=num_threads)
        return small(list(decoder.get_frames_played_at(times_s.tolist()).data.numpy()))

    return read


def with_decord(path: Path, times_s: np.ndarray) -> np.ndarray:
    import decord

    reader = decord.VideoReader(str(path), num_threads=0)
    numbers = np.floor(times_s * reader.get_avg_fps() + 1e-4).astype(int)
    return small(list(reader.get_batch(numbers).asnumpy()))


def with_opencv_in_order(path: Path, times_s: np.ndarray) -> np.ndarray:
    return small(_opencv(path, times_s, seek_beyond=sys.maxsize))


def with_opencv_seeking(path: Path, times_s: np.ndarray) -> np.ndarray:
    return small(_opencv(path, times_s, seek_beyond=30))


def _opencv(path: Path, times_s: np.ndarray, seek_beyond: int) -> list[np.ndarray]:
    """Seek where the next frame is more than `seek_beyond` frames ahead, else step over the frames between."""
    capture = cv2.VideoCapture(str(path))
    images, position = [], 0
    for number in np.floor(times_s * capture.get(cv2.CAP_PROP_FPS) + 1e-4).astype(int).tolist():
        if number - position > seek_beyond:
            capture.set(cv2.CAP_PROP_POS_FRAMES, number)
            position = number
        while position < number:
            capture.grab()
            position += 1
        images.append(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
        position += 1
    capture.release()
    return images


def methods() -> dict[str, Read]:
    return {
        "tubelet": with_tubelet,
        "torchcodec exact": with_torchcodec("exact", 0),
        "torchcodec exact, 1 thread": with_torchcodec("exact", 1),
        "torchcodec approximate": with_torchcodec("approximate", 0),
        "decord": with_decord,
        "opencv in order": with_opencv_in_order,
        "opencv seeking": with_opencv_seeking,
    }


def sample(spec: VideoSpec, path: Path, how: str, generator: np.random.Generator) -> np.ndarray:
    duration_s = probe(path).duration_s
    if how == "uniform 16":
        return uniform_times(duration_s, 16)
    step_s = 2 / spec.fps
    start_frame = int(generator.integers(0, int(duration_s * spec.fps) - 64))
    return dense_times(duration_s, 32, step_s=step_s, start_s=start_frame / spec.fps + 0.25 / spec.fps, edge="error")


def full_decode_s(path: Path) -> float:
    """Seconds to decode every picture of a file, converting none: what a reader that cannot seek spends at least."""
    began = time.perf_counter()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for _ in container.decode(stream):
            pass
    return time.perf_counter() - began


def check_frames(spec: VideoSpec, path: Path, times_s: np.ndarray) -> dict[str, float]:
    """Full-size frames of every method against those of the ffmpeg program; mean difference in grey levels."""
    wanted = np.floor(times_s * spec.fps + 1e-4).astype(int)
    size = spec.width * spec.height * 3
    command = [ffmpeg(), "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    command += [
        "-frames:v",
        str(int(wanted.max()) + 1),
        "-sws_flags",
        "bilinear",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    reference = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise RuntimeError("ffmpeg's output is not there")
        for number in range(int(wanted.max()) + 1):
            data = process.stdout.read(size)
            if number in wanted:
                reference[number] = np.frombuffer(data, np.uint8).reshape(spec.height, spec.width, 3)
    truth = np.stack([reference[number] for number in wanted.tolist()]).astype(np.int16)
    differences = {"tubelet": float(np.abs(read_clip(path, times_s).frames - truth).mean())}
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC")
    frames = decoder.get_frames_played_at(times_s.tolist()).data.numpy()
    differences["torchcodec exact"] = float(np.abs(frames - truth).mean())
    import decord

    frames = decord.VideoReader(str(path)).get_batch(wanted).asnumpy()
    differences["decord"] = float(np.abs(frames - truth).mean())
    frames = np.stack(_opencv(path, times_s, seek_beyond=30))
    differences["opencv seeking"] = float(np.abs(frames - truth).mean())
    return differences


def measure(folder: Path, rounds: int, seed: int, cut_every_s: int) -> dict[str, Any]:
    """Run everything; milliseconds per case and method, medians, ratios."""
    cases: dict[str, Any] = {}
    for spec in FILES:
        path = make_file(spec, folder, seed, cut_every_s)
        for how in ("uniform 16", "dense 32"):
            generator = np.random.default_rng([seed, len(cases)])
            # The first round warms up file cache and libraries, and shows who is out of the race.
            times_s = sample(spec, path, how, generator)
            warm_up = {name: milliseconds(read, path, times_s) for name, read in methods().items()}
            limit = HOPELESS * min(warm_up.values())
            names = [name for name, spent in warm_up.items() if spent <= limit or name == "tubelet"]
            times_ms: dict[str, list[float]] = {name: [] for name in names}
            full_ms: list[float] = []
            for _ in range(rounds):
                times_s = sample(spec, path, how, generator)
                for index in generator.permutation(len(names)).tolist():
                    times_ms[names[index]].append(milliseconds(methods()[names[index]], path, times_s))
                if spec.name == "long" and len(full_ms) < 3:
                    full_ms.append(full_decode_s(path) * 1e3)
            case = summary(times_ms)
            case["full_decode_ms"] = float(np.median(full_ms)) if full_ms else None
            case["left_out_after_warm_up_ms"] = {name: warm_up[name] for name in warm_up if name not in names}
            case["frames_off"] = check_frames(spec, path, times_s)
            cases[f"{spec.name}, {how}"] = case
            print(f"{spec.name}, {how}: {case['speed_against_best_peer']:.2f}x", file=sys.stderr)
    return {"cases": cases}


def milliseconds(read: Read, path: Path, times_s: np.ndarray) -> float:
    began = time.perf_counter()
    frames = read(path, times_s)
    spent_ms = (time.perf_counter() - began) * 1e3
    if len(frames) != len(times_s) or min(frames.shape[1:3]) != SHORT_SIDE:
        raise RuntimeError(f"{read} gave {frames.shape} for {len(times_s)} times")
    return spent_ms


def summary(times_ms: dict[str, list[float]]) -> dict[str, Any]:
    medians = {name: float(np.median(values)) for name, values in times_ms.items()}
    peers = {name: value for name, value in medians.items() if name != "tubelet"}
    best = min(peers, key=lambda name: peers[name])
    ratios = np.array(times_ms[best]) / np.array(times_ms["tubelet"])
    return {
        "median_ms": medians,
        "all_ms": times_ms,
        "best_peer": best,
        "speed_against_best_peer": peers[best] / medians["tubelet"],
        "round_by_round_ratio": {"low": float(np.quantile(ratios, 0.1)), "high": float(np.quantile(ratios, 0.9))},
    }


def judge(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The targets, each with the number measured."""
    verdicts = {}
    for name, case in results["cases"].items():
        least = 0.8 if name.startswith("short") else 1.0
        ratio = case["speed_against_best_peer"]
        verdicts[f"{name}: speed against {case['best_peer']}"] = {
            "value": ratio,
            "least": least,
            "holds": ratio >= least,
        }
        off = case["frames_off"]["tubelet"]
        verdicts[f"{name}: frames differ from ffmpeg's by"] = {"value": off, "most": 0.0, "holds": off == 0.0}
    for how, least in (("uniform 16", 10.0), ("dense 32", 30.0)):
        case = results["cases"][f"long, {how}"]
        ratio = case["full_decode_ms"] / case["median_ms"]["tubelet"]
        verdicts[f"long, {how}: speed against full decode"] = {"value": ratio, "least": least, "holds": ratio >= least}
    return verdicts


def table(results: dict[str, Any]) -> str:
    names = list(methods())
    lines = ["| median ms | " + " | ".join(names) + " | tubelet against best peer |"]
    lines.append("| --- |" + " --- |" * (len(names) + 1))
    for case_name, case in results["cases"].items():
        cells = [f"{case['median_ms'][name]:.0f}" if name in case["median_ms"] else "(slow)" for name in names]
        lines.append(f"| {case_name} | " + " | ".join(cells) + f" | {case['speed_against_best_peer']:.2f}x |")
    lines.append("")
    for name, verdict in results["targets"].items():
        limit = f">= {verdict['least']}" if "least" in verdict else f"<= {verdict['most']}"
        lines.append(f"{'yes' if verdict['holds'] else 'NO '}  {name}: {verdict['value']:.2f} ({limit})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="measured repetitions of each case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cut-every", type=int, default=5, help="seconds between scene changes; 0: none in the file")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "out" / "benchmarks" / "decode", help="where the videos are made"
    )
    parser.add_argument("--report", type=Path, default=REPORT)
    arguments = parser.parse_args()
    peers = require_peers()
    arguments.work.mkdir(parents=True, exist_ok=True)
    load_before = os.getloadavg()[0]
    results = measure(arguments.work, arguments.rounds, arguments.seed, arguments.cut_every)
    results["targets"] = judge(results)
    versions = peers | {name: importlib.metadata.version(name) for name in ("tubelet", "av", "numpy", "torch")}
    report = {
        "schema": "tubelet.benchmark.decode/1",
        "command": f"python benchmarks/speed/decode.py --rounds {arguments.rounds} --seed {arguments.seed} "
        f"--cut-every {arguments.cut_every}",
        "seed": arguments.seed,
        "rounds": arguments.rounds,
        "cut_every_s": arguments.cut_every,
        "machine": {
            "processor": platform.machine(),
            "num_cores": os.cpu_count(),
            "system": platform.platform(),
            "load_before": load_before,
            "load_after": os.getloadavg()[0],
        },
        "versions": versions | {"python": platform.python_version()},
        "output": f"uint8 RGB, short side {SHORT_SIDE}; opening the file included",
        "files": [vars(spec) for spec in FILES],
        **results,
    }
    write_json(arguments.report, report)
    print(table(results))
    print(f"report: {arguments.report}")


if __name__ == "__main__":
    main()
