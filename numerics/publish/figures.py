"""Figures of the studies, returned to the caller: a spectrum under its law, errors along a ladder of sizes.

They are Matplotlib figures that belong to no window: a notebook shows one that a cell ends with, and `savefig` writes
one.  Matplotlib is imported by the functions, not by this module.  Colours are Okabe and Ito's, which a colour-blind
reader tells apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from numerics.arrays import Array
from numerics.experiments import RateReport
from numerics.spectrum import SpectralLaw, isolated_eigenvalues

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "STYLE",
    "convergence_figure",
    "new_figure",
    "spectrum_figure",
]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_PREDICTED, _MARK, _MEASURED, _CROSS = "#0072B2", "#D55E00", "#BBBBBB", "#444444"
#: Matplotlib's settings for all figures.
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.dpi": 150,
    "svg.hashsalt": "deqverify",
}
_FEWEST_BINS, _MOST_BINS = 20, 120


@cache
def _figure_type() -> type[Figure]:
    """A figure that a notebook shows whether pyplot was imported or not."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            buffer = BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    return NotebookFigure


def new_figure(rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float = 4.5) -> tuple[Figure, Any]:
    """Return an empty figure in the house's style, and its axes.

    Args:
        rows: of axes.
        columns: of axes.
        width: in inches.
        height: in inches.

    Returns:
        The figure, and its axes (an array of them where there are several).
    """
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with mpl.rc_context({**STYLE, "axes.prop_cycle": cycler(color=_COLOURS)}):
        figure = _figure_type()(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns)
    return figure, axes


def spectrum_figure(
    law: SpectralLaw,
    eigenvalues: ArrayLike,
    *,
    isolated: ArrayLike | None = None,
    smoothed: tuple[Array, Array] | None = None,
    label: str = "exact kernel",
    title: str = "",
) -> Figure:
    """Draw measured eigenvalues under the density that a law predicts, and isolated eigenvalues as marks.

    Args:
        law: the prediction.
        eigenvalues: (n,) array, of one kernel or of several draws together.
        isolated: (k,) array of those that are marks, not in the histogram; by default those that
            `numerics.spectrum.isolated_eigenvalues` finds.
        smoothed: (m,) array of places and (m,) array of an estimated density there, drawn in place of the histogram
            where not all eigenvalues are known.
        label: what was measured, for the legend.
        title: above the picture.

    Raises:
        ValueError: eigenvalues that are absent or not finite.
    """
    spectrum = np.asarray(eigenvalues, dtype=np.float64)
    if spectrum.ndim != 1 or not spectrum.size or not np.isfinite(spectrum).all():
        raise ValueError(f"eigenvalues must be a sequence of finite numbers, not an array of shape {spectrum.shape}")
    apart = isolated_eigenvalues(spectrum, law, 0.0)[0] if isolated is None else np.asarray(isolated, dtype=np.float64)
    figure, axes = new_figure(width=7.5, height=4.2)
    if smoothed is None:
        highest = _draw_histogram(axes, spectrum, apart, label)
    else:
        axes.fill_between(*smoothed, color=_MEASURED, lw=0, label=label)
        highest = float(smoothed[1].max())
    top = _draw_law(axes, law, highest)
    cross = {"marker": "x", "color": _CROSS, "ms": 6}
    triangle = {"marker": "v", "color": _MARK, "ms": 10, "mfc": "none", "mew": 1.6}
    for values, mark, name in (
        (apart, cross, "isolated, measured"),
        (law.outlier_values, triangle, "isolated, predicted"),
    ):
        if values.size:
            axes.plot(values, np.full(values.size, 0.03 * top), ls="none", label=name, **mark)
    axes.set(xlabel="eigenvalue", ylabel="density", ylim=(0, top))
    axes.set_title(title, fontsize=10)
    axes.legend(loc="upper right", fontsize=9)
    return figure


def _draw_histogram(axes: Any, spectrum: Array, apart: Array, label: str) -> float:
    """Histogram of the eigenvalues that are not isolated, as a share of all; returns its highest bar."""
    bins = int(np.clip(1.5 * np.sqrt(spectrum.size), _FEWEST_BINS, _MOST_BINS))
    heights, walls = np.histogram(spectrum[~np.isin(spectrum, apart)], bins=bins)
    share = heights / spectrum.size / np.diff(walls)
    axes.stairs(share, walls, fill=True, color=_MEASURED, label=label)
    return float(share.max())


def _draw_law(axes: Any, law: SpectralLaw, highest: float) -> float:
    """The predicted density, interval by interval, and the point mass; returns the height of the picture."""
    places = law.density_points(1000)
    density = law.density(places)
    for left, right in law.edges:
        part = (places >= left) & (places <= right)
        name = "predicted density" if left == law.edges[0][0] else None
        axes.plot(places[part], density[part], color=_PREDICTED, lw=1.8, label=name)
    if law.point is not None:
        name = f"point mass {law.point_mass:.3g}, predicted"
        axes.axvline(law.point, color=_PREDICTED, lw=1.2, ls=":", label=name)
    # The bar at a point mass would dwarf the density.
    seen = float(density[np.isfinite(density)].max(initial=0.0))
    return 1.12 * max(seen, highest if law.point is None else 0.0) or 1.1 * highest


def convergence_figure(
    sizes: Sequence[int],
    errors: Mapping[str, Sequence[ArrayLike]],
    reports: Mapping[str, RateReport] | None = None,
    *,
    symbol: str = "p",
    ylabel: str = "error in operator norm",
    title: str = "",
) -> Figure:
    """Draw errors against size on logarithmic axes: draws, means with standard errors, fitted lines, slope -1/2.

    Args:
        sizes: ascending.
        errors: by name of what was studied, one (draws,) array for each size.
        reports: what `numerics.experiments.report_rate` says of them, by the same names; their lines are drawn.
        symbol: of the size.
        ylabel: what the errors are.
        title: above the picture.

    Raises:
        ValueError: sizes or errors that are not positive, or not one sequence of errors for each size.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    values = np.asarray(sizes, dtype=np.float64)
    draws = {name: [np.asarray(row, dtype=np.float64) for row in rows] for name, rows in errors.items()}
    for name, rows in draws.items():
        if len(rows) != values.size or not all(row.ndim == 1 and row.size and (row > 0).all() for row in rows):
            raise ValueError(f"the errors of {name} must be {values.size} sequences of positive numbers, one a size")
    if not draws or not (values > 0).all():
        raise ValueError("sizes must be positive, and there must be errors")
    figure, axes = new_figure(width=6.4, height=4.6)
    for name, rows in draws.items():
        spreads = [row.std(ddof=1) / np.sqrt(row.size) if row.size > 1 else 0.0 for row in rows]
        points = axes.errorbar(values, [row.mean() for row in rows], spreads, fmt="o", capsize=3, zorder=3)
        colour = points.lines[0].get_color()
        for size, row in zip(values, rows, strict=True):
            axes.plot(np.full(row.size, size), row, ".", color=colour, alpha=0.25, markersize=4)
        label = name
        report = (reports or {}).get(name)
        if report is not None and report.fit is not None:
            line = report.fit.plain
            label += f": slope {line.slope:.2f} [{line.interval[0]:.2f}, {line.interval[1]:.2f}]"
            axes.plot(values, np.exp(line.intercept) * values**line.slope, color=colour, linewidth=1)
        points.set_label(label)
    # Below all means, so that it crosses none of them.
    scaled = [row.mean() * size**0.5 for rows in draws.values() for size, row in zip(values, rows, strict=True)]
    anchor = 0.85 * min(scaled)
    axes.plot(values, anchor * values**-0.5, "--", color="0.5", label=rf"${symbol}^{{-1/2}}$")
    axes.set(xscale="log", yscale="log", xlabel=symbol, ylabel=ylabel, title=title)
    axes.set_xticks(values, [f"{size:g}" for size in values], minor=False)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False)
    return figure
