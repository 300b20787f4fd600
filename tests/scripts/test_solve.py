"""scripts/solve.py as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.scripts.conftest import Script, command_module

KEYS = ["tau", "bias", "gamma2", "alpha1", "alpha2", "alpha3", "alpha4", "beta1", "beta2", "beta3", "kappa2"]


def test_json_on_standard_output(script: Script) -> None:
    done = script(
        "solve",
        *("--activation", "tanh(x)", "--sigma-a2", "0.2", "--sigma-b2", "0.8", "--tau0", "1"),
        *("--digits", "40", "--json", "-"),
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["tau"] == "0.9348716109247727457832235763229701024281"
    assert record["alpha1"].startswith("0.344987632659798712080705117")
    assert record["sigma_a2"] == "1/5"
    assert all(isinstance(record[key], str) for key in KEYS)
    assert record["status"] == "ok"
    assert all(record["certified"].values())
    assert record["followed"] is True
    assert all(float(radius) < 1e-40 for radius in record["radius"].values())
    assert set(record["margins"]) == {"tau", "ck", "ntk"}
    assert record["versions"]["sympy"]


_CK_ROWS = ["τ*", "E[φ₀(τ*ξ)]", "γ*²", "α₁", "α₂", "α₃", "α₄"]
_MARGIN_ROWS = ["σa² E[(φ²)″]/2", "σa² E[φ′]²", "σa² E[φ′²]"]


def _rows(shown: str) -> dict[str, list[str]]:
    """The table's rows by their first column, without the lines above and below it and those that go on."""
    cells = (re.split(r"\s{2,}", line) for line in shown.splitlines()[1:])
    return {first: rest for first, *rest in cells if first and len(rest) == 2}


def test_table(script: Script) -> None:
    done = script("solve", "--activation", "leaky_relu", "--parameter", "a=1/10")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = _rows(done.stdout)
    assert list(rows) == [*_CK_ROWS, "β₁", "β₂", "β₃", "κ*²", *_MARGIN_ROWS]
    # E[phi'] = (1 + 1/10)/2.
    assert float(rows["α₁"][0]) == pytest.approx(0.55**2 * 0.8 / (1 - 0.2 * 0.55**2), rel=1e-14)
    assert [rows[name][1] for name in _MARGIN_ROWS] == ["must be below 1"] * 3


def test_a_name_and_its_expression_give_the_same_numbers(script: Script) -> None:
    outputs = [script("solve", "--activation", text, "--json", "-").stdout for text in ("relu", "Max(x, 0)")]
    first, second = map(json.loads, outputs)
    assert [first[key] for key in KEYS] == [second[key] for key in KEYS]


def test_what_is_not_certified_says_so(script: Script) -> None:
    done = script("solve", "--activation", "x*log(Abs(x))")
    assert done.returncode == 0, done.stderr
    assert "UNPROVED" in done.stdout
    assert "not certified: the integral" in done.stdout


def test_no_ntk_for_a_jump(script: Script) -> None:
    record = json.loads(script("solve", "--activation", "sign", "--json", "-").stdout)
    assert record["alpha1"] is not None
    assert record["kappa2"] is None
    assert "infinite" in record["status"]


def test_all_equilibria(script: Script) -> None:
    arguments = ("--activation", "5*sigmoid(20*x - 40)", "--sigma-a2", "1", "--sigma-b2", "1/2", "--all-equilibria")
    record = json.loads(script("solve", *arguments, "--digits", "20", "--json", "-").stdout)
    roots = record["equilibria"]
    assert [root["stable"] for root in roots] == [True, False, True]
    assert [root["followed"] for root in roots] == [True, False, False]
    assert roots[0]["tau"] == record["tau"]
    assert all(float(root["radius"]) < 1e-20 for root in roots)
    assert record["equilibria_complete"]
    shown = script("solve", *arguments).stdout
    assert "unstable" in shown
    assert "these are all, with proof" in shown


def test_all_equilibria_answers_where_none_is_reached(script: Script) -> None:
    done = script("solve", "--activation", "cubic", "--sigma-a2", "0.3", "--all-equilibria", "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["equilibria"] == []
    assert record["tau"] is None
    assert "no stable equilibrium" in record["status"]
    assert script("solve", "--activation", "cubic", "--sigma-a2", "0.3").returncode == 2


@pytest.mark.parametrize(
    ("kind", "ntk"),
    [
        ("recurrent", ["β₁", "β₂", "β₃", "κ*²"]),
        ("preactivation", ["η₁", "η₂", "η₃", "η diagonal"]),
        ("all", ["θ₁", "θ₂", "θ₃", "θ diagonal"]),
    ],
)
def test_the_ntk_and_the_form_are_chosen(script: Script, kind: str, ntk: list[str]) -> None:
    rows = _rows(script("solve", "--activation", "relu", "--ntk", kind, "--form", "pre").stdout)
    assert list(rows) == [*_CK_ROWS[:3], "λ₁", "λ₂", "λ₃", "α₄", *ntk, *_MARGIN_ROWS]
    assert float(rows["λ₁"][0]) == pytest.approx(0.8 / (1 - 0.2 / 4), rel=1e-14)


def test_without_proof_the_digits_are_the_same_and_marked(script: Script) -> None:
    proved = json.loads(script("solve", "--activation", "swish", "--digits", "25", "--json", "-").stdout)
    plain = json.loads(script("solve", "--activation", "swish", "--digits", "25", "--no-certify", "--json", "-").stdout)
    assert [plain[key] for key in KEYS] == [proved[key] for key in KEYS]
    assert not any(plain["certified"].values())
    assert plain["radius"] == {}


def test_sweep(script: Script, tmp_path: Path) -> None:
    sweep = ("--activation", "cubic", "--sweep", "sigma-a2=0:0.4:5", "--digits", "20")
    done = script("solve", *sweep, "--json", "s.json", "--plot", "s.png")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "s.json").read_text())
    assert [row["value"] for row in record["sweep"]] == ["0", "1/10", "1/5", "3/10", "2/5"]
    assert [row["stable"] for row in record["sweep"]] == [True, True, True, False, False]
    assert all(row["certified"] for row in record["sweep"][:3])
    single = json.loads(script("solve", "--activation", "cubic", "--digits", "20", "--json", "-").stdout)
    assert [record["sweep"][2][key] for key in KEYS] == [single[key] for key in KEYS]
    loss = record["stability_loss"]
    assert loss["kind"] == "fold"
    assert loss["certified"]
    assert 0.2 < float(loss["sigma_a2"]) < 0.3
    assert len(loss["sigma_a2"]) == 22
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert "stability" in done.stdout


def test_a_sweep_is_drawn_with_axes_and_a_symbol_for_each_coefficient(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    solve, shown = command_module("solve"), list[Any]()
    monkeypatch.setattr(solve._sweep._figures, "write_figure", lambda _, figure: shown.append(figure))
    line = ["--activation", "cubic", "--sweep", "sigma-a2=0:0.4:5", "--no-certify", "--plot", str(tmp_path / "a.png")]
    assert solve.main(line) == 0
    (figure,) = shown
    assert [axes.get_ylabel() for axes in figure.axes] == [
        r"$\tau_*$", r"$\alpha_{*,1}$", r"$\alpha_{*,2}$", r"$\alpha_{*,3}$", r"$\gamma_*^2$",
        r"$\beta_{*,1}$", r"$\beta_{*,2}$", r"$\beta_{*,3}$", r"$\kappa_*^2$",
    ]  # fmt: skip
    assert {axes.get_xlabel() for axes in figure.axes} == {"", r"$\sigma_a^2$"}
    for words in ("stability is lost", r"$\sigma_b^2 = 4/5$", r"$\tau_0 = 1$", "5 points", "deqverify"):
        assert words in figure.get_supxlabel()


def test_a_sweep_says_where_the_ntk_is_lost(script: Script) -> None:
    """ReLU: E[phi'^2] = 1/2, so at sigma_a^2 = 2; the equilibrium goes on to 2 pi/(pi - 1)."""
    sweep = ("--activation", "relu", "--sweep", "sigma-a2=1.5:3.5:3")
    record = json.loads(script("solve", *sweep, "--json", "-").stdout)
    assert record["ntk_loss"]["kind"] == "ntk"
    assert float(record["ntk_loss"]["sigma_a2"]) == 2
    assert record["ntk_loss"]["certified"]
    done = script("solve", *sweep)
    shown = " ".join(done.stdout.split())
    assert "loss of the NTK at σa² = 2.00000000000000" in shown
    assert "networks of finite width stop converging" in shown
    assert "1 of 3 points without NTK (-): sigma_a^2 E[phi'^2] = 1.25 is not below 1" in shown


def test_margins_next_to_one_are_told_from_one(script: Script) -> None:
    exactly = script("solve", "--activation", "relu", "--sigma-a2", "2").stdout
    below = script("solve", "--activation", "relu", "--sigma-a2", "1.9999999999").stdout
    assert _rows(below)["σa² E[φ′²]"][0] == "1 - 5.0e-11"
    assert _rows(exactly)["σa² E[φ′²]"][0] == "1"
    assert "= 1 is not below 1" in exactly


def test_a_sweep_shows_the_digits_that_were_asked_for(script: Script) -> None:
    """Though the terminal is narrower than they are."""
    sweep = ("--activation", "tanh", "--sweep", "tau0=1:2:2", "--digits", "120")
    record = json.loads(script("solve", *sweep, "--json", "-").stdout)
    shown = script("solve", *sweep).stdout
    for row in record["sweep"]:
        for key in ("tau", "alpha1", "gamma2", "beta1", "kappa2"):
            assert len(row[key]) >= 121
            assert row[key] in shown


def test_a_sweep_without_proof_is_right_where_quadrature_is_not(script: Script) -> None:
    """Of the cases file: 70-digit adaptive Gauss-Legendre."""
    sweep = ("--activation", "sqrt((x-0.3)**2+1e-8)", "--sweep", "tau0=1:2:2", "--no-certify", "--json", "-")
    rows = json.loads(script("solve", *sweep).stdout)["sweep"]
    assert [float(row["alpha1"]) for row in rows] == pytest.approx([0.0515950, 0.0131850], abs=6e-8)


def test_sweep_in_float64_agrees_and_says_so(script: Script) -> None:
    sweep = ("--activation", "tanh", "--sigma-b2", "tied", "--sweep", "sigma-a2=0:0.9:4", "--json", "-")
    proved = json.loads(script("solve", *sweep).stdout)["sweep"]
    plain = json.loads(script("solve", *sweep, "--no-certify").stdout)["sweep"]
    assert [row["sigma_b2"] for row in plain] == ["1", "7/10", "2/5", "1/10"]
    for first, second in zip(proved, plain, strict=True):
        assert first["certified"]
        assert not second["certified"]
        for key in KEYS:
            assert float(first[key]) == pytest.approx(float(second[key]), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("name", ["tau0=1/2:2:3", "sigma-b2=0.5:1.5:3"])
def test_other_parameters_can_be_swept(script: Script, name: str) -> None:
    record = json.loads(script("solve", "--activation", "relu", "--sweep", name, "--json", "-").stdout)
    # ReLU is homogeneous: tau_*^2 is proportional to sigma_b^2 tau_0^2.
    scales = [float(row["tau"]) for row in record["sweep"]]
    if name.startswith("tau0"):
        assert scales[1] / scales[0] == pytest.approx(2.5)
    else:
        assert (scales[1] / scales[0]) ** 2 == pytest.approx(2)
    assert record["stability_loss"] is None


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--activation", "relu", "--sweep", "alpha=0:1:5"), "sigma-a2"),
        (("--activation", "relu", "--sweep", "sigma-a2=0:1"), "START:STOP:POINTS"),
        (("--activation", "relu", "--sweep", "sigma-a2=0:1:1"), "from 2"),
        (("--activation", "relu", "--sweep", "sigma-a2=1:1:5"), "different"),
        (("--activation", "relu", "--sweep", "sigma-a2=0:x:5"), "x"),
        (("--activation", "relu", "--sweep", "sigma-b2=1:2:3", "--sigma-b2", "tied"), "exclude"),
        (("--activation", "relu", "--sweep", "tau0=1:2:3", "--all-equilibria"), "exclude"),
        (("--activation", "relu", "--plot", "a.png"), "--sweep"),
        (("--activation", "relu", "--sweep", "tau0=1:2:3", "--plot", "a.doc"), ".png"),
        (("--activation", "relu", "--sweep", "tau0=1:2:3", "--plot", "missing/a.png"), "does not exist"),
        (("--activation", "relu", "--ntk", "none"), "recurrent"),
        (("--activation", "relux"), "relu"),
        (("--activation", "tanh("), "column"),
        (("--activation", "1/x"), "pole"),
        (("--activation", "sqrt(x)"), "not real"),
        (("--activation", "exp(x**4)"), "grows faster"),
        (("--activation", "__import__('os')"), "column"),
        (("--activation", "relu", "--sigma-a2", "-0.2"), ">= 0"),
        (("--activation", "relu", "--sigma-a2", "abc"), "sigma-a2"),
        (("--activation", "relu", "--sigma-b2", "0"), "> 0"),
        (("--activation", "relu", "--tau0", "0"), "> 0"),
        (("--activation", "relu", "--tau0", "-1"), "> 0"),
        (("--activation", "relu", "--digits", "0"), "from 1 to 1000"),
        (("--activation", "relu", "--digits", "2.5"), "from 1 to 1000"),
        (("--activation", "relu", "--sigma-a2", "9"), "no stable equilibrium"),
        (("--activation", "relu", "--parameter", "a=1"), "no parameter"),
        (("--activation", "hard_tanh", "--parameter", "c=-1"), "positive"),
        (("--activation", "relu", "--json", "missing/out.json"), "does not exist"),
        ((), "--activation"),
        (("--activation", "relu", "--bogus"), "--bogus"),
    ],
)
def test_bad_use_is_one_sentence_and_code_2(
    script: Script, tmp_path: Path, arguments: tuple[str, ...], word: str
) -> None:
    done = script("solve", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert word in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert list(tmp_path.glob("**/*.json")) == []


def test_a_margin_shows_only_what_is_proved(script: Script) -> None:
    """With sin(20 xi tau) the slope is of the order exp(-720): its ball has no digit."""
    done = script("solve", "--activation", "sin(20*x)", "--json", "-")
    assert done.returncode == 0, done.stderr
    assert float(json.loads(done.stdout)["margins"]["tau"]) == 0
