"""What is left of an accuracy when the pictures are worse than those of the test set."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal, NamedTuple, get_args

import av
import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from tubelet.errors import ConfigError
from tubelet.evaluation.predictions import Predictions, read_predictions
from tubelet.evaluation.scoring import model_name, share, to_metric
from tubelet.metrics.classification import label_ranks
from tubelet.metrics.paired import paired_difference
from tubelet.runs import Failure, Metric, Report

Frames = UInt8[np.ndarray, "time height width 3"]
Corruption = Literal["compression", "blur", "frame_drop", "brightness", "noise"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
SEVERITIES = (1, 2, 3)

_CRF = (34, 42, 48)  # of H.264, whose default is 23 and whose worst is 51
# Looking ahead, which x264 does in a thread of its own, would give other bytes from time to time.
_REPEATABLE = {"preset": "veryfast", "sc_threshold": "0", "rc-lookahead": "0", "mbtree": "0"}
_BLUR_SHARE = (0.008, 0.016, 0.032)  # standard deviation as a share of the shorter side
_KEEP_EVERY = (2, 4, 8)  # frames
_SHIFT = (0.15, 0.3, 0.45)  # of the full range
_NOISE = (0.06, 0.12, 0.2)  # standard deviation as a share of the full range


class Severity(NamedTuple):
    """One corruption at one severity."""

    kind: Corruption
    level: int

    @property
    def name(self) -> str:
        """As in names of files and metrics: `blur_2`."""
        return f"{self.kind}_{self.level}"


def corrupt(frames: Frames, kind: Corruption, severity: int, generator: np.random.Generator) -> Frames:
    """Pictures of a clip, made worse.

    Args:
        frames: RGB, in order of time.
        kind: "compression" encodes them as H.264 at low quality and decodes them again; "blur" is Gaussian;
            "frame_drop" shows every second, fourth or eighth picture for as long as all of them; "brightness" makes all
            pictures darker or brighter by the same amount; "noise" is Gaussian, new in every pixel and picture.
        severity: 1 (mild) to 3 (strong).
        generator: Source of chance, for `brightness` (darker or brighter) and `noise`.

    Raises:
        ValueError: No such kind or severity.

    Source: the idea, not the constants, of Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common
        Corruptions and Perturbations, 2019.
    Differs: acts on the pictures that the network is given. Pictures that are far apart in time are encoded as if they
        followed each other at 25 per second, which costs more quality than encoding the whole video would.
    """
    if kind not in CORRUPTIONS:
        raise ValueError(f"kind is {kind!r}; allowed: {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity is {severity}; allowed: 1, 2, 3")
    level = severity - 1
    changes: dict[str, Callable[[], Frames]] = {
        "compression": lambda: _recompressed(frames, _CRF[level]),
        "blur": lambda: _blurred(frames, _BLUR_SHARE[level]),
        "frame_drop": lambda: frames[np.arange(len(frames)) // _KEEP_EVERY[level] * _KEEP_EVERY[level]],
        "brightness": lambda: _shifted(frames, _SHIFT[level] if generator.random() < 0.5 else -_SHIFT[level]),
        "noise": lambda: _noisy(frames, _NOISE[level], generator),
    }
    return changes[kind]()


def score_robustness(
    clean: str | os.PathLike[str], corrupted: Mapping[Severity, str | os.PathLike[str]], *, seed: int = 0
) -> Report:
    """Accuracy with each corruption and its difference to clean pictures, over the clips that both have scored.

    Args:
        clean: Predictions file of the evaluation itself.
        corrupted: Predictions files of the same clips, model and views, by what was done to the pictures.
        seed: Of the bootstrap.

    Raises:
        ReportError: A file is missing or damaged.
        ConfigError: A file is about other data or another model, or clips have several labels.
    """
    base = read_predictions(clean)
    if base.header.is_multi_label:
        raise ConfigError("robustness is measured where clips have one label each")
    metrics: dict[str, Metric] = {}
    right = _right(base)
    metrics["top1_clean"] = to_metric(share(np.array(list(right.values()), dtype=bool), base.groups, seed), len(right))
    group_of = {clip.id: clip.group for clip in base.clips}
    table: list[dict[str, Any]] = []
    means: list[float] = []
    lost: dict[str, str] = {}
    for spoilt, path in sorted(corrupted.items()):
        other = read_predictions(path)
        _check_same(base, other, os.fspath(path))
        right_then = _right(other)
        shared = [name for name in right if name in right_then]
        for name in right.keys() - right_then.keys():
            lost.setdefault(name, f"with {spoilt.name}: {other.failed.get(name, 'it has no line in the file')}")
        groups = [group_of[name] for name in shared]
        now = np.array([right_then[name] for name in shared], dtype=bool)
        before = np.array([right[name] for name in shared], dtype=bool)
        difference = paired_difference(now, before, groups, num_resamples=2_000, seed=seed)
        metrics[f"top1_{spoilt.name}"] = to_metric(share(now, groups, seed), len(shared))
        table.append(
            {
                "corruption": spoilt.kind.replace("_", " "),
                "severity": spoilt.level,
                "top1": metrics[f"top1_{spoilt.name}"],
                "difference": to_metric(difference.difference, len(shared)),
                "p_value": difference.p_value if shared else None,
                "num_left_out": len(right) - len(shared),
            }
        )
        if len(now):
            means.append(float(now.mean()))
    metrics["top1_corrupted_mean"] = Metric(value=float(np.mean(means)) if means else None, n=len(means))
    header = base.header
    return Report(
        title=f"{model_name(header)} on {header.dataset}, split {header.split}, with spoilt pictures",
        metrics=metrics,
        num_expected=header.num_expected,
        num_scored=len(base.clips) - len(lost),
        failures=(*base.failures, *(Failure(item=name, reason=lost[name]) for name in sorted(lost))),
        protocol=f"Items are clips. {header.protocol.sentence()} Each corruption acts on the pictures that the network "
        "is given. 95 % intervals from drawing whole groups of clips "
        f"(by {header.protocol.group}) again and again (bootstrap); differences are between the same clips.",
        dataset=f"{header.dataset}, split {header.split}",
        dataset_fingerprint=header.dataset_fingerprint,
        seed=seed,
        versions=header.versions,
        details={"kind": "robustness", "table": table},
    )


def _right(predictions: Predictions) -> dict[str, bool]:
    is_right = label_ranks(predictions.log_probabilities, predictions.labels) == 1
    return dict(zip(predictions.ids, is_right.tolist(), strict=True))


def _check_same(base: Predictions, other: Predictions, where: str) -> None:
    names = ("classes", "is_multi_label", "dataset_fingerprint", "split", "model")
    different = [name for name in names if getattr(base.header, name) != getattr(other.header, name)]
    if replace(other.header.protocol, corruption=base.header.protocol.corruption) != base.header.protocol:
        different.append("protocol")
    if different:
        raise ConfigError(
            f"{where} has another {', '.join(different)} than the clean predictions; evaluate the same run on the same "
            "clips"
        )


def _recompressed(frames: Frames, crf: int) -> Frames:
    """Through an H.264 encoder and back. Odd sizes are filled up for it with the last pixels."""
    num, height, width, _ = frames.shape
    padded = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = padded.shape[2], padded.shape[1], "yuv420p"
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        stream.codec_context.options = {"crf": str(crf), **_REPEATABLE}
        for number, image in enumerate(padded):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(format="yuv420p", threads=1)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    decoded = np.empty_like(padded)
    with av.open(file, "r") as reading:
        reading.streams.video[0].codec_context.thread_count = 1
        for number, frame in enumerate(reading.decode(video=0)):
            decoded[number] = frame.reformat(format="rgb24", threads=1).to_ndarray()
    return np.ascontiguousarray(decoded[:num, :height, :width])


def _blurred(frames: Frames, share_of_side: float) -> Frames:
    sigma = share_of_side * min(frames.shape[1:3])
    return np.stack([cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), sigma) for image in frames])


def _shifted(frames: Frames, share_of_range: float) -> Frames:
    return _bytes(frames + np.float32(255 * share_of_range))


def _noisy(frames: Frames, share_of_range: float, generator: np.random.Generator) -> Frames:
    noise = generator.standard_normal(frames.shape, dtype=np.float32)
    return _bytes(frames + np.float32(255 * share_of_range) * noise)


def _bytes(values: Float32[np.ndarray, "time height width 3"]) -> Frames:
    rounded: Frames = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
