"""Worked examples of whole scores, and what holds for any timeline."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.metrics.assignment import Assignment, assign_by_id, assign_by_overlap
from tubelet.metrics.scoring import SourceScore, score_source, summarise, total_confusion_s
from tubelet.metrics.timeline import LabelledInterval, Timeline


def intervals(*rows: tuple[float, float, str]) -> list[LabelledInterval]:
    return [LabelledInterval(*row) for row in rows]


def score(predicted: Mapping[str, Timeline], truth: Mapping[str, Timeline], source: str = "a.mp4") -> SourceScore:
    return score_source(source, predicted, truth, assign_by_id(predicted, truth))


def value(result: SourceScore, name: str) -> float:
    return summarise([result]).shares[name][0].value


def test_a_worked_example() -> None:
    truth = {"1": intervals((0, 10, "walk")), "2": intervals((0, 5, "jump"), (5, 10, "stand"))}
    predicted = {
        "1": intervals((0, 6, "walk"), (6, 8, "unknown"), (8, 10, "run")),
        "9": intervals((2, 4, "wave"), (4, 5, "unknown")),
    }
    result = score(predicted, truth)
    summary = summarise([result])
    shares = {name: estimate.value for name, (estimate, _) in summary.shares.items()}
    assert shares == pytest.approx(
        {
            "accuracy": 6 / 20,
            "accuracy_decided": 6 / 8,
            "coverage": 8 / 20,
            "tracked": 10 / 20,
            # walk is found at 6 / 10; run and the false track's wave are false; jump and stand are missed
            "segment_f1_0.10": 2 / (2 + 2 + 2),
            "segment_f1_0.25": 2 / (2 + 2 + 2),
            "segment_f1_0.50": 2 / (2 + 2 + 2),
            "edit_score": (1 / 2 + 0) / 2,
        }
    )
    assert summary.counts == {"false_tracks": (1, 2), "missed_people": (1, 2)}
    assert summary.clusters == "track"
    assert total_confusion_s([result]) == {
        "jump": {"untracked": 5},
        "stand": {"untracked": 5},
        "walk": {"run": 2, "unknown": 2, "walk": 6},
    }


def test_time_that_nobody_can_tell_is_not_counted() -> None:
    truth = {"1": intervals((0, 4, "walk"), (4, 8, "unknown"), (8, 10, "walk"))}
    right = score({"1": intervals((0, 4, "walk"), (4, 7.9, "jump"), (7.9, 10, "walk"))}, truth)
    assert value(right, "accuracy") == 1.0
    assert value(right, "segment_f1_0.50") == 1.0  # the jump is not judged
    assert value(right, "edit_score") == 1.0
    assert right.people[0].time.truth_s == pytest.approx(6)


def test_abstaining_is_right_where_the_vocabulary_has_no_word() -> None:
    truth = {"1": intervals((0, 6, "other"), (6, 10, "walk"))}
    result = score({"1": intervals((0, 4, "unknown"), (4, 6, "run"), (6, 10, "walk"))}, truth)
    assert value(result, "accuracy") == pytest.approx(0.8)
    assert value(result, "accuracy_decided") == pytest.approx(4 / 6)
    assert value(result, "segment_f1_0.50") == pytest.approx(2 / 3)  # run is false, other is nothing to find


def test_what_lies_outside_of_the_labelled_time_is_not_judged() -> None:
    truth = {"1": intervals((10, 20, "walk"))}
    result = score({"1": intervals((0, 9, "run"), (9, 25, "walk"), (25, 30, "jump"))}, truth)
    assert value(result, "segment_f1_0.50") == 1.0
    assert value(result, "edit_score") == 1.0


def test_several_tracks_of_a_person_make_one_timeline_and_the_better_one_wins() -> None:
    predicted = {"b": intervals((4, 10, "walk")), "a": intervals((0, 5, "run"))}
    assignment = Assignment(method="boxes", tracks_of={"1": ("b", "a")}, false_tracks=(), unjudged_tracks=())
    result = score_source("a.mp4", predicted, {"1": intervals((0, 10, "walk"))}, assignment)
    assert value(result, "accuracy") == pytest.approx(0.6)
    assert value(result, "tracked") == 1.0


def test_people_who_are_all_unknown_do_not_count() -> None:
    result = score({}, {"1": intervals((0, 1, "unknown"))})
    assert result.people == ()
    assert math.isnan(value(result, "accuracy"))
    assert summarise([]).counts == {"false_tracks": (0, 0), "missed_people": (0, 0)}


def test_intervals_draw_sources_where_there_are_enough() -> None:
    truth = {"1": intervals((0, 1, "walk"))}
    results = [score(truth if number % 2 else {}, truth, f"{number}.mp4") for number in range(6)]
    few, many = summarise(results[:4]), summarise(results)
    assert (few.clusters, many.clusters) == ("track", "source")
    estimate, num_people = many.shares["accuracy"]
    assert (estimate.value, estimate.num_groups, num_people) == (0.5, 6, 6)
    assert estimate.low < 0.5 < estimate.high


labels = st.sampled_from(["walk", "run", "unknown", "other"])


@st.composite
def timelines(draw: st.DrawFn) -> dict[str, list[LabelledInterval]]:
    people = {}
    for name in draw(st.sets(st.sampled_from("123"), max_size=3)):
        times = sorted(draw(st.sets(st.integers(0, 20), min_size=2, max_size=8)))
        people[name] = [
            LabelledInterval(start, end, draw(labels))
            for start, end in itertools.pairwise(times)
            if draw(st.booleans())
        ]
    return {name: timeline for name, timeline in people.items() if timeline}


@given(timelines(), timelines())
def test_shares_are_shares_and_parts_are_parts(
    predicted: dict[str, list[LabelledInterval]], truth: dict[str, list[LabelledInterval]]
) -> None:
    for assign in (assign_by_id, assign_by_overlap):
        result = score_source("a", predicted, truth, assign(predicted, truth))
        for name, (estimate, _) in summarise([result]).shares.items():
            assert math.isnan(estimate.value) or -1e-9 <= estimate.value <= 1 + 1e-9, name
            assert math.isnan(estimate.low) or estimate.low <= estimate.value + 1e-9, name
        for person in result.people:
            time = person.time
            assert time.right_s <= time.decided_s + 1e-9 <= time.covered_s + 2e-9 <= time.truth_s + 3e-9
            assert math.fsum(person.confusion_s.values()) == pytest.approx(time.truth_s)
            strict = [person.segments[iou].num_found for iou in (0.5, 0.25, 0.1)]
            assert strict == sorted(strict)


@given(timelines())
def test_the_truth_scores_itself_perfectly(truth: dict[str, list[LabelledInterval]]) -> None:
    answer = {
        person: [each._replace(label="unknown") if each.label == "other" else each for each in timeline]
        for person, timeline in truth.items()
    }
    shares = summarise([score(answer, truth)]).shares
    for name in ("accuracy", "accuracy_decided", "tracked", "segment_f1_0.50", "edit_score"):
        measured = shares[name][0].value
        assert math.isnan(measured) or measured == pytest.approx(1.0), name
    assert math.isnan(shares["accuracy"][0].value) == all(
        interval.label == "unknown" for timeline in truth.values() for interval in timeline
    )
