"""What a training on labelled clips is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tubelet.datasets.sampling import Sampling
from tubelet.training.optimizer import OptimizerConfig
from tubelet.training.precision import Precision
from tubelet.video.augment import ClipAugmentation

FRAMES_RUN, SKELETON_RUN = "frames", "skeleton"
"""Folders of the two runs inside of a fusion run."""

FUSION_FILE = "fusion.json"

NetworkName = Literal[
    "frames",
    "single_frame",
    "vit_tiny",
    "vit_small",
    "vit_base",
    "mvit_b_16x4",
    "mvit_v2_s",
    "r2plus1d_18",
    "r3d_18",
    "x3d_xs",
    "x3d_s",
    "x3d_m",
    "hub",
]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which clips.

    Attributes:
        path: Folder or manifest of the clips.
        format: How the annotations are written; "auto" finds out (see `tubelet.datasets.opening`).
        annotations: Where they lie, for the formats that keep them apart from the videos.
        fold: Which of a dataset's official splits, where it has several.
        split_seed: Of the split that is made where none is given.
        quarantine: A list of broken clips that are left out; `quarantine.jsonl` beside the clips where not given.
    """

    path: str = ""
    format: str = "auto"
    annotations: str | None = None
    fold: int = 1
    split_seed: int = 0
    quarantine: str | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Which network, and what it starts from.

    Attributes:
        name: One of the networks; "frames" is an image backbone with attention over time, "hub" a published model.
        weights: Weights to start from: "imagenet" (frames, single_frame), a file or a run folder, or for "hub" the id
            or the folder of the model. None starts from random numbers.
        tune: What is trained: everything ("full"), the head alone ("probe"), or low-rank changes and the head ("lora").
            Of frames and single_frame, "probe" trains all that comes after the image backbone, whose output is kept in
            a cache.
        lora_rank: Rank of the changes.
        layout: Of the video transformers: "videomae", or "image" (a class token, learned positions, biases everywhere)
            for weights of image transformers, which are then spread over time.
    """

    name: NetworkName = "frames"
    weights: str | None = None
    layout: Literal["videomae", "image"] = "videomae"
    tune: Literal["full", "probe", "lora"] = "full"
    lora_rank: int = 8

    def __post_init__(self) -> None:
        if self.lora_rank < 1:
            raise ValueError(f"lora_rank is {self.lora_rank}; allowed: 1 or more")
        if self.weights == "imagenet" and self.name not in ("frames", "single_frame"):
            raise ValueError(f"weights is 'imagenet', which {self.name} has none of; give a file, or none")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How a trained model is measured.

    Attributes:
        split: Which clips.
        num_views: Windows, or shifted sets of pictures, of each clip.
        num_crops: 1 (the middle) or 3 along the longer side.
        batch_size: Views that go through the network together.
        robustness: Whether to measure with pictures made worse, too.
        token_budget: Share of its tokens that a video transformer is left with; see `Recognizer`.
    """

    split: Literal["train", "val", "test"] = "test"
    num_views: int = 2
    num_crops: Literal[1, 3] = 1
    batch_size: int = 8
    robustness: bool = False
    token_budget: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.token_budget <= 1:
            raise ValueError(f"token_budget is {self.token_budget:g}; allowed: more than 0, at most 1")
        for name in ("num_views", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")


_LEAST: Mapping[str, int] = {"batch_size": 1, "num_micro_batches": 1, "num_workers": 0, "num_threads": 1}
_SHARES = ("mixup_alpha", "cutmix_alpha", "label_smoothing", "greatest_risk")


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Training of a clip classifier.

    Attributes:
        seed: Of everything.
        data: Which clips.
        network: Which network.
        sampling: What it sees of a clip.
        augmentation: How training clips are changed.
        num_cached_views: Views of each training clip that are kept and take turns from epoch to epoch: of a frozen
            image backbone their features, changes included; with `decoded_cache_gb` their pictures, which are changed
            anew each time.
        decoded_cache_gb: GB (10^9 bytes) of decoded pictures that all end-to-end trainings together may keep in
            tubelet's cache, so that a file is not decoded in every epoch; 0 for none. Full means that no more is kept.
        num_epochs: How often the training clips are gone through.
        batch_size: Clips of one step, over all processes.
        num_micro_batches: Pieces that a step's batch is computed in, to save memory.
        optimizer: Learning rate, weight decay, warm-up.
        layer_decay: Factor on the learning rate from each layer to the one below.
        precision: Of the forward pass: fp32, bf16 or fp16.
        ema_decay: Of the weight average; None for none.
        mixup_alpha, cutmix_alpha: Of the mixtures of two clips; 0 for none.
        label_smoothing: Share of the target spread over all classes.
        balance_classes: Whether classes are drawn equally often.
        patience: Validations without progress after which training stops; None trains to the end.
        validate_every: Epochs between two validations.
        greatest_risk: Share of labelled validation clips that may be wrong; the threshold for abstaining follows.
        evaluation: How the model is measured.
        device: "cpu" or "cuda".
        num_workers: Processes that read clips.
        num_threads: Of torch: results repeat to the bit for the same number.
        logs: Where numbers go beside log.jsonl: "tensorboard", "wandb".
        fsdp: Whether several processes share out the weights too, for models that do not fit.
    """

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    sampling: Sampling = field(default_factory=Sampling)
    augmentation: ClipAugmentation = field(default_factory=ClipAugmentation)
    num_cached_views: int = 4
    decoded_cache_gb: float = 0.0
    num_epochs: float = 30
    batch_size: int = 8
    num_micro_batches: int = 1
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    layer_decay: float = 1.0
    precision: Precision = "fp32"
    ema_decay: float | None = None
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    label_smoothing: float = 0.1
    balance_classes: bool = False
    patience: int | None = None
    validate_every: int = 1
    greatest_risk: float = 0.1
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    device: Literal["cpu", "cuda"] = "cpu"
    num_workers: int = 2
    num_threads: int = 2
    logs: tuple[Literal["tensorboard", "wandb"], ...] = ()
    fsdp: bool = False

    @property
    def caches_features(self) -> bool:
        """Whether a frozen image backbone's features are computed once and kept."""
        return self.network.name in ("frames", "single_frame") and self.network.tune == "probe"

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is {self.seed}; allowed: 0 to {2**32 - 1}")
        for name, least in {**_LEAST, "num_cached_views": 1, "validate_every": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: {least} or more")
        if self.batch_size % self.num_micro_batches:
            raise ValueError(
                f"num_micro_batches is {self.num_micro_batches}; allowed: divisors of batch_size ({self.batch_size})"
            )
        if not self.num_epochs > 0:
            raise ValueError(f"num_epochs is {self.num_epochs:g}; allowed: above 0")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is {self.patience}; allowed: 1 or more validations, or none")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay is {self.layer_decay:g}; allowed: above 0, to 1")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; allowed: 0 to 1")
        if not 0 <= self.decoded_cache_gb < float("inf"):
            raise ValueError(f"decoded_cache_gb is {self.decoded_cache_gb:g}; allowed: 0 or more")
        if self.decoded_cache_gb and self.caches_features:
            raise ValueError(
                f"decoded_cache_gb is {self.decoded_cache_gb:g}, and a frozen image backbone keeps features, so that "
                "pictures are read once anyway; set it to 0, or network.tune to 'full'"
            )


@dataclass(frozen=True, kw_only=True)
class SkeletonClipConfig:
    """Training of a skeleton network on the people in labelled clips.

    Attributes:
        seed: Of everything.
        data: Which clips.
        pretrained: Whether the network starts from the shipped action model, which has seen motion capture and
            procedural animation; else from random numbers.
        detector: Which person detector finds people: auto, oidv4 or ssdlite.
        num_epochs: How often the training clips are gone through.
        batch_size: Clips of one step.
        window: Frames (15 a second) of each clip in a step.
        optimizer: Learning rate, weight decay, warm-up.
        channels, dropout: Of the network; the shipped one's are needed to start from it.
        mirror: Whether mirror images of people are as good as themselves. Off where a class names a side.
        label_smoothing: Share of the target spread over all classes.
        patience: Validations without progress after which training stops; None trains to the end.
        greatest_risk: Share of labelled validation clips that may be wrong; the threshold for abstaining follows.
        evaluation: How the model is measured: the split; people are looked for in all of a clip.
        num_workers: Processes that look for people.
        num_threads: Of torch.
    """

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    pretrained: bool = True
    detector: Literal["auto", "oidv4", "ssdlite"] = "auto"
    num_epochs: int = 60
    batch_size: int = 32
    window: int = 60
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(lr=2e-3, weight_decay=0.02, num_warmup_steps=10)
    )
    channels: int = 72
    dropout: float = 0.2
    mirror: bool = True
    label_smoothing: float = 0.05
    patience: int | None = None
    greatest_risk: float = 0.1
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    num_workers: int = 2
    num_threads: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is {self.seed}; allowed: 0 to {2**32 - 1}")
        for name in ("num_epochs", "batch_size", "channels", "num_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        if self.window < 2:
            raise ValueError(f"window is {self.window}; allowed: 2 or more frames")
        for name in ("dropout", "label_smoothing", "greatest_risk"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; allowed: 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """Training of a picture model and a skeleton model on the same clips, and of how far to trust each.

    Attributes:
        seed: Of everything; both models get it.
        data: Which clips; both models get them.
        frames: The picture model.
        skeleton: The skeleton model.
        evaluation: How the two together are measured.
    """

    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    frames: ClipConfig = field(default_factory=ClipConfig)
    skeleton: SkeletonClipConfig = field(default_factory=SkeletonClipConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


AnyClipConfig = ClipConfig | SkeletonClipConfig | FusionConfig
