"""A method's card says something in every field."""

from __future__ import annotations

import dataclasses

import pytest

from tubelet.methods.recognition import CARD
from tubelet.runs.card import Card


def test_a_field_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Card\.scope is empty; every field of a card says something"):
        Card(name="a", title="b", problem="c", source="own", licence="MIT", scope=" ")


def test_the_card_of_recognition_is_for_its_folder() -> None:
    assert CARD.name == "recognition"
    assert all(dataclasses.asdict(CARD).values())
