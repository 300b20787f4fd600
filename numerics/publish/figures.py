"""Figures of the studies, returned to the caller: a spectrum under its law, errors along a ladder of sizes, sweeps.

They are Matplotlib figures that belong to no window: a notebook shows one that a cell ends with, and `savefig` writes
one.  Matplotlib is imported by the functions, not by this module.  Colours are Okabe and Ito's, which a colour-blind
reader tells apart; line styles and marks differ too, for print without colour.  Symbols are written in mathtext.  The
legend stands outside the axes, and a caption under them says what the picture was made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerics.arrays import Array
from numerics.display import COLOURS, MARK, MEASURED, PREDICTED, STYLE
from numerics.experiments import RateCheck, RateReport
from numerics.spectrum import LawOfKernel, isolated_eigenvalues

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from numerics.equilibrium import StabilityLoss, SweepPoint

__all__ = [
    "MARKS",
    "STYLE",
    "coefficient_figure",
    "convergence_figure",
    "draw_eigenvalues",
    "draw_spectrum",
    "eigenvalue_figure",
    "figure_bytes",
    "finish_figure",
    "made_from",
    "new_figure",
    "short_name",
    "spectrum_figure",
    "sweep_figure",
]

#: Marks of the curves of one picture, by which they differ in grey.
MARKS = ("o", "s", "^", "D", "v", "P", "X")
_CROSS = "#222222"
_FEWEST_BINS, _MOST_BINS = 20, 120
#: Characters of a name, which may be an expression, for which titles and legends have room.
_NAME_LENGTH = 40
#: Characters of a label beside which the legend has room for two others.
_WIDEST_COLUMN = 32
#: Distance between the marks of two curves at one size, in its logarithm.
_DODGE = 0.02
#: A density is drawn up to this multiple of the highest bar; beyond it, as beside a hard edge, it leaves the picture.
_TALLEST = 2.0


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


def new_figure(
    rows: int = 1,
    columns: int = 1,
    *,
    width: float = 7.0,
    height: float = 4.5,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, Any]:
    """Return an empty figure in the house's style, and its axes.

    Args:
        rows: of axes.
        columns: of axes.
        width: in inches.
        height: in inches.
        heights: of the rows, relative to each other, which then share a horizontal axis; equal by default.

    Returns:
        The figure, and its axes (an array of them where there are several).
    """
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with mpl.rc_context({**STYLE, "axes.prop_cycle": cycler(color=COLOURS)}):
        figure = _figure_type()(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, height_ratios=heights, sharex=heights is not None)
    return figure, axes


def figure_bytes(figure: Figure, form: str) -> bytes:
    """Return a figure as a file holds it, without a date, so that the same figure gives the same bytes.

    Args:
        figure: any Matplotlib figure.
        form: "png", "pdf" or "svg".
    """
    import matplotlib as mpl

    undated: dict[str, dict[Any, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    drawn = BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(drawn, format=form, metadata=undated.get(form, {}))
    return drawn.getvalue()


def short_name(text: str) -> str:
    """Return a name or expression, cut where it is too long for a title.

    Example:
        >>> short_name("tanh"), len(short_name("x + " * 30))
        ('tanh', 40)
    """
    return text if len(text) <= _NAME_LENGTH else f"{text[: _NAME_LENGTH - 3]}..."


def made_from(*parts: str) -> str:
    """Return a caption: what a picture was made from, and by which version of this package."""
    try:
        program = f"deqverify {version('deqverify')}"
    except PackageNotFoundError:
        program = "deqverify"
    return ", ".join((*parts, program))


def finish_figure(figure: Figure, entries: tuple[list[Any], list[Any]], caption: str, columns: int) -> None:
    """Put the legend above the axes, and the caption below them.

    Args:
        figure: where.
        entries: handles and labels of the legend.
        caption: in small type; "" for none.
        columns: of the legend.
    """
    if entries[0]:
        figure.legend(*entries, loc="outside upper center", ncols=columns, columnspacing=1.4, frameon=False, fontsize=9)
    if caption:
        figure.supxlabel(caption, fontsize=7.5, color="0.3")


def spectrum_figure(
    law: LawOfKernel,
    eigenvalues: ArrayLike,
    *,
    draws: int = 1,
    isolated: ArrayLike | None = None,
    averages: tuple[Array, Array] | None = None,
    smoothed: tuple[Array, Array] | None = None,
    label: str = "exact kernel",
    title: str = "",
    caption: str = "",
) -> Figure:
    """Draw measured eigenvalues under the density that a law predicts, and below both their extents.

    With the density are drawn its means over the bins of the histogram, to which the bars are to be compared: a peak
    at an edge is narrower than a bin.  The strip below has a row for what is predicted, the support as a bar and
    isolated eigenvalues as marks, and one for what was measured; only places are shown there, no heights.

    Args:
        law: the prediction.
        eigenvalues: (n,) array, of one kernel, or of several draws of equal size one after the other.
        draws: number of draws; from two on the bars have error bars, the standard error over the draws.
        isolated: (k,) array of those that are marks, not in the histogram; by default those that
            `numerics.spectrum.isolated_eigenvalues` finds.
        averages: (r,) array of means of isolated eigenvalues over the draws and (r,) array of their standard errors,
            drawn with error bars; the draws' own are then ticks.
        smoothed: (m,) array of places and (m,) array of an estimated density there, drawn in place of the histogram
            where not all eigenvalues are known.
        label: what was measured, for the legend.
        title: above the picture.
        caption: below it, in small type.

    Raises:
        ValueError: eigenvalues that are absent, not finite, or not the same number from each draw.
    """
    spectrum = np.asarray(eigenvalues, dtype=np.float64)
    if spectrum.ndim != 1 or not spectrum.size or not np.isfinite(spectrum).all():
        raise ValueError(f"eigenvalues must be a sequence of finite numbers, not an array of shape {spectrum.shape}")
    if draws < 1 or (smoothed is None and spectrum.size % draws):
        raise ValueError(f"{spectrum.size} eigenvalues are not those of {draws} draws of equal size")
    apart = isolated_eigenvalues(spectrum, law, 0.0)[0] if isolated is None else np.asarray(isolated, dtype=np.float64)
    figure, (axes, strip) = new_figure(2, 1, width=6.4, height=4.6, heights=(6, 1))
    within = spectrum[~np.isin(spectrum, apart)]
    walls = None
    if smoothed is None:
        walls = _walls(law, within)
        highest = _draw_histogram(axes, spectrum, apart, walls, draws, label, law)
    else:
        axes.fill_between(*smoothed, color=MEASURED, lw=0, label=label)
        highest = float(smoothed[1].max())
        within = smoothed[0][smoothed[1] > 0]
    top = _draw_law(axes, law, highest, walls)
    _draw_strip(strip, law, within, apart, averages)
    axes.set(ylabel="density", ylim=(0, top))
    axes.set_title(title, fontsize=10)
    drawn = [one.get_legend_handles_labels() for one in (axes, strip)]
    finish_figure(figure, ([*drawn[0][0], *drawn[1][0]], [*drawn[0][1], *drawn[1][1]]), caption, columns=3)
    return figure


def draw_spectrum(
    axes: Any, law: LawOfKernel, eigenvalues: ArrayLike, isolated: ArrayLike, *, draws: int = 1, label: str = ""
) -> None:
    """Draw measured eigenvalues under the predicted density on axes; isolated ones, of both, are marks on their foot.

    Args:
        axes: Matplotlib axes to draw on.
        law: the prediction.
        eigenvalues: (n,) array, of one kernel, or of several draws of equal size one after the other.
        isolated: (k,) array of those that are marks, not in the histogram.
        draws: number of draws.
        label: what was measured, for the legend.
    """
    spectrum, apart = np.asarray(eigenvalues, dtype=np.float64), np.asarray(isolated, dtype=np.float64)
    walls = _walls(law, spectrum[~np.isin(spectrum, apart)])
    highest = _draw_histogram(axes, spectrum, apart, walls, draws, label, law)
    axes.set(ylim=(0, _draw_law(axes, law, highest, walls)), xlabel="eigenvalue", ylabel="density")
    foot = {"clip_on": False, "ls": "none", "zorder": 4}
    predicted = law.outlier_values
    if predicted.size:
        style = {"marker": "v", "color": MARK, "ms": 9, "mfc": "none", "mew": 1.5, "label": "isolated, predicted"}
        axes.plot(predicted, np.zeros(predicted.size), **foot, **style)
    axes.plot(apart, np.zeros(apart.size), marker="x", color=_CROSS, ms=6, mew=1.4, **foot, **_labelled(apart))
    axes.legend(frameon=False)


def _draw_strip(
    strip: Any, law: LawOfKernel, within: Array, apart: Array, averages: tuple[Array, Array] | None
) -> None:
    """Two rows, predicted and measured: extents of the bulk as bars, isolated eigenvalues as marks."""
    bar = {"lw": 5, "solid_capstyle": "butt"}
    for left, right in law.edges:
        strip.plot([left, right], [1, 1], color=PREDICTED, **bar)
    if law.point is not None:
        strip.plot([law.point], [1], "|", color=PREDICTED, ms=9, mew=1.6)
    if within.size:
        strip.plot([within.min(), within.max()], [0, 0], color="0.6", **bar)
    if law.outliers:
        strip.plot(
            [o.value for o in law.outliers], np.ones(len(law.outliers)), "v", color=MARK, ms=7, mfc="none", mew=1.5,
            label="isolated, predicted",
        )  # fmt: skip
    for outlier in law.outliers:
        if outlier.multiplicity > 1:
            text, place = f"\u00d7{outlier.multiplicity}", (outlier.value, 1)
            strip.annotate(text, place, (6, 0), textcoords="offset points", va="center", fontsize=8, color=MARK)
    if averages is None:
        strip.plot(apart, np.zeros(apart.size), "x", color=_CROSS, ms=6, mew=1.4, **_labelled(apart))
    else:
        mean, error = averages
        strip.plot(apart, np.zeros(apart.size), "|", color=_CROSS, ms=6, mew=0.6, alpha=0.5)
        style = {"fmt": "x", "color": _CROSS, "ms": 6, "mew": 1.4, "capsize": 2, "elinewidth": 1}
        strip.errorbar(mean, np.zeros(mean.size), xerr=error, **style, **_labelled(mean))
    strip.set(xlabel="eigenvalue", ylim=(-0.7, 1.7))
    strip.set_yticks([1, 0], ["predicted", "measured"], fontsize=9)
    strip.tick_params(axis="y", length=0)
    strip.grid(visible=False, axis="y")


def _labelled(values: Array) -> dict[str, str]:
    """A name for the legend, where there is something to name."""
    return {"label": "isolated, measured"} if values.size else {}


def _walls(law: LawOfKernel, within: Array) -> Array:
    """Walls of equal bins over the support and all eigenvalues; the support's outer edges are in the middle of bins.

    Were an edge a wall, eigenvalues a little beyond it would make a bar of their own.
    """
    left, right = law.edges[0][0], law.edges[-1][1]
    low, high = min([left, *within.tolist()]), max([right, *within.tolist()])
    if not high > low:
        low, high = low - 0.5, high + 0.5
    width = (high - low) / int(np.clip(1.5 * np.sqrt(within.size), _FEWEST_BINS, _MOST_BINS))
    if right - left > width:
        width = (right - left) / round((right - left) / width)
    first, last = (int(np.ceil(gap / width - 0.5 + 1e-9)) for gap in (left - low, high - left))
    return np.asarray(left + width * (np.arange(-first, last + 2) - 0.5))


def _draw_histogram(
    axes: Any, spectrum: Array, apart: Array, walls: Array, draws: int, label: str, law: LawOfKernel
) -> float:
    """Histogram of the eigenvalues that are not isolated, as a share of all; returns its highest bar in the support."""
    rows = spectrum.reshape(draws, -1)
    heights = np.array([np.histogram(row[~np.isin(row, apart)], bins=walls)[0] for row in rows])
    shares = heights / rows.shape[1] / np.diff(walls)
    share, middles = shares.mean(axis=0), (walls[1:] + walls[:-1]) / 2
    axes.stairs(share, walls, fill=True, color=MEASURED, label=label)
    if draws > 1:
        error = shares.std(axis=0, ddof=1) / np.sqrt(draws)
        seen = share > 0
        axes.errorbar(middles[seen], share[seen], error[seen], fmt="none", ecolor="0.45", elinewidth=0.7, zorder=1.5)
    inside = np.zeros(middles.size, dtype=np.bool_)
    for left, right in law.edges:
        inside |= (middles >= left) & (middles <= right)
    return float(share[inside].max(initial=0.0)) or float(share.max())


def _draw_law(axes: Any, law: LawOfKernel, highest: float, walls: Array | None) -> float:
    """The density, interval by interval, its means over bins, the point mass; returns the picture's height."""
    places = law.density_points(1000)
    density = law.density(places)
    for left, right in law.edges:
        part = (places >= left) & (places <= right)
        name = "predicted density" if left == law.edges[0][0] else None
        axes.plot(places[part], density[part], color=PREDICTED, lw=1.6, label=name)
    if walls is not None and law.bulk is not None:
        means = np.diff(law.cumulative(walls)) / np.diff(walls)
        axes.stairs(means, walls, color="black", lw=0.9, label="the same, mean over bins")
        highest = max(highest, float(means[_without_point(walls, law)].max(initial=0.0)))
    if law.point is not None:
        name = f"point mass {law.point_mass:.3g}, predicted"
        axes.axvline(law.point, color=PREDICTED, lw=1.2, ls=":", label=name)
    seen = float(density[np.isfinite(density)].max(initial=0.0))
    return 1.08 * min(max(seen, highest), _TALLEST * highest)


def _without_point(walls: Array, law: LawOfKernel) -> NDArray[np.bool_]:
    """Which bins the point mass is not in: its bar would dwarf the density."""
    if law.point is None:
        return np.ones(walls.size - 1, dtype=np.bool_)
    return np.asarray((walls[:-1] > law.point) | (walls[1:] < law.point))


def convergence_figure(
    sizes: Sequence[int],
    errors: Mapping[str, Sequence[ArrayLike]],
    reports: Mapping[str, RateReport] | None = None,
    *,
    verdicts: Mapping[str, str] | None = None,
    floors: Mapping[str, Sequence[float]] | None = None,
    limits: Mapping[str, float] | None = None,
    symbol: str = "p",
    ylabel: str = "error in operator norm",
    title: str = "",
    caption: str = "",
    axes: Any = None,
) -> Figure:
    """Draw errors against size on logarithmic axes: draws, means with standard errors, and the law that was tested.

    Of a law p^(-1/2) (A_0 + A_1 p^(-1/2) + ...) the curve is drawn, and where it was accepted its leading term, which
    the errors approach with a slope that only in the limit is -1/2.

    Args:
        sizes: ascending.
        errors: by name of what was studied, one (draws,) array for each size.
        reports: what `numerics.experiments.report_rate` says of them, by the same names.
        verdicts: words for the legend, by the same names, in place of the reports'; "" for none, and then no curve.
        floors: predicted at each size, by the same names, for errors that do not fall to 0.
        limits: values that the errors tend to, by the same names.
        symbol: of the size.
        ylabel: what the errors are.
        title: above the picture.
        caption: below it, in small type.
        axes: Matplotlib axes to draw on, the legend inside them, in place of those of a new figure.

    Raises:
        ValueError: sizes or errors that are not positive, or not one sequence of errors for each size.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    values = np.asarray(sizes, dtype=np.float64)
    draws = {name: [np.asarray(row, dtype=np.float64) for row in rows] for name, rows in errors.items()}
    for name, rows in draws.items():
        if len(rows) != values.size or not all(row.ndim == 1 and row.size and (row > 0).all() for row in rows):
            raise ValueError(f"the errors of {name} must be {values.size} sequences of positive numbers, one a size")
    if not draws or not (values > 0).all():
        raise ValueError("sizes must be positive, and there must be errors")
    own = axes is None
    figure, axes = new_figure(width=6.4, height=4.8) if axes is None else (axes.get_figure(root=True), axes)
    fine = np.geomspace(values[0], values[-1], 200)
    lines: list[tuple[Any, list[Any]]] = []
    for position, (name, rows) in enumerate(draws.items()):
        mark = MARKS[position % len(MARKS)]
        # A little beside each other, so that none hides another.
        places = values * np.exp(_DODGE * (position - (len(draws) - 1) / 2))
        spreads = [row.std(ddof=1) / np.sqrt(row.size) if row.size > 1 else 0.0 for row in rows]
        points = axes.errorbar(places, [row.mean() for row in rows], spreads, fmt=mark, capsize=3, ms=5, zorder=3)
        colour = points.lines[0].get_color()
        for place, row in zip(places, rows, strict=True):
            axes.plot(np.full(row.size, place), row, ".", color=colour, alpha=0.25, markersize=4)
        report = (reports or {}).get(name)
        verdict = (verdicts or {}).get(name, "" if report is None else report.verdict)
        # Cut in the middle: what tells two curves of one activation apart is at the end.
        half = _NAME_LENGTH // 2
        shown = name if len(name) <= _NAME_LENGTH else f"{name[: half - 3]}...{name[-half:]}"
        points.set_label(f"{shown}: {verdict}" if verdict else shown)
        beside: list[Any] = []
        if verdict and report is not None and report.check is not None:
            beside += _draw_rate(axes, report.check, fine, colour, symbol)
        if floors and name in floors:
            beside += axes.plot(values, floors[name], "--", color=colour, lw=1.2, label="predicted floor")
        if limits and name in limits:
            dashes = (0, (6, 2, 1, 2))
            beside.append(axes.axhline(limits[name], color=colour, lw=1, ls=dashes, label=rf"${symbol} = \infty$"))
        lines.append((points, beside))
    axes.set(xscale="log", yscale="log", xlabel=f"${symbol}$", ylabel=ylabel)
    axes.set_title(title, fontsize=10)
    axes.set_xticks(values, [f"{size:g}" for size in values], minor=False)
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 5 * low else (1, 1.5, 2, 3, 4, 5, 6, 7, 8)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    # A row for each curve: what was measured and the verdict, then the lines beside it.
    blank = Line2D([], [], ls="none", label=" ")
    columns = 1 + max(len(beside) for _, beside in lines)
    table = [[points, *beside, *[blank] * (columns - 1 - len(beside))] for points, beside in lines]
    handles = [row[column] for column in range(columns) for row in table]
    if max(len(points.get_label()) for points, _ in lines) > _WIDEST_COLUMN:
        columns, handles = 1, [handle for points, beside in lines for handle in (points, *beside)]
    if own:
        finish_figure(figure, (handles, [handle.get_label() for handle in handles]), caption, columns)
    else:
        axes.legend(frameon=False, handles=[handle for points, beside in lines for handle in (points, *beside)])
    return figure


def _draw_rate(axes: Any, check: RateCheck, fine: Array, colour: str, symbol: str) -> list[Any]:
    """The curve whose test decided, and its leading term where the curve was accepted; returns the lines."""
    curve = np.sum([a * fine ** (check.slope - k / 2) for k, a in enumerate(check.amplitudes)], axis=0)
    powers = [f"{symbol}^{{{Fraction(check.slope - k / 2).limit_denominator(100)}}}" for k in range(3)]
    terms = " + ".join(rf"A_{k}\,{power}" for k, power in zip(range(len(check.amplitudes)), powers, strict=False))
    positive = curve > 0
    (line,) = axes.plot(fine[positive], curve[positive], color=colour, lw=1.3)
    if not check.compatible:
        line.set(label=f"tested: ${terms}$", linestyle="-.")
        return [line]
    line.set_label(f"fits: ${terms}$")
    if len(check.amplitudes) == 1:
        return [line]
    leading = check.amplitudes[0] * fine**check.slope
    (first,) = axes.plot(fine, leading, ":", color=colour, lw=1.3, label=rf"leading term $A_0\,{powers[0]}$")
    return [line, first]


#: Styles of the lines at which something ends, and their names.
_END_STYLES = {"--": "dashed", ":": "dotted"}


def sweep_figure(
    places: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ends: Mapping[str, float] | None = None,
    title: str = "",
    caption: str = "",
) -> Figure:
    """Draw quantities along a line of one parameter, each in axes of its own: they differ by orders of magnitude.

    Args:
        places: (n,) array, values of the parameter.
        curves: (n,) arrays by their labels, nan where a quantity does not exist.
        xlabel: what the parameter is.
        ends: values of the parameter at which something ends, by what it is ("stability is lost"); drawn where they lie
            within the picture.
        title: above the picture.
        caption: below it, in small type.

    Raises:
        ValueError: no curves, or one whose size is not that of the places.
    """
    x = np.asarray(places, dtype=np.float64)
    heights = {label: np.asarray(values, dtype=np.float64) for label, values in curves.items()}
    if not heights or any(values.shape != x.shape or x.ndim != 1 for values in heights.values()):
        raise ValueError(f"there must be curves of {x.size} values each, one a place")
    columns = min(3, len(heights))
    rows = -(-len(heights) // columns)
    figure, axes = new_figure(rows, columns, width=7.0, height=1.0 + 1.7 * rows)
    panels = np.atleast_1d(axes).ravel()
    shown = {what: end for what, end in (ends or {}).items() if x.min() <= end <= x.max()}
    for position, (panel, (label, values)) in enumerate(zip(panels, heights.items(), strict=False)):
        panel.plot(x, values, color=PREDICTED, lw=1.5)
        # A single point between others that do not exist has no line.
        lone = np.isfinite(values) & ~np.isfinite(np.roll(values, 1)) & ~np.isfinite(np.roll(values, -1))
        panel.plot(x[lone], values[lone], ".", color=PREDICTED)
        panel.set(xlim=(x.min(), x.max()))
        panel.set_ylabel(label, rotation=0, ha="right", va="center")
        panel.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4), useMathText=True)
        if not np.any(values[np.isfinite(values)]):
            # The range that is chosen for nothing but zeros has no meaning.
            panel.set_yticks([0])
        for end, style in zip(shown.values(), _END_STYLES, strict=False):
            panel.axvline(end, color=MARK, lw=1.1, ls=style)
        if position + columns >= len(heights):
            panel.set_xlabel(xlabel)
        else:
            panel.tick_params(labelbottom=False)
    figure.align_ylabels(panels[: len(heights)])
    for panel in panels[len(heights) :]:
        panel.remove()
    if title:
        figure.suptitle(title, fontsize=10)
    lost = [
        f"{name}: {what} at {xlabel} = {end:.6g}"
        for name, (what, end) in zip(_END_STYLES.values(), shown.items(), strict=False)
    ]
    finish_figure(figure, ([], []), "\n".join(filter(None, (*lost, caption))), columns=1)
    return figure


def eigenvalue_figure(
    measured: Mapping[str, ArrayLike], predicted: Mapping[str, ArrayLike], *, title: str = "", caption: str = ""
) -> Figure:
    """Draw spectra by rank, on logarithmic axes: eigenvalues of data fall over decades, and no histogram shows them.

    Args:
        measured: eigenvalues, an (n,) array for each of up to two labels: drawn as points.
        predicted: eigenvalues, an (n,) array for each of up to three labels: drawn as lines.
        title: above the picture.
        caption: below it, in small type.
    """
    figure, axes = new_figure()
    draw_eigenvalues(axes, measured, predicted)
    axes.set_title(title, fontsize=10)
    entries = axes.get_legend_handles_labels()
    finish_figure(figure, entries, caption, columns=2)
    return figure


def draw_eigenvalues(axes: Any, measured: Mapping[str, ArrayLike], predicted: Mapping[str, ArrayLike]) -> None:
    """Draw spectra by rank on axes of one's own.

    Args:
        axes: Matplotlib's.
        measured: eigenvalues, an (n,) array for each of up to two labels: drawn as points.
        predicted: eigenvalues, an (n,) array for each of up to three labels: drawn as lines.
    """
    points: tuple[dict[str, Any], ...] = (
        {"marker": "o", "ms": 7, "color": MEASURED, "zorder": 1},
        {"marker": ".", "ms": 5, "color": COLOURS[2], "zorder": 2},
    )
    for (label, values), point in zip(measured.items(), points, strict=False):
        axes.plot(*_by_rank(values), ls="", mew=0, label=label, rasterized=True, **point)
    lines = (("-", PREDICTED), ("--", MARK), (":", _CROSS))
    for (label, values), (style, colour) in zip(predicted.items(), lines, strict=False):
        axes.plot(*_by_rank(values), style, color=colour, lw=1.4, label=label, zorder=3)
    axes.set(xscale="log", yscale="log", xlabel="rank", ylabel="eigenvalue")


def _by_rank(values: ArrayLike) -> tuple[Array, Array]:
    """Ranks and eigenvalues, descending, those that a logarithm has."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    kept = ordered > 0
    return np.arange(1.0, ordered.size + 1)[kept], ordered[kept]


#: The parameters along which coefficients are swept, and how pictures write them.
_PARAMETERS = {"sigma_a2": r"$\sigma_a^2$", "sigma_b2": r"$\sigma_b^2$", "tau0": r"$\tau_0$"}


def coefficient_figure(
    parameter: str,
    points: Sequence[SweepPoint],
    keys: Sequence[str],
    losses: Sequence[StabilityLoss] = (),
    *,
    fixed: Mapping[str, str] | None = None,
    title: str = "",
) -> Figure:
    """Draw the coefficients of a DEQ along a line of one parameter, and where stability and the NTK are lost.

    Args:
        parameter: "sigma_a2", "sigma_b2" or "tau0".
        points: as `numerics.equilibrium.sweep` gives them.
        keys: of the coefficients to draw, from ``theory.kernels.COEFFICIENTS``.
        losses: as `numerics.equilibrium.locate_stability_loss` and `locate_ntk_loss` give them.
        fixed: the other parameters' values in mathtext, for the caption.
        title: above the picture.
    """
    from theory.latex import COEFFICIENT_SYMBOLS

    others = [f"{_PARAMETERS[name][:-1]} = {value}$" for name, value in (fixed or {}).items()]
    return sweep_figure(
        [float(point.value) for point in points],
        {f"${COEFFICIENT_SYMBOLS[key]}$": [float(point.decimals.get(key, "nan")) for point in points] for key in keys},
        xlabel=_PARAMETERS[parameter],
        ends={
            "the NTK is lost" if loss.kind == "ntk" else "stability is lost": float(loss.sigma_a2)
            for loss in losses
            if loss.sigma_a2 is not None
        },
        title=title,
        caption=made_from(*others, f"{len(points)} points"),
    )
