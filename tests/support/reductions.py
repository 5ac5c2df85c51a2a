"""Token reductions that the tests run through the video transformer: what methods will do, in its smallest form."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor, nn

from tubelet.models.token_reduction import PADDING, Attended, AttentionRows, TokenReduction, Tokens


class KeepAll(TokenReduction):
    """Looks at everything and gathers every token where it stands."""

    def __init__(self, rows: AttentionRows | None = None) -> None:
        self.rows = rows

    def attention_rows(self, block: int) -> AttentionRows | None:
        return self.rows

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        rows, width = tokens.ids.shape
        return tokens.gathered(torch.arange(width).expand(rows, -1))


class RandomPruning(TokenReduction):
    """After one block a random part of the places stays, the same in every row; `mask` hides the keys instead."""

    def __init__(self, num_kept: int, *, after_block: int, seed: int = 0, mask: bool = False) -> None:
        self.num_kept, self.block, self.seed, self.mask = num_kept, after_block, seed, mask

    def kept(self, num_places: int) -> Tensor:
        order = torch.randperm(num_places, generator=torch.Generator().manual_seed(self.seed))
        return order[: self.num_kept].sort().values

    def attention_bias(self, block: int, tokens: Tokens) -> Tensor | None:
        if not self.mask or block <= self.block:
            return None
        hidden = torch.ones(tokens.ids.shape[1], dtype=torch.bool)
        hidden[: tokens.num_cls] = False
        hidden[tokens.num_cls + self.kept(tokens.ids.shape[1] - tokens.num_cls)] = False
        bias = torch.zeros(hidden.shape).masked_fill(hidden, float("-inf"))
        return bias.expand(len(tokens.ids), 1, -1)

    def after_block(self, block: int, tokens: Tokens) -> Tokens:
        if self.mask or block != self.block:
            return tokens
        places = self.kept(tokens.ids.shape[1] - tokens.num_cls) + tokens.num_cls
        columns = torch.cat([torch.arange(tokens.num_cls), places])
        return tokens.gathered(columns.expand(len(tokens.ids), -1))


class ContrastivePruning(TokenReduction):
    """By the attention of two CLS tokens, after the attention and before the MLP; what goes is fused into one token.

    Source: EViT (arXiv:2202.07800) for the fused token.
    """

    def __init__(self, blocks: Collection[int], *, keep: float, contrast: float = 0.5, fuse: bool = True) -> None:
        self.blocks, self.keep, self.contrast, self.fuse = blocks, keep, contrast, fuse

    def attention_rows(self, block: int) -> AttentionRows | None:
        return "cls" if block in self.blocks else None

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        if block not in self.blocks:
            return tokens
        shares = attended.weights.mean(1)[:, :, tokens.num_cls :]
        shares = shares / shares.sum(-1, keepdim=True)
        scores = shares[:, 0] - self.contrast * shares[:, 1]
        tokens.notes.setdefault("scores", []).append(scores)
        order = scores.argsort(dim=1, descending=True, stable=True)
        count = -int(-self.keep * order.shape[1] // 1)
        kept, removed = order[:, :count].sort(1).values, order[:, count:]
        places = tokens.values[:, tokens.num_cls :]
        gone = places.gather(1, removed[..., None].expand(-1, -1, places.shape[-1]))
        fused = (shares[:, 0].gather(1, removed)[..., None] * gone).sum(1, keepdim=True)
        leading = torch.arange(tokens.num_cls).expand(len(kept), -1)
        shorter = tokens.gathered(torch.cat([leading, kept + tokens.num_cls], dim=1))
        return shorter.appended(fused) if self.fuse else shorter


class IsolatedCls(TokenReduction):
    """CLS tokens may not attend to one another: a bias of pairs."""

    def attention_bias(self, block: int, tokens: Tokens) -> Tensor:
        width = tokens.ids.shape[1]
        bias = torch.zeros(width, width)
        bias[: tokens.num_cls, : tokens.num_cls] = float("-inf")
        bias.fill_diagonal_(0)
        return bias.expand(len(tokens.ids), -1, -1)


class ScoredPruning(nn.Module, TokenReduction):
    """Scores groups after one block, biases the keys of the next by the score, then removes the lowest and packs.

    Rows are the frames of all clips. `pack` "pad" fills short frames up, "bins" puts several frames into one row by
    first fit, longest first, "loop" runs the attention of every frame by itself.

    Source: the order of steps of STTS (arXiv:2603.18004), with groups of one token.
    """

    def __init__(
        self, channels: int, *, after_block: int, num_removed: int, pack: str = "pad", bias: bool = True
    ) -> None:
        super().__init__()
        self.score = nn.Linear(channels, 1)
        self.block, self.num_removed, self.pack, self.bias = after_block, num_removed, pack, bias

    def after_block(self, block: int, tokens: Tokens) -> Tokens:
        if block == self.block:
            tokens.notes["score"] = self.score(tokens.values)[..., 0].sigmoid()
        if block != self.block + 1:
            return tokens
        scores = tokens.notes["score"].detach().flatten()
        keep = torch.ones_like(scores, dtype=torch.bool)
        keep[scores.argsort(stable=True)[: self.num_removed]] = False
        keep = keep.reshape(tokens.ids.shape)
        return _packed(tokens, keep) if self.pack != "pad" else tokens.compacted(keep)

    def attention_bias(self, block: int, tokens: Tokens) -> Tensor | None:
        if block != self.block + 1 or not self.bias:
            return None
        scores = tokens.notes["score"]
        low, high = scores.amin(1, keepdim=True), scores.amax(1, keepdim=True)
        floor = torch.exp(torch.tensor(-2.0))
        return (floor + (1 - floor) * (scores - low) / (high - low + 1e-6)).log()[:, None]

    def attend(self, block: int, tokens: Tokens, query: Tensor, key: Tensor, value: Tensor) -> Tensor | None:
        if self.pack != "loop" or tokens.segments is None:
            return None
        out = torch.zeros_like(query)
        for row, segments in enumerate(tokens.segments):
            for number in segments.unique().tolist():
                at = (segments == number).nonzero()[:, 0]
                weights = (query[row][:, at] * query.shape[-1] ** -0.5 @ key[row][:, at].transpose(-1, -2)).softmax(-1)
                out[row, :, at] = weights @ value[row][:, at]
        return out


def _packed(tokens: Tokens, keep: Tensor) -> Tokens:
    """Frames with their kept tokens, several in one row where they fit."""
    capacity = keep.shape[1]
    bins: list[list[int]] = []
    counts = keep.sum(1).tolist()
    for frame in sorted((frame for frame, count in enumerate(counts) if count), key=lambda frame: -counts[frame]):
        for members in bins:
            if sum(counts[member] for member in members) + counts[frame] <= capacity:
                members.append(frame)
                break
        else:
            bins.append([frame])
    columns = [
        [(frame, place) for frame in members for place in keep[frame].nonzero()[:, 0].tolist()] for members in bins
    ]
    width = tokens.values.shape[-1]
    values = tokens.values.new_zeros(len(bins), capacity, width)
    ids = torch.full((len(bins), capacity), PADDING)
    clips, segments = torch.zeros_like(ids), torch.full_like(ids, PADDING)
    for row, taken in enumerate(columns):
        frames, places = torch.tensor(taken).T
        values[row, : len(taken)] = tokens.values[frames, places]
        ids[row, : len(taken)], clips[row, : len(taken)] = tokens.ids[frames, places], tokens.clips[frames, places]
        segments[row, : len(taken)] = frames
    return replace(tokens, values=values, ids=ids, clips=clips, segments=segments, num_cls=0)


class Merging(TokenReduction):
    """In every block the most similar pairs of keys become one token, weighted by how many places it stands for.

    Source: ToMe (Bolya et al. 2023, arXiv:2210.09461): bipartite matching and proportional attention.
    """

    def __init__(self, num_merged: int) -> None:
        self.num_merged = num_merged

    def attention_bias(self, block: int, tokens: Tokens) -> Tensor | None:
        sizes = tokens.notes.get("sizes")
        return None if sizes is None else sizes.log()[:, None]

    def after_attention(self, block: int, tokens: Tokens, attended: Attended) -> Tokens:
        sizes = tokens.notes.get("sizes", torch.ones_like(tokens.values[..., 0]))
        metric = nn.functional.normalize(attended.keys.mean(1), dim=-1)
        alike = metric[:, ::2] @ metric[:, 1::2].transpose(-1, -2)
        best, partner = alike.max(-1)
        order = best.argsort(dim=1, descending=True)
        merged, kept = order[:, : self.num_merged], order[:, self.num_merged :].sort(1).values
        weighted = tokens.values * sizes[..., None]
        even, odd = weighted[:, ::2], weighted[:, 1::2]
        goes = partner.gather(1, merged)
        width = even.shape[-1]
        odd = odd.scatter_add(
            1, goes[..., None].expand(-1, -1, width), even.gather(1, merged[..., None].expand(-1, -1, width))
        )
        odd_sizes = sizes[:, 1::2].scatter_add(1, goes, sizes[:, ::2].gather(1, merged))
        columns = torch.cat([kept * 2, torch.arange(1, sizes.shape[1], 2).expand(len(kept), -1)], dim=1)
        shorter = tokens.gathered(columns)
        new_sizes = torch.cat([sizes[:, ::2].gather(1, kept), odd_sizes], dim=1)
        values = torch.cat([even.gather(1, kept[..., None].expand(-1, -1, width)), odd], dim=1) / new_sizes[..., None]
        shorter.notes["sizes"] = new_sizes
        return shorter.with_values(values)


class FrameDropping(TokenReduction):
    """Only some time steps enter the first block."""

    def __init__(self, steps: Collection[int], *, places_per_step: int) -> None:
        self.steps, self.places = torch.tensor(sorted(steps)), places_per_step

    def start(self, tokens: Tokens) -> Tokens:
        step = tokens.ids[0] // self.places
        columns = torch.isin(step, self.steps).nonzero()[:, 0]
        return tokens.gathered(columns.expand(len(tokens.ids), -1))
