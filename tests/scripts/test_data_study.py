"""spectrum --data as a user runs it: the answer first, the keys of the JSON, and refusals in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from numerics.experiments import Equivalent
from tests.numerics.experiments.low_dimensional import low_dimensional
from tests.scripts.conftest import Script

KEYS = {
    *("relative_opnorm_error", "relative_opnorm_error_second_order", "relative_opnorm_error_third_order"),
    *("relative_opnorm_error_with_means", "relative_opnorm_error_kept_norms", "relative_opnorm_error_twin"),
    *("effective_dimension", "mean_energy_share", "norm_spread", "advice", "params", "versions", "seed", "per_draw"),
    *("twin", "standard_errors", "predicted_errors", "eigenvalues", "largest_correlation", "t", "t_standard_error"),
}


@pytest.fixture(autouse=True)
def path(tmp_path: Path) -> Path:
    """Two classes of low effective dimension, 200 samples."""
    data = low_dimensional(200, 60, decay=2.0)
    np.savez(tmp_path / "two.npz", X=255 * data.samples + 3, y=np.where(data.labels, "cat", "dog"))
    return tmp_path


def test_the_json_has_the_answer(script: Script) -> None:
    done = script(
        "spectrum", *("--data", "two.npz", "--classes", "dog,cat", "--samples", "100", "--normalise", "sample"),
        *("--activation", "relu", "--seed", "5", "--json", "-"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert set(record) >= KEYS
    assert record["relative_opnorm_error"] > 4 * record["relative_opnorm_error_second_order"] > 0
    assert record["advice"].startswith("Gbar cannot be trusted here")
    assert len(record["effective_dimension"]) == 2
    assert all(2 < dimension < 5 for dimension in record["effective_dimension"])
    assert record["norm_spread"] < 1e-12
    assert record["norm_spread_gaussian"] > 0.3
    assert record["params"]["classes"] == ["dog", "cat"]
    assert record["params"]["n"] == 100
    assert record["params"]["tau0"] == [pytest.approx(1)]
    assert record["seed"] == 5
    assert record["standard_errors"]["data"] == dict.fromkeys(map(str, Equivalent))
    assert record["eigenvalues"]["data"] == sorted(record["eigenvalues"]["data"], reverse=True)


def test_the_table_begins_with_the_advice_and_the_picture_is_written(
    script: Script, process: Script, path: Path
) -> None:
    arguments = ("spectrum", "--data", "two.npz", "--samples", "80", "--draws", "3", "--normalise", "center")
    done = script(*arguments, "--png", "a.png", "--pdf", "a.pdf", "--json", "a.json")
    assert done.returncode == 0, done.stderr
    title, advice, *rest = done.stdout.splitlines()
    assert "two, classes cat, dog: n = 80, p = 60" in title
    assert advice.startswith("Gbar cannot be trusted here: it is off by")
    places = [done.stdout.index(text) for text in ("effective dimension", "Gaussian twin", "largest eigenvalues")]
    assert places == sorted(places)
    assert any(line.startswith("second-order equivalent") and "±" in line for line in rest)
    assert (path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (path / "a.pdf").read_bytes().startswith(b"%PDF")
    record = json.loads((path / "a.json").read_text())
    values = [draw["data"]["gbar"] for draw in record["per_draw"]]
    assert record["relative_opnorm_error"] == pytest.approx(np.mean(values))
    assert record["standard_errors"]["data"]["gbar"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    again = process(*arguments, "--jobs", "2", "--json", "b.json")
    assert again.returncode == 0, again.stderr
    assert (path / "a.json").read_bytes() == (path / "b.json").read_bytes()


@pytest.mark.parametrize("width", [40, 60, 80])
def test_lines_fit_the_terminal_in_ascii_too(script: Script, width: int) -> None:
    environment = {"COLUMNS": str(width), "PYTHONIOENCODING": "ascii"}
    done = script("spectrum", "--data", "two.npz", "--samples", "40", **environment)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= width
    for words in ("third-order equivalent with", "norms kept", "Gaussian twin, exact kernel", "sigma_a^2"):
        assert words in done.stdout


def test_draws_are_taken_up_again(script: Script, path: Path) -> None:
    arguments = ("spectrum", "--data", "two.npz", "--samples", "40", "--draws", "2", "--resume", "runs", "--json", "-")
    first, second = script(*arguments), script(*arguments)
    assert first.stdout == second.stdout
    assert len(list((path / "runs").iterdir())) == 2
    other = script(*arguments, "--normalise", "none")
    assert len(list((path / "runs").iterdir())) == 4
    assert other.stdout != first.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "two.npz", "--p", "100"), "--p is of simulated data: leave it out with --data"),
        (("--data", "two.npz", "--means", "2"), "--means is of simulated data: leave it out with --data"),
        (("--data", "two.npz", "--cov-shift", "2"), "--cov-shift is of simulated data"),
        (("--data", "two.npz", "--width", "50"), "--width is of simulated data"),
        (("--data", "nothing.npz"), "there is no data set and no file 'nothing.npz'; accepted are fashion-mnist"),
        (("--data", "two.npz", "--classes", "cow"), "has no class 'cow'; accepted are cat, dog"),
        (("--data", "two.npz", "--samples", "400"), "8 to 200 are accepted"),
        (("--data", "two.npz", "--samples", "6"), "8 to 200 are accepted, as many of each class and at least 4"),
        (("--data", "two.npz", "--draws", "3"), "--draws 3 of all 200 samples would be the same samples"),
        (("--data", "two.npz", "--draws", "3", "--samples", "200"), "give --samples, fewer than there are"),
        (("--samples", "6"), "--samples is of data: give it with --data"),
        (("--classes", "cat"), "--classes must be a whole number from 1 to 64, or names of classes with --data"),
    ],
)
def test_refusals_say_what_is_accepted(script: Script, arguments: tuple[str, ...], said: str) -> None:
    done = script("spectrum", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_more_samples_than_are_diagonalised_are_refused(script: Script, path: Path) -> None:
    np.savez(path / "many.npz", X=np.random.default_rng(0).standard_normal((9000, 3)), y=np.arange(9000) % 2)
    done = script("spectrum", "--data", "many.npz")
    assert done.returncode == 2
    assert "many has 9000 samples; up to 8192 are accepted" in done.stderr


def test_classes_are_a_number_without_data(script: Script) -> None:
    done = script("spectrum", "--p", "60", "--classes", "3", "--json", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["params"]["classes"] == 3
