"""Every figure on a page comes out of a report in the repository."""

from __future__ import annotations

import re
import subprocess
import sys

from source_tree import PACKAGE, ROOT, relative

METHOD_PAGES = sorted((PACKAGE / "methods").glob("*/README.md"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *METHOD_PAGES]
PLACE = re.compile(r"<!-- numbers: (\w+) -->\n(.*?)<!-- /numbers -->", re.DOTALL)


def test_every_place_for_numbers_is_filled() -> None:
    pages = {relative(page): page.read_text(encoding="utf-8") for page in PAGES}
    places = [(page, *place) for page, text in pages.items() for place in PLACE.findall(text)]
    begun = sum(text.count("<!-- numbers:") for text in pages.values())
    assert len(places) == begun, "a place for numbers has no end"
    assert {name for _, name, _ in places} >= {"claims", "evidence", "real_footage", "recognize_speed", "memory"}
    assert [f"{page}: {name}" for page, name, content in places if not content.strip()] == []


def test_the_numbers_on_the_pages_are_those_of_the_reports() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "render_numbers.py"), "--check"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
