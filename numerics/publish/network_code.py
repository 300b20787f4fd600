"""The text of an explicit network for use elsewhere: NumPy, PyTorch or SymPy.

The activations are those of ``theory.matching``'s families, printed with the layers' decimals as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import sympy as sp
from sympy.printing.numpy import NumPyPrinter
from sympy.printing.pycode import PythonCodePrinter
from sympy.printing.pytorch import TorchPrinter

from numerics.named import CODE_FORMATS
from theory.matching import hermite_family, named_family
from theory.symbols import x

__all__ = ["EmissionError", "emit_network"]


class EmissionError(ValueError):
    """A form of code that is not offered."""


Layer = Mapping[str, Any]
#: Activations by family, of families that have no name in ``theory.matching``.
Own = Mapping[str, sp.Expr]

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


_RATES = """
#: Learning rates of the weights in the NTK parametrisation, W_1 first and the readout last; 0 where they are frozen.
RATES = ({rates})
"""

_TORCH_TRAINED_TAIL = '''

class Network(torch.nn.Module):
    """Samples in rows, (n, p), |x|^2 about TAU_0^2; returns the output, (n,)."""

    def __init__(self, dimension, width):
        super().__init__()
        sizes = [dimension] + [width] * {count} + [1]
        self.linear = torch.nn.ModuleList(torch.nn.Linear(a, b, bias=False) for a, b in zip(sizes, sizes[1:]))
        for number, linear in enumerate(self.linear):
            torch.nn.init.normal_(linear.weight, std=1.0 if number == 0 else width**-0.5)

    def forward(self, hidden):
        *inner, readout = self.linear
        for linear, phi in zip(inner, ({names},)):
            hidden = phi(linear(hidden))
        return readout(hidden).squeeze(-1)

    def parameter_groups(self, rate):
        """What gradient descent must be given to have rate times the NTK designed; frozen weights are left out.

        Entries of variance 1/width learn at 1/width of the rate of entries of variance 1.
        """
        groups = []
        for number, (linear, factor) in enumerate(zip(self.linear, RATES)):
            if factor:
                scale = 1.0 if number == 0 else 1 / linear.in_features
                groups.append({{"params": [linear.weight], "lr": rate * factor * scale}})
        return groups
'''


class _NumPy(NumPyPrinter):  # type: ignore[misc]
    _module = "np"

    def _module_format(self, fqn: str, register: bool = True) -> str:
        return str(super()._module_format(fqn, register)).replace("numpy.", "np.")

    def _print_erf(self, expr: sp.Expr) -> str:
        return f"erf({self._print(expr.args[0])})"

    def _print_Relational(self, expr: sp.Rel) -> str:
        return str(PythonCodePrinter._print_Relational(self, expr))

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:
        *pieces, (last, _) = expr.args
        return reduce(
            lambda other, piece: f"np.where({self._print(piece[1])}, {self._print(piece[0])}, {other})",
            reversed(pieces),
            str(self._print(last)),
        )

    def _print_Max(self, expr: sp.Max) -> str:
        return self._nested("np.maximum", expr)

    def _print_Min(self, expr: sp.Min) -> str:
        return self._nested("np.minimum", expr)

    def _nested(self, name: str, expr: sp.Expr) -> str:
        return reduce(lambda left, right: f"{name}({left}, {right})", [str(self._print(part)) for part in expr.args])


class _Torch(TorchPrinter):  # type: ignore[misc]
    """Numbers meet tensors in operators only: PyTorch's functions do not take numbers for tensors."""

    def _print_Relational(self, expr: sp.Rel) -> str:
        return str(PythonCodePrinter._print_Relational(self, expr))

    def _print_Pow(self, expr: sp.Pow) -> str:
        return str(PythonCodePrinter._print_Pow(self, expr, rational=True))

    def _print_Max(self, expr: sp.Max) -> str:
        return self._clipped("min", "torch.maximum", expr)

    def _print_Min(self, expr: sp.Min) -> str:
        return self._clipped("max", "torch.minimum", expr)

    def _clipped(self, bound: str, name: str, expr: sp.Expr) -> str:
        """The extreme of the tensors, clipped at the numbers."""
        tensors = [part for part in expr.args if part.has(x)]
        numbers = [part for part in expr.args if not part.has(x)]
        extreme = reduce(lambda left, right: f"{name}({left}, {right})", [str(self._print(part)) for part in tensors])
        return reduce(lambda inner, number: f"torch.clip({inner}, {bound}={self._print(number)})", numbers, extreme)


def emit_network(
    form: str,
    layers: Sequence[Layer],
    tau0: str,
    title: str,
    *,
    kernel: str = "ck",
    own: Own | None = None,
    rates: Sequence[str] | None = None,
) -> str:
    """Return a network as text.

    Args:
        form: one of ``CODE_FORMATS``.
        layers: family, parameters (decimals by name), bias and scale (decimals) of each hidden layer.
        tau0: input scale, as a decimal.
        title: one line that says what the network is.
        kernel: which kernel it was designed for.
        own: activations by family, for families that have no name in ``theory.matching``.
        rates: learning rates of the weight matrices, as decimals, the readout last; None where nothing is trained.

    Raises:
        EmissionError: another form.

    Example:
        >>> layer = {"family": "erf", "parameters": {"a": "1.25", "w": "0.5"}, "bias": "0.0", "scale": "1.0"}
        >>> print(emit_network("sympy", [layer], "1.0", "One layer.").splitlines()[-1])
        phi_1 = Float("1.25", 15)*erf(Float("0.5", 15)*x)
    """
    own = own or {}
    if form == "numpy":
        limit = "one designed" if kernel == "ck" else "CK of this network, which has the NTK designed,"
        return _numpy(layers, tau0, title, own, limit, rates)
    if form == "torch":
        return _torch(layers, tau0, title, own, rates)
    if form == "sympy":
        return _sympy(layers, tau0, title, own, rates)
    raise EmissionError(f"{form!r} is no form of code: accepted are {', '.join(CODE_FORMATS)}")


def _activation(layer: Layer, own: Own, written: Mapping[str, str]) -> sp.Expr:
    """The activation of a layer, with texts in place of its parameters.

    Args:
        layer: its family and its parameters.
        own: activations of families without a name.
        written: what stands for each parameter, and for the layer's scale.
    """
    name = layer["family"]
    if name == "hermite":
        family = hermite_family(tuple(sorted(int(key.removeprefix("c")) for key in layer["parameters"])))
        expr, scale = family.activation.expr, family.own_scale
    else:
        expr, scale = own[name] if name in own else named_family(name).activation.expr, ""
    texts = dict(written) | {scale: written["scale"]}
    return expr.xreplace(
        {symbol: sp.Symbol(texts[symbol.name], real=True) for symbol in expr.free_symbols if symbol.name in texts}
    )


def _written(layer: Layer, write: Callable[[str], str]) -> dict[str, str]:
    """Parameters and scale of a layer, each written in a way."""
    return {name: write(text) for name, text in {**layer["parameters"], "scale": layer["scale"]}.items()}


def _plain(text: str) -> str:
    """A decimal as a factor."""
    return f"({text})" if text.startswith("-") else text


def _functions(layers: Sequence[Layer], printed: Callable[[sp.Expr], str], own: Own) -> str:
    """Definitions of phi_1, phi_2, ..."""
    text = ""
    for number, layer in enumerate(layers, 1):
        value = printed(_activation(layer, own, _written(layer, _plain)))
        text += f"\n\ndef phi_{number}(x):\n    return {value}{_centring(layer['bias'], _plain)}\n"
    return text


def _centring(bias: str, write: Callable[[str], str]) -> str:
    """The bias subtracted, left out where it is 0."""
    return f" - {write(bias)}" if bias.strip("-0.") else ""


def _names(layers: Sequence[Layer]) -> str:
    return ", ".join(f"phi_{number}" for number in range(1, len(layers) + 1))


def _constants(tau0: str, rates: Sequence[str] | None) -> str:
    """TAU_0, and RATES where weights are trained."""
    return f"\nTAU_0 = {tau0}\n" + ("" if rates is None else _RATES.format(rates=", ".join(rates)))


def _numpy(layers: Sequence[Layer], tau0: str, title: str, own: Own, limit: str, rates: Sequence[str] | None) -> str:
    functions = _functions(layers, _NumPy().doprint, own)
    head = f'"""{title}"""\n\n'
    if "erf(" in functions:
        head += "import math\n\nimport numpy as np\n\nerf = np.vectorize(math.erf, otypes=[float])\n"
    else:
        head += "import numpy as np\n"
    head += _constants(tau0, rates)
    return head + functions + _NUMPY_TAIL.format(names=_names(layers), limit=limit)


def _torch(layers: Sequence[Layer], tau0: str, title: str, own: Own, rates: Sequence[str] | None) -> str:
    # Evaluated, so that no function of a number is left.
    functions = _functions(layers, lambda expr: _Torch().doprint(sp.N(expr, 17)), own)
    head = f'"""{title}"""\n\nimport torch\n{_constants(tau0, rates)}'
    tail = _TORCH_TAIL if rates is None else _TORCH_TRAINED_TAIL
    return head + functions + tail.format(names=_names(layers), count=len(layers))


def _sympy(layers: Sequence[Layer], tau0: str, title: str, own: Own, rates: Sequence[str] | None) -> str:
    lines = ['x = Symbol("x", real=True)', f"tau_0 = {_float(tau0)}", ""]
    if rates is not None:
        lines[-1:] = [f"rates = ({', '.join(map(_float, rates))})", ""]
    for number, layer in enumerate(layers, 1):
        value = sp.sstr(_activation(layer, own, _written(layer, _float)))
        lines.append(f"phi_{number} = {value}{_centring(layer['bias'], _float)}")
    text = "\n".join(lines)
    names = sorted(word for word in set(re.findall(r"[A-Za-z]\w*", text)) if hasattr(sp, word))
    return f'"""{title}"""\n\nfrom sympy import {", ".join(names)}\n\n{text}\n'


def _float(text: str) -> str:
    return f'Float("{text}", {max(15, sum(c.isdigit() for c in text))})'
