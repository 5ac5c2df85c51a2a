"""File names tell which clips stem from one source."""

from __future__ import annotations

import pytest

from tubelet.datasets.grouping import groups_of, source_of


@pytest.mark.parametrize(
    ("stem", "source"),
    [
        ("tape7_c01", "tape7"),
        ("tape7_clip3", "tape7"),
        ("tape7_clip_3", "tape7"),
        ("tape7-part2", "tape7"),
        ("Tape 7_SEG4", "Tape 7"),
        ("0wR5jVB-WPk_000417_000427", "0wR5jVB-WPk"),
        ("v_YoYo_g01_c05", "class/v_YoYo_g01"),
        ("tape7", None),
        ("tape_7", None),
        ("abc01", None),
        ("class_clip_01", None),
        ("Class-c2", None),
        ("_c01", None),
        ("clip_01", None),
    ],
)
def test_the_mark_of_a_part_is_taken_off(stem: str, source: str | None) -> None:
    assert source_of(stem, "class") == source


def test_a_file_called_like_the_source_of_others_is_the_source() -> None:
    assert groups_of(["walk/tape7.mp4", "run/tape7_clip1.mp4", "run/tape8.mp4"]) == ["tape7", "tape7", "run/tape8.mp4"]


def test_groups_of_ucf_are_within_their_class() -> None:
    ids = ["a/x_g01_c01.avi", "a/x_g01_c02.avi", "b/x_g01_c01.avi"]
    assert groups_of(ids) == ["a/x_g01", "a/x_g01", "b/x_g01"]
