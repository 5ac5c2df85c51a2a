"""The predictions file: what a network said of every clip, from which every number of an evaluation can be made again.

JSON lines. The first says what was evaluated and how; then one line per clip as it is scored, or with the reason why it
could not be. Lines are only ever appended.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float64, Int64

from tubelet.errors import ReportError
from tubelet.evaluation.protocol import ClipTruth, Header, is_count, require
from tubelet.runs import Failure

PREDICTIONS_FILE = "predictions.jsonl"


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """A predictions file, reduced to one row per clip; clips are in the order of their ids.

    Attributes:
        header: The first line.
        clips: Those that were scored.
        log_probabilities: Logarithm of the mean over views of each class's probability (softmax, or sigmoid where a
            clip may have several labels).
        single_view_right: Share of a clip's views that are right alone; NaN where clips may have several labels.
        failed: Why the clips that could not be scored were not, by id.
        num_silent: How many expected clips the file says nothing about.
    """

    header: Header
    clips: tuple[ClipTruth, ...]
    log_probabilities: Float64[np.ndarray, "clips classes"]
    single_view_right: Float64[np.ndarray, " clips"]
    failed: Mapping[str, str]
    num_silent: int

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Everything expected that was not scored."""
        named = (Failure(item=name, reason=self.failed[name]) for name in sorted(self.failed))
        return (*named, *silent(self.num_silent))

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the clips that were scored."""
        return tuple(clip.id for clip in self.clips)

    @property
    def groups(self) -> list[str]:
        """Of the clips that were scored."""
        return [clip.group for clip in self.clips]

    @property
    def labels(self) -> Int64[np.ndarray, " clips"]:
        """The only label of each clip."""
        return np.array([clip.labels[0] for clip in self.clips], dtype=np.int64)

    @property
    def positive(self) -> Bool[np.ndarray, "clips classes"]:
        """Whether a clip has a class."""
        has = np.zeros(self.log_probabilities.shape, dtype=bool)
        for row, clip in zip(has, self.clips, strict=True):
            row[list(clip.labels)] = True
        return has


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Read and check a predictions file; a last line that a killed process left unfinished is ignored.

    Where a clip failed and was tried again, the later line counts.

    Raises:
        ReportError: The file is missing, is no predictions file, or one of its lines is wrong; the line is named.
    """
    scored: dict[str, tuple[ClipTruth, Float64[np.ndarray, " classes"], float]] = {}
    failed: dict[str, str] = {}
    line_of: dict[str, int] = {}
    header: Header | None = None
    number = 0
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    content = _parsed(line)
                except ValueError:
                    if not line.endswith(b"\n"):
                        break  # cut off by a kill
                    raise
                if header is None:
                    header = Header.from_json(content)
                    continue
                clip, logits, reason = _clip_line(content, header)
                if clip.id in scored:
                    raise ValueError(f"clip {clip.id!r} is scored already, in line {line_of[clip.id]}")
                line_of[clip.id] = number
                failed.pop(clip.id, None)
                if logits is None:
                    failed[clip.id] = reason
                else:
                    scored[clip.id] = (clip, *_reduced(logits, clip, header))
    except OSError as error:
        raise ReportError(f"{os.fspath(path)}: predictions cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise ReportError(f"{os.fspath(path)}, line {number}: {error}") from error
    if header is None:
        raise ReportError(f"{os.fspath(path)} has no whole line; evaluate again to make it")
    num_silent = header.num_expected - len(scored) - len(failed)
    if num_silent < 0:
        raise ReportError(
            f"{os.fspath(path)}: {len(scored) + len(failed)} clips, though the first line expects {header.num_expected}"
        )
    rows = [scored[name] for name in sorted(scored)]
    return Predictions(
        header=header,
        clips=tuple(row[0] for row in rows),
        log_probabilities=np.stack([row[1] for row in rows]) if rows else np.zeros((0, len(header.classes))),
        single_view_right=np.array([row[2] for row in rows], dtype=np.float64),
        failed=failed,
        num_silent=num_silent,
    )


def silent(number: int) -> tuple[Failure, ...]:
    """Failures of clips that no line of the file names."""
    reason = "the evaluation was stopped before it; go on by resuming"
    return tuple(
        Failure(item=f"clip without a line, {place} of {number}", reason=reason) for place in range(1, number + 1)
    )


def _parsed(line: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(line)
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from error


def _clip_line(content: object, header: Header) -> tuple[ClipTruth, Float64[np.ndarray, "views classes"] | None, str]:
    """Clip, its logits or None, and else the reason."""
    require(isinstance(content, dict), "the line", "an object")
    line = cast(dict[str, Any], content)
    require(("logits" in line) != ("error" in line), "the line", "either `logits` or `error`")
    unknown = line.keys() - {"id", "path", "group", "labels", "duration_s", "logits", "error"}
    require(not unknown, f"field {', '.join(sorted(unknown))}", "id, path, group, labels, duration_s, logits or error")
    for name in ("id", "group"):
        require(isinstance(line.get(name), str) and line[name] != "", name, "a text that is not empty")
    clip = _clip(line, header)
    if "error" in line:
        require(isinstance(line["error"], str), f"error of {clip.id!r}", "a text")
        return clip, None, line["error"]
    logits = _logits(line["logits"], clip.id, header)
    if not np.isfinite(logits).all():
        return clip, None, "the network's output is not finite (NaN or infinity)"
    return clip, logits, ""


def _clip(line: Mapping[str, Any], header: Header) -> ClipTruth:
    name, duration_s = line["id"], line.get("duration_s")
    labels: Any = line.get("labels")
    require(isinstance(line.get("path", ""), str), f"path of {name!r}", "a text")
    fitting = isinstance(labels, list) and all(is_count(label) and label < len(header.classes) for label in labels)
    rising = fitting and labels == sorted(set(labels))
    require(rising, f"labels of {name!r}", f"rising class numbers, 0 to {len(header.classes) - 1}")
    require(header.is_multi_label or len(labels) == 1, f"labels of {name!r}", "exactly one: the file is single-label")
    is_length = isinstance(duration_s, int | float) and not isinstance(duration_s, bool) and 0 <= duration_s < math.inf
    require(duration_s is None or is_length, f"duration_s of {name!r}", "0 or more seconds, or null")
    return ClipTruth(
        id=name, path=line.get("path", ""), group=line["group"], labels=tuple(labels), duration_s=duration_s
    )


def _logits(rows: Any, clip_id: str, header: Header) -> Float64[np.ndarray, "views classes"]:  # noqa: ANN401 - any JSON
    num_views, num_classes = header.protocol.num_views, len(header.classes)
    numbers = isinstance(rows, list) and all(
        isinstance(row, list) and {type(value) for value in row} <= {int, float} for row in rows
    )
    fitting = numbers and [len(row) for row in rows] == [num_classes] * num_views
    require(fitting, f"logits of {clip_id!r}", f"{num_views} x {num_classes} numbers (views x classes)")
    return np.array(rows, dtype=np.float64)


def _reduced(
    logits: Float64[np.ndarray, "views classes"], clip: ClipTruth, header: Header
) -> tuple[Float64[np.ndarray, " classes"], float]:
    """Logarithm of the mean probability over views, and the share of views that are right alone."""
    if header.is_multi_label:
        each = -np.logaddexp(0.0, -logits)
        right = math.nan
    else:
        each = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        # As in `top_k`: a class that shares the best score with another one earns nothing.
        own = logits[:, [clip.labels[0]]]
        right = float(((logits >= own).sum(axis=1) == 1).mean())
    return np.logaddexp.reduce(each, axis=0) - math.log(len(logits)), right
