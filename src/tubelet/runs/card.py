"""What a method is, in a few lines that can be read without importing what it needs."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Card:
    """A method in a few lines: the `CARD` of `tubelet.methods.NAME`.

    Attributes:
        name: Name of its folder.
        title: What it does, in one line.
        problem: The question that it answers, in a sentence or two.
        source: The paper that it follows, or "own".
        licence: SPDX identifier of its code and of the weights that the project trained for it.
        scope: What it covers and what it does not.
    """

    name: str
    title: str
    problem: str
    source: str
    licence: str
    scope: str

    def __post_init__(self) -> None:
        empty = [each.name for each in fields(self) if not getattr(self, each.name).strip()]
        if empty:
            raise ValueError(f"Card.{empty[0]} is empty; every field of a card says something")
