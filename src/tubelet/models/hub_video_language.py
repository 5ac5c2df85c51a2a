"""Published video-language models of others, as transformers has them.

    model = load_hub_video_language("Qwen/Qwen2.5-VL-3B-Instruct")  # a hub id or a folder

Weights are read from safetensors alone, no code of a repository is ever run, and with `TUBELET_OFFLINE` set nothing is
fetched.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError

from tubelet.errors import WeightsError
from tubelet.models.checkpoint_files import some_names
from tubelet.models.hub_families import silent, transformers_module
from tubelet.models.hub_files import model_folder, read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VIDEO_LANGUAGE_MODELS = {
    "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
    "qwen3_vl": "Qwen3VLForConditionalGeneration",
    "qwen3_vl_moe": "Qwen3VLMoeForConditionalGeneration",
    "llava_onevision": "LlavaOnevisionForConditionalGeneration",
    "video_llava": "VideoLlavaForConditionalGeneration",
    "molmo2": "Molmo2ForConditionalGeneration",
}
"""Class in transformers of each `model_type` that is known."""


def load_hub_video_language(
    source: str | os.PathLike[str], *, revision: str | None = None, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """A published Qwen-VL, LLaVA-OneVision, Video-LLaVA or Molmo2.

    Args:
        source: A folder as transformers' `save_pretrained` writes it, or a hub id such as `owner/name`.
        revision: Branch, tag or commit on the hub.
        dtype: Of the weights in memory.

    Returns:
        The model of transformers in eval mode, on the CPU. Its processor is the user's own business: those for videos
        need torchvision.

    Raises:
        WeightsError: The model cannot be found or brought, is of no known architecture, has no safetensors, or its
            weights do not fit its own configuration.
        MissingExtraError: transformers is not installed.
    """
    folder, where = model_folder(source, revision=revision), os.fspath(source)
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in VIDEO_LANGUAGE_MODELS:
        raise WeightsError(
            f"{where}: its config.json says model_type {kind!r}; known video-language models are "
            f"{', '.join(VIDEO_LANGUAGE_MODELS)}"
        )
    transformers, name = transformers_module(where), VIDEO_LANGUAGE_MODELS[kind]
    if not hasattr(transformers, name):
        raise WeightsError(
            f"{where}: transformers {transformers.__version__} has no {name}; install a newer one (5.23 has it)"
        )
    with silent():
        try:
            model, said = getattr(transformers, name).from_pretrained(
                folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise WeightsError(
                f"{where}: cannot be read as {name} ({first}); copy it again, all files of one revision"
            ) from error
    if said["missing_keys"]:
        raise WeightsError(
            f"{where}: its weights lack {some_names(sorted(said['missing_keys']))}, so it is no {name} as it is; copy "
            "it again, all files of one revision"
        )
    loaded: PreTrainedModel = model.eval()
    return loaded
