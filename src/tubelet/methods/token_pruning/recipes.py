"""What a pruned video-language model is trained on and with, and the recipes that ship."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from tubelet.datasets.needle_qa import NeedleStyle, Stratum
from tubelet.methods.token_pruning.pruning import PruningConfig
from tubelet.training.optimizer import OptimizerConfig
from tubelet.training.precision import Precision


@dataclass(frozen=True, kw_only=True)
class NeedleData:
    """Short synthetic videos with questions, drawn as they are needed.

    Attributes:
        num_val, num_test: Clips of these splits; those of the training are drawn anew for every step.
        strata: Kinds of questions.
        style: Sizes, and how hard it is.
        seed: Of the set, apart from that of the training.
    """

    num_val: int = 300
    num_test: int = 1200
    strata: tuple[Stratum, ...] = ("moving", "entering", "standing", "flashing")
    style: NeedleStyle = field(default_factory=NeedleStyle)
    seed: int = 0

    @property
    def num_frames(self) -> int:
        """Of a clip."""
        return self.style.num_frames

    @property
    def size_px(self) -> int:
        """Side of the frames."""
        return self.style.size_px


@dataclass(frozen=True, kw_only=True)
class QuestionData:
    """Questions about video files.

    Attributes:
        path: File of questions, one JSON object a line; see `tubelet.datasets.video_questions`.
        root: Where paths of videos begin; the folder of the file if empty.
        num_frames: Of each video, at equal distances, the last one among them.
        size_px: Side of the squares that frames are squeezed to.
        num_val, num_test: Questions of these splits that are asked; None for all.
    """

    path: str = ""
    root: str = ""
    num_frames: int = 16
    size_px: int = 48
    num_val: int | None = None
    num_test: int | None = None

    def __post_init__(self) -> None:
        if self.num_frames < 2:
            raise ValueError(f"num_frames is {self.num_frames}; allowed: 2 or more, the first and the last one")
        for name in ("size_px", "num_val", "num_test"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; allowed: 1 or more")


DecoderName = Literal["characters", "smollm2"]


@dataclass(frozen=True, kw_only=True)
class VideoLanguageShape:
    """Sizes of a video-language model; see `tiny_video_language`.

    Attributes:
        decoder: The language model: "characters", a small one from random weights that writes letter by letter, whose
            sizes the fields with `lm_` are; or "smollm2", SmolLM2 with 135 million parameters, which writes words and
            is not trained: the transformer and the connector learn to speak to it. Needs the extra
            `language`; the fields with `lm_` say nothing then.
    """

    decoder: DecoderName = "characters"
    size_px: int = 24
    patch_px: int = 4
    pool: int = 2
    channels: int = 64
    depth: int = 4
    num_heads: int = 4
    lm_width: int = 64
    lm_depth: int = 2
    lm_heads: int = 4
    lm_kv_heads: int = 2


@dataclass(frozen=True, kw_only=True)
class TokenPruningConfig:
    """Training of a video-language model with tokens removed, and how it is tested.

    Attributes:
        seed: Of everything but the set.
        data: Which clips and questions.
        shape: Of the model.
        pruning: What is removed, and how.
        start: Folder of a run whose model this training goes on from, whatever that run removed; the scorer is new.
            From random weights if None.
        train_removes: Shares that are removed in training, one drawn for each step.
        test_removes: Shares at which the model is tested.
        num_steps: Of the training.
        batch_size: Clips of a step.
        optimizer: Of the training, the scorer's too.
        precision: Of the forward pass.
        validate_every: Steps between two validations; None for five in all.
        device: "cpu" or "cuda".
        num_threads: Of torch.
    """

    seed: int = 0
    data: NeedleData | QuestionData = field(default_factory=NeedleData)
    shape: VideoLanguageShape = field(default_factory=VideoLanguageShape)
    pruning: PruningConfig = field(default_factory=PruningConfig)
    start: str | None = None
    train_removes: tuple[float, ...] = (0.5, 0.7, 0.8)
    test_removes: tuple[float, ...] = (0.0, 0.5, 0.7, 0.8)
    num_steps: int = 1000
    batch_size: int = 16
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(lr=1e-3, weight_decay=0.05, num_warmup_steps=100)
    )
    precision: Precision = "fp32"
    validate_every: int | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    num_threads: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is {self.seed}; allowed: 0 to {2**32 - 1}")
        for name in ("num_steps", "batch_size", "num_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        for name in ("train_removes", "test_removes"):
            shares = getattr(self, name)
            if not shares or not all(0 <= share < 1 for share in shares):
                raise ValueError(f"{name} is {shares}; allowed: one or more shares, each at least 0 and less than 1")
        if self.data.size_px != self.shape.size_px:
            name = "data.style.size_px" if isinstance(self.data, NeedleData) else "data.size_px"
            raise ValueError(f"{name} is {self.data.size_px} and shape.size_px {self.shape.size_px}; give the same")


def needle_qa() -> TokenPruningConfig:
    """Small and quick: questions about digits that move, come and stand, with tokens removed by trained scores."""
    return TokenPruningConfig(pruning=PruningConfig(after_block=0, pool=2))


def needle_qa_dense() -> TokenPruningConfig:
    """As `needle_qa`, with nothing removed."""
    config = needle_qa()
    return replace(
        config, pruning=replace(config.pruning, method="dense", remove=0.0), train_removes=(0.0,), test_removes=(0.0,)
    )


def needle_qa_random() -> TokenPruningConfig:
    """As `needle_qa`, with random groups removed."""
    config = needle_qa()
    return replace(config, pruning=replace(config.pruning, method="random"))


def video_questions() -> TokenPruningConfig:
    """Questions about your own videos, with choices: a small model from random weights, for trying things out.

    Source: STTS (arXiv:2603.18004) for frames of 9 patches to a group; the sizes are for a CPU.
    """
    return TokenPruningConfig(
        data=QuestionData(),
        shape=VideoLanguageShape(size_px=48, patch_px=4, pool=3, channels=96, depth=6, lm_width=128, lm_depth=4),
        pruning=PruningConfig(after_block=1, pool=3),
        train_removes=(0.5,),
        test_removes=(0.0, 0.3, 0.5, 0.7),
    )
