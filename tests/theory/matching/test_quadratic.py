"""Two layers of quadratic polynomials: their four numbers, and the relation between them."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from theory.equations import LayerMoments, input_layer, next_layer
from theory.matching import TARGETS, quadratic_layers, quadratic_relation
from theory.symbols import tau_0


def _numbers(layers: list[tuple[float, float]]) -> dict[sp.Symbol, float]:
    """k_1, k_2, k_3, k_0 of layers a x + b (x^2 - tau^2) at tau_0 = 1, whose moments are those of polynomials."""
    state = input_layer()
    for a, b in layers:
        square = state.tau2.subs(tau_0, 1)
        moments = LayerMoments(
            d1=sp.Float(a),
            d2=sp.Float(2 * b),
            d22=2 * a**2 + 8 * b**2 * square,
            dd=a**2 + 4 * b**2 * square,
            variance=a**2 * square + 2 * b**2 * square**2,
        )
        state = next_layer(state, moments=moments)
    return dict(zip(TARGETS, (float(value) for value in (state.a1, state.a2, state.a3, state.tau2)), strict=True))


def test_the_numbers_of_two_layers_satisfy_the_relation() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        (a, b), (c, d) = rng.uniform(-1.5, 1.5, (2, 2))
        known = _numbers([(a, b), (c, d)])
        terms = [abs(float(term.subs(known))) for term in sp.Add.make_args(sp.expand(quadratic_relation()))]
        assert abs(float(quadratic_relation().subs(known))) < 1e-10 * max(terms)


def test_others_do_not() -> None:
    for change in (0.9, 1.1):
        for target in TARGETS:
            known = _numbers([(0.7, 0.4), (0.8, -0.3)])
            known[target] *= change
            assert abs(float(quadratic_relation().subs(known))) > 1e-4


def test_one_layer_is_two_of_which_one_is_linear() -> None:
    known = _numbers([(0.6, 0.5)])
    assert float(quadratic_relation().subs(known)) == pytest.approx(0, abs=1e-12)
    u, e, f = (sp.Symbol(name, nonnegative=True) for name in "uef")
    plain = quadratic_layers()
    assert (plain.a2.subs(u, 1), plain.a3.subs(u, 1)) == (f / 2, f)
    assert plain.tau2 == e + f
