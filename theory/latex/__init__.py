"""Names, equations, constants and expressions as LaTeX."""

from theory.latex.constants import constant, script
from theory.latex.equations import EquationSet, activation_moments, activation_system, general_sets
from theory.latex.expressions import LatexError, inline, latex, run
from theory.latex.forms import (
    NormalCDF,
    RealPart,
    by_coefficient,
    gathered,
    in_activation,
    name_long_constants,
    readable,
    real_parts,
    with_normal_cdf,
)
from theory.latex.layout import Chunk, Run, aligned, flat, joined, lines, width
from theory.latex.names import COEFFICIENT_SYMBOLS

__all__ = [
    "COEFFICIENT_SYMBOLS",
    "Chunk",
    "EquationSet",
    "LatexError",
    "NormalCDF",
    "RealPart",
    "Run",
    "activation_moments",
    "activation_system",
    "aligned",
    "by_coefficient",
    "constant",
    "flat",
    "gathered",
    "general_sets",
    "in_activation",
    "inline",
    "joined",
    "latex",
    "lines",
    "name_long_constants",
    "readable",
    "real_parts",
    "run",
    "script",
    "width",
    "with_normal_cdf",
]
