import csv
import io
import itertools
import json
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_schema import violations
from recognised import recognition, segment, track_row

from tubelet.errors import VideoReadError, WeightsError
from tubelet.methods.recognition.documents import (
    Failure,
    actions_csv_lines,
    actions_document,
    csv_line,
    event_document,
    tracks_csv_line,
    written_segments,
)
from tubelet.methods.recognition.segmenter import ActionEvent


def schema() -> dict:
    text = resources.files("tubelet.methods.recognition").joinpath("actions.schema.json").read_text("utf-8")
    return json.loads(text)


def test_the_document_agrees_with_the_schema_that_ships():
    failures = [Failure.of("bad.mp4", VideoReadError("bad.mp4", "truncated", "copy it again"))]
    camera = recognition("0", info=None, detector="", segments=[segment(0, 0.0, 1.0, "walk")])
    document = actions_document(
        [recognition(), camera, recognition("empty.mp4", [])], failures, command="tubelet recognize"
    )
    again = json.loads(json.dumps(document, allow_nan=False))
    assert again == document
    assert violations(again, schema()) == []


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda d: d.pop("failures"), "failures is missing"),
        (lambda d: d.update(schema="tubelet.actions/2"), "is not 'tubelet.actions/1'"),
        (lambda d: d["sources"][0]["tracks"][0].update(track_id="1"), "is not of type integer"),
        (lambda d: d["sources"][0]["tracks"][0]["segments"][0].update(probability=1.2), "is more than 1"),
        (lambda d: d["sources"][0]["tracks"][0]["segments"].clear(), "is shorter than 1"),
        (lambda d: d["sources"][0].update(extra=1), "extra is not allowed"),
    ],
)
def test_the_schema_refuses_other_documents(spoil, complaint):
    document = actions_document([recognition()])
    spoil(document)
    found = violations(document, schema())
    assert len(found) == 1
    assert complaint in found[0]


def test_the_document_says_who_does_what():
    (source,) = actions_document([recognition()])["sources"]
    assert [track["track_id"] for track in source["tracks"]] == [1, 2]
    second = source["tracks"][1]
    assert (second["start_s"], second["end_s"]) == (1.0, 5.0)
    assert second["segments"][1] == {
        "start_s": 3.0,
        "end_s": 5.0,
        "label": "unknown",
        "probability": 0.41,
        "best_label": "jumping_jack",
        "runners_up": [{"label": "stand", "probability": 0.06}, {"label": "wave", "probability": 0.02}],
    }


def test_settings_and_cards_become_plain_json():
    odd = recognition(
        settings={"labels": frozenset({"walk", "stand"}), "min_score": np.float32(0.5)},
        model={"name": "m", "labels": ("a",)},
    )
    (source,) = actions_document([odd])["sources"]
    assert source["settings"] == {"labels": ["stand", "walk"], "min_score": 0.5}
    assert source["model"] == {"name": "m", "labels": ["a"]}
    with pytest.raises(TypeError, match="has no JSON form"):
        actions_document([recognition(settings={"x": object()})])


def test_csv_rows_have_the_fixed_form():
    lines = list(actions_csv_lines(recognition("a, b.mp4")))
    assert lines[0] == '"a, b.mp4",1,0.000,2.000,walk,0.9340\n'
    assert lines[3] == '"a, b.mp4",2,3.000,5.000,unknown,0.4100\n'


def test_track_rows_have_the_fixed_form():
    quoted = csv_line(('say "hi".mp4',)).removesuffix("\n")
    row = track_row(3, 2, time_s=0.0666666, box_px=(1.04, 2.05, 30.0, 99.99), interpolated=True)
    line = tracks_csv_line(quoted, row)
    assert line == '"say ""hi"".mp4",3,0.067,1.0,2.0,30.0,100.0,0.7500,true\n'
    assert next(csv.reader(io.StringIO(line)))[0] == 'say "hi".mp4'


@given(
    cuts=st.lists(st.floats(0.0, 5000.0, allow_nan=False), min_size=2, max_size=30, unique=True),
    wobble=st.floats(-1e-9, 1e-9),
)
def test_written_segments_meet_exactly_and_never_overlap(cuts, wobble):
    cuts = sorted(cuts)
    pairs = list(itertools.pairwise(cuts))
    segments = [segment(1, start + (wobble if i else 0.0), end, "walk") for i, (start, end) in enumerate(pairs)]
    written = written_segments(segments)
    for before, after in itertools.pairwise(written):
        assert f"{before.end_s:.3f}" == f"{after.start_s:.3f}"
        assert before.end_s == after.start_s
    for item in written:
        assert item.end_s > item.start_s
    if written:
        assert written[0].start_s == pytest.approx(cuts[0], abs=0.0011)
        assert written[-1].end_s == pytest.approx(cuts[-1], abs=0.0011)


def test_a_real_gap_in_a_track_stays():
    written = written_segments([segment(1, 0.0, 1.0, "walk"), segment(1, 1.04, 2.0, "walk")])
    assert [(item.start_s, item.end_s) for item in written] == [(0.0, 1.0), (1.04, 2.0)]


def test_failures_name_their_cause():
    read = Failure.of("x.mp4", VideoReadError("x.mp4", "no_video_stream", "only sound in it"))
    assert (read.cause, read.message) == ("no_video_stream", "x.mp4: no_video_stream: only sound in it")
    assert Failure.of("x.mp4", WeightsError("missing")).cause == "WeightsError"


def test_events_of_a_stream_say_what_they_are():
    begin = event_document("0", ActionEvent(kind="begin", track_id=4, time_s=1.00049, label="wave"))
    assert begin == {
        "schema": "tubelet.event/1",
        "source": "0",
        "event": "begin",
        "track_id": 4,
        "time_s": 1.0,
        "label": "wave",
    }
    whole = segment(4, 1.00049, 2.0, "wave")
    end = event_document("0", ActionEvent(kind="end", track_id=4, time_s=2.0, label="wave", segment=whole))
    assert (end["event"], end["time_s"]) == ("end", 2.0)
    assert (end["segment"]["start_s"], end["segment"]["end_s"], end["segment"]["probability"]) == (1.0, 2.0, 0.9)
