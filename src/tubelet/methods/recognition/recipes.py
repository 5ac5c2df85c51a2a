"""Complete training configurations, found by name: `tubelet train recognition:mocap_skeleton`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tubelet.datasets.mocap import LABEL_OF_CLIP
from tubelet.datasets.sampling import Sampling
from tubelet.methods.recognition.clips.config import (
    ClipConfig,
    EvaluationConfig,
    FusionConfig,
    NetworkConfig,
    NetworkName,
    SkeletonClipConfig,
)
from tubelet.methods.recognition.examples import Drawing
from tubelet.training.optimizer import OptimizerConfig
from tubelet.video.augment import ClipAugmentation

EXPECTED_SHARES: Mapping[str, float] = {"walk": 0.42, "stand": 0.38, "run": 0.02}
"""How much of people's time on ordinary footage is expected to show these classes: a judgement made before any test.
The other everyday classes share 0.12 and the acrobatic ones 0.06, evenly.
"""

EVERYDAY_SHARE, ACROBATIC_SHARE = 0.12, 0.06

_COUNTS = ("num_people", "views", "num_validation", "num_steps", "batch_size", "channels", "num_threads", "num_workers")
_RANGES: Mapping[str, tuple[float, float]] = {
    "held_out_span_share": (0.1, 0.5),
    "held_out_leg_share": (0.54, 0.62),  # beyond these hardly a body is drawn
    "severity": (0.0, 10.0),
    "dropout": (0.0, 0.9),
    "label_smoothing": (0.0, 0.9),
    "rarity_power": (0.0, 2.0),
    "greatest_risk": (0.001, 0.999),
}


@dataclass(frozen=True, kw_only=True)
class MocapSkeletonConfig:
    """Training of the skeleton action model from motion capture and procedural animation.

    Attributes:
        seed: Of everything.
        num_people: Performances in the training data.
        views: Cameras that film each.
        num_validation: Performances that temperature and threshold are chosen on; as many others evaluate.
        held_out_clips: Motion-capture clips that only validation sees, and then instead of the other clips of their
            class.
        held_out_spans: Motion-capture clips whose last part only validation sees, and then instead of the clip.
        held_out_span_share: How much of those clips that is.
        held_out_azimuth_deg: Directions of view (and their mirror images) that only validation sees, and nothing else.
        held_out_leg_share: Bodies whose legs are at least this share of the height from ankles to neck are those of
            validation, and nothing else; None: both draw from all.
        severity: Factor on the landmark model's imperfections in the training data.
        num_steps, batch_size, window: Optimiser steps, examples in each, frames of each example in each.
        optimizer: Learning rate and weight decay.
        channels, dropout: Of the network.
        label_smoothing: Share of the target spread over all classes.
        rarity_power: Classes weigh as their share of frames to minus this power.
        greatest_risk: Share of labelled frames that may be wrong on validation; the threshold follows from it.
        num_threads: Of torch: results repeat to the bit for the same number.
        num_workers: Processes that draw examples.
    """

    seed: int = 0
    num_people: int = 1400
    views: int = 2
    num_validation: int = 250
    held_out_clips: tuple[str, ...] = ()
    held_out_spans: tuple[str, ...] = ()
    held_out_span_share: float = 0.3
    held_out_azimuth_deg: tuple[float, float] | None = None
    held_out_leg_share: float | None = None
    severity: float = 1.0
    num_steps: int = 1000
    batch_size: int = 40
    window: int = 110
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(lr=3e-3, weight_decay=0.02, num_warmup_steps=60)
    )
    channels: int = 72
    dropout: float = 0.1
    label_smoothing: float = 0.05
    rarity_power: float = 0.35
    greatest_risk: float = 0.05
    num_threads: int = 1
    num_workers: int = 2

    @property
    def recipe(self) -> str:
        """Name of the recipe that this is, or a variation of."""
        return "recognition:mocap_skeleton" + ("_held_out" if self.held_out_clips else "")

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed is {self.seed}; allowed: 0 to {2**32 - 1}")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 1 or more")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} is {value:g}; allowed: {low:g} to {high:g}")
        longest = Drawing(seed=self.seed).frames
        if not 2 <= self.window <= longest:
            raise ValueError(f"window is {self.window}; allowed: 2 to {longest}, the frames of an example")
        if self.optimizer.num_warmup_steps > self.num_steps:
            raise ValueError(
                f"optimizer.num_warmup_steps is {self.optimizer.num_warmup_steps}; "
                f"allowed: 0 to num_steps ({self.num_steps})"
            )
        self._check_held_out()

    def _check_held_out(self) -> None:
        for name in ("held_out_clips", "held_out_spans"):
            unknown = [repr(clip) for clip in getattr(self, name) if clip not in LABEL_OF_CLIP]
            if unknown:
                raise ValueError(f"{name} has {', '.join(unknown)}; allowed: {', '.join(LABEL_OF_CLIP)}")
        both = [clip for clip in self.held_out_spans if clip in self.held_out_clips]
        if both:
            raise ValueError(f"held_out_spans has {', '.join(both)}, which held_out_clips has too; name it in one")
        if self.held_out_azimuth_deg is not None:
            low, high = self.held_out_azimuth_deg
            # Both sides of the split need directions of view to draw from.
            if not (low >= 0 and high <= 180 and 1 <= high - low <= 179):
                raise ValueError(
                    f"held_out_azimuth_deg is {low:g} to {high:g}; allowed: 1 to 179 degrees between 0 and 180"
                )


def mocap_skeleton() -> MocapSkeletonConfig:
    """The shipped model: all clips, all directions of view."""
    return MocapSkeletonConfig()


def mocap_skeleton_held_out() -> MocapSkeletonConfig:
    """The same training without some of everything, to measure how it does on what it has not seen.

    Dance, getup and walk have more than one clip: validation has others than training. Crawl and spin go on for two
    rounds or more: validation has the last part of the clip. The other clips show their action once (or, for run, one
    stride in 0.8 s), and a part of it would not be the action any more. All of validation is filmed from behind and
    has long legs, and nothing of training is or has.
    """
    return MocapSkeletonConfig(
        held_out_clips=(
            "humanoid3d_dance_b",
            "humanoid3d_getup_facedown",
            "humanoid3d_walk",
            "turn_left1",
            "turn_right1",
        ),
        held_out_spans=("humanoid3d_crawl", "humanoid3d_spin"),
        held_out_azimuth_deg=(0.0, 90.0),
        held_out_leg_share=0.59,
        num_validation=500,
    )


def frames() -> ClipConfig:
    """Labelled clips: a frozen image network looks at every picture, attention over time is trained. The default."""
    return ClipConfig(
        network=NetworkConfig(name="frames", weights="imagenet", tune="probe"),
        sampling=Sampling(num_frames=16, size_px=224, fit="stretch"),
        augmentation=ClipAugmentation(scale=(0.6, 1.0), brightness=0.2, contrast=0.2, saturation=0.2),
        num_epochs=40,
        batch_size=32,
        optimizer=OptimizerConfig(lr=5e-4, weight_decay=0.05, num_warmup_steps=20),
        ema_decay=0.98,
    )


def single_frame() -> ClipConfig:
    """Labelled clips: the same without time, from the middle picture alone. A baseline that sees no motion."""
    config = frames()
    return replace(config, network=replace(config.network, name="single_frame"))


def skeleton() -> SkeletonClipConfig:
    """Labelled clips of people: body landmarks of the main person, from the shipped model on."""
    return SkeletonClipConfig()


def fusion() -> FusionConfig:
    """Labelled clips of people: pictures and body landmarks, each on its own, then weighed on validation clips."""
    return FusionConfig(frames=frames(), skeleton=skeleton())


def vit_small() -> ClipConfig:
    """Labelled clips: a video transformer (ViT-S, 16 x 224 x 224) from scratch, or from --set network.weights."""
    return _end_to_end("vit_small", Sampling(num_frames=16, step_s=2 / 15, size_px=224), lr=1e-3, layer_decay=0.75)


def vit_base() -> ClipConfig:
    """Labelled clips: a video transformer (ViT-B), for VideoMAE weights by --set network.weights=FILE."""
    return _end_to_end("vit_base", Sampling(num_frames=16, step_s=2 / 15, size_px=224), lr=1e-3, layer_decay=0.75)


def mvit_v2_s() -> ClipConfig:
    """Labelled clips: MViTv2-S, for torchvision's weights by --set network.weights=FILE."""
    return _end_to_end("mvit_v2_s", Sampling(num_frames=16, step_s=2 / 15, size_px=224), lr=2e-4, layer_decay=0.9)


def r2plus1d_18() -> ClipConfig:
    """Labelled clips: R(2+1)D-18 on 16 x 112 x 112, for torchvision's weights by --set network.weights=FILE."""
    return _end_to_end("r2plus1d_18", Sampling(num_frames=16, step_s=1 / 15, size_px=112), lr=1e-3)


def x3d_s() -> ClipConfig:
    """Labelled clips: X3D-S on 13 x 160 x 160, for pytorchvideo's weights by --set network.weights=FILE."""
    return _end_to_end("x3d_s", Sampling(num_frames=13, step_s=0.2, size_px=160), lr=1e-3)


def hub() -> ClipConfig:
    """Labelled clips: a published model, by --set network.weights=ID_OR_FOLDER, changed by LoRA."""
    config = _end_to_end("hub", Sampling(num_frames=16, step_s=2 / 15, size_px=224), lr=1e-3)
    return replace(config, network=replace(config.network, tune="lora"))


def _end_to_end(name: NetworkName, sampling: Sampling, *, lr: float, layer_decay: float = 1.0) -> ClipConfig:
    return ClipConfig(
        network=NetworkConfig(name=name),
        sampling=sampling,
        augmentation=ClipAugmentation(scale=(0.4, 1.0), num_operations=2, magnitude=7.0, erasing_probability=0.25),
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.05, num_warmup_steps=50),
        layer_decay=layer_decay,
        evaluation=EvaluationConfig(num_views=5),
    )
