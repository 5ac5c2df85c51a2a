"""The predictions file: written line by line, killed anywhere, gone on with, read with every fault named."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import predicted
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from tubelet.errors import ConfigError, OutputExistsError, ReportError
from tubelet.evaluation.predictions import read_predictions
from tubelet.evaluation.protocol import ViewProtocol
from tubelet.evaluation.writing import PredictionsWriter


def test_what_was_written_is_read(tmp_path: Path) -> None:
    clips = predicted.clips(5)
    with PredictionsWriter(tmp_path / "p.jsonl", predicted.header(num_expected=7)) as writer:
        for clip in reversed(clips[:4]):
            writer.write(clip, predicted.logits(clip))
        writer.write_failure(clips[4], "truncated")
    found = read_predictions(tmp_path / "p.jsonl")
    assert found.header == predicted.header(num_expected=7)
    assert found.clips == tuple(sorted(clips[:4], key=lambda clip: clip.id))
    for clip, row, single in zip(found.clips, found.log_probabilities, found.single_view_right, strict=True):
        logits = predicted.logits(clip)
        assert np.exp(row) == pytest.approx(scipy.special.softmax(logits, axis=1).mean(axis=0), abs=1e-6)
        assert single == (logits.argmax(axis=1) == clip.labels[0]).mean()
    assert [failure.item for failure in found.failures] == [
        clips[4].id,
        "clip without a line, 1 of 2",
        "clip without a line, 2 of 2",
    ]
    assert found.groups == [clip.group for clip in found.clips]


def test_several_labels_are_sigmoids(tmp_path: Path) -> None:
    clips = [replace(clip, labels=(0, 2) if index else ()) for index, clip in enumerate(predicted.clips(2))]
    with PredictionsWriter(tmp_path / "p.jsonl", predicted.header(num_expected=2, is_multi_label=True)) as writer:
        for clip in clips:
            writer.write(clip, 50 * predicted.logits(clip))
    found = read_predictions(tmp_path / "p.jsonl")
    for clip, row in zip(found.clips, found.log_probabilities, strict=True):
        assert np.exp(row) == pytest.approx(scipy.special.expit(50 * predicted.logits(clip)).mean(axis=0), abs=1e-5)
    assert found.positive.sum(axis=1).tolist() == [len(clip.labels) for clip in found.clips]
    assert np.isnan(found.single_view_right).all()


def test_a_file_that_is_cut_off_anywhere_is_gone_on_with(tmp_path: Path) -> None:
    clips, header = predicted.clips(4), predicted.header(num_expected=4)
    whole = predicted.write(tmp_path / "whole.jsonl", num_expected=4).read_bytes()
    path = tmp_path / "cut.jsonl"
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with PredictionsWriter(path, header, resume=True) as writer:
            for clip in clips:
                if clip.id not in writer.done:
                    writer.write(clip, predicted.logits(clip))
        assert path.read_bytes() == whole, length


def test_clips_that_failed_are_tried_again_and_the_later_line_counts(tmp_path: Path) -> None:
    clips, header, path = predicted.clips(2), predicted.header(num_expected=2), tmp_path / "p.jsonl"
    with PredictionsWriter(path, header) as writer:
        writer.write(clips[0], predicted.logits(clips[0]))
        writer.write_failure(clips[1], "took too long")
    with PredictionsWriter(path, header, resume=True) as writer:
        assert writer.done == {clips[0].id}
        writer.write(clips[1], predicted.logits(clips[1]))
    assert len(read_predictions(path).clips) == 2
    assert read_predictions(path).failures == ()


def test_every_line_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    clips = predicted.clips(3)
    with PredictionsWriter(tmp_path / "p.jsonl", predicted.header(num_expected=3)) as writer:
        for number, clip in enumerate(clips, start=1):
            writer.write(clip, predicted.logits(clip))
            assert len(read_predictions(tmp_path / "p.jsonl").clips) == number


def test_another_evaluation_is_not_mixed_in(tmp_path: Path) -> None:
    path = predicted.write(tmp_path / "p.jsonl", num_expected=3)
    with pytest.raises(OutputExistsError, match="is there already; go on with it by resuming"):
        PredictionsWriter(path, predicted.header(num_expected=3))
    with pytest.raises(ConfigError, match="was begun with another dataset_fingerprint, model; one file holds one"):
        PredictionsWriter(
            path, predicted.header(num_expected=3, model={"name": "other"}, dataset_fingerprint="ff"), resume=True
        )
    with pytest.raises(ConfigError, match="another protocol"):
        PredictionsWriter(path, predicted.header(num_expected=3, num_clips=5), resume=True)
    with PredictionsWriter(path, predicted.header(num_expected=3, command="typed otherwise"), resume=True) as writer:
        assert len(writer.done) == 3


def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = predicted.clips(2)
    writer = PredictionsWriter(tmp_path / "p.jsonl", predicted.header(num_expected=2), sync_every=1)
    writer.write(clips[0], predicted.logits(clips[0]))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="No space left on device.*make room or give another --out"):
            writer.write(clips[1], predicted.logits(clips[1]))
    writer.close()
    assert clips[0].id in read_predictions(tmp_path / "p.jsonl").ids
    with pytest.raises(ConfigError, match="predictions cannot be written"):
        PredictionsWriter(tmp_path / "no" / "p.jsonl", predicted.header())


def test_what_is_not_finite_is_a_failure(tmp_path: Path) -> None:
    clips, path = predicted.clips(2), tmp_path / "p.jsonl"
    with PredictionsWriter(path, predicted.header(num_expected=2)) as writer:
        said = predicted.logits(clips[0])
        said[1, 0] = math.nan
        writer.write(clips[0], said)
        writer.write(clips[1], predicted.logits(clips[1]))
    assert [(failure.item, failure.reason) for failure in read_predictions(path).failures] == [
        (clips[0].id, "the network's output is not finite (NaN or infinity)")
    ]
    lines = path.read_text().splitlines()  # another program may write what is not finite itself
    row = json.loads(lines[2])
    row["logits"][0][0] = math.inf
    path.write_text("\n".join([lines[0], json.dumps(row)]) + "\n")
    assert "not finite" in read_predictions(path).failures[0].reason


def test_the_programmer_is_told_of_wrong_shapes(tmp_path: Path) -> None:
    clip = predicted.clips(1)[0]
    with PredictionsWriter(tmp_path / "p.jsonl", predicted.header()) as writer:
        with pytest.raises(ValueError, match="5 logits for 6 classes"):
            writer.write(clip, np.zeros((2, 5)))
        with pytest.raises(ValueError, match="3 views of .*; the protocol has 2"):
            writer.write(clip, np.zeros((3, 6)))


LINE_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"id": ""}, "id is wrong; allowed: a text that is not empty"),
    ({"group": 3}, "group is wrong"),
    ({"labels": [6]}, "rising class numbers, 0 to 5"),
    ({"labels": [True]}, "rising class numbers, 0 to 5"),
    ({"labels": [1, 0]}, "rising class numbers"),
    ({"labels": []}, "exactly one: the file is single-label"),
    ({"labels": [0, 1]}, "exactly one: the file is single-label"),
    ({"duration_s": -1}, "0 or more seconds, or null"),
    ({"path": None}, "path of .* is wrong; allowed: a text"),
    ({"logits": [[0.0] * 6]}, "2 x 6 numbers"),
    ({"logits": [[0.0] * 6, [0.0] * 5]}, "2 x 6 numbers"),
    ({"logits": [[0.0] * 6, ["0"] * 6]}, "2 x 6 numbers"),
    ({"logits": 3}, "2 x 6 numbers"),
    ({"error": "and logits"}, "either `logits` or `error`"),
    ({"score": 3}, "field score is wrong"),
]


@pytest.mark.parametrize(("change", "message"), LINE_FAULTS)
def test_a_wrong_line_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = predicted.write(tmp_path / "p.jsonl", num_expected=3)
    lines = path.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | change)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ReportError, match=f"p.jsonl, line 3: .*{message}"):
        read_predictions(path)


HEADER_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"schema": "tubelet.predictions/9"}, "its schema is 'tubelet.predictions/9'; this version reads"),
    ({"classes": ["a", "a"]}, "different names, one or more"),
    ({"classes": "ab"}, "a list of names"),
    ({"num_expected": -1}, "num_expected is wrong; allowed: 0 or more"),
    ({"protocol": {"num_frames": 8}}, "protocol lacks decoder; it holds"),
    ({"protocol": 3}, "protocol is wrong; allowed: an object"),
    ({"more": 1}, "the first line has unknown more; it holds"),
    ({"seed": "x"}, "seed is wrong"),
    ({"model": "x"}, "model is wrong; allowed: an object"),
    ({"is_multi_label": 1}, "true or false"),
]


@pytest.mark.parametrize(("change", "message"), HEADER_FAULTS)
def test_a_wrong_first_line_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = predicted.write(tmp_path / "p.jsonl", num_expected=1)
    lines = path.read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | change)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ReportError, match=f"line 1: .*{message}"):
        read_predictions(path)


def test_other_faults_are_named(tmp_path: Path) -> None:
    path = predicted.write(tmp_path / "p.jsonl", num_expected=2)
    lines = path.read_text().splitlines()
    cases = {
        "\n".join([*lines, lines[1]]) + "\n": "line 4: clip .* is scored already, in line 2",
        "\n".join([lines[0], "{", lines[1]]) + "\n": "line 2: is not JSON",
        "\n".join(
            [lines[0].replace('"num_expected": 2', '"num_expected": 1'), *lines[1:]]
        ): "2 clips, though the first",
        "": "has no whole line",
        "[1]\n": "line 1: its schema is None",
    }
    for text, message in cases.items():
        path.write_text(text)
        with pytest.raises(ReportError, match=message):
            read_predictions(path)
    with pytest.raises(ReportError, match="cannot be read"):
        read_predictions(tmp_path)
    with pytest.raises(ValueError, match="protocol.num_clips is wrong; allowed: 1 or more"):
        ViewProtocol(num_clips=0, num_frames=8, size_px=112, decoder="PyAV")


@given(st.binary(max_size=200))
def test_no_bytes_bring_the_reader_down(content: bytes) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"tubelet-predictions-{os.getpid()}.jsonl"
    path.write_bytes(content)
    try:
        with pytest.raises(ReportError):
            read_predictions(path)
    finally:
        path.unlink()


def test_the_protocol_in_words() -> None:
    many = ViewProtocol(num_clips=10, num_crops=3, num_frames=16, step_s=0.1, size_px=224, decoder="PyAV 17")
    assert many.sentence() == (
        "Each clip seen in 10 x 3 views (places in time x crops) of 16 frames 0.1 s apart, 224 x 224 pixels (crop), "
        "decoded by PyAV 17. The probability of a class is its mean over the views, each after the softmax."
    )
    one = ViewProtocol(num_frames=8, size_px=112, decoder="PyAV 17", corruption="blur, severity 2")
    assert "in one view of 8 frames spread over the clip" in one.sentence()
    assert "spoilt on purpose: blur, severity 2." in one.sentence()
    assert "mean" not in one.sentence()
    joints = ViewProtocol(fit="joints of the main person", decoder="PyAV 17")
    assert joints.sentence() == (
        "Each clip seen in one view of all its frames, (joints of the main person), decoded by PyAV 17."
    )
