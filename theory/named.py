"""What has a name: activations as data, in the grammar of ``theory.grammar``; families of layers; variants; outcomes.

Nothing here needs SymPy.  ``theory.activations.registry`` makes activations of these texts, and
``theory.grammar.parsing`` reads a name that is called, such as ``leaky_relu(2*x, 0.2)``, by its text.  Parameters carry
the short names that formulas use, and beside them those of the libraries.  Sources of names and defaults: the
documentation of torch.nn and of jax.nn.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "FAMILY_NAMES",
    "MODULES",
    "NAMED",
    "NOT_READ",
    "RELEASED_VARIANTS",
    "MatchStatus",
    "Named",
    "NamedParameter",
    "RateChoice",
    "key_of",
    "without_module",
]


#: Families of the layers of explicit networks, which ``theory.matching.named_family`` makes.
FAMILY_NAMES = ("leaky_relu", "hard_tanh", "rational", "hermite", "erf", "sin")
#: What released codes compute where it differs from the theory (``theory.claims.released_variants``).
RELEASED_VARIANTS = ("extra-diagonal", "centred-T", "elementwise-T")


@dataclass(frozen=True)
class NamedParameter:
    """A parameter of a named activation, as texts.

    Attributes:
        name: the name that formulas use.
        fact: what is assumed of it beside being real: "real" (nothing), "positive" or "nonzero".
        default: its value when none is given.
        meaning: one phrase for people.
        aliases: what libraries call it.
    """

    name: str
    fact: str
    default: str
    meaning: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Named:
    """A named activation.

    Attributes:
        text: the expression in x and the parameters.
        description: one phrase for people.
        parameters: in the order in which a call takes them after its argument.
        aliases: other names; upper case and underscores never matter.
        composed: the same function without conditions on x, for arguments that are not linear in x; "" where ``text``
            has none, or where there is no such form.
        call: text and parameters of a call where libraries have others than the registry.
    """

    text: str
    description: str
    parameters: tuple[NamedParameter, ...] = ()
    aliases: tuple[str, ...] = ()
    composed: str = ""
    call: tuple[str, tuple[NamedParameter, ...]] | None = field(default=None)


def _slope(default: str, meaning: str = "slope for x < 0", *aliases: str) -> tuple[NamedParameter, ...]:
    return (NamedParameter("a", "real", default, meaning, aliases),)


def _threshold(*aliases: str) -> NamedParameter:
    return NamedParameter("t", "positive", "1/2", "threshold", aliases)


_LEAKY, _LEAKY_COMPOSED = "Piecewise((x, x > 0), (a*x, True))", "Max(x, 0) + a*Min(x, 0)"
_SELU_SCALE = "1.0507009873554804934193349852946"
_SELU_ALPHA = "1.6732632423543772848170429916717"
#: The registry.  A new activation is an entry here.
NAMED: dict[str, Named] = {
    "identity": Named("x", "linear network", aliases=("linear",)),
    "relu": Named("Max(x, 0)", "rectified linear unit"),
    "leaky_relu": Named(
        _LEAKY,
        "ReLU with a small negative slope",
        _slope("1/100", "slope for x < 0", "negative_slope"),
        composed=_LEAKY_COMPOSED,
    ),
    "prelu": Named(
        _LEAKY,
        "parametric ReLU at its usual initial slope",
        _slope("1/4", "learned slope for x < 0", "init", "weight"),
        composed=_LEAKY_COMPOSED,
    ),
    "threshold_linear": Named(
        "Max(x - t, 0)", "ReLU with a threshold", (NamedParameter("t", "real", "1/2", "threshold"),)
    ),
    "rrelu": Named(
        _LEAKY,
        "randomised leaky ReLU as it is used after training",
        _slope("11/48", "slope for x < 0, the mean of the usual range 1/8 .. 1/3"),
        composed=_LEAKY_COMPOSED,
        call=(
            "Max(x, 0) + (l + u)/2*Min(x, 0)",
            (
                NamedParameter("l", "real", "1/8", "least slope", ("lower",)),
                NamedParameter("u", "real", "1/3", "largest slope", ("upper",)),
            ),
        ),
    ),
    "threshold": Named(
        "Piecewise((x, x > t), (v, True))",
        "identity above a threshold, constant below (jumps unless v = t)",
        (
            NamedParameter("t", "real", "1/2", "threshold", ("threshold",)),
            NamedParameter("v", "real", "0", "value below it", ("value",)),
        ),
    ),
    "sparse_plus": Named(
        "Piecewise((0, x < -1), ((x + 1)**2/4, x < 1), (x, True))",
        "piecewise quadratic softplus",
        composed="(clip(x, -1, 1) + 1)**2/4 + Max(x - 1, 0)",
    ),
    "squared_relu": Named("Max(x, 0)**2", "square of the ReLU", aliases=("relu2", "relu_squared")),
    "relu6": Named("clip(x, 0, 6)", "ReLU clipped at 6"),
    "abs": Named("Abs(x)", "absolute value"),
    "hard_tanh": Named(
        "a*clip(x, -c, c)",
        "identity clipped to an interval",
        (
            NamedParameter("a", "real", "1", "slope"),
            NamedParameter("c", "positive", "1", "half width of the linear part"),
        ),
        call=(
            "clip(x, l, u)",
            (
                NamedParameter("l", "real", "-1", "least value", ("min_val",)),
                NamedParameter("u", "real", "1", "largest value", ("max_val",)),
            ),
        ),
    ),
    "hard_sigmoid": Named("clip(x/6 + 1/2, 0, 1)", "piecewise linear sigmoid"),
    "sparse_sigmoid": Named("clip(x/2 + 1/2, 0, 1)", "piecewise linear sigmoid, derivative of sparse_plus"),
    "hard_swish": Named("x*clip(x/6 + 1/2, 0, 1)", "x times the hard sigmoid", aliases=("hard_silu",)),
    "hard_shrink": Named(
        "Piecewise((x, Abs(x) > t), (0, True))", "identity outside a dead zone (jumps)", (_threshold("lambd"),)
    ),
    "soft_shrink": Named("Max(x - t, 0) - Max(-x - t, 0)", "soft thresholding", (_threshold("lambd"),)),
    "elu": Named(
        "Piecewise((x, x > 0), (a*(exp(x) - 1), True))",
        "exponential linear unit",
        _slope("1", "scale for x < 0", "alpha"),
        composed="Max(x, 0) + a*(exp(Min(x, 0)) - 1)",
    ),
    "celu": Named(
        "Piecewise((x, x > 0), (a*(exp(x/a) - 1), True))",
        "continuously differentiable ELU",
        (NamedParameter("a", "positive", "1", "scale for x < 0", ("alpha",)),),
        composed="Max(x, 0) + a*(exp(Min(x, 0)/a) - 1)",
    ),
    "selu": Named(
        f"{_SELU_SCALE}*Piecewise((x, x > 0), ({_SELU_ALPHA}*(exp(x) - 1), True))",
        "self-normalising ELU",
        composed=f"{_SELU_SCALE}*(Max(x, 0) + {_SELU_ALPHA}*(exp(Min(x, 0)) - 1))",
    ),
    "gelu": Named("x*Phi(x)", "Gaussian error linear unit, exact"),
    "gelu_tanh": Named(
        "x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))/2",
        "GELU by its usual tanh approximation",
        aliases=("gelu_new", "gelu_pytorch_tanh"),
    ),
    "quick_gelu": Named("x*sigmoid(1.702*x)", "GELU by its logistic approximation"),
    "erf": Named("erf(x)", "error function"),
    "sin": Named("sin(x)", "sine"),
    "cos": Named("cos(x)", "cosine"),
    "snake": Named(
        "x + sin(a*x)**2/a", "periodic plus linear", (NamedParameter("a", "positive", "1", "frequency", ("alpha",)),)
    ),
    "gaussian": Named("exp(-x**2/2)", "Gaussian bump"),
    "x_gaussian": Named("x*exp(-x**2/2)", "derivative of a Gaussian bump"),
    "exp_bump": Named(
        "exp(c*x**2)",
        "growing quadratic exponential: moments exist for small tau only",
        (NamedParameter("c", "positive", "1/20", "coefficient of x^2"),),
    ),
    "quadratic": Named(
        "x + a*x**2", "linear plus quadratic", (NamedParameter("a", "real", "3/10", "quadratic coefficient"),)
    ),
    "cubic": Named("x + a*x**3", "linear plus cubic", (NamedParameter("a", "real", "1/10", "cubic coefficient"),)),
    "sign": Named("sign(x)", "sign (jumps)"),
    "step": Named("Heaviside(x)", "Heaviside step (jumps)", aliases=("heaviside",)),
    "tanh": Named("tanh(x)", "hyperbolic tangent"),
    "sigmoid": Named("sigmoid(x)", "logistic function", aliases=("logistic", "expit")),
    "swish": Named(
        "x*sigmoid(b*x)",
        "x times the logistic function (SiLU at b = 1)",
        (NamedParameter("b", "positive", "1", "sharpness", ("beta",)),),
        aliases=("silu",),
    ),
    "log_sigmoid": Named("-softplus(-x)", "logarithm of the logistic function", aliases=("log_expit",)),
    "softplus": Named(
        "softplus(b*x)/b",
        "log(1 + exp(b x))/b",
        (NamedParameter("b", "positive", "1", "sharpness", ("beta",)),),
    ),
    "squareplus": Named(
        "(x + sqrt(x**2 + b))/2", "algebraic softplus", (NamedParameter("b", "positive", "4", "smoothing"),)
    ),
    "mish": Named("x*tanh(softplus(x))", "x times tanh(softplus(x))"),
    "softsign": Named("x/(1 + Abs(x))", "x/(1 + |x|)"),
    "atan": Named("atan(x)", "arctangent", aliases=("arctan",)),
    "tanh_shrink": Named("x - tanh(x)", "identity minus tanh"),
}
#: Spelled without underscores, as in the names of PyTorch's classes.
_PLAIN_NAMES = {spelling.replace("_", ""): name for name, entry in NAMED.items() for spelling in (name, *entry.aliases)}


def key_of(name: str) -> str | None:
    """Return the registered name that a name means, or None; upper case and underscores do not matter."""
    return _PLAIN_NAMES.get(name.strip().replace("_", "").lower())


#: What stands before a dot in the names of libraries' functions.
MODULES = frozenset(
    (
        *("np", "numpy", "jnp", "jax.numpy", "math", "mpmath", "mp", "sp", "sympy", "tf", "tf.nn", "tf.math"),
        *("torch", "nn", "torch.nn", "F", "nn.functional", "torch.nn.functional", "torch.special"),
        *("jax.nn", "jax.lax", "lax", "jax.scipy.special", "flax.linen", "flax.nnx", "nnx"),
        *("scipy.special", "special", "norm", "stats.norm", "scipy.stats.norm"),
    )
)
#: Modules whose gelu is the tanh approximation unless it is told otherwise.
_TANH_GELU = frozenset(("jax.nn", "flax.linen", "flax.nnx", "nnx"))
#: Modules whose max and min reduce over an axis.
_REDUCING = frozenset(("np", "numpy", "jnp", "jax.numpy", "torch"))


def without_module(name: str, module: str) -> tuple[str, tuple[str, str] | None]:
    """Return what a library's function is called here, and why that is not sure: what is wrong, and what to write.

    Args:
        name: the function, such as "gelu".
        module: what stood before the dot, such as "jax.nn"; "" for nothing.
    """
    if key_of(name) == "gelu" and module in _TANH_GELU:
        return "gelu_tanh", None
    if name == "gelu" and module == "nn":
        return name, ("nn.gelu has two meanings", "write gelu(x), PyTorch's, or gelu_tanh(x), JAX's")
    if name in ("max", "min") and module in _REDUCING:
        return name, (f"{module}.{name} reduces over an axis", f"write {name}imum(x, 0), or {name}(x, 0) alone")
    if module.endswith("norm") and name == "cdf":
        return "Phi", None
    return name, None


def _each(names: Collection[str], advice: str) -> dict[str, str]:
    return dict.fromkeys(names, advice)


#: Functions that a person may ask for and that are not read, with what to do.
NOT_READ: dict[str, str] = {
    "e": "write E or exp(...)",
    "sinc": "sin(pi*x)/(pi*x) has no value of its own at 0, and functions must be defined on the whole line",
    **_each(("coth", "csch", "cot", "csc", "reciprocal"), "it has a pole at 0: functions must be finite everywhere"),
    "sec": "it has poles: functions must be finite everywhere",
    **_each(
        ("asin", "arcsin", "acos", "arccos", "atanh", "arctanh", "acosh", "arccosh", "logit", "erfinv", "ndtri"),
        "it is not real on the whole line; atan(x) and asinh(x) are",
    ),
    **_each(
        ("softmax", "log_softmax", "softmin", "logsumexp", "glu", "maxout", "standardize", "one_hot", "normalize"),
        "it mixes several neurons, and an activation is a function of one number",
    ),
    **_each(
        ("floor", "ceil", "round", "trunc", "frac", "fmod", "mod", "remainder", "rint"),
        "it has infinitely many jumps; Heaviside(x - 1) is one",
    ),
    **_each(("dropout", "batch_norm", "layer_norm"), "it is not a function of one number"),
    **_each(("gamma", "lgamma", "gammaln", "digamma"), "it has poles: functions must be finite everywhere"),
    **_each(("arctan2", "atan2", "hypot"), "it takes two numbers; atan(x) and sqrt(x**2 + 1) take one"),
}


class RateChoice(StrEnum):
    """Whether all weights of an explicit network are trained at one learning rate, or each matrix at its own."""

    ONE = "one"
    PER_LAYER = "per-layer"


class MatchStatus(StrEnum):
    """Whether a family has a network with a DEQ's kernel; a member is its own name as text.

    Example:
        >>> MatchStatus("exact").sentence
        'proved: a network that matches lies within the radius shown of the parameters'
    """

    EXACT = "exact"
    INFEASIBLE = "infeasible"
    UNDECIDED = "undecided"

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        return _SENTENCES[self]


_SENTENCES = {
    MatchStatus.EXACT: "proved: a network that matches lies within the radius shown of the parameters",
    MatchStatus.INFEASIBLE: "proved: no network of the family matches, and each is off by more than the bound shown",
    MatchStatus.UNDECIDED: "neither a network nor a proof that there is none was found",
}
