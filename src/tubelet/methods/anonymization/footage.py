"""From frames of any length to hidden frames: windows for the network, spans of time for its tubelets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from tubelet.methods.anonymization.data import as_video
from tubelet.methods.anonymization.fills import Fill, filled
from tubelet.methods.anonymization.followed import LOST_S, SquarePath
from tubelet.methods.anonymization.model import Anonymizer
from tubelet.methods.anonymization.pruning import Temporal
from tubelet.methods.anonymization.regions import DETECTION_HZ, REACH_S, PeopleRegions
from tubelet.people.landmarks import Pose
from tubelet.people.squares import crop_square
from tubelet.video import Frame

Image = UInt8[np.ndarray, "height width 3"]
_EARLY = 0.8  # of a step: of 30 frames a second every second one is taken for 15


@dataclass(frozen=True, kw_only=True)
class Span:
    """What one time step of tubelets decides, for the whole picture or for the square that goes with a person.

    Attributes:
        start_s: From when.
        end_s: Until before when.
        kept: Which tubelets stay.
        window: Number of the window of frames that the network saw at once.
        path: Where the person's square is; None for the whole picture.
    """

    start_s: float
    end_s: float
    kept: Bool[np.ndarray, "rows columns"]
    window: int = 0
    path: SquarePath | None = None

    def hidden(self, size: tuple[int, int], time_s: float) -> Bool[np.ndarray, "height width"]:
        """What it removes of a picture."""
        if self.path is None:
            return ~grown(self.kept, size)
        mask = np.zeros(size, bool)
        x0, y0, side = self.path.at(time_s)
        rows, columns = (slice(max(low, 0), max(low + side, 0)) for low in (y0, x0))
        inside = mask[rows, columns]
        top, left = max(-y0, 0), max(-x0, 0)
        inside[:] = ~grown(self.kept, (side, side))[top : top + inside.shape[0], left : left + inside.shape[1]]
        return mask


@dataclass(frozen=True, kw_only=True)
class HiddenFrame:
    """One frame before and after.

    Attributes:
        frame: As it was read.
        image: As it is to be published.
        hidden: What was removed.
    """

    frame: Frame
    image: Image
    hidden: Bool[np.ndarray, "height width"]


def _ignore(_: Span) -> None:
    pass


@dataclass(kw_only=True)
class Hider:
    """How footage is hidden.

    Attributes:
        anonymizer: Prunes tubelets; None hides people alone.
        keep: Share of the tubelets that stays.
        keep_rate: Share that each pruning block keeps, instead of `keep`.
        temporal: See `PruningConfig`.
        fill: What comes where pixels were.
        people: Finds people to hide; None prunes tubelets alone.
        step_s: Time from one frame of the network's clip to the next.
        on_span: Called with every span as it is decided.
        repeated: Of each window so far how many frames were missing, because the video ended, and its last frame was
            shown to the network again instead.
    """

    anonymizer: Anonymizer | None
    keep: float | None
    keep_rate: float | None = None
    temporal: Temporal = "none"
    fill: Fill = "black"
    people: PeopleRegions | None = None
    step_s: float = 1 / 15
    on_span: Callable[[Span], None] = field(default=_ignore)
    repeated: list[int] = field(default_factory=list, init=False)

    def run(self, frames: Iterable[Frame]) -> Iterator[HiddenFrame]:
        """Hide every frame, in order; a window of them is held at a time.

        Where people are hidden, a frame waits until they were looked for as long after it as a box reaches back.

        Raises:
            ValueError: Nothing is to be hidden, or the network is shown people and nothing finds them.
        """
        if self.anonymizer is None and self.people is None:
            raise ValueError("nothing is to be hidden: give an anonymizer, people, or both")
        if self.people is None and self.is_shown_people:
            raise ValueError("the anonymizer is shown squares round people, and nothing finds them: give people")
        waiting: deque[tuple[Frame, list[Span]]] = deque()
        held: list[Frame] = []
        sampled: list[int] = []  # places in `held` of what the network sees
        num_windows = 0
        length = 16 if self.anonymizer is None else self.anonymizer.network.shape.num_frames
        for frame in frames:
            is_due = not sampled or frame.time_s - held[sampled[-1]].time_s >= _EARLY * self.step_s
            if is_due and len(sampled) == length:
                yield from self._window(held, sampled, frame.time_s, num_windows, waiting)
                held, sampled, num_windows = [], [], num_windows + 1
            if is_due:
                sampled.append(len(held))
            held.append(frame)
        if held:
            yield from self._window(held, sampled, None, num_windows, waiting)

    def _window(
        self,
        held: list[Frame],
        sampled: list[int],
        next_s: float | None,
        number: int,
        waiting: deque[tuple[Frame, list[Span]]],
    ) -> Iterator[HiddenFrame]:
        """What can be said after a window of frames; `next_s` is the time of the frame after it, None at the end."""
        if self.people is not None:
            self._look(held)
        spans = self._spans(held, sampled, next_s, number)
        for span in spans:
            self.on_span(span)
        waiting.extend((frame, spans) for frame in held)
        # Whoever is found again after a miss was somewhere in between: that hides frames from before the next look.
        seen_to_s = np.inf if self.people is None or next_s is None else held[-1].time_s - max(REACH_S, LOST_S)
        while waiting and waiting[0][0].time_s <= seen_to_s:
            frame, decided = waiting.popleft()
            if self.people is not None:
                self.people.forget(frame.time_s)
            yield self._hidden(frame, decided)

    @property
    def is_shown_people(self) -> bool:
        """Whether the network is shown squares that go with people, and not whole pictures."""
        return self.anonymizer is not None and self.anonymizer.is_shown_people

    def _spans(self, held: list[Frame], sampled: list[int], next_s: float | None, window: int) -> list[Span]:
        """The network's verdict; each step of tubelets covers the time to the next one, half open.

        The last window of a video is filled up with its last frame.
        """
        if self.anonymizer is None:
            return []
        shape = self.anonymizer.network.shape
        seen = [held[place] for place in sampled]
        self.repeated.append(shape.num_frames - len(seen))
        seen += [seen[-1]] * self.repeated[-1]
        paths: list[SquarePath | None] = [None]
        if self.people is not None and self.is_shown_people:
            paths = [*self.people.follower.paths(held[0].time_s - REACH_S, held[-1].time_s)]
        changes: dict[str, Any] = {} if self.keep_rate is None else {"keep_rate": self.keep_rate}
        per_step = shape.tubelet[0]
        starts = [held[place].time_s for place in sampled[::per_step]]
        ends = [*starts[1:], next_s if next_s is not None else held[-1].time_s + self.step_s]
        spans = []
        for path in paths:  # one after the other: a crowd does not need more memory than one person
            clip = np.stack([_shown(frame, path, shape.size_px) for frame in seen])
            found = self.anonymizer.kept(as_video(clip[None]), keep=self.keep, temporal=self.temporal, **changes)
            kept = found[0].numpy()
            spans += [
                Span(start_s=start, end_s=end, kept=mask, window=window, path=path)
                for start, end, mask in zip(starts, ends, kept[: len(starts)], strict=True)
            ]
        return spans

    def _look(self, held: list[Frame]) -> None:
        """Find people several times in the window, and at both of its ends, so that nobody is missed between two."""
        if self.people is None:
            return
        last_s = -np.inf
        for number, frame in enumerate(held):
            if frame.time_s - last_s >= _EARLY / DETECTION_HZ or number == len(held) - 1:
                self.people.look(np.ascontiguousarray(frame.image), frame.time_s)
                last_s = frame.time_s

    def _hidden(self, frame: Frame, spans: list[Span]) -> HiddenFrame:
        size = frame.image.shape[:2]
        hidden = np.zeros(size, bool)
        if spans:
            # The latest step that has begun, and the first for a frame before it, which broken times can bring.
            start_s = max((span.start_s for span in spans if span.start_s <= frame.time_s), default=spans[0].start_s)
            for span in spans:
                if span.start_s == start_s:
                    hidden |= span.hidden(size, frame.time_s)
        poses: list[Pose] = []
        if self.people is not None:
            image = np.ascontiguousarray(frame.image)
            poses = self.people.poses(image, frame.time_s) if self._needs_poses() else []
            hidden |= self.people.hidden(size, frame.time_s, poses, self.people.faces(image, frame.time_s))
            if self.is_shown_people:  # nothing is known yet of who comes at the beginning of the next window
                decided = {span.path.person for span in spans if span.path is not None}
                hidden |= self.people.bodies(size, frame.time_s, without=decided)
        return HiddenFrame(frame=frame, image=filled(frame.image, hidden, self.fill, poses), hidden=hidden)

    def _needs_poses(self) -> bool:
        return self.people is not None and (self.fill == "silhouette" or self.people.needs_poses)


def _shown(frame: Frame, path: SquarePath | None, size_px: int) -> Image:
    """What the network is shown of a frame: all of it, squeezed, or a person's square."""
    if path is None:
        return np.asarray(cv2.resize(frame.image, (size_px, size_px), interpolation=cv2.INTER_AREA))
    return crop_square(frame.image, path.at(frame.time_s), size_px)


def grown(kept: Bool[np.ndarray, "rows columns"], size: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """A mask of tubelets at the size of the picture, which the network saw squeezed into its own."""
    rows, columns = (np.arange(pixels) * cells // pixels for pixels, cells in zip(size, kept.shape, strict=True))
    return kept[np.ix_(rows, columns)]
