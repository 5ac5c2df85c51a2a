"""The wheel that users get: it installs into an empty environment, and all of it can be imported there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import tubelet

ROOT = Path(__file__).resolve().parents[2]
IMPORT_ALL = """
import importlib, json, pkgutil, tubelet
def fail(name): raise ImportError(name)
found = pkgutil.walk_packages(tubelet.__path__, "tubelet.", onerror=fail)
names = [module.name for module in found if not module.name.endswith("__main__")]
for name in names: importlib.import_module(name)
print(json.dumps({"file": tubelet.__file__, "names": names}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        ROOT,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose environment holds the wheel and borrows the dependencies from the tests' environment."""
    folder = tmp_path_factory.mktemp("installed") / "env"
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    interpreter = folder / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps", "--no-index", wheel)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # A folder in a .pth file is searched after the environment's own, and .pth files inside it, such as the one of the
    # editable tubelet, are not read.
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(Path(np.__file__).parents[1])}
    (site_packages / "borrowed.pth").write_text("\n".join(sorted(borrowed)), encoding="utf-8")
    return interpreter


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "VIRTUAL_ENV"))}
    result = subprocess.run(
        list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    source = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "tubelet").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == source
    assert "tubelet/py.typed" in packed


def test_the_wheel_says_its_version_licence_and_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = f"tubelet-{tubelet.__version__}.dist-info"
    metadata = archive.read(f"{info}/METADATA").decode()

    assert f"Version: {tubelet.__version__}\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    assert "tubelet = tubelet.cli.main:main" in archive.read(f"{info}/entry_points.txt").decode()
    assert "Apache License" in archive.read(f"{info}/licenses/LICENSE").decode()


def test_every_module_of_the_installed_wheel_can_be_imported(python: Path, tmp_path: Path) -> None:
    found = json.loads(_run(python, "-W", "error", "-c", IMPORT_ALL, cwd=tmp_path))
    modules = {
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "src" / "tubelet").rglob("*.py")
    }
    assert Path(found["file"]).is_relative_to(python.parents[1])
    assert set(found["names"]) == {name for name in modules if not name.endswith("__main__")} - {"tubelet"}


def test_the_installed_command_runs(python: Path, tmp_path: Path) -> None:
    assert tubelet.__version__ in _run(python.parent / "tubelet", "--version", cwd=tmp_path)


def test_the_source_archive_is_enough_to_build_test_and_document(tmp_path: Path) -> None:
    _run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", tmp_path, cwd=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    top = f"tubelet-{tubelet.__version__}"
    with tarfile.open(archive) as packed:
        names = {name.removeprefix(f"{top}/") for name in packed.getnames()}
    expected = {
        "LICENSE",
        "README.md",
        "Makefile",
        "constraints.txt",
        "docs/tutorial.md",
        "mkdocs.yml",
        "pyproject.toml",
        "scripts/test.sh",
        "src/tubelet/py.typed",
        "tests/conftest.py",
    }
    assert expected <= names
    assert {name for name in names if name.split("/")[0].startswith((".venv", "out", "site"))} == set()
