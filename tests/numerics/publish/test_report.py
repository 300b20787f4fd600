"""The reports on a run of the ledger: complete, self-contained, harmless, and plots that show the numbers."""

from __future__ import annotations

import json
import math
import re
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

import numerics.publish.report
import numerics.publish.svg
from numerics.publish.paper.words import pieces
from theory.claims import CLAIMS, VerdictKind

HOSTILE = 'Piecewise((x, x > 0), (exp(x) - 1, x <= 0))"><script>alert(1)</script> | `a` *b* _c_ [d](e) $f$ \\ & <g>'
SIZES = [100, 200, 400, 800]
NAMES = ["I", "S", "class 1 x psi"]
VOID = {"meta", "br", "hr", "img", "input", "link", "circle", "rect", "path", "polyline", "polygon", "mspace"}


@pytest.fixture
def report() -> ModuleType:
    return numerics.publish.report


@pytest.fixture
def plots() -> ModuleType:
    return numerics.publish.svg


def ladder(scale: float = 3.0, **changes: Any) -> dict[str, Any]:
    """Errors whose means are exactly scale p^(-1/2)."""
    errors = [[scale * p**-0.5 * factor for factor in (0.9, 1.0, 1.1)] for p in SIZES]
    found = {"symbol": "p", "sizes": SIZES, "errors": errors, "slope": -0.5, "slope_interval": [-0.6, -0.4]}
    return found | {"amplitudes": [scale, 0.5], "limits": "nothing is said beyond p = 800"} | changes


def witnesses(**changes: Any) -> dict[str, Any]:
    """One limit of -1, one of +3 and one of +6 standard errors."""
    found = {"witnesses": NAMES, "limits": [-0.1, 0.6, 0.12], "errors": [0.1, 0.2, 0.02], "critical": 4.0}
    power = {"linear": 0.085, "variance": None, "diagonal": 1.5}
    return found | {"level": 0.001, "power": power, "unknown": [1, 2]} | changes


def verdict(claim: str, subject: str, kind: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    expected = claim in CLAIMS and CLAIMS[claim].expected.value == kind
    evidence = f"evidence on {claim}; and more of it"
    return {"claim": claim, "subject": subject, "verdict": kind, "as_expected": expected, "evidence": evidence} | (
        {} if details is None else {"details": details}
    )


def make(**changes: Any) -> dict[str, Any]:
    """A record as verify.py makes it, with every kind of verdict and of details."""
    claims = [
        {"id": claim.identifier, "expected": claim.expected.value}
        | {key: getattr(claim, key) for key in ("statement", "latex", "assumptions", "source", "evidence")}
        for claim in CLAIMS.values()
    ]
    planted = [
        {"id": "alpha_3 | negative", "kernel": "ck", "description": "sign", "refuted": True}
        | {"witness": "I", "score": 11.25, "detectable": 0.41},
        {"id": "no change", "kernel": "ck", "description": "none", "refuted": False}
        | {"witness": "S", "score": -1.0, "detectable": None},
    ]
    verdicts = [
        verdict("equilibrium", "relu", "certified", {"tau": "0.92"}),
        verdict("forms", "any activation", "derived", {}),
        verdict("ck-rate", "relu", "supported", ladder()),
        verdict("ck-rate", HOSTILE, "refuted", ladder(2.0, amplitudes=[-1.0, 0.1])),
        verdict("ck", "relu", "supported", witnesses()),
        verdict("finite-width", "", "undecided"),
        verdict("variant-centred-T", "relu", "refuted", witnesses(power={})),
    ]
    parameters = {"profile": {"name": "quick", "witness_sizes": [200, 400]}, "sigma_a2": "1/5", "variant": None}
    record = {"status": "a claim does not stand as expected", "as_expected": False, "parameters": parameters}
    record |= {"claims": claims, "verdicts": verdicts, "planted": planted}
    return record | {"seed": 7, "versions": {"python": "3.11.0", "scipy": None}} | changes


class Page(HTMLParser):
    """Reads a page, complains about tags that do not close, and keeps what the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self.open[-1:] != ["style"] else ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_closes_its_tags_and_its_links_lead_somewhere(report: ModuleType) -> None:
    page = Page(report.html_report(make()))
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    targets = [str(attributes["href"]) for attributes in page.all("a")]
    assert len(targets) > 8
    assert {target.removeprefix("#") for target in targets} <= set(names)
    labels = {str(a["aria-labelledby"]) for _, a in page.tags if "aria-labelledby" in a}
    assert labels <= set(names)
    assert page.all("html") == [{"lang": "en"}]
    assert all(a.get("role") == "img" and a.get("aria-label") for a in page.all("svg"))


def test_the_page_needs_nothing_else(report: ModuleType) -> None:
    text = report.html_report(make())
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "image", "use", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?:|//|@import|url\(|@font-face|\bon[a-z]+=|\ssrc=", text)


def test_every_part_of_the_record_is_shown(report: ModuleType) -> None:
    page = Page(report.html_report(make()))
    seen = " ".join(page.text.split())
    for section in ("equilibrium", "forms", "ck-rate", "ck", "finite-width", "variant-centred-T"):
        claim = CLAIMS[section]
        for words in (claim.identifier, claim.statement, claim.assumptions, claim.source, claim.evidence):
            # Symbols are formulas, whose letters have no spaces between them.
            assert all(" ".join(part.split()) in seen for formula, part in pieces(words) if not formula)
        assert f"evidence on {section}" in seen
    for words in ("and more of it", "refuted, as expected", "refuted, not as expected", "1 of 2 refuted"):
        assert words in seen
    for words in ("+11.2", "41 %", "not seen by this check", "not refuted", "nothing is said beyond p = 800"):
        assert words in seen
    assert "linear 8.5 %, diagonal 150 %. Here 0 whatever its factor: variance." in seen
    assert "seed7" in seen
    assert "version of scipynot installed" in seen
    assert "Not checked in this run: stability" in seen


def test_symbols_have_one_spelling(report: ModuleType) -> None:
    """What the console writes as sigma_a^2 is a formula on the page, in claims and in evidence, and not beside it."""
    one = verdict("equilibrium", "relu", "certified", {})
    one["evidence"] = "sigma_a^2 E[phi']^2 = 0.05 is below 1 at tau_*"
    page = Page(report.html_report(make(verdicts=[one], planted=[])))
    text = re.sub(r"\\[^ ]*", "", page.text)
    for spelling in ("sigma_a^2", "tau_0", "tau_*", "phi_0", "phi'"):
        assert spelling not in text.replace("sigma_a^2 Var", "")
    assert "σ" in text
    assert "0.05" in text


def spectrum() -> dict[str, Any]:
    """Four bins, the second twice as high as predicted."""
    return {"p": 80, "draws": 2, "walls": [0.0, 0.5, 1.0, 1.5, 2.0], "measured": [0.5, 1.0, 0.3, 0.0]} | {
        "predicted": [0.5, 0.5, 0.5, 0.4],
        "isolated": [2.9, 3.1],
        "outliers": [3.0],
    }


def test_a_spectrum_is_drawn_to_scale(report: ModuleType, plots: ModuleType) -> None:
    svg = plots.spectrum_plot(plots.Spectrum.of({"spectrum": spectrum()}))
    root = ElementTree.fromstring(svg)  # noqa: S314
    bars = [e.attrib for e in root if e.attrib.get("class") == "bin"][1:]  # the first is the legend's
    heights = [float(bar["height"]) for bar in bars]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert heights[3] == 0
    line = points(svg, "step")
    assert line[1][1] == pytest.approx(float(bars[0]["y"]), abs=0.1)
    assert line[3][1] == pytest.approx(line[1][1], abs=0.1)
    (legend_dot, first, second), scale = points(svg, "point"), (float(bars[1]["x"]) - float(bars[0]["x"])) / 0.5
    assert legend_dot[1] < line[1][1]
    assert second[0] - first[0] == pytest.approx(0.2 * scale, abs=0.3)
    assert all(y > float(bars[0]["y"]) + heights[0] for _, y in (first, second))  # below the axis
    page = Page(
        report.html_report(make(verdicts=[verdict("bulk", "relu", "supported", witnesses(spectrum=spectrum()))]))
    )
    assert len(page.all("svg")) == 2
    with pytest.raises(ValueError, match="walls"):
        plots.Spectrum.of({"spectrum": spectrum() | {"walls": [0.0, 1.0]}})


def test_the_summary_counts(report: ModuleType) -> None:
    for text in (report.html_report(make()), report.markdown_report(make())):
        rows = re.findall(
            r"(?:\| |row\">)(\w+)(?: \| |</th><td>)(\d)(?: \| |</td><td>)(\d)(?: \| |</td><td>)(\d)", text
        )
        assert {row[0]: tuple(row[1:]) for row in rows if row[0] in report._VERDICTS} == {
            "derived": ("1", "1", "0"),
            "certified": ("1", "1", "0"),
            "supported": ("2", "2", "0"),
            "refuted": ("2", "1", "1"),
            "undecided": ("1", "0", "1"),
        }


def test_colours_follow_the_expectation(report: ModuleType) -> None:
    """A refutation that was expected is good news, and one that was not is bad."""
    found = [str(a["class"]).split()[1] for a in Page(report.html_report(make())).all("article")]
    assert found == ["good", "good", "good", "bad", "good", "open", "good"]


def test_what_a_user_typed_is_text(report: ModuleType) -> None:
    """Wherever it stands: on the page it is read as it was written, and in Markdown it opens no tag."""
    record = make(status=HOSTILE, versions={HOSTILE: HOSTILE})
    record["parameters"]["activations"] = [HOSTILE]
    record["claims"][0] |= dict.fromkeys(("statement", "assumptions", "source", "evidence", "latex"), HOSTILE)
    record["planted"][0] |= dict.fromkeys(("id", "kernel", "description", "witness"), HOSTILE)
    details = ladder(symbol=HOSTILE, limits=HOSTILE, power={HOSTILE: 0.1})
    record["verdicts"] += [
        verdict("ck-rate", HOSTILE, "supported", details) | {"evidence": f"{HOSTILE}; {HOSTILE}"},
        verdict("ck", HOSTILE, "supported", witnesses(witnesses=[HOSTILE] * 3)) | {"evidence": HOSTILE},
        verdict(HOSTILE, HOSTILE, "supported", {}),
    ]
    page = Page(report.html_report(record))
    assert not page.all("script")
    assert not page.all("g")
    assert page.text.count(HOSTILE) == page.text.count("alert(1)") >= 30  # nowhere cut, nowhere escaped twice
    written = re.sub(r"```math.*?```", "", report.markdown_report(record), flags=re.DOTALL)
    assert "<script" not in written
    assert set(re.findall(r"<\w+", written)) == {"<a"}


def test_every_kind_of_verdict_is_explained(report: ModuleType) -> None:
    seen = Page(report.html_report(make())).text
    terms = seen[seen.index("Verdicts, symbols, figures") :]
    assert all(f"\n{kind.value}" in terms for kind in VerdictKind)


def test_the_same_record_gives_the_same_bytes(report: ModuleType) -> None:
    """Before and after it has been a file."""
    record = make()
    again = json.loads(json.dumps(record))
    assert report.html_report(record) == report.html_report(record) == report.html_report(again)
    assert report.markdown_report(record) == report.markdown_report(again)


@pytest.mark.parametrize("form", ["html_report", "markdown_report"])
def test_a_variant_that_the_ledger_does_not_have(report: ModuleType, form: str) -> None:
    """Nothing is expected of it, and its description stands for the statement."""
    details = witnesses(description="alpha_3 has the wrong sign", source="a code")
    one = verdict("variant-alpha_3 negative", "relu", "refuted", details)
    record = make(verdicts=[one], planted=[], status="alpha_3 negative: refuted")
    record["parameters"]["variant"] = "alpha_3 negative"
    text = re.sub(r"\\(.)", r"\1", unescape(getattr(report, form)(record)))
    assert "alpha_3 has the wrong sign" in text
    assert "variant-alpha_3 negative" in text
    assert "not as expected" not in text
    assert "The wrong theories were not tried" in text


@pytest.mark.parametrize("form", ["html_report", "markdown_report"])
def test_a_record_of_the_least(report: ModuleType, form: str) -> None:
    assert "0" in getattr(report, form)(make(verdicts=[], planted=[], claims=[], versions={}))


def test_colours_can_be_read(report: ModuleType) -> None:
    """WCAG's contrast: 4.5 for text, 3 for what is drawn, in both styles."""
    light, dark = (
        dict(re.findall(r"--(\w+): #(\w{6})", part)) for part in report.html_report(make()).split("@media")[:2]
    )
    assert light.keys() == dark.keys()

    def luminance(colour: str) -> float:
        parts = (int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for style in (light, dark):
        for ground in ("page", "panel"):
            for name, least in (
                *((name, 4.5) for name in ("text", "soft", "link", "good", "bad", "open")),
                *((name, 3.0) for name in ("blue", "orange", "green")),
            ):
                bright, dim = sorted((luminance(style[name]), luminance(style[ground])), reverse=True)
                assert (bright + 0.05) / (dim + 0.05) >= least, (name, ground)


# --- Markdown ------------------------------------------------------------------------------------------------------


def test_markdown_tables_have_all_their_cells(report: ModuleType) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", report.markdown_report(make()), re.MULTILINE)
    assert len(tables) == 7
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert r"alpha\_3 \| negative" in tables[-1]


def test_markdown_links_lead_somewhere(report: ModuleType) -> None:
    text = report.markdown_report(make())
    anchors = set(re.findall(r'<a id="([^"]+)">', text))
    anchors |= {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^## (.*)", text, re.M)}
    targets = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert len(targets) == 8
    assert targets <= anchors


# --- plots ---------------------------------------------------------------------------------------------------------


def points(svg: str, kind: str) -> list[tuple[float, float]]:
    """Coordinates of circles, or of the corners of a line, of a class."""
    root = ElementTree.fromstring(svg)  # noqa: S314
    circles = [
        (float(e.attrib["cx"]), float(e.attrib["cy"]))
        for e in root
        if e.attrib.get("class") == kind and "cx" in e.attrib
    ]
    corners = [e.attrib["points"].split() for e in root if e.attrib.get("class") == kind and "points" in e.attrib]
    return circles or [(float(x), float(y)) for x, y in (pair.split(",") for line in corners for pair in line)]


def test_a_power_law_is_a_line_on_the_guide(plots: ModuleType) -> None:
    svg = plots.ladder_plot(plots.Ladder.of(ladder()))
    means, guide, fit = (points(svg, kind) for kind in ("point", "guide", "fit"))
    assert len(means) == len(SIZES)
    steps = [b[0] - a[0] for a, b in pairwise(means)]
    assert max(steps) - min(steps) <= 0.2  # sizes double, and the axis is logarithmic
    (x0, y0), (x1, y1) = guide
    assert y1 > y0 + 50  # downwards
    assert fit == guide
    for x, y in means:
        assert y == pytest.approx(y0 + (y1 - y0) * (x - x0) / (x1 - x0), abs=0.2)


def test_the_lines_have_the_slopes_that_they_are_named_after(plots: ModuleType) -> None:
    errors = [[2 * p**-0.8] * 2 for p in SIZES]
    svg = plots.ladder_plot(plots.Ladder.of(ladder(errors=errors, slope=-0.8, amplitudes=[1.0, 40.0])))
    fall = {kind: points(svg, kind)[-1][1] - points(svg, kind)[0][1] for kind in ("point", "guide", "fit")}
    assert fall["fit"] == pytest.approx(fall["point"], abs=0.2)
    assert fall["guide"] / fall["fit"] == pytest.approx(0.5 / 0.8, abs=0.01)
    unit = fall["fit"] / (0.8 * math.log(8))
    law = points(svg, "law")
    values = [(1 + 40 * p**-0.5) * p**-0.5 for p in (SIZES[0], SIZES[-1])]
    assert (law[-1][1] - law[0][1]) / unit == pytest.approx(math.log(values[0] / values[1]), abs=0.01)
    assert "slope −0.80 [−0.60, −0.40]" in svg


@pytest.mark.parametrize(
    "changes",
    [{"errors": [[0.0, 0.0]] * 4}, {"sizes": SIZES[:1], "errors": [[1.0, 2.0]]}],
    ids=["equal kernels", "one size"],
)
def test_no_plot_where_there_are_no_logarithms(report: ModuleType, plots: ModuleType, changes: dict[str, Any]) -> None:
    details = ladder(**changes)
    assert plots.ladder_plot(plots.Ladder.of(details)) == ""
    page = Page(report.html_report(make(verdicts=[verdict("ck-rate", "x", "supported", details)])))
    assert not page.all("svg")
    assert "Errors" in page.text


@pytest.mark.parametrize("missing", ["slope", "slope_interval", "amplitudes", "symbol", "limits"])
def test_a_plot_does_without(report: ModuleType, missing: str) -> None:
    details = {key: value for key, value in ladder().items() if key != missing}
    page = Page(report.html_report(make(verdicts=[verdict("ck-rate", "x", "supported", details)])))
    assert len(page.all("svg")) == 1
    expected = {"guide", "fit", "law"} - {{"slope": "fit", "amplitudes": "law"}.get(missing, "")}
    assert {a["class"] for a in page.all("polyline")} == expected


@pytest.mark.parametrize("scale", [1e-15, 0.15, 1.0, 3e5])
@pytest.mark.parametrize("spread", [1e-3, 0.2, 0.3, 1.0, 12.0])
def test_axes_name_a_few_round_numbers(plots: ModuleType, scale: float, spread: float) -> None:
    """Three at least, all different and in place, over no less than 0.4 of the axis."""
    errors = [[scale * math.exp(-spread * k)] * 2 for k in range(4)]
    svg = plots.ladder_plot(plots.Ladder.of(ladder(errors=errors, slope=None, amplitudes=[])))
    root = ElementTree.fromstring(svg)  # noqa: S314
    shown = [e for e in root if e.tag == "text" and e.attrib["text-anchor"] == "end"]
    values, heights = [float(str(e.text)) for e in shown], [float(e.attrib["y"]) - 4 for e in shown]
    assert 3 <= len(values) <= 18
    assert len(set(values)) == len(values)
    assert max(heights) - min(heights) >= 0.4 * 220
    (start, *_, last), (left, right) = ([y for _, y in points(svg, kind)] for kind in ("point", "guide"))
    unit = (last - start + right - left) / (3 * spread + 0.5 * math.log(8))
    middle = scale * math.exp(-1.5 * spread)
    for value, height in zip(values, heights, strict=True):
        assert height == pytest.approx((left + right) / 2 + unit * math.log(middle / value), abs=0.5)


def test_witnesses_stand_at_their_scores(plots: ModuleType) -> None:
    """-1, +3 and +6 standard errors on a linear axis; the last alone is beyond the critical 4, a diamond."""
    svg = plots.witness_plot(plots.Witnesses.of(witnesses()))
    (first, second), outside = points(svg, "point"), points(svg, "outside")
    assert len(outside) == 4
    unit = (second[0] - first[0]) / 4
    middle = sum(x for x, _ in outside) / 4
    assert (middle - second[0]) / unit == pytest.approx(3, abs=0.02)
    root = ElementTree.fromstring(svg)  # noqa: S314
    band = next(e for e in root if e.attrib.get("class") == "band")
    assert float(band.attrib["width"]) / unit == pytest.approx(8, abs=0.03)
    assert float(band.attrib["x"]) + float(band.attrib["width"]) / 2 == pytest.approx(first[0] + unit, abs=0.2)
    assert "I −1.0, S +3.0, class 1 x psi +6.0" in root.attrib["aria-label"]


def test_witnesses_without_scatter(report: ModuleType) -> None:
    """An infinite score has no place on an axis; the figures still say it."""
    page = Page(report.html_report(make(verdicts=[verdict("ck", "x", "refuted", witnesses(errors=[0.0, 0.2, 0.02]))])))
    assert not page.all("svg")
    assert "-inf" in page.text


def test_details_that_do_not_fit_together_are_refused(plots: ModuleType) -> None:
    with pytest.raises(ValueError, match="3 sizes but 4 rows"):
        plots.Ladder.of(ladder(sizes=SIZES[:3]))
    with pytest.raises(ValueError, match="differ in number: 3, 2, 3"):
        plots.Witnesses.of(witnesses(limits=[1.0, 2.0]))


@pytest.mark.parametrize("latex", [r"\oint x", r"\text{a<b}", "a&b"])
def test_what_is_not_understood_is_left_as_latex(report: ModuleType, latex: str) -> None:
    record = make()
    record["claims"][0]["latex"] = latex
    assert latex in Page(report.html_report(record)).text


def test_a_described_deq_has_a_row_for_each_of_its_parts(report: ModuleType) -> None:
    """And none for the weights of one state, which play no part."""
    states = [{"activation": name, "sigma_b2": "1/2", "sigma_c2": "0", "centred": True} for name in ("relu", "tanh")]
    deq = {"tau0": "1", "readout": 1, "sigma_a2": [["1/5", "3/10"], ["1/2", "0"]], "states": states}
    record = make()
    record["parameters"] = record["parameters"] | {"sigma_a2": "1/5", "sigma_b2": "4/5", "deq": deq}
    text = report.markdown_report(record)
    assert "| state 1 | activation: tanh; sigma\\_b2: 1/2; sigma\\_c2: 0; centred: True |" in text
    assert "| sigma\\_a2 into state 0 | 1/5, 3/10 |" in text
    assert "| read out | state 1 |" in text
    assert "4/5" not in text
