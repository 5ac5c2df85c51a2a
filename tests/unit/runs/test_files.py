"""Files appear whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from tubelet.runs.files import to_json_text, write_atomically, write_bytes, write_json, write_text


@dataclasses.dataclass
class Point:
    x: float
    where: Path


def test_json_holds_dataclasses_paths_and_numpy_values(tmp_path: Path) -> None:
    write_json(
        tmp_path / "a.json",
        {"p": Point(1.5, Path("a") / "b"), "i": np.int64(3), "f": np.float32(0.5), "l": np.arange(2), "ä": "é"},
    )
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"p": {"x": 1.5, "where": "a/b"}, "i": 3, "f": 0.5, "l": [0, 1], "ä": "é"}
    assert "ä" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_what_json_has_no_word_for_is_an_error_and_leaves_the_old_file(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"new": value})
    assert json.loads(path.read_text()) == {"old": 1}


def test_what_has_no_json_form_is_an_error() -> None:
    with pytest.raises(TypeError, match="set has no JSON form"):
        to_json_text({"a": {1}})


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write(file: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_line_ends_are_kept_and_others_may_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a.srt", "a\r\nb\n")
        write_bytes(tmp_path / "b.bin", b"\x00\xff")
    finally:
        os.umask(before)
    assert (tmp_path / "a.srt").read_bytes() == b"a\r\nb\n"
    assert stat.S_IMODE((tmp_path / "b.bin").stat().st_mode) == 0o644
