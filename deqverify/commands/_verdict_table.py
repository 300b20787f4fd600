"""The ledger's verdicts in a terminal: a table to be read in ten seconds, a sentence, and the evidence in blocks.

A verdict is a mark and a letter, so that the table reads without colour, in ASCII and in 80 columns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from deqverify.commands import _layout
from theory.claims import CLAIMS, Verdict, VerdictKind

if TYPE_CHECKING:
    from rich.console import Console

    from numerics.ledger import LedgerOutcome, PlantedOutcome

__all__ = [
    "show_blocks",
    "show_escaped",
    "show_left_out",
    "show_legend",
    "show_planted",
    "show_table",
    "summary",
]

#: How far what belongs to a line is moved to the right below it.
#: Characters of an activation that stand at the head of a column; longer ones are numbered.
_HEADING = 10
#: The column of claims has at least so many characters, and gaps between columns are narrow before it is broken.
_LEAST, _WIDE_GAP, _NARROW_GAP = 16, 2, 1
_OTHER = "other"
_LETTERS = ", ".join(f"{kind.value[0].upper()} {kind.value}" for kind in VerdictKind)
#: Of what is as expected, cannot tell and is not as expected.
_STYLES = ("green", "yellow", "bold red")


# --- the table -------------------------------------------------------------------------------------------------------


def show_table(console: Console, outcome: LedgerOutcome) -> None:
    """Print a row for each claim: its verdicts by activation, the one expected, and the smallest change it would see.

    Several verdicts on one activation are one cell: the worst.  Verdicts on nothing that heads a column stand under
    "other".
    """
    asked = dict.fromkeys((*outcome.run.plan.rate_activations, *outcome.run.plan.witness_activations))
    columns = [name for name in asked if any(verdict.activation == name for verdict in outcome.verdicts)]
    rows: dict[str, dict[str, list[Verdict]]] = {}
    for verdict in outcome.verdicts:
        place = verdict.activation if verdict.activation in columns else _OTHER
        rows.setdefault(verdict.claim, {}).setdefault(place, []).append(verdict)
    if any(_OTHER in cells for cells in rows.values()):
        columns.append(_OTHER)
    long = [name for name in columns if len(name) > _HEADING]
    short = {name: f"phi_{number}" for number, name in enumerate(long, 1)}
    headings = [short.get(name, name) for name in columns] + ["expected", "sees"]
    table = [
        [
            *(_cell(console, cells.get(name, ())) for name in columns),
            (CLAIMS[claim].expected.value, ""),
            (_power([verdict for each in cells.values() for verdict in each]), ""),
        ]
        for claim, cells in rows.items()
    ]
    _show_grid(console, headings, [CLAIMS[claim].title for claim in rows], table)
    for name, number in short.items():
        _layout.show_line(console, f"{number}(x) = {name}")


def _show_grid(
    console: Console, headings: Sequence[str], titles: Sequence[str], table: Sequence[Sequence[tuple[str, str]]]
) -> None:
    """Print rows of a title, broken where it must be, and cells (text, style)."""
    widths = [
        max(map(len, column)) for column in zip(headings, *([text for text, _ in row] for row in table), strict=True)
    ]
    longest = max(map(len, ("claim", *titles)))
    fits = longest + sum(widths) + _WIDE_GAP * len(widths) <= console.width
    gap = _WIDE_GAP if fits else _NARROW_GAP
    room = max(min(longest, console.width - sum(widths) - gap * len(widths)), _LEAST)
    heads = [(heading, "bold") for heading in headings]
    for title, cells in [("claim", heads), *zip(titles, table, strict=True)]:
        lines = textwrap.wrap(title, room)
        parts, place = [(0, lines[0], "bold" if cells is heads else "")], room + gap
        for (text, style), width in zip(cells, widths, strict=True):
            parts.append((place, text, style))
            place += width + gap
        _layout.print_parts(console, parts)
        for line in lines[1:]:
            _layout.print_parts(console, [(1, line, "")])


def _cell(console: Console, verdicts: Sequence[Verdict]) -> tuple[str, str]:
    """Mark and letter of the worst of some verdicts, and their style."""
    if not verdicts:
        return "", ""
    worst = max(verdicts, key=_badness)
    return f"{_mark(console, worst)}{worst.kind.value[0].upper()}", _style(worst)


def _badness(verdict: Verdict) -> int:
    """0 as expected, 1 undecided, 2 another verdict than the one expected."""
    if verdict.as_expected:
        return 0
    return 1 if verdict.kind is VerdictKind.UNDECIDED else 2


def _power(verdicts: Iterable[Verdict]) -> str:
    """The smallest change that the checks of a claim would see, of the least sharp of them."""
    figures, proved = [], False
    for verdict in verdicts:
        proved = proved or verdict.kind in (VerdictKind.DERIVED, VerdictKind.CERTIFIED)
        power: Mapping[str, float | None] = verdict.details.get("power", {})
        seen = [value for value in power.values() if value is not None]
        if seen or verdict.details.get("unseen"):
            figures.append(min(seen, default=float("inf")))
    if not figures:
        return "proof" if proved else ""
    return f"{100 * max(figures):.2g} %" if max(figures) < 0.995 else "100 %" if max(figures) <= 1 else "> 100 %"


def summary(outcome: LedgerOutcome, seconds: float) -> str:
    """One sentence: how the claims stand, how many of them, how many wrong theories were caught, and how long it took.

    Args:
        outcome: of the run.
        seconds: that it took.
    """
    failing = {verdict.claim for verdict in outcome.verdicts if not verdict.as_expected}
    total = len({verdict.claim for verdict in outcome.verdicts})
    parts = [f"{outcome.status} ({total - len(failing)} of {total}{' stand' * bool(failing)})"]
    if outcome.planted:
        caught = sum(one.refuted for one in outcome.planted)
        parts.append(f"{caught} of {len(outcome.planted)} wrong theories caught")
        blind = sum(one.without_power for one in outcome.planted)
        parts += [f"no power against {blind}"] if blind else []
    minutes, rest = divmod(round(seconds), 60)
    return ", ".join([*parts, f"in {minutes} min {rest} s" if minutes else f"in {rest} s"])


# --- blocks ----------------------------------------------------------------------------------------------------------


def show_blocks(console: Console, verdicts: Sequence[Verdict], *, expected: bool = True) -> None:
    """Print for each verdict what it is and of what on a line, and the evidence below.

    Args:
        console: where to.
        verdicts: in the order in which they are printed.
        expected: whether the ledger expects a verdict of them.
    """
    kinds = max((len(verdict.kind.value) for verdict in verdicts), default=0)
    names = max((len(verdict.claim) for verdict in verdicts), default=0)
    for verdict in verdicts:
        subject = f"  on {verdict.subject}" if verdict.subject else ""
        line = f"{verdict.kind.value:<{kinds}}  {verdict.claim:<{names}}{subject}".rstrip()
        mark, style = (_mark(console, verdict), _style(verdict)) if expected else _outcome(console, verdict)
        _layout.show_line(console, f"{mark} {line}", below=verdict.evidence, style=style)


def show_planted(console: Console, planted: Sequence[PlantedOutcome]) -> None:
    """Print how the wrong theories fared, a line for each of those that were not made by changing formulas."""
    if not planted:
        return
    refuted = sum(outcome.refuted for outcome in planted)
    made = [outcome for outcome in planted if outcome.theory.source == "generated"]
    line = f"wrong theories: {refuted} of {len(planted)} refuted"
    if made:
        line += f", among them {sum(outcome.refuted for outcome in made)} of {len(made)} made by changing formulas"
    _layout.show_line(console, line, style="bold")
    for outcome in planted:
        if outcome not in made:
            _show_outcome(console, outcome)
    show_escaped(console, planted)


def _show_outcome(console: Console, outcome: PlantedOutcome) -> None:
    """Print a line on one wrong theory."""
    told = "refuted" if outcome.refuted else "no power here" if outcome.without_power else "not refuted"
    mark = _signs(console)[0 if outcome.refuted else 1 if outcome.detectable > 1 else 2]
    line = (
        f"{mark} {told}  {outcome.theory.identifier}: by {outcome.witness}, {outcome.score:+.1f} standard errors; "
        f"would see {100 * outcome.detectable:.2g} % of it"
    )
    _layout.show_line(console, line, style="" if outcome.refuted else "bold red")


def show_escaped(console: Console, planted: Sequence[PlantedOutcome]) -> None:
    """Print the names of the wrong theories that were not caught: those without power first, one paragraph each."""
    escaped = [outcome for outcome in planted if not outcome.refuted]
    for title, blind in (
        ("no power here, as predicted before the draws, against", True),
        ("wrong theories not caught on these draws", False),
    ):
        names = [outcome.theory.identifier for outcome in escaped if outcome.without_power is blind]
        if names:
            _layout.show_line(console, f"{title}: {'; '.join(names)}", style="yellow")


def show_left_out(console: Console, profile: str, left_out: Mapping[str, str]) -> None:
    """Print which claims a profile leaves out, and why."""
    if not left_out:
        return
    _layout.show_line(console, f"left out by the {profile} profile, unless --claims asks for them:", style="bold")
    for why in dict.fromkeys(left_out.values()):
        names = ", ".join(name for name, reason in left_out.items() if reason == why)
        _layout.show_line(console, f"{why}: {names}")


def show_legend(console: Console) -> None:
    """Print what marks, letters and the last column mean."""
    signs = _signs(console)
    line = (
        f"{signs[0]} as expected, {signs[1]} cannot tell, {signs[2]} not as expected; {_LETTERS}; sees: smallest "
        "change that would be seen on every activation; --details shows the evidence"
    )
    _layout.show_line(console, line, style="dim")


def _signs(console: Console) -> str:
    """Signs for as expected, cannot tell and not as expected, from the letters that the output's encoding has."""
    signs = "\N{CHECK MARK}?\N{BALLOT X}"
    try:
        signs.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return "+?x"
    return signs


def _mark(console: Console, verdict: Verdict) -> str:
    return _signs(console)[_badness(verdict)]


def _outcome(console: Console, verdict: Verdict) -> tuple[str, str]:
    """Mark and style where nothing was expected: of what is refuted the mark of a failure."""
    bad = {VerdictKind.UNDECIDED: 1, VerdictKind.REFUTED: 2}.get(verdict.kind, 0)
    return _signs(console)[bad], _STYLES[bad]


def _style(verdict: Verdict) -> str:
    return _STYLES[_badness(verdict)]
