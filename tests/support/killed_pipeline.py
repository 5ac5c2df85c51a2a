"""Kills `tubelet train` on drawn clips at chosen moments, from its first file to its last, and lets it go on.

Run as a program with an empty folder and a recipe: each training is a forked child, so that all share one slow import.
Prints one JSON object: the digest of the model file of an undisturbed training, and for each kill when it was, whether
it came, and the digest of the model file of the training that went on.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import killed_training
import torch

from tubelet.cli.main import main as tubelet
from tubelet.methods.recognition.clips import training
from tubelet.weights.archives import file_sha256

SHARED = ("sampling.size_px=32", "sampling.num_frames=4", "augmentation.mirror=false", "num_workers=0", "num_threads=1")
SETTINGS = {
    "recognition:frames": ("network.weights=none", "num_epochs=3", "num_cached_views=1"),
    "recognition:vit_small": ("network.name=vit_tiny", "sampling.step_s=none", "num_epochs=2"),
}
# Which call is the last one: what is said of it, which of those that are called so, and how many calls after it.
MOMENTS = {
    "recognition:frames": {
        "features are kept": ("replace *.array", 20, 0),
        "all features are kept, and there is no checkpoint": ("replace best_*.safetensors", 0, 0),
        "a checkpoint was written": ("rename step_*", 0, 1),
        "the model is calibrated": ("calibrate", -1, 0),
    },
    "recognition:vit_small": {
        "its first file is written": ("replace clips.json", 0, 0),
        "the second checkpoint is half written": ("replace state.pt", 1, -1),
        "the last checkpoint was written": ("rename step_*", -1, 1),
        "the model is half written": ("replace model.safetensors", -1, -1),
    },
}
_ALSO = ((training, "calibrate"),)


def said(name: str, arguments: tuple[Any, ...]) -> str:
    """A call with the name of the file that it makes."""
    return f"{name} {Path(arguments[1]).name}" if name in ("replace", "rename") else name


def place_of(moment: tuple[str, int, int], calls: list[str]) -> int:
    """The number of a moment's call, from 1."""
    pattern, which, after = moment
    found = [number for number, call in enumerate(calls, start=1) if fnmatch.fnmatch(call, pattern)]
    return found[which] + after


def train(folder: Path, recipe: str, *, resume: bool) -> str:
    """Trains with the command, and returns the digest of the model's file."""
    command = ["train", str(folder / "clips"), "--out", str(folder / "run")]
    settings = [argument for each in (*SHARED, *SETTINGS[recipe]) for argument in ("--set", each)]
    sys.argv = ["tubelet", *command, *(["--resume"] if resume else ["--recipe", recipe, *settings])]
    os.environ["TUBELET_CACHE"] = str(folder / "cache")
    with contextlib.redirect_stdout(io.StringIO()):
        code = tubelet(sys.argv[1:])
    return file_sha256(folder / "run" / "model.safetensors") if code == 0 else f"exit code {code}"


def in_a_new_place(folder: Path, recipe: str, moment: int) -> tuple[int, str, str]:
    """Trains in a child that dies at a call, or at none; nothing is left of trainings before."""
    for name in ("run", "cache"):
        shutil.rmtree(folder / name, ignore_errors=True)

    def task() -> str:
        calls = killed_training.die_at(moment, also=_ALSO, said=said)
        return json.dumps([train(folder, recipe, resume=False), calls])

    return killed_training.in_child(task)


def killed_trainings(folder: Path, recipe: str) -> dict[str, Any]:
    """An undisturbed training of a recipe, and one for each moment at which it is killed."""
    status, answer, error = in_a_new_place(folder, recipe, 0)
    if status:
        raise SystemExit(f"the undisturbed training failed: {error}")
    expected, calls = json.loads(answer)
    kills = []
    for when, moment in MOMENTS[recipe].items():
        status, _, call = in_a_new_place(folder, recipe, place_of(moment, calls))
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        _, digest, error = killed_training.in_child(lambda: train(folder, recipe, resume=True))
        kills.append({"when": when, "call": call, "was_killed": was_killed, "digest": digest, "error": error})
    return {"expected": expected, "kills": kills}


def main(folder: Path, recipe: str) -> None:
    """Draws the clips, damages one, and trains on them."""
    clips = folder / "clips"
    with contextlib.redirect_stdout(io.StringIO()):
        tubelet(["synth", str(clips), "--kind", "glyphs", "--clips", "16", "--workers", "1"])
    broken = min(clips.glob("train/up/*.mp4"))
    broken.write_bytes(broken.read_bytes()[:300])  # what is left out must be left out again
    sys.stdout.write(json.dumps(killed_trainings(folder, recipe)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.optim.AdamW([torch.zeros(1)])  # imports a lot, which the children would each repeat
    main(Path(sys.argv[1]), sys.argv[2])
