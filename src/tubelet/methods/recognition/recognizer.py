"""The public door: load once, then recognise files, arrays, frame iterators and cameras."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from tubelet.configs import suggestion
from tubelet.errors import ConfigError, VideoReadError
from tubelet.methods.recognition.action_model import ActionModel, load_action_model
from tubelet.methods.recognition.clips.config import FRAMES_RUN, FUSION_FILE, SKELETON_RUN
from tubelet.methods.recognition.clips.model import (
    ClipModel,
    check_token_budget,
    is_clip_model,
    load_clip_model,
    no_tokens_error,
)
from tubelet.methods.recognition.engine import ANALYSIS_HZ, Engine, EngineOutput, Schedule
from tubelet.methods.recognition.scene_engine import SceneEngine
from tubelet.methods.recognition.segmenter import ActionEvent, SegmenterSettings
from tubelet.methods.recognition.timeline import Recognition, Thumbnail, TrackRow
from tubelet.people.detector import SsdDetector, load_detector
from tubelet.people.landmarks import LandmarkModel
from tubelet.people.tiles import choose_tile_px
from tubelet.video import Clip, Frame, VideoInfo, probe, read_frames
from tubelet.video import Source as VideoSource
from tubelet.video.sources import as_source

_LEAST_S = 0.5  # a track is confirmed after 0.3 s and needs some frames around that
_LEAST_FPS = 6.0
_PREFETCH = 4  # frames decoded ahead in a thread

RecognitionSource = (
    VideoSource
    | str
    | os.PathLike[str]
    | int
    | Clip
    | UInt8[np.ndarray, "time height width 3"]
    | Iterable[Frame]
    | Iterable[UInt8[np.ndarray, "height width 3"]]
)
"""A file, camera index or `rtsp://` address, a clip, frames in order, or RGB arrays with `fps`."""


@dataclass(frozen=True)
class _People:
    """What a model of single people needs."""

    model: ActionModel
    detector: SsdDetector
    landmarks: LandmarkModel


class Recognizer:
    """Finds people, follows them, and says what each does from when to when.

    Loading takes a second or two; one object serves any number of sources, one after the other.

    Args:
        model: `default`, or the folder of a run of `tubelet train`. One that was trained on whole pictures looks for
            no people: it says what the picture shows, as track 0.
        detector: `auto`, `oidv4` (better, its file comes through npm) or `ssdlite` (pip alone). `auto` says which it
            took.
        fast: Search each frame in one pass and estimate poses half as often: about twice as fast, and small people
            are missed.
        device: Where the action model runs: `cpu` or `cuda`. Detector and landmarks always run on the CPU.
        labels: Report these actions only; anything else is `unknown`. All labels of the model if None.
        min_score: Abstain below this probability. The model's own calibrated threshold if None.
        min_duration_s: Shorter segments are taken into the one before.
        token_budget: Share of its tokens that a video transformer (a run of `recognition:vit_small` or `vit_base`) is
            left with after the last block: in every block the tokens most alike become one, which saves time and
            changes what it says a little. More than 0; at 1 nothing becomes one.
        notify: Called with a sentence when a weights file is fetched.

    Raises:
        ConfigError: If an option has a value that is not allowed, or that the model does not know.
        WeightsError: If a weights file is missing and cannot be brought.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "default",
        *,
        detector: str = "auto",
        fast: bool = False,
        device: str = "cpu",
        labels: Iterable[str] | None = None,
        min_score: float | None = None,
        min_duration_s: float = 0.4,
        token_budget: float = 1.0,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        if detector not in ("auto", "oidv4", "ssdlite"):
            raise ConfigError(f"detector is {detector!r}; allowed: auto, oidv4, ssdlite")
        if min_score is not None and not 0 <= min_score <= 1:
            raise ConfigError(f"min_score is {min_score}; a probability from 0 to 1 is needed")
        if not 0 <= min_duration_s < math.inf:
            raise ConfigError(f"min_duration_s is {min_duration_s}; 0 or more seconds are needed")
        _check_device(device)
        check_token_budget(token_budget)
        self._scene: ClipModel | None = None
        self._people: _People | None = None
        if str(model) != "default" and is_clip_model(model):
            self._scene = load_clip_model(model, device=device, token_budget=token_budget)
            if self._scene.is_multi_label:
                raise ConfigError(
                    f"{model} gives a clip several labels, and a timeline has one at a time; use `tubelet evaluate`, "
                    "or train on clips with one label each"
                )
        elif str(model) != "default" and (Path(model) / FUSION_FILE).is_file():
            raise ConfigError(
                f"{model} holds two models that judge whole clips together; for a longer video take one of them: "
                f"{Path(model) / SKELETON_RUN} (each person) or {Path(model) / FRAMES_RUN} (the whole picture)"
            )
        elif token_budget < 1:
            raise no_tokens_error(token_budget, f"the model {str(model)!r}, which looks at body landmarks,")
        else:
            action_model = load_action_model(model, device=device)
            _check_labels(labels, action_model.labels)  # before anything is fetched
            found = load_detector(detector, fast=fast, notify=notify)
            self._people = _People(action_model, found, LandmarkModel(notify=notify))
        self._model: ActionModel | ClipModel = self._scene or self._who.model
        self._allowed = _check_labels(labels, self._model.labels)
        self._fast = fast
        self._token_budget = token_budget
        self._segmenting = SegmenterSettings(
            min_score=self._model.min_score if min_score is None else min_score, min_duration_s=min_duration_s
        )

    @property
    def _who(self) -> _People:
        """What finds people and labels them; only of a model that was trained on people."""
        if self._people is None:
            raise TypeError("this model looks at whole pictures")
        return self._people

    @property
    def labels(self) -> tuple[str, ...]:
        """The actions that the model knows."""
        return self._model.labels

    @property
    def card(self) -> dict[str, Any]:
        """What the model is, where it comes from, and what evidence there is for each class."""
        return self._model.card

    @property
    def detector_name(self) -> str:
        """Which person detector was loaded; "none" for a model that looks at whole pictures."""
        return "none" if self._people is None else self._people.detector.name

    @property
    def detector_reason(self) -> str:
        """Why that one."""
        if self._people is None:
            return "the model looks at whole pictures and says what they show, as track 0"
        return self._people.detector.reason

    @property
    def settings(self) -> dict[str, Any]:
        """The options that results depend on."""
        return {
            "detector": self.detector_name,
            "fast": self._fast,
            "labels": None if self._allowed is None else sorted(self._allowed),
            "min_score": self._segmenting.min_score,
            "min_duration_s": self._segmenting.min_duration_s,
            "token_budget": self._token_budget,
        }

    def recognize(
        self,
        source: RecognitionSource,
        *,
        fps: float | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        keep_rows: bool = False,
        on_row: Callable[[TrackRow], None] | None = None,
        on_frame: Callable[[Frame], None] | None = None,
        on_event: Callable[[ActionEvent], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Recognition:
        """Recognises a whole source.

        Args:
            source: A file, camera, clip, array or iterator of frames.
            fps: Frames per second of an array; needed there and nowhere else.
            start_s: Begin here.
            end_s: Stop before this.
            keep_rows: Keep every person's box in every frame in `Recognition.rows`. Memory then grows with the video.
            on_row: Called with every box as it becomes certain, in order of time.
            on_frame: Called with every frame as it is read, also those without their picture: for progress.
            on_event: Called when an action begins or ends.
            should_stop: Asked at every frame; when true, reading ends there as if the source did.

        Raises:
            VideoReadError: If the source cannot be read. Where some of it could, `error.partial` is the Recognition
                up to there.
        """
        engine = self._engine()
        name, info, frames = _open(source, engine, fps=fps, start_s=start_s, end_s=end_s)
        result = Recognition(
            source=name,
            info=info,
            segments=[],
            model=self.card,
            detector=self.detector_name,
            settings={**self.settings, "start_s": start_s, "end_s": end_s},
            num_frames=0,
            duration_s=0.0,
        )
        failure: VideoReadError | None = None
        try:
            for output in engine.run(_watched(frames, on_frame, should_stop)):
                _take(result, output, keep_rows)
                if on_row is not None and isinstance(output, TrackRow):
                    on_row(output)
                elif on_event is not None and isinstance(output, ActionEvent):
                    on_event(output)
        except VideoReadError as error:
            failure = error
        result.segments.sort(key=lambda segment: (segment.track_id, segment.start_s))
        result.num_frames = engine.state.num_frames
        result.duration_s = engine.state.duration_s
        result.timings_s = dict(engine.state.timings_s)
        result.warnings += _doubts(result)
        if failure is not None:
            if result.num_frames:
                result.warnings.append(f"reading stopped early: {failure}")
                failure.partial = result
            raise failure
        return result

    def stream(
        self,
        source: RecognitionSource,
        *,
        fps: float | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[ActionEvent]:
        """Yields the beginning and end of every segment as soon as it is certain, about four seconds later.

        The segments are those of `recognize` on the same frames. Nothing is kept, so a stream may run for ever.

        Args:
            source: As for `recognize`.
            fps: Frames per second of arrays.
            start_s: Begin here.
            end_s: Stop before this.
            should_stop: Asked at every frame; when true, reading ends there as if the source did.

        Raises:
            VideoReadError: If the source cannot be read, after the events up to there.
        """
        engine = self._engine()
        _, _, frames = _open(source, engine, fps=fps, start_s=start_s, end_s=end_s)
        for output in engine.run(_watched(frames, None, should_stop)):
            if isinstance(output, ActionEvent):
                yield output

    def _engine(self) -> Engine | SceneEngine:
        if self._scene is not None:
            return SceneEngine(model=self._scene, segmenting=self._segmenting, allowed=self._allowed)
        return Engine(
            detector=self._who.detector,
            landmarks=self._who.landmarks,
            model=self._who.model,
            segmenting=self._segmenting,
            allowed=self._allowed,
            choose_tile_px=None if self._fast else choose_tile_px,
            analysis_hz=ANALYSIS_HZ / 2 if self._fast else ANALYSIS_HZ,
        )


def recognize(
    source: RecognitionSource,
    *,
    fps: float | None = None,
    model: str | os.PathLike[str] = "default",
    detector: str = "auto",
    fast: bool = False,
    device: str = "cpu",
    labels: Iterable[str] | None = None,
    min_score: float | None = None,
    min_duration_s: float = 0.4,
    token_budget: float = 1.0,
) -> Recognition:
    """Recognises one source with a `Recognizer` made for it; for more than one source, make the `Recognizer` yourself.

    The options are those of `Recognizer`, and `fps` is for arrays.

    Raises:
        ConfigError: If an option has a value that is not allowed.
        WeightsError: If a weights file is missing and cannot be brought.
        VideoReadError: If the source cannot be read.
    """
    recognizer = Recognizer(
        model,
        detector=detector,
        fast=fast,
        device=device,
        labels=labels,
        min_score=min_score,
        min_duration_s=min_duration_s,
        token_budget=token_budget,
    )
    return recognizer.recognize(source, fps=fps)


def _doubts(result: Recognition) -> list[str]:
    """What about the source itself makes the result doubtful."""
    if not result.num_frames:
        return []
    rate = result.num_frames / max(result.duration_s - (result.settings["start_s"] or 0.0), 1e-6)
    if result.num_frames < 3 or result.num_frames / rate < _LEAST_S:
        count = "1 frame is" if result.num_frames == 1 else f"{result.num_frames} frames are"
        return [f"{count} too few to follow anybody: a person is followed from {_LEAST_S:g} s on"]
    if rate < _LEAST_FPS:
        return [f"{rate:.1f} frames per second are too few for most actions; {_LEAST_FPS:g} or more are needed"]
    return []


def _check_device(device: str) -> None:
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"device is {device!r}; allowed: cpu, cuda")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ConfigError("device is 'cuda', but torch finds no GPU it can use here; use --device cpu")


def _check_labels(labels: Iterable[str] | None, known: tuple[str, ...]) -> frozenset[str] | None:
    if labels is None:
        return None
    if isinstance(labels, str):
        raise ConfigError(f"labels is the text {labels!r}; give a list of names, such as [{labels!r}]")
    chosen = list(labels)
    for label in chosen:
        if label not in known:
            near = suggestion(label.strip().lower().replace(" ", "_"), known)
            raise ConfigError(f"there is no label {label!r}; {near}")
    if not chosen:
        raise ConfigError(f"labels is empty; name some of {', '.join(known)}")
    return frozenset(chosen)


def _open(
    source: RecognitionSource,
    engine: Engine | SceneEngine,
    *,
    fps: float | None,
    start_s: float | None,
    end_s: float | None,
) -> tuple[str, VideoInfo | None, Iterable[Frame]]:
    """Name, facts and frames of a source; of a file, with the pictures that the engine will look at."""
    if fps is not None and not 0 < fps < math.inf:
        raise ConfigError(f"fps is {fps}; frames per second are needed, more than 0")
    if isinstance(source, (VideoSource, str, os.PathLike, int)):
        if fps is not None:
            raise ConfigError(f"fps is {fps}; it is for arrays, a video carries its own times")
        found = as_source(source)
        info = None if found.is_live else replace(probe(found.name), path=found.label)
        frames = read_frames(
            found,
            start_s=start_s,
            end_s=end_s,
            prefetch=_PREFETCH,
            wants=Schedule(engine.analysis_hz).is_due,
            on_decoded=engine.state.add_decoding,
        )
        return found.label, info, frames
    if isinstance(source, Clip):
        times_s = (float(time_s) for time_s in source.timestamps_s)
        return str(source.source), None, _between(_numbered(zip(source.frames, times_s, strict=True)), start_s, end_s)
    if not isinstance(source, Iterable):
        raise TypeError(f"source is a {type(source).__name__}; give a path, a camera number, a Clip, frames or arrays")
    name = "array" if isinstance(source, np.ndarray) else "frames"
    return name, None, _between(_numbered(_with_times(source, fps)), start_s, end_s)


def _with_times(
    pictures: Iterable[Frame] | Iterable[UInt8[np.ndarray, "height width 3"]], fps: float | None
) -> Iterator[tuple[UInt8[np.ndarray, "height width 3"], float]]:
    """Pictures with the times that they carry or that `fps` gives them."""
    for index, picture in enumerate(pictures):
        if isinstance(picture, Frame):
            yield picture.image, picture.time_s
        elif not isinstance(picture, np.ndarray):
            raise TypeError(f"picture {index} is a {type(picture).__name__}; a tubelet.Frame or an array is needed")
        elif fps is None:
            raise ConfigError("fps is missing; arrays have no times of their own, give frames per second")
        else:
            yield picture, index / fps


def _numbered(pictures: Iterable[tuple[UInt8[np.ndarray, "height width 3"], float]]) -> Iterator[Frame]:
    """Frames, counted here: the engine relies on numbers and times that rise."""
    last_s = -math.inf
    for index, (image, time_s) in enumerate(pictures):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"picture {index} is {image.dtype} {image.shape}; uint8 (height, width, 3) is needed")
        if not time_s > last_s:
            raise ValueError(f"picture {index} is at {time_s} s after one at {last_s} s; times must rise")
        last_s = time_s
        yield Frame(image=image, time_s=time_s, index=index)


def _between(frames: Iterable[Frame], start_s: float | None, end_s: float | None) -> Iterator[Frame]:
    for frame in frames:
        if end_s is not None and frame.time_s >= end_s:
            return
        if start_s is None or frame.time_s >= start_s:
            yield frame


def _watched(
    frames: Iterable[Frame], on_frame: Callable[[Frame], None] | None, should_stop: Callable[[], bool] | None
) -> Iterator[Frame]:
    for frame in frames:
        if should_stop is not None and should_stop():
            return
        if on_frame is not None:
            on_frame(frame)
        yield frame


def _take(result: Recognition, output: EngineOutput, keep_rows: bool) -> None:
    if isinstance(output, TrackRow):
        if keep_rows:
            result.rows.append(output)
    elif isinstance(output, Thumbnail):
        result.thumbnails.append(output)
    elif output.segment is not None:
        result.segments.append(output.segment)
