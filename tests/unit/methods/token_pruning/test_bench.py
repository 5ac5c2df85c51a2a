"""The clock, the memory count, the charts and what can be measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tubelet.errors import ConfigError, OutputExistsError, WeightsError
from tubelet.evaluation.clock import in_turns, peak_bytes, speed_of
from tubelet.methods.token_pruning.bench_models import (
    Sizes,
    VitSubject,
    chosen_methods,
    left_by_merging,
    open_subject,
)
from tubelet.methods.token_pruning.chart import Panel, Point, panel_svg, share_over_time_svg, ticks_between
from tubelet.methods.token_pruning.page import require_empty
from tubelet.models.vit import VideoViT
from tubelet.training.weights_files import save_weights

CPU = torch.device("cpu")


def small_vit() -> VideoViT:
    torch.manual_seed(0)
    return VideoViT(
        3, num_frames=4, size_px=32, tubelet=(1, 8, 8), channels=64, depth=6, num_heads=1, attention="frame"
    ).eval()


def test_passes_take_turns_in_changing_order() -> None:
    order: list[str] = []
    seconds = in_turns({name: lambda name=name: order.append(name) for name in "abc"}, 3, device=CPU)
    assert "".join(order) == "abc" + "abc" + "cba" + "abc"  # the first three come before the clock
    assert {name: len(rounds) for name, rounds in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    with pytest.raises(ValueError, match="rounds is 0; allowed: 1 or more"):
        in_turns({}, 0, device=CPU)


def test_speed_is_the_median_of_ratios_round_by_round() -> None:
    # A round in which the whole machine was slow changes nothing.
    speed = speed_of([1.0, 10.0, 2.0], [2.0, 20.0, 3.0])
    assert (speed.median_s, speed.ratio, speed.lowest, speed.highest) == (2.0, 2.0, 1.5, 2.0)


def test_peak_counts_what_is_held_at_once() -> None:
    def one_after_the_other() -> None:
        for _ in range(3):
            torch.zeros(1000, 100)

    def at_once() -> None:
        _ = [torch.zeros(1000, 100) for _ in range(3)]

    assert peak_bytes(one_after_the_other, CPU) == 400_000
    assert peak_bytes(at_once, CPU) == 1_200_000


def test_merging_leaves_what_the_transformer_has_left() -> None:
    vit = small_vit()
    assert left_by_merging(0.0, vit) == 1.0
    assert left_by_merging(0.5, vit) == 0.5
    assert left_by_merging(0.97, vit) == 2 / 16  # four are left before the last block, which can merge half


def test_ticks_are_round_and_reach_over_the_heights() -> None:
    for low, high in ((0.0, 1.0), (0.0, 2.37), (12.0, 971.0), (0.0, 0.0004)):
        ticks = ticks_between(low, high)
        assert 3 <= len(ticks) <= 8
        assert ticks[0] <= low + 1e-12
        assert ticks[-1] >= high - 1e-12


def test_a_panel_has_a_line_and_marks_for_each_series() -> None:
    lines = {
        "stts": (Point(x=0.5, y=1.4, low=1.2, high=1.6), Point(x=1.0, y=1.0)),
        "<b>": (Point(x=0.3, y=2.0, text="a < b"),),
    }
    svg = panel_svg(Panel(title="speed", lines=lines, level=1.0, level_name="dense"), ["stts", "<b>"], x_name="kept")
    assert svg.count("<circle") == 2
    assert svg.count("<rect") == 1
    assert "a &lt; b" in svg
    line = re.search(r'd="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', svg)
    assert line is not None
    left, high, right, low = map(float, line.groups())  # in the order of x, faster is higher
    assert left < right
    assert high < low
    with pytest.raises(ValueError, match="each from 0 to 1"):
        panel_svg(Panel(title="speed", lines={}), [], x_name="kept")


def test_a_long_time_is_drawn_in_short_spans() -> None:
    times = [number / 25 for number in range(20_000)]
    svg = share_over_time_svg(times, [float(number % 2) for number in range(20_000)])
    heights = {float(height) for height in re.findall(r"[ML][\d.]+ ([\d.]+)H", svg)}
    assert len(svg) < 30_000
    assert all(abs(height - 87) < 8 for height in heights)  # the middle of 12 to 162
    assert "M" in share_over_time_svg([0.0], [1.0])


def test_a_folder_must_be_free(tmp_path: Path) -> None:
    require_empty(tmp_path, overwrite=False)
    require_empty(tmp_path / "new", overwrite=False)
    (tmp_path / "old.json").write_text("{}")
    with pytest.raises(OutputExistsError, match="is not empty; give another --out, or --overwrite"):
        require_empty(tmp_path, overwrite=False)
    require_empty(tmp_path, overwrite=True)
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        require_empty(tmp_path / "old.json", overwrite=True)


def test_a_stored_transformer_is_built_from_its_tensors(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vit = VideoViT(3, num_frames=4, size_px=32, tubelet=(2, 8, 8), channels=64, depth=5, num_heads=1, mlp_ratio=2.0)
    file = tmp_path / "vit.safetensors"
    save_weights(file, vit.state_dict())
    subject = open_subject(str(file), Sizes(num_frames=4, size_px=32))
    assert isinstance(subject, VitSubject)
    assert torch.equal(subject.vit(subject.video), vit.eval()(subject.video))
    assert "time and memory only" in subject.about
    with torch.inference_mode():
        output = subject.look(subject.wrapped("random"), 0.5)
    assert subject.kept_share("random", output, 0.5) == 0.5


def test_what_cannot_be_measured_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no vit_tinny; .* did you mean 'vit_tiny'"):
        open_subject("vit_tinny", Sizes())
    with pytest.raises(ConfigError, match=r"holds no model\.safetensors and no model of transformers"):
        open_subject(str(tmp_path), Sizes())
    file = tmp_path / "other.safetensors"
    save_weights(file, {"weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="holds neither a run of token_pruning nor a VideoViT"):
        open_subject(str(file), Sizes())
    with pytest.raises(ConfigError, match="cannot look at 4 frames of 30 px"):
        open_subject("vit_tiny", Sizes(num_frames=4, size_px=30))


def test_methods_are_those_of_the_model() -> None:
    subject = VitSubject(small_vit(), title="a vit", weights="random", sizes=Sizes(), size_px=32)
    assert chosen_methods(subject, None) == ("stts", "random", "tome")
    assert chosen_methods(subject, ["dense", "tome", "tome"]) == ("tome",)
    with pytest.raises(ConfigError, match="there is no method 'prev_simm'; did you mean 'prev_sim'"):
        chosen_methods(subject, ["prev_simm"])
    with pytest.raises(ConfigError, match="method 'fastv' is not possible with a vit; allowed: dense, stts"):
        chosen_methods(subject, ["fastv"])
