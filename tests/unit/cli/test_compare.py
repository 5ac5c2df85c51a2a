"""`tubelet compare` and `tubelet score` of predictions, as a user runs them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import predicted
import pytest

from tubelet.cli import compare
from tubelet.cli.main import main
from tubelet.cli.score_clips import find_kind
from tubelet.evaluation.scoring import score_predictions
from tubelet.runs import Report


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, skill, seed in (("large", 3.0, 1), ("small", 0.8, 2)):
        (tmp_path / name / "evaluation").mkdir(parents=True)
        predicted.write(tmp_path / name / "evaluation" / "predictions.jsonl", num_expected=120, skill=skill, seed=seed)
    return tmp_path


def compared(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    compare.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["compare", *arguments])
    code: int = parsed.run(parsed)
    return code


def test_two_runs_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared("large", "small") == 0
    out, err = capsys.readouterr()
    assert out.startswith("large is better than small by ") and err == ""
    assert "| difference |" in out and "| class | clips | large | small |" in out
    assert compared("large", "small/evaluation/predictions.jsonl", "--json", "--out", "deep/report.json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["details"]["verdict"].startswith("large is better than small")
    assert Report.read("deep/report.json").to_json() == content


def test_clips_left_out_are_a_warning_and_exit_code_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "small" / "evaluation" / "predictions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:101]))
    assert compared("large", "small") == 1
    out, err = capsys.readouterr()
    assert out.startswith("20 clips that only one or neither could score left out. large is better")
    assert err == "tubelet: warning: 20 of 120 clips left out\n"


def test_names_are_as_short_as_tells_them_apart() -> None:
    assert compare._names("runs/a", "runs/b/evaluation/predictions.jsonl") == ("a", "b")
    assert compare._names("x/run", "y/run") == ("x/run", "y/run")
    assert compare._names("run", "run") == ("A", "B")


def test_predictions_are_scored_without_a_truth(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = "large/evaluation/predictions.jsonl"
    assert main(["score", path]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Right on ") and "| top1 " in out
    assert main(["score", "large", "--json", "--page", "page"]) == 0
    content = json.loads(capsys.readouterr().out)
    expected = score_predictions(path).to_json()
    assert {**content, "command": ""} == {**expected, "command": ""}
    assert (folder / "page" / "report.html").is_file() and (folder / "page" / "confusion.csv").is_file()


def test_an_incomplete_evaluation_gives_exit_code_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predicted.write(folder / "p.jsonl", failing=(predicted.clips(60)[0].id,))
    assert main(["score", "p.jsonl"]) == 1
    assert capsys.readouterr().out.startswith("INCOMPLETE: 1 of 60 clips could not be scored.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "large", "truth.csv"], "leave TRUTH (truth.csv) away"),
        (["score", "large", "--boxes", "b.csv"], "--boxes is for a timeline; "),
        (["score", "large", "--match", "id"], "--match is for a timeline; "),
        (["score", "segments.csv"], "holds detected segments, which are measured against true ones"),
        (["score", "segments.csv", "t.csv", "--page", "x"], "--page is for a predictions.jsonl"),
        (["score", "actions.csv"], "is a timeline, which is measured against hand labels: give the file TRUTH too"),
        (
            ["score", "actions.csv", "t.csv", "--page", "x"],
            "--page is for a predictions.jsonl; actions.csv is a timeline",
        ),
        (["score", "none.jsonl"], "none.jsonl is not there; give an actions.csv, a predictions.jsonl"),
        (["score", "large", "--overwrite"], "--overwrite is for a report in a file"),
        (["score", "broken.jsonl"], "broken.jsonl, line 1: its schema is 'x'; this version reads"),
    ],
)
def test_wrong_usage_is_told(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("segments.csv").write_text("video,start_s,end_s,label,score\nv,0,1,a,1\n")
    Path("actions.csv").write_text("source,track_id,start_s,end_s,label,probability\n")
    Path("broken.jsonl").write_text('{"schema": "x"}\n')
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_detections_are_scored_by_what_their_first_line_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("segments.csv").write_text("video,start_s,end_s,label,score\nv,0,1,a,1\n")
    Path("segments_truth.csv").write_text("video,start_s,end_s,label\nv,0,1,a\n")
    assert main(["score", "segments.csv", "segments_truth.csv"]) == 0
    assert "| mAP             | 1.000 |" in capsys.readouterr().out
    Path("boxes.csv").write_text("v,902,0.1,0.1,0.5,0.9,12,0.9\n")
    Path("boxes_truth.csv").write_text("v,0902,0.1,0.1,0.5,0.9,12,0\n")
    assert main(["score", "boxes.csv", "boxes_truth.csv"]) == 0
    assert "| frame_mAP_0.50 | 1.000 |" in capsys.readouterr().out


def test_kinds_of_files(tmp_path: Path) -> None:
    firsts = {
        '{"schema": "tubelet.predictions/1"}': "predictions",
        '{"video": "a", "start_s": 0}': "segments",
        "{torn": "predictions",
        "video,time_s,x0,y0,x1,y1,label,score": "boxes",
        "video,start_s,end_s,label,score": "segments",
        "source,track_id,start_s,end_s,label,probability": None,
        "": None,
    }
    for number, (first, kind) in enumerate(firsts.items()):
        path = tmp_path / str(number)
        path.write_text(first)
        assert find_kind(path) == kind, first
    assert find_kind(tmp_path) is None
