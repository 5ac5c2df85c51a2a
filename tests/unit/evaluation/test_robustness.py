"""What each corruption does to pictures, and the table of what is left of the accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import predicted
import pytest

from tubelet.errors import ConfigError
from tubelet.evaluation.robustness import CORRUPTIONS, SEVERITIES, Corruption, Severity, corrupt, score_robustness


def pictures(num: int = 12, height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 60 * np.sin(x / 6 + 0.4 * time) + 40 * np.sin(y / 5 - 0.3 * time) for time in range(num)]
    return (
        np.stack([np.stack([wave, wave[::-1], wave[:, ::-1]], axis=-1) for wave in waves]).clip(0, 255).astype(np.uint8)
    )


def change(frames: np.ndarray, kind: Corruption, severity: int) -> float:
    return float(np.abs(corrupt(frames, kind, severity, np.random.default_rng(3)).astype(int) - frames).mean())


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_corruption_keeps_the_shape_repeats_itself_and_grows(kind: Corruption) -> None:
    frames = pictures()
    before = frames.copy()
    for severity in SEVERITIES:
        once, again = (corrupt(frames, kind, severity, np.random.default_rng(7)) for _ in range(2))
        assert once.shape == frames.shape and once.dtype == np.uint8
        assert np.array_equal(once, again)
    assert np.array_equal(frames, before)
    assert 0 < change(frames, kind, 1) < change(frames, kind, 2) < change(frames, kind, 3)


@pytest.mark.parametrize(("num", "height", "width"), [(1, 33, 47), (3, 32, 17)])
def test_odd_sizes_and_single_pictures(num: int, height: int, width: int) -> None:
    frames = pictures(num, height, width)
    for kind in CORRUPTIONS:
        assert corrupt(frames, kind, 2, np.random.default_rng(0)).shape == frames.shape


def test_what_each_one_is() -> None:
    frames = pictures()
    dropped = corrupt(frames, "frame_drop", 2, np.random.default_rng(0))
    assert np.array_equal(dropped, frames[[0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8]])
    flat = np.full((6, 32, 32, 3), 120, dtype=np.uint8)
    shifted = {int(corrupt(flat, "brightness", 1, np.random.default_rng(seed))[0, 0, 0, 0]) for seed in range(8)}
    assert shifted == {120 - 38, 120 + 38}
    noisy = corrupt(flat, "noise", 1, np.random.default_rng(0)).astype(float)
    assert noisy.std() == pytest.approx(0.06 * 255, rel=0.05)
    assert not np.array_equal(noisy[0], noisy[1])
    assert np.array_equal(corrupt(flat, "blur", 3, np.random.default_rng(0)), flat)
    assert np.abs(corrupt(flat, "compression", 3, np.random.default_rng(0)).astype(int) - flat).max() <= 4
    edge = flat.copy()
    edge[:, :, 16:] = 220
    blurred = corrupt(edge, "blur", 3, np.random.default_rng(0))
    assert np.abs(np.diff(blurred[0, 0, :, 0].astype(int))).max() < 60


def test_wrong_names_are_refused() -> None:
    with pytest.raises(ValueError, match="kind is 'fog'; allowed: compression, blur, frame_drop"):
        corrupt(pictures(2), "fog", 1, np.random.default_rng(0))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="severity is 4; allowed: 1, 2, 3"):
        corrupt(pictures(2), "blur", 4, np.random.default_rng(0))


def test_the_table_holds_accuracy_and_difference(tmp_path: Path) -> None:
    clean = predicted.write(tmp_path / "clean.jsonl", skill=2.5)
    lost = predicted.clips(60)[4].id
    report = score_robustness(
        clean,
        {
            Severity("noise", 1): predicted.write(tmp_path / "n1.jsonl", skill=2.5),
            Severity("blur", 3): predicted.write(tmp_path / "b3.jsonl", skill=0.2, seed=1, failing=(lost,)),
        },
    )
    blur, noise = report.details["table"]
    assert (blur["corruption"], blur["severity"], noise["corruption"]) == ("blur", 3, "noise")
    assert noise["difference"].value == 0.0 and noise["p_value"] == 1.0
    assert blur["difference"].high < 0 and blur["p_value"] < 0.05 and blur["num_left_out"] == 1
    assert report.metrics["top1_blur_3"].n == 59
    assert report.metrics["top1_corrupted_mean"].value == pytest.approx(
        (report.metrics["top1_blur_3"].value + report.metrics["top1_noise_1"].value) / 2
    )
    assert report.headline.startswith("INCOMPLETE: tiny on yard, split test, with spoilt pictures (59 of 60")
    assert report.failures[0].reason == "with blur_3: truncated: the file ends early"


def test_other_data_or_models_are_refused(tmp_path: Path) -> None:
    clean = predicted.write(tmp_path / "clean.jsonl")
    other = predicted.write(tmp_path / "other.jsonl", model={"name": "x"})
    with pytest.raises(ConfigError, match="has another model than the clean predictions"):
        score_robustness(clean, {Severity("blur", 1): other})
    views = predicted.write(tmp_path / "views.jsonl", num_clips=3)
    with pytest.raises(ConfigError, match="has another protocol than the clean predictions"):
        score_robustness(clean, {Severity("blur", 1): views})
    several = predicted.write(tmp_path / "several.jsonl", is_multi_label=True)
    with pytest.raises(ConfigError, match="where clips have one label each"):
        score_robustness(several, {})
