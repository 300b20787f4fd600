"""Results as figures, reports, LaTeX and code."""

from numerics.publish.figures import (
    STYLE,
    coefficient_figure,
    convergence_figure,
    draw_eigenvalues,
    draw_spectrum,
    eigenvalue_figure,
    figure_bytes,
    made_from,
    new_figure,
    short_name,
    spectrum_figure,
    sweep_figure,
)
from numerics.publish.learning import LearnerCurve, learning_figure
from numerics.publish.network_code import EmissionError, emit_network
from numerics.publish.report import html_report, markdown_report
from numerics.publish.verdict_file import Planted, RecordedVerdict, VerdictFile, VerdictFileError, read_verdicts

__all__ = [
    "STYLE",
    "EmissionError",
    "LearnerCurve",
    "Planted",
    "RecordedVerdict",
    "VerdictFile",
    "VerdictFileError",
    "coefficient_figure",
    "convergence_figure",
    "draw_eigenvalues",
    "draw_spectrum",
    "eigenvalue_figure",
    "emit_network",
    "figure_bytes",
    "html_report",
    "learning_figure",
    "made_from",
    "markdown_report",
    "new_figure",
    "read_verdicts",
    "short_name",
    "spectrum_figure",
    "sweep_figure",
]
