"""Commands that would run for long: an answer, or a refusal with its reason, in time."""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from pathlib import Path

import pytest

from numerics import budget
from tests.scripts.conftest import Script, command_module


def _work() -> None:
    """Keep the processor busy for a minute."""
    stop = time.process_time() + 60
    while time.process_time() < stop:
        pass


def test_a_refusal_in_time(script: Script) -> None:
    done = script("solve", "--activation", "cos(x**8)", "--budget", "2")
    assert done.returncode == 3
    assert "not decided" in done.stderr
    assert "processor time were spent while" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_numbers_that_are_0_but_for_10_to_the_minus_10_to_the_35(script: Script) -> None:
    """With sin(w xi): Var = (1 - exp(-2 w^2))/2, which is 1/2."""
    done = script("solve", "--activation", "sin(10**18*x)", "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["gamma2"] == "0.500000000000000"
    assert float(record["tau"]) == pytest.approx(math.sqrt(0.9), abs=1e-15)
    assert all(record["certified"].values())


def test_constants_that_are_nearly_rational(script: Script) -> None:
    """Right values by plain quadrature to 70 digits."""
    done = script("solve", "--activation", "exp(-(x+1/100000)**2/2)*cos(x)", "--digits", "18", "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["tau"] == "0.908102096922416990"
    assert record["gamma2"] == "0.123247092174454106"
    assert record["alpha2"] == "0.0413288949474969064"
    assert all(record["certified"].values())


def test_deep_nesting(script: Script) -> None:
    done = script("solve", "--activation", "tanh(" * 10 + "x" + ")" * 10, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert all(json.loads(done.stdout)["certified"].values())


def test_what_is_being_tried_is_said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    budgets = command_module("_budgets")
    monkeypatch.setattr(budgets, "_FIRST_WORD_SECONDS", 0.2)
    monkeypatch.setattr(sys, "argv", ["solve.py"])
    with (
        pytest.raises(budget.OverBudgetError, match="1 s of processor time were spent while counting"),
        budgets.budgeted(1),
        budget.stage("counting"),
    ):
        _work()
    assert "solve.py: still at: counting (" in capfd.readouterr().err


def test_memory_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    budgets = command_module("_budgets")
    monkeypatch.setattr(budgets, "_MOST_MEMORY", 0.001)
    with pytest.raises(budget.OverBudgetError, match="GiB of memory were used"), budgets.budgeted(30):
        _work()


def test_no_import_is_stopped_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module would stay half made, and Python 3.11 may lose the lock of an import that another one interrupts."""
    burn = "import time\nstop = time.process_time() + 1.2\nwhile time.process_time() < stop:\n    pass\n"
    (tmp_path / "burns_for_long.py").write_text(burn + "made = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    budgets = command_module("_budgets")

    def both() -> None:
        with budgets.budgeted(1):
            importlib.import_module("burns_for_long")
            _work()

    with pytest.raises(budget.OverBudgetError):
        both()
    assert sys.modules.pop("burns_for_long").made


def test_memory_used_is_this_process_s() -> None:
    budgets = command_module("_budgets")
    before = budgets.memory_used()
    block = bytearray(b"1" * 200_000_000)
    assert 0.15 < budgets.memory_used() - before < 0.4
    del block


def test_fuzzing_the_whole_way(script: Script) -> None:
    done = script("fuzz_parser", "--to", "solve", "--inputs", "4", "--seed", "1", "--budget", "20", "--json", "-")
    assert done.returncode == 0, done.stdout
    record = json.loads(done.stdout)
    assert len(record["results"]) == 4
    assert all(result["outcome"] in ("accepted", "refused", "undecided") for result in record["results"])


def test_fuzzing_sees_a_wrong_number(monkeypatch: pytest.MonkeyPatch) -> None:
    way = command_module("_fuzz_way")
    right = way.walk("tanh(a*x) + Max(x, 1/3)", "solve", 30, compare=True)
    assert (right["outcome"], right["compared"]) == ("accepted", True), right
    monkeypatch.setattr("numerics.equilibrium.naive_variance", lambda *_arguments: (0.25, 0.0))
    wrong = way.walk("tanh(x)", "solve", 30, compare=True)
    assert wrong["outcome"] == "failure"
    assert wrong["what"].startswith("wrong: ")
