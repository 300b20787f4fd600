"""Sentences of the program in LaTeX: what becomes a formula, and that nothing else reaches LaTeX unescaped."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylatexenc.latexwalker import LatexWalker

from numerics.publish.paper import words
from theory.claims import CLAIMS, planted_errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tau_* = 0.92 +- 4.9e-36, one root", r"$\tau_* = 0.92 \pm 4.9\cdot10^{-36}$, one root"),
        ("sigma_a^2 E[(phi^2)'']/2 < 1", r"$\sigma_a^2 \mathbb{E}[(\phi^2)'']/2 < 1$"),
        ("sigma_a^2 E[phi']^2 = 0.05", r"$\sigma_a^2 \mathbb{E}[\phi']^2 = 0.05$"),
        ("E[phi_0^2] for E[phi'^2]", r"$\mathbb{E}[\phi_0^2]$ for $\mathbb{E}[\phi'^2]$"),
        ("slope -0.5 [-0.6, 0.1] (95%)", r"slope $-0.5$ [$-0.6$, $0.1$] ($95\,\%$)"),
        ("over 200..800", r"over $200,\ldots,800$"),
        ("p^(-0.5) (A_0 + A_1 p^(-1/2))", r"$p^{-1/2} (A_0 + A_1 p^{-1/2})$"),
        ("errors are (A + B L) r^L to first order", r"errors are $(A + B L) r^L$ to first order"),
        ("class 1 x psi", r"class $1 \times \psi$"),
        ("class 1 x class 2", r"class $1 \;\times$ class $2$"),
        ("gamma_*^2 - tau_0^2 alpha_1", r"$\gamma_*^2 - \tau_0^2 \alpha_1$"),
        ("||G* - Gbar||", r"$\|G_* - \bar G\|$"),
        ("||C_a|| and ||mu_a||", r"$\|C_a\|$ and $\|\mu_a\|$"),
        ("tr(C_a° C_b°)/p", r"$\operatorname{tr}(C_a^\circ C_b^\circ)/p$"),
        ("x -> alpha_1 x", r"$x \to \alpha_1 x$"),
        ("x->x", r"$x\to x$"),
        ("coefficient of S +10 %", r"coefficient of $S$ $+10\,\%$"),
        ("d22 in alpha_4, d1^2", r"$d_{22}$ in $\alpha_4$, $d_1^2$"),
        ("K_recurrent when A and B are", r"$K_{\mathrm{recurrent}}$ when $A$ and $B$ are"),
        ("J/sqrt n", r"$J/\sqrt{n}$"),
        ("alpha1 and kappa2", r"$\alpha_1$ and $\kappa_*^2$"),
        ("A finite ladder, don't, x_1, alpha_beta, v1.2.3", r"A finite ladder, don't, x\_1, alpha\_beta, v1.2.3"),
        ("$ 5 $", r"\$ $5$ \$"),
        (r"\input{a} 50 % of a~b & #1", r"\textbackslash{}input\{a\} $50\,\%$ of a\~{}b \& \#$1$"),
    ],
)
def test_what_becomes_a_formula(text: str, expected: str) -> None:
    assert words.worded(text) == expected


def test_sentences_begin_with_a_capital_and_end_with_a_stop() -> None:
    assert words.sentence("a spike is seen") == "A spike is seen."
    assert words.sentence("tau_* is small.") == r"$\tau_*$ is small."
    assert words.sentence("") == ""


@given(st.text(max_size=200) | st.text(alphabet="$\\{}_^%&#~<>|' -+.=/()[]alphtup0123*xE", max_size=120))
def test_any_text_is_text(text: str) -> None:
    """Strictly parsed; outside formulas special characters are escaped, and formulas hold only what is made here."""
    found = words.worded(text)
    LatexWalker(found, tolerant_parsing=False).get_latex_nodes()
    pieces = re.split(r"(?<!\\)\$", found)
    assert len(pieces) % 2 == 1
    assert not re.search(r"(?<!\\)\$\$", found)
    plain, formulas = pieces[::2], pieces[1::2]
    for piece in plain:
        assert not re.search(r"(?<!\\)[%&#_$^~]", piece)
    known = r"\\(?:[,;%]|times|pm|cdot|to|ldots|bar|circ|sqrt|mathbb|mathrm|operatorname|\||" + words._GREEK + r")"
    for piece in formulas:
        assert not re.search(r"\\(to|pm|times|cdot|ldots|bar|psi|tau|phi)[A-Za-z]", piece), piece
        assert re.fullmatch(r"[\w\s()\[\]{}^/=+<>.,*'-]*", re.sub(known, "", piece)), piece


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.identifier)
def test_no_symbol_of_a_claim_is_left_in_words(claim: object) -> None:
    for text in (claim.statement, claim.assumptions, claim.evidence):  # type: ignore[attr-defined]
        _has_no_raw_symbol(words.worded(text))


def test_no_symbol_of_a_wrong_theory_is_left_in_words() -> None:
    for theory in planted_errors().values():
        _has_no_raw_symbol(words.worded(f"{theory.identifier}: {theory.description}"))


def _has_no_raw_symbol(latex: str) -> None:
    plain = re.sub(r"(?<!\\)\$[^$]*\$", "", latex)
    assert not re.search(r"\\_|\\\^|\d|\b(?:alpha|beta|gamma|kappa|lambda|sigma|tau|phi|psi)\b", plain), latex


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=4),
    st.sampled_from(["+.2e", ".1e", "+.3g", ".6f", "g", ".2f"]),
)
def test_numbers_keep_their_digits(values: list[float], form: str) -> None:
    texts = [f"{value:{form}}" for value in values]
    found = words.worded(", ".join(f"limit {text} of it" for text in texts))
    read = re.findall(r"limit \$(.*?)\$ of it", found)
    assert [re.sub(r"\\cdot10\^\{(-?\d+)\}", r"e\1", each) for each in read] == [
        re.sub(r"e([+-]\d+)", lambda power: f"e{int(power[1])}", text) for text in texts
    ]
