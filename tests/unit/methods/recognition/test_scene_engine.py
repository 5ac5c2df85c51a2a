"""The engine for whole pictures: what it says follows the windows, and nothing depends on how long the video is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tubelet.errors import VideoReadError
from tubelet.methods.recognition.scene_engine import SCENE_TRACK, SceneEngine
from tubelet.methods.recognition.segmenter import ActionEvent, SegmenterSettings
from tubelet.methods.recognition.timeline import Segment, TrackRow
from tubelet.video import Frame

FPS = 20.0


class Brightness:
    """Says "bright" where the mean of a window is above the middle."""

    labels = ("dark", "bright")
    num_frames = 8
    window_s = 0.8

    def __init__(self) -> None:
        self.windows: list[int] = []

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return np.array([image.mean() / 255], np.float32)

    def window_probabilities(self, prepared: list[np.ndarray]) -> np.ndarray:
        self.windows.append(len(prepared))
        bright = float(np.mean(prepared))
        return np.array([1 - bright, bright], np.float32)


def frames(levels: list[int], size: tuple[int, int] = (12, 16)) -> Iterator[Frame]:
    for index, level in enumerate(levels):
        yield Frame(np.full((*size, 3), level, np.uint8), index / FPS, index)


def run(levels: list[int], **settings: float) -> tuple[list[Segment], list[TrackRow], SceneEngine, Brightness]:
    model = Brightness()
    engine = SceneEngine(model=model, segmenting=SegmenterSettings(min_score=0.55, **settings))  # type: ignore[arg-type]
    outputs = list(engine.run(frames(levels)))
    segments = [o.segment for o in outputs if isinstance(o, ActionEvent) and o.segment is not None]
    return segments, [o for o in outputs if isinstance(o, TrackRow)], engine, model


def test_a_change_in_the_middle_is_found_there() -> None:
    segments, rows, engine, model = run([0] * 100 + [255] * 100)
    assert [(s.label, s.track_id) for s in segments] == [("dark", SCENE_TRACK), ("bright", SCENE_TRACK)]
    assert segments[0].start_s == 0.0
    assert segments[0].end_s == segments[1].start_s == pytest.approx(5.0, abs=0.4)
    assert segments[1].end_s == pytest.approx(10.0)
    assert len(rows) == 200
    assert rows[0].box_px == (0.0, 0.0, 16.0, 12.0)
    assert set(model.windows) == {8}
    # Taken 10 times a second, labelled at every second picture taken.
    assert len(model.windows) == pytest.approx(100 / 2, abs=5)
    assert engine.state.num_frames == 200


def test_every_moment_is_judged_by_the_windows_that_contain_it() -> None:
    model = Brightness()
    engine = SceneEngine(model=model, segmenting=SegmenterSettings(min_score=0.0, lag=1))
    seen: list[tuple[float, float]] = []
    taken: list[float] = []
    original = engine._settle

    def watch() -> Iterator[object]:
        seen.append((engine._times_s[0], float(engine._counts[0])))
        return original()  # type: ignore[return-value]

    engine._settle = watch  # type: ignore[method-assign, assignment]
    levels = [0] * 120
    for output in engine.run(frames(levels)):
        taken.append(getattr(output, "time_s", 0.0))
    times = [time_s for time_s, _ in seen]
    assert times == sorted(times)
    assert len(times) == len(set(times)) == 60
    inner = [count for time_s, count in seen if 1.0 < time_s < 5.0]
    assert set(inner) == {4.0}  # windows overlap by three quarters


def test_a_video_shorter_than_a_window_is_spread_over_it() -> None:
    segments, rows, _, model = run([255] * 5)
    assert [segment.label for segment in segments] == ["bright"]
    assert model.windows == [8]
    assert len(rows) == 5


def test_nothing_comes_of_nothing() -> None:
    segments, rows, engine, _ = run([])
    assert (segments, rows, engine.state.num_frames, engine.state.duration_s) == ([], [], 0, 0.0)


def test_what_is_doubtful_is_unknown() -> None:
    segments, *_ = run([127] * 60)
    assert [segment.label for segment in segments] == ["unknown"]
    assert segments[0].best_label in ("dark", "bright")


def test_what_was_found_before_damage_comes_out_first() -> None:
    def damaged() -> Iterator[Frame]:
        yield from frames([255] * 60)
        raise VideoReadError("x.mp4", "corrupt", "torn", 3.0)

    engine = SceneEngine(model=Brightness(), segmenting=SegmenterSettings(min_score=0.5))
    outputs: list[object] = []
    with pytest.raises(VideoReadError, match="torn"):
        outputs.extend(engine.run(damaged()))  # keeps what came before the error
    assert [o.segment.label for o in outputs if isinstance(o, ActionEvent) and o.segment is not None] == ["bright"]


def test_memory_does_not_grow() -> None:
    engine = SceneEngine(model=Brightness(), segmenting=SegmenterSettings(min_score=0.5))
    most = 0
    for _ in engine.run(frames([0] * 3000)):
        most = max(most, len(engine._times_s), len(engine._taken))
    assert most <= 16


def test_only_allowed_labels_are_said() -> None:
    model = Brightness()
    engine = SceneEngine(model=model, segmenting=SegmenterSettings(min_score=0.6), allowed=frozenset({"dark"}))
    labels = {o.segment.label for o in engine.run(frames([255] * 60)) if isinstance(o, ActionEvent) and o.segment}
    assert labels == {"unknown"}
