"""A video-language model: frames and a question in, an answer out, with token reductions in both of its halves.

A `VideoViT` looks at every frame by itself, a connector makes one visual token of each group of patches, and a causal
language model reads them between words: of each frame its time, then its groups, and at the end the question. What a
`TokenReduction` removes in the transformer never reaches the language model; a `LayerReduction` drops tokens there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tubelet.models.language_decoder import NOTHING, VISUAL, Decoded, LanguageDecoder, LayerReduction, TextDecoder
from tubelet.models.narrow import spread_weights
from tubelet.models.prompt_layout import PositionIds, PromptLayout, lay_out
from tubelet.models.text_tokens import CharacterTokenizer, TextTokenizer
from tubelet.models.token_reduction import TokenReduction
from tubelet.models.visual_connector import VisualConnector, patch_groups
from tubelet.models.vit import VideoViT


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the first half makes of the frames.

    Attributes:
        visual: Visual tokens of the groups that were kept, frame after frame, row by row.
        kept: Which groups those are.
        notes: What a reduction left: scores, losses of its own.
    """

    visual: Float[Tensor, "tokens channels"]
    kept: Bool[Tensor, "frames groups"]
    notes: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class VideoLanguageOutput:
    """What the model says of a batch.

    Attributes:
        logits: Of each clip, for each token of its answer and for the one after it; without answers for the first.
        losses: Of each clip, the mean cross-entropy over its answer; None where no answers were given.
        num_visual: Visual tokens of each clip that entered the language model.
        kept: Which groups of each frame those are.
        notes: What a reduction left in the transformer: scores, losses of its own.
    """

    logits: list[Float[Tensor, "_ vocabulary"]]
    losses: Float[Tensor, " clips"] | None
    num_visual: Int64[Tensor, " clips"]
    kept: Bool[Tensor, "frames groups"]
    notes: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ScoredAnswers:
    """How probable possible answers are.

    Attributes:
        scores: Log-likelihood of each choice of each clip.
        num_visual, kept, notes: As in `VideoLanguageOutput`.
    """

    scores: list[Float[Tensor, " _"]]
    num_visual: Int64[Tensor, " clips"]
    kept: Bool[Tensor, "frames groups"]
    notes: dict[str, Any]


class ReadOptions(TypedDict, total=False):
    """How frames and words are read; the same for training, scoring and generating.

    Attributes:
        reduction: Removes tokens in the transformer; all patches of a group together.
        layer_reduction: Drops visual tokens between the layers of the language model.
        timestamps_s: Time of each frame; without it a frame's number in its clip.
        position: "contiguous" (unless said otherwise) or "original", see `lay_out`.
    """

    reduction: TokenReduction | None
    layer_reduction: LayerReduction | None
    timestamps_s: Sequence[float] | None
    position: PositionIds


class VideoLanguageModel(nn.Module):
    """A transformer over frames, a connector and a language model.

    Args:
        vit: With attention within frames, tubelets of one frame and no CLS tokens. What it ends with, normalisation and
            classifier, is not used and takes no part in training.
        decoder: The language model.
        tokenizer: Writes the times of the frames.
        taps: Blocks whose outputs the connector reads, side by side; counted from 0.
        pool: Side of a group in patches.
        connector_heads: Heads of the connector's attention; must divide the taps' widths together.
        connector_hidden: Width of the middle of the connector's MLP; see `VisualConnector`.

    Source: Molmo2 (arXiv:2601.10611) in the form that STTS (arXiv:2603.18004) prunes.
    """

    def __init__(
        self,
        vit: VideoViT,
        decoder: TextDecoder,
        tokenizer: TextTokenizer,
        *,
        taps: Sequence[int],
        pool: int,
        connector_heads: int,
        connector_hidden: int | None = None,
    ) -> None:
        super().__init__()
        _check_vit(vit, taps)
        self.vit, self.decoder, self.tokenizer = vit, decoder, tokenizer
        self.taps, self.pool = tuple(sorted(taps)), pool
        patch_groups(*vit.grid[1:], pool)  # says now if the pool does not fit
        # In a distributed training, parameters that never get a gradient would be waited for.
        vit.norm.requires_grad_(requires_grad=False)
        vit.head.requires_grad_(requires_grad=False)
        self.connector = VisualConnector(
            len(self.taps) * vit.num_features,
            decoder.width,
            num_heads=connector_heads,
            hidden=connector_hidden,
        )

    def forward(
        self,
        frames: Float[Tensor, "frames 3 height width"],
        clip_lengths: Int64[Tensor, " clips"],
        text_ids: Sequence[Sequence[int]],
        answer_ids: Sequence[Sequence[int]] | None = None,
        **options: Unpack[ReadOptions],
    ) -> VideoLanguageOutput:
        """Logits and losses of the answers.

        Args:
            frames: Of all clips one after the other, normalised with `vit.mean` and `vit.std`.
            clip_lengths: Frames of each clip, which add up to all; 0 for a question without pictures.
            text_ids: The question of each clip.
            answer_ids: Its answer, with the end token if it is to learn to end. Losses count these tokens alone.
            **options: See `ReadOptions`.

        Raises:
            ValueError: Lengths, texts or times do not fit each other, a text is empty, or frames cannot be cut into
                patches and groups.
            FloatingPointError: A frame holds what is no number; the message says in which clip.
        """
        if answer_ids is None:
            answers: Sequence[Sequence[Sequence[int]]] = [[] for _ in text_ids]
        else:
            _check_answers("answer_ids", [[answer] for answer in answer_ids], len(text_ids))
            answers = [[answer] for answer in answer_ids]
        seen, layout, decoded = self._read(frames, clip_lengths, text_ids, answers, None, options)
        logits = [each[0] for each in self._answer_logits(layout, decoded)]
        losses = None
        if answer_ids is not None:
            losses = torch.stack(
                [
                    nn.functional.cross_entropy(said[:-1], torch.tensor(answer, device=said.device))
                    for said, answer in zip(logits, answer_ids, strict=True)
                ]
            )
        num_visual = (layout.kinds == VISUAL).sum(1)
        return VideoLanguageOutput(
            logits=logits, losses=losses, num_visual=num_visual, kept=seen.kept, notes=seen.notes
        )

    @torch.no_grad()
    def score_answers(
        self,
        frames: Float[Tensor, "frames 3 height width"],
        clip_lengths: Int64[Tensor, " clips"],
        text_ids: Sequence[Sequence[int]],
        choice_ids: Sequence[Sequence[Sequence[int]]],
        **options: Unpack[ReadOptions],
    ) -> ScoredAnswers:
        """Log-likelihood of each choice of each clip, all in one pass: choices stand side by side and unseen.

        Args:
            frames: As in `forward`.
            clip_lengths: As in `forward`.
            text_ids: As in `forward`.
            choice_ids: For each clip its choices, each of at least one token. Where one may begin another, put the end
                token behind them.
            **options: See `ReadOptions`.

        Raises:
            ValueError: As in `forward`, or a clip has no choices, or one is empty.
            FloatingPointError: As in `forward`.
        """
        _check_answers("choice_ids", choice_ids, len(text_ids))
        seen, layout, decoded = self._read(frames, clip_lengths, text_ids, choice_ids, None, options)
        scores = [
            torch.stack([_log_likelihood(said, choice) for said, choice in zip(each, choices, strict=True)])
            for each, choices in zip(self._answer_logits(layout, decoded), choice_ids, strict=True)
        ]
        num_visual = (layout.kinds == VISUAL).sum(1)
        return ScoredAnswers(scores=scores, num_visual=num_visual, kept=seen.kept, notes=seen.notes)

    def answer_scores(
        self,
        frames: Float[Tensor, "frames 3 height width"],
        clip_lengths: Int64[Tensor, " clips"],
        text_ids: Sequence[Sequence[int]],
        choice_ids: Sequence[Sequence[Sequence[int]]],
        **options: Unpack[ReadOptions],
    ) -> list[Float[Tensor, " _"]]:
        """Log-likelihood of each choice of each clip; arguments as in `score_answers`."""
        return self.score_answers(frames, clip_lengths, text_ids, choice_ids, **options).scores

    @torch.no_grad()
    def generate(
        self,
        frames: Float[Tensor, "frames 3 height width"],
        clip_lengths: Int64[Tensor, " clips"],
        text_ids: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        end_id: int,
        **options: Unpack[ReadOptions],
    ) -> list[list[int]]:
        """The most probable token after the other, until each answer ends.

        Args:
            frames: As in `forward`.
            clip_lengths: As in `forward`.
            text_ids: As in `forward`.
            max_tokens: Most tokens of an answer.
            end_id: The token that ends one; it is not part of what is returned.
            **options: See `ReadOptions`.

        Raises:
            ValueError: As in `forward`.
            FloatingPointError: As in `forward`.
        """
        cache = self.decoder.new_cache()
        _, layout, decoded = self._read(frames, clip_lengths, text_ids, [[] for _ in text_ids], cache, options)
        said = torch.cat([each[0] for each in self._answer_logits(layout, decoded)]).argmax(-1)
        last = torch.tensor([places[0][0] for places in layout.asked], device=said.device)
        positions = layout.positions.gather(1, last[:, None])
        keys = layout.kinds != NOTHING
        answers: list[list[int]] = [[] for _ in text_ids]
        is_over = [False] * len(answers)
        for count in range(max_tokens):
            for clip, token in enumerate(said.tolist()):
                is_over[clip] = is_over[clip] or token == end_id
                if not is_over[clip]:
                    answers[clip].append(token)
            if all(is_over) or count == max_tokens - 1:
                break
            positions = positions + 1
            keys = torch.cat([keys, keys.new_ones(len(keys), 1)], dim=1)
            decoded = self.decoder(self.decoder.embed(said)[:, None], keys[:, None], positions, cache=cache)
            said = self.decoder.logits(decoded.hidden[:, 0]).argmax(-1)
        return answers

    def see(
        self,
        frames: Float[Tensor, "frames 3 height width"],
        clip_lengths: Int64[Tensor, " clips"],
        *,
        reduction: TokenReduction | None = None,
    ) -> Seen:
        """The first half: visual tokens of the groups that a reduction leaves.

        A group is kept as long as one of its patches is there after the last tap; patches that are gone by then count
        at no tap. A reduction may take further groups away by a note "keep", (frames, groups): those that it leaves to
        the transformer but not to the language model. With a note "keep_all" the language model gets all groups, those
        that are gone with zeros for the taps that they did not reach.

        Args:
            frames: As in `forward`.
            clip_lengths: As in `forward`.
            reduction: See `ReadOptions`.

        Raises:
            ValueError: Lengths do not fit, or frames cannot be cut into patches and groups.
            FloatingPointError: A frame holds what is no number.
        """
        _check_lengths(clip_lengths, len(frames))
        if len(frames) == 0:
            num_groups = len(patch_groups(*self.vit.grid[1:], self.pool))
            visual = frames.new_zeros(0, self.decoder.width)
            return Seen(visual=visual, kept=frames.new_zeros(0, num_groups, dtype=torch.bool), notes={})
        _check_finite(frames, clip_lengths)
        video = frames.transpose(0, 1)[None]
        steps, rows, columns = self.vit.grid_of(video)
        groups = patch_groups(rows, columns, self.pool).to(frames.device)
        encoded = self.vit.encode(video, reduction=reduction, taps=self.taps, stop_after=self.taps[-1])
        notes = encoded.tokens.notes
        on_grid = [encoded.taps[tap].on_grid(1, steps * rows * columns) for tap in self.taps]
        features = torch.cat([values for values, _ in on_grid], dim=-1).reshape(steps, rows * columns, -1)
        patches_left = on_grid[-1][1].reshape(steps, rows * columns)
        if notes.get("keep_all", False):
            patches_left = torch.ones_like(patches_left)
        there = patches_left[:, groups.clamp(min=0)] & (groups >= 0)
        kept = there.any(-1)
        if "keep" in notes and not notes.get("keep_all", False):
            kept = kept & notes["keep"]
        frame, group = kept.nonzero(as_tuple=True)
        patches = features[frame[:, None], groups[group].clamp(min=0)]
        return Seen(visual=self.connector(patches, there[kept]), kept=kept, notes=notes)

    def _read(
        self,
        frames: Tensor,
        clip_lengths: Tensor,
        questions: Sequence[Sequence[int]],
        answers: Sequence[Sequence[Sequence[int]]],
        cache: Any | None,  # noqa: ANN401 - the decoder's own kind
        options: ReadOptions,
    ) -> tuple[Seen, PromptLayout, Decoded]:
        """Both halves, with answers side by side."""
        lengths: list[int] = clip_lengths.tolist()
        if len(questions) != len(lengths):
            raise ValueError(f"text_ids has {len(questions)} texts for {len(lengths)} clips; give one for each clip")
        texts = self._frame_texts(lengths, options.get("timestamps_s"))
        seen = self.see(frames, clip_lengths, reduction=options.get("reduction"))
        layout = lay_out(
            seen.kept.cpu().numpy(),
            lengths,
            texts,
            questions,
            answers,
            position=options.get("position", "contiguous"),
            device=seen.kept.device,
        )
        text = self.decoder.embed(layout.text)
        table = torch.cat([text, seen.visual.to(text.dtype)])
        decoded: Decoded = self.decoder(
            nn.functional.embedding(layout.source, table),
            layout.allowed(),
            layout.positions,
            cache=cache,
            reduction=options.get("layer_reduction"),
            kinds=layout.kinds,
        )
        return seen, layout, decoded

    def _frame_texts(self, lengths: Sequence[int], timestamps_s: Sequence[float] | None) -> list[list[int]]:
        """What stands before each frame: its time."""
        times = [float(number) for length in lengths for number in range(length)]
        if timestamps_s is not None:
            if len(timestamps_s) != sum(lengths):
                raise ValueError(
                    f"timestamps_s has {len(timestamps_s)} times for {sum(lengths)} frames; give one for each"
                )
            times = [float(time) for time in timestamps_s]
        texts = {time: self.tokenizer.encode(f"{time:g} ") for time in set(times)}
        return [texts[time] for time in times]

    def _answer_logits(self, layout: PromptLayout, decoded: Decoded) -> list[list[Float[Tensor, "_ vocabulary"]]]:
        """For each clip and each of its answers what comes at each place of it, and after it."""
        asked = [(clip, place) for clip, each in enumerate(layout.asked) for places in each for place in places]
        clips, places = torch.tensor(asked, dtype=torch.int64, device=layout.kinds.device).reshape(-1, 2).unbind(1)
        # Wherever a reduction has left them.
        at = (decoded.columns[clips] == places[:, None]).to(torch.uint8).argmax(1)
        logits = self.decoder.logits(decoded.hidden[clips, at])
        sizes = [len(each_places) for each in layout.asked for each_places in each]
        parts = iter(torch.split(logits, sizes))
        return [[next(parts) for _ in each] for each in layout.asked]


def _log_likelihood(logits: Float[Tensor, "_ vocabulary"], answer: Sequence[int]) -> Float[Tensor, ""]:
    said = logits[:-1].log_softmax(-1)
    return said[torch.arange(len(answer)), torch.tensor(answer, device=said.device)].sum()


def _check_vit(vit: VideoViT, taps: Sequence[int]) -> None:
    if vit.attention != "frame" or vit.tubelet[0] != 1 or vit.num_cls_tokens:
        raise ValueError(
            f"the transformer has attention={vit.attention!r}, tubelet={vit.tubelet} and "
            f"num_cls_tokens={vit.num_cls_tokens}; it must look at single frames: 'frame', (1, rows, columns), and 0"
        )
    depth = len(vit.blocks)
    if not taps or len(set(taps)) != len(taps) or not all(0 <= tap < depth for tap in taps):
        raise ValueError(f"taps is {list(taps)}; allowed: numbers of blocks from 0 to {depth - 1}, each once")


def _check_lengths(clip_lengths: Int64[Tensor, " clips"], num_frames: int) -> None:
    lengths: list[int] = clip_lengths.tolist()
    if min(lengths, default=0) < 0 or sum(lengths) != num_frames:
        raise ValueError(
            f"clip_lengths is {lengths}, together {sum(lengths)}, but there are {num_frames} frames; give the number "
            "of frames of each clip, 0 or more"
        )


def _check_answers(name: str, answers: Sequence[Sequence[Sequence[int]]], num_clips: int) -> None:
    if len(answers) != num_clips or not all(each and all(each) for each in answers):
        sizes = [[len(answer) for answer in each] for each in answers]
        raise ValueError(
            f"{name} has answers of {sizes} tokens for {num_clips} clips; give each clip at least one, of at least one "
            "token"
        )


def _check_finite(frames: Float[Tensor, "frames 3 height width"], clip_lengths: Int64[Tensor, " clips"]) -> None:
    finite = frames.isfinite().flatten(1).all(1)
    if not bool(finite.all()):
        frame = int((~finite).nonzero()[0])
        clip = int((clip_lengths.cumsum(0) <= frame).sum())
        raise FloatingPointError(
            f"clip {clip} has a value that is no finite number, in frame {frame} of the batch; look at how its frames "
            "were decoded and normalised"
        )


def tiny_video_language(
    tokenizer: TextTokenizer | None = None,
    *,
    decoder: TextDecoder | None = None,
    num_frames: int = 16,
    size_px: int = 48,
    patch_px: int = 4,
    pool: int = 3,
    channels: int = 96,
    depth: int = 6,
    num_heads: int = 6,
    taps: Sequence[int] | None = None,
    lm_width: int = 128,
    lm_depth: int = 4,
    lm_heads: int = 4,
    lm_kv_heads: int = 2,
) -> VideoLanguageModel:
    """A small model that learns from nothing within minutes; as it stands, 12x12 patches and 16 groups.

    Args:
        tokenizer: The vocabulary; `CharacterTokenizer()` if None.
        decoder: The language model; a small one from random weights if None, whose sizes those with `lm_` are.
        num_frames: Frames of a clip that it is built for; others are allowed.
        size_px: Side of the frames.
        patch_px: Side of a patch.
        pool: Side of a group in patches.
        channels: Width of the transformer.
        depth: Its blocks.
        num_heads: Its heads, and the connector's.
        taps: Blocks that the connector reads; the third-last and the last if None.
        lm_width: Width of the language model.
        lm_depth: Its layers.
        lm_heads: Its query heads.
        lm_kv_heads: Its key heads.
    """
    text = CharacterTokenizer() if tokenizer is None else tokenizer
    vit = VideoViT(
        1,
        num_frames=num_frames,
        size_px=size_px,
        tubelet=(1, patch_px, patch_px),
        channels=channels,
        depth=depth,
        num_heads=num_heads,
        attention="frame",
        positions="learned",
        qkv_bias="all",
    )
    spread_weights(vit)
    # As loud as patches: from the usual 0.02 a small network takes thousands of steps to learn where things are.
    nn.init.trunc_normal_(vit.positions, std=0.5)
    if decoder is None:
        decoder = LanguageDecoder(
            text.vocabulary_size, width=lm_width, depth=lm_depth, num_heads=lm_heads, num_kv_heads=lm_kv_heads
        )
    chosen = sorted({max(0, depth - 3), depth - 1}) if taps is None else taps
    return VideoLanguageModel(vit, decoder, text, taps=chosen, pool=pool, connector_heads=num_heads)
