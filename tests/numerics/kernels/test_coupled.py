"""Kernels of coupled states: those of one state, of explicit networks, of the definition in mpmath; their NTKs."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp

from numerics.arrays import Array
from numerics.equilibrium import certify, certify_states
from numerics.kernels import CoupledKernels, KernelConvergenceError, coupled_kernels, explicit_kernels, implicit_kernels
from tests.coupled_oracle import CoupledOracle
from theory.equations import DEQ, CoupledDEQ, State
from theory.kernels import Kernel

ALL = ("recurrent", "input")


def gram_of(seed: int, n: int = 40, p: int = 30) -> Array:
    samples = np.random.default_rng(seed).standard_normal((p, n)) / np.sqrt(p)
    return samples.T @ samples


def near_gram() -> Array:
    """Samples that are equal, opposite, and nearly equal."""
    samples = np.random.default_rng(3).standard_normal((30, 40)) / np.sqrt(30)
    samples[:, 1], samples[:, 5] = samples[:, 0], -samples[:, 4]
    samples[:, 3] = samples[:, 2] + 1e-6 * samples[:, 3]
    samples[:, 7] = samples[:, 6] + 0.3 * samples[:, 7]
    return samples.T @ samples


@pytest.mark.parametrize("gram", [gram_of(0), near_gram()], ids=["apart", "near"])
@pytest.mark.parametrize("text", ["relu", "tanh", "swish", "elu"])
def test_one_state_has_the_kernels_of_the_deq(text: str, gram: Array) -> None:
    deq = DEQ(text, "2/5", "3/5")
    mean = float(certify(deq, 15)["bias"])
    kernels = (Kernel.CK, Kernel.NTK_ALL, Kernel.NTK_RECURRENT)
    wanted = implicit_kernels(gram, text, 0.4, 0.6, mean, kernels=kernels)
    for trained, kernel in ((ALL, Kernel.NTK_ALL), (("recurrent",), Kernel.NTK_RECURRENT)):
        found = coupled_kernels(gram, CoupledDEQ.of(deq), [mean], trained=trained)
        assert found.ntk is not None
        np.testing.assert_allclose(found.ck[0], wanted[Kernel.CK], rtol=0, atol=2e-12)
        np.testing.assert_allclose(found.ntk, wanted[kernel], rtol=0, atol=1e-10)
        np.testing.assert_array_equal(found.ck[0], found.ck[0].T)
        np.testing.assert_array_equal(found.ntk, found.ntk.T)
        np.testing.assert_allclose(found.variances[0], wanted.variances, rtol=1e-11)


def test_a_chain_is_an_explicit_network() -> None:
    gram, layers = gram_of(1, n=150), [("relu", 0.3), ("tanh", 0.0), ("erf", 0.1)]
    wanted = explicit_kernels(gram, layers, kernels=(Kernel.CK, Kernel.NTK_ALL))
    found = coupled_kernels(gram, CoupledDEQ.feedforward(["relu", "tanh", "erf"]), [0.3, 0, 0.1], trained=ALL)
    assert found.ntk is not None
    np.testing.assert_allclose(found.ck[2], wanted[Kernel.CK], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.ntk, wanted[Kernel.NTK_ALL], rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.ck[0], explicit_kernels(gram, layers[:1])[Kernel.CK], rtol=0, atol=1e-12)


MIXED = CoupledDEQ(
    [State("relu", "0.6", centred=False), State("abs", "0.35", "0.1"), State("erf", 0, "1/20")],
    [["0.25", "0.3", 0], ["0.15", "0.1", "0.1"], ["0.3", "0.4", 0]],
)


@pytest.fixture(scope="module")
def mixed() -> tuple[Array, list[float], CoupledKernels]:
    gram = near_gram()
    means = [float(mean) for mean in certify_states(MIXED, 15).means]
    return gram, means, coupled_kernels(gram, MIXED, means, trained=("recurrent", "input", "bias"))


def test_entries_are_those_of_the_definition(mixed: tuple[Array, list[float], CoupledKernels]) -> None:
    """Every state's entry of a few pairs, iterated in mpmath from closed duals, near correlation 1 too."""
    gram, _, found = mixed
    oracle = CoupledOracle(MIXED)
    for i, j in ((8, 9), (6, 7), (4, 5), (2, 3), (0, 1), (8, 8)):
        with mp.workdps(40):
            inner = min(gram[i, j], float(np.sqrt(gram[i, i] * gram[j, j])))
            _, wanted = oracle.entry(mp.mpf(inner), mp.mpf(gram[i, i]) - 1, mp.mpf(gram[j, j]) - 1)
        np.testing.assert_allclose(found.ck[:, i, j], [float(value) for value in wanted], rtol=0, atol=2e-12)


def test_the_ntk_is_the_sum_of_its_parts(mixed: tuple[Array, list[float], CoupledKernels]) -> None:
    gram, means, whole = mixed
    parts = [coupled_kernels(gram, MIXED, means, trained=[name]).ntk for name in ("recurrent", "input", "bias")]
    readout = whole.ck[MIXED.readout]
    np.testing.assert_allclose(sum(parts) - 2 * readout, whole.ntk, rtol=1e-12, atol=1e-14)  # type: ignore[operator, arg-type]
    np.testing.assert_array_equal(coupled_kernels(gram, MIXED, means, trained=[]).ntk, readout)


def test_adjoint_kernels_obey_their_recursion() -> None:
    """B^(r) = Gdot^(r) (1[r is read out] + sum_q sigma_qr^2 B^(q)), iterated, with ReLU's own Gdot."""
    weights = np.array([[0.25, 0.5], [0.125, 0.3]])
    rows = [[str(value) for value in row] for row in weights]
    cell = CoupledDEQ([State("relu", "0.6", centred=False), State("relu", "0.4", centred=False)], rows, readout=1)
    gram = gram_of(2, n=20)
    found = coupled_kernels(gram, cell, [0, 0], trained=ALL)
    covariances = np.einsum("rs,sij->rij", weights, found.ck) + np.multiply.outer([0.6, 0.4], gram)
    scales = np.sqrt(found.variances[:, :, None] * found.variances[:, None, :])
    slopes = (np.pi - np.arccos(np.clip(covariances / scales, -1, 1))) / (2 * np.pi)
    adjoint = np.zeros(slopes.shape)
    for _ in range(100):
        adjoint = slopes * (np.array([0, 1])[:, None, None] + np.einsum("qr,qij->rij", weights, adjoint))
    np.testing.assert_allclose(found.ntk, found.ck[1] + np.sum(adjoint * covariances, axis=0), rtol=1e-9)


def test_what_has_no_ntk_says_so() -> None:
    with pytest.raises(KernelConvergenceError, match="no NTK"):
        coupled_kernels(gram_of(0), CoupledDEQ([State("sign", 1)], [[0]]), [0], trained=ALL)
    with pytest.raises(ValueError, match="can be trained are"):
        coupled_kernels(gram_of(0), MIXED, [0, 0, 0], trained=["readout"])
    with pytest.raises(ValueError, match="means must be 3"):
        coupled_kernels(gram_of(0), MIXED, [0])


def test_too_large_weights_have_no_kernel() -> None:
    cell = CoupledDEQ([State("relu", 1, centred=False)], [[3]])
    with pytest.raises(KernelConvergenceError):
        coupled_kernels(gram_of(0), cell, [0])


def test_the_evidence_bounds_the_error() -> None:
    gram, means = gram_of(5), [float(mean) for mean in certify_states(MIXED, 15).means]
    exact = coupled_kernels(gram, MIXED, means)
    for tolerance in (1e-3, 1e-6):
        rough = coupled_kernels(gram, MIXED, means, tolerance=tolerance)
        error = np.abs(rough.ck - exact.ck).max()
        assert error <= rough.evidence.truncation_bound + 10 * rough.evidence.residual + 1e-12
        assert rough.evidence.order < exact.evidence.order
