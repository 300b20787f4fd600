"""Kernels between two sets of samples against blocks of square ones, and kernels of a DEQ that is stopped."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.arithmetic import pointwise
from numerics.arrays import Array
from numerics.equilibrium import solve_float
from numerics.kernels import (
    EXPLICIT_KERNELS,
    GramBlock,
    explicit_kernels,
    implicit_kernels,
    stopped_kernel,
    with_dual,
)
from theory.equations import DEQ
from theory.kernels import Kernel

#: Two samples are in both sets; one is 0; more rows than a tile has.
_FIRST, _SECOND = 150, 131


@pytest.fixture(scope="module")
def samples() -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((_FIRST + _SECOND, 12)) * rng.uniform(0.5, 1.5, (_FIRST + _SECOND, 1)) / np.sqrt(12)
    rows[5] = 0
    rows[_FIRST : _FIRST + 2] = rows[:2]
    return rows[:_FIRST], rows[_FIRST:]


def _square(samples: tuple[Array, Array]) -> Array:
    rows = np.vstack(samples)
    return np.asarray(rows @ rows.T)


@pytest.mark.parametrize("name", ["relu", "tanh", "swish", "abs(x)"])
def test_block_of_a_deq_is_that_of_the_stacked_samples(name: str, samples: tuple[Array, Array]) -> None:
    deq = DEQ(name, "2/5")
    phi, bias = with_dual(deq.activation), solve_float(deq).checked()["bias"]
    square = implicit_kernels(_square(samples), phi, 0.4, 0.6, bias, kernels=tuple(Kernel))
    block = implicit_kernels(GramBlock.of(*samples), phi, 0.4, 0.6, bias, kernels=tuple(Kernel))
    for kernel in Kernel:
        np.testing.assert_allclose(block[kernel], square[kernel][:_FIRST, _FIRST:], atol=2e-11, rtol=0)
    np.testing.assert_allclose(block.variances, square.variances, rtol=1e-13)
    assert block.evidence.residual <= 1e-12
    assert block.evidence.truncation_bound < 1e-11
    assert block.evidence.coincident_pairs == 2


@pytest.mark.parametrize("first", ["relu", "tanh"])
def test_block_of_an_explicit_network_is_that_of_the_stacked_samples(first: str, samples: tuple[Array, Array]) -> None:
    layers = [(with_dual(pointwise(first).source), 0.1), (pointwise("swish"), 0.2), (pointwise("tanh"), 0.0)]  # type: ignore[arg-type]
    square = explicit_kernels(_square(samples), layers, kernels=EXPLICIT_KERNELS)
    block = explicit_kernels(GramBlock.of(*samples), layers, kernels=EXPLICIT_KERNELS)
    for kernel in EXPLICIT_KERNELS:
        np.testing.assert_allclose(block[kernel], square[kernel][:_FIRST, _FIRST:], atol=2e-11, rtol=0)
    assert block.variances.shape == (3, _FIRST + _SECOND)


def test_another_centring_is_another_block(samples: tuple[Array, Array]) -> None:
    phi = pointwise("relu")
    block = GramBlock.of(*samples)
    first, second = (implicit_kernels(block, phi, 0.4, 0.6, bias)[Kernel.CK] for bias in (0.3, 0.31))
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_stopped_kernel_tends_to_the_equilibrium(name: str, samples: tuple[Array, Array]) -> None:
    deq = DEQ(name, "2/5")
    phi, bias = with_dual(deq.activation), solve_float(deq).checked()["bias"]
    limit = implicit_kernels(_square(samples), phi, 0.4, 0.6, bias)[Kernel.CK]
    errors = [
        float(np.abs(stopped_kernel(_square(samples), phi, 0.4, 0.6, bias, steps) - limit).max())
        for steps in (1, 2, 60)
    ]
    assert errors[0] > 2 * errors[1] > 1e-3
    assert errors[2] < 1e-11
    block = stopped_kernel(GramBlock.of(*samples), phi, 0.4, 0.6, bias, 2)
    square = stopped_kernel(_square(samples), phi, 0.4, 0.6, bias, 2)
    np.testing.assert_allclose(block, square[:_FIRST, _FIRST:], atol=1e-12)


def test_stopped_kernel_is_that_of_wide_stopped_networks() -> None:
    """Three steps with tied weights, h = 0 at the start, written out."""
    rng = np.random.default_rng(0)
    data, m, draws = rng.standard_normal((6, 5)) / np.sqrt(6), 1500, 8
    measured = []
    for _ in range(draws):
        recurrent, drive = np.sqrt(0.7 / m) * rng.standard_normal((m, m)), np.sqrt(0.3) * rng.standard_normal((m, 6))
        state = np.zeros((m, 5))
        for _ in range(3):
            state = np.maximum(recurrent @ state + drive @ data, 0) + 0.25
        measured.append(state.T @ state / m)
    predicted = stopped_kernel(data.T @ data, pointwise("relu"), 0.7, 0.3, -0.25, 3)
    error = np.std(measured, axis=0, ddof=1) / np.sqrt(draws)
    assert np.all(np.abs(np.mean(measured, axis=0) - predicted) < 5 * error + 2e-4)
    two = stopped_kernel(data.T @ data, pointwise("relu"), 0.7, 0.3, -0.25, 2)
    assert np.any(np.abs(np.mean(measured, axis=0) - two) > 8 * error)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (GramBlock(np.ones((2, 3)), np.ones(2), np.ones(2)), "a squared norm for each row and each column"),
        (GramBlock(np.ones((0, 3)), np.ones(0), np.ones(3)), "a squared norm for each row and each column"),
        (GramBlock(np.ones((2, 3)), np.ones(2), np.full(3, 0.9)), "no block of a Gram matrix"),
        (GramBlock(np.ones((2, 3)), -np.ones(2), np.ones(3)), "not negative"),
        (GramBlock(np.full((2, 3), np.nan), np.ones(2), np.ones(3)), "finite"),
    ],
)
def test_what_is_no_block_is_refused(block: GramBlock, message: str) -> None:
    for call in (
        lambda: implicit_kernels(block, pointwise("relu"), 0.4, 0.6, 0.0),
        lambda: explicit_kernels(block, [(pointwise("relu"), 0.0)]),
        lambda: stopped_kernel(block, pointwise("relu"), 0.4, 0.6, 0.0, 2),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_other_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(r, p\) and \(c, p\) arrays"):
        GramBlock.of(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="at least one step"):
        stopped_kernel(np.eye(2), pointwise("relu"), 0.4, 0.6, 0.0, 0)
