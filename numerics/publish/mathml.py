"""Formulas of the ledger as MathML, for the HTML report.

LaTeX from outside may come here: everything is escaped, and what is not understood is refused, so that a report can
show the LaTeX itself.  latex2mathml (3.81) reads more of LaTeX, but writes an unknown command, an unclosed group, "&"
and the markup in a text into the page as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

__all__ = ["mathml"]

_LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "kappa": "κ", "lambda": "λ", "mu": "μ",
    "xi": "ξ", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "ϕ", "varphi": "φ", "psi": "ψ", "Delta": "Δ",
    "Lambda": "Λ", "Phi": "Φ", "Sigma": "Σ", "Theta": "Θ", "infty": "∞", "ldots": "…",
}  # fmt: skip
_OPERATORS = {
    "le": "≤", "ge": "≥", "ne": "≠", "to": "→", "mapsto": "↦", "circ": "∘", "sum": "∑", "in": "∈", "approx": "≈",
    "cdot": "⋅", "top": "⊤", "times": "×", "pm": "±", "%": "%",
}  # fmt: skip
_FENCES = {"(": "(", ")": ")", "[": "[", "]": "]", "|": "|", r"\|": "‖"}
_SPACES = {r"\quad": "1em", r"\ ": "0.25em", r"\;": "0.28em", r"\,": "0.17em"}
_ACCENTS = {r"\bar": "¯", r"\tilde": "~", r"\hat": "^"}
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|.")


class _UnreadError(ValueError):
    """LaTeX outside what is converted."""


def mathml(latex: str, *, display: bool = True) -> str | None:
    """Return a formula as MathML, or None where a part of it is not understood.

    Reads what the ledger's claims are written in: letters, digits, fractions, scripts, primes, accents, operator
    names and text.  Anything else is refused rather than guessed at.

    Args:
        latex: the formula.
        display: on a line of its own, with its LaTeX beside it; otherwise in a sentence.
    """
    try:
        reader = _Formula(_TOKEN.findall(latex))
        row = reader.row(end=None)
    except _UnreadError:
        return None
    if not display:
        return f"<math><mrow>{row}</mrow></math>"
    source = f'<annotation encoding="application/x-tex">{escape(latex)}</annotation>'
    return f'<math display="block"><semantics><mrow>{row}</mrow>{source}</semantics></math>'


class _Formula:
    """Recursive descent over LaTeX's tokens."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = list(tokens)
        self._next = 0

    def row(self, end: str | None) -> str:
        """Read atoms with their scripts up to ``end``, or to the end of the formula."""
        found: list[str] = []
        while self._peek() != end:
            found.append(self._scripted())
        if end is not None:
            self._take()
        return "".join(found)

    def _peek(self) -> str | None:
        while self._next < len(self._tokens) and self._tokens[self._next].isspace():
            self._next += 1
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> str:
        token = self._peek()
        if token is None:
            raise _UnreadError("the formula ends too early")
        self._next += 1
        return token

    def _scripted(self) -> str:
        base = self._number() or self._atom()
        scripts: dict[str, str] = {}
        primes = 0
        while self._peek() in ("_", "^", "'"):
            mark = self._take()
            if mark == "'":
                primes += 1
            elif mark in scripts:
                raise _UnreadError("two scripts at one place")
            else:
                scripts[mark] = self._atom()
        if primes:
            scripts["^"] = f"<mo>{'′' * primes}</mo>" + scripts.get("^", "")
        parts = "".join(f"<mrow>{scripts[mark]}</mrow>" for mark in "_^" if mark in scripts)
        if not parts:
            return base
        kind = "msubsup" if len(scripts) == 2 else "msub" if "_" in scripts else "msup"
        if base.endswith(">∑</mo>"):
            kind = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}[kind]
        return f"<{kind}>{base}{parts}</{kind}>"

    def _number(self) -> str:
        digits = ""
        while (token := self._peek()) is not None and (token in "0123456789" or (token == "." and digits)):
            digits += self._take()
        return f"<mn>{digits}</mn>" if digits else ""

    def _atom(self) -> str:
        """A group, a command with its arguments or, as in TeX's arguments, a single token."""
        token = self._take()
        if token.isascii() and token.isalpha():
            return f"<mi>{token}</mi>"
        if token in "0123456789":
            return f"<mn>{token}</mn>"
        if token in _FENCES:
            return f'<mo stretchy="false" lspace="0" rspace="0">{_FENCES[token]}</mo>'
        if token == "/":
            return '<mo lspace="0" rspace="0">/</mo>'
        if token in "+-=<>,*":
            return f"<mo>{escape(token.replace('-', '−').replace('*', '∗'))}</mo>"
        if token == "{":
            return self._group()
        if token in _SPACES:
            return f'<mspace width="{_SPACES[token]}"/>'
        if token in _ACCENTS:
            return f'<mover accent="true">{self._atom()}<mo stretchy="false">{_ACCENTS[token]}</mo></mover>'
        if token in (r"\frac", r"\tfrac"):
            style = ' displaystyle="false"' if token == r"\tfrac" else ""
            return f"<mfrac{style}><mrow>{self._atom()}</mrow><mrow>{self._atom()}</mrow></mfrac>"
        if token == r"\sqrt":
            return f"<msqrt>{self._atom()}</msqrt>"
        if token in (r"\bigl", r"\bigr"):
            return self._atom()
        if token in (r"\operatorname", r"\mathbb", r"\mathrm", r"\text"):
            return self._named(token)
        if token in (r"\log", r"\exp", r"\det", r"\max", r"\min"):
            return self._name(token[1:])
        if token[1:] in _LETTERS:
            # TeX's Greek capitals are upright.
            upright = ' mathvariant="normal"' if token[1].isupper() else ""
            return f"<mi{upright}>{_LETTERS[token[1:]]}</mi>"
        if token[1:] in _OPERATORS:
            return f"<mo>{_OPERATORS[token[1:]]}</mo>"
        raise _UnreadError(f"{token} is not converted")

    def _group(self) -> str:
        return f"<mrow>{self.row(end='}')}</mrow>"

    def _named(self, command: str) -> str:
        if self._take() != "{":
            raise _UnreadError(f"{command} without a group")
        content = self._plain()
        if command == r"\text":
            # White space at a text's ends would be dropped.
            return f"<mtext>{content.replace(' ', chr(0xA0))}</mtext>"
        if command == r"\mathbb":
            if content != "E":
                raise _UnreadError(f"no double-struck {content}")
            return "<mi>𝔼</mi>"
        if command == r"\mathrm":
            return f'<mi mathvariant="normal">{content}</mi>'
        return self._name(content)

    def _name(self, name: str) -> str:
        """An upright name, parted from an argument without parentheses."""
        gap = "" if self._peek() in ("(", "[", "_", "^", None) else '<mspace width="0.17em"/>'
        return f'<mrow><mi mathvariant="normal">{name}</mi>{gap}</mrow>'

    def _plain(self) -> str:
        """Letters and spaces up to the group's end."""
        content = ""
        while self._next < len(self._tokens) and (token := self._tokens[self._next]) != "}":
            if (len(token) > 1 and not token.isspace()) or not (token.isalpha() or token.isspace()):
                raise _UnreadError(f"{token} in a name")
            content += token
            self._next += 1
        self._take()
        return content
