"""Which annotations the tests check while they run: those of arrays, and nothing else.

Checking every annotation would forbid what tests are right to do: hand a small stand-in to code that names a class, or
a wrong type to code that must refuse it. A wrong shape or dtype is what no static checker sees, so that is checked.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import beartype
import jaxtyping

_CHECKED = beartype.BeartypeConf(is_pep484_tower=True)


def arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """Checks the array annotations of one function; the others are left alone."""
    hints = function.__annotations__
    function.__annotations__ = {name: hint if _names_an_array(hint) else Any for name, hint in hints.items()}
    return beartype.beartype(conf=_CHECKED)(function)


def _names_an_array(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_names_an_array(part) for part in typing.get_args(hint))
