"""A video-language model with tokens removed says the same whatever is around, and reads what it should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.methods.token_pruning import wrap
from tubelet.methods.token_pruning.language import PrunedVideoLanguage
from tubelet.methods.token_pruning.pruning import METHODS
from tubelet.models.text_tokens import CharacterTokenizer
from tubelet.models.video_language import VideoLanguageModel, tiny_video_language

TEXT = CharacterTokenizer()
LENGTHS = torch.tensor([6, 1, 4])
QUESTIONS = [TEXT.encode(text) for text in ("which way?", "who?", "which digit entered?")]
ANSWERS = [TEXT.encode(text, end=True) for text in ("up", "7", "left")]


def network() -> VideoLanguageModel:
    torch.manual_seed(0)
    return tiny_video_language(
        size_px=24, pool=2, channels=32, depth=4, num_heads=4, lm_width=32, lm_depth=3, lm_heads=4, lm_kv_heads=2
    ).eval()


def pruned(method: str = "stts", remove: float = 0.5, **options: Any) -> PrunedVideoLanguage:
    by_group = method not in ("dense", "tome", "fastv")
    model = network()
    torch.manual_seed(1)
    wrapped = wrap(model, method, remove, **({"after_block": 0} | options if by_group else {}))
    assert isinstance(wrapped, PrunedVideoLanguage)
    return wrapped.eval()


@pytest.fixture
def frames() -> Tensor:
    return torch.rand(11, 3, 24, 24, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("method", METHODS)
def test_with_nothing_to_remove_the_model_is_itself(frames: Tensor, method: str) -> None:
    expected = network()(frames, LENGTHS, QUESTIONS, ANSWERS)
    found = pruned(method, 0.0)(frames, LENGTHS, QUESTIONS, ANSWERS)
    assert bool((found.losses == expected.losses).all())


@pytest.mark.parametrize("where", ["both", "vit", "llm"])
def test_the_language_model_gets_what_stays(frames: Tensor, where: str) -> None:
    found = pruned(where=where)(frames, LENGTHS, QUESTIONS, ANSWERS)
    keep = found.notes["keep"]
    expected = torch.ones_like(keep) if where == "vit" else keep
    assert bool((found.kept == expected).all())
    assert found.num_visual.tolist() == [int(part.sum()) for part in expected.split(LENGTHS.tolist())]
    assert [int((~part).sum()) for part in keep.split(LENGTHS.tolist())] == [27, 0, 18]


def test_what_stays_in_the_transformer_alone_differs_from_what_stays_in_both(frames: Tensor) -> None:
    losses = [pruned(where=where)(frames, LENGTHS, QUESTIONS, ANSWERS).losses for where in ("both", "vit", "llm")]
    for number, one in enumerate(losses):
        for other in losses[:number]:
            assert one is not None
            assert other is not None
            assert not torch.allclose(one[0], other[0])
            torch.testing.assert_close(one[1], other[1])  # a picture, of which nothing goes


@pytest.mark.parametrize("method", [method for method in METHODS if "random" not in method])
def test_clips_do_not_see_each_other(frames: Tensor, method: str) -> None:
    model = pruned(method)
    with torch.no_grad():
        together = model(frames, LENGTHS, QUESTIONS, ANSWERS).losses
        ends = LENGTHS.cumsum(0).tolist()
        for clip, (end, length) in enumerate(zip(ends, LENGTHS.tolist(), strict=True)):
            alone = model(
                frames[end - length : end], torch.tensor([length]), QUESTIONS[clip : clip + 1], ANSWERS[clip : clip + 1]
            ).losses
            torch.testing.assert_close(alone[0], together[clip], atol=1e-5, rtol=1e-5)


def test_the_answer_teaches_the_scorer(frames: Tensor) -> None:
    model = pruned()
    model(frames, LENGTHS, QUESTIONS, ANSWERS).losses.mean().backward()
    assert model.scorer is not None
    assert all(
        parameter.grad is not None and bool(parameter.grad.any())
        for name, parameter in model.scorer.named_parameters()
        if not name.endswith(("key.bias", "mlp.4.bias"))  # these shift all logits, or all scores of a frame, alike
    )


@pytest.mark.parametrize("depth", [2, 3])
def test_dropping_in_the_language_model_matters_however_shallow_it_is(frames: Tensor, depth: int) -> None:
    torch.manual_seed(0)
    model = tiny_video_language(
        size_px=24, pool=2, channels=32, depth=4, num_heads=4, lm_width=32, lm_depth=depth, lm_heads=4, lm_kv_heads=2
    ).eval()
    dense = model(frames, LENGTHS, QUESTIONS, ANSWERS).losses
    dropped = wrap(model, "fastv", 0.8)(frames, LENGTHS, QUESTIONS, ANSWERS).losses
    assert not torch.allclose(dense, dropped)


def test_dropping_needs_layers_to_drop_between() -> None:
    model = tiny_video_language(
        size_px=24, pool=2, channels=32, depth=4, num_heads=4, lm_width=32, lm_depth=1, lm_heads=4, lm_kv_heads=2
    )
    with pytest.raises(ValueError, match="'fastv' drops tokens between layers"):
        wrap(model, "fastv", 0.5)


@pytest.mark.parametrize("method", ["stts", "fastv", "tome", "uniform_frames"])
def test_generating_says_what_the_whole_pass_says(frames: Tensor, method: str) -> None:
    model = pruned(method)
    said = model.generate(frames, LENGTHS, QUESTIONS, max_tokens=3, end_id=TEXT.end_id)
    first = [int(logits[0].argmax()) for logits in model(frames, LENGTHS, QUESTIONS).logits]
    assert [answer[0] if answer else TEXT.end_id for answer in said] == first


def test_choices_are_scored_as_alone_also_where_the_language_model_drops(frames: Tensor) -> None:
    choices = [[TEXT.encode(word, end=True) for word in ("up", "down", "left")]] * 3
    model = pruned("fastv")
    together = model.answer_scores(frames, LENGTHS, QUESTIONS, choices)
    for number in range(3):
        alone = model.answer_scores(frames, LENGTHS, QUESTIONS, [[each[number]] for each in choices])
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], other[number], atol=1e-5, rtol=1e-5)


def test_questions_without_pictures_pass_through() -> None:
    nothing = torch.zeros(0, 3, 24, 24)
    lengths = torch.tensor([0, 0])
    found = pruned()(nothing, lengths, QUESTIONS[:2], ANSWERS[:2])
    assert found.num_visual.tolist() == [0, 0]
    assert bool(found.losses.isfinite().all())
    assert float(found.notes["aux_loss"].detach()) == 0.0
    found.notes["aux_loss"].backward()  # a gradient for every parameter, though it is nothing


def test_blocks_behind_the_last_tap_are_not_run(frames: Tensor) -> None:
    model = network()
    model.taps = (0, 1)
    before = model(frames, LENGTHS, QUESTIONS, ANSWERS).losses
    with torch.no_grad():
        for parameter in model.vit.blocks[2:].parameters():
            parameter.fill_(float("nan"))
    assert bool((model(frames, LENGTHS, QUESTIONS, ANSWERS).losses == before).all())


def test_groups_must_be_the_visual_tokens() -> None:
    with pytest.raises(ValueError, match="pool is 3, but a visual token of this model stands for 2x2 patches"):
        wrap(network(), "stts", 0.5, after_block=0, pool=3)
    with pytest.raises(ValueError, match="after_block is 3: groups would leave after block 4 of 4"):
        wrap(network(), "stts", 0.5, after_block=3)
    with pytest.raises(ValueError, match=r"the taps \[1, 3\] are all read before groups leave after block 3"):
        wrap(network(), "stts", 0.5, after_block=2)


@pytest.mark.parametrize("position", ["contiguous", "original"])
def test_scoring_and_generating_read_as_training_does(frames: Tensor, position: str) -> None:
    model = pruned()
    reading: Any = {"position": position, "timestamps_s": [0.5 * number for number in range(11)]}
    losses = model(frames, LENGTHS, QUESTIONS, ANSWERS, **reading).losses
    scores = model.answer_scores(frames, LENGTHS, QUESTIONS, [[answer] for answer in ANSWERS], **reading)
    for clip, answer in enumerate(ANSWERS):  # the loss is a mean over tokens, the score their sum
        assert scores[clip].item() == pytest.approx(-losses[clip].item() * len(answer), rel=1e-4)
    said = model.generate(frames, LENGTHS, QUESTIONS, max_tokens=1, end_id=-1, **reading)
    first = [int(logits[0].argmax()) for logits in model(frames, LENGTHS, QUESTIONS, **reading).logits]
    assert [answer[0] for answer in said] == first


def test_a_question_without_pictures_shifts_no_clip(frames: Tensor) -> None:
    lengths = torch.tensor([0, 6, 0, 5])
    model = pruned()
    questions, answers = [QUESTIONS[0]] * 4, [ANSWERS[0]] * 4
    found = model(frames, lengths, questions, answers)
    with torch.no_grad():
        without = model(frames, lengths[lengths > 0], questions[:2], answers[:2])
    torch.testing.assert_close(found.losses[[1, 3]], without.losses, atol=1e-5, rtol=1e-5)
    assert found.num_visual.tolist()[::2] == [0, 0]
    assert model.scorer is not None
    torch.nn.init.constant_(model.scorer.mlp[-1].bias, float("nan"))
    with pytest.raises(FloatingPointError, match="clip 1 has a score"):
        model(frames, lengths, questions, answers)


def test_clips_that_are_spared_keep_all_and_operations_are_counted(frames: Tensor) -> None:
    with torch.no_grad():
        out = pruned("random")(frames, LENGTHS, QUESTIONS, prunable=torch.tensor([False, True, True]))
    first = int(LENGTHS[0])
    assert bool(out.notes["keep"][:first].all())
    assert not bool(out.notes["keep"][first:].all())
    stats = out.notes["stats"]
    assert 0 < stats.flops < stats.dense_flops
    assert sum(stats.kept_per_frame) == int(out.notes["keep"].sum())
