"""scripts/learn.py as a user runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from numerics.experiments import Experiment, LearningStudy, Readout
from tests.scripts.conftest import Script
from tests.scripts.schema_checks import check_record
from theory.activations import resolve
from theory.kernels import Kernel

SCORES = ("test_error", "test_mse", "train_error", "train_mse")


def test_the_published_command_at_a_smaller_size(script: Script) -> None:
    done = script(
        "learn",
        *("--activation", "relu", "--p", "150", "--ratio", "0.8", "--means", "2", "--cov-shift", "8"),
        *("--ridge", "0.1", "--kernel", "ck", "--draws", "4", "--tests", "500", "--json", "-"),
    )
    assert done.returncode == 0, done.stderr
    record = check_record(done.stdout)
    for name in SCORES:
        predicted, measured, error = (record[f"{name}_{kind}"] for kind in ("predicted", "measured", "standard_error"))
        # Of order p^(-1/2) apart, a tenth here, beside the draws' own spread (5 of Student's with 3 degrees: 1 in 65).
        assert abs(predicted - measured) <= 8 * error + 0.1 * predicted + 1e-9
    assert record["points"][0]["learners"]["deq"] == {
        key: record[key] for key in record if key.startswith(("te", "tr"))
    }
    answer = " ".join(record["answer"])
    for words in ("The DEQ puts", "best linear readout", "matched network is", "naive network is"):
        assert words in answer
    study = LearningStudy(Experiment(activations=(), means=2.0), resolve("relu"), Kernel.CK, 150)
    scores = study.predict("deq", Readout("ridge", 0.1))
    assert scores is not None
    assert record["test_error_predicted"] == scores.test_error


def test_a_curve_and_its_picture_are_the_same_for_any_number_of_workers(script: Script, tmp_path: Path) -> None:
    common = (
        "learn",
        "--p",
        "60",
        "--draws",
        "2",
        "--tests",
        "100",
        "--against",
        "time",
        "--values",
        "1,10",
        "--learners",
        "deq,linear",
    )
    done = script(*common, "--png", "a.png", "--json", "a.json", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "lines" not in done.stdout
    assert script(*common, "--png", "b.png", "--json", "b.json", "--resume", "runs").returncode == 0
    for ending in ("png", "json"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    record = check_record((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [point["value"] for point in record["points"]] == [1.0, 10.0]
    assert "test_error_predicted" not in record


def test_networks_of_finite_width(script: Script) -> None:
    done = script(
        *("learn", "--p", "60", "--draws", "2", "--tests", "100", "--against", "width", "--values", "24,48,96"),
        *("--ridge", "1e-3", "--learners", "deq,matched", "--json", "-", "--jobs", "1"),
    )
    assert done.returncode == 0, done.stderr
    record = check_record(done.stdout)
    errors = [point["learners"]["deq"]["test_mse_predicted"] for point in record["points"]]
    assert np.argmax(errors) == 1
    assert all(point["learners"]["matched"]["test_mse_predicted"] is None for point in record["points"])
    assert record["law"].startswith("finite width")


def test_what_has_no_matched_network_is_said(script: Script) -> None:
    done = script(
        "learn", "--activation", "cos(x)", "--p", "60", "--draws", "1", "--tests", "100", "--kernel", "ntk-all"
    )
    assert done.returncode == 0, done.stderr
    assert ("no matched network" in done.stdout) != ("matched network   " in done.stdout)
    assert done.stdout.count("linear") >= len(SCORES)
