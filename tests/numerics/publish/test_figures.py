"""Figures returned to the caller: what is drawn is what was given, and nothing needs Matplotlib before."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from numerics.data import GaussianMixture
from numerics.equilibrium import solve_float
from numerics.experiments import report_rate
from numerics.publish import convergence_figure, eigenvalue_figure, new_figure, spectrum_figure, sweep_figure
from numerics.spectrum import SpectralLaw
from theory.activations import resolve
from theory.equations import DEQ
from theory.kernels import Kernel, KernelCoefficients


@cache
def law(samples: int = 320) -> SpectralLaw:
    mixture = GaussianMixture.released_experiment(400, ratio=samples / 400, means=3.0)
    solved = solve_float(DEQ(resolve("tanh"), 0.2, 0.8, mixture.tau0))
    return SpectralLaw.of(mixture, solved.kernel(Kernel.CK))


def _labels(figure: Any) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts() if text.get_text().strip()]


def _line(axes: Any, label: str) -> Any:
    (found,) = [line for line in axes.lines if line.get_label() == label]
    return found


def _stairs(axes: Any, label: str) -> tuple[Any, Any]:
    (found,) = [patch for patch in axes.patches if patch.get_label() == label]
    values, walls, _ = found.get_data()
    return values, walls


def test_a_spectrum_is_drawn_under_its_law() -> None:
    inside = np.linspace(*law().edges[0], 300)
    apart = law().edges[-1][1] + np.array([0.4, 0.8])
    figure = spectrum_figure(law(), np.concatenate([inside, apart]), title="tanh", caption="seed 0")
    axes, strip = figure.axes
    assert sorted(_labels(figure)) == sorted(
        ["exact kernel", "predicted density", "the same, mean over bins", "isolated, measured", "isolated, predicted"]
    )
    assert axes.get_title() == "tanh"
    assert figure.get_supxlabel() == "seed 0"
    curve = _line(axes, "predicted density")
    middle = np.asarray(curve.get_xdata())[500]
    assert np.interp(middle, curve.get_xdata(), curve.get_ydata()) == pytest.approx(law().density(middle), rel=1e-6)
    bars, walls = _stairs(axes, "exact kernel")
    # The area is the share of the eigenvalues that are in the histogram.
    assert np.sum(bars * np.diff(walls)) == pytest.approx(300 / 302)
    # Isolated eigenvalues in a strip of their own, predicted ones above measured ones.
    measured, predicted = _line(strip, "isolated, measured"), _line(strip, "isolated, predicted")
    assert measured.get_xdata() == pytest.approx(sorted(apart, reverse=True))
    assert predicted.get_xdata() == pytest.approx(law().outlier_values)
    rows = {tick.get_text(): place for tick, place in zip(strip.get_yticklabels(), strip.get_yticks(), strict=True)}
    assert set(measured.get_ydata()) == {rows["measured"]}
    assert set(predicted.get_ydata()) == {rows["predicted"]}
    low, high = axes.get_xlim()
    assert (low, high) == strip.get_xlim()
    assert low < walls[0] < apart.max() < high
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_bars_are_compared_with_the_means_of_the_law_over_the_same_bins() -> None:
    """Eigenvalues at the quantiles of the law fill bins as it does: within one eigenvalue, at the edges too."""
    held = law()
    count = 500
    fine = np.linspace(*held.edges[0], 200_001)
    quantiles = np.interp((np.arange(count) + 0.5) / count, held.cumulative(fine), fine)
    axes = spectrum_figure(held, quantiles, isolated=[]).axes[0]
    bars, walls = _stairs(axes, "exact kernel")
    means, same = _stairs(axes, "the same, mean over bins")
    assert np.array_equal(walls, same)
    assert np.sum(means * np.diff(walls)) == pytest.approx(1, abs=1e-9)
    assert np.all(np.abs(bars - means) * np.diff(walls) <= 1.01 / count)
    # An edge is no wall: a small shift of the spectrum makes no bar beyond it.
    widths = np.diff(walls)
    for edge in (held.edges[0][0], held.edges[-1][1]):
        assert np.abs(walls - edge).min() == pytest.approx(widths[0] / 2, rel=1e-6)
    shifted = spectrum_figure(held, quantiles - 0.4 * widths[0], isolated=[]).axes[0]
    assert _stairs(shifted, "exact kernel")[1][0] == pytest.approx(walls[0])


def test_several_draws_have_error_bars() -> None:
    rng = np.random.default_rng(0)
    left, right = law().edges[0]
    draws = np.sort(rng.uniform(left, right, (4, 200)))
    averages = (np.array([right + 0.5]), np.array([0.1]))
    figure = spectrum_figure(law(), draws.ravel(), draws=4, isolated=[], averages=averages)
    axes, strip = figure.axes
    bars, walls = _stairs(axes, "exact kernel")
    table = np.array([np.histogram(row, bins=walls)[0] for row in draws]) / 200 / np.diff(walls)
    assert bars == pytest.approx(table.mean(axis=0))
    (segments,) = [c.get_segments() for c in axes.collections]
    lengths = np.array([segment[1][1] - segment[0][1] for segment in segments])
    assert lengths / 2 == pytest.approx((table.std(axis=0, ddof=1) / 2)[bars > 0])
    (segment,) = strip.collections[0].get_segments()
    assert segment[:, 0] == pytest.approx([right + 0.4, right + 0.6])
    # One draw has none.
    assert not spectrum_figure(law(), draws[0], isolated=[]).axes[0].collections


def test_what_is_isolated_may_be_said() -> None:
    inside = np.linspace(*law().edges[0], 50)
    figure = spectrum_figure(law(), inside, isolated=inside[-1:], label="a network")
    assert list(_line(figure.axes[1], "isolated, measured").get_xdata()) == [inside[-1]]
    assert _labels(figure)[0] == "a network"
    assert "isolated, measured" not in _labels(spectrum_figure(law(), inside))


def test_a_point_mass_is_a_line() -> None:
    """More samples than dimensions; many equal eigenvalues all count."""
    with_point = law(800)
    assert with_point.point is not None
    spectrum = np.concatenate([np.full(400, with_point.point), np.linspace(*with_point.edges[0], 400)])
    figure = spectrum_figure(with_point, spectrum, isolated=[])
    axes = figure.axes[0]
    bars, walls = _stairs(axes, "exact kernel")
    assert np.sum(bars * np.diff(walls)) == pytest.approx(1)
    assert any(label.startswith("point mass 0.5") for label in _labels(figure))
    # Its bar leaves the picture, the density does not.
    assert axes.get_ylim()[1] < bars.max() / 4
    assert axes.get_ylim()[1] > with_point.density(np.linspace(*with_point.edges[0], 99)).max()


def test_a_bulk_that_is_a_point() -> None:
    even = SpectralLaw.of(GaussianMixture.released_experiment(40, means=2.0), KernelCoefficients(0, 0.1, 0.1, 1))
    figure = spectrum_figure(even, np.full(32, even.shift), isolated=[])
    bars, walls = _stairs(figure.axes[0], "exact kernel")
    assert np.sum(bars * np.diff(walls)) == pytest.approx(1)


def ladder(*names: str) -> tuple[list[int], dict[str, list[Any]], dict[str, Any]]:
    """Errors p^(-1/2) (3 + 20 p^(-1/2)) with 5 % of scatter, and the reports on them."""
    rng = np.random.default_rng(0)
    sizes = [100, 200, 400, 800]
    errors = {name: [(3 / p**0.5 + 20 / p) * (1 + 0.05 * rng.standard_normal(16)) for p in sizes] for name in names}
    return sizes, errors, {name: report_rate(sizes, rows, rng) for name, rows in errors.items()}


def test_errors_are_drawn_with_the_law_that_was_accepted() -> None:
    sizes, errors, reports = ladder("relu")
    check = reports["relu"].check
    assert check.compatible
    assert len(check.amplitudes) == 2
    figure = convergence_figure(sizes, errors, reports, ylabel="norm", title="CK", caption="seed 0")
    (axes,) = figure.axes
    assert set(_labels(figure)) == {
        "relu: supported", r"accepted: $A_0\,p^{-1/2} + A_1\,p^{-1}$", r"leading term $A_0\,p^{-1/2}$"
    }  # fmt: skip
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_ylabel(), axes.get_title()) == ("log", "log", "norm", "CK")
    assert figure.get_supxlabel() == "seed 0"
    curve, first = _line(axes, r"accepted: $A_0\,p^{-1/2} + A_1\,p^{-1}$"), _line(axes, r"leading term $A_0\,p^{-1/2}$")
    p = curve.get_xdata()
    assert curve.get_ydata() == pytest.approx(check.amplitudes[0] / p**0.5 + check.amplitudes[1] / p)
    slope = np.diff(np.log(first.get_ydata())) / np.diff(np.log(first.get_xdata()))
    assert slope == pytest.approx(-0.5)
    shown = {tuple(np.round(np.asarray(line.get_ydata(), float), 12)) for line in axes.lines}
    assert all(tuple(np.round(row, 12)) in shown for row in errors["relu"])


def test_a_law_that_was_refused_is_not_called_accepted() -> None:
    rng = np.random.default_rng(1)
    sizes = [100, 200, 400, 800]
    errors = [(2 + 3 / p**0.5) * (1 + 0.01 * rng.standard_normal(8)) for p in sizes]
    report = report_rate(sizes, errors, rng)
    assert report.verdict == "refuted"
    figure = convergence_figure(sizes, {"naive": errors}, {"naive": report})
    assert "naive: refuted" in _labels(figure)
    assert any(label.startswith("tested: ") for label in _labels(figure))
    assert not any("accepted" in label or "leading" in label for label in _labels(figure))


def test_words_floors_and_limits() -> None:
    """With no claim there is no verdict and no curve, but what the theory predicts instead."""
    sizes, errors, reports = ladder("matched", "naive")
    figure = convergence_figure(
        sizes, errors, reports, verdicts={"matched": "supported (faster than claimed)", "naive": ""},
        floors={"naive": [0.5, 0.6, 0.6, 0.7]}, limits={"naive": 0.4}, symbol="m",
    )  # fmt: skip
    (axes,) = figure.axes
    assert {"matched: supported (faster than claimed)", "naive", "predicted floor"} <= set(_labels(figure))
    assert list(_line(axes, "predicted floor").get_ydata()) == [0.5, 0.6, 0.6, 0.7]
    assert list(_line(axes, r"$m = \infty$").get_ydata()) == [0.4, 0.4]
    assert sum("accepted" in label for label in _labels(figure)) == 1
    assert axes.get_xlabel() == "$m$"
    colours = {line.get_color() for line in axes.lines if line.get_label() in ("predicted floor", r"$m = \infty$")}
    assert len(colours) == 1
    # Marks differ, too, not colours alone.
    assert len({container.lines[0].get_marker() for container in axes.containers}) == 2


@pytest.mark.parametrize("name", ["tanh", "exp(-(x+1/100)**2/2)*cos(x) + tanh(3*x/2)*exp(-x**2), matched"])
def test_the_legend_fits_and_stands_outside_the_axes(name: str) -> None:
    sizes, errors, reports = ladder("relu")
    wide = {name: errors["relu"], f"{name} again": errors["relu"]}
    made = convergence_figure(
        sizes, wide, dict.fromkeys(wide, reports["relu"]),
        verdicts=dict.fromkeys(wide, "supported (faster than claimed)"), title="CK", caption="seed 0",
    )  # fmt: skip
    spectrum = spectrum_figure(law(800), np.linspace(*law(800).edges[0], 400), label="network of 2000 neurons")
    for figure in (made, spectrum):
        figure.canvas.draw()
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert all(not box.overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_a_sweep_has_axes_for_each_quantity() -> None:
    places = np.linspace(0, 1, 5)
    curves = {"$a$": 1000 * places, "$b$": 1e-3 * places**2, "$c$": np.zeros(5), "$d$": [1, np.nan, 2, np.nan, np.nan]}
    figure = sweep_figure(
        places, curves, xlabel=r"$\sigma_a^2$", ends={"stability is lost": 0.75}, title="tanh", caption="30 points"
    )
    assert [axes.get_ylabel() for axes in figure.axes] == list(curves)
    for axes, values in zip(figure.axes, curves.values(), strict=True):
        assert np.array_equal(axes.lines[0].get_ydata(), values, equal_nan=True)
        assert any(list(line.get_xdata()) == [0.75, 0.75] for line in axes.lines)
    assert list(figure.axes[2].get_yticks()) == [0]
    # Points between others that do not exist are seen.
    assert list(figure.axes[3].lines[1].get_ydata()) == [1, 2]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", *[r"$\sigma_a^2$"] * 3]
    assert figure.get_supxlabel() == "dashed: stability is lost at $\\sigma_a^2$ = 0.75\n30 points"
    assert "dashed" not in sweep_figure(places, curves, xlabel="x", ends={"stability is lost": 2.0}).get_supxlabel()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: spectrum_figure(law(), []), "sequence of finite numbers"),
        (lambda: spectrum_figure(law(), [np.nan]), "sequence of finite numbers"),
        (lambda: spectrum_figure(law(), np.eye(2)), r"not an array of shape \(2, 2\)"),
        (lambda: spectrum_figure(law(), [1.0, 2.0, 3.0], draws=2), "3 eigenvalues are not those of 2 draws"),
        (lambda: sweep_figure([1, 2], {}, xlabel="x"), "there must be curves of 2 values"),
        (lambda: sweep_figure([1, 2], {"a": [1]}, xlabel="x"), "there must be curves of 2 values"),
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
    shared, (top, bottom) = new_figure(2, 1, heights=(3, 1))
    assert shared.axes[0].get_gridspec().get_height_ratios() == (3, 1)
    bottom.set_xlim(0, 7)
    assert top.get_xlim() == (0, 7)


def test_matplotlib_is_not_imported_before_it_is_needed() -> None:
    program = "import sys, numerics.publish.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_eigenvalues_are_drawn_by_rank() -> None:
    figure = eigenvalue_figure(
        {"data": [1.0, 4.0, 2.0], "twin": [3.0, 0.0, -1.0]}, {"Gbar": [5.0, 6.0, 7.0]}, title="t", caption="c"
    )
    (axes,) = figure.axes
    assert sorted(_labels(figure)) == ["Gbar", "data", "twin"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert np.array_equal(_line(axes, "data").get_xydata(), [[1, 4], [2, 2], [3, 1]])
    assert np.array_equal(_line(axes, "twin").get_xydata(), [[1, 3]])
    assert np.array_equal(_line(axes, "Gbar").get_ydata(), [7, 6, 5])
    assert (axes.get_title(), figure.get_supxlabel()) == ("t", "c")
