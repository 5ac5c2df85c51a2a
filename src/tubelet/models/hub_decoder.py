"""A published causal language model as the second half of a video-language model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tubelet.errors import MissingExtraError
from tubelet.models.language_decoder import Decoded, LayerReduction, TextDecoder
from tubelet.weights import SMOLLM2_135M, fetch

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase


class HubDecoder(TextDecoder):
    """Puts a model of transformers behind the interface of `TextDecoder`.

        decoder = HubDecoder(LlamaForCausalLM.from_pretrained(folder))

    Args:
        model: One that reads `inputs_embeds` and a mask of pairs, as those of the Llama family do (SmolLM2, Qwen).
        is_frozen: Whether it stays as it is. Then its weights are neither parameters nor state of this module: a
            training leaves them alone, and a checkpoint does not hold what was published.
    """

    def __init__(self, model: PreTrainedModel, *, is_frozen: bool = False) -> None:
        super().__init__()
        self.model: Any  # transformers has no types for what is called here
        if is_frozen:
            self.__dict__["model"] = model  # out of sight of nn.Module
            self.model.eval().requires_grad_(requires_grad=False)
        else:
            self.model = model
        self.width = int(model.config.hidden_size)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> HubDecoder:
        """Moves a frozen model along to another device or precision."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if "model" not in self._modules:
            held: Any = self.model
            held._apply(fn)
        return self

    def embed(self, ids: Int64[Tensor, " tokens"]) -> Float[Tensor, "tokens channels"]:
        """The embeddings of text tokens."""
        found: Tensor = self.model.get_input_embeddings()(ids)
        return found

    def logits(self, hidden: Float[Tensor, "*rows channels"]) -> Float[Tensor, "*rows vocabulary"]:
        """What comes next, for hidden states after the last layer."""
        said: Tensor = self.model.get_output_embeddings()(hidden)
        return said

    def new_cache(self) -> DynamicCache:
        """An empty cache."""
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    def forward(
        self,
        embeddings: Float[Tensor, "batch tokens channels"],
        allowed: Bool[Tensor, "batch tokens keys"],
        positions: Int64[Tensor, "batch tokens"],
        *,
        cache: Any | None = None,  # noqa: ANN401 - as in `TextDecoder`
        reduction: LayerReduction | None = None,
        kinds: Int64[Tensor, "batch tokens"] | None = None,
    ) -> Decoded:
        """Hidden states; arguments as in `TextDecoder`.

        Raises:
            ValueError: A reduction is given: the layers of these models cannot be interrupted.
        """
        del kinds
        if reduction is not None:
            raise ValueError(
                f"{type(self.model).__name__} cannot drop tokens between its layers; take `LanguageDecoder`, or reduce "
                "tokens in the video transformer"
            )
        # Some attention kernels add the mask, others select by it: numbers suit both.
        lowest = torch.finfo(embeddings.dtype).min
        mask = torch.zeros_like(allowed, dtype=embeddings.dtype).masked_fill(~allowed, lowest)
        out = self.model.get_decoder()(
            inputs_embeds=embeddings,
            attention_mask=mask[:, None],
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        columns = torch.arange(embeddings.shape[1], device=embeddings.device).expand(len(embeddings), -1)
        return Decoded(hidden=out.last_hidden_state, columns=columns)


class HubTokenizer:
    """Puts a tokenizer of transformers behind the interface of `TextTokenizer`.

    Args:
        tokenizer: With a token that ends a text.

    Attributes:
        end_id: Number of that token.
        vocabulary_size: Numbers that there are.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if tokenizer.eos_token_id is None:
            raise ValueError(f"{type(tokenizer).__name__} has no token that ends a text; give it an eos_token")
        self._tokenizer: Any = tokenizer
        self.end_id = int(tokenizer.eos_token_id)
        self.vocabulary_size = len(tokenizer)

    def encode(self, text: str, *, end: bool = False) -> list[int]:
        """The numbers of a text, with the end token behind it if asked for."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids + [self.end_id] * end

    def decode(self, ids: Iterable[int]) -> str:
        """The text of numbers, up to the first end token."""
        said = list(takewhile(lambda number: number != self.end_id, ids))
        text: str = self._tokenizer.decode(said)
        return text


def smollm2(*, is_frozen: bool = False, notify: Callable[[str], None] | None = None) -> tuple[HubDecoder, HubTokenizer]:
    """SmolLM2 with 135 million parameters as a decoder, and its tokenizer: answers are words from the start.

    The file holds weights of 4 bits; they become 32-bit numbers when they are read, which takes a minute.

    Args:
        is_frozen: As for `HubDecoder`.
        notify: Told what is fetched.

    Raises:
        MissingExtraError: transformers, gguf or accelerate is not installed.
        WeightsError: The file cannot be had.

    Source: SmolLM2-135M-Instruct (Allal et al. 2025, arXiv:2502.02737).
    """
    try:
        import accelerate  # noqa: F401 - transformers asks for it when it reads such files
        import gguf  # noqa: F401
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError(
            f"SmolLM2 needs {error.name}, which is not installed; run `pip install tubelet[language]`"
        ) from error
    path = fetch(SMOLLM2_135M, notify=notify)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    return HubDecoder(model, is_frozen=is_frozen), HubTokenizer(tokenizer)
