"""The named activations, and what an activation is like."""

from theory.activations.activation import Activation, Parameter
from theory.activations.registry import get, names, resolve
from theory.activations.structure import fold_reflections, reflect

__all__ = [
    "Activation",
    "Parameter",
    "fold_reflections",
    "get",
    "names",
    "reflect",
    "resolve",
]
