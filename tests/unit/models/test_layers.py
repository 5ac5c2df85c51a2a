"""The small shared layers."""

from __future__ import annotations

import pytest
import torch

from tubelet.models.layers import DropPath, Mlp


def test_drop_path_leaves_whole_rows_out_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    out = DropPath(0.25).train()(torch.ones(4000, 3, 2))
    rows = out.flatten(1)
    assert bool(((rows == 0).all(1) | torch.isclose(rows, torch.tensor(4 / 3)).all(1)).all())
    assert float(out.mean()) == pytest.approx(1.0, abs=0.03)


def test_drop_path_does_nothing_in_evaluation_or_at_rate_0() -> None:
    x = torch.randn(8, 3)
    assert DropPath(0.5).eval()(x) is x
    assert DropPath(0.0).train()(x) is x


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=f"rate is {rate:g}; allowed: at least 0 and below 1"):
        DropPath(rate)


def test_the_mlp_is_two_layers_with_a_gelu() -> None:
    torch.manual_seed(0)
    mlp, x = Mlp(4, 10).eval(), torch.randn(3, 4)
    hidden = x @ mlp.fc1.weight.T + mlp.fc1.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(mlp(x), hidden @ mlp.fc2.weight.T + mlp.fc2.bias)
