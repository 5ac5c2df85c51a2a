"""Finds what a run is made of by import path: `recognition:mocap_skeleton`, or any `package.module:function`.

A method of tubelet is a folder in `tubelet.methods`; its recipes are the functions of its `recipes.py`, `train` and
`evaluate` are the functions of that name in its `train.py` and `evaluate.py`, and `add_commands` of its `commands.py`
adds its sub-commands. A module from elsewhere holds the recipe function, and `train` and `evaluate` beside it, or in
modules of that name in the same package.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tubelet.configs import suggestion
from tubelet.errors import ConfigError
from tubelet.runs.card import Card

if TYPE_CHECKING:
    import argparse


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A run that can be named.

    Attributes:
        name: As it was typed.
        module: Full name of the module that holds the recipe function.
        function: Takes nothing and returns a complete config.
    """

    name: str
    module: str
    function: Callable[[], Any]

    def config(self) -> object:
        """The recipe's config.

        Raises:
            ConfigError: The function returns no dataclass instance.
        """
        config = self.function()
        if not dataclasses.is_dataclass(config) or isinstance(config, type):
            raise ConfigError(f"{self.name} returned {config!r}; a recipe returns a config, a frozen dataclass")
        return config

    def action(self, name: str) -> Callable[..., Any]:
        """The function `train` or `evaluate` that goes with the recipe.

        Raises:
            ConfigError: There is none, or its module failed to import.
        """
        found = self.optional_action(name, of=name)
        if found is None:
            raise ConfigError(
                f"{self.name} cannot {name}: there is no function {name} in {self.module} nor in a module "
                f"{self._sibling(name)}"
            )
        return found

    def optional_action(self, name: str, *, of: str) -> Callable[..., Any] | None:
        """A function beside the recipe, or in the module `of` of the same package; None where there is none.

        Raises:
            ConfigError: A module failed to import.
        """
        beside: Callable[..., Any] | None = getattr(_module(self.module), name, None)
        if callable(beside):
            return beside
        module = _module_or_none(self._sibling(of))
        found: Callable[..., Any] | None = None if module is None else getattr(module, name, None)
        return found if callable(found) else None

    def _sibling(self, name: str) -> str:
        return f"{self.module.rpartition('.')[0]}.{name}".lstrip(".")


def find_recipe(name: str) -> Recipe:
    """The recipe that `METHOD:RECIPE` or `package.module:function` names.

    Raises:
        ConfigError: There is no such method, module or recipe (with the nearest name), or it failed to import (with the
            original error).
    """
    where, colon, function_name = name.partition(":")
    if not colon or not where or not function_name:
        raise ConfigError(f"{name!r} does not name a run; give METHOD:RECIPE, for example recognition:mocap_skeleton")
    if "." in where:
        module_name, kind, others = where, "module", []
    else:
        module_name, kind, others = f"tubelet.methods.{where}.recipes", "method", methods()
        if where not in others:
            raise ConfigError(f"no such method {where!r}; {suggestion(where, others)}")
    module = _module_or_none(module_name)
    if module is None:
        raise ConfigError(
            f"no such {kind} {where!r}: there is no module {module_name}; "
            "install it, or set PYTHONPATH to the folder that it lies in"
        )
    function = getattr(module, function_name, None)
    if not inspect.isfunction(function):
        raise ConfigError(f"{where} has no recipe {function_name!r}; {suggestion(function_name, recipes(module))}")
    return Recipe(name, module_name, function)


def methods() -> list[str]:
    """Names of the methods that ship, without importing them."""
    import tubelet.methods

    return sorted(module.name for module in pkgutil.iter_modules(tubelet.methods.__path__) if module.ispkg)


def method_card(name: str) -> Card:
    """The card of a method that ships, without importing what the method needs.

    Raises:
        ConfigError: The method failed to import, or has no card.
    """
    card = getattr(_module(f"tubelet.methods.{name}"), "CARD", None)
    if not isinstance(card, Card):
        raise ConfigError(f"the method {name} has no card; its __init__.py sets CARD = Card(…)")
    return card


def method_commands(name: str) -> Callable[[argparse.ArgumentParser], None]:
    """The function `add_commands` of a method's `commands.py`, which adds sub-commands to a parser.

    Raises:
        ConfigError: `commands.py` failed to import, or has no such function.
    """
    module = _module(f"tubelet.methods.{name}.commands")
    found: Callable[[argparse.ArgumentParser], None] | None = getattr(module, "add_commands", None)
    if not callable(found):
        raise ConfigError(f"{module.__name__} has no function add_commands(parser); the method brings no sub-commands")
    return found


def method_recipes(name: str) -> dict[str, str]:
    """Recipes of a method that ships, each with the first line of its docstring.

    Raises:
        ConfigError: The method's recipes failed to import.
    """
    module = _module(f"tubelet.methods.{name}.recipes")
    return {
        function: (inspect.getdoc(getattr(module, function)) or "").partition("\n")[0] for function in recipes(module)
    }


def recipes(module: ModuleType) -> list[str]:
    """Public functions that a module defines and that take no arguments."""
    return [
        name
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_")
        and function.__module__ == module.__name__
        and not inspect.signature(function).parameters
    ]


def _module_or_none(name: str) -> ModuleType | None:
    """The module, or None if there is none of that name; an error inside of it is told, not taken for absence."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        prefix = ".".join(parts[:length])
        if length > 1 and not hasattr(importlib.import_module(prefix.rpartition(".")[0]), "__path__"):
            return None  # the parent is a single file
        try:
            if importlib.util.find_spec(prefix) is None:
                return None
        except ValueError:
            return None  # an empty part, as in "a..b"
        _module(prefix)
    return _module(name)


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # somebody else's code runs here, and its errors are not tubelet's defects
        raise ConfigError(f"{name} failed to import: {type(error).__name__}: {error}") from error
