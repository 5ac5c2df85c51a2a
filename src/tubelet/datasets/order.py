"""Which clips the batch of a step holds: pure functions of seed and step.

Epochs follow each other without a seam: the sequence of clips is one permutation after the other, and a batch is the
next piece of it. So every batch is full, every clip comes once an epoch, and a training that was killed at step 812
goes on with step 812, without any state that would have to be saved. Of several processes each takes its piece of
every batch; the pieces put together in the order of the ranks are the batch that a single process would have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, slots=True)
class Item:
    """One place in a batch.

    Attributes:
        index: Of the clip in its set.
        epoch: How often the whole set has been gone through before.
        draw: How often this clip came in this epoch before; above 0 only where classes are balanced.
    """

    index: int
    epoch: int = 0
    draw: int = 0

    def generator(self, seed: int) -> np.random.Generator:
        """All that is random about this item: its own numbers, whichever process draws them and when."""
        return np.random.default_rng((seed, self.epoch, self.index, self.draw))


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """The piece of every batch that one of several processes takes.

    Attributes:
        rank: Which process, from 0.
        world_size: How many there are.
    """

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank is {self.rank} of {self.world_size}; allowed: 0 to {self.world_size - 1}")

    def of(self, start: int, end: int) -> range:
        """This process's part of the places [start, end), in order; parts differ by at most one."""
        count = end - start
        return range(start + count * self.rank // self.world_size, start + count * (self.rank + 1) // self.world_size)


class EpochOrder:
    """Shuffled epochs, with every clip once in each, or with all classes equally often.

    Args:
        num_clips: Size of the set.
        batch_size: Clips of one step, over all processes together.
        seed: Of the run.
        share: Which piece of each batch this process takes.
        labels: The classes of each clip, to balance them; None to take every clip once an epoch. Balanced, an epoch
            has as many places as there are clips, and every class gets the same number of them; the clips of a class
            take turns, so those of a rare class come several times, each with another view. Clips without a label count
            as a class of their own.

    Raises:
        ValueError: A number is out of range, or the processes cannot share the batch equally.
    """

    def __init__(
        self,
        num_clips: int,
        *,
        batch_size: int,
        seed: int = 0,
        share: Share | None = None,
        labels: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        self.share = share or Share()
        for name, value in (("num_clips", num_clips), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"{name} is {value}; allowed: 1 or more")
        if batch_size % self.share.world_size:
            raise ValueError(
                f"batch_size is {batch_size} and there are {self.share.world_size} processes; "
                f"take a multiple, such as {math.ceil(batch_size / self.share.world_size) * self.share.world_size}"
            )
        if labels is not None and len(labels) != num_clips:
            raise ValueError(f"{len(labels)} labels were given for {num_clips} clips; give one tuple for each clip")
        self.num_clips, self.batch_size, self.seed = num_clips, batch_size, seed
        self._members = None if labels is None else _members(labels)
        self._drawn: dict[int, tuple[Int64[np.ndarray, " places"], Int64[np.ndarray, " places"]]] = {}

    def num_steps(self, num_epochs: float) -> int:
        """Steps until the set has been gone through so often; the last batch may reach into the next epoch."""
        return max(1, math.ceil(num_epochs * self.num_clips / self.batch_size - 1e-9))

    def at(self, step: int) -> tuple[Item, ...]:
        """The items of a step that are this process's."""
        if step < 0:
            raise ValueError(f"step is {step}; allowed: 0 or more")
        places = self.share.of(step * self.batch_size, (step + 1) * self.batch_size)
        return tuple(self._item(place) for place in places)

    def _item(self, place: int) -> Item:
        epoch, number = divmod(place, self.num_clips)
        if epoch not in self._drawn:
            # A batch touches two epochs at most, unless it is larger than the set.
            self._drawn = {known: drawn for known, drawn in self._drawn.items() if known == epoch - 1}
            self._drawn[epoch] = self._draw(epoch)
        indices, draws = self._drawn[epoch]
        return Item(int(indices[number]), epoch, int(draws[number]))

    def _draw(self, epoch: int) -> tuple[Int64[np.ndarray, " places"], Int64[np.ndarray, " places"]]:
        generator = np.random.default_rng((self.seed, epoch))
        if self._members is None:
            return generator.permutation(self.num_clips), np.zeros(self.num_clips, dtype=np.int64)
        indices = _balanced(self._members, self.num_clips, generator)
        return indices, _earlier(indices)


def in_order(num_clips: int, *, batch_size: int, share: Share | None = None) -> list[tuple[Item, ...]]:
    """Every clip once, as the set has them, for evaluation: the items of each step that are this process's.

    The last batch is smaller where the numbers do not fit. Of several processes each has the same number of steps, and
    may have nothing to do in the last one.
    """
    for name, value in (("num_clips", num_clips), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{name} is {value}; allowed: 1 or more")
    share = share or Share()
    starts = range(0, num_clips, batch_size)
    return [tuple(Item(place) for place in share.of(start, min(start + batch_size, num_clips))) for start in starts]


def _members(labels: Sequence[tuple[int, ...]]) -> list[Int64[np.ndarray, " members"]]:
    """The clips of each class that has any."""
    members: dict[int, list[int]] = {}
    for index, of_clip in enumerate(labels):
        for label in of_clip or (-1,):
            members.setdefault(label, []).append(index)
    return [np.array(members[label], dtype=np.int64) for label in sorted(members)]


def _balanced(
    members: list[Int64[np.ndarray, " _"]], num_places: int, generator: np.random.Generator
) -> Int64[np.ndarray, " places"]:
    """The clip at each place: classes equally often (up to one), the clips of a class equally often (up to one)."""
    places, left_over = divmod(num_places, len(members))
    gets_one_more = generator.permutation(len(members)) < left_over
    drawn = []
    for of_class, more in zip(members, gets_one_more.tolist(), strict=True):
        count = places + more
        rounds = [generator.permutation(of_class) for _ in range(-(-count // len(of_class)))]
        drawn.append(np.concatenate([*rounds, of_class[:0]])[:count])
    return generator.permutation(np.concatenate(drawn))


def _earlier(indices: Int64[np.ndarray, " places"]) -> Int64[np.ndarray, " places"]:
    """How often the number at each place came before it."""
    by_number = np.argsort(indices, kind="stable")
    ordered = indices[by_number]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    firsts = np.flatnonzero(is_first)
    earlier = np.empty(len(indices), dtype=np.int64)
    earlier[by_number] = np.arange(len(indices)) - firsts[np.cumsum(is_first) - 1]
    return earlier
