"""Anonymisers on labelled video files: the published layouts, in miniature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.media import make_video
from tests.support.miniature_datasets import put_vp_labels

from tubelet.cli.main import main
from tubelet.methods.anonymization.data import PrivateBatch
from tubelet.methods.anonymization.model import VitShape
from tubelet.methods.anonymization.recipes import VideoData
from tubelet.methods.anonymization.videos import VideoSource, open_videos

SHAPE = VitShape(
    num_frames=4, size_px=32, tubelet=(2, 8, 8), channels=12, depth=3, num_heads=2, dropout=0.0,
    attention_dropout=0.0, drop_path=0.0,
)  # fmt: skip
CLASSES = ("brush_hair", "climb_stairs")


@pytest.fixture(scope="module")
def hmdb51(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two classes with four training and two test clips each, every one out of a film of its own."""
    root = tmp_path_factory.mktemp("hmdb51")
    names = []
    for label in CLASSES:
        lines = []
        for number in range(6):
            name = f"Film{number}{label[0]}_{label}_u_nm_np1_ba_goo_0.avi"
            path = root / "videos" / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            make_video(path, num_frames=12, width=64, height=48, seed=number, codec="mpeg4")
            lines.append(f"{name} {2 if number >= 4 else 1}")
            names.append(f"{label}/{name}")
        for fold in (1, 2, 3):
            lists = root / "testTrainMulti_7030_splits"
            lists.mkdir(exist_ok=True)
            (lists / f"{label}_test_split{fold}.txt").write_text("\n".join(lines) + "\n")
    return root, put_vp_labels(root / "labels.pickle", names)


@pytest.fixture
def source(hmdb51: tuple[Path, Path]) -> VideoSource:
    root, labels = hmdb51
    return open_videos(VideoData(path=str(root), labels=str(labels)), SHAPE, num_workers=0)


def test_batches_are_functions_of_their_number(source: VideoSource) -> None:
    def batches() -> list[PrivateBatch]:
        with source.training(num_steps=4, batch_size=3, seed=1) as batch_at:
            return [batch_at(step) for step in (0, 1)]

    first, again = batches(), batches()
    for one, other in zip(first, again, strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.video, other.video)
    assert first[0].video.shape == (3, 3, 4, 32, 32)
    assert float(first[0].video.max()) <= 1
    assert first[1].progress == 0.25


def test_labels_belong_to_their_videos(source: VideoSource) -> None:
    from tests.support.miniature_datasets import private_bits

    bits = np.array([private_bits(clip.id) for clip in source.clips.clips], np.float32)
    names = [f"attr{number}" for number in range(5)]
    columns = [names.index(name) for name in source.attribute_names]
    for batch in source.evaluation("test", batch_size=8, num_views=2):
        assert len(set(batch.ids)) == 1
        place = [clip.id for clip in source.clips.clips].index(batch.ids[0])
        np.testing.assert_array_equal(batch.private.numpy(), np.repeat(bits[place][columns][None], 2, axis=0))
        assert batch.actions.tolist() == [source.clips.clips[place].label] * 2


def test_hidden_clips_are_what_attackers_get(source: VideoSource) -> None:
    hidden = source.hidden(torch.zeros_like)
    for batch in hidden.evaluation("test", batch_size=8, num_views=1):
        assert float(batch.video.max()) == 0
    with hidden.training(num_steps=1, batch_size=2, seed=0) as batch_at:
        assert float(batch_at(0).video.max()) == 0


def test_from_training_to_report(hmdb51: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, labels = hmdb51
    run = tmp_path / "run"
    changes = {
        "data.path": root,
        "data.labels": labels,
        "num_workers": 0,
        "num_steps": 2,
        "batch_size": 2,
        "num_threads": 1,
        "attack.utility": "pair_cnn",
        "attack.attackers": '["frame_cnn"]',
        "attack.num_steps": 2,
        "attack.batch_size": 2,
        "attack.num_views": 2,
        "shape.num_frames": 4,
        "shape.size_px": 32,
        "shape.tubelet": "[2, 8, 8]",
        "shape.channels": 12,
        "shape.depth": 3,
        "shape.num_heads": 2,
        "pruning.blocks": "[1, 2]",
    }
    settings = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    assert main(["train", "anonymization:vp_hmdb51", "--out", str(run), *settings]) == 0, capsys.readouterr().err
    assert main(["anonymization", "attack", str(run)]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "excess_leakage" in shown
    assert "4 of 4 items scored" in shown
