"""Questions about video files: from JSON lines and videos to a trained run and its Report."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from tests.support.media import make_video, number_of

from tubelet.cli.main import main
from tubelet.errors import ConfigError, DatasetError, VideoReadError
from tubelet.methods.token_pruning.questions import VideoQuestionSource, spread_frames
from tubelet.methods.token_pruning.recipes import QuestionData, video_questions
from tubelet.methods.token_pruning.words import plain_text
from tubelet.runs import Report
from tubelet.video import read_frames

SMALL = [
    *("--set", "num_steps=2", "--set", "batch_size=3", "--set", "num_threads=1", "--set", "data.num_frames=4"),
    *(
        "--set",
        "shape.channels=32",
        "--set",
        "shape.depth=4",
        "--set",
        "shape.lm_width=32",
        "--set",
        "shape.lm_depth=2",
    ),
    *("--set", "data.size_px=24", "--set", "shape.size_px=24"),
]


def questions(folder: Path, *, num_videos: int = 6, **changes: object) -> Path:
    """Two questions about each video, a third of the videos in each split."""
    lines = []
    for number in range(num_videos):
        name = f"v{number}.mp4"
        make_video(folder / name, width=64, height=48, num_frames=12, seed=number)
        for question, choices in (("Who’s there?", ["A cat", "a dog…"]), ("Übrigens – where?", ["left", "right"])):
            line = {"video": name, "question": question, "choices": choices, "answer": number % 2}
            lines.append(line | {"split": ("train", "val", "test")[number % 3]} | changes)
    path = folder / "questions.jsonl"
    path.write_text(
        "".join(json.dumps({key: value for key, value in line.items() if value is not None}) + "\n" for line in lines)
    )
    return path


def test_a_run_is_trained_and_a_broken_video_is_listed(tmp_path: Path) -> None:
    path, run = questions(tmp_path), tmp_path / "run"
    (tmp_path / "v5.mp4").write_text("no video")  # of the test part
    asked = ("train", "token_pruning:video_questions", "--out", str(run), "--set", f"data.path={path}")
    assert main([*asked, *SMALL]) == 0
    assert main(["evaluate", str(run)]) == 1  # not all was scored
    report = Report.read(run / "evaluation" / "report.json")
    assert (report.num_expected, report.num_scored) == (4, 2)
    assert [failure.item for failure in report.failures] == ["v5.mp4#11", "v5.mp4#12"]
    assert "cannot be read" in report.failures[0].reason or "v5.mp4" in report.failures[0].reason
    assert report.metrics["kept_at_0.5_removed"].value == pytest.approx(0.5, abs=0.05)
    assert report.metrics["accuracy_at_0.5_removed"].n == 2
    options = ("--rounds", "1", "--budgets", "0.5", "--threads", "1", "--out", str(tmp_path / "dial"))
    assert main(["token_pruning", "bench", str(run), *options]) == 0


def test_frames_are_spread_and_the_last_one_is_there(tmp_path: Path) -> None:
    long, short = (make_video(tmp_path / f"{count}.mp4", width=64, num_frames=count) for count in (31, 3))
    whole = [number_of(frame.image) for frame in read_frames(long)]
    spread = [number_of(frame) for frame in spread_frames(long, 4, 64)]
    assert spread[0] == whole[0]
    assert spread[-1] == whole[-1]
    assert np.ptp(np.diff(spread)) <= 1
    assert len(spread_frames(short, 8, 64)) == 3
    with pytest.raises(VideoReadError):
        spread_frames(tmp_path / "none.mp4", 4, 64)


def test_short_videos_are_told_of_once(tmp_path: Path) -> None:
    source = VideoQuestionSource(QuestionData(path=str(questions(tmp_path)), num_frames=16, size_px=24))
    with pytest.warns(UserWarning, match="has 12 frames, fewer than data.num_frames, which is 16") as told:
        batch = source.training_batch(0, batch_size=4, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(source.evaluation("test", batch_size=2))
    assert len(told) == 1
    assert batch.clip_lengths.tolist() == [12] * 4


def test_a_step_follows_from_its_number(tmp_path: Path) -> None:
    data = QuestionData(path=str(questions(tmp_path)), num_frames=4, size_px=24)
    first, again = (VideoQuestionSource(data).training_batch(3, batch_size=2, seed=1) for _ in range(2))
    assert first.questions == again.questions
    assert bool((first.frames == again.frames).all())


def test_splits_are_drawn_by_video_where_the_file_has_none(tmp_path: Path) -> None:
    source = VideoQuestionSource(QuestionData(path=str(questions(tmp_path, num_videos=20, split=None)), num_frames=2))
    counts = [source.num_expected(split) for split in ("train", "val", "test")]
    assert sum(counts) == 40
    assert all(count % 2 == 0 for count in counts)  # both questions of a video are in one
    assert "split by video" in source.name
    few = QuestionData(path=source.data.path, num_test=1)
    assert VideoQuestionSource(few).num_expected("test") == 1


def test_words_are_written_in_the_vocabulary() -> None:
    assert plain_text("Who’s  “first” – Zoë?") == "who's 'first' - zoe?"
    assert plain_text("5 % & [more]…") == "5 percent and (more)..."
    with pytest.raises(ValueError, match="'猫' has .*, which the vocabulary has nothing for"):
        plain_text("猫")


def test_what_cannot_be_asked_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data.path is empty; name the file of questions"):
        VideoQuestionSource(QuestionData())
    path = questions(tmp_path, num_videos=3, question="什么?")
    with pytest.raises(DatasetError, match=r"v0\.mp4#1: .*has nothing for.*write it in other words"):
        VideoQuestionSource(QuestionData(path=str(path)))
    path = questions(tmp_path, num_videos=3, choices=["Cat", "cat"])
    with pytest.raises(DatasetError, match="give choices that differ in more than capitals"):
        VideoQuestionSource(QuestionData(path=str(path)))
    path = questions(tmp_path, num_videos=3, split="test")
    with pytest.raises(DatasetError, match="no questions for train, val"):
        VideoQuestionSource(QuestionData(path=str(path)))
    with pytest.raises(ValueError, match="num_frames is 1; allowed: 2 or more"):
        QuestionData(num_frames=1)
    path = questions(tmp_path)
    for number in range(6):
        (tmp_path / f"v{number}.mp4").write_text("no video")
    source = VideoQuestionSource(QuestionData(path=str(path)))
    with pytest.raises(DatasetError, match="of its videos cannot be read|no video of step 0 can be read"):
        source.training_batch(0, batch_size=4, seed=0)


def test_the_recipe_can_be_had_without_a_file() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(video_questions().data, QuestionData)
