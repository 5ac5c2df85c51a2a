"""Settings of published models in all the wordings they have had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet.errors import WeightsError
from tubelet.models.hub_preprocessing import read_preprocessing

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}


def written(folder: Path, settings: Any, name: str = "preprocessor_config.json") -> Path:
    (folder / name).write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("settings", "short_side", "size"),
    [
        ({"size": 40, "crop_size": 32, "do_center_crop": True}, 40, (32, 32)),
        ({"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 24}}, 40, (32, 24)),
        ({"size": {"height": 32, "width": 32}, "do_center_crop": False}, None, (32, 32)),
        ({"size": {"height": 32, "width": 32}, "crop_size": 32}, None, (32, 32)),
    ],
)
def test_every_wording_of_sizes_is_read(
    settings: dict[str, Any], short_side: int | None, size: tuple[int, int], tmp_path: Path
) -> None:
    found = read_preprocessing(written(tmp_path, settings | HALF))
    assert (found.short_side_px, found.size_px) == (short_side, size)
    out = found(torch.zeros(3, 50, 70, 3, dtype=torch.uint8))
    assert out.shape == (3, 3, *size)
    torch.testing.assert_close(out, torch.full_like(out, -2.0))


def test_tall_pictures_are_cut_as_wide_ones(tmp_path: Path) -> None:
    found = read_preprocessing(written(tmp_path, {"size": {"shortest_edge": 20}, "crop_size": 20} | HALF))
    frames = torch.zeros(1, 60, 40, 3, dtype=torch.uint8)
    frames[:, 20:40] = 255
    out = found(frames)
    assert float(out[:, :, 7:13].min()) > 1.9 and float(out[:, :, :3].max()) < -1.9


def test_steps_that_are_switched_off_are_left_out(tmp_path: Path) -> None:
    settings = {"size": 32, "crop_size": 32, "do_normalize": False}
    white = torch.full((1, 32, 32, 3), 255, dtype=torch.uint8)
    assert float(read_preprocessing(written(tmp_path, settings))(white).mean()) == pytest.approx(1.0)
    raw = settings | {"do_rescale": False}
    assert float(read_preprocessing(written(tmp_path, raw))(white).mean()) == pytest.approx(255.0)


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("video_preprocessor_config.json", None),
        ("processor_config.json", "video_processor"),
        ("processor_config.json", "image_processor"),
    ],
)
def test_newer_names_of_the_file_are_known(name: str, wrap: str | None, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"size": 40, "crop_size": 32} | HALF
    found = read_preprocessing(written(tmp_path, {wrap: settings} if wrap else settings, name))
    assert found.size_px == (32, 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"size": 40, "crop_size": 32, "resample": 1},
            r"resample is 1; supported: 0 \(nearest-exact\), 2 \(bilinear\)",
        ),
        ({"size": 40, "do_center_crop": False}, "pictures get no fixed size"),
        ({"size": {"longest_edge": 40}, "crop_size": 32}, "size is {'longest_edge': 40}; supported: a number"),
        ({"size": 20, "crop_size": 32}, r"a crop of \(32, 32\) from pictures resized to 20 is not supported"),
        ({"size": 40, "crop_size": 32, "do_resize": False}, "do_resize is false"),
        ({"size": 40, "crop_size": 32, "image_mean": [0.5]}, r"image_mean is \[0.5\]; needed: three numbers"),
        ({"size": 40, "crop_size": 32, "image_std": None}, "image_std is None; needed: three numbers"),
    ],
)
def test_what_is_not_supported_is_named(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=message):
        read_preprocessing(written(tmp_path, HALF | settings))


def test_a_model_without_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match="has none of .*preprocessor_config.json.* that says how pictures are prepared"
    ):
        read_preprocessing(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{not json", encoding="utf-8")
    with pytest.raises(WeightsError, match="preprocessor_config.json: cannot be read as JSON"):
        read_preprocessing(tmp_path)
    with pytest.raises(WeightsError, match="holds no JSON object"):
        read_preprocessing(written(tmp_path, [1, 2]))
