"""The front door: each task against the lower floors, or an independent way to the same number."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import sympy as sp

import deqverify as dv
from numerics.data import Covariance, GaussianMixture, class_sizes
from numerics.experiments import Equivalent
from tests.numerics.experiments.low_dimensional import low_dimensional
from theory.claims import Verdict, VerdictKind
from theory.kernels import KernelCoefficients, UnknownKernelError

mpl.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- the names -------------------------------------------------------------------------------------------------------


def test_the_import_brings_nothing_along() -> None:
    program = (
        "import sys, deqverify as dv\n"
        "assert not {'numpy', 'sympy', 'flint', 'scipy', 'matplotlib'} & set(sys.modules), sorted(sys.modules)\n"
        "assert dir(dv) == sorted(dv.__all__)\n"
        "assert dv.DEQ('tanh').sigma_a2 == dv.DEQ('tanh', '1/5').sigma_a2\n"
        "assert 'matplotlib' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_name_is_there_and_no_other() -> None:
    assert all(getattr(dv, name) is not None for name in dv.__all__)
    with pytest.raises(AttributeError, match="it offers CLAIMS, DEQ"):
        dv.nothing  # noqa: B018


# --- mixtures --------------------------------------------------------------------------------------------------------


def test_a_mixture_is_the_one_of_the_theory() -> None:
    population = dv.Mixture(p=100, means=3, classes=3, proportions=[1, 2, 1]).population
    expected = GaussianMixture.released_experiment(100, means=3.0, classes=3)
    assert np.array_equal(population.means, expected.means)
    assert population.sizes == class_sizes(80, [1, 2, 1])
    assert population.trace_shifts.shape == expected.trace_shifts.shape


def test_a_mixture_of_arrays() -> None:
    means = np.arange(12.0).reshape(2, 6)
    mixture = dv.Mixture(p=6, ratio=4, means=means, covariances=[np.full(6, 2.0), 3.0 * np.eye(6)])
    assert mixture.tau0 == pytest.approx(np.sqrt(2.5))
    assert mixture.at(6).n == 24
    with pytest.raises(ValueError, match="have the dimension 6 only"):
        mixture.at(7)
    assert mixture.population.covariances[1].trace == Covariance(3.0, 6).trace


def test_rows_have_the_moments_of_their_class() -> None:
    X, y = dv.Mixture(p=20, ratio=400, means=[[1.0] * 20, [-2.0] * 20], covariances=[1.0, 4.0]).sample(_rng())
    assert X.shape == (8000, 20)
    for label, mean, scale in ((0, 1.0, 1.0), (1, -2.0, 2.0)):
        assert X[y == label].mean() == pytest.approx(mean, abs=5 * scale / np.sqrt(80000))
        assert X[y == label].std() == pytest.approx(scale, rel=0.02)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"means": np.zeros((2, 3))}, "must be a number or a"),
        ({"proportions": [1.0]}, "need as many covariances and proportions"),
        ({"noise": "cauchy"}, "the noise is one of"),
        ({"covariances": [1.0]}, "need as many"),
    ],
)
def test_no_mixture(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dv.Mixture(p=50, **changed)


# --- kernels of rows -------------------------------------------------------------------------------------------------


def test_the_kernel_of_orthogonal_rows_of_a_linear_deq() -> None:
    """h = sigma_a A h/sqrt(m) + sigma_b B x has G = sigma_b^2 S/(1 - sigma_a^2), S = X X^T/p."""
    X = _rng().standard_normal((7, 30))
    found = dv.kernels(dv.DEQ("x", "1/4", "1/2"), X)
    assert found["ck"] == pytest.approx(0.5 / 0.75 * X @ X.T / 30, abs=1e-10)
    assert found.tau0 == pytest.approx(np.sqrt((X**2).sum() / 7 / 30))


def test_tau0_is_read_as_is_said() -> None:
    X = _rng().standard_normal((6, 40))
    deq = dv.DEQ("relu")
    own = dv.kernels(deq, X, tau0=1)
    assert (own.tau0, own.reading) == (1.0, "given")
    # The centring alone depends on tau_0: all entries move by about the same.
    empirical = dv.kernels(deq, X, ["ck", "ntk-all"])
    assert not np.allclose(own["ck"], empirical["ck"])
    assert list(empirical) == [dv.Kernel.CK, dv.Kernel.NTK_ALL]


@pytest.mark.parametrize("X", [np.zeros(3), np.full((2, 2), np.nan), np.zeros((0, 4))])
def test_no_data_matrix(X: Any) -> None:
    with pytest.raises(ValueError, match=r"X must be an \(n, p\) array"):
        dv.kernels(dv.DEQ("tanh"), X)


def test_the_kernel_of_a_data_set_is_that_of_its_rows_as_they_are() -> None:
    """Rows of norm 1 have tau_0 = 1; a matrix is divided by sqrt(p) before."""
    data = dv.Dataset.from_arrays(_rng().standard_normal((8, 5)), [0, 1] * 4).normalise("sample")
    deq = dv.DEQ("tanh", "1/2")
    found, rows = dv.kernels(deq, data), dv.kernels(deq, np.sqrt(5) * data.samples)
    assert found.tau0 == pytest.approx(1)
    assert np.allclose(found["ck"], rows["ck"], rtol=1e-9)


def test_unknown_kernels_are_refused() -> None:
    with pytest.raises(UnknownKernelError, match="accepted are ck"):
        dv.kernels(dv.DEQ("tanh"), np.eye(3), "nngp")


@pytest.mark.parametrize("name", ["CK", "Ck"])
def test_case_never_matters_in_the_name_of_a_kernel(name: str) -> None:
    assert list(dv.kernels(dv.DEQ("tanh"), np.eye(3), name)) == [dv.Kernel.CK]


# --- what is refused, and how -----------------------------------------------------------------------------------------

_X = np.arange(1.0, 13.0).reshape(3, 4)
_NO_DEQ = r"deq must be a DEQ, such as DEQ\('tanh', sigma_a2='1/5'\), not 'tanh'"
_NO_RNG = r"rng must be a numpy.random.Generator, such as np.random.default_rng\(0\), not 0"
_NO_DRAWS = "draws must be a whole number, at least 2, not"
_NO_DIGITS = "digits must be a whole number, at least 1, not"


def _any(value: Any) -> Any:
    """A value of any type, for an argument of another."""
    return value


def _converge(deq: Any = None, sizes: Any = (30, 60, 90), **keywords: Any) -> Any:
    given = {"rng": _rng(), "draws": 2} | keywords
    return dv.converge(dv.DEQ("tanh") if deq is None else deq, dv.Mixture(p=40), sizes, **given)


def _spectrum(deq: Any = None, mixture: Any = None, **keywords: Any) -> Any:
    given = {"rng": _rng()} | keywords
    return dv.spectrum(dv.DEQ("tanh") if deq is None else deq, mixture or dv.Mixture(p=40), **given)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("call", "refusal", "message"),
    [
        (lambda: _converge(draws=0), ValueError, f"{_NO_DRAWS} 0"),
        (lambda: _converge(draws=-2), ValueError, f"{_NO_DRAWS} -2"),
        (lambda: _converge(draws=1), ValueError, f"{_NO_DRAWS} 1"),
        (lambda: _converge(draws=1.5), TypeError, f"{_NO_DRAWS} 1.5"),
        (lambda: _converge(draws=True), TypeError, f"{_NO_DRAWS} True"),
        (lambda: _converge(sizes=[]), ValueError, r"sizes must be 3 different ones or more, not \[\]"),
        (lambda: _converge(sizes=[30, 60, 60]), ValueError, r"3 different ones or more, not \[30, 60\]"),
        (lambda: _converge(sizes=60), TypeError, r"sizes must be a list of whole numbers.*, not 60"),
        (lambda: _converge(sizes=[-30, 60, 90]), ValueError, "a size must be a whole number, at least 1, not -30"),
        (lambda: _converge(sizes=[30.5, 60, 90]), TypeError, "a size must be a whole number, at least 1, not 30.5"),
        (lambda: _converge(weights="x"), ValueError, "there is no law of weights 'x': accepted are gaussian"),
        (lambda: dv.certify(_any("tanh")), TypeError, _NO_DEQ),
        (lambda: dv.equilibria(_any("tanh")), TypeError, _NO_DEQ),
        (lambda: dv.latex(_any("tanh")), TypeError, _NO_DEQ),
        (lambda: dv.match(_any("tanh")), TypeError, _NO_DEQ),
        (lambda: dv.kernels(_any("tanh"), _X), TypeError, _NO_DEQ),
        (lambda: _spectrum("tanh"), TypeError, _NO_DEQ),
        (lambda: _converge("tanh"), TypeError, _NO_DEQ),
        (lambda: dv.check("ck", _any("tanh")), TypeError, _NO_DEQ),
        (lambda: _spectrum(rng=0), TypeError, _NO_RNG),
        (lambda: _converge(rng=0), TypeError, _NO_RNG),
        (lambda: dv.check("ck", dv.DEQ("tanh"), rng=_any(0)), TypeError, _NO_RNG),
        (lambda: dv.Mixture(p=40).sample(_any(0)), TypeError, _NO_RNG),
        (lambda: _spectrum(mixture=40), TypeError, r"mixture must be a Mixture, such as Mixture\(p=400\), not 40"),
        (lambda: _spectrum(draws="1"), TypeError, "draws must be a whole number, at least 1, not '1'"),
        (lambda: _spectrum(width="3"), TypeError, "width must be a whole number, at least 1, not '3'"),
        (lambda: dv.check(_any(["ck"]), dv.DEQ("tanh")), TypeError, r"there is no claim \['ck'\]: accepted are equil"),
        (lambda: dv.certify(dv.DEQ("tanh"), _any("30")), TypeError, f"{_NO_DIGITS} '30'"),
        (lambda: dv.certify(dv.DEQ("tanh"), _any(2.5)), TypeError, f"{_NO_DIGITS} 2.5"),
        (lambda: dv.equilibria(dv.DEQ("tanh"), _any("3")), TypeError, f"{_NO_DIGITS} '3'"),
        (lambda: dv.match(dv.DEQ("tanh"), digits=0), ValueError, f"{_NO_DIGITS} 0"),
        (lambda: dv.latex(dv.DEQ("tanh"), _any("3")), TypeError, f"{_NO_DIGITS} '3'"),
        (lambda: dv.kernels(dv.DEQ("tanh"), _X, _any(None)), TypeError, "a kernel is named by a text, one of ck"),
        (lambda: dv.DEQ("leaky_relu", parameters=_any(0.3)), TypeError, r"values by name, such as \{'a': '1/2'\}, not"),
        (lambda: dv.DEQ("tanh", 1.5), ValueError, "must be a number > 0, not -1/2, which is 1 - sigma_a2"),
        (lambda: dv.DEQ("tanh", 1.5, -1), ValueError, "must be a number > 0, not -1$"),
        (lambda: dv.Mixture(p=_any("40")), TypeError, "p must be a whole number, at least 1, not '40'"),
        (lambda: dv.Mixture(p=-4), ValueError, "p must be a whole number, at least 1, not -4"),
        (lambda: dv.Mixture(classes=_any(2.5)), TypeError, "classes must be a whole number, at least 1, not 2.5"),
        (lambda: dv.Mixture(ratio=_any("a")), TypeError, "ratio must be a number, not 'a'"),
        (lambda: dv.Mixture(means="a"), TypeError, "means must be a number or a .* array of numbers, not 'a'"),
        (
            lambda: dv.Mixture(covariances=_any(3.0)),
            TypeError,
            "covariances must be a list with an entry for each class",
        ),
        (lambda: dv.Mixture(proportions=_any(3.0)), TypeError, "proportions must be a list with an entry for each"),
        (lambda: dv.kernels(dv.DEQ("tanh"), np.where(_X == 7, np.nan, _X)), ValueError, r"X\[1, 2\] is nan"),
        (lambda: dv.kernels(dv.DEQ("tanh"), _X.astype(complex)), TypeError, "not of dtype complex128"),
        (lambda: dv.kernels(dv.DEQ("tanh"), _X.astype(object)), TypeError, "not of dtype object"),
        (lambda: dv.kernels(dv.DEQ("tanh"), [[1.0, 2.0], [3.0]]), ValueError, "X must be .* not lists of different"),
        (lambda: dv.kernels(dv.DEQ("tanh"), 0 * _X), ValueError, "X must have entries of order 1, and its largest"),
        (lambda: dv.kernels(dv.DEQ("tanh"), 1e-200 * _X), ValueError, "X must have entries of order 1.* is 1.2e-199"),
        (lambda: dv.kernels(dv.DEQ("tanh"), 1e200 * _X), ValueError, r"X must have entries of order 1.* is 1.2e\+201"),
    ],
)
def test_a_wrong_call_is_told_what_is_accepted(call: Callable[[], Any], refusal: type[Exception], message: str) -> None:
    with pytest.raises(refusal, match=message):
        call()


# --- spectra, rates, networks, claims --------------------------------------------------------------------------------


def test_a_spectrum_is_predicted_and_measured() -> None:
    mixture = dv.Mixture(p=200, means=3, cov_shift=4)
    found = dv.spectrum(dv.DEQ("tanh", "1/5"), mixture, draws=3, rng=_rng())
    assert found.law.population.tau0 == pytest.approx(mixture.tau0)
    assert found.isolated == pytest.approx(found.law.outlier_values, rel=0.15)
    assert all(draw.eigenvalues.size == mixture.n for draw in found.draws)
    again = dv.spectrum(dv.DEQ("tanh", "1/5"), mixture, draws=3, rng=_rng())
    assert np.array_equal(found.draws[2].eigenvalues, again.draws[2].eigenvalues)
    other = dv.spectrum(dv.DEQ("tanh", "1/5"), mixture, rng=_rng(1))
    assert not np.array_equal(found.draws[0].eigenvalues, other.draws[0].eigenvalues)
    with pytest.raises(ValueError, match="at least 1"):
        dv.spectrum(dv.DEQ("tanh"), mixture, draws=0, rng=_rng())


def test_a_spectrum_of_data_says_which_equivalent_holds() -> None:
    data = low_dimensional(80, 60, decay=2.0, sphere=True)
    raw = data.transformed(100 * data.samples)
    found = dv.spectrum(dv.DEQ("relu", "1/5"), raw, rng=_rng())
    assert found.data.tau0 == pytest.approx(1)
    assert found.errors[Equivalent.GBAR] > 4 * found.errors[Equivalent.SECOND_ORDER]
    assert found.twin_errors[Equivalent.GBAR] > 0
    assert np.all(found.diagnostics.effective_dimension < 6)
    assert found.advice.startswith("Gbar cannot be trusted here")
    assert repr(found) == f"DataSpectrum(relu, ck on synthetic: n = 80, p = 60)\n  {found.advice}"
    assert "second-order equivalent" in found._repr_html_()
    axes = found.plot()
    assert len(axes.lines) == 4
    same = dv.spectrum(dv.DEQ("relu", "1/5"), data, rng=_rng())
    assert same.errors[Equivalent.GBAR] == pytest.approx(found.errors[Equivalent.GBAR], rel=1e-6)
    tangent = dv.spectrum(dv.DEQ("relu", "1/5"), data, "ntk-all", rng=_rng())
    assert tangent.advice.startswith("Kbar")
    with pytest.raises(ValueError, match="draws and width are of mixtures"):
        dv.spectrum(dv.DEQ("relu"), data, draws=2, rng=_rng())  # type: ignore[call-overload]


def test_an_error_falls_with_the_dimension() -> None:
    study = dv.converge(dv.DEQ("tanh"), dv.Mixture(), [64, 128, 256, 512], draws=6, rng=_rng())
    assert study.verdict == "supported"
    assert study.report.fit is not None
    assert -0.8 < study.report.fit.plain.slope < -0.3


def test_an_error_falls_with_the_width() -> None:
    study = dv.converge(dv.DEQ("tanh"), dv.Mixture(p=40), [50, 200, 800], draws=3, rng=_rng(), against="m")
    means = study.errors.mean(axis=1)
    assert means[0] > 1.5 * means[1] > 2 * means[2]
    with pytest.raises(ValueError, match="dimensions"):
        dv.converge(dv.DEQ("tanh"), dv.Mixture(), [50], rng=_rng(), against="n")


@pytest.mark.parametrize("kernel", ["ck", "ntk-recurrent"])
def test_a_matching_network_has_the_kernel(kernel: str) -> None:
    found = dv.match(dv.DEQ("tanh", "1/5"), kernel)
    assert found.exact
    X = _rng().standard_normal((60, 4000))
    # Both kernels are functions of correlations of order p^(-1/2) here, and agree to the order p^(-1).
    pair = found.kernels(X)
    assert pair.difference < 0.02
    assert not np.array_equal(pair.deq, pair.network)
    other = dv.match(dv.DEQ("tanh", "1/2"), kernel).kernels(X)
    assert np.linalg.norm(other.network - pair.deq, 2) > 5 * np.linalg.norm(pair.network - pair.deq, 2)


def test_a_claim_is_checked() -> None:
    verdict = dv.check("equilibrium", dv.DEQ("gelu", "1/5"))
    assert (verdict.kind, verdict.subject, verdict.as_expected) == (VerdictKind.CERTIFIED, "gelu", True)
    weak = dv.check("equilibrium", dv.DEQ("x**3", "9/10", "1"))
    assert weak.kind is VerdictKind.REFUTED
    assert not weak.as_expected


def test_a_claim_is_checked_for_the_values_of_parameters() -> None:
    deq = dv.DEQ("leaky_relu", parameters={"a": "1/2"})
    found, default = dv.check("equilibrium", deq), dv.check("equilibrium", dv.DEQ("leaky_relu"))
    assert found.details["tau"] == dv.certify(deq).decimal("tau") != default.details["tau"]


@pytest.mark.parametrize(
    ("claim", "keywords", "message"),
    [
        ("ck", {}, "pass rng"),
        ("nothing", {}, "there is no claim 'nothing': accepted are equilibrium"),
        ("ck", {"profile": "slow"}, "there is no profile 'slow'"),
    ],
)
def test_no_check(claim: str, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dv.check(claim, dv.DEQ("tanh"), **keywords)


def test_constants_in_latex_are_the_certified_ones() -> None:
    text, solution = dv.latex(dv.DEQ("tanh", "1/5"), digits=8), dv.certify(dv.DEQ("tanh", "1/5"), 12)
    rows = text.splitlines()
    assert (rows[0], rows[-1]) == (r"\begin{aligned}", r"\end{aligned}")
    assert len(rows) == 2 + len(solution.certified)
    assert rows[1] == rf"\tau_* &= {float(str(solution.decimal('tau'))):.8f} \\"


# --- results show themselves -----------------------------------------------------------------------------------------


def _results() -> dict[str, Any]:
    deq, rng = dv.DEQ("tanh", "1/5"), _rng()
    spectrum = dv.spectrum(deq, dv.Mixture(p=100, means=3), rng=rng)
    match = dv.match(deq)
    return {
        "spectrum": spectrum,
        "law": spectrum.law,
        "converge": dv.converge(deq, dv.Mixture(means=0), [40, 60, 80], draws=2, rng=rng),
        "equilibria": dv.equilibria(dv.DEQ("x + x**3/10", "1/5")),
        "match": match,
        "design": match.design,
        "pair": match.kernels(rng.standard_normal((8, 50))),
    }


def test_results_are_drawn_on_the_axes_given_or_on_new_ones() -> None:
    for name, result in _results().items():
        axes = plt.subplots()[1]
        assert result.plot(axes) is axes, name
        assert axes.lines, name
        assert axes.get_xlabel(), name
        new = result.plot()
        assert isinstance(new, Axes), name
        assert new is not axes, name
        new.figure.canvas.draw()


def test_results_show_themselves_in_a_few_lines() -> None:
    results = _results() | {
        "certified": dv.certify(dv.DEQ("tanh")),
        "kernels": dv.kernels(dv.DEQ("tanh"), np.eye(3)),
        "verdict": dv.check("equilibrium", dv.DEQ("tanh")),
        "mixture": dv.Mixture(),
    }
    for name, result in results.items():
        text = repr(result)
        assert text.count("\n") <= 2, name
        assert len(text) < 500, name
    shown = {name: result._repr_html_() for name, result in results.items() if hasattr(result, "_repr_html_")}
    assert set(shown) >= {"spectrum", "law", "converge", "equilibria", "match", "kernels", "verdict"}
    assert all("<" in text for text in shown.values())


def test_tables_escape_what_they_show() -> None:
    verdict = Verdict("ck", "Piecewise((x, x < 0), (0, True))", VerdictKind.SUPPORTED, "a < b")
    assert "x < 0" not in verdict._repr_html_()
    assert "x &lt; 0" in verdict._repr_html_()


def test_kernel_coefficients_in_latex() -> None:
    half, root = sp.Rational(1, 2), sp.sqrt(2)
    text = KernelCoefficients(half, root, sp.Integer(0), sp.Integer(1))._repr_latex_()
    assert text == r"$k_1 = \frac{1}{2},\quad k_2 = \sqrt{2},\quad k_3 = 0,\quad k_0 = 1$"
