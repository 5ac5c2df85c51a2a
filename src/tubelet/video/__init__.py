"""Files and cameras to frames with time, and frames to files."""

from tubelet.video.info import VideoInfo

__all__ = ["VideoInfo"]
