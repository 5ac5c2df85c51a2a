"""The check itself: look into every file, note what is found, tell what is wrong, write it down."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tubelet.datasets.check.duplicates import find_copies, find_scenes
from tubelet.datasets.check.facts import Facts
from tubelet.datasets.check.findings import (
    Finding,
    balance_findings,
    broken_findings,
    duplicate_findings,
    label_findings,
    leak_findings,
    media_findings,
)
from tubelet.datasets.check.journal import JOURNAL_NAME, Entry, Journal
from tubelet.datasets.check.leakage import Duplicate, Shared, duplicates, shared_by_splits, shared_scenes
from tubelet.datasets.check.page import render_page
from tubelet.datasets.check.pictures import duplicate_pictures
from tubelet.datasets.check.probe import SPANS_PER_TASK, FileTask, Span, examine
from tubelet.datasets.check.sketch import Sketch
from tubelet.datasets.check.summary import document
from tubelet.datasets.labelled import ClipSet
from tubelet.datasets.quarantine import QUARANTINE_NAME, QuarantinedClip, write_quarantine
from tubelet.datasets.sampling import Sampling
from tubelet.datasets.workers import FAILURES, ItemFailure, ordered_map
from tubelet.errors import ConfigError
from tubelet.runs import Progress, installed_versions, this_command, write_json, write_text

CHECK_NAME = "check.json"
PAGE_NAME = "check.html"
# What may have been the machine's fault and not the file's is tried again by the next check.
_TRIED_AGAIN = frozenset({"time_out", "worker_died", "out_of_memory", "system", "permission", "missing"})
# Damaged files raise what they like inside of a decoder; one of them must not end the check of the others.
_FAILURES = (*FAILURES, ValueError, ArithmeticError, LookupError, RuntimeError)
_MAX_DEATHS = 100
_PREFETCH_PER_WORKER = 32
_WEIGHTS = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What a check came to.

    Attributes:
        out: The folder with check.json, check.html and quarantine.jsonl.
        document: What check.json holds.
        findings: What is wrong, worst first.
        quarantined: The clips that training leaves out.
        num_resumed: How many clips were known from an earlier check.
    """

    out: Path
    document: dict[str, Any]
    findings: tuple[Finding, ...]
    quarantined: tuple[QuarantinedClip, ...]
    num_resumed: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found that costs clips or makes scores untrue."""
        return not any(finding.weight == "error" for finding in self.findings)


def check_clips(
    clips: ClipSet,
    out: str | os.PathLike[str],
    *,
    num_workers: int,
    resume: bool = True,
    timeout_s: float = 60.0,
    sampling: Sampling | None = None,
    drop_duplicates: bool = False,
    known: Sequence[Finding] = (),
    progress: Progress | None = None,
) -> CheckResult:
    """Look into every file of a set and write check.json, check.html and quarantine.jsonl.

    A check that was ended in any way goes on where it was: files that have not changed are not read again.

    Args:
        clips: What the annotations say.
        out: Folder for the results, made where it is missing.
        num_workers: Processes that decode; 0 decodes here, where a file that hangs cannot be stopped.
        resume: Use what an earlier check in `out` found of files that have kept their size and time.
        timeout_s: For the first, middle and last pictures of a file and of up to 8 clips in it.
        sampling: What a network will be given of a clip; the default one tells which clips are too short.
        drop_duplicates: Put into quarantine what shows the same as a clip of another split: of train and test the one
            in train, of train and val too, of val and test the one in val.
        known: What is wrong with the annotations already; it is reported with the rest.
        progress: Where to show a bar; None for one of its own.

    Raises:
        ConfigError: `out` cannot be written to, or the disk is full.
        DatasetError: The worker processes die one after the other.
    """
    folder = Path(out)
    began_s = time.monotonic()
    _make_writable(folder)
    sampling = Sampling() if sampling is None else sampling
    facts = Facts(len(clips))
    with _telling_of_full_disk(folder), Journal(folder / JOURNAL_NAME, fresh=not resume) as journal:
        plan = _Plan(clips)
        num_resumed = _take_over(plan, facts, journal)

        def read_sketch(index: int) -> Sketch:
            sketch: Sketch = journal.read_sketch(int(facts.offset[index]), int(facts.number[index]))
            return sketch

        with Progress() if progress is None else progress as bars:
            _examine_rest(plan, facts, journal, bars, num_workers=num_workers, timeout_s=timeout_s)
            bar = bars.add("comparing clips")
            found = duplicates(clips, find_copies(facts, read_sketch))
            leaks = _leaks(clips, facts, read_sketch, found)
            bar.finish()
        quarantined = facts.quarantined([clip.id for clip in clips.clips])
        if drop_duplicates:
            quarantined += _dropped(clips, found, {one.id for one in quarantined})
        findings = _findings(clips, facts, found, leaks, sampling, known)
        result = document(
            clips,
            facts,
            findings=findings,
            found=found,
            leaks=leaks,
            num_quarantined=len(quarantined),
            about=_about(time.monotonic() - began_s, num_resumed, num_workers, timeout_s),
        )
        pictures = duplicate_pictures(clips, facts, found, num_workers=num_workers, timeout_s=timeout_s)
        write_quarantine(folder / QUARANTINE_NAME, quarantined, dataset=clips.name)
        write_json(folder / CHECK_NAME, result)
        write_text(folder / PAGE_NAME, render_page(result, pictures))
    return CheckResult(
        out=folder,
        document=result,
        findings=tuple(findings),
        quarantined=tuple(quarantined),
        num_resumed=num_resumed,
    )


class _Plan:
    """Which spans of which files are to be looked at, and whose they are; clips with one span share the work."""

    def __init__(self, clips: ClipSet) -> None:
        root = os.path.abspath(clips.root)
        self.path_of: dict[str, str] = {}
        self.clips_of: dict[str, dict[Span, list[int]]] = {}
        for index, clip in enumerate(clips.clips):
            path = os.path.abspath(clip.path)
            inside = path.startswith(root + os.sep)
            key = os.path.relpath(path, root) if inside else path
            self.path_of[key] = path
            self.clips_of.setdefault(key, {}).setdefault((clip.start_s, clip.end_s), []).append(index)

    def tasks(self, facts: Facts) -> list[FileTask]:
        """What is still to be done."""
        found = []
        for key, spans in self.clips_of.items():
            rest = [span for span, indices in spans.items() if not facts.is_done[indices[0]]]
            for begin in range(0, len(rest), SPANS_PER_TASK):
                found.append(FileTask(key, self.path_of[key], tuple(rest[begin : begin + SPANS_PER_TASK])))
        return found

    def note(self, facts: Facts, entry: Entry) -> None:
        """Take over a line of the journal."""
        spans = self.clips_of[entry.key]
        for number, span in enumerate(entry.spans):
            for index in spans.get((span["start_s"], span["end_s"]), ()):
                facts.note(index, entry, number)


def _take_over(plan: _Plan, facts: Facts, journal: Journal) -> int:
    """Use what an earlier check found of files that have not changed since; the number of clips."""
    stamps = {key: _stamp(path) for key, path in plan.path_of.items()}
    for entry in journal.entries():
        has_changed = stamps.get(entry.key, (-1, -1)) != (entry.size_bytes, entry.mtime_ns)
        if has_changed or any(span["cause"] in _TRIED_AGAIN for span in entry.spans):
            continue
        plan.note(facts, entry)
    return int(facts.is_done.sum())


def _examine_rest(
    plan: _Plan, facts: Facts, journal: Journal, bars: Progress, *, num_workers: int, timeout_s: float
) -> None:
    tasks = plan.tasks(facts)
    if not tasks:
        return
    bar = bars.add("looking into files", total=len(tasks), unit="files")
    outcomes = ordered_map(
        examine,
        tasks,
        num_workers=min(num_workers, len(tasks)),
        prefetch=_PREFETCH_PER_WORKER * max(1, num_workers),
        timeout_s=timeout_s,
        max_deaths_in_a_row=_MAX_DEATHS,
        failures=_FAILURES,
    )
    for outcome in outcomes:
        task = outcome.task
        found = outcome.value if outcome.failure is None and outcome.value else _failed(task, outcome.failure)
        size_bytes, mtime_ns = _stamp(task.path)
        entry = journal.append(key=task.key, size_bytes=size_bytes, mtime_ns=mtime_ns, **found)
        plan.note(facts, entry)
        bar.advance()
    bar.finish()


def _failed(task: FileTask, failure: ItemFailure | None) -> dict[str, Any]:
    cause, reason = ("invalid", "nothing came back") if failure is None else (failure.cause, failure.reason)
    row = {"sketch": "", "cause": cause, "detail": reason, "time_s": None}
    return {"video": None, "spans": [{"start_s": start_s, "end_s": end_s, **row} for start_s, end_s in task.spans]}


def _stamp(path: str) -> tuple[int | None, int | None]:
    """Size and time of last writing; two times None where there is no such file."""
    try:
        status = os.stat(path)
    except OSError:
        return (None, None)
    return (status.st_size, status.st_mtime_ns)


def _leaks(
    clips: ClipSet, facts: Facts, read_sketch: Callable[[int], Sketch], found: Sequence[Duplicate]
) -> dict[str, Sequence[Shared]]:
    if len({clip.split for clip in clips.clips} - {None}) < 2:
        return {"groups": [], "files": [], "scenes": []}
    groups = shared_by_splits(clips, lambda clip: clip.group)
    named = {one.name for one in groups}
    # What is told of a group need not be told again of its files.
    group_of = {os.fspath(clip.path): clip.group for clip in clips.clips}
    files = shared_by_splits(clips, lambda clip: os.fspath(clip.path))
    files = [one for one in files if group_of[one.name] not in named]
    known = {index for one in found for index in (one.first, one.other)}
    scenes = [[index for index in scene if index not in known] for scene in find_scenes(facts, read_sketch)]
    return {"groups": groups, "files": files, "scenes": shared_scenes(clips, [scene for scene in scenes if scene])}


def _dropped(clips: ClipSet, found: Sequence[Duplicate], there: set[str]) -> list[QuarantinedClip]:
    """Of each two clips in different splits that show the same, the one that is not needed for measuring."""
    rows: dict[str, QuarantinedClip] = {}
    for one in found:
        if not one.is_leak:
            continue
        kept, gone = clips.clips[one.first], clips.clips[one.other]
        if gone.id not in there:
            detail = f"it shows what {kept.id} of {kept.split} shows"
            rows.setdefault(gone.id, QuarantinedClip(id=gone.id, cause="duplicate", detail=detail))
    return list(rows.values())


def _findings(
    clips: ClipSet,
    facts: Facts,
    found: Sequence[Duplicate],
    leaks: dict[str, Sequence[Shared]],
    sampling: Sampling,
    known: Sequence[Finding],
) -> list[Finding]:
    findings = [
        *known,
        *broken_findings(clips, facts),
        *label_findings(clips),
        *duplicate_findings(clips, found),
        *leak_findings(leaks["groups"], leaks["files"], leaks["scenes"]),
        *balance_findings(clips, facts),
        *media_findings(clips, facts, sampling),
    ]
    return sorted(findings, key=lambda finding: _WEIGHTS[finding.weight])


def _about(took_s: float, num_resumed: int, num_workers: int, timeout_s: float) -> dict[str, Any]:
    return {
        "tubelet": installed_versions()["tubelet"],
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": this_command(),
        "took_s": round(took_s, 2),
        "num_resumed": num_resumed,
        "settings": {"num_workers": num_workers, "timeout_s": timeout_s},
    }


def _make_writable(folder: Path) -> None:
    """Make the folder, and see that a file can be written in it, before hours of work.

    Raises:
        ConfigError: It cannot.
    """
    draft = folder / f".{secrets.token_hex(4)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise ConfigError(
            f"{folder}: results cannot be written here ({error.strerror or error}); "
            "name a folder that you may write to with --out"
        ) from error


@contextmanager
def _telling_of_full_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        raise ConfigError(
            f"{folder}: the results cannot be written ({error.strerror}); make room, or name another place with --out. "
            "What was found so far is kept, and the next check goes on from there"
        ) from error
