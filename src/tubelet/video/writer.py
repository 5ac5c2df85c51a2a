"""Write pictures to a video file that browsers and players show."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from tubelet.errors import VideoWriteError
from tubelet.video.info import VideoInfo
from tubelet.video.opening import open_media

# Divides evenly into the common frame rates, as in MPEG systems.
_CLOCK_HZ = 90000
# A quarter less work than "veryfast", for files that are larger but no worse.
_PRESET = "superfast"


class VideoWriter:
    """Writes H.264 (yuv420p, BT.709) in mp4 with the index in front. Use it as a context manager.

    The file appears under its name only when the block ends without an error; before that it has a temporary name
    beside it. Each picture lasts until the next, so any frame rate, also a changing one, is kept. Odd sizes are made
    even by repeating the last row or column, since the format has only even ones.

    Args:
        path: Ends in .mp4. An existing file is replaced.
        width: Of the pictures, pixels.
        height: Of the pictures, pixels.
        fps: Typical rate: how long the last picture lasts, and what the encoder plans with.
        quality: Constant rate factor: 18 is near lossless, 23 usual, more is smaller.
        pixel_aspect: How wide one pixel is displayed over how high (see `pixel_aspect_of`); None does not say, and
            players take square ones.

    Raises:
        VideoWriteError: The file cannot be written.
        ValueError: Size, rate, quality, shape of the pixels or name are not allowed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        width: int,
        height: int,
        fps: float,
        quality: int = 23,
        pixel_aspect: Fraction | int | None = None,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"{self.path}: the name must end in .mp4, the format that is written")
        if width < 1 or height < 1 or not 0 < fps <= 1000 or not 0 <= quality <= 51:
            raise ValueError(
                f"width {width}, height {height}, fps {fps:g}, quality {quality}: sizes must be positive, "
                "fps in (0, 1000], quality in 0..51"
            )
        if pixel_aspect is not None and pixel_aspect <= 0:
            raise ValueError(f"pixel_aspect is {pixel_aspect}; it must be above 0, or None for pixels of unknown shape")
        self._shape = (height, width, 3)
        self._even = (height + height % 2, width + width % 2)
        self._step = max(1, round(_CLOCK_HZ / fps))
        self._first_s: float | None = None
        self._last = -1
        self._reformatter = VideoReformatter()
        self._partial = self.path.with_name(f".{self.path.stem}.{os.getpid()}.partial.mp4")
        try:
            self._partial.open("wb").close()  # the library opens it only when the first picture comes
            self._container: OutputContainer | None = av.open(
                f"file:{self._partial}", "w", format="mp4", options={"movflags": "+faststart"}
            )
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        self._stream = self._new_stream(self._container, fps, quality, pixel_aspect)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def write(self, image: UInt8[np.ndarray, "height width 3"], time_s: float) -> None:
        """Add a picture.

        Args:
            image: RGB, of the size given at the start.
            time_s: When it is displayed first. The first picture's time becomes 0 in the file; times must increase.

        Raises:
            VideoWriteError: The disk is full or the file was taken away.
            ValueError: Shape or time do not fit, or the writer is closed.
        """
        if self._container is None:
            raise ValueError(f"{self.path}: the writer is closed")
        if image.shape != self._shape or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} {image.shape}; it must be uint8 {self._shape}")
        self._first_s = time_s if self._first_s is None else self._first_s
        pts = round((time_s - self._first_s) * _CLOCK_HZ)
        if pts <= self._last:
            raise ValueError(f"time_s is {time_s:.6f}; it must be later than that of the picture before")
        self._last = pts
        rgb = av.VideoFrame.from_ndarray(self._padded(image), format="rgb24")
        picture = self._reformatter.reformat(
            rgb, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
        )
        picture.pts, picture.time_base, picture.duration = pts, Fraction(1, _CLOCK_HZ), self._step
        self._mux(picture)

    def close(self) -> None:
        """Finish the file and give it its name. Harmless when it is closed already.

        Raises:
            VideoWriteError: The file cannot be finished, or no picture was written.
        """
        if self._container is None:
            return
        if self._last < 0:
            self.discard()
            raise VideoWriteError(f"{self.path}: no picture was written, so there is no video; write at least one")
        self._mux(None)
        container, self._container = self._container, None
        try:
            container.close()
            os.replace(self._partial, self.path)
        except (av.FFmpegError, OSError) as error:
            self._partial.unlink(missing_ok=True)
            raise self._failed(error) from error

    def discard(self) -> None:
        """Stop and leave no file behind. What was at `path` before stays."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            finally:
                self._partial.unlink(missing_ok=True)

    def _new_stream(
        self, container: OutputContainer, fps: float, quality: int, pixel_aspect: Fraction | int | None
    ) -> VideoStream:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = self._even
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, _CLOCK_HZ)
        context = stream.codec_context
        context.time_base = Fraction(1, _CLOCK_HZ)
        context.options = {"preset": _PRESET, "crf": str(quality)}
        context.colorspace, context.color_range = 1, 1  # BT.709, limited: what players assume of HD video
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        if pixel_aspect is not None:
            context.sample_aspect_ratio = Fraction(pixel_aspect)
        return stream

    def _padded(self, image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "even_height even_width 3"]:
        rows, columns = self._even[0] - self._shape[0], self._even[1] - self._shape[1]
        return np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="edge") if rows or columns else image

    def _mux(self, picture: av.VideoFrame | None) -> None:
        if self._container is None:
            return
        try:
            self._container.mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            self.discard()
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> VideoWriteError:
        reason = getattr(error, "strerror", None) or error
        return VideoWriteError(
            f"{self.path}: it cannot be written ({reason}); check the folder, its rights and its space"
        )


def pixel_aspect_of(info: VideoInfo) -> Fraction | None:
    """The shape of a file's pixels in display orientation, for a writer whose file is to look the same.

    Args:
        info: Of a file that is still there.

    Returns:
        Width over height; None where the file does not say.

    Raises:
        VideoReadError: The file cannot be read any more.
    """
    media = open_media(info.path, num_threads=1)
    try:
        aspect = media.stream.sample_aspect_ratio
    finally:
        media.container.close()
    if aspect is None or aspect <= 0:
        return None
    # A picture that is turned by a quarter has lying pixels where it had standing ones.
    return 1 / aspect if info.rotation_deg in (90, 270) else aspect
