from __future__ import annotations

import itertools
import math

import pytest

from tubelet.training.schedule import cosine, step_decay


def test_cosine_rises_in_a_line_and_falls_along_half_a_wave() -> None:
    factors = [cosine(step, num_steps=14, num_warmup_steps=4) for step in range(15)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[9] == pytest.approx(0.5)
    assert factors[14] == 0.0
    assert all(before > after for before, after in itertools.pairwise(factors[4:]))


def test_cosine_ends_at_its_final_factor_and_stays() -> None:
    assert cosine(10, num_steps=10, final_factor=0.1) == pytest.approx(0.1)
    assert cosine(99, num_steps=10, final_factor=0.1) == pytest.approx(0.1)
    assert cosine(5, num_steps=10, final_factor=0.1) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2)
    assert cosine(0, num_steps=0) == 1.0


def test_steps_drop_at_milestones() -> None:
    factors = [step_decay(step, milestones=[3, 5], factor=0.5, num_warmup_steps=1) for step in range(7)]
    assert factors == [0.5, 1, 1, 0.5, 0.5, 0.25, 0.25]


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_warmup_steps is 11; allowed: 0 to num_steps \(10\)"):
        cosine(0, num_steps=10, num_warmup_steps=11)
    with pytest.raises(ValueError, match=r"milestones are \[5, 3\]; allowed: rising steps"):
        step_decay(0, milestones=[5, 3])
