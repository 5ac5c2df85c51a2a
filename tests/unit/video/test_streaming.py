"""Live sources: a slow caller gets new frames, not old ones; errors and endings come through."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scenes import write_scene

from tubelet.errors import ConfigError, VideoReadError
from tubelet.video import Frame, read_frames, streaming

IMAGE = np.zeros((4, 4, 3), np.uint8)


def frame(index: int) -> Frame:
    return Frame(image=IMAGE, time_s=index / 30, index=index)


def test_a_slow_caller_loses_old_frames_and_never_falls_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, caught_up, go_on = threading.Event(), threading.Event(), threading.Event()

    def camera(_name: str) -> Iterator[Frame]:
        for index in range(100):
            if index == 1:
                begun.wait(5)
            yield frame(index)
        caught_up.set()
        go_on.wait(5)
        yield frame(100)

    monkeypatch.setattr(streaming, "camera_frames", camera)
    frames = read_frames(0)
    first = next(frames)
    begun.set()
    assert caught_up.wait(5)
    second = next(frames)
    go_on.set()
    rest = [each.index for each in frames]
    assert first.index == 0
    assert second.index == 70  # the latest thirty are kept
    assert rest == list(range(71, 101))


def test_a_caller_that_keeps_up_gets_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = threading.Semaphore(1)

    def camera(_name: str) -> Iterator[Frame]:
        for index in range(50):
            taken.acquire()
            yield frame(index)

    monkeypatch.setattr(streaming, "camera_frames", camera)
    indices = []
    for each in read_frames(0):
        indices.append(each.index)
        taken.release()
    assert indices == list(range(50))


def test_a_lost_connection_comes_out_after_the_frames_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def network(address: str, *, timeout_s: float) -> Iterator[Frame]:
        yield frame(0)
        yield frame(1)
        raise VideoReadError(address, "unavailable", f"no answer within {timeout_s:g} s", 0.1)

    monkeypatch.setattr(streaming, "network_frames", network)
    indices = []
    with pytest.raises(VideoReadError, match="no answer within 3 s"):
        indices.extend(each.index for each in read_frames("rtsp://camera/stream", timeout_s=3))
    assert indices == [0, 1]


def test_an_end_time_closes_a_live_source(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    def camera(_name: str) -> Iterator[Frame]:
        try:
            for index in range(10**6):
                yield frame(index)
        finally:
            closed.set()

    monkeypatch.setattr(streaming, "camera_frames", camera)
    assert all(each.time_s < 0.5 for each in read_frames(0, end_s=0.5))
    assert closed.wait(5)


def test_a_live_source_cannot_start_later() -> None:
    with pytest.raises(ConfigError, match="a live source begins now"):
        next(iter(read_frames(0, start_s=2.0)))


def test_frames_that_are_not_wanted_come_without_their_picture(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "scene.mp4", 10)
    every = list(read_frames(path))
    some = list(read_frames(path, wants=lambda time_s: round(time_s * 30) % 3 == 0, prefetch=2))
    assert [each.time_s for each in some] == [each.time_s for each in every]
    for whole, part in zip(every, some, strict=True):
        if part.index % 3 == 0:
            assert np.array_equal(part.image, whole.image)
        else:
            assert part.image.size == 0
