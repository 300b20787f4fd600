"""Two leaky-ReLU layers: the matching equations reduced to one unknown.

Theory sheet, section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from theory.equations import LayerMoments, input_layer, next_layer
from theory.matching.equations import K0, K1, K2, K3, kernel_part, linear_relations
from theory.matching.families import named_family
from theory.symbols import tau, tau_0

__all__ = [
    "LeakyReduction",
    "leaky_kernel",
    "leaky_reductions",
    "leaky_relations",
]


@dataclass(frozen=True)
class LeakyReduction:
    """Two layers max(a x, b x) with everything but one unknown eliminated.

    Layer l is u_l x + w_l |x|, a = u + w, b = u - w; only squares of u_l and w_l enter, so the four signs are free.

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
    fields = {name: getattr(family.moments, name).subs(place) for name in LayerMoments.__dataclass_fields__}
    fields = {name: sp.simplify(value) if name in ("d1", "d2") else sp.expand(value) for name, value in fields.items()}
    return LayerMoments(**{name: value.subs({u: sp.sqrt(u2), w: sp.sqrt(w2)}) for name, value in fields.items()})


@cache
def leaky_reductions(kernel: str, *, even: bool = False) -> tuple[LeakyReduction, ...]:
    """Return the cases of two leaky-ReLU layers: one where k_1 > 0; for k_1 = 0 (``even``), u_2 = 0 or u_1 = 0."""
    u2, w2 = sp.symbols("u_2^2 w_2^2", nonnegative=True)
    one, zero = sp.S.One, sp.S.Zero
    cases = [(one, _T, zero, w2), (zero, one, u2, w2)] if even else [(one, _T, u2, w2)]
    found = []
    for squares in cases:
        scale2 = tau_0**2
        state = input_layer()
        for u, w in (squares[:2], squares[2:]):
            moments = _leaky_moments(u, w, scale2)
            state = next_layer(state, moments=moments)
            scale2 = moments.variance
        k1, k2, k3, k0 = (sp.expand(part) for part in kernel_part(kernel, state))
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
        found.append(LeakyReduction(_T if has_unknown else None, solved, tuple(map(sp.expand, left)), upper))
    return tuple(found)


@cache
def leaky_kernel(kernel: str, layers: int) -> tuple[tuple[sp.Symbol, ...], tuple[sp.Expr, ...]]:
    """Return the symbols u_1^2, w_1^2, ... of one or two leaky-ReLU layers, and (k_1, k_2, k_3, k_0) in them."""
    scale2 = tau_0**2
    state = input_layer()
    squares: list[sp.Symbol] = []
    for number in range(1, layers + 1):
        u, w = sp.symbols(f"u_{number}^2 w_{number}^2", positive=True)
        moments = _leaky_moments(u, w, scale2)
        state = next_layer(state, moments=moments)
        scale2 = moments.variance
        squares += [u, w]
    return tuple(squares), tuple(sp.expand(part) for part in kernel_part(kernel, state))


@cache
def leaky_relations(kernel: str, layers: int = 2) -> tuple[tuple[sp.Expr, ...], ...]:
    """Return the linear relations between k_1, k_2, k_3, k_0 of leaky-ReLU networks (none for the NTKs of two)."""
    squares, parts = leaky_kernel(kernel, layers)
    return linear_relations(parts, squares)
