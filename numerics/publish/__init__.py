"""Results as figures, reports, LaTeX and code."""

from numerics.publish.figures import (
    STYLE,
    convergence_figure,
    draw_spectrum,
    new_figure,
    spectrum_figure,
    sweep_figure,
)

__all__ = [
    "STYLE",
    "convergence_figure",
    "draw_spectrum",
    "new_figure",
    "spectrum_figure",
    "sweep_figure",
]
