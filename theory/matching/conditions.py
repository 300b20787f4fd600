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


def necessary_conditions(kernel: str, layers: int, family: str, *, per_layer: bool = False) -> tuple[sp.Rel, ...]:
    """Return what a target must satisfy to be the kernel of a network with so many layers of a family, in ``TARGETS``.

    The energy of degree >= 3 is never negative; one layer fixes k_3/k_2; odd families have neither; and leaky-ReLU
    networks satisfy linear relations, each of which makes an equation redundant for the DEQs that satisfy it too.

    Args:
        kernel: name of a ``Kernel``.
        layers: number of hidden layers.
        family: of the layers.
        per_layer: whether each weight matrix has a learning rate of its own (NTKs).

    Example:
        >>> necessary_conditions("ck", 1, "hermite")
        (k_0 - k_1*tau_0**2 - k_3*tau_0**4 >= 0, Eq(k_3, 2*k_2))
    """
    one = one_layer(kernel)
    conditions: list[sp.Rel] = [sp.Ge(one.leftover, 0, evaluate=False)]
    if family in ("hard_tanh", "erf", "sin"):
        conditions += [sp.Eq(K2, 0, evaluate=False), sp.Eq(K3, 0, evaluate=False)]
        if odd_ratio_limit(kernel, family).is_finite:
            conditions.append(sp.Lt(K0, odd_ratio_limit(kernel, family) * tau_0**2 * K1, evaluate=False))
    elif layers == 1 and per_layer:
        conditions.append(sp.Ge(K3, 2 * K2, evaluate=False))
    elif layers == 1:
        conditions.append(sp.Eq(K3, one.ratio * K2, evaluate=False))
    if family == "leaky_relu" and not per_layer:
        for relation in leaky_relations(kernel, layers):
            unit = next(c for c in reversed(relation) if c != 0)
            total = sum((sp.cancel(c / unit) * k for c, k in zip(relation, TARGETS, strict=True)), sp.S.Zero)
            conditions.append(sp.Eq(sp.expand(total), 0, evaluate=False))
    return tuple(conditions)
