"""Certified numbers in LaTeX: as macros, and in tables aligned at the decimal point.

A digit is printed only where it is proved: a ball whose ends round to different decimals loses digits until they agree,
and what is not certified at all is a dash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numerics.arithmetic import proved_decimal
from theory.kernels import COEFFICIENTS, Kernel
from theory.latex import COEFFICIENT_SYMBOLS, width

if TYPE_CHECKING:
    from numerics.equilibrium import CertifiedCoefficients
    from numerics.records import DerivedMoments
    from theory.activations import Activation
    from theory.latex import EquationSet

__all__ = [
    "GROUPS",
    "Subject",
    "decimal_cell",
    "in_math",
    "macro_lines",
    "macro_name",
    "macros",
    "number_record",
    "tables",
    "tabulars",
    "values",
]

#: Rows of the tables of constants, by group.
GROUPS: tuple[tuple[str, ...], ...] = (
    ("tau", "bias", "gamma2"),
    ("alpha1", "alpha2", "alpha3", "alpha4"),
    ("lambda1", "lambda2", "lambda3"),
    *(kernel.keys for kernel in Kernel if kernel.is_tangent),
)
_GREEK_WORDS = {"tau": "Tau", "bias": "Bias", "gamma2": "GammaSquared", "kappa2": "KappaSquared"}
_DIGIT_WORDS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_COLUMN_GAP = 1_200


@dataclass(frozen=True)
class Subject:
    """One activation of an export.

    Attributes:
        title: its name in LaTeX.
        suffix: its name in macros, letters only.
        slug: its name in files.
        note: one phrase about it in LaTeX, or nothing.
        activation: with values for all parameters.
        derived: its moments.
        moments: the display of its moments.
        system: the display of its system.
        solution: its certified coefficients, or None where it has no stable equilibrium.
        missing: why there is no solution, in words.
    """

    title: str
    suffix: str
    slug: str
    note: str
    activation: Activation
    derived: DerivedMoments
    moments: EquationSet
    system: EquationSet
    solution: CertifiedCoefficients | None
    missing: str = ""


def values(subject: Subject, digits: int) -> dict[str, str]:
    """Return the certified decimals of a subject by key of ``COEFFICIENTS``."""
    solution = subject.solution
    if solution is None:
        return {}
    return {key: proved_decimal(solution[key], digits) for key in COEFFICIENTS if solution.certified.get(key)}


def in_math(text: str) -> str:
    """Return a decimal as it stands in a formula."""
    mantissa, _, exponent = text.partition("e")
    return rf"{mantissa}\cdot10^{{{int(exponent)}}}" if exponent else mantissa


# --- macros and JSON -------------------------------------------------------------------------------------------------


def macro_name(key: str, suffix: str, prefix: str = "deq") -> str:
    """Return the command for a coefficient, such as ``deqAlphaOneTanh`` (without backslash).

    Args:
        key: of ``COEFFICIENTS``.
        suffix: name of the activation, letters only.
        prefix: letters that all commands begin with.
    """
    if key in _GREEK_WORDS:
        return f"{prefix}{_GREEK_WORDS[key]}{suffix}"
    stem, _, part = key.partition("_")
    word = stem.rstrip("0123456789")
    index = _DIGIT_WORDS[int(stem[len(word) :])] if stem != word else ""
    return f"{prefix}{word.capitalize()}{index}{part.capitalize()}{suffix}"


def macros(subjects: Iterable[Subject], digits: int, prefix: str) -> str:
    """Return one command for every certified number, its name begun with a prefix."""
    return "".join(macro_lines(each.slug, each.suffix, values(each, digits), prefix) for each in subjects)


def macro_lines(slug: str, suffix: str, decimals: Mapping[str, str], prefix: str) -> str:
    """Return a command for each of some decimals.

    Args:
        slug: what they are of, for a comment.
        suffix: the same in the commands, letters only.
        decimals: by key.
        prefix: letters that the commands begin with.
    """
    lines = [f"% {slug}"]
    for key, text in decimals.items():
        lines.append(rf"\newcommand{{\{macro_name(key, suffix, prefix)}}}{{\ensuremath{{{in_math(text)}}}}}")
    return "\n".join(lines) + "\n"


def number_record(subjects: Iterable[Subject], digits: int, prefix: str) -> list[dict[str, Any]]:
    """Return every number with its radius, its macro (begun with a prefix), and what is missing and why."""
    records = []
    for subject in subjects:
        found, solution = values(subject, digits), subject.solution
        record: dict[str, Any] = {
            "activation": subject.activation.name,
            "expression": str(subject.activation.expr),
            "file": subject.slug,
            "values": found,
            "radius": {key: solution.radius[key] for key in found} if solution is not None else {},
            "macros": {key: macro_name(key, subject.suffix, prefix) for key in found},
            "missing": subject.missing,
        }
        if solution is not None:
            record["missing"] = solution.ntk_missing
            record["uncertified"] = {key: solution.reason[key] for key in solution.plain}
        records.append(record)
    return records


# --- tables ----------------------------------------------------------------------------------------------------------


def tables(subjects: Sequence[Subject], digits: int, available: int) -> list[str]:
    """Return tabulars of the constants: rows are coefficients, columns activations, as many as fit side by side.

    Args:
        subjects: the activations; those without a certified number are left out.
        digits: significant digits, at most.
        available: width of the text in hundredths of a point.
    """
    columns = [(subject.title, values(subject, digits)) for subject in subjects]
    return tabulars([column for column in columns if column[1]], GROUPS, COEFFICIENT_SYMBOLS, available)


def tabulars(
    columns: Sequence[tuple[str, Mapping[str, str]]],
    groups: Sequence[Sequence[str]],
    symbols: Mapping[str, str],
    available: int,
) -> list[str]:
    """Return tabulars of decimals, as many columns side by side as fit.

    Args:
        columns: the heading of each in LaTeX, and its decimals by key.
        groups: keys of the rows, by group; one that no column has is left out.
        symbols: LaTeX of what each row shows, by key.
        available: width of the text in hundredths of a point.
    """
    label = max(width(symbols[key]) for group in groups for key in group) + _COLUMN_GAP
    found: list[list[tuple[str, Mapping[str, str]]]] = []
    room = 0
    for column in columns:
        need = _column_width(*column)
        if not found or need > room:
            found.append([])
            room = available - label
        found[-1].append(column)
        room -= need
    return [_tabular(each, groups, symbols) for each in found]


def _column_width(title: str, decimals: Mapping[str, str]) -> int:
    # 525 hundredths of a point is the width of a typewriter letter.
    heading = 525 * len(title.removeprefix(r"\texttt").replace("\\", "").strip("{}"))
    return max(heading, *(width(in_math(text)) for text in decimals.values())) + _COLUMN_GAP


def _tabular(
    columns: Sequence[tuple[str, Mapping[str, str]]], groups: Sequence[Sequence[str]], symbols: Mapping[str, str]
) -> str:
    heads = " & ".join(rf"\multicolumn{{2}}{{c}}{{{title}}}" for title, _ in columns)
    lines = [rf"\begin{{tabular}}{{l*{{{len(columns)}}}{{r@{{.}}l}}}}", r"\toprule", rf"& {heads} \\"]
    for group in groups:
        if not any(key in decimals for _, decimals in columns for key in group):
            continue
        lines.append(r"\midrule")
        for key in group:
            cells = " & ".join(decimal_cell(decimals.get(key)) for _, decimals in columns)
            lines.append(rf"${symbols[key]}$ & {cells} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def decimal_cell(text: str | None) -> str:
    """Return two cells: what stands before the decimal point of a decimal and what stands behind it; None is a dash."""
    if text is None:
        return r"\multicolumn{2}{c}{---}"
    mantissa, _, exponent = text.partition("e")
    whole, point, rest = mantissa.partition(".")
    if exponent:
        rest += rf"\cdot10^{{{int(exponent)}}}"
    if not point:
        # The column would print its decimal point behind an integer.
        return rf"\multicolumn{{1}}{{r@{{\phantom{{.}}}}}}{{${whole}{rest}$}} &"
    return f"${whole}$ & ${rest}$"
