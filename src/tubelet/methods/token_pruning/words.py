"""How questions and answers are written for the language model that reads them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tubelet.methods.token_pruning.recipes import DecoderName
from tubelet.models.text_tokens import CHARACTERS, CharacterTokenizer

if TYPE_CHECKING:  # it brings transformers
    from tubelet.models.hub_decoder import HubDecoder, HubTokenizer

_WRITTEN_AS = {
    **dict.fromkeys('‘’‚`´“”„"', "'"),
    **dict.fromkeys("‐‑‒–—−_", "-"),
    **dict.fromkeys("\t\n\r\u00a0", " "),
    **dict.fromkeys("[{", "("),
    **dict.fromkeys("]}", ")"),
    "…": "...",
    "&": " and ",
    "%": " percent",
    "×": " x ",
    "\\": "/",
}
"""What characters outside of the vocabulary become; letters lose their accents besides."""


@dataclass(frozen=True)
class Words:
    """A vocabulary, and the form in which its language model is asked.

    Attributes:
        tokenizer: Of the language model.
        is_plain: Whether it knows small letters without accents alone (`plain_text`), and is asked without a form.
    """

    tokenizer: CharacterTokenizer | HubTokenizer
    is_plain: bool

    def written(self, text: str) -> str:
        """A text as it is asked or answered.

        Raises:
            ValueError: It has characters that the vocabulary has nothing for.
        """
        return plain_text(text) if self.is_plain else " ".join(text.split())

    def question(self, text: str) -> tuple[int, ...]:
        """Token ids of a written question."""
        return tuple(self.tokenizer.encode(text if self.is_plain else f"Question: {text}\nAnswer:"))

    def answer(self, text: str) -> tuple[int, ...]:
        """Token ids of a written answer, with the end token."""
        return tuple(self.tokenizer.encode(text if self.is_plain else f" {text}", end=True))


PLAIN = Words(CharacterTokenizer(), is_plain=True)
"""One token for each character."""


def words_of(decoder: DecoderName) -> Words:
    """The vocabulary of a language model.

    Raises:
        MissingExtraError: A library for it is not installed.
        WeightsError: Its file cannot be had.
    """
    return PLAIN if decoder == "characters" else Words(published_decoder()[1], is_plain=False)


@cache
def published_decoder() -> tuple[HubDecoder, HubTokenizer]:
    """SmolLM2, which stays as it was published; read once, as that takes a minute.

    Raises:
        MissingExtraError: A library for it is not installed.
        WeightsError: Its file cannot be had.
    """
    from tubelet.models.hub_decoder import smollm2

    return smollm2(is_frozen=True)


def plain_text(text: str) -> str:
    """A text in small letters, without accents, with characters replaced that the vocabulary has others for.

    Args:
        text: Any.

    Raises:
        ValueError: A character is left that is not in the vocabulary.
    """
    written = "".join(_WRITTEN_AS.get(character, character) for character in text)
    bare = "".join(each for each in unicodedata.normalize("NFKD", written) if not unicodedata.combining(each))
    plain = " ".join(bare.lower().split())
    unknown = sorted(set(plain) - set(CHARACTERS))
    if unknown:
        raise ValueError(f"{text!r} has {unknown}, which the vocabulary has nothing for; allowed: {CHARACTERS!r}")
    return plain
