"""Sentences of the program in LaTeX: symbols and numbers in them become formulas, everything else is escaped.

What is written as a formula is recognised piece by piece and put into LaTeX made here, so that a text from outside can
say what it likes: nothing of it reaches LaTeX unescaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from theory.latex import joined, script

__all__ = ["breakable", "escaped", "pieces", "sentence", "worded"]

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "^": r"\^{}", "~": r"\~{}", "&": r"\&", "%": r"\%",
    "#": r"\#", "$": r"\$", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "`": r"\`{}",
    "\N{DEGREE SIGN}": r"$^\circ$", "\N{PLUS-MINUS SIGN}": r"$\pm$", "\N{MULTIPLICATION SIGN}": r"$\times$",
}  # fmt: skip
#: A word without a space is given places to break from this length on, that many letters apart.
_LONG_WORD, _PIECE = 16, 8


def escaped(text: str) -> str:
    """Return plain text with what LaTeX reads as commands escaped, on one line; what ASCII lacks is a question mark."""
    letters = (" " if letter.isspace() else letter for letter in text)
    plain = "".join(_ESCAPES.get(each, each if each.isascii() and each.isprintable() else "?") for each in letters)
    # Two in a row would be joined to another sign.
    return re.sub(r"([-'])(?=\1)", r"\1{}", plain)


def breakable(text: str) -> str:
    """Return plain text escaped, with places to break in long words."""
    parts = []
    for part in re.split(r"(\s+)", text):
        size = _PIECE if len(part) > _LONG_WORD else max(1, len(part))
        pieces = (escaped(part[at : at + size]) for at in range(0, len(part), size))
        parts.append(" " if part.isspace() else r"\allowbreak{}".join(pieces))
    return "".join(parts)


# --- formulas in sentences -------------------------------------------------------------------------------------------

_Writer = Callable[[re.Match[str]], str]
_GREEK = "alpha|beta|delta|gamma|kappa|lambda|mu|phi|psi|sigma|tau|xi"
_DECIMAL = r"\d{1,24}(?:\.\d{1,24})?"
_NAMED_INDICES = ("recurrent", "preactivation", "all", "diag")


def _moment(found: re.Match[str]) -> str:
    """Moments without their argument: E[phi'^2], E[(phi_0^2)'']."""
    index = "_0" if found["uncentred"] else ""
    if found["squared"]:
        return rf"\mathbb{{E}}[(\phi{index}^2)'']"
    return rf"\mathbb{{E}}[\phi{index}{found['primes']}{found['power'] or ''}]{found['outer'] or ''}"


def _symbol(found: re.Match[str]) -> str:
    """A letter with an index and a power: alpha_4^2, C_a, d22, K_all, he_3."""
    letter, index, power = found["letter"], found["index"] or "", found["exponent"] or ""
    if re.fullmatch(_GREEK, letter):
        letter = rf"\{letter}"
    elif letter in ("he", "He"):
        letter = rf"\operatorname{{{letter}}}"
    if index in _NAMED_INDICES:
        index = rf"\mathrm{{{index}}}"
    return letter + (f"_{script(index)}" if index else "") + (f"^{script(power)}" if power else "")


def _number(found: re.Match[str]) -> str:
    sign = r"\pm " if found["sign"].startswith("+-") else found["sign"]
    power = rf"\cdot10^{{{int(found['power10'])}}}" if found["power10"] else ""
    return f"{sign}{found['digits']}{power}" + (r"\,\%" if found["percent"] else "")


#: What is recognised, first things first, and how it is written.
_FORMULAS: tuple[tuple[str, str | _Writer], ...] = (
    (
        r"E\[(?P<squared>\()?phi(?P<uncentred>_0)?(?P<primes>'{0,2})(?P<power>\^2)?(?:\)'')?\](?P<outer>\^2)?",
        _moment,
    ),
    (
        r"\b(?P<key>alpha|beta|lambda|eta|theta)(?P<number>[1-4])\b",
        lambda found: rf"\{found['key']}_{found['number']}",
    ),
    (r"\b(?P<diagonal>gamma|kappa)2\b", lambda found: rf"\{found['diagonal']}_*^2"),
    (r"Var phi_0\(tau xi\)", r"\operatorname{Var}[\phi_0(\tau\xi)]"),
    (r"\|\|(?P<norm>mu|C)_a\|\|", lambda found: rf"\|{_tex(found['norm'])}_a\|"),
    (r"\|\|", r"\|"),
    (r"C(?:_(?P<side>[ab]))?°", lambda found: ("C_" + found["side"] if found["side"] else "C") + r"^\circ"),
    (r"(?P<hat>[GK])bar\b", lambda found: rf"\bar {found['hat']}"),
    (r"(?P<star>[GK])\*", lambda found: f"{found['star']}_*"),
    (r"sqrt (?P<root>[np])\b", lambda found: rf"\sqrt{{{found['root']}}}"),
    (
        r"(?P<base>\b[pmn])\^\((?P<inside>-?[0-9./]{1,12})\)",
        lambda found: f"{found['base']}^{{{found['inside'].replace('-0.5', '-1/2')}}}",
    ),
    (r"->", r"\to"),
    (r"(?<=\s)-(?=\s)", "-"),
    (r"\btr(?=[ (])", r"\operatorname{tr}"),
    (r"(?<![\w.])(?P<first>\d{1,9})\.\.(?P<last>\d{1,9})\b", lambda found: rf"{found['first']},\ldots,{found['last']}"),
    (r"(?<=\d )x(?= psi\b)", r"\times"),
    (r"(?<=\d )x(?= class\b)", r"\;\times"),
    (
        rf"\b(?:(?P<letter>{_GREEK}|[CTKAac]|he|He|k|d(?=\d))_?(?<=[_d])(?P<index>\*|[a-z]{{1,2}}(?![A-Za-z])|\d{{1,2}}"
        rf"|{'|'.join(_NAMED_INDICES)}))(?:\^(?P<exponent>\d))?(?![A-Za-z0-9_])",
        _symbol,
    ),
    (rf"\b(?P<letter>{_GREEK}|[xrs](?=\^))(?P<index>)(?:\^(?P<exponent>\d|L\b))?(?![A-Za-z0-9_])", _symbol),
    (
        r"(?<![\w'])(?P<single>[pmnxDLSTVBIJt]|O(?=\()|[rs](?= =)|[AC](?= \+)|A(?= and B)|(?<=readout and )A)"
        r"(?![\w'^])",
        lambda found: found["single"],
    ),
    (
        rf"(?P<sign>(?<![\w.)])[-+]|\+-\s*|)(?<![\w.])(?P<digits>{_DECIMAL})(?:e(?P<power10>[-+]?\d{{1,4}}))?"
        r"(?P<percent> ?%)?(?![\w^]|\.\d)",
        _number,
    ),
)


def _tex(letter: str) -> str:
    return rf"\{letter}" if re.fullmatch(_GREEK, letter) else letter


_COMPILED = tuple((re.compile(pattern), writer) for pattern, writer in _FORMULAS)
#: What stands between two formulas that are one.
_BETWEEN = re.compile(r"[ ()/=+<>]*")


def pieces(text: str) -> list[tuple[str, str]]:
    """Return a sentence in pieces: each what it is in LaTeX where it is a formula, else "", and as it was written."""
    found: list[tuple[str, str]] = []
    formula, begun, at = "", 0, 0
    while at < len(text):
        match, writer = _next_formula(text, at)
        start, end = match.span() if match else (len(text), len(text))
        between = text[at:start]
        value = "" if match is None else writer if isinstance(writer, str) else writer(match)
        # A symbol and a number behind it are neighbours by chance.
        apart = between == " " and value[:1] in "+-0123456789" and value != "-"
        if formula and value and _BETWEEN.fullmatch(between) and not apart:
            formula = joined(formula, between, value)
        else:
            found += [(formula, text[begun:at])] if formula else []
            found += [("", between)] if between else []
            formula, begun = value, start
        at = end
    return _balanced(found + ([(formula, text[begun:])] if formula else []))


def _balanced(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same pieces, with the parenthesis beside a formula that belongs to one inside it taken in."""
    for at, (formula, written) in enumerate(found):
        open_ = formula.count("(") - formula.count(")")
        before, after = found[at - 1 : at] if at else [], found[at + 1 : at + 2]
        if open_ > 0 and after and not after[0][0] and after[0][1].startswith(")"):
            found[at : at + 2] = [(formula + ")", written + ")"), ("", after[0][1][1:])]
        elif open_ < 0 and before and not before[0][0] and before[0][1].endswith("("):
            found[at - 1 : at + 1] = [("", before[0][1][:-1]), ("(" + formula, "(" + written)]
    return found


def worded(text: str) -> str:
    """Return a sentence of the program in LaTeX, with the symbols and numbers in it as formulas."""
    parts = (f"${formula}$" if formula else breakable(written) for formula, written in pieces(text))
    # Two formulas side by side would open a displayed one.
    return re.sub(r"(?<!\\)\$\$", "${}$", "".join(parts))


def _next_formula(text: str, at: int) -> tuple[re.Match[str] | None, str | _Writer]:
    """The leftmost formula from a place on, by the first pattern that starts there, and how it is written."""
    best: tuple[re.Match[str] | None, str | _Writer] = (None, "")
    for pattern, writer in _COMPILED:
        found = pattern.search(text, at)
        if found and (best[0] is None or found.start() < best[0].start()):
            best = (found, writer)
    return best


def sentence(text: str) -> str:
    """Return a sentence in LaTeX, begun with a capital where it begins with a word, and ended with a full stop."""
    text = " ".join(text.split())
    first, _ = _next_formula(text, 0)
    if not (first and first.start() == 0):
        text = text[:1].upper() + text[1:]
    return worded(text) + ("" if not text or text.endswith((".", "!", "?")) else ".")
