"""Text to SymPy by an allow-list grammar."""

from theory.grammar.lexing import ActivationSyntaxError, foreign_character
from theory.grammar.parsing import function_names, parse_activation, parse_number

__all__ = [
    "ActivationSyntaxError",
    "foreign_character",
    "function_names",
    "parse_activation",
    "parse_number",
]
