"""Read a pickle as data, without running what it says.

A pickle is a program: loading one calls whatever functions it names, so a file from elsewhere can do anything. Here its
instructions are only listed (`pickletools.genops` of the standard library runs nothing) and carried out by the small
machine below, which knows how to build containers, text, bytes, numbers and numpy arrays, and nothing else. A file that
asks for anything else is refused, with the name of what it asked for.

Source: the instructions are documented in `pickletools`; how numpy writes arrays in numpy/core/src/multiarray/methods.c
(`array_reduce`, `array_setstate`) and numpy/core/numeric.py (`_frombuffer`).
Differs: numpy 1 names its modules `numpy.core`, numpy 2 `numpy._core`; both are read by either.
"""

from __future__ import annotations

import mmap
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np

from tubelet.errors import DatasetError

_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|c(8|16)|[SUa]\d{1,6}")
_ALLOWED = "allowed: lists, tuples, sets, dicts, text, bytes, numbers, and numpy arrays of numbers or text"


def read_plain_pickle(path: Path) -> object:
    """What a pickle of plain data holds, of any protocol from 0 to 5.

    Args:
        path: The file.

    Returns:
        Containers, text, bytes, numbers, None, and numpy arrays and scalars.

    Raises:
        DatasetError: The file cannot be read, is no pickle or a damaged one, or asks for more than plain data.
    """
    machine = _Machine(path)
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise DatasetError(f"{path}: is empty; give a pickle")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return machine.run(data)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}; give a pickle") from error
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        # What pickletools, the stack, dicts and numpy say of instructions that do not fit together.
        raise DatasetError(
            f"{path}: is no pickle, or a damaged one (byte {machine.position}: {str(error) or type(error).__name__}); "
            "take another copy"
        ) from error


class _Global:
    """A name that a pickle may ask for; what is done where it is called is in `_Machine`."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Dtype:
    """A dtype being built: its byte order comes in a later instruction."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order: Literal["<", ">", "|", "="] = "="

    def built(self) -> np.dtype[Any]:
        return np.dtype(self.code).newbyteorder(self.order)


class _Machine:
    """The stack, the marks in it and the memo, as `pickletools` describes them."""

    def __init__(self, path: Path) -> None:
        self.position = 0
        self._path = path
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # what lay under each mark
        self._memo: dict[int, Any] = {}
        self._instructions: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(_PUSH, self._push),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._put),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda arg: self._push(self._memo[arg])),
            **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _: None),
            "NONE": lambda _: self._push(None),
            "NEWTRUE": lambda _: self._push(True),
            "NEWFALSE": lambda _: self._push(False),
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "MARK": self._mark,
            "POP": self._pop,
            "POP_MARK": self._pop_mark,
            "DUP": lambda _: self._push(self._stack[-1]),
            "EMPTY_LIST": lambda _: self._push([]),
            "EMPTY_TUPLE": lambda _: self._push(()),
            "EMPTY_DICT": lambda _: self._push({}),
            "EMPTY_SET": lambda _: self._push(set()),
            "LIST": lambda _: self._push(self._items()),
            "TUPLE": lambda _: self._push(tuple(self._items())),
            "TUPLE1": lambda _: self._push(tuple(self._last(1))),
            "TUPLE2": lambda _: self._push(tuple(self._last(2))),
            "TUPLE3": lambda _: self._push(tuple(self._last(3))),
            "DICT": lambda _: self._push(_pairs(self._items())),
            "FROZENSET": lambda _: self._push(frozenset(self._items())),
            "APPEND": lambda _: self._extend(self._last(1)),
            "APPENDS": lambda _: self._extend(self._items()),
            "ADDITEMS": lambda _: self._add(self._items()),
            "SETITEM": lambda _: self._set(self._last(2)),
            "SETITEMS": lambda _: self._set(self._items()),
            "GLOBAL": lambda arg: self._push(self._global(*arg.split(" ", 1))),
            "STACK_GLOBAL": lambda _: self._push(self._global(*self._last(2))),
            "REDUCE": lambda _: self._push(self._call(*self._last(2))),
            "BUILD": lambda _: self._build(self._last(1)[0]),
        }

    def run(self, data: mmap.mmap) -> object:
        # A map of a file reads and tells its place like one, which is what genops needs; its stub asks for more.
        for opcode, arg, position in pickletools.genops(cast("IO[bytes]", data)):
            self.position = position or 0
            instruction = self._instructions.get(opcode.name)
            if instruction is None:
                raise self._refused(f"the instruction {opcode.name}")
            instruction(arg)
        if len(self._stack) != 1 or self._below or data.tell() != data.size():
            raise ValueError("there are things left over at its end")
        self._check_plain(self._stack[0])
        return self._stack[0]

    def _refused(self, what: str) -> DatasetError:
        return DatasetError(
            f"{self._path}: asks for {what} at byte {self.position}, which could run a program; nothing of it was run. "
            f"{_ALLOWED}. Ask whoever made the file for one of plain data"
        )

    def _push(self, value: Any) -> None:  # noqa: ANN401
        self._stack.append(value)

    def _put(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def _mark(self, _: object) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _items(self) -> list[Any]:
        """What lies above the last mark, taken off with the mark."""
        items, self._stack = self._stack, self._below.pop()
        return items

    def _pop(self, _: object) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._items()

    def _pop_mark(self, _: object) -> None:
        self._items()

    def _last(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError("the stack is too short")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _target(self, kind: type) -> Any:  # noqa: ANN401
        target = self._stack[-1]
        if type(target) is not kind:
            raise TypeError(f"{type(target).__name__} where a {kind.__name__} belongs")
        return target

    def _extend(self, items: list[Any]) -> None:
        self._target(list).extend(items)

    def _add(self, items: list[Any]) -> None:
        self._target(set).update(items)

    def _set(self, items: list[Any]) -> None:
        self._target(dict).update(_pairs(items))

    def _global(self, module: object, name: object) -> _Global:
        # Python 2 and numpy 1 have other names for the same modules.
        full = f"{module}.{name}".replace("__builtin__.", "builtins.").replace("numpy._core.", "numpy.core.")
        if full not in _CALLS and full != "numpy.ndarray":
            raise self._refused(f"{module}.{name}")
        return _Global(full)

    def _call(self, function: object, arguments: object) -> object:
        if not isinstance(function, _Global) or function.name not in _CALLS or not isinstance(arguments, tuple):
            raise self._refused("a call of what is no function")
        return _CALLS[function.name](*arguments)

    def _build(self, state: object) -> None:
        """Give an array its shape, type and values, or a dtype its byte order, where it lies: the memo has it too."""
        target = self._stack[-1]
        if not isinstance(state, tuple):
            raise self._refused(f"setting the state of a {type(target).__name__}")
        if isinstance(target, _Dtype):
            _, order, *described = state
            if order not in ("<", ">", "|", "=") or described[:3] != [None] * 3:
                raise self._refused("an array of records")
            target.order = order
        elif isinstance(target, np.ndarray):
            _, shape, dtype, is_fortran, values = state
            if not isinstance(dtype, _Dtype):
                raise TypeError("an array without a type")
            built: Any = (1, _shape(shape), dtype.built(), bool(is_fortran), bytes(_raw(values)))
            target.__setstate__(built)  # the stub asks for numpy's own bool, which numpy itself refuses
        else:
            raise self._refused(f"setting the state of a {type(target).__name__}")

    def _check_plain(self, value: object) -> None:
        """Names and dtypes are for building with; what is left of them in the result is no data."""
        seen: set[int] = set()
        todo: list[Any] = [value]
        while todo:
            each = todo.pop()
            if isinstance(each, list | tuple | set | frozenset | dict):
                if id(each) in seen:
                    continue
                seen.add(id(each))
                todo.extend(each)
                if isinstance(each, dict):
                    todo.extend(each.values())
            elif isinstance(each, _Global | _Dtype):
                raise self._refused(each.name if isinstance(each, _Global) else "a dtype on its own")


_PUSH = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
"""Instructions whose argument is the value."""


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(length) is int and length >= 0 for length in shape):
        raise TypeError(f"an array of the shape {shape!r}")
    return shape


def _raw(values: object) -> bytes | bytearray:
    """The bytes of an array, which Python 2 wrote as text."""
    if isinstance(values, str):
        return values.encode("latin-1")
    if not isinstance(values, bytes | bytearray):
        raise TypeError("an array without values")
    return values


def _encoded(text: str = "", encoding: str = "latin1") -> bytes:
    """Bytes, which protocols 0 to 2 write as text."""
    if encoding not in ("latin1", "latin-1"):
        raise TypeError("bytes in an unknown encoding")
    return text.encode("latin-1")


def _bytearray(content: str | bytes = b"", encoding: str = "latin-1") -> bytearray:
    return bytearray(content if isinstance(content, bytes) else _encoded(content, encoding))


def _no_bytes(*arguments: object) -> bytes:
    if arguments:
        raise TypeError("bytes made of something")
    return b""


def _items_of(items: object = ()) -> list[Any]:
    if not isinstance(items, list | tuple | set | frozenset):
        raise TypeError(f"a container made of a {type(items).__name__}")
    return list(items)


def _dtype(code: object, *_: object) -> _Dtype:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise ValueError(f"an array of type {code!r}; {_ALLOWED}")
    return _Dtype(code)


def _empty_array(kind: object, *_: object) -> np.ndarray[Any, Any]:
    if not isinstance(kind, _Global) or kind.name != "numpy.ndarray":
        raise TypeError("an array of a kind of its own")
    return np.empty(0, dtype=np.int8)


def _scalar(dtype: object, values: object) -> object:
    if not isinstance(dtype, _Dtype):
        raise TypeError("a numpy scalar without a type")
    (scalar,) = np.frombuffer(_raw(values), dtype=dtype.built())
    return scalar


def _from_buffer(
    values: object, dtype: object, shape: object, order: object, axes: object = None
) -> np.ndarray[Any, Any]:
    """What numpy writes at protocol 5: the values as they lie, in C order, Fortran order or that of some axes."""
    if not isinstance(dtype, _Dtype):
        raise TypeError("an array without a type")
    flat = np.frombuffer(_raw(values), dtype=dtype.built())
    lengths = _shape(shape)
    if order == "K" and axes is not None:
        return flat.reshape(lengths).transpose(_shape(axes))  # the shape is that of the values as they lie
    if order not in ("C", "F"):
        raise ValueError(f"an array in the order {order!r}")
    return flat.reshape(lengths, order="C" if order == "C" else "F")


_CALLS: dict[str, Callable[..., object]] = {
    "_codecs.encode": _encoded,
    "builtins.bytes": _no_bytes,
    "builtins.bytearray": _bytearray,
    "builtins.set": lambda items=(): set(_items_of(items)),
    "builtins.frozenset": lambda items=(): frozenset(_items_of(items)),
    "builtins.list": lambda items=(): _items_of(items),
    "collections.OrderedDict": lambda items=(): dict(_items_of(items)),
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
}
"""What may be called: each builds a value out of values, and none of them is the function of that name itself."""
