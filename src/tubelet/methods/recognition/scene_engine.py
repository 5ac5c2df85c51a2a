"""Frames in, the action of the whole picture out: the engine for models that were trained on labelled clips.

    frames -> [take some, on the model's clock] -> [label the window that ends here] -> [segment]

Such a model sees no single people, so all it says is about track 0, whose box is the whole picture. A moment is
labelled by the windows that contain it; it is decided when the last of them has been seen, so a stream and a file give
the same segments and memory does not grow with the length of the video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Protocol

import numpy as np
from jaxtyping import Float32, UInt8

from tubelet.errors import VideoReadError
from tubelet.methods.recognition.engine import EngineOutput, EngineState, Schedule
from tubelet.methods.recognition.segmenter import Segmenter, SegmenterSettings
from tubelet.methods.recognition.thumbnails import ThumbnailKeeper
from tubelet.methods.recognition.timeline import TrackRow
from tubelet.video import Frame

SCENE_TRACK = 0
"""The id of what a whole-frame model says."""

_WINDOWS_PER_MOMENT = 4


class WindowModel(Protocol):
    """What is asked of a clip model (see `clips.model`)."""

    labels: tuple[str, ...]
    num_frames: int
    window_s: float

    def prepare(self, image: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "*any"]:
        """What is kept of one picture until its windows are complete."""
        ...

    def window_probabilities(self, prepared: list[Float32[np.ndarray, "*any"]]) -> Float32[np.ndarray, " classes"]:
        """Class probabilities of a window of `num_frames` pictures."""
        ...


class SceneEngine:
    """Labels the whole picture over time.

    Args:
        model: Labels windows.
        segmenting: How probabilities become segments; its `lag` counts in pictures taken.
        allowed: Labels to report; all if None.
    """

    def __init__(
        self, *, model: WindowModel, segmenting: SegmenterSettings, allowed: frozenset[str] | None = None
    ) -> None:
        self._model = model
        self._segmenting = segmenting
        self._allowed = allowed
        self.analysis_hz = model.num_frames / model.window_s
        self._stride = max(1, model.num_frames // _WINDOWS_PER_MOMENT)
        self._segmenter: Segmenter | None = None
        self._taken: deque[Float32[np.ndarray, "*any"]] = deque(maxlen=model.num_frames)
        self._times_s: deque[float] = deque()  # moments whose label is open
        self._sums: deque[Float32[np.ndarray, " classes"]] = deque()
        self._counts: deque[int] = deque()
        self._num_taken = 0
        self._since_window = 0
        self._box_px: tuple[float, float, float, float] | None = None
        self._thumbnails = ThumbnailKeeper()
        self.state = EngineState()

    def run(self, frames: Iterable[Frame]) -> Iterator[EngineOutput]:
        """Yields one row per frame, events and thumbnails as they become certain.

        Args:
            frames: In order of time.

        Raises:
            VideoReadError: From the frames, after everything found before the damage was yielded.
        """
        schedule = Schedule(self.analysis_hz)
        failure: VideoReadError | None = None
        last_s, period_s = 0.0, 0.0
        iterator = iter(frames)
        while True:
            try:
                frame = next(iterator, None)
            except VideoReadError as error:
                failure, frame = error, None
            if frame is None:
                break
            period_s = frame.time_s - last_s if self.state.num_frames else 0.0
            last_s = frame.time_s
            self.state.num_frames += 1
            self.state.duration_s = last_s
            is_due = schedule.is_due(frame.time_s) and frame.image.size > 0
            yield from self._row(frame)
            if is_due:
                yield from self._take(frame)
        if self.state.num_frames:
            self.state.duration_s = last_s + period_s
            yield from self._finish()
        if failure is not None:
            raise failure

    def _row(self, frame: Frame) -> Iterator[EngineOutput]:
        """The box of the whole picture, once its size is known."""
        if frame.image.size:
            height, width = frame.image.shape[:2]
            self._box_px = (0.0, 0.0, float(width), float(height))
        if self._box_px is not None:
            yield TrackRow(
                track_id=SCENE_TRACK,
                frame_index=frame.index,
                time_s=frame.time_s,
                box_px=self._box_px,
                score=1.0,
                interpolated=False,
            )

    def _take(self, frame: Frame) -> Iterator[EngineOutput]:
        if self._segmenter is None:
            self._segmenter = Segmenter(
                self._model.labels,
                track_id=SCENE_TRACK,
                start_s=frame.time_s,
                settings=self._segmenting,
                allowed=self._allowed,
            )
        height, width = frame.image.shape[:2]
        if self._num_taken % self._model.num_frames == 0:
            self._thumbnails.offer(SCENE_TRACK, frame, np.array([0.0, 0.0, width, height], np.float32))
        start = perf_counter()
        self._taken.append(self._model.prepare(frame.image))
        self._times_s.append(frame.time_s)
        self._sums.append(np.zeros(len(self._model.labels), np.float32))
        self._counts.append(0)
        self._num_taken += 1
        self._since_window += 1
        is_complete = len(self._taken) == self._model.num_frames and self._since_window >= self._stride
        if is_complete:
            self._label_window()
        self._spend(start)
        # What lies before the beginning of the next window is final.
        while is_complete and len(self._times_s) > self._model.num_frames - self._stride:
            yield from self._settle()

    def _label_window(self) -> None:
        """Adds what the window that ends here says to all its moments."""
        found = self._model.window_probabilities(list(self._taken))
        size = min(len(self._taken), len(self._sums))
        for place in range(len(self._sums) - size, len(self._sums)):
            self._sums[place] = self._sums[place] + found
            self._counts[place] += 1
        self._since_window = 0

    def _settle(self) -> Iterator[EngineOutput]:
        """Decides about the oldest open moment."""
        if self._segmenter is None:
            return
        time_s, total, count = self._times_s.popleft(), self._sums.popleft(), self._counts.popleft()
        for event in self._segmenter.push(time_s, total / count):
            yield event
            if event.segment is not None:
                yield from self._thumbnails.choose(event.segment)

    def _finish(self) -> Iterator[EngineOutput]:
        start = perf_counter()
        if self._taken and self._since_window:
            if len(self._taken) < self._model.num_frames:  # shorter than a window: its pictures are spread over it
                places = np.arange(self._model.num_frames) * len(self._taken) // self._model.num_frames
                pictures = list(self._taken)
                self._taken = deque((pictures[place] for place in places), maxlen=self._model.num_frames)
            self._label_window()
        self._spend(start)
        while self._times_s:
            yield from self._settle()
        if self._segmenter is not None:
            for event in self._segmenter.finish(self.state.duration_s):
                yield event
                if event.segment is not None:
                    yield from self._thumbnails.choose(event.segment)
        self._thumbnails.forget(SCENE_TRACK)

    def _spend(self, start: float) -> None:
        self.state.timings_s["classify"] = self.state.timings_s.get("classify", 0.0) + perf_counter() - start
