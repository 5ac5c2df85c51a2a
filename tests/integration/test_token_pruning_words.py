"""Training with a published language model as the decoder, from the command line to the answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.unit.models.test_hub_decoder import llama

from tubelet.cli.main import main
from tubelet.methods.token_pruning import train, words
from tubelet.methods.token_pruning.train import load
from tubelet.models.hub_decoder import HubDecoder, HubTokenizer
from tubelet.training.weights_files import load_weights

SMALL = [
    *("--set", "shape.decoder=smollm2", "--set", "num_steps=3", "--set", "batch_size=2", "--set", "data.num_val=4"),
    *("--set", "data.num_test=6", "--set", "shape.channels=16"),
]


@pytest.fixture
def small_model(monkeypatch: pytest.MonkeyPatch) -> HubDecoder:
    """A tiny random one in place of SmolLM2, with words for the questions."""
    tokenizers = pytest.importorskip("tokenizers")
    from transformers import PreTrainedTokenizerFast

    known = ["<end>", "<unk>", "Question", "Answer", "which", "digit", "moved", "came", "later", "was", "first"]
    known += ["flashed", "?", ":", *"0123456789."]
    model = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="<unk>")
    )
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    text = HubTokenizer(PreTrainedTokenizerFast(tokenizer_object=model, eos_token="<end>"))
    decoder = HubDecoder(llama(len(known)), is_frozen=True)
    monkeypatch.setattr(words, "published_decoder", lambda: (decoder, text))
    monkeypatch.setattr(train, "published_decoder", lambda: (decoder, text))
    return decoder


def test_the_transformer_learns_and_the_language_model_stays(
    small_model: HubDecoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [value.clone() for value in small_model.model.state_dict().values()]
    run = tmp_path / "run"
    assert main(["train", "token_pruning:needle_qa", "--out", str(run), *SMALL]) == 0
    for old, new in zip(before, small_model.model.state_dict().values(), strict=True):
        torch.testing.assert_close(old, new, rtol=0, atol=0)
    tensors, _ = load_weights(run / "model.safetensors")
    assert not any("decoder" in name for name in tensors)
    model, config = load(run)
    assert config.shape.decoder == "smollm2"
    assert model.model.decoder is small_model
    assert main(["evaluate", str(run)]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_a_shape_that_does_not_fit_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "token_pruning:needle_qa", "--out", str(tmp_path / "run"), "--set", "shape.depth=2"]) == 2
    said = capsys.readouterr().err
    assert "shape and pruning do not fit each other: the taps [0, 1] are all read before" in said
    assert "defect" not in said


def test_questions_are_asked_in_a_form_and_answers_are_words(small_model: HubDecoder) -> None:
    found = words.words_of("smollm2")
    assert found.written(" Which  Digit moved? ") == "Which Digit moved?"
    assert found.tokenizer.decode(found.question("which digit moved?")) == "Question : which digit moved ? Answer :"
    assert found.tokenizer.decode(found.answer("7")) == "7"
    assert found.answer("7")[-1] == found.tokenizer.end_id
    assert words.words_of("characters") is words.PLAIN
