"""Network streams whose sender is not what it should be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from tubelet.video import live


def times(monkeypatch: pytest.MonkeyPatch, ticks: list[int]) -> list[float]:
    """Times of the frames of a stream whose pictures carry these times, in hundredths of a second."""
    stream = SimpleNamespace(codec_context=SimpleNamespace(thread_type=""), time_base=Fraction(1, 100))
    pictures = [SimpleNamespace(pts=tick, dts=tick, is_corrupt=False) for tick in ticks]

    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(demux=lambda _: [SimpleNamespace(decode=lambda: pictures)])

    monkeypatch.setattr(live.av, "open", opened)
    monkeypatch.setattr(live, "pick_stream", lambda *_: stream)
    monkeypatch.setattr(live, "PictureConverter", lambda: lambda _: np.zeros((4, 4, 3), np.uint8))
    frames = list(live.network_frames("rtsp://cam/live", timeout_s=1))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    return [round(frame.time_s, 6) for frame in frames]


def test_times_count_from_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    assert times(monkeypatch, [500, 510, 520]) == [0.0, 0.1, 0.2]


def test_late_pictures_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert times(monkeypatch, [500, 510, 505, 510, 540, 440, 550]) == [0.0, 0.1, 0.4, 0.5]


def test_a_clock_that_steps_back_does_not_end_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    assert times(monkeypatch, [90_000, 90_010, 90_020, 3, 13, 23]) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert times(monkeypatch, [90_000, 89_000, 89_010]) == [0.0, 0.04, 0.14]
