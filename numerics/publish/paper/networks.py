"""The section of explicit networks with the DEQs' conjugate kernels: formulas of the layers, tables of parameters.

A network is designed by ``numerics.matching.designs``; formulas are written with symbols (theory sheet, section 4:
layers numbered from the input), and every parameter in them is a row of the table, a column for each solution.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sympy as sp

from numerics.arithmetic import proved_decimal
from numerics.publish.paper.document import Export
from numerics.publish.paper.numbers import Subject, decimal_cell, in_math
from numerics.publish.paper.words import worded
from theory.latex import Chunk, Run, aligned, run, script, width
from theory.named import MatchStatus

if TYPE_CHECKING:
    from flint import arb

    from numerics.matching import Design, ExplicitNetwork
    from theory.matching import Family

__all__ = ["Matching", "match", "network_latex", "network_record", "networks_section"]

#: Digits by which the means and scales of layers are computed beyond those of the parameters.
_GUARD = 20
_COLUMN_GAP = 1_200
_LABEL = 3_000


@dataclass(frozen=True)
class Matching:
    """What is known of the explicit network for one activation.

    Attributes:
        design: the outcome, or None.
        missing: why there is no outcome, in words.
    """

    design: Design | None
    missing: str = ""


@dataclass(frozen=True)
class _Row:
    """One number of a network: the symbol that stands for it in formulas, its name in records, and its ball."""

    symbol: str
    name: str
    layer: int
    ball: arb


def match(subject: Subject, digits: int) -> Matching:
    """Design the network for the conjugate kernel of one activation.

    Args:
        subject: the activation, with its certified coefficients.
        digits: significant digits of the network's parameters.
    """
    from numerics.matching import DesignError, design

    if subject.solution is None:
        return Matching(None, f"there is no kernel to match: {subject.missing}")
    try:
        return Matching(design(subject.solution.deq, digits=digits))
    except DesignError as error:
        return Matching(None, str(error))


def network_record(subject: Subject, matching: Matching) -> dict[str, Any]:
    """Return the printed numbers of all solutions with their radii, or why there are none."""
    from numerics.arithmetic import radius_text

    record: dict[str, Any] = {"activation": subject.activation.name, "file": f"network-{subject.slug}"}
    outcome = matching.design
    if outcome is None:
        return record | {"status": MatchStatus.UNDECIDED, "reason": matching.missing, "solutions": []}
    solutions = []
    for network in outcome.branches:
        layers: list[dict[str, Any]] = [
            {"family": layer.family.name, "values": {}, "radius": {}} for layer in network.layers
        ]
        for row in _rows(network, outcome.digits):
            layers[row.layer]["values"][row.name] = proved_decimal(row.ball, outcome.digits)
            layers[row.layer]["radius"][row.name] = radius_text(row.ball)
        solutions.append(layers)
    return record | {"status": outcome.status, "reason": outcome.reason, "solutions": solutions}


def _rows(network: ExplicitNetwork, digits: int) -> Iterator[_Row]:
    """The numbers that the layers' formulas need: parameters, a Hermite layer's scale, a mean that is not 0."""
    for place, (layer, report) in enumerate(zip(network.layers, network.ball_reports(digits + _GUARD), strict=True)):
        for name, ball in layer.parameters.items():
            yield _Row(_symbol(layer.family.name, name, place), name, place, ball)
        if layer.family.own_scale:
            yield _Row(rf"\tau_{place + 1}", "scale", place, report.scale)
        if layer.family.bias != 0:
            yield _Row(f"m_{place + 1}", "mean", place, report.bias)


def _rate_rows(network: ExplicitNetwork) -> Iterator[_Row]:
    """The learning rates, where they are not all 1."""
    for place, (name, ball) in enumerate(zip(network.weights, network.rates, strict=True) if network.rates else ()):
        yield _Row(f"r_{place}", f"rate of {name}", len(network.layers), ball)


def _symbol(family: str, name: str, place: int) -> str:
    if family == "hermite":
        return f"c_{{{place + 1},{name.removeprefix('c')}}}"
    return f"{name}_{place + 1}"


# --- formulas --------------------------------------------------------------------------------------------------------


def _formulas(network: ExplicitNetwork, available: int) -> str:
    """The layers' activations in symbols, as a display."""
    equations = []
    for place, layer in enumerate(network.layers):
        value = _activation(layer.family, list(layer.parameters), place)
        mean = f" - m_{place + 1}" if layer.family.bias != 0 else ""
        end = "," if place + 1 < len(network.layers) else "."
        equations.append((rf"\varphi_{place + 1}(x)", "=", (*value, Chunk(mean + end))))
    return aligned(equations, available)


def _activation(family: Family, names: Sequence[str], place: int) -> Run:
    if family.name != "hermite":
        # Dummies, for d_1 is a symbol of the theory as well.
        named = {symbol: sp.Dummy(f"{symbol.name}_{place + 1}", real=True) for symbol in family.symbols}
        return run(family.activation.expr.xreplace(named))
    terms = [
        rf"{_symbol('hermite', name, place)} \operatorname{{he}}_{script(name.removeprefix('c'))}(x/\tau_{place + 1})"
        for name in names
    ]
    return (Chunk(terms[0]), *(Chunk(f" + {term}", 0) for term in terms[1:]))


# --- tables ----------------------------------------------------------------------------------------------------------


def _tables(branches: Sequence[ExplicitNetwork], digits: int, available: int) -> str:
    """The parameters, a column for each solution: as many columns side by side as fit."""
    columns = [[*_rows(network, digits), *_rate_rows(network)] for network in branches]
    written = [[proved_decimal(row.ball, digits) for row in column] for column in columns]
    label = max((width(row.symbol) for column in columns for row in column), default=0) + _COLUMN_GAP
    room = available - max(label, _LABEL)
    groups: list[list[int]] = []
    left = 0
    for number, texts in enumerate(written):
        need = max(width(in_math(text)) for text in texts) + _COLUMN_GAP
        alike = bool(groups) and _symbols(columns[groups[-1][0]]) == _symbols(columns[number])
        if not alike or need > left:
            groups.append([])
            left = room
        groups[-1].append(number)
        left -= need
    return "\n\\medskip\n\n".join(_tabular(columns, written, group) for group in groups)


def _symbols(column: Sequence[_Row]) -> list[str]:
    return [row.symbol for row in column]


def _tabular(columns: Sequence[Sequence[_Row]], written: Sequence[Sequence[str]], group: Sequence[int]) -> str:
    lines = [rf"\begin{{tabular}}{{l*{{{len(group)}}}{{r@{{.}}l}}}}", r"\toprule"]
    if len(columns) > 1:
        heads = " & ".join(rf"\multicolumn{{2}}{{c}}{{solution {number + 1}}}" for number in group)
        lines += [rf"& {heads} \\", r"\midrule"]
    last = 0
    for position, row in enumerate(columns[group[0]]):
        if row.layer != last:
            lines.append(r"\midrule")
        last = row.layer
        cells = " & ".join(decimal_cell(written[number][position]) for number in group)
        lines.append(rf"${row.symbol}$ & {cells} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


# --- the section -----------------------------------------------------------------------------------------------------

_FAMILIES = {
    "leaky_relu": "leaky ReLUs",
    "hard_tanh": "hard tanh",
    "rational": "bounded rational functions",
    "hermite": "Hermite polynomials",
    "erf": "error functions",
    "sin": "sines",
    "tail": "polynomials with a growing tail",
}
_NUMBERS = ("no", "one", "two", "three", "four")
_INTRODUCTION = r"""
An explicit network with activations $\varphi_1, \varphi_2, \ldots$ and width $m$ has the layers
\[ h_1 = \varphi_1(W_1 x), \quad h_l = \varphi_l\bigl(W_l h_{l-1}/\sqrt{m}\bigr), \]
with independent standard Gaussian entries in $W_1, W_2, \ldots$ As $m \to \infty$, the conjugate kernels of the
networks below have the equivalent $\bar G$ of the DEQ with the activation named, all four coefficients alike."""
_SCALE = r"Here $\tau_l$ is the standard deviation of layer $l$'s pre-activations."
_RATE = r"""
The weights on layer $l$'s output, the readout for the last layer and $W_1$ for $l = 0$, are trained at the learning
rate $r_l$."""
_MEAN = r"Here $m_l$ is the mean that centres the activation of layer $l$."
_HERMITE = r"The orthonormal Hermite polynomials $\operatorname{he}_k = \operatorname{He}_k/\sqrt{k!}$ are"
_DIGITS = r"""
Every digit is certified: the decimals are correctly rounded values of parameters that are proved to match. To multiply
layer~1 by $k > 0$ and divide the input of layer~2 by $k$ changes no kernel; nor does a change of sign of a layer."""


def networks_section(export: Export, found: Mapping[str, Matching]) -> str:
    """Return the section, and leave a fragment for every activation.

    Args:
        export: the activations.
        found: what is known of their networks, by slug.
    """
    parts = [r"\section{Matching explicit networks}", rf"All that follows is for {export.parameters}."]
    designs = (matching.design for matching in found.values())
    matched = [outcome.network for outcome in designs if outcome is not None and outcome.status is MatchStatus.EXACT]
    parts += [_INTRODUCTION.strip(), *_explanations(matched), *([_DIGITS.strip()] if matched else [])]
    for subject in export.subjects:
        parts.append(rf"\subsection*{{{subject.title}}}")
        parts.append(export.fragment(f"network-{subject.slug}", _matching(found[subject.slug], export.available)))
    return "\n".join(parts)


def _explanations(networks: Iterable[ExplicitNetwork]) -> Iterator[str]:
    """What the formulas of networks need to be understood."""
    layers = [layer for network in networks for layer in network.layers]
    if any(layer.family.own_scale for layer in layers):
        yield _SCALE
    if any(layer.family.bias != 0 for layer in layers):
        yield _MEAN
    degrees = sorted({int(name[1:]) for layer in layers if layer.family.name == "hermite" for name in layer.parameters})
    if degrees:
        shown = r", \quad ".join(_hermite_polynomial(degree) for degree in degrees)
        yield f"{_HERMITE}\n\\[ {shown}. \\]"


def _hermite_polynomial(degree: int) -> str:
    r"""The definition of he_k: He_k(y) over the root of k!."""
    terms = []
    for power, coefficient in enumerate(sp.Poly(_probabilists(degree), _Y).all_coeffs()[::-1]):
        if coefficient:
            size = str(abs(coefficient)) if abs(coefficient) != 1 or power == 0 else ""
            body = "" if power == 0 else "y" if power == 1 else f"y^{script(str(power))}"
            terms.append(("-" if coefficient < 0 else "+", size + body))
    (_, first), *rest = reversed(terms)
    value = first + "".join(f" {sign} {term}" for sign, term in rest)
    if degree > 1:
        value = rf"\frac{{{value}}}{{\sqrt{{{sp.factorial(degree)}}}}}"
    return rf"\operatorname{{he}}_{script(str(degree))}(y) = {value}"


_Y = sp.Symbol("y")


def _probabilists(degree: int) -> sp.Expr:
    return sp.expand(2 ** sp.Rational(-degree, 2) * sp.hermite(degree, _Y / sp.sqrt(2)))


def network_latex(outcome: Design, available: int) -> str:
    """Return a network by itself: what its formulas mean, the formulas, and the numbers of every solution."""
    branches = outcome.branches if outcome.status is MatchStatus.EXACT else (outcome.network,)
    return "\n".join(
        [
            *_explanations(branches),
            *([_RATE.strip()] if outcome.network.rates else []),
            _formulas(outcome.network, available),
            r"\begin{center}",
            _tables(branches, outcome.digits, available),
            r"\end{center}",
        ]
    )


def _matching(matching: Matching, available: int) -> str:
    outcome = matching.design
    if outcome is None:
        return f"No network was designed: {worded(matching.missing)}."
    if outcome.status is not MatchStatus.EXACT:
        asked = _described([outcome.family] * len(outcome.network.layers))
        scope = "No network with one or two hidden layers" if outcome.universal else f"No network with {asked}"
        return f"{scope} has this conjugate kernel: {worded(outcome.reason)}."
    layers = _described([layer.family.name for layer in outcome.network.layers])
    body = [r"\begin{samepage}", f"Matched by {layers}:", _formulas(outcome.network, available)]
    body += [r"\begin{center}", r"\small", _tables(outcome.branches, outcome.digits, available), r"\end{center}"]
    # Without the last, two fragments in a row would be kept on one page.
    body += [r"\end{samepage}", r"\pagebreak[0]"]
    return "\n".join(body)


def _described(families: Sequence[str]) -> str:
    """Layers in words: how many, and of what each is."""
    layers = f"{_NUMBERS[len(families)]} layer{'s' if len(families) > 1 else ''}"
    names = [_FAMILIES[family] for family in families]
    if len(set(names)) == 1:
        return f"{layers} of {names[0]}"
    return f"{layers}, of {' and of '.join(names)}"
