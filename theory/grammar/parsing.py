"""Text to SymPy: activations and exact numbers, read by an allow-list and never evaluated as code.

The text is scanned and arranged into a syntax tree (``theory.grammar.lexing``).  A walker over an
allow-list of nodes builds the SymPy expression here, and asks before and after each operation
whether it stays real, finite and small (``theory.grammar.bounds``), so that no text can make SymPy hang.

Numbers are exact: a decimal literal is read from its own text, never through a float: 0.2 is 1/5.
"""

from __future__ import annotations

import ast
import copy
import difflib
import keyword
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NoReturn

import sympy as sp

from theory.functions import sigmoid, softplus
from theory.grammar.bounds import MAX_EXP_ARGUMENT, Bounds
from theory.grammar.lexing import Source
from theory.named import NAMED, NOT_READ, NamedParameter, key_of, without_module
from theory.symbols import x as variable

__all__ = [
    "function_names",
    "parse_activation",
    "parse_number",
]

#: Arguments of Max and Min, branches of Piecewise.
MAX_ARGUMENTS = 16
_CONSTANTS = {"pi": sp.pi, "E": sp.E}
_COMPARISONS: dict[type[ast.cmpop], tuple[type[sp.Rel], type[sp.Rel]]] = {
    ast.Lt: (sp.Lt, sp.Gt),
    ast.LtE: (sp.Le, sp.Ge),
    ast.Gt: (sp.Gt, sp.Lt),
    ast.GtE: (sp.Ge, sp.Le),
}
#: Functions whose arguments are not plain values.
_PIECEWISE, _WHERE = "Piecewise", ("where",)
_POWERS = ("pow", "power", "float_power")
_LIMITS = {"min": 1, "a_min": 1, "low": 1, "min_val": 1, "max": 2, "a_max": 2, "high": 2, "max_val": 2}
#: Places of the arguments that may be given by name.
_KEYWORDS: dict[str, dict[str, int]] = {
    "clip": _LIMITS,
    "clamp": _LIMITS,
    "softplus": {"beta": 1, "b": 1},
}


def function_names() -> frozenset[str]:
    """Return the functions of the grammar that take one argument."""
    return frozenset(name for name, (least, _, _) in _FUNCTIONS.items() if least == 1 and name != _PIECEWISE)


def parse_activation(text: str, parameters: Mapping[str, sp.Symbol] | Iterable[str] = ()) -> sp.Expr:
    """Read an activation.

    Args:
        text: the expression, at most 1000 ASCII characters on one line, in the variable ``x``.  Named
            activations may be called in it, and functions may be spelled as in NumPy, PyTorch and JAX.
        parameters: further names that may occur: a mapping to the symbols to use (with their
            assumptions), or plain names, which become real symbols.

    Returns:
        The expression in ``theory.symbols.x`` (real) and the parameters.  Every constant in it is
        real and finite.  Whether log(x), sqrt(x) or 1/x are defined where they are used is not
        decided here.

    Raises:
        ActivationSyntaxError: the text is outside the grammar or its limits.
        ValueError: a parameter's name is not a plain name or is taken by the grammar.

    Example:
        >>> parse_activation("max(x, 0)/2 + 0.1*tanh(x)")
        tanh(x)/10 + Max(0, x)/2
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

    Example:
        >>> parse_number("0.2")
        1/5
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
        self.whole: ast.expr | None = None

    def read(self) -> sp.Expr:
        self.whole = tree = self.source.tree()
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
        spellings = {*candidates, *(NAMED if "x" in self.names else ())}
        close = difflib.get_close_matches(name, sorted(spellings), n=1, cutoff=3 / 4)
        folded = [c for c in candidates if c.lower() == name.lower()]
        if name in NOT_READ and "x" in self.names:
            advice = NOT_READ[name]
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
            if self.module(node) and node.id in ("e", "pi"):
                return _CONSTANTS[node.id.replace("e", "E")]
            if node.id in _FUNCTIONS or ("x" in self.names and key_of(node.id) is not None):
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
            accepted = "conditions belong into Piecewise((x, x > 0), (0, True)) or a product such as x*(x > 0)"
            self.fail(node, what, accepted)
        if isinstance(node, ast.Tuple):
            what = "a comma stands outside a function's brackets"
            self.fail(node, what, "write one expression with decimal points")
        if isinstance(node, ast.Constant):
            what = f"{node.value!r} stands where a value is expected"
            self.fail(node, what, "it is a condition of Piecewise" if node.value is True else "write a number")
        self.fail(node, "this is not part of the grammar", "write an expression such as tanh(x)")

    def operation(self, node: ast.BinOp) -> sp.Expr:
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            what = "& and | combine conditions, not values"
            accepted = "bracket each comparison inside Piecewise, as in (x > 0) & (x < 1)"
            self.fail(node, what, accepted)
        if isinstance(node.op, ast.Mult):
            return self.factor(node.left) * self.factor(node.right)
        left, right = self.build(node.left), self.build(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Div):
            if not right.free_symbols and self.bounds.sign(right, node.right) == 0:
                self.fail(node.right, "division by zero", "the denominator must not vanish")
            self.bounds.enter(right, node.right)
            return left / right
        return self.power(left, right, node.left, node.right)

    def factor(self, node: ast.expr) -> sp.Expr:
        """A factor; a condition counts 1 where it holds and 0 elsewhere."""
        joint = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr)
        if not (joint or isinstance(node, ast.Compare)):
            return self.build(node)
        condition = self.condition(node)
        if condition in (sp.true, sp.false):
            return sp.S.One if condition is sp.true else sp.S.Zero
        result = sp.Piecewise((sp.S.One, condition), (sp.S.Zero, sp.true), evaluate=False)
        self.bounds.measure(result, node)
        return result

    def power(self, base: sp.Expr, exponent: sp.Expr, left: ast.expr, right: ast.expr) -> sp.Expr:
        """base**exponent, the two written at ``left`` and ``right``."""
        constant = not base.free_symbols
        sign = self.bounds.sign(base, left) if constant else None
        if exponent.free_symbols:
            if not (sign == 1 or (variable not in base.free_symbols and base.is_positive)):
                what = "the exponent is not a number"
                accepted = "x, parameters and negative numbers take a number as exponent"
                self.fail(right, what, accepted)
            self.bounds.enter(exponent, right)
            return self.exponential(exponent * sp.log(base), right)
        self.bounds.exponent(exponent, right)
        if sign == 0 and self.bounds.sign(exponent, right) <= 0:
            what = "zero is raised to a power that is not positive"
            self.fail(right, what, "the exponent of 0 must be positive")
        if sign == -1 and not exponent.is_Integer:
            what = "a negative number is raised to a power that is not an integer"
            self.fail(right, what, "values must be real")
        if not constant:
            self.bounds.enter(base, left)
            self.bounds.grow(self.bounds.measure(base, left), base, exponent, right)
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

    def module(self, node: ast.Name) -> str:
        """What stood before the dot of a name, such as "np"."""
        return self.source.modules.get(node.col_offset, "")

    def call(self, node: ast.Call) -> sp.Expr:
        function, arguments, keywords = node.func, node.args, node.keywords
        if isinstance(function, ast.Call) and isinstance(function.func, ast.Name) and key_of(function.func.id):
            # A class of PyTorch and then its argument: nn.ELU(2)(x).
            arguments, keywords = [*arguments, *function.args], [*keywords, *function.keywords]
            function = function.func
        if not isinstance(function, ast.Name):
            self.fail(node, "a product without operator", "write * for a product")
        if any(isinstance(argument, ast.Starred) for argument in arguments) or any(k.arg is None for k in keywords):
            self.fail(node, f"{function.id} takes plain arguments only", "remove *")
        if function.id in self.names:
            self.fail(function, f"{function.id!r} is not a function", "write * for a product")
        said = key_of(function.id) == "gelu" and any(each.arg == "approximate" for each in keywords)
        name, doubt = without_module(function.id, "" if said else self.module(function))
        if doubt is not None:
            self.fail(function, *doubt)
        if name not in _FUNCTIONS:
            key = key_of(name) if "x" in self.names else None
            if key is None:
                self.unknown(function, _FUNCTIONS)
            return self.named(key, node, function, arguments, keywords)
        least, most, build = _FUNCTIONS[name]
        given = self.placed(name, function, arguments, keywords, _KEYWORDS.get(name, {}), most)
        if keywords and name in _KEYWORDS and given and given[0] is not None:
            least = 1
        if not least <= len(given) <= most:
            counts = str(least) if least == most else f"{least} to {most}"
            what = f"{name} is given {len(given)} argument{'s' * (len(given) != 1)}"
            self.fail(function, what, f"it takes {counts}")
        if name == _PIECEWISE:
            return self.piecewise(arguments, node)
        if name in _WHERE:
            return self.where(arguments, node)
        if name in _POWERS:
            power = ast.BinOp(left=arguments[0], op=ast.Pow(), right=arguments[1])
            return self.operation(ast.copy_location(power, node))
        values = [None if argument is None else self.argument(argument) for argument in given]
        result: sp.Expr = build(self, values, [function if argument is None else argument for argument in given])
        return result

    def argument(self, node: ast.expr) -> sp.Expr:
        value = self.build(node)
        self.bounds.settle(value, node)
        self.bounds.enter(value, node)
        return value

    def placed(
        self,
        name: str,
        function: ast.Name,
        arguments: list[ast.expr],
        keywords: list[ast.keyword],
        places: Mapping[str, int],
        most: int,
    ) -> list[ast.expr | None]:
        """The arguments by their places; None for one that is left out before another."""
        given: list[ast.expr | None] = [*arguments]
        for keyword_argument in keywords:
            label = str(keyword_argument.arg)
            if label not in places:
                accepted = f"it takes {' or '.join(places)}" if places else "it takes none by name"
                self.fail(keyword_argument, f"{name} takes no argument {label!r}", accepted)
            given += [None] * (places[label] + 1 - len(given))
            if given[places[label]] is not None:
                self.fail(keyword_argument, f"{name} is given {label!r} twice", "give it once")
            given[places[label]] = keyword_argument.value
        return given

    # -- named activations -------------------------------------------------------------------------

    def named(
        self, key: str, node: ast.Call, function: ast.Name, arguments: list[ast.expr], keywords: list[ast.keyword]
    ) -> sp.Expr:
        """A call of a registered activation: its text, read with the argument in the place of x."""
        if key == "gelu" and [k.arg for k in keywords] == ["approximate"]:
            key, keywords = self.gelu(keywords[0]), []
        entry = NAMED[key]
        text, parameters = entry.call or (entry.text, entry.parameters)
        places = {spelling: k for k, each in enumerate(parameters, 1) for spelling in (each.name, *each.aliases)}
        built = [self.argument(argument) for argument in arguments]
        if node is self.whole and function.id != function.id.lower() and not any(v.has(variable) for v in built):
            # A class without its argument, as in nn.LeakyReLU(0.2), is a function of x.
            arguments = [ast.copy_location(ast.Name("x"), function), *arguments]
        given = self.placed(function.id, function, arguments, keywords, places, 1 + len(parameters))
        if not given or given[0] is None or len(given) > 1 + len(parameters):
            shown = ", ".join(("x", *(each.aliases[0] if each.aliases else each.name for each in parameters)))
            self.fail(function, f"{function.id} has other arguments", f"write {function.id}({shown})")
        environment: dict[str, sp.Expr] = {**_CONSTANTS, "x": self.argument(given[0])}
        for place, each in enumerate(parameters, 1):
            value = given[place] if place < len(given) else None
            environment[each.name] = self.setting(function.id, each, value)
        if not entry.call and entry.composed and not self.is_linear(environment["x"], given[0]):
            text = entry.composed
        tree, numbers = _template(text)
        tree = copy.deepcopy(tree)
        for part in ast.walk(tree):
            if isinstance(part, ast.expr):
                part.col_offset = function.col_offset
        names, self.names = self.names, environment | numbers
        result = self.build(tree)
        self.names = names
        self.bounds.expanded(result, function)
        return result

    def gelu(self, keyword_argument: ast.keyword) -> str:
        """Which GELU ``approximate`` asks for, in PyTorch's words or in JAX's."""
        value = keyword_argument.value
        if isinstance(value, ast.Constant) and value.value in (True, False, "tanh", "none"):
            return "gelu_tanh" if value.value in (True, "tanh") else "gelu"
        self.fail(keyword_argument, "this approximation of gelu is not known", "write 'tanh' or 'none', True or False")

    def setting(self, name: str, parameter: NamedParameter, node: ast.expr | None) -> sp.Expr:
        """Value of a parameter of a call, which must be a number or one of the text's own parameters."""
        if node is None:
            return parse_number(parameter.default)
        value = self.argument(node)
        label = parameter.aliases[0] if parameter.aliases else parameter.name
        if value.has(variable):
            self.fail(node, f"{label} of {name} depends on x", "give it a number")
        refused = {"positive": (0, -1), "nonzero": (0,)}.get(parameter.fact, ())
        known = self.bounds.sign(value, node) if not value.free_symbols else 1
        if known in refused or getattr(value, f"is_{parameter.fact}") is False:
            self.fail(node, f"{label} of {name} is {value}", f"it must be {parameter.fact}")
        return value

    def is_linear(self, u: sp.Expr, where: ast.expr) -> bool:
        """Whether a condition on u can be solved for x."""
        parts = _affine(u)
        if parts is None:
            return False
        if parts[0].free_symbols:
            return bool(parts[0].is_positive or parts[0].is_negative)
        return self.bounds.sign(parts[0], where) != 0

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

    def sharp_soft(self, arguments: list[Any], where: list[ast.expr]) -> sp.Expr:
        """softplus(x, beta) is softplus(beta x)/beta."""
        if len(arguments) == 1:
            return self.soft(arguments[0], where[0])
        beta = self.setting("softplus", NAMED["softplus"].parameters[0], where[1])
        return self.soft(beta * arguments[0], where[0]) / beta

    def soft_maximum(self, arguments: list[sp.Expr], where: list[ast.expr]) -> sp.Expr:
        """log(exp(u) + exp(v)), which is v + softplus(u - v)."""
        u, v = arguments
        if not u.free_symbols:
            u, v = v, u
        return v + self.soft(u - v, where[0])

    def cube_root(self, u: sp.Expr, where: ast.expr) -> sp.Expr:
        """The real cube root, odd."""
        return self.signum(u, where) * self.magnitude(u, where) ** sp.Rational(1, 3)

    def at_zero(self, arguments: list[sp.Expr], where: list[ast.expr]) -> sp.Expr:
        """The step with its value at 0, 1/2 unless given."""
        result = self.step(arguments[0], where[0])
        if len(arguments) == 1 or arguments[1] == sp.S.Half:
            return result
        if arguments[1].free_symbols:
            self.fail(where[1], "the value at 0 of heaviside is not a number", "give it a number, such as 1/2")
        return result + (arguments[1] - sp.S.Half) * (1 - self.signum(arguments[0], where[0]) ** 2)

    def squared(self, u: sp.Expr, where: ast.expr) -> sp.Expr:
        return self.power(u, sp.Integer(2), where, where)

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

    def clip(self, arguments: list[Any], where: list[ast.expr]) -> sp.Expr:
        value, low, high = [*arguments, None, None][:3]
        if high is None:
            return value if low is None else self.extremum(sp.Max, [value, low], where[:2])
        if low is None:
            return self.extremum(sp.Min, [value, high], [where[0], where[2]])
        if not (high - low).free_symbols and self.bounds.sign(high - low, where[2]) < 0:
            what = "the upper limit of clip lies below the lower one"
            self.fail(where[2], what, "write clip(x, low, high)")
        inner = self.extremum(sp.Max, [value, low], where[:2])
        return self.extremum(sp.Min, [inner, high], [where[0], where[2]])

    # -- Piecewise ------------------------------------------------------------------------------

    def where(self, arguments: list[ast.expr], node: ast.expr) -> sp.Expr:
        """A choice by one condition: Piecewise((a, condition), (b, True))."""
        condition, value, other = arguments
        always = ast.copy_location(ast.Constant(True), other)
        pairs = [ast.Tuple(elts=[value, condition]), ast.Tuple(elts=[other, always])]
        return self.piecewise([ast.copy_location(pair, value) for pair in pairs], node)

    def piecewise(self, arguments: list[ast.expr], node: ast.expr) -> sp.Expr:
        branches = list[tuple[sp.Expr, sp.Basic]]()
        for branch in arguments:
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

    def cover(self, branches: list[tuple[sp.Expr, Any]], node: ast.expr) -> None:
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


@cache
def _template(text: str) -> tuple[ast.expr, dict[str, sp.Rational]]:
    """The tree of a registered text, with names in the place of its numbers, and the numbers by those names."""
    source = Source(text, text, _FUNCTIONS)
    tree = source.tree()
    numbers = dict[str, sp.Rational]()

    class Naming(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.expr:
            if isinstance(node.value, bool):
                return node
            name = f"#{node.col_offset}"
            numbers[name] = source.numbers[node.col_offset]
            return ast.copy_location(ast.Name(name), node)

    return Naming().visit(tree), numbers


_Build = Callable[[_Reader, list[Any], list[ast.expr]], Any]


def _plain(function: Any) -> tuple[int, int, _Build]:
    return 1, 1, lambda reader, u, where: function(u[0])


def _checked(method: Callable[[_Reader, sp.Expr, ast.expr], Any]) -> tuple[int, int, _Build]:
    return 1, 1, lambda reader, u, where: method(reader, u[0], where[0])


def _hyperbolic(function: Any) -> tuple[int, int, _Build]:
    return 1, 1, lambda reader, u, where: reader.hyperbolic(function, u[0], where[0])


def _extremum(kind: Any) -> tuple[int, int, _Build]:
    return 2, MAX_ARGUMENTS, lambda reader, u, where: reader.extremum(kind, u, where)


def _scaled_log(base: int) -> tuple[int, int, _Build]:
    return 1, 1, lambda reader, u, where: reader.logarithm(u[0], where[0]) / sp.log(base)


_NO_VALUE: _Build = lambda reader, u, where: sp.nan  # noqa: E731 - read by ``call`` itself
#: Least and largest number of arguments, and how the value is built.
_FUNCTIONS: dict[str, tuple[int, int, _Build]] = {
    "exp": _checked(_Reader.exponential),
    "expm1": _checked(lambda reader, u, where: reader.exponential(u, where) - 1),
    "exp2": _checked(lambda reader, u, where: reader.exponential(u * sp.log(2), where)),
    **dict.fromkeys(("log", "ln"), _checked(_Reader.logarithm)),
    "log1p": _checked(lambda reader, u, where: reader.logarithm(1 + u, where)),
    "log2": _scaled_log(2),
    "log10": _scaled_log(10),
    "logaddexp": (2, 2, lambda reader, u, where: reader.soft_maximum(u, where)),
    "sqrt": _checked(_Reader.root),
    "cbrt": _checked(_Reader.cube_root),
    "square": _checked(lambda reader, u, where: reader.squared(u, where)),
    "sin": _plain(sp.sin),
    "cos": _plain(sp.cos),
    "tan": _plain(sp.tan),
    **dict.fromkeys(("atan", "arctan"), _plain(sp.atan)),
    **dict.fromkeys(("asinh", "arcsinh"), _plain(sp.asinh)),
    "sinh": _hyperbolic(sp.sinh),
    "cosh": _hyperbolic(sp.cosh),
    "tanh": _plain(sp.tanh),
    "sech": _hyperbolic(sp.sech),
    "erf": _plain(sp.erf),
    "erfc": _plain(sp.erfc),
    **dict.fromkeys(("Phi", "ndtr"), _plain(lambda u: (1 + sp.erf(u / sp.sqrt(2))) / 2)),
    **dict.fromkeys(("sigmoid", "logistic", "expit"), _checked(_Reader.logistic)),
    "softplus": (1, 2, lambda reader, u, where: reader.sharp_soft(u, where)),
    "relu": (1, 1, lambda reader, u, where: reader.extremum(sp.Max, [*u, sp.S.Zero], where * 2)),
    **dict.fromkeys(("Abs", "abs", "absolute", "fabs"), _checked(_Reader.magnitude)),
    **dict.fromkeys(("sign", "sgn"), _checked(_Reader.signum)),
    **dict.fromkeys(("Heaviside", "heaviside"), (1, 2, lambda reader, u, where: reader.at_zero(u, where))),
    **dict.fromkeys(("Max", "max", "maximum", "fmax"), _extremum(sp.Max)),
    **dict.fromkeys(("Min", "min", "minimum", "fmin"), _extremum(sp.Min)),
    "clip": (3, 3, _Reader.clip),
    "clamp": (2, 3, _Reader.clip),
    **dict.fromkeys(_POWERS, (2, 2, _NO_VALUE)),
    **dict.fromkeys(_WHERE, (3, 3, _NO_VALUE)),
    _PIECEWISE: (1, MAX_ARGUMENTS, _NO_VALUE),
}
