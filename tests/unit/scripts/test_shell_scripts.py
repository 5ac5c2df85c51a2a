"""What `make` runs before there is an environment, in a copy of the project with stand-ins for the programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from source_tree import ROOT

# Answers what environment.sh asks a Python, and makes an environment that holds a copy of itself.
PYTHON = """#!/bin/sh
case "$1" in
-c) [ {minor} -lt 11 ] || echo {minor} ;;
--version) echo "Python 3.{minor}.0" ;;
-m) case "$2" in
    venv) mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
    pip) : ;;
    esac ;;
esac
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "src").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "constraints.txt").touch()
    for name in ("sh", "mkdir", "cp", "cat", "cksum", "find", "sort", "tr", "dirname", "sed", "pwd"):
        (tmp_path / "bin" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def run(project: Path, script: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs a script where no program is found but those in `bin`."""
    env = {"PATH": str(project / "bin"), "LC_ALL": "C"} | settings
    command = [str(project / "bin" / "sh"), f"scripts/{script}", *arguments]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    ("versions", "made_with"),
    [
        ({"python3": 12}, 12),
        ({"python3": 14, "python3.11": 11}, 11),
        ({"python3": 10, "python3.12": 12, "python3.13": 13}, 13),
        ({"python3": 14, "python": 11}, 11),
    ],
)
def test_a_tested_python_is_preferred(project: Path, versions: dict[str, int], made_with: int) -> None:
    for name, minor in versions.items():
        program(project / "bin" / name, PYTHON.format(minor=minor))
    done = run(project, "environment.sh", ".venv")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"making .venv with Python 3.{made_with}.0" in done.stdout


@pytest.mark.parametrize("named", ["", "python3"])
def test_a_newer_python_alone_is_taken_with_a_warning(project: Path, named: str) -> None:
    program(project / "bin" / "python3", PYTHON.format(minor=15))
    done = run(project, "environment.sh", ".venv", PYTHON=named)
    assert done.returncode == 0
    assert "warning: python3 is Python 3.15; tubelet is tested with Python 3.11 to 3.13" in done.stderr
    assert "making .venv with Python 3.15.0" in done.stdout


@pytest.mark.parametrize(("named", "said"), [("", "No Python 3.11 or newer"), ("python3", "PYTHON=python3 is not a")])
def test_without_a_python_the_script_says_what_to_do(project: Path, named: str, said: str) -> None:
    program(project / "bin" / "python3", PYTHON.format(minor=9))
    done = run(project, "environment.sh", ".venv", PYTHON=named)
    assert done.returncode == 1
    assert said in done.stderr


def test_the_demo_ends_with_the_failure_of_the_clip_it_could_not_fetch(project: Path) -> None:
    program(project / "scripts" / "environment.sh", ":")
    program(project / ".venv-demo" / "bin" / "tubelet", "#!/bin/sh\necho 'tubelet: error: no network' >&2\nexit 3\n")
    done = run(project, "demo.sh")
    assert (done.returncode, done.stderr) == (3, "tubelet: error: no network\n")


def test_the_demo_recognises_the_clip_it_fetched(project: Path) -> None:
    clip = project / "a cache (old)" / "demo.mp4"
    clip.parent.mkdir()
    clip.write_bytes(b"clip")
    program(project / "scripts" / "environment.sh", ":")
    program(
        project / ".venv-demo" / "bin" / "tubelet",
        f'#!/bin/sh\n[ "$1" = recognize ] && echo "$@" || echo "demo_video: {clip} (BSD-3-Clause)"\n',
    )
    done = run(project, "demo.sh")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"recognize out/demo.mp4 --out {os.fspath(project)}/out/demo --overwrite"
    assert (project / "out" / "demo.mp4").read_bytes() == b"clip"
