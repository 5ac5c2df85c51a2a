from __future__ import annotations

import cv2
import numpy as np
import pytest

from tubelet.datasets.check.duplicates import Copy, find_copies, find_scenes
from tubelet.datasets.check.facts import Facts
from tubelet.datasets.check.sketch import SIDE_PX, SKETCH_BYTES, hashes, look_at

_GREY = 8 * SIDE_PX**2


def random_sketch(generator: np.random.Generator, background: np.ndarray | None = None) -> np.ndarray:
    """A blob that crosses a background."""
    room = (
        cv2.resize(generator.uniform(0, 255, (5, 5)).astype(np.float32), (16, 16)) if background is None else background
    )
    place, speed = generator.uniform(2, 14, 2), generator.uniform(-1.5, 1.5, 2)
    rows, columns = np.mgrid[:16, :16]
    pictures = np.stack(
        [
            room + 110 * np.exp(-(((rows - y) ** 2 + (columns - x) ** 2) / 8))
            for y, x in (place + speed * number for number in range(8))
        ]
    )
    colours = np.repeat(cv2.resize(generator.uniform(90, 166, (3, 3, 2)).astype(np.float32), (8, 8))[None], 8, axis=0)
    return np.concatenate([np.clip(pictures, 0, 255).ravel(), colours.ravel()]).astype(np.uint8)


def coded(sketch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """As another encoder, and a little less light, would have left it."""
    changed = sketch * 1.0
    changed[:_GREY] = changed[:_GREY] * 0.9 + 5
    return np.clip(np.rint(changed + generator.normal(0, 0.7, len(sketch))), 0, 255).astype(np.uint8)


def mirror(sketch: np.ndarray) -> np.ndarray:
    grey, colour = sketch[:_GREY].reshape(8, 16, 16), sketch[_GREY:].reshape(8, 8, 8, 2)
    return np.concatenate([grey[:, :, ::-1].ravel(), colour[:, :, ::-1].ravel()])


class Sketches:
    """Facts of sketches, and a count of how often one was read."""

    def __init__(self, sketches: np.ndarray) -> None:
        self._sketches = sketches
        self.num_read = 0
        self.facts = Facts(len(sketches))
        for index, sketch in enumerate(sketches):
            look = look_at(sketch)
            self.facts.is_done[index] = self.facts.is_sound[index] = True
            self.facts.detail[index], self.facts.movement[index] = look.detail, look.movement
            self.facts.motion_hashes[index] = hashes(look.motion)
            self.facts.scene_hash[index] = hashes(look.scene[None])[0]

    def read(self, index: int) -> np.ndarray:
        self.num_read += 1
        return self._sketches[index]


def many(number: int, copy_every: int) -> tuple[np.ndarray, dict[int, int]]:
    """Sketches, and which of them is a copy of which."""
    generator = np.random.default_rng(7)
    sketches = np.zeros((number, SKETCH_BYTES), np.uint8)
    truth: dict[int, int] = {}
    for index in range(number):
        if index % copy_every == copy_every - 1:
            original = int(
                generator.choice([place for place in range(max(0, index - 50), index) if place not in truth])
            )
            truth[index] = original
            sketches[index] = coded(sketches[original], generator)
        else:
            sketches[index] = random_sketch(generator)
    return sketches, truth


def test_copies_are_found_among_many_with_few_comparisons() -> None:
    sketches, truth = many(900, copy_every=15)
    known = Sketches(sketches)
    found = {copy.index: one.first for one in find_copies(known.facts, known.read) for copy in one.copies}

    assert len(truth) == 60
    assert sum(found.get(index) == original for index, original in truth.items()) >= 58
    assert [index for index, original in found.items() if truth.get(index) != original] == []
    assert known.num_read < 900 * 6  # of 404,550 pairs


def test_a_mirrored_copy_is_found_and_called_so() -> None:
    generator = np.random.default_rng(1)
    sketches = np.stack([random_sketch(generator) for _ in range(4)])
    known = Sketches(np.concatenate([sketches, mirror(sketches[2])[None]]))
    (one,) = find_copies(known.facts, known.read)
    assert (one.first, [(copy.index, copy.is_mirrored) for copy in one.copies]) == (2, [(4, True)])
    assert one.members == (2, 4)


def test_a_thousand_copies_of_one_clip_are_one_set() -> None:
    sketch = random_sketch(np.random.default_rng(2))
    known = Sketches(np.repeat(sketch[None], 1000, axis=0))
    (one,) = find_copies(known.facts, known.read)
    assert one.first == 0
    assert len(one.copies) == 999
    assert one.copies[0] == Copy(1, pytest.approx(1.0), False)
    assert known.num_read < 3000


@pytest.mark.parametrize("level", [0, 3, 90, 255])
def test_dark_and_plain_clips_are_no_copies(level: int) -> None:
    generator = np.random.default_rng(level)
    plain = np.clip(np.rint(generator.normal(level, 0.6, (300, SKETCH_BYTES))), 0, 255).astype(np.uint8)
    known = Sketches(plain)
    assert find_copies(known.facts, known.read) == []
    assert find_scenes(known.facts, known.read) == []


def test_clips_of_one_camera_are_one_scene() -> None:
    generator = np.random.default_rng(3)
    rooms = np.stack([random_sketch(generator) for _ in range(6)])
    here = np.repeat(rooms[:1], 5, axis=0).reshape(5, -1)
    for number, one in enumerate(here):
        # Somebody small passes at another place each time.
        pictures = one[:_GREY].reshape(8, 16, 16)
        pictures[:] = pictures[0]
        for time in range(8):
            pictures[time, 3 * number, 2 * time] = 255
    known = Sketches(np.concatenate([here, rooms[1:]]))
    assert find_scenes(known.facts, known.read) == [(0, 1, 2, 3, 4)]
    assert find_copies(known.facts, known.read) == []


def test_broken_clips_are_not_compared() -> None:
    known = Sketches(np.repeat(random_sketch(np.random.default_rng(2))[None], 3, axis=0))
    known.facts.is_sound[:2] = False
    assert find_copies(known.facts, known.read) == []
    assert known.num_read == 0


def test_nothing_is_found_in_nothing() -> None:
    facts = Facts(0)
    assert find_copies(facts, lambda index: np.zeros(SKETCH_BYTES, np.uint8)) == []
    assert find_scenes(facts, lambda index: np.zeros(SKETCH_BYTES, np.uint8)) == []
