"""scripts/spectrum.py as a user runs it."""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import threadpoolctl

import deqverify.commands.spectrum
import numerics.experiments.spectral_study
from deqverify.commands import _running
from deqverify.commands._errors import UsageError
from numerics import memory
from numerics.memory import NotEnoughMemoryError
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


def test_pictures_and_table(script: Script, process: Script, tmp_path: Path) -> None:
    done = script(
        "spectrum",
        *("--activation", "tanh", "--p", "60", "--ratio", "2", "--means", "4", "--draws", "2"),
        *("--kernel", "ntk-all", "--jobs", "1", "--png", "a.png", "--pdf", "a.pdf", "--json", "a.json"),
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
    third = process("spectrum", "--p", "60", "--png", "c.png", "--json", "c.json")
    assert again.returncode == third.returncode == 0
    for ending in ("png", "json"):
        assert (tmp_path / f"b.{ending}").read_bytes() == (tmp_path / f"c.{ending}").read_bytes()


def test_an_even_activation_has_a_point_for_a_support(script: Script) -> None:
    done = script("spectrum", "--activation", "cos(x)", "--p", "80", "--json", "-", "--png", "even.png")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    ((left, right),) = record["edges_predicted"]
    assert left == right == record["point_mass_predicted"]["place"]


# --- finite networks, workers, records -----------------------------------------------------------


def test_finite_networks(script: Script, tmp_path: Path) -> None:
    """The law is the exact kernel's; the spectrum is not, and comes nearer with the width."""
    common = ("--activation", "tanh", "--p", "60", "--means", "4", "--kernel", "ntk-all", "--jobs", "1", "--json", "-")
    wide = script("spectrum", *common, "--width", "1500", "--weights", "rademacher", "--draws", "2", "--png", "w.png")
    assert wide.returncode == 0, wide.stderr
    found = json.loads(wide.stdout)
    assert (found["params"]["width"], found["params"]["weights"]) == (1500, "rademacher")
    assert all(0 < draw["network_residual"] <= 1e-10 for draw in found["per_draw"])
    assert all(draw["kernel_residual"] is None for draw in found["per_draw"])
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")
    exact = json.loads(script("spectrum", *common).stdout)
    assert (exact["params"]["width"], exact["params"]["weights"]) == (None, None)
    assert exact["per_draw"][0]["network_residual"] is None
    assert exact["per_draw"][0]["kernel_residual"] < 1e-11
    for key in ("outliers_predicted", "edges_predicted", "density"):
        assert exact[key] == found[key]
    # The samples of a draw are the same, so that a wide network's spectrum is near the exact kernel's.
    assert found["per_draw"][0]["largest"] == pytest.approx(exact["per_draw"][0]["largest"], rel=0.15)
    narrow = script("spectrum", *common[:-2], "--width", "20")
    assert "NTK-ALL of 20 neurons" in narrow.stdout
    assert "the law is that of infinite width" in narrow.stdout
    (error,) = re.findall(r"operator norm of kernel less equivalent: (\S+)", narrow.stdout)
    assert float(error) > 3 * found["opnorm_error"]


def test_neither_jobs_nor_the_threads_of_linear_algebra_change_a_byte(
    process: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large enough that OpenBLAS would share its sums among threads."""
    found = []
    for threads, jobs in (("1", "1"), ("2", "1"), ("2", "2")):
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            monkeypatch.setenv(name, threads)
        done = process("spectrum", "--p", "300", "--draws", "2", "--jobs", jobs, "--json", "-")
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert found[0] == found[1] == found[2]


# --- in this process -----------------------------------------------------------------------------


@pytest.fixture
def spectrum(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The command's module, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return deqverify.commands.spectrum


def run_to_record(spectrum: ModuleType, *arguments: str) -> dict[str, Any]:
    assert spectrum.main([*arguments, "--jobs", "1", "--json", "found.json"]) == 0
    return dict(json.loads(Path("found.json").read_text()))


@pytest.mark.soak  # test_campaign_options.py asks the same of converge
def test_workers_backends_and_records_do_not_change_a_byte(
    spectrum: ModuleType, process: Script, tmp_path: Path
) -> None:
    arguments = ("--p", "60", "--width", "80", "--covariance", "toeplitz:0.3", "--proportions", "1/4,3/4")

    def run(*others: str) -> bytes:
        assert spectrum.main([*arguments, *others, "--json", "found.json"]) == 0
        return Path("found.json").read_bytes()

    one = run("--draws", "3", "--jobs", "1")
    assert run("--draws", "3", "--jobs", "2", "--backend", "threading") == one
    done = process("spectrum", *arguments, "--draws", "3", "--jobs", "2", "--json", "processes.json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "processes.json").read_bytes() == one
    # Two draws are recorded, and a third is added to them.
    records = Path("records")
    run("--draws", "2", "--jobs", "1", "--resume", "records")
    before = {path: path.stat().st_mtime_ns for path in records.iterdir()}
    assert len(before) == 2
    assert run("--draws", "3", "--jobs", "1", "--resume", "records") == one
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(records.iterdir())) == 3
    # Other questions share none of them.
    for number, other in enumerate((("--noise", "student"), ("--weights", "uniform"), ("--width", "81")), start=4):
        run(*other, "--draws", "1", "--jobs", "1", "--resume", "records")
        assert len(list(records.iterdir())) == number


def test_the_data_are_those_asked_for(spectrum: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--p", "80", "--ratio", "1/2", "--classes", "2", "--cov-shift", "0", "--proportions", "1/4,3/4")
    shapes = ("--covariance", "diagonal:1/2,3/2", "--covariance", "low-rank:4,2", "--noise", "uniform")
    record = run_to_record(spectrum, *options, *shapes, "--png", "a.png")
    params = record["params"]
    assert params["covariance"] == ["diagonal:0.5,1.5", "low-rank:4.0,2.0"]
    assert params["class_sizes"] == [10, 30]
    assert params["proportions"] == [0.25, 0.75]
    assert params["noise"] == "uniform"
    # Nothing is normalised: tr C_1 = 80, tr C_2 = 80 + 4 * 2.
    assert params["tau0"] ** 2 == pytest.approx((10 * 80 + 30 * 88) / 40 / 80)
    assert params["trace_shifts"] == pytest.approx([-6 / 80**0.5, 2 / 80**0.5])
    shown = capsys.readouterr().out
    line = "covariance diagonal:0.5,1.5, low-rank:4.0,2.0; classes of 10, 30 samples; uniform noise"
    assert line in " ".join(shown.split())
    # The default has no such line, and is the same with its options spelled out.
    plain = run_to_record(spectrum, "--p", "80")
    assert "covariance" not in capsys.readouterr().out
    spelled = run_to_record(spectrum, "--p", "80", "--covariance", "isotropic", "--proportions", "1/2,1/2")
    assert spelled["per_draw"] == plain["per_draw"]
    assert plain["params"]["proportions"] is None


def test_a_large_kernel_is_not_diagonalised(
    spectrum: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the threshold lowered: the same isolated eigenvalues, an estimated distance, another picture."""
    options = ("--p", "500", "--cov-shift", "20", "--draws", "2", "--png", "a.png")
    full = run_to_record(spectrum, *options)
    picture = Path("a.png").read_bytes()
    assert "Lanczos" not in capsys.readouterr().out
    lowered = partial(numerics.experiments.spectral_study.measure, most_diagonalised=100)
    monkeypatch.setattr(numerics.experiments, "measure", lowered)
    record = run_to_record(spectrum, *options)
    assert (full["spectrum_by"], record["spectrum_by"]) == ("eigenvalues", "lanczos")
    assert set(record) == set(full)
    np.testing.assert_allclose(record["outliers_measured"], full["outliers_measured"], atol=1e-8)
    for ours, theirs in zip(record["per_draw"], full["per_draw"], strict=True):
        account = ours["lanczos"]
        assert "lanczos" not in theirs
        assert abs(ours["ks_distance"] - theirs["ks_distance"]) < 4 * account["ks_standard_error"]
        assert ours["opnorm_error"] == theirs["opnorm_error"]
        assert 0 < account["end_residual"] < record["params"]["outlier_margin"] / 10
        assert len(account["places"]) == len(account["density"]) == 400
    assert Path("a.png").read_bytes() != picture
    assert "estimated by stochastic Lanczos quadrature" in " ".join(capsys.readouterr().out.split())


def test_draws_that_need_gigabytes_are_made_one_at_a_time(
    spectrum: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def planted(*_: object, jobs: int | None, **__: object) -> list[dict[str, object]]:
        asked.append(jobs)
        raise spectrum._errors.UsageError("stopped on purpose")

    monkeypatch.setattr(spectrum._campaign_options, "run_campaign", planted)
    for arguments in (
        ["--p", "80"],
        ["--p", "12000"],
        ["--p", "12000", "--jobs", "2"],
        ["--p", "80", "--width", "9000"],
    ):
        with pytest.raises(spectrum._errors.UsageError, match="on purpose"):
            spectrum.main([*arguments, "--means", "0", "--cov-shift", "0"])
    assert asked == [None, 1, 2, 1]


def test_a_long_list_of_unexpected_eigenvalues_is_cut_short(
    spectrum: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """An NTK of fewer neurons than samples beside the law of infinite width: its largest eigenvalues are far apart."""
    record = run_to_record(spectrum, "--p", "200", "--width", "40", "--kernel", "ntk-all")
    assert len(record["outliers_unexpected"]) > 6
    assert f"{len(record['outliers_unexpected']) - 6} more" in capsys.readouterr().out


def test_the_picture_says_what_it_was_made_from(spectrum: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(spectrum._figures, "write_figure", lambda _, figure, option="": shown.append(figure))
    run_to_record(spectrum, "--p", "60", "--means", "5", "--draws", "2", "--seed", "3", "--png", "a.png")
    (figure,) = shown
    for words in ("$p = 60$", "$n = 48$", "2 draws", "standard error", "seed 3", "deqverify"):
        assert words in figure.get_supxlabel()
    axes, strip = figure.axes
    assert axes.get_title() == r"relu, CK: $K = 2$, $\sigma_a^2 = 0.2$, $\sigma_b^2 = 0.8$"
    # Error bars of the histogram, and of the mean isolated eigenvalues.
    assert axes.collections
    record = json.loads(Path("found.json").read_text())
    (segments,) = [each.get_segments() for each in strip.collections]
    half = [(segment[1][0] - segment[0][0]) / 2 for segment in segments]
    assert half == pytest.approx(record["outliers_standard_error"])


def test_every_library_of_linear_algebra_has_one_thread(spectrum: ModuleType) -> None:
    with spectrum._processes.one_blas_thread():
        counts = {each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"}
    assert counts == {1}


# --- bad use -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--p", "0"), "from 1 to"),
        (("--p", "4"), "from 16 to 25000 are accepted"),
        (("--p", "40000"), "from 16 to 25000 are accepted"),
        (("--p", "200000", "--ratio", "0.1"), "up to 6.4e+08 numbers are accepted"),
        (("--p", "20", "--classes", "9"), "no data for p = 20"),
        (("--ratio", "0"), "--ratio must be"),
        (("--cov-shift", "-3"), "--cov-shift must be"),
        (("--kernel", "ntk"), "ntk-recurrent"),
        (("--sigma-a2", "1.5"), "give --sigma-b2"),
        (("--sigma-a2", "9", "--sigma-b2", "1"), "no stable equilibrium"),
        (("--activation", "sign", "--kernel", "ntk-all", "--p", "40"), "E[phi'^2] is infinite, since phi jumps"),
        (("--activation", "nonsense"), "nonsense"),
        (("--png", "picture.gif"), ".png"),
        (("--json", "missing/x.json"), "does not exist"),
        (("--covariance", "wishart:3"), "must be isotropic, diagonal:V,V,..., toeplitz:DECAY or low-rank:R,STRENGTH"),
        (("--covariance", "toeplitz:"), "--covariance"),
        (("--covariance", "toeplitz:half"), "--covariance"),
        (("--covariance", "toeplitz"), "toeplitz with a decay"),
        (("--covariance", "toeplitz:1"), "must lie in (-1, 1)"),
        (("--covariance", "diagonal:-1,2"), "must not be negative"),
        (("--covariance", "diagonal:0,0"), "tau0 must be a number > 0"),
        (("--covariance", "low-rank:1.5,3"), "whole number from 1 to p"),
        (
            ("--covariance", "isotropic", "--classes", "3", "--covariance", "toeplitz:0.3"),
            "2 covariances for 3 classes",
        ),
        (("--p", "8000", "--covariance", "toeplitz:0.4"), "p up to 4096 is accepted"),
        (("--p", "500", "--covariance", "toeplitz:0.4", "--covariance", "diagonal:1,2"), "p up to 400 is accepted"),
        (("--proportions", "1/4,1/4"), "add up to 1"),
        (("--proportions", "5/4,-1/4"), "must be positive numbers"),
        (("--proportions", "1/4,1/4,1/2"), "3 proportions for 2 classes"),
        (("--proportions", "1/1000000,999999/1000000"), "empty"),
        (("--noise", "cauchy"), "invalid choice"),
        (("--width", "0"), "from 1 to 20000"),
        (("--weights", "student"), "give it with --width"),
        (("--width", "100", "--weights", "cauchy"), "invalid choice"),
        (("--width", "100", "--p", "12000"), "with --width up to 8192 are accepted"),
        (("--width", "20000", "--p", "100000", "--ratio", "0.001"), "2e+09 input weights"),
        (("--width", "6", "--p", "20", "--sigma-a2", "1.99", "--sigma-b2", "1"), "no fixed point in"),
        (("--width", "50", "--activation", "sign", "--kernel", "ntk-all"), "E[phi'^2] is infinite, since phi jumps"),
        (("--activation", "sign", "--width", "50"), "networks of finite width do not converge"),
        (
            ("--activation", "tanh", "--sigma-a2", "4", "--sigma-b2", "0.05", "--p", "100", "--width", "500"),
            "at tau_* = 1.49155 sigma_a^2 E[phi'^2] = 1.33464, and it must be below 1",
        ),
        (("--jobs", "0"), "from 1 to"),
        (("--resume", "missing/records"), "--resume missing/records"),
    ],
)
def test_bad_use_is_one_sentence_and_code_2(
    spectrum: ModuleType,
    arguments: tuple[str, ...],
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outputs = () if {"--png", "--json"} & set(arguments) else ("--png", "x.png", "--json", "x.json")
    monkeypatch.setattr(sys, "argv", ["spectrum.py", *arguments, *outputs])
    with pytest.raises(SystemExit) as stopped:
        _running.run(spectrum.main)
    shown = capsys.readouterr()
    assert stopped.value.code == 2
    assert shown.out == ""
    assert word in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    # No file is left behind, half written or whole.
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (MemoryError(), "out of memory (an allocation failed); smaller sizes or fewer jobs are accepted"),
        (MemoryError("Unable to allocate 60 GiB"), "out of memory (Unable to allocate 60 GiB); smaller sizes or fewer"),
        (
            NotEnoughMemoryError("9 samples need 1 TiB; smaller sizes are accepted"),
            ".py: 9 samples need 1 TiB; smaller",
        ),
    ],
)
def test_a_failed_allocation_is_a_sentence(
    spectrum: ModuleType,
    raised: MemoryError,
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def main(_: object) -> int:
        raise raised

    monkeypatch.setattr(sys, "argv", ["spectrum.py"])
    with pytest.raises(SystemExit) as stopped:
        _running.run(main)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert shown in said
    assert len(said.splitlines()) == 1


def test_sizes_beyond_memory_are_refused_before_anything_is_drawn(
    spectrum: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 2.0**20)
    for arguments in (("--p", "2000"), ("--p", "40", "--ratio", "1", "--width", "8000")):
        monkeypatch.setattr(sys, "argv", ["spectrum.py", *arguments, "--jobs", "1"])
        with pytest.raises(SystemExit) as stopped:
            _running.run(spectrum.main)
        assert stopped.value.code == 2
        assert "1 MiB are free on this machine" in capsys.readouterr().err


def test_bad_use_as_a_user_sees_it(script: Script) -> None:
    done = script("spectrum", "--covariance", "toeplitz:2")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip() == (
        "spectrum.py: no data for p = 800: the decay of a Toeplitz covariance must lie in (-1, 1), got 2.0"
    )


# --- a DEQ of several states ---------------------------------------------------------------------------------------

_CELL = """
readout = 1
sigma_a2 = [["1/10", "3/10"], ["1/2", 0]]
[[states]]
activation = "relu"
sigma_b2 = "1/2"
centred = %s
[[states]]
activation = "tanh"
sigma_b2 = "1/4"
"""


@pytest.mark.parametrize(("centred", "kernel"), [("true", "ck"), ("false", "ntk-all")])
def test_a_described_deq(script: Script, tmp_path: Path, centred: str, kernel: str) -> None:
    (tmp_path / "cell.toml").write_text(_CELL % centred, encoding="utf-8")
    words = ("--deq", "cell.toml", "--p", "200", "--means", "4", "--kernel", kernel, "--draws", "2", "--jobs", "1")
    done = script("spectrum", *words, "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["schema"] == "spectrum-states"
    assert [state["activation"] for state in record["params"]["states"]] == ["relu", "tanh"]
    assert record["wasserstein_distance"] < record["opnorm_error"] < 0.4
    np.testing.assert_allclose(record["outliers_relative_error"], 0, atol=0.1)
    over_n, numbers = record["largest_over_n"], record["coefficients"]
    if centred == "true":
        assert over_n is None
        assert numbers["constant"] == numbers["sum"] == numbers["squares"] == 0
    else:
        n = record["params"]["n"]
        assert over_n["predicted"] == pytest.approx(record["outliers_predicted"][0] / n)
        assert over_n["measured"] == pytest.approx(np.mean([draw["largest"] for draw in record["per_draw"]]) / n)
        # Far nearer than g_0 alone is, which leaves a part of order 1/n out.
        assert over_n["measured"] == pytest.approx(over_n["predicted"], rel=0.03)
        assert numbers["constant"] < 0.8 * over_n["measured"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--activation", "relu"), "--deq describes the DEQ, and so does --activation"),
        (("--sigma-b2", "1"), "--deq describes the DEQ, and so does --sigma-b2"),
        (("--width", "50"), "--width is for one centred state"),
        (("--kernel", "ntk-preactivation"), "with --deq there are ck, ntk-recurrent, ntk-all"),
        (("--p", "12000"), "with --deq up to 8192 are accepted"),
    ],
)
def test_what_does_not_go_with_a_described_deq(
    spectrum: ModuleType, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "cell.toml").write_text(_CELL % "true", encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(sentence)):
        spectrum.main(["--deq", str(tmp_path / "cell.toml"), *words])
