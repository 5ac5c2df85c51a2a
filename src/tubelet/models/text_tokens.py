"""Text as numbers: a vocabulary of single characters, and what a language model needs of any vocabulary."""

from __future__ import annotations

import string
from collections.abc import Iterable
from typing import Protocol

CHARACTERS = string.ascii_lowercase + string.digits + " .,:;?!'-+()/"


class TextTokenizer(Protocol):
    """What turns text into numbers and back.

    Attributes:
        vocabulary_size: Numbers that there are.
    """

    vocabulary_size: int

    def encode(self, text: str) -> list[int]:
        """The numbers of a text."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of numbers."""
        ...


class CharacterTokenizer:
    """One number for each character.

    Args:
        characters: Those that there are, each once.

    Attributes:
        end_id: Number of the token that ends an answer; it stands for no character.
        vocabulary_size: Numbers that there are: the characters and the end.
    """

    def __init__(self, characters: str = CHARACTERS) -> None:
        twice = sorted({character for character in characters if characters.count(character) > 1})
        if twice or not characters:
            raise ValueError(f"characters is {characters!r}; allowed: at least one, each once; {twice} is there twice")
        self.characters = characters
        self.end_id = 0
        self.vocabulary_size = len(characters) + 1
        self._ids = {character: number for number, character in enumerate(characters, start=1)}

    def encode(self, text: str, *, end: bool = False) -> list[int]:
        """The numbers of a text.

        Args:
            text: Of the vocabulary's characters.
            end: Put the end token behind it.

        Raises:
            ValueError: A character is not in the vocabulary.
        """
        unknown = sorted(set(text) - set(self._ids))
        if unknown:
            raise ValueError(
                f"{text!r} has characters that are not in the vocabulary: {unknown}; allowed: {self.characters!r}"
            )
        return [self._ids[character] for character in text] + [self.end_id] * end

    def decode(self, ids: Iterable[int]) -> str:
        """The text of numbers, up to the first end token.

        Raises:
            ValueError: A number stands for nothing.
        """
        text = ""
        for number in ids:
            if number == self.end_id:
                break
            if not 0 < number < self.vocabulary_size:
                raise ValueError(f"{number} stands for no character; allowed: 0 to {self.vocabulary_size - 1}")
            text += self.characters[number - 1]
        return text
