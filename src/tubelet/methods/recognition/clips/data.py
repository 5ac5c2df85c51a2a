"""The clips of a training: opened, split, without the broken ones, and described for the record."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from tubelet.configs import suggestion
from tubelet.datasets.labelled import SPLITS, ClipSet, LabelledClip, Split
from tubelet.datasets.loader import FailureLimit
from tubelet.datasets.opening import FORMATS, Format, open_clips
from tubelet.datasets.quarantine import QUARANTINE_NAME, read_quarantine
from tubelet.datasets.splitting import with_splits
from tubelet.errors import ConfigError, DatasetError, VideoReadError
from tubelet.methods.recognition.clips.config import DataConfig
from tubelet.runs import RunDirectory, this_command, write_json
from tubelet.video import VideoReader

CLIPS_FILE = "clips.json"
CLIPS_SCHEMA = "tubelet.run_clips/1"
_PROBED = 24  # clips whose lengths are looked at
_SHOWN = 5
_LEAVES_OUT = "it lists what is broken, and training then leaves it out"
_BRING_BACK = "it lists what is broken; bring these files back, since the temperature is fitted on them"


def open_as_it_is(config: DataConfig) -> ClipSet:
    """The clips as they are annotated, broken ones too, without a split where none is given.

    Raises:
        ConfigError: No path was given, or no such format.
        DatasetError: The clips cannot be read.
    """
    if not config.path:
        raise ConfigError("data.path is empty; name the folder of the clips: tubelet train DIR, or --set data.path=DIR")
    if config.format not in FORMATS:
        raise ConfigError(f"data.format is {config.format!r}; {suggestion(config.format, FORMATS)}")
    chosen: Format = next(name for name in get_args(Format) if name == config.format)
    return open_clips(config.path, format=chosen, annotations=config.annotations, fold=config.fold)


def open_data(config: DataConfig) -> ClipSet:
    """The clips that a training uses, each with a split, without those in quarantine.

    Raises:
        ConfigError: No path was given, or no such format.
        DatasetError: The clips cannot be read, or cannot be split.
    """
    clips = open_as_it_is(config)
    return with_splits(clips.without(_left_out(config, clips)), seed=config.split_seed)


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


def require_few_failures(clips: ClipSet, failures: Mapping[str, str]) -> None:
    """See that hardly any clip could not be read.

    Args:
        clips: All that were to be read, of one split.
        failures: The reasons of those that could not, by id.

    Raises:
        DatasetError: Too many, with the first of them.
    """
    if FailureLimit().allows(len(failures), len(clips)) and len(failures) < len(clips):
        return
    raise _unreadable(clips, clips.clips[0].split if clips.clips else None, len(clips), failures, _LEAVES_OUT)


def require_validation(clips: ClipSet, missing: Mapping[str, str] | None = None) -> None:
    """See that a validation clip can be opened, before the work that comes first and takes long.

    Args:
        clips: Of all splits.
        missing: For an evaluation: the reasons of validation clips, by id, that are known to be broken.

    Raises:
        DatasetError: There are no validation clips, or none can be opened, with the first reasons.
    """
    own, failures = [clip for clip in clips.clips if clip.split == "val"], dict(missing or {})
    num_clips = len(own) + len(failures)
    if not num_clips:
        raise DatasetError(
            f"{clips.name}: no clip is in the val split, and training needs some ({clips.split_rule}). "
            "Add clips from other sources, or put some there"
        )
    for clip in own:
        try:
            with VideoReader(clip.path, num_threads=1):
                return
        except VideoReadError as error:
            failures[clip.id] = str(error)
    raise _unreadable(clips, "val", num_clips, failures, _LEAVES_OUT if missing is None else _BRING_BACK)


def _unreadable(
    clips: ClipSet, split: Split | None, num_clips: int, failures: Mapping[str, str], then: str
) -> DatasetError:
    listed = "".join(f"\n  {name}: {reason}" for name, reason in list(failures.items())[:_SHOWN])
    more = f"\n  and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    of_split = "" if split is None else f" of the {split} split"
    return DatasetError(
        f"{clips.name}: {len(failures)} of {num_clips} clips{of_split} cannot be read, which is too many:"
        f"{listed}{more}\nRun `tubelet check {clips.root}`: {then}"
    )


def _left_out(config: DataConfig, clips: ClipSet) -> dict[str, str]:
    """The reason for each clip that `tubelet check` found to be broken.

    Raises:
        ConfigError: A list was named and is not there.
    """
    path = clips.root / QUARANTINE_NAME if config.quarantine is None else Path(config.quarantine)
    if config.quarantine is not None and not path.is_file():
        raise ConfigError(
            f"data.quarantine is {config.quarantine}, which is not there; run `tubelet check`, or leave it out"
        )
    ids = {clip.id for clip in clips.clips}
    return {name: reason for name, reason in read_quarantine(path).items() if name in ids} if path.exists() else {}


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


def begin_with(clips: ClipSet, config: DataConfig, run: RunDirectory) -> None:
    """Note the clips that a training begins with, or see that it goes on with the same.

    RUN/clips.json then says of every clip in which split it was, which is what an evaluation goes by: a clip that is
    added later cannot move others from training into the test.

    Raises:
        DatasetError: Clips were added, taken away or changed since.
    """
    fingerprint, path = clips.fingerprint(), run.path / CLIPS_FILE
    if path.exists():
        if _noted(run)["fingerprint"] != fingerprint:
            raise DatasetError(
                f"{clips.name}: clips, labels, splits or quarantine are not those that {run.path} was begun with; "
                "put them back, or start a new run"
            )
        return
    left_out = _left_out(config, open_as_it_is(config))
    about = data_card(clips)
    run.log(event="data", num_quarantined=len(left_out), **about)
    write_json(
        path,
        {
            "schema": CLIPS_SCHEMA,
            "fingerprint": fingerprint,
            "split_rule": clips.split_rule,
            "clips": {clip.id: clip.split for clip in clips.clips},
        },
    )


def command_of(run: RunDirectory) -> str:
    """The command that a training was begun with: one that went on with `--resume` leaves the same bytes."""
    return str(run.description().get("command") or this_command())


@dataclass(frozen=True)
class EvaluationClips:
    """What an evaluation is over.

    Attributes:
        clips: With their splits.
        missing: Clips of the split that belong to it and cannot be looked at, each with its reason.
        is_own: Whether these are the clips that the model was trained and validated on parts of.
        note: What else is to be said, a sentence or nothing.
    """

    clips: ClipSet
    missing: tuple[tuple[LabelledClip, str], ...]
    is_own: bool
    note: str


def clips_to_evaluate(config: DataConfig, split: Split, run: RunDirectory) -> EvaluationClips:
    """The clips of a split as the training had it; of other clips their own split, or all where they have none.

    Clips in quarantine count as clips that cannot be scored.

    Raises:
        DatasetError: The clips cannot be read, or there are none in the split.
        ConfigError: The run has no list of its clips.
    """
    there = open_as_it_is(config)
    quarantine = _left_out(config, there)
    noted = _noted(run)
    stored = run.description()["config"]["data"]["path"]
    is_own = Path(stored).resolve() == Path(config.path).resolve()
    note = ""
    if is_own:
        splits = noted["clips"]
        known = [replace(clip, split=splits.get(clip.id, clip.split)) for clip in there.clips]
        added = sum(clip.id not in splits and clip.id not in quarantine for clip in there.clips)
        kept = [clip for clip in known if clip.id in splits or clip.id in quarantine]
        gone = sum(name not in {clip.id for clip in known} for name, own in splits.items() if own == split)
        if gone:
            raise DatasetError(
                f"{there.name}: {gone} clips of the {split} split are not there any more; bring them back, or evaluate "
                "other clips with --data"
            )
        note = f" {added} clips were added since the training and are left out." if added else ""
        clips = replace(there, clips=tuple(kept), split_rule=noted["split_rule"])
    elif any(clip.split is not None for clip in there.clips):
        clips = there
    else:
        clips = replace(
            there,
            clips=tuple(replace(clip, split=split) for clip in there.clips),
            split_rule="other clips than those of the training, all of them",
        )
    missing = tuple(
        (clip, f"in quarantine: {quarantine[clip.id]}")
        for clip in clips.clips
        if clip.id in quarantine and clip.split == split
    )
    return EvaluationClips(clips.without(quarantine), missing, is_own, note)


def _noted(run: RunDirectory) -> dict[str, Any]:
    path = run.path / CLIPS_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} does not say which clips were in which split ({error}); train the run anew"
        ) from error
    if not isinstance(content, dict) or content.get("schema") != CLIPS_SCHEMA:
        raise ConfigError(f"{path} is not of schema {CLIPS_SCHEMA}; train the run anew")
    return content


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
