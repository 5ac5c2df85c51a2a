"""`tubelet token_pruning viz`: a video with the groups dimmed that a budget removes, and how much stays over time."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tubelet.errors import ConfigError, OutputExistsError, VideoWriteError
from tubelet.methods.token_pruning.chart import share_over_time_svg
from tubelet.methods.token_pruning.deciding import Decider, by_pictures, by_run, kept_groups
from tubelet.methods.token_pruning.page import page_of
from tubelet.runs import Progress, this_command, write_json, write_text
from tubelet.video import Source, VideoReader, VideoWriter, expand_sources, read_frames
from tubelet.video.writer import pixel_aspect_of

SCHEMA = "tubelet.token_pruning_tokens/1"
_QUALITY = 18
_SHOWN = 4  # moments on the page
_SHOWN_WIDTH = 420
_DIM, _LIFT = 0.3, 70  # of removed pixels: contrast that is left, and a grey that black video has too


@dataclass(kw_only=True)
class Kept:
    """What stays of a video.

    Attributes:
        times_s: Of the frames.
        groups: Which groups of each frame stay.
        moments: Time, original and result of some frames.
    """

    times_s: Float[np.ndarray, " time"]
    groups: Bool[np.ndarray, "time rows columns"]
    moments: list[tuple[float, UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]] = field(default_factory=list)

    @property
    def shares(self) -> Float[np.ndarray, " time"]:
        """Share of each frame that stays."""
        shares: Float[np.ndarray, " time"] = self.groups.mean(axis=(1, 2))
        return shares


def show_video(arguments: argparse.Namespace, *, say: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Show what stays of a video.

    Args:
        arguments: Of the command.
        say: Called with what was done.
        warn: Called with what is unusual.

    Raises:
        ConfigError: A setting is not allowed.
        OutputExistsError: A result is in the way.
        VideoReadError: The video cannot be read, or not to its end; nothing is left behind then.
        VideoWriteError: The result cannot be written.
        WeightsError: The run cannot be read.
    """
    _check(arguments)
    source, out = _source(arguments.video), Path(arguments.out)
    stem = Path(source.name).stem
    video_path, document_path, page_path = (out / f"{stem}.tokens.{kind}" for kind in ("mp4", "json", "html"))
    for path in (video_path, document_path, page_path):
        if path.exists() and not arguments.overwrite:
            raise OutputExistsError(f"{path} is there already; give another --out, or --overwrite to replace it")
    decider = _decider(arguments)
    with Progress() as progress:
        kept = _kept(source, decider, arguments, progress)
        out.mkdir(parents=True, exist_ok=True)
        _draw(source, kept, decider, video_path, arguments, progress)
    if len(kept.times_s) == 1 and arguments.budget < 1:
        warn(f"{source.label}: one frame was looked at, and the first frame of a window stays whole")
    settings = _settings(arguments, decider)
    write_json(document_path, _document(source, kept, decider, settings))
    write_text(page_path, _page(source, kept, decider, settings, video_path.name))
    say(
        f"{source.label} -> {video_path}  ({len(kept.times_s)} frames; {kept.groups.mean():.1%} of the groups stay: "
        f"{decider.about})\npage: {page_path}"
    )
    return 0


def dimmed(
    image: UInt8[np.ndarray, "height width 3"], groups: Bool[np.ndarray, "rows columns"], decider: Decider
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with what is removed greyed out.

    Args:
        image: Of any size.
        groups: Which groups stay.
        decider: Knows how groups lie on the picture.
    """
    height, width = image.shape[:2]
    rows, columns = (
        np.arange(size) * patches // size // decider.pool
        for size, patches in zip((height, width), decider.grid, strict=True)
    )
    gone = ~groups[rows[:, None], columns[None]]
    result = np.array(image)
    grey = cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)
    result[gone] = (grey[gone] * _DIM + _LIFT).astype(np.uint8)[:, None]
    return result


def _check(arguments: argparse.Namespace) -> None:
    if not 0 < arguments.budget <= 1:
        raise ConfigError(f"--budget is {arguments.budget:g}; allowed: a share that stays, above 0, to 1")
    if arguments.window is not None and arguments.window < 2:
        raise ConfigError(f"--window is {arguments.window}; allowed: 2 or more, as the first frame of each stays whole")
    start_s, end_s = arguments.start or 0.0, arguments.end
    if start_s < 0 or (end_s is not None and end_s <= start_s):
        raise ConfigError(f"--start is {start_s:g} and --end {end_s}; needed: 0 <= start < end")


def _source(name: str) -> Source:
    found = expand_sources([name])
    if len(found) != 1 or found[0].is_live:
        raise ConfigError(f"VIDEO is {name!r}; allowed: one video file")
    return found[0]


def _decider(arguments: argparse.Namespace) -> Decider:
    if arguments.model is None:
        return by_pictures(arguments.method or "prev_sim", window=arguments.window, seed=arguments.seed)
    from tubelet.methods.token_pruning.train import MODEL_FILE, load

    folder = Path(arguments.model)
    if not (folder / MODEL_FILE).is_file():
        raise ConfigError(
            f"--model is {folder}, which holds no {MODEL_FILE}; give the folder of a finished "
            "`tubelet train token_pruning:RECIPE`"
        )
    return by_run(load(folder)[0], folder.name, arguments.method, window=arguments.window)


def _kept(source: Source, decider: Decider, arguments: argparse.Namespace, progress: Progress) -> Kept:
    """First reading: small frames, and what stays of them."""
    with VideoReader(source.name) as reader:
        total = reader.info.num_frames if arguments.start is None and arguments.end is None else None
    line = progress.add(f"looking at {source.label}", total, "frames")
    frames = read_frames(source, start_s=arguments.start, end_s=arguments.end, prefetch=8)
    found = list(kept_groups(frames, decider, 1 - arguments.budget, on_frame=line.advance))
    line.finish()
    if not found:
        raise ConfigError(
            f"{source.label}: no frame begins from {arguments.start or 0:g} s to before {arguments.end:g} s; "
            "give a longer span"
        )
    times_s, groups = zip(*found, strict=True)
    return Kept(times_s=np.array(times_s), groups=np.stack(groups))


def _draw(
    source: Source,
    kept: Kept,
    decider: Decider,
    path: Path,
    arguments: argparse.Namespace,
    progress: Progress,
) -> None:
    """Second reading: whole frames, dimmed and written; one at a time, so that long videos take no more memory."""
    with VideoReader(source.name) as reader:
        info = reader.info
    total = len(kept.times_s)
    shown = {int((number + 0.5) * total / _SHOWN) for number in range(_SHOWN)}
    line = progress.add(f"drawing {source.label}", total, "frames")
    with VideoWriter(
        path,
        width=info.width,
        height=info.height,
        fps=min(1000.0, max(1e-3, info.average_fps or 30.0)),
        quality=_QUALITY,
        pixel_aspect=pixel_aspect_of(info),
    ) as writer:
        frames = read_frames(source, start_s=arguments.start, end_s=arguments.end, prefetch=8)
        for number, (frame, groups) in enumerate(zip(frames, kept.groups, strict=True)):
            if frame.image.shape[:2] != (info.height, info.width):
                raise VideoWriteError(
                    f"{path}: the picture at {frame.time_s:.2f} s is {frame.image.shape[1]}x{frame.image.shape[0]} in "
                    f"a video of {info.width}x{info.height}; bring it to one size first"
                )
            result = dimmed(frame.image, groups, decider)
            writer.write(result, frame.time_s)
            if number in shown:
                kept.moments.append((frame.time_s, _small(frame.image), _small(result)))
            line.advance()
    line.finish()


def _small(image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "h w 3"]:
    height, width = image.shape[:2]
    size = (_SHOWN_WIDTH, max(1, round(height * _SHOWN_WIDTH / width)))
    small: UInt8[np.ndarray, "h w 3"] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small


def _settings(arguments: argparse.Namespace, decider: Decider) -> dict[str, Any]:
    return {
        "model": None if arguments.model is None else Path(arguments.model).name,
        "method": decider.method,
        "budget": arguments.budget,
        "window_frames": decider.window,
        "start_s": arguments.start,
        "end_s": arguments.end,
        "seed": arguments.seed,
    }


def _document(source: Source, kept: Kept, decider: Decider, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "source": Path(source.name).name,
        "command": this_command(),
        "settings": settings,
        "about": decider.about,
        "group_grid": list(decider.group_grid),
        "num_frames": len(kept.times_s),
        "kept_share": float(kept.groups.mean()),
        "frames": [
            {"time_s": round(float(time_s), 6), "kept": "".join("1" if cell else "0" for cell in groups.ravel())}
            for time_s, groups in zip(kept.times_s, kept.groups, strict=True)
        ],
    }


def _page(source: Source, kept: Kept, decider: Decider, settings: dict[str, Any], video_name: str) -> str:
    places: Sequence[Any] = kept.groups.mean(axis=0)
    height, width = kept.moments[0][1].shape[:2] if kept.moments else (200, 200)
    often = cv2.resize((np.asarray(places) * 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return page_of(
        "viz",
        {
            "title": Path(source.name).name,
            "about": decider.about,
            "video_name": video_name,
            "settings": settings,
            "num_frames": len(kept.times_s),
            "kept_share": float(kept.groups.mean()),
            "grid": decider.group_grid,
            "line": share_over_time_svg(kept.times_s.tolist(), kept.shares.tolist()),
            "often": np.repeat(often[..., None], 3, axis=2),
            "moments": kept.moments,
        },
    )
