"""The text of an explicit network for use elsewhere: NumPy, PyTorch or SymPy."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _cli import UsageError

__all__ = ["FORMATS", "check_target", "emit", "write_text"]

#: What ``emit`` writes.
FORMATS = ("numpy", "torch", "sympy")

Layer = Mapping[str, Any]

#: phi_0 of each family but Hermite's; {m} is the module that computes.
_FORMULAS = {
    "leaky_relu": "{m}.where(x > 0, {a} * x, {b} * x)",
    "hard_tanh": "{a} * {m}.clip(x, -{c}, {c})",
    "erf": "{a} * erf({w} * x)",
    "sin": "{a} * {m}.sin({w} * x)",
    "rational": "{a} * x / (1 + (x / {w}) ** 2)",
}
_SYMPY = {
    "leaky_relu": "Piecewise(({a} * x, x > 0), ({b} * x, True))",
    "hard_tanh": "{a} * Max(-{c}, Min(x, {c}))",
    "erf": "{a} * erf({w} * x)",
    "sin": "{a} * sin({w} * x)",
    "rational": "{a} * x / (1 + (x / {w}) ** 2)",
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
    """(n, n) kernel of a draw of the weights; it tends to the one designed as the width grows."""
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


def emit(form: str, layers: Sequence[Layer], tau0: str, title: str) -> str:
    """Return the network as text.

    Args:
        form: one of ``FORMATS``.
        layers: family, parameters (decimals by name), bias and scale (decimals) of each hidden layer.
        tau0: input scale, as a decimal.
        title: one line that says what the network is.

    Raises:
        UsageError: another form.
    """
    writers = {"numpy": _numpy, "torch": _torch, "sympy": _sympy}
    if form not in writers:
        raise UsageError(f"--emit {form}: accepted are {', '.join(FORMATS)}")
    return writers[form](layers, tau0, title)


def _coefficients(layer: Layer) -> str:
    return "{" + ", ".join(f"{name[1:]}: {value}" for name, value in layer["parameters"].items()) + "}"


def _functions(layers: Sequence[Layer], module: str) -> str:
    """Definitions of phi_1, phi_2, ..., with the helpers they need."""
    families = {layer["family"] for layer in layers}
    text = _HERMITE if "hermite" in families else ""
    for number, layer in enumerate(layers, 1):
        if layer["family"] == "hermite":
            value = f"hermite(x, {layer['scale']}, {_coefficients(layer)})"
        else:
            value = _FORMULAS[layer["family"]].format(m=module, **layer["parameters"])
        text += f"\n\ndef phi_{number}(x):\n    return {value}{_centring(layer['bias'])}\n"
    return text


def _centring(bias: str) -> str:
    """The bias subtracted, left out where it is 0."""
    return "" if not bias.strip("0.") else f" - ({bias})"


def _names(layers: Sequence[Layer]) -> str:
    return ", ".join(f"phi_{number}" for number in range(1, len(layers) + 1))


def _numpy(layers: Sequence[Layer], tau0: str, title: str) -> str:
    head = f'"""{title}"""\n\n'
    if any(layer["family"] == "erf" for layer in layers):
        head += "import math\n\nimport numpy as np\n\nerf = np.vectorize(math.erf, otypes=[float])\n"
    else:
        head += "import numpy as np\n"
    head += f"\nTAU_0 = {tau0}\n"
    return head + _functions(layers, "np") + _NUMPY_TAIL.format(names=_names(layers))


def _torch(layers: Sequence[Layer], tau0: str, title: str) -> str:
    head = f'"""{title}"""\n\nimport torch\n'
    if any(layer["family"] == "erf" for layer in layers):
        head += "from torch import erf\n"
    head += f"\nTAU_0 = {tau0}\n"
    return head + _functions(layers, "torch") + _TORCH_TAIL.format(names=_names(layers), count=len(layers))


def _sympy(layers: Sequence[Layer], tau0: str, title: str) -> str:
    lines = [
        f'"""{title}"""',
        "",
        "from sympy import Float, Max, Min, Piecewise, Symbol, erf, factorial, hermite, sin, sqrt",
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
            value = _SYMPY[layer["family"]].format(**{k: _float(v) for k, v in layer["parameters"].items()})
        lines += ["", f"phi_{number} = {value}{_centring(layer['bias']) and ' - ' + _float(layer['bias'])}"]
    return "\n".join(lines) + "\n"


def _float(text: str) -> str:
    return f'Float("{text}", {max(15, sum(c.isdigit() for c in text))})'


def check_target(target: str) -> None:
    """Raise UsageError when the text could not be written to ``target`` later."""
    path = Path(target)
    if path.is_dir():
        raise UsageError(f"--output {target}: that is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise UsageError(f"--output {target}: the folder {path.parent} does not exist; give a file in an existing one")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"--output {target}: the folder {path.parent} cannot be written to")


def write_text(target: str, text: str) -> None:
    """Write a text to a file, all of it or nothing."""
    path = Path(target)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as temporary:
        temporary.write(text)
    umask = os.umask(0)
    os.umask(umask)
    Path(temporary.name).chmod(0o666 & ~umask)
    Path(temporary.name).replace(path)
