"""Questions about videos are read line by line, and what is wrong in one is told with its line and name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from miniature_datasets import put_videos

from tubelet.datasets.video_questions import read_video_questions
from tubelet.errors import DatasetError

GOOD = {"video": "a.mp4", "question": "Who enters?", "choices": ["a dog", "a cat"], "answer": 1, "split": "test"}


def file_of(root: Path, *items: object) -> Path:
    put_videos(root, ["a.mp4", "b.mp4"])
    path = root / "questions.jsonl"
    path.write_text("\n".join(item if isinstance(item, str) else json.dumps(item) for item in items) + "\n")
    return path


def test_questions_are_read(tmp_path: Path) -> None:
    other = {**GOOD, "video": "b.mp4", "answer": "a dog", "split": None, "more": 3}
    questions = read_video_questions(file_of(tmp_path, GOOD, "", other))
    assert [(q.id, q.video, q.answer, q.split) for q in questions] == [
        ("a.mp4#1", tmp_path / "a.mp4", 1, "test"),
        ("b.mp4#3", tmp_path / "b.mp4", 0, None),
    ]
    assert questions[0].question == "Who enters?" and questions[0].choices == ("a dog", "a cat")


def test_paths_begin_at_the_root(tmp_path: Path) -> None:
    path = file_of(tmp_path / "text", {**GOOD, "video": "videos/c.mp4"})
    put_videos(tmp_path / "data" / "videos", ["c.mp4"])
    assert read_video_questions(path, tmp_path / "data")[0].video == tmp_path / "data" / "videos" / "c.mp4"


def test_videos_that_are_missing_are_an_error_or_left_out(tmp_path: Path) -> None:
    path = file_of(tmp_path, GOOD, {**GOOD, "video": "gone.mp4"})
    with pytest.raises(DatasetError, match="1 of 2 videos that are listed are not there: gone.mp4"):
        read_video_questions(path)
    assert [q.id for q in read_video_questions(path, allow_missing=True)] == ["a.mp4#1"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("{", "is not JSON"),
        ([1], "is no object"),
        ({"video": "a.mp4"}, "lacks question, choices, answer"),
        ({**GOOD, "video": 3}, "video is 3; allowed: a text that is not empty"),
        ({**GOOD, "video": "a\0b"}, "video is 'a.*b'; allowed: the path of a video"),
        ({**GOOD, "question": " "}, "question is ' '; allowed"),
        ({**GOOD, "choices": "ab"}, "choices is 'ab'; allowed: a list of texts"),
        ({**GOOD, "choices": ["a", 1]}, r"choices is \['a', 1\]; allowed: a list of texts"),
        ({**GOOD, "choices": ["a"]}, r"choices is \['a'\]; allowed: two or more, each once"),
        ({**GOOD, "choices": ["a", "a "]}, r"choices is \['a', 'a '\]; allowed: two or more, each once"),
        ({**GOOD, "answer": 2}, r"answer is 2; allowed: a number from 0 to 1, or one of \['a dog', 'a cat'\]"),
        ({**GOOD, "answer": True}, "answer is True; allowed"),
        ({**GOOD, "answer": "a cow"}, "answer is 'a cow'; allowed"),
        ({**GOOD, "split": "other"}, "split is 'other'; allowed: train, val, test, or nothing"),
        ({**GOOD, "split": "train"}, r"split is 'train', but another question of this video is in 'test' \(line 1\)"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_name(tmp_path: Path, item: object, said: str) -> None:
    with pytest.raises(DatasetError, match=f"questions.jsonl, line 2: {said}"):
        read_video_questions(file_of(tmp_path, GOOD, item))
