"""The conditions without which no network matches.

Theory sheet, section 7.
"""

from __future__ import annotations

import sympy as sp

from theory.matching.equations import K0, K1, K2, K3, TARGETS
from theory.matching.leaky import leaky_relations
from theory.matching.one_layer import odd_ratio_limit, one_layer
from theory.symbols import tau_0

__all__ = ["necessary_conditions"]


def necessary_conditions(kernel: str, layers: int, family: str) -> tuple[sp.Rel, ...]:
    """Return what a target must satisfy to be the kernel of a network with so many layers of a family, in ``TARGETS``.

    The energy of degree >= 3 is never negative; one layer fixes k_3/k_2; odd families have neither; and leaky-ReLU
    networks satisfy linear relations, each of which makes an equation redundant for the DEQs that satisfy it too.
    """
    one = one_layer(kernel)
    found: list[sp.Rel] = [sp.Ge(one.leftover, 0, evaluate=False)]
    if family in ("hard_tanh", "erf", "sin"):
        found += [sp.Eq(K2, 0, evaluate=False), sp.Eq(K3, 0, evaluate=False)]
        if odd_ratio_limit(kernel, family).is_finite:
            found.append(sp.Lt(K0, odd_ratio_limit(kernel, family) * tau_0**2 * K1, evaluate=False))
    elif layers == 1:
        found.append(sp.Eq(K3, one.ratio * K2, evaluate=False))
    if family == "leaky_relu":
        for relation in leaky_relations(kernel, layers):
            unit = next(c for c in reversed(relation) if c != 0)
            total = sum((sp.cancel(c / unit) * k for c, k in zip(relation, TARGETS, strict=True)), sp.S.Zero)
            found.append(sp.Eq(sp.expand(total), 0, evaluate=False))
    return tuple(found)
