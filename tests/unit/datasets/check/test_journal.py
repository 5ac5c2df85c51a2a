from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from tubelet.datasets.check.journal import Journal, sketch_of
from tubelet.datasets.check.sketch import SKETCH_BYTES


def span(value: int, **changes: object) -> dict[str, object]:
    sketch = base64.b64encode(bytes([value]) * SKETCH_BYTES).decode()
    return {"start_s": 0.0, "end_s": None, "sketch": sketch, "cause": "", "detail": "", "time_s": None} | changes


def add(journal: Journal, key: str, *values: int):
    return journal.append(key=key, size_bytes=5, mtime_ns=7, video={"codec": "h264"}, spans=[span(v) for v in values])


def test_what_was_appended_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        entries = [add(journal, "a.mp4", 1), add(journal, "b \udcff.mp4", 2, 3)]
    with Journal(path) as journal:
        assert list(journal.entries()) == entries
        assert set(journal.read_sketch(entries[1].offset, 1)) == {3}
        entries.append(add(journal, "c.mp4", 4))
        assert set(journal.read_sketch(entries[2].offset, 0)) == {4}
        assert list(journal.entries()) == entries


@pytest.mark.parametrize("cut", [1, 2, 30, 3000])
def test_a_line_that_a_kill_left_unfinished_is_forgotten(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        first = add(journal, "a.mp4", 1)
        add(journal, "b.mp4", 2)
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path) as journal:
        assert list(journal.entries()) == [first]
        last = add(journal, "c.mp4", 3)
        assert list(journal.entries()) == [first, last]


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": "tubelet.check.journal/0"}\n{"key": 1}\n', b"\xff\x00\n"])
def test_what_another_version_wrote_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    with Journal(path) as journal:
        assert list(journal.entries()) == []


def test_fresh_forgets_everything(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        add(journal, "a.mp4", 1)
    with Journal(path, fresh=True) as journal:
        assert list(journal.entries()) == []


def test_a_broken_clip_has_no_sketch() -> None:
    assert sketch_of(span(1, sketch="")) is None
    np.testing.assert_array_equal(sketch_of(span(9)), np.full(SKETCH_BYTES, 9, np.uint8))
