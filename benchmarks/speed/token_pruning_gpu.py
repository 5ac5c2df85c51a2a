"""What removing tokens saves at the published sizes, on a GPU in half precision: dense beside pruned, in one run.

    python benchmarks/speed/token_pruning_gpu.py --rounds 20
    python benchmarks/speed/token_pruning_gpu.py --smoke        # tiny sizes on a CPU: does the script run?

A transformer of the size of SigLIP-2 so400m/14 at 378 px and a language model of the size of Qwen3-4B, both with random
weights; half of the groups go after block 3. Times are medians, the device synchronised. Writes
benchmarks/reports/token_pruning_gpu.json and its claims; without a GPU (--smoke) nothing is written.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.evaluation.claims import Claim, current_commit, update_claims
from tubelet.evaluation.clock import in_turns, speed_of
from tubelet.methods.token_pruning.flops import DecoderSize, VitSize, decoder_flops, vit_flops
from tubelet.methods.token_pruning.language import PrunedVideoLanguage
from tubelet.methods.token_pruning.pruned import config_for
from tubelet.models.language_decoder import LanguageDecoder
from tubelet.models.text_tokens import CharacterTokenizer
from tubelet.models.video_language import VideoLanguageModel
from tubelet.models.vit import VideoViT
from tubelet.runs import installed_versions, this_command, write_json

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "reports" / "token_pruning_gpu.json"
REMOVE = 0.5
TEXT = CharacterTokenizer()
QUESTION, ANSWER = [TEXT.encode("which digit moved?")], [TEXT.encode("7", end=True)]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is timed, and where."""

    device: str
    dtype: torch.dtype
    size_px: int = 378
    patch_px: int = 14
    pool: int = 3
    channels: int = 1152
    mlp_ratio: float = 4304 / 1152
    depth: int = 27
    num_heads: int = 16
    lm_width: int = 2560
    lm_depth: int = 36
    lm_heads: int = 20  # of 128 channels: the project's decoder has no heads wider than its width
    lm_kv_heads: int = 4
    lm_hidden: int = 9728
    frames: tuple[int, ...] = (32, 64, 128, 256)


PUBLISHED = Sizes(device="cuda", dtype=torch.bfloat16)
SMOKE = Sizes(
    device="cpu",
    dtype=torch.float32,
    size_px=42,
    channels=32,
    depth=7,
    num_heads=4,
    lm_width=32,
    lm_depth=2,
    lm_heads=4,
    lm_kv_heads=2,
    lm_hidden=64,
    frames=(4, 8),
)


def built(sizes: Sizes) -> VideoLanguageModel:
    """A model of these sizes, with random weights."""
    torch.manual_seed(0)
    with torch.device(sizes.device):
        vit = VideoViT(
            1,
            num_frames=sizes.frames[0],
            size_px=sizes.size_px,
            tubelet=(1, sizes.patch_px, sizes.patch_px),
            channels=sizes.channels,
            depth=sizes.depth,
            num_heads=sizes.num_heads,
            mlp_ratio=sizes.mlp_ratio,
            attention="frame",
            qkv_bias="all",
        )
        decoder = LanguageDecoder(
            TEXT.vocabulary_size,
            width=sizes.lm_width,
            depth=sizes.lm_depth,
            num_heads=sizes.lm_heads,
            num_kv_heads=sizes.lm_kv_heads,
            hidden=sizes.lm_hidden,
        )
        taps = (sizes.depth - 9, sizes.depth - 3) if sizes.depth > 9 else (sizes.depth - 1,)
        model = VideoLanguageModel(vit, decoder, TEXT, taps=taps, pool=sizes.pool, connector_heads=sizes.num_heads)
    return model.to(sizes.dtype).eval()


def case(model: VideoLanguageModel, num_frames: int, sizes: Sizes, rounds: int) -> dict[str, Any]:
    """Transformer and whole prefill with so many frames."""
    frames, lengths = frames_of(num_frames, sizes)
    passes: dict[str, Callable[[], object]] = {}
    for name, module in modules(model, sizes).items():
        reduction = module.options(frames, lengths).get("reduction")
        passes[f"vit {name}"] = partial(model.see, frames, lengths, reduction=reduction)
        passes[f"whole {name}"] = partial(module, frames, lengths, QUESTION)
    with torch.inference_mode():
        seconds = in_turns(passes, rounds, device=torch.device(sizes.device))
    found: dict[str, Any] = {"num_frames": num_frames, **limits(model, num_frames, sizes)}
    for part in ("vit", "whole"):
        found[f"{part}_speedup"] = speed_of(seconds[f"{part} stts"], seconds[f"{part} dense"]).ratio
    return found | {"median_s": {name: statistics.median(each) for name, each in seconds.items()}}


def frames_of(num_frames: int, sizes: Sizes) -> tuple[Tensor, Tensor]:
    """Frames of one clip, and its length."""
    frames = torch.rand(num_frames, 3, sizes.size_px, sizes.size_px, device=sizes.device, dtype=sizes.dtype)
    return frames, torch.tensor([num_frames], device=sizes.device)


def modules(model: VideoLanguageModel, sizes: Sizes) -> dict[str, PrunedVideoLanguage]:
    """The model dense, and with half removed."""
    return {
        "dense": PrunedVideoLanguage(model, config_for("dense", 0.0)),
        "stts": PrunedVideoLanguage(model, config_for("stts", REMOVE, pool=sizes.pool)).to(sizes.device, sizes.dtype),
    }


def limits(model: VideoLanguageModel, num_frames: int, sizes: Sizes) -> dict[str, float]:
    """How many times as fast the operations allow."""
    size = VitSize(
        num_patches=(sizes.size_px // sizes.patch_px) ** 2,
        channels=sizes.channels,
        mlp_channels=round(sizes.channels * sizes.mlp_ratio),
        depth=model.taps[-1] + 1,
    )
    language_size = DecoderSize(
        channels=sizes.lm_width,
        num_heads=sizes.lm_heads,
        num_kv_heads=sizes.lm_kv_heads,
        head_channels=sizes.lm_width // sizes.lm_heads,
        mlp_channels=sizes.lm_hidden,
        depth=sizes.lm_depth,
    )
    num_groups = (-(-(sizes.size_px // sizes.patch_px) // sizes.pool)) ** 2
    vit, whole = [], []
    for remove in (0.0, REMOVE):
        num_tokens = num_frames * (num_groups * (1 - remove) + 2)
        vit.append(vit_flops(size, num_frames=num_frames, remove=remove))
        whole.append(vit[-1] + decoder_flops(language_size, num_tokens=num_tokens, causal=False))
    return {"vit_limit": vit[0] / vit[1], "whole_limit": whole[0] / whole[1]}


def train_step(model: VideoLanguageModel, sizes: Sizes, rounds: int) -> dict[str, float]:
    """Forward, backward and optimiser with 64 frames (or the most there are)."""
    num_frames = min(64, max(sizes.frames))
    frames, lengths = frames_of(num_frames, sizes)
    passes: dict[str, Callable[[], object]] = {}
    for name, module in modules(model, sizes).items():
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-6)

        def step(module: PrunedVideoLanguage = module, optimizer: torch.optim.AdamW = optimizer) -> None:
            output = module(frames, lengths, QUESTION, ANSWER)
            (output.losses.mean() + 0.5 * output.notes.get("aux_loss", 0.0)).backward()
            optimizer.step()
            optimizer.zero_grad()

        passes[name] = step
    seconds = in_turns(passes, rounds, device=torch.device(sizes.device))
    limit = limits(model, num_frames, sizes)["whole_limit"]
    return {"speedup": speed_of(seconds["stts"], seconds["dense"]).ratio, "limit": limit}


@torch.inference_mode()
def kernels_differ(model: VideoLanguageModel, sizes: Sizes) -> float:
    """Relative distance of what the chosen attention gives from one frame after the other."""
    frames, lengths = frames_of(min(sizes.frames), sizes)
    given = []
    torch.manual_seed(0)
    scorer = modules(model, sizes)["stts"].scorer
    for backend in ("auto", "loop"):
        config = config_for("stts", REMOVE, pool=sizes.pool, backend=backend)
        module = PrunedVideoLanguage(model, config).to(sizes.device, sizes.dtype)
        module.scorer = scorer
        given.append(model.see(frames, lengths, reduction=module.options(frames, lengths)["reduction"]).visual.float())
    return float((given[0] - given[1]).norm() / given[1].norm())


def claims_of(
    cases: list[dict[str, Any]] | None, step: dict[str, float], difference: float | None, device: str | None
) -> list[Claim]:
    """The targets; not measured without a GPU."""
    commit = current_commit(ROOT)

    def claim(name: str, statement: str, paper: float | None, ours: float | None, holds: bool | None) -> Claim:
        return Claim(
            id=name,
            statement=statement,
            unit="times",
            paper=paper,
            ours=None if ours is None else round(ours, 3),
            interval=None,
            num_seeds=0,
            holds=holds,
            command="python benchmarks/speed/token_pruning_gpu.py --rounds 20",
            report=None if cases is None else REPORT.relative_to(ROOT).as_posix(),
            machine=device,
            commit=None if cases is None else commit,
            note="No GPU was at hand." if cases is None else "",
        )

    of = {each["num_frames"]: each for each in cases or []}
    vit = of.get(64, {}).get("vit_speedup")
    whole = of.get(128, {}).get("whole_speedup")
    rising = [each["whole_speedup"] for each in cases or []]
    return [
        claim(
            "E5-gpu-vit",
            "At so400m size with 64 frames and half removed, the transformer is at least 1.43 times as fast.",
            None,
            vit,
            None if vit is None else vit >= 1.43,
        ),
        claim(
            "E5-gpu-whole",
            "With a 4B-size language model, 128 frames and half removed, the prefill is at least 1.70 times as fast.",
            1.61,
            whole,
            None if whole is None else whole >= 1.70,
        ),
        claim(
            "E5-gpu-frames",
            "The speedup of the prefill rises with the frames (32, 64, 128, 256); ours is that of the most frames.",
            2.22,
            rising[-1] if rising else None,
            all(fewer < more for fewer, more in pairwise(rising)) if rising else None,
        ),
        claim(
            "E5-gpu-train",
            "With 64 frames and half removed, a training step reaches at least 0.80 of what operations allow (ours: "
            "times as fast).",
            1.62,
            step.get("speedup"),
            step["speedup"] >= 0.80 * step["limit"] if step else None,
        ),
        claim(
            "E5-gpu-kernel",
            "Ragged attention in half precision gives what one frame after the other gives, to 0.02 (relative).",
            None,
            difference,
            None if difference is None else difference <= 0.02,
        ),
    ]


def main() -> None:
    """Parses, measures, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes on a CPU; nothing is written")
    parser.add_argument("--not-measured", action="store_true", help="write the claims as not measured")
    options = parser.parse_args()
    claims = ROOT / "benchmarks" / "claims" / "token_pruning.json"
    if options.not_measured:
        update_claims(claims, claims_of(None, {}, None, None))
        return
    if not options.smoke and not torch.cuda.is_available():
        raise SystemExit(
            "there is no GPU here; --smoke runs tiny sizes on a CPU, --not-measured notes it in the claims"
        )
    sizes = SMOKE if options.smoke else PUBLISHED
    model = built(sizes)
    cases = []
    for num_frames in sizes.frames:
        cases.append(case(model, num_frames, sizes, options.rounds))
        print(cases[-1], flush=True)
    step = train_step(model, sizes, options.rounds)
    difference = kernels_differ(model, sizes)
    print(step, difference)
    if not options.smoke:
        device = torch.cuda.get_device_name()
        write_json(
            REPORT,
            {
                "schema": "tubelet.benchmark.token_pruning_gpu/1",
                "command": this_command(),
                "versions": installed_versions(),
                "machine": {"device": device},
                "cases": cases,
                "train_step": step,
                "kernels_differ": difference,
            },
        )
        update_claims(claims, claims_of(cases, step, difference, device))


if __name__ == "__main__":
    main()
