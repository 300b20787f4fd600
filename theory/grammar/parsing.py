"""Text to SymPy: activations and exact numbers, read by an allow-list and never evaluated as code.

The text is scanned and arranged into a syntax tree (``theory.grammar.lexing``).  A walker over an
allow-list of nodes builds the SymPy expression here, and asks before and after each operation
whether it stays real, finite and small (``theory.grammar.bounds``), so that no text can make SymPy hang.

Numbers are exact: a decimal literal is read from its own text, never through a float: 0.2 is 1/5.
"""

from __future__ import annotations

import ast
import difflib
import keyword
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import sympy as sp

from theory.functions import sigmoid, softplus
from theory.grammar.bounds import MAX_EXP_ARGUMENT, Bounds
from theory.grammar.lexing import Source
from theory.symbols import x as variable

__all__ = [
    "parse_activation",
    "parse_number",
]

#: Arguments of Max and Min, branches of Piecewise.
MAX_ARGUMENTS = 16
_NAME_HINTS = {
    "e": "write E or exp(...)",
    "ln": "write log",
    "arctan": "write atan",
    "swish": "write x*sigmoid(x)",
    "silu": "write x*sigmoid(x)",
    "gelu": "write x*Phi(x)",
    "mish": "write x*tanh(softplus(x))",
    "elu": "write Piecewise((x, x > 0), (exp(x) - 1, True))",
}
_CONSTANTS = {"pi": sp.pi, "E": sp.E}
_COMPARISONS: dict[type[ast.cmpop], tuple[type[sp.Rel], type[sp.Rel]]] = {
    ast.Lt: (sp.Lt, sp.Gt),
    ast.LtE: (sp.Le, sp.Ge),
    ast.Gt: (sp.Gt, sp.Lt),
    ast.GtE: (sp.Ge, sp.Le),
}


def parse_activation(text: str, parameters: Mapping[str, sp.Symbol] | Iterable[str] = ()) -> sp.Expr:
    """Read an activation.

    Args:
        text: the expression, at most 1000 ASCII characters on one line, in the variable ``x``.
        parameters: further names that may occur: a mapping to the symbols to use (with their
            assumptions), or plain names, which become real symbols.

    Returns:
        The expression in ``theory.symbols.x`` (real) and the parameters.  Every constant in it is
        real and finite.  Whether log(x), sqrt(x) or 1/x are defined where they are used is not
        decided here.

    Raises:
        ActivationSyntaxError: the text is outside the grammar or its limits.
        ValueError: a parameter's name is not a plain name or is taken by the grammar.
    """
    names: dict[str, sp.Expr] = {"x": variable, **_CONSTANTS}
    symbols = (
        dict(parameters)
        if isinstance(parameters, Mapping)
        else {name: sp.Symbol(name, real=True) for name in parameters}
    )
    for name, symbol in symbols.items():
        taken = name in names or name in _FUNCTIONS or keyword.iskeyword(name) or symbol == variable
        if taken or not (name.isascii() and name.isidentifier()):
            raise ValueError(f"{name!r} cannot name a parameter: it is taken or not a plain name")
        names[name] = symbol
    return _Reader(text, names).read()


def parse_number(text: str) -> sp.Expr:
    """Read an exact real number: 0.2 (which is 1/5), 1e-3, 2/7, sqrt(2)/3, pi/4.

    Raises:
        ActivationSyntaxError: the text is not a number, or not a real and finite one.
    """
    return _Reader(text, dict(_CONSTANTS)).read()


class _Reader:
    """One reading of one text: builds the expression, node by node."""

    def __init__(self, text: str, names: Mapping[str, sp.Expr]) -> None:
        example = "tanh(x)" if "x" in names else "0.2 or 1/5"
        self.source = Source(text, example, _FUNCTIONS)
        self.fail = self.source.fail
        self.bounds = Bounds(self.source)
        self.names = names

    def read(self) -> sp.Expr:
        tree = self.source.tree()
        try:
            result = self.build(tree)
            self.bounds.settle(result, tree)
        except RecursionError:
            self.fail(None, "the text is nested too deeply", "write a simpler expression")
        return result

    def unknown(self, node: ast.Name, candidates: Iterable[str]) -> NoReturn:
        name = node.id
        candidates = sorted(candidates)
        short = name if len(name) <= 30 else name[:27] + "..."
        close = difflib.get_close_matches(name, candidates, n=1)
        folded = [c for c in candidates if c.lower() == name.lower()]
        if name in _NAME_HINTS and "x" in self.names:
            advice = _NAME_HINTS[name]
        elif folded or close:
            advice = f"did you mean {(folded or close)[0]}?"
        else:
            advice = "the names here are " + ", ".join(candidates)
        self.fail(node, f"unknown name {short!r}", advice)

    def build(self, node: ast.expr) -> sp.Expr:
        result = self.construct(node)
        self.bounds.measure(result, node)
        return result

    def construct(self, node: ast.expr) -> sp.Expr:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return self.source.numbers[node.col_offset]
        if isinstance(node, ast.Name):
            if node.id in self.names:
                return self.names[node.id]
            if node.id in _FUNCTIONS:
                self.fail(node, f"the function {node.id} has no argument", f"write {node.id}(...)")
            self.unknown(node, self.names)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
            operand = self.build(node.operand)
            return -operand if isinstance(node.op, ast.USub) else operand
        if isinstance(node, ast.BinOp):
            return self.operation(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.Compare):
            what = "a comparison stands where a value is expected"
            self.fail(node, what, "conditions belong into Piecewise((x, x > 0), (0, True))")
        if isinstance(node, ast.Tuple):
            what = "a comma stands outside a function's brackets"
            self.fail(node, what, "write one expression with decimal points")
        if isinstance(node, ast.Constant):
            what = "True stands where a value is expected"
            self.fail(node, what, "it is a condition of Piecewise")
        self.fail(node, "this is not part of the grammar", "write an expression such as tanh(x)")

    def operation(self, node: ast.BinOp) -> sp.Expr:
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            what = "& and | combine conditions, not values"
            accepted = "bracket each comparison inside Piecewise, as in (x > 0) & (x < 1)"
            self.fail(node, what, accepted)
        left, right = self.build(node.left), self.build(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            if not right.free_symbols and self.bounds.sign(right, node.right) == 0:
                self.fail(node.right, "division by zero", "the denominator must not vanish")
            self.bounds.enter(right, node.right)
            return left / right
        return self.power(left, right, node)

    def power(self, base: sp.Expr, exponent: sp.Expr, node: ast.BinOp) -> sp.Expr:
        constant = not base.free_symbols
        sign = self.bounds.sign(base, node.left) if constant else None
        if exponent.free_symbols:
            if not (sign == 1 or (variable not in base.free_symbols and base.is_positive)):
                what = "the exponent is not a number"
                accepted = "x, parameters and negative numbers take a number as exponent"
                self.fail(node.right, what, accepted)
            self.bounds.enter(exponent, node.right)
            return self.exponential(exponent * sp.log(base), node.right)
        self.bounds.exponent(exponent, node.right)
        if sign == 0 and self.bounds.sign(exponent, node.right) <= 0:
            what = "zero is raised to a power that is not positive"
            self.fail(node.right, what, "the exponent of 0 must be positive")
        if sign == -1 and not exponent.is_Integer:
            what = "a negative number is raised to a power that is not an integer"
            self.fail(node.right, what, "values must be real")
        if not constant:
            self.bounds.enter(base, node.left)
            self.bounds.grow(self.bounds.measure(base, node.left), base, exponent, node.right)
        return sp.exp(exponent) if base is sp.E else base**exponent

    def exponential(self, argument: sp.Expr, where: ast.expr) -> sp.Expr:
        """exp; what SymPy turns into powers (exp(9*log(2)) is 2**9) is held to their limits."""
        for term in sp.Add.make_args(argument):
            factors = sp.Mul.make_args(term)
            logarithm = next((f for f in factors if isinstance(f, sp.log)), None)
            if logarithm is not None and not (term / logarithm).free_symbols:
                self.bounds.exponent(term / logarithm, where)
            if not term.free_symbols and abs(self.bounds.value(term, where)) > MAX_EXP_ARGUMENT:
                what = "the exponential is too large or too small"
                self.fail(where, what, f"constant exponents run to {MAX_EXP_ARGUMENT} in size")
        return sp.exp(argument)

    def call(self, node: ast.Call) -> sp.Expr:
        if not isinstance(node.func, ast.Name):
            self.fail(node, "a product without operator", "write * for a product")
        name = node.func.id
        if name not in _FUNCTIONS:
            if name in self.names:
                self.fail(node.func, f"{name!r} is not a function", "write * for a product")
            self.unknown(node.func, _FUNCTIONS)
        least, most, function = _FUNCTIONS[name]
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            self.fail(node, f"{name} takes plain arguments only", "remove = and *")
        if not least <= len(node.args) <= most:
            counts = str(least) if least == most else f"{least} to {most}"
            what = f"{name} is given {len(node.args)} argument{'s' * (len(node.args) != 1)}"
            self.fail(node.func, what, f"it takes {counts}")
        if name == "Piecewise":
            return self.piecewise(node)
        arguments = [self.build(argument) for argument in node.args]
        for argument, where in zip(arguments, node.args, strict=True):
            self.bounds.settle(argument, where)
            self.bounds.enter(argument, where)
        result: sp.Expr = function(self, arguments, node.args)
        return result

    # -- functions ------------------------------------------------------------------------------

    def hyperbolic(self, function: Any, u: sp.Expr, where: ast.expr) -> sp.Expr:
        if not u.free_symbols and abs(self.bounds.value(u, where)) > MAX_EXP_ARGUMENT:
            what = "the argument is too large"
            self.fail(where, what, f"constant arguments run to {MAX_EXP_ARGUMENT} in size")
        if function is sp.sech and u.is_extended_real is not True:
            return 1 / sp.cosh(u)  # SymPy takes seconds to split sech into real and imaginary parts
        return function(u)

    def logarithm(self, u: sp.Expr, where: ast.expr) -> sp.Expr:
        if not u.free_symbols and self.bounds.sign(u, where) <= 0:
            what = "log of a number that is not positive"
            self.fail(where, what, "values must be real and finite")
        return sp.log(u)

    def root(self, u: sp.Expr, where: ast.expr) -> sp.Expr:
        if not u.free_symbols and self.bounds.sign(u, where) < 0:
            self.fail(where, "sqrt of a negative number", "values must be real")
        return sp.sqrt(u)

    def logistic(self, u: sp.Expr, where: ast.expr) -> sp.Expr:
        return sigmoid(u) if u.free_symbols else 1 / (1 + self.exponential(-u, where))

    def soft(self, u: sp.Expr, where: ast.expr) -> sp.Expr:
        return softplus(u) if u.free_symbols else sp.log(1 + self.exponential(u, where))

    def magnitude(self, u: sp.Expr, where: ast.expr) -> sp.Expr:
        if u.free_symbols:
            return sp.Abs(u, evaluate=u.is_extended_real is True)
        return self.bounds.sign(u, where) * u

    def signum(self, u: sp.Expr, where: ast.expr) -> sp.Expr:
        if u.free_symbols:
            return sp.sign(u, evaluate=u.is_extended_real is True)
        return sp.Integer(self.bounds.sign(u, where))

    def step(self, u: sp.Expr, where: ast.expr) -> sp.Expr:
        if u.free_symbols:
            return sp.Heaviside(u, evaluate=u.is_extended_real is True)
        return sp.Rational(1 + self.bounds.sign(u, where), 2)

    def extremum(self, kind: Any, arguments: list[sp.Expr], where: list[ast.expr]) -> sp.Expr:
        """Max or Min: flattened, constants folded, but no comparison of symbolic arguments."""
        best: sp.Expr | None = None
        symbolic = list[sp.Expr]()
        direction = 1 if kind is sp.Max else -1
        for argument, node in zip(arguments, where, strict=True):
            for part in argument.args if isinstance(argument, kind) else (argument,):
                if part.free_symbols:
                    symbolic.append(part)
                elif best is None or self.bounds.sign(part - best, node) == direction:
                    best = part
        parts = list(dict.fromkeys(symbolic if best is None else [*symbolic, best]))
        return parts[0] if len(parts) == 1 else kind(*parts, evaluate=False)

    def clip(self, arguments: list[sp.Expr], where: list[ast.expr]) -> sp.Expr:
        value, low, high = arguments
        if not (high - low).free_symbols and self.bounds.sign(high - low, where[2]) < 0:
            what = "the upper limit of clip lies below the lower one"
            self.fail(where[2], what, "write clip(x, low, high)")
        inner = self.extremum(sp.Max, [value, low], where[:2])
        return self.extremum(sp.Min, [inner, high], [where[0], where[2]])

    # -- Piecewise ------------------------------------------------------------------------------

    def piecewise(self, node: ast.Call) -> sp.Expr:
        branches = list[tuple[sp.Expr, sp.Basic]]()
        for branch in node.args:
            if branches and branches[-1][1] is sp.true:
                what = "this branch comes after the condition True"
                self.fail(branch, what, "the branch with True is the last")
            if not isinstance(branch, ast.Tuple) or len(branch.elts) != 2:
                what = "a branch of Piecewise is not a pair"
                self.fail(branch, what, "write Piecewise((x, x > 0), (0, True))")
            value = self.build(branch.elts[0])
            self.bounds.settle(value, branch.elts[0])
            condition = self.condition(branch.elts[1])
            if condition is not sp.false:
                branches.append((value, condition))
        if not branches:
            what = "no condition of Piecewise ever holds"
            self.fail(node, what, "end it with a branch (..., True)")
        if branches[-1][1] is not sp.true:
            self.cover(branches, node)
            branches[-1] = (branches[-1][0], sp.true)
        if len(branches) == 1:
            return branches[0][0]
        return sp.Piecewise(*branches, evaluate=False)

    def condition(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and node.value is True:
            return sp.true
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
            sides = self.condition(node.left), self.condition(node.right)
            return (sp.And if isinstance(node.op, ast.BitAnd) else sp.Or)(*sides)
        if isinstance(node, ast.Compare):
            terms = [node.left, *node.comparators]
            links = [
                self.comparison(first, operator, second)
                for first, operator, second in zip(terms, node.ops, terms[1:], strict=False)
            ]
            return sp.And(*links)
        what = "a condition of Piecewise is not a comparison"
        self.fail(node, what, "write x > 0, 0 <= x < 1, (x < 0) | (x > 1) or True")

    def comparison(self, first: ast.expr, operator: ast.cmpop, second: ast.expr) -> Any:
        """One comparison, brought to the form x < c, x <= c, x > c or x >= c."""
        if type(operator) not in _COMPARISONS:
            self.fail(first, "this comparison is not known", "comparisons are <, <=, > and >=")
        forward, backward = _COMPARISONS[type(operator)]
        left, right = self.build(first), self.build(second)
        for side, node in ((left, first), (right, second)):
            self.bounds.settle(side, node)
        if variable not in left.free_symbols:
            left, right, forward, backward = right, left, backward, forward
        scale, inner = left.as_independent(variable, as_Add=False)
        if isinstance(inner, sp.Abs) and variable not in right.free_symbols and scale.is_positive:
            (inner,), bound = inner.args, right / scale
            upper = self.relation(inner - bound, forward, backward, first)
            lower = self.relation(inner + bound, backward, forward, first)
            return (sp.And if forward in (sp.Lt, sp.Le) else sp.Or)(upper, lower)
        return self.relation(left - right, forward, backward, first)

    def relation(self, difference: sp.Expr, forward: Any, backward: Any, where: ast.expr) -> Any:
        """The relation ``difference < 0`` (or <=, >, >=) solved for x, where it is linear in x."""
        parts = _affine(difference)
        sign: int | None = None
        if parts is not None and not parts[0].free_symbols:
            sign = self.bounds.sign(parts[0], where)
        elif parts is not None and (parts[0].is_positive or parts[0].is_negative):
            sign = 1 if parts[0].is_positive else -1
        if parts is None or not sign:
            what = "this condition does not compare x with a constant"
            self.fail(where, what, "write x > 0, 0 <= x < 1, Abs(x) < 1 or 2*x + 1 > 0")
        threshold = -parts[1] / parts[0]
        self.bounds.measure(threshold, where)
        return (forward if sign > 0 else backward)(variable, threshold, evaluate=False)

    def cover(self, branches: list[tuple[sp.Expr, Any]], node: ast.Call) -> None:
        """The conditions must cover the line: every threshold, and every gap between two."""
        relations = {atom for _, condition in branches for atom in condition.atoms(sp.Rel)}
        thresholds = list[sp.Expr]()
        for relation in sorted(relations, key=sp.default_sort_key):
            new = relation.rhs
            if new.free_symbols:
                what = "Piecewise has no default and its conditions have parameters"
                self.fail(node, what, "end it with a branch (..., True)")
            place = 0
            while place < len(thresholds) and self.bounds.sign(new - thresholds[place], node) > 0:
                place += 1
            if place == len(thresholds) or new != thresholds[place]:
                thresholds.insert(place, new)
        for cell in range(2 * len(thresholds) + 1):
            if not any(_holds(condition, cell, thresholds) for _, condition in branches):
                what = "the conditions of Piecewise leave a part of the line out"
                self.fail(node, what, "end it with a branch (..., True)")


def _affine(expression: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """(a, b) with expression = a x + b, by structure; None where it is not linear in x."""
    if variable not in expression.free_symbols:
        return sp.S.Zero, expression
    if expression == variable:
        return sp.S.One, sp.S.Zero
    if expression.is_Add:
        slope, intercept = sp.S.Zero, sp.S.Zero
        for term in expression.args:
            parts = _affine(term)
            if parts is None:
                return None
            slope, intercept = slope + parts[0], intercept + parts[1]
        return slope, intercept
    if expression.is_Mul:
        rest, dependent = expression.as_independent(variable, as_Add=False)
        parts = None if dependent.is_Mul or dependent == expression else _affine(dependent)
        return None if parts is None else (rest * parts[0], rest * parts[1])
    return None


def _holds(condition: Any, cell: int, thresholds: list[sp.Expr]) -> bool:
    """Truth of a condition on a cell: cell 2k+1 is threshold k, cell 2k the gap before it."""
    if isinstance(condition, sp.And):
        return all(_holds(part, cell, thresholds) for part in condition.args)
    if isinstance(condition, sp.Or):
        return any(_holds(part, cell, thresholds) for part in condition.args)
    place = 2 * thresholds.index(condition.rhs) + 1
    if cell == place:
        return isinstance(condition, sp.Le | sp.Ge)
    return isinstance(condition, sp.Lt | sp.Le) == (cell < place)


_Build = Callable[[_Reader, list[sp.Expr], list[ast.expr]], Any]


def _plain(function: Any) -> tuple[int, int, _Build]:
    return 1, 1, lambda reader, u, where: function(u[0])


def _checked(method: Callable[[_Reader, sp.Expr, ast.expr], Any]) -> tuple[int, int, _Build]:
    return 1, 1, lambda reader, u, where: method(reader, u[0], where[0])


def _hyperbolic(function: Any) -> tuple[int, int, _Build]:
    return 1, 1, lambda reader, u, where: reader.hyperbolic(function, u[0], where[0])


def _extremum(kind: Any) -> tuple[int, int, _Build]:
    return 2, MAX_ARGUMENTS, lambda reader, u, where: reader.extremum(kind, u, where)


#: Least and largest number of arguments, and how the value is built.
_FUNCTIONS: dict[str, tuple[int, int, _Build]] = {
    "exp": _checked(_Reader.exponential),
    "log": _checked(_Reader.logarithm),
    "sqrt": _checked(_Reader.root),
    "sin": _plain(sp.sin),
    "cos": _plain(sp.cos),
    "tan": _plain(sp.tan),
    "atan": _plain(sp.atan),
    "sinh": _hyperbolic(sp.sinh),
    "cosh": _hyperbolic(sp.cosh),
    "tanh": _plain(sp.tanh),
    "sech": _hyperbolic(sp.sech),
    "erf": _plain(sp.erf),
    "erfc": _plain(sp.erfc),
    "Phi": _plain(lambda u: (1 + sp.erf(u / sp.sqrt(2))) / 2),
    "sigmoid": _checked(_Reader.logistic),
    "logistic": _checked(_Reader.logistic),
    "softplus": _checked(_Reader.soft),
    "relu": (1, 1, lambda reader, u, where: reader.extremum(sp.Max, [*u, sp.S.Zero], where * 2)),
    "Abs": _checked(_Reader.magnitude),
    "abs": _checked(_Reader.magnitude),
    "sign": _checked(_Reader.signum),
    "Heaviside": _checked(_Reader.step),
    "Max": _extremum(sp.Max),
    "max": _extremum(sp.Max),
    "Min": _extremum(sp.Min),
    "min": _extremum(sp.Min),
    "clip": (3, 3, _Reader.clip),
    "Piecewise": (1, MAX_ARGUMENTS, lambda reader, u, where: sp.nan),
}
