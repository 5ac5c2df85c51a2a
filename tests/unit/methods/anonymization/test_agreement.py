"""Reading what `tubelet recognize` writes, and how much of it is said of the hidden video too."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from recognised import recognition, segment, track_row

from tubelet.errors import IncompleteEvaluationError, ReportError
from tubelet.methods.anonymization.agreement import Recognised, Track, agreement, read_results, recognise
from tubelet.methods.recognition.outputs import ResultWriter
from tubelet.video import VideoWriter


def track(track_id: int, x0: float, segments: list[tuple[float, float, str]], hz: float = 10.0) -> Track:
    """Somebody who stands at one place, 40 px wide and 100 px tall."""
    start_s, end_s = segments[0][0], segments[-1][1]
    times_s = np.arange(start_s, end_s - 1e-9, 1 / hz)
    return Track(
        track_id=track_id,
        start_s=start_s,
        end_s=end_s,
        times_s=times_s,
        boxes_px=np.tile([x0, 0.0, x0 + 40, 100.0], (len(times_s), 1)),
        segments=tuple(segments),
    )


def video(*tracks: Track) -> Recognised:
    return Recognised(duration_s=10.0, tracks=tracks)


WALKER = track(1, 0, [(0.0, 4.0, "walk"), (4.0, 6.0, "unknown"), (6.0, 10.0, "wave")])
STANDER = track(2, 200, [(1.0, 5.0, "stand")])


def test_a_video_agrees_with_itself() -> None:
    found = agreement(video(WALKER, STANDER), video(STANDER, WALKER))
    assert found.share.value == 1.0
    assert found.num_steps == 80 + 40  # the two seconds of "unknown" are not asked
    assert found.share.num_groups == 2
    assert found.share.low < 1.0


def test_nobody_there_disagrees() -> None:
    found = agreement(video(WALKER, STANDER), video())
    assert (found.share.value, found.num_steps) == (0.0, 120)
    assert found.share.high > 0.0


def test_nothing_named_in_the_original_cannot_be_measured() -> None:
    for original in (video(), video(track(1, 0, [(0.0, 5.0, "unknown")]))):
        found = agreement(original, video(WALKER))
        assert math.isnan(found.share.value)
        assert found.num_steps == 0


def test_labels_are_compared_time_by_time_and_place_by_place() -> None:
    result = video(
        track(7, 10, [(0.0, 3.0, "walk"), (3.0, 8.0, "wave"), (8.0, 10.0, "unknown")]),  # moved a little: IoU 0.6
        track(8, 230, [(1.0, 5.0, "stand")]),  # moved too far: IoU below 0.3
    )
    found = agreement(video(WALKER, STANDER), result)
    # Of the walker 3 s of 4 s of walking and 2 s of 4 s of waving, nothing of the other.
    assert found.share.value == pytest.approx(50 / 120)


def test_where_somebody_is_and_what_they_do_at_a_moment() -> None:
    moving = Track(
        track_id=1,
        start_s=1.0,
        end_s=3.0,
        times_s=np.array([1.0, 2.0]),
        boxes_px=np.array([[0.0, 0, 1, 1], [5.0, 0, 6, 1]]),
        segments=((1.0, 2.5, "walk"), (2.5, 3.0, "unknown")),
    )
    assert moving.box_at(0.99) is None
    assert moving.box_at(3.0) is None
    assert [moving.box_at(time_s)[0] for time_s in (1.0, 1.99, 2.0, 2.99)] == [0, 0, 5, 5]
    assert [moving.label_at(time_s) for time_s in (0.5, 1.0, 2.49, 2.5, 3.0)] == [
        "unknown", "walk", "walk", "unknown", "unknown",
    ]  # fmt: skip


def test_the_recognisers_own_files_are_read(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / "out", ["a.mp4", "b.mp4"]) as results:
        for name in ("a.mp4", "b.mp4"):
            with results.source(name) as sink:
                for number in range(3 if name == "a.mp4" else 0):
                    sink.add(track_row(1, number))
                segments = [segment(1, 0.0, 2.0, "walk"), segment(1, 2.0, 6.0, "unknown")] if name == "a.mp4" else []
                sink.finish(recognition(name, segments))
    first, second = read_results(tmp_path / "out")
    (only,) = first.tracks
    assert (only.track_id, only.start_s, only.end_s) == (1, 0.0, 6.0)
    assert only.segments == ((0.0, 2.0, "walk"), (2.0, 6.0, "unknown"))
    np.testing.assert_allclose(only.times_s, [0, 0.04, 0.08])
    np.testing.assert_allclose(only.boxes_px, [[100, 30, 150, 150]] * 3)
    assert first.duration_s == 6.0
    assert second.tracks == ()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"actions\.json: cannot be read as results"):
        read_results(tmp_path)
    (tmp_path / "actions.json").write_text(json.dumps({"schema": "tubelet.actions/9"}), encoding="utf-8")
    with pytest.raises(ReportError, match=r"schema is 'tubelet.actions/9'; this version reads 'tubelet.actions/1'"):
        read_results(tmp_path)


def test_a_recogniser_that_fails_is_told_with_its_own_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video", encoding="utf-8")
    with pytest.raises(IncompleteEvaluationError, match=r"`tubelet recognize` ended with code 1 \(.*broken\.mp4"):
        recognise([broken], detector="ssdlite")


def test_the_command_itself_finds_nobody_in_an_empty_video(tmp_path: Path) -> None:
    path = tmp_path / "empty [1].mp4"
    with VideoWriter(path, width=160, height=96, fps=10.0) as writer:
        for number in range(6):
            writer.write(np.zeros((96, 160, 3), np.uint8), number / 10)
    (found,) = recognise([path], detector="ssdlite", fast=True)
    assert found.tracks == ()
    assert found.duration_s == pytest.approx(0.6)
