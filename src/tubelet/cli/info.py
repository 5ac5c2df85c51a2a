"""`tubelet info`: the facts about video files."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tubelet.video import VideoInfo


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet info`."""
    parser = commands.add_parser(
        "info", help="facts about a video file", description="Prints what a video file says of itself."
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="a video file")
    parser.add_argument("--json", action="store_true", help="print one JSON object per file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the facts of each file; files that cannot be read are listed and make the exit code 1."""
    from dataclasses import asdict

    from tubelet.errors import VideoReadError
    from tubelet.video import probe

    failed = 0
    for path in arguments.videos:
        try:
            info = probe(path)
        except VideoReadError as error:
            print(f"tubelet: error: {error}", file=sys.stderr)
            failed = 1
            continue
        print(json.dumps(asdict(info), ensure_ascii=False) if arguments.json else _describe(info))
    return failed


def _describe(info: VideoInfo) -> str:
    frames = "an unknown number of frames" if info.num_frames is None else f"{info.num_frames} frames"
    if info.num_frames == 1:
        frames = "1 frame"
    rate = f"{info.average_fps:.3f} frames/s" + (" (variable)" if info.is_variable_frame_rate else "")
    facts = {
        "size": f"{info.width} x {info.height} px" + (f", turned {info.rotation_deg} deg" if info.rotation_deg else ""),
        "length": f"{info.duration_s:.3f} s, {frames}, {rate}",
        "first frame at": f"{info.start_pts_s:.3f} s in the file's own clock",
        "codec": f"{info.codec} in {info.container}, {info.pixel_format}, {info.bit_depth} bit"
        + (", alpha" if info.has_alpha else "")
        + (", interlaced" if info.is_interlaced else ""),
        "audio": "yes" if info.has_audio else "no",
        "file": f"{info.size_bytes / 1e6:.2f} MB",
    }
    return "\n".join([info.path] + [f"  {name:<15}{value}" for name, value in facts.items()])
