"""What an anonymiser is trained on and with, and the recipes that ship."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from tubelet.datasets.glyph_motion import GlyphStyle
from tubelet.methods.anonymization.model import PrivacyMode, VitShape
from tubelet.methods.anonymization.pruning import PruningConfig
from tubelet.training.optimizer import OptimizerConfig
from tubelet.training.precision import Precision

ReaderName = Literal[
    "frame_cnn", "pair_cnn", "still_cnn", "tiny_vit", "frame_lite0", "r3d_18", "mvit_b_16x4", "vit_base"
]


@dataclass(frozen=True, kw_only=True)
class GlyphData:
    """Clips of glyph motion, drawn in memory.

    Attributes:
        num_train, num_val, num_test: Clips of each split.
        style: How hard they are.
        seed: Of the set, apart from that of the training.
        gait: See `draw_glyph_clip`.
    """

    num_train: int = 6000
    num_val: int = 400
    num_test: int = 1000
    style: GlyphStyle = field(default_factory=GlyphStyle)
    seed: int = 0
    gait: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PeopleData:
    """Squares that go with drawn people, in memory.

    Attributes:
        num_train, num_val, num_test: Clips of each split.
        seed: Of the set, apart from that of the training.
        fps: Pictures a second.
    """

    num_train: int = 5280
    num_val: int = 440
    num_test: int = 880
    seed: int = 0
    fps: float = 6.0


@dataclass(frozen=True, kw_only=True)
class VideoData:
    """Labelled videos with private attributes.

    Attributes:
        dataset: Which of the published sets.
        path: Folder of the videos, as that of the action set.
        labels: File or folder of the attributes.
        fold: Which official split.
        stride: Frames from one picture of a clip to the next.
    """

    dataset: Literal["vp_ucf101", "vp_hmdb51", "pa_hmdb51"] = "vp_hmdb51"
    path: str = ""
    labels: str = ""
    fold: int = 1
    stride: int = 2


@dataclass(frozen=True, kw_only=True)
class ReaderWeights:
    """Files of published weights that readers start from; None for random numbers, which understates leakage.

    Attributes:
        frame_lite0: Of EfficientNet-Lite0 on ImageNet; "imagenet" fetches them.
        r3d_18: Of R3D-18 on Kinetics, as torchvision has them.
        mvit_b_16x4: Of MViT-B 16x4 on Kinetics, as torchvision has them.
        vit_base: Of a VideoMAE ViT-B.
    """

    frame_lite0: str | None = None
    r3d_18: str | None = None
    mvit_b_16x4: str | None = None
    vit_base: str | None = None


@dataclass(frozen=True, kw_only=True)
class AttackConfig:
    """Networks that are trained anew on masked clips, to see what is left in them.

    Attributes:
        utility: Reads the action.
        attackers: Each reads the attributes; the strongest counts.
        num_steps: Of each training.
        batch_size: Clips of a step.
        optimizer: Of each training.
        num_views: Places in time of the test, whose scores are averaged.
        weights: What the networks start from.
    """

    utility: ReaderName = "r3d_18"
    attackers: tuple[ReaderName, ...] = ("frame_lite0", "r3d_18")
    num_steps: int = 20000
    batch_size: int = 8
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(lr=1e-4, weight_decay=0.05, final_lr_factor=0.01)
    )
    num_views: int = 5
    weights: ReaderWeights = field(default_factory=ReaderWeights)

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "num_views"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        if not self.attackers:
            raise ValueError("attackers is empty; name at least one, or leakage cannot be told")
        used = {self.utility, *self.attackers}
        for weighted in fields(self.weights):
            if getattr(self.weights, weighted.name) is not None and weighted.name not in used:
                raise ValueError(
                    f"weights.{weighted.name} names a file, and {weighted.name} is neither the utility model nor an "
                    f"attacker ({', '.join(sorted(used))}); put it in attackers, or leave its weights away"
                )

    def weights_of(self, name: ReaderName) -> str | None:
        """What a network starts from; None for random numbers."""
        weights: str | None = getattr(self.weights, name, None)
        return weights

    @property
    def random_starts(self) -> tuple[ReaderName, ...]:
        """The networks that start from random numbers."""
        return tuple(name for name in dict.fromkeys((self.utility, *self.attackers)) if self.weights_of(name) is None)


@dataclass(frozen=True, kw_only=True)
class AnonymizationConfig:
    """Training of an anonymiser, and how it is attacked afterwards.

    Attributes:
        seed: Of everything but the set.
        data: Which clips.
        shape: Of the network.
        image_weights: File of an image transformer to start from, inflated over time; None for random numbers.
        num_warm_steps: Of a training before the training, for networks without image weights; see `warm_start`.
        pruning: Where and how much is removed, in training and afterwards.
        privacy_mode: "grl" reverses the gradient of the attributes, as published; "coop" lets the privacy token learn
            to read them, so that its attention shows where they are.
        action_weight: Of the action's loss.
        num_steps: Of the training.
        batch_size: Clips of a step.
        optimizer: Of the training.
        precision: Of the forward pass.
        validate_every: Steps between two validations; None for ten in all.
        attack: What is trained on the masked clips by `tubelet evaluate`.
        device: "cpu" or "cuda".
        num_workers: Processes that read videos.
        num_threads: Of torch.

    Source: arXiv:2603.26336 and its code, for the defaults.
    """

    seed: int = 42
    data: GlyphData | PeopleData | VideoData = field(default_factory=VideoData)
    shape: VitShape = field(default_factory=VitShape)
    image_weights: str | None = None
    num_warm_steps: int = 0
    pruning: PruningConfig = field(default_factory=PruningConfig)
    privacy_mode: PrivacyMode = "grl"
    action_weight: float = 1.0
    num_steps: int = 35000
    batch_size: int = 8
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(lr=1e-4, weight_decay=0.05, num_warmup_steps=2200, final_lr_factor=0.0)
    )
    precision: Precision = "fp32"
    validate_every: int | None = None
    attack: AttackConfig = field(default_factory=AttackConfig)
    device: Literal["cpu", "cuda"] = "cpu"
    num_workers: int = 2
    num_threads: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is {self.seed}; allowed: 0 to {2**32 - 1}")
        for name in ("num_steps", "batch_size", "num_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        late = [block for block in self.pruning.blocks if block >= self.shape.depth]
        if late:
            raise ValueError(
                f"pruning.blocks names block {late[0]}; allowed: 0 to {self.shape.depth - 1}, as shape.depth has it"
            )


RANDOM_START = "random numbers"


def start_of(config: AnonymizationConfig) -> str:
    """What the anonymiser's network starts from, in words."""
    if config.shape.stem == "lite0":
        return f"features of EfficientNet-lite0 (ImageNet) and a warm start of {config.num_warm_steps} steps"
    if config.image_weights is not None:
        return f"image weights {Path(config.image_weights).name}"
    return f"a warm start of {config.num_warm_steps} steps" if config.num_warm_steps else RANDOM_START


def random_start_warning(config: AnonymizationConfig) -> str:
    """What is to be said where `start_of` is `RANDOM_START`."""
    return (
        f"The anonymiser starts from random numbers (seed {config.seed}), and the published one from ImageNet weights: "
        "its numbers are not to be compared with the paper's. Name a file: --set image_weights=vit_b16.safetensors."
    )


def vp_hmdb51() -> AnonymizationConfig:
    """The published configuration on VP-HMDB51: ViT-B/16, keep 0.9 at three blocks, gradient reversal."""
    return _published("vp_hmdb51", num_train=3570)


def vp_ucf101() -> AnonymizationConfig:
    """The published configuration on VP-UCF101."""
    return _published("vp_ucf101", num_train=9537)


def _published(dataset: Literal["vp_ucf101", "vp_hmdb51"], *, num_train: int) -> AnonymizationConfig:
    """The published schedule, whose epochs are of the `num_train` clips of the first official training list.

    Of these a part is held out for validation here; the steps stay, so that networks see as many clips as published.
    """
    steps = num_train / 8  # of an epoch, at batch size 8: 446 of VP-HMDB51, 1,192 of VP-UCF101
    base = AnonymizationConfig()
    return replace(
        base,
        data=VideoData(dataset=dataset),
        # The anonymiser: 80 epochs, of which the first 5 warm up. 35,700 and 2,231 steps; of UCF 95,370 and 5,961.
        num_steps=round(80 * steps),
        optimizer=replace(base.optimizer, num_warmup_steps=round(5 * steps)),
        # Utility model and attackers: 50 epochs, without a warm-up. 22,312 steps; of UCF 59,606.
        attack=replace(base.attack, num_steps=round(50 * steps)),
    )


def glyphs() -> AnonymizationConfig:
    """Small and quick: the direction of a moving block is kept and a handwritten digit is hidden."""
    return AnonymizationConfig(
        seed=0,
        data=GlyphData(style=STYLE),
        shape=VitShape(
            num_frames=8,
            size_px=32,
            tubelet=(2, 8, 8),
            channels=64,
            depth=4,
            num_heads=4,
            dropout=0.0,
            attention_dropout=0.0,
            drop_path=0.0,
        ),
        pruning=PruningConfig(
            blocks=(1, 2, 3), keep=0.5, privacy_weight=1.0, isolate_cls=True, mixing="place", temporal="tube"
        ),
        privacy_mode="coop",
        num_warm_steps=1200,
        num_steps=500,
        batch_size=32,
        optimizer=OptimizerConfig(lr=1e-3, weight_decay=0.05, num_warmup_steps=100, final_lr_factor=0.01),
        attack=AttackConfig(
            utility="pair_cnn",
            attackers=("frame_cnn", "still_cnn"),
            num_steps=400,
            batch_size=32,
            optimizer=OptimizerConfig(lr=2e-3, weight_decay=0.01, num_warmup_steps=20),
            num_views=1,
        ),
        num_threads=1,
    )


def people() -> AnonymizationConfig:
    """Squares round drawn people: what they do is kept, skin and clothes are hidden. The anonymiser that ships."""
    base = glyphs()
    shape = replace(base.shape, size_px=128, tubelet=(2, 16, 16), channels=64, depth=3, stem="lite0")
    return replace(
        base,
        data=PeopleData(),
        shape=shape,
        pruning=replace(base.pruning, blocks=(1, 2)),
        num_warm_steps=2400,
        num_steps=800,
        batch_size=16,
        action_weight=0.25,
        optimizer=replace(base.optimizer, lr=2e-3),
        attack=replace(base.attack, num_steps=600),
        num_threads=2,
    )


STYLE = GlyphStyle(block_contrast=0.7, noise=12.0, glyph_px=16, num_distractors=2)
"""How the small set is drawn: an action model that sees a random half of the tubelets is right on 50 to 85 %."""


def glyphs_published() -> AnonymizationConfig:
    """As `glyphs`, in the published mode: gradient reversal, privacy weight 0.5, all tubelets attend to each other."""
    config = glyphs()
    pruning = replace(config.pruning, privacy_weight=0.5, isolate_cls=False, mixing="all", temporal="none")
    return replace(config, privacy_mode="grl", pruning=pruning)
