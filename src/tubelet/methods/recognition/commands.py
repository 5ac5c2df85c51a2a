"""What `tubelet recognize` does once its words are parsed."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from types import FrameType

import torch

from tubelet.errors import ConfigError, TubeletError, VideoReadError
from tubelet.methods.recognition.documents import Failure, actions_document, event_document, now_utc
from tubelet.methods.recognition.draw import draw_video
from tubelet.methods.recognition.outputs import ResultWriter, SourceWriter
from tubelet.methods.recognition.recognizer import Recognizer
from tubelet.methods.recognition.segmenter import ActionEvent
from tubelet.methods.recognition.timeline import UNKNOWN, Recognition
from tubelet.runs.memory import share_one_heap
from tubelet.runs.progress import Progress
from tubelet.video import Source, expand_sources, probe

DONE, FAILED, INTERRUPTED = 0, 1, 130
_PERHAPS = 0.25  # below this, naming the best class of an unknown stretch says more than is known


def recognize_sources(options: argparse.Namespace, *, command: str) -> int:
    """Recognises every source and reports; one that cannot be read becomes a listed failure and the others go on.

    Args:
        options: As `tubelet recognize` parses them.
        command: The command line, for the record.

    Returns:
        The exit code: 0 done, 1 some source failed, 130 interrupted.

    Raises:
        ConfigError: If options contradict each other.
        OutputExistsError: If results are in the way; nothing was done then.
    """
    _check(options)
    share_one_heap()
    sources = expand_sources(options.sources, leave_out=options.out)
    live = [source for source in sources if source.is_live]
    if live and len(sources) > 1:
        raise ConfigError(f"{live[0].name} is a live source; give it alone, it may never end")
    writer = None
    if options.out is not None:
        names = [source.label for source in sources]
        writer = ResultWriter(options.out, names, command=command, overwrite=options.overwrite)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        if writer is not None:
            stack.enter_context(writer)
        job = _Job(options, writer, progress)
        with job.interruptible():
            for source in sources:
                if not job.is_interrupted:
                    job.do(source)
    return job.report(command)


def _check(options: argparse.Namespace) -> None:
    start_s = options.start or 0.0
    if options.end is not None and options.end <= start_s:
        raise ConfigError(f"--end is {options.end:g} s; it must be later than --start ({start_s:g} s)")
    if options.out is not None and not options.out.strip():
        raise ConfigError("--out is empty; name a folder")
    for name, given in (("--overwrite", options.overwrite), ("--no-video", options.no_video)):
        if given and options.out is None:
            raise ConfigError(f"{name} is for results in a folder; name the folder with --out DIR")


def _say(sentence: str) -> None:
    print(f"tubelet: {sentence}", file=sys.stderr)


class _Job:
    """The sources of one command, one after the other."""

    def __init__(self, options: argparse.Namespace, results: ResultWriter | None, progress: Progress) -> None:
        self.is_interrupted = False
        self._options = options
        self._results = results
        self._progress = progress
        self._recognizer: Recognizer | None = None
        self._recognitions: list[Recognition] = []
        self._failures: list[Failure] = []
        self._num_sources = 0
        self._prints_events = False

    def _loaded(self) -> Recognizer:
        """The recogniser, loaded when the first readable source is there: a typo should not cost a download."""
        if self._recognizer is None:
            options = self._options
            task = self._progress.add("loading")
            self._recognizer = Recognizer(
                options.model,
                detector=options.detector,
                fast=options.fast,
                device=options.device,
                labels=None if options.labels is None else [label.strip() for label in options.labels.split(",")],
                min_score=options.min_score,
                min_duration_s=options.min_duration,
                token_budget=options.token_budget,
                notify=_say,
            )
            task.remove()
            torch.set_num_threads(
                1
            )  # the network is tiny: sharing it out costs more than it does, and the cores are busy
            found = self._recognizer.detector_name
            how = "" if found == "none" else f"people are found with {found}: "
            _say(f"{how}{self._recognizer.detector_reason}")
        return self._recognizer

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """The first Ctrl-C ends the reading, so that what was found is kept; the second stops at once."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            if self.is_interrupted:
                if self._results is not None:
                    _say(f"stopped at once; the sources that were complete are in {self._results.directory}")
                raise KeyboardInterrupt
            self.is_interrupted = True
            _say("stopping; what was found so far is kept (Ctrl-C again to stop at once)")

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def do(self, source: Source) -> None:
        """Recognises one source and writes what belongs to it."""
        self._num_sources += 1
        self._prints_events = source.is_live
        draws = not (self._options.no_video or source.is_live)
        try:
            num_frames = self._expected_frames(source)
        except VideoReadError as error:
            self._fail(source, error)
            return
        recognizer = self._loaded()  # not in a try: what is wrong here is wrong for every source
        try:
            if self._results is not None:
                with self._results.source(source.label, keeps_rows=draws) as sink:
                    self._recognize(recognizer, source, num_frames, sink)
                    if draws and not self.is_interrupted:
                        self._draw(source, sink)
            elif source.is_live and self._options.json:
                self._follow(recognizer, source)
            else:
                self._recognize(recognizer, source, num_frames, None)
        except (TubeletError, OSError) as error:
            self._fail(source, error)

    def _fail(self, source: Source, error: Exception) -> None:
        self._failures.append(Failure.of(source.label, error))
        if self._results is not None:
            self._results.fail(source.label, error)
        _say(f"error: {error}")

    def _follow(self, recognizer: Recognizer, source: Source) -> None:
        """Prints the events of a source that may never end, and keeps nothing."""
        for event in recognizer.stream(source, end_s=self._options.end, should_stop=lambda: self.is_interrupted):
            self._tell(source.label, event)

    def _recognize(
        self, recognizer: Recognizer, source: Source, num_frames: float | None, sink: SourceWriter | None
    ) -> None:
        task = self._progress.add(source.label, total=num_frames, unit="frames")
        try:
            recognition = recognizer.recognize(
                source,
                start_s=self._options.start,
                end_s=self._options.end,
                on_row=None if sink is None else sink.add,
                on_frame=lambda _: task.advance(),
                on_event=lambda event: self._tell(source.label, event),
                should_stop=lambda: self.is_interrupted,
            )
        except VideoReadError as error:
            if isinstance(error.partial, Recognition):
                self._keep(error.partial, source, sink)
            raise
        finally:
            task.finish()
        if self.is_interrupted:
            recognition.warnings.append(f"interrupted after {recognition.duration_s:.1f} s")
        self._keep(recognition, source, sink)

    def _keep(self, recognition: Recognition, source: Source, sink: SourceWriter | None) -> None:
        recognition.source = source.label
        self._recognitions.append(recognition)
        if sink is not None:
            sink.finish(recognition)

    def _draw(self, source: Source, sink: SourceWriter) -> None:
        """Draws the annotated video in a second pass, which live sources do not have."""
        if sink.recognition is None:
            return
        path = sink.media_path("annotated.mp4")
        task = self._progress.add(f"drawing {path.name}", total=sink.recognition.num_frames, unit="frames")
        offset_s = draw_video(
            source.name,
            sink.rows(),
            sink.recognition,
            path,
            start_s=self._options.start,
            end_s=self._options.end,
            on_frame=task.advance,
            should_stop=lambda: self.is_interrupted,
        )
        task.finish()
        if offset_s is not None:
            sink.add_video(path, offset_s=offset_s)

    def _expected_frames(self, source: Source) -> float | None:
        if source.is_live:
            return None
        info = probe(source.name)
        end_s = min(self._options.end or info.duration_s, info.duration_s)
        return max(round((end_s - (self._options.start or 0.0)) * info.average_fps), 1)

    def _tell(self, source: str, event: ActionEvent) -> None:
        """One line per event of a live source."""
        if not self._prints_events:
            return
        if self._options.json:
            print(json.dumps(event_document(source, event), ensure_ascii=False, allow_nan=False), flush=True)
        else:
            verb = "begins" if event.kind == "begin" else "ends"
            print(f"{event.time_s:>9.2f}s  person {event.track_id:<4} {event.label:<14} {verb}", flush=True)

    def report(self, command: str) -> int:
        """Prints the result and the failures, and gives the exit code."""
        if self._options.json and self._prints_events:
            for failure in self._failures:  # the reader of the lines must see it too
                print(json.dumps({"event": "failure", **asdict(failure)}, ensure_ascii=False), flush=True)
        elif self._options.json:
            document = actions_document(self._recognitions, self._failures, command=command, created=now_utc())
            print(json.dumps(document, ensure_ascii=False, allow_nan=False))
        else:
            for recognition in self._recognitions:
                print(to_table(recognition))
        if self._failures and self._num_sources > 1:
            _say(f"{len(self._failures)} of {self._num_sources} sources failed:")
            for failure in self._failures:
                print(f"  {failure.message}", file=sys.stderr)
        if self._results is not None and self._results.report_path.exists():
            print(f"report: {self._results.report_path}", file=sys.stderr if self._options.json else sys.stdout)
        if self.is_interrupted:
            return INTERRUPTED
        return FAILED if self._failures else DONE


def to_table(recognition: Recognition) -> str:
    """One line per segment, for a person to read."""
    start_s = recognition.settings.get("start_s") or 0.0
    span = f"{start_s:.1f} to {recognition.duration_s:.1f} s" if start_s else f"{recognition.duration_s:.1f} s"
    num_people = len(recognition.track_ids)
    who = "the whole picture" if recognition.detector == "none" else f"{num_people} people"
    head = f"{recognition.source}: {span}, {'1 person' if who == '1 people' else who}"
    notes = [f"  note: {warning}" for warning in recognition.warnings]
    if not recognition.segments:
        return "\n".join([head, "  nobody was found", *notes])
    lines = [head, f"  {'person':>6}  {'from':>8}  {'to':>8}  {'label':<14} {'probability':>11}"]
    for segment in recognition.segments:
        is_near = segment.label == UNKNOWN and segment.probability >= _PERHAPS
        note = f"  (perhaps {segment.best_label})" if is_near else ""
        lines.append(
            f"  {segment.track_id:>6}  {segment.start_s:>7.2f}s  {segment.end_s:>7.2f}s  {segment.label:<14} "
            f"{segment.probability:>11.2f}{note}"
        )
    return "\n".join(lines + notes)


__all__ = ["recognize_sources", "to_table"]
