"""A video-language model says the same of a clip whatever else is in the batch, and reads what a reduction leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from reductions import ScoredPruning
from torch import Tensor, nn

from tubelet.models.hub_decoder import HubDecoder
from tubelet.models.language_decoder import VISUAL, DecoderState, LanguageDecoder, LayerReduction
from tubelet.models.narrow import spread_weights
from tubelet.models.prompt_layout import lay_out
from tubelet.models.text_tokens import CharacterTokenizer
from tubelet.models.token_reduction import TokenReduction, Tokens
from tubelet.models.video_language import VideoLanguageModel, tiny_video_language
from tubelet.models.visual_connector import VisualConnector, patch_groups
from tubelet.models.vit import VideoViT

TEXT = CharacterTokenizer()
LENGTHS = [3, 1, 4]
QUESTIONS = [TEXT.encode(text) for text in ("which way?", "who?", "which digit entered?")]
ANSWERS = [TEXT.encode(text, end=True) for text in ("up", "7", "left")]


def network(**options: Any) -> VideoLanguageModel:
    torch.manual_seed(0)
    sizes = {"size_px": 16, "pool": 2, "channels": 32, "depth": 4, "num_heads": 4}
    language = {"lm_width": 32, "lm_depth": 3, "lm_heads": 4, "lm_kv_heads": 2}
    return tiny_video_language(**(sizes | language | options)).eval()


def hub_network() -> VideoLanguageModel:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=TEXT.vocabulary_size,
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    decoder = HubDecoder(transformers.LlamaForCausalLM(config))
    vit = network().vit
    return VideoLanguageModel(vit, decoder, TEXT, taps=[1, 3], pool=2, connector_heads=4).eval()


def frames_of(lengths: Sequence[int], size: tuple[int, int] = (16, 16)) -> Tensor:
    return torch.randn(sum(lengths), 3, *size, generator=torch.Generator().manual_seed(1))


class GroupDropping(TokenReduction):
    """After a block only the patches of some groups go on."""

    def __init__(self, keep: Tensor, *, after_block: int, pool: int = 2, columns: int = 4) -> None:
        places = torch.arange(columns * columns)
        of_patch = places // columns // pool * (columns // pool) + places % columns // pool
        self.keep, self.block = keep[:, of_patch], after_block

    def after_block(self, block: int, tokens: Tokens) -> Tokens:
        return tokens.compacted(self.keep) if block == self.block else tokens


class LeastAttended(LayerReduction):
    """After one layer the visual tokens that the last word of the question attends to least are dropped."""

    def __init__(self, layer: int, num_kept: int) -> None:
        self.layer, self.num_kept = layer, num_kept

    def wants_attention(self, layer: int) -> bool:
        return layer == self.layer

    def kept(self, layer: int, state: DecoderState) -> Tensor | None:
        assert (state.weights is not None) == (layer == self.layer)
        if state.weights is None:
            return None
        last = (state.kinds == 2).to(torch.int64).cumsum(1).argmax(1)
        heard = state.weights.mean(1)[torch.arange(len(last)), last]
        heard = heard.masked_fill(state.kinds != VISUAL, float("inf"))
        order = heard.argsort(dim=1, descending=True, stable=True)
        count = (state.kinds != VISUAL).sum(1, keepdim=True) + self.num_kept
        ranks = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1]).expand_as(order))
        return ranks < count


def some_groups(num_frames: int, num_groups: int = 4) -> Tensor:
    keep = torch.rand(num_frames, num_groups, generator=torch.Generator().manual_seed(2)) < 0.5
    keep[0], keep[2], keep[3] = True, False, torch.tensor([True, False, False, True])
    return keep


def test_shapes_and_losses() -> None:
    model = network()
    out = model(frames_of(LENGTHS), torch.tensor(LENGTHS), QUESTIONS, ANSWERS)
    assert [tuple(each.shape) for each in out.logits] == [(len(a) + 1, TEXT.vocabulary_size) for a in ANSWERS]
    assert out.num_visual.tolist() == [12, 4, 16]
    assert out.kept.shape == (8, 4) and bool(out.kept.all())
    for said, answer, loss in zip(out.logits, ANSWERS, out.losses, strict=True):
        torch.testing.assert_close(loss, nn.functional.cross_entropy(said[:-1], torch.tensor(answer)))
    assert model(frames_of(LENGTHS), torch.tensor(LENGTHS), QUESTIONS).losses is None


def test_the_defaults_are_those_of_the_small_study() -> None:
    model = tiny_video_language()
    assert model.vit.grid == (16, 12, 12) and len(model.vit.blocks) == 6 and model.vit.num_features == 96
    assert model.decoder.width == 128 and len(model.decoder.layers) == 4
    assert len(patch_groups(12, 12, model.pool)) == 16


@pytest.mark.parametrize("build", [network, hub_network])
@pytest.mark.parametrize("position", ["contiguous", "original"])
@pytest.mark.parametrize("is_pruned", [False, True])
def test_a_clip_in_a_batch_is_as_alone(build: Callable[[], VideoLanguageModel], position: str, is_pruned: bool) -> None:
    model, frames, keep = build(), frames_of(LENGTHS), some_groups(8)

    def dropping(part: slice) -> GroupDropping | None:
        return GroupDropping(keep[part], after_block=1) if is_pruned else None

    options = {"position": position}
    whole = model(frames, torch.tensor(LENGTHS), QUESTIONS, ANSWERS, reduction=dropping(slice(None)), **options)
    start = 0
    for clip, length in enumerate(LENGTHS):
        part = slice(start, start + length)
        one = torch.tensor([length])
        alone = model(
            frames[part], one, QUESTIONS[clip : clip + 1], ANSWERS[clip : clip + 1], reduction=dropping(part), **options
        )
        torch.testing.assert_close(whole.logits[clip], alone.logits[0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(whole.losses[clip], alone.losses[0], rtol=1e-5, atol=1e-5)
        assert whole.num_visual[clip] == alone.num_visual[0]
        start += length


def test_removed_groups_are_not_emitted_and_their_pixels_do_not_count_later() -> None:
    model, keep = network(taps=[3]), some_groups(8)
    reduction = GroupDropping(keep, after_block=-1)
    reduction.start = lambda tokens: tokens.compacted(reduction.keep)
    frames = frames_of(LENGTHS)
    out = model(frames, torch.tensor(LENGTHS), QUESTIONS, ANSWERS, reduction=reduction)
    assert torch.equal(out.kept, keep)
    assert out.num_visual.tolist() == [int(part.sum()) for part in keep.split(LENGTHS)]
    hidden = keep.reshape(8, 1, 2, 2).repeat_interleave(8, 2).repeat_interleave(8, 3)
    other = torch.where(hidden, frames, torch.randn(frames.shape))
    again = model(other, torch.tensor(LENGTHS), QUESTIONS, ANSWERS, reduction=reduction)
    torch.testing.assert_close(out.losses, again.losses)


def test_removed_groups_are_dropped_from_taps_before_the_pruning_too() -> None:
    model, keep, frames = network(taps=[0, 3]), some_groups(8), frames_of(LENGTHS)
    whole = model.see(frames, torch.tensor(LENGTHS))
    left = model.see(frames, torch.tensor(LENGTHS), reduction=GroupDropping(keep, after_block=3))
    assert torch.equal(left.kept, keep) and len(left.visual) == int(keep.sum())
    torch.testing.assert_close(left.visual, whole.visual[keep.flatten()])


def test_a_note_keeps_groups_from_the_language_model_alone() -> None:
    model, keep, frames = network(), some_groups(8), frames_of(LENGTHS)

    class Noted(TokenReduction):
        def start(self, tokens: Tokens) -> Tokens:
            tokens.notes["keep"] = keep
            return tokens

    whole = model.see(frames, torch.tensor(LENGTHS))
    left = model.see(frames, torch.tensor(LENGTHS), reduction=Noted())
    assert torch.equal(left.kept, keep) and left.notes["keep"] is keep
    torch.testing.assert_close(left.visual, whole.visual[keep.flatten()])


@pytest.mark.parametrize("pack", ["pad", "bins", "loop"])
def test_packed_rows_are_unpacked_and_notes_come_back(pack: str) -> None:
    model, frames = network(pool=1), frames_of([4, 4])
    torch.manual_seed(3)
    reduction = ScoredPruning(32, after_block=1, num_removed=70, pack=pack)
    out = model(frames, torch.tensor([4, 4]), QUESTIONS[:2], ANSWERS[:2], reduction=reduction)
    kept = torch.ones(128, dtype=torch.bool)
    kept[out.notes["score"].flatten().argsort(stable=True)[:70]] = False
    assert torch.equal(out.kept.flatten(), kept)
    reduction.pack = "pad"
    plain = model(frames, torch.tensor([4, 4]), QUESTIONS[:2], ANSWERS[:2], reduction=reduction)
    torch.testing.assert_close(out.losses, plain.losses, rtol=1e-5, atol=1e-5)
    out.losses.sum().backward()
    assert bool(reduction.score.weight.grad.any())


def test_order_kinds_and_positions_of_a_prompt() -> None:
    keep = torch.tensor([[True, False, True], [False, False, False], [False, True, False]]).numpy()
    frame_texts = [[10], [11, 12], [13]]
    layouts = [
        lay_out(keep, [2, 1], frame_texts, [[20, 21], [22]], [[[30, 31], [32]], []], position=position)
        for position in ("contiguous", "original")
    ]
    layout = layouts[0]
    text = layout.text.tolist()
    # What stands where: text as itself, visual tokens as the negative number of the group over all frames.
    visual = torch.from_numpy(keep).flatten().nonzero()[:, 0]
    said = [
        [text[s] if s < len(text) else -int(visual[s - len(text)]) for s in row[kinds > 0].tolist()]
        for row, kinds in zip(layout.source, layout.kinds, strict=True)
    ]
    assert said == [[10, 0, -2, 11, 12, 20, 21, 30, 31, 32], [13, -7, 22]]
    assert layout.kinds[0].tolist() == [2, 1, 1, 2, 2, 2, 2, 3, 3, 3]
    assert layout.positions[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 7]
    # Originally: 10, three groups, 11, 12, three groups, 20, 21, and answers from 11 on.
    assert layouts[1].positions[0].tolist() == [0, 1, 3, 4, 5, 9, 10, 11, 12, 11]
    assert layouts[1].positions[1, :3].tolist() == [0, 2, 4]
    assert layout.asked == (((6, 7, 8), (6, 9)), ((2,),))
    allowed = layout.allowed()
    assert bool(allowed[0, 1, 2]) and bool(allowed[0, 2, 1]) and not bool(allowed[0, 0, 1])
    assert not bool(allowed[0, 9, 8]) and bool(allowed[0, 9, 6]) and bool(allowed[0, 8, 7])
    assert not bool(allowed[1, :3, 3:].any()) and bool(allowed.any(-1).all())


@pytest.mark.parametrize("build", [network, hub_network])
@pytest.mark.parametrize("is_pruned", [False, True])
def test_generating_with_a_cache_says_what_the_whole_pass_says(
    build: Callable[[], VideoLanguageModel], is_pruned: bool
) -> None:
    model, frames, lengths = build(), frames_of(LENGTHS), torch.tensor(LENGTHS)
    options = {"reduction": GroupDropping(some_groups(8), after_block=1) if is_pruned else None}
    options["position"] = "original" if is_pruned else "contiguous"
    said = model.generate(frames, lengths, QUESTIONS, max_tokens=6, end_id=-1, **options)
    assert [len(answer) for answer in said] == [6, 6, 6]
    whole = model(frames, lengths, QUESTIONS, said, **options)
    assert [each[:-1].argmax(-1).tolist() for each in whole.logits] == said
    ended = model.generate(frames, lengths, QUESTIONS, max_tokens=6, end_id=said[0][2], **options)
    assert ended[0] == said[0][: said[0].index(said[0][2])]


def test_choices_side_by_side_are_scored_as_each_alone() -> None:
    model, frames, lengths = network(), frames_of(LENGTHS), torch.tensor(LENGTHS)
    choices = [[TEXT.encode(word, end=True) for word in ("up", "down", "left")], [TEXT.encode("7")], [[3, 4], [5]]]
    scores = model.answer_scores(frames, lengths, QUESTIONS, choices)
    assert [len(each) for each in scores] == [3, 1, 2]
    for number in range(2):
        chosen = [each[min(number, len(each) - 1)] for each in choices]
        out = model(frames, lengths, QUESTIONS, chosen)
        for clip, answer in enumerate(chosen):
            expected = -out.losses[clip] * len(answer)
            torch.testing.assert_close(scores[clip][choices[clip].index(answer)], expected, rtol=1e-5, atol=1e-5)


def test_text_alone_passes_through() -> None:
    model = network()
    none = model(frames_of([0]), torch.tensor([0, 0, 0]), QUESTIONS, ANSWERS)
    assert none.num_visual.tolist() == [0, 0, 0] and none.kept.shape == (0, 4)
    mixed = model(frames_of([2]), torch.tensor([0, 2, 0]), QUESTIONS, ANSWERS)
    torch.testing.assert_close(mixed.losses[[0, 2]], none.losses[[0, 2]], rtol=1e-5, atol=1e-5)
    assert mixed.num_visual.tolist() == [0, 8, 0]
    assert len(model.generate(frames_of([0]), torch.tensor([0]), QUESTIONS[:1], max_tokens=2, end_id=-1)[0]) == 2


def test_times_are_read() -> None:
    model, frames = network(), frames_of([3])
    one, two, three = (
        model(frames, torch.tensor([3]), QUESTIONS[:1], ANSWERS[:1], timestamps_s=times).losses
        for times in (None, [0, 1, 2], [0, 1.5, 3])
    )
    assert torch.equal(one, two) and not torch.equal(one, three)


def test_every_part_learns_from_the_answer() -> None:
    model = network().train()
    model(frames_of(LENGTHS), torch.tensor(LENGTHS), QUESTIONS, ANSWERS).losses.mean().backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not bool(p.grad.any()))]
    # A bias of keys shifts all logits of a query alike.
    assert [name for name in silent if not name.endswith("connector.key.bias")] == []
    assert model.vit.patch_embed.weight.grad.abs().max() > 0


def test_dropping_in_the_language_model_shortens_the_later_layers() -> None:
    model, frames, lengths = network(), frames_of(LENGTHS), torch.tensor(LENGTHS)
    widths = []
    for layer in model.decoder.layers:
        layer.register_forward_hook(lambda module, given, out: widths.append(given[0].shape[1]))
    dropping = LeastAttended(0, 2)
    out = model(frames, lengths, QUESTIONS, ANSWERS, layer_reduction=dropping)
    assert (
        widths[1]
        == widths[2]
        == max(
            2 * length + len(question) + len(answer) + min(2, 4 * length)
            for length, question, answer in zip(LENGTHS, QUESTIONS, ANSWERS, strict=True)
        )
    )
    alone = model(frames[4:], lengths[2:], QUESTIONS[2:], ANSWERS[2:], layer_reduction=dropping)
    torch.testing.assert_close(out.logits[2], alone.logits[0], rtol=1e-5, atol=1e-5)
    said = model.generate(frames, lengths, QUESTIONS, max_tokens=4, end_id=-1, layer_reduction=dropping)
    whole = model(frames, lengths, QUESTIONS, said, layer_reduction=dropping)
    assert [each[:-1].argmax(-1).tolist() for each in whole.logits] == said
    none = model(frames, lengths, QUESTIONS, ANSWERS, layer_reduction=LeastAttended(0, 99))
    plain = model(frames, lengths, QUESTIONS, ANSWERS)
    torch.testing.assert_close(none.losses, plain.losses, rtol=1e-5, atol=1e-5)


def test_grids_that_the_pool_does_not_divide() -> None:
    assert patch_groups(3, 3, 2).tolist() == [[0, 1, 3, 4], [2, -1, 5, -1], [6, 7, -1, -1], [8, -1, -1, -1]]
    torch.manual_seed(0)
    connector = VisualConnector(8, 6, num_heads=2)
    patches, there = torch.randn(2, 4, 8), torch.tensor([[True] * 4, [True, False, True, False]])
    other = torch.where(there[..., None], patches, torch.randn(2, 4, 8))
    torch.testing.assert_close(connector(patches, there), connector(other, there))
    torch.testing.assert_close(connector(patches[1:, [0, 2]], there[1:, [0, 2]]), connector(patches, there)[1:])
    model = network(pool=3)
    out = model(frames_of(LENGTHS, (16, 24)), torch.tensor(LENGTHS), QUESTIONS, ANSWERS)
    assert out.kept.shape == (8, 4) and bool(out.losses.isfinite().all())


def test_what_does_not_fit_is_said() -> None:
    model, frames = network(), frames_of([4])

    def call(lengths: list[int], texts: object = QUESTIONS[:1], answers: object = None, **options: Any) -> None:
        model(options.pop("frames", frames), torch.tensor(lengths), texts, answers, **options)

    with pytest.raises(ValueError, match=r"clip_lengths is \[2, 1\], together 3, but there are 4 frames"):
        call([2, 1], QUESTIONS[:2])
    with pytest.raises(ValueError, match=r"clip_lengths is \[5, -1\], together 4"):
        call([5, -1], QUESTIONS[:2])
    with pytest.raises(ValueError, match="2 texts for 1 clips"):
        call([4], QUESTIONS[:2])
    with pytest.raises(ValueError, match="the text of clip 0 is empty"):
        call([4], [[]])
    with pytest.raises(ValueError, match=r"answer_ids has answers of \[\[0\]\] tokens for 1 clips"):
        call([4], answers=[[]])
    with pytest.raises(ValueError, match=r"choice_ids has answers of \[\[\]\] tokens for 1 clips"):
        model.answer_scores(frames, torch.tensor([4]), QUESTIONS[:1], [[]])
    with pytest.raises(ValueError, match="timestamps_s has 3 times for 4 frames"):
        call([4], timestamps_s=[0, 1, 2])
    with pytest.raises(ValueError, match="position is 'other'; allowed: 'contiguous' or 'original'"):
        call([4], position="other")
    broken = frames.clone()
    broken[2, 0, 0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="clip 1 has a value that is no finite number, in frame 2"):
        call([2, 2], QUESTIONS[:2], frames=broken)


def test_parts_that_do_not_fit_are_said() -> None:
    model = network()

    def build(vit: VideoViT = model.vit, taps: Sequence[int] = (3,), pool: int = 2) -> None:
        VideoLanguageModel(vit, model.decoder, TEXT, taps=taps, pool=pool, connector_heads=4)

    with pytest.raises(ValueError, match="attention='joint'"):
        build(VideoViT(1, num_frames=2, size_px=16, tubelet=(1, 4, 4), channels=32, depth=1, num_heads=4))
    with pytest.raises(ValueError, match=r"taps is \[4\]; allowed: numbers of blocks from 0 to 3"):
        build(taps=[4])
    with pytest.raises(ValueError, match="pool is 5 and the grid has 4x4 patches; allowed: 1 to 4"):
        build(pool=5)
    with pytest.raises(ValueError, match="channels is 8 and num_heads 3"):
        VisualConnector(8, 6, num_heads=3)
    with pytest.raises(ValueError, match="width is 12 and num_heads 4"):
        LanguageDecoder(9, width=12)
    with pytest.raises(ValueError, match="num_kv_heads is 3; allowed: what divides num_heads, which is 4"):
        LanguageDecoder(9, width=16, num_kv_heads=3)
    with pytest.raises(ValueError, match="vocabulary_size is 0"):
        LanguageDecoder(0)


def test_a_decoder_says_what_it_cannot_do() -> None:
    decoder = network().decoder
    values, positions = torch.randn(1, 2, 32), torch.arange(2)[None]
    with pytest.raises(ValueError, match="allowed has 3 keys, but there are 0 tokens in the cache and 2 new"):
        decoder(values, torch.ones(1, 2, 3, dtype=torch.bool), positions)
    with pytest.raises(ValueError, match="a reduction needs to know the kinds"):
        decoder(values, torch.ones(1, 2, 2, dtype=torch.bool), positions, reduction=LayerReduction())
    with pytest.raises(ValueError, match="LlamaForCausalLM cannot drop tokens between its layers"):
        hub_network()(frames_of([1]), torch.tensor([1]), QUESTIONS[:1], layer_reduction=LayerReduction())


def test_the_decoder_is_the_one_of_transformers() -> None:
    hub = hub_network().decoder
    config = hub.model.config
    own = LanguageDecoder(
        TEXT.vocabulary_size, width=24, depth=2, num_heads=4, num_kv_heads=2, hidden=48, norm_eps=config.rms_norm_eps
    )
    names = {"query": "self_attn.q_proj", "key": "self_attn.k_proj", "value": "self_attn.v_proj"}
    names |= {"out": "self_attn.o_proj", "norm1": "input_layernorm", "norm2": "post_attention_layernorm"}
    names |= {f"mlp.{part}": f"mlp.{part}_proj" for part in ("gate", "up", "down")}
    theirs = hub.model.state_dict()
    state = {"table.weight": theirs["model.embed_tokens.weight"], "norm.weight": theirs["model.norm.weight"]}
    for layer in range(2):
        for mine, other in names.items():
            state[f"layers.{layer}.{mine}.weight"] = theirs[f"model.layers.{layer}.{other}.weight"]
    own.load_state_dict(state)
    ids = torch.randint(0, TEXT.vocabulary_size, (2, 7), generator=torch.Generator().manual_seed(0))
    embeddings = hub.embed(ids.flatten()).reshape(2, 7, 24)
    allowed = torch.ones(7, 7, dtype=torch.bool).tril().expand(2, -1, -1)
    positions = torch.arange(7).expand(2, -1)
    mine = own.logits(own(embeddings, allowed, positions).hidden)
    torch.testing.assert_close(mine, hub.model(ids).logits, rtol=1e-5, atol=1e-5)


def test_characters_to_numbers_and_back() -> None:
    ids = TEXT.encode("which way did 7 move?", end=True)
    assert TEXT.decode(ids) == "which way did 7 move?" and ids[-1] == TEXT.end_id
    assert CharacterTokenizer("ab").encode("ba") == [2, 1]
    with pytest.raises(ValueError, match=r"not in the vocabulary: \['é'\]"):
        TEXT.encode("é")
    with pytest.raises(ValueError, match="99 stands for no character; allowed: 0 to"):
        TEXT.decode([99])
    with pytest.raises(ValueError, match=r"each once; \['a'\] is there twice"):
        CharacterTokenizer("aba")


def test_narrow_networks_start_wider() -> None:
    vit = VideoViT(1, num_frames=1, size_px=8, tubelet=(1, 4, 4), channels=64, depth=1, num_heads=4)
    before = vit.blocks[0].mlp.fc1.weight.clone()
    spread_weights(vit)
    torch.testing.assert_close(vit.blocks[0].mlp.fc1.weight, before * (64**-0.5 / 0.02))
    wide = VideoViT(1, num_frames=1, size_px=8, tubelet=(1, 4, 4), channels=384, depth=1, num_heads=4)
    same = wide.blocks[0].mlp.fc1.weight.clone()
    spread_weights(wide, grey=0.4)
    assert torch.equal(wide.blocks[0].mlp.fc1.weight, same)
    spread_weights(vit, grey=0.4)
    grey = torch.full((1, 3, 1, 8, 8), 0.4)
    torch.testing.assert_close(vit.patch_embed(grey), torch.zeros(1, 4, 64), atol=1e-5, rtol=0)
