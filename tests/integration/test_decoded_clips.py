"""`tubelet train` with a cache of decoded pictures: a file is decoded once, and the model is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tubelet.cli.main import main
from tubelet.datasets import views
from tubelet.training.weights_files import load_weights

SETTINGS = [
    *("--recipe", "recognition:vit_small", "--set", "network.name=vit_tiny", "--set", "sampling.size_px=16"),
    *("--set", "sampling.num_frames=4", "--set", "sampling.step_s=none", "--set", "num_epochs=3"),
    *("--set", "num_workers=0", "--set", "num_threads=1", "--set", "augmentation.mirror=false"),
    *("--set", "num_cached_views=2", "--set", "batch_size=5"),
]


def test_pictures_are_decoded_once_for_all_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    clips = tmp_path / "clips"
    assert main(["synth", str(clips), "--kind", "glyphs", "--classes", "2", "--clips", "8", "--workers", "1"]) == 0
    num_train, num_val = (len(list(clips.glob(f"{split}/*/*.mp4"))) for split in ("train", "val"))
    decode: Callable[..., object] = views._decoded
    decoded = []

    def counted(clip: object, *rest: object) -> object:
        decoded.append(clip)
        return decode(clip, *rest)

    monkeypatch.setattr(views, "_decoded", counted)

    def train(name: str, gb: str) -> tuple[int, bytes]:
        """How often a file was decoded, and the weights."""
        decoded.clear()
        run = tmp_path / name
        assert main(["train", str(clips), "--out", str(run), *SETTINGS, "--set", f"decoded_cache_gb={gb}"]) == 0
        tensors, _ = load_weights(run / "model.safetensors")
        return len(decoded), b"".join(tensors[key].numpy().tobytes() for key in sorted(tensors))

    num_without, _ = train("none", "0")
    assert num_without == 3 * num_train + 4 * num_val  # after each epoch, and to calibrate
    assert not (tmp_path / "cache" / "decoded").exists()
    num_first, first = train("first", "1")
    assert num_first == 2 * num_train + num_val  # each clip in two views
    assert train("again", "1") == (0, first)
    # A cache without room changes what is decoded, never what is learned.
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "small"))
    assert train("full", "1e-9") == (num_without, first)
