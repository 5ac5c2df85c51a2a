"""The little that is held of each clip while thousands are checked: numbers in arrays, about 150 bytes a clip."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tubelet.datasets.check.journal import Entry, sketch_of
from tubelet.datasets.check.sketch import NUM_PICTURES, hashes, look_at
from tubelet.datasets.quarantine import QuarantinedClip


class Facts:
    """What is known of the clips of a set, by their place in it.

    Args:
        num_clips: Of the set.

    Attributes:
        is_done: Whether it was looked at.
        is_sound: Whether it can be used.
        length_s: Of the clip, not of its file; seconds. So are all further facts those of sound clips.
        fps: Average pictures per second of its file.
        width_px: Of the displayed picture.
        height_px: Of the displayed picture.
        is_variable: Whether the rate of its file varies.
        detail: See `Look`.
        movement: See `Look`.
        brightness: See `Look`.
        motion_hashes: Of the pictures minus their mean.
        scene_hash: Of the median picture.
        offset: Where its sketch is in the journal.
        number: Which sketch of that line.
        broken: What is wrong with those that cannot be used.
        codecs: How many clips have which codec.
    """

    def __init__(self, num_clips: int) -> None:
        self.is_done = np.zeros(num_clips, bool)
        self.is_sound = np.zeros(num_clips, bool)
        self.length_s = np.full(num_clips, np.nan, np.float32)
        self.fps = np.full(num_clips, np.nan, np.float32)
        self.width_px = np.zeros(num_clips, np.int32)
        self.height_px = np.zeros(num_clips, np.int32)
        self.is_variable = np.zeros(num_clips, bool)
        self.detail = np.zeros(num_clips, np.float32)
        self.movement = np.zeros(num_clips, np.float32)
        self.brightness = np.zeros(num_clips, np.float32)
        self.motion_hashes = np.zeros((num_clips, NUM_PICTURES), np.uint64)
        self.scene_hash = np.zeros(num_clips, np.uint64)
        self.offset = np.zeros(num_clips, np.int64)
        self.number = np.zeros(num_clips, np.int16)
        self.broken: dict[int, tuple[str, str, float | None]] = {}
        self._codec: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.is_done)

    @property
    def codecs(self) -> Counter[str]:
        """How many clips have which codec."""
        return Counter(self._codec.values())

    def note(self, index: int, entry: Entry, number: int) -> None:
        """Take over what a line of the journal says of a clip.

        Args:
            index: Place of the clip in its set.
            entry: The line.
            number: Which of the spans of the line is the clip's.
        """
        span = entry.spans[number]
        self.is_done[index] = True
        self.is_sound[index] = not span["cause"]
        self.broken.pop(index, None)
        if span["cause"]:
            self.broken[index] = (span["cause"], span["detail"], span["time_s"])
            return
        self._note_video(index, entry.video or {}, span)
        sketch = sketch_of(span)
        if sketch is None:
            return
        look = look_at(sketch)
        self.detail[index], self.movement[index], self.brightness[index] = look.detail, look.movement, look.brightness
        self.motion_hashes[index] = hashes(look.motion)
        self.scene_hash[index] = hashes(look.scene[None])[0]
        self.offset[index], self.number[index] = entry.offset, number

    def _note_video(self, index: int, video: dict[str, Any], span: dict[str, Any]) -> None:
        end_s = video["duration_s"] if span["end_s"] is None else min(span["end_s"], video["duration_s"])
        self.length_s[index] = end_s - span["start_s"]
        self.fps[index] = video["average_fps"]
        self.width_px[index], self.height_px[index] = video["width"], video["height"]
        self.is_variable[index] = video["is_variable_frame_rate"]
        self._codec[index] = _KNOWN.setdefault(video["codec"], video["codec"])

    def quarantined(self, ids: list[str]) -> list[QuarantinedClip]:
        """The clips that cannot be used, in their order.

        Args:
            ids: Of all clips of the set.
        """
        return [
            QuarantinedClip(id=ids[index], cause=cause, detail=detail, time_s=time_s)
            for index, (cause, detail, time_s) in sorted(self.broken.items())
        ]


# One string object per codec, however many clips have it.
_KNOWN: dict[str, str] = {}
