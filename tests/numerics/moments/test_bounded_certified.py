"""Certified moments of spellings that overflow, and of bounded functions of growing ones, against plain quadrature.

The oracle integrates the expression as it was typed, by mpmath, whose exponents do not overflow.
"""

from __future__ import annotations

import flint
import mpmath
import pytest
import sympy as sp
from flint import arb

from numerics.equilibrium import certify
from numerics.moments import CertifiedMoments, HighPrecisionMoments
from tests.oracles import expectation
from theory.activations import Activation
from theory.analysis import GrowthError
from theory.equations import DEQ
from theory.grammar import parse_number
from theory.symbols import x

DIGITS = 22
SCALE = sp.Rational(9, 8)

TEXTS = [
    "(exp(2*x)-1)/(exp(2*x)+1)",
    "(exp(x)-exp(-x))/(exp(x)+exp(-x))",
    "log(exp(2*x+1)+exp(-x))",
    "log(cosh(x))",
    "exp(-softplus(x)/2)",
    "-log(sqrt(4*x**2+3)-2*x)",
    "x*((1+exp(x))**2-1)/((1+exp(x))**2+1)",
    "(1+exp(-x)+x*exp(-x))/(1+exp(-x))**2",
    "log(1+exp(x)+exp(2*x))",
    "(2+exp(3*x/4))/(1+exp(x/4))",
    "log(sigmoid(x))+x*exp(-softplus(2*x))",
    "1/(exp(x)+exp(-x)+1)",
    "log(1+exp(x**2))",
    "1/(1+exp(-20*(x-1/3)))",
    "Max(log(1+exp(x)),1)-1/(1+exp(-x))",
    "exp(-exp(-x))",
    "exp(x-exp(x))",
    "exp(-exp(x**2))",
    "exp(-cosh(x))",
    "exp(-(x**2+1)**(3/4))",
    "exp(-x**2*sin(x)**2)",
    "x*tanh(x*Phi(x))",
    "x*Phi(x*sigmoid(x))",
    "sech(softplus(x))",
    "sech(exp(x)-exp(-x))",
    "sin(softplus(x))*exp(-softplus(-x))",
    "1/(1+cos(x)**2)",
    "x/(2+sin(2*x)**2)",
    "Phi(exp(x))",
    "erf(exp(x)-1)",
    "atan(exp(x))",
    "tanh(sinh(x))",
    "tanh(x*exp(x))",
    "sigmoid(x**3-x)",
    "sin(x**3/4)",
    "1/(1+exp(exp(x)))",
    "sech(Abs(x-1)**(3/2))",
    "tanh(Abs(x)**(5/4))",
    "Phi(Abs(-5/2*x-7/3)**(3/2))",
    "Abs(3*x+1)**(3/2)*exp(-x**2/2)",
    "Abs(tanh(x))**(3/2)",
    "cos(Abs(x-1/3)**(7/3))",
    "1/(2+cos(3*x)+sin(x)**2)",
    "log(3+sin(x)+cos(2*x))",
    "log(x**2+1+sqrt((x**2+1)**2+1))",
    "sigmoid(exp(x)-exp(-x))",
    "exp(-Abs(x)**(3/2))",
    "erfc(exp(x))",
    "x/sqrt(1+exp(-2*x))",
    "x*erfc(-softplus(x))/2",
]


@pytest.mark.parametrize("text", TEXTS)
def test_certified_moments_contain_the_quadrature_of_what_was_typed(text: str) -> None:
    phi = Activation.from_text(text)
    with flint.ctx.workprec(110):
        found = CertifiedMoments(phi).values(arb(int(SCALE.p)) / int(SCALE.q))
        assert (0, 0) in found
        typed = sp.diff(phi.expr, x)
        slope = sp.Piecewise(*((piece.expr, x < piece.upper) for piece in phi.slope_pieces))
        for key in ((0, 1), (2, 2), (0, 0)):
            power, order = key
            expr = phi.expr if order else slope if phi.breakpoints else typed
            oracle = expectation(expr, SCALE, power, order or 2, phi.breakpoints, DIGITS)
            with mpmath.workdps(40):
                value = arb(mpmath.nstr(oracle.value, 35))
                tolerance = arb(mpmath.nstr(oracle.error + oracle.magnitude * mpmath.mpf(10) ** -DIGITS, 10))
            assert found[key].overlaps(arb(value.mid(), (tolerance + value.rad()).upper())), key
            assert found[key].rad() <= (1 + abs(found[key])) * arb(10) ** -DIGITS, key


@pytest.mark.parametrize(
    ("text", "parameters", "right"),
    [
        (
            "Phi(Abs(-5/2*x - 7/3)**(3/2))",
            ("1", "1", "1"),
            {
                "tau": "1.01086972425347242",
                "gamma2": "0.0218575994122913638",
                "alpha1": "0.00499849680630543226",
                "alpha2": "5.72565700947370397e-5",
            },
        ),
        ("exp(-exp(-x))", ("1/5", "4/5", "1"), {"tau": ".901388807052872", "gamma2": ".0625089074010013"}),
        ("log(x+sqrt(x**2+1))", ("1/5", "4/5", "1"), {"tau": ".958659999534658"}),
        ("-log(1+exp(-x))", ("1/5", "4/5", "1"), {"tau": ".919509164339852"}),
        ("x*tanh(x*Phi(x))", ("1/5", "4/5", "1"), {"tau": ".91677279828923734"}),
        ("log(1+exp(x))", ("1/5", "4/5", "60"), {"tau": "55.5930"}),
        ("log(1+exp(x))", ("1/5", "4/5", "100"), {"tau": "92.6560"}),
    ],
)
def test_coefficients_from_plain_quadrature(text: str, parameters: tuple[str, ...], right: dict[str, str]) -> None:
    """Right values by plain mpmath at 70 digits, its intervals cut at the kinks."""
    found = certify(DEQ(Activation.from_text(text), *(parse_number(value) for value in parameters)), 20)
    assert all(found.certified.values())
    assert set(found.margins) == {"tau", "ck", "ntk"}
    for key, value in right.items():
        assert found.contains(key, value), key


def test_spellings_of_one_function_agree() -> None:
    parameters = [parse_number(value) for value in ("1/5", "4/5", "100")]
    typed, named = (
        certify(DEQ(Activation.from_text(text), *parameters), 15) for text in ("log(1+exp(x))", "softplus(x)")
    )
    for key, ball in named.balls.items():
        assert typed.balls[key].overlaps(ball)
        assert typed.decimal(key) == named.decimal(key)


def test_moments_next_to_a_kink_stay_real() -> None:
    """The argument of a root is rounded to below 0 at nodes that end up on the wrong side of the kink."""
    phi = Activation.from_text("Phi(Abs(-5/2*x - 7/3)**(3/2))")
    values = HighPrecisionMoments(phi).at(mpmath.mpf(9) / 8, 15)
    assert all(isinstance(value, mpmath.ctx_mp_python._mpf) for value in (values.mean, values.variance, values.d2))
    oracle = expectation(phi.expr, SCALE, 0, 1, phi.breakpoints, 20)
    assert abs(values.mean - oracle.value) < mpmath.mpf(10) ** -14


@pytest.mark.parametrize("text", ["cosh(x*sin(x))", "exp(x**2*sin(x)+x**3)", "exp(exp(x))"])
def test_what_grows_too_fast_is_still_refused(text: str) -> None:
    with pytest.raises(GrowthError):
        Activation.from_text(text)
