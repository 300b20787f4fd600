"""A DEQ beside explicit networks: cells whose distances are known, and the ladder that tells them apart."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest

from numerics.experiments import Cell, Experiment, NoMatchError, distance_to_explicit, local_slopes
from numerics.matching import design
from theory.activations import registered
from theory.kernels import Kernel
from theory.named import RateChoice

EXPERIMENT = Experiment(activations=(), means=2.0, seed=5)
RELU, TANH = (registered(name).with_parameters() for name in ("relu", "tanh"))


def test_without_recurrence_the_naive_network_is_the_deq() -> None:
    """sigma_a^2 = 0: one layer.  At infinite width the two are equal; at width m independent draws of one law."""
    single = dataclasses.replace(EXPERIMENT, sigma_a2=0.0, sigma_b2=1.0)
    exact = distance_to_explicit(single, TANH, Kernel.CK, Cell(50, 2))
    assert (exact.p, exact.n, exact.width, exact.index, exact.family) == (50, 40, None, 2, "hard_tanh")
    assert max(exact.naive, exact.floor) < 1e-9 < exact.matched
    small, large = (
        np.mean([distance_to_explicit(single, TANH, Kernel.CK, Cell(50, k), width).naive for k in range(4)])
        for width in (100, 400)
    )
    # m^(-1/2), the means of four draws each.
    assert large / small == pytest.approx(0.5, rel=0.25)


def test_linear_networks_differ_by_a_multiple_of_the_gram_matrix() -> None:
    """phi(x) = x with sigma_b^2 = 8/5: alpha_1 = 2, which linear layers have too; the naive layer's is 1.

    On white data ||S|| is near the edge of Marchenko and Pastur's law, (1 + sqrt(n/p))^2.
    """
    white = Experiment(activations=(), sigma_b2=1.6, means=0.0, cov_shift=0.0, seed=3)
    found = distance_to_explicit(white, registered("identity").with_parameters(), Kernel.CK, Cell(300, 0))
    assert found.matched < 1e-9
    assert found.naive == pytest.approx((1 + np.sqrt(0.8)) ** 2, rel=0.05)
    assert found.floor == pytest.approx(found.naive, rel=1e-9)


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


def test_what_cannot_be_matched_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """At one learning rate ReLU's NTK has no network of two layers."""
    monkeypatch.setattr("numerics.experiments.pairs.design", partial(design, family="hermite", rates=RateChoice.ONE))
    with pytest.raises(NoMatchError, match="no explicit network has the kernel ntk-recurrent of relu here"):
        distance_to_explicit(EXPERIMENT, RELU, Kernel.NTK_RECURRENT, Cell(50, 0))


def test_a_tangent_kernel_has_a_network_at_two_learning_rates() -> None:
    """ReLU's recurrent NTK: the distance to the matched network falls like p^(-1/2), that to the naive one does not."""
    small, large = (distance_to_explicit(EXPERIMENT, RELU, Kernel.NTK_RECURRENT, Cell(p, 0)) for p in (100, 400))
    assert large.matched < 0.6 * small.matched
    assert large.naive > 0.6 * small.naive
    assert large.matched < 0.1 * large.naive
