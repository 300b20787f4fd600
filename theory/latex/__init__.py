"""Names, equations, constants and expressions as LaTeX."""

from theory.latex.cells import CENTRED_SYMBOLS, GENERAL_SYMBOLS, coupled_sets
from theory.latex.constants import script
from theory.latex.equations import Equation, EquationSet, activation_moments, activation_system, general_sets
from theory.latex.expressions import LatexError, inline, latex, run
from theory.latex.forms import (
    NormalCDF,
    RealPart,
    name_long_constants,
    readable,
    with_normal_cdf,
)
from theory.latex.layout import Chunk, Run, aligned, joined, width
from theory.latex.names import COEFFICIENT_SYMBOLS

__all__ = [
    "CENTRED_SYMBOLS",
    "COEFFICIENT_SYMBOLS",
    "GENERAL_SYMBOLS",
    "Chunk",
    "Equation",
    "EquationSet",
    "LatexError",
    "NormalCDF",
    "RealPart",
    "Run",
    "activation_moments",
    "activation_system",
    "aligned",
    "coupled_sets",
    "general_sets",
    "inline",
    "joined",
    "latex",
    "name_long_constants",
    "readable",
    "run",
    "script",
    "width",
    "with_normal_cdf",
]
