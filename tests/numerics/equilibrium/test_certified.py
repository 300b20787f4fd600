"""Certified solutions: the balls hold the plain path's values at twice the digits, and planted errors are refused."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import flint
import mpmath
import pytest
import sympy as sp
from flint import arb

from numerics.arithmetic import exact_bounds
from numerics.equilibrium import (
    CertifiedCoefficients,
    Certifier,
    ImplicitCoefficients,
    certify,
    find_equilibria,
    solve,
    solve_at,
    solve_naively,
    solve_uncertified,
)
from numerics.moments import MomentAccuracyError, UncertifiedError
from theory.activations import Activation, registered, registered_names
from theory.equations import DEQ, EquilibriumError
from theory.kernels import COEFFICIENTS, NTK_COEFFICIENTS
from theory.latex import COEFFICIENT_SYMBOLS
from theory.moments import DivergentMomentError, GaussianMoments

R = sp.Rational
NTK = NTK_COEFFICIENTS
DEFAULT = (R(1, 5), R(4, 5), R(1))


def activation(text: str) -> Activation:
    return (registered(text) if text in registered_names() else Activation.from_text(text)).with_parameters()


PAIRS = [
    *((name, DEFAULT) for name in ("relu", "leaky_relu", "abs", "hard_tanh", "relu6", "hard_swish", "soft_shrink")),
    *(
        (name, DEFAULT)
        for name in ("elu", "celu", "selu", "gelu", "erf", "sin", "cos", "snake", "gaussian", "x_gaussian")
    ),
    *((name, DEFAULT) for name in ("exp_bump", "quadratic", "cubic", "sign", "step", "identity", "squared_relu")),
    *((name, DEFAULT) for name in ("tanh", "sigmoid", "swish", "softplus", "mish", "softsign", "atan", "tanh_shrink")),
    ("gelu_tanh", DEFAULT),
    ("tanh", (R(9, 10), R(1, 10), R(1))),
    ("tanh", (R(3), R(1, 2), R(2))),
    ("relu", (R(5, 4), R(1, 7), R(3))),
    ("elu", (R(1, 2), R(1, 3), R(1, 10))),
    ("gelu", (R(7, 10), R(3, 10), sp.sqrt(2))),
    ("swish", (R(3, 4), R(1, 4), R(1, 3))),
    ("cos", (R(2), R(1, 10), R(1))),
    ("erf", (sp.pi / 4, R(1, 5), R(1))),
    ("Max(tanh(x), -1/2) + sin(x)/3", DEFAULT),
    ("Piecewise((tanh(x), x < 1), (2 - x, True))", DEFAULT),
    ("log(1 + x**2)", DEFAULT),
    ("exp(tanh(x))", DEFAULT),
    ("tanh(3*x)", (R(1, 20), R(1, 2), R(1))),
    ("x/(1 + x**2)", (R(1, 2), R(1, 2), R(1))),
]
DIGITS = 10
#: Closed-form cases that are held against quadrature all the same.
ALSO_NAIVE = {"relu", "elu", "sin", "squared_relu"}


def reference(phi: Activation, parameters: tuple[sp.Expr, ...], start: float) -> dict[str, mpmath.mpf]:
    """Every coefficient to 2 DIGITS digits: from closed forms in mpmath, or from a plain script's quadrature."""
    a, b, scale = parameters
    moments = GaussianMoments(phi)
    if moments.is_closed(moments.second_moment) and phi.name not in ALSO_NAIVE:
        return dict(solve(DEQ(phi, a, b, scale), 2 * DIGITS).values)
    found = solve_naively(DEQ(phi, a, b, scale), 2 * DIGITS, start)
    return {key: found[key] for key in COEFFICIENTS}


def fraction(value: mpmath.mpf) -> Fraction:
    sign, mantissa, exponent, _ = value._mpf_
    size = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -size if sign else size


def test_there_are_enough_pairs() -> None:
    assert len({(text, parameters) for text, parameters in PAIRS}) >= 40


@pytest.mark.parametrize(("text", "parameters"), PAIRS, ids=lambda value: str(value)[:30])
def test_balls_contain_the_plain_values_at_twice_the_digits(text: str, parameters: tuple[sp.Expr, ...]) -> None:
    phi = activation(text)
    a, b, scale = parameters
    certified = certify(DEQ(phi, a, b, scale), DIGITS)
    plain = reference(phi, parameters, float(certified["tau"]))
    absent = {key for key in plain if key in NTK} if certified.ntk_missing else set()
    assert set(certified.balls) == set(plain) - absent
    assert all(certified.certified.values())
    for key, ball in certified.balls.items():
        low, high = exact_bounds(ball)
        value = fraction(plain[key])
        # The plain value is right to about 20 digits, far fewer than the ball may have.
        slack = abs(value) * Fraction(1, 10 ** (2 * DIGITS - 1)) + Fraction(1, 10 ** (2 * DIGITS))
        assert low - slack <= value <= high + slack, key
        assert high - low <= max(abs(value), Fraction(1, 10**DIGITS)) * Fraction(1, 10 ** (DIGITS + 2)), key
        if abs(value) > Fraction(1, 10**DIGITS):
            text_of = certified.decimal(key)
            assert text_of is not None
            assert certified.contains(key, text_of)
            for step in (-1, 1):
                assert not certified.contains(key, off_by(text_of, step)), key


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu", "sign"])
def test_margins_follow_from_the_coefficients(name: str) -> None:
    """alpha_4 = sigma_b^2/(1 - m_tau), alpha_1 = m_ck lambda_1/sigma_a^2 and kappa_*^2 = gamma_*^2/(1 - m_ntk)."""
    found = certify(DEQ(activation(name), R(2, 5), R(3, 7), R(5, 4)), 40)
    with flint.ctx.workprec(200):
        assert (found["alpha4"] * (1 - found.margins["tau"])).overlaps(arb(3) / 7)
        assert (found["alpha1"] * arb(2) / 5).overlaps(found.margins["ck"] * found["lambda1"])
        assert name == "sign" or (found["kappa2"] * (1 - found.margins["ntk"])).overlaps(found["gamma2"])
    assert ("ntk" in found.margins) == (name != "sign")
    assert all(margin.rad() < arb(10) ** -40 for margin in found.margins.values())


def off_by(text: str, units: int) -> str:
    """The decimal with its last digit changed by some units."""
    mantissa, mark, exponent = text.partition("e")
    places = len(mantissa.partition(".")[2])
    whole = int(mantissa.replace(".", "")) + units
    sign, digits = ("-" if whole < 0 else ""), str(abs(whole)).rjust(places + 1, "0")
    point = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return sign + point + mark + exponent


def test_relu_is_enclosed_in_closed_form() -> None:
    found = certify(DEQ(registered("relu"), R(3, 10), R(7, 10), R(5, 4)), 80)
    with flint.ctx.workprec(400):
        share = arb(1) / 2 - 1 / (2 * arb.pi())
        square = arb(7) / 10 * (arb(5) / 4) ** 2 / (1 - arb(3) / 10 * share)
        assert found["tau"].overlaps(square.sqrt())
        assert found["gamma2"].overlaps(square * share)
        assert found["alpha1"].overlaps(arb(7) / 40 / (1 - arb(3) / 40))
        assert found.margins["tau"].overlaps(arb(3) / 10 * share)
        assert found["tau"].rad() < arb(10) ** -83


@pytest.mark.parametrize("digits", [1, 50, 300])
def test_digits_do_not_depend_on_how_many_are_asked_for(digits: int) -> None:
    few, many = (certify(DEQ(registered("tanh"), *DEFAULT), count) for count in (digits, digits + 37))
    for key in few.balls:
        assert few[key].overlaps(many[key])
        assert few.contains(key, str(few.decimal(key)))
        assert many.contains(key, str(few.decimal(key)))
    assert len(str(few.decimal("alpha1")).replace("0.", "")) == digits


def test_what_vanishes_by_symmetry_is_exactly_zero() -> None:
    for text in ("tanh", "sigmoid", "tanh(x) + atan(x) + 2", "hard_tanh"):
        found = certify(DEQ(activation(text), *DEFAULT), 20)
        for key in ("alpha2", "alpha3", "lambda2", "beta3"):
            assert found[key].is_zero(), (text, key)
            assert found.certified[key]


@pytest.mark.parametrize("name", ["relu", "abs"])
def test_a_hair_below_the_loss_of_stability(name: str) -> None:
    share = R(1, 2) - 1 / (2 * sp.pi) if name == "relu" else 1 - 2 / sp.pi
    close = (1 - R(1, 10**12)) / share
    found = certify(DEQ(registered(name), close, R(1, 2), R(1)), 30)
    with flint.ctx.workprec(200):
        # tau^2 (1 - sigma_a^2 share) = sigma_b^2 tau_0^2 exactly.
        assert (found["tau"] ** 2 * arb(10) ** -12).overlaps(arb(1) / 2)
        assert (1 - found.margins["tau"]).overlaps(arb(10) ** -12)
    assert "not below 1" in found.ntk_missing
    with pytest.raises(EquilibriumError, match="no stable equilibrium"):
        certify(DEQ(registered(name), (1 + R(1, 10**12)) / share, R(1, 2), R(1)), 30)


@pytest.mark.parametrize("name", ["tanh", "swish", "gelu", "elu", "cos", "softplus"])
@pytest.mark.parametrize("power", [-8, 8])
def test_tiny_and_huge_inputs(name: str, power: int) -> None:
    found = certify(DEQ(registered(name).with_parameters(), R(1, 5), R(4, 5), R(10) ** power), 25)
    assert all(found.certified.values())
    assert set(found.balls) == set(COEFFICIENTS)
    with flint.ctx.workprec(200):
        # phi(x) ~ phi'(0) x for small x; for large x the bounded part is lost beside the linear one.
        slope = {"tanh": 1, "elu": 1, "cos": 0}.get(name, arb(1) / 2)
        linear = arb(1) / 2 - 1 / (2 * arb.pi())
        share = slope * slope if power < 0 else {"tanh": arb(0), "cos": arb(0)}.get(name, linear)
        expected = (arb(4) / 5 / (1 - share / 5)).sqrt()
        assert abs(found["tau"] * arb(10) ** -power / expected - 1) < arb(10) ** -7


def test_sharp_kinked_and_nearly_singular_activations() -> None:
    kinks = " + ".join(f"({(-1) ** k})*Max(x - {k}/4, 0)" for k in range(-10, 10))
    for text in ("tanh(100*x)", f"tanh(x) + ({kinks})/3", "1/(1 + 10000*x**2)"):
        found = certify(DEQ(activation(text), *DEFAULT), 12)
        assert all(found.certified.values())
        assert found["tau"].rad() < arb(10) ** -14


def test_parameters_out_of_range_are_refused() -> None:
    for bad in ((R(-1), R(1), R(1)), (R(1, 5), R(0), R(1)), (R(1, 5), R(1), R(0))):
        with pytest.raises(EquilibriumError, match="must be a number"):
            certify(DEQ(registered("tanh"), *bad), 10)
    with pytest.raises(EquilibriumError, match="digits"):
        certify(DEQ(registered("tanh"), *DEFAULT), 0)


def test_what_cannot_be_certified_comes_from_the_plain_path_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from numerics.moments import PieceBounds

    def none(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(PieceBounds, "tail", none)
    found = certify(DEQ(activation("atan(x) + tanh(x)/7"), *DEFAULT), 7)
    assert not any(found.certified.values())
    assert set(found.plain) == set(COEFFICIENTS)
    assert all("no bound" in found.reason[key] for key in found.plain)
    monkeypatch.undo()
    again = certify(DEQ(activation("atan(x)*1 + tanh(x)/7 + 0*x"), *DEFAULT), 7)
    assert all(again.certified.values())
    for key in COEFFICIENTS:
        assert again.contains(key, str(found.decimal(key)))


def test_the_plain_path_solves_for_the_equilibrium_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several stable roots of a steep step: without a certificate each stays itself."""
    phi, parameters = activation("6*Heaviside(x - 2)"), (R(1), R(2, 5), R(1))
    roots = [float(root.tau) for root in find_equilibria(DEQ(phi, *parameters)).equilibria if root.stable]
    assert len(roots) == 2
    proved = [solve_at(DEQ(phi, *parameters), 10, start) for start in roots]

    def fail(*_: object) -> None:
        raise UncertifiedError("no ball today")

    monkeypatch.setattr(Certifier, "run", fail)
    for start, right in zip(roots, proved, strict=True):
        plain = solve_at(DEQ(phi, *parameters), 10, start)
        assert not any(plain.certified.values())
        assert set(plain.reason.values()) == {"no ball today"}
        for key in ("tau", "alpha1", "gamma2"):
            assert right.contains(key, str(plain.decimal(key)))
    with pytest.raises(EquilibriumError, match="left the equilibrium that is meant"):
        solve(DEQ(phi, *parameters), 10, start=roots[1] * 0.93)


@pytest.mark.parametrize("key", ["tau", "alpha1", "kappa2"])
def test_numbers_without_proof_are_checked_against_balls(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """The plain path is made to miss something: its ninth digit is wrong."""
    from numerics.equilibrium import certified

    right = solve_uncertified(DEQ("gelu", 0.2, 0.8, 1), 12)
    assert right.decimal(key) == certify(DEQ("gelu", 0.2, 0.8, 1), 12).decimal(key)

    def wrong(*arguments: Any, **named: Any) -> ImplicitCoefficients:
        found = solve(*arguments, **named)
        return replace(found, values=dict(found.values) | {key: found.values[key] * (1 + mpmath.mpf(10) ** -9)})

    monkeypatch.setattr(certified, "solve", wrong)
    with pytest.raises(MomentAccuracyError, match=f"without proof {key} = .* which is wrong"):
        solve_uncertified(DEQ("gelu", 0.2, 0.8, 1), 12)


def test_what_is_proved_survives_an_error_of_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """|x|^(7/10): E[phi'^2] has no enclosure; a plain path that fails takes nothing away from the CK's balls."""
    from numerics.equilibrium import certified

    expected = certify(DEQ(activation("Abs(x)**(7/10)"), *DEFAULT), 12)
    assert any(expected.certified.values())
    assert expected.plain
    for error in (EquilibriumError("no root"), MomentAccuracyError("no digits"), DivergentMomentError("no moment")):

        def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(certified, "solve", fail)
        found = certify(DEQ(activation("Abs(x)**(7/10)"), *DEFAULT), 12)
        assert set(found.balls) == set(expected.balls)
        assert all(found.certified.values())
        assert str(error) in found.ntk_missing


def test_a_slope_that_no_precision_encloses_leaves_the_rest_certified() -> None:
    """|x|^(3/5): E[phi'^2] is finite, but not by evaluation next to 0.  E|xi|^q is known by the gamma function."""
    found = certify(DEQ(activation("Abs(x)**(3/5)"), *DEFAULT), 12)
    assert {key for key, proved in found.certified.items() if not proved} == NTK
    assert all("no finite enclosure" in found.reason[key] for key in NTK)
    with mpmath.workdps(30):

        def absolute(power: mpmath.mpf) -> mpmath.mpf:
            return 2 ** (power / 2) * mpmath.gamma((power + 1) / 2) / mpmath.sqrt(mpmath.pi)

        q = mpmath.mpf(3) / 5
        share = absolute(2 * q) - absolute(q) ** 2
        square = mpmath.findroot(lambda v: v - share * v**q / 5 - mpmath.mpf(4) / 5, 0.83)
        assert found.contains("gamma2", mpmath.nstr(share * square**q, 12))
        energy = q**2 * square ** (q - 1) * absolute(2 * q - 2)
        expected = share * square**q / (1 - energy / 5)
        assert abs(mpmath.mpf(str(found.decimal("kappa2"))) - expected) < mpmath.mpf(10) ** -11


def test_results_pickle_and_print() -> None:
    found = certify(DEQ(registered("cubic").with_parameters(), *DEFAULT), 20)
    # The closed forms' terms are remembered in the activation, and do not pickle.
    assert found.deq.activation.terms is not None
    again = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert isinstance(again, CertifiedCoefficients)
    assert again.deq.activation == found.deq.activation
    assert "terms" in vars(found.deq.activation)
    assert set(vars(again.deq.activation)) == {field.name for field in fields(Activation)}
    assert again.deq.activation.terms is not None
    for key in COEFFICIENTS:
        assert again.decimal(key) == found.decimal(key)
        assert again[key].contains(found[key])
    latex = found._repr_latex_()
    assert f"{COEFFICIENT_SYMBOLS['alpha1']} &= " in latex
    assert latex.count("&=") == len(COEFFICIENTS)
    assert rf"{COEFFICIENT_SYMBOLS['alpha2']} &= 0 \\" in latex
    assert set(found.radius) == set(COEFFICIENTS)
    with pytest.raises(AttributeError):
        found.digits = 3  # type: ignore[misc]


def test_a_number_that_may_be_zero_shows_no_digits_in_a_notebook() -> None:
    """Odd but for a constant, which is not seen: alpha_2 = 0 is proved to within a radius only."""
    found = certify(DEQ(Activation.from_text("1/(1 + exp(-x)) + atan(x)"), *DEFAULT), 12)
    assert found["alpha2"].contains(0)
    assert not found["alpha2"].is_zero()
    assert rf"{COEFFICIENT_SYMBOLS['alpha2']} &= 0.00000000000 \\" in found._repr_latex_()


@pytest.mark.slow
def test_a_thousand_digits() -> None:
    found = certify(DEQ(registered("tanh"), *DEFAULT), 1000)
    assert all(found.certified.values())
    text = str(found.decimal("tau"))
    assert len(text) == 1002
    assert found.contains("tau", text)
    assert not found.contains("tau", off_by(text, 1))
