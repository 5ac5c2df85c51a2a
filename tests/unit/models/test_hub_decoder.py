"""A tokenizer and a language model of others as the second half of a video-language model."""

from __future__ import annotations

import sys

import pytest
import torch

from tubelet import weights
from tubelet.errors import MissingExtraError
from tubelet.models.hub_decoder import HubDecoder, HubTokenizer, smollm2
from tubelet.models.video_language import VideoLanguageModel, tiny_video_language


def tokenizer(end: str | None = "<end>") -> HubTokenizer:
    tokenizers = pytest.importorskip("tokenizers")
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<end>", "<unk>", "which", "digit", "moved", "7"])}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return HubTokenizer(PreTrainedTokenizerFast(tokenizer_object=model, eos_token=end))


def test_words_to_numbers_and_back() -> None:
    text = tokenizer()
    assert text.encode("which digit moved", end=True) == [2, 3, 4, 0]
    assert text.decode([5, 0, 2]) == "7"
    assert text.vocabulary_size == 6


def test_a_tokenizer_must_be_able_to_end() -> None:
    with pytest.raises(ValueError, match="has no token that ends a text"):
        tokenizer(end=None)


@pytest.mark.parametrize("missing", ["gguf", "accelerate"])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, "gguf", object())
    monkeypatch.setitem(sys.modules, "accelerate", object())
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=rf"needs {missing}.*pip install tubelet\[language\]"):
        smollm2()


def llama(vocabulary_size: int = 6) -> torch.nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary_size, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def test_a_frozen_model_is_neither_trained_nor_saved_and_moves_along() -> None:
    free, frozen = HubDecoder(llama()), HubDecoder(llama(), is_frozen=True)
    assert len(list(free.parameters())) > 0
    assert list(frozen.parameters()) == []
    assert frozen.state_dict() == {}
    inputs = torch.rand(1, 3, 16, requires_grad=True)
    allowed, positions = torch.ones(1, 3, 3, dtype=torch.bool).tril(), torch.arange(3)[None]
    outs = [decoder.logits(decoder(inputs, allowed, positions).hidden) for decoder in (free.eval(), frozen)]
    torch.testing.assert_close(*outs)
    outs[1].sum().backward()
    assert inputs.grad is not None  # what speaks to it can learn
    frozen.train()
    assert not frozen.model.training
    frozen.double()
    assert frozen.embed(torch.tensor([1])).dtype == torch.float64


@pytest.mark.slow
def test_the_small_language_model_reads_frames_and_says_words() -> None:
    pytest.importorskip("gguf")
    if not weights.is_cached(weights.SMOLLM2_135M) and weights.is_offline():
        pytest.skip("the file is not in the cache and may not be fetched")
    decoder, text = smollm2()
    vit = tiny_video_language(size_px=24, channels=32, depth=2, num_heads=4, pool=2, num_frames=2).vit
    model = VideoLanguageModel(vit, decoder, text, taps=[1], pool=2, connector_heads=4).eval()
    question = text.encode("The capital of France is")
    said = model.generate(torch.zeros(0, 3, 24, 24), torch.tensor([0]), [question], max_tokens=3, end_id=text.end_id)
    assert text.decode(said[0]).strip().startswith("Paris")
    scores = model.answer_scores(
        torch.rand(2, 3, 24, 24), torch.tensor([2]), [question], [[text.encode(" Paris"), text.encode(" seven")]]
    )
    assert scores[0].shape == (2,)
