"""bench.py as a user runs it: what it offers, its record, and its refusals."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

Script = Callable[..., "subprocess.CompletedProcess[str]"]


def test_list_names_every_sub_benchmark(script: Script) -> None:
    done = script("bench", "--list")
    assert done.returncode == 0
    names = {line.split()[0] for line in done.stdout.splitlines()}
    assert {"certified-50", "certified-500", "certified-1000", "sweep", "hard", "equilibria"} <= names


def test_a_measurement_is_recorded_with_its_target(script: Script) -> None:
    done = script("bench", "--only", "certified-1000", "--json", "-")
    record = json.loads(done.stdout)
    (row,) = record["benchmarks"]["certified-1000"]
    assert row["target"] == "under 60 s"
    assert row["met"] == (row["seconds"] < 60)
    assert done.returncode == (0 if row["met"] else 1)
    assert "radius" in row["detail"]
    assert record["versions"]["python-flint"]


def test_unknown_names_are_refused(script: Script) -> None:
    done = script("bench", "--only", "everything")
    assert done.returncode == 2
    assert "certified-50" in done.stderr
