"""What counts as the strongest attacker, what attackers start from, and when low leakage says nothing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tubelet.datasets.private_glyphs import PrivateClips
from tubelet.errors import ConfigError, WeightsError
from tubelet.methods.anonymization import attack as attack_module
from tubelet.methods.anonymization.attack import Attacked, attack
from tubelet.methods.anonymization.data import MemorySource, Truth
from tubelet.methods.anonymization.evaluate import _report, hiding_on, shown_report
from tubelet.methods.anonymization.measure import Measured, known_of, measured
from tubelet.methods.anonymization.model import Anonymizer, DualTokenViT, VitShape
from tubelet.methods.anonymization.pruning import PruningConfig
from tubelet.methods.anonymization.readers import FrameCnn, build_reader
from tubelet.methods.anonymization.recipes import (
    AttackConfig,
    ReaderWeights,
    glyphs,
    glyphs_published,
    start_of,
    vp_hmdb51,
    vp_ucf101,
)
from tubelet.methods.anonymization.train import train_anonymizer
from tubelet.models.efficientnet_lite import published_name
from tubelet.models.frames import frame_lite0
from tubelet.models.r2plus1d import r3d_18
from tubelet.runs import RunDirectory
from tubelet.training.distributed import World
from tubelet.training.weights_files import save_weights

SCRIPTS = Path(__file__).resolve().parents[4] / "benchmarks" / "quality"
ATTRIBUTES = ("bit",)


def private_clips(count: int = 40) -> PrivateClips:
    """Two actions; the attribute is there in every second pair."""
    numbers = np.arange(count)
    return PrivateClips(
        frames=np.zeros((count, 2, 8, 8, 3), np.uint8),
        actions=(numbers % 2).astype(np.int64),
        private=(numbers // 2 % 2).astype(np.float32)[:, None],
        groups=numbers,
        action_names=("left", "right"),
        attribute_names=ATTRIBUTES,
    )


def source() -> MemorySource:
    return MemorySource("pairs", {"train": private_clips(), "val": private_clips(20), "test": private_clips()})


def answers(truth: Truth, *, knows: float, seed: int = 0) -> np.ndarray:
    """Of an attacker who knows so much and fills the rest up with chance."""
    noise = np.random.default_rng(seed).random(truth.private.shape)
    return knows * truth.private + (1 - knows) * noise


def judged(*, knows: dict[str, tuple[float, float]], **more: Any) -> Measured:
    """Attackers by what they know of the validation and of the test."""
    data = source()
    truth, val = data.labels("test"), data.labels("val")
    attacked = Attacked(
        truth=truth,
        action_scores=np.eye(2)[truth.actions],
        private_scores={name: answers(truth, knows=of_test) for name, (_, of_test) in knows.items()},
        val_truth=val,
        val_scores={name: answers(val, knows=of_val, seed=1) for name, (of_val, _) in knows.items()},
        **more,
    )
    return measured(attacked, known_of(data), ATTRIBUTES, 2, seed=0)


def test_the_strongest_is_chosen_on_validation_clips_and_all_are_told() -> None:
    found = judged(knows={"frame_cnn": (1.0, 0.2), "still_cnn": (0.0, 1.0)})
    assert (found.strongest, found.chosen_on, found.strongest_on_test) == ("frame_cnn", "validation", "still_cnn")
    assert found.val_cmap["frame_cnn"] == 1 > found.val_cmap["still_cnn"]
    metrics = found.metrics()
    assert metrics["private_cmap"].value == metrics["private_cmap_by_frame_cnn"].value
    assert metrics["private_cmap_by_still_cnn"].value == 1
    assert found.excess.value == pytest.approx(found.cmap.value - found.action_floor.cmap.value)


def test_where_no_attribute_varies_in_validation_the_test_chooses_and_that_is_said() -> None:
    data = source()
    truth, val = data.labels("test"), data.labels("val").of(np.array([0, 1]))
    scores = {"frame_cnn": answers(truth, knows=0.2), "still_cnn": answers(truth, knows=1.0)}
    attacked = Attacked(
        truth=truth,
        action_scores=np.eye(2)[truth.actions],
        private_scores=scores,
        val_truth=val,
        val_scores={name: each[:2] for name, each in scores.items()},
    )
    found = measured(attacked, known_of(data), ATTRIBUTES, 2, seed=0)
    assert (found.strongest, found.chosen_on) == ("still_cnn", "test")


def test_attackers_that_read_nothing_from_raw_clips_make_low_leakage_void(tmp_path: Path) -> None:
    weak, strong = ({"frame_cnn": (knows, knows)} for knows in (0.0, 1.0))
    for raw, is_void in ((weak, True), (strong, False)):
        found = {"raw": judged(knows=raw), "hidden": judged(knows=weak)}
        assert (found["raw"].excess.low > 0) is not is_void
        report = _report(glyphs(), source(), found, {})
        assert ("VOID" in report.title) is ("VOID" in report.protocol) is is_void
        run = RunDirectory.create(tmp_path / f"void_{is_void}", {})
        run.report_path.parent.mkdir()
        report.write(run.report_path)
        assert ("VOID" in shown_report(run.path)) is is_void
        assert report.details["split_rule"] in report.protocol


def test_clips_that_were_not_read_are_counted(tmp_path: Path) -> None:
    found = judged(knows={"frame_cnn": (0.5, 0.5)}, failures={"clip 77": "torn"})
    report = _report(glyphs(), source(), {"raw": found, "hidden": found}, {})
    assert (report.num_expected, report.num_scored) == (41, 40)
    assert [(failure.item, failure.reason) for failure in report.failures] == [("clip 77", "torn")]


def test_clips_are_hidden_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = VitShape(num_frames=2, size_px=16, tubelet=(2, 8, 8), channels=12, depth=2, num_heads=2)
    anonymizer = Anonymizer(DualTokenViT(2, 1, shape), PruningConfig(blocks=(1,)), {})
    seen = []

    def noted(self: Anonymizer, video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append((video.device.type, next(self.network.parameters()).device.type))
        return video, video

    monkeypatch.setattr(Anonymizer, "__call__", noted)
    monkeypatch.setattr(Anonymizer, "kept", lambda self, video: noted(self, video)[0])
    for act in hiding_on(anonymizer, torch.device("meta")):
        assert act(torch.zeros(1, 3, 2, 16, 16)).device.type == "meta"
    assert seen == [("meta", "meta")] * 2


def published_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The image backbone of a frame network, as its published file has it."""
    return {published_name(name): value.clone() for name, value in network.backbone.state_dict().items()}


def test_readers_start_from_published_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    frame_network, resnet = frame_lite0(3), r3d_18(7)
    save_weights(tmp_path / "lite0.safetensors", published_state(frame_network))
    save_weights(tmp_path / "r3d.safetensors", resnet.state_dict())
    sizes = {"num_frames": 16, "size_px": 112}
    loaded = build_reader("frame_lite0", 2, weights=str(tmp_path / "lite0.safetensors"), **sizes).network
    for name, value in frame_network.backbone.state_dict().items():
        assert torch.equal(loaded.backbone.state_dict()[name], value), name
    loaded = build_reader("r3d_18", 2, weights=str(tmp_path / "r3d.safetensors"), **sizes).network
    assert torch.equal(loaded.state_dict()["stem.0.weight"], resnet.state_dict()["stem.0.weight"])
    assert loaded.head.out_features == 2
    with pytest.raises(WeightsError, match="no weights of this VideoResNet"):
        build_reader("r3d_18", 2, weights=str(tmp_path / "lite0.safetensors"), **sizes)
    with pytest.raises(WeightsError, match="frame_cnn is an attacker of this toolkit and has no published weights"):
        build_reader("frame_cnn", 2, weights="some.safetensors", **sizes)


def test_an_attack_gives_each_reader_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    def build(name: str, num_outputs: int, *, weights: str | None, **_: int) -> nn.Module:
        asked.append((name, weights))
        return FrameCnn(num_outputs)

    monkeypatch.setattr(attack_module, "build_reader", build)
    config = AttackConfig(
        utility="frame_cnn", attackers=("r3d_18",), num_steps=1, weights=ReaderWeights(r3d_18="r3d.pth"), num_views=1
    )
    found = attack(source(), config, tmp_path / "attack", num_frames=2, size_px=8, seed=0, device="cpu")
    assert asked == [("r3d_18", "r3d.pth"), ("frame_cnn", None), ("r3d_18", "r3d.pth")]  # at first only to see
    assert config.random_starts == ("frame_cnn",)
    assert found.val_scores["r3d_18"].shape == (20, 1)
    assert found.truth.ids == source().labels("test").ids


def test_weights_for_a_reader_that_is_not_used_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weights\.vit_base names a file, and vit_base is neither"):
        AttackConfig(weights=ReaderWeights(vit_base="vit.pth"))


@pytest.mark.parametrize(
    ("recipe", "num_train", "steps"),
    [(vp_hmdb51, 3570, (35_700, 2_231, 22_312)), (vp_ucf101, 9537, (95_370, 5_961, 59_606))],
)
def test_published_schedules_follow_the_size_of_their_set(recipe: Any, num_train: int, steps: tuple[int, ...]) -> None:
    config = recipe()
    found = (config.num_steps, config.optimizer.num_warmup_steps, config.attack.num_steps)
    assert found == steps
    assert found == tuple(round(epochs * num_train / config.batch_size) for epochs in (80, 5, 50))
    assert config.attack.batch_size == config.batch_size
    assert config.data.dataset == recipe.__name__


def test_what_an_anonymiser_starts_from_is_named() -> None:
    assert start_of(vp_hmdb51()) == "random numbers"
    assert start_of(glyphs_published()) == "a warm start of 1200 steps"


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch_size is 32, which 3 processes cannot share .* batch_size=33"):
        train_anonymizer(glyphs(), source(), RunDirectory(tmp_path), world=World(rank=1, size=3))


@pytest.fixture
def summary(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("anonymization_summary", SCRIPTS / "anonymization_summary.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_differences_between_arms_are_paired_by_seed_and_clip(summary: ModuleType) -> None:
    """Four clips of two digits, two seeds: one arm is right on three of four and ranks perfectly, the other neither."""
    truth = np.array([[1.0], [0.0], [1.0], [0.0]])
    good = {"right": [1, 1, 1, 0], "private_scores": [[0.9], [0.1], [0.8], [0.2]]}
    poor = {"right": [0, 0, 1, 0], "private_scores": [[0.1], [0.9], [0.2], [0.8]]}
    rows = [
        {"key": f"apart|{arm}|0.5|{seed}", **content}
        for arm, content in (("good", good), ("poor", poor))
        for seed in (0, 1)
    ]
    rows.append({"key": "apart|good|0.5|2", "right": [0] * 4, "private_scores": truth.tolist()})  # has no partner
    arms = summary.Arms(rows, {"apart": np.array([5, 5, 8, 8])}, {"apart": truth})
    found = arms.difference("apart", "good", "poor", "0.5")
    # Accuracy 3/4 - 1/4. Precision 1 against that of ranks 3 and 4: (1/3 + 2/4) / 2.
    assert found["top1"][0] == pytest.approx(0.5)
    assert found["private_cmap"][0] == pytest.approx(1 - (1 / 3 + 1 / 2) / 2)
    # Draws hold one digit twice or both: the first differs by 1, the second by 0; each alone is ranked as both are.
    assert found["top1"][1:] == pytest.approx([0.0, 1.0])
    assert found["private_cmap"][1] <= found["private_cmap"][0] <= found["private_cmap"][2]
    pair = arms.pairs("apart", "good", "poor", "0.5")
    assert "stronger on test clips" in summary._note(pair, 2)  # what older rows did
    arms.rows["apart", "good", "0.5"][0]["strongest_chosen_on"] = "validation"
    assert "stronger on test or validation clips" in summary._note(pair, 2)
    assert "as there is one seed" in summary._note(pair, 1)
    same = arms.difference("apart", "poor", "poor", "0.5")
    assert same == {"top1": [0.0, 0.0, 0.0], "private_cmap": [0.0, 0.0, 0.0]}
