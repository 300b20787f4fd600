"""What scripts/export_latex.py wrote is read back: every formula evaluated, every number compared with its ball.

The last tests break an export on purpose, and look for anything in it that nothing reads.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp

from numerics.arithmetic import contains_decimal, pointwise
from numerics.data import Covariance, GaussianMixture
from numerics.equilibrium import solve_float
from numerics.equivalents import DeterministicEquivalent
from numerics.kernels import implicit_kernels
from numerics.matching import Design, design
from numerics.networks import FiniteDEQ
from tests.latex_checks import (
    check_conditions,
    check_constants,
    check_equilibrium,
    check_moments,
    check_ntk,
    check_system,
    check_systems,
)
from tests.latex_reader import LatexReadError, Matrix, equations, evaluate
from tests.scripts.test_export_latex import DIGITS, check_macros, check_tables, registry_export
from tests.scripts.test_latex_networks import check_networks, solutions
from theory.activations import Activation, registry
from theory.equations import DEQ
from theory.kernels import NTK_KINDS, Kernel, KernelCoefficients
from theory.latex import name_long_constants

Check = Callable[[dict[str, str]], None]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every file of the export by name, without ending for fragments."""
    folder = registry_export(tmp_path_factory)
    found = {path.stem: path.read_text("utf-8") for path in folder.glob("fragments/*.tex")}
    return found | {name: (folder / name).read_text("utf-8") for name in ("deq.tex", "macros.tex", "numbers.json")}


def _slug(name: str) -> str:
    return name.replace("_", "-")


@cache
def _activation(name: str) -> tuple[Activation, dict[sp.Symbol, sp.Rational]]:
    activation = registry.registered(name).with_parameters({})
    return activation, name_long_constants(activation)[1]


# --- formulas --------------------------------------------------------------------------------------------------------


def check_general(files: dict[str, str]) -> None:
    check_equilibrium(files["equilibrium"])
    check_conditions(files["conditions"])
    check_systems(files["solution"], files["system"], files["preactivation"])
    for kind in NTK_KINDS:
        check_ntk(files[f"ntk-{kind}"], kind)


def check_activation(files: dict[str, str], name: str) -> None:
    activation, constants = _activation(name)
    text, _, where = files[f"moments-{_slug(name)}"].partition("\nwhere\n")
    check_moments(text, activation, constants)
    check_constants(where, constants)
    check_system(files[f"system-{_slug(name)}"], activation, constants)


def _inline(text: str, left: str) -> str:
    """The right side of an inline formula."""
    (found,) = re.findall(rf"\$?{re.escape(left)} = ([^$]*)\$", text)
    return str(found)


@cache
def _small_world() -> dict[str, Any]:
    """Data, their statistics, a finite network at its fixed point, exact kernels and equivalents."""
    p, weights = 24, (0.2, 0.8)
    means = np.zeros((2, p))
    means[0, 0], means[1, 3] = 2, 3
    covariances = [Covariance.toeplitz(p, decay=0.3), Covariance.toeplitz(p, decay=-0.2, scale=1.4)]
    mixture = GaussianMixture.build(means, covariances, sizes=[7, 9])
    sample = mixture.sample(np.random.default_rng(0))
    deq = DEQ("softplus", *weights, mixture.tau0)
    phi, solved = pointwise(deq.activation), solve_float(deq)
    network = FiniteDEQ.draw(deq, solved["bias"], width=30, dimension=p, rng=np.random.default_rng(1))
    states = network.equilibrium(sample.data)
    kernels = implicit_kernels(sample.gram(), phi, *weights, solved["bias"], kernels=Kernel)
    equivalents = [
        DeterministicEquivalent.from_statistics(
            sample.statistics(), KernelCoefficients(a, b, c, d), tau0=mixture.tau0, gram=sample.gram()
        ).dense()
        for a, b, c, d in (
            [solved[key] for key in ("alpha1", "alpha2", "alpha3", "gamma2")],
            [solved[key] for key in ("beta1", "beta2", "beta3", "kappa2")],
        )
    ]
    return locals()


def check_setting(files: dict[str, str]) -> None:
    """The definitions, against the library's statistics, network and kernels."""
    world = _small_world()
    mixture, sample, solved = world["mixture"], world["sample"], world["solved"]
    statistics, kernels, n = sample.statistics(), world["kernels"], 16
    text = files["setting"].replace("\n", " ")
    printed = {left: right for left, _, right in equations(re.sub(r" & (?=[A-Z\\t])", r" \\\\ ", files["setting"]))}
    dense = [each.dense() for each in mixture.covariances]
    mean = sum(size / n * each for size, each in zip(mixture.sizes, dense, strict=True))
    known: dict[str, Any] = {"p": 24, "m": 30, "n": n, "X": Matrix(sample.data), "mean C": Matrix(mean)}

    for inline in (
        r"$\phi = \phi_0 - \mathbb{E}[\phi_0(\tau_*\xi)]$ with $\xi \sim \mathcal{N}(0,1)$",
        r"$J \in \{0,1\}^{n\times K}$",
        r"$w_i \sim \mathcal{N}(0, C_a/p)$",
        r"G_{ij} &= \mathbb{E}[\phi(u_i)\phi(u_j)],",
        r"(u_i, u_j) &\sim \mathcal{N}\bigl(0, (L_{kl})_{k,l \in \{i,j\}}\bigr),",
    ):
        assert inline in text
    assert evaluate(printed["S"], known).values == pytest.approx(sample.gram())
    body = printed[r"C^\circ"].strip().removeprefix(r"\sum_{a=1}^{K}")
    terms = [
        evaluate(body, known | {"n_a": size, "C_a": Matrix(each)}).values
        for size, each in zip(mixture.sizes, dense, strict=True)
    ]
    assert sum(terms) == pytest.approx(mean)
    assert evaluate(printed[r"\tau_0"], known) == pytest.approx(mixture.tau0)
    for a in range(2):
        centred = evaluate(printed[r"C_a^\circ"], known | {"C_a": Matrix(dense[a])})
        assert centred.values == pytest.approx(dense[a] - mean)
        assert evaluate(printed["t_a"], known | {"C_a centred": centred}) == pytest.approx(statistics.t[a])
        for b in range(2):
            pair = {"C_a": Matrix(dense[a]), "C_b": Matrix(dense[b])}
            assert evaluate(printed["T_{ab}"], known | pair) == pytest.approx(statistics.T[a, b])
        noise = sample.noise[:, sample.labels == a][:, 0]
        norm = _inline(text, r"\psi_i").replace(r"\|w_i\|", "w")
        assert evaluate(norm, known | {"w": np.linalg.norm(noise), "C_a": Matrix(dense[a])}) == pytest.approx(
            statistics.psi[np.flatnonzero(sample.labels == a)[0]]
        )
    mean_i = re.search(r"\$x_i =\s*(.*?) \+ w_i\$", text)
    assert mean_i
    column = int(np.flatnonzero(sample.labels == 1)[0])
    found = evaluate(mean_i[1], known | {r"\mu_a": mixture.means[1]}) + sample.noise[:, column]
    assert found == pytest.approx(sample.data[:, column])

    network, variances = world["network"], {r"\sigma_a": math.sqrt(0.2), r"\sigma_b": math.sqrt(0.8)}
    state = world["states"].states

    def phi(argument: Matrix) -> Matrix:
        return Matrix(world["phi"].value(argument.values) - solved["bias"])

    model = known | variances | {r"\phi": phi, "h": Matrix(state), "x": Matrix(sample.data)}
    model |= {"A": Matrix(network.recurrent), "B": Matrix(network.inputs)}
    assert evaluate(printed["h"], model).values == pytest.approx(state, abs=1e-8)

    entrywise: dict[str, Any] = variances | {"G": kernels[Kernel.CK], "S": sample.gram()}
    entrywise["L"] = evaluate(printed["L"], entrywise)
    assert np.diag(entrywise["L"]) == pytest.approx(kernels.variances)
    # Each of two gives G's derivative, and the other must agree with it.
    entrywise[r"\dot G"] = (1 - kernels[Kernel.CK] / kernels[Kernel.NTK_RECURRENT]) / 0.2
    for name in ("preactivation", "all"):
        assert evaluate(printed[rf"K_{{\mathrm{{{name}}}}}"], entrywise) == pytest.approx(kernels[Kernel.ntk(name)])
    entrywise[r"\dot G"] = (1 - entrywise["L"] / kernels[Kernel.NTK_PREACTIVATION]) / 0.2
    assert evaluate(printed[r"K_{\mathrm{recurrent}}"], entrywise) == pytest.approx(kernels[Kernel.NTK_RECURRENT])


def check_equivalents(files: dict[str, str]) -> None:
    """Gbar and Kbar as they are printed are the library's matrices."""
    world = _small_world()
    sample, solved = world["sample"], world["solved"]
    statistics = sample.statistics()
    known: dict[str, Any] = {"p": 24, "S": Matrix(sample.gram()), "I_n": Matrix(np.eye(16))}
    known |= {"J": Matrix(statistics.indicator), r"\psi": Matrix(statistics.psi[:, None]), "T": Matrix(statistics.T)}
    known |= {"t": Matrix(statistics.t[:, None]), r"\tau_0": world["mixture"].tau0}
    known |= {rf"\{name}_*,{k}": solved[f"{name}{k}"] for name in ("alpha", "beta") for k in (1, 2, 3)}
    known |= {r"\gamma_*": math.sqrt(solved["gamma2"]), r"\kappa_*": math.sqrt(solved["kappa2"])}
    known["V"] = evaluate(_inline(files["equivalents"], "V"), known)
    text = re.sub(r" & (?=\\bar K|D )", r" \\\\ ", files["equivalents"])
    printed = {left: right for left, _, right in equations(text)}
    known["C"], known["D"] = evaluate(printed["C"], known), evaluate(printed["D"], known)
    for left, expected in zip((r"\bar G", r"\bar K"), world["equivalents"], strict=True):
        assert evaluate(printed[left], known).values == pytest.approx(expected, rel=1e-12)


def test_the_general_formulas(files: dict[str, str]) -> None:
    check_general(files)


@pytest.mark.parametrize("name", registry.registered_names())
def test_the_formulas_of_an_activation(files: dict[str, str], name: str) -> None:
    check_activation(files, name)


def test_the_definitions(files: dict[str, str]) -> None:
    check_setting(files)
    check_equivalents(files)


# --- numbers ---------------------------------------------------------------------------------------------------------


@cache
def _designed(name: str) -> Design:
    """The same network, to more digits than are printed."""
    return design(DEQ(_activation(name)[0], sp.Rational(1, 5), sp.Rational(4, 5), sp.S.One), digits=DIGITS + 6)


def check_network_digits(files: dict[str, str], name: str) -> None:
    """Every digit of a network, against the balls of a finer solution."""
    branches = _designed(name).branches
    found = list(solutions(files[f"network-{_slug(name)}"]))
    assert len(found) == len(branches)
    for numbers, network in zip(found, branches, strict=True):
        balls = []
        for layer, report in zip(network.layers, network.ball_reports(40), strict=True):
            balls += list(layer.parameters.values())
            balls += [report.scale] if layer.family.own_scale else []
            balls += [report.bias] if layer.family.bias != 0 else []
        for (symbol, text), ball in zip(numbers.items(), balls, strict=True):
            if float(text) == 0:
                assert abs(ball) < 10 ** -len(text.partition(".")[2]), (name, symbol)
            else:
                assert contains_decimal(ball, text), (name, symbol, text)


def test_every_digit_of_every_network(files: dict[str, str]) -> None:
    for name in registry.registered_names():
        check_network_digits(files, name)


def check_parameters(files: dict[str, str]) -> None:
    """Wherever the parameters stand, they are those of the record."""
    record = json.loads(files["numbers.json"])
    document = files["deq.tex"].partition(r"\section{Claims}")[0].partition(r"\section{Constants}")[2]
    found = re.findall(
        r"\$\\sigma_a\^2 = (\S+)\$, \$\\sigma_b\^2 = (\S+)\$ and \$\\tau_0 = (\S+)\$(?: \((\d+) of (\d+)\))?", document
    )
    tables = len([name for name in files if name.startswith("constants-")])
    assert len(found) == tables + 2
    for a, b, tau_0, *_ in found:
        assert [sp.Rational(value) for value in (a, b, tau_0)] == [
            sp.Rational(record[name]) for name in ("sigma_a2", "sigma_b2", "tau0")
        ]
    parts = [(int(part), int(total)) for *_, part, total in found if part]
    assert parts == [(k, tables) for k in range(1, tables + 1)]


def test_the_parameters_in_the_text(files: dict[str, str]) -> None:
    check_parameters(files)


# --- an export that is broken on purpose, and what nothing reads -----------------------------------------------------


def _last_digit(text: str) -> str:
    """A number with its last digit changed."""
    return text[:-1] + str((int(text[-1]) + 1) % 10)


_NUMBER = re.compile(r"\$(\d+)\$ & \$(\d{6,})\$")

#: A fragment, a pattern of a place in it, what comes there, and the check that must notice.
_BREAKS: tuple[tuple[str, str, str | Callable[[re.Match[str]], str], Check], ...] = (
    ("equilibrium", r"\\sigma_b\^2", r"\\sigma_b", check_general),
    ("system", r"\\frac\{1\}\{4\}", r"\\frac{1}{2}", check_general),
    ("system", r"alpha_\{\*,4\}\^2", r"alpha_{*,4}", check_general),
    ("preactivation", r"\\frac\{1\}\{2\}", r"\\frac{1}{3}", check_general),
    ("solution", r"1 - ", "1 + ", check_general),
    ("conditions", r"< 1", "> 1", check_general),
    ("ntk-recurrent", r"\\lambda_\{\*,1\}", r"\\alpha_{*,1}", check_general),
    ("ntk-all", r"\\tau_\*\^2", r"\\gamma_*^2", check_general),
    ("setting", r"X\^\\top X", r"X X^\\top", check_setting),
    ("setting", r"C_a\^\\circ/\\sqrt\{p\}", r"C_a^\\circ/p", check_setting),
    ("setting", r"\\sqrt\{m\}", "m", check_setting),
    ("setting", r"L\\,\\dot G", r"G\\,\\dot G", check_setting),
    ("setting", r"-\\operatorname\{tr\}|- \\operatorname\{tr\}", r"+ \\operatorname{tr}", check_setting),
    ("equivalents", r"\\tau_0\^2 \\alpha", r"\\tau_0 \\alpha", check_equivalents),
    ("equivalents", r"\\alpha_\{\*,3\} T", r"\\alpha_{*,2} T", check_equivalents),
    ("equivalents", r"J/\\sqrt\{p\}", r"J/p", check_equivalents),
    ("deq.tex", r"\\sigma_b\^2 = 4/5", r"\\sigma_b^2 = 3/5", check_parameters),
    ("moments-relu", r"\\sqrt\{2\\pi\}", r"\\sqrt{\\pi}", lambda files: check_activation(files, "relu")),
    ("moments-gelu", r"\+ 11(?=\\tau)", "+ 12", lambda files: check_activation(files, "gelu")),
    ("moments-gelu-tanh", r"0\.044715", "0.044716", lambda files: check_activation(files, "gelu_tanh")),
    ("moments-selu", r"(1\.05\d+)", lambda hit: _last_digit(hit[1]), lambda files: check_activation(files, "selu")),
    ("system-abs", r"2\\pi", r"\\pi", lambda files: check_activation(files, "abs")),
    ("constants-1", _NUMBER.pattern, lambda hit: f"${hit[1]}$ & ${_last_digit(hit[2])}$", check_tables),
    ("macros.tex", r"(0\.\d+)\}\}", lambda hit: f"{_last_digit(hit[1])}}}}}", check_macros),
    ("network-tanh", _NUMBER.pattern, lambda hit: f"${hit[1]}$ & ${_last_digit(hit[2])}$",
     lambda files: check_network_digits(files, "tanh")),
    ("network-relu", "a_1x", "a_2x", lambda files: check_networks(files, "relu")),
)  # fmt: skip


@pytest.mark.parametrize(("name", "pattern", "new", "check"), _BREAKS, ids=[f"{a} {b}" for a, b, *_ in _BREAKS])
def test_what_is_broken_is_noticed(files: dict[str, str], name: str, pattern: str, new: Any, check: Check) -> None:
    broken, count = re.subn(pattern, new, files[name], count=1)
    assert count == 1
    assert broken != files[name]
    check(files)
    with pytest.raises((AssertionError, LatexReadError, ValueError, KeyError)):
        check(files | {name: broken})


#: Sets of fragments and the check or test that reads each.
_READ = {
    "setting": "check_setting", "equivalents": "check_equivalents", "equilibrium": "check_general",
    "system": "check_general", "preactivation": "check_general", "solution": "check_general",
    "conditions": "check_general", "ntk": "check_general", "moments": "check_activation",
    "constants": "check_tables", "network": "check_network_digits",
    "claims": "tests/theory/test_latex_claims.py and test_verdicts_stand_with_their_claims",
    "planted": "test_every_wrong_theory_is_in_the_tables",
}  # fmt: skip


def test_nothing_is_printed_that_nothing_reads(files: dict[str, str]) -> None:
    """Outside the fragments there is no display but the networks' layers, and no decimals at all."""
    document = files["deq.tex"].partition(r"\begin{document}")[2].partition(r"\begin{thebibliography}")[0]
    heading = re.match(r"(?:%.*\n)+", files["deq.tex"])
    assert heading
    for name in sorted(files, key=lambda each: -len(files[each])):
        if "." not in name:
            assert re.match("|".join(_READ), name), f"{name}: no check reads this fragment"
            body = files[name].removeprefix(heading[0]).strip()
            assert body in files["deq.tex"], name
            document = document.replace(body, "")
    displays = re.findall(r"\\\[.*?\\\]|\\begin\{align.*?\\end\{align\*?\}", document, re.S)
    (display,) = displays
    assert "h_1 =" in display
    document = document.replace(display, "")
    document = re.sub(r"\\cite\{.*?\}|deqverify [\d.]+", "", document)
    assert re.findall(r"\d+\.\d+|\d{3,}", document) == []
