"""The symbolic moments of an activation, kept on disk between runs.

An entry is a JSON file under the user's cache folder (or ``DEQVERIFY_CACHE``), named after a hash of all that the
derivation depends on: the source of theory/ but for what is above the moments, the versions of SymPy and Python, and
the activation.  So an entry can never outlive the code that made it, and the folder can be deleted at any time.
Expressions are stored as trees of node names and read back through an allow-list: nothing in a file is evaluated.
Every entry is sealed under its name with a key that only this user can read, so that what is believed was written
here: a file that cannot be read, or whose seal is wrong, is ignored and written anew.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import platform
import secrets
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import platformdirs
import sympy as sp

from numerics.budget import OverBudgetError, share, stage
from numerics.records.files import remove_stale_drafts, write_whole
from numerics.records.versions import source_digest
from theory.activations import Activation
from theory.equations import moment_definitions
from theory.functions import sigmoid, softplus
from theory.moments import DivergentMomentError, GaussianExpectation, GaussianMoments

__all__ = [
    "MOMENT_NAMES",
    "DerivedMoments",
    "cache_folder",
    "decode",
    "derivation_digest",
    "derive",
    "encode",
]

#: Properties of ``GaussianMoments`` that are derived and stored.
MOMENT_NAMES = (
    "mean",
    "second_moment",
    "variance",
    "first_derivative",
    "second_derivative",
    "square_second_derivative",
    "slope_energy",
)


@dataclass(frozen=True)
class DerivedMoments:
    """The moments of one activation.

    Attributes:
        values: moment by name (see ``MOMENT_NAMES``), in tau and the parameters.
        divergent: why a moment is infinite, by name.
        definitions: what the moment symbols of ``theory.equations.deq`` stand for, of the centred activation.
        cached: whether they were read from disk.
        seconds: what it took to derive or to read them.
        finished: whether closed forms were sought to the end; where the processor time was spent before (see
            ``numerics.budget``), the rest stands as expectations, and nothing is written to disk.
    """

    values: Mapping[str, sp.Expr]
    divergent: Mapping[str, str]
    definitions: Mapping[sp.Symbol, sp.Expr]
    cached: bool
    seconds: float
    finished: bool = True


#: Part of the processor time left that the search for closed forms may take.
_SEARCH_SHARE = 0.5
#: Bytes of an entry at most; what would be larger is derived anew.
_LARGEST = 1 << 20
_KEY_LENGTH = 32
#: Packages of theory that use moments, and that none of them depends on.
_ABOVE_DERIVATIONS = ("theory/claims", "theory/latex", "theory/matching")


class _UnreadableError(ValueError):
    """A file that is not an entry of this cache."""


_FUNCTIONS: Mapping[str, Any] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            sp.exp, sp.log, sp.sin, sp.cos, sp.tan, sp.atan, sp.asin, sp.asinh, sp.sinh, sp.cosh,
            sp.tanh, sp.sech, sp.erf, sp.erfc, sp.erfi, sp.gamma, sp.Abs, sp.sign, sp.Heaviside, sigmoid, softplus,
            sp.StrictLessThan, sp.LessThan, sp.StrictGreaterThan, sp.GreaterThan, sp.And, sp.Or, sp.Not,
            sp.functions.elementary.piecewise.ExprCondPair,
            GaussianExpectation,
        )
    }
)  # fmt: skip
#: Rebuilt as they were written: evaluation would multiply (a + 1)/2 out again.
_UNEVALUATED: Mapping[str, Any] = MappingProxyType(
    {kind.__name__: kind for kind in (sp.Add, sp.Mul, sp.Pow, sp.Max, sp.Min, sp.Piecewise)}
)
_CONSTANTS: Mapping[str, sp.Basic] = MappingProxyType(
    {"pi": sp.pi, "E": sp.E, "I": sp.I, "True": sp.true, "False": sp.false, "oo": sp.oo, "-oo": -sp.oo}
)
_CONSTANT_NAMES = MappingProxyType({value: name for name, value in _CONSTANTS.items()})


def encode(expr: sp.Basic) -> Any:
    """Write an expression as nested lists of strings, for JSON.

    Raises:
        ValueError: it contains a node that is not in the allow-list.
    """
    if expr in _CONSTANT_NAMES:
        return [_CONSTANT_NAMES[expr]]
    if isinstance(expr, sp.Rational):
        return ["Rational", str(expr.p), str(expr.q)]
    if type(expr) is sp.Symbol:
        return ["Symbol", expr.name, dict(sorted(expr.assumptions0.items()))]
    if isinstance(expr, sp.CRootOf):
        return ["CRootOf", [encode(c) for c in expr.poly.all_coeffs()], expr.index]
    name = type(expr).__name__
    if name not in _FUNCTIONS and name not in _UNEVALUATED:
        raise ValueError(f"{name} cannot be stored")
    return [name, *(encode(argument) for argument in expr.args)]


def decode(tree: Any) -> sp.Basic:
    """Read what ``encode`` wrote.

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(tree, list) or not tree or not isinstance(tree[0], str):
        raise _UnreadableError("not an expression")
    name, *rest = tree
    if name in _CONSTANTS and not rest:
        return _CONSTANTS[name]
    if name == "Rational" and len(rest) == 2 and all(isinstance(part, str) for part in rest):
        return sp.Rational(int(rest[0]), int(rest[1]))
    if name == "Symbol" and len(rest) == 2 and isinstance(rest[0], str) and isinstance(rest[1], dict):
        return sp.Symbol(rest[0], **{str(fact): bool(value) for fact, value in rest[1].items()})
    if name == "CRootOf" and len(rest) == 2 and isinstance(rest[0], list) and isinstance(rest[1], int):
        return sp.CRootOf(sp.Poly([decode(c) for c in rest[0]], sp.Symbol("x", real=True)), rest[1])
    arguments = [decode(part) for part in rest]
    if name in _UNEVALUATED:
        return _UNEVALUATED[name](*arguments, evaluate=False)
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](*arguments)
    raise _UnreadableError(f"unknown node {name!r}")


def cache_folder() -> Path:
    """Return the folder of the cache: ``DEQVERIFY_CACHE``, or the user's cache folder of this platform."""
    return Path(os.environ.get("DEQVERIFY_CACHE") or platformdirs.user_cache_dir("deqverify"))


def derive(activation: Activation, *, use_cache: bool = True) -> DerivedMoments:
    """Derive the moments of an activation, or read them where this very code has derived them before.

    Args:
        activation: the activation, parameters symbolic or not.
        use_cache: whether to read and write the cache.

    Raises:
        DomainError, GrowthError: the expression is not an activation (see ``Activation.check``).
    """
    start = time.perf_counter()
    path = cache_folder() / "moments" / f"{_key(activation)}.json"
    if use_cache:
        found = _read(path)
        if found is not None:
            return DerivedMoments(*found, cached=True, seconds=time.perf_counter() - start)
    parts, finished = _derive(activation)
    if use_cache and finished:
        _write(path, *parts)
    return DerivedMoments(*parts, cached=False, seconds=time.perf_counter() - start, finished=finished)


_Parts = tuple[dict[str, sp.Expr], dict[str, str], dict[sp.Symbol, sp.Expr]]


def _derive(activation: Activation) -> tuple[_Parts, bool]:
    """The moments, and whether there was time to look for all closed forms."""
    activation.check()
    moments = GaussianMoments(activation)
    try:
        with share(_SEARCH_SHARE, interrupt=True), stage(f"deriving the moments of {activation.name}"):
            return _derived(moments), True
    except OverBudgetError:
        # What is known by now is kept.
        moments.searching = False
        return _derived(moments), False


def _derived(moments: GaussianMoments) -> _Parts:
    values: dict[str, sp.Expr] = {}
    divergent: dict[str, str] = {}
    for name in MOMENT_NAMES:
        try:
            values[name] = getattr(moments, name)
        except DivergentMomentError as error:
            divergent[name] = str(error)
    return values, divergent, dict(moment_definitions(moments))


def derivation_digest(root: Path | None = None) -> str:
    """Return a hash of the source that a derivation depends on, and that writes it to disk and reads it.

    Args:
        root: the folder of theory/ and numerics/; by default where they are imported from.
    """
    return source_digest(("theory", "numerics/records/derivations.py"), _ABOVE_DERIVATIONS, root)


@cache
def _code_version() -> str:
    """Hash of all that a derivation depends on, but for the activation."""
    versions = (sp.__version__, platform.python_version(), sp.external.gmpy.GROUND_TYPES, derivation_digest())
    return hashlib.sha256("\0".join(versions).encode()).hexdigest()


def _key(activation: Activation) -> str:
    symbols = ",".join(sp.srepr(parameter.symbol) for parameter in activation.parameters)
    text = "\0".join((_code_version(), activation.name, sp.srepr(activation.expr), symbols))
    return hashlib.sha256(text.encode()).hexdigest()


def _seal(key: bytes, path: Path, text: str) -> str:
    """What proves that a text was written under this name by who knows the key."""
    return hmac.new(key, f"{path.stem}\0{text}".encode(), hashlib.sha256).hexdigest()


def _secret() -> bytes | None:
    """The user's key, made where there is none yet, or None where none can be kept."""
    owner = 0 if sys.platform == "win32" else os.getuid()
    path = cache_folder() / f"key-{owner}"
    for attempt in range(2):
        with suppress(OSError):
            found, status = _contents(path, _KEY_LENGTH)
            # A key that others could read, or have put there, proves nothing.
            own = sys.platform == "win32" or (status.st_uid == owner and not status.st_mode & 0o077)
            if own and len(found) == _KEY_LENGTH:
                return found
        if attempt == 0:
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, secrets.token_bytes(_KEY_LENGTH), 0o600)
    return None


def _contents(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """The bytes of a regular file, and its status; OSError where it is anything else, or larger than ``most``."""
    # Opening a pipe would wait for a writer.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise OSError(f"{path} is not a file of this cache")
        return file.read(most), status


def _read(path: Path) -> _Parts | None:
    """What an entry holds, or None where there is none that this user wrote with this code."""
    try:
        text, _ = _contents(path, _LARGEST)
        entry = json.loads(text)
        key = _secret()
        if key is None or not hmac.compare_digest(str(entry["seal"]), _seal(key, path, entry["payload"])):
            return None
        payload = json.loads(entry["payload"])
        values = {str(name): decode(tree) for name, tree in payload["values"].items()}
        divergent = {str(name): str(reason) for name, reason in payload["divergent"].items()}
        definitions = {decode(symbol): decode(tree) for symbol, tree in payload["definitions"]}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return (values, divergent, definitions) if {*values, *divergent} == set(MOMENT_NAMES) else None


def _write(
    path: Path,
    values: Mapping[str, sp.Expr],
    divergent: Mapping[str, str],
    definitions: Mapping[sp.Symbol, sp.Expr],
) -> None:
    """Write an entry, all of it or nothing; without a writable folder, or a form that reads back, nothing."""
    try:
        trees = {name: encode(value) for name, value in values.items()}
        pairs = [[encode(symbol), encode(value)] for symbol, value in definitions.items()]
        if any(decode(tree) != values[name] for name, tree in trees.items()):
            return
        if {decode(symbol): decode(tree) for symbol, tree in pairs} != definitions:
            return
        payload = json.dumps({"values": trees, "divergent": dict(divergent), "definitions": pairs})
        key = _secret()
        if key is None:
            return
        text = json.dumps({"seal": _seal(key, path, payload), "payload": payload})
        if len(text) > _LARGEST:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_drafts(path.parent)
        write_whole(path, text.encode())
    except (OSError, ValueError, RecursionError):
        return
