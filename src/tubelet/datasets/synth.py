"""A folder of labelled clips made from nothing but a seed: to try, test and measure training and evaluation with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from tubelet import weights
from tubelet.configs import suggestion
from tubelet.datasets import glyph_motion
from tubelet.datasets.glyph_motion import Digits, draw_glyph_clip, load_digits
from tubelet.datasets.labelled import SPLITS, Split
from tubelet.datasets.mocap import Motion, read_motion
from tubelet.datasets.synthetic_people import (
    CLASSES,
    TEST_AZIMUTH_DEG,
    TEST_LEG_SHARE,
    TEST_PLACES,
    draw_scene,
    film_scene,
    holds_out,
    needs_recordings,
)
from tubelet.errors import ConfigError, OutputExistsError
from tubelet.runs import Progress, write_json
from tubelet.video import VideoWriter

SYNTH_SCHEMA = "tubelet.synth/1"
FACTS_FILE = "synth.json"
Kind = Literal["people", "glyphs"]

_VIEWS = 2
_PEOPLE_FPS, _GLYPH_FPS, _GLYPH_SCALE = 15.0, 8.0, 2
_SHARES: dict[Split, float] = {"train": 0.6, "val": 0.15, "test": 0.25}
_LEAST_CLIPS = 8
_QUALITY = 23


@dataclass(frozen=True)
class _Job:
    """One group of clips: a scene, or a glyph clip."""

    kind: Kind
    seed: int
    number: int
    label: str
    split: Split
    paths: tuple[Path, ...]


def write_synthetic_set(
    root: str | os.PathLike[str],
    *,
    kind: Kind = "people",
    classes: int | Sequence[str] = 6,
    clips: int = 40,
    seed: int = 0,
    num_workers: int = 2,
) -> dict[str, Any]:
    """Write `root/{train,val,test}/CLASS/*.mp4` and `root/synth.json`, which says what is held out.

    The same arguments give the same pictures on every machine. Clips of one scene share the name before `_c`, which
    readers of folders take as their group.

    Args:
        root: A folder that is missing or empty.
        kind: "people" (drawn people, one action each) or "glyphs" (a block that moves beside a digit).
        classes: How many of the known classes, or their names.
        clips: Of each class; three fifths are for training, a quarter for testing.
        seed: Of everything.
        num_workers: Processes.

    Returns:
        What synth.json says.

    Raises:
        ConfigError: There are no such classes, or too few clips.
        OutputExistsError: The folder holds something.
        WeightsError: Recorded motion or digits are needed and cannot be fetched.
    """
    folder = Path(root)
    chosen = _chosen(kind, classes)
    if clips < _LEAST_CLIPS:
        raise ConfigError(
            f"clips is {clips}; allowed: {_LEAST_CLIPS} or more of each class, so that each split has some"
        )
    try:
        if folder.exists() and any(folder.iterdir()):
            raise OutputExistsError(f"{folder} already holds something; name a new folder, or empty this one")
        folder.mkdir(parents=True, exist_ok=True)
    except (NotADirectoryError, FileExistsError) as error:
        raise ConfigError(f"{folder} is a file, not a folder; name a new folder") from error
    except PermissionError as error:
        raise ConfigError(
            f"{folder} cannot be made here (permission denied); name a folder you may write to"
        ) from error
    motions = [read_motion(weights.fetch(item)) for item in weights.MOTIONS] if _needs_motions(kind, chosen) else []
    digits = load_digits() if kind == "glyphs" else None
    jobs = _jobs(folder, kind, chosen, clips, seed)
    for job in jobs:
        job.paths[0].parent.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        line = progress.add(f"drawing {kind}", sum(len(job.paths) for job in jobs), "clips")
        # Fresh processes: forking one that already runs threads may hang.
        with ProcessPoolExecutor(num_workers, get_context("spawn"), _prepare, (motions, digits)) as pool:
            for written in pool.map(_write, jobs, chunksize=4):
                line.advance(written)
    facts = _facts(kind, chosen, clips, seed, jobs, motions)
    write_json(folder / FACTS_FILE, facts)
    return facts


def _needs_motions(kind: Kind, chosen: Sequence[str]) -> bool:
    return kind == "people" and needs_recordings(chosen)


def _chosen(kind: Kind, classes: int | Sequence[str]) -> tuple[str, ...]:
    known = CLASSES if kind == "people" else glyph_motion.ACTIONS
    if isinstance(classes, int):
        if not 2 <= classes <= len(known):
            raise ConfigError(f"classes is {classes}; allowed: 2 to {len(known)}, or names out of {', '.join(known)}")
        return known[:classes]
    for name in classes:
        if name not in known:
            raise ConfigError(f"there is no class {name!r} among the {kind}; {suggestion(name, known)}")
    if len(set(classes)) < 2 or len(set(classes)) < len(classes):
        raise ConfigError(f"classes are {', '.join(classes)}; two or more different ones are needed")
    return tuple(classes)


def _jobs(folder: Path, kind: Kind, chosen: Sequence[str], clips: int, seed: int) -> list[_Job]:
    jobs = []
    per_group = _VIEWS if kind == "people" else 1
    num_groups = clips // per_group
    counts = {split: max(1, round(num_groups * share)) for split, share in _SHARES.items()}
    counts["train"] = num_groups - counts["val"] - counts["test"]
    for split in SPLITS:
        for place, label in enumerate(chosen):
            for number in range(counts[split]):
                scene = f"{label}_{split}{number:03d}"
                names = (
                    tuple(f"{scene}_c{view + 1}.mp4" for view in range(_VIEWS))
                    if kind == "people"
                    else (f"{scene}.mp4",)
                )
                paths = tuple(folder / split / label / name for name in names)
                # Glyph clips count through the classes, which take turns there.
                index = number if kind == "people" else number * len(glyph_motion.ACTIONS) + _action(label, place)
                jobs.append(_Job(kind, seed, index, label, split, paths))
    return jobs


def _action(label: str, place: int) -> int:
    return glyph_motion.ACTIONS.index(label) if label in glyph_motion.ACTIONS else place


class _Worker:
    """What each process keeps between jobs."""

    motions: Sequence[Motion] = ()
    digits: Digits | None = None


def _prepare(motions: Sequence[Motion], digits: Digits | None) -> None:
    import cv2

    cv2.setNumThreads(1)
    _Worker.motions, _Worker.digits = motions, digits


def _write(job: _Job) -> int:
    """Writes the clips of one job and returns how many."""
    for view, path in enumerate(job.paths):
        if job.kind == "people":
            scene = draw_scene(job.seed, job.number, job.label, job.split, _Worker.motions)
            _save(path, film_scene(scene, view, fps=_PEOPLE_FPS), _PEOPLE_FPS, _QUALITY)
        elif _Worker.digits is not None:
            drawn = draw_glyph_clip(job.seed, job.number, job.split, _Worker.digits).frames
            large = drawn.repeat(_GLYPH_SCALE, axis=1).repeat(_GLYPH_SCALE, axis=2)
            _save(path, large, _GLYPH_FPS, 12)
    return len(job.paths)


def _save(path: Path, frames: UInt8[np.ndarray, "time height width 3"], fps: float, quality: int) -> None:
    height, width = frames.shape[1:3]
    with VideoWriter(path, width=width, height=height, fps=fps, quality=quality) as writer:
        for index, frame in enumerate(frames):
            writer.write(frame, index / fps)


def _facts(
    kind: Kind, chosen: Sequence[str], clips: int, seed: int, jobs: Sequence[_Job], motions: Sequence[Motion]
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "schema": SYNTH_SCHEMA,
        "kind": kind,
        "seed": seed,
        "classes": list(chosen),
        "clips_per_class": clips,
        "num_clips": {split: sum(len(job.paths) for job in jobs if job.split == split) for split in SPLITS},
    }
    if kind == "people":
        facts["held_out_for_test"] = {
            "places": list(TEST_PLACES),
            "leg_share_at_least": TEST_LEG_SHARE,
            "azimuth_deg_modulo_90": list(TEST_AZIMUTH_DEG),
            "performances": {label: holds_out(label, motions) for label in chosen},
        }
    else:
        facts["held_out_for_test"] = {"digits": "images of digits that no other split shows"}
    return facts
