"""What the package promises by name. Adding a name is a decision, and taking one away breaks somebody's program."""

from __future__ import annotations

import importlib
import json

import public_names
import pytest

RECORDED = json.loads(public_names.RECORD.read_text(encoding="utf-8"))


def test_the_doors_are_those_that_were_recorded() -> None:
    assert public_names.doors() == RECORDED, (
        "is this change meant? Then note it in CHANGELOG.md and run `python tests/support/public_names.py`"
    )


@pytest.mark.parametrize("door", RECORDED)
def test_every_exported_name_can_be_taken(door: str) -> None:
    module = importlib.import_module(door)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert len(set(module.__all__)) == len(module.__all__)


def test_the_package_shows_what_it_exports() -> None:
    import tubelet

    assert {"Recognizer", "recognize"} <= set(RECORDED["tubelet"])
    assert set(RECORDED["tubelet"]) <= set(dir(tubelet))
