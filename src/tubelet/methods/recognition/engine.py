"""Frames in, people and their actions out: one engine for files, arrays and live streams.

    frames -> [detect, a few times a second] -> [follow and estimate poses, 15 times a second] -> [classify] ->
    [segment]

Everything is decided a bounded time after it happened and never revised, so memory does not grow with the length of
the video and a stream gives the same segments as the file. While the poses of one stretch are estimated, the people
of the next are already detected.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8

from tubelet.errors import VideoReadError
from tubelet.methods.recognition.classify import Classifier, PersonClassifier
from tubelet.methods.recognition.segmenter import ActionEvent, SegmenterSettings
from tubelet.methods.recognition.thumbnails import ThumbnailKeeper
from tubelet.methods.recognition.timeline import Thumbnail, TrackRow
from tubelet.methods.recognition.trail import Observation, Trail
from tubelet.people.appearance import describe
from tubelet.people.boxes import Boxes
from tubelet.people.landmarks import Pose
from tubelet.people.tracker import Track, Tracker, TrackerSettings
from tubelet.video import Frame

ANALYSIS_HZ = 15.0
"""Poses are estimated at most this often: the rate that the action model was trained at."""

DETECTION_HZ = 5.0
"""People are detected at most this often; the tracker carries them between."""


_PROBE_EVERY = 14  # detections, about 3 s: then small people are looked for, however large those who are known


class Detector(Protocol):
    """What the engine asks of a person detector (see `tubelet.people`)."""

    name: str

    def detect(self, image: UInt8[np.ndarray, "height width 3"], *, tile_px: int | None = None) -> Boxes:
        """People in an image."""
        ...


class Landmarks(Protocol):
    """What the engine asks of a landmark model (see `tubelet.people`)."""

    def estimate_many(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        boxes_px: Iterable[Float[np.ndarray, " 4"]],
        angles_rad: Iterable[float] | None = None,
    ) -> list[Pose]:
        """One pose per box."""
        ...


EngineOutput = TrackRow | ActionEvent | Thumbnail


class Schedule:
    """Which frames to take so that about `rate_hz` of them come out: a pure function of their times, in order.

    A fifth of a period early counts: of 30 frames/s, every second one gives 15 Hz.
    """

    def __init__(self, rate_hz: float) -> None:
        self._least_gap_s = 0.8 / rate_hz
        self._last_s = -math.inf

    def is_due(self, time_s: float) -> bool:
        """Whether to take the frame at this time; later than all asked about before."""
        if time_s - self._last_s < self._least_gap_s:
            return False
        self._last_s = time_s
        return True


@dataclass
class _Chunk:
    """The frames from one detection to the next.

    Attributes:
        analysed: Frames whose poses are estimated; people are detected in the first.
        decoded: Number and time of every frame, analysed or not.
    """

    analysed: list[Frame] = field(default_factory=list)
    decoded: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class EngineState:
    """What a caller may want to know while or after the engine runs."""

    num_frames: int = 0
    duration_s: float = 0.0
    timings_s: dict[str, float] = field(default_factory=dict)
    num_people: int = 0

    def add_decoding(self, seconds: float) -> None:
        """Counts time that another thread spent on decoding."""
        self.timings_s["decode"] = self.timings_s.get("decode", 0.0) + seconds


@dataclass
class _Person:
    """A track with what is still undecided about it."""

    trail: Trail
    classifier: PersonClassifier | None = None
    track_id: int | None = None


class Engine:
    """Recognises what people do in a sequence of frames.

    Args:
        detector: Finds people in an image.
        landmarks: Estimates the pose in each box.
        model: Labels the poses of one person over time.
        segmenting: How probabilities become segments.
        allowed: Labels to report; all if None.
        tracking: What counts as a person.
        choose_tile_px: Side of the fine search squares from frame width, frame height and the heights of the people
            followed.
        analysis_hz: How often poses are estimated.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        landmarks: Landmarks,
        model: Classifier,
        segmenting: SegmenterSettings,
        allowed: frozenset[str] | None = None,
        tracking: TrackerSettings | None = None,
        choose_tile_px: Callable[[int, int, list[float]], int | None] | None = None,
        analysis_hz: float = ANALYSIS_HZ,
    ) -> None:
        self._detector = detector
        self._landmarks = landmarks
        self._model = model
        self._segmenting = segmenting
        self._allowed = allowed
        self._choose_tile_px = choose_tile_px
        self.analysis_hz = analysis_hz
        self._tracker = Tracker(tracking)
        self._people: dict[int, _Person] = {}
        self._thumbnails = ThumbnailKeeper()
        self._num_searches = 0
        self._decoded: deque[tuple[int, float]] = deque()
        self._waiting_rows: list[tuple[int, int, TrackRow]] = []
        self.state = EngineState()

    def run(self, frames: Iterable[Frame]) -> Iterator[EngineOutput]:
        """Yields rows in order of time, events and thumbnails as they become certain.

        Args:
            frames: In order of time. Consumed lazily; at most two stretches of a fifth of a second are held.

        Raises:
            VideoReadError: From the frames, after everything found before the damage was yielded.
        """
        chunks = self._chunks(frames)
        failure: VideoReadError | None = None
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="detect") as pool:
            ahead: tuple[_Chunk, Future[Boxes]] | None = None
            while True:
                try:
                    chunk = next(chunks, None)
                except VideoReadError as error:  # raised again below, once what was found before it is out
                    failure, chunk = error, None
                following = None if chunk is None else (chunk, self._start_detection(pool, chunk))
                if ahead is not None:
                    yield from self._process(*ahead)
                if following is None:
                    break
                ahead = following
        yield from self._finish()
        if failure is not None:
            raise failure

    def _chunks(self, frames: Iterable[Frame]) -> Iterator[_Chunk]:
        """Groups frames so that each group starts with a frame in which people are detected."""
        chunk = _Chunk()
        analyse, detect = Schedule(self.analysis_hz), Schedule(DETECTION_HZ)
        iterator = iter(frames)
        while True:
            try:
                frame = next(iterator, None)
            except VideoReadError:
                if chunk.decoded:
                    yield chunk
                raise
            if frame is None:
                break
            is_analysed = analyse.is_due(frame.time_s)
            if is_analysed and detect.is_due(frame.time_s):
                if chunk.decoded:
                    yield chunk
                chunk = _Chunk()
            if is_analysed:
                chunk.analysed.append(frame)
            chunk.decoded.append((frame.index, frame.time_s))
        if chunk.decoded:
            yield chunk

    def _start_detection(self, pool: ThreadPoolExecutor, chunk: _Chunk) -> Future[Boxes]:
        image = chunk.analysed[0].image
        tile_px = None
        if self._choose_tile_px is not None and self._num_searches % 2 == 0:
            probes = self._num_searches % _PROBE_EVERY == 0
            known = [] if probes else [track for track in self._tracker.live if track.is_confirmed]
            heights = [float(track.box_px[3] - track.box_px[1]) for track in known]
            tile_px = self._choose_tile_px(image.shape[1], image.shape[0], heights)
        self._num_searches += 1
        return pool.submit(self._detect, image, tile_px)

    def _detect(self, image: UInt8[np.ndarray, "height width 3"], tile_px: int | None) -> Boxes:
        start = perf_counter()
        boxes = self._detector.detect(image, tile_px=tile_px)
        self._spend("detect", start)
        return boxes

    def _process(self, chunk: _Chunk, detection: Future[Boxes]) -> Iterator[EngineOutput]:
        self._decoded.extend(chunk.decoded)
        self.state.num_frames += len(chunk.decoded)
        last_s = chunk.decoded[-1][1]
        self.state.duration_s = max(self.state.duration_s, last_s)
        for place, frame in enumerate(chunk.analysed):
            yield from self._step(frame, detection.result() if place == 0 else None)
        yield from self._release(self._watermark())

    def _step(self, frame: Frame, detections: Boxes | None) -> list[EngineOutput]:
        start = perf_counter()
        descriptors = None if detections is None else describe(frame.image, detections.xyxy_px)
        self._tracker.advance(frame.time_s, detections, descriptors)
        start = self._spend("track", start)
        live = self._tracker.live
        poses = self._landmarks.estimate_many(
            frame.image, [track.box_px for track in live], [track.angle_rad for track in live]
        )
        start = self._spend("landmarks", start)
        ended = self._tracker.observe(frame.time_s, poses)
        for track in self._tracker.live:
            self._note(track, frame, is_keyframe=detections is not None)
        start = self._spend("track", start)
        outputs: list[EngineOutput] = []
        for track in ended:
            outputs += self._close(self._people.pop(track.serial, None))
        for serial in sorted(self._people):
            outputs += self._classify(self._people[serial])
        self._spend("classify", start)
        return outputs

    def _note(self, track: Track, frame: Frame, is_keyframe: bool) -> None:
        """Records where a track is now, and makes it a person once it is confirmed."""
        person = self._people.setdefault(track.serial, _Person(Trail()))
        if track.is_confirmed and person.track_id is None:
            self.state.num_people += 1
            person.track_id = self.state.num_people
        if not track.is_measured:
            return
        person.trail.measure(Observation(frame.index, frame.time_s, track.box_px, track.score, track.pose))
        if is_keyframe and person.track_id is not None and track.pose is not None:
            self._thumbnails.offer(person.track_id, frame, track.box_px)

    def _classify(self, person: _Person) -> list[EngineOutput]:
        """Turns what a person's trail has settled into rows, probabilities and events."""
        if person.track_id is None:
            return []
        for row in person.trail.settle(person.track_id, self._decoded):
            self._hold(row)
        if person.classifier is None:
            person.classifier = PersonClassifier(
                self._model,
                track_id=person.track_id,
                start_s=person.trail.start_s,
                segmenting=self._segmenting,
                allowed=self._allowed,
            )
        return self._illustrate(person.classifier.push(person.trail.take_observations()))

    def _close(self, person: _Person | None, *, end_of_video: bool = False) -> list[EngineOutput]:
        if person is None or person.track_id is None:
            return []
        outputs = self._classify(person)
        if end_of_video:
            for row in person.trail.hold_until_end(person.track_id, self._decoded, 1 / self.analysis_hz):
                self._hold(row)
        if person.classifier is not None:
            end_s = person.trail.end_s(self._frame_period_s())
            outputs += self._illustrate(person.classifier.finish(end_s))
        self._thumbnails.forget(person.track_id)
        return outputs

    def _illustrate(self, events: list[ActionEvent]) -> list[EngineOutput]:
        outputs: list[EngineOutput] = []
        for event in events:
            outputs.append(event)
            if event.segment is not None:
                outputs += self._thumbnails.choose(event.segment)
        return outputs

    def _hold(self, row: TrackRow) -> None:
        heapq.heappush(self._waiting_rows, (row.frame_index, row.track_id, row))

    def _watermark(self) -> int:
        """Number of the first frame about which some live track may still say something."""
        open_frames = [person.trail.open_frame for person in self._people.values()]
        return min([frame for frame in open_frames if frame is not None], default=self._decoded[-1][0] + 1)

    def _release(self, before_frame: int) -> Iterator[EngineOutput]:
        while self._waiting_rows and self._waiting_rows[0][0] < before_frame:
            yield heapq.heappop(self._waiting_rows)[-1]
        while len(self._decoded) > 2 and self._decoded[0][0] < before_frame - 1:
            self._decoded.popleft()

    def _finish(self) -> Iterator[EngineOutput]:
        self.state.duration_s += self._frame_period_s()
        for serial in sorted(self._people):
            yield from self._close(self._people[serial], end_of_video=True)
        self._people.clear()
        while self._waiting_rows:
            yield heapq.heappop(self._waiting_rows)[-1]

    def _frame_period_s(self) -> float:
        """Time from one frame to the next, as the latest frames have it."""
        if len(self._decoded) < 2:
            return 0.0
        (_, before_s), (_, last_s) = self._decoded[-2], self._decoded[-1]
        return last_s - before_s

    def _spend(self, stage: str, start: float) -> float:
        now = perf_counter()
        self.state.timings_s[stage] = self.state.timings_s.get(stage, 0.0) + now - start
        return now
