"""Hypothesis strategies for the texts of activations: what a person might type, and what they should not have."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["PARAMETERS", "activation_texts", "family_texts", "parametric_texts"]

#: Parameters that ``parametric_texts`` may use, with the values to try (exact, as text).
PARAMETERS = {"a": ("-2/3", "1/4", "3/2"), "b": ("1/3", "1", "7/4")}

_numbers = st.sampled_from(["1", "2", "3", "1/2", "1/3", "3/4", "0.3", "5/2", "sqrt(2)", "pi/4"])
_thresholds = st.sampled_from(["0", "1", "-1", "1/2", "-3/2", "2", "-1/3", "sqrt(2)"])


@st.composite
def _lines(draw: st.DrawFn) -> str:
    """A non-constant affine function of x."""
    slope = draw(st.sampled_from(["x", "x", "x", "-x", "2*x", "x/2", "-x/3", "3*x/2"]))
    shift = draw(st.sampled_from(["", "", "", " + 1", " - 1/2", " + 2/3"]))
    return slope + shift


_FAMILY = [
    "{0}",
    "x**2",
    "({0})**3",
    "x**4/10",
    "exp({0})",
    "exp(-x**2/2)",
    "exp(-x**2 + x/2)",
    "exp(-({0})**2/3)",
    "sin({0})",
    "cos({0})",
    "erf({0})",
    "erfc({0})",
    "Phi({0})",
    "sinh({0})",
    "cosh(x/2)",
]
_KINKED = [
    "Abs({0})",
    "Max({0}, {1})",
    "Min({0}, {1})",
    "relu({0})",
    "clip({0}, -1, 1)",
    "sign({0})",
    "Heaviside({0})",
    "Max({0}, x/3, -1)",
    "Abs(x**2 - 1)",
    "Max(x**2, {0})",
    "Abs(Abs({0}) - 1)",
    "Max(exp(x) - 1, 0)",
    "Abs({0})**3",
]
_OUTSIDE = [
    "tanh({0})",
    "atan({0})",
    "sigmoid({0})",
    "softplus({0})",
    "x*sigmoid({0})",
    "x/(1 + Abs(x))",
    "sqrt(1 + x**2)",
    "log(1 + x**2)",
    "sech({0})",
    "exp(tanh(x))",
    "1/(1 + x**2)",
    "sqrt(Abs({0}))",
    "Abs(x)**(3/2)",
    "sin(x**2)",
    "x*tanh(softplus(x))",
]


@st.composite
def _leaves(draw: st.DrawFn, shapes: tuple[str, ...]) -> str:
    return draw(st.sampled_from(shapes)).format(draw(_lines()), draw(_thresholds))


def _grow(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(children, children)
    return st.one_of(
        pairs.map(lambda p: f"{p[0]} + {p[1]}"),
        pairs.map(lambda p: f"({p[0]}) - ({p[1]})"),
        pairs.map(lambda p: f"({p[0]})*({p[1]})"),
        st.tuples(_numbers, children).map(lambda p: f"{p[0]}*({p[1]})"),
        children.map(lambda text: f"({text})**2"),
        st.tuples(children, _thresholds).map(lambda p: f"Max({p[0]}, {p[1]})"),
        st.tuples(children, children, _thresholds).map(lambda p: f"Piecewise(({p[0]}, x < {p[2]}), ({p[1]}, True))"),
        st.tuples(children, children, children, _thresholds).map(
            lambda p: f"Piecewise(({p[0]}, x < -2), ({p[1]}, x <= {p[3]}), ({p[2]}, True))"
        ),
    )


#: Activations whose moments should have closed forms unless two or more error functions meet.
family_texts = st.recursive(_leaves(tuple(_FAMILY + _KINKED)), _grow, max_leaves=4)

#: Anything in the grammar, in and out of the family.
activation_texts = st.recursive(_leaves(tuple(_FAMILY + _KINKED + _OUTSIDE)), _grow, max_leaves=4)

_PARAMETRIC = [
    "Piecewise((x, x > 0), (a*x, True))",
    "Piecewise((x, x > a), (0, True))",
    "a*clip(x, -b, b)",
    "Max(x - a, 0)",
    "Abs(x) + a*x",
    "Abs(x - a)",
    "exp(-b*x**2)",
    "exp(-b*x**2 + a*x)",
    "x + a*x**2",
    "(x - a)**2",
    "sin(b*x + a)",
    "x*cos(a*x)",
    "erf(b*x)",
    "erf(x + a)",
    "x*Phi(b*x)",
    "Piecewise((x, x > 0), (b*(exp(x/b) - 1), True))",
    "Piecewise((b, x > b), (-b, x < -b), (x, True))",
    "Heaviside(x - a)",
    "b*sign(x) + a",
    "tanh(b*x)",
    "a*sigmoid(x) + x",
    "softplus(b*x)/b",
    "exp(a*x)",
    "Max(x, a*x, -b)",
    "exp(x/4)*Max(x, a)",
]


def _combine(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(children, children)
    return st.one_of(
        pairs.map(lambda p: f"{p[0]} + {p[1]}"),
        pairs.map(lambda p: f"({p[0]})*({p[1]})"),
        children.map(lambda text: f"a*({text}) + b"),
        children.map(lambda text: f"({text})**2"),
    )


#: Activations with the symbolic parameters a (real) and b (positive).
parametric_texts = st.recursive(st.sampled_from(_PARAMETRIC), _combine, max_leaves=2)
