"""People followed from look to look, and what a network that is shown their squares hides of footage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float

from tubelet.methods.anonymization import model as model_module
from tubelet.methods.anonymization.followed import Follower, Found
from tubelet.methods.anonymization.footage import Hider, Span
from tubelet.methods.anonymization.model import EMBEDDED, SHOWN_PEOPLE, Anonymizer, DualTokenViT, VitShape
from tubelet.methods.anonymization.pruning import PruningConfig
from tubelet.methods.anonymization.recipes import people
from tubelet.methods.anonymization.regions import HidePeople, PeopleRegions
from tubelet.people.boxes import Boxes
from tubelet.people.landmarks import Pose
from tubelet.people.squares import Square, crop_square
from tubelet.video import Frame
from tubelet.weights.archives import file_sha256

SHAPE = VitShape(
    num_frames=4, size_px=32, tubelet=(2, 8, 8), channels=12, depth=2, num_heads=2, dropout=0.0,
    attention_dropout=0.0, drop_path=0.0,
)  # fmt: skip
SIZE = (90, 160)


def found(time_s: float, *boxes: list[float]) -> Found:
    return Found(time_s, np.array(boxes, np.float32).reshape(-1, 4), np.zeros((0, 4), np.float32))


def person(x: float, y: float, height: float = 40.0) -> list[float]:
    return [x - height / 5, y - height / 2, x + height / 5, y + height / 2]


def test_people_keep_their_numbers_while_they_pass_each_other_at_some_distance() -> None:
    follower = Follower()
    for step in range(6):
        left, right = person(30 + 10 * step, 20), person(130 - 10 * step, 70)
        follower.add(found(0.2 * step, *((left, right) if step % 2 else (right, left))))
    paths = {path.person: path for path in follower.paths(0, 1)}
    assert sorted(paths) == [0, 1]  # the first look named the right one first
    np.testing.assert_allclose(paths[0].middles_px[:, 0], 130 - 10 * np.arange(6))
    np.testing.assert_allclose(paths[1].middles_px[:, 0], 30 + 10 * np.arange(6))


def test_somebody_far_away_grown_or_long_gone_is_somebody_new() -> None:
    for other in (found(0.2, person(130, 45)), found(0.2, person(40, 45, 90)), found(1.0, person(40, 45))):
        follower = Follower()
        follower.add(found(0.0, person(40, 45)))
        if other.time_s > 0.2:
            follower.add(found(0.4))
        follower.add(other)
        assert [path.person for path in follower.paths(0, 2)] == [0, 1]


def test_a_square_moves_evenly_between_looks_and_has_one_side() -> None:
    follower = Follower()
    for time_s, x, height in ((0.0, 40, 40), (0.2, 60, 50), (0.4, 60, 40)):
        follower.add(found(time_s, person(x, 45, height)))
    (path,) = follower.paths(0, 1)
    assert path.side_px == 65  # 1.3 of the longest edge
    assert [path.at(time_s) for time_s in (-1.0, 0.0, 0.1, 0.2, 9.0)] == [
        Square(x, round(45 - 32.5), 65) for x in (8, 8, 18, 28, 28)
    ]


def test_what_is_old_is_dropped_and_a_window_has_its_own_looks() -> None:
    follower = Follower()
    for step in range(10):
        follower.add(found(0.2 * step, person(30 + step, 45)))
    assert len(follower.paths(0.9, 1.5)[0].times_s) == 3
    follower.forget(0.9)
    assert follower.paths(0.0, 5.0)[0].times_s.min() == pytest.approx(1.0)
    follower.forget(2.0)
    assert follower.paths(0.0, 5.0) == []


class Passers:
    """A detector that knows where somebody is at each frame, which the frame says, and finds them where it is told."""

    def __init__(self, place_of: Callable[[int], list[float]], is_found: Callable[[int], bool]) -> None:
        self.place_of, self.is_found = place_of, is_found
        self.num_looks = 0

    def detect(self, image: np.ndarray, *, tile_px: int | None = None, people_px: object = None) -> Boxes:
        if people_px is not None:
            return Boxes.empty()
        self.num_looks += 1
        frame = int(image[0, 0, 0])
        if not self.is_found(self.num_looks if self.is_found is every_second else frame):
            return Boxes.empty()
        return Boxes(np.array([self.place_of(frame)], np.float32), np.ones(1, np.float32))

    def estimate_many(self, image: np.ndarray, boxes_px: list[Float[np.ndarray, " 4"]]) -> list[Pose]:
        return []


def every_second(look: int) -> bool:
    return look % 2 == 1


def middles_shown(passers: Passers, frames: list[Frame], *, anonymizer: Anonymizer | None = None) -> list[int]:
    """Frames on which the middle of somebody's box stays visible."""
    hide: HidePeople = "body" if anonymizer is None else "face"
    regions = PeopleRegions(passers, passers, hide, faces=passers if anonymizer else None)
    hider = Hider(anonymizer=anonymizer, keep=0.5, temporal="tube", people=regions, step_s=1 / 6)
    shown = []
    for done in hider.run(frames):
        x0, y0, x1, y1 = passers.place_of(done.frame.index)
        if not done.hidden[round((y0 + y1) / 2), round((x0 + x1) / 2)]:
            shown.append(done.frame.index)
    return shown


@pytest.mark.parametrize("shift", range(0, 30, 4))
def test_a_miss_hides_alike_wherever_windows_begin(shift: int) -> None:
    """Somebody is found before and after a gap of 0.6 s, which is too long for the boxes of both to reach."""
    gap = range(shift + 31, shift + 49)
    passers = Passers(lambda frame: person(20 + 1.2 * (frame - shift), 45), lambda frame: frame not in gap)
    assert middles_shown(passers, walking(shift + 80)[shift:]) == []


def test_a_runner_who_is_found_at_every_second_look_is_hidden() -> None:
    passers = Passers(lambda frame: person(10 + 50 / 30 * frame, 45, 20), every_second)
    assert middles_shown(passers, walking(80)) == []


@pytest.mark.parametrize("count", [49, 50, 57, 58])
def test_a_look_that_misses_in_a_short_last_window_shows_nobody(count: int) -> None:
    nothing = every_tubelet_hidden()
    assert middles_shown(Passers(lambda _: person(80, 45), every_second), walking(count), anonymizer=nothing) == []


def test_whoever_comes_with_the_next_window_is_hidden_a_little_before() -> None:
    passers = Passers(lambda _: person(80, 45), lambda frame: frame >= 24)
    shown = middles_shown(passers, walking(60), anonymizer=every_tubelet_hidden())
    # They are found in frame 26, and half a second before it is hidden as well.
    assert shown in (list(range(11)), list(range(12)))


def test_at_one_frame_a_second_a_walker_is_one_person() -> None:
    follower = Follower()
    for second in range(8):
        follower.add(found(float(second), person(20 + 30 * second, 45)))
    (path,) = follower.paths(0, 9)
    assert len(path.times_s) == 8


def every_tubelet_hidden() -> Anonymizer:
    """Shown people, it keeps the upper left tubelet alone, so that a square hides the middle of its person."""
    anonymizer = shown_people()

    def kept(video: torch.Tensor, **_: object) -> torch.Tensor:
        found = torch.zeros(len(video), 2, 4, 4, dtype=torch.bool)
        found[..., 0, 0] = True
        return found

    anonymizer.kept = kept  # type: ignore[method-assign,assignment]
    return anonymizer


class Walkers:
    """A detector that knows where two people walk, and joints and faces that are not there."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def detect(
        self,
        image: np.ndarray,
        *,
        tile_px: int | None = None,
        people_px: object = None,
    ) -> Boxes:
        if people_px is not None:
            return Boxes.empty()
        place = float(image[0, 0, 0])  # frames say where they are
        boxes = np.array([person(30 + place, 40), person(150, 60)], np.float32)
        return Boxes(boxes, np.ones(2, np.float32))

    def estimate_many(self, image: np.ndarray, boxes_px: list[Float[np.ndarray, " 4"]]) -> list[Pose]:
        return []


def test_the_network_that_ships_is_the_one_of_its_card() -> None:
    folder = Path(model_module.__file__).parent / "weights"
    card = json.loads((folder / "people.json").read_text())
    assert file_sha256(folder / card["file"]) == card["sha256"]
    shipped = Anonymizer.load(EMBEDDED)
    assert shipped.is_shown_people
    assert shipped.facts["config"]["seed"] == card["seed"]
    recipe = people()
    for name in ("num_warm_steps", "num_steps", "action_weight", "privacy_mode"):
        assert shipped.facts["config"][name] == getattr(recipe, name)
    video = torch.rand(2, 3, 8, 128, 128, generator=torch.Generator().manual_seed(0))
    kept = shipped.kept(video, keep=0.25, temporal="tube")
    assert kept.shape == (2, 4, 8, 8)
    assert kept.flatten(2).sum(2).tolist() == [[16] * 4] * 2


def walking(count: int) -> list[Frame]:
    frames = []
    for index in range(count):
        image = np.full((*SIZE, 3), 200, np.uint8)
        image[0, 0] = index
        frames.append(Frame(image=image, time_s=index / 30, index=index))
    return frames


def shown_people() -> Anonymizer:
    torch.manual_seed(0)
    return Anonymizer(DualTokenViT(3, 2, SHAPE), PruningConfig(blocks=(1,), keep=0.5), {"shown": SHOWN_PEOPLE})


def test_tubelets_go_with_people_and_nothing_else_is_hidden() -> None:
    walkers, spans = Walkers(), list[Span]()
    regions = PeopleRegions(walkers, walkers, "face", faces=walkers)
    hider = Hider(anonymizer=shown_people(), keep=0.5, temporal="tube", people=regions, on_span=spans.append)
    done = list(hider.run(walking(40)))
    assert [each.frame.index for each in done] == list(range(40))
    assert {span.path.person for span in spans if span.path is not None} == {0, 1}
    for each in done:
        expected = np.zeros(SIZE, bool)
        deciding = [span for span in spans if span.start_s <= each.frame.time_s < span.end_s]
        assert len(deciding) == 2
        for span in deciding:
            assert span.path is not None
            square = span.path.at(each.frame.time_s)
            # Shown to scale, the square's places are visible or hidden as the network decided.
            cells = crop_square((~each.hidden[..., None]).astype(np.uint8).repeat(3, 2), square, 4 * square.side)
            middles = cells[square.side // 2 :: square.side, square.side // 2 :: square.side, 0] > 0
            assert not middles[~span.kept].any()
            expected |= span.hidden(SIZE, each.frame.time_s)
        assert (each.hidden >= expected).all()
        upper = each.hidden & ~expected  # heads are hidden as well, whatever the tubelets say
        assert upper.any()
        assert not upper[60:].any()
        assert not each.hidden[:, 98:120].any()  # between the two


def test_a_square_that_reaches_over_the_edge_hides_what_is_inside() -> None:
    follower = Follower()
    follower.add(found(0.0, person(5, 5, 40)))
    (path,) = follower.paths(0, 0)
    kept = np.ones((4, 4), bool)
    kept[3, 2] = False
    mask = Span(start_s=0, end_s=1, kept=kept, path=path).hidden(SIZE, 0.0)
    assert path.at(0.0) == Square(-21, -21, 52)
    assert mask[18:31, 5:18].all()
    assert mask.sum() == 13 * 13


def test_a_network_that_is_shown_people_needs_somebody_who_finds_them() -> None:
    with pytest.raises(ValueError, match="nothing finds them: give people"):
        list(Hider(anonymizer=shown_people(), keep=0.5).run(walking(2)))


def test_a_runner_is_hidden_between_two_looks_too() -> None:
    follower = Follower()
    follower.add(found(0.0, person(40, 45)))
    follower.add(found(0.2, person(70, 45)))
    for time_s, x in ((0.1, 55), (0.0, 40), (0.2, 70), (0.3, 85), (-0.1, 25)):
        np.testing.assert_allclose(follower.moving(time_s, 0.5), [person(x, 45)])
    assert len(follower.moving(0.8, 0.5)) == len(follower.moving(-0.6, 0.5)) == 0
    regions = PeopleRegions(Walkers(), Walkers(), "body")
    image = np.zeros((*SIZE, 3), np.uint8)
    for time_s, place in ((0.0, 0), (0.2, 30)):
        image[0, 0] = place
        regions.look(image, time_s)
    assert not regions.hidden(SIZE, 0.2, [], np.zeros((0, 4)))[40, 45]  # between the boxes of both looks
    assert regions.hidden(SIZE, 0.1, [], np.zeros((0, 4)))[40, 45]
    assert regions.hidden(SIZE, 0.4, [], np.zeros((0, 4)))[40, 90]  # and where they would have gone


def test_whoever_comes_late_does_not_make_the_video_short() -> None:
    passers = Passers(lambda _: person(80, 45), lambda frame: frame >= 82)
    spans: list[Span] = []
    regions = PeopleRegions(passers, passers, "face", faces=passers)
    hider = Hider(
        anonymizer=shown_people(), keep=0.5, temporal="tube", people=regions, step_s=1 / 6, on_span=spans.append
    )
    list(hider.run(walking(84)))
    assert {span.window for span in spans} == {len(hider.repeated) - 1}  # in the last window alone
    assert hider.repeated[0] == 0
    assert hider.repeated[-1] > 0
