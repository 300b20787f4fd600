"""The section of claims: what is checked, and the verdicts of a run where there is one.

Text from the file of verdicts is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from numerics.arithmetic import percent
from numerics.publish.paper.document import Export
from numerics.publish.paper.words import breakable, escaped, sentence, worded
from numerics.publish.verdict_file import Planted, VerdictFile
from theory.claims import CLAIMS, Claim
from theory.latex import inline, width

__all__ = ["claims_section"]

#: Beyond this a score is written with a power of ten.
_PLAIN_SCORE = 1e5

_INTRODUCTION = r"""
What the program checks, and the verdict that a correct theory gets. Here $\alpha_k$, $\lambda_k$ and $\beta_k$ are
short for the starred coefficients, $d_1 = \mathbb{E}[\phi'(\tau_*\xi)]$, $d_2 = \mathbb{E}[\phi''(\tau_*\xi)]$ and
$d_{22} = \mathbb{E}[(\phi^2)''(\tau_*\xi)]$; $a_{l,k}$ are the coefficients after $l$ layers; $G_m$ and $K_m$ are the
kernels of a network of width $m$; $\|\cdot\|$ is the operator norm and $\|\cdot\|_{\mathrm{tr}}$ the trace norm. In
the equation of the isolated eigenvalues $W = [w_1, \ldots, w_n]$, $Q(z) = (W^\top W - z I_n)^{-1}$,
$U = [J/\sqrt{p},\ W^\top [\mu_1, \ldots, \mu_K],\ \psi]$, and $\Lambda$ holds the inner products of the means,
$\alpha_2$ and $\alpha_3$."""


def claims_section(export: Export, found: VerdictFile | None) -> str:
    """Return the section; with a file, each claim's verdicts and the wrong theories are in it.

    Args:
        export: the width of the text, and where fragments go.
        found: the file, or None for the claims alone.
    """
    rows = [_item(claim, export, found) for claim in CLAIMS.values()]
    body = "\n".join([r"\begin{description}", *rows, r"\end{description}"])
    parts = [r"\section{Claims}", _INTRODUCTION.strip()]
    if found is not None:
        parts.append(_run(found))
    parts.append(export.fragment("claims", body))
    if found is not None and found.planted:
        refuted = sum(each.refuted for each in found.planted)
        parts += [
            r"\subsection*{Wrong theories}",
            r"The same check is run on theories that are wrong on purpose, each about the kernel in parentheses. It"
            rf" refutes {refuted} of {len(found.planted)}; those that it does not are marked. The score is the furthest"
            r" witness's limit in standard errors; the last column is the part of the error that would still be seen."
            + _made(found.planted),
        ]
        for number, table in enumerate(_planted_tables(_listed(found.planted), export.available), 1):
            parts += [
                r"\begin{center}", r"\small", export.fragment(f"planted-{number}", table), r"\end{center}",
            ]  # fmt: skip
    return "\n".join(parts)


def _listed(planted: tuple[Planted, ...]) -> tuple[Planted, ...]:
    """The wrong theories that have a row: not those that were made by changing formulas and are refuted."""
    return tuple(each for each in planted if not (each.generated and each.refuted))


def _made(planted: tuple[Planted, ...]) -> str:
    """A sentence on the theories that were made by changing formulas."""
    made = sum(each.generated for each in planted)
    if not made:
        return ""
    return (
        rf" Of these theories {made} were made by changing the formulas, one place of one of them at a time; they have"
        r" a row only where they are not refuted."
    )


def _run(found: VerdictFile) -> str:
    met = sum(verdict.as_expected for verdict in found.verdicts)
    return (
        rf"The verdicts are those of deqverify {breakable(found.version)}, profile {breakable(found.profile)}, for"
        rf" $\sigma_a^2 = {inline(found.sigma_a2)}$ and $\sigma_b^2 = {inline(found.sigma_b2)}$,"
        rf" seed {breakable(str(found.seed))}: {met} of {len(found.verdicts)} are as expected."
    )


def _item(claim: Claim, export: Export, found: VerdictFile | None) -> str:
    """One claim: name, statement in words and as a formula, what it needs, and its verdicts."""
    # The theory's own claims need no source here: the document states the theory.
    sources = [part for part in claim.source.split("; ") if not part.startswith("theory sheet")]
    details = [f"Assumptions: {worded(claim.assumptions)}."] if claim.assumptions != "none" else []
    details += [f"From {escaped(source)}." for source in sources]
    if found is None:
        details.append(rf"A correct theory: \emph{{{claim.expected.value}}}.")
    lines = [
        rf"\item[\texttt{{{escaped(claim.identifier)}}}] {sentence(claim.statement)}",
        _broken(claim.latex, export.available - 3_000),
        " ".join(details),
    ]
    if found is not None:
        lines.append(_verdict_list(claim, found))
    return "\n".join(line for line in lines if line)


def _verdict_list(claim: Claim, found: VerdictFile) -> str:
    own = [verdict for verdict in found.verdicts if verdict.claim == claim.identifier]
    if not own:
        return "Not checked in this run."
    lines = []
    for each in own:
        met = "" if each.as_expected else rf", not as expected ({claim.expected.value})"
        lines.append(
            rf"\item[$\bullet$] {breakable(each.subject)}: \textbf{{{each.kind.value}{met}}}. {sentence(each.evidence)}"
        )
    return "\n".join([r"\begin{itemize}\raggedright", *lines, r"\end{itemize}"])


def _broken(formula: str, available: int) -> str:
    r"""A display, in several lines where it is too wide: cut where \quad or a spaced comma separates its parts."""
    parts = re.split(r"(?<=,)\s*(?:\\quad|\\ )\s*", formula)
    lines = [parts[0]]
    for part in parts[1:]:
        together = rf"{lines[-1]}\quad {part}"
        if width(together) <= available:
            lines[-1] = together
        else:
            lines.append(part)
    lines[-1] += "" if formula.endswith(r"\ldots") else "."
    inner = lines[0] if len(lines) == 1 else r"\begin{gathered} " + r" \\ ".join(lines) + r" \end{gathered}"
    return rf"\[ {inner} \]"


# --- wrong theories --------------------------------------------------------------------------------------------------

#: Widths in hundredths of a point: numbers with their gaps, a letter of text, the height of a line, and of a table, so
#: that two fit on a page.
_NUMBERS_WIDTH, _LETTER_WIDTH, _LINE_HEIGHT, _TABLE_HEIGHT = 13_500, 480, 1_150, 26_000
#: The part of the words' width that the witness gets.
_WITNESS_PERCENT = 27


def _planted_tables(planted: tuple[Planted, ...], available: int) -> Iterator[str]:
    """Tables of the wrong theories, each at most half a page high."""
    words = available - _NUMBERS_WIDTH
    witness = words * _WITNESS_PERCENT // 100
    text = words - witness
    rows: list[str] = []
    used = 0
    for each in planted:
        letters = len(f"{_what(each)} ({each.kernel}) not refuted")
        height = _LINE_HEIGHT * max(
            -(-letters * _LETTER_WIDTH // text), -(-len(each.witness) * _LETTER_WIDTH // witness)
        )
        if rows and used + height > _TABLE_HEIGHT:
            yield _planted_table(rows, text, witness)
            rows, used = [], 0
        rows.append(_planted_row(each))
        used += height
    yield _planted_table(rows, text, witness)


def _what(each: Planted) -> str:
    """What is wrong: the name, and the description where that says more."""
    name = each.identifier.removeprefix("statistics: ").removeprefix(f"{each.kernel} ")
    return name if each.generated or each.description in ("", name) else f"{name}: {each.description}"


def _planted_row(each: Planted) -> str:
    size = f"{each.score:+.1f}"
    if abs(each.score) >= _PLAIN_SCORE:
        mantissa, _, exponent = f"{each.score:+.1e}".partition("e")
        size = rf"{mantissa}\cdot10^{{{int(exponent)}}}"
    seen = "---" if each.detectable is None else percent(each.detectable).replace(" %", r"\,\%")
    words = f"{worded(_what(each))} ({breakable(each.kernel)})" + ("" if each.refuted else r" \textbf{not refuted}")
    return rf"\raggedright {words} & \raggedright {worded(each.witness)} & ${size}$ & {seen} \\"


def _planted_table(rows: list[str], text: int, witness: int) -> str:
    return "\n".join(
        [
            rf"\begin{{tabular}}{{@{{}}p{{{text // 100}pt}}p{{{witness // 100}pt}}rr@{{}}}}",
            r"\toprule",
            r"theory & witness & score & would see \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )
