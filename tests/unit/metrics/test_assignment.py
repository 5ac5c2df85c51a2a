"""Tracks are given to people by ids, by time, or by where they are, before any label is looked at."""

from __future__ import annotations

import numpy as np

from tubelet.metrics.assignment import TrackBoxes, assign_by_boxes, assign_by_id, assign_by_overlap
from tubelet.metrics.timeline import LabelledInterval


def at(start_s: float, end_s: float, label: str = "walk") -> list[LabelledInterval]:
    return [LabelledInterval(start_s, end_s, label)]


def standing(x0: float, times_s: list[float]) -> TrackBoxes:
    """A 10 x 20 px box at one place."""
    return TrackBoxes(np.array(times_s, dtype=float), np.array([[x0, 0, x0 + 10, 20]] * len(times_s), dtype=float))


def frames(start_s: float, end_s: float, fps: float = 10) -> list[float]:
    return [round(number / fps, 3) for number in range(round(start_s * fps), round(end_s * fps))]


def test_ids_are_taken_at_their_word() -> None:
    assignment = assign_by_id({"1": at(0, 5), "7": at(0, 5), "8": at(50, 60)}, {"1": at(0, 5), "2": at(5, 10)})
    assert assignment.tracks_of == {"1": ("1",), "2": ()}
    assert assignment.false_tracks == ("7",)
    assert assignment.unjudged_tracks == ("8",)  # nobody was labelled then
    assert assignment.num_switches is None


def test_shared_time_decides_one_to_one_whatever_the_labels() -> None:
    predicted = {"a": at(0, 6, "jump"), "b": at(4, 10, "walk"), "c": at(9, 10)}
    truth = {"early": at(0, 5, "walk"), "late": at(5, 10, "jump"), "never": at(20, 21)}
    assignment = assign_by_overlap(predicted, truth)
    assert assignment.tracks_of == {"early": ("a",), "late": ("b",), "never": ()}
    assert assignment.false_tracks == ("c",)


def test_nobody_and_nothing() -> None:
    assert assign_by_overlap({}, {"1": at(0, 1)}).tracks_of == {"1": ()}
    assert assign_by_overlap({"1": at(0, 1)}, {}).unjudged_tracks == ("1",)
    assert assign_by_boxes({}, {"p": standing(0, [0.0])}).tracks_of == {"p": ()}
    assert assign_by_boxes({}, {}).num_switches == 0


def test_boxes_tell_people_apart_who_share_all_their_time() -> None:
    truth = {"left": standing(0, [0, 0.5, 1.0]), "right": standing(50, [0, 0.5, 1.0])}
    predicted = {"1": standing(51, frames(0, 1.2)), "2": standing(1, frames(0, 1.2)), "3": standing(90, frames(0, 1.2))}
    assignment = assign_by_boxes(predicted, truth)
    assert assignment.tracks_of == {"left": ("2",), "right": ("1",)}
    assert assignment.false_tracks == ("3",)
    assert {name: boxes.recall for name, boxes in assignment.person_boxes.items()} == {"left": 1.0, "right": 1.0}
    assert {name: boxes.precision for name, boxes in assignment.track_boxes.items()} == {"1": 1.0, "2": 1.0, "3": 0.0}
    assert assignment.num_switches == 0


def test_a_person_may_have_one_track_after_the_other() -> None:
    truth = {"p": standing(0, [0, 1, 2, 3, 4])}
    assignment = assign_by_boxes({"1": standing(0, frames(0, 1.5)), "2": standing(0, frames(1.5, 5))}, truth)
    assert assignment.tracks_of == {"p": ("2", "1")}  # the one that fits longer first
    assert assignment.num_switches == 1
    assert assignment.person_boxes["p"].recall == 1.0


def test_a_track_that_leaves_its_person_for_longer_than_it_stays_is_false() -> None:
    truth = {"p": standing(0, [0, 1, 2, 3, 4])}
    times = frames(0, 4.1)
    for stays_until, false in ((1.5, True), (2.5, False)):
        x0 = np.where(np.array(times) < stays_until, 0.0, 60.0)
        drifting = TrackBoxes(np.array(times), np.stack([x0, x0 * 0, x0 + 10, x0 * 0 + 20], axis=1))
        assert bool(assign_by_boxes({"1": drifting}, truth).false_tracks) == false


def test_ignored_people_count_neither_way_but_a_real_one_in_front_of_them_does() -> None:
    poster = standing(60, [0, 1])
    truth = {"p": standing(0, [0, 1])}
    predicted = {"1": standing(0, frames(0, 1.5)), "2": standing(61, frames(0, 1.5))}
    assert assign_by_boxes(predicted, truth).false_tracks == ("2",)
    ignoring = assign_by_boxes(predicted, truth, [poster])
    assert ignoring.false_tracks == ()
    assert ignoring.unjudged_tracks == ("2",)
    assert ignoring.track_boxes["2"].num_predicted == 0
    covered = assign_by_boxes(predicted, truth, [poster, standing(0, [0, 1])])
    assert covered.tracks_of == {"p": ("1",)}


def test_a_moment_with_only_ignored_people_is_a_labelled_moment() -> None:
    assignment = assign_by_boxes({"1": standing(0, frames(0, 1))}, {}, [standing(60, [0.5])])
    assert assignment.false_tracks == ("1",)


def test_tracks_that_live_between_the_labelled_moments_are_not_judged() -> None:
    assignment = assign_by_boxes({"1": standing(0, frames(0.1, 0.8))}, {"p": standing(0, [0, 1])})
    assert (assignment.false_tracks, assignment.unjudged_tracks) == ((), ("1",))


def test_times_are_matched_to_the_frame_whatever_the_rate() -> None:
    for fps in (5, 10, 25, 60):
        moments = [0.013, 0.991, 2.004]
        assignment = assign_by_boxes({"1": standing(0, frames(0, 3, fps))}, {"p": standing(0, moments)})
        assert assignment.person_boxes["p"].recall == 1.0
    late = assign_by_boxes({"1": standing(0, frames(1, 3, 10))}, {"p": standing(0, [0.5, 1.5])})
    assert late.person_boxes["p"].recall == 0.5
