"""Every error that tubelet raises on purpose.

    TubeletError
    ├── VideoError
    │   ├── VideoReadError      a file or camera cannot be read; carries `path` and a `cause` from READ_CAUSES
    │   └── VideoWriteError     a media file cannot be written
    ├── DatasetError            annotations or motion files are not what their format promises
    ├── WeightsError            a weights file is missing, damaged, or cannot be brought
    ├── ConfigError             a setting has a value that is not allowed
    ├── OutputExistsError       a result is already there and overwriting was not asked for
    ├── ReportError             a file of results (report, predictions, claims) is not one that this version can read
    ├── TrainingError           a training cannot go on: the loss is not a number, say
    ├── MissingExtraError       an optional dependency is needed; says what to install
    └── IncompleteEvaluationError   some expected items were not scored

Each message says what is wrong with the value, what is allowed, and what to do next. Misuse of the Python API by the
programmer (a wrong shape, a negative count) stays a plain `ValueError` or `TypeError`.
"""

from __future__ import annotations

import os

READ_CAUSES = (
    "missing",  # no such file
    "directory",  # a folder where a file was expected
    "permission",  # the operating system refused
    "empty",  # zero bytes
    "not_a_video",  # no known container format (wrong extension, a text file, …)
    "truncated",  # the file ends before its index or its data do
    "no_video_stream",  # a media file without pictures (audio only)
    "unsupported_codec",  # no decoder for the picture stream
    "corrupt",  # damaged data: packets or pictures cannot be decoded
    "no_frames",  # a video stream that yields no picture
    "absurd_metadata",  # size or rate that no real video has
    "unavailable",  # a camera or network stream that does not answer
)


class TubeletError(Exception):
    """Base of all errors that tubelet raises on purpose."""


class VideoError(TubeletError):
    """Something is wrong with a media file."""


class VideoReadError(VideoError):
    """A file, camera or network stream cannot be read.

    Args:
        path: What was to be read, as the user named it.
        cause: One of `READ_CAUSES`.
        detail: What was found, in one sentence, and what to do about it.
        time_s: Where in the video it happened, if known.

    Attributes:
        partial: What was made of the part before the damage, where something was: its type is the business of who
            sets it.
    """

    def __init__(self, path: str | os.PathLike[str], cause: str, detail: str, time_s: float | None = None) -> None:
        if cause not in READ_CAUSES:
            raise ValueError(f"cause is {cause!r}; allowed: {', '.join(READ_CAUSES)}")
        self.path = os.fspath(path)
        self.cause = cause
        self.detail = detail
        self.time_s = time_s
        self.partial: object | None = None
        where = "" if time_s is None else f" at {time_s:.2f} s"
        # A file may be named with bytes that are no text; a message can be printed and written all the same.
        shown = self.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        super().__init__(f"{shown}: {cause}{where}: {detail}")

    def __reduce__(self) -> tuple[type[VideoReadError], tuple[str, str, str, float | None]]:
        return (type(self), (self.path, self.cause, self.detail, self.time_s))


class VideoWriteError(VideoError):
    """A media file cannot be written."""


class DatasetError(TubeletError):
    """Annotations or motion files are not what their format promises."""


class WeightsError(TubeletError):
    """A weights file is missing, damaged, or cannot be brought to this machine."""


class ConfigError(TubeletError):
    """A setting has a value that is not allowed."""


class OutputExistsError(TubeletError):
    """A result is already there and overwriting was not asked for."""


class ReportError(TubeletError):
    """A file of results (report, predictions, claims) is not one that this version can read."""


class TrainingError(TubeletError):
    """A training cannot go on."""


class MissingExtraError(TubeletError):
    """An optional dependency is needed for what was asked."""


class IncompleteEvaluationError(TubeletError):
    """Some of the expected items could not be scored."""
