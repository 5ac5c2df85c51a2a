"""Files and cameras to frames with time, and frames to files."""

from tubelet.video.frames import Clip, Frame
from tubelet.video.info import VideoInfo
from tubelet.video.probing import probe
from tubelet.video.reader import VideoReader, read_clip
from tubelet.video.sample import dense_times, multi_view_times, segment_times, uniform_times
from tubelet.video.sources import Source, expand_sources
from tubelet.video.streaming import read_frames
from tubelet.video.writer import VideoWriter

__all__ = [
    "Clip",
    "Frame",
    "Source",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "dense_times",
    "expand_sources",
    "multi_view_times",
    "probe",
    "read_clip",
    "read_frames",
    "segment_times",
    "uniform_times",
]
