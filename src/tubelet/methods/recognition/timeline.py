"""What recognition finds: segments of action per tracked person, and the record of a whole source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32

from tubelet.video import VideoInfo

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One stretch of one person's time with one label.

    Attributes:
        track_id: Which person (unique per source; 0 for whole-frame models).
        start_s: First moment, in seconds from the first displayed frame.
        end_s: End, exclusive.
        label: A class name, or `unknown` where the recogniser abstains.
        probability: Calibrated probability of the best class, also when it abstains.
        best_label: The best class; equals `label` unless it abstains.
        runners_up: The next classes with their probabilities, best first.
    """

    track_id: int
    start_s: float
    end_s: float
    label: str
    probability: float
    best_label: str
    runners_up: tuple[tuple[str, float], ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s

    @property
    def abstained(self) -> bool:
        """Whether the recogniser did not commit itself."""
        return self.label == UNKNOWN


@dataclass(frozen=True, kw_only=True)
class TrackRow:
    """Where one person is in one decoded frame.

    Attributes:
        box_px: x0, y0, x1, y1 in display orientation, x1/y1 exclusive.
        score: Detector score of the latest detection, or pose presence where only the pose carried the track.
        interpolated: True where no detection or pose was measured in this very frame.
        landmarks_px: x_px, y_px, visibility of the 33 BlazePose landmarks, or None where they were not estimated.
    """

    track_id: int
    frame_index: int
    time_s: float
    box_px: tuple[float, float, float, float]
    score: float
    interpolated: bool
    landmarks_px: Float32[np.ndarray, "33 3"] | None = None


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A small picture of one person in the middle of a segment.

    Attributes:
        jpeg: Encoded picture, at most 160 px high.
    """

    track_id: int
    time_s: float
    jpeg: bytes


@dataclass(kw_only=True)
class Recognition:
    """Everything recognised in one source.

    Attributes:
        source: As the user named it.
        info: Facts about the video; None for arrays, iterators and cameras.
        segments: All segments of all tracks, ordered by track and start.
        model: Name, labels, licence and evidence of the action model (the model card, as a dict).
        detector: Which person detector ran.
        settings: The options the result depends on (`min_score`, `labels`, `fast`, …).
        num_frames: Decoded frames.
        timings_s: Seconds spent per stage: decode, detect, track, landmarks, classify.
        thumbnails: One or two per track.
        warnings: Things the user should know, in sentences.
        rows: Every person's box in every frame; empty unless asked for.
    """

    source: str
    info: VideoInfo | None
    segments: list[Segment]
    model: dict[str, Any]
    detector: str
    settings: dict[str, Any]
    num_frames: int
    duration_s: float
    timings_s: dict[str, float] = field(default_factory=dict)
    thumbnails: list[Thumbnail] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rows: list[TrackRow] = field(default_factory=list, repr=False)

    @property
    def track_ids(self) -> list[int]:
        """Ids of all tracks, in order of first appearance in `segments`."""
        return list(dict.fromkeys(segment.track_id for segment in self.segments))

    def of_track(self, track_id: int) -> list[Segment]:
        """The segments of one track, in order of time."""
        return [segment for segment in self.segments if segment.track_id == track_id]
