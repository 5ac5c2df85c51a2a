"""The project's own files, as the architecture tests walk them."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "tubelet"


@functools.cache
def modules() -> tuple[Path, ...]:
    """Every Python file of the package."""
    return tuple(sorted(PACKAGE.rglob("*.py")))


@functools.cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    """`src/tubelet/video/info.py` -> `tubelet.video.info`."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def relative(path: Path) -> str:
    """A file as named in messages."""
    return path.relative_to(ROOT).as_posix()


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
    """Every syntax node of these kinds in the package, with its file."""
    for path in modules():
        for node in ast.walk(parse(path)):
            if isinstance(node, kinds):
                yield path, node


@functools.cache
def project_files() -> tuple[Path, ...]:
    """The files that belong to the project: what git tracks, or in an unpacked source archive everything there is."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        files = [ROOT / name for name in listed.split("\0") if name]
    else:
        files = [path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.parts)]
    return tuple(path for path in files if path.is_file())
