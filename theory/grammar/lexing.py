"""Text to syntax tree: the first two gates of the parser, and its one error.

A lexical scan lets through ASCII names, numbers, brackets and the listed operators only, each where
an operand or an operator may stand, and knows the column of whatever else it meets.  Only then does
the standard library's ``ast.parse``, which builds a tree and executes nothing, arrange the tokens.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Collection
from typing import NoReturn

import sympy as sp

__all__ = [
    "ActivationSyntaxError",
    "Source",
]

#: Characters of text that are read at all.
MAX_LENGTH = 1000
#: Nodes of the syntax tree, and its depth (a sum of k terms is k deep).
MAX_NODES = 400
MAX_DEPTH = 100
#: Brackets inside brackets.
MAX_BRACKETS = 40
#: Digits of one literal, and the size of the exponent in scientific notation.
MAX_DIGITS = 60
MAX_DECIMAL_EXPONENT = 100
_TOKEN = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<operator>\*\*|<=|>=|==|!=|[-+*/(),<>&|])"
    r"|(?P<space> +)",
    re.ASCII,
)
_FORBIDDEN = {
    "^": "write ** for a power",
    ".": "attributes are not part of the grammar, only numbers such as 0.5 contain a point",
    "=": "comparisons are <, <=, > and >=",
    "!": "comparisons are <, <=, > and >=",
    "~": "write the opposite comparison",
    "%": "the operators are + - * / **",
    "[": "write brackets as ( )",
    "]": "write brackets as ( )",
    "{": "write brackets as ( )",
    "}": "write brackets as ( )",
}
_DEFAULT_FORBIDDEN = "an expression has numbers, names, ( ) and the operators + - * / ** only"
_KEYWORD_HINTS = {
    "and": "combine conditions with &, as in (x > 0) & (x < 1)",
    "or": "combine conditions with |, as in (x < 0) | (x > 1)",
    "not": "write the opposite comparison",
    "if": "write Piecewise((x, x > 0), (0, True))",
    "else": "write Piecewise((x, x > 0), (0, True))",
}


class ActivationSyntaxError(ValueError):
    """Text that is not an activation or a number, said in one sentence.

    Attributes:
        message: the sentence: what is wrong, at which column, and what would be accepted.
        column: column of the offending part, counted from 1; None where the whole text is at fault.
        text: the text that was given.
    """

    def __init__(self, message: str, column: int | None, text: str) -> None:
        super().__init__(message, column, text)
        self.message = message
        self.column = column
        self.text = text

    def __str__(self) -> str:
        return self.message


class Source:
    """One text, scanned; knows its columns.

    Attributes:
        text: the text as given.
        numbers: exact value of each numeric literal, by the column offset of its node in the tree.
    """

    def __init__(self, text: str, example: str, functions: Collection[str]) -> None:
        self.text = text
        self.numbers: dict[int, sp.Rational] = {}
        self._shift = len(text) - len(text.lstrip(" "))
        self._example = example
        self._functions = functions

    def fail(self, where: ast.AST | int | None, what: str, accepted: str) -> NoReturn:
        """Raise the error at a node, at a column counted from 1, or (None) at the whole text."""
        if isinstance(where, ast.AST):
            where = int(getattr(where, "col_offset", 0)) + self._shift + 1
        place = "" if where is None else f" at column {where}"
        raise ActivationSyntaxError(f"{what}{place}; {accepted}", where, self.text)

    def tree(self) -> ast.expr:
        """Scan the text and arrange it.

        Raises:
            ActivationSyntaxError: the text is outside the alphabet, out of order or too large.
        """
        if len(self.text) > MAX_LENGTH:
            what = f"the text has {len(self.text)} characters"
            self.fail(None, what, f"at most {MAX_LENGTH} are read")
        if not self.text.strip(" "):
            self.fail(None, "the text is empty", f"write an expression such as {self._example}")
        self._scan()
        try:
            tree = ast.parse(self.text[self._shift :], mode="eval").body
        except SyntaxError as error:
            column = (error.offset or 1) + self._shift
            self.fail(column, "the expression is out of order", "an operator or operand is missing")
        except (ValueError, MemoryError, RecursionError):
            self.fail(None, "the text is nested too deeply", "write a simpler expression")
        self._survey(tree)
        return tree

    def _scan(self) -> None:
        """Refuse what is outside the alphabet or out of order; read numbers; balance brackets."""
        position = 0
        opened = list[int]()
        before, kind_before, callable_before = "", "start", False
        while position < len(self.text):
            match = _TOKEN.match(self.text, position)
            column = position + 1
            if match is None:
                self._forbidden(position)
            kind, lexeme = str(match.lastgroup), match.group()
            position = match.end()
            if kind == "space":
                continue
            if kind == "name" and keyword.iskeyword(lexeme) and lexeme != "True":
                accepted = _KEYWORD_HINTS.get(lexeme, f"write an expression such as {self._example}")
                self.fail(column, f"{lexeme!r} is not part of the grammar", accepted)
            if lexeme == ")" and not opened:
                self.fail(column, "')' closes nothing", "remove it or add '(' before it")
            if kind_before in ("number", "name") or before == ")":
                self._after_operand(before, kind_before, lexeme, kind, column)
            elif not (callable_before and lexeme == ")"):
                self._after_operator(lexeme, kind, column)
            callable_before = lexeme == "(" and kind_before == "name"
            if kind == "number":
                self.numbers[column - 1 - self._shift] = self._literal(lexeme, column)
            elif lexeme == "(":
                opened.append(column)
                if len(opened) > MAX_BRACKETS:
                    what = "the brackets are nested too deeply"
                    self.fail(column, what, f"at most {MAX_BRACKETS} levels are read")
            elif lexeme == ")":
                opened.pop()
            elif lexeme in ("==", "!="):
                what = f"{lexeme} is not part of the grammar"
                self.fail(column, what, "comparisons are <, <=, > and >=")
            before, kind_before = lexeme, kind
        if opened:
            self.fail(opened[-1], "'(' is never closed", "add ')'")
        if kind_before == "operator" and before != ")":
            what = "the expression ends too early"
            self.fail(len(self.text.rstrip(" ")) + 1, what, f"an operand must follow {before}")

    def _after_operand(self, before: str, kind_before: str, lexeme: str, kind: str, column: int) -> None:
        """Two operands side by side: a missing operator, or a function without brackets."""
        if kind == "operator" and not (lexeme == "(" and kind_before != "name"):
            return
        what = f"there is no operator between {_short(before)} and {_short(lexeme)}"
        if before in self._functions and kind != "operator":
            self.fail(column, what, f"write {before}(...)")
        self.fail(column, what, "write * for a product")

    def _after_operator(self, lexeme: str, kind: str, column: int) -> None:
        """After an operator, a comma, an opening bracket or at the start an operand must come."""
        if kind == "operator" and lexeme not in ("(", "+", "-"):
            what = f"{lexeme!r} is out of place"
            self.fail(column, what, "a number, a name or '(' must stand there")

    def _forbidden(self, position: int) -> NoReturn:
        character = self.text[position]
        what = f"the character {character!a} is not part of the grammar"
        if not character.isascii():
            accepted = "only ASCII text is read"
        else:
            accepted = _FORBIDDEN.get(character, _DEFAULT_FORBIDDEN)
        self.fail(position + 1, what, accepted)

    def _literal(self, lexeme: str, column: int) -> sp.Rational:
        mantissa, _, exponent = lexeme.lower().partition("e")
        whole, _, decimals = mantissa.partition(".")
        if len(whole + decimals) > MAX_DIGITS:
            what = f"the number has {len(whole + decimals)} digits"
            self.fail(column, what, f"at most {MAX_DIGITS} are read")
        power = exponent.lstrip("+-").lstrip("0") or "0"
        if len(power) > 4 or int(power) > MAX_DECIMAL_EXPONENT:
            what = f"the exponent of the number {_short(lexeme)} is too large"
            self.fail(column, what, f"exponents run to {MAX_DECIMAL_EXPONENT} in size")
        if "." not in lexeme and not exponent and whole != "0" and whole.startswith("0"):
            what = f"the number {_short(lexeme)} begins with 0"
            self.fail(column, what, "write it without leading zeros")
        scale = (-int(power) if exponent.startswith("-") else int(power)) - len(decimals)
        return sp.Rational(int(whole + decimals)) * sp.Rational(10) ** scale

    def _survey(self, tree: ast.expr) -> None:
        """Bound the tree before anything recurses over it."""
        count, level = 0, [tree]
        for depth in range(1, MAX_DEPTH + 1):
            count += len(level)
            level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
            if not level:
                break
            if depth == MAX_DEPTH:
                what = "the expression is too deep"
                self.fail(level[0], what, f"at most {MAX_DEPTH} levels are read")
        if count > MAX_NODES:
            self.fail(None, f"the expression has {count} parts", f"at most {MAX_NODES} are read")


def _short(lexeme: str) -> str:
    return repr(lexeme if len(lexeme) <= 30 else lexeme[:27] + "...")
