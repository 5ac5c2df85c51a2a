"""The strip below an annotated video: one lane per person, coloured by person, with a playhead.

A short video has one page that shows all of it. A longer one has pages of half a minute, turned as the playhead
leaves them, so that a page is drawn once and then only copied.
"""

from __future__ import annotations

import heapq

import cv2
import numpy as np
from jaxtyping import UInt8

from tubelet.methods.recognition.palette import Colour, ink_on, person_colour
from tubelet.methods.recognition.timeline import Recognition, Segment
from tubelet.methods.recognition.typesetting import put_text, text_width

PAGE_S = 30.0
MAX_SINGLE_PAGE_S = 45.0
MAX_LANES = 8

_BACK: Colour = (20, 22, 28)
_GROOVE: Colour = (34, 37, 46)
_AXIS: Colour = (150, 157, 172)
_DIM: Colour = (62, 67, 79)
_DIM_TEXT: Colour = (200, 205, 216)

Image = UInt8[np.ndarray, "height width 3"]


class TimelineStrip:
    """Draws the timeline of one source at any moment.

    Args:
        recognition: Whose segments are shown.
        width: Pixels.
        text_px: Height of the text in the lanes.
    """

    def __init__(self, recognition: Recognition, *, width: int, text_px: int) -> None:
        self._width = width
        self._text_px = text_px
        self._lane_px = round(text_px * 1.75)
        self._axis_px = round(text_px * 1.6)
        self._margin_px = round(text_px * 0.8)
        starts = [segment.start_s for segment in recognition.segments]
        self._start_s = min([float(recognition.settings.get("start_s") or 0.0), *starts])
        ends = [segment.end_s for segment in recognition.segments]
        end_s = max([recognition.duration_s, *ends, self._start_s + 0.1])
        span_s = end_s - self._start_s
        self._page_s = span_s if span_s <= MAX_SINGLE_PAGE_S else PAGE_S
        self._segments = recognition.segments
        self._lanes = _lanes(recognition)
        num_lanes = min(MAX_LANES, max(self._lanes.values(), default=-1) + 1)
        self.height = (
            0 if not recognition.segments else self._axis_px + num_lanes * self._lane_px + self._margin_px // 2
        )
        self._page: Image = np.zeros((0, width, 3), np.uint8)
        self._page_number = -1

    def draw(self, strip: Image, time_s: float) -> None:
        """Fill `strip`, the rows below the picture, for one moment."""
        if self.height == 0:
            return
        number = max(0, int((time_s - self._start_s) // self._page_s))
        if number != self._page_number:
            self._page = self._draw_page(number)
            self._page_number = number
        strip[: self.height] = self._page
        strip[self.height :] = _BACK
        x = self._x(time_s, number)
        half = self._text_px // 12
        strip[self._axis_px // 2 : self.height, max(0, x - half) : x + half + 1] = (255, 255, 255)
        cv2.circle(strip, (x, self._axis_px // 2), max(3, 3 * half), (255, 255, 255), -1, cv2.LINE_AA)

    def _draw_page(self, number: int) -> Image:
        page = np.empty((self.height, self._width, 3), np.uint8)
        page[:] = _BACK
        first_s = self._start_s + number * self._page_s
        self._draw_axis(page, first_s, number)
        num_lanes = (self.height - self._axis_px) // self._lane_px
        for lane in range(num_lanes):
            top, bottom = self._lane_rows(lane)
            page[top:bottom, self._margin_px : self._width - self._margin_px] = _GROOVE
        begun: set[int] = set()
        for segment in self._segments:
            lane = self._lanes[segment.track_id]
            if lane >= num_lanes or segment.end_s <= first_s or segment.start_s >= first_s + self._page_s:
                continue
            self._draw_segment(page, segment, number, lane, is_first=segment.track_id not in begun)
            begun.add(segment.track_id)
        return page

    def _draw_axis(self, page: Image, first_s: float, number: int) -> None:
        size = round(self._text_px * 0.86)
        room = max(1, int(self._width / (size * 9)))
        step = next((step for step in (0.5, 1, 2, 5, 10, 15, 30) if self._page_s / step <= room), 30)
        for index in range(int(-(-first_s // step)), int((first_s + self._page_s) // step) + 1):
            x = self._x(index * step, number)
            text = _clock(index * step)
            left = min(max(0, x - text_width(text, size) // 2), self._width - text_width(text, size) - 2)
            put_text(page, text, left, round(self._axis_px * 0.72), _AXIS, size)

    def _draw_segment(self, page: Image, segment: Segment, number: int, lane: int, *, is_first: bool) -> None:
        top, bottom = self._lane_rows(lane)
        left = max(self._margin_px, self._x(segment.start_s, number))
        right = min(self._width - self._margin_px, self._x(segment.end_s, number) - max(1, self._text_px // 9))
        if right <= left:
            right = left + 1
        colour = person_colour(segment.track_id)
        body = page[top:bottom, left:right]
        body[:] = _DIM if segment.abstained else colour
        if segment.abstained:  # hatched, as in the report
            rows, columns = np.ogrid[: bottom - top, : right - left]
            body[(rows + columns) % 10 < 3] = _GROOVE
            body[-max(2, self._text_px // 7) :] = colour
        x = left + self._text_px // 3
        ink = _DIM_TEXT if segment.abstained else ink_on(colour)
        text = segment.label.replace("_", " ")
        if is_first and segment.track_id != 0:
            text = f"{segment.track_id}  {text}"
        size = self._text_px
        if text_width(text, size) + 2 * (self._text_px // 3) > right - left:
            text = str(segment.track_id) if is_first and segment.track_id != 0 else ""
        if text and text_width(text, size) < right - left:
            put_text(page, text, x, bottom - round((bottom - top - size * 0.72) / 2), ink, size)

    def _lane_rows(self, lane: int) -> tuple[int, int]:
        top = self._axis_px + lane * self._lane_px
        return top, top + self._lane_px - max(2, self._text_px // 5)

    def _x(self, time_s: float, number: int) -> int:
        share = (time_s - self._start_s - number * self._page_s) / self._page_s
        room = self._width - 2 * self._margin_px
        return self._margin_px + min(max(0, round(share * room)), room)


def _lanes(recognition: Recognition) -> dict[int, int]:
    """The lane of each person: the first one that is free when they appear, so that few lanes serve many people."""
    lives = sorted(
        (own[0].start_s, track_id, own[-1].end_s)
        for track_id in recognition.track_ids
        if (own := recognition.of_track(track_id))
    )
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    lanes: dict[int, int] = {}
    for start_s, track_id, end_s in lives:
        while busy and busy[0][0] <= start_s:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        lanes[track_id] = lane
        heapq.heappush(busy, (end_s, lane))
    return lanes


def _clock(time_s: float) -> str:
    """A moment on the axis: `3 s`, `1:05`."""
    if time_s < 60:
        return f"{time_s:g} s"
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
