r"""Formulas as pieces between which a line may end, and how they are set in lines of a given width.

Widths are estimated from the LaTeX itself, in hundredths of a point at 10 pt, after the metrics of Computer Modern;
the estimate need only be good to a few per cent, since lines are kept that much shorter.  Lines are chosen by dynamic
programming: few lines, and ends at outer rather than inner operators.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

__all__ = [
    "Chunk",
    "Run",
    "aligned",
    "ended",
    "flat",
    "height",
    "joined",
    "lines",
    "parenthesised",
    "width",
]


@dataclass(frozen=True)
class Chunk:
    r"""A piece of a formula within which a line never ends.

    Attributes:
        text: its LaTeX.
        level: how deep in parentheses the operator before it stands, 0 outside all; None where no line may end.
        lead: what is written before it at the start of a line only (a \times where juxtaposition meant a product).
    """

    text: str
    level: int | None = None
    lead: str = ""


Run = tuple[Chunk, ...]


# --- sizes -----------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}^_&]|\s+|.")
_DELIMITERS = {r"\bigl": 458, r"\Bigl": 597, r"\biggl": 736, r"\Biggl": 792}


_DELIMITERS |= {name[:-1] + "r": size for name, size in _DELIMITERS.items()}

_SPACES = {r"\,": 167, r"\:": 222, r"\;": 278, r"\quad": 1000, r"\qquad": 2000, r"\!": -167, "~": 333}
_RELATION, _BINARY = 778 + 556, 778 + 444
_WIDTHS = {
    **dict.fromkeys("0123456789", 500),
    **dict.fromkeys("()[]", 389),
    **{"+": _BINARY, "-": _BINARY, "=": _RELATION, "<": _RELATION, ">": _RELATION},
    **{",": 445, ".": 278, "'": 280, "/": 500, "*": 500, "|": 278, "e": 466},
    **{r"\{": 500, r"\}": 500, r"\lvert": 278, r"\rvert": 278, r"\infty": 1000, r"\pi": 570, r"\xi": 455},
    **{r"\cdot": 278 + 444, r"\times": _BINARY, r"\in": 667 + 556, r"\le": _RELATION, r"\ge": _RELATION},
    **{r"\tau": 520, r"\sigma": 590, r"\alpha": 640, r"\lambda": 583, r"\Phi": 722, r"\Gamma": 625, r"\phi": 596},
    **dict.fromkeys((r"\notag", "{", "}", "&"), 0),
}
_SPELLED = frozenset(("arcsin", "arctan", "cos", "cosh", "log", "max", "min", "sin", "sinh", "tan", "tanh"))
_LETTER = 560


class _Reader:
    """Walks over LaTeX and measures what it passes."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = [token for token in _TOKEN.findall(text) if not token.isspace()]
        self._at = 0

    def total(self) -> int:
        """Width of what is left."""
        total = 0
        while self._at < len(self._tokens):
            total += self._item()
        return total

    def tallest(self) -> int:
        """Height of the tallest part of what is left."""
        units = 10
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token == "{":
                units = max(units, height(self._argument()))
                continue
            self._at += 1
            if token in (r"\frac", r"\dfrac"):
                units = max(units, height(self._argument()) + height(self._argument()) + 4)
            elif token == r"\begin":
                units = max(units, 30)
            elif token in ("^", r"\sqrt"):
                self._argument()
                units = max(units, 12)
        return units

    def _argument(self) -> str:
        """The next group without its braces, or the next token."""
        token = self._tokens[self._at]
        self._at += 1
        if token != "{":
            return token
        start, depth = self._at, 1
        while depth:
            depth += {"{": 1, "}": -1}.get(self._tokens[self._at], 0)
            self._at += 1
        return " ".join(self._tokens[start : self._at - 1])

    def _item(self) -> int:
        token = self._tokens[self._at]
        if token == "{":
            return width(self._argument())
        self._at += 1
        if token in ("^", "_"):
            return self._script(token)
        if token in (r"\frac", r"\dfrac"):
            return max(width(self._argument()), width(self._argument())) + 240
        if token == r"\tfrac":
            return max(width(self._argument()), width(self._argument())) * 7 // 10 + 240
        if token == r"\sqrt":
            return 833 + width(self._argument())
        if token in (r"\operatorname", r"\text", r"\mathrm", r"\mathbf"):
            letters = self._argument().replace(" ", "")
            return 500 * len(letters) + (167 if token == r"\operatorname" else 0)
        if token == r"\mathbb":
            self._argument()
            return 667
        if token == r"\begin":
            return self._cases()
        if token in _DELIMITERS:
            self._at += 1
            return _DELIMITERS[token]
        if token[1:] in _SPELLED:
            return 500 * len(token[1:]) + 167
        return _SPACES.get(token, _WIDTHS.get(token, _LETTER))

    def _script(self, token: str) -> int:
        """A script, and one on the other side of the same base: they stand above each other."""
        size = width(self._argument()) * 7 // 10
        other = {"^": "_", "_": "^"}[token]
        if self._at < len(self._tokens) and self._tokens[self._at] == other:
            self._at += 1
            size = max(size, width(self._argument()) * 7 // 10)
        return size + 50

    def _cases(self) -> int:
        """A cases environment: the brace, and its widest row."""
        self._argument()
        rows: list[list[str]] = [[]]
        depth = 1
        while depth:
            token = self._tokens[self._at]
            self._at += 1
            depth += {r"\begin": 1, r"\end": -1}.get(token, 0)
            if depth == 1 and token == r"\\":
                rows.append([])
            elif depth:
                rows[-1].append(token)
        self._argument()
        return 1900 + max(width(" ".join(row)) for row in rows)


def width(text: str) -> int:
    """Return the estimated width of a formula in display style, in hundredths of a point at 10 pt."""
    return _Reader(text).total()


def height(text: str) -> int:
    """Return the estimated height of a formula in tenths of a line: 10 of a letter, 24 of a simple fraction."""
    return _Reader(text).tallest()


# --- putting pieces together -----------------------------------------------------------------------------------------

_ENDS_IN_WORD = re.compile(r"\\[A-Za-z]+$")


def joined(*texts: str) -> str:
    """Concatenate LaTeX, with a space where a command would run into a letter."""
    total = ""
    for text in texts:
        gap = " " if _ENDS_IN_WORD.search(total) and text[:1].isalpha() else ""
        total += gap + text
    return total


def flat(run: Run) -> str:
    """Return a formula on one line."""
    return joined(*(chunk.text for chunk in run))


def ended(run: Run, mark: str) -> Run:
    """Return a formula with a punctuation mark behind it, but for cases, whose rows have their own."""
    last = run[-1]
    return run if last.text.endswith(r"\end{cases}") else (*run[:-1], replace(last, text=last.text + mark))


_SIZES = ("", r"\bigl", r"\Bigl", r"\biggl", r"\Biggl")
_HEIGHTS = (11, 20, 26, 40)
#: An opening or closing parenthesis or bracket, with the command for its size.
_BRACKET = re.compile(r"(?P<size>(?:\\[bB]igg?[lr])?)(?:(?P<open>[(\[])|[)\]])")


def _delimiters(text: str) -> tuple[str, str]:
    """Sizes of the parentheses round a text: by its height, and larger than two pairs inside one another."""
    size = sum(height(text) > limit for limit in _HEIGHTS)
    while size + 1 < len(_SIZES) and _nesting(text, _SIZES[size]) > 1:
        size += 1
    left = _SIZES[size]
    return left, left[:-1] + "r" if left else ""


def _nesting(text: str, size: str) -> int:
    """How many pairs of parentheses of one size stand inside one another."""
    depth = deepest = 0
    for match in _BRACKET.finditer(text):
        if match["size"][:-1] == size[:-1]:
            depth += 1 if match["open"] else -1
            deepest = max(deepest, depth)
    return deepest


#: Parentheses narrower than this are not broken (hundredths of a point).
_SHORT = 10_000


def parenthesised(run: Run, opening: str = "(", closing: str = ")") -> Run:
    r"""Return a formula in parentheses that suit its height and may stand on different lines (no \left, \right).

    Args:
        run: the formula.
        opening: left delimiter, without its size.
        closing: right delimiter, without its size.
    """
    left, right = _delimiters(flat(run))
    # Short parentheses stay whole, and so does a short first term with what follows it.
    whole = width(flat(run)) < _SHORT
    held = 2 if width(run[0].text) < _SHORT // 5 else 1
    first, *rest = (
        chunk if i == 0 else replace(chunk, level=None if chunk.level is None or whole or i < held else chunk.level + 1)
        for i, chunk in enumerate(run)
    )
    inner = (replace(first, text=left + opening + first.text, level=None), *rest)
    return (*inner[:-1], replace(inner[-1], text=joined(inner[-1].text, right + closing)))


# --- lines -----------------------------------------------------------------------------------------------------------

_LINE_COST, _LEVEL_COST, _PRODUCT_COST, _OVERFULL_COST = 100, 25, 150, 10_000
#: Cost of an empty line; one that is partly full costs its part.  The last line may be short.
_SLACK_COST = 20
#: Per cent of the room that lines are set in: the widths are estimates.
_CAUTION = 97
_INDENT = r"\quad"
#: Width of an equation's number and of the gap before it.
_NUMBER = 3_000
#: Rows from this height on (tenths of a line) stand further apart by that much.
_TALL, _TALL_GAP = 24, "[3pt]"


def lines(run: Run, available: int) -> list[str]:
    """Set a formula in lines.

    Args:
        run: the formula.
        available: width of a line in hundredths of a point.

    Returns:
        The lines; all but the first are indented.  A chunk that is wider than a line stands alone on it.
    """
    sizes = [width(chunk.text) for chunk in run]
    starts = [0, *(i for i, chunk in enumerate(run) if i and chunk.level is not None)]
    best: dict[int, tuple[int, int]] = {0: (0, 0)}  # end of a line -> cost so far, where that line starts
    for end in [*starts[1:], len(run)]:
        options = []
        for start in starts:
            if start >= end or start not in best:
                continue
            first = run[start]
            size = sum(sizes[start:end]) + (width(_INDENT + first.lead) if start else 0)
            cost = best[start][0] + _LINE_COST + (_PRODUCT_COST if first.lead else 0)
            cost += _LEVEL_COST * (first.level or 0)
            # An overfull line costs more than any number of breaks, in proportion to the excess.
            excess = max(0, size - available)
            if end < len(run):
                cost += _SLACK_COST * max(0, available - size) // available
            options.append((cost + _OVERFULL_COST * (excess > 0) + 10 * excess, start))
        best[end] = min(options)
    cuts = [len(run)]
    while cuts[-1]:
        cuts.append(best[cuts[-1]][1])
    cuts.reverse()
    rows = []
    for start, end in pairwise(cuts):
        text = flat(run[start:end])
        rows.append(joined(_INDENT, " ", run[start].lead, text) if start else text)
    return rows


def aligned(equations: Iterable[tuple[str, str, Run]], available: int, labels: Sequence[str] | None = None) -> str:
    r"""Return align environments of relations, broken over lines where they are too wide.

    Where a piece of a right side does not fit beside the left sides even so, its equation stands by itself, the left
    side on a line of its own.

    Args:
        equations: left side, relation sign and right side of each.
        available: width of the text in hundredths of a point.
        labels: a label for each equation, which is then numbered; without labels nothing is.
    """
    rows = list(equations)
    total = (available - (_NUMBER if labels else 0)) * _CAUTION // 100
    room = total - max(width(side) for side, _, _ in rows) - _RELATION
    blocks: list[list[str]] = []
    together = False
    for position, (side, sign, run) in enumerate(rows):
        broken = lines(run, room)
        fits = max(map(width, broken)) <= room
        if fits:
            first, *rest = broken
            written = [f"{side} &{sign} {first}", *(f"&{line}" for line in rest)]
        else:
            first, *rest = lines(run, total - _RELATION - width(_INDENT))
            written = [f"&{side}", rf"&{_INDENT} {sign} {first}", *(f"&{line}" for line in rest)]
        if labels:
            written = [rf"{line} \notag" for line in written[:-1]] + [rf"{written[-1]} \label{{{labels[position]}}}"]
        if not (fits and together):
            blocks.append([])
        together = fits
        blocks[-1] += written
    name = "align" if labels else "align*"
    return "\n".join(f"\\begin{{{name}}}\n{_stacked(block)}\n\\end{{{name}}}" for block in blocks)


def _stacked(rows: Sequence[str]) -> str:
    """Rows under one another, two tall ones a little further apart."""
    text = rows[0]
    for above, below in pairwise(rows):
        text += rf" \\{_TALL_GAP if min(height(above), height(below)) >= _TALL else ''}" + "\n" + below
    return text
