from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tubelet.datasets.check.duplicates import Copy, CopySet
from tubelet.datasets.check.facts import Facts
from tubelet.datasets.check.findings import (
    balance_findings,
    broken_findings,
    counted,
    duplicate_findings,
    label_findings,
    leak_findings,
    media_findings,
)
from tubelet.datasets.check.leakage import duplicates, shared_by_splits, shared_scenes
from tubelet.datasets.labelled import ClipSet, LabelledClip
from tubelet.datasets.sampling import Sampling


def clip_set(*rows: tuple[str, tuple[int, ...], str, str | None], classes=("run", "walk"), **changes) -> ClipSet:
    """Clips from id, labels, group, split."""
    clips = tuple(
        LabelledClip(id=name, path=Path("/data") / name, labels=labels, group=group, split=split)
        for name, labels, group, split in rows
    )
    return ClipSet(name="mine", root=Path("/data"), classes=classes, clips=clips, **changes)


def sound(number: int, **values: object) -> Facts:
    facts = Facts(number)
    facts.is_done[:] = facts.is_sound[:] = True
    usual = {"fps": 25.0, "length_s": 4.0, "detail": 30.0, "movement": 8.0, "brightness": 100.0}
    for name, value in (usual | values).items():
        getattr(facts, name)[:] = value
    return facts


def plenty(split_of=lambda number: None, labels=(0, 1)) -> list[tuple[str, tuple[int, ...], str, str | None]]:
    return [
        (f"{label}/{number}.mp4", (label,), f"g{number // 3}", split_of(number))
        for label in labels
        for number in range(12)
    ]


def kinds(findings) -> dict[str, str]:
    return {finding.kind: finding.title for finding in findings}


def test_nothing_is_said_about_what_is_in_order() -> None:
    clips = clip_set(*plenty())
    facts = sound(len(clips))
    assert label_findings(clips) + balance_findings(clips, facts) + broken_findings(clips, facts) == []
    assert media_findings(clips, facts, Sampling()) == []
    assert duplicate_findings(clips, []) + leak_findings([], [], []) == []


def test_broken_clips_are_told_by_cause() -> None:
    clips = clip_set(*plenty())
    facts = sound(len(clips))
    for index, cause in ((0, "corrupt"), (3, "time_out"), (5, "corrupt")):
        facts.broken[index], facts.is_sound[index] = (cause, "why", None), False
    found = broken_findings(clips, facts)
    assert [(one.kind, one.weight, one.num_clips, one.ids) for one in found] == [
        ("corrupt", "error", 2, ("0/0.mp4", "0/5.mp4")),
        ("time_out", "error", 1, ("0/3.mp4",)),
    ]
    assert found[0].advice.endswith("Until then training leaves them out.")
    assert found[1].advice.endswith("Until then training leaves it out.")


def test_label_ids_that_count_from_one_are_noticed() -> None:
    clips = clip_set(*plenty(labels=(1, 2)), classes=("0", "1", "2"))
    assert kinds(label_findings(clips)) == {"ids_from_one": "Label ids seem to count from 1"}


def test_a_class_without_a_clip_and_a_clip_without_a_label_are_noticed() -> None:
    clips = clip_set(*plenty(), ("x.mp4", (), "g", None), classes=("run", "walk", "sit", "lie"))
    found = {finding.kind: finding for finding in label_findings(clips)}
    assert found["empty_class"].title == "2 classes without a clip: sit, lie"
    assert found["unlabelled"].ids == ("x.mp4",)
    assert found["unlabelled"].weight == "error"
    assert "unlabelled" not in kinds(label_findings(clip_set(("x.mp4", (), "g", None), is_multi_label=True)))


@pytest.mark.parametrize("classes", [("Walk", "walk"), ("jumping jack", "Jumping_Jacks"), ("a-b", "ab")])
def test_one_class_in_two_spellings_is_noticed(classes: tuple[str, str]) -> None:
    found = kinds(label_findings(clip_set(*plenty(), classes=classes)))
    assert found == {"alike_classes": f"Classes whose names are nearly the same: {classes[0]!r} and {classes[1]!r}"}


def test_names_of_signs_alone_are_not_alike() -> None:
    assert label_findings(clip_set(*plenty(), classes=("+", "-"))) == []


def test_too_few_clips_and_groups_are_noticed() -> None:
    rows = [*plenty(labels=(0,)), ("1/a.mp4", (1,), "one", None)]
    found = kinds(balance_findings(clip_set(*rows), sound(13)))
    assert found == {
        "few_clips": "1 class with fewer than 10 clips: walk",
        "few_groups": "1 class with fewer than 3 groups: walk",
        "imbalance": "The largest class has 12 times the clips of the smallest",
    }


def test_broken_clips_do_not_count_for_the_balance() -> None:
    facts = sound(24)
    facts.is_sound[12:23] = False
    assert "few_clips" in kinds(balance_findings(clip_set(*plenty()), facts))


def test_classes_of_one_split_only_are_noticed() -> None:
    rows = plenty(lambda number: "train" if number < 6 else "test")
    rows = [
        row for row in rows if not (row[1] == (0,) and row[3] == "train") and not (row[1] == (1,) and row[3] == "test")
    ]
    found = kinds(balance_findings(clip_set(*rows), sound(len(rows))))
    assert found["untaught_class"] == "1 class in test and not in train: run"
    assert found["untested_class"] == "1 class in train and not in test: walk"


@pytest.mark.parametrize(
    ("values", "kind", "weight"),
    [
        ({"length_s": 0.3}, "short", "warning"),
        ({"detail": 0.5, "movement": 0.4, "brightness": 4.0}, "dark", "warning"),
        ({"detail": 0.5, "movement": 0.4}, "plain", "warning"),
        ({"movement": 0.2}, "still", "note"),
        ({"fps": 60.0, "length_s": 9.0}, "odd_rate", "note"),
        ({"fps": 5.0, "length_s": 9.0}, "odd_rate", "note"),
        ({"is_variable": True}, "variable_rate", "note"),
    ],
)
def test_odd_clips_are_noticed(values: dict[str, object], kind: str, weight: str) -> None:
    clips = clip_set(*plenty())
    facts = sound(24)
    for name, value in values.items():
        getattr(facts, name)[7] = value
    found = {finding.kind: finding for finding in media_findings(clips, facts, Sampling(num_frames=16))}
    assert found.keys() - {"low_rate"} == {kind}
    assert (found[kind].weight, found[kind].num_clips, found[kind].ids) == (weight, 1, ("0/7.mp4",))


def test_too_short_depends_on_what_a_network_is_given() -> None:
    clips, facts = clip_set(*plenty()), sound(24, length_s=1.5)
    assert media_findings(clips, facts, Sampling(num_frames=16)) == []
    assert kinds(media_findings(clips, facts, Sampling(num_frames=16, step_s=0.1))).keys() == {"short"}


def test_nothing_is_said_of_the_pictures_of_a_set_without_sound_clips() -> None:
    assert media_findings(clip_set(*plenty()), Facts(24), Sampling()) == []


def test_copies_are_told_apart_by_split_and_label() -> None:
    rows = [
        ("a.mp4", (0,), "a", "train"),
        ("b.mp4", (0,), "b", "test"),
        ("c.mp4", (1,), "c", "train"),
        ("d.mp4", (0,), "d", "train"),
        ("e.mp4", (0,), "e", "train"),
    ]
    clips = clip_set(*rows)
    copies = [
        CopySet(0, (Copy(1, 0.97, False), Copy(2, 0.99, True))),
        CopySet(3, (Copy(4, 0.96, False),)),
    ]
    found = duplicates(clips, copies)
    # Of the first three, all are copies of what is in test.
    assert [(one.first, one.other, one.is_leak, one.labels_differ, one.is_mirrored) for one in found] == [
        (1, 2, True, True, True),
        (1, 0, True, False, False),
        (3, 4, False, False, False),
    ]
    assert found[0].likeness == 0.97
    assert kinds(duplicate_findings(clips, found)) == {
        "duplicate_leak": "2 clips showing what a clip of another split shows",
        "label_conflict": "1 clip showing what another clip shows, with another label",
        "duplicate": "1 clip showing what another clip shows",
    }


def test_two_labels_for_one_part_of_a_file_are_no_copy() -> None:
    path = Path("/data/a.mp4")
    clips = tuple(
        LabelledClip(id=f"a@{start}", path=path, labels=(0,), start_s=start, end_s=start + 2.0, group="a")
        for start in (0.0, 1.0, 5.0)
    )
    whole = ClipSet(name="mine", root=Path("/data"), classes=("run",), clips=clips)
    found = duplicates(whole, [CopySet(0, (Copy(1, 1.0, False), Copy(2, 1.0, False)))])
    assert [(one.first, one.other) for one in found] == [(0, 2)]


def test_groups_and_scenes_in_two_splits_are_found() -> None:
    rows = [
        ("a.mp4", (0,), "one", "train"),
        ("b.mp4", (0,), "one", "test"),
        ("c.mp4", (0,), "two", "train"),
        ("d.mp4", (0,), "two", "train"),
        ("e.mp4", (0,), "none", None),
    ]
    clips = clip_set(*rows)
    (group,) = shared_by_splits(clips, lambda clip: clip.group)
    assert (group.name, group.num_clips, group.ids) == ("one", {"test": 1, "train": 1}, ("b.mp4", "a.mp4"))
    (scene,) = shared_scenes(clips, [(1, 2, 3), (0, 2), (3, 4)])
    assert (scene.name, scene.num_clips) == ("b.mp4", {"test": 1, "train": 2})
    found = leak_findings([group], [], [scene])
    assert [(one.kind, one.weight) for one in found] == [("group_leak", "error"), ("scene_leak", "note")]
    assert found[0].title == "1 group in more than one split"


def test_counts_read_like_a_sentence() -> None:
    assert [counted(number, "class", "classes") for number in (1, 2, 12345)] == [
        "1 class",
        "2 classes",
        "12\u202f345 classes",
    ]


def test_facts_hold_little_of_each_clip() -> None:
    facts = Facts(10_000)
    arrays = [value for value in vars(facts).values() if isinstance(value, np.ndarray)]
    assert len(arrays) == 14
    assert sum(array.nbytes for array in arrays) / 10_000 < 150
