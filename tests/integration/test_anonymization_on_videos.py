"""Anonymisers on labelled video files: the published layouts, in miniature."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tests.support.media import make_video
from tests.support.miniature_datasets import private_bits, put_vp_labels

from tubelet.cli.main import main
from tubelet.methods.anonymization import videos
from tubelet.methods.anonymization.data import PrivateBatch, as_video
from tubelet.methods.anonymization.measure import known_of
from tubelet.methods.anonymization.model import VitShape
from tubelet.methods.anonymization.recipes import VideoData
from tubelet.methods.anonymization.videos import VideoSource, open_videos
from tubelet.video import read_frames

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


def test_labels_are_had_without_reading_a_video(source: VideoSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        pytest.fail("a video was read")

    monkeypatch.setattr(videos, "load_views", read)
    known = known_of(source)
    names = [f"attr{number}" for number in range(5)]
    columns = [names.index(name) for name in source.attribute_names]
    clips = [clip for clip in source.clips.clips if clip.split == "train"]
    assert known.ids == tuple(clip.id for clip in clips)
    assert known.actions.tolist() == [clip.label for clip in clips]
    np.testing.assert_array_equal(known.private, np.array([private_bits(clip.id) for clip in clips])[:, columns])


def test_networks_see_whole_pictures_as_where_videos_are_hidden(source: VideoSource) -> None:
    batch = next(source.evaluation("test", batch_size=1, num_views=1))
    path = next(clip.path for clip in source.clips.clips if clip.id == batch.ids[0])
    whole = np.stack([cv2.resize(each.image, (32, 32), interpolation=cv2.INTER_AREA) for each in read_frames(path)])
    apart = (batch.video[0, :, 0] - as_video(whole[None])[0].transpose(0, 1)).abs().mean((1, 2, 3))
    assert float(apart.min()) < 0.02  # it is one of them, whole


def test_clips_are_hidden_whole_and_cut_afterwards(source: VideoSource) -> None:
    """Whatever is cut out in training, the mask is that of the whole picture: here its left half."""
    seen: list[torch.Tensor] = []

    def hide(video: torch.Tensor) -> torch.Tensor:
        seen.append(video)
        shown = torch.ones_like(video)
        shown[..., :16] = 0
        return shown

    def batches() -> list[PrivateBatch]:
        with source.hidden(hide).training(num_steps=4, batch_size=3, seed=1) as batch_at:
            return [batch_at(step) for step in range(2)]

    first, again = batches(), batches()
    shares = [float((clip < 0.5).float().mean()) for batch in first for clip in batch.video]
    assert min(shares) < 0.45 and max(shares) > 0.55  # the cut took more of one half, another time of the other
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.video, other.video)
    assert [tuple(each.shape) for each in seen] == [(3, 3, 4, 32, 32)] * 4
    assert float(seen[0].std()) > 0.01


CHANGES = {
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


def train(root: Path, labels: Path, run: Path) -> int:
    changes = {"data.path": root, "data.labels": labels, **CHANGES}
    settings = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    return main(["train", "anonymization:vp_hmdb51", "--out", str(run), *settings])


def test_from_training_to_report(hmdb51: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert train(*hmdb51, run) == 0, capsys.readouterr().err
    assert "starts from random numbers (seed 42), and the published one from ImageNet" in capsys.readouterr().err
    assert main(["anonymization", "attack", str(run)]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "excess_leakage" in shown
    assert "4 of 4 items scored" in shown
    assert "Started from random numbers: pair_cnn, frame_cnn; attackers with published weights" in shown
    assert "The anonymiser starts from random numbers" in shown
    report = json.loads((run / "evaluation" / "report.json").read_text())
    assert report["details"]["start"] == "random numbers"
    assert report["details"]["random_starts"] == ["pair_cnn", "frame_cnn"]
    assert report["details"]["strongest_chosen_on"] in ("validation", "test")


def test_what_is_left_out_is_said_and_what_cannot_be_read_is_counted(
    hmdb51: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shutil.copytree(hmdb51[0], tmp_path / "hmdb51")
    files = sorted(path.relative_to(root / "videos") for path in root.rglob("*.avi"))
    labels = tmp_path / "labels.csv"
    bits = [f"{file},{number % 2},{number // 2 % 2},1,{number % 2},0" for number, file in enumerate(files)]
    labels.write_text("\n".join(["video,attr0,attr1,attr2,attr3,attr4", *bits]) + "\n")
    run = tmp_path / "run"
    assert train(root, labels, run) == 0, capsys.readouterr().err
    tested = [root / "videos" / file for file in files if file.name.startswith(("Film4", "Film5"))]
    tested[0].write_bytes(b"nothing")
    assert main(["evaluate", str(run)]) == 1
    report = json.loads((run / "evaluation" / "report.json").read_text())
    assert (report["num_expected"], report["num_scored"]) == (4, 3)
    (failure,) = report["failures"]
    assert failure["item"].endswith(tested[0].name)
    assert "its contents are in no known video format" in failure["reason"]
    assert report["details"]["excluded_attributes"] == {"attr2": "always 1 in train", "attr4": "always 0 in train"}
    shown = capsys.readouterr().out
    assert "Attributes left out: attr2 (always 1 in train); attr4 (always 0 in train)." in shown
    assert report["details"]["split_rule"] in shown and "of its train clips" in shown
    for path in tested[1:]:
        path.write_bytes(b"nothing")
    assert main(["anonymization", "attack", str(run), "--overwrite"]) == 2
    assert "3 of 3 clips cannot be read, first: " in capsys.readouterr().err
