"""Which way the rooms may depend, what the package declares, and what is kept out of the environment."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from source_tree import PACKAGE, ROOT, nodes, relative

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Packages whose import name is not their name on the package index.
IMPORT_NAMES = {"opencv-python-headless": "cv2"}


def _lint_imports(**env: str) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        cwd=ROOT,
        env=os.environ | env,
        capture_output=True,
        text=True,
    )


def test_the_import_contracts_hold() -> None:
    result = _lint_imports()
    contracts = len(PYPROJECT["tool"]["importlinter"]["contracts"])
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Contracts: {contracts} kept, 0 broken." in result.stdout


@pytest.mark.parametrize(
    ("planted", "source", "found"),
    [
        ("video/upwards.py", "import tubelet.people\n", "tubelet.video is not allowed to import tubelet.people"),
        ("people/sideways.py", "import tubelet.models\n", "tubelet.people is not allowed to import tubelet.models"),
        (
            "methods/second/__init__.py",
            "import tubelet.methods.recognition\n",
            "tubelet.methods.second is not allowed to import tubelet.methods.recognition",
        ),
        ("attic/__init__.py", "", "attic"),
        ("cli/idea.py", "import torch\n", "tubelet.cli.idea -> torch"),
    ],
    ids=["upwards", "sideways", "between_methods", "room_without_a_floor", "idea_on_the_porch"],
)
def test_the_import_contracts_catch(planted: str, source: str, found: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "tubelet", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tubelet" / planted).parent.mkdir(exist_ok=True)
    (tmp_path / "tubelet" / planted).write_text(source, encoding="utf-8")

    result = _lint_imports(PYTHONPATH=str(tmp_path))

    assert result.returncode == 1
    # The report wraps long lines.
    assert found in " ".join(result.stdout.split())


def _imported() -> dict[str, set[str]]:
    """Top-level names of the other projects that the package imports, each with the files that do."""
    found: dict[str, set[str]] = {}
    for path, node in nodes(ast.Import, ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        if isinstance(node, ast.ImportFrom) and node.level:
            continue
        for name in names:
            top = name.partition(".")[0]
            if top != "tubelet" and top not in sys.stdlib_module_names:
                found.setdefault(top, set()).add(relative(path))
    return found


def _import_names(requirements: list[str]) -> set[str]:
    names = [Requirement(line).name for line in requirements]
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = PYPROJECT["project"]
    base = _import_names(project["dependencies"])
    extras = {name: _import_names(lines) for name, lines in project["optional-dependencies"].items()}
    imported = _imported()

    optional = set().union(*(extras[name] for name in ("hub", "language", "lora", "tensorboard", "wandb")))
    undeclared = {name: files for name, files in imported.items() if name not in base | optional}
    assert not undeclared, "imported in src but declared neither in dependencies nor in an extra for users"
    assert base - set(imported) == set(), "declared in dependencies but imported nowhere in src"


def _closure(requirements: list[str]) -> set[str]:
    """Names of everything that installing these requirements brings here."""
    done: set[tuple[str, frozenset[str]]] = set()
    todo = [(line, frozenset[str]()) for line in requirements]
    while todo:
        line, asked_extras = todo.pop()
        requirement = Requirement(line)
        applies = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in asked_extras | {""}
        )
        key = (_normal(requirement.name), frozenset(requirement.extras))
        if applies and key not in done:
            done.add(key)
            todo += [(needed, key[1]) for needed in importlib.metadata.requires(key[0]) or []]
    return {name for name, _ in done}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_that_is_installed_for_users_and_tests_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_normal(line.partition("==")[0]) for line in lines if line and not line.startswith("#")}
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    needed = _closure(project["dependencies"] + extras["test"] + extras["dev"])

    assert len(needed) > 30
    # The CUDA build of torch brings its own exact versions.
    unpinned = {name for name in needed - pinned if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert unpinned == set()


def test_the_pinned_torch_is_the_one_that_was_tested() -> None:
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


def test_no_package_that_breaks_the_cpu_build_of_torch_is_installed() -> None:
    installed = {_normal(distribution.name) for distribution in importlib.metadata.distributions()}

    assert installed & {"torchvision", "torchaudio"} == set()
    if torch.version.cuda is None:
        assert {name for name in installed if name.startswith("nvidia-")} == set()
