"""The text of an explicit network for use elsewhere: NumPy, PyTorch or SymPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import sympy as sp
from sympy.printing.numpy import NumPyPrinter
from sympy.printing.pytorch import TorchPrinter

from numerics.named import CODE_FORMATS

__all__ = ["EmissionError", "emit"]


class EmissionError(ValueError):
    """A form of code that is not offered."""


Layer = Mapping[str, Any]

#: phi_0 of each family but Hermite's; {m} is the module that computes.
_FORMULAS = {
    "leaky_relu": "{m}.where(x > 0, {a} * x, {b} * x)",
    "hard_tanh": "{a} * {m}.clip(x, -{c}, {c})",
    "erf": "{a} * erf({w} * x)",
    "sin": "{a} * {m}.sin({w} * x)",
    "rational": "({a} * x + {b} * x**2 + {c} * x**3) / (1 + (x / {w}) ** 2) ** 2",
    "tail": "{a} * x + {b} * x**2 + {c} * x**3 + {d} * x**4 + {v} * x * {m}.exp({g} * x**2)",
}
_SYMPY = {
    "leaky_relu": "Piecewise(({a} * x, x > 0), ({b} * x, True))",
    "hard_tanh": "{a} * Max(-{c}, Min(x, {c}))",
    "erf": "{a} * erf({w} * x)",
    "sin": "{a} * sin({w} * x)",
    "rational": "({a} * x + {b} * x**2 + {c} * x**3) / (1 + (x / {w})**2)**2",
    "tail": "{a} * x + {b} * x**2 + {c} * x**3 + {d} * x**4 + {v} * x * exp({g} * x**2)",
}
_HERMITE = '''

def hermite(x, tau, coefficients):
    """sum_k c_k he_k(x/tau), he_k the orthonormal Hermite polynomials."""
    y = x / tau
    last, here, total = 0 * y, 0 * y + 1, 0 * y
    for k in range(1, max(coefficients) + 1):
        last, here = here, (y * here - (k - 1) ** 0.5 * last) / k**0.5
        total = total + coefficients.get(k, 0) * here
    return total
'''

_NUMPY_TAIL = '''

LAYERS = ({names},)


def features(data, width, rng):
    """Last hidden layer, (width, n), of the samples in the columns of data, (p, n), |x|^2 about TAU_0^2."""
    hidden = rng.standard_normal((width, data.shape[0])) @ data
    for number, phi in enumerate(LAYERS):
        if number:
            hidden = rng.standard_normal((width, width)) @ hidden / width**0.5
        hidden = phi(hidden)
    return hidden


def conjugate_kernel(data, width, rng):
    """(n, n) kernel of a draw of the weights; it tends to the {limit} as the width grows."""
    last = features(data, width, rng)
    return last.T @ last / width
'''

_TORCH_TAIL = '''

class Network(torch.nn.Module):
    """Samples in rows, (n, p), |x|^2 about TAU_0^2; returns the last hidden layer, (n, width)."""

    def __init__(self, dimension, width):
        super().__init__()
        sizes = [dimension] + [width] * {count}
        self.linear = torch.nn.ModuleList(torch.nn.Linear(a, b, bias=False) for a, b in zip(sizes, sizes[1:]))
        for number, linear in enumerate(self.linear):
            torch.nn.init.normal_(linear.weight, std=1.0 if number == 0 else width**-0.5)

    def forward(self, hidden):
        for linear, phi in zip(self.linear, ({names},)):
            hidden = phi(linear(hidden))
        return hidden
'''


Own = Mapping[str, sp.Expr]


class _NumPy(NumPyPrinter):  # type: ignore[misc]
    _module = "np"

    def _print_erf(self, expr: sp.Expr) -> str:
        return f"erf({self._print(expr.args[0])})"

    def _print_Piecewise(self, expr: sp.Expr) -> str:
        return str(super()._print_Piecewise(expr)).replace("numpy.nan", "np.nan")

    def _print_Max(self, expr: sp.Expr) -> str:
        return self._nested("np.maximum", expr)

    def _print_Min(self, expr: sp.Expr) -> str:
        return self._nested("np.minimum", expr)

    def _nested(self, name: str, expr: sp.Expr) -> str:
        return reduce(lambda left, right: f"{name}({left}, {right})", [str(self._print(part)) for part in expr.args])


class _Torch(TorchPrinter):  # type: ignore[misc]
    def _print_erf(self, expr: sp.Expr) -> str:
        return f"erf({self._print(expr.args[0])})"


def emit(
    form: str, layers: Sequence[Layer], tau0: str, title: str, *, kernel: str = "ck", own: Own | None = None
) -> str:
    """Return the network as text.

    Args:
        form: one of ``CODE_FORMATS``.
        layers: family, parameters (decimals by name), bias and scale (decimals) of each hidden layer.
        tau0: input scale, as a decimal.
        title: one line that says what the network is.
        kernel: which kernel it was designed for.
        own: activations by family, for families that have no text here.

    Raises:
        EmissionError: another form.
    """
    writers = {"torch": _torch, "sympy": _sympy}
    if form == "numpy":
        limit = "one designed" if kernel == "ck" else "CK of this network, which has the NTK designed,"
        return _numpy(layers, tau0, title, own or {}, limit)
    if form not in writers:
        raise EmissionError(f"{form!r} is no form of code: accepted are {', '.join(CODE_FORMATS)}")
    return writers[form](layers, tau0, title, own or {})


def _filled(layer: Layer, own: Own, values: Mapping[str, str]) -> sp.Expr:
    """The activation of a family of one's own, with texts in place of its parameters."""
    expr = own[layer["family"]]
    named = {symbol.name: symbol for symbol in expr.free_symbols}
    return expr.xreplace({named[name]: sp.Symbol(text, real=True) for name, text in values.items() if name in named})


def _coefficients(layer: Layer) -> str:
    return "{" + ", ".join(f"{name[1:]}: {value}" for name, value in layer["parameters"].items()) + "}"


def _functions(layers: Sequence[Layer], module: str, own: Own) -> str:
    """Definitions of phi_1, phi_2, ..., with the helpers they need."""
    families = {layer["family"] for layer in layers}
    text = _HERMITE if "hermite" in families else ""
    for number, layer in enumerate(layers, 1):
        if layer["family"] == "hermite":
            value = f"hermite(x, {layer['scale']}, {_coefficients(layer)})"
        elif layer["family"] in _FORMULAS:
            value = _FORMULAS[layer["family"]].format(m=module, **layer["parameters"])
        else:
            filled = _filled(layer, own, {k: f"({v})" for k, v in layer["parameters"].items()})
            # PyTorch takes no numbers for arguments of its functions, so that no maximum and no root may be left.
            value = _NumPy().doprint(filled) if module == "np" else _Torch().doprint(sp.N(filled.rewrite(sp.Piecewise)))
        text += f"\n\ndef phi_{number}(x):\n    return {value}{_centring(layer['bias'])}\n"
    return text


def _centring(bias: str) -> str:
    """The bias subtracted, left out where it is 0."""
    return "" if not bias.strip("0.") else f" - ({bias})"


def _names(layers: Sequence[Layer]) -> str:
    return ", ".join(f"phi_{number}" for number in range(1, len(layers) + 1))


def _numpy(layers: Sequence[Layer], tau0: str, title: str, own: Own, limit: str) -> str:
    functions = _functions(layers, "np", own)
    head = f'"""{title}"""\n\n'
    if "erf(" in functions:
        head += "import math\n\nimport numpy as np\n\nerf = np.vectorize(math.erf, otypes=[float])\n"
    else:
        head += "import numpy as np\n"
    head += f"\nTAU_0 = {tau0}\n"
    return head + functions + _NUMPY_TAIL.format(names=_names(layers), limit=limit)


def _torch(layers: Sequence[Layer], tau0: str, title: str, own: Own) -> str:
    functions = _functions(layers, "torch", own)
    head = f'"""{title}"""\n\nimport torch\n'
    if "erf(" in functions:
        head += "from torch import erf\n"
    head += f"\nTAU_0 = {tau0}\n"
    return head + functions + _TORCH_TAIL.format(names=_names(layers), count=len(layers))


def _sympy(layers: Sequence[Layer], tau0: str, title: str, own: Own) -> str:
    used = {type(node).__name__ for expr in own.values() for node in expr.atoms(sp.Function, sp.Piecewise)}
    names = sorted(
        {"Float", "Max", "Min", "Piecewise", "Symbol", "erf", "exp", "factorial", "hermite", "sin", "sqrt", *used}
    )
    lines = [
        f'"""{title}"""',
        "",
        f"from sympy import {', '.join(names)}",
        "",
        'x = Symbol("x", real=True)',
        f"tau_0 = {_float(tau0)}",
        "",
        "",
        "def he(k, y):",
        '    """Orthonormal Hermite polynomial."""',
        "    return hermite(k, y / sqrt(2)) / sqrt(2**k * factorial(k))",
        "",
    ]
    for number, layer in enumerate(layers, 1):
        if layer["family"] == "hermite":
            terms = [f"{_float(v)} * he({k[1:]}, x / {_float(layer['scale'])})" for k, v in layer["parameters"].items()]
            value = " + ".join(terms)
        else:
            values = {k: _float(v) for k, v in layer["parameters"].items()}
            form = _SYMPY.get(layer["family"])
            value = form.format(**values) if form else sp.sstr(_filled(layer, own, values))
        lines += ["", f"phi_{number} = {value}{_centring(layer['bias']) and ' - ' + _float(layer['bias'])}"]
    return "\n".join(lines) + "\n"


def _float(text: str) -> str:
    return f'Float("{text}", {max(15, sum(c.isdigit() for c in text))})'
