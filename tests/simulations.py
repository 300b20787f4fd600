"""Exact kernels of simulated data along ladders of p, and what theories, right or wrong, say of them.

Infinite width: the kernel of every draw of the data is exact, so that p is all that is finite.  What a theory says is
compared in these ways, each along a ladder of p:

- *witnesses*: numbers tr M(K - Kbar) with M of bounded nuclear norm, one for each direction that a coefficient of the
  equivalent multiplies (the identity, S, the classes' indicators, delta).  They are taken in two parts that both tend
  to 0.  The kernel less its entries' polynomial in S_ij and delta_i (of degree 4 for a DEQ) sees the four coefficients,
  and hardly scatters: the polynomial is a control variate.  The terms of it that remain in the limit less the
  equivalent's see J, t, T and psi, and have nothing to do with the kernel.
- *norm*: the operator norm of K - Kbar.
- *spectrum*: isolated eigenvalues, and traces of resolvents, less what the law says.
- *alignment*: squared cosines of the isolated eigenvectors to the span of the classes' indicators, less the law's.
- *bulk*: Kolmogorov's distance of the eigenvalues to the law, or Levy's where the law has a point mass, in units of the
  kernel's diagonal.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerics.arithmetic import FloatArithmetic, Program, compile_program
from numerics.data import GaussianMixture, MixtureSample
from numerics.equilibrium import FORMULA_INPUTS
from numerics.equivalents import DeterministicEquivalent, low_rank_core
from numerics.kernels import KernelConvergenceError
from numerics.linalg import operator_norm
from numerics.moments import FloatMoments
from numerics.spectrum import (
    Bulk,
    Population,
    SpectralLaw,
    isolation_margin,
    kolmogorov_distance,
    levy_distance,
    solve_bulk,
)
from tests.ensembles import TOLERANCE, Ensemble, Implicit, Model
from tests.sequential import Look, look_at_limits
from theory.equations import kernel_coefficients
from theory.kernels import Kernel, KernelCoefficients
from theory.symbols import mean, tau_0

__all__ = ["TRUE", "Case", "Claim", "Theory", "planted"]

Array = NDArray[np.float64]

#: sqrt(n p) of the first look, and how many draws at each; every further look is at sizes larger by the factor.
_LARGER = float(os.environ.get("DEQVERIFY_LARGER", "1"))
SIZES, DRAWS, GROWTH = tuple(round(size * _LARGER) for size in (96, 152, 240, 384)), (5, 5, 4, 4), 1.5
#: Relative to the kernel's diagonal: what its tolerance may leave of a witness that is 0.
_FLOOR = 100 * TOLERANCE
#: Seconds of processor time for the kernels of the first draw, which take a tenth of one as a rule.
_PATIENCE = 1.0
#: Samples that a class must have at the smallest p to be a witness.
_FEWEST = 4
#: Resolvents are taken left of 0 by these multiples of the kernel's diagonal.
_DISTANCES = (0.25, 1.0, 4.0)


@dataclass(frozen=True)
class Theory:
    """The theory, or a wrong one.

    Attributes:
        name: what is wrong.
        error: relative size of the error of a number, or nan where it has none.
        factors: by kernel, what the four coefficients are multiplied by.
        scale: factor of tau_* at which the moments are taken.
        reversed_classes: which of "t", "T", "means", "sizes" have the classes in reverse order.
    """

    name: str = "the theory"
    error: float = float("nan")
    factors: Mapping[Kernel, KernelCoefficients[float]] = field(default_factory=dict)
    scale: float = 1.0
    reversed_classes: frozenset[str] = frozenset()

    def coefficients(self, model: Model, kernel: Kernel) -> KernelCoefficients[float]:
        """What it says the kernel's coefficients are."""
        found = model.coefficients(kernel)
        if self.scale != 1 and isinstance(model, Implicit):
            found = _at_scale(model, kernel, self.scale * model.solution["tau"])
        if kernel in self.factors:
            found = KernelCoefficients(*(a * b for a, b in zip(found, self.factors[kernel], strict=True)))
        return found


TRUE = Theory()


def _at_scale(model: Implicit, kernel: Kernel, scale: float) -> KernelCoefficients[float]:
    """The formulas with the moments at a scale that need not be tau_*."""
    moments = FloatMoments(model.phi).at(scale)
    inputs = (scale, moments.variance, moments.d1, moments.d2, moments.d22, moments.slope_energy or 0.0)
    return KernelCoefficients(
        *map(float, _program(kernel)(*inputs, model.sigma_a2, model.sigma_b2, moments.mean, model.tau0))
    )


@cache
def _program(kernel: Kernel) -> Program:
    return compile_program(list(kernel_coefficients(kernel)), (*FORMULA_INPUTS, mean, tau_0), FloatArithmetic())


def planted(kernel: Kernel, part: str, error: float) -> Theory:
    """The theory with one coefficient of one kernel off by a relative error."""
    factors = replace(KernelCoefficients(1.0, 1.0, 1.0, 1.0), **{part: 1 + error})
    return Theory(f"{kernel} {part} {error:+.1%}", abs(error), {kernel: factors})


# --- witnesses and norms --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Witnesses:
    """What one draw says of the equivalents: for a matrix A the (W,) array of tr(M A), M going through the witnesses.

    Attributes:
        remainders: by kernel, of K less its polynomial.
        monomials: (3, W) array, of S, delta delta^T and S o S off the diagonal.
        equivalents: of V C V^T off the diagonal, for alpha_2 = 1 and for alpha_3 = 1 alone, by what is reversed.
        shifts: means over the classes of sqrt(p) (delta - J t/sqrt(p) - psi), (K,) arrays, by what is reversed.
        norms: by kernel and name of a theory, ||K - Kbar||.
    """

    remainders: Mapping[Kernel, Array]
    monomials: Array
    equivalents: Mapping[str, Array]
    shifts: Mapping[str, Array]
    norms: Mapping[tuple[Kernel, str], float]


def _vectors(sample: MixtureSample, tau0: float) -> Array:
    """Unit vectors, the classes' indicators and psi, where it is not 0, and delta/||delta||^2.

    Of the last one's form an error of alpha_2 hardly scatters.  Where the norms do not fluctuate in the limit, delta
    tends to 0, and the witness must not grow.
    """
    statistics = sample.statistics()
    units = [column / max(np.linalg.norm(column), 1e-9) for column in (*statistics.indicator.T, statistics.psi)]
    delta = np.einsum("ij,ij->j", sample.data, sample.data) - tau0**2
    p, n = sample.data.shape
    return np.column_stack([*units, delta / max(float(delta @ delta), 0.5 * tau0**4 * n / p)])


def _functionals(matrix: Array, gram: Array, vectors: Array) -> Array:
    """tr(M A) for M = I/n, S off the diagonal/n, and u u^T off the diagonal."""
    diagonal = np.diagonal(matrix)
    inner = float(np.sum(matrix * gram) - diagonal @ np.diagonal(gram)) / len(matrix)
    forms = np.einsum("ij,ij->j", vectors, matrix @ vectors) - diagonal @ vectors**2
    return np.array([float(diagonal.mean()), inner, *forms])


def _without_diagonal(matrix: Array) -> Array:
    return np.asarray(matrix - np.diag(np.diagonal(matrix)))


def witnesses_of(model: Model, sample: MixtureSample, kernels: Sequence[Kernel], normed: Sequence[Theory]) -> Witnesses:
    """Measure one draw.

    Args:
        model: the network.
        sample: the data.
        kernels: which.
        normed: theories for which norms are computed.
    """
    gram, statistics, vectors = sample.gram(), sample.statistics(), _vectors(sample, model.tau0)
    delta, low = np.diagonal(gram) - model.tau0**2, statistics.low_rank

    def on(matrix: Array) -> Array:
        return _functionals(matrix, gram, vectors)

    equivalents, shifts = {}, {}
    sizes, root = statistics.indicator.sum(axis=0), np.sqrt(len(sample.data))
    for name in ("", "t", "T"):
        changed = replace(
            statistics,
            t=statistics.t[::-1] if name == "t" else statistics.t,
            T=statistics.T[::-1, ::-1] if name == "T" else statistics.T,
        )
        cores = low_rank_core(1.0, 0.0, changed), low_rank_core(0.0, 1.0, changed)
        equivalents[name] = np.array([on(_without_diagonal(low @ core @ low.T)) for core in cores])
        shifts[name] = root * statistics.indicator.T @ (delta - statistics.psi) / sizes - changed.t
    exact = model.exact(gram, kernels)
    remainders, norms = {}, {}
    for kernel, matrix in exact.items():
        remainders[kernel] = on(matrix - model.polynomial(kernel).matrix(gram, model.tau0))
        for theory in normed:
            numbers = theory.coefficients(model, kernel)
            core = low_rank_core(numbers.variance, numbers.square, statistics)
            error = matrix - numbers.linear * gram - low @ core @ low.T
            error[np.diag_indices_from(error)] -= numbers.identity(model.tau0)
            norms[kernel, theory.name] = operator_norm(error, np.random.default_rng(0)).value / numbers.diagonal
    off = _without_diagonal(gram)
    monomials = np.array([on(off), on(_without_diagonal(np.outer(delta, delta))), on(off**2)])
    return Witnesses(remainders, monomials, equivalents, shifts, norms)


def _coefficient_residuals(rows: Sequence[Witnesses], model: Model, kernel: Kernel, theory: Theory) -> Array:
    """tr M (K - polynomial), with the four coefficients of a theory in the polynomial."""
    true, wrong = model.coefficients(kernel), theory.coefficients(model, kernel)
    change = np.array(list(wrong)) - np.array(list(true))
    found = np.array([row.remainders[kernel] - change[:3] @ row.monomials for row in rows])
    found[:, 0] -= change[3]
    return np.asarray(found / true.diagonal)


def _norm_residuals(rows: Sequence[Witnesses], theory: Theory, kept: Sequence[int], classes: Sequence[int]) -> Array:
    """tr M (delta delta^T - (J t/sqrt p + psi)(...)^T), and the classes' means of the difference itself."""
    name = "t" if "t" in theory.reversed_classes else ""
    return np.array(
        [[*(row.monomials[1] - row.equivalents[name][0])[kept], *row.shifts[name][classes]] for row in rows]
    )


def _product_residuals(rows: Sequence[Witnesses], theory: Theory, kept: Sequence[int]) -> Array:
    """tr M (S o S - J T J^T/p), a (draws, W) array."""
    name = "T" if "T" in theory.reversed_classes else ""
    return np.array([(row.monomials[2] - row.equivalents[name][1])[kept] for row in rows])


# --- spectra --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spectrum:
    """Of one draw's kernel.

    Attributes:
        values: (n,) array, descending.
        cosines: (n,) array, squared cosines of the eigenvectors to the span of the classes' indicators.
        error: ||K - Kbar||.
    """

    values: Array
    cosines: Array
    error: float


def spectrum_of(model: Model, sample: MixtureSample, kernel: Kernel) -> Spectrum:
    """Diagonalise one draw's kernel."""
    matrix = model.exact(sample.gram(), (kernel,))[kernel]
    values, vectors = np.linalg.eigh(matrix)
    statistics = sample.statistics()
    seen = (statistics.indicator / np.sqrt(statistics.indicator.sum(axis=0))).T @ vectors
    equivalent = DeterministicEquivalent.from_statistics(
        statistics, model.coefficients(kernel), tau0=model.tau0, gram=sample.gram()
    )
    error = operator_norm(matrix - equivalent.dense(), np.random.default_rng(0)).value
    return Spectrum(values[::-1], np.sum(seen**2, axis=0)[::-1], error)


@dataclass(frozen=True)
class Groups:
    """Isolated eigenvalues that are compared: sums of neighbours that are too near to each other to be told apart.

    Attributes:
        right: ends of the groups, counted from the largest eigenvalue: (1, 3) stands for the first, and two more.
        left: the same from the smallest.
    """

    right: tuple[int, ...]
    left: tuple[int, ...]

    @classmethod
    def common(cls, laws: Sequence[SpectralLaw], errors: Sequence[float]) -> Groups:
        """Those that stay apart from each other and from the bulk at every size.

        Gaps are wider than edges fluctuate, and than twice ||K - Kbar||: by Weyl's inequality no two eigenvalues next
        to them have changed places.
        """
        margins = [max(isolation_margin(law), 2 * error) for law, error in zip(laws, errors, strict=True)]
        sides = (
            set.intersection(*(cls._cuts(law, sign, margin) for law, margin in zip(laws, margins, strict=True)))
            for sign in (1, -1)
        )
        return cls(*(tuple(sorted(cuts)) for cuts in sides))

    @staticmethod
    def _cuts(law: SpectralLaw, sign: int, margin: float) -> set[int]:
        values, edge = _outside(law, sign)
        gaps = sign * (values - np.append(values[1:], edge))
        return set((np.flatnonzero(gaps > margin) + 1).tolist())

    def names(self) -> list[str]:
        """Of the groups."""
        return [
            f"{side} {start + 1}" + (f" to {stop}" if stop > start + 1 else "")
            for side, ends in (("right", self.right), ("left", self.left))
            for start, stop in zip((0, *ends), ends, strict=False)
        ]

    def sums(self, right: Array, left: Array) -> list[float]:
        """Of what the outermost on the right, and on the left, have."""
        return [
            float(values[start:stop].sum())
            for values, ends in ((right, self.right), (left, self.left))
            for start, stop in zip((0, *ends), ends, strict=False)
        ]


def _outside(law: SpectralLaw, sign: int) -> tuple[Array, float]:
    """Isolated eigenvalues beyond the outer edge on one side, from the outermost, and the edge."""
    right = max(law.edges[-1][1], law.edges[-1][1] if law.point is None else law.point)
    left = min(law.edges[0][0], law.edges[0][0] if law.point is None else law.point)
    edge = right if sign > 0 else left
    values = law.outlier_values[::sign]
    return values[sign * (values - edge) > 0], edge


def _predicted(law: SpectralLaw, sign: int, count: int) -> tuple[Array, Array]:
    """The outermost eigenvalues on a side and their squared cosines; the edge, and 0, where there are fewer."""
    values, edge = _outside(law, sign)
    cosines = np.repeat(
        [outlier.alignment.trace() / outlier.multiplicity for outlier in law.outliers],
        [outlier.multiplicity for outlier in law.outliers],
    )[::sign][: values.size]
    return np.append(values, [edge] * count)[:count], np.append(cosines, [0.0] * count)[:count]


def _resolvents(diagonal: float) -> list[Callable[[Array], Array]]:
    def one(distance: float) -> Callable[[Array], Array]:
        return lambda x: diagonal / (x + distance * diagonal)

    return [one(distance) for distance in _DISTANCES]


# --- claims ---------------------------------------------------------------------------------------------------------


#: Kinds of claims on what the equivalents know of the mixture: t and psi, and T.
_OF_STATISTICS = ("norms", "products")
#: Kinds of claims on the equivalents; the others are on spectra.
_OF_EQUIVALENTS = ("coefficients", *_OF_STATISTICS, "norm")


@dataclass(frozen=True)
class _InUnits:
    """The law of eigenvalues in other units: Levy's distance adds them to probabilities."""

    law: SpectralLaw
    unit: float

    @property
    def edges(self) -> tuple[tuple[float, float], ...]:
        return tuple((left / self.unit, right / self.unit) for left, right in self.law.edges)

    @property
    def point(self) -> float | None:
        return None if self.law.point is None else self.law.point / self.unit

    def cumulative(self, x: ArrayLike, *, left: bool = False) -> Array:
        return self.law.cumulative(np.asarray(x) * self.unit, left=left)


class _TooSlowError(Exception):
    """A computation took more processor time than it may."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Stop what takes more processor time."""

    def stop(*_: object) -> None:
        raise _TooSlowError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@dataclass(frozen=True)
class Claim:
    """What is compared: "coefficients", "norms", "products", "norm", "outliers", "traces", "alignment" or "bulk"."""

    kind: str
    kernel: Kernel

    def __str__(self) -> str:
        return f"{self.kind} of {self.kernel}"


@dataclass
class Case:
    """One network on one mixture, and all draws of it that were made.

    Attributes:
        model: the network.
        ensemble: the mixture.
        seed: with the look, the size and the number of a draw it fixes its random numbers.
        normed: theories for which norms are computed.
    """

    model: Model
    ensemble: Ensemble
    seed: int
    normed: tuple[Theory, ...] = (TRUE,)
    _witnesses: dict[int, list[list[Witnesses]]] = field(default_factory=dict)
    _spectra: dict[tuple[int, Kernel], list[list[Spectrum]]] = field(default_factory=dict)
    _laws: dict[tuple[int, Kernel, str], SpectralLaw] = field(default_factory=dict)
    _bulks: dict[tuple[int, bool], Bulk] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.model}; {self.ensemble}; seed {self.seed}"

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """Those that exist for all samples of the first look, whose norms differ; none where not even the CK does.

        Nor any where those of the first draw take long: of an activation with narrow peaks, say, all pairs of samples
        with large norms need integrals in two dimensions.
        """
        grams = [one.gram() for samples in self._draws(0) for one in samples]
        norms = np.concatenate([np.diagonal(gram) for gram in grams])
        for kernels in (self.model.kernels, (Kernel.CK,)):
            try:
                self.model.exact(np.diag([norms.min(), norms.max()]), kernels)
                with _within(_PATIENCE):
                    self.model.exact(grams[0], kernels)
            except (KernelConvergenceError, _TooSlowError):
                continue
            return kernels
        return ()

    @cached_property
    def witnessed(self) -> list[int]:
        """Which of the classes' indicators are witnesses: of those with a few samples at the smallest p."""
        return [a for a, size in enumerate(self.ensemble.at(self.dimensions(0)[0]).sizes) if size >= _FEWEST]

    def dimensions(self, look: int) -> list[int]:
        """p of a look."""
        return [self.ensemble.dimension(round(size * GROWTH**look)) for size in SIZES]

    def _draws(self, look: int) -> list[list[MixtureSample]]:
        found = []
        for p, draws in zip(self.dimensions(look), DRAWS, strict=True):
            mixture = self.ensemble.at(p)
            found.append([mixture.sample(np.random.default_rng([self.seed, look, p, k])) for k in range(draws)])
        return found

    def witnesses(self, look: int) -> list[list[Witnesses]]:
        """Of all draws of a look, by size."""
        if look not in self._witnesses:
            self._witnesses[look] = [
                [witnesses_of(self.model, sample, self.kernels, self.normed) for sample in samples]
                for samples in self._draws(look)
            ]
        return self._witnesses[look]

    def spectra(self, look: int, kernel: Kernel) -> list[list[Spectrum]]:
        """Of all draws of a look, by size."""
        if (look, kernel) not in self._spectra:
            self._spectra[look, kernel] = [
                [spectrum_of(self.model, sample, kernel) for sample in samples] for samples in self._draws(look)
            ]
        return self._spectra[look, kernel]

    def law(self, p: int, kernel: Kernel, theory: Theory = TRUE) -> SpectralLaw:
        """What a theory says of the spectrum in dimension p."""
        key = p, kernel, theory.name
        if key not in self._laws:
            mixture = self._mixture(p, theory)
            population = Population.from_mixture(mixture)
            if "t" in theory.reversed_classes:
                population = replace(population, t=population.t[::-1].copy())
            if "T" in theory.reversed_classes:
                population = replace(population, T=population.T[::-1, ::-1].copy())
            numbers = theory.coefficients(self.model, kernel)
            self._laws[key] = SpectralLaw.of(population, numbers, self._bulk(p, theory))
        return self._laws[key]

    def _mixture(self, p: int, theory: Theory) -> GaussianMixture:
        mixture = self.ensemble.at(p)
        if "means" in theory.reversed_classes:
            mixture = replace(mixture, means=mixture.means[::-1])
        if "sizes" in theory.reversed_classes:
            mixture = replace(mixture, sizes=mixture.sizes[::-1])
        return mixture

    def _bulk(self, p: int, theory: Theory) -> Bulk | None:
        """The bulk, which no kernel, means, t or T alter; None where spikes have to be set apart from it."""
        if "spiked" in self.ensemble.kinds:
            return None
        key = p, "sizes" in theory.reversed_classes
        if key not in self._bulks:
            self._bulks[key] = solve_bulk(Population.from_mixture(self._mixture(p, theory)))
        return self._bulks[key]

    def claims(self) -> list[Claim]:
        """What is compared of the equivalents."""
        per_kernel = [Claim(kind, kernel) for kernel in self.kernels for kind in ("coefficients", "norm")]
        return [*(Claim(kind, Kernel.CK) for kind in _OF_STATISTICS), *per_kernel]

    def spectral_claims(self, kernel: Kernel) -> list[Claim]:
        """What is compared of one kernel's spectrum."""
        return [Claim(kind, kernel) for kind in ("outliers", "traces", "alignment", "bulk")]

    def look(self, claim: Claim, theory: Theory, look: int) -> Look:
        """One look at a claim, with what a theory says."""
        compare = self._of_equivalents if claim.kind in _OF_EQUIVALENTS else self._of_spectrum
        try:
            names, values = compare(claim, theory, look)
        except KernelConvergenceError as error:
            return Look(1.0, str(error))
        sizes = self.dimensions(look)
        if claim.kind == "coefficients":
            order, power = self.model.series
            return look_at_limits(names, sizes, values, order=order, power=power, floor=_FLOOR)
        if claim.kind == "products":
            # The mean of S_ij^2 is C_ab's trace and products of means: a series in 1/p.
            return look_at_limits(names, sizes, values, order=1, power=1.0, rate=0.75, floor=_FLOOR)
        # At a hard edge a distribution function rises like a square root, so that eigenvalues which are off by p^(-1/2)
        # move it by p^(-1/4): half of that exponent is asked for, since the next order is as large at these sizes.
        rate = 0.125 if claim.kind == "bulk" else 0.5
        return look_at_limits(names, sizes, values, rate=rate, floor=_FLOOR)

    def _of_equivalents(self, claim: Claim, theory: Theory, look: int) -> tuple[list[str], list[Array]]:
        rows = self.witnesses(look)
        if claim.kind == "norm":
            key = claim.kernel, theory.name
            return ["the norm"], [np.array([[row.norms[key]] for row in part]) for part in rows]
        classes = len(self.ensemble.shares)
        last = classes if claim.kind in _OF_STATISTICS else classes + 1
        vectors = [*(f"class {a + 1}" for a in self.witnessed), "psi" if last == classes else "delta"]
        kept = [2 + k for k in (*self.witnessed, last)]
        if claim.kind == "norms":
            names = [f"delta delta^T on {name}" for name in vectors]
            names += [f"mean of sqrt(p) delta on class {a + 1}" for a in self.witnessed]
            return names, [_norm_residuals(part, theory, kept, self.witnessed) for part in rows]
        if claim.kind == "products":
            return [f"S o S on {name}" for name in vectors], [_product_residuals(part, theory, kept) for part in rows]
        values = [_coefficient_residuals(part, self.model, claim.kernel, theory)[:, [0, 1, *kept]] for part in rows]
        return ["I", "S", *vectors], values

    def _of_spectrum(self, claim: Claim, theory: Theory, look: int) -> tuple[list[str], list[Array]]:
        sizes = self.dimensions(look)
        true = [self.law(p, claim.kernel) for p in sizes]
        laws = [self.law(p, claim.kernel, theory) for p in sizes]
        spectra = self.spectra(look, claim.kernel)
        diagonal = self.model.coefficients(claim.kernel).diagonal
        if claim.kind == "bulk":
            smooth = all(law.point is None and law.edges[0][0] > law.shift + 1e-9 for law in true)
            distance = kolmogorov_distance if smooth else levy_distance
            pairs = zip(spectra, [_InUnits(law, diagonal) for law in laws], strict=True)
            return ["the distance"], [
                np.array([[distance(one.values / diagonal, law)] for one in part]) for part, law in pairs
            ]
        if claim.kind == "traces":
            functions = _resolvents(diagonal)
            names = [f"resolvent at -{distance:g}" for distance in _DISTANCES]
            values = []
            for part, law in zip(spectra, laws, strict=True):
                limits = [law.integrate(function) for function in functions]
                found = [[float(function(one.values).mean()) for function in functions] for one in part]
                values.append(np.array(found) - limits)
            return names, values
        groups = Groups.common(true, [float(np.mean([one.error for one in part])) for part in spectra])
        values = []
        for part, law in zip(spectra, laws, strict=True):
            ends = [ends[-1] if ends else 0 for ends in (groups.right, groups.left)]
            (right, right_cosines), (left, left_cosines) = (
                _predicted(law, sign, count) for sign, count in zip((1, -1), ends, strict=True)
            )
            if claim.kind == "outliers":
                rows = [groups.sums(one.values, one.values[::-1]) for one in part]
                values.append((np.array(rows) - groups.sums(right, left)) / diagonal)
            else:
                rows = [groups.sums(one.cosines, one.cosines[::-1]) for one in part]
                values.append(np.array(rows) - groups.sums(right_cosines, left_cosines))
        return groups.names(), values
