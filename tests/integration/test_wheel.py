"""The wheel that users get: it installs into an empty environment, and all of it can be imported there."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    """An interpreter whose environment holds the wheel, and of the tests' environment only what the wheel requires."""
    folder = tmp_path_factory.mktemp("installed") / "env"
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    interpreter = folder / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps", "--no-index", wheel)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    metadata = zipfile.ZipFile(wheel).read(f"tubelet-{tubelet.__version__}.dist-info/METADATA").decode()
    for distribution in _requirements(Parser().parsestr(metadata).get_all("Requires-Dist", [])):
        _borrow(distribution, site_packages)
    return interpreter


def _requirements(lines: list[str]) -> list[importlib.metadata.Distribution]:
    """What pip would install for these requirements, as it is installed here."""
    done: dict[tuple[str, frozenset[str]], importlib.metadata.Distribution] = {}
    todo = [(line, frozenset({""})) for line in lines]
    while todo:
        line, extras = todo.pop()
        requirement = Requirement(line)
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras | {""}))
        asked = requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)
        if asked and key not in done:
            done[key] = importlib.metadata.distribution(requirement.name)
            todo += [(needed, key[1]) for needed in done[key].requires or []]
    return list({name: distribution for (name, _), distribution in done.items()}.values())


def _borrow(distribution: importlib.metadata.Distribution, site_packages: Path) -> None:
    """Links one distribution's files, and no other's, into an environment."""
    files = distribution.files
    assert files, f"{distribution.name} does not say which files it consists of"
    for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
        source = Path(str(distribution.locate_file(top)))
        # A folder that several distributions share comes whole with the first of them.
        if not (site_packages / top).exists():
            (site_packages / top).symlink_to(source, target_is_directory=source.is_dir())


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


def test_nothing_but_what_the_wheel_requires_is_in_its_environment(python: Path) -> None:
    program = "import importlib.metadata, json; print(json.dumps([d.name for d in importlib.metadata.distributions()]))"
    present = {canonicalize_name(name) for name in json.loads(_run(python, "-c", program))}
    assert {"tubelet", "torch", "numpy", "rich", "filelock"} <= present
    assert present & {"pytest", "hypothesis", "beartype", "scikit-learn", "imageio-ffmpeg", "psutil"} == set()


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
