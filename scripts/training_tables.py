"""Tables of what training and evaluation cost, for `render_numbers.py`."""

from __future__ import annotations

from collections.abc import Callable

from report_tables import load, table


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


RENDERERS: dict[str, Callable[[], str]] = {
    "vit_speed": vit_speed,
    "loader_speed": loader_speed,
    "many_views": many_views,
    "train_memory": train_memory,
}
