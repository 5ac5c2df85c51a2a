"""tubelet: who does what, from when to when, in a video.

import tubelet

actions = tubelet.recognize("video.mp4")
for segment in actions.segments:
    print(segment.track_id, segment.start_s, segment.end_s, segment.label, segment.probability)

Names are imported when they are first used, so that `import tubelet` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tubelet.errors import TubeletError, VideoReadError
    from tubelet.methods.recognition.recognizer import Recognizer, recognize
    from tubelet.methods.recognition.timeline import Recognition, Segment
    from tubelet.video import Clip, Frame, VideoInfo, probe, read_clip, read_frames

__version__ = "0.1.0"

_HOMES = {
    "Clip": "tubelet.video",
    "Frame": "tubelet.video",
    "Recognition": "tubelet.methods.recognition.timeline",
    "Recognizer": "tubelet.methods.recognition.recognizer",
    "Segment": "tubelet.methods.recognition.timeline",
    "TubeletError": "tubelet.errors",
    "VideoInfo": "tubelet.video",
    "VideoReadError": "tubelet.errors",
    "probe": "tubelet.video",
    "read_clip": "tubelet.video",
    "read_frames": "tubelet.video",
    "recognize": "tubelet.methods.recognition.recognizer",
}

__all__ = [
    "Clip",
    "Frame",
    "Recognition",
    "Recognizer",
    "Segment",
    "TubeletError",
    "VideoInfo",
    "VideoReadError",
    "__version__",
    "probe",
    "read_clip",
    "read_frames",
    "recognize",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tubelet' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
