"""What `tubelet token_pruning bench` can measure: runs, video transformers, published video-language models."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tubelet.configs import suggestion
from tubelet.errors import ConfigError, WeightsError
from tubelet.methods.token_pruning.evaluate import share_right
from tubelet.methods.token_pruning.language import PrunedVideoLanguage
from tubelet.methods.token_pruning.measure import answered
from tubelet.methods.token_pruning.pruned import wrap
from tubelet.methods.token_pruning.pruning import GROUP_METHODS, METHODS
from tubelet.methods.token_pruning.questions import open_source
from tubelet.methods.token_pruning.switched import require_method, with_method
from tubelet.methods.token_pruning.train import MODEL_FILE, load
from tubelet.models.token_merging import TokenMerging
from tubelet.models.vit import VideoViT, VitOptions, vit_base, vit_small, vit_tiny
from tubelet.runs import Metric
from tubelet.training.weights_files import load_weights

SIZES: dict[str, Callable[..., VideoViT]] = {"vit_tiny": vit_tiny, "vit_small": vit_small, "vit_base": vit_base}
Weights = Literal["trained", "random", "published"]
_HEAD_CHANNELS = 64  # of every transformer that the recipes train
_NUM_CLASSES = 400  # of a transformer with random weights; it hardly matters to time
_ONLY_COSTS = "time and memory only"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What passes look like where the model leaves it open.

    Attributes:
        clips: Clips in a pass; None for what suits the model.
        num_frames: Of a clip.
        size_px: Side of a frame.
        questions: How many test questions are answered; None for all.
        seed: Of pictures and weights that are drawn.
    """

    clips: int | None = None
    num_frames: int = 16
    size_px: int = 224
    questions: int | None = None
    seed: int = 0


class Subject(ABC):
    """A model whose tokens are removed, with something for it to look at.

    Attributes:
        title: What it is, in words.
        weights: Where its weights come from.
        about: What has to be said of the numbers.
        methods: Ways of removing tokens that are possible with it.
        suggested: Those that are measured where none is named.
        facts: Sizes, for the record.
    """

    title: str
    weights: Weights
    about: str
    methods: tuple[str, ...]
    suggested: tuple[str, ...]
    facts: dict[str, Any]

    @abstractmethod
    def wrapped(self, method: str) -> nn.Module:
        """The model with a way of removing tokens, in evaluation mode."""

    @abstractmethod
    def look(self, module: nn.Module, remove: float) -> Any:  # noqa: ANN401 - each kind has its own output
        """One pass."""

    @abstractmethod
    def kept_share(self, method: str, output: Any, remove: float) -> float:  # noqa: ANN401
        """Visual tokens that are left where the method is done, as a share of all of them."""

    def accuracy(self, module: nn.Module, remove: float) -> Metric | None:
        """Of its answers; None where there are no questions."""
        del module, remove
        return None

    @abstractmethod
    def moved(self, device: torch.device) -> None:
        """Brings model and pictures to a device."""


class RunSubject(Subject):
    """A run of `tubelet train token_pruning:RECIPE`, which reads clips of its test part and answers questions.

    Args:
        folder: Of the run.
        sizes: Clips of a pass, and how many questions.

    Raises:
        WeightsError: There is no trained model.
    """

    methods = METHODS

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.trained, self.config = load(folder)
        own = self.config.pruning.method
        self.title, self.weights = f"run {folder.name}", "trained"
        self.suggested = tuple(dict.fromkeys([*([own] if own != "dense" else []), "random", "prev_sim"]))
        data = self.config.data
        if sizes.questions is not None:
            most = sizes.questions if data.num_test is None else min(data.num_test, sizes.questions)
            data = replace(data, num_test=most)
        self.source = open_source(replace(self.config, data=data))
        batch, _ = next(self.source.evaluation("test", batch_size=sizes.clips or 8))
        self.frames, self.lengths, self.questions = batch.frames, batch.clip_lengths, batch.questions
        self.about = (
            f"One model, trained with the method {own!r}, tested with all of them. A pass reads {len(self.lengths)} "
            f"clips with their questions; accuracy is over {self.source.num_expected('test')} test questions, with "
            "95 % intervals."
        )
        self.facts = {
            "trained_with": own,
            "train_removes": list(self.config.train_removes),
            "dataset": self.source.name,
            "dataset_fingerprint": self.source.fingerprint(),
            "num_clips": len(self.lengths),
            "num_frames": self.lengths.tolist(),
        }

    def wrapped(self, method: str) -> nn.Module:
        """The run's own module for its own method, and its model with another.

        Raises:
            ConfigError: The method needs a scorer, and the run was trained without one.
        """
        return with_method(self.trained, method)

    def look(self, module: nn.Module, remove: float) -> Any:  # noqa: ANN401
        """Frames and questions in, logits of the answers' first token out."""
        return module(self.frames, self.lengths, self.questions, remove=remove)

    def kept_share(self, method: str, output: Any, remove: float) -> float:  # noqa: ANN401
        """Groups that stay; of `fastv` visual tokens after it dropped some, of `tome` tokens after the last block."""
        if method == "tome":
            return left_by_merging(remove, self.trained.model.vit)
        if method == "fastv":
            counts: list[int] = output.num_visual.tolist()
            gone: int = sum(math.floor(remove * count + 1e-9) for count in counts)
            total: int = sum(counts)
            return 1 - gone / total
        return _kept(output.notes.get("keep"))

    def accuracy(self, module: nn.Module, remove: float) -> Metric | None:
        """Of its answers to the test questions, with an interval over the digit images."""
        if not isinstance(module, PrunedVideoLanguage):
            raise TypeError(f"{type(module).__name__} is no PrunedVideoLanguage")
        answers = answered(module, self.source, "test", remove=remove)
        return share_right(answers.right, answers.digit_ids, self.config.seed)

    def moved(self, device: torch.device) -> None:
        """Brings model and clips to a device."""
        self.trained.to(device)
        self.frames, self.lengths = self.frames.to(device), self.lengths.to(device)


class VitSubject(Subject):
    """A video transformer that looks at random pictures.

    Args:
        vit: The transformer.
        title: What it is.
        weights: Where its weights come from.
        sizes: Clips of a pass, and their seed.
        size_px: Side of its frames.
    """

    methods = tuple(method for method in METHODS if method != "fastv")
    suggested = ("stts", "random", "tome")

    def __init__(self, vit: VideoViT, *, title: str, weights: Weights, sizes: Sizes, size_px: int) -> None:
        self.vit, self.title, self.weights = vit.eval(), title, weights
        generator = torch.Generator().manual_seed(sizes.seed)
        shape = (sizes.clips or 1, 3, vit.num_frames, size_px, size_px)
        self.video = torch.randn(shape, generator=generator)
        kind = "random weights" if weights == "random" else "trained weights, without the data that they were tested on"
        self.about = f"{kind}: {_ONLY_COSTS}, on pictures of noise. A scorer, where there is one, has random weights."
        self.facts = {"video": list(shape), "grid": list(vit.grid), "attention": vit.attention}
        torch.manual_seed(sizes.seed)

    def wrapped(self, method: str) -> nn.Module:
        """The transformer with groups of two by two patches; methods that need a scorer get a random one."""
        options = {"pool": 2} if method in GROUP_METHODS else {}
        return wrap(self.vit, method, 0.0, **options).to(self.video.device).eval()

    def look(self, module: nn.Module, remove: float) -> Any:  # noqa: ANN401
        """Clips in, logits out."""
        run: Any = module
        return run.run(self.video, remove=remove)

    def kept_share(self, method: str, output: Any, remove: float) -> float:  # noqa: ANN401
        """Groups that stay; of `tome` tokens after the last block."""
        return left_by_merging(remove, self.vit) if method == "tome" else _kept(output.keep)

    def moved(self, device: torch.device) -> None:
        """Brings transformer and clips to a device."""
        self.vit.to(device)
        self.video = self.video.to(device)


def left_by_merging(remove: float, vit: VideoViT) -> float:
    """Share of a row's tokens that `tome` leaves after the last block; small shares cannot be had in few blocks."""
    depth = len(vit.blocks)
    merging = TokenMerging(1 - remove, depth)
    steps, rows, columns = vit.grid
    places = rows * columns * (steps if vit.attention == "joint" else 1)
    left = places
    for block in range(depth):
        left -= merging.num_merged(block, left + vit.num_cls_tokens, vit.num_cls_tokens, places)
    return left / places


def open_subject(name: str, sizes: Sizes) -> Subject:
    """What a user named.

    Args:
        name: As `tubelet token_pruning bench --help` says.
        sizes: What the model leaves open.

    Raises:
        ConfigError: There is no such thing, or sizes do not fit it.
        WeightsError: It cannot be read, or is of another kind.
    """
    if name in SIZES:
        return _random_vit(name, sizes)
    path = Path(name)
    if path.is_dir() and _model_type(path) is not None:
        from tubelet.methods.token_pruning.bench_hub import HubSubject

        return HubSubject(path, sizes)
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        if path.is_dir():
            raise ConfigError(
                f"{path} holds no {MODEL_FILE} and no model of transformers; give the folder of a finished "
                f"`tubelet train token_pruning:RECIPE`, or one of {', '.join(SIZES)}"
            )
        raise ConfigError(f"there is no {name}; give a run, a model's file or folder, or one of {_near(name)}")
    tensors, facts = load_weights(file)
    if "config" in facts and path.is_dir():
        return RunSubject(path, sizes)
    return _stored_vit(file, tensors, facts, sizes)


def _near(name: str) -> str:
    hint = suggestion(name, list(SIZES))
    return f"{', '.join(SIZES)}" + (f"; {hint}" if hint.startswith("did") else "")


def _model_type(folder: Path) -> str | None:
    """What a folder of transformers says it is; None for any other folder."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    kind = content.get("model_type") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None


def _random_vit(name: str, sizes: Sizes) -> Subject:
    torch.manual_seed(sizes.seed)
    options: VitOptions = {"num_frames": sizes.num_frames, "size_px": sizes.size_px}
    try:
        # Frames by themselves, as in the video-language models whose tokens are removed.
        vit = SIZES[name](_NUM_CLASSES, tubelet=(1, 16, 16), attention="frame", **options)
    except ValueError as error:
        raise ConfigError(f"{name} cannot look at {sizes.num_frames} frames of {sizes.size_px} px: {error}") from error
    title = f"{name} with random weights"
    return VitSubject(vit, title=title, weights="random", sizes=sizes, size_px=sizes.size_px)


def _stored_vit(file: Path, state: Mapping[str, Tensor], facts: Mapping[str, str], sizes: Sizes) -> Subject:
    """A transformer whose sizes follow from its tensors; a run of recognition says besides what it looks at."""
    if "patch_embed.weight" not in state or "blocks.0.norm1.weight" not in state:
        shown = ", ".join(sorted(state)[:3])
        raise WeightsError(
            f"{file}: holds neither a run of token_pruning nor a VideoViT (it begins with {shown}); of runs of "
            "recognition those with network.name=vit_tiny, vit_small or vit_base can be measured"
        )
    seen = json.loads(facts.get("card", "{}")).get("sampling", {})
    num_frames, size_px = seen.get("num_frames", sizes.num_frames), seen.get("size_px", sizes.size_px)
    kernel = state["patch_embed.weight"]
    channels = len(kernel)
    qkv: dict[tuple[bool, bool], Any] = {(True, False): "all", (False, True): "qv", (False, False): "none"}
    blocks = {int(name.split(".")[1]) for name in state if name.startswith("blocks.")}
    start = "blocks.0.attention.qkv."
    try:
        vit = VideoViT(
            len(state["head.weight"]),
            num_frames=num_frames,
            size_px=size_px,
            tubelet=(kernel.shape[2], kernel.shape[3], kernel.shape[4]),
            channels=channels,
            depth=len(blocks),
            num_heads=max(1, channels // _HEAD_CHANNELS),
            mlp_ratio=len(state["blocks.0.mlp.fc1.weight"]) / channels,
            num_cls_tokens=state["cls_tokens"].shape[1] if "cls_tokens" in state else 0,
            positions="learned" if "positions" in state else "sincos",
            qkv_bias=qkv[start + "bias" in state, start + "q_bias" in state],
        )
        vit.load_state_dict(dict(state))
    except (KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{file}: its tensors do not make up a VideoViT for {num_frames} frames of {size_px} px: {error}; give "
            "other --frames and --size, or another file"
        ) from error
    title = f"video transformer of {file.parent.name if file.name == MODEL_FILE else file.name}"
    return VitSubject(vit, title=title, weights="trained", sizes=sizes, size_px=size_px)


def _kept(keep: Tensor | None) -> float:
    return 1.0 if keep is None else float(keep.float().mean())


def chosen_methods(subject: Subject, asked: Sequence[str] | None) -> tuple[str, ...]:
    """Methods to measure, each once, without the dense model, which always is.

    Raises:
        ConfigError: There is no such method, or not with this model.
    """
    for method in asked or ():
        require_method(method)
        if method not in subject.methods:
            raise ConfigError(
                f"method {method!r} is not possible with {subject.title}; allowed: {', '.join(subject.methods)}"
            )
    found = dict.fromkeys(subject.suggested if asked is None else asked)
    return tuple(method for method in found if method != "dense")
