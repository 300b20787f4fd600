"""scripts/spectrum.py as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts.conftest import Script

KEYS = {"outliers_predicted", "outliers_measured", "edges_predicted", "ks_distance", "opnorm_error", "params"}


def test_the_published_command_at_a_smaller_size(script: Script) -> None:
    done = script(
        "spectrum",
        *("--activation", "relu", "--p", "400", "--ratio", "0.8", "--sigma-a2", "0.2", "--means", "3"),
        *("--cov-shift", "4", "--kernel", "ck", "--json", "-"),
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert set(record) >= KEYS
    assert record["params"]["n"] == 320
    assert record["params"]["sigma_b2"] == 0.8
    predicted, measured = record["outliers_predicted"], record["outliers_measured"]
    assert predicted == sorted(predicted, reverse=True)
    assert measured == sorted(measured, reverse=True)
    assert len(predicted) == len(measured) == 2
    assert measured == pytest.approx(predicted, rel=0.15)
    ((left, right),) = record["edges_predicted"]
    assert left < right < predicted[1]
    assert 0 < record["ks_distance"] < 0.1
    assert 0 < record["opnorm_error"] < 1
    assert record["seed"] == 0
    assert record["versions"]["numpy"]
    area = sum(
        (b - a) * (f + g) / 2
        for a, b, f, g in zip(
            record["density"]["x"], record["density"]["x"][1:], record["density"]["y"], record["density"]["y"][1:],
            strict=False,
        )
    )  # fmt: skip
    assert area == pytest.approx(1, abs=1e-3)


def test_pictures_and_table(script: Script, tmp_path: Path) -> None:
    done = script(
        "spectrum",
        *("--activation", "tanh", "--p", "60", "--ratio", "2", "--means", "4", "--draws", "2"),
        *("--kernel", "ntk-all", "--png", "a.png", "--pdf", "a.pdf", "--json", "a.json"),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert "isolated eigenvalues" in done.stdout
    assert "share 0.5" in done.stdout
    record = json.loads((tmp_path / "a.json").read_text())
    assert len(record["per_draw"]) == 2
    assert record["point_mass_predicted"]["share"] == pytest.approx(0.5)
    assert all(error > 0 for error in record["outliers_standard_error"])
    again = script("spectrum", "--p", "60", "--png", "b.png", "--json", "b.json")
    third = script("spectrum", "--p", "60", "--png", "c.png", "--json", "c.json")
    assert again.returncode == third.returncode == 0
    for ending in ("png", "json"):
        assert (tmp_path / f"b.{ending}").read_bytes() == (tmp_path / f"c.{ending}").read_bytes()


def test_an_even_activation_has_a_point_for_a_support(script: Script) -> None:
    done = script("spectrum", "--activation", "cos(x)", "--p", "80", "--json", "-", "--png", "even.png")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    ((left, right),) = record["edges_predicted"]
    assert left == right == record["point_mass_predicted"]["place"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--p", "0"), "from 1 to"),
        (("--p", "4"), "from 16 to 8192 are accepted"),
        (("--p", "20", "--classes", "9"), "no data for p = 20"),
        (("--ratio", "0"), "--ratio must be"),
        (("--cov-shift", "-3"), "--cov-shift must be"),
        (("--kernel", "ntk"), "ntk-recurrent"),
        (("--sigma-a2", "1.5"), "give --sigma-b2"),
        (("--sigma-a2", "9", "--sigma-b2", "1"), "no stable equilibrium"),
        (("--activation", "sign", "--kernel", "ntk-all", "--p", "40"), "no ntk-all"),
        (("--activation", "nonsense"), "nonsense"),
        (("--png", "picture.gif"), ".png"),
        (("--json", "missing/x.json"), "does not exist"),
    ],
)
def test_bad_use_is_one_sentence_and_code_2(script: Script, arguments: tuple[str, ...], word: str) -> None:
    done = script("spectrum", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
