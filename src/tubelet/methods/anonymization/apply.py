"""`tubelet anonymization apply`: a video in, a hidden video out, with its mask and a page that shows both."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from jaxtyping import Bool, UInt8

from tubelet.errors import OutputExistsError, VideoWriteError
from tubelet.methods.anonymization.followed import Found
from tubelet.methods.anonymization.footage import HiddenFrame, Hider, Span
from tubelet.methods.anonymization.masks import union_visibility
from tubelet.runs import write_json
from tubelet.runs.progress import Task
from tubelet.video import Source, VideoReader, VideoWriter, read_frames
from tubelet.video.audio import copy_audio
from tubelet.video.writer import pixel_aspect_of

MASKS_SCHEMA = "tubelet.anonymization_masks/1"
_QUALITY = 18  # near lossless: what the encoder smears across the edge of a mask stays small
_IN_FLIGHT = 12  # pictures that wait for the encoder
_SHOWN = 4  # moments on the page
_SHOWN_WIDTH = 420

Sound = Literal["left out", "copied", "none in the source"]


@dataclass(kw_only=True)
class Applied:
    """What was done to one video.

    Attributes:
        source: As the user named it.
        video_path: The hidden video.
        masks_path: Its mask.
        num_frames: Frames.
        duration_s: Time of the last frame.
        tubelets_kept: Share of the tubelets that stayed; None where none were pruned, as nobody was found to prune
            round.
        prunes_round_people: Whether these are tubelets of squares that go with people, and not of whole pictures.
        pixels_kept: Share of the pixels that stayed.
        flicker: Share of the tubelets' places that change from one time step to the next.
        union_visibility: Share of the tubelets' places that are visible at least once in the whole video; of squares
            that go with people, in the mean over people.
        union_visibility_per_window: Likewise at least once in a window of frames that the network sees at once, in the
            mean over these windows.
        window_frames: How many frames such a window has.
        num_repeated: How many frames of the last window were missing and stood in for by the video's last frame.
        is_shorter_than_window: Whether that window is the only one: the network never saw as many different frames as
            it was trained on.
        num_person_looks: Frames in which people were looked for.
        sound: What became of the sound.
        moments: Pictures for the page: time, original, mask, result.
    """

    source: str
    video_path: Path
    masks_path: Path
    num_frames: int = 0
    duration_s: float = 0.0
    tubelets_kept: float | None = None
    prunes_round_people: bool = False
    pixels_kept: float = 1.0
    flicker: float | None = None
    union_visibility: float | None = None
    union_visibility_per_window: float | None = None
    window_frames: int | None = None
    num_repeated: int = 0
    is_shorter_than_window: bool = False
    num_person_looks: int = 0
    sound: Sound = "left out"
    moments: list[tuple[float, UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]] = (
        field(default_factory=list)
    )

    @property
    def has_removed_nothing(self) -> bool:
        """Whether the result shows all that the original does."""
        return self.pixels_kept == 1.0


def output_paths(stem: str, out: Path) -> tuple[Path, Path]:
    """Names of the hidden video and its mask."""
    return out / f"{stem}.anonymized.mp4", out / f"{stem}.masks.json"


def require_free(paths: Iterable[Path]) -> None:
    """See that no result is in the way.

    Raises:
        OutputExistsError: One is.
    """
    for path in paths:
        if path.exists():
            raise OutputExistsError(f"{path} is there already; give another folder, or --overwrite to replace it")


def hide_video(
    source: Source, hider: Hider, stem: str, out: Path, *, facts: dict[str, Any], keep_audio: bool, line: Task
) -> Applied:
    """Hide one video and write it with its mask.

    Reading, the networks and encoding run side by side. The files appear when all is written; a video that cannot be
    read to its end leaves none.

    Args:
        source: A file.
        hider: How.
        stem: Of the files' names.
        out: An existing folder.
        facts: Settings, for the mask's file.
        keep_audio: Whether the sound is copied; it can name people as well as a picture.
        line: Of the progress display.

    Raises:
        VideoReadError: The video cannot be read, or not to its end.
        VideoWriteError: The result cannot be written.
    """
    video_path, masks_path = output_paths(stem, out)
    for old in (video_path, masks_path):  # a weaker result must not stay where a new one fails
        old.unlink(missing_ok=True)
    with VideoReader(source.name) as reader:
        info = reader.info
    spans: list[Span] = []
    hider.on_span = spans.append
    applied = Applied(source=source.label, video_path=video_path, masks_path=masks_path)
    shown_at = {round(share * info.duration_s, 3) for share in (np.arange(_SHOWN) + 0.5) / _SHOWN}
    if keep_audio:
        applied.sound = "copied" if info.has_audio else "none in the source"
    silent = out / f".{stem}.{os.getpid()}.silent.mp4" if applied.sound == "copied" else video_path
    fps = min(1000.0, max(1e-3, info.average_fps or 30.0))
    num_pixels = kept_pixels = 0
    frames = read_frames(source, prefetch=8)
    try:
        with (
            VideoWriter(
                silent,
                width=info.width,
                height=info.height,
                fps=fps,
                quality=_QUALITY,
                pixel_aspect=pixel_aspect_of(info),
            ) as writer,
            ExitStack() as stack,  # the encoder's thread ends before its file is closed, also after Ctrl-C
        ):
            encoded = stack.enter_context(closing(_encoded(hider.run(frames), (info.height, info.width), writer)))
            for done in encoded:
                num_pixels += done.hidden.size
                kept_pixels += done.hidden.size - int(done.hidden.sum())
                applied.num_frames += 1
                applied.duration_s = done.frame.time_s
                due = {time_s for time_s in shown_at if time_s <= done.frame.time_s}
                if due:
                    shown_at -= due
                    applied.moments.append(_moment(done))
                line.advance()
        if silent != video_path:
            copy_audio(source.name, silent, video_path, start_s=info.start_pts_s)
    finally:
        if silent != video_path:
            with suppress(FileNotFoundError):
                silent.unlink()
    applied.pixels_kept = kept_pixels / max(1, num_pixels)
    looks = [] if hider.people is None else hider.people.history
    applied.num_person_looks = len(looks)
    if hider.anonymizer is not None:
        applied.window_frames = hider.anonymizer.network.shape.num_frames
        applied.prunes_round_people = hider.is_shown_people
        applied.num_repeated = hider.repeated[-1] if hider.repeated else 0
        applied.is_shorter_than_window = hider.repeated[:1] != [0]
    _note_spans(applied, spans)
    write_json(masks_path, {"schema": MASKS_SCHEMA, **facts, **_masks(applied, spans, looks)})
    return applied


def _encoded(frames: Iterator[HiddenFrame], size: tuple[int, int], writer: VideoWriter) -> Generator[HiddenFrame]:
    """The frames, each given to the encoder in a thread of its own while the next is made."""
    with ThreadPoolExecutor(1, thread_name_prefix="tubelet-encode") as pool:
        waiting: deque[Future[None]] = deque()
        for frame in frames:
            if frame.image.shape[:2] != size:
                raise VideoWriteError(
                    f"{writer.path}: the picture at {frame.frame.time_s:.2f} s is {frame.image.shape[1]}x"
                    f"{frame.image.shape[0]} in a video of {size[1]}x{size[0]}; bring it to one size first"
                )
            waiting.append(pool.submit(writer.write, frame.image, frame.frame.time_s))
            if len(waiting) > _IN_FLIGHT:
                waiting.popleft().result()
            yield frame
        for future in waiting:
            future.result()


def _note_spans(applied: Applied, spans: list[Span]) -> None:
    """What the masks over tubelets leave visible, and how restless they are."""
    if not spans:
        return
    applied.tubelets_kept = float(np.mean([span.kept for span in spans]))
    # Of the whole picture, or of each person: a square goes with a person, so that its places are parts of the body.
    seen: dict[int | None, list[Span]] = {}
    for span in spans:
        seen.setdefault(None if span.path is None else span.path.person, []).append(span)
    masks = [np.stack([span.kept for span in each]) for each in seen.values()]
    changes = np.concatenate([(mask[1:] != mask[:-1]).ravel() for mask in masks])
    applied.flicker = float(changes.mean()) if len(changes) else 0.0
    applied.union_visibility = float(np.mean([_union(mask) for mask in masks]))
    windows = [
        _union(mask[np.array([span.window for span in each]) == window])
        for mask, each in zip(masks, seen.values(), strict=True)
        for window in {span.window for span in each}
    ]
    applied.union_visibility_per_window = float(np.mean(windows))


def _union(kept: Bool[np.ndarray, "steps rows columns"]) -> float:
    return float(union_visibility(torch.from_numpy(kept)[None])[0])


def _masks(applied: Applied, spans: list[Span], looks: list[Found]) -> dict[str, Any]:
    return {
        "source": Path(applied.source).name,
        "num_frames": applied.num_frames,
        "sound": applied.sound,
        "tubelets_kept": applied.tubelets_kept,
        "prunes_round_people": applied.prunes_round_people,
        "pixels_kept": applied.pixels_kept,
        "flicker": applied.flicker,
        "has_removed_nothing": applied.has_removed_nothing,
        "union_visibility": applied.union_visibility,
        "union_visibility_per_window": applied.union_visibility_per_window,
        "window_frames": applied.window_frames,
        "num_repeated": applied.num_repeated,
        "is_shorter_than_window": applied.is_shorter_than_window,
        "grid": list(spans[0].kept.shape) if spans else None,
        "spans": [
            {
                "start_s": round(span.start_s, 6),
                "end_s": round(span.end_s, 6),
                "kept": ["".join("1" if cell else "0" for cell in row) for row in span.kept],
                **_where(span),
            }
            for span in spans
        ],
        "people": [
            {
                "time_s": round(look.time_s, 6),
                "boxes_px": look.boxes_px.astype(float).round(1).tolist(),
                "faces_px": look.faces_px.astype(float).round(1).tolist(),
            }
            for look in looks
        ],
    }


def _where(span: Span) -> dict[str, Any]:
    """Where a person's square is when the step begins, and at each later look that it covers."""
    path = span.path
    if path is None:
        return {}
    times_s = [span.start_s, *(float(time_s) for time_s in path.times_s if span.start_s < time_s < span.end_s)]
    squares = [{"time_s": round(time_s, 6), "x0_y0_side_px": list(path.at(time_s))} for time_s in times_s]
    return {"person": path.person, "squares": squares}


def _moment(done: HiddenFrame) -> tuple[float, Any, Any, Any]:
    height, width = done.image.shape[:2]
    size = (_SHOWN_WIDTH, max(1, round(height * _SHOWN_WIDTH / width)))
    mask = np.where(done.hidden[..., None], np.uint8(20), np.uint8(235)).repeat(3, axis=2)
    small = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (done.frame.image, mask, done.image)]
    return done.frame.time_s, small[0], small[1], small[2]
