"""Fuzz the activation parser: many odd texts, each of which must be read or refused, and quickly.

Seven kinds of text are drawn from one seed: random sentences of the grammar, the same without x, calls as in libraries,
mutations of valid activations, shuffled tokens, towers (deep, long and large on purpose) and noise.  While the parser
works, an audit hook watches the interpreter: nothing may be executed, imported, opened or compiled,
except that ``ast.parse`` turns what the parser has scanned into a tree.
"""

from __future__ import annotations

import platform
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np
import sympy as sp

from theory.grammar import ActivationSyntaxError, parse_activation
from theory.symbols import x

__all__ = ["LIMIT_SECONDS", "PARAMETERS", "VALID", "FuzzReport", "TextGenerator", "activation_texts", "fuzz"]

#: No text may take longer than this, in seconds of the processor (a busy machine is no fault of the parser).
LIMIT_SECONDS = 2.0
#: Parameters that the texts may use.
PARAMETERS = {"a": sp.Symbol("a", real=True), "b": sp.Symbol("b", positive=True)}
#: Valid activations, the stock of the mutations.
VALID = (
    "x", "tanh(x)", "erf(x)", "sin(x) + cos(2*x)/3", "x*Phi(x)", "x*sigmoid(b*x)",
    "x*tanh(softplus(x))", "Max(x, 0)", "max(a*x, x)", "Max(x, 0.01*x)", "relu(x)**2",
    "clip(x, -1, 1)", "clip(x/6 + 1/2, 0, 1)", "Min(Max(x, 0), 6)", "Abs(x)", "sign(x)*sqrt(abs(x))",
    "Heaviside(x)*x", "Piecewise((x, x > 0), (exp(x) - 1, True))",
    "1.0507009873554805*Piecewise((x, x > 0), (1.6732632423543772*(exp(x) - 1), True))",
    "Piecewise((0, x < -1), (x, -1 <= x <= 1), (1, x > 1))",
    "Piecewise((x**2, (x > -b) & (x < b)), (2*b*Abs(x) - b**2, True))",
    "Piecewise((1, (x < -2) | (x > 2)), (0, True))", "Piecewise((sqrt(x), x > 0), (-sqrt(-x), True))",
    "Piecewise((cos(pi*x), Abs(2*x - 1) <= 3), (-1, True))", "exp(-x**2/2)", "x*exp(-x**2)",
    "2**(-x**2)", "1e-3*x**3 - 2.5*x + sqrt(2)/3", "x/(1 + Abs(x))", "atan(pi*x/2)*2/pi",
    "log(1 + x**2)/2", "sech(x)*sinh(x)", "cosh(x)**-1", "erfc(-x/sqrt(2))/2", "logistic(x) - 1/2",
    "(x**2 + 1)**(1/2) - 1", "a*x**3 + b*x + E", "tan(x)/(1 + tan(x)**2)", "-(x - 1)*(x + 1)",
)  # fmt: skip
_UNARY = (
    "exp", "log", "sqrt", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "sech", "erf", "erfc", "Phi",
    "sigmoid", "logistic", "softplus", "relu", "Abs", "abs", "sign", "Heaviside", "asinh", "log1p", "expm1", "expit",
)  # fmt: skip
_BINARY = ("Max", "max", "Min", "min", "maximum", "minimum")
#: Spellings of libraries, called on one argument.
_NAMED = (
    "gelu", "SiLU", "elu", "CELU", "selu", "leaky_relu", "hardtanh", "nn.Softshrink(0.3)", "F.mish", "np.square",
    "cbrt", "softsign", "jax.nn.gelu", "hard_shrink", "sparse_plus", "np.heaviside",
)  # fmt: skip
_OPERATORS = ("+", "-", "*", "/", "**")
_COMPARISONS = ("<", "<=", ">", ">=")
_NUMBERS = (
    "0", "1", "2", "3", "7", "10", "64", "0.5", "0.1", "1/3", "2.", ".25", "1e3", "1e-3", "1.5e+2", "-1", "-0",
    "1/12", "5/2", "0.044715", "12345678901234567890",
)  # fmt: skip
_ODD_NUMBERS = (
    "65", "690", "1000", "1/13", "1e-30", "1e99", "1e999", "00", "007", "9" * 302, "9" * 303, "0." + "0" * 50 + "1",
    "1_000", "0x1f", "1j", "1e",
)  # fmt: skip
_LEAVES = ("x", "x", "x", "x", "pi", "E", "a", "b", "-x", "2*x", "(x+1)")
_TOKENS = (
    *_UNARY, *_BINARY, *_OPERATORS, *_COMPARISONS, *_NUMBERS, *_ODD_NUMBERS, "Piecewise", "clip", "a", "b", "pi",
    "x", "x", "E", "(", "(", ")", ")", ",", ",", "&", "|", "True", "==", "!=", "^", "//", "%", "@", ":=", "~", "[", "]",
    "{", "}", ".", "...", ":", ";", "'", '"', "#", "\\", "\n", "\t", " ", "lambda", "if", "else", "not", "and",
    "or", "in", "is", "for", "None", "False", "await", "yield", "__import__", "eval", "exec", "open", "os",
    "|", "|", "^", "=", "np.", "nn.", "F.", "where", "pow", "clip", "'tanh'", "min=", "alpha=", "gelu", "х", "ｘ",
    "y", "X", "I", "oo", "nan", "zoo", "S", "Symbol", "__class__", "f'{x}'", "b''", "\0", "é", "−", "𝑥", "ﬁ",
)  # fmt: skip
#: What differs between two refusals for the same reason: quotations, numbers, names of functions.
_DETAIL = re.compile(
    rf"(?<=' is )[A-Z].*|'[^']*'|\"[^\"]*\"|\d+|\b({'|'.join([*_UNARY, *_BINARY, 'clip', 'Piecewise$'])})\b"
)
#: Events of the interpreter that mean that something is executed, loaded or touched.
_FORBIDDEN_EVENTS = re.compile(
    r"exec|compile|import|open|marshal\..*|pickle\..*|code\..*|cpython\..*|ctypes\..*"
    r"|function\.__new__|os\..*|subprocess\..*|socket\..*|shutil\..*|urllib\..*|builtins\.input|builtins\.breakpoint|glob\..*|tempfile\..*"
)


#: What the parser may hand to ``ast.parse``: its own spelling of its tokens, without dots between names.
_INERT = re.compile(r"(?:[A-Za-z_]\w*|\d+\.?\d*|\.\d+|[-+*/(),<>=&| ]|'[a-z]+'|\"[a-z]+\")+", re.ASCII)


class TextGenerator:
    """Draws texts of seven kinds; the sequence depends on the generator alone."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._rng = generator
        self._kinds: tuple[tuple[str, Callable[[], str]], ...] = (
            ("grammar", lambda: self.expression(self._below(6))),
            ("mutation", self.mutation),
            ("tokens", self.tokens),
            ("tower", self.tower),
            ("noise", self.noise),
            ("constant", self.constant),
            ("library", lambda: self.library(self._below(4))),
        )

    def draw(self) -> tuple[str, str]:
        """Draw one kind and one text of it."""
        kind, make = self._kinds[(0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 5, 6, 6)[self._below(14)]]
        return kind, make()

    def expression(self, depth: int) -> str:
        """A sentence of the grammar, nearly: constants and arguments may be out of range."""
        if depth <= 0:
            return self._pick(_LEAVES) if self._below(3) else self.number()
        choice = self._below(20)
        if choice < 7:
            return self.binary(depth)
        if choice < 14:
            return f"{self._pick(_UNARY)}({self.expression(depth - 1)})"
        if choice < 15:
            return f"-{self.expression(depth - 1)}"
        if choice < 17:
            arguments = [self.expression(depth - 1) for _ in range(2 + self._below(3))]
            return f"{self._pick(_BINARY)}({', '.join(arguments)})"
        if choice < 18:
            return f"clip({self.expression(depth - 1)}, {self.expression(0)}, {self.expression(0)})"
        branches = [f"({self.expression(depth - 1)}, {self.condition(2)})" for _ in range(1 + self._below(3))]
        if self._below(4):
            branches.append(f"({self.expression(depth - 1)}, True)")
        return f"Piecewise({', '.join(branches)})"

    def library(self, depth: int) -> str:
        """What users of PyTorch, JAX and NumPy type."""
        inner = self.library(depth - 1) if depth else self.expression(1)
        choice = self._below(4)
        if choice < 2:
            return f"{self._pick(_NAMED)}({inner})"
        if choice == 2:
            return f"where({self.condition(1)}, {inner}, {self.expression(1)})"
        return self._pick(("|{0}|", "({0}) * (x > {1})", "pow({0}, {1})", "({0})^{1}", "leaky_relu({0}, {1})")).format(
            inner, self.number()
        )

    def number(self) -> str:
        """A number, rarely one at or over a limit."""
        return self._pick(_NUMBERS if self._below(40) else _ODD_NUMBERS)

    def constant(self) -> str:
        """A sentence of the grammar without x, of numbers or of numbers and one parameter."""
        text, parametric = self.expression(self._below(5)), self._below(2)

        def constant(match: re.Match[str]) -> str:
            return "b" if parametric and self._below(4) else self.number()

        return re.sub(r"\b[xab]\b", constant, text)

    def binary(self, depth: int) -> str:
        """Two operands and an operator, bracketed or not."""
        operator = self._pick(_OPERATORS)
        left = self.expression(depth - 1)
        right = self.expression(depth - 1)
        if operator == "**" and self._below(10):
            right = self.number()
        if self._below(2):
            left = f"({left})"
        if self._below(2):
            right = f"({right})"
        space = " " if self._below(2) else ""
        return f"{left}{space}{operator}{space}{right}"

    def condition(self, depth: int) -> str:
        """A condition of Piecewise, mostly on x."""
        if depth > 0 and self._below(3) == 0:
            joint = self._pick(("&", "|"))
            return f"({self.condition(depth - 1)}) {joint} ({self.condition(depth - 1)})"
        sides = ("x", "x", "x", "x", "x", "2*x - 1", "Abs(x)", "-x", "b*x", "Abs(x/2 + 1)")
        left = self._pick(sides if self._below(20) else ("a", "0", "x**2", "sin(x)", "x*x + x"))
        right = self.expression(self._below(2)) if self._below(6) == 0 else self.number()
        if self._below(5) == 0:
            return f"{self.number()} {self._pick(_COMPARISONS)} {left} < {right}"
        return f"{left} {self._pick(_COMPARISONS)} {right}"

    def mutation(self) -> str:
        """A valid activation, damaged in one to five places."""
        text = self._pick(VALID)
        for _ in range(1 + self._below(5)):
            place = self._below(len(text) + 1)
            end = min(len(text), place + self._below(6))
            other = self._pick(VALID)
            start = self._below(len(other))
            graft = (
                "",
                self._pick(_TOKENS),
                text[place:end] * 2,
                other[start : start + self._below(12)],
                chr(32 + self._below(95)),
                self.expression(1),
            )
            text = text[:place] + graft[self._below(len(graft))] + text[end:]
        return text

    def tokens(self) -> str:
        """Tokens in any order."""
        space = self._pick(("", " "))
        return space.join(self._pick(_TOKENS) for _ in range(1 + self._below(40)))

    def tower(self) -> str:
        """Deep, long and large texts that stay close to the grammar."""
        size = 1 + self._below(60)
        leaf, name = self.expression(1), self._pick(_UNARY)
        number = self.number()
        towers = (
            lambda: f"{name}(" * size + leaf + ")" * size,
            lambda: "(" * size + leaf + ")" * size,
            lambda: "**".join([number] * (1 + size % 6)),
            lambda: "**".join(self.expression(0) for _ in range(2 + size % 4)),
            lambda: "**-".join(self.number() for _ in range(2 + size % 4)),
            lambda: "-" * (20 * size) + leaf,
            lambda: "+".join(f"{i}*{name}({i}*x+{leaf})" for i in range(size)),
            lambda: "*".join(f"({leaf}+{i})" for i in range(size)),
            lambda: "/".join(self.expression(1) for _ in range(size)),
            lambda: f"(({leaf})**{2 + size % 9})**{2 + size % 11}*{number}",
            lambda: f"{self._pick(_BINARY)}({', '.join(self.expression(1) for _ in range(size % 20))})",
            lambda: f"exp({number}*log({leaf}) + {self.expression(1)})**{number}",
            lambda: self.nested_sum(1 + size % 12),
            lambda: "x" * (20 * size),
            lambda: "+".join(f"{name}({name}({i}/3))*x**{i % 9}" for i in range(1, size)),
            lambda: self.expression(9)[:1200],
        )
        return towers[self._below(len(towers))]()

    def nested_sum(self, depth: int) -> str:
        """Sums, roots and powers inside one another, on constants as on x."""
        text = self._pick(("x", "2", "pi", "a"))
        for _ in range(depth):
            inner = f"{text} {self._pick(('+', '-', '*'))} {self.expression(0)}"
            text = self._pick(("sqrt({})", "({})**2", "Abs({})", "({})**(1/3)", "log({})", "1/({})"))
            text = text.format(inner)
        return text

    def noise(self) -> str:
        """Characters from all of Latin-1, of ASCII, or of Unicode."""
        top = (256, 128, 0xD7FF)[self._below(3)]
        return "".join(chr(self._below(top)) for _ in range(self._below(60)))

    def _below(self, bound: int) -> int:
        return int(self._rng.integers(bound))

    def _pick(self, options: Sequence[str]) -> str:
        return options[self._below(len(options))]


def _inside(module: str) -> bool:
    """Whether code of that module is at work two calls up: above this function and the hook."""
    return sys._getframe(2).f_globals.get("__name__") == module


class _Watch:
    """What the interpreter does while the parser works; audit hooks cannot be removed, so one."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.events: list[str] = []
        self._installed = False

    def install(self) -> None:
        if not self._installed:
            self._installed = True
            sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.text is None or not _FORBIDDEN_EVENTS.fullmatch(event):
            return
        if event in ("exec", "compile") and _inside("sympy.polys.monomials"):
            return  # SymPy's own arithmetic of monomials, written by it for a number of variables
        if event == "compile" and arguments[1] == "<unknown>":
            source = arguments[0]
            if isinstance(source, bytes):
                source = source.decode("utf-8", "replace")
            if _inside("ast") and _INERT.fullmatch(source):
                return
        self.events.append(f"{event} {arguments!r}"[:300])


_WATCH = _Watch()


class _Overrun(BaseException):
    """The time limit, raised into the parser; no ``except Exception`` of SymPy's catches it."""


class _Caught:
    """Catches every error of the block, to look at it: finding foreign ones is the purpose here."""

    error: BaseException | None = None

    def __enter__(self) -> _Caught:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.error = error
        return isinstance(error, Exception | _Overrun)


@dataclass
class FuzzReport:
    """Outcome of a run.

    Attributes:
        inputs: number of texts tried.
        seed: seed of the texts.
        accepted: texts that were read, by kind of text.
        refused: texts that were refused with the parser's own error, by kind of text.
        reasons: refusals by what was wrong, quotations and numbers left out.
        slowest_seconds: longest processor time that one text took.
        slowest_text: the text that took it.
        limit_seconds: processor time that no text may exceed.
        seconds: time of the whole run.
        failures: foreign exceptions, overruns, forbidden events and malformed results, with their text.
        versions: versions that the run used.
    """

    inputs: int
    seed: int
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    slowest_text: str = ""
    limit_seconds: float = LIMIT_SECONDS
    seconds: float = 0.0
    failures: list[dict[str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(
        default_factory=lambda: {"python": platform.python_version(), "sympy": sp.__version__}
    )


def fuzz(
    inputs: int,
    seed: int,
    parse: Callable[[str], sp.Expr] = lambda text: parse_activation(text, PARAMETERS),
    progress: Callable[[int, FuzzReport], None] = lambda done, report: None,
    limit_seconds: float = LIMIT_SECONDS,
) -> FuzzReport:
    """Try ``inputs`` texts on ``parse`` and report what became of them."""
    report = FuzzReport(inputs=inputs, seed=seed, limit_seconds=limit_seconds)
    generator = TextGenerator(np.random.default_rng(seed))
    _warm_up()
    _WATCH.install()
    alarm = _alarm_set()
    begun = time.perf_counter()
    for done in range(1, inputs + 1):
        kind, text = generator.draw()
        started = time.process_time()
        failure = _attempt(parse, kind, text, report)
        elapsed = time.process_time() - started
        if elapsed > report.slowest_seconds:
            report.slowest_seconds, report.slowest_text = elapsed, text
        if failure is None and elapsed > limit_seconds:
            failure = f"took {elapsed:.1f} s"
        if failure is not None:
            report.failures.append({"kind": kind, "text": text, "failure": failure})
        report.seconds = time.perf_counter() - begun
        progress(done, report)
    if alarm is not None:
        signal.signal(signal.SIGPROF, alarm)
    return report


def _attempt(parse: Callable[[str], sp.Expr], kind: str, text: str, report: FuzzReport) -> str | None:
    """One text; what went wrong, or None."""
    _WATCH.events.clear()
    result: Any = None
    with _Caught() as caught:
        try:
            _alarm(report.limit_seconds)
            _WATCH.text = text
            result = parse(text)
        finally:
            _WATCH.text = None
            _alarm(0.0)
    error = caught.error
    if _WATCH.events:
        return "; ".join(_WATCH.events)
    if error is None:
        report.accepted[kind] += 1
        return _malformed(result)
    if isinstance(error, ActivationSyntaxError):
        report.refused[kind] += 1
        what = re.split(r" at column |; ", str(error))[0]
        report.reasons[_DETAIL.sub("*", what)] += 1
        return _misplaced(error, text)
    if isinstance(error, _Overrun):
        return "exceeded the time limit"
    return f"{type(error).__name__}: {error}"[:300]


def _malformed(result: Any) -> str | None:
    """An accepted text must give an exact real expression in x and the parameters."""
    if not isinstance(result, sp.Expr):
        return f"gave a {type(result).__name__}"
    if not result.free_symbols <= {x, *PARAMETERS.values()}:
        return f"has foreign symbols: {result.free_symbols}"
    if result.has(sp.Float, sp.I, sp.nan, sp.zoo, sp.oo):
        return "holds a value that is not exact, real and finite"
    return None


def _misplaced(error: ActivationSyntaxError, text: str) -> str | None:
    """A refusal must be one line that points into the text."""
    if error.text != text or not str(error).isprintable():
        return f"has an unclear message: {error!r}"
    if error.column is not None and not 1 <= error.column <= len(text) + 1:
        return f"points outside the text: column {error.column}"
    return None


def _warm_up() -> None:
    """Let SymPy do its late imports before the watch begins."""
    for text in VALID:
        sp.N(parse_activation(text, PARAMETERS).subs(x, sp.Rational(1, 3)))
    for text in ("4**(2/3)*tan(1)", "Max(erf(2), sech(1))", "sqrt(2 + sqrt(3))", "Abs(x**3 - x)"):
        parse_activation(text)


def _alarm_set() -> Any:
    """Make the alarm raise, where the system has one; the handler that was there before."""
    if not hasattr(signal, "SIGPROF"):
        return None

    def overrun(number: int, frame: FrameType | None) -> None:
        raise _Overrun

    return signal.signal(signal.SIGPROF, overrun)


def _alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def activation_texts(inputs: int, seed: int) -> list[str]:
    """Draw texts that the parser accepts and in which x occurs, each once."""
    generator = TextGenerator(np.random.default_rng(seed))
    found: dict[str, None] = {}
    while len(found) < inputs:
        _, text = generator.draw()
        try:
            accepted = x in parse_activation(text, PARAMETERS).free_symbols
        except ActivationSyntaxError:
            continue
        if accepted:
            found[text] = None
    return list(found)
