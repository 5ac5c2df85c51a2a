"""Which clips show the same, and which were taken in the same place, without comparing each with each.

Hashes are cut into chunks of 16 bits. Copies share some chunks whole, however they were coded, while unrelated clips
hardly ever share two. So only clips with chunks in common are compared: first their hashes, then their sketches. Of
clips that show the same, only the first (the leader) is compared with those that follow, so a thousand copies of one
clip cost no more than a thousand comparisons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from tubelet.datasets.check.facts import Facts
from tubelet.datasets.check.sketch import (
    FLAT,
    NUM_BITS,
    STILL,
    Look,
    Sketch,
    likeness,
    look_at,
    mirror_bits,
    mirrored,
    scene_likeness,
)

ALIKE = 0.92
STILL_ALIKE = 0.98
SAME_SCENE = 0.95

_CHUNK_BITS = 16
_CHUNKS = NUM_BITS // _CHUNK_BITS
# Buckets with more clips than this say little; of a clip that is only in such, the smallest few are used.
_CROWDED = 256
_FEW = 4
_MAX_COMPARED = 12
_MAX_DISTANCE = 0.3  # share of bits that differ; half of them do between unrelated pictures

ReadSketch = Callable[[int], Sketch]


@dataclass(frozen=True, slots=True)
class Copy:
    """A clip that shows what the first clip of its set shows.

    Attributes:
        index: Place of the clip.
        likeness: 1 for the same pictures.
        is_mirrored: Whether left and right are exchanged.
    """

    index: int
    likeness: float
    is_mirrored: bool


@dataclass(frozen=True, slots=True)
class CopySet:
    """Clips that show the same.

    Attributes:
        first: Place of the first of them.
        copies: The others.
    """

    first: int
    copies: tuple[Copy, ...]

    @property
    def members(self) -> tuple[int, ...]:
        """Places of all of them."""
        return (self.first, *(copy.index for copy in self.copies))


def find_copies(facts: Facts, read_sketch: ReadSketch) -> list[CopySet]:
    """Sets of clips that show the same from begin to end, also where they are coded, sized or lit in different ways.

    Black, plain and empty clips are left out: they look the same and show nothing.

    Args:
        facts: Of all clips.
        read_sketch: The sketch of a clip, by its place.
    """
    is_moving = facts.is_sound & (facts.movement >= STILL) & ((facts.detail >= FLAT) | (facts.movement >= FLAT))
    is_still = facts.is_sound & (facts.movement < STILL) & (facts.detail >= FLAT)

    look = _looks(read_sketch)

    def compare(one: int, other: int, is_mirrored: bool) -> float:
        theirs = look(other)
        return likeness(look(one), mirrored(theirs) if is_mirrored else theirs)

    found = _cluster(facts.motion_hashes, is_moving, compare, least=ALIKE, least_shared=2, mirrors=True)
    found |= _cluster(facts.scene_hash[:, None], is_still, compare, least=STILL_ALIKE, least_shared=1, mirrors=True)
    return [CopySet(first, tuple(copies)) for first, copies in sorted(found.items())]


def find_scenes(facts: Facts, read_sketch: ReadSketch) -> list[tuple[int, ...]]:
    """Sets of clips that seem to be taken by one camera that did not move: their median pictures are the same.

    Args:
        facts: Of all clips.
        read_sketch: The sketch of a clip, by its place.
    """
    look = _looks(read_sketch)

    def compare(one: int, other: int, _: bool) -> float:
        return scene_likeness(look(one), look(other))

    is_seen = facts.is_sound & (facts.detail >= 2 * FLAT)
    found = _cluster(facts.scene_hash[:, None], is_seen, compare, least=SAME_SCENE, least_shared=1, mirrors=False)
    return [(first, *(copy.index for copy in copies)) for first, copies in sorted(found.items())]


def _looks(read_sketch: ReadSketch) -> Callable[[int], Look]:
    """The looks of clips, of which the last few are kept: about 15 MB."""
    return lru_cache(maxsize=1024)(lambda index: look_at(read_sketch(index)))


def _cluster(
    all_hashes: UInt64[np.ndarray, "clip picture"],
    is_in: Bool[np.ndarray, " clip"],
    compare: Callable[[int, int, bool], float],
    *,
    least: float,
    least_shared: int,
    mirrors: bool,
) -> dict[int, list[Copy]]:
    """Copies by the place of the first clip that they are like."""
    places = np.flatnonzero(is_in)
    index = _Index(all_hashes[places])
    is_first = np.zeros(len(places), bool)
    found: dict[int, list[Copy]] = {}
    for number, place in enumerate(places.tolist()):
        best: tuple[float, int, bool] = (0.0, -1, False)
        for is_mirrored in (False, True) if mirrors else (False,):
            for candidate in index.candidates(number, is_first, least_shared, is_mirrored):
                score = compare(place, int(places[candidate]), is_mirrored)
                best = max(best, (score, candidate, is_mirrored))
                if score >= least:
                    break
        score, candidate, is_mirrored = best
        if score >= least:
            found.setdefault(int(places[candidate]), []).append(Copy(place, score, is_mirrored))
        else:
            is_first[number] = True
    return found


class _Index:
    """Finds clips that share chunks of their hashes.

    Args:
        hashes: Of the clips.
    """

    def __init__(self, hashes: UInt64[np.ndarray, "clip picture"]) -> None:
        self._hashes = hashes
        keys = self._keys(hashes)
        self._num_keys = keys.shape[1]
        # Sorted by key, and within one key by clip: two arrays are the whole index.
        order = np.argsort(keys.ravel(), kind="stable")
        self._sorted = keys.ravel()[order]
        self._clips = (order // self._num_keys).astype(np.int32) if self._num_keys else order.astype(np.int32)

    @staticmethod
    def _keys(hashes: UInt64[np.ndarray, "clip picture"]) -> Int64[np.ndarray, "clip key"]:
        """Each chunk with its place: only the same chunk of the same picture counts."""
        shifts = np.arange(_CHUNKS, dtype=np.uint64) * np.uint64(_CHUNK_BITS)
        chunks = (hashes[:, :, None] >> shifts) & np.uint64((1 << _CHUNK_BITS) - 1)
        chunks = chunks.reshape(len(hashes), hashes.shape[1] * _CHUNKS).astype(np.int64)
        keys: Int64[np.ndarray, "clip key"] = chunks + (np.arange(chunks.shape[1]) << _CHUNK_BITS)
        return keys

    def candidates(
        self, number: int, is_first: Bool[np.ndarray, " clip"], least_shared: int, is_mirrored: bool
    ) -> list[int]:
        """Clips that are worth a comparison, likeliest first."""
        own = self._hashes[number] ^ np.uint64(mirror_bits() if is_mirrored else 0)
        keys = self._keys(own[None])[0]
        begins = np.searchsorted(self._sorted, keys, side="left")
        ends = np.searchsorted(self._sorted, keys, side="right")
        by_size = np.argsort(ends - begins, kind="stable")
        by_size = by_size[(ends - begins)[by_size] > 0]
        used = by_size[(ends - begins)[by_size] <= _CROWDED]
        if len(used) < _FEW:
            used = by_size[:_FEW]
        if len(used) == 0:
            return []
        near = np.concatenate([self._clips[begins[one] : ends[one]] for one in used.tolist()])
        near = near[is_first[near]]
        clips, counts = np.unique(near, return_counts=True)
        clips = clips[counts >= min(least_shared, len(used))]
        differing = np.bitwise_count(self._hashes[clips] ^ own).mean(axis=1) / NUM_BITS
        order = np.argsort(differing, kind="stable")[:_MAX_COMPARED]
        return [int(clip) for clip in clips[order][differing[order] <= _MAX_DISTANCE]]
