"""A browser and a finished result folder, shared by all browser tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Browser
from recognised import recognition, segment, track_row

from tubelet.errors import VideoReadError
from tubelet.methods.recognition.draw import draw_video
from tubelet.methods.recognition.outputs import ResultWriter
from tubelet.methods.recognition.timeline import Recognition
from tubelet.video import VideoWriter, probe


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result folder as the command writes it, of a six-second clip, with its annotated video."""
    folder = tmp_path_factory.mktemp("results")
    clip = folder / "my clip #1.mp4"
    with VideoWriter(clip, width=320, height=180, fps=25) as writer:
        for index in range(150):
            writer.write(np.full((180, 320, 3), index, np.uint8), index / 25)
    found = recognition(str(clip), info=probe(str(clip)))
    with ResultWriter(folder / "out", [str(clip)]) as written, written.source(str(clip)) as sink:
        for index in range(150):
            sink.add(track_row(1, index, landmarks=True))
        sink.finish(found)
        path = sink.media_path("annotated.mp4")
        sink.add_video(path, offset_s=draw_video(str(clip), sink.rows(), found, path))
    return folder / "out"


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result folder of an hour with fifty people, a source with a hostile name, and one that failed."""
    folder = tmp_path_factory.mktemp("crowded")
    evil = "<img src=x onerror=document.title='owned'>.mp4"
    sources = [_crowd("hour.mp4"), recognition(evil), recognition("empty.mp4", [])]
    with ResultWriter(folder, [item.source for item in sources] + ["bad.mp4"]) as written:
        for item in sources:
            with written.source(item.source) as sink:
                sink.finish(item)
        written.fail("bad.mp4", VideoReadError("bad.mp4", "truncated", "the file ends early; copy it again"))
    return folder


def _crowd(source: str) -> Recognition:
    labels = ("walk", "stand", "wave", "unknown", "jumping_jack")
    segments = [
        segment(person, 60.0 * person + 10 * piece, 60.0 * person + 10 * (piece + 1), labels[(person + piece) % 5])
        for person in range(1, 51)
        for piece in range(40)
    ]
    return recognition(source, segments, duration_s=3600.0)
