"""The named activations.  Each is a text in the grammar of ``theory.grammar.parsing``, so nothing here is special."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache

import sympy as sp

from theory.activations.activation import Activation, Parameter
from theory.analysis import DomainError
from theory.grammar import function_names, parse_activation, parse_number
from theory.named import MODULES, NAMED, NOT_READ, key_of, without_module

__all__ = [
    "registered",
    "registered_names",
    "resolve",
]


def registered_names() -> tuple[str, ...]:
    """Return the registered names, in the order of the registry."""
    return tuple(NAMED)


@cache
def registered(name: str) -> Activation:
    """Return a registered activation, its parameters symbolic.

    Raises:
        DomainError: no such name.

    Example:
        >>> registered("elu").growth_class
        'grows at most linearly'
    """
    key = key_of(name)
    if key is None:
        raise DomainError(_unknown(name))
    entry = NAMED[key]
    symbols = {each.name: sp.Symbol(each.name, **{"real": True, each.fact: True}) for each in entry.parameters}
    parameters = tuple(
        Parameter(symbols[each.name], parse_number(each.default), each.meaning, each.aliases)
        for each in entry.parameters
    )
    return Activation(key, parse_activation(entry.text, symbols), parameters, entry.description)


def _unknown(name: str) -> str:
    """What to say of a name that is none of the registry."""
    spellings = [*NAMED, *(alias for entry in NAMED.values() for alias in entry.aliases)]
    close = get_close_matches(name.lower(), spellings, n=3, cutoff=7 / 10)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    if name in NOT_READ:
        hint = f" ({NOT_READ[name]})"
    return f"no activation is named {name!r}{hint}; the names are: {', '.join(NAMED)}"


def resolve(text: str) -> Activation:
    """Return the registered activation of that name, else the activation that the text is an expression of.

    A function of the grammar without its argument, such as ``arcsinh`` or ``np.tanh``, is taken at x.

    Example:
        >>> resolve("np.tanh").expr
        tanh(x)

    Raises:
        ActivationSyntaxError: neither a name nor an expression in the grammar.
        DomainError, GrowthError: an expression that is not an activation (see ``Activation.from_text``).
    """
    written = text.strip()
    module, _, name = written.rpartition(".")
    if not (name.isascii() and name.isidentifier()) or name == "x" or (module and module not in MODULES):
        return Activation.from_text(written)
    name, doubt = without_module(name, module)
    if doubt is not None:
        raise DomainError("; ".join(doubt))
    if key_of(name) is None and name in function_names():
        return Activation.from_text(f"{name}(x)")
    return registered(name)
