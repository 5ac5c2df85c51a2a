"""`tubelet score` as a user runs it: files in, table or JSON out, notes on stderr, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tubelet.cli.main import main
from tubelet.runs import Report

TRUTH = """source,track_id,start_s,end_s,label
a.mp4,1,0,6,walk
a.mp4,1,6,10,jump
a.mp4,2,0,10,stand
b.mp4,1,0,5,other
"""
ACTIONS = """source,track_id,start_s,end_s,label,probability
videos/a.mp4,11,0,5,walk,0.9
videos/a.mp4,11,5,10,unknown,0.4
videos/a.mp4,12,1,10,stand,0.8
videos/a.mp4,13,2,4,wave,0.7
videos/b.mp4,1,0,5,unknown,0.3
videos/c.mp4,1,0,5,walk,0.9
"""
BOXES = """source,track_id,time_s,x0_px,y0_px,x1_px,y1_px
a.mp4,1,0,0,0,10,20
a.mp4,2,0,50,0,60,20
a.mp4,1,3,0,0,10,20
a.mp4,2,3,50,0,60,20
b.mp4,1,1,0,0,10,20
"""


def tracks_csv(places: dict[tuple[str, str], float]) -> str:
    """Tracks that stand still for ten seconds at 10 frames per second."""
    lines = ["source,track_id,time_s,x0_px,y0_px,x1_px,y1_px,score,interpolated"]
    for (source, track), x0 in places.items():
        lines += [f"{source},{track},{number / 10:.3f},{x0},0,{x0 + 10},20,0.9,0" for number in range(100)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/actions.csv").write_text(ACTIONS)
    Path("out/tracks.csv").write_text(
        tracks_csv(
            {
                ("videos/a.mp4", "11"): 50,
                ("videos/a.mp4", "12"): 0,
                ("videos/a.mp4", "13"): 90,
                ("videos/b.mp4", "1"): 1,
            }
        )
    )
    Path("truth.csv").write_text(TRUTH)
    Path("boxes.csv").write_text(BOXES)
    return tmp_path


def scored(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["score", "out/actions.csv", "truth.csv", "--json", *arguments]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def test_a_timeline_is_scored_and_the_table_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "out/actions.csv", "truth.csv"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("**out/actions.csv against truth.csv (2 of 2 items scored)**")
    assert "| accuracy         | 0.760 |" in out  # (5 + 9 + 5 rightly abstained) / 25
    assert "| accuracy_decided | 1.000 |" in out
    assert "matched to people by id and overlap" in out
    assert "3 people, 25.0 s of labelled time" in out
    assert "| source | matched by | accuracy | accuracy_decided | coverage | segment_f1_0.50 | edit_score |" in out
    assert "| a.mp4  | overlap    |" in out
    assert "| b.mp4  | id         |" in out
    assert "| jump       |" in out
    assert "note: sources matched by file name only: videos/a.mp4 for a.mp4, videos/b.mp4 for b.mp4" in err
    assert "note: no truth for 'videos/c.mp4': not scored" in err


def test_the_folder_of_the_results_will_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_file = scored(capsys, "--boxes", "boxes.csv")
    assert main(["score", "out", "./truth.csv", "--json", "--boxes", "boxes.csv"]) == 0
    by_folder = json.loads(capsys.readouterr().out)
    assert by_folder["metrics"] == by_file["metrics"]
    assert by_folder["title"] == "out against ./truth.csv"
    assert main(["score", ".", "truth.csv"]) == 2
    assert "actions.csv: cannot be read: No such file or directory" in capsys.readouterr().err


def test_labels_that_nothing_can_be_right_about_are_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = TRUTH.splitlines()[0]
    rows = ["1,0,2,wlak", "1,2,4,Walk", "1,4,5,jumping jack", "1,5,6,zzz", "1,6,7,Other", "1,7,8,juggle", "1,8,9,kick"]
    Path("truth.csv").write_text("\n".join([header, *(f"a.mp4,{row}" for row in rows)]) + "\n")
    Path("out/actions.csv").write_text(ACTIONS + "videos/a.mp4,14,0,1,juggle,0.9\n")
    assert main(["score", "out", "truth.csv"]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if "of the truth (" in line]
    said = {line.split("'")[1]: line for line in notes}
    assert sorted(said) == ["Other", "Walk", "jumping jack", "wlak", "zzz"]
    assert (
        "label 'wlak' of the truth (2.0 s) is neither in the actions nor a label of the default model" in said["wlak"]
    )
    for label, near in {"wlak": "walk", "Walk": "walk", "jumping jack": "jumping_jack", "Other": "other"}.items():
        assert said[label].endswith(f"did you mean {near!r}?")
    assert said["zzz"].endswith("write 'other' for an action that there is no word for")


def test_the_guide_explains_every_number_by_the_name_that_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "how-to" / "score.md").read_text(encoding="utf-8")
    explained = {name for line in guide.splitlines() if line.startswith("| `") for name in line.split("`")[1::2]}
    names = set(scored(capsys, "--boxes", "boxes.csv")["metrics"])
    assert names <= explained
    assert {"accuracy_decided", "segment_f1_0.10", "missed_people", "identity_switches"} < names


def test_boxes_find_who_is_who_with_the_tracks_beside(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = scored(capsys, "--boxes", "boxes.csv")
    people = content["details"]["sources"]["a.mp4"]["people"]
    assert (people["1"]["tracks"], people["2"]["tracks"]) == (["12"], ["11"])  # not as time alone would say
    assert content["details"]["sources"]["a.mp4"]["matched_by"] == "boxes"
    metrics = content["metrics"]
    assert metrics["box_recall"]["value"] == 1.0
    assert metrics["box_precision"]["value"] == pytest.approx(5 / 7)
    assert metrics["false_tracks"]["value"] == 1
    assert metrics["identity_switches"]["value"] == 0
    assert metrics["accuracy"]["value"] == pytest.approx(5 / 25)


def test_ignored_people_are_no_false_tracks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["source,track_id,time_s,x0_px,y0_px,x1_px,y1_px", "a.mp4,9,0,90,0,100,20", "a.mp4,9,3,90,0,100,20"]
    Path("ignore.csv").write_text("\n".join(lines))
    content = scored(capsys, "--boxes", "boxes.csv", "--ignore", "ignore.csv", "--tracks", "out/tracks.csv")
    assert content["metrics"]["false_tracks"]["value"] == 0
    assert content["metrics"]["box_precision"]["value"] == 1.0
    assert content["details"]["sources"]["a.mp4"]["unjudged_tracks"] == ["13"]


@pytest.mark.parametrize(("match", "accuracy"), [("overlap", 19 / 25), ("id", 5 / 25)])
def test_the_way_of_matching_can_be_chosen(
    folder: Path, capsys: pytest.CaptureFixture[str], match: str, accuracy: float
) -> None:
    content = scored(capsys, "--match", match)
    assert {each["matched_by"] for each in content["details"]["sources"].values()} == {match}
    assert content["metrics"]["accuracy"]["value"] == pytest.approx(accuracy)


def test_ids_that_are_equal_by_chance_are_noticed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = ACTIONS.splitlines()[0]
    Path("out/actions.csv").write_text(f"{header}\na.mp4,1,5,9,walk,0.9\na.mp4,2,0,5,jump,0.9\n")
    Path("truth.csv").write_text(TRUTH.splitlines()[0] + "\na.mp4,1,0,5,walk\na.mp4,2,5,9,jump\n")
    assert main(["score", "out/actions.csv", "truth.csv"]) == 0
    assert "a.mp4: tracks were matched by equal ids, yet other tracks share more time" in capsys.readouterr().err
    assert main(["score", "out/actions.csv", "truth.csv", "--match", "id"]) == 0
    assert capsys.readouterr().err == ""


def test_the_report_is_written_whole_and_never_over_another(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = scored(capsys, "--out", "scores/report.json")
    report = Report.read("scores/report.json")
    assert report.to_json() == content
    assert report.dataset_fingerprint.startswith("sha256:")
    assert main(["score", "out/actions.csv", "truth.csv", "--out", "scores/report.json"]) == 2
    assert "scores/report.json is there already; add --overwrite" in capsys.readouterr().err
    assert main(["score", "out/actions.csv", "truth.csv", "--out", "scores/report.json", "--overwrite"]) == 0


def test_the_same_files_give_the_same_numbers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scored(capsys) == scored(capsys)


def test_nobody_found_scores_zero_and_says_whom_it_missed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out/actions.csv").write_text(ACTIONS.splitlines()[0] + "\n")
    assert main(["score", "out/actions.csv", "truth.csv"]) == 0
    out, err = capsys.readouterr()
    assert "| accuracy         |        0.000 |" in out
    assert "| missed_people    |            3 |" in out
    assert "no actions for 'a.mp4', 'b.mp4': everyone there counts as missed" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tracks", "out/tracks.csv"], "--tracks is of no use without --boxes"),
        (["--ignore", "boxes.csv"], "--ignore is of no use without --boxes"),
        (["--match", "boxes"], "--match boxes needs --boxes"),
        (["--boxes", "boxes.csv", "--match", "id"], "--boxes is of no use with --match id"),
        (["--boxes", "boxes.csv", "--tracks", "no.csv"], "no.csv is not there; --boxes needs the tracks.csv of"),
        (["--boxes", "none.csv"], "none.csv: cannot be read"),
        (["--overwrite"], "--overwrite is for a report in a file; name the file with --out REPORT"),
    ],
)
def test_options_that_do_not_go_together_say_so(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["score", "out/actions.csv", "truth.csv", *arguments]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""


@pytest.mark.parametrize(
    ("truth", "boxes", "said"),
    [
        ("z.mp4,1,0,1,walk", None, "out/actions.csv: holds none of the sources of truth.csv: it has 'videos/a.mp4'"),
        ("", None, "truth.csv: holds no labels"),
        ("a.mp4,1,2,1,walk", None, "truth.csv, line 2: end_s is 1; allowed: a number above start_s (2)"),
        ("a.mp4,1,0,1,walk", "a.mp4,7,0,0,0,1,1", "a.mp4: person 1 has labels and no box in --boxes"),
    ],
)
def test_a_truth_that_cannot_be_used_says_why(
    folder: Path, capsys: pytest.CaptureFixture[str], truth: str, boxes: str | None, said: str
) -> None:
    Path("truth.csv").write_text(TRUTH.splitlines()[0] + f"\n{truth}\n")
    arguments = []
    if boxes is not None:
        Path("boxes.csv").write_text(BOXES.splitlines()[0] + f"\n{boxes}\n")
        arguments = ["--boxes", "boxes.csv"]
    assert main(["score", "out/actions.csv", "truth.csv", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_tracks_of_another_recognition_are_noticed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out/tracks.csv").write_text(tracks_csv({("videos/a.mp4", "11"): 0}))
    assert main(["score", "out/actions.csv", "truth.csv", "--boxes", "boxes.csv"]) == 2
    assert "a.mp4: track 12, 13 has actions and no row in tracks.csv" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["truth.csv/report.json", "truth.csv/deep/report.json", "out"])
def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    place: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "no_such.csv", "truth.csv", "--out", place]) == 2
    said = capsys.readouterr().err
    assert f"{place}: results cannot be written here" in said or "out is a folder; name a file" in said
