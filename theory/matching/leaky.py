"""What leaky-ReLU layers can match: one or two of them, solved but for one unknown, and their linear relations.

Theory sheet, section 7; targets, kernels and gauge as in ``theory.matching.equations``.

A layer max(a x, b x) is u x + w |x| with a = u + w and b = u - w, and the kernels contain u and w through their squares
only, so that all signs are free.  For two layers k_1, k_2, k_3 are linear in the squares of the second one and give
them, in the gauge u_1 = 1 (k_1 > 0), as rational functions of t = (w_1/u_1)^2; the diagonal's equation, and whichever
is left, are polynomials in t.  w_2^2 >= 0 bounds t, so that the search for their roots is complete.  Where k_1 = 0
either u_2 = 0 or u_1 = 0.  Linear relations that every such network satisfies exclude a target that does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import sympy as sp

from theory.equations import LayerMoments, input_layer, next_layer
from theory.kernels import KernelCoefficients
from theory.matching.equations import K0, K1, K2, K3, kernel_part, linear_relations
from theory.matching.families import named_family
from theory.symbols import tau

__all__ = [
    "LeakyReduction",
    "leaky_kernel",
    "leaky_reductions",
    "leaky_relations",
]


@dataclass(frozen=True)
class LeakyReduction:
    """Two layers max(a x, b x) with everything but one unknown eliminated.

    Layer l is u_l x + w_l |x|.

    Attributes:
        unknown: t = (w_1/u_1)^2, or None where nothing is left to solve.
        squares: (u_1^2, w_1^2, u_2^2, w_2^2) in the unknown and the targets; all must be nonnegative.
        equations: what remains to vanish (polynomials in the unknown, where there is one), with the diagonal's last.
        upper: the largest t with w_2^2 >= 0, so that 0 <= t <= upper is a complete search; None without an unknown.
    """

    unknown: sp.Symbol | None
    squares: tuple[sp.Expr, sp.Expr, sp.Expr, sp.Expr]
    equations: tuple[sp.Expr, ...]
    upper: sp.Expr | None


_T = sp.Symbol("t", nonnegative=True)


def _leaky_moments(u2: sp.Expr, w2: sp.Expr, scale2: sp.Expr) -> LayerMoments:
    """Moments of u x + w |x| from its squares, by the family's own formulas (which are even in u and in w)."""
    u, w = sp.symbols("u w", nonnegative=True)
    family = named_family("leaky_relu")
    place = dict(zip(family.symbols, (u + w, u - w), strict=True)) | {tau: sp.sqrt(scale2)}
    placed = family.moments.subs(place)
    # The other moments are even in u and w as soon as they are expanded.
    even = replace(placed.map(sp.expand), d1=sp.simplify(placed.d1), d2=sp.simplify(placed.d2))
    return even.subs({u: sp.sqrt(u2), w: sp.sqrt(w2)})


def _kernel_of(kernel: str, squares: Sequence[sp.Expr]) -> KernelCoefficients[sp.Expr]:
    """A kernel of the layers with the given u_1^2, w_1^2, u_2^2, ..., expanded."""
    state = input_layer()
    for u2, w2 in zip(squares[::2], squares[1::2], strict=True):
        state = next_layer(state, moments=_leaky_moments(u2, w2, state.tau2))
    return kernel_part(kernel, state).map(sp.expand)


@cache
def leaky_reductions(kernel: str, *, even: bool = False) -> tuple[LeakyReduction, ...]:
    """Return the cases of two leaky-ReLU layers: one where k_1 > 0; for k_1 = 0 (``even``), u_2 = 0 or u_1 = 0."""
    u2, w2 = sp.symbols("u_2^2 w_2^2", nonnegative=True)
    one, zero = sp.S.One, sp.S.Zero
    cases = [(one, _T, zero, w2), (zero, one, u2, w2)] if even else [(one, _T, u2, w2)]
    reductions = []
    for squares in cases:
        k1, k2, k3, k0 = _kernel_of(kernel, squares)
        solution: dict[sp.Symbol, sp.Expr] = {}
        # Linear in the squares, one after the other.
        order = [(k1, K1, u2)] if not even else []
        order += [(k2, K2, w2)] if squares[0] == one else [(k3, K3, u2), (k2, K2, w2)]
        for have, want, unknown in order:
            difference = sp.expand((have - want).subs(solution))
            solution[unknown] = sp.factor(-difference.coeff(unknown, 0) / difference.coeff(unknown, 1))
        left = [] if squares[0] == zero else [sp.numer(sp.together((k3 - K3).subs(solution)))]
        left.append(sp.numer(sp.together((k0 - K0).subs(solution))))
        solved = tuple(square.subs(solution) for square in squares)
        has_unknown = squares[0] == one
        upper = None
        if has_unknown and not even:
            upper = sp.factor(sp.solve(sp.numer(sp.together(solution[w2])), _T)[0])
        reductions.append(LeakyReduction(_T if has_unknown else None, solved, tuple(map(sp.expand, left)), upper))
    return tuple(reductions)


@cache
def leaky_kernel(kernel: str, layers: int) -> tuple[tuple[sp.Symbol, ...], KernelCoefficients[sp.Expr]]:
    """Return the symbols u_1^2, w_1^2, ... of one or two leaky-ReLU layers, and their kernel's coefficients in them."""
    squares = sp.symbols(" ".join(f"u_{n}^2 w_{n}^2" for n in range(1, layers + 1)), positive=True)
    return squares, _kernel_of(kernel, squares)


@cache
def leaky_relations(kernel: str, layers: int = 2) -> tuple[tuple[sp.Expr, ...], ...]:
    """Return the linear relations between k_1, k_2, k_3, k_0 of leaky-ReLU networks (none for the NTKs of two).

    Example:
        >>> leaky_relations("ck")
        ((-tau_0**2, -2*tau_0**4*(-2 + pi), 0, 1),)
    """
    squares, parts = leaky_kernel(kernel, layers)
    return linear_relations(tuple(parts), squares)
