"""Tables of the claims in `benchmarks/claims`, for the page about them and for the README of each method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from report_tables import ROOT

from tubelet.evaluation.claims import claim_table, read_claims

METHODS = ROOT / "src" / "tubelet" / "methods"
CLAIMS = ROOT / "benchmarks" / "claims"


def claim_renderers() -> dict[str, Callable[[], str]]:
    """What fills the places `claims`, and `claims_NAME` for every method."""
    methods = sorted(path.parent.name for path in METHODS.glob("*/__init__.py"))
    return {"claims": partial(all_claims, CLAIMS)} | {
        f"claims_{name}": partial(claims_of, CLAIMS / f"{name}.json") for name in methods
    }


def claims_of(path: Path) -> str:
    """The claims of one method."""
    return "\n" + claim_table(read_claims(path)) if path.exists() else "No claim has been recorded yet.\n"


def all_claims(folder: Path) -> str:
    """The claims of all methods, each under its name."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        return "No claim has been recorded yet.\n"
    return "\n" + "\n".join(f"## {path.stem}\n{claims_of(path)}" for path in paths)
