"""The section of claims: what is checked, and the verdicts of a file that verify.py wrote.

Nothing in the file is trusted: its size, keys and types are checked, its claims must be those of this ledger, and its
text is escaped.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import sympy as sp

from numerics.publish.paper.document import Export
from numerics.publish.paper.words import breakable, escaped, sentence, worded
from theory.claims import CLAIMS, Claim, VerdictKind
from theory.grammar import ActivationSyntaxError, parse_number
from theory.latex import inline, width

__all__ = ["Planted", "RecordedVerdict", "VerdictFile", "VerdictFileError", "claims", "read_verdicts"]

_SIZE_AT_MOST = 20_000_000
_MEGABYTE = 1_000_000
_NUMBER_BELOW = 1e12
#: Beyond this a score is written with a power of ten.
_PLAIN_SCORE = 1e5
#: From here on a percentage is written as a whole number.
_TWO_DIGITS = 10


class VerdictFileError(ValueError):
    """A file of verdicts that cannot be taken."""


@dataclass(frozen=True)
class RecordedVerdict:
    """One verdict of the file.

    Attributes:
        claim: identifier of the claim.
        subject: what it was checked on.
        kind: the verdict.
        as_expected: whether it is the one that a correct theory gets.
        evidence: a sentence with the figures that decide it.
    """

    claim: str
    subject: str
    kind: VerdictKind
    as_expected: bool
    evidence: str


@dataclass(frozen=True)
class Planted:
    """One wrong theory of the file: what it says, and how it fared.

    Attributes:
        identifier: its name.
        kernel: the kernel that it is about.
        description: what is wrong with it.
        refuted: whether the check saw that.
        witness: the functional that is furthest from 0.
        score: that functional's limit in standard errors.
        detectable: fraction of the error that would be seen, or None where none would.
    """

    identifier: str
    kernel: str
    description: str
    refuted: bool
    witness: str
    score: float
    detectable: float | None


@dataclass(frozen=True)
class VerdictFile:
    """A run of verify.py.

    Attributes:
        sha256: of the file.
        version: of deqverify that made it.
        profile: how much work it was.
        seed: root seed.
        sigma_a2: exact variance of the recurrent weights.
        sigma_b2: exact variance of the input weights.
        verdicts: in the file's order.
        planted: the wrong theories, in the file's order.
    """

    sha256: str
    version: str
    profile: str
    seed: int
    sigma_a2: sp.Expr
    sigma_b2: sp.Expr
    verdicts: tuple[RecordedVerdict, ...]
    planted: tuple[Planted, ...]


# --- reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Takes typed values out of nested JSON; what is amiss is one sentence with the place of it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def fail(self, complaint: str) -> NoReturn:
        raise VerdictFileError(f"--verdicts {self._name}: {complaint}; give a file that verify.py --json wrote")

    def get(self, record: Any, key: str, kind: type | tuple[type, ...], place: str = "") -> Any:
        """Return record[key], which must be of a kind (a truth value is no number)."""
        where = f"{place}{key}"
        if not isinstance(record, dict) or key not in record:
            self.fail(f"{where} is missing")
        value = record[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.fail(f"{where} has the wrong type, {type(value).__name__}")
        return value

    def number(self, record: Any, key: str, place: str) -> float:
        try:
            value = float(self.get(record, key, (int, float), place))
        except OverflowError:
            value = math.inf
        if not abs(value) < _NUMBER_BELOW:
            self.fail(f"{place}{key} is not a number below {_NUMBER_BELOW:g}")
        return value

    def exact(self, record: Any, key: str, place: str) -> sp.Expr:
        try:
            return parse_number(self.get(record, key, str, place))
        except ActivationSyntaxError:
            self.fail(f"{place}{key} is not an exact number")


def read_verdicts(name: str) -> VerdictFile:
    """Read a file that ``verify.py --json`` wrote.

    Raises:
        VerdictFileError: it is too large, no such JSON, or about claims that this ledger does not have.
        OSError: it cannot be read.
    """
    reader = _Reader(name)
    with Path(name).open("rb") as file:
        data = file.read(_SIZE_AT_MOST + 1)
    if len(data) > _SIZE_AT_MOST:
        reader.fail(f"the file has more than {_SIZE_AT_MOST // _MEGABYTE} MB")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        # Not UTF-8, not JSON, a number of thousands of digits, or nested beyond reason.
        reader.fail("that is not valid JSON")
    if not isinstance(record, dict):
        reader.fail("that is not a JSON object")
    parameters = reader.get(record, "parameters", dict)
    if parameters.get("variant") is not None:
        reader.fail("that run asked about one variant, not about the ledger")
    _check_claims(reader, record)
    verdicts = tuple(_verdicts(reader, reader.get(record, "verdicts", list)))
    planted = tuple(_planted(reader, reader.get(record, "planted", list)))
    return VerdictFile(
        hashlib.sha256(data).hexdigest(),
        reader.get(reader.get(record, "versions", dict), "deqverify", str, "versions."),
        reader.get(reader.get(parameters, "profile", dict, "parameters."), "name", str, "parameters.profile."),
        reader.get(record, "seed", int),
        reader.exact(parameters, "sigma_a2", "parameters."),
        reader.exact(parameters, "sigma_b2", "parameters."),
        verdicts,
        planted,
    )


def _check_claims(reader: _Reader, record: Mapping[str, Any]) -> None:
    """The claims that were checked must read as those that the section prints."""
    stated = {}
    for position, each in enumerate(reader.get(record, "claims", list)):
        place = f"claims[{position}]."
        stated[reader.get(each, "id", str, place)] = reader.get(each, "latex", str, place)
    for position, each in enumerate(reader.get(record, "verdicts", list)):
        name = reader.get(each, "claim", str, f"verdicts[{position}].")
        if name not in CLAIMS:
            reader.fail(f"verdicts[{position}] is on {_quoted(name)}, which is no claim of this ledger")
        if stated.get(name) != CLAIMS[name].latex:
            reader.fail(f"the claim {name} is stated otherwise there than in this ledger")


def _quoted(text: str) -> str:
    """A name from the file for a sentence: printable and short."""
    return repr(text[:40])


def _verdicts(reader: _Reader, records: list[Any]) -> Iterator[RecordedVerdict]:
    kinds = {kind.value: kind for kind in VerdictKind}
    for position, each in enumerate(records):
        place = f"verdicts[{position}]."
        kind = reader.get(each, "verdict", str, place)
        if kind not in kinds:
            reader.fail(f"{place}verdict is {_quoted(kind)}, none of {', '.join(kinds)}")
        claim = reader.get(each, "claim", str, place)
        as_expected = kinds[kind] is CLAIMS[claim].expected
        if reader.get(each, "as_expected", bool, place) is not as_expected:
            reader.fail(f"{place}as_expected contradicts its verdict, {kind}")
        evidence = reader.get(each, "evidence", str, place)
        yield RecordedVerdict(claim, reader.get(each, "subject", str, place), kinds[kind], as_expected, evidence)


def _planted(reader: _Reader, records: list[Any]) -> Iterator[Planted]:
    for position, each in enumerate(records):
        place = f"planted[{position}]."
        none = isinstance(each, dict) and "detectable" in each and each["detectable"] is None
        yield Planted(
            identifier=reader.get(each, "id", str, place),
            kernel=reader.get(each, "kernel", str, place),
            description=reader.get(each, "description", str, place),
            refuted=reader.get(each, "refuted", bool, place),
            witness=reader.get(each, "witness", str, place),
            score=reader.number(each, "score", place),
            detectable=None if none else reader.number(each, "detectable", place),
        )


# --- the section -----------------------------------------------------------------------------------------------------

_INTRODUCTION = r"""
What the program checks, and the verdict that a correct theory gets. Here $\alpha_k$, $\lambda_k$ and $\beta_k$ are
short for the starred coefficients, $d_1 = \mathbb{E}[\phi'(\tau_*\xi)]$, $d_2 = \mathbb{E}[\phi''(\tau_*\xi)]$ and
$d_{22} = \mathbb{E}[(\phi^2)''(\tau_*\xi)]$; $a_{l,k}$ are the coefficients after $l$ layers; $G_m$ and $K_m$ are the
kernels of a network of width $m$; $\|\cdot\|$ is the operator norm and $\|\cdot\|_{\mathrm{tr}}$ the trace norm. In
the equation of the isolated eigenvalues $W = [w_1, \ldots, w_n]$, $Q(z) = (W^\top W - z I_n)^{-1}$,
$U = [J/\sqrt{p},\ W^\top [\mu_1, \ldots, \mu_K],\ \psi]$, and $\Lambda$ holds the inner products of the means,
$\alpha_2$ and $\alpha_3$."""


def claims(export: Export, found: VerdictFile | None) -> str:
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
            r" witness's limit in standard errors; the last column is the part of the error that would still be seen.",
        ]
        for number, table in enumerate(_planted_tables(found.planted, export.available), 1):
            parts += [
                r"\begin{center}", r"\small", export.fragment(f"planted-{number}", table), r"\end{center}",
            ]  # fmt: skip
    return "\n".join(parts)


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
    return name if each.description in ("", name) else f"{name}: {each.description}"


def _planted_row(each: Planted) -> str:
    size = f"{each.score:+.1f}"
    if abs(each.score) >= _PLAIN_SCORE:
        mantissa, _, exponent = f"{each.score:+.1e}".partition("e")
        size = rf"{mantissa}\cdot10^{{{int(exponent)}}}"
    seen = "---" if each.detectable is None else _percent(each.detectable)
    words = f"{worded(_what(each))} ({breakable(each.kernel)})" + ("" if each.refuted else r" \textbf{not refuted}")
    return rf"\raggedright {words} & \raggedright {worded(each.witness)} & ${size}$ & {seen} \\"


def _percent(part: float) -> str:
    percent = 100 * part
    return rf"{percent:.2g}\,\%" if percent < _TWO_DIGITS else rf"{percent:.0f}\,\%"


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
