"""What PyTorch and JAX document of their activations: names, parameters, defaults, and each as a plain formula.

Written from the documentation of ``torch.nn`` (2.x), ``jax.nn`` and ``numpy``, not from this project's registry, whose
entries ``tests/theory/test_registry.py`` holds against it.  Formulas use ``math`` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import atan, cos, erf, exp, expm1, log1p, pi, sin, sqrt, tanh

__all__ = ["TABLE", "LibraryActivation"]


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def softplus(x: float) -> float:
    return log1p(exp(-abs(x))) + max(x, 0.0)


@dataclass(frozen=True)
class LibraryActivation:
    """One activation.

    Attributes:
        name: its name in the registry.
        source: where it is documented; "none" for what no library has.
        formula: x and the parameters, by their order -> value.
        spellings: names in the libraries.
        parameters: name in the libraries -> default, as the registry's parameters take them.
        other: values of the parameters to try beside the defaults.
    """

    name: str
    source: str
    formula: Callable[..., float]
    spellings: tuple[str, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    other: tuple[str, ...] = ()


_SELU = (1.0507009873554805, 1.6732632423543772)

TABLE = (
    LibraryActivation("identity", "torch.nn.Identity", lambda x: x, ("Identity", "linear")),
    LibraryActivation("relu", "torch.nn.ReLU; jax.nn.relu", lambda x: max(x, 0.0), ("ReLU",)),
    LibraryActivation(
        "leaky_relu", "torch.nn.LeakyReLU; jax.nn.leaky_relu", lambda x, a: x if x > 0 else a * x,
        ("LeakyReLU",), {"negative_slope": "1e-2"}, ("0.3",),
    ),
    LibraryActivation(
        "prelu", "torch.nn.PReLU", lambda x, a: x if x > 0 else a * x, ("PReLU",), {"init": "0.25"}, ("0.1",)
    ),
    LibraryActivation("threshold_linear", "none", lambda x, t: max(x - t, 0.0), (), {"t": "0.5"}, ("-0.2",)),
    LibraryActivation(
        "rrelu", "torch.nn.RReLU in evaluation: slope (lower + upper)/2 of 1/8 and 1/3",
        lambda x, a: x if x > 0 else a * x, ("RReLU",), {"a": "11/48"}, ("0.2",),
    ),
    LibraryActivation(
        "threshold", "torch.nn.Threshold, which has no defaults", lambda x, t, v: x if x > t else v,
        ("Threshold",), {"threshold": "0.5", "value": "0"}, ("0.1", "20"),
    ),
    LibraryActivation(
        "sparse_plus", "jax.nn.sparse_plus", lambda x: 0.0 if x <= -1 else x if x >= 1 else (x + 1) ** 2 / 4
    ),
    LibraryActivation("squared_relu", "none", lambda x: max(x, 0.0) ** 2, ("relu_squared",)),
    LibraryActivation("relu6", "torch.nn.ReLU6; jax.nn.relu6", lambda x: min(max(x, 0.0), 6.0), ("ReLU6",)),
    LibraryActivation("abs", "torch.abs; numpy.abs", abs),
    LibraryActivation(
        "hard_tanh", "torch.nn.Hardtanh (min_val -1, max_val 1); jax.nn.hard_tanh",
        lambda x, a, c: a * min(max(x, -c), c), ("Hardtanh",), {"a": "1", "c": "1"}, ("2", "0.5"),
    ),
    LibraryActivation(
        "hard_sigmoid", "torch.nn.Hardsigmoid; jax.nn.hard_sigmoid",
        lambda x: min(max(x + 3, 0.0), 6.0) / 6, ("Hardsigmoid",),
    ),
    LibraryActivation("sparse_sigmoid", "jax.nn.sparse_sigmoid", lambda x: min(max((x + 1) / 2, 0.0), 1.0)),
    LibraryActivation(
        "hard_swish", "torch.nn.Hardswish; jax.nn.hard_swish, hard_silu",
        lambda x: x * min(max(x + 3, 0.0), 6.0) / 6, ("Hardswish", "hard_silu"),
    ),
    LibraryActivation(
        "hard_shrink", "torch.nn.Hardshrink", lambda x, t: x if abs(x) > t else 0.0,
        ("Hardshrink",), {"lambd": "0.5"}, ("0.2",),
    ),
    LibraryActivation(
        "soft_shrink", "torch.nn.Softshrink", lambda x, t: x - t if x > t else x + t if x < -t else 0.0,
        ("Softshrink",), {"lambd": "0.5"}, ("0.2",),
    ),
    LibraryActivation(
        "elu", "torch.nn.ELU; jax.nn.elu", lambda x, a: x if x > 0 else a * expm1(x),
        ("ELU",), {"alpha": "1.0"}, ("0.7",),
    ),
    LibraryActivation(
        "celu", "torch.nn.CELU; jax.nn.celu", lambda x, a: max(0.0, x) + min(0.0, a * expm1(x / a)),
        ("CELU",), {"alpha": "1.0"}, ("2",),
    ),
    LibraryActivation(
        "selu", "torch.nn.SELU; jax.nn.selu", lambda x: _SELU[0] * (x if x > 0 else _SELU[1] * expm1(x)), ("SELU",)
    ),
    LibraryActivation(
        "gelu", "torch.nn.GELU, approximate='none'", lambda x: x * (1 + erf(x / sqrt(2))) / 2, ("GELU",)
    ),
    LibraryActivation(
        "gelu_tanh", "torch.nn.GELU, approximate='tanh'; jax.nn.gelu, approximate=True",
        lambda x: 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))), ("gelu_new", "gelu_pytorch_tanh"),
    ),
    LibraryActivation("quick_gelu", "none", lambda x: x * sigmoid(1.702 * x), ("QuickGELU",)),
    LibraryActivation("erf", "torch.erf", erf),
    LibraryActivation("sin", "torch.sin", sin),
    LibraryActivation("cos", "torch.cos", cos),
    LibraryActivation("snake", "none", lambda x, a: x + sin(a * x) ** 2 / a, ("Snake",), {"alpha": "1"}, ("2",)),
    LibraryActivation("gaussian", "none", lambda x: exp(-x * x / 2)),
    LibraryActivation("x_gaussian", "none", lambda x: x * exp(-x * x / 2)),
    LibraryActivation("exp_bump", "none", lambda x, c: exp(c * x * x), (), {"c": "0.05"}, ("0.1",)),
    LibraryActivation("quadratic", "none", lambda x, a: x + a * x * x, (), {"a": "0.3"}, ("0.1",)),
    LibraryActivation("cubic", "none", lambda x, a: x + a * x**3, (), {"a": "0.1"}, ("0.2",)),
    LibraryActivation("sign", "torch.sign; numpy.sign", lambda x: float(x > 0) - float(x < 0)),
    LibraryActivation("step", "torch.heaviside; numpy.heaviside", lambda x: float(x > 0), ("heaviside",)),
    LibraryActivation("tanh", "torch.nn.Tanh; jax.nn.tanh", tanh, ("Tanh",)),
    LibraryActivation(
        "sigmoid", "torch.nn.Sigmoid; jax.nn.sigmoid; scipy.special.expit", sigmoid, ("Sigmoid", "expit", "logistic")
    ),
    LibraryActivation(
        "swish", "torch.nn.SiLU; jax.nn.silu, swish", lambda x, b: x * sigmoid(b * x),
        ("SiLU", "silu"), {"beta": "1"}, ("1.5",),
    ),
    LibraryActivation(
        "log_sigmoid", "torch.nn.LogSigmoid; jax.nn.log_sigmoid", lambda x: -softplus(-x), ("LogSigmoid",)
    ),
    LibraryActivation(
        "softplus", "torch.nn.Softplus; jax.nn.softplus", lambda x, b: softplus(b * x) / b,
        ("Softplus",), {"beta": "1"}, ("2",),
    ),
    LibraryActivation(
        "squareplus", "jax.nn.squareplus", lambda x, b: (x + sqrt(x * x + b)) / 2, (), {"b": "4"}, ("1",)
    ),
    LibraryActivation("mish", "torch.nn.Mish; jax.nn.mish", lambda x: x * tanh(softplus(x)), ("Mish",)),
    LibraryActivation("softsign", "torch.nn.Softsign; jax.nn.soft_sign", lambda x: x / (1 + abs(x)), ("soft_sign",)),
    LibraryActivation("atan", "torch.atan; numpy.arctan", atan, ("arctan",)),
    LibraryActivation("tanh_shrink", "torch.nn.Tanhshrink", lambda x: x - tanh(x), ("Tanhshrink",)),
)  # fmt: skip
