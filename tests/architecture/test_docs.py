"""What the documentation shows can be run, and what it lists is what there is."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from source_tree import ROOT, relative

from tubelet import errors, weights
from tubelet.cli.main import build_parser

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(language: str) -> list[tuple[str, str]]:
    """Code blocks of all pages in one language, each with its page."""
    return [
        (relative(page), code)
        for page in PAGES
        for found, code in BLOCK.findall(page.read_text(encoding="utf-8"))
        if found == language
    ]


def _commands() -> list[tuple[str, list[str]]]:
    """Every `tubelet …` line of the shell examples as an argument list, up to the first redirection or pipe."""
    found = []
    for page, code in _blocks("sh"):
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["tubelet"]:
                end = next((i for i, word in enumerate(words) if word[:1] in {">", "|", "<"}), len(words))
                found.append((page, words[1:end]))
    return found


def test_there_are_pages_and_examples() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/tutorial.md"} <= {relative(page) for page in PAGES}
    assert len(_commands()) > 15
    assert len(_blocks("python")) > 8


@pytest.mark.parametrize(
    ("page", "words"), _commands(), ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_every_command_that_is_shown_is_understood(page: str, words: list[str]) -> None:
    if words == ["--version"]:
        return  # prints and leaves; tests of the command line cover it
    build_parser().parse_args(words)


@pytest.mark.parametrize(("page", "code"), _blocks("python"), ids=lambda value: "")
def test_every_python_example_is_python(page: str, code: str) -> None:
    ast.parse(code, filename=page)


def test_every_name_that_an_example_takes_from_tubelet_exists() -> None:
    import importlib

    taken = set()
    for page, code in _blocks("python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tubelet"):
                taken |= {(page, node.module, alias.name) for alias in node.names}
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tubelet":
                taken.add((page, "tubelet", node.attr))
    assert len(taken) > 5
    assert {place for place in taken if not hasattr(importlib.import_module(place[1]), place[2])} == set()


def test_every_relative_link_leads_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://", "mailto:")) and not (page.parent / target).exists():
                broken.append(f"{relative(page)}: {target}")
    assert broken == []


def test_every_cause_of_a_failed_read_is_explained() -> None:
    page = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(explained) == sorted(errors.READ_CAUSES)


def test_the_licence_of_every_dependency_and_file_is_stated() -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = {row[0].strip(" `").split(" ")[0]: row for line in page.splitlines() if (row := line.strip("| ").split("|"))}

    for requirement in project["dependencies"]:
        assert re.split(r"[<>=]", requirement)[0] in rows
    for item in weights.ALL_WEIGHTS:
        name = re.sub(r"^motion_.*", "motion_…", re.sub(r"^beam_cam0[1-4]$", "beam_cam01", item.name))
        assert name in {key.rstrip("`") for key in rows}, item.name
        assert item.licence in "|".join(next(row for key, row in rows.items() if key.rstrip("`") == name)), item.name


def test_the_pinned_versions_in_the_licence_table_are_those_of_the_constraints() -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line
    )
    table = re.findall(r"^\| ([a-z0-9-]+)(?: \(\w+\))? \| (\d[\w.]*) \|", page, re.MULTILINE)

    assert len(table) > 8
    assert {name: version for name, version in table if pinned.get(name) != version} == {}


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    named = set(re.findall(r": ([\w/.-]+\.md)$", navigation, re.MULTILINE))
    # Design notes are put there by a hook.
    assert {page for page in pages if not page.startswith("design/")} == named


def test_the_version_is_said_once_and_cited_right() -> None:
    import tubelet

    citation = Path(ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {tubelet.__version__}\n" in citation
