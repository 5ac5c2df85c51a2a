"""Loading batches of clips for training: tubelet beside three ways to do it with a torch DataLoader, in one run.

The work is the same for all: 16 pictures, two apart, from a random place of a clip, short side brought to 224 pixels,
the middle 224 x 224 cut out; batches of 8, as normalised float32 (batch, 3, time, height, width). Two worker processes
on two cores. The ways:

- tubelet: `ClipLoader`;
- transformers: the loop of its video classification guide: PyAV decodes all pictures up to the last one that is wanted,
  its image processor resizes, cuts and normalises;
- pyav: the same decoding, with OpenCV's resize, which is much quicker than that processor;
- decord and torchcodec: their readers with one thread in each worker, OpenCV's resize.

Everybody is measured in the steady state: from the fifth batch on, while workers go on reading ahead. What it takes to
get the first batch is told apart. The ways take turns, in a new order in every round, so that a busy machine slows all
of them. Every ratio is that of the rounds' medians.

    apt-get install ffmpeg                              # its shared libraries, for torchcodec
    pip install -c constraints.txt '.[bench,test]' transformers
    python benchmarks/speed/loader.py --rounds 7

A peer that is not there is an error that says how to install it. Writes benchmarks/reports/loader.json and prints its
table.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from decode import FILES, ROOT, VideoSpec, make_file, require_peers
from torch.utils.data import DataLoader, Dataset

from tubelet.datasets.labelled import ClipSet, LabelledClip
from tubelet.datasets.loader import ClipLoader
from tubelet.datasets.order import EpochOrder
from tubelet.datasets.sampling import Sampling
from tubelet.runs.files import write_json
from tubelet.video import read_clip

NUM_FRAMES, STRIDE, SIZE_PX, BATCH_SIZE, NUM_WORKERS = 16, 2, 224, 8, 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WARM_UP_BATCHES = 4
NUM_FILES = 4
REPORT = ROOT / "benchmarks" / "reports" / "loader.json"
Read = Callable[[Path, int], np.ndarray]


def peer_versions() -> dict[str, str]:
    """Versions of all peers; exits with the install line when one is missing."""
    try:
        return {"transformers": importlib.metadata.version("transformers")} | require_peers()
    except importlib.metadata.PackageNotFoundError:
        sys.exit("missing: transformers; run: pip install -c constraints.txt '.[bench,test]' transformers")


def squares(images: list[np.ndarray]) -> np.ndarray:
    """Full-size pictures with the short side at 224 pixels, and the middle of them."""
    height, width = images[0].shape[:2]
    scale = SIZE_PX / min(height, width)
    size = (round(width * scale), round(height * scale))
    left, top = (size[0] - SIZE_PX) // 2, (size[1] - SIZE_PX) // 2
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
    return np.stack([image[top : top + SIZE_PX, left : left + SIZE_PX] for image in small])


def all_up_to_the_last(path: Path, first: int) -> list[np.ndarray]:
    """The guide's loop: every picture is decoded from the beginning on."""
    wanted = set(range(first, first + NUM_FRAMES * STRIDE, STRIDE))
    pictures = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number > max(wanted):
                break
            if number in wanted:
                pictures.append(frame)
        return [picture.to_ndarray(format="rgb24") for picture in pictures]


def with_pyav(path: Path, first: int) -> np.ndarray:
    return squares(all_up_to_the_last(path, first))


def with_decord(path: Path, first: int) -> np.ndarray:
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    return squares(list(reader.get_batch(range(first, first + NUM_FRAMES * STRIDE, STRIDE)).asnumpy()))


def with_torchcodec(path: Path, first: int) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    return squares(list(decoder.get_frames_at(list(range(first, first + NUM_FRAMES * STRIDE, STRIDE))).data.numpy()))


def with_torchcodec_approximate(path: Path, first: int) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
    return squares(list(decoder.get_frames_at(list(range(first, first + NUM_FRAMES * STRIDE, STRIDE))).data.numpy()))


READERS: dict[str, Read] = {
    "pyav": with_pyav,
    "decord": with_decord,
    "torchcodec": with_torchcodec,
    "torchcodec approximate": with_torchcodec_approximate,
}
NAMES = ("tubelet", "transformers", *READERS)


class Clips(Dataset[torch.Tensor]):
    """Random views, for a DataLoader: `item` counts draws and not files, so that it never ends."""

    def __init__(self, paths: list[Path], spec: VideoSpec, name: str, seed: int) -> None:
        self.paths, self.spec, self.name, self.seed = paths, spec, name, seed
        self.processor: Any = None

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, item: int) -> torch.Tensor:
        path = self.paths[item % len(self.paths)]
        room = self.spec.fps * self.spec.duration_s - NUM_FRAMES * STRIDE
        first = int(np.random.default_rng((self.seed, item)).integers(0, room))
        if self.name != "transformers":
            return torch.from_numpy(READERS[self.name](path, first))
        if self.processor is None:
            from transformers.utils import logging

            logging.set_verbosity_error()  # else it says at the import that torchvision is not there
            from transformers import VideoMAEImageProcessor

            self.processor = VideoMAEImageProcessor(image_mean=MEAN, image_std=STD)
        values = self.processor(all_up_to_the_last(path, first), return_tensors="pt")["pixel_values"]
        return values[0].transpose(0, 1)


def one_thread_each(_: int) -> None:
    cv2.setNumThreads(1)


def normalised(frames: torch.Tensor) -> torch.Tensor:
    """What everybody's uint8 batch becomes, in the consumer's process."""
    video = torch.empty((len(frames), 3, *frames.shape[1:4]))
    video.copy_(frames.permute(0, 4, 1, 2, 3))
    for colour in range(3):
        video[:, colour].sub_(255 * MEAN[colour]).div_(255 * STD[colour])
    return video


def batches_of(name: str, paths: list[Path], spec: VideoSpec, seed: int) -> Iterator[torch.Tensor]:
    """Endless batches; closing the iterator ends its workers."""
    if name == "tubelet":
        clips = tuple(LabelledClip(id=path.name, path=path, labels=(0,), group=path.name) for path in paths)
        sampling = Sampling(num_frames=NUM_FRAMES, step_s=STRIDE / spec.fps, size_px=SIZE_PX)
        clip_set = ClipSet(name="benchmark", root=paths[0].parent, classes=("any",), clips=clips)
        order = EpochOrder(len(clips), batch_size=BATCH_SIZE, seed=seed)
        with ClipLoader(clip_set, order, sampling, seed=seed, num_workers=NUM_WORKERS) as loader:
            step = 0
            while True:
                yield normalised(loader.batch_at(step).frames)
                step += 1
    with warnings.catch_warnings(action="ignore"):
        loader = DataLoader(
            Clips(paths, spec, name, seed),
            batch_size=BATCH_SIZE,
            num_workers=NUM_WORKERS,
            worker_init_fn=one_thread_each,
        )
        for batch in loader:
            yield batch if name == "transformers" else normalised(batch)


def measure_one(name: str, paths: list[Path], spec: VideoSpec, seed: int, num_batches: int) -> tuple[float, float]:
    """Clips per second in the steady state, and seconds to the first batch."""
    batches = batches_of(name, paths, spec, seed)
    began_s = time.perf_counter()
    first = next(batches)
    first_s = time.perf_counter() - began_s
    if first.shape != (BATCH_SIZE, 3, NUM_FRAMES, SIZE_PX, SIZE_PX) or first.dtype != torch.float32:
        raise RuntimeError(f"{name} gave {first.dtype} {tuple(first.shape)}")
    for _ in range(WARM_UP_BATCHES - 1):
        next(batches)
    began_s = time.perf_counter()
    for _ in range(num_batches):
        next(batches)
    spent_s = time.perf_counter() - began_s
    batches.close()  # type: ignore[attr-defined]
    return num_batches * BATCH_SIZE / spent_s, first_s


def differences(paths: list[Path], spec: VideoSpec) -> dict[str, float]:
    """How far each reader's pictures are from tubelet's after the same resize, mean of grey levels: 0 is the same."""
    first = 3 * spec.fps
    times_s = (np.arange(first, first + NUM_FRAMES * STRIDE, STRIDE) + 0.25) / spec.fps
    ours = squares(list(read_clip(paths[0], times_s).frames)).astype(np.int16)
    return {name: float(np.abs(ours - read(paths[0], first)).mean()) for name, read in READERS.items()}


def measure(folder: Path, rounds: int, seed: int, num_batches: int) -> dict[str, Any]:
    cases: dict[str, Any] = {}
    generator = np.random.default_rng(seed)
    for spec in FILES[:2]:
        paths = [make_file(spec, folder, seed + number, 5) for number in range(NUM_FILES)]
        off = differences(paths, spec)
        for name in NAMES:  # once unmeasured: file cache and libraries
            measure_one(name, paths, spec, seed, num_batches=2)
        rates: dict[str, list[float]] = {name: [] for name in NAMES}
        firsts: dict[str, list[float]] = {name: [] for name in NAMES}
        for number in range(rounds):
            for index in generator.permutation(len(NAMES)).tolist():
                rate, first_s = measure_one(NAMES[index], paths, spec, seed + number, num_batches)
                rates[NAMES[index]].append(rate)
                firsts[NAMES[index]].append(first_s)
        cases[spec.name] = summary(rates, firsts) | {"pictures_differ_from_tubelets_by": off}
        print(f"{spec.name}: {cases[spec.name]['speed_against']}", file=sys.stderr)
    return {"cases": cases}


def summary(rates: dict[str, list[float]], firsts: dict[str, list[float]]) -> dict[str, Any]:
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    ours = np.array(rates["tubelet"])
    ratios = {name: ours / np.array(values) for name, values in rates.items() if name != "tubelet"}
    return {
        "median_clips_per_s": medians,
        "all_clips_per_s": rates,
        "median_s_to_first_batch": {name: float(np.median(values)) for name, values in firsts.items()},
        "speed_against": {name: medians["tubelet"] / medians[name] for name in ratios},
        "round_by_round_ratio": {
            name: {"low": float(np.quantile(values, 0.1)), "high": float(np.quantile(values, 0.9))}
            for name, values in ratios.items()
        },
    }


def judge(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The targets, each with the number measured."""
    targets: dict[str, dict[str, Any]] = {
        f"{case_name}: clips per second against {name}": {"value": ratio, "least": 1.0, "holds": ratio >= 1.0}
        for case_name, case in results["cases"].items()
        for name, ratio in case["speed_against"].items()
    }
    for case_name, case in results["cases"].items():
        for name, off in case["pictures_differ_from_tubelets_by"].items():
            targets[f"{case_name}: {name}'s pictures differ by"] = {"value": off, "most": 0.0, "holds": off == 0.0}
    return targets


def table(results: dict[str, Any]) -> str:
    lines = ["| clips per second | " + " | ".join(NAMES) + " |", "| --- |" + " --- |" * len(NAMES)]
    for case_name, case in results["cases"].items():
        lines.append(
            f"| {case_name} | " + " | ".join(f"{case['median_clips_per_s'][name]:.1f}" for name in NAMES) + " |"
        )
        firsts = case["median_s_to_first_batch"]
        lines.append(f"| {case_name}, s to first batch | " + " | ".join(f"{firsts[name]:.2f}" for name in NAMES) + " |")
    lines.append("")
    for name, verdict in results["targets"].items():
        limit = f">= {verdict['least']}" if "least" in verdict else f"<= {verdict['most']}"
        lines.append(f"{'yes' if verdict['holds'] else 'NO '}  {name}: {verdict['value']:.2f} ({limit})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="measured repetitions of each case")
    parser.add_argument("--batches", type=int, default=12, help="measured batches in each repetition")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work", type=Path, default=ROOT / "out" / "benchmarks" / "decode", help="where the videos are made"
    )
    parser.add_argument("--report", type=Path, default=REPORT)
    arguments = parser.parse_args()
    peers = peer_versions()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    load_before = os.getloadavg()[0]
    results = measure(arguments.work, arguments.rounds, arguments.seed, arguments.batches)
    results["targets"] = judge(results)
    versions = peers | {name: importlib.metadata.version(name) for name in ("tubelet", "av", "numpy", "torch")}
    report = {
        "schema": "tubelet.benchmark.loader/1",
        "command": f"python benchmarks/speed/loader.py --rounds {arguments.rounds} --batches {arguments.batches} "
        f"--seed {arguments.seed}",
        "seed": arguments.seed,
        "rounds": arguments.rounds,
        "batches": arguments.batches,
        "machine": {
            "processor": platform.machine(),
            "num_cores": os.cpu_count(),
            "system": platform.platform(),
            "load_before": load_before,
            "load_after": os.getloadavg()[0],
        },
        "versions": versions | {"python": platform.python_version()},
        "work": f"{NUM_FRAMES} pictures {STRIDE} apart at a random place, {SIZE_PX} px, batches of {BATCH_SIZE} as "
        f"normalised float32; {NUM_WORKERS} workers, {NUM_FILES} files of each kind; opening the file included",
        "files": [vars(spec) for spec in FILES[:2]],
        **results,
    }
    write_json(arguments.report, report)
    print(table(results))
    print(f"report: {arguments.report}")


if __name__ == "__main__":
    main()
