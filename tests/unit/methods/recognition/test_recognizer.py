"""What the public door accepts, and what it says of mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scenes import ColourDetector, ColourLandmarks, scene

from tubelet import Clip, Frame, Recognizer
from tubelet.cli.main import main
from tubelet.errors import ConfigError
from tubelet.methods.recognition import recognizer as door


@pytest.fixture
def recognizer(monkeypatch: pytest.MonkeyPatch) -> Recognizer:
    monkeypatch.setattr(door, "load_detector", lambda *_, **__: ColourDetector())
    monkeypatch.setattr(door, "LandmarkModel", lambda **_: ColourLandmarks())
    return Recognizer()


def pictures(count: int = 90) -> list[np.ndarray]:
    return [frame.image for frame in scene(count)]


def test_arrays_clips_lists_and_frames_give_the_same(recognizer: Recognizer) -> None:
    images = pictures()
    times_s = np.arange(len(images)) / 30
    expected = recognizer.recognize(scene(90)).segments
    assert len(expected) >= 1
    assert recognizer.recognize(np.stack(images), fps=30).segments == expected
    assert recognizer.recognize(iter(images), fps=30).segments == expected
    clip = Clip(frames=np.stack(images), timestamps_s=times_s, source="memory")
    assert recognizer.recognize(clip).segments == expected


def test_frames_need_not_be_numbered(recognizer: Recognizer) -> None:
    unnumbered = (Frame(image=frame.image, time_s=frame.time_s, index=0) for frame in scene(90))
    assert recognizer.recognize(unnumbered).segments == recognizer.recognize(scene(90)).segments


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("source", "options", "error", "said"),
    [
        (iter([1, 2]), {}, TypeError, "picture 0 is a int; a tubelet.Frame or an array is needed"),
        (pictures(2), {}, ConfigError, "fps is missing"),
        (np.zeros((2, 8, 8, 3), np.uint8), {"fps": 0}, ConfigError, "more than 0"),
        ([np.zeros((8, 8), np.uint8)], {"fps": 10}, ValueError, "uint8 (height, width, 3) is needed"),
        ("video.mp4", {"fps": 10}, ConfigError, "a video carries its own times"),
    ],
)
def test_mistakes_are_named(
    recognizer: Recognizer, source: object, options: dict[str, float], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        recognizer.recognize(source, **options)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_times_must_rise(recognizer: Recognizer) -> None:
    def frozen() -> Iterator[Frame]:
        for frame in scene(5):
            yield Frame(image=frame.image, time_s=1.0, index=frame.index)

    with pytest.raises(ValueError, match="times must rise"):
        recognizer.recognize(frozen())


@pytest.mark.parametrize("budget", [-0.1, 0.0, 1.5, float("nan")])
def test_a_budget_that_is_no_share_is_refused(budget: float) -> None:
    with pytest.raises(ConfigError, match=rf"token_budget is {budget:g}; allowed: more than 0, at most 1"):
        Recognizer(token_budget=budget)


@pytest.mark.parametrize("budget", ["-0.1", "0", "1.5", "half"])
def test_the_command_refuses_it_too(budget: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", "video.mp4", "--token-budget", budget]) == 2
    said = capsys.readouterr().err
    assert ("'half' is not a number" if budget == "half" else f"{budget} is no share of tokens") in said


def test_a_model_without_tokens_has_no_budget_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched."""
    monkeypatch.setattr(door, "load_detector", lambda *_, **__: pytest.fail("no detector is needed"))
    with pytest.raises(ConfigError) as caught:
        Recognizer(token_budget=0.5)
    assert "the model 'default', which looks at body landmarks, is no video transformer" in str(caught.value)
    assert "recognition:vit_small or recognition:vit_base" in str(caught.value)


def test_settings_say_the_budget(recognizer: Recognizer) -> None:
    assert recognizer.settings["token_budget"] == 1.0
