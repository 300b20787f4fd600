"""The equations that an explicit network with the kernel of a DEQ satisfies, and their gauge.

Theory sheet, section 7.  Two networks have the same CK equivalent iff their (a_1, a_2, a_3, tau^2) agree with
(alpha_1, alpha_2, alpha_3, gamma_*^2), and the same NTK equivalent iff (b_1, b_2, b_3, kappa^2) agree with the NTK's
own four numbers.  Here the targets are k_1, k_2, k_3 and k_0 (the diagonal), whichever kernel is meant.

Learning rates.  A network of L hidden layers has L + 1 weight matrices; r_l, l = 0 .. L, is the learning rate of the
one on layer l's output (layer 0 is the data, r_L that of the readout), and 0 where it is frozen.  The NTK is the sum of
the matrices' gradient kernels times their rates; the CK is the one of the readout alone.

Gauge.  Multiplying layer 1 by k > 0 and giving layer 2 the input x/k changes no kernel, so the parameters of two
layers are determined up to one scale (and signs: phi_1 -> -phi_1, x -> -x).  Multiplying the last layer by k and
dividing every rate by k^2 changes no NTK, so rates are determined up to a factor; r_L = 1 where the readout is trained.

What can be matched at all: ``theory.matching.one_layer``, ``theory.matching.two_layers``, ``theory.matching.leaky``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import sympy as sp

from theory.equations import LayerCoefficients, LayerMoments, input_layer, next_layer
from theory.kernels import Kernel, KernelCoefficients
from theory.matching.families import Family
from theory.symbols import tau

__all__ = [
    "K0",
    "K1",
    "K2",
    "K3",
    "TARGETS",
    "MatchingSystem",
    "compose",
    "kernel_part",
    "linear_relations",
    "matching_system",
    "rate_symbol",
]

K1, K2, K3 = sp.symbols("k_1:4", nonnegative=True)
K0 = sp.Symbol("k_0", positive=True)
#: The coefficients that a network is to have, as symbols: k_1, k_2, k_3, k_0.
TARGETS = KernelCoefficients(K1, K2, K3, K0)


def kernel_part(kernel: str, layer: LayerCoefficients) -> KernelCoefficients[sp.Expr]:
    """Return the coefficients of a kernel of a network, from those of its last layer.

    Raises:
        UnknownKernelError: an unknown kernel.
    """
    if Kernel.read(kernel).is_tangent:
        return KernelCoefficients(layer.b1, layer.b2, layer.b3, layer.kappa2)
    return KernelCoefficients(layer.a1, layer.a2, layer.a3, layer.tau2)


def rate_symbol(matrix: int) -> sp.Symbol:
    """Return the unknown learning rate of the weights on the output of layer ``matrix``; layer 0 is the data.

    Example:
        >>> rate_symbol(0)
        rate_0
    """
    return sp.Symbol(f"rate_{matrix}", nonnegative=True)


def compose(layers: Sequence[LayerMoments], rates: Sequence[sp.Expr] = ()) -> LayerCoefficients:
    """Return the coefficients of the plain network with the given layers.

    Args:
        layers: moments of each.
        rates: learning rates r_0 .. r_L; none for the same one everywhere.

    Raises:
        ValueError: another number of rates than one more than there are layers.
    """
    first, *others = _all_rates(rates, len(layers))
    state = input_layer(first)
    for moments, rate in zip(layers, others, strict=True):
        state = next_layer(state, moments=moments, rate=rate)
    return state


def _all_rates(rates: Sequence[sp.Expr], layers: int) -> tuple[sp.Expr, ...]:
    if rates and len(rates) != layers + 1:
        raise ValueError(f"{layers} hidden layers have {layers + 1} learning rates, not {len(rates)}")
    return tuple(rates) or (sp.S.One,) * (layers + 1)


@dataclass(frozen=True)
class MatchingSystem:
    """The equations of a network from given families.

    Attributes:
        kernel: which kernel is matched.
        unknowns: the layers' parameters, layer after layer; parameter a of layer 2 is ``a_2``; then the rates that are
            symbols.
        equations: achieved minus target, which must vanish; in the unknowns, ``TARGETS`` and tau_0.
        gauge: by unknown, the exponent of k under "multiply layer 1 by k, undo it in layer 2"; empty for one layer and
            where the families cannot absorb it.
        rate_gauge: likewise under "multiply the last layer by k, divide every rate by k^2"; empty unless every rate is
            unknown.
        relations: coefficients of (k_1, k_2, k_3, k_0) in the linear relations that every such network satisfies, in
            tau_0: where the target satisfies one too, an equation is redundant; where not, there is no solution.
    """

    kernel: str
    unknowns: tuple[sp.Symbol, ...]
    equations: tuple[sp.Expr, ...]
    gauge: Mapping[sp.Symbol, int]
    rate_gauge: Mapping[sp.Symbol, int]
    relations: tuple[tuple[sp.Expr, ...], ...]


def _of_layer(symbol: sp.Symbol, layer: int) -> sp.Symbol:
    return sp.Symbol(f"{symbol.name}_{layer}", **symbol.assumptions0)


def matching_system(kernel: str, families: Sequence[Family], rates: Sequence[sp.Expr] = ()) -> MatchingSystem:
    """Derive the equations, the gauge and a redundancy of the networks with one layer of each family.

    Args:
        kernel: which kernel is matched.
        families: of the layers, in order.
        rates: learning rates r_0 .. r_L, numbers or values of ``rate_symbol``; none for the same one everywhere.

    Raises:
        ValueError: an unknown kernel, no families, or another number of rates.

    Example:
        >>> from theory.matching.families import named_family
        >>> matching_system("ck", [named_family("erf")]).unknowns
        (a_1, w_1)
    """
    if not families:
        raise ValueError("an explicit network needs at least one layer")
    given = _all_rates(rates, len(families))
    state = input_layer(given[0])
    unknowns: list[sp.Symbol] = []
    renamed: list[dict[sp.Symbol, sp.Symbol]] = []
    for number, family in enumerate(families, 1):
        names = {symbol: _of_layer(symbol, number) for symbol in family.symbols if symbol.name != family.own_scale}
        place = {tau: sp.sqrt(state.tau2)} | names
        state = next_layer(state, moments=family.moments.subs(place), rate=given[number])
        unknowns += names.values()
        renamed.append(names)
    free = [rate for rate in given if isinstance(rate, sp.Symbol)]
    unknowns += free
    achieved = kernel_part(kernel, state)
    gauge: dict[sp.Symbol, int] = {}
    if len(families) == 2:
        scalings = [family.scaling for family in families]
        if scalings[0] is not None and scalings[1] is not None:
            gauge = {new: scalings[0].output[old.name] for old, new in renamed[0].items()}
            gauge |= {new: scalings[1].input[old.name] for old, new in renamed[1].items()}
            gauge |= dict.fromkeys(free, 0)
    last = families[-1].scaling
    rate_gauge: dict[sp.Symbol, int] = {}
    if last is not None and len(free) == len(given):
        rate_gauge = dict.fromkeys(unknowns, 0) | dict.fromkeys(free, -2)
        rate_gauge |= {new: last.output[old.name] for old, new in renamed[-1].items()}
    return MatchingSystem(
        kernel,
        tuple(unknowns),
        tuple(have - want for have, want in zip(achieved, TARGETS, strict=True)),
        MappingProxyType(gauge),
        MappingProxyType(rate_gauge),
        linear_relations(tuple(achieved), unknowns),
    )


def linear_relations(expressions: Sequence[sp.Expr], unknowns: Sequence[sp.Symbol]) -> tuple[tuple[sp.Expr, ...], ...]:
    """Return a basis of the constants x_i with sum_i x_i expressions_i = 0 for all values of the unknowns.

    Only rational functions of the unknowns are looked at (else the basis is empty); the constants may contain tau_0.

    Example:
        >>> a, b = sp.symbols("a b")
        >>> linear_relations([a, b, a - 2 * b], [a, b])
        ((-1, 2, 1),)
    """
    if not all(expr.is_rational_function(*unknowns) for expr in expressions):
        return ()
    weights = sp.symbols(f"x_0:{len(expressions)}")
    total = sum((weight * expr for weight, expr in zip(weights, expressions, strict=True)), sp.S.Zero)
    conditions = sp.Poly(sp.expand(sp.numer(sp.together(total))), *unknowns).coeffs()
    matrix, _ = sp.linear_eq_to_matrix(conditions, weights)
    return tuple(tuple(map(sp.factor, vector)) for vector in matrix.nullspace(simplify=True))
