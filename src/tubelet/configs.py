"""Configs: frozen keyword-only dataclasses, to JSON and back, and overridden by dotted path.

A config is a dataclass beside what it configures; a run is a function that returns one, complete. Fields are typed
by their annotations: bool, int, float, str, `None` in a union, `Literal`, an Enum, tuples, lists and dicts with string
keys of these, and other config dataclasses.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import json
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union

from tubelet.errors import ConfigError

Config = TypeVar("Config")


def to_json(config: object) -> dict[str, Any]:
    """The config as plain JSON values.

    Raises:
        TypeError: `config` is no dataclass instance, or a value in it has no JSON form.
    """
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"config is {config!r}; allowed: an instance of a dataclass")
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def from_json(config_type: type[Config], content: object) -> Config:
    """Build a config from what `to_json` made.

    Fields that are left out take their defaults.

    Args:
        config_type: The dataclass.
        content: A JSON object.

    Raises:
        ConfigError: A name is unknown or missing, or a value is not what the field's annotation allows.
    """
    return typing.cast("Config", _build(config_type, content, path=""))


def override(config: Config, settings: Sequence[str]) -> Config:
    """A copy of `config` with some fields changed.

    Args:
        config: The dataclass instance to start from.
        settings: Texts like `optimizer.lr=1e-4`, later ones winning. The value is read by the field's annotation: text
            as it stands, `none`, `true` and `false`, numbers, and JSON for tuples, lists, dicts and whole configs.

    Raises:
        ConfigError: A setting has no `=`, its path names no field, or its value is not allowed.
    """
    changes = []
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path.strip():
            raise ConfigError(f"--set {setting!r} is not NAME=VALUE; write for example --set {_example(config)}")
        changes.append((path.strip().split("."), value))
    return typing.cast("Config", _replaced(config, changes, done=())) if changes else config


def suggestion(name: str, known: Sequence[str]) -> str:
    """Help for a name that is not known: the nearest one, or what there is."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"allowed: {', '.join(sorted(known))}" if known else "there are none"


def field_types(config_type: type) -> dict[str, Any]:
    """The resolved annotation of each field that the constructor takes."""
    hints = typing.get_type_hints(config_type)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_type) if field.init}


def _example(config: object) -> str:
    """A setting that this config has, in the first of its groups where there is one."""
    path = []
    while dataclasses.is_dataclass(config) and not isinstance(config, type):
        names = list(field_types(type(config)))
        groups = [name for name in names if dataclasses.is_dataclass(getattr(config, name))]
        if not names:
            break
        path.append((groups or names)[0])
        config = getattr(config, path[-1])
    if not path:
        return "NAME=VALUE"
    return f"{'.'.join(path)}={config if isinstance(config, str) else json.dumps(_plain(config))}"


def _replaced(config: object, changes: Sequence[tuple[list[str], str]], done: tuple[str, ...]) -> object:
    """A copy with all changes made at once: numbers that only go together may change in any order."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        setting = ".".join((*done, *changes[0][0]))
        raise ConfigError(f"--set {setting}: {'.'.join(done)} is a value, not a group of settings")
    known = field_types(type(config))
    values = {name: getattr(config, name) for name in known}
    inside: dict[str, list[tuple[list[str], str]]] = {}
    for path, text in changes:
        name, here = path[0], ".".join((*done, path[0]))
        if name not in known:
            raise ConfigError(f"--set {'.'.join((*done, *path))}: no setting {here!r}; {suggestion(name, list(known))}")
        if len(path) > 1:
            inside.setdefault(name, []).append((path[1:], text))
        else:
            inside.pop(name, None)  # what was said of its parts before is replaced with it
            values[name] = _build(known[name], _parsed(known[name], text, here), here)
    for name, inner in inside.items():
        values[name] = _replaced(values[name], inner, (*done, name))
    return _construct(type(config), values, ".".join(done))


def _parsed(annotation: Any, text: str, path: str) -> object:  # noqa: ANN401 - annotations have no common type
    """The JSON value that `text` stands for where `annotation` is expected; `_build` then checks it."""
    members = _members(annotation)
    if type(None) in members and text.lower() in ("none", "null"):
        return None
    if bool in members and text.lower() in ("true", "false"):
        return text.lower() == "true"
    literals = [
        value for member in members if typing.get_origin(member) is Literal for value in typing.get_args(member)
    ]
    for value in literals:
        if text == str(value):
            return value
    for member in members:
        number = _number(member, text)
        if number is not None:
            return number
    if any(member is str or literals or _is_enum(member) for member in members):
        return text
    if all(member in (int, float, bool, type(None)) for member in members):
        return text  # not a number; `_build` says what is allowed
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}: {text!r} is not JSON ({error}); allowed: {_said(annotation)}") from error


def _number(member: object, text: str) -> int | float | None:
    try:
        if member is int:
            return int(text)
        if member is float:
            return float(text)
    except ValueError:
        return None  # not a number of this kind; the caller tries the other members of the union
    return None


def _build(annotation: Any, value: object, path: str) -> object:  # noqa: ANN401
    """Check a JSON value against an annotation and make it what the field holds."""
    for member in _likeliest_first(_members(annotation), value):
        fits, built = _try_member(member, value, path)
        if fits:
            return built
    raise ConfigError(f"{path or 'config'}: {value!r} is not allowed; allowed: {_said(annotation)}")


def _likeliest_first(members: tuple[Any, ...], value: object) -> tuple[Any, ...]:
    """Of several groups of settings the one that knows most of the names comes first, so that it says what is wrong."""
    if not isinstance(value, Mapping) or sum(dataclasses.is_dataclass(member) for member in members) < 2:
        return members

    def num_unknown(member: Any) -> int:  # noqa: ANN401
        return (
            len(value.keys() - field_types(typing.cast("type", member)))
            if dataclasses.is_dataclass(member)
            else len(value) + 1
        )

    return tuple(sorted(members, key=num_unknown))


def _try_member(member: Any, value: object, path: str) -> tuple[bool, object]:  # noqa: ANN401
    if member is Any:
        return True, value
    if member is float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False, None
        return math.isfinite(value), float(value)
    if member is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if member in (bool, str, type(None)):
        return isinstance(value, member), value
    if typing.get_origin(member) is Literal:
        allowed = typing.get_args(member)
        return any(value == choice and type(value) is type(choice) for choice in allowed), value
    if _is_enum(member):
        by_value = {choice.value: choice for choice in member}
        return isinstance(value, str | int) and value in by_value, by_value.get(value)
    if dataclasses.is_dataclass(member):
        return True, _build_config(typing.cast("type", member), value, path)
    return _try_container(member, value, path)


def _try_container(member: Any, value: object, path: str) -> tuple[bool, object]:  # noqa: ANN401
    origin, arguments = typing.get_origin(member) or member, typing.get_args(member)
    if origin is dict:
        if not isinstance(value, Mapping):
            return False, None
        of = arguments[1] if arguments else Any
        return True, {str(key): _build(of, item, f"{path}.{key}") for key, item in value.items()}
    if origin not in (tuple, list):
        raise TypeError(f"{path}: configs cannot hold {member!r}; see the module docstring for what they can")
    if not isinstance(value, list | tuple):
        return False, None
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            return False, None
        return True, tuple(
            _build(of, item, f"{path}[{index}]") for index, (of, item) in enumerate(zip(arguments, value, strict=True))
        )
    of = arguments[0] if arguments else Any
    return True, origin(_build(of, item, f"{path}[{index}]") for index, item in enumerate(value))


def _build_config(config_type: type, value: object, path: str) -> object:
    if isinstance(value, config_type):
        return value
    where = path or "config"
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: {value!r} is not allowed; allowed: a group of settings ({config_type.__name__})")
    known = field_types(config_type)
    for name in value:
        if name not in known:
            raise ConfigError(f"{where}: no setting {name!r}; {suggestion(str(name), list(known))}")
    built = {name: _build(known[name], item, f"{path}.{name}".lstrip(".")) for name, item in value.items()}
    missing = [
        field.name
        for field in dataclasses.fields(config_type)
        if field.init
        and field.name not in built
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: lacks {', '.join(missing)}, which {config_type.__name__} has no default for")
    return _construct(config_type, built, path)


def _construct(config_type: type, values: dict[str, object], path: str) -> object:
    """Call the constructor, whose own checks begin with the name of a field of theirs."""
    try:
        return config_type(**values)
    except ValueError as error:
        said = str(error)
        if re.split(r"\W", said, maxsplit=1)[0] in {field.name for field in dataclasses.fields(config_type)}:
            raise ConfigError(f"{path}.{said}".lstrip(".")) from error
        raise ConfigError(f"{path or 'config'}: {said}") from error


def _members(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401
    is_union = typing.get_origin(annotation) in (Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def _is_enum(member: object) -> bool:
    return isinstance(member, type) and issubclass(member, enum.Enum)


def _said(annotation: Any) -> str:  # noqa: ANN401
    """What an annotation allows, for people."""
    names = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text", type(None): "none"}
    said = []
    for member in _members(annotation):
        if member in names:
            said.append(names[member])
        elif typing.get_origin(member) is Literal:
            said.extend(str(choice) for choice in typing.get_args(member))
        elif _is_enum(member):
            said.extend(str(choice.value) for choice in member)
        elif dataclasses.is_dataclass(member):
            said.append(f"the settings of {typing.cast('type', member).__name__} as JSON")
        else:
            origin, of = typing.get_origin(member) or member, typing.get_args(member)
            if origin is dict:
                said.append(f"a JSON object of {_said(of[1]) if of else 'anything'}")
            elif origin is tuple and of and of[-1] is not Ellipsis:
                said.append(f"a JSON list of {len(of)} values ({', '.join(_said(each) for each in of)})")
            else:
                said.append(f"a JSON list of {_said(of[0]) if of else 'anything'}")
    return ", ".join(said)


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"configs cannot hold {value!r}; see the module docstring for what they can")
