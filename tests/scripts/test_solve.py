"""scripts/solve.py as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts.conftest import Script

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
    assert all(float(radius) < 1e-40 for radius in record["radius"].values())
    assert set(record["margins"]) == {"tau", "ck", "ntk"}
    assert record["versions"]["sympy"]


def test_table(script: Script) -> None:
    done = script("solve", "--activation", "leaky_relu", "--parameter", "a=1/10")
    assert done.returncode == 0, done.stderr
    assert "conjugate" not in done.stderr
    assert "α₁" in done.stdout
    assert "must be below 1" in done.stdout


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


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
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
