"""Published models are found, checked, trained and refused."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from published_models import CLASSES, FAMILIES, publish, publish_xclip
from torch import Tensor, nn

from tubelet.errors import ConfigError, MissingExtraError, WeightsError
from tubelet.models.hub import TextPrompts, load_hub_model, rebuilt_hub_model


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each architecture; tests that change files copy it first."""
    folders = {family: tmp_path_factory.mktemp(family) for family in (*FAMILIES, "xclip")}
    for family, folder in folders.items():
        publish_xclip(folder) if family == "xclip" else publish(folder, family)
    return folders


@pytest.fixture
def folder(published: dict[str, Path], tmp_path: Path) -> Path:
    """A VideoMAE of this test's own."""
    return shutil.copytree(published["videomae"], tmp_path / "model")


@pytest.fixture
def video() -> Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


def edited(folder: Path, name: str = "config.json", **changes: object) -> Path:
    content = json.loads((folder / name).read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    (folder / name).write_text(json.dumps(kept), encoding="utf-8")
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_published_model_is_a_clip_network(family: str, published: dict[str, Path], video: Tensor) -> None:
    model = load_hub_model(published[family])
    assert (model.num_frames, model.size_px, model.num_features) == (4, 32, 32)
    assert not model.training
    assert model.features(video).shape == (2, 32)
    layers = {name: model.layer_of(name) for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert set(layers.values()) == set(range(model.num_layers)) == {0, 1, 2, 3}
    assert layers["head.weight"] == 3
    assert {layer for name, layer in layers.items() if ".0." in name and "pooler" not in name} == {1}
    assert {layer for name, layer in layers.items() if "patch_embeddings" in name} == {0}
    frames = torch.randint(0, 256, (4, 50, 60, 3), dtype=torch.uint8)
    assert model(model.preprocessing(frames)[None]).shape == (1, 3)
    with pytest.raises(ValueError, match="'body.weight' is no parameter of this network"):
        model.layer_of("body.weight")


@pytest.mark.parametrize("family", [*FAMILIES, "xclip"])
def test_a_new_head_learns_with_the_rest(family: str, published: dict[str, Path], video: Tensor) -> None:
    model = load_hub_model(published[family], classes=("a", "b", "c", "d", "e"), new_head=True).train()
    assert model.classes == ("a", "b", "c", "d", "e")
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = {name: parameter.detach().clone() for name, parameter in learning.items()}
    optimizer = torch.optim.SGD(learning.values(), lr=0.1)
    labels = torch.tensor([0, 4])
    loss = nn.functional.cross_entropy(model(video), labels)
    loss.backward()
    assert [name for name, parameter in learning.items() if parameter.grad is None] == []
    optimizer.step()
    moved = [name for name, parameter in learning.items() if not torch.equal(parameter, before[name])]
    assert {"head.weight", "head.bias"} <= set(moved) and len(moved) > len(learning) // 2
    assert nn.functional.cross_entropy(model(video), labels).item() < loss.item()
    again = rebuilt_hub_model(json.loads(json.dumps(model.description())))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(video), model.eval()(video)) and again.classes == model.classes


def test_low_rank_adapters_fit(published: dict[str, Path], video: Tensor) -> None:
    from peft import LoraConfig, get_peft_model

    model = load_hub_model(published["videomae"])
    plain = model(video)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False))
    assert not torch.allclose(adapted(video), plain, atol=1e-5)


def test_a_pretrained_model_needs_a_head_to_be_trained(folder: Path, video: Tensor) -> None:
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    config = VideoMAEConfig.from_pretrained(folder)
    config.decoder_hidden_size, config.decoder_num_hidden_layers = 16, 1
    config.decoder_num_attention_heads, config.decoder_intermediate_size = 2, 32
    VideoMAEForPreTraining(config).save_pretrained(folder)
    with pytest.raises(WeightsError, match="its weights lack classifier.bias.*give classes and new_head=True to train"):
        load_hub_model(folder)
    model = load_hub_model(folder, classes=("one", "two"), new_head=True)
    assert model(video).shape == (2, 2)
    assert set(model.fresh) == {"classifier.weight", "classifier.bias", "fc_norm.weight", "fc_norm.bias"}


def test_weights_that_lack_a_block_are_refused(folder: Path) -> None:
    edited(folder, num_hidden_layers=3)
    with pytest.raises(
        WeightsError, match="its weights lack videomae.encoder.layer.2.* more, so it is no VideoMAE classifier as it is"
    ):
        load_hub_model(folder)
    edited(folder, num_hidden_layers=2, hidden_size=64)
    with pytest.raises(
        WeightsError, match=r"is \(.*\) in its weights and \(.*\) by its config.json; they do not belong"
    ):
        load_hub_model(folder)


def test_an_unknown_architecture_is_refused_with_those_known(folder: Path) -> None:
    edited(folder, model_type="slowfast", auto_map={"AutoModel": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
    known = "VideoMAE .videomae., TimeSformer .timesformer., ViViT .vivit., V-JEPA 2 .vjepa2., X-CLIP .xclip."
    with pytest.raises(WeightsError, match=f"says model_type 'slowfast'; known are {known}"):
        load_hub_model(folder)


def test_code_that_lies_beside_the_weights_is_not_run(folder: Path) -> None:
    edited(folder, auto_map={"AutoModelForVideoClassification": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
    assert load_hub_model(folder).classes == CLASSES


@pytest.mark.parametrize("labels", [None, {}, {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}])
def test_a_missing_label_map_is_asked_for(folder: Path, labels: object) -> None:
    edited(folder, id2label=labels)
    with pytest.raises(
        ConfigError, match="has no label map .*give the names of its classes in the order of its outputs"
    ):
        load_hub_model(folder)
    assert load_hub_model(folder, classes=("x", "y", "z")).classes == ("x", "y", "z")


def test_names_must_be_as_many_as_the_head_has_classes(folder: Path, video: Tensor) -> None:
    message = "its head has 3 classes and 2 names were given; give 3, or new_head=True to train a fresh head"
    with pytest.raises(ConfigError, match=message):
        load_hub_model(folder, classes=("x", "y"))
    edited(folder, id2label=None)
    with pytest.raises(ConfigError, match=message):
        load_hub_model(folder, classes=("x", "y"))
    assert load_hub_model(folder, classes=("x", "y"), new_head=True)(video).shape == (2, 2)


def test_settings_that_make_no_sense_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="new_head needs the classes it is for"):
        load_hub_model(folder, new_head=True)
    with pytest.raises(ConfigError, match=r"classes are \['x', 'x'\]; allowed: one name or more, each once"):
        load_hub_model(folder, classes=("x", "x"))
    with pytest.raises(ConfigError, match=r"classes are \[\]; allowed: one name or more"):
        load_hub_model(folder, classes=())
    with pytest.raises(ConfigError, match="template is 'a video'; allowed: a sentence with one {}"):
        load_hub_model(folder, template="a video")
    with pytest.raises(ValueError, match="num_classes is 0; must be at least 1"):
        load_hub_model(folder).replace_head(0)


def test_clips_of_another_length_or_size_are_refused(published: dict[str, Path]) -> None:
    model = load_hub_model(published["timesformer"])
    with pytest.raises(
        ValueError, match="clips have 8 frames of 32x32 pixels; this TimeSformer takes 4 frames of 32x32"
    ):
        model(torch.zeros(1, 3, 8, 32, 32))
    with pytest.raises(
        ValueError, match="clips have 4 frames of 40x32 pixels; this TimeSformer takes 4 frames of 32x32"
    ):
        model.features(torch.zeros(1, 3, 4, 32, 40))


def test_preprocessing_of_another_model_is_refused(folder: Path) -> None:
    edited(folder, "preprocessor_config.json", crop_size=24)
    with pytest.raises(
        WeightsError, match="its preprocessing makes pictures of 24x24 pixels and its network takes others"
    ):
        load_hub_model(folder)


def test_pickled_weights_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")
    message = "has only pytorch_model.bin, which may run code when read; only .safetensors are read"
    with pytest.raises(WeightsError, match=message):
        load_hub_model(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(WeightsError, match="has no weights; only .safetensors are read"):
        load_hub_model(folder)


def test_damaged_files_are_named(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="cannot be read as VideoMAE .*; copy it again, all files of one revision"):
        load_hub_model(folder)
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="config.json: cannot be read as JSON"):
        load_hub_model(folder)


def test_what_is_no_model_folder_is_told_apart(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere: there is no such folder, and it is no hub id"):
        load_hub_model(tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="model.safetensors: is a file; give the folder that holds"):
        load_hub_model(folder / "model.safetensors")
    with pytest.raises(WeightsError, match="has no config.json"):
        load_hub_model(tmp_path)


def in_cache(cache: Path, source: Path, hub_id: str) -> None:
    """Lay a model into a hub client's cache as the client does."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    shutil.copytree(source, repository / "snapshots" / commit)


def test_a_hub_id_is_found_in_the_cache_and_nowhere_else_when_offline(
    folder: Path, video: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TUBELET_OFFLINE", "1")
    with pytest.raises(
        WeightsError, match="somebody/tiny-videomae: there is no folder .*TUBELET_OFFLINE is set; on a conn"
    ):
        load_hub_model("somebody/tiny-videomae")
    in_cache(tmp_path / "cache", folder, "somebody/tiny-videomae")
    torch.testing.assert_close(load_hub_model("somebody/tiny-videomae")(video), load_hub_model(folder)(video))


def test_a_hub_that_cannot_be_reached_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unreachable(hub_id: str, **options: object) -> str:
        asked.append((hub_id, options))
        raise OSError("connection refused\nlong story")

    monkeypatch.delenv("TUBELET_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(WeightsError, match=r"hub repository cannot be brought \(connection refused\); on a connected"):
        load_hub_model("somebody/tiny-videomae", revision="v2")
    ((hub_id, options),) = asked
    assert (hub_id, options["revision"], options["local_files_only"]) == ("somebody/tiny-videomae", "v2", False)
    assert not any(pattern.endswith((".py", ".bin", ".pt")) for pattern in options["allow_patterns"])


@pytest.mark.parametrize("missing", ["transformers", "huggingface_hub"])
def test_a_missing_extra_is_named(missing: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        MissingExtraError, match=r"models of others need transformers; run `pip install tubelet\[hub\]`"
    ):
        load_hub_model("somebody/tiny" if missing == "huggingface_hub" else folder)


def test_sentences_become_classes_and_can_give_way_to_a_head(published: dict[str, Path], video: Tensor) -> None:
    model = load_hub_model(published["xclip"], classes=("the cat", "a dog"))
    assert isinstance(model.head, TextPrompts) and model(video).shape == (2, 2)
    assert model.features(video).shape == (2, model.num_features) == (2, 16)
    assert set(map(model.layer_of, dict(model.named_parameters()))) == {0, 1, 2, 3}
    model.replace_head(5)
    assert model(video).shape == (2, 5) and model.classes == ()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert any("text_model" in name for name in frozen) and not any("vision_model" in name for name in frozen)


def test_a_zero_shot_model_says_what_it_needs(published: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="X-CLIP compares videos with the names of classes and has none of its own"):
        load_hub_model(published["xclip"])
    with pytest.raises(ConfigError, match="'w{30}' is 32 tokens long; .* reads 24 at most; use a shorter sentence"):
        load_hub_model(published["xclip"], classes=("a", "w" * 30))
    bare = shutil.copytree(published["xclip"], tmp_path / "bare")
    (bare / "vocab.json").unlink()
    with pytest.raises(WeightsError, match=r"has no tokenizer.json and no vocab.json, so sentences cannot be read"):
        load_hub_model(bare, classes=("a", "b"))


def test_loading_leaves_the_messages_of_transformers_as_they_were(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    capfd.readouterr()
    load_hub_model(folder, classes=("a", "b"), new_head=True)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_description_of_something_else_is_refused() -> None:
    with pytest.raises(
        WeightsError, match="a model of the family 'resnet' is described; known are videomae, timesformer"
    ):
        rebuilt_hub_model({"family": "resnet"})
