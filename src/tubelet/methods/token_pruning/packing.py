"""Frames with different numbers of tokens, brought together for the blocks that follow, and attention within each.

Two layouts. In bins, a row holds several frames as far as they fit (first fit, longest first), and a mask keeps them
apart. Flat, all tokens lie in one row, frame after frame, and attention runs over ragged frames: no place is wasted, so
everything but the attention costs what the tokens cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tubelet.models.token_reduction import PADDING, Tokens

Backend = Literal["auto", "loop", "packed_mask", "jagged", "flex", "varlen"]
BACKENDS: tuple[Backend, ...] = ("loop", "packed_mask", "jagged", "flex", "varlen")
_NOTE = "packing"


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How tokens lie, for the attention of the blocks that follow.

    Attributes:
        backend: Which attention.
        counts: Tokens of each frame that has any.
        offsets: Where each of these frames begins in the flat layout, and where the last ends.
        mask: Which pairs of a row's places may attend, in the layout of bins.
    """

    backend: Backend
    counts: tuple[int, ...]
    offsets: Int64[Tensor, " edges"]
    mask: Bool[Tensor, "rows 1 places places"] | None = None


def first_fit(counts: Sequence[int], capacity: int) -> list[list[int]]:
    """Frames brought into rows by first fit, longest first: every frame whole in one row, no row above its capacity.

    Args:
        counts: Tokens of each frame; those without any are left out.
        capacity: Of a row.

    Raises:
        ValueError: A frame does not fit into any row.
    """
    if counts and max(counts) > capacity:
        raise ValueError(f"a frame has {max(counts)} tokens and a row takes {capacity}; frames are never cut")
    order = sorted((frame for frame, count in enumerate(counts) if count), key=lambda frame: -counts[frame])
    rows: list[list[int]] = []
    free: list[int] = []
    open_from = 0  # rows before this one are full
    for frame in order:
        for row in range(open_from, len(rows)):
            if free[row] >= counts[frame]:
                rows[row].append(frame)
                free[row] -= counts[frame]
                break
        else:
            rows.append([frame])
            free.append(capacity - counts[frame])
        while open_from < len(rows) and free[open_from] == 0:
            open_from += 1
    return rows


def choose_backend(asked: Backend, device: torch.device, dtype: torch.dtype) -> Backend:
    """The attention for this device.

    Raises:
        RuntimeError: The one asked for does not run here; the message names one that does.
    """
    is_half = dtype in (torch.float16, torch.bfloat16)
    if asked == "auto":
        return "varlen" if device.type == "cuda" and is_half and _has_varlen() else "packed_mask"
    if asked == "varlen" and not (device.type == "cuda" and is_half and _has_varlen()):
        raise RuntimeError(
            "backend 'varlen' needs a GPU, half precision and torch.nn.attention.varlen; here: "
            f"{device.type}, {dtype}; use 'auto' or 'packed_mask'"
        )
    if asked == "flex" and device.type == "cpu" and torch.is_grad_enabled():
        raise RuntimeError("backend 'flex' has no gradients on a CPU; use 'auto' or 'packed_mask', or torch.no_grad()")
    return asked


def _has_varlen() -> bool:
    try:
        import torch.nn.attention.varlen  # noqa: F401
    except ImportError:
        return False
    return True


def pack(tokens: Tokens, keep: Bool[Tensor, "frames places"], *, backend: Backend, refill: bool = False) -> Tokens:
    """The tokens to keep, of all frames, in the layout of a back-end.

    Args:
        tokens: One row for each frame; CLS tokens, if any, at its beginning.
        keep: Of every token.
        backend: See `choose_backend`.
        refill: In bins, a frame that is alone in its row gets its removed tokens back, which cost nothing there. Its
            features then depend on what else is in the batch.

    Source: STTS (arXiv:2603.18004), packing; `refill` as its code does.
    """
    chosen = choose_backend(backend, tokens.values.device, tokens.values.dtype)
    counts = keep.sum(1).tolist()  # the one copy to the host
    if chosen == "packed_mask":
        return _in_bins(tokens, keep, counts, refill=refill)
    if refill:
        raise ValueError(f"refill is only possible with backend 'packed_mask', which has rows to fill; got {backend!r}")
    return _flat(tokens, keep, counts, chosen)


def _in_bins(tokens: Tokens, keep: Tensor, counts: list[int], *, refill: bool) -> Tokens:
    capacity = keep.shape[1]
    rows = first_fit(counts, capacity)
    if refill:
        alone = [members[0] for members in rows if len(members) == 1]
        keep = keep.clone()
        keep[alone] = True
        counts = keep.sum(1).tolist()
    device = keep.device
    num_rows = max(1, len(rows))
    # The place in the rows at which each frame begins; then every kept token's place follows from its rank.
    begins = torch.zeros(len(keep), dtype=torch.int64)
    for row, members in enumerate(rows):
        at = row * capacity
        for frame in members:
            begins[frame] = at
            at += counts[frame]
    rank = keep.to(torch.int64).cumsum(1) - 1
    to = (begins.to(device)[:, None] + rank)[keep]
    flat_values = tokens.values[keep]
    values = flat_values.new_zeros(num_rows * capacity, flat_values.shape[-1]).index_copy(0, to, flat_values)
    ids = torch.full((num_rows * capacity,), PADDING, device=device)
    frames = torch.arange(len(keep), device=device)[:, None].expand_as(keep)[keep]
    segments, clips = ids.clone(), torch.zeros_like(ids)
    ids[to], clips[to], segments[to] = tokens.ids[keep], tokens.clips[keep], frames
    shape = (num_rows, capacity)
    segments = segments.reshape(shape)
    mask = segments[:, None, :, None] == segments[:, None, None, :]
    packing = Packing(
        backend="packed_mask",
        counts=tuple(count for count in counts if count),
        offsets=torch.empty(0, dtype=torch.int64),
        mask=mask,
    )
    tokens.notes[_NOTE] = packing
    return replace(
        tokens,
        values=values.reshape(*shape, -1),
        ids=ids.reshape(shape),
        clips=clips.reshape(shape),
        segments=segments,
        num_cls=0,
    )


def _flat(tokens: Tokens, keep: Tensor, counts: list[int], backend: Backend) -> Tokens:
    frames = torch.arange(len(keep), device=keep.device)[:, None].expand_as(keep)[keep]
    tokens.notes[_NOTE] = flat_packing(counts, backend, keep.device)
    return replace(
        tokens,
        values=tokens.values[keep][None],
        ids=tokens.ids[keep][None],
        clips=tokens.clips[keep][None],
        segments=frames[None],
        num_cls=0,
    )


def flat_packing(counts: Sequence[int], backend: Backend, device: torch.device) -> Packing:
    """How tokens lie that are in one row, segment after segment.

    Args:
        counts: Tokens of each segment, in their order; those without any are left out.
        backend: One that `choose_backend` gives, but "packed_mask".
        device: Of the tokens.
    """
    present = [count for count in counts if count]
    offsets = torch.tensor([0, *present]).cumsum(0).to(device)
    return Packing(backend=backend, counts=tuple(present), offsets=offsets)


def attend(
    tokens: Tokens,
    query: Float[Tensor, "rows heads tokens channels"],
    key: Float[Tensor, "rows heads tokens channels"],
    value: Float[Tensor, "rows heads tokens channels"],
) -> Float[Tensor, "rows heads tokens channels"] | None:
    """Attention of every token to those of its own frame, by the back-end that the tokens were packed for.

    Returns:
        None where tokens are not packed.
    """
    packing = packing_of(tokens)
    return None if packing is None else attend_packed(packing, query, key, value)


def packing_of(tokens: Tokens) -> Packing | None:
    """How these tokens lie; None where they are not packed."""
    found: Packing | None = tokens.notes.get(_NOTE)
    return found


def attend_packed(
    packing: Packing,
    query: Float[Tensor, "rows heads tokens channels"],
    key: Float[Tensor, "rows heads tokens channels"],
    value: Float[Tensor, "rows heads tokens channels"],
) -> Float[Tensor, "rows heads tokens channels"]:
    """Attention of every token to those of its own segment."""
    if query.shape[2] == 0:
        return query
    attention = {
        "packed_mask": _by_mask,
        "loop": _by_loop,
        "jagged": _by_nested,
        "flex": _by_flex,
        "varlen": _by_varlen,
    }[packing.backend]
    return attention(packing, query, key, value)


def _by_mask(packing: Packing, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=packing.mask)


def _by_loop(packing: Packing, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """One frame after the other: the definition that the others are tested against."""
    parts = (torch.split(part, list(packing.counts), dim=2) for part in (query, key, value))
    outs = [
        (one_query @ one_key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1) @ one_value
        for one_query, one_key, one_value in zip(*parts, strict=True)
    ]
    return torch.cat(outs, dim=2)


def _by_nested(packing: Packing, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    def nested(part: Tensor) -> Tensor:
        flat = part[0].transpose(0, 1).contiguous()
        return torch.nested.nested_tensor_from_jagged(
            flat, packing.offsets, min_seqlen=min(packing.counts), max_seqlen=max(packing.counts)
        ).transpose(1, 2)

    out = nn.functional.scaled_dot_product_attention(nested(query), nested(key), nested(value))
    return out.transpose(1, 2).values().transpose(0, 1)[None]


def _by_flex(packing: Packing, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    # Only compiled does it skip what is masked; on a processor it is here to be compared with.
    attention = torch.compile(flex_attention, dynamic=True) if query.is_cuda else flex_attention
    sizes = torch.tensor(packing.counts, device=query.device)
    frame_of = torch.arange(len(sizes), device=query.device).repeat_interleave(sizes)
    num_tokens = query.shape[2]
    blocks = create_block_mask(
        lambda _batch, _head, at, to: frame_of[at] == frame_of[to],
        None,
        None,
        num_tokens,
        num_tokens,
        device=query.device,
    )
    out: Any = attention(query, key, value, block_mask=blocks)
    return cast("Tensor", out)


def _by_varlen(packing: Packing, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    edges, widest = packing.offsets.to(torch.int32), max(packing.counts)
    queries, keys, values = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
    out: Any = varlen_attn(queries, keys, values, edges, edges, widest, widest)
    return cast("Tensor", out).transpose(0, 1)[None]
