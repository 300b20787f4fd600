"""How results show themselves: as HTML tables in a notebook, and on Matplotlib axes in the house's style.

Matplotlib is imported by the functions, not by this module.  Colours are Okabe and Ito's, which a colour-blind reader
tells apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "MARK", "MEASURED", "PREDICTED", "STYLE", "axes_or_new", "html_table"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
#: Of what is predicted, of single places, and of what is measured.
PREDICTED, MARK, MEASURED = "#0072B2", "#D55E00", "#C8C8C8"
#: Matplotlib's settings for all figures.
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "font.size": 10,
    "legend.fontsize": 9,
    "figure.dpi": 150,
    "svg.hashsalt": "deqverify",
}


def axes_or_new(axes: Axes | None) -> Axes:
    """Return axes to draw on: those given, or those of a new pyplot figure in the house's style."""
    if axes is not None:
        return axes
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib import pyplot

    with mpl.rc_context({**STYLE, "axes.prop_cycle": cycler(color=COLOURS)}):
        return pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")[1]


def html_table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in HTML; all texts are escaped.

    Args:
        caption: above the table.
        headings: of the columns.
        rows: one text a column.

    Example:
        >>> html_table("a < b", ["x"], [["1"]])
        '<table><caption>a &lt; b</caption><thead><tr><th>x</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
