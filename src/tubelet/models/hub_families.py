"""The architectures of published models that are known, and reading one of them with transformers."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int64
from safetensors import SafetensorError
from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.models.checkpoint_files import some_names
from tubelet.models.hub_files import missing_hub_extra

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class Family:
    """What differs between architectures.

    Attributes:
        title: What people call it.
        model: Class in transformers.
        config: Class of its configuration.
        blocks: What the names of the blocks' parameters begin with, up to their number.
        frames: Where the configuration says the number of frames.
        size: Where it says the side of the pictures.
        head: Beginnings of the names that a fresh head brings new values for.
        unused: Parts that a classifier never calls.
        reads_sentences: Beginnings of the names of what only reads sentences.
        inputs: Name of the argument that takes the video.
        offset: Whether pictures are lowered by 1 after rescaling unless their settings say otherwise.
    """

    title: str
    model: str
    config: str
    blocks: str
    frames: str = "num_frames"
    size: str = "image_size"
    head: tuple[str, ...] = ("classifier.",)
    unused: tuple[str, ...] = ()
    reads_sentences: tuple[str, ...] = ()
    inputs: str = "pixel_values"
    offset: bool = False


FAMILIES = {
    "videomae": Family(
        title="VideoMAE",
        model="VideoMAEForVideoClassification",
        config="VideoMAEConfig",
        blocks=r"videomae\.encoder\.layer\.",
        head=("classifier.", "fc_norm."),
    ),
    "timesformer": Family(
        title="TimeSformer",
        model="TimesformerForVideoClassification",
        config="TimesformerConfig",
        blocks=r"timesformer\.encoder\.layer\.",
    ),
    "vivit": Family(
        title="ViViT",
        model="VivitForVideoClassification",
        config="VivitConfig",
        blocks=r"vivit\.layers\.",
        offset=True,
    ),
    "vjepa2": Family(
        title="V-JEPA 2",
        model="VJEPA2ForVideoClassification",
        config="VJEPA2Config",
        frames="frames_per_clip",
        size="crop_size",
        blocks=r"vjepa2\.encoder\.layer\.",
        head=("classifier.", "pooler."),
        unused=("vjepa2.predictor",),
        inputs="pixel_values_videos",
    ),
    "xclip": Family(
        title="X-CLIP",
        model="XCLIPModel",
        config="XCLIPConfig",
        frames="vision_config.num_frames",
        size="vision_config.image_size",
        blocks=r"(?:vision_model|text_model)\.encoder\.layers\.",
        head=(),
        reads_sentences=("text_model.", "text_projection.", "prompts_", "logit_scale"),
    ),
}


def num_frames(config: PretrainedConfig, family: str) -> int:
    """How many frames a model takes.

    Raises:
        WeightsError: Its configuration says no number.
    """
    found = _setting(config, FAMILIES[family].frames)
    if not isinstance(found, int):
        raise WeightsError(f"{FAMILIES[family].title}: {FAMILIES[family].frames} is {found}; needed: a number")
    return found


def has_size(config: PretrainedConfig, family: str, size_px: tuple[int, int]) -> bool:
    """Whether a model takes pictures of this height and width."""
    given = _setting(config, FAMILIES[family].size)
    return size_px == ((given, given) if isinstance(given, int) else tuple(given))


def read_network(
    where: str, folder: Path, family: str, *, num_labels: int, new_head: bool
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """A model from a folder, and the names of the parameters that its weights did not set.

    Args:
        where: What the user called it.
        folder: With config.json and safetensors.
        family: A key of `FAMILIES`.
        num_labels: Classes of its head.
        new_head: Whether the head need not be in the weights.

    Raises:
        WeightsError: The configuration or the weights cannot be read, or do not belong together.
        ConfigError: The head in the weights has another number of classes.
        MissingExtraError: transformers is not installed.
    """
    about = FAMILIES[family]
    transformers = transformers_module(where)
    with silent():
        try:
            config = getattr(transformers, about.config).from_pretrained(folder, local_files_only=True)
            if about.head:
                config.num_labels = num_labels
            network, said = getattr(transformers, about.model).from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,  # judged below, by name
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise WeightsError(
                f"{where}: cannot be read as {about.title} ({first}); copy it again, all files of one revision"
            ) from error
    shapes = {name: (tuple(theirs), tuple(ours)) for name, theirs, ours in said["mismatched_keys"]}
    fresh = sorted({*said["missing_keys"], *shapes})
    _require_complete(where, about, fresh, shapes, new_head)
    return network, tuple(fresh)


def _require_complete(
    where: str,
    about: Family,
    fresh: Sequence[str],
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
    new_head: bool,
) -> None:
    """Nothing may keep random values but a head that is to be trained."""
    bad = [name for name in fresh if not (new_head and about.head and name.startswith(about.head))]
    if not bad:
        return
    theirs, ours = shapes.get("classifier.bias", ((0,), (0,)))
    if theirs != ours and not new_head:
        raise wrong_count(where, theirs[0], ours[0])
    if bad[0] in shapes:
        theirs, ours = shapes[bad[0]]
        raise WeightsError(
            f"{where}: {bad[0]} is {theirs} in its weights and {ours} by its config.json; they do not belong together"
        )
    hint = (
        "give classes and new_head=True to train a head"
        if about.head and bad[0].startswith(about.head)
        else "copy it again"
    )
    raise WeightsError(
        f"{where}: its weights lack {some_names(bad)}, so it is no {about.title} classifier as it is; {hint}"
    )


def wrong_count(where: str, num_classes: int, num_names: int) -> ConfigError:
    """The error for names that are not as many as the head has classes."""
    return ConfigError(
        f"{where}: its head has {num_classes} classes and {num_names} names were given; give {num_classes}, or "
        "new_head=True to train a fresh head"
    )


def fresh_network(family: str, config: Mapping[str, Any]) -> PreTrainedModel:
    """A model with random weights.

    Args:
        family: A key of `FAMILIES`.
        config: What its config.json says.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    transformers = transformers_module(FAMILIES[family].title)
    made = getattr(transformers, FAMILIES[family].config).from_dict(dict(config))
    network: PreTrainedModel = getattr(transformers, FAMILIES[family].model)._from_config(made)
    return network


def tokenised(
    where: str, folder: Path, config: PretrainedConfig, sentences: Sequence[str]
) -> tuple[Int64[Tensor, "sentences length"], Int64[Tensor, "sentences length"]]:
    """Sentences as tokens of a zero-shot model, and which of them are not padding.

    Raises:
        WeightsError: The model's tokeniser cannot be read.
        ConfigError: A sentence is longer than the model can read.
    """
    transformers = transformers_module(where)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise WeightsError(
            f"{where}: has no tokenizer.json and no vocab.json, so sentences cannot be read; copy them too"
        )
    with silent():
        try:
            tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{where}: its tokeniser cannot be read ({error}); copy its files again") from error
        found = tokenizer(list(sentences), padding=True, return_tensors="pt")
    ids, mask = found["input_ids"], found["attention_mask"]
    longest = int(config.text_config.max_position_embeddings)
    if ids.shape[1] > longest:
        worst = sentences[int(mask.sum(1).argmax())]
        raise ConfigError(
            f"{worst!r} is {ids.shape[1]} tokens long; {where} reads {longest} at most; use a shorter sentence"
        )
    return ids, mask


def _setting(config: PretrainedConfig, name: str) -> int | list[int]:
    found: Any = config
    for part in name.split("."):
        found = getattr(found, part)
    value: int | list[int] = found
    return value


def transformers_module(what: str) -> ModuleType:
    """The package, imported when it is needed.

    Args:
        what: That needs it.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise missing_hub_extra(what) from error


@contextmanager
def silent() -> Iterator[None]:
    """Without the progress bar and the report of transformers; what matters in the report becomes an error."""
    logging = importlib.import_module("transformers.utils.logging")
    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()
