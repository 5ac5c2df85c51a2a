"""Questions about real videos: frames spread over each video, words as the language model knows them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from tubelet.datasets.labelled import Split
from tubelet.datasets.loader import FailureLimit
from tubelet.datasets.video_questions import VideoQuestion, read_video_questions
from tubelet.errors import ConfigError, DatasetError, VideoReadError
from tubelet.methods.token_pruning.data import NeedleSource, QuestionBatch, QuestionSource, batch_of
from tubelet.methods.token_pruning.recipes import QuestionData, TokenPruningConfig
from tubelet.methods.token_pruning.words import PLAIN, Words, words_of
from tubelet.training.seed import step_generator
from tubelet.video import VideoReader

_ORDER = 11  # stream of random numbers: which questions a step asks
_MOST_CACHED_BYTES = 2**29


@dataclass(frozen=True, kw_only=True)
class VideoClip:
    """A question with the frames of its video.

    Attributes:
        id: Of the question.
        frames: RGB.
        question: In the vocabulary's characters.
        choices: Likewise.
        answer: Index into them.
        stratum: One for all.
        digit_ids: Number of the video: answers about one video are not independent.
    """

    id: str
    frames: UInt8[np.ndarray, "time height width 3"]
    question: str
    choices: tuple[str, ...]
    answer: int
    stratum: str
    digit_ids: tuple[int, ...]

    def evidence_groups(self, group_px: int) -> Bool[np.ndarray, "time rows columns"]:
        """Nowhere: it is not known where in a video an answer stands."""
        side = -(-self.frames.shape[1] // group_px)
        return np.zeros((len(self.frames), side, side), bool)

    def flicker_groups(self, group_px: int) -> Bool[np.ndarray, "time rows columns"]:
        """Nowhere."""
        return self.evidence_groups(group_px)


class VideoQuestionSource:
    """Questions of a file about videos.

    Args:
        data: Which.
        words: How they are written.

    Attributes:
        failures: Why videos could not be read, by the question's id.
        strata: Kinds of questions: one.

    Raises:
        ConfigError: No file is named.
        DatasetError: Questions cannot be read, have characters that cannot be written, or a split lacks them.
    """

    strata = ("question",)

    def __init__(self, data: QuestionData, words: Words = PLAIN) -> None:
        if not data.path:
            raise ConfigError("data.path is empty; name the file of questions: --set data.path=QUESTIONS.jsonl")
        self.data, self.words = data, words
        self.path = Path(data.path)
        found = read_video_questions(self.path, Path(data.root) if data.root else None)
        self.split_rule, self._of = _by_split(self.path, found)
        self._words = {each.id: _in_words(each, words) for each in found}
        self._numbers = {video: number for number, video in enumerate(dict.fromkeys(each.video for each in found))}
        self._frames: dict[Path, UInt8[np.ndarray, "time size size 3"]] = {}
        self._cached_bytes = 0
        self._reasons: dict[Path, str] = {}
        self._has_warned = False
        self.failures: dict[str, str] = {}

    @property
    def name(self) -> str:
        """What the set is called."""
        return f"questions of {self.path.name} ({self.split_rule})"

    def fingerprint(self) -> str:
        """Of the file of questions."""
        return f"sha256:{hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]}"

    def num_expected(self, split: Split) -> int:
        """Questions of a split, whether their videos can be read or not."""
        return len(self._asked(split))

    def training_batch(self, step: int, *, batch_size: int, seed: int) -> QuestionBatch:
        """Questions of a step, drawn without putting back; those whose video cannot be read are left out and counted.

        Raises:
            DatasetError: More videos cannot be read than may be, or none of the step.
        """
        questions = self._of["train"]
        size = min(batch_size, len(questions))
        chosen = step_generator(seed, step, _ORDER).permutation(len(questions))[:size]
        clips = self._readable([questions[int(number)] for number in chosen])
        if not clips:
            raise DatasetError(f"{self.path}: no video of step {step} can be read; run `tubelet check` on their folder")
        return batch_of(clips, self.words, step=step)

    def evaluation(self, split: Split, *, batch_size: int) -> Iterator[tuple[QuestionBatch, list[VideoClip]]]:
        """All questions of a split in order, without those whose video cannot be read.

        Raises:
            DatasetError: More videos cannot be read than may be, or none.
        """
        questions, num_read = self._asked(split), 0
        for step, first in enumerate(range(0, len(questions), batch_size)):
            clips = self._readable(questions[first : first + batch_size])
            num_read += len(clips)
            if clips:
                yield batch_of(clips, self.words, first=first, step=step), clips
        if not num_read:
            raise DatasetError(
                f"{self.path}: none of the {len(questions)} questions of {split} has a video that can be read"
            )

    def _asked(self, split: Split) -> list[VideoQuestion]:
        most = {"val": self.data.num_val, "test": self.data.num_test}.get(split)
        return self._of[split][:most]

    def _readable(self, questions: Sequence[VideoQuestion]) -> list[VideoClip]:
        clips = []
        for question in questions:
            frames = self._read(question)
            if frames is None:
                continue
            words, choices = self._words[question.id]
            clips.append(
                VideoClip(
                    id=question.id,
                    frames=frames,
                    question=words,
                    choices=choices,
                    answer=question.answer,
                    stratum=self.strata[0],
                    digit_ids=(self._numbers[question.video],),
                )
            )
        return clips

    def _read(self, question: VideoQuestion) -> UInt8[np.ndarray, "time size size 3"] | None:
        """Frames of a video, decoded once; None where it cannot be read."""
        video = question.video
        if video not in self._frames and video not in self._reasons:
            try:
                frames = spread_frames(video, self.data.num_frames, self.data.size_px)
            except VideoReadError as error:
                self._reasons[video] = str(error)
                limit = FailureLimit()
                seen = len(self._frames) + len(self._reasons)
                if not limit.allows(len(self._reasons), max(seen, len(self._numbers))):
                    raise DatasetError(
                        f"{self.path}: {len(self._reasons)} of its videos cannot be read, the last one: {error}; run "
                        "`tubelet check` on their folder"
                    ) from error
            else:
                self._tell_if_short(video, len(frames))
                if self._cached_bytes + frames.nbytes > _MOST_CACHED_BYTES:
                    return frames
                self._frames[video] = frames
                self._cached_bytes += frames.nbytes
        if video in self._reasons:
            self.failures[question.id] = self._reasons[video]
            return None
        return self._frames[video]

    def _tell_if_short(self, video: Path, num_frames: int) -> None:
        if num_frames < self.data.num_frames and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"{video.name} has {num_frames} frames, fewer than data.num_frames, which is {self.data.num_frames}; "
                "all frames of such videos are taken (this is told once)",
                stacklevel=2,
            )


def open_source(config: TokenPruningConfig) -> QuestionSource:
    """Where the clips of a config come from.

    Raises:
        ConfigError: No file of questions is named.
        DatasetError: Questions cannot be read.
        MissingExtraError: A library for the language model is not installed.
        WeightsError: Its file cannot be had.
    """
    data, words = config.data, words_of(config.shape.decoder)
    return VideoQuestionSource(data, words) if isinstance(data, QuestionData) else NeedleSource(data, words)


def spread_frames(path: Path, num_frames: int, size_px: int) -> UInt8[np.ndarray, "time size size 3"]:
    """Frames at equal distances, the last one among them, squeezed to squares; all of a video that has fewer.

    Args:
        path: Of the video.
        num_frames: 2 or more.
        size_px: Side of the squares.

    Raises:
        VideoReadError: The video cannot be read.

    Source: Molmo2 (arXiv:2601.10611): frames of a video are taken evenly, and its last one.
    """
    with VideoReader(path, num_threads=1) as reader:
        clip = reader.frames_at(np.linspace(0.0, reader.info.duration_s, num_frames))
    # Times between which no frame changes give the same frame twice.
    first = np.unique(clip.timestamps_s, return_index=True)[1]
    size = (size_px, size_px)
    return np.stack([cv2.resize(clip.frames[number], size, interpolation=cv2.INTER_AREA) for number in first])


def _in_words(question: VideoQuestion, vocabulary: Words) -> tuple[str, tuple[str, ...]]:
    """Question and choices as they are encoded."""
    try:
        choices = tuple(vocabulary.written(choice) for choice in question.choices)
        words = vocabulary.written(question.question)
    except ValueError as error:
        raise DatasetError(f"{question.id}: {error}; write it in other words") from error
    if len(set(choices)) < len(choices) or not all(choices):
        raise DatasetError(
            f"{question.id}: its choices {list(question.choices)} are written {list(choices)} in the vocabulary; give "
            "choices that differ in more than capitals, accents or marks"
        )
    return words, choices


def _by_split(path: Path, questions: Sequence[VideoQuestion]) -> tuple[str, dict[Split, list[VideoQuestion]]]:
    """Questions of each split: the file's own, and where it has none drawn by the video's name."""
    named = {question.split for question in questions}
    if None in named and len(named) > 1:
        raise DatasetError(f"{path}: some lines name a split and some do not; name it in all of them, or in none")
    of: dict[Split, list[VideoQuestion]] = {"train": [], "val": [], "test": []}
    rule = "its own splits"
    for question in questions:
        split = question.split
        share = int(hashlib.sha256(question.id.rpartition("#")[0].encode()).hexdigest()[:8], 16) / 2**32
        if split is None:
            rule = "split by video: 70 % train, 15 % val, 15 % test"
            split = "train" if share < 0.7 else "val" if share < 0.85 else "test"
        elif split == "train" and "val" not in named:
            rule = "its own splits, and 15 % of the training videos for validation"
            split = "val" if share < 0.15 else "train"
        of[split].append(question)
    empty = [split for split, found in of.items() if not found]
    if empty:
        raise DatasetError(
            f"{path}: no questions for {', '.join(empty)} ({rule}; {len(questions)} questions); name the split of each "
            "line, or add videos"
        )
    return rule, of
