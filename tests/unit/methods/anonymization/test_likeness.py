"""The attacker who compares pictures of people: which it may ask for, what counts as right, what it makes of one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.methods.anonymization.likeness import LikenessModel, inside, reidentified


def unit(angles: list[float]) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_by_hand() -> None:
    # Two people at 0, 2 and 4 s; at 4 s the second one looks like the first.
    features = unit([0.0, 0.1, 0.2, 1.0, 1.1, 0.15])
    track_ids, times_s = np.array([1, 1, 1, 2, 2, 2]), np.array([0.0, 2.0, 4.0, 0.0, 2.0, 4.0])
    found = reidentified(features, track_ids, times_s)
    # Of 0 s: the first finds .1 (right), the second 1.1 (right). Of 2 s: the first finds .15 (wrong), the second 1.0
    # (right). Of 4 s: the first finds .1 (right), the second .1 (wrong).
    assert found.rank1.value == pytest.approx(4 / 6)
    assert (found.num_pictures, found.rank1.num_groups) == (6, 2)
    assert found.chance == pytest.approx(0.5)  # two pictures of each at the other moments
    # Of two people one may draw the first twice (2 of 3 right) or the second (2 of 3 right): nothing else.
    assert (found.rank1.low, found.rank1.high) == (pytest.approx(4 / 6), pytest.approx(4 / 6))


def test_the_interval_is_over_people_however_many_pictures_each_has() -> None:
    # Half of 40 people look like nobody else and are always told again; the others all look the same.
    num_people, times_s = 40, np.arange(50) * 2.0
    ids = np.repeat(np.arange(num_people), len(times_s))
    features = np.eye(num_people)[np.where(ids < num_people // 2, ids, num_people - 1)]
    seen_s = np.tile(times_s, num_people)
    found = reidentified(features, ids, seen_s).rank1
    few = reidentified(features[seen_s < 20], ids[seen_s < 20], seen_s[seen_s < 20]).rank1
    assert found.num_groups == few.num_groups == num_people
    # Five times the pictures of the same people do not make it more certain: about 0.5 +- 1.96 * 0.5 / sqrt(40), where
    # 2000 pictures that are independent of each other would give +- 0.02.
    for each in (found, few):
        assert 0.22 < each.high - each.low < 0.36, each


def test_one_person_has_no_interval() -> None:
    found = reidentified(unit([0.0, 0.1, 1.0]), np.array([1, 1, 2]), np.array([0.0, 5.0, 9.0])).rank1
    assert (found.value, found.num_groups) == (1.0, 1)
    assert math.isnan(found.low)


def test_only_questions_with_a_right_and_a_wrong_answer_are_asked() -> None:
    features = unit([0.0, 0.1, 1.0])
    # The third person is seen once: no question for them, but a wrong answer for the others.
    found = reidentified(features, np.array([1, 1, 2]), np.array([0.0, 5.0, 9.0]))
    assert (found.num_pictures, found.rank1.value, found.chance) == (2, 1.0, 0.5)
    alone = reidentified(features, np.array([1, 1, 1]), np.array([0.0, 5.0, 9.0]))
    assert alone.num_pictures == alone.rank1.num_groups == 0
    assert math.isnan(alone.rank1.value)
    assert math.isnan(alone.chance)


def test_pictures_of_nearly_the_same_moment_are_not_compared() -> None:
    features = unit([0.0, 0.0, 0.5, 0.1, 0.6])
    track_ids, times_s = np.array([1, 1, 1, 2, 2]), np.array([0.0, 0.1, 3.0, 3.0, 6.0])
    # At 0 s the same person's picture of 0.1 s is the likest, and does not count; that of 3 s is not like it.
    assert reidentified(features, track_ids, times_s).rank1.value == pytest.approx(0.0)
    assert reidentified(features, track_ids, times_s, min_gap_s=0.05).rank1.value == pytest.approx(2 / 5)


def test_a_gap_that_rounding_made_shorter_still_counts() -> None:
    found = reidentified(unit([0.0, 0.0, 1.0]), np.array([1, 1, 2]), np.array([0.0, 0.99998, 3.0]))
    assert found.num_pictures == 2


def test_what_all_looks_the_same_is_told_again_by_chance() -> None:
    rng = np.random.default_rng(3)
    track_ids = rng.integers(0, 4, 2000)
    times_s = np.arange(2000) * 2.0
    found = reidentified(np.tile(unit([0.3]), (2000, 1)).astype(np.float32), track_ids, times_s)
    assert found.chance == pytest.approx(0.25, abs=0.01)
    assert found.rank1.value == pytest.approx(found.chance, abs=0.03)


def slow(features: np.ndarray, ids: np.ndarray, times_s: np.ndarray, gap_s: float) -> tuple[int, int, list[float]]:
    """Picture by picture."""
    right, asked, chances = 0, 0, []
    for query in range(len(ids)):
        others = [k for k in range(len(ids)) if k != query and abs(times_s[k] - times_s[query]) >= gap_s]
        same = [k for k in others if ids[k] == ids[query]]
        if not same or len(same) == len(others):
            continue
        best = max(others, key=lambda k: float(features[query] @ features[k]))
        asked, right = asked + 1, right + (ids[best] == ids[query])
        chances.append(len(same) / len(others))
    return right, asked, chances


@given(st.integers(0, 10_000), st.integers(2, 40))
def test_as_picture_by_picture(seed: int, num_crops: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_crops, 4))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    ids, times_s = rng.integers(0, 3, num_crops), rng.integers(0, 9, num_crops).astype(float)
    right, asked, chances = slow(features, ids, times_s, 2.0)
    found = reidentified(features, ids, times_s, min_gap_s=2.0)
    assert found.num_pictures == asked
    if asked:
        assert found.rank1.value == pytest.approx(right / asked)
        assert found.chance == pytest.approx(np.mean(chances))


def test_more_pictures_than_are_compared_at_once() -> None:
    rng = np.random.default_rng(0)
    ids, times_s = rng.integers(0, 3, 1100), np.arange(1100) * 0.5
    features = np.eye(3)[ids] + rng.normal(0, 0.4, (1100, 3))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    right, asked, chances = slow(features, ids, times_s, 1.0)
    found = reidentified(features, ids, times_s)
    assert (found.num_pictures, round(found.rank1.value * asked)) == (asked, right)
    assert found.chance == pytest.approx(np.mean(chances))


def test_wrong_use_is_named(unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match="2 features, 3 track ids and 2 times; wanted one each"):
        reidentified(unit([0.0, 1.0]), np.array([1, 2, 3]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="min_gap_s is -1; allowed: 0 or more"):
        reidentified(unit([0.0]), np.array([1]), np.array([0.0]), min_gap_s=-1)


def test_which_boxes_show_something() -> None:
    boxes = np.array([[0, 0, 9, 9], [-5, -5, 0.9, 9], [-5, -5, 1, 1], [39, 0, 60, 5], [40, 0, 60, 5], [3, 3, 3.5, 9]])
    assert inside(boxes, 40, 30).tolist() == [True, False, True, True, False, False]


@pytest.fixture(scope="module")
def model() -> LikenessModel:
    return LikenessModel()


def test_people_become_unit_vectors_that_say_who_looks_alike(model: LikenessModel) -> None:
    rng = np.random.default_rng(0)
    image = np.full((120, 300, 3), 128, np.uint8)
    stripes = (np.arange(80)[:, None, None] // 8 % 2 * 200).astype(np.uint8)
    image[20:100, 10:50] = stripes
    image[20:100, 110:150] = stripes + 10
    image[20:100, 210:250] = rng.integers(0, 255, (80, 40, 3))
    boxes = np.array(
        [[10, 20, 50, 100], [110, 20, 150, 100], [210, 20, 250, 100], [-20, -20, 30, 60], [10, 20, 50, 100]]
    )
    found = model.features(image, boxes.astype(np.float32))
    assert found.shape == (5, 1280)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found[0], found[4], atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.1


def test_nobody_is_no_vector(model: LikenessModel) -> None:
    assert model.features(np.zeros((9, 9, 3), np.uint8), np.zeros((0, 4))).shape == (0, 1280)


def test_a_person_outside_of_the_picture_is_refused(model: LikenessModel) -> None:
    with pytest.raises(ValueError, match=r"box \[50.0, 0.0, 60.0, 9.0\] shows no pixel of an image of 40 x 30"):
        model.features(np.zeros((30, 40, 3), np.uint8), np.array([[50.0, 0, 60, 9]]))
