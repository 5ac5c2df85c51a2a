"""A recogniser whose pretrained parts are stand-ins, so that the whole command runs in a second."""

from __future__ import annotations

import pytest
from scenes import ColourDetector, ColourLandmarks

from tubelet.methods.recognition import recognizer


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detector and landmarks are replaced; decoding, tracking, the shipped action model and all output are real."""
    monkeypatch.setattr(recognizer, "load_detector", lambda *_, **__: ColourDetector())
    monkeypatch.setattr(recognizer, "LandmarkModel", lambda **_: ColourLandmarks())
