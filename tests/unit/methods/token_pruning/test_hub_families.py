"""What each family of published models has of its own: towers, groups, pooling, and what it refuses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from published_vlms import LLAVA, QWEN, SIDE, VIDEO, alone, configuration, inputs, publish
from torch import Tensor, nn

from tubelet.methods.token_pruning import hub_tower, wrap
from tubelet.methods.token_pruning.hub import PrunedHubVideoLanguage, family_of
from tubelet.models.hub_video_language import load_hub_video_language

FAMILIES = (*QWEN, *LLAVA, "molmo2")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folders: dict[str, Path] = {family: tmp_path_factory.mktemp(family) for family in FAMILIES}
    for family, folder in folders.items():
        publish(folder, family)
    return {family: load_hub_video_language(folder) for family, folder in folders.items()}


def pruned(model: nn.Module, method: str = "stts", **options: Any) -> PrunedHubVideoLanguage:
    torch.manual_seed(1)
    wrapped = wrap(model, method, 0.5, **{"after_block": 1} | options)
    assert isinstance(wrapped, PrunedHubVideoLanguage)
    return wrapped.eval()


def towards(model: nn.Module, given: dict[str, Tensor], keep: Tensor, pool: int = 2) -> Any:
    """The adapter, the frames, and the tower's output with these groups kept after block 2."""
    adapter = family_of(model)
    (frames,) = adapter.frames(given, pool)
    config = pruned(model, "random").config
    reduction = hub_tower.HubPruning(config, frames, scorer=None, remove=0.5, draw=0)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr("tubelet.methods.token_pruning.pruning.select", lambda *_, **__: keep)
        taps, _ = hub_tower.run_tower(adapter, frames, reduction)
    return adapter, frames, taps


def drawn(frames: int, groups: int) -> Tensor:
    """Groups to keep; none of the second frame."""
    keep = torch.rand(frames, groups, generator=torch.Generator().manual_seed(4)) > 0.5
    keep[1] = False
    return keep


@pytest.mark.parametrize("family", QWEN)
def test_blocks_over_packed_tokens_are_the_towers_own(models: dict[str, Any], family: str) -> None:
    """Against the blocks' own forward passes over what is left of each frame, or window, by itself."""
    tower, keep = models[family].model.visual, drawn(3, 15)
    adapter, frames, taps = towards(models[family], alone(family, inputs(family), 0), keep)
    cos, sin = frames.rotary
    found = taps[len(tower.blocks) - 1]
    for frame in range(3):
        values, places = frames.values[frame], torch.arange(60)
        for block in range(len(tower.blocks)):
            windows = frames.windows if adapter.has_windows(block) else places[None]
            after = values.clone()
            for window in windows:
                own = torch.isin(places, window).nonzero()[:, 0]
                if len(own):
                    edges = torch.tensor([0, len(own)], dtype=torch.int32)
                    turns = (cos[places[own]], sin[places[own]])
                    with torch.no_grad():
                        after[own] = tower.blocks[block](values[own], cu_seqlens=edges, position_embeddings=turns)
            values = after
            if block == 2:
                places = frames.groups[keep[frame]].flatten().sort()[0]
                values = values[places]
        torch.testing.assert_close(found.at(torch.full_like(places, frame), places), values, atol=1e-5, rtol=0)
        assert int((found.rows[frame] >= 0).sum()) == len(places)


def test_windows_are_cut_as_the_tower_cuts_them(models: dict[str, Any]) -> None:
    """Three by five squares in windows of two by two: the last row and column of windows are narrower."""
    adapter, frames, _ = towards(models["qwen2_5_vl"], alone("qwen2_5_vl", inputs("qwen2_5_vl"), 0), drawn(3, 15))
    assert [int((window >= 0).sum()) // 4 for window in frames.windows] == [4, 4, 2, 2, 2, 1]
    first = frames.groups[:, 0].argsort()
    assert first.tolist() == [0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14]
    assert [adapter.has_windows(block) for block in range(6)] == [True, False, True, True, False, True]


@pytest.mark.parametrize("family", SIDE)
def test_blocks_with_separate_heads_over_packed_tokens_are_the_towers_own(models: dict[str, Any], family: str) -> None:
    given = alone(family, inputs(family), 0)
    keep = drawn(3 if family == "molmo2" else 4, 4 if family == "video_llava" else 9)
    adapter, frames, taps = towards(models[family], given, keep)
    found, last = taps[adapter.taps[-1]], adapter.taps[-1]
    for frame in range(len(keep)):
        values, places = frames.values[frame : frame + 1], torch.arange(frames.values.shape[1])
        for block in range(last + 1):
            if len(places):
                with torch.no_grad():
                    values = adapter.blocks[block](values, None)
            if block == 2:
                own = frames.groups[keep[frame]].flatten()
                if frames.needs is not None:
                    own = frames.needs[keep[frame]].any(0).nonzero()[:, 0]
                places = torch.cat([torch.arange(frames.num_cls), own[own >= 0].sort()[0] + frames.num_cls])
                values = values[:, places]
        torch.testing.assert_close(found.at(torch.full_like(places, frame), places), values[0], atol=1e-5, rtol=0)
        assert int((found.rows[frame] >= 0).sum()) == len(places)


def test_experts_read_what_stays(tmp_path: Path) -> None:
    publish(tmp_path, "qwen3_vl_moe")
    model, given = load_hub_video_language(tmp_path), inputs("qwen3_vl_moe")
    with torch.no_grad():
        assert torch.equal(pruned(model)(**given, remove=0.0).logits, model(**given).logits)
        found = pruned(model)(**given)
    assert [int((~keep).sum()) for keep in found.keep] == [22, 24]


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_is_enough(models: dict[str, Any], family: str) -> None:
    given, model = inputs(family), copy.deepcopy(models[family]).to(torch.bfloat16)
    with torch.no_grad():
        found = pruned(model)(**given)
        assert found.logits.dtype == torch.bfloat16 and bool(found.logits.isfinite().all())
        torch.testing.assert_close(pruned(model)(**given, remove=0.0).logits, model(**given).logits, atol=0.1, rtol=0)


def test_a_copy_reads_its_own_weights(models: dict[str, Any]) -> None:
    model, given = pruned(models["qwen2_vl"]), inputs("qwen2_vl")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.model.lm_head.weight.zero_()
        twin.model.model.visual.blocks[0].mlp.fc1.weight.zero_()
        assert float(twin(**given).logits.abs().max()) == 0
        assert not torch.equal(twin(**given).scores[0], model(**given).scores[0])


def test_pooling_of_what_stays_is_the_models_own(models: dict[str, Any]) -> None:
    model, keep = models["llava_onevision"], drawn(4, 9)
    adapter, frames, taps = towards(model, alone("llava_onevision", inputs("llava_onevision"), 0), keep)
    found = taps[4]
    whole = found.at(*torch.meshgrid(torch.arange(4), torch.arange(25), indexing="ij"))
    with torch.no_grad():
        expected = model.model.apply_pooling(model.model.multi_modal_projector(whole))
        (clip,) = adapter.visual(frames, taps, keep)
    torch.testing.assert_close(clip.features[:-1], expected[keep], atol=1e-5, rtol=0)
    assert torch.equal(clip.features[-1], model.model.image_newline)
    assert clip.kept.tolist() == [*keep.flatten().tolist(), True]


def test_groups_of_an_odd_grid_are_those_of_the_published_size() -> None:
    """As in the released models: 27x27 patches, 14x14 tokens; the middle row and column belong to two tokens each."""
    from transformers import LlavaOnevisionForConditionalGeneration

    config = configuration("llava_onevision")
    config.vision_config.image_size, config.vision_config.patch_size = 54, 2
    adapter: Any = family_of(LlavaOnevisionForConditionalGeneration(config))
    assert adapter.groups.shape == (196, 4) and adapter.weights.shape == (196, 729)
    members = adapter.groups[adapter.groups >= 0]
    assert torch.equal(members.sort()[0], torch.arange(729))
    assert bool(((adapter.groups >= 0).sum(1) > 0).all())
    torch.testing.assert_close(adapter.weights.sum(1), torch.ones(196))
    for group, patches in enumerate(adapter.groups):
        assert bool((adapter.weights[group, patches[patches >= 0]] > 0).all())
    assert (adapter.weights > 0).sum(0).unique().tolist() == [1, 2, 4]


def test_groups_of_video_llava_may_have_any_side(models: dict[str, Any]) -> None:
    given = inputs("video_llava")
    for pool, groups, gone in ((1, 16, 32), (4, 1, 32)):
        with torch.no_grad():
            found = pruned(models["video_llava"], pool=pool)(**given)
        assert [tuple(keep.shape) for keep in found.keep] == [(4, groups)] * 2
        assert int((found.input_ids == VIDEO).sum()) == 2 * (4 * 17 - gone)
    with pytest.raises(ValueError, match="pool is 3, but frames have 4x4 patches; allowed: 1, 2, 4"):
        pruned(models["video_llava"], pool=3)


@pytest.mark.parametrize("family", SIDE)
def test_plain_positions_can_be_kept_or_counted_anew(models: dict[str, Any], family: str) -> None:
    given, model = inputs(family), pruned(models[family])
    mask = given["attention_mask"]
    for position in (None, "contiguous", "original"):
        seen: dict[str, Any] = {}
        hook = models[family].register_forward_pre_hook(lambda _, __, named: seen.update(named), with_kwargs=True)  # noqa: B023
        with torch.no_grad():
            found = model(**given, position=position)
        hook.remove()
        for row in range(2):
            positions = seen["position_ids"][row, found.there[row]]
            if position == "original":
                where = (mask[row].cumsum(0) - 1)[mask[row].bool()]
                words = (given["input_ids"][row] != VIDEO)[mask[row].bool()]
                left = found.input_ids[row, found.there[row]] != VIDEO
                assert torch.equal(positions[left], where[words]) and bool((positions.diff() > 0).all())
            else:
                assert torch.equal(positions, torch.arange(len(positions)))
    with pytest.raises(ValueError, match="position is 'last'; allowed with .*: 'contiguous', 'original'"):
        model(**given, position="last")


def test_groups_of_molmo_come_with_the_inputs(models: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="pool is 2, but groups of Molmo2 come with the inputs; leave pool out"):
        wrap(models["molmo2"], pool=2)


def test_molmo_tells_what_does_not_belong_together(models: dict[str, Any]) -> None:
    model, given = pruned(models["molmo2"]), inputs("molmo2")
    with pytest.raises(ValueError, match="were given without video_grids; give all three"):
        model(**{name: value for name, value in given.items() if name != "video_grids"})
    with pytest.raises(ValueError, match="together 7 frames and 63 tokens, but .* has 6 frames and .* 63 tokens"):
        model(**given | {"pixel_values_videos": given["pixel_values_videos"][1:]})
    with pytest.raises(ValueError, match="were both given; Molmo2 reads one or the other"):
        model(**given, pixel_values=torch.zeros(1, 25, 48))
    pooling = given["video_token_pooling"].clone()
    pooling[0, 0] = 1
    with pytest.raises(ValueError, match="does not put each of the 25 patches of a frame into one group"):
        model(**given | {"video_token_pooling": pooling})


def test_molmo_is_trained_as_it_is_without_pruning(models: dict[str, Any]) -> None:
    """In training the model wants to know which tokens are visual, also of shortened prompts."""
    model, given = pruned(models["molmo2"]).train(), inputs("molmo2")
    model(**given).loss.backward()
    assert float(model.scorer.mlp[0].weight.grad.abs().max()) > 0
    models["molmo2"].eval().zero_grad(set_to_none=True)


@pytest.mark.parametrize("family", LLAVA)
def test_llavas_that_are_put_together_otherwise_are_refused(models: dict[str, Any], family: str) -> None:
    config = models[family].config
    others = {"llava_onevision": "siglip_vision_model", "video_llava": "clip_vision_model"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config.vision_config, "attention_dropout", 0.1)
        with pytest.raises(ValueError, match="attention_dropout 0.1, which packed tokens would not get; allowed: 0"):
            wrap(models[family])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config.vision_config, "model_type", "vit")
        with pytest.raises(ValueError, match=f"of model_type 'vit' cannot be pruned; allowed: '{others[family]}'"):
            wrap(models[family])
    if family == "llava_onevision":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(config, "vision_feature_select_strategy", "default")
            with pytest.raises(ValueError, match="vision_feature_select_strategy is 'default'.*allowed: 'full'"):
                wrap(models[family])
    given = inputs(family)
    with pytest.raises(ValueError, match=r"has the shape \(3, 20, 20\)|has the shape \(3, 16, 16\)"):
        pruned(models[family])(**given | {"pixel_values_videos": given["pixel_values_videos"][0, 0]})


def test_releases_that_take_no_visual_tokens_are_refused(models: dict[str, Any]) -> None:
    class Older(type(models["qwen2_vl"])):  # type: ignore[misc]
        def forward(self, input_ids: Tensor) -> Tensor:
            return input_ids

    model = Older.__new__(Older)
    nn.Module.__init__(model)
    with pytest.raises(ValueError, match="takes no mm_encoder_outputs, by which visual tokens are handed over"):
        family_of(model)


def test_weights_of_keys_reach_attention_within_windows() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 10, 4, generator=generator) for _ in range(3))
    bias = torch.randn(2, 1, 10, generator=generator)
    windows = torch.tensor([[0, 3, 5, 6], [1, 2, 9, -1], [4, 7, 8, -1]])
    together = torch.zeros(10, 10, dtype=torch.bool)
    for window in windows:
        inside = window[window >= 0]
        together[inside[:, None], inside] = True
    mask = bias[:, None].masked_fill(~together, -torch.inf)
    expected = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    found = hub_tower._attend_in_frames(query, key, value, bias, windows)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    weights = (query @ key.transpose(-1, -2) / 2).masked_fill(~together, -torch.inf).softmax(-1)
    received = hub_tower._received(query, key, windows)
    torch.testing.assert_close(received[:, :, 0], weights.sum(2), atol=1e-6, rtol=0)


@pytest.mark.parametrize("family", QWEN)
def test_groups_are_the_models_own(models: dict[str, nn.Module], family: str) -> None:
    with pytest.raises(ValueError, match="pool is 3, but a visual token of this model stands for 2x2.*give pool=2"):
        wrap(models[family], pool=3)
    given = inputs(family)
    with pytest.raises(ValueError, match="pixel_values_videos were given without video_grid_thw"):
        pruned(models[family])(**{name: value for name, value in given.items() if name != "video_grid_thw"})
    with pytest.raises(ValueError, match=r"together 372 patches, but pixel_values_videos has 371"):
        pruned(models[family])(**given | {"pixel_values_videos": given["pixel_values_videos"][1:]})
