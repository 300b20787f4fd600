"""Choosing the matched network that is nearest on data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import numerics.matching.on_data
from numerics.arithmetic import PointwiseActivation
from numerics.arrays import Array
from numerics.budget import OverBudgetError, limited, spent
from numerics.data import Dataset
from numerics.equilibrium import solve_float
from numerics.kernels import implicit_kernels
from numerics.matching import (
    DesignError,
    best_scalar,
    design,
    design_for_data,
    explicit_kernel,
    naive_layers,
)
from theory.equations import DEQ
from theory.kernels import Kernel


def _gram(how: str, count: int = 150) -> Array:
    images, labels = load_digits(return_X_y=True)
    data = Dataset.from_arrays(images, labels)
    return data.subsample(count, np.random.default_rng(0)).normalise(how).gram()  # type: ignore[arg-type]


def _kernel(deq: DEQ, gram: Array) -> Array:
    """The DEQ's kernel, by calls of its own."""
    bias = solve_float(deq).checked()["bias"]
    return implicit_kernels(gram, deq.activation, float(deq.sigma_a2), float(deq.sigma_b2), bias)[Kernel.CK]  # type: ignore[arg-type]


def test_errors_are_those_of_the_kernels() -> None:
    gram, deq = _gram("center", 60), DEQ("tanh", "4/5")
    found = design_for_data(deq, gram)
    target = _kernel(deq, gram)
    by_name = {fit.name: fit for fit in (*found.fits, *found.rivals)}
    erf = design(deq, family="erf").network
    naive = explicit_kernel(gram, naive_layers(deq))
    scalar = best_scalar(naive, target)
    once = explicit_kernel(0.2 * gram, naive_layers(DEQ("tanh")))
    for name, kernel in (
        ("1 x erf", explicit_kernel(gram, erf.pointwise())),
        ("naive", naive),
        (f"naive times {scalar:.4g}", scalar * naive),
        ("DEQ after one step", once),
    ):
        error = kernel - target
        assert by_name[name].frobenius == pytest.approx(np.linalg.norm(error) / np.linalg.norm(target), rel=1e-6)
        assert by_name[name].operator == pytest.approx(np.linalg.norm(error, 2) / np.linalg.norm(target, 2), rel=1e-6)
    assert [fit.frobenius for fit in found.fits] == sorted(fit.frobenius for fit in found.fits)
    for factor in (0.99 * scalar, 1.01 * scalar):
        assert np.linalg.norm(factor * naive - target) > np.linalg.norm(scalar * naive - target)
    assert {name for name, _ in found.left_out} == {"1 x leaky_relu", "2 x leaky_relu"}


def test_the_data_decide() -> None:
    """Off tau_0 the families differ; at norm 1 even polynomial layers are near."""
    deq = DEQ("tanh", "4/5")
    spread, even = design_for_data(deq, _gram("none")), design_for_data(deq, _gram("sample"))
    errors = [{fit.name: fit.frobenius for fit in found.fits} for found in (spread, even)]
    assert even.chosen.frobenius < 0.01
    assert errors[1]["1 x hermite"] < 0.1
    assert all(found.fits[0].frobenius < found.fits[-1].frobenius / 2 for found in (spread, even))
    assert [fit.name.split(" times")[0] for fit in even.rivals] == [
        "naive", "naive", "DEQ after one step", "DEQ after two steps",
    ]  # fmt: skip


def test_a_nearer_rival_is_named() -> None:
    """At a small sigma_a^2 a DEQ is nearly a multiple of one layer."""
    found = design_for_data(DEQ("tanh", "1/5"), _gram("center"))
    nearest = min(found.rivals, key=lambda fit: fit.frobenius)
    assert (nearest.frobenius <= found.chosen.frobenius) == ("is nearer still" in found.sentence)
    assert found.chosen.name in found.sentence
    assert nearest.name in found.sentence
    assert "Frobenius" in found._repr_html_()


def test_tangent_kernels_have_designs_too() -> None:
    found = design_for_data(DEQ("relu", "2/5"), _gram("sample", 60), kernel=Kernel.NTK_ALL)
    assert found.chosen.frobenius < 0.05
    assert [fit.name.split(" times")[0] for fit in found.rivals] == ["naive", "naive"]


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for gram in (np.ones((1, 1)), np.ones((2001, 2001)), np.ones(3)):
        with pytest.raises(ValueError, match="2 to 2000 samples"):
            design_for_data(DEQ("tanh"), gram)
    monkeypatch.setattr(numerics.matching.on_data, "LAYER_COUNTS", {"leaky_relu": (2,)})
    with pytest.raises(DesignError, match="no family matches tanh here: 2 x leaky_relu: every such network"):
        design_for_data(DEQ("tanh", "4/5"), _gram("sample", 30))


def test_a_slow_network_is_left_out_and_the_others_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    gram, kernel = _gram("sample", 40), numerics.matching.on_data.explicit_kernel

    def slow(gram: Array, layers: list[tuple[PointwiseActivation, float]], *others: Any) -> Array:
        if layers[0][0].name == "hard_tanh":
            raise OverBudgetError("too much was spent")
        return kernel(gram, layers, *others)

    monkeypatch.setattr(numerics.matching.on_data, "explicit_kernel", slow)
    found = design_for_data(DEQ("tanh", "4/5"), gram)
    assert ("1 x hard_tanh", "too much was spent") in found.left_out
    assert "1 x erf" in {fit.name for fit in found.fits}


def test_time_that_is_spent_leaves_what_was_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first network that matches the time is over, and before it OverBudgetError is raised."""
    gram, done = _gram("sample", 40), list[str]()
    fit = numerics.matching.on_data._fit
    monkeypatch.setattr(numerics.matching.on_data, "spent", lambda: bool(done))

    def once(*given: Any, **more: Any) -> Any:
        done.append("")
        return fit(*given, **more)

    monkeypatch.setattr(numerics.matching.on_data, "_fit", once)
    found = design_for_data(DEQ("tanh", "4/5"), gram)
    assert len(found.fits) == 1
    assert [reason for _, reason in found.left_out].count("no processor time was left") == 6
    monkeypatch.setattr(numerics.matching.on_data, "spent", spent)
    with pytest.raises(OverBudgetError), limited(1e-9):
        design_for_data(DEQ("tanh", "4/5"), gram)


@pytest.mark.parametrize(
    ("gram", "message"),
    [
        ([["a", "b"], ["c", "d"]], "the Gram matrix must be an array of real numbers, or lists of equal lengths"),
        (np.full((2, 2), np.nan), "the Gram matrix must be finite"),
        (np.diag([1.0, -1.0]), "with a nonnegative diagonal"),
        (np.zeros((2, 2)), "a diagonal of squared norms that are not all 0"),
        (np.ones((3, 2)), r"the Gram matrix must be square and not empty, got shape \(3, 2\)"),
        (np.ones(4), r"the Gram matrix of 2 to 2000 samples is accepted, not an array of shape \(4,\)"),
        (np.array([[1.0, 0.5], [0.4, 1.0]]), "the Gram matrix must be symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "not positive semidefinite"),
    ],
)
def test_what_is_no_gram_matrix(gram: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        design_for_data(DEQ("tanh"), gram)
