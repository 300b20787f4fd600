"""scripts/design.py as a user runs it, and the networks it writes."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pylatexenc.latexwalker import LatexWalker

from tests.scripts.conftest import ROOT, Script
from tests.scripts.test_latex_networks import check_networks

KEYS = {
    "status", "layers", "gauge", "branches", "residual", "residual_bound", "certified", "threshold", "closest",
    "activation", "sigma_a2", "sigma_b2", "tau0", "kernel", "family", "versions", "target", "reason",
}  # fmt: skip


def test_relu_by_two_leaky_layers(script: Script) -> None:
    done = script(
        "design", "--activation", "relu", "--sigma-a2", "0.2", "--family", "leaky_relu", "--layers", "2",
        "--kernel", "ck", "--digits", "30", "--json", "-",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert set(record) >= KEYS
    assert record["status"] == "exact"
    assert record["certified"] is True
    assert len(record["branches"]) == 2
    assert record["layers"] == record["branches"][0]
    assert [layer["family"] for layer in record["layers"]] == ["leaky_relu", "leaky_relu"]
    assert all(float(radius) < 1e-30 for layer in record["layers"] for radius in layer["radius"].values())
    assert float(record["residual"]) < 1e-30
    assert float(record["residual_bound"]) == 0
    assert record["threshold"]["sigma_a2"].startswith("0.852786533896156")
    assert record["gauge"]["exponents_of_k"] == [{"a": 1, "b": 1}, {"a": -1, "b": -1}]
    assert record["cost"]["deq_products"] > record["cost"]["explicit_products"] == 1


def test_infeasible_is_an_answer(script: Script) -> None:
    done = script("design", "--activation", "swish", "--family", "leaky_relu", "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["status"] == "infeasible"
    assert record["layers"] == record["branches"] == []
    assert len(record["closest"]) == 2
    assert 1e-3 < float(record["residual_bound"]) <= float(record["residual"]) < 2e-3
    assert record["threshold"] is None


def test_the_family_is_chosen_and_the_choice_explained(script: Script, tmp_path: Path) -> None:
    done = script("design", "--activation", "tanh", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert record["family"] == "hard_tanh"
    assert "odd" in record["choice"]
    assert "hard_tanh" in done.stdout
    assert "proved" in done.stdout


@pytest.mark.parametrize(("name", "family"), [("relu", "leaky_relu"), ("elu", "hermite")])
def test_the_numpy_network_has_the_predicted_diagonal_and_slope(
    script: Script, tmp_path: Path, name: str, family: str
) -> None:
    """At |x| = tau_0 the CK's diagonal is gamma_*^2; the off-diagonal is alpha_1 S + alpha_3 S^2 + O(S^3)."""
    arguments = ("--activation", name, "--family", family, "--emit", "numpy", "--output", "network.py")
    done = script("design", *arguments, "--json", "out.json")
    assert done.returncode == 0, done.stderr
    target = json.loads((tmp_path / "out.json").read_text("utf-8"))["target"]
    check = """
import numpy as np, network
rng = np.random.default_rng(0)
overlap, width, draws = 0.25, 1500, 6
data = np.array([[1.0, overlap, 0.0], [0.0, (1 - overlap**2) ** 0.5, 0.0], [0.0, 0.0, 1.0]]) * network.TAU_0
kernels = [network.conjugate_kernel(data, width, rng) for _ in range(draws)]
mean = np.mean(kernels, axis=0)
print(*np.diagonal(mean), mean[0, 1], mean[0, 2])
"""
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    *diagonal, near, far = map(float, ran.stdout.split())
    k0, k1, k3 = (float(target[key]) for key in ("diagonal", "k1", "k3"))
    noise = 4 * k0 / (1500 * 6) ** 0.5
    for value in diagonal:
        assert abs(value - k0) < 2 * noise
    assert abs(far) < noise
    # What is left over belongs to degree >= 3 in the overlap.
    assert abs(near - k1 * 0.25 - k3 * 0.25**2) < noise + (k0 - k1 - k3) * 0.25**3


#: A layer of every family, and its phi written out for one number.
LAYERS: dict[str, tuple[dict[str, str], Callable[[float], float]]] = {
    "leaky_relu": ({"a": "1.5", "b": "-0.25"}, lambda x: 1.5 * x if x > 0 else -0.25 * x),
    "hard_tanh": ({"a": "2.0", "c": "0.5"}, lambda x: 2 * max(-0.5, min(x, 0.5))),
    "erf": ({"a": "1.25", "w": "0.75"}, lambda x: 1.25 * math.erf(0.75 * x)),
    "sin": ({"a": "1.25", "w": "0.75"}, lambda x: 1.25 * math.sin(0.75 * x)),
    "rational": ({"a": "3.0", "w": "0.5"}, lambda x: 3 * x / (1 + 4 * x**2)),
    "hermite": (
        {"c1": "0.5", "c2": "-0.25", "c4": "1.0e-1"},
        lambda x: x / 4 - (x**2 / 4 - 1) / 2**2.5 + (x**4 / 16 - 6 * x**2 / 4 + 3) / 24**0.5 / 10,
    ),
}


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return emit(form): a network with one layer of every family as text."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    module = importlib.import_module("_emit")
    layers = [
        {"family": family, "parameters": parameters, "bias": "-0.125", "scale": "2.0"}
        for family, (parameters, _) in LAYERS.items()
    ]
    return lambda form: str(module.emit(form, layers, "1.0", "A network."))


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


def test_the_torch_text_is_well_formed(emitted: Callable[[str], str]) -> None:
    text = emitted("torch")
    compile(text, "torch", "exec")
    assert text.count("def phi_") == len(LAYERS)
    assert "np." not in text


def test_the_latex_text_is_read_back(script: Script) -> None:
    done = script("design", "--activation", "relu", "--digits", "10", "--emit", "latex")
    assert done.returncode == 0, done.stderr
    LatexWalker(done.stdout, tolerant_parsing=False).get_latex_nodes()
    assert done.stdout.startswith("% Has the kernel ck of the DEQ with phi(x) = Max(0, x)")
    check_networks({"network-relu": done.stdout}, "relu")
    closest = script("design", "--activation", "swish", "--family", "leaky_relu", "--layers", "2", "--emit", "latex")
    assert "the closest one found" in closest.stderr
    assert "1.069770585" in closest.stdout.replace("$ & $", ".")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--activation", "relu", "--layers", "2"), "--layers needs --family, one of leaky_relu"),
        (("--activation", "relu", "--family", "erf", "--layers", "2"), "1 hidden layers here"),
        (("--activation", "relu", "--sigma-a2", "1.2"), "give a sigma-a2 below 1, or --sigma-b2"),
        (("--activation", "relu", "--emit", "numpy", "--output", "nowhere/x.py"), "does not exist"),
        (("--activation", "relu", "--emit", "numpy", "--json", "-"), "both write to standard output"),
    ],
)
def test_bad_use(script: Script, arguments: tuple[str, ...], words: str) -> None:
    done = script("design", *arguments)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert done.stdout == ""
