"""What training sees of motion capture, cameras and bodies, and what only validation sees."""

from __future__ import annotations

from tubelet.datasets.everyday import EVERYDAY_ACTIONS
from tubelet.datasets.mocap import LABEL_OF_CLIP, Motion
from tubelet.datasets.performances import LABELS, split_in_time
from tubelet.methods.recognition.examples import Drawing
from tubelet.methods.recognition.recipes import MocapSkeletonConfig

OTHER_CLIP = "other clip"
OTHER_SPAN = "other time span"
OTHER_VIEW_ONLY = "other camera hemisphere and body only"
SAME_CLIPS = "none: the same clips, other random cameras and bodies"


def training_drawing(config: MocapSkeletonConfig) -> Drawing:
    """How training examples are drawn."""
    return Drawing(
        seed=config.seed,
        views=config.views,
        severity=config.severity,
        azimuth_deg=config.held_out_azimuth_deg,
        inside_azimuth=False,
        leg_shares=(0.0, 1.0 if config.held_out_leg_share is None else config.held_out_leg_share),
    )


def validation_drawing(config: MocapSkeletonConfig, stream: int) -> Drawing:
    """How examples are drawn that training does not see; streams 1 (calibration) and 2 (evaluation) are independent."""
    return Drawing(
        seed=config.seed + 1_000_003 * stream,
        views=1,
        azimuth_deg=config.held_out_azimuth_deg,
        inside_azimuth=config.held_out_azimuth_deg is not None,
        leg_shares=(0.0 if config.held_out_leg_share is None else config.held_out_leg_share, 1.0),
    )


def split_clips(clips: list[Motion], config: MocapSkeletonConfig) -> tuple[list[Motion], list[Motion]]:
    """Clips for training and for validation: held-out clips and spans replace the others of their class."""
    held = set(config.held_out_clips)
    labels = {clip.label for clip in clips if clip.source_clip in held}
    training, validation = [], []
    for clip in clips:
        if clip.source_clip in config.held_out_spans:
            first, last = split_in_time(clip, config.held_out_span_share)
            training.append(first)
            validation.append(last)
            continue
        if clip.source_clip not in held:
            training.append(clip)
        if clip.source_clip in held or clip.label not in labels:
            validation.append(clip)
    return training, validation


def hold_outs(config: MocapSkeletonConfig) -> dict[str, str]:
    """What validation has of each class that training has not."""
    clips = {LABEL_OF_CLIP[name] for name in config.held_out_clips}
    spans = {LABEL_OF_CLIP[name] for name in config.held_out_spans}
    rest = SAME_CLIPS if config.held_out_azimuth_deg is None else OTHER_VIEW_ONLY
    out = {}
    for label in LABELS:
        kind = OTHER_CLIP if label in clips else OTHER_SPAN if label in spans else rest
        out[label] = kind + ("; procedural animation drawn anew" if _is_procedural(label) else "")
    return out


def _is_procedural(label: str) -> bool:
    return label in EVERYDAY_ACTIONS or label in ("walk", "run")
