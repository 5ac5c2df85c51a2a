from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from tubelet.datasets.check.facts import Facts
from tubelet.datasets.check.findings import Finding, balance_findings, broken_findings
from tubelet.datasets.check.leakage import Duplicate, Shared
from tubelet.datasets.check.page import render_page
from tubelet.datasets.check.summary import document
from tubelet.datasets.labelled import ClipSet, LabelledClip

_ABOUT = {
    "tubelet": "0.0",
    "created": "2026-01-02T03:04:05Z",
    "command": "tubelet check clips",
    "took_s": 3.2,
    "num_resumed": 0,
    "settings": {},
}
_EVIL = '<img src=x onerror="alert(1)">'


def page_of(clips: ClipSet, facts: Facts, *, found=(), leaks=None, more=(), pictures=None) -> str:
    findings = [*broken_findings(clips, facts), *balance_findings(clips, facts), *more]
    leaks = {"groups": [], "files": [], "scenes": []} | (leaks or {})
    described = document(
        clips, facts, findings=findings, found=found, leaks=leaks, num_quarantined=len(facts.broken), about=_ABOUT
    )
    return render_page(described, pictures or {})


def example(number: int, classes: tuple[str, ...] = ("run", "walk")) -> tuple[ClipSet, Facts]:
    clips = tuple(
        LabelledClip(
            id=f"{index}.mp4",
            path=Path(f"/none/{index}.mp4"),
            labels=(index % len(classes),),
            group=f"g{index % 7}",
            split=("train", "val", "test")[index % 3],
        )
        for index in range(number)
    )
    facts = Facts(number)
    facts.is_done[:] = facts.is_sound[:] = True
    facts.length_s[:], facts.fps[:], facts.width_px[:], facts.height_px[:] = 3.0, 25.0, 320, 240
    return ClipSet(name="mine", root=Path("/none"), classes=classes, clips=clips), facts


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in {"meta", "img", "br", "rect", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in {"rect"} or self.open.pop() == tag, (tag, self.getpos())


def check_structure(page: str) -> None:
    parser = _Parser()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))


def test_a_clean_set_says_so() -> None:
    page = page_of(*example(60))
    check_structure(page)
    assert "Nothing was found" in page
    assert "Training can use every clip." in page


def test_everything_at_once_is_well_formed() -> None:
    clips, facts = example(63, tuple(f"class {index}" for index in range(60)))
    for index in range(5):
        facts.broken[index], facts.is_sound[index] = ("corrupt", "damaged", 1.5), False
    pair = Duplicate(
        first=8, other=9, kind="same_pictures", likeness=0.97, is_mirrored=True, is_leak=True, labels_differ=True
    )
    shared = Shared(name="g1", num_clips={"train": 3, "test": 1}, ids=("1.mp4",))
    page = page_of(
        clips,
        facts,
        found=[pair],
        leaks={"groups": [shared], "scenes": [shared]},
        more=[
            Finding(kind="x", weight="note", title="Title of a note", text="t", advice="a", num_clips=1, ids=("8.mp4",))
        ],
        pictures={"8.mp4": ["data:image/jpeg;base64,AAAA"]},
    )
    check_structure(page)
    for words in (
        "Training will leave out 5 of 63 clips",
        "5 broken clips, by cause",
        "Groups in several splits",
        "Look-alike scenes in several splits",
        "alike to 97 %",
        "mirrored",
        "different labels",
        "20 more classes",
        "Title of a note",
        "data:image/jpeg;base64,AAAA",
    ):
        assert words in page, words


def test_a_set_of_broken_clips_alone_has_a_page() -> None:
    clips, facts = example(3)
    for index in range(3):
        facts.broken[index], facts.is_sound[index] = ("empty", "no bytes", None), False
    page = page_of(clips, facts)
    check_structure(page)
    assert "3 broken clips, by cause" in page


def test_names_cannot_become_markup_and_nothing_is_loaded() -> None:
    clips = tuple(
        LabelledClip(id=f"{_EVIL}{index}", path=Path("/none/a"), labels=(0,), group=_EVIL) for index in range(2)
    )
    facts = Facts(2)
    facts.is_done[:] = True
    facts.broken[0] = ("corrupt", _EVIL, None)
    facts.is_sound[1] = True
    facts.length_s[1], facts.fps[1] = 1.0, 25.0
    page = page_of(ClipSet(name=_EVIL, root=Path("/none"), classes=(_EVIL,), clips=clips), facts)
    check_structure(page)
    assert "<img" not in page
    assert not re.search(r"(?:src|href)=\"?(?:https?:)?//", page)
    assert "default-src 'none'" in page


def test_long_lists_are_cut_and_counted() -> None:
    clips, facts = example(400)
    for index in range(250):
        facts.broken[index], facts.is_sound[index] = ("truncated", "cut off", None), False
    page = page_of(clips, facts)
    assert "and 150 more in check.json" in page
    assert page.count("cut off</td>") == 100
