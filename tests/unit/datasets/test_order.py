"""Which clips come in which step."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.datasets.order import EpochOrder, Item, Share, in_order

sizes = st.integers(1, 40)


@given(num_clips=sizes, batch_size=sizes, seed=st.integers(0, 2**32 - 1))
def test_every_clip_comes_once_in_every_epoch(num_clips: int, batch_size: int, seed: int) -> None:
    order = EpochOrder(num_clips, batch_size=batch_size, seed=seed)
    items = list(chain.from_iterable(order.at(step) for step in range(order.num_steps(3))))

    assert Counter(item for item in items if item.epoch < 3) == Counter(
        Item(index, epoch) for epoch in range(3) for index in range(num_clips)
    )
    assert len(items) - 3 * num_clips < batch_size


def test_epochs_are_shuffled_differently_and_seeds_too() -> None:
    first, second = (EpochOrder(50, batch_size=50, seed=seed).at for seed in (0, 1))
    orders = {tuple(item.index for item in at(step)) for at in (first, second) for step in (0, 1)}
    assert len(orders) == 4


def test_a_step_is_the_same_whatever_was_asked_before() -> None:
    asked = EpochOrder(7, batch_size=3, seed=5)
    steps = [asked.at(step) for step in range(20)]
    for step in (13, 2, 19, 0):
        assert asked.at(step) == steps[step] == EpochOrder(7, batch_size=3, seed=5).at(step)


@given(num_clips=sizes, world_size=st.integers(1, 5), pieces=st.integers(1, 6), balanced=st.booleans())
def test_the_pieces_of_all_processes_are_the_batch_of_one(
    num_clips: int, world_size: int, pieces: int, balanced: bool
) -> None:
    labels = [(index % 3,) for index in range(num_clips)] if balanced else None
    batch_size = world_size * pieces
    whole = EpochOrder(num_clips, batch_size=batch_size, labels=labels)
    parts = [
        EpochOrder(num_clips, batch_size=batch_size, labels=labels, share=Share(rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    for step in range(4):
        assert tuple(chain.from_iterable(part.at(step) for part in parts)) == whole.at(step)
        assert {len(part.at(step)) for part in parts} == {pieces}


def test_classes_and_the_clips_in_them_come_equally_often() -> None:
    labels = [(0,)] * 20 + [(1,)] * 3 + [(2,)]
    order = EpochOrder(24, batch_size=24, labels=labels)
    seen: Counter[int] = Counter()
    for step in range(12):
        items = order.at(step)
        assert Counter(labels[item.index][0] for item in items) == {0: 8, 1: 8, 2: 8}
        assert sorted(Counter(item.index for item in items if labels[item.index] == (1,)).values()) == [2, 3, 3]
        assert len(set(items)) == 24, "each time with another number, and so with another view"
        assert {item.draw for item in items if item.index == 23} == set(range(8))
        seen.update(item.index for item in items)
    assert set(seen) == set(range(24))


def test_places_that_do_not_divide_go_to_classes_by_lot() -> None:
    order = EpochOrder(7, batch_size=7, labels=[(0,), (0,), (0,), (0,), (0,), (1,), (2,)])
    most = {
        Counter(min(item.index, 6) // 5 + item.index // 6 for item in order.at(step)).most_common(1)[0][0]
        for step in range(20)
    }
    assert most == {0, 1, 2}


def test_clips_with_several_labels_and_with_none_can_be_balanced() -> None:
    labels = [(0, 1), (0,), (0,), (0,), (), (1,)]
    counts = Counter(item.index for step in range(50) for item in EpochOrder(6, batch_size=6, labels=labels).at(step))
    assert set(counts) == set(range(6))
    assert counts[4] == 100, "a third of the places: it is alone in its class"


def test_in_order_has_every_clip_once() -> None:
    assert in_order(5, batch_size=2) == [(Item(0), Item(1)), (Item(2), Item(3)), (Item(4),)]
    parts = [in_order(5, batch_size=2, share=Share(rank=rank, world_size=2)) for rank in range(2)]
    assert [len(part) for part in parts] == [3, 3]
    assert sorted(item.index for part in parts for step in part for item in step) == list(range(5))


def test_an_item_has_random_numbers_of_its_own() -> None:
    items = [Item(index, epoch, draw) for index in range(3) for epoch in range(3) for draw in range(3)]
    drawn = {float(item.generator(seed).random()) for item in items for seed in (0, 1)}
    assert len(drawn) == 54
    assert Item(1, 2, 0).generator(7).random() == np.random.default_rng((7, 2, 1, 0)).random()


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="num_clips is 0; allowed: 1 or more"):
        EpochOrder(0, batch_size=2)
    with pytest.raises(ValueError, match="batch_size is 0; allowed: 1 or more"):
        in_order(3, batch_size=0)
    with pytest.raises(ValueError, match="batch_size is 7 and there are 2 processes; take a multiple, such as 8"):
        EpochOrder(9, batch_size=7, share=Share(rank=1, world_size=2))
    with pytest.raises(ValueError, match="rank is 2 of 2; allowed: 0 to 1"):
        Share(rank=2, world_size=2)
    with pytest.raises(ValueError, match="1 labels were given for 2 clips; give one tuple for each clip"):
        EpochOrder(2, batch_size=1, labels=[(0,)])
    with pytest.raises(ValueError, match="step is -1; allowed: 0 or more"):
        EpochOrder(2, batch_size=1).at(-1)
