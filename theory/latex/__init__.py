"""Names, equations, constants and expressions as LaTeX."""

from theory.latex.constants import script
from theory.latex.equations import EquationSet, activation_moments, activation_system, general_sets
from theory.latex.expressions import LatexError, inline, latex, run
from theory.latex.forms import (
    NormalCDF,
    RealPart,
    name_long_constants,
    readable,
)
from theory.latex.layout import Chunk, Run, aligned, joined, width
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
    "general_sets",
    "inline",
    "joined",
    "latex",
    "name_long_constants",
    "readable",
    "run",
    "script",
    "width",
]
