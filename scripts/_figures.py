"""Figures of the scripts: one style, colours that a colour-blind reader tells apart, files all or nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _cli

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "new_figure", "prepare_figure", "write_figure"]

#: File endings that are accepted.
FORMATS = (".png", ".pdf", ".svg")
#: Okabe and Ito's palette.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.dpi": 150,
    "svg.hashsalt": "deqverify",
}


def prepare_figure(option: str, target: str | None) -> None:
    """Raise UsageError when a figure could not be written to ``target`` later (None is no figure)."""
    if target is None:
        return
    if Path(target).suffix.lower() not in FORMATS:
        raise _cli.UsageError(f"{option} {target}: give a file that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    _cli.prepare_output(target, option)


def new_figure(rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float = 4.5) -> tuple[Figure, Any]:
    """Return a figure in the house's style, in inches, and its axes (an array where there are several)."""
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "axes.prop_cycle": cycler(color=_COLOURS)}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns)
    return figure, axes


def write_figure(target: str, figure: Figure) -> None:
    """Write a figure, without a date, so that the same figure gives the same bytes; all of it or nothing."""
    import matplotlib as mpl

    path = Path(target)
    ending = path.suffix.lower()
    metadata: dict[str, Any] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(ending, {})
    handle, temporary = tempfile.mkstemp(suffix=ending, dir=path.parent)
    os.close(handle)
    try:
        with mpl.rc_context(_STYLE):
            figure.savefig(temporary, metadata=metadata)
        _cli.move_into_place(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
