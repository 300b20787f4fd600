"""The named activations.  Each is a text in the grammar of ``theory.grammar.parsing``, so nothing here is special."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache

import sympy as sp

from theory.activations.activation import Activation, Parameter
from theory.analysis import DomainError
from theory.grammar import parse_activation, parse_number

__all__ = [
    "get",
    "names",
    "resolve",
]

#: name -> (expression in x and the parameters, parameters as name: (assumption, default, meaning), description)
_Entry = tuple[str, dict[str, tuple[str, str, str]], str]
_SLOPE = {"a": ("real", "1/100", "slope for x < 0")}
_SELU_SCALE = "1.0507009873554804934193349852946"
_SELU_ALPHA = "1.6732632423543772848170429916717"
_ENTRIES: dict[str, _Entry] = {
    "identity": ("x", {}, "linear network"),
    "relu": ("Max(x, 0)", {}, "rectified linear unit"),
    "leaky_relu": ("Piecewise((x, x > 0), (a*x, True))", _SLOPE, "ReLU with a small negative slope"),
    "prelu": (
        "Piecewise((x, x > 0), (a*x, True))",
        {"a": ("real", "1/4", "learned slope for x < 0")},
        "parametric ReLU at its usual initial slope",
    ),
    "threshold_linear": (
        "Max(x - t, 0)",
        {"t": ("real", "1/2", "threshold")},
        "ReLU with a threshold",
    ),
    "rrelu": (
        "Piecewise((x, x > 0), (a*x, True))",
        {"a": ("real", "11/48", "slope for x < 0, the mean of the usual range 1/8 .. 1/3")},
        "randomised leaky ReLU as it is used after training",
    ),
    "threshold": (
        "Piecewise((x, x > t), (v, True))",
        {"t": ("real", "1/2", "threshold"), "v": ("real", "0", "value below it")},
        "identity above a threshold, constant below (jumps unless v = t)",
    ),
    "sparse_plus": (
        "Piecewise((0, x < -1), ((x + 1)**2/4, x < 1), (x, True))",
        {},
        "piecewise quadratic softplus",
    ),
    "squared_relu": ("Max(x, 0)**2", {}, "square of the ReLU"),
    "relu6": ("clip(x, 0, 6)", {}, "ReLU clipped at 6"),
    "abs": ("Abs(x)", {}, "absolute value"),
    "hard_tanh": (
        "a*clip(x, -c, c)",
        {"a": ("real", "1", "slope"), "c": ("positive", "1", "half width of the linear part")},
        "identity clipped to an interval",
    ),
    "hard_sigmoid": ("clip(x/6 + 1/2, 0, 1)", {}, "piecewise linear sigmoid"),
    "sparse_sigmoid": ("clip(x/2 + 1/2, 0, 1)", {}, "piecewise linear sigmoid, derivative of sparse_plus"),
    "hard_swish": ("x*clip(x/6 + 1/2, 0, 1)", {}, "x times the hard sigmoid"),
    "hard_shrink": (
        "Piecewise((x, Abs(x) > t), (0, True))",
        {"t": ("positive", "1/2", "threshold")},
        "identity outside a dead zone (jumps)",
    ),
    "soft_shrink": (
        "Max(x - t, 0) - Max(-x - t, 0)",
        {"t": ("positive", "1/2", "threshold")},
        "soft thresholding",
    ),
    "elu": (
        "Piecewise((x, x > 0), (a*(exp(x) - 1), True))",
        {"a": ("real", "1", "scale for x < 0")},
        "exponential linear unit",
    ),
    "celu": (
        "Piecewise((x, x > 0), (a*(exp(x/a) - 1), True))",
        {"a": ("positive", "2", "scale for x < 0")},
        "continuously differentiable ELU",
    ),
    "selu": (
        f"{_SELU_SCALE}*Piecewise((x, x > 0), ({_SELU_ALPHA}*(exp(x) - 1), True))",
        {},
        "self-normalising ELU",
    ),
    "gelu": ("x*Phi(x)", {}, "Gaussian error linear unit, exact"),
    "gelu_tanh": ("x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))/2", {}, "GELU by its usual tanh approximation"),
    "quick_gelu": ("x*sigmoid(1.702*x)", {}, "GELU by its logistic approximation"),
    "erf": ("erf(x)", {}, "error function"),
    "sin": ("sin(x)", {}, "sine"),
    "cos": ("cos(x)", {}, "cosine"),
    "snake": ("x + sin(a*x)**2/a", {"a": ("positive", "1", "frequency")}, "periodic plus linear"),
    "gaussian": ("exp(-x**2/2)", {}, "Gaussian bump"),
    "x_gaussian": ("x*exp(-x**2/2)", {}, "derivative of a Gaussian bump"),
    "exp_bump": (
        "exp(c*x**2)",
        {"c": ("positive", "1/20", "coefficient of x^2")},
        "growing quadratic exponential: moments exist for small tau only",
    ),
    "quadratic": ("x + a*x**2", {"a": ("real", "3/10", "quadratic coefficient")}, "linear plus quadratic"),
    "cubic": ("x + a*x**3", {"a": ("real", "1/10", "cubic coefficient")}, "linear plus cubic"),
    "sign": ("sign(x)", {}, "sign (jumps)"),
    "step": ("Heaviside(x)", {}, "Heaviside step (jumps)"),
    "tanh": ("tanh(x)", {}, "hyperbolic tangent"),
    "sigmoid": ("sigmoid(x)", {}, "logistic function"),
    "swish": ("x*sigmoid(b*x)", {"b": ("positive", "1", "sharpness")}, "x times the logistic function (SiLU at b = 1)"),
    "log_sigmoid": ("-softplus(-x)", {}, "logarithm of the logistic function"),
    "softplus": ("softplus(x)", {}, "log(1 + exp(x))"),
    "squareplus": (
        "(x + sqrt(x**2 + b))/2",
        {"b": ("positive", "4", "smoothing")},
        "algebraic softplus",
    ),
    "mish": ("x*tanh(softplus(x))", {}, "x times tanh(softplus(x))"),
    "softsign": ("x/(1 + Abs(x))", {}, "x/(1 + |x|)"),
    "atan": ("atan(x)", {}, "arctangent"),
    "tanh_shrink": ("x - tanh(x)", {}, "identity minus tanh"),
}
_ALIASES = {
    "silu": "swish",
    "hard_silu": "hard_swish",
    "linear": "identity",
    "logistic": "sigmoid",
    "heaviside": "step",
}
#: Spelled without underscores, as in the names of PyTorch's classes.
_PLAIN_NAMES = {name.replace("_", ""): name for name in (*_ENTRIES, *_ALIASES)}


def _key(name: str) -> str | None:
    """The registered name that a name means: upper case and underscores do not matter."""
    plain = _PLAIN_NAMES.get(name.strip().replace("_", "").lower())
    return None if plain is None else _ALIASES.get(plain, plain)


def names() -> tuple[str, ...]:
    """Return the registered names, in the order of the registry."""
    return tuple(_ENTRIES)


@cache
def get(name: str) -> Activation:
    """Return a registered activation, its parameters symbolic.

    Raises:
        DomainError: no such name.
    """
    key = _key(name)
    if key is None:
        close = get_close_matches(name, [*_ENTRIES, *_ALIASES], n=3)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise DomainError(f"no activation is named {name!r}{hint}; the names are: {', '.join(_ENTRIES)}")
    text, raw, description = _ENTRIES[key]
    symbols = {label: sp.Symbol(label, **{"real": True, fact: True}) for label, (fact, _, _) in raw.items()}
    parameters = tuple(
        Parameter(symbols[label], parse_number(default), meaning) for label, (_, default, meaning) in raw.items()
    )
    return Activation(key, parse_activation(text, symbols), parameters, description)


def resolve(text: str) -> Activation:
    """Return the registered activation of that name, else the activation that the text is an expression of.

    Raises:
        ActivationSyntaxError: neither a name nor an expression in the grammar.
        DomainError, GrowthError: an expression that is not an activation (see ``Activation.from_text``).
    """
    name = text.strip()
    if name.isidentifier() and name != "x":
        return get(name)
    return Activation.from_text(name)
