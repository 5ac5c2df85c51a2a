"""Splits keep groups together, classes in proportion, and say what cannot be had."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.datasets.labelled import ClipSet, LabelledClip, Split
from tubelet.datasets.splitting import with_splits
from tubelet.errors import DatasetError


def clip_set(spec: list[tuple[str, str, Split | None]], **changes: object) -> ClipSet:
    """One clip for each (class, group, split)."""
    classes = tuple(sorted({name for name, _, _ in spec}))
    clips = tuple(
        LabelledClip(
            id=f"{number}", path=Path(f"{number}.mp4"), labels=(classes.index(name),), group=group, split=split
        )
        for number, (name, group, split) in enumerate(spec)
    )
    return ClipSet(name="set", root=Path(), classes=classes, clips=clips, **changes)  # type: ignore[arg-type]


def splits_of_groups(clips: ClipSet) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = defaultdict(set)
    for clip in clips.clips:
        found[clip.group].add(clip.split)
    return found


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 11)), min_size=12, max_size=60),
    st.integers(0, 5),
)
def test_no_group_is_in_two_splits_and_every_class_is_learnt(pairs: list[tuple[str, int]], seed: int) -> None:
    clips = clip_set([(name, f"{number}", None) for name, number in pairs])
    groups_of = {label: {c.group for c in clips.clips if c.label == label} for label in range(len(clips.classes))}
    if len(clips.classes) < 2 or min(map(len, groups_of.values())) < 2:
        with pytest.raises(DatasetError):
            with_splits(clips, seed=seed)
        return
    done = with_splits(clips, seed=seed)
    assert all(len(splits) == 1 for splits in splits_of_groups(done).values())
    assert {clip.label for clip in done.of("train").clips} == set(groups_of)
    assert [clip.id for clip in done.clips] == [clip.id for clip in clips.clips]
    assert with_splits(clips, seed=seed) == done


def test_shares_and_classes_are_in_proportion() -> None:
    clips = clip_set(
        [(name, f"{name}{n}", None) for name, count in (("a", 200), ("b", 40), ("c", 20)) for n in range(count)]
    )
    done = with_splits(clips)
    counts = Counter((clip.split, done.classes[clip.label]) for clip in done.clips)
    assert {key: counts[key] for key in counts} == {
        ("train", "a"): 140, ("val", "a"): 30, ("test", "a"): 30,
        ("train", "b"): 28, ("val", "b"): 6, ("test", "b"): 6,
        ("train", "c"): 14, ("val", "c"): 3, ("test", "c"): 3,
    }  # fmt: skip
    assert done.split_rule == (
        "train, val and test by group and class with seed 0: 182 clips in train (wanted 70%), 39 clips in val "
        "(wanted 15%), 39 clips in test (wanted 15%)"
    )


def test_groups_of_uneven_size_come_near_the_shares() -> None:
    sizes = [1 + (7 * n) % 9 for n in range(60)]
    spec = [("ab"[n % 2], f"g{n}", None) for n, size in enumerate(sizes) for _ in range(size)]
    done = with_splits(clip_set(spec))  # type: ignore[arg-type]
    counts = Counter(clip.split for clip in done.clips)
    assert abs(counts["train"] / len(spec) - 0.7) < 0.03
    assert abs(counts["test"] / len(spec) - 0.15) < 0.03


def test_another_seed_deals_otherwise() -> None:
    clips = clip_set([(name, f"{name}{n}", None) for name in "ab" for n in range(20)])
    assert with_splits(clips, seed=1) != with_splits(clips, seed=2)


def test_the_largest_group_of_a_class_is_learnt_and_three_groups_go_three_ways() -> None:
    clips = clip_set([(name, f"{name}{n}", None) for name in "ab" for n in range(3) for _ in range(1 + 9 * (n == 1))])
    done = with_splits(clips)
    assert splits_of_groups(done)["a1"] == {"train"}
    assert {split for n in range(3) for split in splits_of_groups(done)[f"b{n}"]} == {"train", "val", "test"}


def test_a_class_of_two_groups_is_learnt_and_tested_and_the_rule_says_it_is_not_validated() -> None:
    clips = clip_set([("a", f"a{n}", None) for n in range(9)] + [("b", "b0", None), ("b", "b1", None)])
    done = with_splits(clips)
    assert {clip.split for clip in done.clips if clip.label == 1} == {"train", "test"}
    assert done.split_rule.endswith("; not in val, for lack of groups: b")


def test_given_splits_stay_and_validation_is_taken_out_of_training() -> None:
    spec: list[tuple[str, str, Split | None]] = [(c, f"{c}{n // 2}", "train") for c in "ab" for n in range(40)]
    clips = clip_set([*spec, ("a", "t", "test"), ("b", "t", "test")], split_rule="the official lists")
    done = with_splits(clips)
    assert [clip.id for clip in done.of("test").clips] == ["80", "81"]
    assert all(len(splits) == 1 for splits in splits_of_groups(done).values())
    assert len(done.of("val")) == pytest.approx(80 * 0.15 / 0.85, abs=2)
    assert done.split_rule.startswith(
        "the official lists; of its train clips, train and val by group and class with seed 0"
    )
    whole = clip_set([*spec, ("a", "v", "val")], split_rule="by the folders train, val")
    assert with_splits(whole) == whole


def test_several_labels_or_none_are_dealt_too() -> None:
    clips = tuple(
        LabelledClip(id=f"{n}", path=Path("x"), labels=((0, 1), (1,), ())[n % 3], group=f"{n}") for n in range(60)
    )
    done = with_splits(ClipSet(name="m", root=Path(), classes=("a", "b"), clips=clips, is_multi_label=True))
    assert Counter(clip.split for clip in done.clips)["train"] == pytest.approx(42, abs=2)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ([], "two classes or more are needed to tell apart; there is none"),
        ([("a", "g", None), ("a", "h", None)], "two classes or more are needed to tell apart; there is only 'a'. Add"),
        ([("a", "1", None), ("b", "2", None)], "classes with one clip only: a, b. Clips of one group stay together"),
        (
            [("a", "g", None), ("a", "g", None), ("b", "h", None), ("b", "i", None)],
            "classes with clips of one group only: a (2 clips of g). .* give them in a manifest "
            "(here a group is: every file is its own group)",
        ),
        (
            [("a", "1", "train"), ("b", "2", None)],
            "1 of 2 clips have no split, 1, and the others have one; give all a split",
        ),
        ([("a", "1", "val"), ("b", "2", "test")], "no clip is for training (there are test, val); put some in train"),
        ([("a", "1", "train"), ("b", "2", "train")], "one clip only: a, b. .*cannot be both learnt and validated"),
    ],
)
def test_what_cannot_be_split_says_why_and_what_to_do(spec: list[tuple[str, str, Split | None]], said: str) -> None:
    with pytest.raises(DatasetError) as caught:
        with_splits(clip_set(spec))
    for part in said.split(" .*"):
        assert part.removeprefix(".*") in str(caught.value)


def test_shares_that_are_none_are_misuse() -> None:
    with pytest.raises(ValueError, match="three numbers above 0 that add up to 1"):
        with_splits(clip_set([("a", "1", None), ("b", "2", None)]), shares=(0.7, 0.3, 0.3))
