"""From a folder of clips to a model that is measured, compared and used, as the README's commands do it, in small."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from published_models import publish

from tubelet.cli.main import main
from tubelet.methods.recognition.clips.model import load_card
from tubelet.runs import Report, RunDirectory
from tubelet.weights.archives import file_sha256

# Small enough for a test: a random image network, tiny pictures.
TINY = [
    *("--set", "network.weights=none", "--set", "sampling.size_px=32", "--set", "sampling.num_frames=8"),
    *("--set", "num_epochs=6", "--set", "num_cached_views=1", "--set", "num_workers=0", "--set", "num_threads=1"),
    *("--set", "optimizer.lr=3e-3", "--set", "optimizer.num_warmup_steps=2"),
    *("--set", "augmentation.mirror=false"),
]
PIXELS = [
    *("--recipe", "recognition:vit_small", "--set", "network.name=vit_tiny", "--set", "sampling.size_px=16"),
    *("--set", "sampling.num_frames=4", "--set", "sampling.step_s=none", "--set", "num_epochs=1"),
    *("--set", "num_workers=0", "--set", "num_threads=1", "--set", "evaluation.num_views=1"),
    *("--set", "augmentation.mirror=false"),
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips") / "glyphs"
    assert main(["synth", str(folder), "--kind", "glyphs", "--clips", "16", "--workers", "1"]) == 0
    return folder


@pytest.fixture(scope="module")
def place(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trained and evaluated run."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUBELET_CACHE", str(tmp_path_factory.mktemp("cache")))
        assert main(["train", str(clips), "--out", str(folder / "one"), *TINY]) == 0
        assert main(["evaluate", str(folder / "one")]) == 0
    return folder


def test_the_run_holds_model_log_and_evaluation(place: Path, clips: Path) -> None:
    card = load_card(place / "one")
    assert card["classes"] == sorted(["left", "right", "up", "down"])
    assert card["data"]["num_clips"] == {"train": 40, "val": 8, "test": 16}
    assert card["window_s"] == pytest.approx(1.0, abs=0.05)
    log = RunDirectory(place / "one").read_log()
    assert next(line for line in log if line.get("event") == "data")["split_rule"]
    steps = [line for line in log if line.get("event") == "step"]
    assert len(steps) >= 1
    assert all(0 < step["loss"] < 3 for step in steps)
    names = {path.name for path in (place / "one" / "evaluation").iterdir()}
    assert {"report.json", "report.html", "predictions.jsonl", "confusion.svg", "confusion.csv"} <= names
    report = Report.read(place / "one" / "evaluation" / "report.json")
    assert (report.num_expected, report.num_scored) == (16, 16)
    top1 = report.metrics["top1"]
    assert top1.low is not None
    assert top1.value is not None
    assert top1.low <= top1.value <= (top1.high or 0)


def test_the_evaluation_is_scored_anew_from_its_predictions(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions = place / "one" / "evaluation" / "predictions.jsonl"
    assert main(["score", str(predictions), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    report = json.loads((place / "one" / "evaluation" / "report.json").read_text())
    assert again["metrics"]["top1"] == report["metrics"]["top1"]
    assert again["metrics"]["mean_class_accuracy"] == report["metrics"]["mean_class_accuracy"]


def test_the_run_names_what_it_sees_in_a_video(
    place: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = next(clips.glob("test/left/*.mp4"))
    assert main(["recognize", str(video), "--model", str(place / "one"), "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr()
    assert "the whole picture" in out.out
    assert "the model looks at whole pictures" in out.err
    actions = json.loads((tmp_path / "out" / "actions.json").read_text())
    source = actions["sources"][0]
    assert [track["track_id"] for track in source["tracks"]] == [0]
    assert source["detector"] == "none"
    assert source["model"]["labels"] == ["down", "left", "right", "up"]
    assert "Whole picture" in (tmp_path / "out" / "report.html").read_text()
    assert list((tmp_path / "out").glob("*/annotated.mp4"))


def test_runs_are_compared(
    place: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    assert main(["train", str(clips), "--out", str(tmp_path / "two"), *PIXELS]) == 0
    assert main(["evaluate", str(tmp_path / "two")]) == 0
    capsys.readouterr()
    assert main(["compare", str(place / "one"), str(tmp_path / "two"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_scored"] == 16
    one, two = (Report.read(run / "evaluation" / "report.json") for run in (place / "one", tmp_path / "two"))
    difference = (one.metrics["top1"].value or 0) - (two.metrics["top1"].value or 0)
    assert report["metrics"]["difference"]["value"] == pytest.approx(difference)


def test_a_video_transformer_takes_a_budget_of_tokens(
    place: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "vit"
    assert main(["train", str(clips), "--out", str(run), *PIXELS, "--set", "sampling.size_px=64"]) == 0
    video = str(next(clips.glob("test/left/*.mp4")))

    def recognized(*options: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["recognize", video, "--model", str(run), "--json", "--min-score", "0", *options]) == 0
        source: dict[str, Any] = json.loads(capsys.readouterr().out)["sources"][0]
        return source

    plain, whole, half = recognized(), recognized("--token-budget", "1"), recognized("--token-budget", "0.5")
    assert [source["settings"]["token_budget"] for source in (plain, whole, half)] == [1, 1, 0.5]
    assert whole["tracks"] == plain["tracks"]
    assert half["tracks"] != plain["tracks"]
    out = tmp_path / "out"
    assert main(["recognize", video, "--model", str(run), "--out", str(out), "--token-budget", "0.5"]) == 0
    assert "token budget <b>0.5</b>" in (out / "report.html").read_text()

    assert main(["evaluate", str(run)]) == 0
    assert main(["evaluate", str(run), "--token-budget", "0.5", "--out", str(tmp_path / "half")]) == 0
    report = Report.read(tmp_path / "half" / "report.json")
    assert "Merging leaves 50 % of the network's tokens." in report.protocol
    assert report.details["model"]["token_budget"] == 0.5
    assert "token_budget" not in Report.read(run / "evaluation" / "report.json").details["model"]
    lines = [
        (folder / "predictions.jsonl").read_text().split("\n")[1] for folder in (run / "evaluation", tmp_path / "half")
    ]
    assert json.loads(lines[0])["id"] == json.loads(lines[1])["id"]
    assert lines[0] != lines[1]

    for command in (["recognize", video, "--model", str(place / "one")], ["evaluate", str(place / "one")]):
        where = [] if command[0] == "recognize" else ["--out", str(tmp_path / "frames")]
        capsys.readouterr()
        assert main([*command, *where, "--token-budget", "0.5"]) == 2
        said = capsys.readouterr().err
        assert "token_budget is 0.5, and a model of the network 'frames' is no video transformer" in said
        assert "--recipe recognition:vit_small --out RUN" in said


def test_a_killed_training_goes_on_to_the_same_weights(
    place: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that stopped after a checkpoint, with the rest of its files gone, ends in the same bits."""
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    whole = tmp_path / "whole"
    settings = [*TINY, "--set", "num_epochs=10"]
    assert main(["train", str(clips), "--out", str(whole), *settings]) == 0
    torn = tmp_path / "torn"
    shutil.copytree(whole, torn)
    (torn / "model.safetensors").unlink()
    newest = max((torn / "checkpoints").glob("step_*"))
    shutil.rmtree(newest)
    assert main(["train", str(clips), "--out", str(torn), "--resume"]) == 0
    assert file_sha256(torn / "model.safetensors") == file_sha256(whole / "model.safetensors")


def test_what_belongs_to_the_training_cannot_change_later(
    place: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(place / "one"), "--set", "sampling.num_frames=4", "--out", str(tmp_path)]) == 2
    assert "sampling belongs to the training of" in capsys.readouterr().err
    other = tmp_path / "other"
    assert main(["synth", str(other), "--kind", "glyphs", "--classes", "2", "--clips", "8", "--workers", "1"]) == 0
    assert main(["evaluate", str(place / "one"), "--data", str(other), "--out", str(tmp_path / "e")]) == 2
    assert "has the classes left, right and the model of" in capsys.readouterr().err
    assert main(["evaluate", str(place / "one")]) == 2
    assert "is there already; add --overwrite" in capsys.readouterr().err
    assert main(["evaluate", str(place / "one"), "--set", "data.split_seed=1", "--out", str(tmp_path / "e")]) == 2
    assert "data.split_seed belongs to the training" in capsys.readouterr().err
    assert main(["evaluate", str(place / "one"), "--set", "evaluation.num_crops=3", "--out", str(tmp_path / "f")]) == 2
    assert "evaluation.num_crops is 3" in capsys.readouterr().err


def test_an_evaluation_is_replaced_by_one_with_other_settings(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    assert main(["evaluate", str(place / "one"), "--out", str(out)]) == 0
    assert (
        main(["evaluate", str(place / "one"), "--out", str(out), "--overwrite", "--set", "evaluation.num_views=3"]) == 0
    )
    header = json.loads((out / "predictions.jsonl").read_text().split("\n")[0])
    assert header["protocol"]["num_clips"] == 3


def test_clips_of_training_never_come_into_the_test(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Splits are made once, by the training: what is added later moves nothing, and quarantine hides nothing."""
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    flat = tmp_path / "flat"
    for file in sorted(clips.glob("*/*/*.mp4")):
        (flat / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, flat / file.parent.name / file.name)
    assert main(["train", str(flat), "--out", str(tmp_path / "run"), *TINY, "--set", "num_epochs=1"]) == 0
    splits = json.loads((tmp_path / "run" / "clips.json").read_text())["clips"]
    tested = {name for name, split in splits.items() if split == "test"}
    for number in range(6):
        shutil.copy(next(flat.glob("left/*.mp4")), flat / "left" / f"later{number}.mp4")
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    predictions = (tmp_path / "run" / "evaluation" / "predictions.jsonl").read_text().split("\n")[1:-1]
    assert {json.loads(line)["id"] for line in predictions} == tested
    assert "6 clips were added since" in capsys.readouterr().out

    assert main(["evaluate", str(tmp_path / "run"), "--data", str(clips), "--out", str(tmp_path / "given")]) == 0
    other = tmp_path / "other"
    for name in ("down", "left", "right", "up"):
        (other / name).mkdir(parents=True)
        shutil.copy(next(clips.glob(f"test/{name}/*.mp4")), other / name / "one.mp4")
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(other), "--out", str(tmp_path / "all")]) == 0
    report = Report.read(tmp_path / "all" / "report.json")
    assert report.num_scored == 4
    assert "temperature" not in report.metrics


def test_people_are_learned_alone_and_with_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The skeleton recipe and the fusion of both, on drawn people whom the real detector finds."""
    people = tmp_path / "people"
    assert main(["synth", str(people), "--classes", "jumping_jack,walk", "--clips", "8"]) == 0
    run = tmp_path / "run"
    settings = ["--set", "frames.network.weights=none", "--set", "frames.sampling.size_px=32"]
    settings += ["--set", "frames.sampling.num_frames=4", "--set", "frames.num_epochs=1"]
    settings += ["--set", "skeleton.num_epochs=8", "--set", "frames.num_cached_views=1"]
    assert main(["train", str(people), "--recipe", "recognition:fusion", "--out", str(run), *settings]) == 0
    assert main(["evaluate", str(run)]) == 0
    fused = Report.read(run / "evaluation" / "report.json")
    assert fused.num_scored == fused.num_expected == 4
    assert main(["evaluate", str(run / "skeleton")]) == 0
    alone = Report.read(run / "skeleton" / "evaluation" / "report.json").metrics["top1"].value
    assert alone is not None
    assert alone >= 0.75  # the shipped model knows these two
    capsys.readouterr()
    video = next(people.glob("test/walk/*.mp4"))
    assert main(["recognize", str(video), "--model", str(run)]) == 2
    assert "holds two models that judge whole clips together" in capsys.readouterr().err
    assert main(["recognize", str(video), "--model", str(run / "skeleton"), "--json"]) == 0
    source = json.loads(capsys.readouterr().out)["sources"][0]
    assert source["model"]["labels"] == ["jumping_jack", "walk"]
    assert [track["track_id"] for track in source["tracks"]][:1] == [1]


def test_a_training_goes_on_with_the_same_clips_only(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    copy = tmp_path / "copy"
    shutil.copytree(clips, copy)
    run = ["train", str(copy), "--out", str(tmp_path / "run"), *TINY, "--set", "num_epochs=1"]
    assert main(run) == 0
    next(copy.glob("train/up/*.mp4")).unlink()
    assert main(["train", str(copy), "--out", str(tmp_path / "run"), "--resume"]) == 2
    assert "are not those that" in capsys.readouterr().err


def test_broken_clips_are_counted_and_quarantined_ones_left_out(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    copy = tmp_path / "copy"
    shutil.copytree(clips, copy)
    broken = sorted(copy.glob("train/up/*.mp4"))[0]
    broken.write_bytes(broken.read_bytes()[:300])
    sorted(copy.glob("test/up/*.mp4"))[0].write_bytes(b"")
    one = ["--set", "num_epochs=1"]
    assert main(["train", str(copy), "--out", str(tmp_path / "run"), *TINY, *one]) == 0
    failures = [line for line in RunDirectory(tmp_path / "run").read_log() if line.get("event") == "failure"]
    assert [line["item"] for line in failures] == [broken.relative_to(copy).as_posix()]
    assert main(["evaluate", str(tmp_path / "run")]) == 1
    out = capsys.readouterr().out
    assert "INCOMPLETE" in out
    assert "15 of 16" in out
    assert main(["check", str(copy), "--workers", "1"]) == 1
    assert main(["train", str(copy), "--out", str(tmp_path / "again"), *TINY, *one]) == 0
    assert not [line for line in RunDirectory(tmp_path / "again").read_log() if line.get("event") == "failure"]
    assert load_card(tmp_path / "again")["data"]["num_clips"] == {"train": 39, "val": 8, "test": 15}
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "again")]) == 1  # the broken clip of the test is missing, not forgotten
    out = capsys.readouterr().out
    assert "15 of 16" in out
    assert "in quarantine: " in out


@pytest.mark.parametrize("recipe", [TINY, PIXELS, ["--recipe", "recognition:skeleton", "--set", "mirror=false"]])
def test_a_validation_that_cannot_be_read_is_told_before_anything_is_computed(
    recipe: list[str], clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(clips, copy)
    for file in copy.glob("val/*/*.mp4"):
        file.write_bytes(file.read_bytes()[:300])
    assert main(["train", str(copy), "--out", str(tmp_path / "run"), *recipe]) == 2
    said = capsys.readouterr().err
    assert "8 of 8 clips of the val split cannot be read, which is too many:\n  val/down/down_val000.mp4: " in said
    assert "truncated: " in said
    assert "and 3 more" in said
    assert f"Run `tubelet check {copy}`" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", [TINY, PIXELS])
def test_validation_clips_that_open_and_hold_no_pictures_are_told_of_in_the_same_words(
    recipe: list[str], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    copy = tmp_path / "copy"
    shutil.copytree(clips, copy)
    for file in copy.glob("val/*/*.mp4"):
        content = file.read_bytes()
        start = content.index(b"mdat") + 4
        file.write_bytes(content[:start] + bytes(len(content) - start))
    assert main(["train", str(copy), "--out", str(tmp_path / "run"), *recipe, "--set", "num_epochs=1"]) == 2
    assert "8 of 8 clips of the val split cannot be read, which is too many:\n  val/down/" in capsys.readouterr().err


def test_a_training_without_validation_clips_is_refused(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few"
    for file in [*clips.glob("train/*/*_train000.mp4"), *clips.glob("train/*/*_train001.mp4")]:
        (few / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, few / file.parent.name / file.name)
    assert main(["train", str(few), "--out", str(tmp_path / "run"), *PIXELS]) == 2
    assert "no clip is in the val split, and training needs some" in capsys.readouterr().err


def test_an_evaluation_asks_for_its_validation_clips_before_it_predicts(
    place: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    val, away = clips / "val", tmp_path / "val"
    shutil.copytree(val, away)
    evaluate = ["evaluate", str(place / "one"), "--out", str(tmp_path / "out")]
    try:
        for file in val.glob("*/*.mp4"):
            file.write_bytes(b"")
        assert main(evaluate) == 2
        said = capsys.readouterr().err
        assert main(["check", str(clips), "--workers", "1"]) == 1
        capsys.readouterr()
        assert main(evaluate) == 2
        assert "val/down/down_val000.mp4: in quarantine: " in capsys.readouterr().err
    finally:
        (clips / "quarantine.jsonl").unlink(missing_ok=True)
        for file in away.glob("*/*.mp4"):
            shutil.copy2(file, val / file.relative_to(away))
    assert "8 of 8 clips of the val split cannot be read" in said
    assert "bring these files back, since the temperature is fitted on them" in said
    assert not list((tmp_path / "out").glob("predictions*"))
    assert main(evaluate) == 0


def test_one_batch_is_learned_by_heart_or_not(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(clips), *PIXELS, "--overfit-one-batch", "--set", "label_smoothing=0"]) == 0
    assert "one batch of 8 clips was learned" in capsys.readouterr().out
    assert main(["train", str(clips), *PIXELS, "--overfit-one-batch", "--set", "optimizer.lr=1e-9"]) in (1, 2)
    assert "was not learned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "augmentation.mirror=true"], "'left' and 'right' are mirror images of each other"),
        (["--recipe", "recognition:skeleton"], "give --set mirror=false"),
        (["--recipe", "recognition:frams"], "has no recipe 'frams'; did you mean 'frames'"),
        (["--set", "sampling.sise_px=2"], "did you mean 'size_px'"),
        (["--set", "mixup_alpha=0.5"], "mixup_alpha and cutmix_alpha mix pictures"),
        (["--device", "cuda"], "device is 'cuda'"),
        (["--recipe", "recognition:mvit_v2_s", "--set", "sampling.size_px=32"], "mvit_v2_s takes 16 of 224"),
        (["--recipe", "recognition:hub"], "network.weights is not given; name the hub id"),
        (["--set", "data.quarantine=none.jsonl"], "which is not there; run `tubelet check`"),
        (["--set", "data.format=kinetic"], "data.format is 'kinetic'; did you mean 'kinetics'"),
    ],
)
def test_wrong_usage_says_what_to_do(
    clips: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--set", "num_workers=0", "--set", "network.weights=none"] if "--recipe" not in arguments else []
    if not any("mirror" in argument for argument in arguments) and "recognition:skeleton" not in arguments:
        small += ["--set", "augmentation.mirror=false"]
    assert main(["train", str(clips), "--out", str(tmp_path / "run"), *small, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_published_model_is_adapted_and_kept_whole(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run can be used where the model that it came from is gone."""
    folder = tmp_path / "published"
    folder.mkdir()
    publish(folder, "videomae")
    run = ["train", str(clips), "--out", str(tmp_path / "run"), "--recipe", "recognition:hub"]
    run += [
        "--set",
        "augmentation.mirror=false",
        "--set",
        f"network.weights={folder}",
        "--set",
        "num_epochs=1",
        "--set",
        "sampling.step_s=none",
    ]
    assert main([*run, "--set", "num_workers=0", "--set", "num_threads=1"]) == 0
    shutil.rmtree(folder)
    card = load_card(tmp_path / "run")
    assert card["published"]["family"] == "videomae"
    assert main(["evaluate", str(tmp_path / "run"), "--set", "evaluation.num_views=1"]) == 0
    video = next(clips.glob("test/up/*.mp4"))
    capsys.readouterr()
    assert main(["recognize", str(video), "--model", str(tmp_path / "run")]) == 0
    assert "the whole picture" in capsys.readouterr().out


def test_two_processes_train_one_model(clips: Path, tmp_path: Path) -> None:
    """torchrun over the command: the same losses as one process with the same batch, and one run folder."""
    settings = [*PIXELS, "--set", "optimizer.lr=1e-3", "--set", "augmentation.erasing_probability=0"]
    assert main(["train", str(clips), "--out", str(tmp_path / "one"), *settings]) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "tubelet"]
    child = subprocess.run(
        [*command, "train", str(clips), "--out", str(tmp_path / "two"), *settings],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
    )
    assert child.returncode == 0, child.stderr[-3000:]

    def losses(run: Path) -> list[float]:
        return [line["loss"] for line in RunDirectory(run).read_log() if line.get("event") == "step"]

    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=2e-3)
    assert main(["evaluate", str(tmp_path / "two")]) == 0


def test_robustness_is_measured_beside_the_clean_pictures(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "worse"
    assert main(["evaluate", str(place / "one"), "--robustness", "--out", str(out)]) == 0
    report = json.loads((out / "robustness.json").read_text())
    assert len(report["details"]["table"]) == 15
    assert {"top1_clean", "top1_blur_1", "top1_compression_3"} <= set(report["metrics"])
    assert "blur" in (out / "report.html").read_text()
