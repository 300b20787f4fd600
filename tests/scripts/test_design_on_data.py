"""`design --data` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from numerics.data import load_dataset
from numerics.matching import design_for_data
from tests.scripts.conftest import Script
from theory.equations import DEQ


@pytest.fixture
def path(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((60, 8)) * rng.uniform(0.5, 2, (60, 1))
    np.savez(tmp_path / "two.npz", X=rows, y=np.repeat([3, 4], 30))
    return str(tmp_path / "two.npz")


def test_the_table_is_that_of_the_library(script: Script, path: str, tmp_path: Path) -> None:
    target = tmp_path / "found.json"
    done = script("design", "--activation", "tanh", "--sigma-a2", "0.8", "--data", path, "--json", str(target))
    assert done.returncode == 0, done.stderr
    record = json.loads(target.read_text("utf-8"))
    expected = design_for_data(DEQ("tanh", "4/5"), load_dataset(path).normalise("center").gram())
    assert record["chosen"] == expected.chosen.name == record["matched"][0]["network"]
    assert [row["frobenius"] for row in record["matched"]] == [fit.frobenius for fit in expected.fits]
    assert [row["network"] for row in record["rivals"]] == [fit.name for fit in expected.rivals]
    assert record["advice"] == expected.sentence
    assert record["preprocessing"][-2] == "centred"
    assert (record["samples"], record["dimension"], record["seed"]) == (60, 8, 0)
    assert {row["network"] for row in record["left_out"]} == {"1 x leaky_relu", "2 x leaky_relu"}
    for words in ("naive times", "DEQ after one step", "DEQ after two steps", "operator norm error", "layer 1: "):
        assert words in done.stdout
    for name, one, other in expected.rows():
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"{name}  "))
        assert line.split()[-2:] == [one, other]


def test_samples_are_drawn_by_the_seed(script: Script, path: str) -> None:
    records = []
    for seed in ("1", "1", "2"):
        done = script(
            "design", "--activation", "relu", "--data", path, "--classes", "3,4", "--samples", "20", "--seed", seed,
            "--normalise", "sample", "--json", "-",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        records.append(json.loads(done.stdout)["matched"])
    assert records[0] == records[1] != records[2]


def test_a_large_set_with_a_small_class_is_thinned(script: Script, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "rare.npz", X=3 + rng.standard_normal((600, 20)), y=np.repeat([0, 1], [597, 3]))
    target = tmp_path / "found.json"
    done = script("design", "--activation", "relu", "--data", str(tmp_path / "rare.npz"), "--json", str(target))
    assert done.returncode == 0, done.stderr
    record = json.loads(target.read_text("utf-8"))
    assert record["samples"] == 400
    assert record["preprocessing"][-3:-1] == ["400 drawn", "centred"]
    # Scaled after they were drawn, so that their tau_0 is the design's.
    assert "tau0 = 1;" in done.stdout
    assert "for the pairs of 400 samples" in done.stderr


def test_the_network_is_written(script: Script, path: str, tmp_path: Path) -> None:
    target = tmp_path / "network.py"
    words = ("--data", path, "--emit", "numpy", "--output", str(target))
    done = script("design", "--activation", "tanh", "--sigma-a2", "0.8", *words)
    assert done.returncode == 0, done.stderr
    assert "is nearest" in done.stderr
    compile(target.read_text("utf-8"), "network.py", "exec")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--samples", "5"), "--samples is of data: give it with --data"),
        (("--classes", "3"), "--classes is of data: give it with --data"),
        (("--normalise", "none"), "--normalise is of data: give it with --data"),
        (("--seed", "3"), "--seed is of data: give it with --data"),
        (("--data", "digits", "--family", "erf"), "--data tries all named families"),
        (("--data", "digits", "--tau0", "2"), "--data are scaled to tau_0 = 1"),
        (("--data", "digits", "--tau0", "1"), "--data are scaled to tau_0 = 1"),
        (("--data", "digits", "--emit", "latex"), "--emit latex takes no --data; numpy, torch, sympy are accepted"),
        (("--data", "digits", "--samples", "2001"), "up to 2000 are compared"),
        (("--data", "nowhere"), "there is no data set and no file 'nowhere'"),
        (("--data", "digits", "--samples", "8"), "8 samples of digits are asked for"),
    ],
)
def test_what_is_refused(script: Script, words: tuple[str, ...], message: str) -> None:
    done = script("design", "--activation", "tanh", *words)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
