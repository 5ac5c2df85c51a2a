"""The part of JSON Schema 2020-12 that the project's schemas use; an unknown keyword is an error, not ignored."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_NOTES = {"$schema", "$defs", "title", "description"}


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, where: str = "$") -> list[str]:
    """What is wrong with a value of plain JSON types; empty if it agrees with the schema."""
    root = schema if root is None else root
    if "$ref" in schema:
        target = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return violations(value, target, root, where)
    found: list[str] = []
    for keyword, wanted in schema.items():
        if keyword not in _NOTES:
            found += [
                f"{where}: {problem}" if problem[0] != "$" else problem
                for problem in _check(keyword, wanted, value, schema, root, where)
            ]
    return found


def _check(
    keyword: str, wanted: Any, value: Any, schema: dict[str, Any], root: dict[str, Any], where: str
) -> list[str]:
    if keyword == "type":
        fits = isinstance(value, _TYPES[wanted]) and not (isinstance(value, bool) and wanted in ("number", "integer"))
        return [] if fits else [f"{value!r} is not of type {wanted}"]
    if keyword == "const":
        return [] if value == wanted else [f"{value!r} is not {wanted!r}"]
    if keyword == "enum":
        return [] if value in wanted else [f"{value!r} is not one of {wanted}"]
    if keyword == "minimum":
        return [f"{value} is less than {wanted}"] if isinstance(value, (int, float)) and value < wanted else []
    if keyword == "maximum":
        return [f"{value} is more than {wanted}"] if isinstance(value, (int, float)) and value > wanted else []
    if keyword in ("minLength", "minItems"):
        return [f"{value!r} is shorter than {wanted}"] if isinstance(value, (str, list)) and len(value) < wanted else []
    if keyword == "pattern":
        return [] if not isinstance(value, str) or re.search(wanted, value) else [f"{value!r} does not match {wanted}"]
    if keyword == "oneOf":
        fitting = [option for option in wanted if not violations(value, option, root, where)]
        return [] if len(fitting) == 1 else [f"{value!r} fits {len(fitting)} of {len(wanted)} options"]
    if keyword == "items":
        return (
            [p for i, item in enumerate(value) for p in violations(item, wanted, root, f"{where}[{i}]")]
            if isinstance(value, list)
            else []
        )
    if not isinstance(value, dict):
        return []
    if keyword == "required":
        return [f"{name} is missing" for name in wanted if name not in value]
    if keyword == "properties":
        return [
            p
            for name, sub in wanted.items()
            if name in value
            for p in violations(value[name], sub, root, f"{where}.{name}")
        ]
    if keyword == "additionalProperties":
        extra = value.keys() - schema.get("properties", {}).keys()
        if wanted is False:
            return [f"{name} is not allowed" for name in sorted(extra)]
        return [p for name in sorted(extra) for p in violations(value[name], wanted, root, f"{where}.{name}")]
    raise ValueError(f"keyword {keyword} is not supported here; add it")
