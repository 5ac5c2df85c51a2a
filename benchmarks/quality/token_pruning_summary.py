"""From the trainings of `token_pruning.py` to a report and claims: paired differences over seeds and digit images."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tubelet.evaluation.claims import Claim, update_claims
from tubelet.metrics.intervals import group_draws, group_numbers
from tubelet.runs import installed_versions, write_json

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python benchmarks/quality/token_pruning.py"
NUM_DRAWS = 2000
_WAYS = {"": "from random weights", "_tuned": "all from one model that knows the task"}
_NOTE = (
    "Interval over {over}; the first less the second. One set of drawn clips of 8 frames of "
    "24x24 pixels; networks of 4 blocks of 64 channels; groups leave after the second block."
)


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One way beside another.

    Attributes:
        difference: Mean, and the ends of its interval.
        num_seeds: That both have.
        commits: Of the code that was run.
    """

    difference: tuple[float, float, float]
    num_seeds: int
    commits: str


class Tests:
    """Results by what was tested, and seed.

    Args:
        rows: Of the journal.
    """

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.of: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        for row in rows:
            seed = int(row["key"].split("|")[1])
            for name, test in row["tests"].items():
                self.of[name][seed] = {"commit": row["commit"], **test}

    def seeds(self, *names: str) -> list[int]:
        """Those for which all of these were tested."""
        return sorted(set.intersection(*(set(self.of.get(name, ())) for name in names)))

    def difference(
        self, one: str, other: str, stratum: str | None = None, field: str = "right"
    ) -> tuple[float, float, float]:
        """Mean of one less that of the other, with its interval."""
        parts = []
        for seed in self.seeds(one, other):
            ours, theirs = self.of[one][seed], self.of[other][seed]
            gain = np.array(ours[field], float) - np.array(theirs[field], float)
            chosen = ~np.isnan(gain)
            if stratum is not None:
                chosen &= np.array(ours["strata"]) == stratum
            parts.append((gain[chosen], np.array(ours["digit_ids"])[chosen]))
        return spread(parts)


def spread(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float, float]:
    """Mean over seeds of the means over clips, and its interval by drawing seeds and digit images.

    Args:
        parts: For each seed the values of the clips and their digit images.
    """
    means = []
    for values, digits in parts:
        which = group_numbers(digits.tolist(), len(digits))
        drawn = np.concatenate(list(group_draws(int(which.max()) + 1, NUM_DRAWS, 0)))[:, which]
        means.append((drawn * values).sum(1) / drawn.sum(1))
    picks = np.random.default_rng(0).multinomial(len(parts), np.full(len(parts), 1 / len(parts)), NUM_DRAWS)
    low, high = np.percentile((np.stack(means, 1) * picks).sum(1) / len(parts), [2.5, 97.5])
    return float(np.mean([values.mean() for values, _ in parts])), float(low), float(high)


def summary(tests: Tests) -> list[dict[str, Any]]:
    """Means over seeds of everything that was tested."""
    table = []
    for name, seeds in sorted(tests.of.items()):
        what, remove = name.split("|")
        strata = sorted({stratum for test in seeds.values() for stratum in test["strata"]})
        accuracy = [(np.array(test["right"], float), np.array(test["digit_ids"])) for test in seeds.values()]
        value, low, high = spread(accuracy)
        row: dict[str, Any] = {
            "what": what,
            "remove": float(remove),
            "num_seeds": len(seeds),
            "accuracy": value,
            "interval": [low, high],
            "by_seed": {str(seed): float(np.mean(test["right"])) for seed, test in sorted(seeds.items())},
            "kept_share": float(np.mean([test["kept_share"] for test in seeds.values()])),
        }
        for stratum in strata:
            chosen = [np.array(test["right"])[np.array(test["strata"]) == stratum] for test in seeds.values()]
            row[stratum] = float(np.mean([each.mean() for each in chosen]))
        for field in ("evidence_kept", "flicker_kept", "evidence_score", "flicker_score"):
            values = [np.array(test[field], float) for test in seeds.values()]
            if not all(np.isnan(each).all() for each in values):
                row[field] = float(np.mean([np.nanmean(each) for each in values]))
        table.append(row)
    return table


def write(rows: list[dict[str, Any]], report: Path, command: str, settings: dict[str, Any]) -> None:
    """The report and, from it, the claims."""
    tests = Tests(rows)
    write_json(
        report,
        {
            "schema": "tubelet.benchmark.token_pruning/1",
            "command": command,
            "versions": installed_versions(),
            "machine": {"processor": platform.machine(), "num_cores": os.cpu_count()},
            "settings": settings,
            "trainings": sorted(row["key"] for row in rows),
            "tests": summary(tests),
        },
    )
    update_claims(ROOT / "benchmarks" / "claims" / "token_pruning.json", _claims(tests, report))


def _claims(tests: Tests, report: Path) -> list[Claim]:
    claims = []

    def claim(name: str, statement: str, found: Paired, *, holds: bool, factor: float = 100.0) -> None:
        value, low, high = (round(factor * number, 3) for number in found.difference)
        drawn = "batches and scorers, from one model" if "tuned" in name else "networks and batches"
        over = (f"seeds (of {drawn}) and " if found.num_seeds > 1 else "") + "digit images"
        claims.append(
            Claim(
                id=name,
                statement=statement,
                unit="points" if factor == 100 else "",
                paper=None,
                ours=value,
                interval=(low, high),
                num_seeds=found.num_seeds,
                holds=holds,
                command=COMMAND,
                report=report.relative_to(ROOT).as_posix(),
                machine=f"{os.cpu_count()} cores, {platform.machine()}",
                commit=found.commits,
                note=_NOTE.format(over=over),
            )
        )

    def paired(one: str, other: str, stratum: str | None = None, field: str = "right") -> Paired | None:
        seeds = tests.seeds(one, other)
        if not seeds:
            return None
        commits = {tests.of[name][seed]["commit"] for name in (one, other) for seed in seeds}
        return Paired(
            difference=tests.difference(one, other, stratum, field),
            num_seeds=len(seeds),
            commits=", ".join(sorted(commits)),
        )

    for way, how in _WAYS.items():
        for remove in (0.7, 0.8):
            if (found := paired(f"stts{way}|{remove:g}", f"random{way}|{remove:g}")) is not None:
                claim(
                    f"E1{way.replace('_', '-')}-random-{remove:g}",
                    f"With {remove:.0%} of the groups removed, trained scores answer better than random groups "
                    f"({how}).",
                    found,
                    holds=found.difference[1] > 0,
                )
            if (found := paired(f"stts{way}|{remove:g}", f"no_aux{way}|{remove:g}", "moving")) is not None:
                claim(
                    f"E3{way.replace('_', '-')}-{remove:g}",
                    f"Without the temporal loss, questions about what moves are answered worse ({remove:.0%} removed; "
                    f"{how}).",
                    found,
                    holds=found.difference[1] > 0,
                )
        if (found := paired(f"stts{way}|0.5", f"dense{way}|0")) is not None:
            claim(
                f"E1{way.replace('_', '-')}-dense-0.5",
                f"With half of the groups removed, accuracy is at most 2 points below that of the dense model ({how}).",
                found,
                holds=found.difference[1] >= -0.02,
            )
        if (found := paired(f"stts{way} flashing 16|0.5", f"dense{way} flashing 8|0")) is not None:
            claim(
                f"E4{way.replace('_', '-')}",
                "Sixteen frames with half of the groups removed find more of the digits that flash than eight frames "
                f"with all, for as many visual tokens ({how}).",
                found,
                holds=found.difference[1] > 0,
            )
    for remove in (0.7, 0.8):
        one, other = f"stts_flicker|{remove:g}", f"aux_only_flicker|{remove:g}"
        if remove == 0.8 and (found := paired(one, other, None, "flicker_score")) is not None:
            claim(
                "E2-score",
                "Answers teach the scorer what flickers for nothing (five cells): the mean score of flicker is at "
                "least 0.1 lower than with the temporal loss alone.",
                found,
                holds=found.difference[0] <= -0.1 and found.difference[2] < 0,
                factor=1.0,
            )
        for stratum in ("entering", "flashing"):
            if (found := paired(one, other, stratum)) is not None:
                claim(
                    f"E2-{stratum}-{remove:g}",
                    f"And questions beside flicker ({stratum}) are answered better for it ({remove:.0%} removed).",
                    found,
                    holds=found.difference[1] > 0,
                )
    if (found := paired("stts_after_1_tuned|0.5", "stts_tuned|0.5")) is not None:
        claim(
            "E6",
            "Where groups leave a block later, answers are better (half removed, from one model that knows the task).",
            found,
            holds=found.difference[1] > 0,
        )
    return claims
