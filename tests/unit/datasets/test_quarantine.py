from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.datasets.quarantine import QuarantinedClip, quarantined_clips, read_quarantine, write_quarantine
from tubelet.errors import DatasetError

CLIPS = [
    QuarantinedClip(id="walk/a.mp4", cause="corrupt", detail="a picture is damaged", time_s=1.25),
    QuarantinedClip(id="run/ü \udcff.mp4", cause="time_out", detail="it took too long"),
]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    write_quarantine(path, CLIPS, dataset="mine")

    assert quarantined_clips(path) == CLIPS
    assert read_quarantine(path) == {
        "walk/a.mp4": "corrupt at 1.25 s: a picture is damaged",
        "run/ü \udcff.mp4": "time_out: it took too long",
    }


def test_no_file_and_an_empty_list_leave_nothing_out(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    assert read_quarantine(path) == {}
    write_quarantine(path, [], dataset="mine")
    assert path.exists()
    assert read_quarantine(path) == {}


def test_a_person_may_strike_out_lines_and_leave_empty_ones(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    write_quarantine(path, CLIPS, dataset="mine")
    first, _, last = path.read_text().splitlines()
    path.write_text(f"{first}\n\n{last}\n\n")

    assert [clip.id for clip in quarantined_clips(path)] == ["run/ü \udcff.mp4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "schema None; this version reads 'tubelet.quarantine/1'"),
        ('{"schema": "tubelet.quarantine/9"}\n', "schema 'tubelet.quarantine/9'"),
        ('{"schema": "tubelet.quarantine/1"}\n{"id": "a"', "line 2: is not JSON"),
        ('{"schema": "tubelet.quarantine/1"}\n["a"]', "line 2: is '\\[\"a\"\\]'; each line must be a JSON object"),
        ('{"schema": "tubelet.quarantine/1"}\n{"cause": "corrupt"}', "line 2: has no id"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "quarantine.jsonl"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_quarantine(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="delete it and run `tubelet check` again"):
        read_quarantine(path)
