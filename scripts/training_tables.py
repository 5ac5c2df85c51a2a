"""Tables of what training and evaluation cost, for `render_numbers.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from report_tables import load, share, table


def vit_speed() -> str:
    """The video transformer beside transformers' VideoMAE, with the same weights."""
    report = load("vit")
    size = report["input"]
    rows = []
    for name, case in report["cases"].items():
        ours, theirs = (f"{case['median_ms'][who]:.0f} ms" for who in ("tubelet", "transformers"))
        spread = case["round_by_round"]
        rows.append(
            [name.replace("_", " "), ours, theirs, f"{case['speed']:.2f} ({spread['low']:.2f} to {spread['high']:.2f})"]
        )
    head = (
        f"ViT-B, {size['clips']} clip of {size['frames']} x {size['size_px']} px, {report['dtype']}, "
        f"{report['machine']['num_threads']} threads, median of {report['rounds']} rounds; in brackets the rounds. "
        f"Logits differ by {report['differences_in_fp32']['logits']:.0e} at most."
    )
    return f"{head}\n\n" + table(["", "tubelet", "transformers", "times as fast"], rows)


def loader_speed() -> str:
    """Clips a second of the loader and of others doing the same work."""
    report = load("loader")
    rows = []
    for name, case in report["cases"].items():
        rates = case["median_clips_per_s"]
        for peer, ratio in case["speed_against"].items():
            spread = case["round_by_round_ratio"][peer]
            rows.append(
                [
                    name,
                    f"{rates['tubelet']:.1f}",
                    f"{rates[peer]:.1f} ({peer})",
                    f"{ratio:.2f} ({spread['low']:.2f} to {spread['high']:.2f})",
                ]
            )
    return table(["clips a second out of", "tubelet", "another", "times as fast"], rows)


def many_views() -> str:
    """Many views of a clip beside one at a time."""
    report = load("evaluation")
    rows = [
        [
            name,
            f"{case['ratios']['naive']:.1f}",
            f"{case['ratios']['naive, exact seeking']:.1f}",
            f"{case['greatest_difference_of_logits']:.0e}",
        ]
        for name, case in report["results"].items()
    ]
    head = ["views of a clip", "times as fast as one at a time", "the same with tubelet's reader", "logits differ by"]
    return table(head, rows)


def train_memory() -> str:
    """Peak memory by the number of clips."""
    names = {
        "train_frames_mib": "training, kept features",
        "evaluate_frames_mib": "its evaluation",
        "train_end_to_end_mib": "training, end to end",
        "evaluate_end_to_end_mib": "its evaluation",
    }
    rows = [
        [f"{row['num_clips']} clips", *(f"{row[name]:.0f} MiB" for name in names)]
        for row in load("train_memory")["rows"]
    ]
    return table(["", *names.values()], rows)


def token_budget() -> str:
    """What a video transformer gains and loses on a budget of tokens."""
    report = load("token_budget")
    forward, recognized, accuracy = (report.get(part, {}) for part in ("forward", "recognize", "accuracy"))
    columns: dict[str, dict[str, str]] = {}
    for name, budgets in forward.items():
        network = {"vit_small": "ViT-S", "vit_base": "ViT-B"}.get(name, name)
        columns[f"{network}, times as fast"] = {budget: _times(each) for budget, each in budgets.items()}
        columns[f"{network}, by operations"] = {budget: f"{each['limit']:.2f}" for budget, each in budgets.items()}
    if recognized:
        columns["`recognize`, times as fast"] = {
            budget: f"{each['speed']:.2f}" for budget, each in recognized["budgets"].items()
        }
    if accuracy:
        columns["right, of the test clips"] = {budget: share(each) for budget, each in accuracy["budgets"].items()}
    rows = [[budget, *(column[budget] for column in columns.values())] for budget in next(iter(forward.values()))]
    size = report["input"]
    head = f"Clips of {size['frames']} x {size['size_px']} px, one thread, processor time, "
    head += f"median of {report['rounds']} rounds; in brackets the rounds."
    return f"{head}\n\n" + table(["budget", *columns], rows)


def _times(each: dict[str, Any]) -> str:
    low, high = each["speed_low"], each["speed_high"]
    return f"{each['speed']:.2f}" + (f" ({low:.2f} to {high:.2f})" if low != high else "")


RENDERERS: dict[str, Callable[[], str]] = {
    "vit_speed": vit_speed,
    "loader_speed": loader_speed,
    "many_views": many_views,
    "train_memory": train_memory,
    "token_budget": token_budget,
}
