"""Packed frames give what unpacked ones give, whichever attention runs."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from tubelet.methods.token_pruning.packing import Backend, attend, choose_backend, first_fit, pack
from tubelet.models.token_reduction import PADDING, Tokens

COUNTS = [5, 0, 1, 9, 3, 9, 2]
WITH_GRADIENTS: tuple[Backend, ...] = ("loop", "packed_mask", "jagged")


def frames() -> tuple[Tokens, Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(len(COUNTS), 9, 8, generator=generator)
    ids = torch.arange(9).expand(len(COUNTS), -1) + 9 * torch.arange(len(COUNTS))[:, None]
    order = torch.rand(len(COUNTS), 9, generator=generator).argsort(1).argsort(1)
    keep = order < torch.tensor(COUNTS)[:, None]
    return Tokens(values=values, ids=ids, clips=torch.zeros_like(ids)), keep


def attended(backend: Backend, values: Tensor) -> Tensor:
    """What each kept token gets, by its number."""
    tokens, keep = frames()
    tokens = tokens.with_values(values)
    packed = pack(tokens, keep, backend=backend)
    heads = packed.values.reshape(*packed.values.shape[:2], 2, 4).transpose(1, 2)
    out = attend(packed, heads, heads * 0.7, heads.sin())
    assert out is not None
    flat = out.transpose(1, 2).reshape(*packed.values.shape)
    there = packed.ids >= 0
    return torch.zeros(len(COUNTS) * 9, 8).index_put((packed.ids[there],), flat[there])


@pytest.mark.parametrize("backend", [*WITH_GRADIENTS[1:], "flex"])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:flex_attention called without")
def test_all_attentions_agree(backend: Backend) -> None:
    values = frames()[0].values
    with torch.no_grad():
        torch.testing.assert_close(attended(backend, values), attended("loop", values), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backend", WITH_GRADIENTS[1:])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_all_gradients_agree(backend: Backend) -> None:
    found = []
    for each in ("loop", backend):
        values = frames()[0].values.requires_grad_()
        (attended(each, values).square() * torch.arange(8.0)).sum().backward()
        found.append(values.grad)
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backend", WITH_GRADIENTS)
def test_packing_moves_tokens_and_changes_none(backend: Backend) -> None:
    tokens, keep = frames()
    packed = pack(tokens, keep, backend=backend)
    values, there = packed.on_grid(1, len(COUNTS) * 9)
    assert there[0].tolist() == keep.flatten().tolist()
    torch.testing.assert_close(values[0], (tokens.values * keep[..., None]).flatten(0, 1), atol=0, rtol=0)


@pytest.mark.parametrize("backend", WITH_GRADIENTS)
def test_nothing_to_keep_is_no_error(backend: Backend) -> None:
    tokens, keep = frames()
    packed = pack(tokens, torch.zeros_like(keep), backend=backend)
    assert int((packed.ids >= 0).sum()) == 0
    heads = packed.values.reshape(*packed.values.shape[:2], 2, 4).transpose(1, 2)
    out = attend(packed, heads, heads, heads)
    assert out is not None
    assert bool(out.isfinite().all())


def test_a_frame_is_the_same_whatever_it_is_packed_with() -> None:
    tokens, _ = frames()
    all_of_them = attended("packed_mask", tokens.values).reshape(len(COUNTS), 9, 8)
    other = tokens.values.clone()
    other[:3] = 0
    changed = attended("packed_mask", other).reshape(len(COUNTS), 9, 8)
    torch.testing.assert_close(changed[3:], all_of_them[3:])


def test_refilled_frames_depend_on_their_company() -> None:
    tokens, keep = frames()
    packed = pack(tokens, keep, backend="packed_mask", refill=True)
    # Two frames fill rows of their own, 5, 3 and 1 share one, and the frame with 2 is alone: it has all 9 again.
    assert int((packed.ids >= 0).sum()) == sum(COUNTS) + 7
    with pytest.raises(ValueError, match="refill is only possible with backend 'packed_mask'"):
        pack(tokens, keep, backend="jagged", refill=True)


def fewest_rows(counts: list[int], capacity: int) -> int:
    """By trying everything."""
    best = len(counts)
    for assignment in product(range(len(counts)), repeat=len(counts)):
        loads = [0] * len(counts)
        for count, row in zip(counts, assignment, strict=True):
            loads[row] += count
        if max(loads) <= capacity:
            best = min(best, sum(load > 0 for load in loads))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_first_fit_is_near_the_best_possible(seed: int) -> None:
    counts = torch.randint(1, 10, (6,), generator=torch.Generator().manual_seed(seed)).tolist()
    rows = first_fit(counts, 9)
    assert sorted(frame for row in rows for frame in row) == list(range(6))
    assert all(sum(counts[frame] for frame in row) <= 9 for row in rows)
    assert len(rows) <= 11 / 9 * fewest_rows(counts, 9) + 1


def test_empty_frames_get_no_row_and_large_ones_are_never_cut() -> None:
    assert first_fit([0, 3, 0], 9) == [[1]]
    with pytest.raises(ValueError, match="a frame has 10 tokens and a row takes 9"):
        first_fit([10], 9)


def test_padding_belongs_to_no_frame() -> None:
    tokens, keep = frames()
    packed = pack(tokens, keep, backend="packed_mask")
    assert packed.segments is not None
    assert bool(((packed.ids == PADDING) == (packed.segments == PADDING)).all())


def test_an_attention_that_does_not_run_here_names_one_that_does() -> None:
    cpu = torch.device("cpu")
    assert choose_backend("auto", cpu, torch.float32) == "packed_mask"
    with pytest.raises(RuntimeError, match="'varlen' needs a GPU.* use 'auto' or 'packed_mask'"):
        choose_backend("varlen", cpu, torch.float32)
    with pytest.raises(RuntimeError, match="'flex' has no gradients on a CPU"):
        choose_backend("flex", cpu, torch.float32)
