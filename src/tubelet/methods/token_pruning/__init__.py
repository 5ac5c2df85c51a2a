"""Half the tokens, nearly the same answers: patches that add nothing are removed inside the vision transformer.

A small network scores every group of patches after a few blocks, taught by how much the group changes from frame to
frame and, through the attention, by the task. The lowest of the whole clip go: the later blocks and the language model
never see them. Other ways of removing tokens run under the same budget and the same clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tubelet.runs.card import Card

if TYPE_CHECKING:
    from tubelet.methods.token_pruning.pruned import wrap

CARD = Card(
    name="token_pruning",
    title="remove tokens inside video transformers and video-language models",
    problem="Given a video transformer or a video-language model and a budget, remove visual tokens so that answers "
    "stay and time and memory fall.",
    source="arXiv:2603.18004",
    licence="Apache-2.0",
    scope="Training with removal, and removal without training, on the toolkit's own networks and on Hugging Face "
    "video-language models; measured at small sizes on a CPU.",
)
__all__ = ["CARD", "wrap"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """`wrap`, imported when it is asked for, so that listing methods imports no torch."""
    if name == "wrap":
        from tubelet.methods.token_pruning.pruned import wrap

        return wrap
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
