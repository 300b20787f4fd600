"""Families of one's own on the command line: --family EXPRESSION, --box NAME=LOW:HIGH and --fix NAME=NUMBER."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from deqverify.commands import _errors, _options
from theory.named import FAMILY_NAMES

if TYPE_CHECKING:
    import sympy as sp

    from numerics.matching import FamilyBox
    from theory.matching import Family

__all__ = ["add_arguments", "own_families"]

_NAME = re.compile(r"([A-Za-z]\w*)_([12])")
#: Learning rates of the weights on the data, on layer 1's output, on layer 2's.
_RATE = re.compile(r"rate_([012])")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --family, --layers, --box and --fix."""
    parser.add_argument(
        "--family",
        action="append",
        default=[],
        metavar="FAMILY",
        help=f"family of the layers: {', '.join(FAMILY_NAMES)}, or an expression in x and parameters; twice for two "
        "different layers (default: one that can match)",
    )
    parser.add_argument(
        "--layers",
        type=_options.integer_between(1, 12),
        help="hidden layers, with --family (default: the usual number of the family; 3 to 12 for an NTK with hermite); "
        "with learning rates per layer at most so many",
    )
    parser.add_argument(
        "--box",
        action="append",
        type=_interval,
        default=[],
        metavar="NAME=LOW:HIGH",
        help="where to look for a parameter of a family of your own: a_1 is parameter a of layer 1, and for an NTK "
        "rate_0 the learning rate of W_1, rate_1 that of the next weights; repeatable",
    )
    parser.add_argument(
        "--fix",
        action="append",
        type=_options.parameter,
        default=[],
        metavar="NAME=NUMBER",
        help="its value; repeatable",
    )


def _interval(text: str) -> tuple[str, tuple[sp.Expr, sp.Expr]]:
    name, _, ends = text.partition("=")
    low, colon, high = ends.partition(":")
    if not (name.strip() and colon):
        raise argparse.ArgumentTypeError(f"must be NAME=LOW:HIGH, such as a_1=-2:2, not {text!r}")
    pair = (_options.number(low), _options.number(high))
    if not pair[0] < pair[1]:
        raise argparse.ArgumentTypeError(f"the lower end of {name.strip()} must be below the upper one, not {ends}")
    return name.strip(), pair


def own_families(arguments: argparse.Namespace) -> FamilyBox | None:
    """Return the families of one's own and their box, or None where a named family is asked for, or none.

    Raises:
        UsageError: families, boxes and fixed values that do not fit together.
    """
    texts = list(arguments.family)
    if len(texts) > 2:
        raise _errors.UsageError(f"--family is given {len(texts)} times, and networks have at most two hidden layers")
    if not texts:
        for option in ("layers", "box", "fix"):
            if getattr(arguments, option):
                raise _errors.UsageError(f"--{option} needs --family: {', '.join(FAMILY_NAMES)}, or an expression")
        return None
    if len(texts) == 1 and texts[0] in FAMILY_NAMES and not arguments.box and not arguments.fix:
        return None
    count = arguments.layers or len(texts)
    if count > 2:
        raise _errors.UsageError(f"--layers {count}: networks of families of your own have at most two hidden layers")
    if len(texts) == 2 and count != 2:
        raise _errors.UsageError("--family is given twice, so there are two layers: leave out --layers, or give 2")
    from numerics.matching import FamilyBox

    box, fixed = dict(arguments.box), dict(arguments.fix)
    if len(box) + len(fixed) < len(arguments.box) + len(arguments.fix) or box.keys() & fixed.keys():
        raise _errors.UsageError("a parameter may have one --box or one --fix, not several of them")
    for name in [*box, *fixed]:
        rate = _RATE.fullmatch(name)
        if rate is not None and int(rate[1]) <= count:
            continue
        hit = _NAME.fullmatch(name)
        if hit is None or int(hit[2]) > count:
            layers = "1" if count == 1 else "1 or 2"
            raise _errors.UsageError(f"{name}: a parameter is named with its layer, such as a_1 (layer {layers})")
    families = tuple(_family(texts[min(number, len(texts)) - 1], number, box, fixed) for number in range(1, count + 1))
    if all(_RATE.fullmatch(name) for name in box):
        raise _errors.UsageError("nothing is left to look for: give a parameter a --box")
    return FamilyBox(families, box, fixed)


def _family(text: str, layer: int, box: Mapping[str, Sequence[sp.Expr]], fixed: Mapping[str, sp.Expr]) -> Family:
    """One layer's family; its parameters are the names that have a box or a value."""
    import sympy as sp

    from theory.activations import Activation, Parameter
    from theory.grammar import ActivationSyntaxError, parse_activation
    from theory.matching import FamilyError, family_of, named_family

    if text in FAMILY_NAMES:
        return named_family(text)

    symbols = {}
    for name, low in [*((name, ends[0]) for name, ends in box.items()), *fixed.items()]:
        base, _, number = name.rpartition("_")
        if int(number) == layer and not _RATE.fullmatch(name):
            symbols[base] = sp.Symbol(base, real=True, **({"positive": True} if low > 0 else {}))
    wanted = f"every parameter of layer {layer} needs --box NAME_{layer}=LOW:HIGH or --fix NAME_{layer}=NUMBER"
    if not symbols:
        near = get_close_matches(text.lower(), FAMILY_NAMES, 1)
        meant = f"did you mean {near[0]}? Else " if near else ""
        raise _errors.UsageError(f"--family {text}: {meant}{wanted}; the named families are {', '.join(FAMILY_NAMES)}")
    try:
        expr = parse_activation(text, symbols)
        missing = sorted(name for name, symbol in symbols.items() if not expr.has(symbol))
        if missing:
            raise _errors.UsageError(f"--family {text}: it has no parameter {missing[0]}; {wanted}")
        return family_of(Activation(text, expr, tuple(Parameter(s, sp.S.One) for s in symbols.values())))
    except ActivationSyntaxError as error:
        raise _errors.UsageError(f"--family {text}: {error}; {wanted}") from error
    except (ValueError, FamilyError) as error:
        raise _errors.UsageError(f"--family {text}: {error}") from error
