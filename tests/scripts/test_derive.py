"""scripts/derive.py as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pylatexenc.latexwalker import LatexWalker

from tests.latex_checks import check_conditions, check_constants, check_moments, check_ntk, check_system, check_systems
from tests.scripts.conftest import Script
from theory.activations import registry
from theory.latex import general_sets, name_long_constants


def test_defaults_are_substituted_unless_symbols_are_asked_for(script: Script) -> None:
    plain = script("derive", "--activation", "leaky_relu")
    assert plain.returncode == 0, plain.stderr
    assert "Piecewise((x, x > 0), (x/100, True))" in plain.stdout
    symbolic = script("derive", "--activation", "hard_tanh", "--parameter", "c=1/2", "--symbolic")
    assert "a*Min(1/2, Max(-1/2, x))" in symbolic.stdout
    assert "Lipschitz constant  Abs(a)" in symbolic.stdout


def test_output_says_what_each_moment_is(script: Script) -> None:
    done = script("derive", "--activation", "sign(x) + tanh(x)")
    assert done.returncode == 0, done.stderr
    assert "x = 0 (by 2)" in done.stdout
    assert "E[phi'^2]           infinite: phi jumps" in done.stdout
    for word in ("closed form", "integral", "infinite"):
        assert word in done.stdout
    assert "tau**2 = sigma_a**2*v + sigma_b**2*tau_0**2" in done.stdout
    assert "alpha_4 = " in done.stdout
    assert "neural tangent kernel" not in done.stdout


def test_json_on_standard_output(script: Script) -> None:
    record = json.loads(script("derive", "--activation", "gelu", "--json", "-").stdout)
    assert record["moments"]["first_derivative"] == {
        "kind": "closed form",
        "expression": "1/2",
        "latex": r"\frac{1}{2}",
    }
    assert record["moments"]["mean"]["latex"] == r"\frac{\tau_*^2}{\sqrt{2\pi}\,\sqrt{\tau_*^2 + 1}}"
    assert record["structure"]["parity"] == "neither even nor odd"
    assert record["versions"]["sympy"]
    assert any("beta_3 = " in line for lines in record["equations"].values() for line in lines)


def test_second_run_reads_the_cache_and_says_the_same(script: Script) -> None:
    first, second = (json.loads(script("derive", "--activation", "elu", "--json", "-").stdout) for _ in range(2))
    assert (first.pop("cached"), second.pop("cached")) == (False, True)
    assert first == second
    third = json.loads(script("derive", "--activation", "elu", "--json", "-", "--no-cache").stdout)
    assert third.pop("cached") is False
    assert third == first


@pytest.mark.parametrize("name", ["relu", "selu", "sign"])
def test_latex_is_that_of_the_export(script: Script, name: str) -> None:
    """Read back and evaluated, display by display."""
    done = script("derive", "--activation", name, "--latex")
    assert done.returncode == 0, done.stderr
    LatexWalker(done.stdout, tolerant_parsing=False).get_latex_nodes()
    parts = dict(re.findall(rf"^% {name}: ([a-z-]+)\n(.*?)(?=^%|\Z)", done.stdout, re.MULTILINE | re.DOTALL))
    assert list(parts) == [
        "moments", "system", "solution", *([] if name == "sign" else ["ntk-recurrent"]), "conditions",
    ]  # fmt: skip
    activation = registry.registered(name).with_parameters({})
    constants = name_long_constants(activation)[1]
    moments, _, where = parts["moments"].partition("\nwhere\n")
    check_moments(moments, activation, constants)
    check_constants(where, constants)
    check_system(parts["system"], activation, constants)
    check_conditions(parts["conditions"])
    general = general_sets()
    check_systems(parts["solution"], general["system"].latex(39_000), general["preactivation"].latex(39_000))
    if name != "sign":
        check_ntk(parts["ntk-recurrent"], "recurrent")


def test_registry_table(script: Script, tmp_path: Path) -> None:
    target = tmp_path / "times.json"
    done = script("derive", "--registry", "--json", str(target))
    assert done.returncode == 0, done.stderr
    record = json.loads(target.read_text(encoding="utf-8"))
    assert len(record["activations"]) >= 40
    assert record["seconds"] < 30
    assert all(row["seconds"] < 5 for row in record["activations"])
    assert "slowest: " in done.stdout
    again = script("derive", "--registry")
    assert " no " not in again.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--activation", "foo(x)"], "unknown name 'foo' at column 1"),
        (["--activation", "1/x"], "has a pole at x = 0"),
        (["--activation", "exp(x**4)"], "grows faster than every exp(c x^2)"),
        (["--activation", "relu", "--parameter", "b=1"], "relu has no parameter 'b'"),
        (["--activation", "celu", "--parameter", "a=-1"], "parameter a of celu must be positive, not -1"),
        (["--activation", "relu", "--json", "no/such/folder/x.json"], "does not exist"),
        (["--registry", "--latex"], "--registry goes with --json and --no-cache only"),
        ([], "one of the arguments --activation --registry is required"),
    ],
)
def test_bad_use_is_one_sentence_and_exit_code_2(script: Script, arguments: list[str], complaint: str) -> None:
    done = script("derive", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_has_examples(script: Script) -> None:
    done = script("derive", "--help")
    assert done.returncode == 0
    assert "derive.py --activation leaky_relu --symbolic" in done.stdout
