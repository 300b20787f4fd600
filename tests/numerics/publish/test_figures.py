"""Figures returned to the caller: what is drawn is what was given, and nothing needs Matplotlib before."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from numerics.arithmetic import pointwise
from numerics.data import GaussianMixture
from numerics.equilibrium import solve_float
from numerics.experiments import report_rate
from numerics.publish import convergence_figure, new_figure, spectrum_figure
from numerics.spectrum import SpectralLaw
from theory.activations import resolve
from theory.kernels import Kernel


@cache
def law(samples: int = 320) -> SpectralLaw:
    mixture = GaussianMixture.released_experiment(400, ratio=samples / 400, means=3.0)
    solved = solve_float(pointwise(resolve("tanh")), 0.2, 0.8, mixture.tau0)
    return SpectralLaw.of(mixture, solved.kernel(Kernel.CK))


def _labels(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def _line(axes: Any, label: str) -> Any:
    (found,) = [line for line in axes.lines if line.get_label() == label]
    return found


def test_a_spectrum_is_drawn_under_its_law() -> None:
    inside = np.linspace(*law().edges[0], 300)
    apart = law().edges[-1][1] + np.array([0.4, 0.8])
    figure = spectrum_figure(law(), np.concatenate([inside, apart]), title="tanh")
    (axes,) = figure.axes
    assert _labels(axes) == ["exact kernel", "predicted density", "isolated, measured", "isolated, predicted"]
    assert axes.get_title() == "tanh"
    assert _line(axes, "isolated, measured").get_xdata() == pytest.approx(sorted(apart, reverse=True))
    assert _line(axes, "isolated, predicted").get_xdata() == pytest.approx(law().outlier_values)
    curve = _line(axes, "predicted density")
    middle = np.asarray(curve.get_xdata())[500]
    assert np.interp(middle, curve.get_xdata(), curve.get_ydata()) == pytest.approx(law().density(middle), rel=1e-6)
    values, edges, _ = axes.patches[0].get_data()
    # The area is the share of the eigenvalues that are in the histogram.
    assert np.sum(values * np.diff(edges)) == pytest.approx(300 / 302)
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_what_is_isolated_may_be_said() -> None:
    inside = np.linspace(*law().edges[0], 50)
    figure = spectrum_figure(law(), inside, isolated=inside[-1:], label="a network")
    (axes,) = figure.axes
    assert list(_line(axes, "isolated, measured").get_xdata()) == [inside[-1]]
    assert _labels(axes)[0] == "a network"
    assert "isolated, measured" not in _labels(spectrum_figure(law(), inside).axes[0])


def test_a_point_mass_is_a_line() -> None:
    """More samples than dimensions; many equal eigenvalues all count."""
    with_point = law(800)
    assert with_point.point is not None
    spectrum = np.concatenate([np.full(400, with_point.point), np.linspace(*with_point.edges[0], 400)])
    (axes,) = spectrum_figure(with_point, spectrum, isolated=[]).axes
    values, edges, _ = axes.patches[0].get_data()
    assert np.sum(values * np.diff(edges)) == pytest.approx(1)
    assert any(label.startswith("point mass 0.5") for label in _labels(axes))


def test_errors_are_drawn_with_what_they_support() -> None:
    rng = np.random.default_rng(0)
    sizes = [100, 200, 400]
    errors = {name: [c / p**0.5 * (1 + 0.05 * rng.random(6)) for p in sizes] for name, c in (("relu", 3), ("sin", 5))}
    report = report_rate(sizes, errors["relu"], rng)
    (axes,) = convergence_figure(sizes, errors, {"relu": report}, ylabel="norm", title="CK").axes
    labels = _labels(axes)
    assert labels[0] == r"$p^{-1/2}$"
    assert any(label.startswith("relu: slope -0.5") for label in labels)
    assert "sin" in labels
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_ylabel(), axes.get_title()) == ("log", "log", "norm", "CK")
    half = _line(axes, labels[0])
    slope = np.diff(np.log(half.get_ydata())) / np.diff(np.log(half.get_xdata()))
    assert slope == pytest.approx(-0.5)
    shown = {tuple(np.round(np.asarray(line.get_ydata(), float), 12)) for line in axes.lines}
    assert all(tuple(np.round(row, 12)) in shown for rows in errors.values() for row in rows)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: spectrum_figure(law(), []), "sequence of finite numbers"),
        (lambda: spectrum_figure(law(), [np.nan]), "sequence of finite numbers"),
        (lambda: spectrum_figure(law(), np.eye(2)), r"not an array of shape \(2, 2\)"),
        (lambda: convergence_figure([1, 2], {"a": [[1.0]]}), "the errors of a must be 2 sequences"),
        (lambda: convergence_figure([1], {"a": [[0.0]]}), "positive numbers"),
        (lambda: convergence_figure([0], {"a": [[1.0]]}), "sizes must be positive"),
        (lambda: convergence_figure([1], {}), "there must be errors"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_axes_in_rows_and_columns() -> None:
    figure, axes = new_figure(2, 3, width=9, height=4)
    assert axes.shape == (2, 3)
    assert tuple(figure.get_size_inches()) == (9, 4)


def test_matplotlib_is_not_imported_before_it_is_needed() -> None:
    program = "import sys, numerics.publish.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
