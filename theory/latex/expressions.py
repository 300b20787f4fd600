"""Exact expressions in LaTeX, as the field writes them.

Sums start with a positive term and polynomials run in one direction, 1 - u is not written -(u - 1), constants such as
sqrt(2)/sqrt(pi) become one root, fractions carry what is short and leave tall functions and long sums behind them, and
exponents are written on one line.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache

import sympy as sp

from theory.functions import sigmoid, softplus
from theory.latex.constants import constant, decimal, number, script
from theory.latex.forms import NormalCDF, RealPart, StateSum, Uncentred
from theory.latex.layout import Chunk, Run, flat, height, joined, parenthesised, width
from theory.latex.names import GREEK, SYMBOL_NAMES
from theory.moments import GaussianExpectation
from theory.symbols import alpha, lambda_, sigma_a2, tau, x, xi

__all__ = [
    "LatexError",
    "inline",
    "latex",
    "run",
]

#: Sums wider than this (hundredths of a point) stand behind a fraction, not in its numerator.
MAX_NUMERATOR = 9_000
_FUNCTIONS = {
    sp.sin: r"\sin", sp.cos: r"\cos", sp.tan: r"\tan", sp.sinh: r"\sinh", sp.cosh: r"\cosh", sp.tanh: r"\tanh",
    sp.asin: r"\arcsin", sp.acos: r"\arccos", sp.atan: r"\arctan", sp.log: r"\log", sp.gamma: r"\Gamma",
    NormalCDF: r"\Phi", Uncentred: r"\phi_0", sigmoid: r"\operatorname{sigmoid}", softplus: r"\operatorname{softplus}",
    sp.sign: r"\operatorname{sgn}", sp.asinh: r"\operatorname{arsinh}",
    **{kind: rf"\operatorname{{{kind.__name__}}}" for kind in (sp.erf, sp.erfc, sp.erfi)},
}  # fmt: skip
#: Functions whose powers stand behind their arguments.
_POWER_BEHIND = (NormalCDF, Uncentred)
_OPERATORS = {
    GaussianExpectation: (r"\mathbb{E}", "[", "]"),
    RealPart: (r"\operatorname{Re}", "[", "]"),
    sp.Max: (r"\max", r"\{", r"\}"),
    sp.Min: (r"\min", r"\{", r"\}"),
}
_RELATIONS = {
    sp.StrictLessThan: "<", sp.LessThan: r"\le", sp.StrictGreaterThan: ">", sp.GreaterThan: r"\ge",
}  # fmt: skip
_RANK = {symbol: position for position, symbol in enumerate(SYMBOL_NAMES)}
_UNKNOWNS = frozenset((*alpha.values(), *lambda_.values()))
#: What LaTeX itself sets a space before.
_OPERATOR = re.compile(r"\\(operatorname|arc|sin|cos|tan|log|max|min)")
#: Height of what stands on one line, with its exponents (tenths of a line).
_ONE_LINE = 12


class LatexError(ValueError):
    """An expression that has no LaTeX here."""


def latex(expr: sp.Basic) -> str:
    r"""Return an expression in LaTeX on one line (see the module's docstring for how it is written).

    Example:
        >>> latex(sp.sqrt(2 / sp.pi) * sp.Symbol("a", real=True))
        '\\sqrt{2/\\pi}\\,a'
    """
    return flat(run(expr))


def inline(expr: sp.Expr) -> str:
    """Return an expression for the running text: fractions with slashes."""
    return _inline(expr)


def run(expr: sp.Basic) -> Run:
    """Return an expression as pieces between which a line may end.

    Raises:
        LatexError: a node without a notation, such as a float.
    """
    if isinstance(expr, sp.Piecewise):
        return (Chunk(_cases(expr)),)
    if isinstance(expr, sp.core.relational.Relational):
        return (Chunk(_relation(expr)),)
    if expr is sp.oo:
        return (Chunk(r"\infty"),)
    if not isinstance(expr, sp.Expr) or expr.has(sp.nan, sp.zoo, -sp.oo, sp.Float):
        raise LatexError(f"{expr} cannot be typeset")
    return _sum(expr)


# --- sums ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _sum(expr: sp.Expr) -> Run:
    # Remembered: ordering terms and fitting fractions write what is inside them several times, at every depth.
    if not isinstance(expr, sp.Add):
        product = _Product(expr)
        body = product.written()
        return (Chunk(joined(product.sign, body[0].text)), *body[1:])
    chunks: list[Chunk] = []
    for product in sorted((_Product(term) for term in expr.args), key=_order):
        first, *rest = product.written()
        sign = product.sign if not chunks else f"{product.sign or '+'} "
        text = joined(sign, first.text) if not chunks else f" {sign}{first.text}"
        chunks += [Chunk(text, 0 if chunks else None), *rest]
    return tuple(chunks)


def _order(product: _Product) -> tuple[object, ...]:
    """Positive terms first, then by the unknowns, by sigma_a, by falling powers of tau, by rising powers of x."""
    term = product.expr
    unknown = sum(1 for factor in sp.Mul.make_args(term) for _ in range(_power_of(factor)))
    degree = sp.Integer(0)
    for factor in sp.Mul.make_args(term):
        base, exponent = factor.as_base_exp()
        if base == tau and exponent.is_Rational:
            degree -= exponent
        elif base in (x, xi) and exponent.is_Rational:
            degree += exponent
    transcendental = bool(term.atoms(sp.Function, GaussianExpectation))
    recurrent = product.powers.get(sigma_a2, sp.S.Zero).is_positive is True
    divided = any(base.is_Add and exponent.is_negative for base, exponent in product.powers.items())
    return (
        product.sign == "-",
        unknown or 99,
        not recurrent,
        transcendental,
        divided,
        degree,
        term.count_ops(),
        flat(product.written()),
    )


def _power_of(factor: sp.Expr) -> int:
    base, exponent = factor.as_base_exp()
    return int(exponent) if base in _UNKNOWNS and exponent.is_Integer and exponent > 0 else 0


def _led_by_minus(expr: sp.Add) -> bool:
    """Whether a sum reads better with all its signs turned."""
    constant = sp.Add(*(term for term in expr.args if not term.free_symbols and not term.has(xi)))
    if constant != 0:
        return bool(constant.is_negative)
    signs = [term.as_coeff_Mul()[0].is_negative for term in expr.args]
    return all(signs) or (signs.count(True) * 2 > len(signs))


# --- products --------------------------------------------------------------------------------------------------------


@dataclass
class _Product:
    """A term taken apart: sign, constant, powers above and below the fraction line.

    Attributes:
        expr: the term.
        sign: "-" or nothing.
        rational: its positive rational factor.
        root: rational number under a square root.
        pi: twice the exponent of pi.
        powers: exponents by base, of everything else; sums with their signs turned where that reads better.
    """

    expr: sp.Expr
    sign: str = ""
    rational: sp.Rational = sp.S.One
    root: sp.Rational = sp.S.One
    pi: int = 0
    powers: dict[sp.Expr, sp.Expr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        powers: defaultdict[sp.Expr, sp.Expr] = defaultdict(lambda: sp.S.Zero)
        negative = False
        for factor in sp.Mul.make_args(_distributed(self.expr)):
            whole = isinstance(factor, sp.exp) or factor is sp.I
            base, exponent = (factor, sp.S.One) if whole else factor.as_base_exp()
            if factor.is_Rational:
                negative ^= factor.is_negative
                self.rational *= abs(factor)
            elif base.is_Rational and base.is_positive and exponent.is_Rational and exponent.q == 2:
                self.root *= base**exponent.p
            elif base is sp.pi and (2 * exponent).is_Integer:
                self.pi += int(2 * exponent)
            else:
                powers[base] += exponent
        for base, exponent in list(powers.items()):
            # An odd power is turned only where that takes a minus sign away: e^x - 1 is not -(1 - e^x).
            if base.is_Add and exponent.is_Integer and _led_by_minus(base) and (negative or exponent % 2 == 0):
                negative ^= bool(exponent % 2)
                powers[sp.Add(*(-term for term in base.args))] += powers.pop(base)
        self.sign = "-" if negative else ""
        self.powers = dict(sorted(powers.items(), key=lambda item: _rank(item[0])))

    def written(self) -> Run:
        """The product without its sign."""
        if self.rational == 0:
            return (Chunk("0"),)
        above, below = constant(self.rational, self.root, self.pi, self.divided)
        functions: list[Run] = []
        sums: list[tuple[sp.Add, sp.Expr]] = []
        for base, exponent in self.powers.items():
            if exponent.could_extract_minus_sign() and not isinstance(base, sp.exp):
                below.append(_below(base, -exponent))
            elif isinstance(base, sp.Add) and exponent.is_Integer:
                sums.append((base, exponent))
            elif isinstance(base, sp.Symbol | sp.exp) or base is sp.I:
                above.append(_power(base, exponent))
            else:
                functions.append(_power_run(base, exponent))
        if not sums and self._fit_above(below, functions):
            above, functions = [*above, *(flat(function) for function in functions)], []
        inside = [pair for pair in sums if below and self._fits(above, below, functions, pair)]
        outside = [_power_run(base, exponent) for base, exponent in sums if (base, exponent) not in inside]
        alone = len(inside) == 1 and not above and inside[0][1] == 1
        above += [flat(_sum(base)) if alone else flat(_power_run(base, exponent)) for base, exponent in inside]
        lead, fraction = (
            self._fraction(above, below) if not alone else ("", rf"\frac{{{above[0]}}}{{{_spaced(_bare(below))}}}")
        )
        parts = [(Chunk(text),) for text in (lead, fraction) if text] + outside + functions
        if not parts:
            return (Chunk("1"),)
        return _juxtaposed(parts)

    @property
    def divided(self) -> bool:
        """Whether a power stands below the fraction line."""
        return any(e.could_extract_minus_sign() and not isinstance(b, sp.exp) for b, e in self.powers.items())

    @staticmethod
    def _fit_above(below: list[str], functions: list[Run]) -> bool:
        """Whether functions go into the numerator: short ones on one line, over more than an integer."""
        texts = [flat(function) for function in functions]
        if all(part.isdigit() for part in below) or any(text.startswith(r"\mathbb") for text in texts):
            return False
        return all(height(text) <= _ONE_LINE for text in texts) and sum(map(width, texts)) <= MAX_NUMERATOR * 2 // 3

    @staticmethod
    def _fits(above: list[str], below: list[str], functions: list[Run], pair: tuple[sp.Add, sp.Expr]) -> bool:
        """Whether a sum goes into the numerator."""
        text = flat(_sum(pair[0]))
        plain = all(part.isdigit() for part in below)
        if height(text) > 20 or width(text) > MAX_NUMERATOR or pair[0].atoms(sp.Function, GaussianExpectation):
            return False
        return not (plain and (above or functions or pair[1] != 1))

    @staticmethod
    def _fraction(above: list[str], below: list[str]) -> tuple[str, str]:
        """A factor and a fraction, either of which may be empty."""
        top = _spaced(above)
        if not below:
            return top, ""
        bottom = _spaced(_bare(below))
        plain = all(part.isdigit() for part in below)
        exponential = any(part.startswith("e^") for part in above)
        if plain and (
            width(top) > MAX_NUMERATOR // 2
            or (exponential and all(part.isdigit() or part.startswith("e^") for part in above))
        ):
            numerator, rest = (above[0], above[1:]) if above[0].isdigit() else ("1", above)
            return rf"\frac{{{numerator}}}{{{bottom}}}", _spaced(rest)
        return "", rf"\frac{{{top or '1'}}}{{{bottom}}}"


def _distributed(term: sp.Expr) -> sp.Expr:
    """A sum takes in a rational factor that would be a decimal before it."""
    factor, rest = term.as_coeff_Mul()
    sums = [
        part
        for part in sp.Mul.make_args(rest)
        if part.is_Add and any(abs(inner.as_coeff_Mul()[0]) != 1 for inner in part.args)
    ]
    if decimal(factor) is None or factor.q == 1 or len(sums) != 1:
        return term
    return sp.Mul(*(part for part in sp.Mul.make_args(rest) if part not in sums), sp.expand_mul(factor * sums[0]))


def _bare(parts: list[str]) -> list[str]:
    """A denominator that is one sum needs no parentheses."""
    if len(parts) == 1:
        match = re.fullmatch(r"(?:\\[bB]igg?l)?\((.*?)(?:\\[bB]igg?r)?\)", parts[0])
        if match and _balanced(match[1]):
            return [match[1]]
    return parts


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _spaced(parts: list[str]) -> str:
    """A product of short factors, with a thin space after a root and before a function, and a dot before digits."""
    text = ""
    for part in parts:
        tall = r"\sqrt" in text or r"\mathbb" in text or part.startswith(r"\mathbb")
        gap = r"\," if text and tall and not _OPERATOR.match(part) else ""
        if text and part[0].isdigit():
            gap = r" \cdot "
        text = joined(text, gap, part)
    return text


def _juxtaposed(parts: list[Run]) -> Run:
    r"""A product; a line may end between its factors, where a \times then stands."""
    chunks: list[Chunk] = list(parts[0])
    for part in parts[1:]:
        first, *rest = part
        before = chunks[-1].text
        tall = first.text.startswith((r"\mathbb", r"\sqrt")) or before.endswith("}")
        gap = r"\," if tall and not _OPERATOR.match(first.text) else ""
        if first.text[0].isdigit():
            gap = r" \cdot "
        chunks += [Chunk(joined(gap, first.text), 0, r"\times{}"), *rest]
    return tuple(chunks)


def _rank(base: sp.Expr) -> tuple[object, ...]:
    """Where a factor stands: parameters, the theory's symbols, exponentials, sums, functions."""
    if base is sp.I:
        return (0, 0, "")
    if isinstance(base, sp.Symbol):
        return (1, _RANK[base], "") if base in _RANK else (0, 1, base.name.lstrip("\\"))
    kind = 2 if isinstance(base, sp.exp) else 3 if base.is_Add else 5 if isinstance(base, sp.Piecewise) else 4
    return (kind, base.count_ops(), str(base))


# --- powers and atoms ------------------------------------------------------------------------------------------------


def _power(base: sp.Expr, exponent: sp.Expr) -> str:
    return flat(_power_run(base, exponent))


def _power_run(base: sp.Expr, exponent: sp.Expr) -> Run:
    if base is sp.I:
        return (Chunk(r"\mathrm{i}"),)
    if isinstance(base, sp.Symbol):
        name, own = SYMBOL_NAMES.get(base, (_plain_name(base), 1))
        exponent = own * exponent
        return (Chunk(name if exponent == 1 else name + "^" + script(_inline(exponent))),)
    if isinstance(base, sp.exp):
        return (Chunk("e^" + script(_inline(base.args[0] * exponent))),)
    if exponent == sp.S.Half:
        return (Chunk(rf"\sqrt{{{latex(base)}}}"),)
    function = _FUNCTIONS.get(type(base))
    if function is not None and exponent.is_Integer and exponent > 0 and not isinstance(base, _POWER_BEHIND):
        power = "" if exponent == 1 else "^" + script(str(exponent))
        return _prefixed(function + power, parenthesised(run(base.args[0])))
    if isinstance(base, sp.Piecewise) and exponent == 1:
        return (Chunk(_cases(base)),)
    atom = _atom(base)
    if exponent == 1:
        return atom
    return (*atom[:-1], Chunk(f"{atom[-1].text}^{script(_inline(exponent))}", atom[-1].level, atom[-1].lead))


def _prefixed(text: str, inner: Run) -> Run:
    return (Chunk(joined(text, inner[0].text)), *inner[1:])


def _atom(base: sp.Expr) -> Run:
    """A base that can carry an exponent."""
    if base.is_Rational:
        return (Chunk(number(base)),) if base.is_Integer and base >= 0 else parenthesised((Chunk(number(base)),))
    if base is sp.pi:
        return (Chunk(r"\pi"),)
    if base is sp.E:
        return (Chunk("e"),)
    if base.is_Add or base.is_Mul or base.is_Pow:
        return parenthesised(_sum(base))
    if type(base) in _OPERATORS:
        name, opening, closing = _OPERATORS[type(base)]
        inner = [_sum(argument) for argument in sorted(base.args, key=lambda a: (bool(a.free_symbols), str(a)))]
        listed = (*inner[0], *(chunk for part in inner[1:] for chunk in (Chunk(",\\,"), *part)))
        return _prefixed(name, parenthesised(listed, opening, closing))
    if isinstance(base, StateSum):
        inner = base.args[0]
        return _prefixed(r"\sum_s \sigma_{rs}^2\,", _atom(inner) if inner.is_Add else run(inner))
    if isinstance(base, sp.Abs):
        return parenthesised(_sum(base.args[0]), r"\lvert ", r"\rvert ")
    if isinstance(base, sp.Heaviside):
        constant, rest = base.args[0].as_independent(*base.free_symbols, as_Add=True)
        return (Chunk(rf"\mathbf{{1}}\{{{latex(rest)} > {latex(-constant)}\}}"),)
    if isinstance(base, sp.CRootOf):
        return (
            Chunk(rf"\operatorname{{root}}_{script(str(base.index + 1))}\bigl({latex(base.poly.as_expr(x))}\bigr)"),
        )
    if isinstance(base, sp.Piecewise):
        return parenthesised((Chunk(_cases(base)),))
    if isinstance(base, sp.Function):
        name = _FUNCTIONS.get(type(base), rf"\operatorname{{{type(base).__name__}}}")
        return _prefixed(name, parenthesised(run(base.args[0])))
    raise LatexError(f"{base} cannot be typeset")


def _plain_name(symbol: sp.Symbol) -> str:
    """A parameter's name: Greek letters, subscripts after an underscore or of digits; what is LaTeX already stays."""
    if symbol.name.startswith("\\") or "{" in symbol.name:
        return str(symbol.name)
    stem, _, index = symbol.name.partition("_")
    if not index and (match := re.fullmatch(r"([A-Za-z]+)([0-9]+)", stem)):
        stem, index = match[1], match[2]
    if stem in GREEK:
        stem = rf"\{stem}"
    elif len(stem) > 1:
        stem = rf"\mathit{{{stem}}}"
    return f"{stem}_{script(index.replace('_', ''))}" if index else stem


def _inline(expr: sp.Expr) -> str:
    """An expression on one line, with slashes for fractions, as in exponents."""
    if isinstance(expr, sp.Add):
        text = ""
        for product in sorted((_Product(term) for term in expr.args), key=_order):
            text = joined(text, product.sign or ("+" if text else ""), _slashed(product))
        return text
    product = _Product(expr)
    return joined(product.sign, _slashed(product))


def _slashed(product: _Product) -> str:
    if product.rational == 0:
        return "0"
    above, below = constant(product.rational, product.root, product.pi, product.divided)
    for base, exponent in product.powers.items():
        under = exponent.could_extract_minus_sign() and not isinstance(base, sp.exp)
        (below if under else above).append(_slashed_power(base, -exponent if under else exponent))
    top, bottom = _spaced(above) or "1", _spaced(below)
    if not below:
        return top
    single = len(below) == 1
    return f"{top}/{bottom}" if single else f"{top}/({bottom})"


def _slashed_power(base: sp.Expr, exponent: sp.Expr) -> str:
    """A power, its base on one line too where that is a sum."""
    if not (isinstance(base, sp.Add) and exponent.is_Integer):
        return _power(base, exponent)
    power = "" if exponent == 1 else "^" + script(str(exponent))
    return f"({_inline(base)}){power}"


def _below(base: sp.Expr, exponent: sp.Expr) -> str:
    """A factor below the fraction line, where no other fraction stands unless functions do."""
    text = _power(base, exponent)
    if r"\frac" not in text or base.atoms(sp.Function, GaussianExpectation):
        return text
    return _slashed_power(base, exponent)


# --- cases and conditions --------------------------------------------------------------------------------------------


def _cases(expr: sp.Piecewise) -> str:
    values, conditions = [value for value, _ in expr.args], [condition for _, condition in expr.args]
    if len(conditions) == 2 and conditions[1] == sp.true and type(conditions[0]) in _RELATIONS:
        # Of two cases the second is the opposite of the first.
        conditions[1] = conditions[0].negated
    rows = [rf"{latex(value)}, & {_condition(condition)}" for value, condition in zip(values, conditions, strict=True)]
    return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}"


def _condition(condition: sp.Basic) -> str:
    if condition == sp.true:
        return r"\text{otherwise}"
    for kind, word in ((sp.Or, "or"), (sp.And, "and")):
        if isinstance(condition, kind):
            return rf" \text{{ {word} }} ".join(_condition(part) for part in sorted(condition.args, key=str))
    return _relation(condition)


def _relation(relation: sp.Basic) -> str:
    sign = _RELATIONS.get(type(relation))
    if sign is None:
        raise LatexError(f"{relation} cannot be typeset")
    return f"{latex(relation.args[0])} {sign} {latex(relation.args[1])}"
