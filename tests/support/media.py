"""Videos made for tests, whose every picture carries its own number; and the ffmpeg program as the outside truth."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

_NUM_BITS = 10
# Without looking ahead, which x264 does in another thread, the bytes are the same every time.
_X264_OPTIONS = {"preset": "veryfast", "crf": "20", "sc_threshold": "0", "rc-lookahead": "0", "mbtree": "0"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a video.

    `times` are presentation times in ticks of `time_base`; None for a constant rate. `turn_deg` is the
    counterclockwise turn of the display matrix. Pictures have a seeded, moving texture and a bar code of their number
    along the top.
    """

    width: int = 96
    height: int = 64
    num_frames: int = 40
    fps: int = 25
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    key_frame_every: int = 12
    b_frames: int = 2
    times: tuple[int, ...] | None = None
    time_base: Fraction | None = None
    turn_deg: int = 0
    is_mirrored: bool = False
    has_audio: bool = False
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    container: str | None = None
    seed: int = 0


def picture(number: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """Picture `number` of a video: RGB uint8 (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    phase = 0.35 * number + seed
    image = np.stack(
        [
            128 + 90 * np.sin(x / 9 + phase),
            128 + 90 * np.sin(y / 7 - 0.6 * phase),
            128 + 90 * np.sin((x + y) / 11 + 1.3 * phase),
        ],
        axis=-1,
    )
    image += np.random.default_rng([seed, number]).normal(0, 6, image.shape)
    image = np.clip(image, 0, 255).astype(np.uint8)
    bar_height = max(4, height // 4)
    for bit in range(_NUM_BITS):
        left, right = bit * width // _NUM_BITS, (bit + 1) * width // _NUM_BITS
        image[:bar_height, left:right] = 235 if number >> bit & 1 else 16
    return image


def number_of(image: np.ndarray) -> int:
    """Read the number back from a decoded picture in its original orientation."""
    height, width = image.shape[:2]
    row = image[: max(4, height // 4)].mean(axis=(0, 2))
    edges = [bit * width // _NUM_BITS for bit in range(_NUM_BITS + 1)]
    return sum(1 << bit for bit in range(_NUM_BITS) if row[edges[bit] + 1 : edges[bit + 1] - 1].mean() > 128)


def make_video(path: Path, recipe: Recipe | None = None, /, **changes: object) -> Path:
    """Write a video with PyAV's own encoders, the same bytes every time."""
    recipe = Recipe(**changes) if recipe is None else recipe  # type: ignore[arg-type]
    with av.open(str(path), "w", format=recipe.container, options=recipe.container_options) as container:
        stream = container.add_stream(recipe.codec, rate=recipe.fps)
        stream.width, stream.height, stream.pix_fmt = recipe.width, recipe.height, recipe.pixel_format
        context = stream.codec_context
        context.time_base = stream.time_base = recipe.time_base or Fraction(1, recipe.fps)
        context.gop_size, context.max_b_frames = recipe.key_frame_every, recipe.b_frames
        context.thread_count = 1
        if recipe.codec == "libx264":
            context.options = _X264_OPTIONS | recipe.options
        elif recipe.codec == "libx265":
            context.options = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"} | recipe.options
        else:
            context.options = recipe.options
        if recipe.turn_deg or recipe.is_mirrored:
            stream.set_display_rotation(recipe.turn_deg, hflip=recipe.is_mirrored)
        sound = container.add_stream("aac", rate=16000, layout="mono") if recipe.has_audio else None
        times = recipe.times or tuple(range(recipe.num_frames))
        for number, pts in enumerate(times):
            frame = av.VideoFrame.from_ndarray(
                picture(number, recipe.width, recipe.height, recipe.seed), format="rgb24"
            )
            frame = frame.reformat(format=recipe.pixel_format, threads=1)
            frame.pts, frame.time_base = pts, context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _write_tone(container, sound, num_samples=16000 * len(times) // recipe.fps)
    return path


def make_audio(path: Path) -> Path:
    """A file with sound and no pictures."""
    with av.open(str(path), "w") as container:
        _write_tone(container, container.add_stream("aac", rate=16000, layout="mono"), num_samples=16000)
    return path


def _write_tone(container: av.container.OutputContainer, stream: av.AudioStream, num_samples: int) -> None:
    step = 1024
    for start in range(0, num_samples, step):
        wave = 0.2 * np.sin(np.arange(start, start + step, dtype=np.float32) / 8)
        frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


@cache
def ffmpeg_program() -> str:
    """The ffmpeg program of the imageio-ffmpeg wheel."""
    return imageio_ffmpeg.get_ffmpeg_exe()


def run_ffmpeg(arguments: Sequence[str | Path]) -> bytes:
    """Run ffmpeg and return what it writes to its standard output."""
    command = [ffmpeg_program(), "-v", "error", "-nostdin", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace')}")
    return done.stdout


def reference_frames(path: Path, width: int, height: int, *, filters: str = "scale=flags=bilinear") -> np.ndarray:
    """Every frame as ffmpeg displays it, uint8 (time, height, width, 3)."""
    arguments = ["-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-vf", filters]
    raw = run_ffmpeg([*arguments, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, height, width, 3)


def reference_times_s(path: Path) -> np.ndarray:
    """When ffmpeg displays each frame, seconds from the first."""
    arguments = ["-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-copyts", "-enc_time_base", "demux"]
    text = run_ffmpeg([*arguments, "-c:v", "rawvideo", "-f", "framecrc", "-"]).decode()
    time_base = next(Fraction(line.split(":")[1].strip()) for line in text.splitlines() if line.startswith("#tb 0"))
    ticks = [int(line.split(",")[2]) for line in text.splitlines() if line and not line.startswith("#")]
    return np.array([float((tick - ticks[0]) * time_base) for tick in ticks])
