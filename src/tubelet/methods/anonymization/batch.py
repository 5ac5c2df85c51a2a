"""All sources of one `apply` command, one after the other, and the page that shows them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tubelet.errors import ConfigError, TubeletError
from tubelet.methods.anonymization.apply import Applied, hide_video, output_paths, require_free
from tubelet.methods.anonymization.fills import DERIVED_FROM_REMOVED
from tubelet.methods.anonymization.footage import Hider
from tubelet.methods.anonymization.model import EMBEDDED, Anonymizer
from tubelet.methods.anonymization.page import Shown, render_page
from tubelet.methods.anonymization.regions import Detector, HidePeople, Landmarks, PeopleRegions
from tubelet.runs import Progress, write_text
from tubelet.video import Source, expand_sources, probe
from tubelet.weights.archives import file_sha256

if TYPE_CHECKING:  # they bring other libraries, which not every command needs
    from tubelet.methods.anonymization.leftover import Lookers
    from tubelet.people.faces import FaceDetector

DEFAULT_KEEP = 0.5
PAGE = "report.html"

WARNING = (
    "The protection is empirical: it is measured against the attackers that were tried and promises nothing about "
    "others. The mask itself shows shapes, and the way somebody moves stays visible where they are not hidden."
)


@dataclass(frozen=True)
class _Failed:
    source: str
    reason: str


@dataclass(kw_only=True)
class _Networks:
    """What all videos of a command share; loading it takes longer than hiding a short one.

    Attributes:
        anonymizer: Prunes tubelets.
        detector: Finds people.
        landmarks: Finds their joints.
        faces: Finds their faces.
        lookers: Measure what is left; loaded when the first video is measured.
    """

    anonymizer: Anonymizer | None
    detector: Detector | None = None
    landmarks: Landmarks | None = None
    faces: FaceDetector | None = None
    lookers: Lookers | None = None

    def people(self, hide: HidePeople) -> PeopleRegions | None:
        """A search for people that knows none yet, for one video."""
        if self.detector is None or self.landmarks is None:
            return None
        return PeopleRegions(self.detector, self.landmarks, hide, self.faces)


def apply_to_sources(arguments: argparse.Namespace, *, say: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Hide every source; one that fails does not stop the others.

    Args:
        arguments: Of the command.
        say: Called with what was done.
        warn: Called with what went wrong or is unusual.

    Returns:
        0, or 1 where a source failed.

    Raises:
        ConfigError: A setting is not allowed, or a source is no file.
        OutputExistsError: A result is in the way.
    """
    _complete(arguments)
    _check(arguments)
    out = Path(arguments.out)
    sources = expand_sources(arguments.sources, leave_out=out)
    live = [source.label for source in sources if source.is_live]
    if live:
        raise ConfigError(f"{live[0]} is a live source; record it first, apply hides files")
    stems = _stems(sources)
    if not arguments.overwrite:
        require_free([out / PAGE, *(path for stem in stems for path in output_paths(stem, out))])
    networks = _load(arguments, warn)
    if networks.anonymizer is not None:
        _warn_if_untrained(networks.anonymizer, arguments, warn)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # the detector and the encoder have threads of their own
    shown: list[Shown] = []
    failed: list[_Failed] = []
    with Progress() as progress:
        for source, stem in zip(sources, stems, strict=True):
            try:
                applied = _hide(source, stem, out, networks, arguments, progress)
                say(f"{source.label} -> {applied.video_path}  {_said(applied)}")
                if applied.has_removed_nothing:
                    warn(f"{source.label}: nothing was removed, the result shows all that the original does")
                shown.append(Shown(applied=applied, left={}))
            except (TubeletError, OSError) as error:
                failed.append(_Failed(source.label, str(error)))
                warn(f"{source.label}: {error}")
            else:
                shown[-1] = _measured(source, applied, networks, arguments, warn)
            page = render_page(shown, [(each.source, each.reason) for each in failed], _settings(arguments), WARNING)
            write_text(out / PAGE, page)
    say(f"page (shows the originals too): {out / PAGE}")
    say(WARNING)
    return 1 if failed else 0


def _complete(arguments: argparse.Namespace) -> None:
    """Settings that follow from others."""
    has_share = arguments.keep is not None or arguments.keep_rate is not None
    if arguments.model is None:
        arguments.model = EMBEDDED if has_share else "none"
    if arguments.model == EMBEDDED and Path(EMBEDDED).exists():
        raise ConfigError(
            f"--model {EMBEDDED} is the anonymiser that ships, and there is ./{EMBEDDED} as well; name that one as "
            f"./{EMBEDDED}, or run the command elsewhere"
        )


def _check(arguments: argparse.Namespace) -> None:
    for name in ("keep", "keep_rate"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value <= 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {value:g}; allowed: above 0, to 1")
    if arguments.keep is not None and arguments.keep_rate is not None:
        raise ConfigError("--keep and --keep-rate both say how much stays; give one of them")
    if arguments.model == "none" and (arguments.keep is not None or arguments.keep_rate is not None):
        raise ConfigError(
            "with --model none no tubelets are pruned, so --keep and --keep-rate say nothing; leave --model away"
        )
    if arguments.model == "none" and arguments.people == "none":
        raise ConfigError("without --model and with --people none nothing is hidden; name a model, or --people body")


def _load(arguments: argparse.Namespace, warn: Callable[[str], None]) -> _Networks:
    networks = _Networks(anonymizer=None if arguments.model == "none" else Anonymizer.load(arguments.model))
    needs_people = networks.anonymizer is not None and networks.anonymizer.is_shown_people
    if arguments.people is None:
        arguments.people = "face" if needs_people else "body"
    if needs_people and arguments.people != "face":
        raise ConfigError(
            f"--people is {arguments.people}, and --model {arguments.model} prunes round people and shows a part of "
            "them; give --people face, or leave --model and --keep away to hide whole bodies"
        )
    if arguments.people != "none":
        from tubelet.people.detector import load_detector
        from tubelet.people.landmarks import LandmarkModel

        networks.detector, networks.landmarks = load_detector(arguments.detector), LandmarkModel()
    if arguments.people == "face":
        from tubelet.people.faces import FaceDetector

        networks.faces = FaceDetector(notify=warn)
    return networks


def _warn_if_untrained(anonymizer: Anonymizer, arguments: argparse.Namespace, warn: Callable[[str], None]) -> None:
    """Say what is unusual about the share that stays."""
    if 1 in (arguments.keep, arguments.keep_rate):
        warn(f"{'--keep' if arguments.keep == 1 else '--keep-rate'} 1 removes no tubelet")
        return
    trained = anonymizer.pruning.final_keep
    asked = arguments.keep if arguments.keep is not None else DEFAULT_KEEP
    if arguments.keep_rate is None and not 0.6 * trained <= asked <= min(1.0, 1.6 * trained):
        warn(
            f"--keep {asked:g} is far from what the model was trained with ({trained:.2f}); "
            "the choice of tubelets may be poor"
        )


def _hide(
    source: Source,
    stem: str,
    out: Path,
    networks: _Networks,
    arguments: argparse.Namespace,
    progress: Progress,
) -> Applied:
    info = probe(source.name)
    anonymizer, keep = networks.anonymizer, arguments.keep
    if keep is None and arguments.keep_rate is None:
        keep = DEFAULT_KEEP
    hider = Hider(
        anonymizer=anonymizer,
        keep=keep if anonymizer is not None else None,
        keep_rate=arguments.keep_rate,
        temporal=arguments.temporal,
        fill=arguments.fill,
        people=networks.people(arguments.people),
        step_s=1 / 15 if anonymizer is None else float(anonymizer.facts.get("step_s", 1 / 15)),
    )
    line = progress.add(f"hiding {source.label}", info.num_frames, "frames")
    applied = hide_video(
        source, hider, stem, out, facts={"settings": _settings(arguments)}, keep_audio=arguments.keep_audio, line=line
    )
    line.finish()
    return applied


def _measured(
    source: Source,
    applied: Applied,
    networks: _Networks,
    arguments: argparse.Namespace,
    warn: Callable[[str], None],
) -> Shown:
    """What is left to see, where that was asked for; a video that cannot be measured is hidden all the same."""
    if not arguments.measure:
        return Shown(applied=applied, left={})
    from tubelet.methods.anonymization.leftover import load_lookers, measure_leftover

    try:
        if networks.lookers is None:
            networks.lookers = load_lookers(networks.faces, notify=warn)
        left = measure_leftover(
            Path(source.name), applied.video_path, lookers=networks.lookers, detector=arguments.detector
        )
    except (TubeletError, OSError, ValueError) as error:  # the next videos are hidden all the same
        warn(f"{source.label}: hidden, but what is left could not be measured: {error}")
        return Shown(applied=applied, left={}, why_not=str(error))
    return Shown(applied=applied, left=left)


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("model", "keep", "keep_rate", "temporal", "people", "fill", "detector", "keep_audio")
    settings = {name: getattr(arguments, name) for name in names}
    settings["model"] = Path(settings["model"]).name  # not where it lies on this machine
    settings["model_sha256"] = None if arguments.model == "none" else file_sha256(Anonymizer.file_of(arguments.model))
    if settings["keep"] is None and settings["keep_rate"] is None and settings["model"] != "none":
        settings["keep"] = DEFAULT_KEEP
    settings["fill_carries_removed_pixels"] = arguments.fill in DERIVED_FROM_REMOVED
    return settings


def _said(applied: Applied) -> str:
    where = " round people" if applied.prunes_round_people else ""
    tubelets = "" if applied.tubelets_kept is None else f"{applied.tubelets_kept:.0%} of the tubelets{where} and "
    sound = "; the source has no sound to keep" if applied.sound == "none in the source" else ""
    short = "; shorter than one window of the model" if applied.is_shorter_than_window else ""
    return f"({applied.num_frames} frames; {tubelets}{applied.pixels_kept:.0%} of the pixels left{short}{sound})"


def _stems(sources: list[Source]) -> list[str]:
    """Names for the results; those that are taken get a number."""
    used: set[str] = set()
    stems = []
    for source in sources:
        stem = Path(source.name).stem
        numbered = (stem, *(f"{stem}_{number}" for number in range(2, len(sources) + 2)))
        stems.append(next(name for name in numbered if name not in used))
        used.add(stems[-1])
    return stems
