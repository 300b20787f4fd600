"""Pickles of arrays and strings, read without unpickling: an interpreter that knows no code but data.

A pickle is a program that may call any function.  ``pickletools`` takes one apart without running it; here the
instructions are followed that build dictionaries, lists, tuples, numbers, strings and NumPy's arrays, and a pickle with
any other, or that names anything but NumPy's arrays, is refused.  Nothing that a pickle names is imported or called.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.data.limits import DatasetError, Limits

__all__ = ["read_pickle"]

#: Instructions of a pickle, each some 10 bytes of memory and a microsecond; a batch of CIFAR-10 has some 40,000.
_MOST_INSTRUCTIONS = 500_000
#: What NumPy's arrays name, in versions 1 and 2 and by protocol.
_NAMES = {
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
    **{f"numpy.{core}.multiarray _reconstruct": "reconstruct" for core in ("core", "_core")},
    **{f"numpy.{core}.numeric _frombuffer": "frombuffer" for core in ("core", "_core")},
}
_TYPES = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f4", "f8"}
#: Of the bytes of a number; Python 2 wrote bytes.
_ORDERS = ("<", ">", "|", b"<", b">", b"|")
_CONSTANTS = {
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_FIXED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
#: Of Python 2; pickletools shows their bytes as text.
_OLD_STRINGS = ("BINSTRING", "SHORT_BINSTRING")
_MARK = object()


class _Refused(Exception):  # noqa: N818
    """A pickle that holds something else, or is none."""


@dataclass(frozen=True)
class _Name:
    """What a pickle names: nothing is imported."""

    meaning: str


@dataclass
class _Type:
    """A dtype: its letter and size, and the order of its bytes."""

    code: str
    order: str = "|"

    def set(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in _ORDERS):
            raise _Refused
        self.order = _text(state[1])


@dataclass
class _Numbers:
    """An array: its shape, type, order of axes and bytes."""

    state: tuple[Any, ...] = ()

    def set(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _Refused
        self.state = state[1:]

    def array(self, limits: Limits) -> NDArray[Any]:
        """The array itself, once its size is known to fit; raises DatasetError where it does not."""
        if len(self.state) != 4:
            raise _Refused
        shape, dtype, fortran, data = self.state
        sides = isinstance(shape, tuple) and all(type(side) is int for side in shape)
        if not (sides and isinstance(dtype, _Type) and isinstance(data, bytes | bytearray)):
            raise _Refused
        limits.check_numbers(shape)
        made = np.dtype(dtype.order + dtype.code)
        if math.prod(shape) * made.itemsize != len(data):
            raise DatasetError(
                f"an array of shape {shape} has {len(data)} bytes; one with as many as it needs is accepted"
            )
        return np.frombuffer(data, made).reshape(shape, order="F" if fortran in (True, "F") else "C")


@dataclass
class _Machine:
    """The stack and the memory of a pickle that is followed, and how many of its bytes were written as text."""

    size: int
    encoded: int = 0
    stack: list[Any] = field(default_factory=list)
    memory: dict[int, Any] = field(default_factory=dict)

    def follow(self, name: str, argument: Any) -> None:
        """One instruction; raises _Refused for those that no data need."""
        if name in _CONSTANTS:
            self.stack.append(_FIXED.get(name, argument))
        elif name in _OLD_STRINGS:
            self.stack.append(argument.encode("latin1"))
        elif name in _TUPLES:
            self.stack.append(tuple(self.pop() for _ in range(_TUPLES[name]))[::-1])
        elif name in _FOLLOWED:
            _FOLLOWED[name](self, argument)
        else:
            raise _Refused

    def pop(self) -> Any:
        self.top()
        return self.stack.pop()

    def top(self) -> Any:
        """What is on top, which is no mark."""
        if not self.stack or self.stack[-1] is _MARK:
            raise _Refused
        return self.stack[-1]

    def marked(self) -> list[Any]:
        """What lies above the last mark, taken away with it."""
        found = []
        while self.stack and self.stack[-1] is not _MARK:
            found.append(self.stack.pop())
        if not self.stack:
            raise _Refused
        self.stack.pop()
        return found[::-1]

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.top(), list):
            raise _Refused
        self.top().extend(values)

    def update(self, items: list[Any]) -> None:
        """Add keys and values in turn; keys are strings alone, whose hash costs no more than their length."""
        keys = items[::2]
        if not isinstance(self.top(), dict) or len(items) % 2 or not all(isinstance(key, str | bytes) for key in keys):
            raise _Refused
        self.top().update(zip(keys, items[1::2], strict=True))

    def name(self, text: str) -> None:
        if text not in _NAMES:
            raise DatasetError(f"it names {text[:60]!r}; arrays of numbers and strings are accepted, and no code")
        self.stack.append(_Name(_NAMES[text]))

    def reduce(self) -> None:
        """What a call of a name would give, where it is one that arrays are made of."""
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise _Refused
        match name.meaning, arguments:
            case "reconstruct", (_Name("ndarray"), (0,), _):
                self.stack.append(_Numbers())
            case "frombuffer", (data, dtype, shape, order):
                self.stack.append(_Numbers((shape, dtype, order, data)))
            case "dtype", (str() | bytes() as code, *_) if _text(code) in _TYPES:
                self.stack.append(_Type(_text(code)))
            case "encode", (str() as text, "latin1"):
                self.stack.append(self.encode(text))
            case _:
                raise _Refused

    def encode(self, text: str) -> bytes:
        """The bytes that Python 3 wrote as text; all together no more than the pickle has."""
        self.encoded += len(text)
        if self.encoded > self.size:
            raise _Refused
        return text.encode("latin1")

    def build(self) -> None:
        state, built = self.pop(), self.top()
        if not isinstance(built, _Type | _Numbers):
            raise _Refused
        built.set(state)

    def remember(self, place: int) -> None:
        self.memory[place] = self.top()


_FOLLOWED: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.remember),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, place: machine.stack.append(machine.memory[place])
    ),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memory)),
    "MARK": lambda machine, _: machine.stack.append(_MARK),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.marked())),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.marked()),
    "SETITEM": lambda machine, _: machine.update([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.update(machine.marked()),
    "GLOBAL": lambda machine, name: machine.name(name),
    "STACK_GLOBAL": lambda machine, _: machine.name(" ".join([machine.pop(), machine.pop()][::-1])),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin1")


def read_pickle(content: bytes | bytearray, limits: Limits) -> dict[str, Any]:
    """Return the dictionary of arrays, lists and strings that a pickle holds, without running it.

    Args:
        content: bytes of the pickle.
        limits: of its arrays.

    Returns:
        Its entries, with keys as text; values that are arrays are NumPy's.

    Raises:
        DatasetError: it holds or names anything else.
    """
    machine = _Machine(len(content))
    try:
        with warnings.catch_warnings():
            # Of escapes in text, by instructions that are refused.
            warnings.simplefilter("ignore")
            for count, (instruction, argument, _) in enumerate(pickletools.genops(BytesIO(content))):
                if count == _MOST_INSTRUCTIONS:
                    raise DatasetError(f"it has more than {_MOST_INSTRUCTIONS} instructions; one of arrays is accepted")
                machine.follow(instruction.name, argument)
        found = machine.pop()
        if not isinstance(found, dict):
            raise _Refused
        return {
            _text(key): value.array(limits) if isinstance(value, _Numbers) else value for key, value in found.items()
        }
    except DatasetError:
        raise
    except (_Refused, ValueError, TypeError, KeyError, IndexError, OverflowError):
        raise DatasetError("it is no pickle of arrays, numbers and strings alone; one that is is accepted") from None
