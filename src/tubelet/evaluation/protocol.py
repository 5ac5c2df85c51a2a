"""What a predictions file says about itself: how clips were looked at, on what data, by which model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from tubelet.runs import installed_versions, this_command, to_json_text

PREDICTIONS_SCHEMA = "tubelet.predictions/1"


@dataclass(frozen=True, kw_only=True)
class ViewProtocol:
    """How clips were looked at.

    Attributes:
        num_clips: Places in time that a clip was looked at.
        num_crops: Places in the picture, at each of them.
        num_frames: Pictures of one view, None where the model takes as many as the clip has.
        step_s: Seconds between two of them, None for spread over the whole clip.
        size_px: Side of the square that the network saw, None where it does not see pictures, but e.g. people's joints.
        fit: How a picture became that square: "crop" or "stretch".
        decoder: What decoded the videos, with its version.
        group: What clips have in common that are not independent of each other, e.g. "source video".
        corruption: What was done to the pictures on purpose, e.g. "blur, severity 2".
    """

    num_clips: int = 1
    num_crops: int = 1
    num_frames: int | None = None
    step_s: float | None = None
    size_px: int | None = None
    fit: str = "crop"
    decoder: str
    group: str = "source"
    corruption: str | None = None

    def __post_init__(self) -> None:
        for name in ("num_clips", "num_crops", "num_frames", "size_px"):
            value = getattr(self, name)
            may_be_none = name in ("num_frames", "size_px")
            is_fine = (may_be_none and value is None) or (is_count(value) and value >= 1)
            require(is_fine, f"protocol.{name}", "1 or more" + (", or null" if may_be_none else ""))
        for name in ("fit", "decoder", "group"):
            require(isinstance(getattr(self, name), str), f"protocol.{name}", "a text")

    @property
    def num_views(self) -> int:
        """Views of one clip."""
        return self.num_clips * self.num_crops

    def sentence(self) -> str:
        """The protocol in words."""
        views = (
            f"{self.num_clips} x {self.num_crops} views (places in time x crops)" if self.num_views > 1 else "one view"
        )
        apart = "spread over the clip" if self.step_s is None else f"{self.step_s:g} s apart"
        frames = " of all its frames" if self.num_frames is None else f" of {self.num_frames} frames {apart}"
        size = f"({self.fit})" if self.size_px is None else f"{self.size_px} x {self.size_px} pixels ({self.fit})"
        mean = (
            " The probability of a class is its mean over the views, each after the softmax."
            if self.num_views > 1
            else ""
        )
        spoilt = f" The pictures were spoilt on purpose: {self.corruption}." if self.corruption else ""
        return f"Each clip seen in {views}{frames}, {size}, decoded by {self.decoder}.{mean}{spoilt}"


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first line of a predictions file.

    Attributes:
        classes: Class names; labels and logits are in their order.
        is_multi_label: Whether a clip may have several labels, or none.
        dataset: Name of the data.
        dataset_fingerprint: `ClipSet.fingerprint()`.
        split: Which part of the data.
        num_expected: How many clips are to be scored.
        protocol: How they were looked at.
        model: What predicted, as plain values: name, weights' sha256, run.
        seed: Of everything random, None where nothing is.
        versions: Of what numbers depend on.
        command: What to type to get this file again.
    """

    classes: tuple[str, ...]
    is_multi_label: bool = False
    dataset: str
    dataset_fingerprint: str
    split: str
    num_expected: int
    protocol: ViewProtocol
    model: Mapping[str, Any]
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    command: str = field(default_factory=this_command)

    def __post_init__(self) -> None:
        texts = all(isinstance(name, str) for name in self.classes)
        require(texts and len(set(self.classes)) == len(self.classes) >= 1, "classes", "different names, one or more")
        require(isinstance(self.is_multi_label, bool), "is_multi_label", "true or false")
        for name in ("dataset", "dataset_fingerprint", "split", "command"):
            require(isinstance(getattr(self, name), str), name, "a text")
        require(is_count(self.num_expected), "num_expected", "0 or more")
        for name in ("model", "versions"):
            require(isinstance(getattr(self, name), Mapping), name, "an object")
        require(self.seed is None or is_count(self.seed), "seed", "0 or more, or null")

    def to_json(self) -> dict[str, Any]:
        """The line's content, `schema` first."""
        return {"schema": PREDICTIONS_SCHEMA, **json.loads(to_json_text(asdict(self)))}

    @classmethod
    def from_json(cls, content: object) -> Header:
        """Check and read what `to_json` made.

        Raises:
            ValueError: A field is missing, unknown or wrong.
        """
        schema = content.get("schema") if isinstance(content, dict) else None
        if not isinstance(content, dict) or schema != PREDICTIONS_SCHEMA:
            raise ValueError(f"its schema is {schema!r}; this version reads {PREDICTIONS_SCHEMA!r}")
        given = {name: value for name, value in content.items() if name != "schema"}
        _check_names(given, cls, "the first line")
        require(isinstance(given["protocol"], dict), "protocol", "an object")
        _check_names(given["protocol"], ViewProtocol, "protocol")
        require(isinstance(given["classes"], list), "classes", "a list of names")
        return cls(**{**given, "classes": tuple(given["classes"]), "protocol": ViewProtocol(**given["protocol"])})

    def differences(self, other: Header) -> list[str]:
        """Fields other than the command that are not the same."""
        mine, theirs = self.to_json(), other.to_json()
        return [name for name in mine if name != "command" and mine[name] != theirs[name]]


@dataclass(frozen=True, kw_only=True)
class ClipTruth:
    """A clip as the predictions file names it.

    Attributes:
        id: Its id in the data.
        path: Its file below the root of the data.
        group: What it shares with clips that are not independent of it.
        labels: Indices of its classes.
        duration_s: How long it is, None where that is not known.
    """

    id: str
    path: str
    group: str
    labels: tuple[int, ...]
    duration_s: float | None = None


def is_count(value: object) -> bool:
    """Whether a JSON value is a whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_names(given: Mapping[str, Any], kind: type, where: str) -> None:
    known = {each.name for each in fields(kind)}
    # What has a plain default may be left out; the factories give what holds for this machine and this moment.
    needed = {each.name for each in fields(kind) if each.default is MISSING}
    missing, unknown = needed - given.keys(), given.keys() - known
    if missing or unknown:
        said = [f"lacks {', '.join(sorted(missing))}"] if missing else []
        said += [f"has unknown {', '.join(sorted(unknown))}"] if unknown else []
        raise ValueError(f"{where} {' and '.join(said)}; it holds {', '.join(sorted(known))}")


def require(is_fine: bool, what: str, allowed: str) -> None:
    """Raise a ValueError that says what is wrong and what is allowed, unless all is well."""
    if not is_fine:
        raise ValueError(f"{what} is wrong; allowed: {allowed}")
