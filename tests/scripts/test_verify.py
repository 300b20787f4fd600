"""scripts/verify.py as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts.conftest import Script


def test_a_small_run_writes_the_same_bytes_whatever_the_workers(script: Script, tmp_path: Path) -> None:
    small = ("--activation", "relu", "--p", "64,96,144,216", "--seeds", "5", "--seed", "1", "--quick")
    first = script("verify", *small, "--jobs", "1", "--json", "one.json")
    second = script("verify", *small, "--jobs", "2", "--json", "two.json")
    assert first.returncode == second.returncode == 0, first.stdout + first.stderr
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    record = json.loads((tmp_path / "one.json").read_text())
    assert record["seed"] == 1
    assert {claim["id"] for claim in record["claims"]} >= {"equilibrium", "forms", "ck-rate", "ck-slope"}
    assert len(record["experiments"][0]["errors"]) == 20
    assert "supported" in first.stdout


def test_standard_output_is_only_json(script: Script) -> None:
    done = script("verify", "--activation", "tanh", "--p", "64,96,144", "--seeds", "3", "--quick", "--json", "-")
    record = json.loads(done.stdout)
    assert done.returncode == (0 if record["status"] == "as expected" else 1)
    assert "verdicts" in done.stderr


def test_a_claim_that_fails_gives_code_1(script: Script) -> None:
    """Past the loss of stability the equilibrium claim is refuted, and the program says so."""
    done = script("verify", "--activation", "relu", "--sigma-a2", "9", "--quick")
    assert done.returncode == 1
    assert "refuted" in done.stdout
    assert "does not stand" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--p", "0"), "from 1 to"),
        (("--p", "200,x"), "from 1 to"),
        (("--p", "4"), "no data for p = 4"),
        (("--ratio", "0"), "no data"),
        (("--ratio", "0.0001"), "no data"),
        (("--seeds", "0"), "from 1 to"),
        (("--sigma-a2", "-1"), "sigma_a2 must be a number >= 0"),
        (("--activation", "nonsense"), "nonsense"),
        (("--tau0-reading", "mean"), "population"),
        (("--json", "missing/x.json"), "does not exist"),
    ],
)
def test_bad_use(script: Script, arguments: tuple[str, ...], word: str) -> None:
    done = script("verify", *arguments)
    assert done.returncode == 2, done.stdout
    assert word in done.stderr
    assert "Traceback" not in done.stderr
