"""Text to SymPy by an allow-list grammar."""

from theory.grammar.lexing import ActivationSyntaxError
from theory.grammar.parsing import parse_activation, parse_number

__all__ = [
    "ActivationSyntaxError",
    "parse_activation",
    "parse_number",
]
