"""Multi-view evaluation: `predict_clips` beside the loop that takes one view at a time, with equal scores.

Both give X3D-XS (random weights, seeded) the same views of the same clips, decoding included, and write what it says.
The plain loop opens the file, decodes the pictures of one view, cuts one crop and runs the network on it, view after
view, with the same reader and all threads for the network. The two take turns; the order changes from round to round.

    python benchmarks/speed/evaluation.py --rounds 5

Writes benchmarks/reports/evaluation.json and prints its table.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from tubelet.datasets.labelled import LabelledClip
from tubelet.datasets.sampling import Sampling
from tubelet.evaluation.protocol import ClipTruth, Header, ViewProtocol
from tubelet.runs import markdown_table, write_json
from tubelet.video import VideoReader
from tubelet.video.transform import centre_crop, three_crops

if (
    TYPE_CHECKING
):  # workers import this file as their main program; like the command, it brings torch where it is needed
    from tubelet.evaluation.writing import PredictionsWriter

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "reports" / "evaluation.json"
NUM_CLASSES, TARGET, GREATEST_DIFFERENCE = 20, 3.0, 1e-5
SAMPLING = Sampling(num_frames=4, step_s=0.4, size_px=160)
PROTOCOLS = {"5 x 1": (5, 1), "10 x 3": (10, 3)}


def make_clips(folder: Path, number: int, seed: int) -> list[LabelledClip]:
    """Clips of 10 s, 320 x 240 pixels, 25 frames per second, moving texture."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:240, 0:320].astype(np.float32)
    clips = []
    for index in range(number):
        generator = np.random.default_rng([seed, index])
        waves = generator.uniform(5, 30, 6)
        path = folder / f"{index:03d}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for moment in range(250):
                image = np.stack(
                    [128 + 90 * np.sin(x / waves[c] + y / waves[c + 3] + moment * 0.2 * (c + 1)) for c in range(3)], -1
                )
                frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
                frame.pts, frame.time_base = moment, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        clips.append(
            LabelledClip(id=path.name, path=path, labels=(index % NUM_CLASSES,), group=path.name, split="test")
        )
    return clips


def predictor(num_classes: int) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    from tubelet.models.x3d import x3d_xs

    torch.manual_seed(0)
    network = x3d_xs(num_classes).eval()
    mean = torch.tensor(network.mean)[:, None, None, None]
    std = torch.tensor(network.std)[:, None, None, None]

    @torch.inference_mode()
    def predict(views: np.ndarray) -> np.ndarray:
        video = torch.from_numpy(views).permute(0, 4, 1, 2, 3).float() / 255
        return network((video - mean) / std).numpy()

    return predict


def naive(
    clips: list[LabelledClip],
    predict: Callable[[np.ndarray], np.ndarray],
    writer: "PredictionsWriter",
    num_views: int,
    num_crops: int,
) -> None:
    """One view at a time."""
    for clip in clips:
        logits = []
        for view in range(num_views):
            for crop in range(num_crops):
                with VideoReader(clip.path, num_threads=1) as reader:
                    duration_s = reader.info.duration_s
                    times_s = SAMPLING.view_times(duration_s, num_views)[view]
                    frames = reader.frames_at(times_s, short_side=SAMPLING.size_px).frames
                cut = (
                    three_crops(frames, SAMPLING.size_px)
                    if num_crops == 3
                    else (centre_crop(frames, SAMPLING.size_px),)
                )
                logits.append(predict(np.ascontiguousarray(cut[crop])[None])[0])
        truth = ClipTruth(id=clip.id, path=clip.path.name, group=clip.group, labels=clip.labels, duration_s=duration_s)
        writer.write(truth, np.stack(logits))


def batched(
    clips: list[LabelledClip],
    predict: Callable[[np.ndarray], np.ndarray],
    writer: "PredictionsWriter",
    num_views: int,
    num_crops: int,
    num_workers: int,
) -> None:
    from tubelet.datasets.loader import load_views
    from tubelet.evaluation.predict import predict_clips

    viewed = load_views(clips, SAMPLING, num_views=num_views, num_crops=num_crops, num_workers=num_workers)
    predict_clips(viewed, predict, writer, root=clips[0].path.parent, views_per_batch=16)


def logits_of(path: Path) -> np.ndarray:
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return np.array([line["logits"] for line in sorted(lines, key=lambda line: line["id"])])


def measure(clips: list[LabelledClip], work: Path, rounds: int, num_workers: int) -> dict[str, Any]:
    from tubelet.evaluation.writing import PredictionsWriter

    predict = predictor(NUM_CLASSES)
    results: dict[str, Any] = {}
    for name, (num_views, num_crops) in PROTOCOLS.items():
        header = Header(
            classes=tuple(f"class {index}" for index in range(NUM_CLASSES)),
            dataset="moving texture",
            dataset_fingerprint="",
            split="test",
            num_expected=len(clips),
            protocol=ViewProtocol(
                num_clips=num_views, num_crops=num_crops, num_frames=4, step_s=0.4, size_px=160, decoder="PyAV"
            ),
            model={"name": "X3D-XS"},
        )
        seconds: dict[str, list[float]] = {"one view at a time": [], "tubelet": []}
        files: dict[str, Path] = {}
        for turn in range(rounds + 1):  # the first one warms up
            for method in sorted(seconds, reverse=bool(turn % 2)):
                files[method] = work / f"{method.replace(' ', '_')}.jsonl"
                files[method].unlink(missing_ok=True)
                began_s = time.perf_counter()
                with PredictionsWriter(files[method], header) as writer:
                    if method == "tubelet":
                        batched(clips, predict, writer, num_views, num_crops, num_workers)
                    else:
                        naive(clips, predict, writer, num_views, num_crops)
                if turn:
                    seconds[method].append(time.perf_counter() - began_s)
        difference = float(np.abs(logits_of(files["tubelet"]) - logits_of(files["one view at a time"])).max())
        ratios = [slow / fast for slow, fast in zip(seconds["one view at a time"], seconds["tubelet"], strict=True)]
        results[name] = {
            "seconds": seconds,
            "clips_per_s": {method: len(clips) / statistics.median(each) for method, each in seconds.items()},
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            "greatest_difference_of_logits": difference,
            "meets_target": statistics.median(ratios) >= TARGET and difference <= GREATEST_DIFFERENCE,
        }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measured repetitions")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2, help="processes that decode for tubelet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "benchmarks" / "evaluation")
    parser.add_argument("--report", type=Path, default=REPORT)
    arguments = parser.parse_args()
    import torch

    shutil.rmtree(arguments.work, ignore_errors=True)
    clips = make_clips(arguments.work / "clips", arguments.clips, arguments.seed)
    load_before = os.getloadavg()[0]
    results = measure(clips, arguments.work, arguments.rounds, arguments.workers)
    report = {
        "schema": "tubelet.benchmark.evaluation/1",
        "command": f"python benchmarks/speed/evaluation.py --rounds {arguments.rounds} --clips {arguments.clips} "
        f"--workers {arguments.workers} --seed {arguments.seed}",
        "what": "X3D-XS, 4 frames of 160 x 160 pixels, clips of 10 s of 320 x 240 H.264; decoding, network and writing",
        "target": f"{TARGET} times one view at a time, logits equal to {GREATEST_DIFFERENCE}",
        "num_clips": len(clips),
        "num_threads": torch.get_num_threads(),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "machine": {
            "processor": platform.machine(),
            "num_cores": os.cpu_count(),
            "system": platform.platform(),
            "load_before": load_before,
            "load_after": os.getloadavg()[0],
        },
        "versions": {name: importlib.metadata.version(name) for name in ("tubelet", "av", "numpy", "torch")}
        | {"python": platform.python_version()},
        "results": results,
    }
    write_json(arguments.report, report)
    rows = [
        (
            name,
            *(f"{one['clips_per_s'][method]:.2f}" for method in ("one view at a time", "tubelet")),
            f"{one['ratio']:.2f}",
            f"{one['greatest_difference_of_logits']:.1e}",
        )
        for name, one in results.items()
    ]
    header = ("views x crops", "one view at a time, clips/s", "tubelet, clips/s", "ratio", "greatest difference")
    print("\n".join(markdown_table(header, rows, align="lrrrr")))
    print(f"report: {arguments.report}")


if __name__ == "__main__":
    main()
