"""The layer recursion, against the DEQ's system, direct expansion of a kernel, and the exact kernel of two layers."""

from __future__ import annotations

import sympy as sp

from theory.equations import LayerCoefficients, LayerMoments, deq, input_layer, next_layer, preactivation, zero_state
from theory.symbols import alpha, d1, d2, d22, dd, gamma2, lambda_, sigma_a2, sigma_b2, tau_0, variance

FIELDS = tuple(LayerCoefficients.__dataclass_fields__)


def test_one_plain_layer() -> None:
    layer = next_layer(input_layer())
    assert (layer.a1, layer.a2, layer.a3, layer.a4) == (d1**2, d2**2 / 4, d2**2 / 2, d22 / 2)
    assert layer.tau2 == variance
    assert sp.expand(layer.b1 - 2 * d1**2) == 0
    assert sp.expand(layer.b2 - d2**2 / 4) == 0
    assert sp.expand(layer.b3 - 3 * d2**2 / 2) == 0
    assert sp.expand(layer.kappa2 - variance - tau_0**2 * dd) == 0


def test_two_plain_layers_as_the_theory_sheet_writes_them() -> None:
    first, second = LayerMoments.of_layer(1), LayerMoments.of_layer(2)
    one = next_layer(input_layer(), moments=first)
    two = next_layer(one, moments=second)
    p1, p2, q = first.d1, first.d2, first.d22 / 2
    e1, e2 = second.d1, second.d2
    wanted = {
        "a1": e1**2 * p1**2,
        "a2": (e1**2 * p2**2 + e2**2 * q**2) / 4,
        "a3": (e1**2 * p2**2 + e2**2 * p1**4) / 2,
        "a4": second.d22 / 2 * q,
        "tau2": second.variance,
        "b1": 3 * e1**2 * p1**2,
        "b2": e1**2 * p2**2 / 2 + e2**2 * q**2 / 4,
        "b3": 2 * e1**2 * p2**2 + sp.Rational(5, 2) * e2**2 * p1**4,
        "kappa2": second.variance + second.dd * (first.variance + first.dd * tau_0**2),
    }
    for name, expected in wanted.items():
        assert sp.expand(getattr(two, name) - expected) == 0, name


def _deq_state(kind: str) -> LayerCoefficients:
    """The DEQ's own coefficients as a layer's; the diagonal of G responds by (alpha_4 - sigma_b^2)/sigma_a^2."""
    ck, pre = deq.ck_coefficients(), deq.preactivation_coefficients()
    known = {alpha[k]: ck[f"alpha{k}"] for k in alpha} | {lambda_[k]: pre[f"lambda{k}"] for k in lambda_}
    ntk = deq.ntk_coefficients(kind)
    return LayerCoefficients(
        a1=ck["alpha1"], a2=ck["alpha2"], a3=ck["alpha3"], a4=(ck["alpha4"] - sigma_b2) / sigma_a2, tau2=gamma2,
        b1=ntk.linear.subs(known), b2=ntk.variance.subs(known), b3=ntk.square.subs(known),
        kappa2=ntk.diagonal,
    )  # fmt: skip


def test_the_deq_is_the_fixed_point_of_the_weight_tied_layer() -> None:
    """CK and two of the NTKs: the recursion with sigma_a^2 and sigma_b^2 leaves the DEQ's coefficients as they are."""
    moments = LayerMoments(variance=gamma2)
    tau2 = sigma_a2 * gamma2 + sigma_b2 * tau_0**2
    for kind, trained in (("all", True), ("recurrent", False)):
        state = _deq_state(kind)
        after = next_layer(state, sigma_a2, sigma_b2, moments=moments, input_weights_trained=trained)
        for name in FIELDS:
            difference = (getattr(after, name) - getattr(state, name)).subs(sp.Symbol("tau", positive=True) ** 2, tau2)
            assert sp.simplify(difference) == 0, (kind, name)


def test_the_pre_activations_of_the_weight_tied_layer_are_the_deqs() -> None:
    state = _deq_state("all")
    seen = preactivation(state, sigma_a2, sigma_b2)
    pre = deq.preactivation_coefficients()
    for name, wanted in (("a1", pre["lambda1"]), ("a2", pre["lambda2"]), ("a3", pre["lambda3"])):
        assert sp.simplify(getattr(seen, name) - wanted) == 0, name
    assert sp.simplify(seen.a4 - deq.ck_coefficients()["alpha4"]) == 0


def test_the_first_weight_tied_layer_is_a_plain_layer_on_scaled_data() -> None:
    tied = next_layer(zero_state(), sigma_a2, sigma_b2)
    plain = next_layer(input_layer(), sigma_b2)
    for name in ("a1", "a2", "a3", "a4", "tau2"):
        assert sp.expand(getattr(tied, name) - getattr(plain, name)) == 0, name


def test_against_the_expansion_of_the_kernel() -> None:
    """G(S_ij, delta_i, delta_j) of a cubic layer on a cubic layer, expanded as a function: no recursion of moments."""
    s, x, y, size = sp.symbols("s x y epsilon")
    scale2 = sp.Rational(7, 5)

    def layer(cov: sp.Expr, left: sp.Expr, right: sp.Expr, at: sp.Expr, coefficients: tuple[int, ...]) -> sp.Expr:
        """E[phi(u) phi(v)] for phi = e x + f (x^2 - at) + g (x^3 - 3 at x), by Wick's theorem."""
        e, f, g = map(sp.Integer, coefficients)
        linear_left, linear_right = e + 3 * g * (left - at), e + 3 * g * (right - at)
        return (
            linear_left * linear_right * cov
            + f**2 * ((left - at) * (right - at) + 2 * cov**2)
            + 6 * g**2 * cov**3
        )  # fmt: skip

    first, second = (2, 1, -1), (1, -3, 2)
    inner = layer(s, scale2 + x, scale2 + y, scale2, first)
    diagonal = [inner.subs({s: scale2 + d, x: d, y: d}) for d in (x, y)]
    at1 = diagonal[0].subs(x, 0)
    outer = layer(inner, *diagonal, at1, second)
    series = sp.Poly(outer.subs({s: size * s, x: size * x, y: size * y}), size)
    order1, order2 = sp.expand(series.coeff_monomial(size)), sp.expand(series.coeff_monomial(size**2))

    def moments(c: tuple[int, ...], at: sp.Expr) -> LayerMoments:
        e, f, g = map(sp.Integer, c)
        t = sp.Symbol("t")
        energy = sp.expand(layer(at + t, at + t, at + t, at, c))
        slopes = e**2 + 4 * f**2 * at + 18 * g**2 * at**2
        return LayerMoments(e, 2 * f, 2 * sp.diff(energy, t).subs(t, 0), slopes, energy.subs(t, 0))

    two = next_layer(next_layer(input_layer(), moments=moments(first, scale2)), moments=moments(second, at1))
    assert order1 == sp.expand(two.a1 * s)
    assert order2.coeff(s, 2) == two.a3
    assert order2.coeff(x, 1).coeff(y, 1) == two.a2
    a4 = sp.diff(outer.subs({s: scale2 + x, y: x}), x).subs(x, 0)
    assert sp.expand(a4 - two.a4) == 0
