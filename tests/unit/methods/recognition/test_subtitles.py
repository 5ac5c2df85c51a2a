import itertools

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recognised import recognition, segment

from tubelet.methods.recognition.subtitles import cues, percent, to_subrip, to_webvtt


def test_people_who_act_at_once_share_cues_that_do_not_overlap():
    found = [(cue.start_s, cue.end_s, cue.lines) for cue in cues(recognition().segments)]
    assert found == [
        (0.0, 1.0, ("Person 1: walk (93 %)",)),
        (1.0, 2.0, ("Person 1: walk (93 %)", "Person 2: stand (80 %)")),
        (2.0, 3.0, ("Person 1: wave (71 %)", "Person 2: stand (80 %)")),
        (3.0, 6.0, ("Person 1: wave (71 %)",)),
    ]


def test_many_people_are_named_by_label():
    crowd = [segment(i, 0.0, 1.0, "walk" if i != 3 else "sit_down") for i in range(1, 7)]
    (cue,) = cues(crowd)
    assert cue.lines == ("walk: people 1, 2, 4, 5, 6", "sit down: person 3")


def test_unknown_is_left_out():
    assert cues([segment(1, 0.0, 1.0, "unknown", 0.3)]) == []
    assert to_webvtt([]) == "WEBVTT\n"
    assert to_subrip([]) == ""


def test_whole_frame_labels_name_no_person():
    (cue,) = cues([segment(0, 0.0, 1.0, "surf", 0.5)])
    assert cue.lines == ("surf (50 %)",)


def test_webvtt_is_written_as_its_standard_says():
    text = to_webvtt([segment(1, 3599.5, 3661.25, "a<b>&\n\nc --> d", 0.5)])
    assert text == "WEBVTT\n\n00:59:59.500 --> 01:01:01.250\nPerson 1: a&lt;b&gt;&amp; c --&gt; d (50 %)\n"


def test_subrip_keeps_what_players_would_read_as_styling_harmless():
    text = to_subrip([segment(1, 0.0, 1.5, "<i>{\\an8}", 0.5)])
    assert text == "1\n00:00:00,000 --> 00:00:01,500\nPerson 1: ‹i›(\\an8) (50 %)\n"


@pytest.mark.parametrize(
    ("probability", "text"), [(0.0, "0 %"), (0.005, "0 %"), (0.934, "93 %"), (0.999, "99 %"), (1.0, "99 %")]
)
def test_a_probability_never_claims_certainty(probability, text):
    assert percent(probability) == text


@pytest.mark.parametrize(("ending", "write"), [("vtt", to_webvtt), ("srt", to_subrip)])
def test_ffmpeg_reads_the_same_cues_and_times(tmp_path, ending, write):
    segments = recognition().segments
    path = tmp_path / f"a.{ending}"
    path.write_text(write(segments), encoding="utf-8")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(subtitles=0) if packet.size]
        read = [
            (float(p.pts * p.time_base), float((p.pts + p.duration) * p.time_base), bytes(p).decode()) for p in packets
        ]
    wanted = [(cue.start_s, cue.end_s, "\n".join(cue.lines)) for cue in cues(segments)]
    assert len(read) == 4
    assert read == wanted


@given(
    st.lists(
        st.tuples(
            st.integers(1, 7), st.integers(0, 40), st.integers(1, 10), st.sampled_from(["walk", "wave", "unknown"])
        ),
        max_size=40,
    )
)
def test_cues_never_overlap_and_show_everybody_with_a_label(pieces):
    segments, free = [], {}
    for track_id, start, length, label in pieces:
        begin = max(start, free.get(track_id, 0))
        free[track_id] = begin + length
        segments.append(segment(track_id, begin / 4, (begin + length) / 4, label))
    found = cues(segments)
    for before, after in itertools.pairwise(found):
        assert before.end_s <= after.start_s
    for quarter in range(200):
        moment = quarter / 4 + 0.1
        labelled = [s for s in segments if s.start_s <= moment < s.end_s and s.label != "unknown"]
        shown = [cue for cue in found if cue.start_s <= moment < cue.end_s]
        assert len(shown) == (1 if labelled else 0)
        if 0 < len(labelled) <= 4:
            assert len(shown[0].lines) == len(labelled)
