"""How a page is filled: escaped, complete, with the shared styles first, and with a script that its policy names."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import jinja2
import pytest

from tubelet.runs.pages import fill_page

BASE = resources.files("tubelet.runs").joinpath("templates", "base.css").read_text(encoding="utf-8")


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The templates of a package with a page `plain` and a page `live`, which has a script."""
    folder = tmp_path / "a_room_with_pages" / "templates"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("plain", "live"):
        (folder / f"{name}.css").write_text("h1 > b { color: red; }\n")
    (folder / "plain.html.j2").write_text(
        "<style>{{ style }}</style>\n{% if x %}\n<h1>{{ x|twice }}</h1>\n{% endif %}\n"
    )
    (folder / "live.html.j2").write_text("{{ script_hash }}<script>{{ script }}</script>")
    (folder / "live.js").write_text('if (1 < 2 && "a") {}\n')
    yield folder
    sys.modules.pop("a_room_with_pages", None)


def test_values_are_escaped_and_our_own_files_are_not(room: Path) -> None:
    page = fill_page("a_room_with_pages", "plain", {"x": "<b>"}, filters={"twice": lambda text: text * 2})
    assert page == f"<style>{BASE}h1 > b {{ color: red; }}\n</style>\n<h1>&lt;b&gt;&lt;b&gt;</h1>\n"


def test_the_policy_can_name_the_script(room: Path) -> None:
    page = fill_page("a_room_with_pages", "live", {})
    script = (room / "live.js").read_bytes()
    assert page == f"{base64.b64encode(hashlib.sha256(script).digest()).decode()}<script>{script.decode()}</script>"


def test_what_is_not_given_is_an_error(room: Path) -> None:
    with pytest.raises(jinja2.UndefinedError, match="'x' is undefined"):
        fill_page("a_room_with_pages", "plain", {}, filters={"twice": str})
    (room / "plain.html.j2").write_text("{{ script }}")
    with pytest.raises(jinja2.UndefinedError, match="'script' is undefined"):
        fill_page("a_room_with_pages", "plain", {})
