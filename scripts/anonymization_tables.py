"""Tables of what hiding keeps and leaks, for `render_numbers.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from report_tables import load, table

_NAMES = {
    "raw": "the clips as they are",
    "random": "random tubelets",
    "centre": "tubelets in the middle",
    "motion": "tubelets with most change",
    "action_only": "the action's token alone",
    "grl_0.5": "contrast, as published (reversal, weight 0.5)",
    "grl_0.25": "contrast, as published, weight 0.25",
    "grl_1": "contrast, as published, weight 1",
    "grl_2": "contrast, as published, weight 2",
    "coop_0.5": "contrast without reversal, weight 0.5",
    "coop_1": "contrast without reversal, weight 1",
    "action_only_place": "the action's token alone, mixing by place",
    "grl_0.5_place": "contrast with reversal, mixing by place",
    "coop_0.25_place": "contrast without reversal, weight 0.25, mixing by place",
    "coop_0.5_place": "contrast without reversal, weight 0.5, mixing by place",
    "coop_1_place": "contrast without reversal, weight 1, mixing by place",
    "coop_2_place": "contrast without reversal, weight 2, mixing by place",
    "privacy_only": "the privacy token alone",
    "evit": "one token alone (EViT)",
    "merging": "tubelets that merge least",
    "downsample2": "half the resolution",
    "downsample4": "a quarter of the resolution",
    "blur3": "blur, 3 px",
    "blur7": "blur, 7 px",
    "boxes_black": "a black box on what is private, given",
    "boxes_blur": "a blurred box on what is private, given",
}
_ALONG = {"": "", "ema": ", smoothed", "tube": ", whole places"}


def anonymization_arms() -> str:
    """Every way of hiding at half of the tubelets, and the coarser pictures."""
    rows = []
    for row in load("anonymization")["arms"]:
        arm, _, along = row["arm"].partition("+")
        if row["set"] != "apart" or row["keep"] not in (0.5, 1.0):
            continue
        shown = [f"{100 * row[name]:.0f} %" for name in ("top1", "private_cmap", "excess_leakage")]
        kept = [f"{100 * row[name]:.0f} %" if name in row else "" for name in ("secret_kept", "union_visibility")]
        rows.append([_NAMES[arm] + _ALONG[along], str(row["num_seeds"]), *shown, *kept])
    rows.sort(key=lambda row: list(_NAMES.values()).index(row[0].split(", whole")[0].split(", smoothed")[0]))
    head = [
        "hidden by",
        "seeds",
        "action",
        "attacker's mean AP",
        "above the action floor",
        "digit visible",
        "places seen",
    ]
    return table(head, rows)


_SETS = {
    "correlated": "attributes follow the action in 80 % of the clips",
    "entangled": "the digit rides on the moving block",
    "gait": "no digit; the block swings in its rhythm",
    "unseen_bit": "the third attribute, which was never taught",
}


def anonymization_sets() -> str:
    """The other sets at half of the tubelets."""
    rows = []
    for row in load("anonymization")["arms"]:
        arm, _, along = row["arm"].partition("+")
        if row["set"] not in _SETS or row["keep"] not in (0.5, 1.0):
            continue
        shown = [f"{100 * row[name]:.0f} %" for name in ("top1", "private_cmap", "action_floor", "excess_leakage")]
        rows.append([_SETS[row["set"]], _NAMES[arm] + _ALONG[along], str(row["num_seeds"]), *shown])
    head = ["set", "hidden by", "seeds", "action", "attacker's mean AP", "action floor", "above it"]
    return table(head, rows)


def anonymization_speed() -> str:
    """What pruning saves."""
    report = load("anonymization_speed")
    rows = [
        [
            f"{case['name']}, {case['batch']} at once",
            f"{case['median_ms']['dense']:.1f} ms",
            f"{case['median_ms']['pruned']:.1f} ms",
            f"{case['speedup']:.2f} ({case['range'][0]:.2f} to {case['range'][1]:.2f})",
            f"{case['limit']:.2f}",
            f"{100 * case['overhead_share']:.1f} %",
        ]
        for case in report["cases"]
    ]
    return table(["", "dense", "pruned", "times as fast", "by operations", "scoring, gathering, fusing"], rows)


def anonymization_apply_speed() -> str:
    """What sets the pace of `apply`."""
    rows = [
        [
            case["name"],
            f"{case['num_frames']} of {case['size_px'][0]}x{case['size_px'][1]}",
            *(f"{case['median_s'][part]:.1f} s" for part in ("decoding", "networks", "encoding", "whole")),
            f"{case['over_slowest']:.2f}",
        ]
        for case in load("anonymization_speed")["apply"]
    ]
    return table(["", "frames", "decoding", "networks", "encoding", "all of apply", "over the slowest part"], rows)


_CLIPS = {"demo.mp4": "demonstration", "bikes.mp4": "street"}


def anonymized_footage() -> str:
    """What is left to see in real footage, by what was hidden and by fill."""
    rows = []
    for row in load("anonymized_footage")["rows"]:
        left = row["metrics"]
        parts = row["parts"] or {}
        rows.append(
            [
                _CLIPS[row["clip"]],
                row["way"],
                row["fill"],
                f"{100 * row['pixels_kept']:.0f} %",
                _left(left["recogniser_agreement"]),
                _left(left["faces_still_found"]),
                _left(left["people_told_again_after"]),
                _parts(parts),
            ]
        )
    head = [
        "clip",
        "hidden",
        "fill",
        "picture left",
        "recogniser agrees",
        "faces found",
        "people told again",
        "of heads / trunks / limbs visible, %",
    ]
    return table(head, rows)


def _parts(parts: dict[str, Any]) -> str:
    if not parts:
        return ""
    shares = " / ".join(f"{100 * parts[name]['value']:.0f}" for name in ("head", "trunk", "limbs"))
    return f"{shares}, n={parts['head']['n']}"


def _left(metric: dict[str, Any]) -> str:
    if metric["value"] is None:
        return f"not measurable, n={metric['n']}"
    return f"{100 * metric['value']:.0f} %, n={metric['n']}"


RENDERERS: dict[str, Callable[[], str]] = {
    "anonymization_arms": anonymization_arms,
    "anonymization_sets": anonymization_sets,
    "anonymization_speed": anonymization_speed,
    "anonymization_apply_speed": anonymization_apply_speed,
    "anonymized_footage": anonymized_footage,
}
