"""A run's folder appears whole, refuses what is there, and keeps every whole line of its log."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tubelet.errors import ConfigError, OutputExistsError
from tubelet.runs import RunDirectory
from tubelet.runs.directory import check_output


def test_a_new_run_has_its_config_and_an_empty_log(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "deep" / "run", {"recipe": "a:b", "config": {"lr": 0.1}})
    assert json.loads(run.config_path.read_text()) == {
        "schema": "tubelet.run/1",
        "recipe": "a:b",
        "config": {"lr": 0.1},
    }
    assert run.description() == {"recipe": "a:b", "config": {"lr": 0.1}}
    assert sorted(os.listdir(run.path)) == ["checkpoints", "config.json", "log.jsonl"]
    assert os.listdir(tmp_path / "deep") == ["run"]
    assert run.read_log() == []


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert RunDirectory.create(tmp_path / "run", {}).description() == {}


@pytest.mark.parametrize("there", ["run", "folder", "file"])
def test_what_is_there_is_never_overwritten(tmp_path: Path, there: str) -> None:
    path = tmp_path / "run"
    if there == "run":
        RunDirectory.create(path, {"recipe": "first"})
    elif there == "folder":
        path.mkdir()
        (path / "precious.txt").write_text("x")
    else:
        path.write_text("x")
    with pytest.raises(OutputExistsError, match=r"run already holds something; choose another folder.*--resume"):
        RunDirectory.create(path, {"recipe": "second"})
    assert os.listdir(tmp_path) == ["run"]
    assert there != "run" or RunDirectory(path).description() == {"recipe": "first"}


def test_a_description_that_is_no_json_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        RunDirectory.create(tmp_path / "run", {"lr": float("nan")})
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere is not a run: it has no config\.json; give the folder that"):
        RunDirectory.open(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json is not JSON"):
        RunDirectory.open(tmp_path)
    (tmp_path / "config.json").write_text('{"schema": "tubelet.run/9"}')
    with pytest.raises(ConfigError, match=r"has schema 'tubelet.run/9'; this version reads 'tubelet.run/1'"):
        RunDirectory.open(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match="has schema None"):
        RunDirectory.open(tmp_path)


def test_the_log_keeps_whole_lines_round_a_torn_one(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", {})
    run.log(step=1, note="a\nb\u2028c")
    with open(run.log_path, "a", encoding="utf-8") as file:
        file.write('{"step": 2, "lo')  # killed here
    assert run.read_log() == [{"step": 1, "note": "a\nb\u2028c"}]
    run.log(step=3)
    run.log(step=4)
    assert [record["step"] for record in run.read_log()] == [1, 3, 4]


def test_a_run_that_was_moved_is_still_a_run(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "a", {"recipe": "x:y"}).log(step=1)
    os.rename(tmp_path / "a", tmp_path / "b")
    run = RunDirectory.open(tmp_path / "b")
    assert run.read_log() == [{"step": 1}]
    assert repr(run) == f"RunDirectory({str(tmp_path / 'b')!r})"


@pytest.mark.parametrize("place", ["file/run", "file/deep/run", "long/" + 300 * "x"])
def test_a_run_that_cannot_be_made_says_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"results cannot be written here \(.+\); name a place that you may write to"):
        RunDirectory.create(tmp_path / place, {})


@pytest.mark.parametrize("place", ["file/report.json", 300 * "x"])
def test_an_output_is_checked_before_the_work(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="results cannot be written here"):
        check_output(tmp_path / place)
    check_output(tmp_path / "new" / "deep" / "report.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_output_that_is_there_is_replaced_only_if_asked_for(tmp_path: Path) -> None:
    (tmp_path / "report.json").touch()
    check_output(tmp_path / "report.json", overwrite=True)
    with pytest.raises(OutputExistsError, match=r"report.json is there already; add --overwrite"):
        check_output(tmp_path / "report.json")
    with pytest.raises(ConfigError, match="is a folder; name a file with --out"):
        check_output(tmp_path, overwrite=True)


def test_a_folder_that_nobody_may_write_to_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ConfigError, match="results cannot be written here"):
        check_output(tmp_path / "report.json")


def test_a_config_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match=r"config.json cannot be read \(Is a directory\)"):
        RunDirectory.open(tmp_path)
