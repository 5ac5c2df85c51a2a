"""Does pruning by the contrast of two tokens hide what is private? The small-scale experiments on glyph motion.

    python benchmarks/quality/anonymization.py E1 --workers 2
    python benchmarks/quality/anonymization.py E2 E3 --workers 2

Every arm hides the same clips at the same kept share; a recogniser and two attackers are trained anew on what each
leaves, with the seed of the arm. Five seeds draw networks, batches and masks; the clips are the same for all, so that
arms are compared clip by clip. What is done is noted in --work as it comes; the same command goes on from there. Writes
benchmarks/reports/anonymization.json and the entries of benchmarks/claims/anonymization.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from anonymization_summary import ROOT, Arms, write
from jaxtyping import Bool, Float
from journal import note, read_journal
from torch import nn

from tubelet.configs import to_json
from tubelet.datasets.glyph_motion import GlyphStyle
from tubelet.evaluation.claims import current_commit
from tubelet.methods.anonymization.attack import attack
from tubelet.methods.anonymization.baselines import (
    MaskRule,
    SingleTokenPruning,
    blurred,
    boxes_hidden,
    downsampled,
    merging_mask,
    pruned_mask,
    rule_mask,
)
from tubelet.methods.anonymization.data import Hide, MemorySource, PrivateBatch, as_frames, as_video, open_glyphs
from tubelet.methods.anonymization.masks import masked
from tubelet.methods.anonymization.measure import known_of, mask_metrics, measured
from tubelet.methods.anonymization.model import MODEL_FILE, Anonymizer, DualTokenViT, PrivacyMode
from tubelet.methods.anonymization.pruning import Mixing, Temporal
from tubelet.methods.anonymization.recipes import STYLE, AnonymizationConfig, GlyphData, glyphs
from tubelet.methods.anonymization.train import train_anonymizer
from tubelet.methods.anonymization.warm import warm_start
from tubelet.models.vit import VideoViT
from tubelet.runs import Progress, RunDirectory
from tubelet.training.loop import LoopConfig, fit
from tubelet.training.optimizer import adamw
from tubelet.training.schedule import cosine
from tubelet.training.seed import seed_everything
from tubelet.training.weights_files import load_weights, save_weights

REPORT = ROOT / "benchmarks" / "reports" / "anonymization.json"
KEEPS = (0.5, 0.3)
NUM_SEEDS = 5
EXPERIMENTS = ("E1", "E2", "E3", "E4", "E5", "entangled", "again", "curve")
ENTANGLED = replace(STYLE, variant="entangled")
CORRELATED = replace(STYLE, variant="correlated", correlation=0.8)
GAIT = replace(STYLE, glyph_contrast=0.0)
"""No digit is to be seen, and the block swings in its rhythm: whoever reads attributes reads them from the movement."""

GAIT_PX = 3.0
WARM_SEED, WARM_STEPS = 1000, 1500
FEW_SEEDS = 3
AGAIN = range(10, 13)
"""Seeds of the repetition on clips drawn anew: of networks and batches; each has a set and a warm start of its own."""
TRAINED: dict[str, tuple[PrivacyMode, float, Mixing]] = {
    "action_only": ("coop", 0.0, "all"),
    "grl_0.5": ("grl", 0.5, "all"),
    "coop_0.5": ("coop", 0.5, "all"),
    "coop_1": ("coop", 1.0, "all"),
    "action_only_place": ("coop", 0.0, "place"),
    "grl_0.5_place": ("grl", 0.5, "place"),
    "coop_1_place": ("coop", 1.0, "place"),
}
E1_ARMS = ("random", *TRAINED)
CURVE_KEEPS, CURVE_WEIGHTS = (0.3, 0.5, 0.7, 0.9), (0.0, 0.25, 0.5, 1.0, 2.0)
TRAINED |= {f"grl_{weight:g}": ("grl", weight, "all") for weight in CURVE_WEIGHTS[1:]}
TRAINED |= {f"coop_{weight:g}_place": ("coop", weight, "place") for weight in CURVE_WEIGHTS[1:]}
SINGLE = "evit"
"""EViT: a network with the action's token alone, trained as long and from the same start as the others."""

BOXES: dict[str, Literal["black", "blur"]] = {"boxes_black": "black", "boxes_blur": "blur"}
"""Boxes of what is private, which somebody has given."""

BORROWED = {"privacy_only": "coop_1_place", "merging": "action_only"}
"""Baselines that read another arm's network: its privacy token alone, or which tubelets would merge least in it."""

AT_ALL_KEEPS = ("random", "action_only", "grl_0.5", "coop_1_place")
RULES: tuple[MaskRule, ...] = ("random", "centre", "motion")


@dataclass(frozen=True)
class Job:
    """One way of hiding, with one seed.

    Attributes:
        arm: Name of a trained network, of a rule, or of a coarser picture.
        temporal: See `PruningConfig`; rules know "none" and "tube".
        keep: Share of the tubelets that stays.
        seed: Of networks, batches and masks.
        style: How the clips are drawn.
        set_name: What that is called.
    """

    arm: str
    temporal: Temporal
    keep: float
    seed: int
    style: GlyphStyle
    set_name: str = "apart"

    @property
    def data_seed(self) -> int:
        """Of the clips; those drawn anew have one for each seed."""
        return self.seed if self.set_name.startswith("again") else 0

    @property
    def key(self) -> str:
        """Name of the result."""
        along = "" if self.temporal == "none" else f"+{self.temporal}"
        return f"{self.set_name}|{self.arm}{along}|{self.keep:g}|{self.seed}"


def config_of(style: GlyphStyle, seed: int, arm: str = "coop_1_place") -> AnonymizationConfig:
    """The recipe with this arm's mode and weight."""
    base = glyphs()
    mode, weight, mixing = TRAINED[arm]
    return replace(
        base,
        seed=seed,
        data=GlyphData(num_train=4000, num_val=200, num_test=1000, style=style),
        privacy_mode=mode,
        pruning=replace(
            base.pruning, privacy_weight=weight, mixing=mixing, isolate_cls=mixing == "place", temporal="none"
        ),
        attack=replace(base.attack, num_steps=300),
        num_warm_steps=0,  # one start for all arms and seeds, as image weights would be: see `warm_weights`
    )


def warm_weights(job: Job, work: Path) -> Path:
    """Weights that all arms of one way of mixing and all seeds start from; made where they are not there yet."""
    config = config_of(STYLE, WARM_SEED, job.arm)
    name = f"warm_{job.set_name}" + ("" if config.pruning.mixing == "all" else "_place")
    path = work / f"{name}.safetensors"
    if not path.exists():
        source = learned_of(job)
        seed = WARM_SEED + job.data_seed
        seed_everything(seed, num_threads=1)
        network = DualTokenViT(len(source.action_names), len(source.attribute_names), config.shape)
        warm_start(
            network,
            source,
            work / name,
            pruning=config.pruning,
            num_steps=WARM_STEPS,
            batch_size=config.batch_size,
            optimizer=config.optimizer,
            seed=seed,
        )
        save_weights(path, network.vit.state_dict())
    return path


def folder_of(job: Job, work: Path) -> Path:
    """Of the run of a trained network."""
    return work / "runs" / f"{job.set_name}_{job.arm}_{job.seed}"


def trained(job: Job, source: MemorySource, work: Path) -> Anonymizer:
    """The network of an arm; trained where it is not there yet."""
    folder = folder_of(job, work)
    if (folder / MODEL_FILE).exists():
        return Anonymizer.load(folder)
    start = warm_weights(job, work)
    config = replace(config_of(job.style, job.seed, job.arm), image_weights=str(start))
    folder.parent.mkdir(parents=True, exist_ok=True)
    run = RunDirectory(folder) if folder.exists() else RunDirectory.create(folder, {"recipe": "anonymization:glyphs"})
    anonymizer = train_anonymizer(config, source, run)
    anonymizer.save(folder / MODEL_FILE)
    return anonymizer


def trained_single(job: Job, source: MemorySource, work: Path) -> VideoViT:
    """The network of EViT; trained where it is not there yet."""
    like = replace(job, arm="action_only")
    config, folder = config_of(job.style, job.seed, like.arm), folder_of(job, work)
    seed_everything(job.seed, num_threads=1)
    vit = DualTokenViT(len(source.action_names), len(source.attribute_names), config.shape).vit
    vit.load_state_dict(load_weights(warm_weights(like, work))[0])
    assert vit.cls_tokens is not None
    vit.cls_tokens, vit.num_cls_tokens = nn.Parameter(vit.cls_tokens[:, :1].detach().clone()), 1
    if (folder / MODEL_FILE).exists():
        vit.load_state_dict(load_weights(folder / MODEL_FILE)[0])
        return vit.eval()
    folder.parent.mkdir(parents=True, exist_ok=True)
    run = RunDirectory(folder) if folder.exists() else RunDirectory.create(folder, {"recipe": "anonymization:glyphs"})

    def loss(network: nn.Module, batch: PrivateBatch) -> dict[str, torch.Tensor]:
        assert isinstance(network, VideoViT)
        pruning = SingleTokenPruning(network.grid_of(batch.video), config.pruning, depth=len(network.blocks))
        encoded = network.encode(batch.video, reduction=pruning)
        actions = network.head(network.head_dropout(encoded.cls[:, 0]))
        return {"loss": nn.functional.cross_entropy(actions, batch.actions)}

    with source.training(num_steps=config.num_steps, batch_size=config.batch_size, seed=job.seed) as batch_at:
        fit(
            vit,
            adamw(vit, lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay),
            batch_at=batch_at,
            compute_loss=loss,
            lr_factor=lambda step: cosine(
                step,
                num_steps=config.num_steps,
                num_warmup_steps=config.optimizer.num_warmup_steps,
                final_factor=config.optimizer.final_lr_factor,
            ),
            config=LoopConfig(num_steps=config.num_steps, checkpoint_every=config.num_steps),
            run=run,
        )
    save_weights(folder / MODEL_FILE, vit.state_dict())
    return vit.eval()


@cache
def clips_of(style: GlyphStyle, seed: int) -> MemorySource:
    """The clips, drawn once in every process."""
    data = config_of(style, 0).data
    assert isinstance(data, GlyphData)
    return open_glyphs(replace(data, seed=seed, gait=GAIT_PX if style == GAIT else data.gait))


def learned_of(job: Job) -> MemorySource:
    """What an anonymiser is trained on: in E2 two attributes, and the third is what is attacked."""
    source = clips_of(job.style, job.data_seed)
    return with_bits(source, slice(0, 2)) if job.set_name == "unseen_bit" else source


def attacked_of(job: Job) -> MemorySource:
    """What attackers are asked: in E2 the attribute that the anonymiser never heard of."""
    source = clips_of(job.style, job.data_seed)
    return with_bits(source, slice(2, 3)) if job.set_name == "unseen_bit" else source


def with_bits(source: MemorySource, bits: slice) -> MemorySource:
    """The clips with some of their attributes alone."""
    splits = {
        split: replace(clips, private=clips.private[:, bits], attribute_names=clips.attribute_names[bits])
        for split, clips in source.splits.items()
    }
    return MemorySource(source.name, splits)


def do(job: Job, work: Path) -> dict[str, Any]:
    """Hide, attack, measure."""
    torch.set_num_threads(1)
    config = config_of(job.style, job.seed)
    source, attacked_bits = learned_of(job), attacked_of(job)
    tubelet = config.shape.tubelet
    masks: dict[str, Any] = {}
    if job.arm == "raw" or job.arm in BOXES:
        hide: Hide = lambda video: video  # noqa: E731
    elif job.arm.startswith("downsample"):
        hide = lambda video: downsampled(video, int(job.arm[-1]))  # noqa: E731
    elif job.arm.startswith("blur"):
        hide = lambda video: blurred(video, float(job.arm[-1]))  # noqa: E731
    else:
        kept_of = _kept(job, source, work)
        hide = lambda video: masked(video, kept_of(video).bool(), tubelet)  # noqa: E731
        masks = {name: metric.value for name, metric in mask_metrics(source, kept_of, tubelet).items()}
    published = boxed(attacked_bits, BOXES[job.arm]) if job.arm in BOXES else attacked_bits.hidden(hide)
    folder = work / "attacks" / job.key.replace("|", "_")
    attacked = attack(
        published, config.attack, folder, num_frames=8, size_px=config.shape.size_px, seed=job.seed, device="cpu"
    )
    found = measured(
        attacked, known_of(attacked_bits), attacked_bits.attribute_names, len(source.action_names), seed=job.seed
    )
    scores = attacked.private_scores[found.strongest]
    return {
        "key": job.key,
        "commit": current_commit(ROOT),
        **{name: metric.value for name, metric in found.metrics().items()},
        **masks,
        "strongest": found.strongest,
        "strongest_chosen_on": found.chosen_on,
        "strongest_on_test": found.strongest_on_test,
        "right": (attacked.action_scores.argmax(1) == attacked.truth.actions).astype(int).tolist(),
        "private_scores": np.round(scores, 4).tolist(),
    }


def boxed(source: MemorySource, fill: Literal["black", "blur"]) -> MemorySource:
    """The clips with the box of what is private hidden, as if somebody had said where it is."""
    splits = {}
    for split, clips in source.splits.items():
        assert clips.secret is not None
        boxes = [[_box(secret)] * clips.frames.shape[1] for secret in clips.secret]
        parts = [slice(start, start + 256) for start in range(0, len(clips), 256)]
        hidden = [as_frames(boxes_hidden(as_video(clips.frames[part]), boxes[part], fill=fill)) for part in parts]
        splits[split] = replace(clips, frames=np.concatenate(hidden))
    return MemorySource(source.name, splits)


def _box(mask: Bool[np.ndarray, "height width"]) -> Float[torch.Tensor, "1 4"]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return torch.tensor([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], dtype=torch.float32)


def _kept(job: Job, source: MemorySource, work: Path) -> Hide:
    tubelet = config_of(job.style, job.seed).shape.tubelet
    if job.arm in RULES:
        count = iter(range(10**9))
        # Another draw for every batch of clips, the same ones in every run.
        return lambda video: rule_mask(
            job.arm,  # type: ignore[arg-type]
            video,
            tubelet,
            keep=job.keep,
            tube=job.temporal == "tube",
            seed=job.seed * 100_003 + next(count),
        )
    if job.arm == SINGLE:
        single = trained_single(job, source, work)
        pruning = replace(config_of(job.style, job.seed, "action_only").pruning, keep=job.keep, temporal=job.temporal)
        return torch.inference_mode()(lambda video: pruned_mask(single, video, pruning, by="single_token"))
    anonymizer = trained(replace(job, arm=BORROWED.get(job.arm, job.arm)), source, work)
    vit, pruning = anonymizer.network.vit, replace(anonymizer.pruning, keep=job.keep, temporal=job.temporal)
    if job.arm == "merging":
        return torch.inference_mode()(
            lambda video: merging_mask(vit, video, keep=job.keep, tube=job.temporal == "tube")
        )
    if job.arm == "privacy_only":
        return torch.inference_mode()(lambda video: pruned_mask(vit, video, pruning, by="privacy_only"))
    return lambda video: anonymizer.kept(video, keep=job.keep, temporal=job.temporal)


def jobs_of(experiment: str) -> Iterator[Job]:
    """The arms of an experiment; arms that two have in common are done once."""
    both: tuple[Temporal, ...] = ("none", "tube")
    if experiment == "E1":
        for keep in KEEPS:
            for seed in range(NUM_SEEDS):
                for arm in E1_ARMS:
                    if keep == KEEPS[0] or arm in AT_ALL_KEEPS:
                        yield from (Job(arm, temporal, keep, seed, STYLE) for temporal in both)
        for arm in ("raw", "downsample2", "downsample4", "blur3", "blur7", *BOXES):
            yield Job(arm, "none", 1.0, 0, STYLE)
        for keep in KEEPS:
            for arm in ("centre", "motion"):
                for temporal in both:
                    yield Job(arm, temporal, keep, 0, STYLE)
    elif experiment == "again":
        for seed in AGAIN:
            for arm in ("random", "action_only", "grl_0.5", "coop_1_place"):
                yield from (Job(arm, temporal, 0.5, seed, STYLE, f"again{seed}") for temporal in both)
    elif experiment == "entangled":
        yield Job("raw", "none", 1.0, 0, ENTANGLED, "entangled")
        for arm in ("random", "coop_1_place"):
            yield from (Job(arm, "tube", 0.5, seed, ENTANGLED, "entangled") for seed in range(FEW_SEEDS))
    elif experiment == "E2":
        for arm in ("random", "action_only_place", "coop_1_place"):
            for seed in range(FEW_SEEDS):
                yield from (Job(arm, temporal, 0.5, seed, STYLE, "unseen_bit") for temporal in both)
    elif experiment == "E3":
        yield Job("raw", "none", 1.0, 0, CORRELATED, "correlated")
        for arm in ("random", "coop_1_place"):
            yield from (Job(arm, "tube", 0.5, seed, CORRELATED, "correlated") for seed in range(FEW_SEEDS))
    elif experiment == "E4":
        for seed in range(NUM_SEEDS):
            for temporal in ("none", "ema", "tube"):
                yield Job("coop_1_place", temporal, 0.5, seed, STYLE)
    elif experiment == "curve":
        for keep in CURVE_KEEPS:
            for weight in CURVE_WEIGHTS:
                yield Job("action_only" if weight == 0 else f"grl_{weight:g}", "none", keep, 0, STYLE)
                yield Job("action_only_place" if weight == 0 else f"coop_{weight:g}_place", "tube", keep, 0, STYLE)
            for arm in ("random", "centre", "motion"):
                yield from (Job(arm, temporal, keep, 0, STYLE) for temporal in both)
            yield from (Job(arm, "none", keep, 0, STYLE) for arm in (SINGLE, *BORROWED))
    elif experiment == "E5":
        for arm in ("raw", "random", "motion"):
            yield Job(arm, "none" if arm == "raw" else "tube", 1.0 if arm == "raw" else 0.5, 0, GAIT, "gait")


def main() -> None:
    """Parses, runs, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", choices=EXPERIMENTS)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "benchmarks" / "anonymization")
    parser.add_argument("--report", type=Path, default=REPORT)
    parser.add_argument("--commit", help="of the code that was run, where it is not that of this checkout")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    journal = options.work / "results.jsonl"
    done = {row["key"]: row for row in read_journal(journal)}
    wanted = list(dict.fromkeys(job for name in options.experiments for job in jobs_of(name)))
    missing = [job for job in wanted if job.key not in done]
    # Networks first, one job for each, so that no two processes train the same one.
    for job in {(job.set_name, TRAINED[job.arm][2]): job for job in missing if job.arm in TRAINED}.values():
        warm_weights(job, options.work)
    networks: dict[tuple[str, str, int], Job] = {}
    for job in missing:
        if (job.arm in TRAINED or job.arm == SINGLE) and not (folder_of(job, options.work) / MODEL_FILE).exists():
            networks.setdefault((job.set_name, job.arm, job.seed), job)
    with ProcessPoolExecutor(options.workers) as pool, Progress() as progress:
        line = progress.add("arms", len(missing), "arms")
        first = [pool.submit(do, job, options.work) for job in networks.values()]
        for future in as_completed(first):
            row = done[future.result()["key"]] = future.result()
            note(journal, row)
            show(row)
            line.advance()
        rest = [pool.submit(do, job, options.work) for job in missing if job.key not in done]
        for future in as_completed(rest):
            row = done[future.result()["key"]] = future.result()
            note(journal, row)
            show(row)
            line.advance()
    known = {job.set_name: job for name in EXPERIMENTS for job in jobs_of(name)}
    incomplete = [name for name in EXPERIMENTS if any(job.key not in done for job in jobs_of(name))]
    keys = {job.key for name in EXPERIMENTS for job in jobs_of(name)}
    done = {key: row for key, row in done.items() if key in keys}  # not what earlier versions of this script did
    sets = {
        name: attacked_of(known[name]).splits["test"] for name in {row["key"].split("|")[0] for row in done.values()}
    }
    arms = Arms(
        list(done.values()),
        {name: clips.groups for name, clips in sets.items()},
        {name: clips.private for name, clips in sets.items()},
    )
    settings = {
        "style": to_json(STYLE),
        "config": to_json(config_of(STYLE, 0)),
        "warm_steps": WARM_STEPS,
        "incomplete_experiments": incomplete,
    }
    write(
        arms,
        options.report,
        f"python benchmarks/quality/anonymization.py {' '.join(EXPERIMENTS)}",
        settings,
        options.commit,
    )
    print(f"{len(done)} arms in {journal}; report: {options.report}")


def show(row: dict[str, Any]) -> None:
    """A line for whoever watches."""
    shown = {name: row.get(name) for name in ("top1", "private_cmap", "motion_kept", "secret_kept", "union_visibility")}
    print(row["key"], {name: round(value, 3) for name, value in shown.items() if value is not None}, flush=True)


if __name__ == "__main__":
    main()
