"""Do trained scores keep what questions are about? The small-scale experiments on needle questions.

    python benchmarks/quality/token_pruning.py --workers 2

Five ways of training a small video-language model over five seeds: with nothing removed, with random groups removed,
with scores taught by the temporal loss alone, by the answers alone, and by both. Each is done twice: from random
weights, and ("tuned") for half as many steps from one model that learned the task with nothing removed, as published
models are. All see the same clips, number by number, and are tested on the same held-out ones, so that they are
compared clip by clip. Methods that need no training are tested on the model with nothing removed. What is done is noted
in --work as it comes; the same command goes on from there. Writes benchmarks/reports/token_pruning.json and
benchmarks/claims/token_pruning.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from journal import note, read_journal
from token_pruning_summary import ROOT, write

from tubelet.configs import to_json
from tubelet.evaluation.claims import current_commit
from tubelet.methods.token_pruning.data import NeedleSource
from tubelet.methods.token_pruning.language import PrunedVideoLanguage
from tubelet.methods.token_pruning.measure import Answered, answered
from tubelet.methods.token_pruning.pruned import config_for
from tubelet.methods.token_pruning.pruning import GROUP_METHODS, METHODS
from tubelet.methods.token_pruning.recipes import NeedleData, TokenPruningConfig, needle_qa
from tubelet.methods.token_pruning.train import MODEL_FILE, load, train
from tubelet.runs import Progress, RunDirectory, this_command

REPORT = ROOT / "benchmarks" / "reports" / "token_pruning.json"
NUM_SEEDS = 5
REMOVES = (0.5, 0.7, 0.8)
UNTRAINED = tuple(method for method in METHODS if method not in ("dense", "stts"))
ARMS: dict[str, dict[str, Any]] = {
    "dense": {"method": "dense"},
    "random": {"method": "random"},
    "aux_only": {"bias": "detached"},
    "no_aux": {"aux_weight": 0.0},
    "stts": {},
}
ONE_SEED: dict[str, dict[str, Any]] = {
    "stts_after_1": {"after_block": 1},
    "stts_bias_row": {"bias_norm": "row"},
    "stts_bias_off": {"bias": "off"},
    "stts_target_moves": {"detach_target": False},
    "stts_llm_only": {"where": "llm"},
    "stts_vit_only": {"where": "vit"},
    "prev_sim": {"method": "prev_sim"},
    "tome": {"method": "tome"},
    "fastv": {"method": "fastv"},
}
"""Ablations, and other methods trained under the same budget; all tuned."""

LONGER, TUNED = "_longer", "_tuned"
TUNED_LR, TUNED_WARMUP = 5e-4, 50

FLICKER_SEEDS, NUM_FLICKER = 3, 5
"""E2: so much flicker that a scorer that wants what changes has room for nothing else."""

SPARSE = {"timeline": 32, "is_needle_sampled": False}
"""Digits that flash somewhere on a long timeline: the more frames are looked at, the more often they are seen."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training, and all its tests."""

    arm: str
    seed: int

    @property
    def key(self) -> str:
        """Name of the result."""
        return f"{self.arm}|{self.seed}"


PRETRAINED = Job(arm=f"dense{LONGER}", seed=0)
"""What the tuned ones start from: the same for all seeds, as one published model is."""


def folder_of(job: Job, work: Path) -> Path:
    """Of its training."""
    return work / "runs" / job.key.replace("|", "_")


def config_of(job: Job, num_steps: int, work: Path) -> TokenPruningConfig:
    """The recipe with this arm's changes."""
    base = needle_qa()
    arm = job.arm.removesuffix("_flicker").removesuffix(LONGER).removesuffix(TUNED)
    if job.arm.endswith(LONGER):
        num_steps *= 2
    if job.arm.endswith(TUNED):
        num_steps //= 2
        optimizer = replace(base.optimizer, lr=TUNED_LR, num_warmup_steps=TUNED_WARMUP)
        base = replace(base, optimizer=optimizer, start=str(folder_of(PRETRAINED, work)))
    if job.arm.endswith("_flicker"):
        base = replace(base, data=replace(base.data, style=replace(base.data.style, num_flicker=NUM_FLICKER)))
    changes = {**ARMS, **ONE_SEED}[arm]
    is_dense = changes.get("method") == "dense"
    return replace(
        base,
        seed=job.seed,
        pruning=replace(base.pruning, seed=job.seed, **changes, **({"remove": 0.0} if is_dense else {})),
        train_removes=(0.0,) if is_dense else REMOVES,
        num_steps=num_steps,
        validate_every=num_steps,  # one validation, at the end: the last weights count for every arm
        num_threads=1,
    )


def do(job: Job, work: Path, num_steps: int) -> dict[str, Any]:
    """Train and test."""
    config = config_of(job, num_steps, work)
    folder = folder_of(job, work)
    if not (folder / MODEL_FILE).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        run = RunDirectory(folder) if folder.exists() else RunDirectory.create(folder, {"recipe": "needle_qa"})
        train(config, run)
    model, found = load(folder)
    if found != config:
        raise SystemExit(f"{folder} holds a training with other settings; give another --work")
    source = NeedleSource(config.data)
    removes = (0.0,) if job.arm.startswith("dense") else REMOVES
    tests = {f"{job.arm}|{remove:g}": row_of(answered(model, source, "test", remove=remove)) for remove in removes}
    if job.arm == f"dense{TUNED}" and job.seed == 0:
        for method in UNTRAINED:
            other = untrained(model, method)
            for remove in REMOVES:
                found = answered(other, source, "test", remove=remove)
                tests[f"untrained {method}|{remove:g}"] = row_of(found)
    if job.arm.removesuffix(TUNED) in ("dense", "stts"):
        for frames in (8, 16):
            sparse = NeedleSource(sparse_data(config.data, frames))
            for remove in removes[:1]:
                tests[f"{job.arm} flashing {frames}|{remove:g}"] = row_of(
                    answered(model, sparse, "test", remove=remove)
                )
    return {"key": job.key, "commit": current_commit(ROOT), "num_steps": num_steps, "tests": tests}


def untrained(model: PrunedVideoLanguage, method: str) -> PrunedVideoLanguage:
    """The model with another method, which it was not trained with."""
    options = {"after_block": 0, "pool": model.model.pool} if method in GROUP_METHODS else {}
    return PrunedVideoLanguage(model.model, config_for(method, 0.5, **options)).eval()


def sparse_data(data: NeedleData, num_frames: int) -> NeedleData:
    """Flashing digits alone, seen in so many frames of the long timeline."""
    return replace(data, strata=("flashing",), style=replace(data.style, num_frames=num_frames, **SPARSE))


def row_of(found: Answered) -> dict[str, Any]:
    """What the summary needs of a test."""
    return {
        "right": found.right.astype(int).tolist(),
        "digit_ids": found.digit_ids.tolist(),
        "strata": list(found.strata),
        "kept_share": found.kept_share,
        **{
            name: [None if np.isnan(value) else round(float(value), 4) for value in getattr(found, name)]
            for name in ("evidence_kept", "flicker_kept", "evidence_score", "flicker_score")
        },
    }


def jobs() -> Iterator[Job]:
    """Seed by seed, so that what is there when the time is up can be compared."""
    yield PRETRAINED
    for seed in range(NUM_SEEDS):
        yield from (Job(arm=arm + TUNED, seed=seed) for arm in ARMS)
    yield from (Job(arm=arm + TUNED, seed=0) for arm in ONE_SEED)
    for seeds in (range(FLICKER_SEEDS), range(FLICKER_SEEDS, NUM_SEEDS)):
        for seed in seeds:
            yield from (Job(arm=arm, seed=seed) for arm in ARMS)
        for seed in seeds if seeds.start == 0 else ():
            yield from (Job(arm=f"{arm}_flicker", seed=seed) for arm in ("aux_only", "stts"))


def main() -> None:
    """Parses, runs, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--steps", type=int, default=needle_qa().num_steps, help="of every training")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "benchmarks" / "token_pruning")
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    journal = options.work / "results.jsonl"
    done = {row["key"]: row for row in read_journal(journal) if row["num_steps"] == options.steps}
    missing = [job for job in jobs() if job.key not in done]
    if PRETRAINED in missing:  # others start from it
        done[PRETRAINED.key] = do(PRETRAINED, options.work, options.steps)
        note(journal, done[PRETRAINED.key])
        missing.remove(PRETRAINED)
    with ProcessPoolExecutor(options.workers) as pool, Progress() as progress:
        line = progress.add("trainings", len(missing), "trainings")
        for future in as_completed([pool.submit(do, job, options.work, options.steps) for job in missing]):
            row = done[future.result()["key"]] = future.result()
            note(journal, row)
            print(
                row["key"], {name: f"{np.mean(test['right']):.3f}" for name, test in row["tests"].items()}, flush=True
            )
            line.advance()
    config = to_json(config_of(Job(arm="stts", seed=0), options.steps, options.work))
    tuned = {"start": PRETRAINED.key, "lr": TUNED_LR, "num_warmup_steps": TUNED_WARMUP, "num_steps": options.steps // 2}
    settings = {"config": config, "tuned": tuned, "sparse": SPARSE}
    write(list(done.values()), options.report, this_command(), settings)
    print(f"{len(done)} trainings in {journal}; report: {options.report}")


if __name__ == "__main__":
    main()
