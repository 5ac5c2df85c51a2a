"""People followed from look to look, as squares that go with them: what a network trained on such squares is shown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from tubelet.people.squares import Square

_SIDE = 1.3  # of a square, in longer edges of its person's box: in the middle of what the network is trained on
LOST_S = 0.75
"""Who was not found for so long, nor in the look before, is somebody new when found again."""

_STEP = 0.8  # heights that the middle of somebody's box may move from one look to the next, however soon that is …
_PACE = 4.0  # … and in a second: runners make 3
_SIZE = 2.0  # how much taller or smaller a box may become from one look to the next
_FORBIDDEN = 1e6


@dataclass(frozen=True)
class Found:
    """The people of one moment.

    Attributes:
        time_s: When.
        boxes_px: x0, y0, x1, y1 of each.
        faces_px: Likewise of each face that a face detector found; none where bodies are hidden.
    """

    time_s: float
    boxes_px: Float[np.ndarray, "people 4"]
    faces_px: Float[np.ndarray, "faces 4"]


@dataclass(frozen=True, kw_only=True)
class SquarePath:
    """Where the square of a person is during a window of frames.

    Attributes:
        person: Number of the person.
        times_s: Of the looks that found the person.
        middles_px: Middle of the box at each.
        side_px: Of the square, the same at all times, so that a tubelet stays on the same part of the body.
    """

    person: int
    times_s: Float[np.ndarray, " looks"]
    middles_px: Float[np.ndarray, "looks 2"]
    side_px: int

    def at(self, time_s: float) -> Square:
        """The square at a moment; between two looks it moves evenly, before and after them it stands."""
        x, y = (float(np.interp(time_s, self.times_s, self.middles_px[:, axis])) for axis in range(2))
        return Square(round(x - self.side_px / 2), round(y - self.side_px / 2), self.side_px)


@dataclass
class _Person:
    times_s: list[float] = field(default_factory=list)
    boxes_px: list[Float[np.ndarray, " 4"]] = field(default_factory=list)


class Follower:
    """Tells who of one look is who of the next, by where they are and how tall.

    A box that was found once is a person as well: somebody too many is hidden rather than one too few.
    """

    def __init__(self) -> None:
        self._people: dict[int, _Person] = {}
        self._num_people = 0
        self._looked_s = -np.inf  # when people were looked for last

    def add(self, found: Found) -> None:
        """Take in the next look."""
        since_s = min(found.time_s - LOST_S, self._looked_s)
        self._looked_s = found.time_s
        known = [name for name, each in self._people.items() if each.times_s[-1] >= since_s]
        last = np.array([self._people[name].boxes_px[-1] for name in known]).reshape(-1, 4)
        passed_s = found.time_s - np.array([self._people[name].times_s[-1] for name in known])
        cost = _distance(last, found.boxes_px, np.maximum(_STEP, _PACE * passed_s))
        rows, columns = linear_sum_assignment(cost)
        who = {column: known[row] for row, column in zip(rows, columns, strict=True) if cost[row, column] < _FORBIDDEN}
        for number, box in enumerate(found.boxes_px):
            if number not in who:
                who[number] = self._num_people
                self._people[self._num_people] = _Person()
                self._num_people += 1
            person = self._people[who[number]]
            person.times_s.append(found.time_s)
            person.boxes_px.append(box)

    def paths(self, start_s: float, end_s: float) -> list[SquarePath]:
        """The squares of everybody who was found between two moments, both included."""
        paths = []
        for name, person in self._people.items():
            inside = [place for place, time_s in enumerate(person.times_s) if start_s <= time_s <= end_s]
            if not inside:
                continue
            boxes = np.array([person.boxes_px[place] for place in inside], np.float64)
            edges = boxes[:, 2:] - boxes[:, :2]
            paths.append(
                SquarePath(
                    person=name,
                    times_s=np.array([person.times_s[place] for place in inside]),
                    middles_px=(boxes[:, :2] + boxes[:, 2:]) / 2,
                    side_px=max(1, round(_SIDE * float(edges.max()))),
                )
            )
        return paths

    def near(self, time_s: float, reach_s: float, *, without: Collection[int]) -> Float[np.ndarray, "boxes 4"]:
        """All boxes that were found so near to a moment, but for those of some people."""
        boxes = [np.zeros((0, 4))]
        for name, person in self._people.items():
            if name not in without:
                boxes += [
                    box[None]
                    for each_s, box in zip(person.times_s, person.boxes_px, strict=True)
                    if abs(each_s - time_s) <= reach_s
                ]
        return np.concatenate(boxes)

    def moving(self, time_s: float, reach_s: float) -> Float[np.ndarray, "people 4"]:
        """Where boxes are that move evenly from one look to the next: a runner leaves both boxes.

        Args:
            time_s: When.
            reach_s: How long before the first look and after the last one somebody goes on like that.
        """
        boxes = [np.zeros((0, 4))]
        for person in self._people.values():
            times = person.times_s
            if len(times) > 1 and times[0] - reach_s <= time_s <= times[-1] + reach_s:
                after = next((place for place, each in enumerate(times) if each >= time_s), len(times) - 1)
                after = max(1, after)
                share = (time_s - times[after - 1]) / (times[after] - times[after - 1])
                first, second = person.boxes_px[after - 1], person.boxes_px[after]
                boxes.append(((1 - share) * first + share * second)[None])
        return np.concatenate(boxes)

    def forget(self, before_s: float) -> None:
        """Drop looks before a moment, and who was not found since."""
        self._people = {name: each for name, each in self._people.items() if each.times_s[-1] >= before_s}
        for person in self._people.values():
            first = next(place for place, time_s in enumerate(person.times_s) if time_s >= before_s)
            del person.times_s[:first], person.boxes_px[:first]


def _distance(
    last: Float[np.ndarray, "known 4"], boxes: Float[np.ndarray, "found 4"], allowed: Float[np.ndarray, " known"]
) -> Float[np.ndarray, "known found"]:
    """Heights between the middles of boxes; forbidding where nobody moves so far or grows so much."""
    old, new = ((each[:, :2] + each[:, 2:]) / 2 for each in (last, boxes))
    tall_old, tall_new = (np.maximum(each[:, 3] - each[:, 1], 1.0) for each in (last, boxes))
    mean = (tall_old[:, None] + tall_new[None]) / 2
    distance = np.linalg.norm(old[:, None] - new[None], axis=2) / mean
    ratio = tall_old[:, None] / tall_new[None]
    return np.where((distance > allowed[:, None]) | (ratio > _SIZE) | (ratio < 1 / _SIZE), _FORBIDDEN, distance)
