"""What holds for the spectral law of any mixture, and its outliers against those of exact kernels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import threadpoolctl
from hypothesis import Phase, example, given, note, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerics.arithmetic import pointwise
from numerics.data import GaussianMixture
from numerics.equilibrium import solve_float
from numerics.kernels import implicit_kernels
from numerics.spectrum import SpectralLaw, isolated_eigenvalues, kolmogorov_distance
from theory.activations import resolve
from theory.equations import DEQ
from theory.kernels import Kernel, KernelCoefficients

Array = NDArray[np.float64]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Many small eigenproblems: threads would wait for each other."""
    with threadpoolctl.threadpool_limits(limits=1):
        yield


@st.composite
def mixtures(draw: st.DrawFn) -> GaussianMixture:
    """Up to three classes, each with its own few variances in a common basis."""
    p = draw(st.sampled_from([60, 100, 150]))
    classes = draw(st.integers(1, 3))
    levels = st.sampled_from([0.0, 0.3, 1.0, 1.5, 4.0])
    covariances = []
    for _ in range(classes):
        blocks = draw(st.lists(levels, min_size=1, max_size=3))
        diagonal = np.repeat(blocks, -(-p // len(blocks)))[:p]
        covariances.append(diagonal if diagonal.any() else np.ones(p))
    means = np.zeros((classes, p))
    for a in range(classes):
        means[a, draw(st.sampled_from([0, p // 2, p - 1]))] = draw(st.sampled_from([0.0, 1.0, 3.0]))
    sizes = [draw(st.integers(5, 200)) for _ in range(classes)]
    note(f"p = {p}, sizes {sizes}, levels {[np.unique(c, return_index=True)[::-1] for c in covariances]}")
    return GaussianMixture.build(means, covariances, sizes)


COEFFICIENTS = st.builds(
    KernelCoefficients,
    linear=st.sampled_from([0.2, 1.0]),
    variance=st.sampled_from([0.0, 0.1, 0.5]),
    square=st.sampled_from([0.0, 0.2]),
    diagonal=st.sampled_from([0.5, 2.0]),
)


#: A law takes a tenth of a second, and shrinking hundreds of them: a failure prints the few numbers it was drawn by.
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)


def in_blocks(p: int, sizes: list[int], *levels: tuple[float, ...]) -> GaussianMixture:
    """Classes without means, of diagonal covariances with levels on equal blocks."""
    covariances = [np.repeat(np.array(blocks, dtype=np.float64), p // len(blocks)) for blocks in levels]
    return GaussianMixture.build(np.zeros((len(sizes), p)), covariances, sizes)


@settings(max_examples=12, phases=UNSHRUNK)
@example(in_blocks(60, [33, 5], (0, 0, 1), (0, 4, 0)), KernelCoefficients(0.2, 0.0, 0.0, 0.5))
@example(in_blocks(150, [174, 174, 41], (0.3, 0.3, 1), (4, 0.3, 0.3), (0.3, 0.3, 1)), KernelCoefficients(1, 0, 0, 2))
@given(mixtures(), COEFFICIENTS)
def test_the_law_is_a_probability_law(mixture: GaussianMixture, numbers: KernelCoefficients) -> None:
    law = SpectralLaw.of(mixture, numbers)
    assert sum(law.masses) + law.point_mass == pytest.approx(1, abs=1e-9)
    left = min([law.edges[0][0]] + ([] if law.point is None else [law.point]))
    places = np.linspace(left - 0.1, law.edges[-1][1] + 0.1, 400)
    assert np.all(law.density(places) >= 0)
    steps = law.cumulative(places)
    assert np.all(np.diff(steps) >= -1e-9)
    assert steps[0] == 0
    assert steps[-1] == pytest.approx(1, abs=1e-12)
    assert law.bulk is not None
    assert all(part.mass_error <= 1e-8 * part.mass for part in law.bulk.intervals)
    # Isolated eigenvalues lie outside the support, aligned with the classes at most as a projection can be.
    for outlier in law.outliers:
        assert not any(a < outlier.value < b for a, b in law.edges)
        cosines = np.linalg.eigvalsh(outlier.alignment)
        assert cosines[0] > -1e-7
        assert cosines[-1] < 1 + 1e-7
        assert cosines.sum() < outlier.multiplicity + 1e-6


@settings(max_examples=6, phases=UNSHRUNK)
@given(mixtures(), COEFFICIENTS, st.sampled_from([0.25, 9.0]))
def test_scaling_the_data_scales_the_law(mixture: GaussianMixture, numbers: KernelCoefficients, factor: float) -> None:
    """S -> f S; alpha_2, alpha_3 go with S squared."""
    scaled = GaussianMixture.build(
        np.sqrt(factor) * mixture.means, [factor * c.diagonal for c in mixture.covariances], mixture.sizes
    )
    shrunk = KernelCoefficients(
        numbers.linear / factor, numbers.variance / factor**2, numbers.square / factor**2, numbers.diagonal
    )
    one, other = SpectralLaw.of(mixture, numbers), SpectralLaw.of(scaled, shrunk)
    np.testing.assert_allclose(one.edges, other.edges, atol=1e-8)
    np.testing.assert_allclose(one.outlier_values, other.outlier_values, atol=1e-7)


@settings(max_examples=6, phases=UNSHRUNK)
@given(mixtures(), COEFFICIENTS)
def test_the_order_of_the_classes_does_not_matter(mixture: GaussianMixture, numbers: KernelCoefficients) -> None:
    turned = GaussianMixture.build(mixture.means[::-1], mixture.covariances[::-1], mixture.sizes[::-1])
    one, other = SpectralLaw.of(mixture, numbers), SpectralLaw.of(turned, numbers)
    np.testing.assert_allclose(one.edges, other.edges, atol=1e-8)
    np.testing.assert_allclose(one.outlier_values, other.outlier_values, atol=1e-7)
    for ours, theirs in zip(one.outliers, other.outliers, strict=True):
        np.testing.assert_allclose(ours.alignment, theirs.alignment[::-1, ::-1], atol=1e-6)


# --- against exact kernels ----------------------------------------------------------------------------------------


def prediction(mixture: GaussianMixture, name: str, kernel: str) -> tuple[SpectralLaw, float]:
    """The law, and the activation's bias."""
    solution = solve_float(DEQ(resolve(name), 0.2, 0.8, mixture.tau0))
    return SpectralLaw.of(mixture, solution.kernel(kernel)), solution["bias"]


def exact_spectrum(mixture: GaussianMixture, name: str, kernel: str, bias: float, seed: list[int]) -> Array:
    """Eigenvalues of the exact infinite-width kernel of one draw, descending."""
    gram = mixture.sample(np.random.default_rng(seed)).gram()
    found = implicit_kernels(gram, pointwise(resolve(name)), 0.2, 0.8, bias, kernels=(kernel,), tolerance=1e-9)
    return np.asarray(np.linalg.eigvalsh(found[kernel])[::-1])


# The same examples on every run: with others, one in some hundred would fail by chance.  Random ones, at a level of
# their own, are in test_spectra_against_simulations.py.
@pytest.mark.soak
@settings(max_examples=4, derandomize=True, phases=[Phase.generate])
@given(
    st.sampled_from(["relu", "tanh", "erf", "softsign"]),
    st.sampled_from([Kernel.CK, Kernel.CK, Kernel.NTK_RECURRENT]),
    st.floats(2.8, 3.5),
    st.floats(0.0, 2.0),
    st.sampled_from([0.5, 0.8, 1.0]),
    st.integers(0, 2**32),
)
def test_outliers_are_the_exact_kernels_in_the_limit(
    name: str, kernel: str, means: float, shift: float, ratio: float, seed: int
) -> None:
    """The sum of the isolated eigenvalues, measured less predicted, extrapolated to infinite p, is 0 +- 3 errors.

    At a finite p the exact kernel differs from its equivalent by terms in p^(-1/2) and 1/p that standard errors, of
    the same order here, do not cover: so three sizes are measured, with p^(-1/2) as 3 : 2 : 1, and the parabola through
    them is followed to 0.  The sum, since eigenvalues that are nearly equal repel each other.
    """
    offsets, errors = [], []
    for p, draws in ((80, 64), (180, 48), (720, 16)):
        mixture = GaussianMixture.released_experiment(p, ratio=ratio, means=means, cov_shift=shift)
        law, bias = prediction(mixture, name, kernel)
        above = law.outlier_values[law.outlier_values > law.edges[-1][1]]
        # Both classes' means are far above the threshold, so that no draw's eigenvalue is lost in the bulk.
        assert above.size == 2
        assert above[1] > law.edges[-1][1] + 4 * law.edge_fluctuation("right")
        sums = [exact_spectrum(mixture, name, kernel, bias, [seed, p, k])[:2].sum() for k in range(draws)]
        offsets.append(np.mean(sums) - above.sum())
        errors.append(np.std(sums, ddof=1) / np.sqrt(draws))
    parabola = np.array([1, -3, 3])
    assert abs(parabola @ offsets) <= 3 * np.linalg.norm(parabola * errors)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "kernel"), [("relu", Kernel.CK), ("tanh", Kernel.CK), ("relu", Kernel.NTK_ALL)])
def test_the_bulk_comes_nearer_to_the_law_as_p_grows(name: str, kernel: str) -> None:
    distances = []
    for p in (80, 240, 720):
        mixture = GaussianMixture.released_experiment(p, means=2, cov_shift=4)
        law, bias = prediction(mixture, name, kernel)
        spectra = [exact_spectrum(mixture, name, kernel, bias, [p, k]) for k in range(3)]
        parts = [isolated_eigenvalues(spectrum, law, 0.0)[1] for spectrum in spectra]
        distances.append(float(np.mean([kolmogorov_distance(part, law) for part in parts])))
    assert distances[0] > 1.3 * distances[1] > 1.3**2 * distances[2]
    assert distances[2] < 0.05
