"""The tables of claims that `scripts/render_numbers.py` puts on pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from source_tree import PACKAGE, ROOT

from tubelet.evaluation.claims import Claim, claim_table, write_claims

CLAIM = Claim(
    id="E1",
    statement="It helps.",
    unit="",
    paper=0.5,
    ours=None,
    interval=None,
    num_seeds=0,
    holds=None,
    command="python measure.py",
    report=None,
    machine=None,
    commit=None,
)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import claim_tables

    return claim_tables


def test_where_nothing_is_recorded_the_page_says_so(tables: ModuleType, tmp_path: Path) -> None:
    assert tables.all_claims(tmp_path) == "No claim has been recorded yet.\n"
    assert tables.claims_of(tmp_path / "none.json") == "No claim has been recorded yet.\n"


def test_every_method_has_its_table_under_its_name(tables: ModuleType, tmp_path: Path) -> None:
    for name in ("second", "first"):
        write_claims(tmp_path / f"{name}.json", [CLAIM], root=tmp_path)
    own = claim_table([CLAIM])
    assert tables.claims_of(tmp_path / "first.json") == f"\n{own}"
    assert tables.all_claims(tmp_path) == f"\n## first\n\n{own}\n## second\n\n{own}"


def test_there_is_a_place_for_every_method(tables: ModuleType) -> None:
    names = {path.name for path in (PACKAGE / "methods").iterdir() if (path / "__init__.py").exists()}
    assert "recognition" in names
    assert set(tables.claim_renderers()) == {"claims", *(f"claims_{name}" for name in names)}


def test_a_place_for_a_method_that_is_not_there_is_told() -> None:
    code = "import pathlib, render_numbers as r\n"
    code += "r.render('<!-- numbers: claims_nobody -->\\n<!-- /numbers -->', pathlib.Path('page.md'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "scripts", capture_output=True, text=True)
    assert done.returncode == 1
    assert "page.md: there are no numbers called 'claims_nobody'; allowed: claims, claims_" in done.stderr
