"""Questions about video files with choices, one JSON object a line.

    {"video": "a/b.mp4", "question": "Who enters?", "choices": ["a dog", "a cat"], "answer": 1, "split": "test"}

`answer` is the number of the right choice, counted from 0, or the choice itself. `split` may be left out. Paths are
relative to the root, with `/`. There may be more names in an object.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tubelet.datasets.annotation_files import Place, line_of, read_lines, split_named
from tubelet.datasets.labelled import Split
from tubelet.datasets.video_files import check_name, left_out

_EXAMPLE = '{"video": "a.mp4", "question": "Who enters?", "choices": ["a dog", "a cat"], "answer": 1}'


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoQuestion:
    """A question about a video.

    Attributes:
        id: The path below the root and the line, which is unique within the file.
        video: The file.
        question: In words.
        choices: Possible answers, two or more.
        answer: Index of the right one.
        split: Which part of the data it belongs to, None where the file does not say.
    """

    id: str
    video: Path
    question: str
    choices: tuple[str, ...]
    answer: int
    split: Split | None = None


def read_video_questions(path: Path, root: Path | None = None, *, allow_missing: bool = False) -> list[VideoQuestion]:
    """Read questions, in the order of the file.

    Args:
        path: A file of JSON lines.
        root: Where paths of videos begin; the folder of the file if None.
        allow_missing: Leave out questions whose video is not there instead of refusing.

    Raises:
        DatasetError: The file cannot be read; a line is not such an object, the message says which line and name and
            what is allowed; questions of one video are in two splits; or videos are missing.
    """
    root = path.parent if root is None else root
    questions = []
    splits: dict[Path, tuple[Place, Split | None]] = {}
    for line, text in read_lines(path):
        place = line_of(path, line)
        question = _question(place, _object(place, text), root, line)
        before, split = splits.setdefault(question.video, (place, question.split))
        if split != question.split:
            raise place.error(
                f"split is {question.split!r}, but another question of this video is in {split!r} ({before.where}); "
                "keep all questions of a video in one split, or what is learnt of it is tested"
            )
        questions.append(question)
    missing = {question.video for question in questions if not os.path.isfile(question.video)}
    left_out(
        sorted(os.path.relpath(video, root) for video in missing),
        len({question.video for question in questions}),
        root,
        allow_missing=allow_missing,
    )
    return [question for question in questions if question.video not in missing]


def _object(place: Place, text: str) -> Mapping[str, object]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise place.error(f"is not JSON ({error}); write one object a line, such as {_EXAMPLE}") from error
    if not isinstance(values, dict):
        raise place.error(f"is no object; write one a line, such as {_EXAMPLE}")
    lacking = [name for name in ("video", "question", "choices", "answer") if name not in values]
    if lacking:
        raise place.error(f"lacks {', '.join(lacking)}; needed: {_EXAMPLE}")
    return values


def _question(place: Place, values: Mapping[str, object], root: Path, line: int) -> VideoQuestion:
    video = _text(place, values, "video")
    if "\0" in video:
        raise place.error(f"video is {video!r}; allowed: the path of a video")
    check_name(video, place.path)
    choices = _choices(place, values["choices"])
    split = None
    if values.get("split") not in (None, ""):
        split = split_named(str(values["split"]))
        if split is None:
            raise place.error(f"split is {values['split']!r}; allowed: train, val, test, or nothing")
    return VideoQuestion(
        id=f"{video}#{line}",
        video=Path(os.path.normpath(root / video)),
        question=_text(place, values, "question"),
        choices=choices,
        answer=_answer(place, values["answer"], choices),
        split=split,
    )


def _text(place: Place, values: Mapping[str, object], name: str) -> str:
    value = values[name]
    if not isinstance(value, str) or not value.strip():
        raise place.error(f"{name} is {value!r}; allowed: a text that is not empty")
    return value.strip()


def _choices(place: Place, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(choice, str) and choice.strip() for choice in value):
        raise place.error(f"choices is {value!r}; allowed: a list of texts that are not empty")
    choices = tuple(choice.strip() for choice in value)
    if len(set(choices)) != len(choices) or len(choices) < 2:
        raise place.error(f"choices is {value!r}; allowed: two or more, each once")
    return choices


def _answer(place: Place, value: object, choices: tuple[str, ...]) -> int:
    if isinstance(value, str) and value.strip() in choices:
        return choices.index(value.strip())
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(choices):
        return value
    raise place.error(f"answer is {value!r}; allowed: a number from 0 to {len(choices) - 1}, or one of {list(choices)}")
