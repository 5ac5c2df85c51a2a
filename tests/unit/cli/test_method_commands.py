"""A method's `commands.py` brings `tubelet NAME …`; nothing of it runs before that is called, and it breaks alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tubelet.methods
from tubelet.cli.finder import method_card, methods
from tubelet.cli.main import build_parser, main
from tubelet.cli.method_commands import _title

INIT = """
from tubelet.runs.card import Card

CARD = Card(name="two_words", title="do 50 % of it, "
    "and the rest", problem="Can it be done?", source="own", licence="Apache-2.0", scope="None.")
"""
COMMANDS = """
def add_commands(parser):
    commands = parser.add_subparsers(metavar="COMMAND")
    apply = commands.add_parser("apply", help="do it")
    apply.add_argument("number", type=int)
    apply.add_argument("--how", choices=("gently", "firmly"), default="gently")
    apply.set_defaults(run=lambda arguments: print("done", arguments.how) or arguments.number)
"""


@pytest.fixture
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a method `two_words`, forgotten again afterwards."""
    folder = tmp_path / "two_words"
    folder.mkdir()
    (folder / "__init__.py").write_text(INIT)
    (folder / "commands.py").write_text(COMMANDS)
    monkeypatch.setattr(tubelet.methods, "__path__", [*tubelet.methods.__path__, str(tmp_path)])
    yield folder
    for name in [name for name in sys.modules if name.startswith("tubelet.methods.two_words")]:
        del sys.modules[name]
    vars(tubelet.methods).pop("two_words", None)


def test_a_command_of_a_method_is_found_by_its_folder(method: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["two_words", "apply", "7", "--how", "firmly"]) == 7
    assert capsys.readouterr().out == "done firmly\n"
    assert main(["two_words", "apply", "0"]) == 0


def test_the_help_lists_it_by_its_title_and_imports_nothing_of_it(
    method: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--help"]) == 0
    assert "two_words do 50 % of it, and the rest" in " ".join(capsys.readouterr().out.split())
    assert main(["train", "--help"]) == 0
    assert [name for name in sys.modules if name.startswith("tubelet.methods.two_words")] == []


def test_its_own_help_says_what_it_is_for_and_lists_its_commands(
    method: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["two_words", "--help"]) == 0
        said = capsys.readouterr().out
        assert "Can it be done?" in said
        assert "apply" in said
        assert "do it" in said
    parser = build_parser()
    parser.fill()  # the documentation walks down the parsers
    assert parser.format_help()


def test_without_one_of_its_commands_it_says_so(method: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["two_words"]) == 2
    assert "`tubelet two_words` needs one of its sub-commands; `tubelet two_words --help`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["tow_words"], "two_words"),
        (["trian", "x"], "train"),
        (["two_words", "aply", "7"], "apply"),
        (["two_words", "apply", "7", "--how", "gentle"], "gently"),
    ],
)
def test_a_slip_of_the_pen_is_answered_with_the_nearest_word(
    method: Path, capsys: pytest.CaptureFixture[str], words: list[str], near: str
) -> None:
    assert main(words) == 2
    assert f"did you mean {near!r}?" in capsys.readouterr().err


def test_a_word_like_no_other_gets_the_list_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zzzzzz"]) == 2
    said = capsys.readouterr().err
    assert "recognize" in said
    assert "did you mean" not in said


def test_a_method_that_fails_to_import_breaks_its_own_command_only(
    method: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (method / "commands.py").write_text("import a_module_that_is_not_there\n" + COMMANDS)
    assert main(["--help"]) == 0
    assert "two_words" in capsys.readouterr().out
    assert main(["train", "--list"]) == 2  # it has no recipes either
    for words in (["two_words"], ["two_words", "--help"], ["two_words", "apply", "7"]):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "two_words.commands failed to import: ModuleNotFoundError: No module named 'a_module_that" in said
    with pytest.raises(Exception, match="failed to import") as raised:
        main(["--traceback", "two_words"])
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)


def test_a_method_whose_source_cannot_be_read_is_listed_without_its_title(
    method: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (method / "__init__.py").write_text("CARD = (\n")
    assert main(["--help"]) == 0
    assert "commands of the method two_words" in " ".join(capsys.readouterr().out.split())
    assert main(["two_words", "apply", "7"]) == 2
    assert "failed to import: SyntaxError" in capsys.readouterr().err


def test_a_method_without_a_card_is_told(method: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (method / "__init__.py").write_text("")
    assert main(["two_words", "apply", "7"]) == 2
    assert "the method two_words has no card" in capsys.readouterr().err


def test_a_defect_in_adding_commands_is_told_as_one(method: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (method / "commands.py").write_text("def add_commands(parser):\n    1 / 0\n")
    assert main(["two_words"]) == 1
    assert "unexpected error: ZeroDivisionError" in capsys.readouterr().err


def test_an_interruption_while_it_is_imported_is_one(method: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (method / "commands.py").write_text("def add_commands(parser):\n    raise KeyboardInterrupt\n")
    assert main(["two_words"]) == 130
    assert capsys.readouterr().err == "tubelet: interrupted\n"


@pytest.mark.parametrize("content", [None, "def run():\n    pass\n", "    def add_commands(parser): ..."])
def test_a_method_that_adds_no_commands_is_no_command(
    method: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    if content is None:
        (method / "commands.py").unlink()
    else:
        (method / "commands.py").write_text(content)
    assert main(["two_words"]) == 2
    assert "invalid choice: 'two_words'" in capsys.readouterr().err


def test_a_function_that_is_taken_away_while_it_is_imported_is_told(
    method: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (method / "commands.py").write_text(COMMANDS + "\ndel add_commands\n")
    assert main(["two_words"]) == 2
    assert "commands has no function add_commands(parser); the method brings no sub-commands" in capsys.readouterr().err


def test_recognition_whose_command_is_recognize_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognition"]) == 2
    assert "invalid choice: 'recognition'" in capsys.readouterr().err


def test_the_titles_that_are_listed_are_those_of_the_cards() -> None:
    (place,) = tubelet.methods.__path__
    assert "recognition" in methods()
    for name in methods():
        assert _title(Path(place, name)) == method_card(name).title
