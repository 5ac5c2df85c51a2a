"""A small causal language model over embeddings, and the interface that a larger one takes its place by.

What crosses the border is embeddings, which pairs of tokens may attend, and positions. Whoever puts pictures between
words decides all three; the language model knows of tokens only.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tubelet.models.narrow import narrow_std

NOTHING, VISUAL, PROMPT, ANSWER = 0, 1, 2, 3
"""Kinds of tokens: padding, what is seen, text that is given, text that is to be said."""


@dataclass(frozen=True, kw_only=True)
class DecoderState:
    """What a `LayerReduction` sees after a layer.

    Attributes:
        hidden: Hidden states.
        positions: Of each token.
        kinds: NOTHING, VISUAL, PROMPT or ANSWER for each token.
        weights: Attention of the layer, from each token to each; None where it was not asked for.
    """

    hidden: Float[Tensor, "batch tokens channels"]
    positions: Int64[Tensor, "batch tokens"]
    kinds: Int64[Tensor, "batch tokens"]
    weights: Float[Tensor, "batch heads tokens tokens"] | None


class LayerReduction:
    """A method that drops tokens between the layers of a language model; this one drops none.

    It is asked once for a prompt. What follows word by word finds what was kept in the cache.
    """

    def wants_attention(self, layer: int) -> bool:
        """Whether `kept` wants to see the attention of a layer, which must then be computed openly."""
        del layer
        return False

    def kept(self, layer: int, state: DecoderState) -> Bool[Tensor, "batch tokens"] | None:
        """Which tokens go on to the next layer; None for all.

        Args:
            layer: Number of the layer that was just computed, from 0.
            state: What it left.

        Returns:
            Another number may stay in each row. Of text all must stay.
        """
        del layer, state
        return None


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a language model makes of a batch.

    Attributes:
        hidden: After the last layer, normalised.
        columns: Which token of the input each is: all in order unless a reduction dropped some; -1 for padding.
    """

    hidden: Float[Tensor, "batch kept channels"]
    columns: Int64[Tensor, "batch kept"]


class TextDecoder(nn.Module, abc.ABC):
    """A causal language model behind the interface that a video-language model needs.

    Attributes:
        width: Of the embeddings.
    """

    width: int

    @abc.abstractmethod
    def embed(self, ids: Int64[Tensor, " tokens"]) -> Float[Tensor, "tokens channels"]:
        """The embeddings of text tokens."""

    @abc.abstractmethod
    def forward(
        self,
        embeddings: Float[Tensor, "batch tokens channels"],
        allowed: Bool[Tensor, "batch tokens keys"],
        positions: Int64[Tensor, "batch tokens"],
        *,
        cache: Any | None = None,  # noqa: ANN401 - each decoder has its own kind
        reduction: LayerReduction | None = None,
        kinds: Int64[Tensor, "batch tokens"] | None = None,
    ) -> Decoded:
        """Hidden states.

        Args:
            embeddings: What is new.
            allowed: Which keys each token may attend to: those of the cache, then those of the new tokens. Every token,
                padding too, must have a key.
            positions: Of the new tokens.
            cache: From `new_cache`; keys and values of the new tokens are added to it.
            reduction: Drops tokens on their way. Only where the cache is empty.
            kinds: Of the tokens, for the reduction.

        Raises:
            ValueError: A reduction is given without kinds, after the first call for a cache, or to a decoder that
                cannot be reduced.
        """

    @abc.abstractmethod
    def logits(self, hidden: Float[Tensor, "*rows channels"]) -> Float[Tensor, "*rows vocabulary"]:
        """What comes next, for hidden states after the last layer."""

    @abc.abstractmethod
    def new_cache(self) -> Any:  # noqa: ANN401
        """An empty cache."""


@dataclass
class KeyValueCache:
    """Keys and values of earlier tokens. Layers differ in which they have, once a reduction has dropped some.

    Attributes:
        length: Tokens that were put in, whether or not they were dropped later.
        keys, values: Of each layer, (batch, heads, tokens, channels).
        columns: Which input token each of them belongs to, (batch, tokens); -1 for none.
    """

    length: int = 0
    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)
    columns: dict[int, Tensor] = field(default_factory=dict)

    def extended(
        self,
        layer: int,
        key: Float[Tensor, "batch heads tokens channels"],
        value: Float[Tensor, "batch heads tokens channels"],
    ) -> tuple[Float[Tensor, "batch heads keys channels"], Float[Tensor, "batch heads keys channels"]]:
        """All keys and values of a layer, after these were added."""
        if layer in self.keys:
            key = torch.cat([self.keys[layer], key], dim=2)
            value = torch.cat([self.values[layer], value], dim=2)
        self.keys[layer], self.values[layer] = key, value
        return key, value

    def placed(self, layer: int, columns: Int64[Tensor, "batch tokens"]) -> Int64[Tensor, "batch keys"]:
        """Which input tokens all keys of a layer belong to, after these were added."""
        if layer in self.columns:
            columns = torch.cat([self.columns[layer], columns], dim=1)
        self.columns[layer] = columns
        return columns


class LanguageDecoder(TextDecoder):
    """A causal transformer of the usual modern form.

    Normalisation before each branch (RMSNorm), rotary positions, several query heads for each key head, gated MLPs, and
    one table for both ends.

    Args:
        vocabulary_size: Text tokens that there are.
        width: Of the tokens.
        depth: Layers.
        num_heads: Query heads; must divide the width into an even number of channels.
        num_kv_heads: Key heads; must divide the query heads.
        hidden: Width of the MLPs' middle; about 8/3 of the width if None.
        rope_base: The slowest rotation turns once in about this many times 2 pi tokens.
        norm_eps: Added to the mean square in normalisation.

    Source: Llama (arXiv:2302.13971) with grouped queries (arXiv:2305.13245) and a tied table.
    Differs: narrow networks start with weights of 1/sqrt(width), see `narrow_std`.
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        width: int = 128,
        depth: int = 4,
        num_heads: int = 4,
        num_kv_heads: int = 2,
        hidden: int | None = None,
        rope_base: float = 10_000.0,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if num_heads < 1 or width % (2 * num_heads):
            raise ValueError(
                f"width is {width} and num_heads {num_heads}; each head needs an even number of channels, so twice the "
                "heads must divide the width"
            )
        if num_kv_heads < 1 or num_heads % num_kv_heads:
            raise ValueError(f"num_kv_heads is {num_kv_heads}; allowed: what divides num_heads, which is {num_heads}")
        if vocabulary_size < 1 or depth < 1:
            raise ValueError(f"vocabulary_size is {vocabulary_size} and depth {depth}; allowed: 1 or more of each")
        self.width, self.rope_base, self.head_size = width, rope_base, width // num_heads
        hidden = -(-8 * width // 24) * 8 if hidden is None else hidden
        self.table = nn.Embedding(vocabulary_size, width)
        self.layers = nn.ModuleList(
            _Layer(width, num_heads, num_kv_heads, hidden, norm_eps=norm_eps) for _ in range(depth)
        )
        self.norm = nn.RMSNorm(width, eps=norm_eps)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.trunc_normal_(module.weight, std=narrow_std(width))

    def embed(self, ids: Int64[Tensor, " tokens"]) -> Float[Tensor, "tokens channels"]:
        """The embeddings of text tokens."""
        found: Tensor = self.table(ids)
        return found

    def logits(self, hidden: Float[Tensor, "*rows channels"]) -> Float[Tensor, "*rows vocabulary"]:
        """What comes next, for hidden states after the last layer."""
        return nn.functional.linear(hidden, self.table.weight)

    def new_cache(self) -> KeyValueCache:
        """An empty cache."""
        return KeyValueCache()

    def forward(
        self,
        embeddings: Float[Tensor, "batch tokens channels"],
        allowed: Bool[Tensor, "batch tokens keys"],
        positions: Int64[Tensor, "batch tokens"],
        *,
        cache: KeyValueCache | None = None,
        reduction: LayerReduction | None = None,
        kinds: Int64[Tensor, "batch tokens"] | None = None,
    ) -> Decoded:
        """Hidden states; arguments as in `TextDecoder`."""
        batch, num_tokens = embeddings.shape[:2]
        before = 0 if cache is None else cache.length
        if allowed.shape[2] != before + num_tokens:
            raise ValueError(
                f"allowed has {allowed.shape[2]} keys, but there are {before} tokens in the cache and {num_tokens} new"
            )
        if reduction is not None and (kinds is None or before):
            raise ValueError(
                "a reduction needs to know the kinds of tokens, and takes a prompt at once: give kinds, and give the "
                "reduction only with the first tokens of a cache"
            )
        rows = torch.arange(num_tokens, device=embeddings.device).expand(batch, -1)
        hidden, rotation = embeddings, self._rotation(positions, embeddings.dtype)
        mask, is_changed = allowed, False
        for number, layer in enumerate(self.layers):
            if cache is not None:
                columns = cache.placed(number, torch.where(rows < 0, rows, rows + before))
                mask = _picked(allowed, rows, columns)
            elif is_changed:
                mask = _picked(allowed, rows, rows)
            is_open = reduction is not None and reduction.wants_attention(number)
            hidden, weights = layer(hidden, mask, rotation, number, cache, is_open=is_open)
            if reduction is None or kinds is None:
                continue
            keep = reduction.kept(
                number, DecoderState(hidden=hidden, positions=positions, kinds=kinds, weights=weights)
            )
            is_changed = keep is not None
            if keep is not None:
                chosen = _chosen(keep & (kinds != NOTHING))
                there = chosen >= 0
                at = chosen.clamp(min=0)
                hidden = hidden.gather(1, at[..., None].expand(-1, -1, self.width))
                positions = positions.gather(1, at)
                kinds = kinds.gather(1, at).where(there, torch.zeros_like(at))
                rows = rows.gather(1, at).where(there, chosen)
                rotation = self._rotation(positions, hidden.dtype)
        if cache is not None:
            cache.length += num_tokens
        return Decoded(hidden=self.norm(hidden), columns=rows)

    def _rotation(self, positions: Int64[Tensor, "batch tokens"], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine of each token's angles, (batch, 1, tokens, channels of a head)."""
        exponents = torch.arange(0, self.head_size, 2, device=positions.device, dtype=torch.float32) / self.head_size
        angles = positions[:, None, :, None].to(torch.float32) * self.rope_base**-exponents
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)


def _chosen(keep: Bool[Tensor, "batch tokens"]) -> Int64[Tensor, "batch kept"]:
    """Numbers of the tokens that are kept, in order; rows with fewer are filled up with -1."""
    most = max(1, int(keep.sum(1).max()))
    order = torch.argsort((~keep).to(torch.uint8), dim=1, stable=True)[:, :most]
    return order.where(keep.gather(1, order), torch.full_like(order, -1))


def _picked(
    allowed: Bool[Tensor, "batch tokens keys"], rows: Int64[Tensor, "batch kept"], columns: Int64[Tensor, "batch left"]
) -> Bool[Tensor, "batch kept left"]:
    """Which of the keys that are left each token that is left may attend to; padding attends to all there is."""
    by_row = allowed.gather(1, rows.clamp(min=0)[..., None].expand(-1, -1, allowed.shape[2]))
    picked = by_row.gather(2, columns.clamp(min=0)[:, None].expand(-1, rows.shape[1], -1))
    there = (columns >= 0)[:, None]
    return torch.where((rows >= 0)[..., None], picked & there, there)


class _Layer(nn.Module):
    """Attention and gated MLP, each on normalised input and added to what came in."""

    def __init__(self, width: int, num_heads: int, num_kv_heads: int, hidden: int, *, norm_eps: float) -> None:
        super().__init__()
        size = width // num_heads
        self.num_heads, self.num_kv_heads, self.size = num_heads, num_kv_heads, size
        self.norm1 = nn.RMSNorm(width, eps=norm_eps)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, num_kv_heads * size, bias=False)
        self.value = nn.Linear(width, num_kv_heads * size, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm2 = nn.RMSNorm(width, eps=norm_eps)
        self.mlp = GatedMlp(width, hidden, width)

    def forward(
        self,
        x: Float[Tensor, "batch tokens channels"],
        mask: Bool[Tensor, "batch tokens keys"],
        rotation: tuple[Tensor, Tensor],
        number: int,
        cache: KeyValueCache | None,
        *,
        is_open: bool,
    ) -> tuple[Float[Tensor, "batch tokens channels"], Float[Tensor, "batch heads tokens keys"] | None]:
        """Hidden states, and attention where it was asked for."""
        normed = self.norm1(x)
        query, key, value = (
            layer(normed).unflatten(-1, (heads, self.size)).transpose(1, 2)
            for layer, heads in (
                (self.query, self.num_heads),
                (self.key, self.num_kv_heads),
                (self.value, self.num_kv_heads),
            )
        )
        query, key = _rotated(query, *rotation), _rotated(key, *rotation)
        if cache is not None:
            key, value = cache.extended(number, key, value)
        shared = self.num_heads // self.num_kv_heads
        key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
        weights = None
        if is_open:
            logits = (query * self.size**-0.5) @ key.transpose(-1, -2)
            weights = logits.masked_fill(~mask[:, None], float("-inf")).softmax(-1)
            mixed = weights @ value
        else:
            mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None])
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x)), weights


def _rotated(
    x: Float[Tensor, "batch heads tokens channels"], cosine: Tensor, sine: Tensor
) -> Float[Tensor, "batch heads tokens channels"]:
    """Rotary positions: channel i and channel i + half turn together."""
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-second, first], dim=-1) * sine


class GatedMlp(nn.Module):
    """Two linear layers side by side, one of them through SiLU as the gate of the other, and one behind.

    Args:
        channels: Width of the input.
        hidden: Width between the layers.
        out_channels: Width of the output.

    Source: SwiGLU (Shazeer 2020, arXiv:2002.05202).
    """

    def __init__(self, channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.gate = nn.Linear(channels, hidden, bias=False)
        self.up = nn.Linear(channels, hidden, bias=False)
        self.down = nn.Linear(hidden, out_channels, bias=False)

    def forward(self, x: Float[Tensor, "*rows channels"]) -> Float[Tensor, "*rows out_channels"]:
        """The transformed values."""
        out: Tensor = self.down(nn.functional.silu(self.gate(x)) * self.up(x))
        return out
