"""Windows, spans, fills and people in footage of any length."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from tubelet.methods.anonymization.fills import FILLS, filled, silhouette
from tubelet.methods.anonymization.footage import Hider, Span, grown
from tubelet.methods.anonymization.model import Anonymizer, DualTokenViT, VitShape
from tubelet.methods.anonymization.pruning import PruningConfig
from tubelet.methods.anonymization.regions import PeopleRegions, face_box
from tubelet.people.boxes import Boxes
from tubelet.people.landmarks import Pose
from tubelet.video import Frame

SHAPE = VitShape(
    num_frames=4, size_px=32, tubelet=(2, 8, 8), channels=12, depth=2, num_heads=2, dropout=0.0,
    attention_dropout=0.0, drop_path=0.0,
)  # fmt: skip


def anonymizer() -> Anonymizer:
    torch.manual_seed(0)
    return Anonymizer(DualTokenViT(3, 2, SHAPE), PruningConfig(blocks=(1,), keep=0.5), {})


def frames(count: int, fps: float = 30.0, size: tuple[int, int] = (50, 70)) -> list[Frame]:
    generator = np.random.default_rng(0)
    return [
        Frame(image=generator.integers(1, 255, (*size, 3), dtype=np.uint8), time_s=index / fps, index=index)
        for index in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 31])
def test_every_frame_comes_out_once_and_every_moment_has_a_span(count: int) -> None:
    spans: list[Span] = []
    hider = Hider(anonymizer=anonymizer(), keep=0.5, on_span=spans.append)
    given = frames(count)
    found = list(hider.run(given))
    assert [each.frame.index for each in found] == list(range(count))
    assert spans[0].start_s == 0
    for before, after in pairwise(spans):
        assert before.end_s == after.start_s
    assert spans[-1].end_s > given[-1].time_s
    for each in found:
        span = next(span for span in spans if span.start_s <= each.frame.time_s < span.end_s)
        np.testing.assert_array_equal(each.hidden, ~grown(span.kept, (50, 70)))
        assert (each.image[each.hidden] == 0).all()
        np.testing.assert_array_equal(each.image[~each.hidden], each.frame.image[~each.hidden])


@pytest.mark.parametrize(("count", "repeated"), [(1, [3]), (5, [1]), (8, [0]), (9, [0, 3])])
def test_it_is_known_how_many_frames_of_a_window_stand_in_for_missing_ones(count: int, repeated: list[int]) -> None:
    """At 30 frames a second every second one is seen, four to a window, two of them to a step of tubelets."""
    spans: list[Span] = []
    hider = Hider(anonymizer=anonymizer(), keep=0.5, on_span=spans.append)
    list(hider.run(frames(count)))
    assert sorted({span.window for span in spans}) == list(range(len(repeated)))
    assert hider.repeated == repeated


def test_a_rate_of_each_block_may_be_asked_for() -> None:
    spans: list[Span] = []
    list(Hider(anonymizer=anonymizer(), keep=None, keep_rate=0.25, on_span=spans.append).run(frames(8)))
    assert sum(int(span.kept.sum()) for span in spans) == 8  # of 32, after one block that prunes


def test_a_step_of_tubelets_covers_its_frames_at_any_rate() -> None:
    """At 60 frames a second the network sees every fourth, and the others follow the last one before them."""
    spans: list[Span] = []
    hider = Hider(anonymizer=anonymizer(), keep=0.5, step_s=1 / 15, on_span=spans.append)
    list(hider.run(frames(32, fps=60)))
    assert [round(span.start_s * 15, 3) for span in spans] == [0, 2, 4, 6]
    uneven = [
        Frame(image=frame.image, time_s=time_s, index=frame.index)
        for frame, time_s in zip(frames(5), [0.0, 0.5, 0.52, 0.54, 2.0], strict=True)
    ]
    spans.clear()
    found = list(hider.run(uneven))
    assert len(found) == 5
    assert [span.start_s for span in spans] == [0.0, 2.0]  # 0.52 and 0.54 are too soon after 0.5 to be seen


def test_a_mask_grows_to_the_picture_without_gaps() -> None:
    kept = np.array([[True, False, True], [False, True, False]])
    mask = grown(kept, (7, 10))
    assert mask.shape == (7, 10)
    assert mask[0, 0]
    assert not mask[0, 5]
    assert mask[6, 5]
    sizes = [int(mask[:, column].sum()) for column in range(10)]
    assert all(3 <= size <= 4 for size in sizes)


@pytest.mark.parametrize("fill", FILLS)
def test_fills_change_nothing_but_what_is_hidden(fill: str) -> None:
    image = frames(1)[0].image
    hidden = np.zeros((50, 70), bool)
    hidden[10:40, 20:50] = True
    out = filled(image, hidden, fill)  # type: ignore[arg-type]
    np.testing.assert_array_equal(out[~hidden], image[~hidden])
    assert (out[hidden] != image[hidden]).any()
    if fill in ("black", "silhouette"):
        other = image.copy()
        other[hidden] = 7
        np.testing.assert_array_equal(filled(other, hidden, fill), out)  # type: ignore[arg-type]


def pose(at: tuple[float, float] = (35, 25), presence: float = 1.0) -> Pose:
    landmarks = np.zeros((33, 3))
    landmarks[:, :2] = at
    offsets = {0: (0, -14), 7: (3, -14), 8: (-3, -14), 11: (6, -8), 12: (-6, -8), 23: (4, 4), 24: (-4, 4), 25: (4, 10),
               26: (-4, 10), 27: (4, 16), 28: (-4, 16)}  # fmt: skip
    for point in range(11):
        landmarks[point, :2] += (0, -14)
    for point, shift in offsets.items():
        landmarks[point, :2] = np.add(at, shift)
    landmarks[:, 2] = 1.0
    return Pose(landmarks=landmarks, presence=presence)


def test_a_figure_is_drawn_where_a_person_is_believed() -> None:
    drawn = silhouette((50, 70), [pose()])
    assert drawn[25, 35].tolist() != drawn[5, 5].tolist()
    assert (silhouette((50, 70), [pose(presence=0.1)]) == drawn[0, 0]).all()


class _Detector:
    """Sees one person on the frames whose first pixel says so."""

    def __init__(self, box: tuple[float, ...]) -> None:
        self.box, self.calls = box, 0

    def detect(self, image: np.ndarray, *, tile_px: int | None = None) -> Boxes:
        del tile_px
        self.calls += 1
        if image[0, 0, 0] == 0:
            return Boxes.empty()
        return Boxes(np.array([self.box], np.float32), np.ones(1, np.float32))


class _Landmarks:
    def estimate_many(self, image: np.ndarray, boxes_px: list) -> list[Pose]:
        del image
        return [pose() for _ in boxes_px]


class _Faces:
    """Finds a face in the pictures whose last pixel says so, whoever else is there."""

    def __init__(self, box: tuple[float, ...] | None = None) -> None:
        self.box, self.num_people = box, []

    def detect(self, image: np.ndarray, *, people_px: np.ndarray = (), tile_px: int | None = None) -> Boxes:
        del tile_px
        self.num_people.append(len(people_px))
        if self.box is None or image[-1, -1, 0] == 0:
            return Boxes.empty()
        return Boxes(np.array([self.box], np.float32), np.ones(1, np.float32))


def test_people_are_hidden_between_and_after_the_moments_they_are_found_at() -> None:
    given = frames(40, fps=30)
    for frame in given[9:16]:
        frame.image[0, 0] = 0  # the detector misses here
    people = PeopleRegions(_Detector((30, 10, 40, 40)), _Landmarks(), "body")
    found = list(Hider(anonymizer=None, keep=None, people=people).run(given))
    assert len(found) == 40
    for each in found:
        assert each.hidden[10:40, 30:40].all(), each.frame.index
    assert not found[0].hidden[:5].any()
    assert 5 < len(people.history) < 20


def test_faces_are_hidden_by_landmarks_and_by_the_upper_part_of_the_box() -> None:
    people = PeopleRegions(_Detector((25, 5, 45, 45)), _Landmarks(), "face", _Faces())
    found = list(Hider(anonymizer=None, keep=None, people=people).run(frames(3)))
    x0, y0, x1, y1 = np.round(face_box(pose())).astype(int)
    for each in found:
        assert each.hidden[y0:y1, x0:x1].all()
        assert each.hidden[6:16, 26:44].all()
        assert not each.hidden[30:].any()


def test_a_face_is_hidden_when_the_face_detector_alone_sees_it() -> None:
    """Nobody finds a body: the head of somebody whose body is hidden behind something."""
    given = frames(5)
    for frame in given:
        frame.image[0, 0] = 0
    people = PeopleRegions(_Detector((25, 5, 45, 45)), _Landmarks(), "face", _Faces((50, 30, 60, 40)))
    for each in Hider(anonymizer=None, keep=None, people=people).run(given):
        assert each.hidden[30:40, 50:60].all()
        assert not each.hidden[:20].any()
        assert not each.hidden[:, :40].any()
    assert [look.faces_px.tolist() for look in people.history] == [[[50, 30, 60, 40]]] * len(people.history)


def test_a_face_is_looked_for_in_every_frame_and_remembered_from_every_look() -> None:
    # Found in frame 3 alone, which is no look; and in frame 20, which is one.
    given = frames(40)
    for frame in given:
        frame.image[-1, -1] = 255 if frame.index in (3, 20) else 0
    faces = _Faces((50, 30, 60, 40))
    people = PeopleRegions(_Detector((5, 5, 15, 25)), _Landmarks(), "face", faces)
    found = list(Hider(anonymizer=None, keep=None, people=people).run(given))
    looks = [round(each.time_s * 30) for each in people.history]
    assert 3 not in looks
    assert 20 in looks
    for each in found:
        index, away = each.frame.index, abs(each.frame.index - 20)
        if away != 15:  # half a second, where rounding decides
            assert each.hidden[30:40, 50:60].all() == (index == 3 or away < 15), index
    assert set(faces.num_people) == {1}
    assert len(faces.num_people) == 40


def test_where_bodies_are_hidden_no_faces_are_looked_for() -> None:
    faces = _Faces((50, 30, 60, 40))
    people = PeopleRegions(_Detector((5, 5, 15, 25)), _Landmarks(), "body", faces)
    found = list(Hider(anonymizer=None, keep=None, people=people).run(frames(3)))
    assert not any(each.hidden[30:40, 50:60].any() for each in found)
    assert faces.num_people == []


def test_faces_cannot_be_hidden_without_a_face_detector() -> None:
    with pytest.raises(ValueError, match='hide is "face" and no face detector was given; give one, or hide "body"'):
        PeopleRegions(_Detector((5, 5, 15, 25)), _Landmarks(), "face")


def test_pruning_and_people_together() -> None:
    people = PeopleRegions(_Detector((30, 10, 40, 40)), _Landmarks(), "body")
    both = list(Hider(anonymizer=anonymizer(), keep=0.5, people=people).run(frames(5)))
    alone = list(Hider(anonymizer=anonymizer(), keep=0.5).run(frames(5)))
    for one, other in zip(both, alone, strict=True):
        assert one.hidden[10:40, 30:40].all()
        assert (one.hidden >= other.hidden).all()


def test_nothing_to_hide_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing is to be hidden"):
        list(Hider(anonymizer=None, keep=None).run(frames(1)))


def test_a_box_hides_backwards_across_the_border_of_a_window() -> None:
    """Somebody who is found just after a window ended is hidden in its last half second, too."""
    given = frames(70, fps=30)
    for frame in given[:33]:
        frame.image[0, 0] = 0  # nobody is found before frame 33; without a network a window has 32 frames at this rate
    people = PeopleRegions(_Detector((30, 10, 40, 40)), _Landmarks(), "body")
    found = list(Hider(anonymizer=None, keep=None, people=people).run(given))
    assert [each.frame.index for each in found] == list(range(70))
    first_found_s = next(each.time_s for each in people.history if len(each.boxes_px))
    for each in found:
        if first_found_s - 0.5 <= each.frame.time_s:
            assert each.hidden[10:40, 30:40].all(), each.frame.index
    assert not found[5].hidden.any()
