"""The clips of a training: opened, split, without the broken ones, and described for the record."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import numpy as np

from tubelet.configs import suggestion
from tubelet.datasets.labelled import SPLITS, ClipSet
from tubelet.datasets.opening import FORMATS, Format, open_clips
from tubelet.datasets.quarantine import QUARANTINE_NAME, read_quarantine
from tubelet.datasets.splitting import with_splits
from tubelet.errors import ConfigError, DatasetError, VideoReadError
from tubelet.methods.recognition.clips.config import DataConfig
from tubelet.runs import RunDirectory
from tubelet.video import VideoReader

_PROBED = 24  # clips whose lengths are looked at


def open_data(config: DataConfig) -> ClipSet:
    """The clips that a training uses, each with a split, without those in quarantine.

    Raises:
        ConfigError: No path was given, or no such format.
        DatasetError: The clips cannot be read, or cannot be split.
    """
    if not config.path:
        raise ConfigError("data.path is empty; name the folder of the clips: tubelet train DIR, or --set data.path=DIR")
    if config.format not in FORMATS:
        raise ConfigError(f"data.format is {config.format!r}; {suggestion(config.format, FORMATS)}")
    chosen: Format = next(name for name in get_args(Format) if name == config.format)
    clips = open_clips(config.path, format=chosen, annotations=config.annotations, fold=config.fold)
    return with_splits(clips.without(quarantined(config, clips)), seed=config.split_seed)


def require_no_sides(clips: ClipSet, setting: str) -> None:
    """See that no two classes are each other's mirror image, for a training that mirrors clips.

    Args:
        clips: With the classes.
        setting: What switches mirroring off.

    Raises:
        ConfigError: Two classes differ in a side alone: a mirrored clip of one would be learned as the other.
    """
    for name in clips.classes:
        words = re.split(r"([^a-zA-Z]+)", name.lower())
        if "left" not in words:
            continue
        other = "".join("right" if word == "left" else word for word in words)
        if other in {each.lower() for each in clips.classes}:
            raise ConfigError(
                f"the classes {name!r} and {other!r} are mirror images of each other, and training mirrors clips, "
                f"which would teach it to mistake them; give --set {setting}=false"
            )


def quarantined(config: DataConfig, clips: ClipSet) -> set[str]:
    """Ids of the clips that `tubelet check` found to be broken.

    Raises:
        ConfigError: A list was named and is not there.
    """
    if config.quarantine is not None:
        path = Path(config.quarantine)
        if not path.is_file():
            raise ConfigError(
                f"data.quarantine is {config.quarantine}, which is not there; run `tubelet check`, or leave it out"
            )
    else:
        path = clips.root / QUARANTINE_NAME
    return set(read_quarantine(path)) & {clip.id for clip in clips.clips} if path.exists() else set()


def data_card(clips: ClipSet) -> dict[str, Any]:
    """What a model remembers of the clips it was trained on."""
    return {
        "name": clips.name,
        "fingerprint": clips.fingerprint(),
        "num_clips": {split: sum(clip.split == split for clip in clips.clips) for split in SPLITS},
        "num_groups": len({clip.group for clip in clips.clips}),
        "split_rule": clips.split_rule,
        "group_rule": clips.group_rule,
    }


def require_same_data(clips: ClipSet, run: RunDirectory) -> None:
    """See that a training goes on with the clips that it began with; notes them where it begins.

    Raises:
        DatasetError: Clips were added, taken away or changed since.
    """
    fingerprint = clips.fingerprint()
    before = next((line["fingerprint"] for line in run.read_log() if line.get("event") == "data"), None)
    if before is None:
        run.log(
            event="data", fingerprint=fingerprint, **{k: v for k, v in data_card(clips).items() if k != "fingerprint"}
        )
    elif before != fingerprint:
        raise DatasetError(
            f"{clips.name}: clips, labels, splits or quarantine are not those that {run.path} was begun with; "
            "put them back, or start a new run"
        )


def typical_length_s(clips: ClipSet) -> float:
    """Length of the clips, in the middle, over some of them; those that cannot be read are passed over.

    Raises:
        DatasetError: None of them can be read.
    """
    places = np.unique(np.linspace(0, len(clips) - 1, min(_PROBED, len(clips))).round().astype(int))
    lengths, errors = [], []
    for place in places:
        clip = clips.clips[place]
        try:
            if clip.end_s is not None:
                lengths.append(clip.end_s - clip.start_s)
                continue
            with VideoReader(clip.path, num_threads=1) as reader:
                lengths.append(reader.info.duration_s - clip.start_s)
        except VideoReadError as error:
            errors.append(str(error))
    if not lengths:
        raise DatasetError(
            f"{clips.name}: none of {len(places)} clips can be read; first {errors[0]}. Run `tubelet check`"
        )
    return float(np.median(lengths))
