"""scripts/converge.py as a user runs it, and the measurements that it is made of."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import deqverify.commands.converge
import numerics.experiments.experiment
import numerics.experiments.ladders
import numerics.experiments.pairs
from deqverify.commands import _running
from numerics.arithmetic import pointwise
from numerics.data import EntryLaw
from numerics.experiments import (
    Cell,
    Experiment,
    KernelDistance,
    Ladder,
    PairDistance,
    RateClaim,
    distance_to_equivalent,
    distance_to_limit,
    report_rate,
)
from numerics.kernels import implicit_kernels
from numerics.matching import design
from numerics.networks import FiniteDEQ
from tests.scripts.conftest import Script
from theory.activations import registered
from theory.claims import RateVerdict
from theory.equations import DEQ
from theory.kernels import Kernel
from theory.named import RateChoice

RELU, TANH = registered("relu"), registered("tanh")
SMALL_MEANS = Experiment(activations=(RELU,), means=2.0, seed=4)


# --- distances -----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [RELU, TANH], ids=["relu", "tanh"])
def test_two_ntks_differ_by_a_multiple_of_the_gram_matrix(activation: object) -> None:
    """K_all = (K_pre - sigma_b^2 S)/sigma_a^2, of kernels and equivalents alike: the errors are in that ratio."""
    all_, pre = (
        distance_to_equivalent(SMALL_MEANS, activation, kind, Cell(60, 0)).error  # type: ignore[arg-type]
        for kind in (Kernel.NTK_ALL, Kernel.NTK_PREACTIVATION)
    )
    assert all_ == pytest.approx(pre / SMALL_MEANS.sigma_a2, rel=1e-9)


@pytest.mark.parametrize("kernel", Kernel)
def test_kernels_approach_their_equivalents(kernel: Kernel) -> None:
    """p^(-1/2) makes the ratio 0.5 between p = 60 and p = 240; what does not decay keeps it at 1."""
    small, large = (
        np.mean([distance_to_equivalent(SMALL_MEANS, RELU, kernel, Cell(p, k)).error for k in range(4)])
        for p in (60, 240)
    )
    assert large < 0.62 * small


@pytest.mark.parametrize("law", ["rademacher", "student"])
def test_other_noise_changes_the_draw_and_not_the_limit(law: EntryLaw) -> None:
    """Universality is of the limit: the constant depends on the fourth moment, through the norms' fluctuations."""
    other = Experiment(activations=(), means=2.0, seed=4, noise=law)
    small, large = (
        np.mean([distance_to_equivalent(other, TANH, Kernel.CK, Cell(p, k)).error for k in range(4)]) for p in (60, 240)
    )
    assert large < 0.7 * small
    first, second = (distance_to_equivalent(one, TANH, Kernel.CK, Cell(60, 0)).error for one in (SMALL_MEANS, other))
    assert first != second


@pytest.mark.parametrize(("kernel", "law"), [(Kernel.CK, "gaussian"), (Kernel.NTK_RECURRENT, "rademacher")])
def test_the_distance_to_the_limit_is_the_norm_of_the_difference(kernel: Kernel, law: EntryLaw) -> None:
    """One cell recomputed with dense linear algebra: the Jacobian solved sample by sample."""
    width, cell = 40, Cell(60, 1)
    found = distance_to_limit(SMALL_MEANS, TANH, kernel, cell, width, law)
    rng = np.random.default_rng([4, 60, width, 1])
    sample = SMALL_MEANS.mixture(60).sample(rng)
    phi = pointwise(TANH)
    network = FiniteDEQ.draw(DEQ(TANH, 0.2), 0.0, width=width, dimension=60, rng=rng, law=law)
    A, drive = np.sqrt(0.2 / width) * network.recurrent, np.sqrt(0.8) * network.inputs @ sample.data
    h = np.zeros((width, 48))
    for _ in range(200):
        h = np.tanh(A @ h + drive)
    finite = h.T @ h / width
    if kernel is Kernel.NTK_RECURRENT:
        v = 2.0 * rng.integers(0, 2, width, dtype=np.int8) - 1.0
        g = np.empty_like(h)
        for i in range(48):
            D = np.diag(1 - h[:, i] ** 2)
            g[:, i] = D @ np.linalg.solve(np.eye(width) - A.T @ D, v)
        finite = finite * (1 + 0.2 * g.T @ g / width)
    limit = implicit_kernels(sample.gram(), phi, 0.2, 0.8, 0.0, kernels=(kernel,))[kernel]
    assert found.error == pytest.approx(np.abs(np.linalg.eigvalsh(finite - limit)).max(), rel=1e-7)
    assert found.network_residual is not None
    assert found.network_residual <= 1e-10


# --- what is said of a rate ----------------------------------------------------------------------

LADDER = 100.0 * 2 ** np.arange(6)


def noisy(law: np.ndarray, scatter: float = 0.01) -> np.ndarray:
    return law[:, None] * np.exp(scatter * np.random.default_rng(1).standard_normal((law.size, 12)))


def test_a_rate_is_reported_with_its_power() -> None:
    report = report_rate(LADDER, noisy(3 * LADDER**-0.5), np.random.default_rng(0), symbol="m")
    assert report.verdict == "supported"
    assert -0.25 not in report.also_accepted
    assert "log m over 100..3200: -0.5" in report.sentence
    assert "nothing is said beyond m = 3200" in report.limits
    assert report.fit is not None
    assert report.fit.plain.bootstrap[0] < -0.5 < report.fit.plain.bootstrap[1]
    blurred = report_rate(LADDER[:3], noisy(3 * LADDER[:3] ** -0.5, 0.2), np.random.default_rng(0))
    assert -0.25 in blurred.also_accepted
    assert "-0.25" in blurred.limits.split("pass the same test")[1]


@pytest.mark.parametrize(
    ("law", "word"),
    [
        (0.3 + LADDER**-0.5, "a constant"),
        (LADDER**-0.1, "a constant"),
        (30 / LADDER, "faster"),
        (LADDER**0.5, "not positive|fit"),
    ],
)
def test_another_law_is_refuted_for_its_reason(law: np.ndarray, word: str) -> None:
    report = report_rate(LADDER, noisy(law), np.random.default_rng(0))
    assert report.verdict == "refuted"
    assert any(part in report.sentence for part in word.split("|"))


def test_scatter_that_hides_the_leading_term_decides_nothing() -> None:
    """A true law with a large next order, blurred: neither supported nor refuted."""
    sizes = LADDER[:3]
    report = report_rate(sizes, noisy(sizes**-0.5 * (1 + 20 * sizes**-0.5), 0.25), np.random.default_rng(0))
    assert report.verdict == "undecided"
    assert "may fall faster" in report.sentence


def test_too_little_data_and_rounding_are_named() -> None:
    rng = np.random.default_rng(0)
    assert report_rate([1, 2], np.ones((2, 3)), rng).verdict == "undecided"
    assert report_rate([1, 2, 3], np.ones((3, 1)), rng).verdict == "undecided"
    still = report_rate([1, 2, 3], np.ones((3, 4)), rng)
    assert still.verdict == "undecided"
    assert "do not vary" in still.sentence
    rounding = report_rate([1, 2, 3], np.full((3, 2), 1e-15), rng)
    assert rounding.verdict == "supported"
    assert "rounding" in rounding.sentence


CODES = {RateVerdict.SUPPORTED: 0, RateVerdict.FASTER: 0, RateVerdict.REFUTED: 1, RateVerdict.UNDECIDED: 3}


# --- the script ----------------------------------------------------------------------------------


def test_errors_against_width(script: Script, tmp_path: Path) -> None:
    arguments = ("--against", "m", "--p", "60", "--sizes", "50,100,200,400", "--draws", "10", "--means", "2")
    kernel = ("--kernel", "ntk-all", "--weights", "student", "--data", "rademacher", "--activation", "tanh")
    done = script("converge", *arguments, *kernel, "--jobs", "1", "--png", "w.png", "--json", "-")
    record = json.loads(done.stdout)
    (result,) = record["results"]
    assert done.returncode == CODES[result["verdict"]], done.stderr
    assert record["params"]["weights"] == "student"
    assert record["params"]["data"] == "rademacher"
    assert record["seed"] == 0
    assert record["versions"]["numpy"]
    assert len(result["cells"]) == 40
    means = np.array(result["errors"]).mean(axis=1)
    np.testing.assert_allclose(result["means"], means)
    np.testing.assert_allclose(result["standard_errors"], np.std(result["errors"], axis=1, ddof=1) / np.sqrt(10))
    slope = np.polyfit(np.log(np.repeat(record["params"]["sizes"], 10)), np.log(np.ravel(result["errors"])), 1)[0]
    assert result["slope"] == pytest.approx(slope)
    assert result["slope_interval"][0] < -0.5 < result["slope_interval"][1]
    assert result["slope_bootstrap"][0] < result["slope"] < result["slope_bootstrap"][1]
    assert result["verdict"] != "refuted"
    assert "nothing is said beyond m = 400" in " ".join(done.stderr.split())
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def converge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The command's module, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return deqverify.commands.converge


def test_matched_and_naive_networks(converge: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--explicit: the matched network's rate is claimed, the naive one's is not, and the floor is predicted."""
    ladder = ["--sizes", "60,120,240", "--draws", "3", "--jobs", "1", "--means", "2", "--activation", "tanh"]
    code = converge.main([*ladder, "--explicit", "--resume", "records", "--json", "one.json"])
    shown = capsys.readouterr().out
    record = json.loads((tmp_path / "one.json").read_text("utf-8"))
    matched, naive = record["results"]
    assert (matched["network"], naive["network"]) == ("matched", "naive")
    assert code == CODES[matched["verdict"]]
    assert naive["verdict"] == ""
    assert matched["slope"] < -0.4
    assert abs(naive["slope"]) < 0.2
    assert naive["predicted_floor"][-1] == pytest.approx(naive["means"][-1], rel=0.1)
    assert {cell["family"] for cell in matched["cells"]} == {"hard_tanh"}
    for words in ("tanh, matched", "tanh, naive", "tanh, floor"):
        assert words in shown
    # The same records serve, and other questions have other records.
    assert converge.main([*ladder, "--explicit", "--resume", "records", "--json", "two.json"]) == code
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert len(list((tmp_path / "records").iterdir())) == 9
    converge.main([*ladder, "--resume", "records"])
    assert len(list((tmp_path / "records").iterdir())) == 18


def test_pairs_of_finite_networks(converge: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both fall with the width, the matched pair to less: the distance at infinite width is shown beside them."""
    arguments = ["--explicit", "--against", "m", "--p", "40", "--sizes", "100,200,400", "--draws", "3", "--jobs", "1"]
    code = converge.main([*arguments, "--means", "2", "--activation", "tanh", "--json", "m.json"])
    assert code == 0
    assert "m = ∞" in capsys.readouterr().out
    matched, naive = json.loads((tmp_path / "m.json").read_text("utf-8"))["results"]
    assert matched["slope"] < -0.3
    assert np.mean(matched["infinite_width"]) < 0.4 * np.mean(naive["infinite_width"])
    assert np.mean(matched["infinite_width"]) < matched["means"][-1]


def test_the_picture_of_explicit_networks(converge: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The matched network's law with its verdict, the naive one's predicted floor, and formulas in place of names."""
    shown: list[Any] = []
    monkeypatch.setattr(converge._figures, "write_figure", lambda _, figure, _option: shown.append(figure))
    arguments = converge._arguments(["--explicit", "--sizes", "100,200,400,800", "--draws", "8", "--seed", "7"])
    rng, scatter = np.random.default_rng(0), 1 + np.linspace(-0.05, 0.05, 8)
    results = []
    for network, level in (("matched", 0.0), ("naive", 0.5)):
        errors = {p: ((level + 2 / p**0.5) * scatter).tolist() for p in arguments.sizes}
        floor = ((0.5, 0.5),) * 4 if network == "naive" else ()
        claim = RateClaim.BOUND if network == "matched" else RateClaim.NOTHING
        results.append(Ladder.of(errors, rng, activation="tanh", network=network, claim=claim, floor=floor))
    converge._draw(results, arguments, "x.png", "--png")
    (figure,) = shown
    (axes,) = figure.axes
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "tanh, matched: supported" in labels
    assert "tanh, naive" in labels
    assert any(label.startswith("fits: $A_0") for label in labels)
    (floor,) = [line for line in axes.lines if line.get_label() == "predicted floor"]
    assert list(floor.get_ydata()) == [0.5] * 4
    assert axes.get_ylabel() == r"$\|G_{\mathrm{DEQ}} - G_{\mathrm{explicit}}\|$"
    assert axes.get_title() == r"CK: $n = 0.8\,p$, $\sigma_a^2 = 0.2$, $\sigma_b^2 = 0.8$"
    for words in ("8 draws of every size", "standard error", "seed 7", "deqverify"):
        assert words in figure.get_supxlabel()


def test_pictures_do_not_depend_on_the_day(
    converge: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--sizes", "60,80,120", "--draws", "2", "--jobs", "1", "--means", "2", "--resume", "records"]
    for name in ("one", "two"):
        code = converge.main([*arguments, "--activation", "relu", "--activation", "sin", "--pdf", f"{name}.pdf"])
        assert code in (0, 1, 3)
        shown = capsys.readouterr().out
        assert "relu" in shown
        assert "sin" in shown
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()


def test_a_floor_gives_code_1(converge: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors with a planted floor, in place of the measured ones."""

    def planted(experiment: Experiment, activation: object, kernel: Kernel, cell: Cell) -> KernelDistance:
        error = (0.3 + cell.p**-0.5) * (1 + 0.01 * np.sin(7.0 * cell.p + 3 * cell.index))
        return KernelDistance("relu", kernel, cell.p, cell.p, None, cell.index, error, 0.0, 0.0, None, {})

    monkeypatch.setattr(numerics.experiments.ladders, "distance_to_equivalent", planted)
    sizes = "100,200,400,800,1600,3200,6400"
    assert converge.main(["--sizes", sizes, "--draws", "12", "--jobs", "1"]) == 1
    assert converge.main(["--sizes", "100,200", "--draws", "12", "--jobs", "1"]) == 3


def test_the_accepted_curve_is_in_the_record(
    converge: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors of a true law with a next order, in place of the measured ones: code 0, and the law's curve."""

    def planted(experiment: Experiment, activation: object, kernel: Kernel, cell: Cell) -> KernelDistance:
        error = (2 * cell.p**-0.5 + 5 / cell.p) * (1 + 0.01 * np.sin(7.0 * cell.p + 3 * cell.index))
        return KernelDistance("relu", kernel, cell.p, cell.p, None, cell.index, error, 0.0, 0.0, None, {})

    monkeypatch.setattr(numerics.experiments.ladders, "distance_to_equivalent", planted)
    sizes = [100, 200, 400, 800, 1600]
    ladder = ["--sizes", ",".join(map(str, sizes)), "--draws", "6", "--jobs", "1", "--json", "law.json"]
    assert converge.main(ladder) == 0
    (result,) = json.loads((tmp_path / "law.json").read_text("utf-8"))["results"]
    np.testing.assert_allclose(result["law"], [2 * p**-0.5 + 5 / p for p in sizes], rtol=0.02)
    assert result["missing"] == ""


def test_a_pair_that_comes_closer_faster_is_supported(
    converge: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors like 1/p of the matched network; those of a kernel and its equivalent would be refuted."""

    def pair(experiment: Experiment, activation: object, kernel: Kernel, cell: Cell, width: None) -> PairDistance:
        error = 30 / cell.p * (1 + 0.01 * np.sin(7.0 * cell.p + 3 * cell.index))
        return PairDistance("relu", kernel, cell.p, cell.p, None, cell.index, "elu", error, 1.0, 1.0)

    monkeypatch.setattr(numerics.experiments.ladders, "distance_to_explicit", pair)
    ladder = ["--sizes", "100,200,400,800,1600,3200", "--draws", "12", "--jobs", "1"]
    assert converge.main([*ladder, "--explicit"]) == 0
    assert "supported (faster than claimed)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sizes", "0"], "from 1 to"),
        (["--sizes", "100,x"], "from 1 to"),
        (["--sizes", "4"], "no data for p = 4"),
        (["--against", "m", "--p", "4"], "no data for p = 4"),
        (
            ["--sizes", "40,60", "--ratio", "1000000", "--jobs", "1"],
            "60000000 samples of dimension 60 need about 102 PiB",
        ),
        (["--against", "n"], "invalid choice"),
        (["--p", "50"], "--against m"),
        (["--weights", "student"], "--against m"),
        (["--weights", "cauchy"], "invalid choice"),
        (["--draws", "0"], "from 1 to"),
        (["--explicit", "--against", "m", "--weights", "student"], "leave one out"),
        (["--ratio", "0"], "ratio"),
        (["--sigma-a2", "1"], "give --sigma-b2"),
        (["--sigma-a2", "-1"], "sigma_a2 must be a number >= 0"),
        (["--png", "x.pdf"], "ends in .png"),
        (["--pdf", "missing/x.pdf"], "does not exist"),
        (["--json", "missing/x.json"], "does not exist"),
        (["--activation", "nonsense"], "nonsense"),
        (["--activation", "sign", "--kernel", "ntk-all", "--sizes", "40", "--jobs", "1"], "E[phi'^2] is infinite"),
        (["--activation", "relu", "--sigma-a2", "5", "--sigma-b2", "1", "--sizes", "40", "--jobs", "1"], "equilibrium"),
        (
            ["--against", "m", "--sigma-a2", "1.99", "--sigma-b2", "1", "--sizes", "6", "--p", "20", "--jobs", "1"],
            "no fixed point in",
        ),
    ],
)
def test_bad_use(
    converge: ModuleType,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["converge.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        _running.run(converge.main)
    shown = capsys.readouterr().err.strip()
    assert stopped.value.code == 2
    assert words in shown
    assert len(shown.splitlines()) == 1


def test_a_kernel_that_no_network_has(
    converge: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At one learning rate ReLU's NTK has no network of two layers."""
    monkeypatch.setattr("numerics.experiments.pairs.design", partial(design, family="hermite", rates=RateChoice.ONE))
    arguments = ["--explicit", "--kernel", "ntk-recurrent", "--sizes", "40", "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", ["converge.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        _running.run(converge.main)
    assert stopped.value.code == 2
    assert "no explicit network has the kernel ntk-recurrent of relu" in capsys.readouterr().err
