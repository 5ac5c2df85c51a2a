"""Multi-view evaluation: `predict_clips` beside loops that take one view at a time, with equal scores.

All give a network (random weights, seeded) the same views of the same clips, decoding included, and write what it says:

- `naive`: for each view, open the file with PyAV, decode from its beginning to the last picture that is needed, convert
  those, cut one crop, run the network. That is the loop of tutorials.
- `naive, exact seeking`: the same with tubelet's reader, which decodes little but what is needed.
- `tubelet`: the file is decoded once for all views, in worker processes, and the network gets several views at once.

They take turns; the order changes from round to round. What can be gained is bounded by the share of the network: a
small one (three convolutions) shows what reading costs, X3D-XS what is left where a CPU runs a real one. Clips are of
320 x 240 pixels, as in datasets, and of 1280 x 720, as cameras make them.

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
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
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
from tubelet.video.pictures import PictureConverter
from tubelet.video.transform import IMAGENET_MEAN, IMAGENET_STD, centre_crop, three_crops

if (
    TYPE_CHECKING
):  # workers import this file as their main program; like the command, it brings torch where it is needed
    from tubelet.evaluation.writing import PredictionsWriter

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "reports" / "evaluation.json"
NUM_CLASSES, TARGET, GREATEST_DIFFERENCE = 20, 3.0, 1e-5
SAMPLING = Sampling(num_frames=4, step_s=0.4, size_px=160)
METHODS = ("naive", "naive, exact seeking", "tubelet")
SIZES = ((320, 240), (1280, 720))


@dataclass(frozen=True)
class Case:
    """One row of the table: network, size of the files, places in time and crops."""

    network: str
    size: tuple[int, int]
    num_views: int
    num_crops: int

    @property
    def name(self) -> str:
        """As the table shows it."""
        return f"{self.network}, {self.size[0]} x {self.size[1]}, {self.num_views} x {self.num_crops} views"


CASES = (
    Case("small", SIZES[0], 5, 1),
    Case("small", SIZES[0], 10, 3),
    Case("X3D-XS", SIZES[0], 5, 1),
    Case("X3D-XS", SIZES[0], 10, 3),
    Case("X3D-XS", SIZES[1], 10, 3),
)


def make_clips(folder: Path, number: int, size: tuple[int, int], seed: int) -> list[LabelledClip]:
    """Clips of 10 s, 25 frames per second, moving texture."""
    width, height = size
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    clips = []
    for index in range(number):
        generator = np.random.default_rng([seed, index])
        waves = generator.uniform(5, 30, 6)
        path = folder / f"{index:03d}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
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


def predictor(network_name: str) -> Callable[[np.ndarray], np.ndarray]:
    import torch
    from torch import nn

    from tubelet.models.x3d import x3d_xs

    torch.manual_seed(0)
    if network_name == "small":
        layers = [nn.Conv3d(*pair, kernel_size=3, stride=(1, 4, 4), padding=1) for pair in ((3, 8), (8, 16))]
        network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.AdaptiveAvgPool3d(1), nn.Flatten()).eval()
        network.append(nn.Linear(16, NUM_CLASSES))
    else:
        network = x3d_xs(NUM_CLASSES).eval()
    mean, std = (torch.tensor(values)[:, None, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))

    @torch.inference_mode()
    def predict(views: np.ndarray) -> np.ndarray:
        video = torch.from_numpy(views).permute(0, 4, 1, 2, 3).float() / 255
        return network((video - mean) / std).numpy()

    return predict


def with_pyav(path: Path, num_views: int, view: int) -> tuple[np.ndarray, float]:
    """Pictures on display at the times of one view, and the length of the file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        duration_s = float(stream.duration * stream.time_base)
        wanted = SAMPLING.view_times(duration_s, num_views)[view]
        shown: list[av.VideoFrame | None] = [None] * len(wanted)
        for frame in container.decode(stream):
            if frame.time > wanted[-1] + 1e-4:
                break
            for place, time_s in enumerate(wanted):
                if frame.time <= time_s + 1e-4:
                    shown[place] = frame
        convert = PictureConverter(SAMPLING.size_px)
        return np.stack([convert(frame) for frame in shown]), duration_s


def with_seeking(path: Path, num_views: int, view: int) -> tuple[np.ndarray, float]:
    """The same with tubelet's reader."""
    with VideoReader(path, num_threads=1) as reader:
        duration_s = reader.info.duration_s
        times_s = SAMPLING.view_times(duration_s, num_views)[view]
        return reader.frames_at(times_s, short_side=SAMPLING.size_px).frames, duration_s


def naive(
    clips: list[LabelledClip],
    predict: Callable[[np.ndarray], np.ndarray],
    writer: PredictionsWriter,
    protocol: tuple[int, int],
    read: Callable[[Path, int, int], tuple[np.ndarray, float]],
) -> None:
    """One view at a time."""
    num_views, num_crops = protocol
    for clip in clips:
        logits = []
        for view in range(num_views):
            for crop in range(num_crops):
                frames, duration_s = read(clip.path, num_views, view)
                cut = (
                    three_crops(frames, SAMPLING.size_px)[crop]
                    if num_crops == 3
                    else centre_crop(frames, SAMPLING.size_px)
                )
                logits.append(predict(np.ascontiguousarray(cut)[None])[0])
        truth = ClipTruth(id=clip.id, path=clip.path.name, group=clip.group, labels=clip.labels, duration_s=duration_s)
        writer.write(truth, np.stack(logits))


def batched(
    clips: list[LabelledClip],
    predict: Callable[[np.ndarray], np.ndarray],
    writer: "PredictionsWriter",
    protocol: tuple[int, int],
    num_workers: int,
) -> None:
    from tubelet.datasets.loader import load_views
    from tubelet.evaluation.predict import predict_clips

    num_views, num_crops = protocol
    viewed = load_views(clips, SAMPLING, num_views=num_views, num_crops=num_crops, num_workers=num_workers)
    predict_clips(viewed, predict, writer, root=clips[0].path.parent)


def logits_of(path: Path) -> np.ndarray:
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return np.array([line["logits"] for line in sorted(lines, key=lambda line: line["id"])])


def measure(
    files_of: dict[tuple[int, int], list[LabelledClip]], work: Path, rounds: int, num_workers: int, only: str
) -> dict[str, Any]:
    from tubelet.evaluation.writing import PredictionsWriter

    results: dict[str, Any] = {}
    for case in (one for one in CASES if only in one.name):
        print(case.name, file=sys.stderr)
        clips, predict = files_of[case.size], predictor(case.network)
        num_views, num_crops = case.num_views, case.num_crops
        header = Header(
            classes=tuple(f"class {index}" for index in range(NUM_CLASSES)),
            dataset="moving texture",
            dataset_fingerprint="",
            split="test",
            num_expected=len(clips),
            protocol=ViewProtocol(
                num_clips=num_views, num_crops=num_crops, num_frames=4, step_s=0.4, size_px=160, decoder="PyAV"
            ),
            model={"name": case.network},
        )
        seconds: dict[str, list[float]] = {method: [] for method in METHODS}
        files = {method: work / f"{method.replace(' ', '_')}.jsonl" for method in METHODS}
        for turn in range(rounds + 1):  # the first one warms up
            for method in sorted(METHODS, reverse=bool(turn % 2)):
                files[method].unlink(missing_ok=True)
                began_s = time.perf_counter()
                with PredictionsWriter(files[method], header) as writer:
                    if method == "tubelet":
                        batched(clips, predict, writer, (num_views, num_crops), num_workers)
                    else:
                        read = with_pyav if method == "naive" else with_seeking
                        naive(clips, predict, writer, (num_views, num_crops), read)
                if turn:
                    seconds[method].append(time.perf_counter() - began_s)
        said = {method: logits_of(files[method]) for method in METHODS}
        difference = max(float(np.abs(said[method] - said["tubelet"]).max()) for method in METHODS)
        ratios = {
            method: statistics.median(
                slow / fast for slow, fast in zip(seconds[method], seconds["tubelet"], strict=True)
            )
            for method in METHODS
        }
        results[case.name] = {
            "seconds": seconds,
            "clips_per_s": {method: len(clips) / statistics.median(each) for method, each in seconds.items()},
            "ratios": ratios,
            "greatest_difference_of_logits": difference,
            "meets_target": ratios["naive"] >= TARGET and difference <= GREATEST_DIFFERENCE,
        }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measured repetitions")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2, help="processes that decode for tubelet")
    parser.add_argument("--only", default="", help="cases whose names hold this text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "benchmarks" / "evaluation")
    parser.add_argument("--report", type=Path, default=REPORT)
    arguments = parser.parse_args()
    import torch

    shutil.rmtree(arguments.work, ignore_errors=True)
    files_of = {
        size: make_clips(arguments.work / f"clips_{size[0]}", arguments.clips, size, arguments.seed)
        for size in {case.size for case in CASES if arguments.only in case.name}
    }
    load_before = os.getloadavg()[0]
    results = measure(files_of, arguments.work, arguments.rounds, arguments.workers, arguments.only)
    report = {
        "schema": "tubelet.benchmark.evaluation/1",
        "command": f"python benchmarks/speed/evaluation.py --rounds {arguments.rounds} --clips {arguments.clips} "
        f"--workers {arguments.workers} --seed {arguments.seed}"
        + (f" --only '{arguments.only}'" if arguments.only else ""),
        "what": "views of 4 frames of 160 x 160 pixels, clips of 10 s, H.264; decoding, network and writing",
        "target": f"{TARGET} times the naive loop, logits equal to {GREATEST_DIFFERENCE}",
        "num_clips": arguments.clips,
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
            *(f"{one['clips_per_s'][method]:.2f}" for method in METHODS),
            *(f"{one['ratios'][method]:.2f}" for method in METHODS[:2]),
            f"{one['greatest_difference_of_logits']:.1e}",
        )
        for name, one in results.items()
    ]
    header = (
        "network, files, places in time x crops",
        *(f"{method}, clips/s" for method in METHODS),
        "ratio",
        "ratio, seeking",
        "difference",
    )
    print("\n".join(markdown_table(header, rows, align="lrrrrrr")))
    print(f"report: {arguments.report}")


if __name__ == "__main__":
    main()
