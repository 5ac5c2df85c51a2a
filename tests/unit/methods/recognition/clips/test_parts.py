"""Small parts of training on clips: calibration, fusion, main persons, networks by name, and what configs refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tubelet.configs import override
from tubelet.datasets.sampling import Sampling
from tubelet.errors import ConfigError, WeightsError
from tubelet.methods.recognition import recipes
from tubelet.methods.recognition.clips.calibration import calibrate
from tubelet.methods.recognition.clips.config import ClipConfig, NetworkConfig
from tubelet.methods.recognition.clips.fusion import best_share, fused, load_share
from tubelet.methods.recognition.clips.model import ClipModel, load_clip_model, normalised_video, save_clip_model
from tubelet.methods.recognition.clips.networks import build_network, choose_trained, start_from
from tubelet.methods.recognition.clips.persons import _mirrored, known_frames, main_person
from tubelet.methods.recognition.preprocess import FEATURE_NAMES, features
from tubelet.methods.recognition.timeline import TrackRow
from tubelet.models.token_merging import TokenMerging
from tubelet.models.vit import VideoViT
from tubelet.runs import write_json
from tubelet.skeletons import BODY_13
from tubelet.training.weights_files import save_weights

TINY = Sampling(num_frames=4, size_px=32, fit="stretch")


def card(**changes: object) -> dict[str, object]:
    return {
        "name": "frames",
        "classes": ["a", "b"],
        "is_multi_label": False,
        "network": {"name": "frames"},
        "sampling": {"num_frames": 4, "size_px": 32, "fit": "stretch"},
        "calibration": {"temperature": 2.0, "min_score": 0.4},
        "window_s": 1.5,
        "data": {},
        "training": {},
        "evidence": {},
        **changes,
    }


def test_temperature_and_threshold_come_from_validation_clips() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    logits = rng.normal(0, 1, (400, 3)) + 1.5 * np.eye(3)[labels]
    found = calibrate(5 * logits, labels, greatest_risk=0.1)  # five times too sure
    assert 3 < found.temperature < 7
    assert found.risk is not None
    assert found.risk <= 0.1
    assert 0.3 <= found.min_score <= 0.9


def test_a_handful_of_clips_fits_nothing_and_certainty_is_limited() -> None:
    labels = np.array([0, 1, 0, 1])
    assert calibrate(np.eye(2)[labels], labels, greatest_risk=0.1).temperature == 1.0
    many = np.tile(labels, 5)
    assert calibrate(np.eye(2)[many], many, greatest_risk=0.1).temperature == 0.5
    assert calibrate(np.eye(2)[1 - many], many, greatest_risk=0.1).min_score == 0.9  # all wrong


def test_fusion_trusts_the_better_model() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 200)
    good = np.log(np.maximum(0.7 * np.eye(4)[labels] + 0.075, 1e-6))
    noise = np.log(rng.dirichlet(np.ones(4), 200))
    share, losses = best_share(good, noise, labels)
    assert share >= 0.9
    assert best_share(noise, good, labels)[0] <= 0.1
    assert losses[f"{share:g}"] == min(losses.values())
    assert np.allclose(fused(good, noise, 1.0), good)


def test_the_share_is_read_back_or_missed(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not say how the two models are weighed"):
        load_share(tmp_path)
    write_json(tmp_path / "fusion.json", {"schema": "tubelet.fusion/1", "share_of_pictures": 1.5})
    with pytest.raises(WeightsError, match="share 1.5"):
        load_share(tmp_path)


def row(track: int, index: int, height: float) -> TrackRow:
    box = (0.0, 0.0, height / 2, height)
    return TrackRow(track_id=track, frame_index=index, time_s=index / 15, box_px=box, score=1.0, interpolated=False)


def test_the_main_person_is_seen_longest_and_then_largest() -> None:
    rows = [row(1, i, 50) for i in range(5)] + [row(2, i, 40) for i in range(9)]
    assert {each.track_id for each in main_person(rows)} == {2}
    rows += [row(3, i, 90) for i in range(9)]
    assert {each.track_id for each in main_person(rows)} == {3}
    assert main_person([]) == []


def test_a_mirrored_person_has_left_and_right_exchanged() -> None:
    rng = np.random.default_rng(2)
    poses = rng.uniform(10, 90, (6, 13, 3)).astype(np.float32)
    boxes = np.tile(np.array([5, 5, 95, 95], np.float32), (6, 1))
    turned, turned_boxes = _mirrored(poses, boxes)
    assert np.allclose(turned[:, BODY_13.index("left_wrist"), 0], -poses[:, BODY_13.index("right_wrist"), 0])
    assert (turned_boxes[:, 0] < turned_boxes[:, 2]).all()
    plain, other = (features(p, b, np.arange(6) / 15) for p, b in ((poses, boxes), (turned, turned_boxes)))
    left, right = (FEATURE_NAMES.index(f"{side}_wrist_x") for side in ("left", "right"))
    assert np.allclose(other[left], -plain[right], atol=1e-5)
    assert known_frames(plain).all()


@pytest.mark.parametrize(
    ("name", "sampling"),
    [
        ("frames", TINY),
        ("single_frame", TINY),
        ("vit_tiny", TINY),
        ("r2plus1d_18", TINY),
        ("x3d_xs", Sampling(num_frames=4, size_px=64)),
    ],
)
def test_networks_are_found_by_name_and_saved_with_their_card(name: str, sampling: Sampling, tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = NetworkConfig(name=name)  # type: ignore[arg-type]
    network = build_network(settings, sampling, ("a", "b")).eval()
    about = card(network={"name": name}, sampling={"num_frames": sampling.num_frames, "size_px": sampling.size_px})
    save_clip_model(tmp_path, network.state_dict(), about)
    model = load_clip_model(tmp_path)
    views = np.random.default_rng(0).integers(
        0, 255, (2, sampling.num_frames, sampling.size_px, sampling.size_px, 3), np.uint8
    )
    before = ClipModel(network, about).logits(views)
    assert np.allclose(model.logits(views), before, atol=1e-4)
    probabilities = model.probabilities(before)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert model.labels == ("a", "b")
    picture = np.zeros((40, 60, 3), np.uint8)
    window = [model.prepare(picture) for _ in range(sampling.num_frames)]
    assert model.window_probabilities(window).shape == (2,)


def vit(sampling: Sampling) -> VideoViT:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(name="vit_tiny"), sampling, ("a", "b")).eval()
    assert isinstance(network, VideoViT)
    with torch.no_grad():
        network.head.weight.mul_(5)
    return network


def test_a_budget_of_tokens_is_what_reaches_the_last_layer() -> None:
    network, about = vit(TINY), card(network={"name": "vit_tiny"})
    views = np.random.default_rng(0).integers(0, 255, (2, 4, 32, 32, 3), np.uint8)
    seen: list[int] = []
    network.blocks[-1].mlp.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    plain, whole, half, quarter = (
        ClipModel(network, about, token_budget=budget).logits(views) for budget in (1.0, 1, 0.5, 0.25)
    )
    assert seen == [8, 8, 4, 2]
    assert np.array_equal(plain, ClipModel(network, about).logits(views))
    assert np.array_equal(plain, whole)
    assert np.abs(plain - half).max() > 1e-5
    expected = network(
        normalised_video(torch.from_numpy(views), network), reduction=TokenMerging(0.25, len(network.blocks))
    )
    assert np.allclose(quarter, expected.numpy(), atol=1e-6)


def test_windows_of_a_video_are_judged_on_the_budget_too(tmp_path: Path) -> None:
    save_clip_model(tmp_path, vit(TINY).state_dict(), card(network={"name": "vit_tiny"}))
    pictures = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8)
    whole, half = (load_clip_model(tmp_path, token_budget=budget) for budget in (1.0, 0.5))
    found = [model.window_probabilities([model.prepare(picture) for picture in pictures]) for model in (whole, half)]
    assert np.abs(found[0] - found[1]).max() > 1e-6


@pytest.mark.parametrize("budget", [-0.1, 0.0, 1.5])
def test_a_budget_that_is_no_share_is_refused(budget: float) -> None:
    with pytest.raises(ConfigError, match=rf"token_budget is {budget:g}; allowed: more than 0, at most 1"):
        ClipModel(vit(TINY), card(network={"name": "vit_tiny"}), token_budget=budget)
    with pytest.raises(ConfigError, match=rf"token_budget is {budget:g}; allowed: more than 0, at most 1"):
        override(recipes.vit_small(), [f"evaluation.token_budget={budget}"])


def test_networks_without_tokens_have_no_budget_of_them(tmp_path: Path) -> None:
    network = build_network(NetworkConfig(name="x3d_xs"), Sampling(num_frames=4, size_px=64), ("a", "b"))
    save_clip_model(tmp_path, network.state_dict(), card(network={"name": "x3d_xs"}))
    assert load_clip_model(tmp_path, token_budget=1).labels == ("a", "b")
    with pytest.raises(ConfigError, match="a model of the network 'x3d_xs' is no video transformer.*vit_small"):
        load_clip_model(tmp_path, token_budget=0.5)


def test_training_goes_on_from_another_run(tmp_path: Path) -> None:
    settings = NetworkConfig(name="vit_tiny", weights=str(tmp_path))
    first = build_network(settings, TINY, ("a", "b"))
    save_clip_model(tmp_path, first.state_dict(), card(network={"name": "vit_tiny"}))
    same = build_network(settings, TINY, ("x", "y"))
    start_from(same, settings)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    more = build_network(settings, TINY, ("x", "y", "z"))
    head = [parameter.clone() for parameter in more.head.parameters()]  # type: ignore[union-attr]
    start_from(more, settings)
    assert torch.equal(next(iter(more.parameters())), next(iter(first.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(head, more.head.parameters(), strict=True))  # type: ignore[union-attr]
    other = build_network(NetworkConfig(name="vit_tiny"), Sampling(num_frames=4, size_px=64), ("a", "b"))
    assert other is not None
    with pytest.raises(WeightsError, match="was trained with another network"):
        start_from(build_network(NetworkConfig(name="r2plus1d_18"), TINY, ("a", "b")), settings)


@pytest.mark.parametrize("tune", ["probe", "lora"])
def test_what_is_trained_can_be_chosen(tune: str) -> None:
    settings = NetworkConfig(name="vit_tiny", tune=tune)  # type: ignore[arg-type]
    network = build_network(settings, TINY, ("a", "b"))
    everything = sum(parameter.numel() for parameter in network.parameters())
    choose_trained(network, settings)
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    assert 0 < trained < everything / 10
    frames = build_network(NetworkConfig(name="frames", tune="probe"), TINY, ("a", "b"))
    choose_trained(frames, NetworkConfig(name="frames", tune="probe"))
    backbone = frames.backbone
    assert isinstance(backbone, nn.Module)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_files_that_are_no_clip_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no clip model in"):
        load_clip_model(tmp_path)
    save_weights(tmp_path / "model.safetensors", {"a": torch.zeros(1)})
    with pytest.raises(WeightsError, match="has no card"):
        load_clip_model(tmp_path)
    save_clip_model(tmp_path, {"a": torch.zeros(1)}, card())
    with pytest.raises(WeightsError, match="does not hold the network that its card describes"):
        load_clip_model(tmp_path)
    save_clip_model(tmp_path, {"a": torch.zeros(1)}, card(network={"name": "abacus"}))
    with pytest.raises(WeightsError, match="its card cannot be read by this version"):
        load_clip_model(tmp_path)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("batch_size=0", "batch_size is 0; allowed: 1 or more"),
        ("num_micro_batches=3", "allowed: divisors of batch_size"),
        ("num_epochs=0", "num_epochs is 0; allowed: above 0"),
        ("patience=0", "patience is 0; allowed: 1 or more"),
        ("layer_decay=1.5", "layer_decay is 1.5; allowed: above 0, to 1"),
        ("mixup_alpha=2", "mixup_alpha is 2; allowed: 0 to 1"),
        ("decoded_cache_gb=-1", "decoded_cache_gb is -1; allowed: 0 or more"),
        ("network.name=frams", "network.name: 'frams' is not allowed"),
        ("network.weights=imagenet", "which vit_small has none of"),
        ("network.lora_rank=0", "lora_rank is 0"),
        ("evaluation.num_views=0", "num_views is 0; allowed: 1 or more"),
        ("evaluation.split=tset", "evaluation.split: 'tset' is not allowed"),
        ("sampling.num_frames=0", "num_frames is 0; allowed: 1 or more"),
        ("seed=-1", "seed is -1"),
        ("device=tpu", "device: 'tpu' is not allowed"),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        override(recipes.vit_small(), [setting])


def test_pictures_are_not_kept_where_features_are() -> None:
    with pytest.raises(ConfigError, match="decoded_cache_gb is 2, and a frozen image backbone keeps features"):
        override(recipes.frames(), ["decoded_cache_gb=2"])
    assert override(recipes.frames(), ["decoded_cache_gb=2", "network.tune=full"]).decoded_cache_gb == 2


def test_weights_of_an_image_transformer_are_spread_over_time(tmp_path: Path) -> None:
    settings = NetworkConfig(name="vit_tiny", layout="image", weights=str(tmp_path / "image.safetensors"))
    network = build_network(settings, TINY, ("a", "b"))
    own = network.state_dict()
    image = {
        "patch_embed.proj.weight": torch.randn(192, 3, 16, 16),
        "patch_embed.proj.bias": torch.randn(192),
        "pos_embed": torch.randn(1, 1 + 4, 192),
        "cls_token": torch.randn(1, 1, 192),
    }
    renamed = {"attention.qkv": "attn.qkv", "attention.proj": "attn.proj"}
    for name, tensor in own.items():
        if name.startswith(("blocks.", "norm.")):
            for ours, theirs in renamed.items():
                name = name.replace(ours, theirs)  # noqa: PLW2901 - the name as the checkpoint has it
            image[name] = torch.randn_like(tensor)
    save_weights(tmp_path / "image.safetensors", image)
    start_from(network, settings)
    kernel = network.state_dict()["patch_embed.weight"]
    assert torch.allclose(kernel.sum(dim=2), image["patch_embed.proj.weight"], atol=1e-5)


def test_a_published_model_needs_a_name() -> None:
    with pytest.raises(ConfigError, match="network.weights is not given; name the hub id or the folder"):
        build_network(NetworkConfig(name="hub"), TINY, ("a", "b"))


def test_mvit_takes_its_own_size_only() -> None:
    with pytest.raises(ConfigError, match="mvit_v2_s takes 16 of 224"):
        build_network(NetworkConfig(name="mvit_v2_s"), TINY, ("a", "b"))
    with pytest.raises(ConfigError, match="sampling does not fit vit_tiny"):
        build_network(NetworkConfig(name="vit_tiny"), Sampling(num_frames=3, size_px=32), ("a", "b"))


def test_every_clip_recipe_is_complete() -> None:
    names = ["frames", "single_frame", "vit_small", "vit_base", "mvit_v2_s", "r2plus1d_18", "x3d_s", "hub"]
    configs = [getattr(recipes, name)() for name in names]
    assert all(isinstance(config, ClipConfig) for config in configs)
    assert configs[0].caches_features
    assert not configs[2].caches_features
    with pytest.raises(WeightsError, match="takes 'imagenet' or the folder of a run"):
        start_from(build_network(NetworkConfig(), TINY, ("a", "b")), NetworkConfig(weights="nothing.pth"))
