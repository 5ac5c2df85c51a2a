"""The annotated video: boxes, skeletons and labels where the people are, and a timeline strip below the picture.

A second pass over the file. Only the pixels of lines, labels and the strip are touched: label plates are made once
and blended into the few pixels they cover, and the strip is drawn once per page of time.
"""

from __future__ import annotations

import bisect
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from time import perf_counter

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from tubelet.errors import VideoReadError
from tubelet.methods.recognition.palette import Colour, ink_on, person_colour
from tubelet.methods.recognition.strip import TimelineStrip
from tubelet.methods.recognition.subtitles import percent
from tubelet.methods.recognition.timeline import Recognition, Segment, TrackRow
from tubelet.methods.recognition.typesetting import Plate, blend, label_plate
from tubelet.skeletons import BLAZEPOSE_33
from tubelet.video import Frame, VideoWriter, read_frames

MIN_VISIBILITY = 0.3
_HEAD_JOINTS = 11  # nose, eyes, ears and mouth: a face full of lines hides who it is
_MAX_PLATES = 256
_PREFETCH = 4  # frames decoded ahead: decoding then runs beside drawing and encoding
DEFAULT_FPS = 25.0
MAX_FPS = 240.0

Image = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class _Pen:
    """Sizes in pixels that follow from the height of the frame."""

    line: int
    text: int
    joint: int

    @classmethod
    def for_frame(cls, width: int, height: int) -> _Pen:
        scale = min(width, height) / 1080
        return cls(line=max(1, round(3 * scale)), text=max(11, round(25 * scale)), joint=max(1, round(4.5 * scale)))

    def for_person(self, height_px: int) -> _Pen:
        """Thinner limbs for people who are small in the picture, so that the person is still seen behind them."""
        return replace(
            self,
            line=min(self.line, max(1, height_px // 110)),
            joint=min(self.joint, max(1, height_px // 75)),
        )


class Annotator:
    """Draws what was recognised into frames of one source.

    Args:
        recognition: What was recognised in the source.
        width: Of the frames, pixels.
        height: Of the frames, pixels.
    """

    def __init__(self, recognition: Recognition, *, width: int, height: int) -> None:
        self._pen = _Pen.for_frame(width, height)
        self._strip = TimelineStrip(recognition, width=width, text_px=max(10, round(self._pen.text * 0.72)))
        self._segments = {track_id: recognition.of_track(track_id) for track_id in recognition.track_ids}
        self._starts = {track_id: [segment.start_s for segment in own] for track_id, own in self._segments.items()}
        self._plates: OrderedDict[tuple[int, str, bool], Plate] = OrderedDict()
        self._height, self._width = height, width
        # Encoders of ordinary video want even sizes; the strip takes up the difference.
        rows = height + self._strip.height
        self._canvas = np.zeros((rows + rows % 2, width + width % 2, 3), np.uint8)

    @property
    def width(self) -> int:
        """Of annotated pictures, pixels."""
        return int(self._canvas.shape[1])

    @property
    def height(self) -> int:
        """Of annotated pictures, strip included, pixels."""
        return int(self._canvas.shape[0])

    def draw(self, frame: Frame, rows: Sequence[TrackRow]) -> Image:
        """One annotated picture.

        Args:
            frame: As decoded; it is not changed.
            rows: Where people are in this frame; may be empty.

        Returns:
            The picture with the strip below it. The same array is used again by the next call.
        """
        picture = self._canvas[: self._height, : self._width]
        if frame.image.shape == picture.shape:
            np.copyto(picture, frame.image)
        else:  # a stream that changes its size on the way: the video keeps the first one
            cv2.resize(frame.image, (self._width, self._height), dst=picture, interpolation=cv2.INTER_AREA)
            rows = [
                _scaled(row, self._width / frame.image.shape[1], self._height / frame.image.shape[0]) for row in rows
            ]
        # Nearer people, who reach lower in the picture, are drawn over those behind them.
        placed = sorted(rows, key=lambda row: row.box_px[3])
        for row in placed:
            self._draw_person(picture, row)
        taken: list[tuple[int, int, int, int]] = []
        for row in reversed(placed):
            self._draw_label(picture, row, taken)
        if 0 in self._segments and (scene := self._segment(0, frame.time_s)) is not None:
            margin = self._pen.text // 2
            blend(picture, self._plate(0, scene), margin, margin)
        self._strip.draw(self._canvas[self._height :, : self._width], frame.time_s)
        return self._canvas

    def _draw_person(self, picture: Image, row: TrackRow) -> None:
        colour = person_colour(row.track_id)
        x0, y0, x1, y1 = (round(value) for value in row.box_px)
        # A box between two measurements far apart is a guess, and thinner. Frames between two poses that follow each
        # other closely still have landmarks: there the line would only flicker.
        is_guess = row.interpolated and row.landmarks_px is None
        thickness = max(1, self._pen.line // 2) if is_guess else self._pen.line
        _rounded_box(picture, (x0, y0, x1 - 1, y1 - 1), colour, thickness)
        if row.landmarks_px is not None:
            self._draw_skeleton(picture, row.landmarks_px, colour, self._pen.for_person(y1 - y0))

    def _draw_skeleton(
        self, picture: Image, landmarks_px: Float32[np.ndarray, "33 3"], colour: Colour, pen: _Pen
    ) -> None:
        seen = landmarks_px[:, 2] >= MIN_VISIBILITY
        # cv2 takes coordinates in sixteenths of a pixel: limbs do not jitter from pixel to pixel.
        points = np.round(landmarks_px[:, :2] * 16).astype(np.int64)
        inside = np.all(np.abs(points) < 16 * 30000, axis=1)
        lines = [
            (tuple(points[a].tolist()), tuple(points[b].tolist()))
            for a, b in _BODY_BONES
            if seen[a] and seen[b] and inside[a] and inside[b]
        ]
        if seen[0] and seen[11] and seen[12] and inside[[0, 11, 12]].all():
            lines.append((tuple(points[0].tolist()), tuple(((points[11] + points[12]) // 2).tolist())))
        # A dark edge first: the colour is then seen on any clothes.
        for start, end in lines:
            cv2.line(picture, start, end, (20, 22, 28), pen.line + 2, cv2.LINE_AA, 4)
        for start, end in lines:
            cv2.line(picture, start, end, colour, pen.line, cv2.LINE_AA, 4)
        for joint in _BODY_JOINTS:
            if seen[joint] and inside[joint]:
                centre = tuple(points[joint].tolist())
                cv2.circle(picture, centre, pen.joint * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)

    def _draw_label(self, picture: Image, row: TrackRow, taken: list[tuple[int, int, int, int]]) -> None:
        """Puts the label above the box, or where it is free nearby, always inside the picture."""
        segments = self._segments.get(row.track_id)
        segment = None if segments is None else self._segment(row.track_id, row.time_s)
        plate = self._plate(row.track_id, segment)
        gap = self._pen.line + 1
        x0, y0, _, y1 = (round(value) for value in row.box_px)
        left = min(max(0, x0), max(0, self._width - plate.width))
        tops = (y0 - gap - plate.height, y1 + gap, y0 + gap, y0 - gap - 2 * plate.height, y0 + gap + plate.height)
        rooms = [(left, top, left + plate.width, top + plate.height) for top in tops]
        fitting = [room for room in rooms if room[1] >= 0 and room[3] <= self._height]
        free = [room for room in fitting if not any(_overlap(room, other) for other in taken)]
        chosen = next(iter(free or fitting), None)
        if chosen is None:  # a box as high as the picture
            chosen = (left, 0, left + plate.width, plate.height)
        taken.append(chosen)
        blend(picture, plate, chosen[0], chosen[1])

    def _segment(self, track_id: int, time_s: float) -> Segment | None:
        own = self._segments[track_id]
        place = bisect.bisect_right(self._starts[track_id], time_s + 1e-6) - 1
        if place < 0 or time_s >= own[place].end_s + 1e-6:
            return None
        return own[place]

    def _plate(self, track_id: int, segment: Segment | None) -> Plate:
        if segment is None:
            text = ""
        elif segment.abstained:
            text = "unknown"
        else:
            text = f"{segment.label.replace('_', ' ')}  {percent(segment.probability)}"
        key = (track_id, text, segment is not None and segment.abstained)
        if key in self._plates:
            self._plates.move_to_end(key)
            return self._plates[key]
        colour = person_colour(track_id)
        number = "" if track_id == 0 else str(track_id)
        plate = label_plate(number, text, colour, ink_on(colour), self._pen.text, is_dim=key[2])
        self._plates[key] = plate
        if len(self._plates) > _MAX_PLATES:
            self._plates.popitem(last=False)
        return plate


class _StoppedError(Exception):
    """Drawing was asked to stop."""


def draw_video(
    source: str,
    rows: Iterable[TrackRow],
    recognition: Recognition,
    out_path: str | os.PathLike[str],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    on_frame: Callable[[], object] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> float | None:
    """Writes the annotated video of a file in a second pass over it.

    Args:
        source: The file that was recognised.
        rows: In order of time, with the frame indices of the first pass.
        recognition: What was recognised.
        out_path: An .mp4 file; it appears only when it is complete.
        start_s: As in the first pass.
        end_s: As in the first pass.
        on_frame: Called after each frame: for progress.
        should_stop: Asked at every frame; when true, drawing ends and no video is written.

    Returns:
        The time in the source at which the annotated video begins, seconds; None if it was stopped. The time spent is
        added to `recognition.timings_s` as `draw` and `encode`; decoding goes on beside them.

    Raises:
        VideoReadError: The file cannot be read to the end; nothing is written then.
        VideoWriteError: The annotated video cannot be written.
    """
    by_frame = RowsByFrame(rows)
    annotator: Annotator | None = None
    writer: VideoWriter | None = None
    offset_s = 0.0
    draw_s = encode_s = 0.0
    with suppress(_StoppedError), ExitStack() as stack:
        for frame in read_frames(source, start_s=start_s, end_s=end_s, prefetch=_PREFETCH):
            if should_stop is not None and should_stop():
                raise _StoppedError  # through the writer, which drops what it has
            start = perf_counter()
            if annotator is None or writer is None:
                annotator = Annotator(recognition, width=frame.image.shape[1], height=frame.image.shape[0])
                size = {"width": annotator.width, "height": annotator.height}
                writer = stack.enter_context(VideoWriter(out_path, **size, fps=_rate(recognition)))
                offset_s = frame.time_s
            image = annotator.draw(frame, by_frame.at(frame.index))
            drawn = perf_counter()
            writer.write(image, frame.time_s)
            encode_s += perf_counter() - drawn
            draw_s += drawn - start
            if on_frame is not None:
                on_frame()
    if should_stop is not None and should_stop():
        return None
    if writer is None:
        raise VideoReadError(source, "no_frames", "no picture was found to draw into; check --start and --end")
    recognition.timings_s.update(draw=draw_s, encode=encode_s)
    return offset_s


def _rate(recognition: Recognition) -> float:
    """Frames per second to plan with. Headers of odd files state rates that no video has; frame times count anyway."""
    stated = DEFAULT_FPS if recognition.info is None else recognition.info.average_fps
    return stated if 0 < stated <= MAX_FPS else DEFAULT_FPS


class RowsByFrame:
    """Hands out rows frame by frame without holding more than one frame's.

    Args:
        rows: In order of frames; frames without rows are fine.
    """

    def __init__(self, rows: Iterable[TrackRow]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)

    def at(self, index: int) -> list[TrackRow]:
        """The rows of a frame; frames are asked for in order."""
        found: list[TrackRow] = []
        while self._next is not None and self._next.frame_index <= index:
            if self._next.frame_index == index:
                found.append(self._next)
            self._next = next(self._rows, None)
        return found


def _scaled(row: TrackRow, x_scale: float, y_scale: float) -> TrackRow:
    x0, y0, x1, y1 = row.box_px
    points = row.landmarks_px
    return replace(
        row,
        box_px=(x0 * x_scale, y0 * y_scale, x1 * x_scale, y1 * y_scale),
        landmarks_px=None if points is None else points * np.array((x_scale, y_scale, 1), np.float32),
    )


def _rounded_box(picture: Image, corners: tuple[int, int, int, int], colour: Colour, thickness: int) -> None:
    """A box with rounded corners that stays readable on any background."""
    x0, y0, x1, y1 = corners
    radius = max(0, min(4 * thickness, (x1 - x0) // 3, (y1 - y0) // 3))
    sides = (
        ((x0 + radius, y0), (x1 - radius, y0)),
        ((x0 + radius, y1), (x1 - radius, y1)),
        ((x0, y0 + radius), (x0, y1 - radius)),
        ((x1, y0 + radius), (x1, y1 - radius)),
    )
    for start, end in sides:  # axis-parallel lines need no anti-aliasing, which costs most of the time
        cv2.line(picture, start, end, colour, thickness)
    if radius:
        corner_centres = (
            (x0 + radius, y0 + radius, 180),
            (x1 - radius, y0 + radius, 270),
            (x1 - radius, y1 - radius, 0),
            (x0 + radius, y1 - radius, 90),
        )
        for x, y, turn in corner_centres:
            cv2.ellipse(picture, (x, y), (radius, radius), turn, 0, 90, colour, thickness, cv2.LINE_AA)


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


_BODY_BONES = tuple((a, b) for a, b in BLAZEPOSE_33.bones if a >= _HEAD_JOINTS and b >= _HEAD_JOINTS)
_BODY_JOINTS = tuple(
    index
    for index, joint in enumerate(BLAZEPOSE_33.joints)
    if joint.endswith(("nose", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
)
