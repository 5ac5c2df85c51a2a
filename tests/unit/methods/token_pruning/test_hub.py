"""Published video-language models are pruned, and nothing else about them changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import published_vlms
import pytest
import torch
from published_vlms import FAMILIES, QWEN, alone, group_counts, inputs, publish
from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.methods.token_pruning import wrap
from tubelet.methods.token_pruning.hub import PrunedHubVideoLanguage
from tubelet.methods.token_pruning.pruning import GROUP_METHODS
from tubelet.models.hub_video_language import load_hub_video_language

BY_FRAME = ("uniform_frames", "random_frames")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each family; tests that change files copy it first."""
    folders = {family: tmp_path_factory.mktemp(family) for family in FAMILIES}
    for family, folder in folders.items():
        publish(folder, family)
    return folders


@pytest.fixture(scope="module")
def models(published: dict[str, Path]) -> dict[str, nn.Module]:
    """Read the way that users read them; tests change no weights of these."""
    return {family: load_hub_video_language(folder) for family, folder in published.items()}


def pruned(model: nn.Module, method: str = "stts", remove: float = 0.5, **options: Any) -> PrunedHubVideoLanguage:
    torch.manual_seed(1)
    wrapped = wrap(model, method, remove, **({} if method == "dense" else {"after_block": 1}) | options)
    assert isinstance(wrapped, PrunedHubVideoLanguage)
    return wrapped.eval()


def test_weights_of_another_budget_are_loaded_with_a_warning(models: dict[str, nn.Module]) -> None:
    one, other = pruned(models[QWEN[0]]), pruned(models[QWEN[0]], remove=0.7)
    with pytest.warns(UserWarning, match="trained with remove=0.5 and after_block=1; this model has remove=0.7"):
        other.load_state_dict(one.state_dict())


def prompt_of(given: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in given.items() if name != "labels"}


def text_of(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The last tokens of the prompts, which are words."""
    return {name: given[name][:, -4:] for name in ("input_ids", "attention_mask", "labels")}


@pytest.mark.parametrize("method", ["dense", "stts", "attention", "uniform_frames"])
@pytest.mark.parametrize("family", FAMILIES)
def test_with_nothing_to_remove_the_model_is_itself(models: dict[str, nn.Module], family: str, method: str) -> None:
    given = inputs(family)
    with torch.no_grad():
        expected = models[family](**given)
        found = pruned(models[family], method, 0.0)(**given)
    assert torch.equal(found.logits, expected.logits) and torch.equal(found.loss, expected.loss)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("family", "backend"),
    [(family, "packed_mask") for family in FAMILIES]
    + [(family, backend) for family in ("qwen2_5_vl", "video_llava") for backend in ("loop", "jagged")],
)
def test_packing_changes_nothing_where_all_stays(
    models: dict[str, nn.Module], monkeypatch: pytest.MonkeyPatch, family: str, backend: str
) -> None:
    monkeypatch.setattr(
        "tubelet.methods.token_pruning.pruning.select",
        lambda scores, *_, **__: torch.ones_like(scores, dtype=torch.bool),
    )
    given = inputs(family)
    with torch.no_grad():
        expected = models[family](**given)
        found = pruned(models[family], backend=backend, bias="off")(**given)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", GROUP_METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_as_many_groups_go_as_were_asked_for(models: dict[str, nn.Module], family: str, method: str) -> None:
    given = inputs(family)
    for remove in (0.3, 0.6) if method == "stts" else (0.6,):
        with torch.no_grad():
            found = pruned(models[family], method, remove)(**given)
        sizes = group_counts(family, given)
        assert [tuple(keep.shape) for keep in found.keep] == sizes
        gone = [int((~keep).sum()) for keep in found.keep]
        if method in BY_FRAME:
            assert gone == [int(remove * time + 1e-9) * groups for time, groups in sizes]
        else:
            assert gone == [int(remove * time * groups + 1e-9) for time, groups in sizes]
            assert all(bool(keep[0].all()) for keep in found.keep)
        assert found.there is not None and found.input_ids is not None
        lost = published_vlms.tokens_gone(family, found.keep, by_frame=method in BY_FRAME)
        left = given["attention_mask"].sum(1) - torch.tensor(lost)
        assert found.there.sum(1).tolist() == left.tolist()
        assert bool(found.logits.isfinite().all())


@pytest.mark.parametrize("method", ["stts", "ref_sim", "attention", "window", "uniform_frames"])
@pytest.mark.parametrize("family", FAMILIES)
def test_clips_do_not_see_each_other(models: dict[str, nn.Module], family: str, method: str) -> None:
    model, both = pruned(models[family], method), inputs(family)
    with torch.no_grad():
        together = model(**both)
        for clip in range(2):
            single = model(**alone(family, both, clip))
            assert torch.equal(single.keep[0], together.keep[clip])
            torch.testing.assert_close(single.logits[0], together.logits[clip][together.there[clip]], atol=2e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_may_be_filled_up_behind(models: dict[str, nn.Module], family: str) -> None:
    model, given = pruned(models[family]), inputs(family)
    order = (~given["attention_mask"].bool()).to(torch.uint8).argsort(dim=1, stable=True)
    behind = {name: value.gather(1, order) if value.shape == order.shape else value for name, value in given.items()}
    with torch.no_grad():
        expected, found = model(**given), model(**behind)
    assert bool(found.there[:, 0].all())
    for row in range(2):
        some, other = found.logits[row, found.there[row]], expected.logits[row, expected.there[row]]
        torch.testing.assert_close(some, other, atol=2e-5, rtol=0)


@pytest.mark.parametrize("family", QWEN)
def test_a_single_step_of_time_stays_whole(models: dict[str, nn.Module], family: str) -> None:
    given = alone(family, inputs(family), 0)
    ids = torch.tensor([[1, 92, *[published_vlms.VIDEO] * 15, 93, 40, 41]])
    short = {"input_ids": ids, "mm_token_type_ids": 2 * (ids == published_vlms.VIDEO).int()}
    short |= {"video_grid_thw": torch.tensor([[1, 6, 10]]), "pixel_values_videos": given["pixel_values_videos"][:60]}
    found = pruned(models[family])(**short)
    with torch.no_grad():
        expected = models[family](**short)
    assert torch.equal(found.logits, expected.logits) and bool(found.keep[0].all())
    assert found.aux_loss.item() == 0


@pytest.mark.parametrize("where", ["both", "vit", "llm"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_language_model_gets_what_stays(models: dict[str, nn.Module], family: str, where: str) -> None:
    given = inputs(family)
    with torch.no_grad():
        found = pruned(models[family], where=where)(**given)
        other = pruned(models[family])(**given)
    gone = [0, 0] if where == "vit" else published_vlms.tokens_gone(family, found.keep)
    assert found.there.sum(1).tolist() == (given["attention_mask"].sum(1) - torch.tensor(gone)).tolist()
    assert torch.allclose(found.loss, other.loss, atol=1e-6) == (where == "both")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_task_teaches_the_scorer_through_the_bias_alone(models: dict[str, nn.Module], family: str) -> None:
    before = {name: value.clone() for name, value in models[family].state_dict().items()}
    given = inputs(family)
    for bias in ("on", "detached", "off"):
        model = pruned(models[family], bias=bias)
        model.model.requires_grad_(False)
        loss = model(**given).loss
        has_way = bias == "on"
        assert loss.requires_grad == has_way
        if has_way:
            loss.backward()
            assert model.scorer is not None
            norms = {name: float(value.grad.abs().max()) for name, value in model.scorer.named_parameters()}
            assert min(norms["mlp.0.weight"], norms["query.weight"], norms["value.weight"]) > 0
        model.model.requires_grad_(True)
    model = pruned(models[family], bias="off")
    found = model(**given)
    found.aux_loss.backward()
    assert 0 < found.aux_loss.item() < 1
    assert float(model.scorer.mlp[0].weight.grad.abs().max()) > 0
    after = models[family].state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    models[family].zero_grad(set_to_none=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_trained_can_be_kept(published: dict[str, Path], models: dict[str, nn.Module], family: str) -> None:
    model, given = pruned(models[family]), inputs(family)
    torch.manual_seed(9)
    again = wrap(load_hub_video_language(published[family]), "stts", 0.5, after_block=1).eval()
    with torch.no_grad():
        assert not torch.equal(again(**given).scores[0], model(**given).scores[0])
        again.load_state_dict(model.state_dict())
        assert torch.equal(again(**given).logits, model(**given).logits)
    names = set(model.state_dict())
    assert {name.removeprefix("model.") for name in names if name.startswith("model.")} == set(
        models[family].state_dict()
    )
    assert {name.split(".")[0] for name in names} == {"model", "scorer", "_extra_state"}


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_go_on_as_the_whole_text_would(models: dict[str, nn.Module], family: str) -> None:
    model, given = pruned(models[family]), prompt_of(inputs(family))
    new = 4
    ids = model.generate(**given, max_new_tokens=new, min_new_tokens=new, do_sample=False)
    width = given["input_ids"].shape[1]
    assert torch.equal(ids[:, :width], given["input_ids"]) and ids.shape == (2, width + new)
    whole = given | {
        "input_ids": ids[:, :-1],
        "attention_mask": nn.functional.pad(given["attention_mask"], (0, new - 1), value=1),
    }
    if "mm_token_type_ids" in given:
        whole["mm_token_type_ids"] = nn.functional.pad(given["mm_token_type_ids"], (0, new - 1))
    with torch.no_grad():
        said = model(**whole).logits[:, -new:]
    said[..., published_vlms.END] = -torch.inf  # as min_new_tokens wants it
    assert torch.equal(said.argmax(-1), ids[:, width:])


@pytest.mark.parametrize("family", FAMILIES)
def test_several_answers_are_looked_for_at_once(models: dict[str, nn.Module], family: str) -> None:
    model, both = pruned(models[family]), prompt_of(inputs(family))
    options = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 3, "do_sample": False}
    found = model.generate(**both, **options, return_dict_in_generate=True, output_scores=True)
    width = both["input_ids"].shape[1]
    assert found.sequences.shape[0] == 4 and torch.equal(found.sequences[1, :width], both["input_ids"][0])
    for clip in range(2):
        single = prompt_of(alone(family, both, clip))
        expected = model.generate(**single, **options)[:, single["input_ids"].shape[1] :]
        assert torch.equal(found.sequences[2 * clip : 2 * clip + 2, width:], expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_video_the_model_is_called_as_it_is(models: dict[str, nn.Module], family: str) -> None:
    model = pruned(models[family])
    for given in (text_of(inputs(family)), published_vlms.picture(family)):
        with torch.no_grad():
            expected, found = models[family](**given), model(**given)
        assert torch.equal(found.logits, expected.logits)
        assert found.keep == () and found.aux_loss is None
        options = {"max_new_tokens": 3, "do_sample": False}
        shown = prompt_of(given)
        assert torch.equal(model.generate(**shown, **options), models[family].generate(**shown, **options))


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "molmo2"])
def test_pictures_beside_a_video_stay_whole(models: dict[str, nn.Module], family: str) -> None:
    given = inputs(family, images=True)
    with torch.no_grad():
        expected = models[family](**given)
        found = pruned(models[family], remove=0.0)(**given)
        torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=0)
        found = pruned(models[family])(**given)
    is_picture = given["input_ids"] == published_vlms.IMAGE
    assert int((found.input_ids == published_vlms.IMAGE).sum()) == int(is_picture.sum()) > 0
    changed = given | {"pixel_values": given["pixel_values"] + 1}
    with torch.no_grad():
        other = pruned(models[family])(**changed)
    assert not torch.allclose(other.logits[1], found.logits[1], atol=1e-4)


@pytest.mark.parametrize("family", QWEN)
def test_what_stays_keeps_its_place_in_the_video(models: dict[str, nn.Module], family: str) -> None:
    given, seen = inputs(family), {}
    model = pruned(models[family])
    hook = models[family].register_forward_pre_hook(lambda _, __, named: seen.update(named), with_kwargs=True)
    with torch.no_grad():
        found = model(**given)
    hook.remove()
    grids = {name: given[name] for name in ("video_grid_thw", "mm_token_type_ids", "attention_mask")}
    whole = models[family].model.get_rope_index(given["input_ids"], **grids)[0]
    stays = given["attention_mask"].bool()
    stays[given["input_ids"] == published_vlms.VIDEO] = torch.cat([keep.flatten() for keep in found.keep])
    for row in range(2):
        there = found.there[row]
        assert torch.equal(seen["position_ids"][:, row, there], whole[:, row, stays[row]])
        assert torch.equal(seen["input_ids"][row, there], given["input_ids"][row, stays[row]])
        assert bool((seen["labels"][row, ~there] == -100).all())
    with pytest.raises(ValueError, match=r"position is 'contiguous'; allowed with Qwen-VL: 'original'"):
        model(**given, position="contiguous")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_cannot_be_is_refused(models: dict[str, nn.Module], family: str) -> None:
    model, given = models[family], inputs(family)
    for method in ("tome", "fastv"):
        with pytest.raises(ValueError, match=rf"method '{method}' is not possible with .*allowed: dense, stts, random"):
            wrap(model, method, 0.5)
    with pytest.raises(ValueError, match="after_block is 9: groups would leave after block 10 of"):
        wrap(model, after_block=9)
    last = pruned(model).family.taps[-1]
    with pytest.raises(ValueError, match="pruning would save nothing in the transformer; tap a later block or lower"):
        wrap(model, after_block=last - 1)
    with pytest.raises(ValueError, match="position_ids cannot be given with pixel_values_videos"):
        pruned(model)(**given, position_ids=torch.arange(4))
    with pytest.raises(ValueError, match="input_ids are needed with pixel_values_videos"):
        pruned(model)(**{name: value for name, value in given.items() if name != "input_ids"})
    with pytest.raises(ValueError, match=r"the prompts have \d+ placeholders of videos .* and the videos \d+ visual"):
        pruned(model)(**given | {"input_ids": given["input_ids"].clamp(max=80)})
    broken = given["pixel_values_videos"].clone()
    broken[-1] = torch.nan
    with pytest.raises(FloatingPointError, match="clip 1 has pixels that are no finite numbers"):
        pruned(model)(**given | {"pixel_values_videos": broken})


def test_other_models_are_refused_by_name() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    with pytest.raises(
        ValueError, match=r"a LlamaForCausalLM \(model_type 'llama'\) cannot be pruned; .*Qwen2_5_VLForConditional"
    ):
        wrap(LlamaForCausalLM(LlamaConfig(vocab_size=8, **small)))


def test_folders_that_hold_no_such_model_are_refused(published: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(published["qwen2_vl"], tmp_path / "model")
    config = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(config.replace('"qwen2_vl"', '"blip"'), encoding="utf-8")
    with pytest.raises(WeightsError, match="says model_type 'blip'; known video-language models are qwen2_vl, qwen2_5"):
        load_hub_video_language(folder)
    (folder / "config.json").write_text(config.replace('"depth": 5', '"depth": 6'), encoding="utf-8")
    with pytest.raises(WeightsError, match="its weights lack .*visual.blocks.5.*so it is no Qwen2VLForConditional"):
        load_hub_video_language(folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read as Qwen2VLForConditionalGeneration"):
        load_hub_video_language(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="which may run code when read; only .safetensors are read"):
        load_hub_video_language(folder)
