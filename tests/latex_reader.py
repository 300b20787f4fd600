r"""Reads the LaTeX that is exported back into numbers, knowing nothing of how it was written.

A formula is read by a small grammar (sums, products by juxtaposition, fractions, roots, powers, functions, cases,
expectations, block matrices) and evaluated in float64, on vectors of nodes inside an expectation.  What it cannot read
is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

__all__ = ["LatexReadError", "Matrix", "equations", "evaluate", "gaussian_mean", "macro_numbers", "table_rows"]

Environment = Mapping[str, Any]


class LatexReadError(ValueError):
    """LaTeX outside the grammar."""


class Matrix:
    """A matrix whose products are those of matrices, and whose power \\top is its transpose."""

    __array_ufunc__ = None  # a float64 to the left of one leaves the product to it

    def __init__(self, values: Any) -> None:
        self.values = np.atleast_2d(np.asarray(values, dtype=float))

    def __mul__(self, other: Any) -> Matrix:
        return Matrix(self.values @ other.values if isinstance(other, Matrix) else self.values * other)

    def __rmul__(self, other: float) -> Matrix:
        return Matrix(self.values * other)

    def __truediv__(self, other: float) -> Matrix:
        return Matrix(self.values / other)

    def __add__(self, other: Matrix) -> Matrix:
        return Matrix(self.values + other.values)

    def __sub__(self, other: Matrix) -> Matrix:
        return Matrix(self.values - other.values)

    def __pow__(self, exponent: object) -> Matrix:
        if exponent is not _TOP:
            raise LatexReadError("only the transpose of a matrix is known")
        return Matrix(self.values.T)


_TOP = object()

#: Names that are one symbol to a reader, longest first where one starts another.
_ATOMS = {
    r"\mathbb{E}[\phi_0(\tau_*\xi)^2]": "second moment",
    r"\mathbb{E}[(\phi_0^2)''(\tau_*\xi)]": "second moment''",
    r"\mathbb{E}[(\phi^2)''(\tau_*\xi)]": "d22",
    r"\mathbb{E}[\phi_0(\tau_*\xi)]": "mean",
    r"\mathbb{E}[\phi'(\tau_*\xi)^2]": "dd",
    r"\mathbb{E}[\phi''(\tau_*\xi)]": "d2",
    r"\mathbb{E}[\phi'(\tau_*\xi)]": "d1",
    r"\operatorname{Var}[\phi_0(\tau_*\xi)]": "variance",
    r"C_a^\circ": "C_a centred",
    r"C^\circ": "mean C",
}
_SPACING = re.compile(r"\\[,;:!]|(?<!\\)\\ |\\q?quad|\\notag|\\label\{[^}]*\}|\\[bB]igg?[lr]?(?![A-Za-z])|\{\}|&|~")
_TOKEN = re.compile(r"\s*(\\[A-Za-z]+|\\[{}\\]|[0-9]+(?:\.[0-9]+)?|.)")

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arctan", "log")},
    "erf": special.erf, "erfc": special.erfc, "erfi": special.erfi, "Gamma": special.gamma, "sgn": np.sign,
    "Phi": special.ndtr, "sigmoid": special.expit, "arsinh": np.arcsinh,
    "softplus": lambda value: np.logaddexp(0, value),
}  # fmt: skip

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


def gaussian_mean(function: Callable[[np.ndarray], Any], kinks: Sequence[float] = ()) -> float:
    """E[function(xi)] for xi ~ N(0, 1), by Gauss-Legendre panels that end at the kinks."""
    edges = np.unique(np.concatenate([np.linspace(-13, 13, 105), [kink for kink in kinks if abs(kink) < 13]]))
    half = np.diff(edges)[:, None] / 2
    nodes = edges[:-1, None] + half * (1 + _NODES)
    weights = half * _WEIGHTS * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.sum(weights * function(nodes)))


class _Parser:
    """Recursive descent; values are computed while reading."""

    def __init__(self, text: str, environment: Environment) -> None:
        for atom, name in _ATOMS.items():
            text = text.replace(atom, f"@<{name}>")
        self._atoms = re.findall(r"@<([^>]*)>", text)
        text = re.sub(r"@<[^>]*>", "@", text)
        text = re.sub(
            r"\\begin\{pmatrix\}.*?\\end\{pmatrix\}",
            lambda found: found[0].replace("&", r"\cell"),
            text,
            flags=re.DOTALL,
        )
        text = re.sub(r"\\tfrac(\d)(\d)", r"\\frac{\1}{\2}", text)
        # Spacing goes, a product sign stays a product.
        text = _SPACING.sub(" ", re.sub(r"\\times\{\}|\\times|\\cdot", " ", text))
        self._tokens = [found for found in _TOKEN.findall(text) if found.strip()]
        self._environment = environment
        self._at = self._next_atom = 0

    # --- tokens

    def _peek(self, ahead: int = 0) -> str:
        return self._tokens[self._at + ahead] if self._at + ahead < len(self._tokens) else ""

    def _take(self, expected: str = "") -> str:
        token = self._peek()
        if not token or (expected and token != expected):
            near = " ".join(self._tokens[max(0, self._at - 4) : self._at + 4])
            raise LatexReadError(f"expected {expected or 'more'}, found {token!r} near {near!r}")
        self._at += 1
        return token

    # --- grammar

    def whole(self) -> Any:
        value = self.sum()
        if self._peek() in (".", ","):
            self._take()
        if self._peek():
            raise LatexReadError(f"cannot read on at {self._peek()!r}")
        return value

    def sum(self) -> Any:
        negative = self._peek() == "-"
        if self._peek() in ("+", "-"):
            self._take()
        value = self.product()
        value = -value if negative else value
        while self._peek() in ("+", "-"):
            sign = self._take()
            term = self.product()
            value = value + term if sign == "+" else value - term
        return value

    def product(self) -> Any:
        value = self.power()
        while True:
            token = self._peek()
            if token == "/":
                self._take()
                value = value / self.power()
            elif self._starts_factor(token):
                value = value * self.power()
            else:
                return value

    @staticmethod
    def _starts_factor(token: str) -> bool:
        closing = (r"\}", r"\\", r"\end", r"\rvert", r"\text", r"\le", r"\ge", r"\cell")
        return bool(token) and token not in "+-/)]}<>,.&=^_" and token not in closing

    def power(self) -> Any:
        value = self.base()
        if self._peek() == "^":
            self._take()
            value = value ** self.script()
        return value

    def script(self) -> Any:
        if self._peek() == "{":
            return self.group()
        token = self._take()
        if not token[0].isdigit() or len(token) == 1:
            return self._single(token)
        raise LatexReadError(f"a script of several digits without braces: {token}")

    def _single(self, token: str) -> Any:
        if token == r"\top":
            return _TOP
        return float(token) if token.isdigit() else self._name(token)

    def group(self, opening: str = "{", closing: str = "}") -> Any:
        self._take(opening)
        value = self.sum()
        self._take(closing)
        return value

    def base(self) -> Any:
        token = self._take()
        if token[0].isdigit():
            return float(token)
        self._at -= 1
        if token == "(":
            return self.group("(", ")")
        if token == "{":
            return self.group()
        if token == "[":
            return self._blocks("[", "]", ",")
        self._at += 1
        reader = {
            r"\frac": self._fraction, r"\sqrt": lambda: np.sqrt(self.group()), r"\lvert": self._absolute,
            r"\begin": self._environment_block, r"\mathbb": self._expectation, r"\operatorname": self._operator,
            r"\max": lambda: self._extremum(np.maximum), r"\min": lambda: self._extremum(np.minimum),
            r"\mathbf": self._indicator, r"\mathrm": self._imaginary_unit, r"\sum": self._state_sum,
        }.get(token)  # fmt: skip
        if reader is not None:
            return reader()
        if token.startswith("\\") and token[1:] in _FUNCTIONS:
            return self._function(_FUNCTIONS[token[1:]])
        return self._name(token)

    def _state_sum(self) -> Any:
        """A sum over s, which is the environment's list of what depends on s."""
        self._take("_")
        self._take("s")
        start, own, total = self._at, self._environment, 0.0
        for each in own["s"]:
            self._at, self._environment = start, {**own, **each}
            total = total + self.product()
        self._environment = own
        return total

    def _fraction(self) -> Any:
        above = self.group()
        return above / self.group()

    def _absolute(self) -> Any:
        value = self.sum()
        self._take(r"\rvert")
        return np.abs(value)

    def _operator(self) -> Any:
        self._take("{")
        letters = ""
        while self._peek() != "}":
            letters += self._take()
        self._take("}")
        if letters == "Re":
            return np.real(self.group("[", "]"))
        if letters == "tr":
            return float(np.trace(self.power().values))
        if letters not in _FUNCTIONS:
            raise LatexReadError(f"unknown operator {letters}")
        return self._function(_FUNCTIONS[letters])

    def _function(self, function: Callable[[Any], Any]) -> Any:
        exponent = 1.0
        if self._peek() == "^":
            self._take()
            exponent = self.script()
        return function(self.group("(", ")")) ** exponent

    def _extremum(self, choose: Callable[[Any, Any], Any]) -> Any:
        self._take(r"\{")
        value = self.sum()
        while self._peek() == ",":
            self._take()
            value = choose(value, self.sum())
        self._take(r"\}")
        return value

    def _indicator(self) -> Any:
        if self.group() != 1:
            raise LatexReadError("only the indicator is bold")
        self._take(r"\{")
        holds = self._relation()
        self._take(r"\}")
        return np.where(holds, 1.0, 0.0)

    def _imaginary_unit(self) -> complex:
        for token in "{i}":
            self._take(token)
        return 1j

    def _relation(self) -> Any:
        left = self.sum()
        sign = self._take()
        right = self.sum()
        compare = {"<": np.less, ">": np.greater, r"\le": np.less_equal, r"\ge": np.greater_equal}.get(sign)
        if compare is None:
            raise LatexReadError(f"no relation: {sign}")
        return compare(left, right)

    def _words(self) -> str:
        self._take(r"\text")
        self._take("{")
        letters = ""
        while self._peek() != "}":
            letters += self._take()
        self._take("}")
        return letters

    def _blocks(self, opening: str, closing: str, between: str) -> Matrix:
        """One row of blocks."""
        self._take(opening)
        row = [self.sum()]
        while self._peek() == between:
            self._take()
            row.append(self.sum())
        self._take(closing)
        return Matrix(np.hstack([each.values for each in row]))

    def _environment_block(self) -> Any:
        name = ""
        self._take("{")
        while self._peek() != "}":
            name += self._take()
        self._take("}")
        return self._matrix() if name == "pmatrix" else self._cases()

    def _matrix(self) -> Matrix:
        rows: list[list[Any]] = [[self.sum()]]
        while self._peek() != r"\end":
            if self._take() == r"\\":
                rows.append([])
            rows[-1].append(self.sum())
        self._take(r"\end")
        for letter in "{pmatrix}":
            self._take(letter)
        sizes = [max(each.values.shape[0] for each in row if isinstance(each, Matrix)) for row in rows]
        blocks = [
            [each.values if isinstance(each, Matrix) else np.full((size, 1), each) for each in row]
            for size, row in zip(sizes, rows, strict=True)
        ]
        return Matrix(np.block(blocks))

    def _cases(self) -> Any:
        values, holds = [], []
        while self._peek() != r"\end":
            values.append(self.sum())
            self._take(",")
            holds.append(self._condition())
            if self._peek() == r"\\":
                self._take()
        self._take(r"\end")
        for letter in "{cases}":
            self._take(letter)
        # Without "otherwise" the conditions exclude each other, and leave nothing out.
        if not any(np.ndim(each) == 0 and each for each in holds) and np.any(
            sum(np.asarray(h, int) for h in holds) != 1
        ):
            raise LatexReadError("cases that overlap or leave something out")
        shape = np.broadcast(*values, *holds)
        return np.select(
            [np.broadcast_to(h, shape.shape) for h in holds], [np.broadcast_to(v, shape.shape) for v in values]
        )

    def _condition(self) -> Any:
        if self._peek() == r"\text":
            if self._words() != "otherwise":
                raise LatexReadError("a condition in unknown words")
            return np.array(True)
        holds = self._relation()
        while self._peek() == r"\text":
            word = self._words()
            other = self._relation()
            holds = {"or": np.logical_or, "and": np.logical_and}[word](holds, other)
        return holds

    def _expectation(self) -> Any:
        for token in "{E}":
            self._take(token)
        start = self._at
        depth, end = 0, self._at
        while True:
            depth += {"[": 1, "]": -1}.get(self._tokens[end], 0)
            end += 1
            if depth == 0:
                break
        body = self._tokens[start + 1 : end - 1]
        if "@" in body:
            raise LatexReadError("an expectation of an expectation")
        self._at = end

        def integrand(xi: np.ndarray) -> Any:
            inner = _Parser("", {**self._environment, r"\xi": xi})
            inner._tokens = body
            return inner.whole()

        return gaussian_mean(integrand, self._environment.get("kinks", ()))

    def _name(self, token: str) -> Any:
        if token == "@":
            name = self._atoms[self._next_atom]
            self._next_atom += 1
            return self._environment[name]
        if token == r"\pi":
            return np.pi
        if token == "e":
            return np.e
        if token == r"\infty":
            return np.inf
        if token in (r"\bar", r"\dot"):
            token += " " + self._take()
        if self._peek() == "_":
            self._take()
            token += "_"
            if self._peek() == "{":
                self._take()
                while self._peek() != "}":
                    token += self._take()
                self._take()
            else:
                token += self._take()
        if token not in self._environment:
            raise LatexReadError(f"unknown name {token}")
        value = self._environment[token]
        return value(self.group("(", ")")) if callable(value) else value


def evaluate(text: str, environment: Environment) -> Any:
    r"""Return the value of a formula.

    Args:
        text: LaTeX of an expression, possibly over several lines of an align environment, with punctuation at its end.
        environment: values by name as it is written without braces, such as ``\tau_*``, ``\alpha_*,1`` or ``c_1``;
            the theory's moments go by the values of ``_ATOMS``; ``kinks`` lists where integrands have kinks in xi; a
            function, such as ``\phi_0``, is called with what stands in parentheses behind it.

    Raises:
        LatexReadError: the text is not in the grammar, or names something unknown.
    """
    return _Parser(text, environment).whole()


def equations(text: str) -> list[tuple[str, str, str]]:
    """Return (left, relation, right) of every equation of the align environments in a text."""
    found: list[tuple[str, str, str]] = []
    for body in re.findall(r"\\begin\{align\*?\}(.*?)\\end\{align\*?\}", text, flags=re.DOTALL):
        for position, row in enumerate(_rows(body)):
            starts_block = position == 0
            opened = re.fullmatch(r"\s*(.*?)\s*&([=<])(.*)", row, flags=re.DOTALL)
            if opened and opened[1]:
                found.append((opened[1], opened[2], opened[3]))
            elif alone := re.fullmatch(r"\s*&\\quad ([=<])(.*)", row, flags=re.DOTALL):
                found[-1] = (found[-1][0], alone[1], alone[2])
            elif starts_block and row.strip().startswith("&"):
                found.append((row.strip().removeprefix("&"), "", ""))
            elif row.strip().startswith("&"):
                left, sign, right = found[-1]
                found[-1] = (left, sign, right + " " + row)
            else:
                raise LatexReadError(f"neither an equation nor its continuation: {row}")
    return found


def _rows(body: str) -> list[str]:
    """Rows of an align environment, cases and matrices kept whole."""
    rows, at = [""], 0
    for block in re.finditer(r"\\begin\{(cases|pmatrix)\}.*?\\end\{\1\}", body, flags=re.DOTALL):
        first, *rest = re.split(_ROW_END, body[at : block.start()])
        rows[-1] += first
        rows += rest
        rows[-1] += block[0]
        at = block.end()
    first, *rest = re.split(_ROW_END, body[at:])
    rows[-1] += first
    return rows + rest


_ROW_END = r"\\\\(?:\[\d+pt\])?"


def _decimal(text: str) -> str:
    """A decimal as it is printed, in plain notation."""
    return re.sub(r"\\cdot\s*10\^\{(-?\d+)\}", r"e\1", text.replace(" ", ""))


def macro_numbers(text: str) -> dict[str, str]:
    r"""Return the decimals of a file of \newcommand's, by command."""
    return {
        name: _decimal(value)
        for name, value in re.findall(
            r"\\newcommand\{\\([A-Za-z]+)\}\{\\ensuremath\{(.*)\}\}$", text, flags=re.MULTILINE
        )
    }


def table_rows(text: str) -> tuple[list[str], dict[str, list[str | None]]]:
    """Return the headings of a table of constants, and its decimals by row label (None where there is a dash)."""
    headings: list[str] = []
    rows: dict[str, list[str | None]] = {}
    for line in text.splitlines():
        if not line.endswith(r" \\"):
            continue
        label, rest = line.removesuffix(r" \\").split(" & ", 1) if not line.startswith("&") else ("", line[2:-3])
        if not label:
            headings = [name.replace(r"\_", "_") for name in re.findall(r"\\texttt\{(.*?)\}\}", rest)]
            continue
        cells: list[str | None] = []
        integer = re.compile(r"\\multicolumn\{1\}\{r@\{\\phantom\{\.\}\}\}\{\$(.*?)\$\} &")
        for cell in re.finditer(
            rf"\\multicolumn\{{2\}}\{{c\}}\{{---\}}|{integer.pattern}|\$(\S*?)\$ & \$(.*?)\$", rest
        ):
            whole, before, after = cell.groups()
            cells.append(None if cell[0].endswith("---}") else _decimal(whole or f"{before}.{after}"))
        rows[label.strip("$")] = cells
    return headings, rows
