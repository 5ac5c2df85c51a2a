"""Made-up recognitions with known content, for tests of what is written from them."""

from __future__ import annotations

import cv2
import numpy as np

from tubelet.methods.recognition.timeline import Recognition, Segment, Thumbnail, TrackRow
from tubelet.video import VideoInfo

LABELS = ("walk", "stand", "wave", "jumping_jack")


def video_info(path: str = "demo.mp4", *, duration_s: float = 6.0) -> VideoInfo:
    return VideoInfo(
        path=path,
        container="mp4",
        codec="h264",
        width=320,
        height=180,
        rotation_deg=0,
        num_frames=round(duration_s * 25),
        duration_s=duration_s,
        average_fps=25.0,
        start_pts_s=0.0,
        is_variable_frame_rate=False,
        pixel_format="yuv420p",
        bit_depth=8,
        has_alpha=False,
        is_interlaced=False,
        has_audio=False,
        size_bytes=123_456,
    )


def segment(
    track_id: int, start_s: float, end_s: float, label: str, probability: float = 0.9, best: str | None = None
) -> Segment:
    return Segment(
        track_id=track_id,
        start_s=start_s,
        end_s=end_s,
        label=label,
        probability=probability,
        best_label=best or label,
        runners_up=(("stand", 0.06), ("wave", 0.02)),
    )


def thumbnail(track_id: int, time_s: float) -> Thumbnail:
    picture = np.full((48, 32, 3), 40 * track_id % 255, np.uint8)
    return Thumbnail(track_id=track_id, time_s=time_s, jpeg=cv2.imencode(".jpg", picture)[1].tobytes())


def recognition(
    source: str = "demo.mp4", segments: list[Segment] | None = None, *, duration_s: float = 6.0, **changes: object
) -> Recognition:
    """Two people: one walks, then waves; one stands, then does something unknown."""
    if segments is None:
        segments = [
            segment(1, 0.0, 2.0, "walk", 0.934),
            segment(1, 2.0, 6.0, "wave", 0.71),
            segment(2, 1.0, 3.0, "stand", 0.8),
            segment(2, 3.0, 5.0, "unknown", 0.41, best="jumping_jack"),
        ]
    facts: dict[str, object] = {
        "source": source,
        "info": video_info(source, duration_s=duration_s),
        "segments": segments,
        "model": {
            "name": "mocap_skeleton",
            "labels": list(LABELS),
            "licence": "Apache-2.0",
            "evidence": {
                "walk": {"kind": "real", "text": "12 s of 3 people"},
                "stand": "real footage, 20 s",
                "wave": "synthetic only",
            },
        },
        "detector": "oidv4",
        "settings": {"min_score": 0.55, "labels": None, "fast": False, "start_s": None, "end_s": None},
        "num_frames": round(duration_s * 25),
        "duration_s": duration_s,
        "timings_s": {"decode": 0.5, "detect": 1.25},
        "thumbnails": [thumbnail(track_id, 1.5) for track_id in sorted({item.track_id for item in segments})],
    }
    return Recognition(**{**facts, **changes})  # type: ignore[arg-type]


def track_row(
    track_id: int,
    frame_index: int,
    *,
    time_s: float | None = None,
    box_px: tuple[float, float, float, float] | None = None,
    landmarks: bool = False,
    interpolated: bool = False,
) -> TrackRow:
    """A person who stands upright in the box given."""
    x0, y0, x1, y1 = box_px or (40.0 + 60 * track_id, 30.0, 90.0 + 60 * track_id, 150.0)
    points = None
    if landmarks:
        rng = np.random.default_rng(track_id)
        points = np.empty((33, 3), np.float32)
        points[:, 0] = rng.uniform(x0, x1, 33)
        points[:, 1] = rng.uniform(y0, y1, 33)
        points[:, 2] = 0.9
    return TrackRow(
        track_id=track_id,
        frame_index=frame_index,
        time_s=frame_index / 25 if time_s is None else time_s,
        box_px=(x0, y0, x1, y1),
        score=0.75,
        interpolated=interpolated,
        landmarks_px=points,
    )
