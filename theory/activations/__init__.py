"""The named activations, and what an activation is like."""

from theory.activations.activation import Activation, Parameter
from theory.activations.registry import registered, registered_names, resolve
from theory.activations.structure import fold_reflections, reflect

__all__ = [
    "Activation",
    "Parameter",
    "fold_reflections",
    "reflect",
    "registered",
    "registered_names",
    "resolve",
]
