"""The linear network of a finite width: its mean and its limit of infinite width are the DEQ's."""

from __future__ import annotations

import sympy as sp

from theory.claims import BULK_PARTS, width_theories
from theory.equations import ck_coefficients, input_layer, linear_network, next_layer, tau_equation
from theory.symbols import sigma_a2, sigma_b2, tau, tau_0, variance


def settled(expression: sp.Expr) -> sp.Expr:
    """In numbers of one tau, by the equation of tau."""
    return sp.simplify(expression.subs(tau**2, tau_equation().rhs))


def test_the_mean_eigenvalue_is_the_diagonal() -> None:
    """tr (H^T H/M)/n tends to (a tau_0^2 + c) tr (M M^T)^{-1}/M = (a tau_0^2 + c)/(1 - s^2), and to gamma_*^2."""
    network = linear_network()
    mean = (network.linear * tau_0**2 + network.identity) / (1 - network.feedback2)
    assert settled(mean - variance) == 0


def test_at_infinite_width_the_equivalent_is_that_of_the_deq() -> None:
    """(I - s A/sqrt M)^{-1} multiplies the covariance by 1/(1 - s^2)."""
    network, ck = linear_network(), ck_coefficients()
    gain = 1 / (1 - network.feedback2)
    assert settled(gain * network.linear - ck["alpha1"]) == 0
    assert settled(gain * network.identity - (variance - tau_0**2 * ck["alpha1"])) == 0
    assert settled(gain * network.variance - ck["alpha2"]) == 0
    assert settled(gain * network.square - ck["alpha3"]) == 0


def test_without_recurrent_weights_it_is_an_explicit_layer() -> None:
    """The recursion of explicit layers has the same two numbers, on the input layer's kernel S."""
    network, layer = linear_network(), next_layer(input_layer())
    untied = {sigma_a2: 0, sigma_b2: 1, tau: tau_0}
    assert network.linear.subs(untied) == layer.a1
    assert network.identity.subs(untied) == layer.tau2 - tau_0**2 * layer.a1
    assert network.square.subs(untied) == layer.a3
    assert network.variance.subs(untied) == layer.a2
    assert network.feedback2.subs(untied) == 0


def test_every_wrong_linear_network_is_another() -> None:
    theories = dict(width_theories())
    true = theories.pop("true").network
    seen = set()
    for name, theory in theories.items():
        numbers = tuple(sp.expand(getattr(theory.network, part)) for part in BULK_PARTS)
        assert numbers != tuple(sp.expand(getattr(true, part)) for part in BULK_PARTS), name
        assert numbers not in seen, name
        seen.add(numbers)
    assert len(seen) == 79
