"""`tubelet token_pruning`: time, memory and answers against the budget; what is removed from a video."""

from __future__ import annotations

import argparse
import sys

_BENCH = """Measures what a budget of tokens costs and saves: time, memory and, of a trained run, its answers.

All methods run in one process under one clock: the dense model and every method at every budget take turns, round by
round, in changing order. Speedups are medians over rounds of the dense model's time over the method's."""

_BENCH_EPILOG = """MODEL is one of
  RUN                    folder of `tubelet train token_pruning:RECIPE`: answers to its test questions, time, memory
  RUN or FILE            folder of `tubelet train recognition:RECIPE` with a vit_… network, or such a network's
                         safetensors: time and memory only
  vit_tiny|small|base    a video transformer of this size with random weights: time and memory only
  FOLDER                 a video-language model of transformers: time and memory only

examples:
  tubelet train token_pruning:needle_qa --out runs/needle
  tubelet token_pruning bench runs/needle --out dial
  tubelet token_pruning bench vit_small --method stts prev_sim tome --budgets 1,0.5,0.2 --out dial_vit"""

_VIZ = """Shows what a budget of tokens keeps of a video: removed groups are dimmed, the others stay as they are.

With --model the run's own network and scorer decide, on frames squeezed to its size. Without one, squares of a frame
are compared as they are, which is a way to see where a video changes, and says nothing of any network."""

_VIZ_EPILOG = """examples:
  tubelet token_pruning viz street.mp4 --out seen
  tubelet token_pruning viz street.mp4 --out seen --model runs/needle --budget 0.3 --start 10 --end 20

Budgets hold in every window of --window frames; the first frame of a window stays whole."""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-commands."""
    commands = parser.add_subparsers(dest="token_pruning_command", metavar="COMMAND", required=True)
    _add_bench(commands)
    _add_viz(commands)


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "bench",
        help="answers, time and memory against the token budget, methods side by side",
        description=_BENCH,
        epilog=_BENCH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="what is pruned; see below")
    add("--out", required=True, metavar="DIR", help="where bench.json, bench.csv and report.html go")
    add("--overwrite", action="store_true", help="write into a folder that is not empty")
    add("--method", nargs="+", metavar="NAME", help="ways of removing tokens (default: some that suit the model)")
    add("--budgets", default="1,0.7,0.5,0.3", metavar="SHARES", help="shares that stay (default: %(default)s)")
    add("--rounds", type=int, default=7, metavar="N", help="how often each is timed (default: %(default)s)")
    add("--clips", type=int, metavar="N", help="clips in one pass (default: 8 of a run, else 1)")
    add("--frames", type=int, default=16, metavar="N", help="frames of a clip, where no run says so (default: 16)")
    add("--size", type=int, default=224, metavar="PX", help="side of a frame, where no model says so (default: 224)")
    add("--questions", type=int, metavar="N", help="how many test questions are answered (default: all)")
    add("--device", default="cpu", metavar="DEVICE", help="cpu, cuda or cuda:N (default: %(default)s)")
    add("--threads", type=int, metavar="N", help="of torch (default: its own choice)")
    add("--seed", type=int, default=0, metavar="N", help="of pictures and weights that are drawn (default: 0)")
    parser.set_defaults(run=_bench)


def _add_viz(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "viz",
        help="show which parts of a video a budget keeps",
        description=_VIZ,
        epilog=_VIZ_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("video", metavar="VIDEO", help="a video file")
    add("--out", required=True, metavar="DIR", help="where STEM.tokens.mp4, STEM.tokens.json and STEM.tokens.html go")
    add("--overwrite", action="store_true", help="replace results that are already there")
    add("--model", metavar="RUN", help="folder of `tubelet train token_pruning:RECIPE` (default: none)")
    add("--method", metavar="NAME", help="what scores (default: that of the run, or prev_sim)")
    add("--budget", type=float, default=0.5, metavar="SHARE", help="share that stays (default: %(default)s)")
    add("--window", type=int, metavar="N", help="frames that share a budget (default: as the run has them, or 32)")
    add("--start", type=float, metavar="S", help="begin at this time")
    add("--end", type=float, metavar="S", help="stop before this time")
    add("--seed", type=int, default=0, metavar="N", help="of random choices (default: 0)")
    parser.set_defaults(run=_viz)


def _bench(arguments: argparse.Namespace) -> int:
    from tubelet.methods.token_pruning.bench import bench_model

    return bench_model(arguments, say=_say, warn=_warn)


def _viz(arguments: argparse.Namespace) -> int:
    from tubelet.methods.token_pruning.viz import show_video

    return show_video(arguments, say=_say, warn=_warn)


def _say(text: str) -> None:
    print(text, flush=True)


def _warn(text: str) -> None:
    print(f"tubelet: {text}", file=sys.stderr, flush=True)
