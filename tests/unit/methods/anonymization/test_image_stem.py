"""Features of a picture network as the start of the two tokens' transformer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tubelet.datasets.private_people import ACTIONS, LOOKS, draw_private_people
from tubelet.methods.anonymization import image_stem
from tubelet.methods.anonymization.data import MemorySource
from tubelet.methods.anonymization.image_stem import NUM_FEATURES, ImageFeatures
from tubelet.methods.anonymization.looked_at import LookedAt, moved
from tubelet.methods.anonymization.model import Anonymizer, DualTokenViT, VitShape
from tubelet.methods.anonymization.pruning import PruningConfig
from tubelet.methods.anonymization.recipes import PeopleData, people
from tubelet.methods.anonymization.train import train_anonymizer
from tubelet.models.efficientnet_lite import efficientnet_lite0
from tubelet.runs import RunDirectory

SHAPE = VitShape(
    num_frames=4, size_px=64, tubelet=(2, 16, 16), channels=16, depth=2, num_heads=2, dropout=0.0,
    attention_dropout=0.0, drop_path=0.0, stem="lite0",
)  # fmt: skip
PRUNING = PruningConfig(blocks=(1,), keep=0.5, temporal="tube", mixing="place", isolate_cls=True)


@pytest.fixture(autouse=True)
def _random_image_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published weights are not at hand in tests; the same random ones each time stand in for them."""

    def fill(network: torch.nn.Module, _: object) -> None:
        network.load_state_dict(state)

    torch.manual_seed(3)
    state = efficientnet_lite0(None).state_dict()
    monkeypatch.setattr(image_stem, "load_efficientnet_lite_weights", fill)
    monkeypatch.setattr(image_stem.weights, "fetch", lambda _: Path("none"))


def clips(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))


def test_features_are_means_and_changes_of_the_two_frames_of_a_tubelet() -> None:
    features, video = ImageFeatures(), clips()
    found = features(video)
    assert found.shape == (2, NUM_FEATURES, 2, 4, 4)
    still = features(video[:, :, :1].repeat_interleave(4, dim=2))
    half = NUM_FEATURES // 2
    assert torch.equal(still[:, half:], torch.zeros_like(still[:, half:]))
    later = features(video[:, :, 1:2].repeat_interleave(4, dim=2))
    torch.testing.assert_close(found[:, half:, 0], (later - still)[:, :half, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[:, :half, 0], (later + still)[:, :half, 0] / 2, atol=1e-4, rtol=1e-4)
    # The last of each half are colours: the mean of a square of 4 x 4 pixels.
    red = video[0, 0, 0, :4, :4].mean()
    assert float((still[0, half - 48 : half, 0, 0, 0] - red).abs().min()) < 1e-5


def test_clips_and_their_features_give_the_same_answers() -> None:
    torch.manual_seed(0)
    network, video = DualTokenViT(3, 2, SHAPE).eval(), clips()
    with torch.no_grad():
        from_clips, from_features = network(video, PRUNING), network(network.seen(video), PRUNING)
    assert torch.equal(from_clips.actions, from_features.actions)
    assert from_clips.kept.shape == (2, 2, 4, 4)
    with pytest.raises(ValueError, match="cannot be cut into tubelets"):
        network(video[..., :60], PRUNING)


def test_only_what_was_trained_is_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    anonymizer, video = Anonymizer(DualTokenViT(3, 2, SHAPE), PRUNING, {"step_s": 0.1}), clips()
    anonymizer.save(tmp_path / "a.safetensors")
    assert not any(name.startswith("image.") for name in anonymizer.network.own_state())
    assert (tmp_path / "a.safetensors").stat().st_size < 200_000
    loaded = Anonymizer.load(tmp_path / "a.safetensors")
    assert torch.equal(loaded.kept(video), anonymizer.kept(video))
    assert torch.equal(loaded.kept(video), loaded.kept(video))


def test_another_tubelet_than_the_features_have_is_refused() -> None:
    with pytest.raises(ValueError, match="the stem lite0 has features of"):
        replace(SHAPE, tubelet=(2, 8, 8))


def test_features_move_with_their_edge() -> None:
    row = torch.arange(4.0).expand(1, 1, 1, 1, 4)
    assert moved(row, 1, -1).flatten().tolist() == [0, 0, 1, 2]
    assert moved(row, -1, -1).flatten().tolist() == [1, 2, 3, 3]


def test_drawn_people_are_the_same_each_time_and_train_a_network(tmp_path: Path) -> None:
    draw = {split: draw_private_people(split, 22, seed=0, num_frames=4, size_px=64) for split in ("train", "val")}
    again = draw_private_people("val", 4, seed=0, num_frames=4, size_px=64)
    assert np.array_equal(again.frames, draw["val"].frames[:4])
    assert draw["train"].actions.tolist() == sorted([*range(11), *range(11)])
    assert draw["train"].private.shape == (22, len(LOOKS))
    assert not np.array_equal(draw["train"].frames, draw["val"].frames)
    source = MemorySource("drawn people", {**draw, "test": draw["val"]})
    seen: list[int] = []
    looked = LookedAt(source, ImageFeatures(), on_clips=seen.append)
    assert sum(seen) == 44
    with looked.training(num_steps=2, batch_size=3, seed=0) as batch_at:
        assert torch.equal(batch_at(1).video, batch_at(1).video)
    config = replace(
        people(), data=PeopleData(num_train=22, num_val=22, num_test=22), shape=SHAPE, pruning=PRUNING,
        num_warm_steps=2, num_steps=2, batch_size=4,
    )  # fmt: skip
    anonymizer = train_anonymizer(config, source, RunDirectory.create(tmp_path / "run", {"recipe": "x"}))
    assert anonymizer.facts["actions"] == list(ACTIONS)
    assert anonymizer.facts["step_s"] == pytest.approx(1 / 6)
