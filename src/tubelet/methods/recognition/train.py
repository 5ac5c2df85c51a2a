"""`tubelet train`: a training of this method by its config."""

from __future__ import annotations

import os

from tubelet.errors import ConfigError
from tubelet.methods.recognition.clips.config import ClipConfig, FusionConfig, SkeletonClipConfig
from tubelet.methods.recognition.recipes import MocapSkeletonConfig
from tubelet.runs import RunDirectory


def train(config: MocapSkeletonConfig | ClipConfig | SkeletonClipConfig | FusionConfig, run: RunDirectory) -> None:
    """Train what the config describes and leave the model in the run's folder."""
    if isinstance(config, MocapSkeletonConfig):
        from tubelet.methods.recognition.mocap_train import train_mocap

        train_mocap(config, run)
    elif isinstance(config, ClipConfig):
        from tubelet.methods.recognition.clips.training import train_clips

        train_clips(config, run)
    elif isinstance(config, SkeletonClipConfig):
        from tubelet.methods.recognition.clips.skeleton import train_skeleton

        train_skeleton(config, run)
    else:
        from tubelet.methods.recognition.clips.fusion import train_fusion

        train_fusion(config, run)


def check(config: MocapSkeletonConfig | ClipConfig | SkeletonClipConfig | FusionConfig) -> None:
    """See that a training can begin: that there are clips, to learn from and to validate on, and the device.

    Raises:
        DatasetError: The clips cannot be read, or cannot be split.
        ConfigError: The device is absent, or settings do not go together.
    """
    if isinstance(config, MocapSkeletonConfig):
        return
    from tubelet.methods.recognition.clips.data import open_data, require_no_sides, require_validation
    from tubelet.methods.recognition.clips.skeleton import require_one_label
    from tubelet.training.precision import find_device

    data = open_data(config.data)
    require_validation(data)
    pictures = config.frames if isinstance(config, FusionConfig) else config
    if isinstance(pictures, ClipConfig):
        find_device(pictures.device)
        if pictures.augmentation.mirror:
            require_no_sides(data, "augmentation.mirror" if pictures is config else "frames.augmentation.mirror")
    people = config.skeleton if isinstance(config, FusionConfig) else config
    if isinstance(people, SkeletonClipConfig):
        require_one_label(data)
        if people.mirror:
            require_no_sides(data, "mirror" if people is config else "skeleton.mirror")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError(
                "torchrun started several processes, and the skeleton network is trained by one; start it without "
                "torchrun"
            )


def overfit_one_batch(config: ClipConfig) -> str:
    """Train on one batch alone, to see that network, labels and settings can learn at all; the verdict in a sentence.

    Raises:
        ConfigError: The recipe has no such test.
        TrainingError: The loss does not fall; the message says what that can mean.
    """
    if not isinstance(config, ClipConfig):
        raise ConfigError("--overfit-one-batch is for networks that see pictures, such as recognition:frames")
    from tubelet.methods.recognition.clips.training import self_test

    return self_test(config)
