"""What stays of a video, decided on its pictures, and how that is drawn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tubelet.errors import ConfigError
from tubelet.methods.token_pruning.deciding import by_pictures, kept_groups
from tubelet.methods.token_pruning.viz import dimmed
from tubelet.video import Frame

RNG = np.random.default_rng(0)
STILL = RNG.integers(0, 255, (112, 224, 3), dtype=np.uint8)


def moving(count: int) -> Iterator[Frame]:
    """Texture that stands still but for one square, which is another in every frame."""
    for number in range(count):
        image = STILL.copy()
        image[16:32, 64:96] = np.random.default_rng(number).integers(0, 255, (16, 32, 3))  # 32 px, squeezed
        yield Frame(image, number / 10, number)


def kept(count: int, method: str = "prev_sim", remove: float = 0.5, window: int | None = None) -> np.ndarray:
    decider = by_pictures(method, window=window, seed=0)
    found = list(kept_groups(moving(count), decider, remove, on_frame=lambda: None))
    assert [time_s for time_s, _ in found] == [number / 10 for number in range(count)]
    return np.stack([groups for _, groups in found])


def test_what_changes_stays() -> None:
    groups = kept(8, remove=0.8, window=8)
    assert groups.shape == (8, 7, 7)
    assert groups[0].all()  # the first frame of a window
    assert groups[1:, 1, 2].all()
    assert groups.sum() == 8 * 49 - int(0.8 * 8 * 49)


@pytest.mark.parametrize("method", ["prev_sim", "ref_sim", "window", "random", "uniform_frames", "random_frames"])
def test_budgets_hold_in_windows_and_the_rest_belongs_to_the_last(method: str) -> None:
    groups = kept(11, method, window=4)  # windows of 4 and 7
    assert groups[:4].sum() == 98
    if "frames" in method:
        assert groups[4:].sum() == 4 * 49
        assert all(frame.all() or not frame.any() for frame in groups)
    else:
        assert groups[4:].sum() == 7 * 49 - int(0.5 * 7 * 49)
        assert groups[0].all()
        assert groups[4].all()


def test_nothing_to_remove_keeps_all() -> None:
    assert kept(5, remove=0.0).all()
    assert kept(1).all()


def test_too_small_a_budget_names_the_window() -> None:
    with pytest.raises(ConfigError, match=r"window that begins at 0\.000 s: .*give a larger --budget"):
        kept(2, remove=0.8)


def test_methods_that_need_a_network_are_refused() -> None:
    with pytest.raises(ConfigError, match="method 'stts' needs a network; name a run with --model"):
        by_pictures("stts", window=None, seed=0)
    with pytest.raises(ConfigError, match="there is no method 'prev'; "):
        by_pictures("prev", window=None, seed=0)


def test_removed_places_are_grey_and_others_as_they_were() -> None:
    decider = by_pictures("prev_sim", window=None, seed=0)
    groups = np.ones((7, 7), bool)
    groups[0, 6] = False
    image = RNG.integers(0, 255, (70, 105, 3), dtype=np.uint8)
    result = dimmed(image, groups, decider)
    assert np.array_equal(result[10:], image[10:])
    assert np.array_equal(result[:, :90], image[:, :90])
    gone = result[:10, 90:]
    assert (gone == gone[..., :1]).all()
    assert 70 <= gone.min() <= gone.max() <= 70 + 0.3 * 255
