"""What a pruned classifier promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.methods.token_pruning import wrap
from tubelet.methods.token_pruning.pruned import PrunedClassifier
from tubelet.methods.token_pruning.pruning import GROUP_METHODS, METHODS
from tubelet.methods.token_pruning.selection import num_removed
from tubelet.models.vit import VideoViT


def network(attention: str = "frame", num_cls_tokens: int = 0) -> VideoViT:
    torch.manual_seed(0)
    model = VideoViT(
        5,
        num_frames=6,
        size_px=24,
        tubelet=(1, 4, 4),
        channels=32,
        depth=4,
        num_heads=4,
        attention=attention,  # type: ignore[arg-type]
        num_cls_tokens=num_cls_tokens,
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def pruned(model: VideoViT, method: str = "stts", remove: float = 0.5, **options: Any) -> PrunedClassifier:
    torch.manual_seed(1)
    options = {} if method in ("dense", "tome") else {"after_block": 1} | options
    wrapped = wrap(model, method, remove, **options)
    assert isinstance(wrapped, PrunedClassifier)
    return wrapped.eval()


@pytest.fixture
def video() -> Tensor:
    return torch.rand(3, 3, 6, 24, 24, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("attention", ["frame", "joint"])
@pytest.mark.parametrize("num_cls_tokens", [0, 1])
@pytest.mark.parametrize("method", [method for method in METHODS if method != "fastv"])
def test_with_nothing_to_remove_the_model_is_itself(
    video: Tensor, attention: str, num_cls_tokens: int, method: str
) -> None:
    model = network(attention, num_cls_tokens)
    expected = model(video)
    assert bool((pruned(model, method, 0.0)(video) == expected).all())


@pytest.mark.parametrize("attention", ["frame", "joint"])
def test_pictures_are_not_pruned_and_the_stats_say_so(attention: str) -> None:
    model = network(attention)
    picture = torch.rand(2, 3, 1, 24, 24)
    found = pruned(model).run(picture)
    assert bool((found.logits == model(picture)).all())
    assert found.keep is None
    assert found.stats.kept_share == 1.0


@pytest.mark.parametrize("attention", ["frame", "joint"])
@pytest.mark.parametrize("method", GROUP_METHODS)
@pytest.mark.parametrize("remove", [0.3, 0.5, 0.8])
def test_every_method_meets_the_budget(video: Tensor, attention: str, method: str, remove: float) -> None:
    found = pruned(network(attention), method, remove).run(video)
    assert found.keep is not None
    per_clip = found.keep.reshape(3, -1).sum(1)
    if method.endswith("frames"):
        assert per_clip.tolist() == [4 * -(-round((1 - remove) * 60) // 10)] * 3
    else:
        assert per_clip.tolist() == [24 - num_removed(remove, 4, 6)] * 3
        assert bool(found.keep[::6].all())
    assert found.stats.kept_share == pytest.approx(float(per_clip.sum()) / 72)
    assert bool(found.logits.isfinite().all())


@pytest.mark.parametrize("attention", ["frame", "joint"])
@pytest.mark.parametrize("method", ["stts", "prev_sim", "ref_sim", "window", "attention", "uniform_frames"])
def test_clips_do_not_see_each_other(video: Tensor, attention: str, method: str) -> None:
    model = pruned(network(attention), method)
    together, alone = model.run(video), [model.run(video[row : row + 1]) for row in range(3)]
    torch.testing.assert_close(together.logits, torch.cat([each.logits for each in alone]), atol=1e-5, rtol=1e-5)
    assert (together.aux_loss is not None) == (method == "stts")
    if together.aux_loss is not None:
        mean = sum(each.aux_loss.item() for each in alone if each.aux_loss is not None) / 3
        assert together.aux_loss.item() == pytest.approx(mean, rel=1e-4)


def test_nothing_is_compared_for_a_loss_that_nobody_learns_from(video: Tensor) -> None:
    model = pruned(network())
    with torch.no_grad():
        assert model.run(video).aux_loss is None


@pytest.mark.parametrize("backend", ["packed_mask", "jagged"])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_packing_is_running_each_frame_by_itself_with_gradients(video: Tensor, backend: str) -> None:
    found = []
    for each in ("loop", backend):
        model, pixels = pruned(network(), backend=each), video.clone().requires_grad_()
        out = model.run(pixels)
        out.logits.square().sum().backward()
        found.append((out.logits, pixels.grad, out.keep))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_pruning_is_masking_what_is_gone(video: Tensor) -> None:
    """Dropping tokens is keeping them and hiding them, from that block on."""
    from tubelet.models.token_reduction import TokenReduction, Tokens

    model = network("joint", num_cls_tokens=1)
    found = pruned(model, "prev_sim").run(video)
    assert found.keep is not None
    of_patch = torch.arange(36).reshape(2, 3, 2, 3).permute(0, 2, 1, 3).reshape(4, 9)
    hidden = torch.zeros(18, 36, dtype=torch.bool)
    for group in range(4):
        hidden[:, of_patch[group]] = ~found.keep[:, group, None]

    class Hide(TokenReduction):
        def attention_bias(self, block: int, tokens: Tokens) -> Tensor | None:
            if block <= 2:
                return None
            rows = hidden.reshape(3, -1)
            bias = torch.zeros(rows.shape).masked_fill(rows, float("-inf"))
            return torch.nn.functional.pad(bias, (1, 0))[:, None]

    torch.testing.assert_close(model(video, reduction=Hide()), found.logits, atol=1e-5, rtol=1e-5)


def test_the_task_teaches_the_scorer_through_the_bias_alone(video: Tensor) -> None:
    for bias, is_taught in (("on", True), ("detached", False), ("off", False)):
        model = pruned(network(), bias=bias)
        model.run(video).logits.square().sum().backward()
        assert model.scorer is not None
        gradients = [parameter.grad for parameter in model.scorer.parameters()]
        assert any(gradient is not None and bool(gradient.any()) for gradient in gradients) == is_taught, bias


@pytest.mark.parametrize("detach", [True, False])
def test_the_temporal_loss_moves_the_transformer_by_its_target_only_where_asked(video: Tensor, detach: bool) -> None:
    wrapped = pruned(network(), detach_target=detach)
    assert wrapped.scorer is not None
    # A scorer that gives every group the same leaves the target as the only way from the loss to the transformer.
    last = wrapped.scorer.mlp[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.zeros_(last.weight)
    loss = wrapped.run(video).aux_loss
    assert loss is not None
    loss.backward()
    gradient = wrapped.model.patch_embed.weight.grad
    assert (gradient is not None and bool(gradient.any())) != detach


def test_the_model_is_left_as_it_was(video: Tensor) -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model(video)
    wrapped = pruned(model)
    wrapped(video)
    assert wrapped.model is model
    assert all(bool((value == before[name]).all()) for name, value in model.state_dict().items())
    assert bool((model(video) == expected).all())


def test_weights_go_and_come_back(video: Tensor) -> None:
    one, other = pruned(network()), pruned(network())
    assert other.scorer is not None
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(one.state_dict())
    assert bool((one(video) == other(video)).all())


def test_pixels_that_are_no_numbers_name_their_clip(video: Tensor) -> None:
    video[1, 0, 2, 3, 4] = float("nan")
    with pytest.raises(FloatingPointError, match="clip 1 has pixels"):
        pruned(network())(video)


def test_what_cannot_be_done_is_refused() -> None:
    model = network()
    with pytest.raises(ValueError, match="method is 'magic'; allowed: dense, stts"):
        wrap(model, "magic")
    with pytest.raises(ValueError, match=r"remove is 1; allowed: at least 0"):
        wrap(model, "stts", 1.0)
    with pytest.raises(ValueError, match=r"after_block is 3: .* block 4 of 4.* allowed: 0 to 2"):
        wrap(model, "stts", 0.5, after_block=3)
    with pytest.raises(TypeError, match="a Linear cannot be pruned"):
        wrap(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="'fastv' drops tokens in a language model"):
        wrap(model, "fastv")
    with pytest.raises(ValueError, match="drops frames everywhere"):
        wrap(model, "uniform_frames", 0.5, where="llm")


def test_bins_say_how_full_they_are(video: Tensor) -> None:
    stats = pruned(network(), backend="packed_mask").run(video).stats
    assert stats.num_rows is not None
    assert stats.bin_efficiency is not None
    assert 0.5 <= stats.bin_efficiency <= 1
    assert sum(stats.kept_per_frame) == 36
    assert stats.backend == "packed_mask"
    assert 0 < stats.flops < stats.dense_flops


@pytest.mark.parametrize("bias_norm", ["frame", "row"])
def test_both_ways_of_spreading_scores_run(video: Tensor, bias_norm: str) -> None:
    assert bool(pruned(network(), bias_norm=bias_norm)(video).isfinite().all())


def test_random_choices_follow_their_number(video: Tensor) -> None:
    model = pruned(network(), "random")
    first, again, other = (model.run(video, draw=draw).keep for draw in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert other is not None
    assert bool((first == again).all())
    assert not bool((first == other).all())


def test_weights_of_another_budget_are_loaded_with_a_warning(video: Tensor) -> None:
    one, other = pruned(network(), remove=0.5), pruned(network(), remove=0.7, after_block=0)
    with pytest.warns(UserWarning, match=r"trained with remove=0.5 and after_block=1; .* remove=0.7 and after_block=0"):
        other.load_state_dict(one.state_dict())
    assert bool(other(video).isfinite().all())


def test_half_precision_changes_only_groups_that_are_worth_about_the_same(video: Tensor) -> None:
    model = pruned(network("joint"))
    with torch.no_grad():
        exact = model.run(video)
        half = model.to(torch.bfloat16).run(video.to(torch.bfloat16))
    assert exact.keep is not None
    assert half.keep is not None
    assert exact.scores is not None
    for clip in range(3):
        rows = slice(6 * clip + 1, 6 * clip + 6)
        cut = exact.scores[rows][~exact.keep[rows]].max()
        changed = exact.keep[rows] != half.keep[rows]
        assert float((exact.scores[rows][changed] - cut).abs().amax() if changed.any() else 0) < 0.01
