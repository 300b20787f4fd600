"""A DEQ beside explicit networks: one cell recomputed by other means, and the ladder that tells them apart."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from numerics.arithmetic import pointwise
from numerics.experiments import Cell, Experiment, NoMatchError, distance_to_explicit, local_slopes
from numerics.kernels import explicit_ck, implicit_ck
from numerics.matching import design
from numerics.moments import FloatMoments
from numerics.networks import FiniteDEQ, FiniteExplicitNetwork
from theory.activations import registered
from theory.kernels import Kernel

EXPERIMENT = Experiment(activations=(), means=2.0, seed=5)
RELU, TANH = (registered(name).with_parameters() for name in ("relu", "tanh"))


@pytest.mark.parametrize("width", [None, 60])
def test_a_cell_is_the_norms_of_the_differences(width: int | None) -> None:
    cell = Cell(50, 2)
    found = distance_to_explicit(EXPERIMENT, TANH, Kernel.CK, cell, width)
    assert found.family == "hard_tanh"
    assert (found.p, found.n, found.width, found.index) == (50, 40, width, 2)
    rng = np.random.default_rng([5, 50, 2] if width is None else [5, 50, 60, 2])
    mixture = EXPERIMENT.mixture(50)
    sample = mixture.sample(rng)
    tau0 = sample.statistics().tau0("population")
    matched = design(TANH, sp.Rational(1, 5), sp.Rational(4, 5), sp.Rational(str(tau0))).network.pointwise()
    phi = pointwise(TANH)
    naive = [(phi, FloatMoments(phi).at(tau0).mean)]
    if width is None:
        own = implicit_ck(sample.gram(), phi, 0.2, 0.8, 0.0).kernel
        others = [explicit_ck(sample.gram(), layers).kernel for layers in (matched, naive)]
    else:
        network = FiniteDEQ.draw(phi, 0.0, 0.2, 0.8, width=width, dimension=50, rng=rng)
        states = network.equilibrium(sample.data, tolerance=1e-10).states
        own = states.T @ states / width
        others = [
            FiniteExplicitNetwork.draw(layers, width=width, dimension=50, rng=rng).ck(sample.data)
            for layers in (matched, naive)
        ]
    for value, kernel in zip((found.matched, found.naive), others, strict=True):
        assert value == pytest.approx(np.linalg.norm(own - kernel, 2), rel=1e-7)


@pytest.mark.parametrize(("name", "family"), [("elu", "rational"), ("relu", "leaky_relu"), ("tanh", "hard_tanh")])
def test_matched_errors_fall_and_naive_ones_tend_to_the_predicted_floor(name: str, family: str) -> None:
    activation = registered(name).with_parameters()
    sizes, matched, naive, floors = (80, 160, 320), [], [], []
    for p in sizes:
        cells = [distance_to_explicit(EXPERIMENT, activation, Kernel.CK, Cell(p, k)) for k in range(3)]
        assert {cell.family for cell in cells} == {family}
        matched.append([cell.matched for cell in cells])
        naive.append([cell.naive for cell in cells])
        floors.append(np.mean([cell.floor for cell in cells]))
    # From end to end: p^(-1/2) or faster, and a floor to which its own corrections still add.
    (fall,), (level,) = (local_slopes((80, 320), [errors[0], errors[-1]]) for errors in (matched, naive))
    assert fall < -0.5
    assert level > -0.25
    gaps = np.abs(np.mean(naive, axis=1) / floors - 1)
    assert gaps[-1] < 0.04
    assert gaps[-1] < gaps[0] + 0.01


def test_ntks_are_compared_as_well() -> None:
    small, large = (distance_to_explicit(EXPERIMENT, TANH, Kernel.NTK_ALL, Cell(p, 0)) for p in (60, 240))
    assert large.matched < 0.6 * small.matched
    assert large.naive == pytest.approx(large.floor, rel=0.1)
    finite = distance_to_explicit(EXPERIMENT, TANH, Kernel.NTK_ALL, Cell(60, 0), 80)
    assert finite.width == 80
    assert finite.matched > small.matched


def test_what_cannot_be_matched_is_said() -> None:
    with pytest.raises(NoMatchError, match="no explicit network has the kernel ntk-recurrent of relu here"):
        distance_to_explicit(EXPERIMENT, RELU, Kernel.NTK_RECURRENT, Cell(50, 0))
