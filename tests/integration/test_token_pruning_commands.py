"""`tubelet token_pruning bench` and `viz`, from the command line to the files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.media import make_video, reference_times_s

from tubelet.cli.main import main
from tubelet.video import read_frames

TINY = [
    *("--set", "num_steps=2", "--set", "batch_size=2", "--set", "data.num_val=4", "--set", "data.num_test=12"),
    *("--set", "num_threads=1", "--set", "shape.channels=32", "--set", "shape.lm_width=32"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "needle"
    assert main(["train", "token_pruning:needle_qa", "--out", str(folder), *TINY]) == 0
    return folder


def command(*arguments: object) -> int:
    return main(["token_pruning", *map(str, arguments)])


def test_a_run_is_measured_beside_itself(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "dial"
    asked = ("--method", "stts", "tome", "--budgets", "1,0.5", "--rounds", "2", "--clips", "2", "--threads", "1")
    assert command("bench", trained, *asked, "--out", out) == 0
    said = capsys.readouterr().out
    assert "| stts " in said
    assert sorted(path.name for path in out.iterdir()) == ["bench.csv", "bench.json", "report.html"]
    document = json.loads((out / "bench.json").read_text())
    assert document["schema"] == "tubelet.token_pruning_bench/1"
    assert document["seed"] == 0
    assert set(document["versions"]) >= {"torch", "tubelet"}
    rows = {(row["method"], row["budget"]): row for row in document["rows"]}
    assert list(rows) == [("dense", 1), ("stts", 1), ("stts", 0.5), ("tome", 1), ("tome", 0.5)]
    assert rows["dense", 1]["speedup"] == 1
    for row in rows.values():
        assert row["accuracy"]["n"] == 12
        assert len(row["round_ms"]) == 2
        assert row["peak_bytes"] > 0
        assert row["kept_share"] == pytest.approx(row["budget"], abs=0.03)
    assert rows["stts", 0.5]["memory_ratio"] > 1
    assert rows["stts", 1]["accuracy"] == rows["dense", 1]["accuracy"]
    with (out / "bench.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["method"] for row in table] == ["dense", "stts", "stts", "tome", "tome"]
    page = (out / "report.html").read_text()
    assert page.count('role="img"') == 3
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_a_transformer_without_questions_has_time_and_memory_alone(tmp_path: Path) -> None:
    out = tmp_path / "dial"
    options = ("--frames", "4", "--size", "64", "--rounds", "1", "--budgets", "0.5", "--threads", "1")
    assert command("bench", "vit_tiny", *options, "--method", "random", "--out", out) == 0
    document = json.loads((out / "bench.json").read_text())
    assert document["model"]["weights"] == "random"
    assert all(row["accuracy"] is None for row in document["rows"])
    page = (out / "report.html").read_text()
    assert "random weights: time and memory only" in page
    assert "accuracy" not in page


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("runs/none",), "there is no runs/none"),
        (("vit_tiny", "--budgets", "0.5,0"), "--budgets has 0; allowed: shares that stay, above 0, to 1"),
        (("vit_tiny", "--budgets", "half"), "--budgets is 'half'; allowed: shares with commas between"),
        (("vit_tiny", "--rounds", "0"), "--rounds is 0; allowed: 1 or more"),
        (("vit_tiny", "--method", "randon"), "there is no method 'randon'; did you mean 'random'?"),
        (("vit_tiny", "--method", "fastv"), "method 'fastv' is not possible with vit_tiny"),
    ],
)
def test_bench_says_what_is_wrong(
    wrong: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ("--frames", "2", "--size", "32")
    assert command("bench", *wrong, *size, "--out", tmp_path / "out") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert command("bench", "vit_tiny", "--out", tmp_path) == 2
    assert "is not empty; give another --out, or --overwrite" in capsys.readouterr().err


def test_a_video_is_dimmed_frame_for_frame(tmp_path: Path) -> None:
    source = make_video(tmp_path / "street.mp4", width=192, height=128, num_frames=20)
    out = tmp_path / "seen"
    assert command("viz", source, "--out", out, "--budget", "0.4", "--window", "8") == 0
    assert sorted(path.name for path in out.iterdir()) == [f"street.tokens.{kind}" for kind in ("html", "json", "mp4")]
    before, after = (list(read_frames(path)) for path in (source, out / "street.tokens.mp4"))
    assert [each.image.shape for each in after] == [each.image.shape for each in before]
    np.testing.assert_allclose(reference_times_s(out / "street.tokens.mp4"), reference_times_s(source), atol=1e-3)
    document = json.loads((out / "street.tokens.json").read_text())
    assert document["schema"] == "tubelet.token_pruning_tokens/1"
    assert document["kept_share"] == pytest.approx(0.4, abs=0.01)
    assert [frame["time_s"] for frame in document["frames"]] == pytest.approx([each.time_s for each in before])
    for old, new, frame in zip(before, after, document["frames"], strict=True):
        assert document["group_grid"] == [7, 7]
        centres = [
            (int((row + 0.5) * 128 / 7), int((column + 0.5) * 192 / 7)) for row in range(7) for column in range(7)
        ]
        for (y, x), stays in zip(centres, frame["kept"], strict=True):
            seen = new.image[y - 3 : y + 4, x - 3 : x + 4].astype(float)
            if stays == "1":
                assert abs(seen - old.image[y - 3 : y + 4, x - 3 : x + 4]).mean() < 12
            else:
                assert np.ptp(seen.mean((0, 1))) < 8  # no colour is left
    page = (out / "street.tokens.html").read_text()
    assert page.count("data:image/jpeg") == 9
    assert "no network has looked at them" in page


def test_a_run_shows_what_its_scorer_keeps_of_a_part(trained: Path, tmp_path: Path) -> None:
    source, out = make_video(tmp_path / "street.mp4", num_frames=30), tmp_path / "seen"
    span = ("--start", "0.2", "--end", "0.8")
    assert command("viz", source, "--model", trained, *span, "--out", out) == 0
    document = json.loads((out / "street.tokens.json").read_text())
    times_s = [frame.time_s for frame in read_frames(source) if 0.2 - 1e-6 <= frame.time_s < 0.8 - 1e-6]
    assert [frame["time_s"] for frame in document["frames"]] == pytest.approx(times_s, abs=1e-5)
    assert len(list(read_frames(out / "street.tokens.mp4"))) == len(times_s)
    assert document["settings"]["method"] == "stts"
    assert document["kept_share"] == pytest.approx(0.5, abs=0.02)
    assert "the run's own scorer" in document["about"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--budget", "0"), "--budget is 0; allowed: a share that stays, above 0, to 1"),
        (("--model", "runs/none"), "which holds no model.safetensors; give the folder of a finished"),
        (("--method", "prevsim"), "there is no method 'prevsim'; did you mean 'prev_sim'?"),
        (("--method", "tome"), "method 'tome' needs a network"),
        (("--window", "1"), "--window is 1; allowed: 2 or more"),
        (("--start", "2", "--end", "1"), "needed: 0 <= start < end"),
        (("--start", "99"), "start earlier"),
    ],
)
def test_viz_says_what_is_wrong(
    wrong: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "street.mp4", num_frames=4)
    assert command("viz", source, "--out", tmp_path / "out", *wrong) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_results_in_the_way_and_broken_videos_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = make_video(tmp_path / "street.mp4", num_frames=4), tmp_path / "out"
    assert command("viz", source, "--out", out) == 0
    assert command("viz", source, "--out", out) == 2
    assert "is there already; give another --out, or --overwrite" in capsys.readouterr().err
    assert command("viz", source, "--out", out, "--overwrite") == 0
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    assert command("viz", text, "--out", tmp_path / "other") == 1
    assert "text.mp4" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
