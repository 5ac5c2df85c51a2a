"""A recipe is found by import path, and what goes wrong is told apart: absent, or broken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tubelet.cli.finder import find_recipe, method_card, method_recipes, methods, recipes
from tubelet.cli.main import main
from tubelet.errors import ConfigError

RECIPES = """
from dataclasses import dataclass
from json import dumps  # a function that is not ours

@dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0

def tiny():
    return Config()

def wrong():
    return {"seed": 0}

def with_argument(size):
    return Config()

def _hidden():
    return Config()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package `outside_method`, forgotten again afterwards."""
    folder = tmp_path / "outside_method"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "recipes.py").write_text(RECIPES)
    (folder / "train.py").write_text("def train(config, run):\n    run.log(event='trained')\n")
    (folder / "broken.py").write_text("import a_module_that_is_not_there\n")
    (folder / "typo.py").write_text("def f(:\n")
    (folder / "single.py").write_text(RECIPES + "\ndef train(config, run):\n    return 'beside'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("outside_method")]:
        del sys.modules[name]


def test_an_outside_recipe_is_found_with_its_actions(package: Path) -> None:
    recipe = find_recipe("outside_method.recipes:tiny")
    assert repr(recipe.config()) == "Config(seed=0)"
    assert recipe.action("train").__module__ == "outside_method.train"
    assert find_recipe("outside_method.single:tiny").action("train")(None, None) == "beside"


def test_what_is_absent_is_told_with_the_nearest_name(package: Path) -> None:
    near = methods()[0]
    for name, said in (
        (f"{near}s:x", f"no such method '{near}s'; did you mean '{near}'?"),
        ("zzzzzz:x", "no such method 'zzzzzz'; "),
        (
            "outside_method.recipe:tiny",
            "no such module 'outside_method.recipe': there is no module outside_method.recipe",
        ),
        ("outside_method.single.more:tiny", "no such module 'outside_method.single.more'"),
        ("nowhere.recipes:tiny", "no such module 'nowhere.recipes'"),
        ("outside_method..x:tiny", "no such module 'outside_method..x'"),
        ("outside_method.recipes:tinny", "outside_method.recipes has no recipe 'tinny'; did you mean 'tiny'?"),
        ("outside_method.recipes:zzz", "has no recipe 'zzz'; allowed: tiny, wrong"),
        ("outside_method.recipes", "'outside_method.recipes' does not name a run; give METHOD:RECIPE, for example"),
        (":tiny", "':tiny' does not name a run"),
    ):
        with pytest.raises(ConfigError) as raised:
            find_recipe(name)
        assert said in str(raised.value)


def test_what_is_broken_keeps_its_own_error(package: Path) -> None:
    with pytest.raises(ConfigError, match="broken failed to import: ModuleNotFoundError: No module named 'a_module_"):
        find_recipe("outside_method.broken:tiny")
    with pytest.raises(ConfigError, match=r"typo failed to import: SyntaxError"):
        find_recipe("outside_method.typo:tiny")
    (package / "evaluate.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="evaluate failed to import: ZeroDivisionError: division by zero") as raised:
        find_recipe("outside_method.recipes:tiny").action("evaluate")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)  # `tubelet --traceback` shows where
    (package / "stopped.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        find_recipe("outside_method.stopped:tiny")


def test_a_recipe_returns_a_config(package: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipes:wrong returned \{'seed': 0\}; a recipe returns a config"):
        find_recipe("outside_method.recipes:wrong").config()


def test_a_method_without_an_action_says_so(package: Path) -> None:
    with pytest.raises(
        ConfigError,
        match="cannot evaluate: there is no function evaluate in outside_method.recipes nor in a module out",
    ):
        find_recipe("outside_method.recipes:tiny").action("evaluate")


def test_only_functions_of_the_module_without_arguments_are_recipes(package: Path) -> None:
    find_recipe("outside_method.recipes:tiny")
    assert recipes(sys.modules["outside_method.recipes"]) == ["tiny", "wrong"]


def test_methods_are_listed_without_importing_them() -> None:
    assert "recognition" in methods()


def test_every_method_has_a_card_and_recipes_that_say_what_they_are_for() -> None:
    for name in methods():
        assert method_card(name).name == name
        purposes = method_recipes(name)
        assert purposes
        assert all(purposes.values())


def test_a_method_without_a_card_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("tubelet.methods.recognition.CARD")
    with pytest.raises(ConfigError, match=r"the method recognition has no card; its __init__\.py sets CARD"):
        method_card("recognition")


def test_the_methods_and_their_recipes_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", "--list"]) == 0
    shown = capsys.readouterr().out
    assert method_card("recognition").title in shown
    assert "recognition:mocap_skeleton\n" in shown
    monkeypatch.delattr("tubelet.methods.recognition.CARD")
    assert main(["train", "--list"]) == 2
    assert "the method recognition has no card" in capsys.readouterr().err
