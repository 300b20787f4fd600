"""scripts/reproduce.py as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from numerics.data import missing_dataset
from numerics.released import EXPERIMENTS, Mean
from tests.scripts.conftest import Script, command_module

SMALL = ("reproduce", "--quick", "--draws", "2", "--only", "pairs-mixture", "--only", "ck-mixture")


def test_both_columns_and_the_same_bytes_whatever_the_workers(script: Script, process: Script, tmp_path: Path) -> None:
    first = script(*SMALL, "--jobs", "1", "--json", "one.json")
    second = process(*SMALL, "--jobs", "2", "--json", "two.json")
    assert first.returncode == second.returncode == 0, first.stderr
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert "as released" in first.stdout
    assert "corrected" in first.stdout
    record = json.loads((tmp_path / "one.json").read_text())
    assert [each["name"] for each in record["experiments"]] == ["ck-mixture", "pairs-mixture"]
    assert (record["seed"], record["left_out"], record["parameters"]["draws"]) == (0, {}, 2)
    (row,) = [row for row in record["experiments"][1]["rows"] if row["name"] == "relu by 2 x leaky_relu"]
    assert row["corrected"]["value"] < 1e-3 < row["released"]["value"]
    assert row["released"]["error"] > 0
    assert row["released"]["draws"] == 2


def test_missing_data_are_a_sentence(script: Script) -> None:
    sentence = missing_dataset("cifar-10")
    if not sentence:
        pytest.skip("CIFAR-10 is on this machine")
    alone = script("reproduce", "--quick", "--only", "accuracy-cifar-10")
    assert alone.returncode == 2
    assert sentence.partition(":")[0] in alone.stderr
    beside = script("reproduce", "--quick", "--draws", "1", "--only", "ck-mixture", "--only", "accuracy-cifar-10")
    assert beside.returncode == 0
    assert "left out" in beside.stdout


def test_standard_output_is_only_json(script: Script) -> None:
    done = script(*SMALL[:2], "--draws", "1", "--only", "ntk-mixture", "--seed", "7", "--json", "-")
    record = json.loads(done.stdout)
    assert record["seed"] == 7
    assert record["experiments"][0]["rows"][0]["released"]["error"] is None


def test_bad_use(script: Script) -> None:
    done = script("reproduce", "--only", "nonsense")
    assert done.returncode == 2
    assert "ck-mixture" in done.stderr


def test_the_names_are_those_of_the_experiments() -> None:
    assert tuple(EXPERIMENTS) == command_module("reproduce")._EXPERIMENTS


@pytest.mark.parametrize(
    ("mean", "shown"),
    [
        (None, "-"),
        (Mean(0.51234, 0.0123, 5), "0.512(12)"),
        (Mean(0.51234, 0.00231, 5), "0.512(2)"),
        (Mean(83.14, 1.4, 5), "83.1(14)"),
        (Mean(83.14, 4.4, 5), "83(4)"),
        (Mean(0.5, float("nan"), 1), "0.5"),
    ],
)
def test_means_are_shown_with_their_errors(mean: Mean | None, shown: str) -> None:
    assert command_module("reproduce")._shown(mean) == shown
