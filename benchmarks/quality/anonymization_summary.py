"""From the arms of `anonymization.py` to a report and claims: paired differences, drawn over seeds and digits."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from tubelet.evaluation.claims import Claim, update_claims
from tubelet.metrics.intervals import group_draws, group_numbers
from tubelet.metrics.multi_label import weighted_average_precision
from tubelet.runs import installed_versions, write_json

ROOT = Path(__file__).resolve().parents[2]
NUM_DRAWS = 400
SHOWN = (
    *("top1", "private_cmap", "private_f1", "action_floor", "excess_leakage", "kept", "union_visibility", "flicker"),
    *("motion_kept", "secret_kept"),
)
PUBLISHED, RECOMMENDED = "grl_0.5", "coop_1_place+tube"
"""The published mode, and the way of hiding that this toolkit recommends and uses by default."""


class Arms:
    """Results by set, arm and kept share, and what they say of each clip of the test.

    Args:
        rows: Of the journal.
        groups: Which digit each clip of the test shows, by set.
        private: Truth, by set.
    """

    def __init__(
        self, rows: list[dict[str, Any]], groups: dict[str, np.ndarray], private: dict[str, np.ndarray]
    ) -> None:
        self.rows: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
        for row in rows:
            name, arm, keep, seed = row["key"].split("|")
            self.rows[name, arm, keep][int(seed)] = row
        self.groups, self.private = groups, private

    def difference(self, name: str, one: str, other: str, keep: str) -> dict[str, list[float]]:
        """Accuracy and leakage of one arm less those of another: value, low and high, over seeds and digits."""
        ours, theirs = self.rows[name, one, keep], self.rows[name, other, keep]
        seeds = sorted(ours.keys() & theirs.keys())
        which = group_numbers(self.groups[name].tolist(), len(self.groups[name]))
        generator = np.random.default_rng(0)
        once = np.ones((1, len(which)), np.int64)
        drawn = np.concatenate(list(group_draws(int(which.max()) + 1, NUM_DRAWS, 0)))[:, which]
        picks = generator.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), NUM_DRAWS)
        found = {}
        for metric, measure in (("top1", self._accuracy), ("private_cmap", self._cmap)):
            value = np.mean([measure(name, ours[s], once)[0] - measure(name, theirs[s], once)[0] for s in seeds])
            per_seed = np.stack([measure(name, ours[s], drawn) - measure(name, theirs[s], drawn) for s in seeds], 1)
            spread = (per_seed * picks).sum(1) / len(seeds)
            low, high = np.percentile(spread, [2.5, 97.5])
            found[metric] = [float(value), float(low), float(high)]
        return found

    def _accuracy(self, name: str, row: dict[str, Any], weights: np.ndarray) -> np.ndarray:
        del name
        return (weights * np.array(row["right"])).sum(1) / weights.sum(1)

    def _cmap(self, name: str, row: dict[str, Any], weights: np.ndarray) -> np.ndarray:
        scores, truth = np.array(row["private_scores"]), self.private[name] > 0
        return np.mean([weighted_average_precision(*pair, weights) for pair in zip(scores.T, truth.T, strict=True)], 0)


def summary(arms: Arms) -> dict[str, Any]:
    """Means over seeds of every arm, and what each gains over random pruning and over looking at the action alone."""
    table = []
    for (name, arm, keep), seeds in sorted(arms.rows.items()):
        values = {
            metric: float(np.mean([row[metric] for row in seeds.values() if row.get(metric) is not None]))
            for metric in SHOWN
            if any(row.get(metric) is not None for row in seeds.values())
        }
        table.append({"set": name, "arm": arm, "keep": float(keep), "num_seeds": len(seeds), **values})
    differences = {}
    for name, arm, keep in sorted(arms.rows):
        suffix = "+tube" if arm.endswith("+tube") else ""
        for other in dict.fromkeys((f"random{suffix}", f"action_only{suffix}", "random", "action_only")):
            if other != arm and (name, other, keep) in arms.rows:
                differences[f"{name}|{arm} - {other}|{keep}"] = arms.difference(name, arm, other, keep)
    return {"arms": table, "differences": differences}


def write(arms: Arms, report: Path, command: str, settings: dict[str, Any]) -> None:
    """The report and, from it, the claims."""
    content = {
        "schema": "tubelet.benchmark.anonymization/1",
        "command": command,
        "versions": installed_versions(),
        "machine": {"processor": platform.machine(), "num_cores": os.cpu_count()},
        "settings": settings,
        **summary(arms),
    }
    write_json(report, content)
    claims = list(_claims(content, report))
    update_claims(ROOT / "benchmarks" / "claims" / "anonymization.json", claims)


def _claims(content: dict[str, Any], report: Path) -> list[Claim]:
    differences = content["differences"]
    claims = []
    for title, arm in (("published", PUBLISHED), ("recommended", RECOMMENDED)):
        for other, metric, least, statement in (
            ("random", "top1", 0.05, "action accuracy at least 5 points above that of random tubelets"),
            ("random", "private_cmap", None, "an attacker reads less than from random tubelets"),
            ("action_only", "private_cmap", None, "an attacker reads less than where the action's token alone decides"),
        ):
            found = differences.get(f"apart|{arm} - {other}|0.5")
            if found is None:
                continue
            value, low, high = found[metric]
            holds = low > 0 and value >= least if least is not None else high < 0
            claims.append(
                Claim(
                    id=f"E1-{title}-{metric}-{other}".replace("_", "-"),
                    statement=f"Glyph motion, half of the tubelets kept, {arm}: {statement}.",
                    unit="points",
                    paper=None,
                    ours=round(100 * value, 2),
                    interval=(round(100 * low, 2), round(100 * high, 2)),
                    num_seeds=5,
                    holds=bool(holds),
                    command="python benchmarks/quality/anonymization.py E1",
                    report=report.relative_to(ROOT).as_posix(),
                    machine=f"{content['machine']['num_cores']} cores, {content['machine']['processor']}",
                    commit=_commit(),
                    note="Interval over seeds and digits; the stronger of two attackers trained anew.",
                )
            )
    return claims


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
