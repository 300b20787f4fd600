"""Reports on a run of the ledger, in Markdown and as one HTML page that needs nothing else.

Both are functions of the record that ``deqverify verify`` writes as JSON: the same record gives the same bytes.
Whatever comes from outside, such as the text of an activation, is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from numerics.arithmetic import percent
from numerics.publish.mathml import mathml
from numerics.publish.paper.words import pieces
from numerics.publish.svg import Ladder, Spectrum, Witnesses, ladder_plot, spectrum_plot, witness_plot
from theory.claims import CLAIMS, VerdictKind

__all__ = ["html_report", "markdown_report"]

_TITLE = "deqverify: the claims and their evidence"
_ABOUT = (
    "The theory says that the kernels of a deep equilibrium model (DEQ) on high-dimensional mixture data are close, "
    "in operator norm, to equivalents that know the activation only through a few numbers. Each claim below is one "
    "part of that theory. It gets a verdict from evidence that could have gone against it, and where the evidence is "
    "statistical the report says how small an error it would have noticed."
)
_VERDICTS = {kind.value: kind.meaning for kind in VerdictKind}
_SYMBOLS = {
    "G*, K*": "exact kernels of the data in the limit of infinite width: the conjugate kernel (CK) and an NTK",
    "Ḡ, K̄ (Gbar, Kbar)": "their equivalents, linear S + V C V^T + identity I",
    "linear, variance, square, diagonal": "the equivalent's four numbers: the factor of S, that of t and psi in C, "
    "that of T in C, and the whole diagonal; for the CK these are alpha_1, alpha_2, alpha_3 and gamma_*^2",
    "S, t, T, psi": "statistics of the data: Gram matrix, traces of the covariances, traces of their products, and "
    "fluctuations of the squared norms",
    "p, n, m": "input dimension, number of samples, width of a finite network",
    "sigma_a^2, sigma_b^2": "variances of the recurrent and of the input weights",
    "tau_0, tau_*": "scale of the data, and of the pre-activations at equilibrium",
    "d1, d2, d22, dd": "E[phi'], E[phi''], E[(phi^2)''], E[phi'^2] at tau_* xi with xi standard Gaussian",
}
_READING = {
    "Errors against size": "small dots are single draws, large dots their means with two standard errors, on "
    "logarithmic axes: of the operator norm, unless the claim names another distance. A power law is a straight line "
    "there. The dashed line has slope -1/2, for comparison; a second line has the fitted slope; both pass through the "
    "centre of the means. A dotted curve is the law that is tested where it is more than a line: p^(-1/2) with as few "
    "next orders as fit. The verdict asks whether that law fits within the scatter, with a positive leading term and "
    "without a floor; where the claim or the evidence says so, whether the slope's interval is where it should be.",
    "Witnesses": "a witness is a number tr(M R) of the error R that the operator norm bounds, such as I, S or "
    "class 1 x psi. Its limit as p grows must be 0 if the equivalent is right. Limits inside the shaded band differ "
    "from 0 by no more than scatter explains at the stated level; one outside it (a diamond) refutes the claim.",
    "Spectra": "grey bars are eigenvalues of exact kernels, of all draws; the line is the predicted density, each as "
    "its mean over a bin. Below the axis are the isolated eigenvalues: triangles where they are predicted, dots where "
    "they were measured, one for each draw.",
    "Power": "the smallest relative change of a coefficient that the check would detect, with probability 0.9, at "
    "the sizes that were run: how much a verdict of supported is worth.",
}
_PLANTED_ABOUT = (
    "A check is worth what it refutes. These theories are wrong on purpose and are put to the same test. The last "
    "column is the fraction of the planted error that would be detected with probability 0.9: where it is above 100 % "
    "the error may be missed at the sizes of this profile. The full profile must refute all of them. Most are made by "
    "changing one place of one formula; those have a row only where they are not refuted."
)
_NO_PLANTED = "The wrong theories were not tried in this run."


# --- what both reports say -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """A table of plain text."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class _Section:
    """A claim and the verdicts on it."""

    claim: Mapping[str, Any]
    verdicts: Sequence[Mapping[str, Any]]

    @property
    def anchor(self) -> str:
        """Name of its place in the report."""
        return "claim-" + re.sub(r"[^A-Za-z0-9]+", "-", str(self.claim["id"])).strip("-")

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the ledger says of the claim, apart from its statement."""
        names = {
            "assumptions": "Assumptions",
            "source": "Source",
            "evidence": "Evidence it can get",
            "expected": "Expected",
        }
        return [(label, str(self.claim[key])) for key, label in names.items() if self.claim.get(key)]


def _sections(record: Mapping[str, Any]) -> list[_Section]:
    """The claims that got a verdict, in the order of the verdicts."""
    known = {claim["id"]: claim for claim in record["claims"]}
    found: dict[str, list[Mapping[str, Any]]] = {}
    for verdict in record["verdicts"]:
        found.setdefault(verdict["claim"], []).append(verdict)
    return [_Section(known.get(name) or _unlisted(name, rows), rows) for name, rows in found.items()]


def _unlisted(identifier: str, verdicts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A claim that the ledger does not have, such as a planted error asked for by name."""
    details = verdicts[0].get("details", {})
    described = {key: str(details.get(key, "")) for key in ("description", "source")}
    return {"id": identifier, "statement": described["description"] or identifier, "source": described["source"]}


def _asked(record: Mapping[str, Any]) -> bool:
    """Whether the run asked about one variant, so that nothing was expected."""
    return record["parameters"].get("variant") is not None


def _outcome(record: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    if _asked(record):
        return str(verdict["verdict"])
    return f"{verdict['verdict']}, {'as expected' if verdict['as_expected'] else 'not as expected'}"


def _outcomes(record: Mapping[str, Any], section: _Section) -> str:
    """The verdicts of a claim in a few words."""
    kinds = list(dict.fromkeys(_outcome(record, verdict) for verdict in section.verdicts))
    counts = [sum(_outcome(record, verdict) == kind for verdict in section.verdicts) for kind in kinds]
    if len(section.verdicts) == 1:
        return kinds[0]
    return "; ".join(f"{kind} ({count} of {len(section.verdicts)})" for kind, count in zip(kinds, counts, strict=True))


def _subject(verdict: Mapping[str, Any]) -> str:
    return str(verdict["subject"]) or "not computed"


def _unexpected(record: Mapping[str, Any]) -> list[tuple[_Section, Mapping[str, Any]]]:
    if _asked(record):
        return []
    return [(section, one) for section in _sections(record) for one in section.verdicts if not one["as_expected"]]


def _unchecked(record: Mapping[str, Any]) -> list[str]:
    checked = {verdict["claim"] for verdict in record["verdicts"]}
    return [claim["id"] for claim in record["claims"] if claim["id"] not in checked]


def _left_out(record: Mapping[str, Any]) -> str:
    """The claims that were not checked, with the reason where the profile has one."""
    reasons = record.get("left_out", {})
    return ", ".join(name + (f" ({reasons[name]})" if name in reasons else "") for name in _unchecked(record))


def _counts(record: Mapping[str, Any]) -> _Table:
    verdicts = record["verdicts"]
    rows = []
    for kind in dict.fromkeys([*_VERDICTS, *(verdict["verdict"] for verdict in verdicts)]):
        found = [verdict for verdict in verdicts if verdict["verdict"] == kind]
        expected = sum(bool(verdict["as_expected"]) for verdict in found)
        row = [kind, str(len(found)), *([] if _asked(record) else [str(expected), str(len(found) - expected)])]
        rows.append(row)
    headings = ["verdict", "number", *([] if _asked(record) else ["as expected", "not as expected"])]
    return _Table("Verdicts", headings, rows)


def _run(record: Mapping[str, Any]) -> _Table:
    parameters = record["parameters"]
    profile = parameters.get("profile", {})
    rows = [["seed", str(record.get("seed", "not recorded"))]]
    rows += _asked_of(parameters)
    rows += [[f"profile: {name.replace('_', ' ')}", _plain(value)] for name, value in profile.items()]
    rows += [[f"version of {name}", value or "not installed"] for name, value in record.get("versions", {}).items()]
    return _Table("The run", ["what", "value"], rows)


def _asked_of(parameters: Mapping[str, Any]) -> list[list[str]]:
    """What was asked but for the profile; where a file describes the DEQ, a row for each of its parts."""
    deq = parameters.get("deq")
    if deq is None:
        return [[name, _plain(value)] for name, value in parameters.items() if name != "profile" and value]
    rows = [["states", str(len(deq["states"]))], ["read out", f"state {deq['readout']}"]]
    rows += [[f"state {r}", _plain(state)] for r, state in enumerate(deq["states"])]
    return rows + [[f"sigma_a2 into state {r}", _plain(row)] for r, row in enumerate(deq["sigma_a2"])]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {each}" for name, each in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _power(details: Mapping[str, Any]) -> str:
    power, unseen = details.get("power"), details.get("unseen", ())
    if not power and not unseen:
        return ""
    found = ", ".join(f"{name} {percent(value)}" for name, value in (power or {}).items() if value is not None)
    zero = ", ".join(name for name, value in (power or {}).items() if value is None)
    lost = ", ".join(unseen)
    return (
        f"Smallest change of a coefficient this check would detect: {found or 'none'}."
        f"{f' None up to 100 %: {lost}.' if lost else ''}"
        f"{f' Here 0 whatever its factor: {zero}.' if zero else ''}"
    )


def _caveat(details: Mapping[str, Any]) -> str:
    """What the data cannot tell; in other verdicts the same key holds the witnesses' limits."""
    limits = details.get("limits")
    return limits if isinstance(limits, str) else ""


def _figures(details: Mapping[str, Any]) -> _Table | None:
    """The figures behind a plot."""
    witnesses = Witnesses.of(details)
    if witnesses is not None:
        columns = zip(witnesses.names, witnesses.limits, witnesses.errors, witnesses.scores, strict=True)
        caption = f"Limits of the witnesses; critical: {witnesses.critical:.2f} standard errors"
        rows = [[name, f"{limit:+.3e}", f"{error:.1e}", f"{score:+.2f}"] for name, limit, error, score in columns]
        return _Table(caption, ["witness", "limit", "standard error", "in standard errors"], rows)
    ladder = Ladder.of(details)
    if ladder is None:
        return None
    steps = zip(ladder.sizes, ladder.errors, ladder.means, ladder.standard_errors, strict=True)
    rows = [[f"{size:g}", str(len(row)), f"{mean:.4g}", f"{error:.1e}"] for size, row, mean, error in steps]
    return _Table("Errors", [ladder.symbol, "draws", "mean", "standard error"], rows)


def _planted(record: Mapping[str, Any]) -> _Table | None:
    planted = record.get("planted") or []
    if not planted:
        return None
    rows = []
    for one in planted:
        if one.get("generated") and one["refuted"]:
            continue
        fraction = one.get("detectable")
        seen = "not seen by this check" if fraction is None else percent(fraction)
        told = "refuted" if one["refuted"] else "✗ no power here" if one.get("without_power") else "✗ not refuted"
        rows.append([one["id"], one["kernel"], one["description"], told, one["witness"], f"{one['score']:+.1f}", seen])
    caption = f"Wrong theories: {sum(bool(one['refuted']) for one in planted)} of {len(planted)} refuted"
    headings = ["theory", "kernel", "what is wrong", "outcome", "by the witness", "standard errors", "would detect"]
    return _Table(caption, headings, rows)


# --- Markdown ------------------------------------------------------------------------------------


def markdown_report(record: Mapping[str, Any]) -> str:
    """Return the report as Markdown that GitHub renders, without plots.

    Args:
        record: what ``deqverify verify`` writes as JSON.
    """
    sections = _sections(record)
    blocks = [f"# {_TITLE}", f"**{_md(record['status'])}**", _ABOUT, _md_table(_counts(record))]
    unexpected = _unexpected(record)
    if unexpected:
        lines = [f"- [{_md(s.claim['id'])}](#{s.anchor}) on {_md(_subject(v))}: {v['verdict']}" for s, v in unexpected]
        blocks += ["Not as expected:", "\n".join(lines)]
    blocks.append(_md_table(_run(record)))
    blocks.append("## Contents")
    lines = [f"- [{_md(s.claim['id'])}](#{s.anchor}): {_md(_outcomes(record, s))}" for s in sections]
    lines += ["- [Wrong theories](#wrong-theories)", "- [Verdicts, symbols, figures](#verdicts-symbols-figures)"]
    blocks.append("\n".join(lines))
    blocks.append("## Claims")
    for section in sections:
        blocks += _md_section(record, section)
    if _unchecked(record):
        blocks.append(f"Not checked in this run: {_md(_left_out(record))}.")
    blocks.append("## Wrong theories")
    planted = _planted(record)
    blocks += [_PLANTED_ABOUT, _md_table(planted)] if planted else [_NO_PLANTED]
    blocks.append("## Verdicts, symbols, figures")
    for words in (_VERDICTS, _SYMBOLS, _READING):
        blocks.append("\n".join(f"- **{_md(name)}**: {_md(meaning)}" for name, meaning in words.items()))
    return "\n\n".join(blocks) + "\n"


def _md_section(record: Mapping[str, Any], section: _Section) -> list[str]:
    claim = section.claim
    blocks = [f'<a id="{section.anchor}"></a>', f"### {_md(claim['id'])}", _md(claim["statement"])]
    if claim.get("latex"):
        blocks.append(f"```math\n{' '.join(claim['latex'].split())}\n```")
    blocks.append("\n".join(f"- **{label}**: {_md(value)}" for label, value in section.facts))
    for verdict in section.verdicts:
        details = verdict.get("details", {})
        blocks.append(f"**{_md(_subject(verdict))}: {_outcome(record, verdict)}.** {_md(verdict['evidence'])}")
        blocks += [_md(text) for text in (_power(details), _caveat(details)) if text]
        figures = _figures(details)
        if figures:
            blocks.append(_md_table(figures))
    return [block for block in blocks if block]


def _md(text: str) -> str:
    """Plain text as Markdown: on one line, with nothing in it that means something to Markdown or HTML."""
    single = escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", single)


def _md_table(table: _Table) -> str:
    rows = [table.headings, ["---"] * len(table.headings)]
    lines = ["| " + " | ".join(map(_md, row)) + " |" for row in (*rows, *table.rows)]
    return f"{_md(table.caption)}:\n\n" + "\n".join(lines)


# --- HTML ----------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark;
  --page: #ffffff; --text: #1b1f24; --soft: #4d5660; --line: #c9d0d6; --panel: #f4f6f8; --link: #0b57a4;
  --good: #0a5c3a; --bad: #9a1c1c; --open: #6b4a00; --blue: #0072b2; --orange: #c04f00; --green: #00785a; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171a; --text: #e6e9ec; --soft: #b0b8c0; --line: #424a52; --panel: #1d2226; --link: #7db8f5;
  --good: #6fd6a5; --bad: #ff9a92; --open: #f0c060; --blue: #56b4e9; --orange: #ff9d52; --green: #3ecfa5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
a { color: var(--link); }
h1 { font-size: 1.5rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
h3 { font-size: 1.1rem; } h4 { font-size: 1rem; margin: 0 0 .5rem; }
section.claim { border-top: 1px solid var(--line); margin-top: 1.5rem; }
.verdict { background: var(--panel); border-left: .3rem solid var(--line); padding: .7rem .8rem; margin: .8rem 0; }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.verdict.open { border-color: var(--open); }
.good > h4 b, b.good { color: var(--good); } .bad > h4 b, b.bad { color: var(--bad); }
.open > h4 b, b.open { color: var(--open); }
.verdict p, .verdict ul { margin: .4rem 0; } .verdict ul { padding-left: 1.2rem; }
.soft, figcaption, dt { color: var(--soft); }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .3rem .8rem; }
dd { margin: 0; min-width: 0; }
.wide { overflow: auto hidden; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; margin: .5rem 0; } caption { text-align: left; font-weight: 600; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); }
.verdict td, .verdict th { white-space: nowrap; }
math { font-size: 1.1rem; text-align: left; }
figure { margin: .6rem 0; } figcaption { font-size: .85rem; } summary { cursor: pointer; color: var(--link); }
svg.plot { display: block; width: 100%; max-width: 34rem; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--text); }
svg path, svg polyline { fill: none; } .axis { stroke: var(--soft); } .grid { stroke: var(--line); stroke-width: .6; }
.draw { stroke: var(--blue); stroke-width: 3; stroke-linecap: round; opacity: .4; }
.point { fill: var(--blue); } .bar { stroke: var(--blue); stroke-width: 1.6; }
.guide { stroke: var(--text); stroke-width: 1.4; stroke-dasharray: 6 4; }
.fit { stroke: var(--orange); stroke-width: 1.6; }
.law { stroke: var(--green); stroke-width: 2; stroke-dasharray: 2 3; }
.band { fill: var(--green); opacity: .15; } .edge { stroke: var(--green); stroke-dasharray: 4 3; }
.bin { fill: var(--line); } .step { stroke: var(--blue); stroke-width: 1.6; } .mark { fill: var(--orange); }
.zero { stroke: var(--soft); } .out { stroke: var(--orange); stroke-width: 1.6; } .outside { fill: var(--orange); }
"""


def html_report(record: Mapping[str, Any]) -> str:
    """Return the report as one HTML page with plots: no script, no font, no image or address from elsewhere.

    Args:
        record: what ``deqverify verify`` writes as JSON.
    """
    sections = _sections(record)
    planted = _planted(record)
    contents = [
        f'<li><a href="#{s.anchor}">{escape(s.claim["id"])}</a>: {_mark(record, s.verdicts, _outcomes(record, s))}</li>'
        for s in sections
    ]
    contents += ['<li><a href="#wrong">Wrong theories</a></li>', '<li><a href="#words">Verdicts and symbols</a></li>']
    # The policy makes a browser refuse whatever is not in this file.
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_TITLE}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{_TITLE}</h1>",
        f"<p>{_mark(record, record['verdicts'], record['status'])}</p>\n<p>{escape(_ABOUT)}</p>",
        '<p>New to this? Begin with <a href="#words">the verdicts, symbols and figures</a>.</p>',
        '<h2 id="summary">Summary</h2>',
        _html_table(_counts(record)),
        _html_unexpected(record),
        f"<details><summary>Parameters, seed and versions</summary>{_html_table(_run(record))}</details>",
        '<nav aria-labelledby="contents">\n<h2 id="contents">Contents</h2>',
        f"<ul>\n{_joined(contents)}\n</ul>\n</nav>\n<h2>Claims</h2>",
        *(_html_section(record, section) for section in sections),
    ]
    if _unchecked(record):
        parts.append(f'<p class="soft">Not checked in this run: {escape(_left_out(record))}.</p>')
    parts.append('<h2 id="wrong">Wrong theories</h2>')
    parts.append(f"<p>{escape(_PLANTED_ABOUT)}</p>\n{_html_table(planted)}" if planted else f"<p>{_NO_PLANTED}</p>")
    parts.append('<h2 id="words">Verdicts, symbols, figures</h2>')
    for heading, words in (("Verdicts", _VERDICTS), ("Symbols", _SYMBOLS), ("Reading the figures", _READING)):
        parts.append(f"<h3>{heading}</h3>\n{_definitions(words.items())}")
    parts.append("</main>\n</body>\n</html>")
    return _joined(parts) + "\n"


def _joined(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)


def _look(record: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]]) -> str:
    """How verdicts are coloured: undecided ones and those of which nothing was expected are open."""
    if _asked(record):
        return "open"
    missed = [verdict["verdict"] for verdict in verdicts if not verdict["as_expected"]]
    return "good" if not missed else "open" if set(missed) == {"undecided"} else "bad"


def _mark(record: Mapping[str, Any], verdicts: Sequence[Mapping[str, Any]], text: str) -> str:
    look = _look(record, verdicts)
    sign = {"good": "✓", "bad": "✗", "open": "?"}[look]
    return f'<b class="{look}"><span aria-hidden="true">{sign}</span> {escape(text)}</b>'


def _html_unexpected(record: Mapping[str, Any]) -> str:
    found = _unexpected(record)
    if not found:
        return ""
    lines = [
        f'<li><a href="#{s.anchor}">{escape(s.claim["id"])}</a> on {escape(_subject(v))}: {escape(v["verdict"])}</li>'
        for s, v in found
    ]
    return f"<p>Not as expected:</p>\n<ul>\n{_joined(lines)}\n</ul>"


def _html_section(record: Mapping[str, Any], section: _Section) -> str:
    claim = section.claim
    parts = [
        f'<section class="claim" id="{section.anchor}" aria-labelledby="{section.anchor}-name">',
        f'<h3 id="{section.anchor}-name">{escape(claim["id"])}</h3>\n<p>{_words(claim["statement"])}</p>',
    ]
    if claim.get("latex"):
        formula = mathml(claim["latex"]) or f"<code>{escape(claim['latex'])}</code>"
        parts.append(f'<div class="wide">{formula}</div>')
    parts.append(_definitions(section.facts))
    parts += [_html_verdict(record, verdict) for verdict in section.verdicts]
    return _joined([*parts, "</section>"])


def _html_verdict(record: Mapping[str, Any], verdict: Mapping[str, Any]) -> str:
    details = verdict.get("details", {})
    # Evidence is one sentence, at times a long one in parts.
    typed = [*record["parameters"].get("activations", ()), verdict["subject"]]
    own = not any(text in verdict["evidence"] for text in typed if text)
    said = [_formulas(part) if own else escape(part) for part in verdict["evidence"].split("; ")]
    shown = _mark(record, [verdict], _outcome(record, verdict))
    parts = [
        f'<article class="verdict {_look(record, [verdict])}">\n<h4>{escape(_subject(verdict))}: {shown}</h4>',
        f"<p>{said[0]}</p>" if len(said) == 1 else f"<ul>{''.join(f'<li>{part}</li>' for part in said)}</ul>",
        f"<p>{escape(_power(details))}</p>" if details.get("power") else "",
        _html_plot(details),
        _html_spectrum(details),
    ]
    figures = _figures(details)
    if figures:
        parts.append(f"<details><summary>The figures</summary>{_html_table(figures)}</details>")
    if _caveat(details):
        parts.append(f"<details><summary>What this cannot tell</summary><p>{escape(_caveat(details))}</p></details>")
    return _joined([*parts, "</article>"])


def _html_plot(details: Mapping[str, Any]) -> str:
    witnesses, ladder = Witnesses.of(details), None
    if witnesses is not None:
        plot, caption = witness_plot(witnesses), "Shaded: limits that count as 0. A diamond lies outside."
    else:
        ladder = Ladder.of(details)
        plot = ladder_plot(ladder) if ladder else ""
        caption = "Large dots: means with two standard errors. Small dots: single draws."
    return f"<figure>\n{plot}\n<figcaption>{caption}</figcaption>\n</figure>" if plot else ""


def _html_spectrum(details: Mapping[str, Any]) -> str:
    found = Spectrum.of(details)
    plot = spectrum_plot(found) if found else ""
    caption = "Eigenvalues of exact kernels under the predicted density. Below the axis: isolated eigenvalues."
    return f"<figure>\n{plot}\n<figcaption>{caption}</figcaption>\n</figure>" if plot else ""


#: Texts of the ledger itself, in which symbols may be recognised: what a user typed is shown as it was written.
_OWN = {text for claim in CLAIMS.values() for text in (claim.statement, claim.assumptions, claim.evidence)}
_OWN |= {*_SYMBOLS, *_SYMBOLS.values(), *_READING.values(), *_VERDICTS.values()}


def _words(text: str) -> str:
    """A text of the ledger with its symbols as formulas; any other text as it is."""
    return _formulas(text) if text in _OWN else escape(text)


def _formulas(text: str) -> str:
    """A sentence of the program with its symbols as MathML, as the claims' formulas are written."""
    found = []
    for formula, written in pieces(text):
        # Whole numbers need no formula.
        known = mathml(formula, display=False) if formula and not written.isdecimal() else None
        found.append(known or escape(written))
    return "".join(found)


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    found = "\n".join(f"<dt>{_words(name)}</dt><dd>{_words(meaning)}</dd>" for name, meaning in pairs)
    return f"<dl>\n{found}\n</dl>" if found else ""


def _html_table(table: _Table) -> str:
    """A table that scrolls by itself where it is wider than the page; its first column names the rows."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.headings)
    rows = [
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in table.rows
    ]
    label = escape(table.caption)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{label}">\n<table>\n<caption>{label}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{_joined(rows)}\n</tbody>\n</table>\n</div>"
    )
