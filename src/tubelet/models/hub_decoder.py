"""A published causal language model as the second half of a video-language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tubelet.models.language_decoder import Decoded, LayerReduction, TextDecoder

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel


class HubDecoder(TextDecoder):
    """Puts a model of transformers behind the interface of `TextDecoder`.

        decoder = HubDecoder(LlamaForCausalLM.from_pretrained(folder))

    Args:
        model: One that reads `inputs_embeds` and a mask of pairs, as those of the Llama family do (SmolLM2, Qwen).
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model: Any = model  # transformers has no types for what is called here
        self.width = int(model.config.hidden_size)

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
