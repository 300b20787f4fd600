"""The matching networks of scripts/export_latex.py, read back from what it printed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numerics.publish.paper import networks
from tests.latex_reader import equations, evaluate, gaussian_mean
from tests.scripts.conftest import Script
from tests.scripts.test_export_latex import DIGITS, certified, registry_export
from theory.activations import registry


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return registry_export(tmp_path_factory)


_HERMITE = {"1": "({y})", "2": r"\frac{{({y})^2 - 1}}{{\sqrt{{2}}}}", "3": r"\frac{{({y})^3 - 3({y})}}{{\sqrt{{6}}}}"}


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5, 9])
def test_hermite_polynomials_are_defined_for_any_degree(degree: int) -> None:
    text = networks._hermite_polynomial(degree)
    left, _, right = text.partition(" = ")
    assert left == rf"\operatorname{{he}}_{degree}(y)"
    y = np.linspace(-2, 2, 9)
    expected = np.polynomial.hermite_e.hermeval(y, [0] * degree + [1]) / math.sqrt(math.factorial(degree))
    assert evaluate(right, {"y": y}) == pytest.approx(expected)


def solutions(fragment: str) -> Iterator[dict[str, str]]:
    """The numbers of each solution by symbol, as they are printed, from the tables of a fragment."""
    for body in re.findall(r"\\begin\{tabular\}(.*?)\\end\{tabular\}", fragment, flags=re.DOTALL):
        rows = re.findall(r"^\$([^$]+)\$ & (.*) \\\\$", body, flags=re.MULTILINE)
        found = []
        for symbol, text in rows:
            cells = re.sub(r"\\multicolumn\{1\}\{r@\{\\phantom\{\.\}\}\}\{(\$-?\d+\$)\} &", r"\1 & $0$", text)
            parts = cells.replace("$", "").replace("\\cdot10^{", "e").replace("}", "").split(" & ")
            found.append((symbol, [f"{a}.{b}" for a, b in zip(parts[::2], parts[1::2], strict=True)]))
        for column in range(len(found[0][1])):
            yield {symbol: texts[column] for symbol, texts in found}


def _kernel(fragment: str, numbers: dict[str, str]) -> list[float]:
    """alpha_1, alpha_2, alpha_3, gamma^2 of the printed layers (theory sheet, section 4), by quadrature."""
    environment = {symbol.replace("{", "").replace("}", ""): float(text) for symbol, text in numbers.items()}
    a1, a2, a3, a4, square = 1.0, 0.0, 0.0, 1.0, 1.0
    for number, (left, _, right) in enumerate(equations(fragment), start=1):
        assert left == rf"\varphi_{number}(x)"
        text = re.sub(
            r"\\operatorname\{he\}_(\d)\(([^)]*)\)",
            lambda hit: "(" + _HERMITE[hit[1]].format(y=hit[2]) + ")",
            right,
        )
        tau = math.sqrt(square)
        kinks = [side * value / tau for name, value in environment.items() if name == "c_1" for side in (-1, 1)]

        def moment(weight: Any, power: int, text: str = text, tau: float = tau, kinks: list[float] = kinks) -> float:
            return gaussian_mean(
                lambda xi: weight(xi) * evaluate(text.strip(), {**environment, "x": tau * xi}) ** power, [0.0, *kinks]
            )

        assert moment(np.ones_like, 1) == pytest.approx(0, abs=1e-8)
        d1 = moment(lambda xi: xi, 1) / tau
        d2 = moment(lambda xi: xi**2 - 1, 1) / tau**2
        d22 = moment(lambda xi: xi**2 - 1, 2) / tau**2
        a1, a2, a3, a4 = d1**2 * a1, d1**2 * a2 + d2**2 * a4**2 / 4, d1**2 * a3 + d2**2 * a1**2 / 2, d22 * a4 / 2
        square = moment(np.ones_like, 2)
    return [a1, a2, a3, square]


def check_networks(files: dict[str, str], name: str) -> tuple[int, set[str]]:
    """Formulas and numbers of an activation's networks are integrated; returns how many and of which families."""
    fragment = files[f"network-{name.replace('_', '-')}"]
    wanted = certified(name)
    expected = [float(wanted[key]) for key in ("alpha1", "alpha2", "alpha3", "gamma2")]
    found = list(solutions(fragment))
    assert found, name
    heads = re.findall(r"\{solution (\d+)\}", fragment)
    assert heads == ([str(number) for number in range(1, len(found) + 1)] if len(found) > 1 else [])
    for numbers in found:
        assert _kernel(fragment, numbers) == pytest.approx(expected, rel=1e-7, abs=1e-9), name
    return len(found), set(re.findall(r"layers? of ([^:]*):", fragment))


def test_printed_networks_have_the_kernel_of_their_deq(exported: Path) -> None:
    """Every solution of every activation."""
    files = {path.stem: path.read_text("utf-8") for path in (exported / "fragments").glob("network-*.tex")}
    found = [check_networks(files, name) for name in registry.registered_names()]
    assert max(count for count, _ in found) == 2
    families = set().union(*(each for _, each in found))
    assert families == {"leaky ReLUs", "hard tanh", "bounded rational functions", "sines"}


def test_layers_with_a_tail_are_printed_as_well(script: Script, tmp_path: Path) -> None:
    """Little variance to spare: see tests/numerics/test_constructive.py."""
    weights = ("--sigma-a2", "4/5", "--digits", "8")
    done = script("export_latex", "--activation", "x + exp(x/2)/10000", *weights, "--networks", "--output", "out")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out" / "fragments").glob("network-*.tex")
    fragment = path.read_text("utf-8")
    assert "two layers, of polynomials with a growing tail and of Hermite polynomials" in fragment
    (numbers,) = solutions(fragment)
    assert 0 < float(numbers["g_1"]) < 1 / 4
    assert r"\varphi_1(x) &= a_1x + b_1x^2 + c_1x^3 + d_1x^4 + v_1xe^{g_1x^2} - m_1," in fragment


def test_hermite_layers_are_printed_as_well(script: Script, tmp_path: Path) -> None:
    """x + x^2 without recurrence is a network with one quadratic layer: 1, 1, 2 and 3 by hand."""
    weights = ("--sigma-a2", "0", "--sigma-b2", "1")
    done = script("export_latex", "--activation", "x**2 + x", *weights, "--networks", "--output", "out")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out" / "fragments").glob("network-*.tex")
    fragment = path.read_text("utf-8")
    assert "one layer of Hermite polynomials" in fragment
    (numbers,) = solutions(fragment)
    assert _kernel(fragment, numbers) == pytest.approx([1, 1, 2, 3], rel=1e-9)
    document = (tmp_path / "out" / "deq.tex").read_text("utf-8")
    y = np.linspace(-2, 2, 7)
    for degree, expected in ((1, y), (2, (y**2 - 1) / math.sqrt(2))):
        (right,) = re.findall(rf"\\operatorname\{{he\}}_{degree}\(y\) = (.*?)(?:, \\quad|\. \\\])", document)
        assert evaluate(right, {"y": y}) == pytest.approx(expected)


def test_the_record_holds_the_printed_networks(exported: Path) -> None:
    record = json.loads((exported / "numbers.json").read_text("utf-8"))
    assert [each["activation"] for each in record["networks"]] == list(registry.registered_names())
    for each in record["networks"]:
        assert each["status"] == "exact"
        printed = list(solutions((exported / "fragments" / f"{each['file']}.tex").read_text("utf-8")))
        assert len(printed) == len(each["solutions"])
        for numbers, layers in zip(printed, each["solutions"], strict=True):
            told = [text for layer in layers for text in layer["values"].values()]
            assert [float(text) for text in numbers.values()] == [float(text) for text in told]
            for layer in layers:
                for key, radius in layer["radius"].items():
                    assert float(radius) < 10 ** -(DIGITS + 1) * max(1, abs(float(layer["values"][key])))
