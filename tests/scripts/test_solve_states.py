"""solve --deq, --sigma-c2 and --uncentred as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import mpmath
import pytest
from flint import arb

from deqverify.commands import _cells
from tests.scripts.conftest import Script

CELL = """\
tau0 = "1.1"
readout = 0
sigma_a2 = [["0.25", "0.3"], ["0.55", "0.1"]]   # row r receives from column s
[[states]]
activation = "relu"
sigma_b2 = "0.6"
sigma_c2 = "0"
centred = true
[[states]]
activation = "swish"
sigma_b2 = "0.35"
"""
ONE = 'sigma_a2 = [["0.4"]]\n[[states]]\nactivation = "relu"\nsigma_b2 = "0.6"\nsigma_c2 = "0.1"\ncentred = false\n'


def test_a_cell_of_two_states(script: Script, tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_text(CELL, encoding="utf-8")
    done = script("solve", "--deq", "cell.toml", "--digits", "30", "--json", "-")
    assert (done.returncode, done.stderr) == (0, "")
    record = json.loads(done.stdout)
    assert record["followed"] is True
    assert set(record["margins"]) == {"tau", "ck", "ntk"}
    relu, swish = record["states"]
    assert (relu["activation"], swish["activation"]) == ("relu", "swish")
    assert relu["tau"] == "0.923162798815550918899253285679"
    assert swish["alpha1"] == "0.113589211618257261410788381743"
    for state in record["states"]:
        assert state["lambda4"] == state["alpha4"]
        assert state["gS"] == state["alpha1"]
        assert all(state["certified"].values())
        assert set(state["certified"]) == set(state["radius"])
        assert all(float(radius) < 1e-30 for radius in state["radius"].values())


def test_options_and_a_file_say_the_same(script: Script, tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(ONE, encoding="utf-8")
    by_file = script("solve", "--deq", "one.toml", "--json", "-")
    words = ("--activation", "relu", "--sigma-a2", "0.4", "--sigma-b2", "0.6", "--sigma-c2", "0.1", "--uncentred")
    by_options = script("solve", *words, "--json", "-")
    assert by_file.stdout == by_options.stdout
    (state,) = json.loads(by_file.stdout)["states"]
    # tau^2 = sigma_a^2 tau^2/2 + 0.7.
    assert float(state["tau"]) == pytest.approx((0.7 / 0.8) ** 0.5, rel=1e-14)
    assert "alpha1" not in state


def test_one_centred_state_has_the_numbers_of_solve(script: Script, tmp_path: Path) -> None:
    text = 'sigma_a2 = [["1/5"]]\n[[states]]\nactivation = "tanh"\nsigma_b2 = "4/5"\n'
    (tmp_path / "one.toml").write_text(text, encoding="utf-8")
    (state,) = json.loads(script("solve", "--deq", "one.toml", "--json", "-").stdout)["states"]
    plain = json.loads(script("solve", "--activation", "tanh", "--json", "-").stdout)
    for key in ("tau", "gamma2", "alpha1", "alpha2", "alpha3", "alpha4", "lambda1", "lambda2", "lambda3"):
        assert state[key] == plain[key], key


def test_the_table_has_a_group_for_each_state(script: Script, tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_text(CELL.replace("centred = true", "centred = false"), encoding="utf-8")
    done = script("solve", "--deq", "cell.toml")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("state 0: relu, uncentred, read out")
    assert sum(line.startswith("state ") for line in lines) == 2
    assert sum(line.startswith("g_e") for line in lines) == 2


BAD = {
    "unknown key": (CELL.replace("tau0", "tau"), "tau is no key"),
    "unknown key of a state": (CELL.replace("centred = true", "center = true"), "states[0].center is no key"),
    "matrix": (CELL.replace(', "0.3"]', "]"), "sigma_a2 must have 2 rows of 2 numbers"),
    "matrix of texts": (CELL.replace('[["0.25", "0.3"], ["0.55", "0.1"]]', '"01"'), "sigma_a2 must have 2 rows"),
    "no matrix": (CELL.replace("sigma_a2", "# "), "sigma_a2 is missing"),
    "negative variance": (CELL.replace('"0.35"', '"-0.35"'), "states[1].sigma_b2 must be a number >= 0"),
    "negative weight": (CELL.replace('"0.55"', "-1"), "sigma_a2[1][0] must be a number >= 0"),
    "float": (CELL.replace('"0.6"', "0.6"), "states[0].sigma_b2 is a float"),
    "no number": (CELL.replace('"0.6"', '"x"'), "states[0].sigma_b2 must be a finite number"),
    "text for a truth value": (CELL.replace("= true", '= "yes"'), "states[0].centred must be true or false"),
    "no stable equilibrium": (CELL.replace('"0.55"', '"55"'), "sigma_a2: no stable equilibrium"),
    "readout": (CELL.replace("readout = 0", "readout = 2"), "readout must be the number of a state, 0 to 1"),
    "tau0": (CELL.replace('"1.1"', "0"), "tau0 must be a number > 0"),
    "activation": (CELL.replace('"swish"', '"swosh(x)"'), "states[1].activation: "),
    "activation without a name": (CELL.replace('activation = "swish"', "activation = 3"), "states[1].activation must"),
    "no input": (CELL.replace('"0.55"', "0").replace('"0.35"', "0"), "sigma_b2 of state 1 is 0"),
    "states": ("sigma_a2 = [[0]]\nstates = 3\n", "states must be tables"),
    "syntax": ("tau0 = ", "no TOML"),
    "bytes": ("\udcff", "no TOML"),
    "depth": ("x = " + "[" * 30_000, "no TOML"),
    "integer": ("tau0 = " + "9" * 5000, "no TOML"),
    "large integer": (CELL.replace('"0.6"', "9" * 4000), "sigma_a2"),
    "long text": (CELL.replace('"0.6"', f'"{"(" * 9000}"'), "states[0].sigma_b2 must be"),
    "control character": ('"\\u0000\\u001b" = 1\n' + CELL, "\\x00\\x1b is no key"),
    "size": ("# " + "x" * 70_000, "larger than 64 KiB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_sentence_with_the_key(name: str, script: Script, tmp_path: Path) -> None:
    text, said = BAD[name]
    (tmp_path / "cell.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    done = script("solve", "--deq", "cell.toml", "--json", "-")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.strip().isprintable()
    assert len(done.stderr) < 600


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--deq", "none.toml"), "none.toml"),
        ((), "--activation"),
        (("--deq", "none.toml", "--activation", "relu"), "--activation"),
        (("--deq", "none.toml", "--tau0", "2"), "--tau0"),
        (("--activation", "relu", "--uncentred", "--all-equilibria"), "--all-equilibria"),
        (("--activation", "relu", "--sigma-c2", "1/10", "--ntk", "all"), "--ntk"),
        (("--activation", "relu", "--uncentred", "--sweep", "sigma_a2[0]=0:1:3"), "accepted are tau0, sigma_a2[r][s]"),
        (("--activation", "relu", "--uncentred", "--sweep", "sigma_b2[1]=0:1:3"), "r and s from 0 to 0"),
        (("--activation", "relu", "--uncentred", "--sweep", "sigma_a2[0][x]=0:1:3"), "names no number of the cell"),
        (("--activation", "relu", "--sweep", "sigma_a2[0][0]=0:1:3"), "give --deq"),
        (("--activation", "relu", "--sigma-c2", "-1"), "sigma_c2 must be a number >= 0"),
    ],
)
def test_bad_use_is_one_sentence(words: tuple[str, ...], said: str, script: Script) -> None:
    done = script("solve", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_proof_the_numbers_are_the_same_and_marked(script: Script, tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_text(CELL.replace("centred = true", "centred = false"), encoding="utf-8")
    words = ("solve", "--deq", "cell.toml", "--digits", "10")
    proved, plain = (json.loads(script(*words, *more, "--json", "-").stdout) for more in ((), ("--no-certify",)))
    assert plain["followed"] is None
    assert plain["margins"].keys() == proved["margins"].keys()
    for right, found in zip(proved["states"], plain["states"], strict=True):
        assert found["radius"] == {}
        assert found["certified"] == dict.fromkeys(right["certified"], False)
        for key in right["radius"]:
            assert float(found[key]) == pytest.approx(float(right[key]), rel=2e-10), key
    shown = script(*words, "--no-certify").stdout
    assert shown.count("UNPROVED") == sum(len(state["certified"]) for state in plain["states"])
    assert "not certified: no proof was asked for" in shown


def test_a_sweep_over_an_entry_is_the_cells_at_its_points(script: Script, tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_text(CELL, encoding="utf-8")
    words = ("solve", "--deq", "cell.toml", "--digits", "10", "--json", "-")
    record = json.loads(script(*words, "--sweep", "sigma_a2[0][1]=0.3:30:2").stdout)
    assert record["swept"] == {"name": "sigma_a2[0][1]", "start": "3/10", "stop": "30", "points": 2}
    first, last = record["sweep"]
    single = json.loads(script(*words).stdout)["states"]
    for state, right in zip(first["states"], single, strict=True):
        assert state == {key: right[key] for key in right["certified"]}
    assert first["certified"]
    assert (last["solved"], last["states"]) == (False, [])
    assert last["missing"].startswith("sigma_a2: no stable equilibrium")


def test_a_sweep_without_proof_follows_the_formula(script: Script, tmp_path: Path) -> None:
    """tau^2 (1 - sigma_a^2/2) = sigma_b^2 tau_0^2 + sigma_c^2 for ReLU."""
    (tmp_path / "one.toml").write_text(ONE, encoding="utf-8")
    for entry, drive in (("sigma_c2[0]", lambda v: 0.6 + v), ("tau0", lambda v: 0.6 * v**2 + 0.1)):
        words = ("--deq", "one.toml", "--sweep", f"{entry}=0.5:2:4", "--no-certify", "--json", "-")
        rows = json.loads(script("solve", *words).stdout)["sweep"]
        assert [row["value"] for row in rows] == ["1/2", "1", "3/2", "2"]
        for row, value in zip(rows, (0.5, 1, 1.5, 2), strict=True):
            assert float(row["states"][0]["tau"]) ** 2 == pytest.approx(drive(value) / 0.8, rel=1e-11)
            assert not row["certified"]


def test_a_sweep_of_one_state_says_where_the_slope_at_correlation_1_is_1(script: Script) -> None:
    words = ("solve", "--activation", "erf", "--sigma-b2", "1/10", "--sigma-c2", "1/10", "--uncentred", "--no-certify")
    sweep = (*words, "--sweep", "sigma_a2[0][0]=1:2:2")
    record = json.loads(script(*sweep, "--json", "-").stdout)
    assert record["ntk_loss"]["certified"]
    below, above = (row["margins"]["ntk"] for row in record["sweep"])
    assert below < 1 < above
    assert f"loss of the NTK at σa² = {record['ntk_loss']['sigma_a2']}: " in script(*sweep).stdout
    there = json.loads(script(*words, "--sigma-a2", record["ntk_loss"]["sigma_a2"], "--json", "-").stdout)
    assert float(there["margins"]["ntk"].strip("[]").split()[0]) == pytest.approx(1, abs=1e-13)


def test_the_table_of_a_sweep_has_every_state(script: Script, tmp_path: Path) -> None:
    (tmp_path / "cell.toml").write_text(CELL, encoding="utf-8")
    done = script("solve", "--deq", "cell.toml", "--sweep", "sigma_b2[1]=0.3:0.5:2", "--no-certify")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("state ")] == ["state 0: relu, read out", "state 1: swish"]
    assert sum(line.split()[0] == "0.3" for line in lines) == 2
    assert lines[-1] == "2 of 2 points are computed, not certified"


def test_what_has_no_proof_has_numbers(script: Script) -> None:
    """E[(xi log|xi|)^2] is the second derivative of E|xi|^s at s = 2."""
    words = ("--activation", "x*log(Abs(x))", "--uncentred", "--sigma-a2", "0", "--sigma-b2", "1", "--no-certify")
    (state,) = json.loads(script("solve", *words, "--json", "-").stdout)["states"]
    # E|xi|^s = 2^(s/2) Gamma((s + 1)/2)/sqrt(pi).
    moment = mpmath.diff(lambda s: 2 ** (s / 2) * mpmath.gamma((s + 1) / 2) / mpmath.sqrt(mpmath.pi), 2, 2)
    assert float(state["diagonal"]) == pytest.approx(float(moment), rel=1e-10)


def test_what_is_not_certified_is_undecided(script: Script) -> None:
    done = script("solve", "--activation", "x*log(Abs(x))", "--uncentred")
    assert (done.returncode, done.stdout) == (3, "")
    assert "not certified" in done.stderr


def test_a_margin_whose_ball_is_wide_is_shown_as_one() -> None:
    """The midpoint of [0, 0.09] would read as a number that was proved."""
    assert _cells.proved(arb("0.045", "0.045"), 6) == "[+/- 0.0901]"
    assert _cells.proved(arb("0.0453663089803", "1e-13"), 6) == "0.0453663"
