"""The picture of what several learners learn: errors along a ridge, a ratio, a time or a width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from numerics.arrays import Array
from numerics.publish.figures import MARKS, finish_figure, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LearnerCurve", "learning_figure"]

#: Distance between the marks of two learners at one value, in its logarithm.
_DODGE = 0.03
#: Of curves that may coincide: the first is broad, the others lie on it.
_LINES = (("-", 3.0), ("--", 1.6), ("-.", 1.6), (":", 1.6))
#: Values that all have a tick of their own.
_MOST_TICKS = 8


@dataclass(frozen=True)
class LearnerCurve:
    """One learner's errors.

    Attributes:
        fine: (F,) array of the values at which they are predicted, positive.
        predicted: (F,) array, nan where nothing is predicted.
        measured: a (draws,) array for every value that was measured, none for none.
    """

    fine: Array
    predicted: Array
    measured: Sequence[ArrayLike] = ()


def learning_figure(
    values: Sequence[float],
    curves: Mapping[str, LearnerCurve],
    *,
    xlabel: str,
    ylabel: str,
    mark: tuple[float, str] | None = None,
    title: str = "",
    caption: str = "",
) -> Figure:
    """Draw predictions as lines and the means of draws, with their standard errors, as marks.

    Args:
        values: at which errors were measured, positive.
        curves: by the learner's name.
        xlabel: what the values are.
        ylabel: what the errors are.
        mark: a value that is marked by a vertical line, and what it is.
        title: above the picture.
        caption: below it, in small type.

    Raises:
        ValueError: no curves, or values that are not positive.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    places = np.asarray(values, dtype=np.float64)
    if not curves or not np.all(places > 0):
        raise ValueError("there must be curves, and their values must be positive")
    figure, axes = new_figure(width=6.4, height=4.8)
    handles = []
    for position, (name, curve) in enumerate(curves.items()):
        known = bool(np.any(np.isfinite(curve.predicted)))
        mark_of, label = MARKS[position % len(MARKS)], name if known else f"{name} (nothing predicted)"
        style, width = _LINES[position % len(_LINES)]
        (line,) = axes.plot(curve.fine, curve.predicted, marker=mark_of, markevery=[], label=label, ls=style, lw=width)
        handles.append(line)
        rows = [np.asarray(row, dtype=np.float64) for row in curve.measured]
        if rows:
            beside = places * np.exp(_DODGE * (position - (len(curves) - 1) / 2))
            spreads = [row.std(ddof=1) / np.sqrt(row.size) if row.size > 1 else 0.0 for row in rows]
            means = [row.mean() for row in rows]
            axes.errorbar(beside, means, spreads, fmt=mark_of, color=line.get_color(), capsize=3, ms=5)
    if mark is not None:
        handles.append(axes.axvline(mark[0], color="#777777", ls=":", label=mark[1]))
    axes.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    axes.set_ylim(0, None)
    if places.size <= _MOST_TICKS:
        axes.set_xticks(places, [f"{value:g}" for value in places])
    else:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title(title, fontsize=10)
    finish_figure(figure, (handles, [handle.get_label() for handle in handles]), caption, 2)
    return figure
