"""A soak's failures can be had again by the command it leaves, and it goes on where it stopped."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.soak import ROOT, Soak

_PLANTED = """
from hypothesis import given, strategies as st

@given(st.integers(0, 10**9))
def test_rare(n):
    assert n % 5 != 3
"""


def test_a_failure_can_be_had_again_and_the_next_round_is_another(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_planted.py").write_text(_PLANTED)
    (tmp_path / "failures").mkdir()
    soak = Soak([f"{tmp_path}/test_planted.py::test_rare"], tmp_path, time.monotonic() + 120)
    assert soak._round(7)
    soak._finish(7)
    (failure,) = soak.failures
    command, _, said = failure.read_text().partition("\n")
    make, test, options = shlex.split(command)
    assert (make, test) == ("make", "test")
    arguments = shlex.split(options.removeprefix("ARGS="))
    assert "--hypothesis-seed=7" in arguments
    again = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 1
    assert "draws of the properties: soak, seed 7" in again.stdout
    found = [re.findall(r"n=(\d+)", text) for text in (said, again.stdout)]
    assert found[0]
    assert found[0] == found[1]
    # Round 0 was given to nobody yet, so that it is still the next.
    assert (tmp_path / "next-round").read_text() == "0\n"
    resumed = Soak(soak.tests, tmp_path, time.monotonic())
    resumed._finish(0)
    assert (tmp_path / "next-round").read_text() == "1\n"
    resumed.work()
    assert resumed.done == 1
