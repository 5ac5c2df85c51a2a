"""Labels must not depend on how measurements were cut into calls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tubelet.methods.recognition.classify import PersonClassifier
from tubelet.methods.recognition.preprocess import NUM_FEATURES
from tubelet.methods.recognition.segmenter import ActionEvent, SegmenterSettings
from tubelet.methods.recognition.timeline import Segment
from tubelet.methods.recognition.trail import Observation
from tubelet.people.landmarks import Pose


class WindowedModel:
    """A fixed random linear map of a window of features: any mistake about context changes its answers."""

    labels = ("a", "b", "c")
    context = 6

    def __init__(self) -> None:
        self.weights = np.random.default_rng(5).normal(size=(3, NUM_FEATURES, 2 * self.context + 1))

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        padded = np.pad(features, ((0, 0), (self.context, self.context)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * self.context + 1, axis=1)
        logits = np.einsum("ftw,cfw->tc", windows, self.weights)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def wandering_person(seed: int, count: int, fps: float) -> list[Observation]:
    """Someone whose pose drifts, sometimes without a pose, sometimes not measured for a while."""
    rng = np.random.default_rng(seed)
    seen: list[Observation] = []
    centre = np.array([300.0, 200.0])
    for frame in range(count):
        centre += rng.normal(0, 4, 2)
        if rng.random() < 0.1:
            continue
        box = np.array([centre[0] - 30, centre[1] - 80, centre[0] + 30, centre[1] + 80], np.float32)
        points = np.concatenate([centre + rng.normal(0, 30, (33, 2)), rng.uniform(0, 1, (33, 1))], axis=1)
        pose = None if rng.random() < 0.15 else Pose(points.astype(np.float32), 0.9)
        seen.append(Observation(frame, frame / fps, box, 0.8, pose))
    return seen


def label(seen: list[Observation], cuts: list[int]) -> list[Segment]:
    classifier = PersonClassifier(
        WindowedModel(),
        track_id=1,
        start_s=seen[0].time_s,
        segmenting=SegmenterSettings(min_score=0.3, min_duration_s=0.1, change_cost=0.5),
    )
    events: list[ActionEvent] = []
    for start, end in zip([0, *cuts], [*cuts, len(seen)], strict=True):
        events += classifier.push(seen[start:end])
    events += classifier.finish(seen[-1].time_s + 0.1)
    return [event.segment for event in events if event.segment is not None]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([10.0, 15.0, 29.97]), st.data())
def test_any_cut_gives_the_same_segments(seed: int, fps: float, data: st.DataObject) -> None:
    seen = wandering_person(seed, 120, fps)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(seen)), max_size=30)))
    whole, pieces = label(seen, []), label(seen, cuts)
    assert len(whole) >= 1
    assert [(s.label, s.start_s, s.end_s) for s in pieces] == [(s.label, s.start_s, s.end_s) for s in whole]
    assert [s.probability for s in pieces] == pytest.approx([s.probability for s in whole], abs=1e-5)


def test_one_call_per_measurement_gives_the_same_segments_and_forgets() -> None:
    seen = wandering_person(3, 600, 15.0)
    classifier = PersonClassifier(
        WindowedModel(), track_id=1, start_s=0.0, segmenting=SegmenterSettings(min_score=0.3, min_duration_s=0.1)
    )
    for item in seen:
        classifier.push([item])
        assert len(classifier._held) < 100
