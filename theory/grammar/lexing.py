"""Text to syntax tree: the first two gates of the parser, and its one error.

A lexical scan lets through ASCII names, numbers, brackets and the listed operators only, each where
an operand or an operator may stand, and knows the column of whatever else it meets.  It writes the
tokens down as Python spells them: |x| as Abs(x), ^ as **, np.tanh as tanh.  Only then does the standard
library's ``ast.parse``, which builds a tree and executes nothing, arrange them.
"""

from __future__ import annotations

import ast
import keyword
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

import sympy as sp

from theory.named import MODULES

__all__ = [
    "ActivationSyntaxError",
    "Source",
    "foreign_character",
]

#: Characters of text that are read at all.
MAX_LENGTH = 1000
#: Nodes of the syntax tree, and its depth (a sum of k terms is k deep).
MAX_NODES = 400
MAX_DEPTH = 100
#: Brackets inside brackets.
MAX_BRACKETS = 40
#: Digits of one literal, as many as an exact number may have, and the size of the exponent in scientific notation.
MAX_DIGITS = 302
MAX_DECIMAL_EXPONENT = 100
_TOKEN = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<operator>\*\*|<=|>=|==|!=|[-+*/(),<>&|^=])"
    r"|(?P<word>'[a-z]+'|\"[a-z]+\")"
    r"|(?P<space> +)",
    re.ASCII,
)
#: Names with dots before a name; they count where they are a library's module.
_MODULE = re.compile(r"((?:[A-Za-z_]\w*\.)+)(?=[A-Za-z_])", re.ASCII)
_FORBIDDEN = {
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
    "if": "write where(x > 0, x, 0) or Piecewise((x, x > 0), (0, True))",
    "else": "write where(x > 0, x, 0) or Piecewise((x, x > 0), (0, True))",
}
#: Characters that look like one of the grammar, or stand for it, beside those that Unicode itself relates to one.
_LOOKALIKES = {
    **dict(zip("аеорсухіјѕһԁԛԝкмтвнАВЕКМНОРСТХІЈЅ", "aeopcyxijshdqwkmtbhABEKMHOPCTXIJS", strict=True)),
    **dict(zip("αβγικνορτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abyikvoptuxABEZHIKMNOPTYX", strict=True)),
    **dict(zip("ոօսցհ", "nough", strict=True)),
    **dict(zip("ıɑɡℓ", "iagl", strict=True)),
    **dict.fromkeys("−‐‑‒–—―", "-"),
    **dict.fromkeys("×·⋅∙∗✕•", "*"),
    **dict.fromkeys("÷∕⁄", "/"),
    **dict.fromkeys("∣ǀ", "|"),
    "π": "pi", "σ": "sigmoid", "Φ": "Phi", "φ": "Phi", "≤": "<=", "≥": ">=", "√": "sqrt", "⁻": "**-",
    **{character: f"**{power}" for power, character in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", "a plain space"),
}  # fmt: skip


def foreign_character(text: str) -> str | None:
    """Name the first character of a text that is not ASCII, and the one that it resembles; None where all are.

    Example:
        >>> foreign_character("x²")
        "'²' is SUPERSCRIPT TWO; did you mean **2?"
    """
    for character in text:
        if not character.isascii():
            return "; ".join(filter(None, _named(character)))
    return None


def _named(character: str) -> tuple[str, str]:
    """What a character beyond ASCII is, and what may have been meant."""
    shown = repr(character) if character.isprintable() else ascii(character)
    what = f"{shown} is {unicodedata.name(character, 'a character without a name')}"
    meant = _LOOKALIKES.get(character) or unicodedata.normalize("NFKC", character)
    plausible = meant.isascii() and meant.isprintable() and meant.strip()
    return what, f"did you mean {meant}?" if plausible else ""


@dataclass(frozen=True)
class _Bracket:
    """An opened bracket: its kind, "(" or "|", its column, and the name that it calls ("" for none)."""

    kind: str
    column: int
    name: str


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
        modules: what stood before the dot, by the column offset of the name's node in the tree.
    """

    def __init__(self, text: str, example: str, functions: Collection[str]) -> None:
        self.text = text
        self.numbers: dict[int, sp.Rational] = {}
        self.modules: dict[int, str] = {}
        # What ast.parse reads, and the column of the text that each of its characters comes from.
        self._code = ""
        self._columns = list[int]()
        self._example = example
        self._functions = functions

    def fail(self, where: ast.AST | int | None, what: str, accepted: str) -> NoReturn:
        """Raise the error at a node, at a column counted from 1, or (None) at the whole text."""
        if isinstance(where, ast.AST):
            where = self._columns[int(getattr(where, "col_offset", 0))]
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
            tree = ast.parse(self._code, mode="eval").body
        except SyntaxError as error:
            column = self._columns[min(max(error.offset or 1, 1), len(self._columns)) - 1]
            self.fail(column, "the expression is out of order", "an operator or operand is missing")
        except (ValueError, MemoryError, RecursionError):
            self.fail(None, "the text is nested too deeply", "write a simpler expression")
        self._survey(tree)
        return tree

    def _emit(self, lexeme: str, column: int) -> None:
        """Write a token down for ``ast.parse``."""
        self._code += lexeme
        self._columns += [column] * len(lexeme)

    def _scan(self) -> None:
        """Refuse what is outside the alphabet or out of order; read numbers; balance brackets."""
        position = 0
        opened = list[_Bracket]()
        before, kind_before = "", "start"
        # The name or bracket that the next "(" would call, and whether a name could be an argument's, as in beta=2.
        callee, argument = "", False
        while position < len(self.text):
            module = _MODULE.match(self.text, position)
            prefix = module.group()[:-1] if module is not None and module.group()[:-1] in MODULES else ""
            column = position + 1
            match = _TOKEN.match(self.text, position + len(prefix) + bool(prefix))
            if match is None:
                self._forbidden(position)
            kind, lexeme = str(match.lastgroup), match.group()
            innermost = opened[-1] if opened else _Bracket("", 0, "")
            if kind == "space":
                position = match.end()
                if self._code:
                    self._emit(" ", column)
                continue
            if (lexeme == "=" and not (argument and kind_before == "name")) or (kind == "word" and before != "="):
                self._forbidden(position)
            position = match.end()
            if kind == "name" and keyword.iskeyword(lexeme) and lexeme not in ("True", "False"):
                accepted = _KEYWORD_HINTS.get(lexeme, f"write an expression such as {self._example}")
                self.fail(column, f"{lexeme!r} is not part of the grammar", accepted)
            if lexeme == ")" and innermost.kind != "(":
                if innermost.kind == "|":
                    self.fail(innermost.column, "'|' is never closed", "add '|'")
                self.fail(column, "')' closes nothing", "remove it or add '(' before it")
            operand_before = kind_before in ("number", "name", "word") or before == ")"
            bar = "" if lexeme != "|" else "or" if innermost.kind != "|" else "closes"
            if not operand_before:
                if bar:
                    bar = "opens"
                elif not (lexeme == ")" and before == "(" and innermost.name):
                    self._after_operator(lexeme, kind, column)
            elif not (lexeme == "(" and callee):
                self._after_operand(before, kind_before, lexeme, kind, column)
            argument = kind == "name" and before in ("(", ",") and bool(innermost.name)
            if lexeme == "(" or bar == "opens":
                opened.append(_Bracket(lexeme, column, "Abs" if bar else callee))
                if len(opened) > MAX_BRACKETS:
                    what = "the brackets are nested too deeply"
                    self.fail(column, what, f"at most {MAX_BRACKETS} levels are read")
            callee = lexeme if kind == "name" else ""
            if lexeme == ")" or bar == "closes":
                closed = opened.pop()
                # A class of PyTorch is called twice, as in nn.ELU(2)(x).
                callee = closed.name if lexeme == ")" and closed.name[:1].isupper() else ""
            if kind == "number":
                self.numbers[len(self._code)] = self._literal(lexeme, column)
            elif lexeme in ("==", "!="):
                what = f"{lexeme} is not part of the grammar"
                self.fail(column, what, "comparisons are <, <=, > and >=")
            elif prefix:
                self.modules[len(self._code)] = prefix
            written = {"opens": "Abs(", "closes": ")"}.get(bar, "**" if lexeme == "^" else lexeme)
            self._emit(written, column)
            before, kind_before = {"opens": "(", "closes": ")"}.get(bar, lexeme), kind
        if opened:
            self.fail(
                opened[-1].column, f"{opened[-1].kind!r} is never closed", f"add {')|'[opened[-1].kind == '|']!r}"
            )
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
        if not character.isascii():
            what, meant = _named(character)
            self.fail(position + 1, what, f"only ASCII text is read{', ' * bool(meant)}{meant}")
        what = f"the character {character!a} is not part of the grammar"
        self.fail(position + 1, what, _FORBIDDEN.get(character, _DEFAULT_FORBIDDEN))

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
