"""The text of a network computes what its families' activations are, in every form."""

from __future__ import annotations

import importlib.util
import math
import operator
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import sympy as sp

from numerics.named import CODE_FORMATS
from numerics.publish import EmissionError, emit_network

#: A layer of every family, and its phi written out for one number.
LAYERS: dict[str, tuple[dict[str, str], Callable[[float], float]]] = {
    "leaky_relu": ({"a": "1.5", "b": "-0.25"}, lambda x: 1.5 * x if x > 0 else -0.25 * x),
    "hard_tanh": ({"a": "2.0", "c": "0.5"}, lambda x: 2 * max(-0.5, min(x, 0.5))),
    "erf": ({"a": "1.25", "w": "0.75"}, lambda x: 1.25 * math.erf(0.75 * x)),
    "sin": ({"a": "1.25", "w": "0.75"}, lambda x: 1.25 * math.sin(0.75 * x)),
    "rational": (
        {"a": "3.0", "b": "-0.5", "c": "0.25", "w": "0.5"},
        lambda x: (3 * x - x**2 / 2 + x**3 / 4) / (1 + 4 * x**2) ** 2,
    ),
    "tail": (
        {"a": "1.5", "b": "0.5", "c": "-0.25", "d": "0.125", "v": "0.75", "g": "0.0625"},
        lambda x: 1.5 * x + x**2 / 2 - x**3 / 4 + x**4 / 8 + 0.75 * x * math.exp(x**2 / 16),
    ),
    "hermite": (
        {"c1": "0.5", "c2": "-0.25", "c4": "1.0e-1"},
        lambda x: x / 4 - (x**2 / 4 - 1) / 2**2.5 + (x**4 / 16 - 6 * x**2 / 4 + 3) / 24**0.5 / 10,
    ),
    # One that the emitter knows only by its expression.
    "own": ({"s": "-0.5", "u": "1.25"}, lambda x: 0.5 * max(-x, 1) * -1 + 1.25 * math.erf(x) + (x if x < 0 else 0)),
}
X, S, U = sp.Symbol("x", real=True), sp.Symbol("s", real=True), sp.Symbol("u", real=True)
OWN = {"own": S * sp.Max(-X, 1) + U * sp.erf(X) + sp.Piecewise((X, X < 0), (0, True))}


@pytest.fixture
def emitted() -> Callable[[str], str]:
    """Return emit(form): a network with one layer of every family as text."""
    layers = [
        {"family": family, "parameters": parameters, "bias": "-0.125", "scale": "2.0"}
        for family, (parameters, _) in LAYERS.items()
    ]
    return lambda form: emit_network(form, layers, "1.0", "A network.", own=OWN)


def loaded(text: str, folder: Path) -> Any:
    """The text as a module."""
    path = folder / "network.py"
    path.write_text(text, "utf-8")
    spec = importlib.util.spec_from_file_location(f"emitted_{folder.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_numpy_and_sympy_texts_are_the_functions(emitted: Callable[[str], str], tmp_path: Path) -> None:
    for form in ("numpy", "sympy"):
        (tmp_path / form).mkdir()
        network = loaded(emitted(form), tmp_path / form)
        for number, (_, function) in enumerate(LAYERS.values(), 1):
            phi = getattr(network, f"phi_{number}")
            for point in (-1.75, -0.25, 0.375, 2.5):
                value = phi(np.float64(point)) if form == "numpy" else phi.subs(network.x, point).evalf()
                assert float(value) == pytest.approx(function(point) + 0.125, rel=1e-12)


class _Tensor(float):
    """A number that refuses to be a plain one where PyTorch wants a tensor."""

    def __neg__(self) -> _Tensor:
        return _Tensor(-float(self))


def _as_torch() -> ModuleType:
    """What the emitted text uses of PyTorch, for one number: functions that take tensors only, as PyTorch's do."""

    def of_tensors(function: Callable[..., float], first: int = 1) -> Callable[..., _Tensor]:
        def checked(*arguments: Any, **bounds: float) -> _Tensor:
            assert all(isinstance(part, _Tensor) for part in arguments[:first]), "a plain number where a tensor is due"
            return _Tensor(function(*arguments, **bounds))

        return checked

    torch = ModuleType("torch")
    for name, function in (("erf", math.erf), ("sin", math.sin), ("exp", math.exp)):
        setattr(torch, name, of_tensors(lambda *a, f=function: f(*map(float, a))))
    torch.clip = of_tensors(lambda x, min=-math.inf, max=math.inf: sorted((min, float(x), max))[1])  # type: ignore[attr-defined]
    torch.where = lambda condition, yes, no: _Tensor(yes if condition else no)  # type: ignore[attr-defined]
    for name in ("lt", "le", "gt", "ge"):
        compare = getattr(operator, name)
        setattr(torch, name, lambda left, right, c=compare: c(float(left), float(right)))
    torch.nn = ModuleType("nn")  # type: ignore[attr-defined]
    torch.nn.Module = object  # type: ignore[attr-defined]
    return torch


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow"):

    def _operation(self: _Tensor, other: float, name: str = f"__{_name}__") -> _Tensor:
        return _Tensor(getattr(float, name)(float(self), float(other)))

    setattr(_Tensor, f"__{_name}__", _operation)


def test_torch_text_is_the_functions(
    emitted: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a stand-in for PyTorch, which is no dependency; with PyTorch itself where it is installed."""
    text = emitted("torch")
    assert "np." not in text
    monkeypatch.setitem(sys.modules, "torch", _as_torch())
    network = loaded(text, tmp_path)
    for number, (_, function) in enumerate(LAYERS.values(), 1):
        phi = getattr(network, f"phi_{number}")
        for point in (-1.75, -0.25, 0.375, 2.5):
            assert float(phi(_Tensor(point))) == pytest.approx(function(point) + 0.125, rel=1e-12)


@pytest.mark.parametrize("form", CODE_FORMATS)
def test_a_text_is_python_with_the_decimals_as_they_stand(form: str) -> None:
    digits = "0.12345678901234567890123456789"
    layer = {"family": "sin", "parameters": {"a": digits, "w": f"-{digits}"}, "bias": "0.0", "scale": "1.0"}
    text = emit_network(form, [layer], digits, "A network.")
    compile(text, "network.py", "exec")
    assert text.count(digits) == 3


def test_another_form_is_refused() -> None:
    with pytest.raises(EmissionError, match="'fortran' is no form of code: accepted are numpy, torch, sympy"):
        emit_network("fortran", [], "1.0", "A network.")


def test_rates_stand_in_every_text() -> None:
    layer = {"family": "sin", "parameters": {"a": "1.5", "w": "0.5"}, "bias": "0.0", "scale": "1.0"}
    for form in CODE_FORMATS:
        plain = emit_network(form, [layer], "1.0", "A network.")
        assert "RATES" not in plain
        assert "rates" not in plain
        text = emit_network(
            form, [layer], "1.0", "A network.", kernel="ntk-all", rates=["0.1234567890123456789", "1.0"]
        )
        compile(text, "network.py", "exec")
        assert text.count("0.1234567890123456789") == 1


class _Linear:
    """What the emitted text uses of torch.nn.Linear."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        assert not bias
        self.in_features, self.weight = inputs, np.zeros((outputs, inputs))


def test_parameter_groups_leave_frozen_weights_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the NTK parametrisation a matrix of entries of variance 1/m learns at its rate over m."""
    torch = _as_torch()
    torch.nn.Module = type("Module", (), {})
    torch.nn.Linear, torch.nn.ModuleList = _Linear, list
    torch.nn.init = ModuleType("init")
    spreads: list[float] = []
    torch.nn.init.normal_ = lambda weight, std: spreads.append(std)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    layer = {"family": "sin", "parameters": {"a": "1.5", "w": "0.5"}, "bias": "0.0", "scale": "1.0"}
    text = emit_network("torch", [layer] * 2, "1.0", "A network.", kernel="ntk-all", rates=["0.5", "0.0", "2.0"])
    network = loaded(text, tmp_path).Network(3, 16)
    assert [linear.weight.shape for linear in network.linear] == [(16, 3), (16, 16), (1, 16)]
    assert spreads == [1.0, 0.25, 0.25]
    groups = network.parameter_groups(0.1)
    assert [group["params"][0].shape for group in groups] == [(16, 3), (1, 16)]
    assert [group["lr"] for group in groups] == pytest.approx([0.05, 0.2 / 16])
