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
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tubelet.evaluation.claims import Claim, update_claims
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


def timed(call: Callable[[], object], sizes: Sizes, rounds: int) -> float:
    """Median seconds."""
    times = []
    for number in range(rounds + 3):
        if sizes.device == "cuda":
            torch.cuda.synchronize()
        began_s = time.perf_counter()
        call()
        if sizes.device == "cuda":
            torch.cuda.synchronize()
        if number >= 3:
            times.append(time.perf_counter() - began_s)
    return statistics.median(times)


def case(model: VideoLanguageModel, num_frames: int, sizes: Sizes, rounds: int) -> dict[str, Any]:
    """Transformer and whole prefill with so many frames."""
    frames = torch.rand(num_frames, 3, sizes.size_px, sizes.size_px, device=sizes.device, dtype=sizes.dtype)
    lengths = torch.tensor([num_frames], device=sizes.device)
    question = [TEXT.encode("which way did 7 move?")]
    modules = {
        "dense": PrunedVideoLanguage(model, config_for("dense", 0.0)),
        "stts": PrunedVideoLanguage(model, config_for("stts", REMOVE, pool=sizes.pool)).to(sizes.device, sizes.dtype),
    }
    found: dict[str, Any] = {"num_frames": num_frames}
    with torch.inference_mode():
        for name, module in modules.items():
            options = module.options(frames, lengths)
            found[f"vit_{name}_s"] = timed(
                lambda o=options: model.see(frames, lengths, reduction=o.get("reduction")), sizes, rounds
            )
            found[f"whole_{name}_s"] = timed(lambda m=module: m(frames, lengths, question), sizes, rounds)
    for part in ("vit", "whole"):
        found[f"{part}_speedup"] = found[f"{part}_dense_s"] / found[f"{part}_stts_s"]
    size = VitSize(
        num_patches=(sizes.size_px // sizes.patch_px) ** 2,
        channels=sizes.channels,
        mlp_channels=round(sizes.channels * sizes.mlp_ratio),
        depth=model.taps[-1] + 1,
    )
    dense, pruned = (vit_flops(size, num_frames=num_frames, remove=remove) for remove in (0.0, REMOVE))
    found["vit_limit"] = dense / pruned
    per_frame = -(-(sizes.size_px // sizes.patch_px) // sizes.pool)
    language_size = DecoderSize(
        channels=sizes.lm_width,
        num_heads=sizes.lm_heads,
        num_kv_heads=sizes.lm_kv_heads,
        head_channels=sizes.lm_width // sizes.lm_heads,
        mlp_channels=sizes.lm_hidden,
        depth=sizes.lm_depth,
    )
    language = [
        decoder_flops(language_size, num_tokens=num_frames * (per_frame**2 * (1 - remove) + 2), causal=False)
        for remove in (0.0, REMOVE)
    ]
    found["whole_limit"] = (dense + language[0]) / (pruned + language[1])
    return found


def train_step(model: VideoLanguageModel, sizes: Sizes, rounds: int) -> dict[str, float]:
    """Forward and backward of the transformer, dense and pruned, with 64 frames (or the most there are)."""
    num_frames = min(64, max(sizes.frames))
    frames = torch.rand(num_frames, 3, sizes.size_px, sizes.size_px, device=sizes.device, dtype=sizes.dtype)
    lengths = torch.tensor([num_frames], device=sizes.device)
    found = {}
    for name, remove in (("dense", 0.0), ("stts", REMOVE)):
        module = PrunedVideoLanguage(model, config_for(name, remove, **({"pool": sizes.pool} if remove else {})))
        module.to(sizes.device, sizes.dtype)

        def step(module: PrunedVideoLanguage = module) -> None:
            seen = model.see(frames, lengths, reduction=module.options(frames, lengths).get("reduction"))
            seen.visual.float().square().mean().backward()
            nn.Module.zero_grad(module)

        found[f"{name}_s"] = timed(step, sizes, rounds)
    return found | {"speedup": found["dense_s"] / found["stts_s"]}


def claims_of(cases: list[dict[str, Any]] | None, device: str | None) -> list[Claim]:
    """The targets; not measured without a GPU."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()

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
            rising == sorted(rising) if rising else None,
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
        update_claims(claims, claims_of(None, None))
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
    print(step)
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
            },
        )
        update_claims(claims, claims_of(cases, device))


if __name__ == "__main__":
    main()
