"""The engine on scenes whose people are known: rows, coverage, bounded delay and holdings, failures."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from scenes import ColourDetector, ColourLandmarks, SpeedModel, red_x, scene

from tubelet.errors import VideoReadError
from tubelet.methods.recognition.engine import Engine, EngineOutput
from tubelet.methods.recognition.segmenter import ActionEvent, SegmenterSettings
from tubelet.methods.recognition.timeline import Thumbnail, TrackRow
from tubelet.video import Frame


def engine() -> Engine:
    return Engine(
        detector=ColourDetector(),
        landmarks=ColourLandmarks(),
        model=SpeedModel(),
        segmenting=SegmenterSettings(min_score=0.6),
    )


def run(frames: Iterator[Frame]) -> list[EngineOutput]:
    return list(engine().run(frames))


def test_every_person_has_one_row_per_decoded_frame_in_order() -> None:
    rows = [out for out in run(scene(240)) if isinstance(out, TrackRow)]
    assert [row.frame_index for row in rows] == sorted(row.frame_index for row in rows)
    counts = Counter((row.track_id, row.frame_index) for row in rows)
    assert max(counts.values()) == 1
    red = [row for row in rows if row.track_id == 1]
    assert [row.frame_index for row in red] == list(range(240))
    for row in red[30:]:
        assert row.box_px[0] == pytest.approx(red_x(row.time_s), abs=5)
        assert row.box_px[3] == pytest.approx(140, abs=8)  # half of the boxes are drawn round landmarks
    green = [row for row in rows if row.track_id == 2]
    assert green[0].time_s == pytest.approx(1.0, abs=0.21)
    assert green[-1].time_s == pytest.approx(4.0, abs=0.21)
    assert not any(row.interpolated and row.landmarks_px is None for row in red[1:-3])


def test_segments_cover_the_life_of_each_track_and_say_what_it_does() -> None:
    outputs = run(scene(240))
    segments = [out.segment for out in outputs if isinstance(out, ActionEvent) and out.segment is not None]
    rows = [out for out in outputs if isinstance(out, TrackRow)]
    for track_id in (1, 2):
        own = [segment for segment in segments if segment.track_id == track_id]
        times = [row.time_s for row in rows if row.track_id == track_id]
        assert own[0].start_s == pytest.approx(times[0])
        assert own[-1].end_s == pytest.approx(times[-1] + 1 / 30)
        for before, after in pairwise(own):
            assert before.end_s == after.start_s
    assert [segment.label for segment in segments if segment.track_id == 1] == ["still", "moving"]
    assert [segment.label for segment in segments if segment.track_id == 2] == ["still"]
    change = next(segment.end_s for segment in segments if segment.track_id == 1)
    assert change == pytest.approx(3.0, abs=0.4)


def test_each_event_comes_a_bounded_time_after_it_happened() -> None:
    read = 0.0

    def watched() -> Iterator[Frame]:
        nonlocal read
        for frame in scene(600):
            read = frame.time_s
            yield frame

    delays = [read - out.time_s for out in engine().run(watched()) if isinstance(out, ActionEvent)]
    assert len(delays) == 6
    assert max(delays) < 5.0


def test_a_run_twice_is_the_same_to_the_bit() -> None:
    first, second = run(scene(200)), run(scene(200))
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        if isinstance(a, TrackRow):
            assert isinstance(b, TrackRow)
            assert (a.track_id, a.box_px) == (b.track_id, b.box_px)
        else:
            assert a == b


def test_what_is_held_does_not_grow_with_the_video() -> None:
    machine = engine()
    most_rows = most_frames = 0
    for _ in machine.run(scene(3000)):
        most_rows = max(most_rows, len(machine._waiting_rows))
        most_frames = max(most_frames, len(machine._decoded))
    assert machine.state.num_frames == 3000
    assert 0 < most_rows < 400
    assert 0 < most_frames < 200


def test_damage_in_the_middle_gives_what_came_before_and_then_the_error() -> None:
    def damaged() -> Iterator[Frame]:
        yield from scene(100)
        raise VideoReadError("x.mp4", "corrupt", "a packet cannot be decoded", time_s=3.33)

    outputs: list[EngineOutput] = []
    with pytest.raises(VideoReadError, match="corrupt"):
        outputs.extend(engine().run(damaged()))
    rows = [out for out in outputs if isinstance(out, TrackRow) and out.track_id == 1]
    assert len(rows) == 100
    assert any(isinstance(out, ActionEvent) and out.kind == "end" for out in outputs)


@pytest.mark.parametrize("num_frames", [0, 1, 2, 5])
def test_very_short_sources_find_nobody_and_do_not_fail(num_frames: int) -> None:
    assert run(scene(num_frames)) == []


def test_a_segment_has_a_picture() -> None:
    pictures = [out for out in run(scene(240)) if isinstance(out, Thumbnail)]
    assert {picture.track_id for picture in pictures} == {1, 2}
    assert all(picture.jpeg[:2] == b"\xff\xd8" for picture in pictures)


def test_thirty_frames_a_second_are_analysed_at_fifteen_and_searched_at_five() -> None:
    machine = engine()
    detector = machine._detector
    assert isinstance(detector, ColourDetector)
    list(machine.run(scene(300)))
    assert detector.calls == pytest.approx(50, abs=2)
