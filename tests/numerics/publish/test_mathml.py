"""Formulas as MathML: those of the ledger keep their structure, and what is not understood is refused."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from numerics.publish.mathml import mathml
from theory.claims import CLAIMS


def visible(markup: str) -> str:
    """The symbols of a formula in reading order."""
    root = ElementTree.fromstring(markup)  # noqa: S314
    return "".join("".join(root[0][0].itertext()).split())


def test_nearly_all_formulas_of_the_ledger_are_converted() -> None:
    """A claim may be written in LaTeX that is not read yet: it is shown as it is."""
    left = [claim.identifier for claim in CLAIMS.values() if mathml(claim.latex) is None]
    assert len(left) <= len(CLAIMS) / 8, left


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_formulas_of_the_ledger_keep_their_structure(claim: Any) -> None:
    """Every script of the LaTeX becomes one of the MathML, and every fraction and root."""
    markup = mathml(claim.latex)
    if markup is None:
        pytest.skip("shown as LaTeX")
    root = ElementTree.fromstring(markup)  # noqa: S314
    count = {tag: sum(1 for _ in root.iter(tag)) for tag in ("msub", "msup", "msubsup", "munder", "mfrac", "msqrt")}
    primes = len(re.findall(r"'+(?!\^)", claim.latex))
    assert count["msub"] + count["msubsup"] + count["munder"] == claim.latex.count("_")
    assert count["msup"] + count["msubsup"] == claim.latex.count("^") + primes
    assert count["mfrac"] == claim.latex.count("frac")
    assert count["msqrt"] == claim.latex.count("sqrt")
    assert all(len(list(element)) == 3 for element in root.iter("msubsup"))
    assert root.findtext(".//annotation") == claim.latex


@pytest.mark.parametrize(
    ("latex", "symbols"),
    [
        (r"\tau_*^2 = \tfrac12\sigma_a^2", "τ∗2=12σa2"),
        (r"\|G_* - \bar G\| = \tilde O(p^{-1/2})", "‖G∗−G¯‖=O~(p−1/2)"),
        (r"\mathbb{E}[(\phi^2)''(\tau\xi)] < 1", "𝔼[(ϕ2)′′(τξ)]<1"),
        (r"\operatorname{tr} M \to 0 \text{ for } \|M\|_{\mathrm{tr}} \le 1", "trM→0for‖M‖tr≤1"),
        (r"U^\top U", "U⊤U"),
        (r"\tfrac1p\sum_i x_{ii}, a_{l-1,4}^2 + 12", "1p∑ixii,al−1,42+12"),
    ],
)
def test_formulas_say_what_the_latex_says(latex: str, symbols: str) -> None:
    assert visible(mathml(latex)) == symbols


def test_scripts_are_on_their_bases() -> None:
    root = ElementTree.fromstring(mathml(r"x_1^{23} + 12^4"))  # noqa: S314
    (both,), (power,) = root.iter("msubsup"), root.iter("msup")
    assert ["".join(part.itertext()) for part in both] == ["x", "1", "23"]
    assert ["".join(part.itertext()) for part in power] == ["12", "4"]


@pytest.mark.parametrize(
    "latex", [r"\oint x", r"\frac{1", "x_", "x_1_2", r"\text{a<b}", r"\mathbb{R}", "x}", r"\operatorname x", "α", "a&b"]
)
def test_what_is_not_understood_is_refused(latex: str) -> None:
    assert mathml(latex) is None
