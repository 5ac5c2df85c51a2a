"""The doors of the package: which modules export names, and which. Run as a program it records them anew."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import tubelet

RECORD = Path(__file__).resolve().parents[1] / "architecture" / "public_names.json"


def doors() -> dict[str, list[str]]:
    """Every module that has `__all__`, with the names in it, sorted."""
    names = [module.name for module in pkgutil.walk_packages(tubelet.__path__, "tubelet.")]
    found = {}
    for name in ["tubelet", *(name for name in names if not name.endswith("__main__"))]:
        exported = getattr(importlib.import_module(name), "__all__", None)
        if exported is not None:
            found[name] = sorted(exported)
    return found


def record() -> None:
    """Writes down what the doors are now."""
    RECORD.write_text(json.dumps(doors(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
