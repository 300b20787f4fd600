"""Hypothesis strategies for what spectra are compared on: random networks, and random mixtures in every dimension.

A mixture is drawn as what does not depend on p (`Ensemble`), so that it can be simulated along a ladder of p: class
shares, covariances of trace p v (1 + s_a/sqrt p) about the mean, means at any angle, a law of the noise, and n/p.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from hypothesis import assume, reject
from hypothesis import strategies as st
from numpy.typing import NDArray

from numerics.arithmetic import UnsupportedExpressionError, pointwise
from numerics.data import ENTRY_LAWS, Covariance, EntryLaw, GaussianMixture, class_sizes
from numerics.equilibrium import FloatEquilibrium, checked_moments, solve_float
from numerics.equivalents import EntryPolynomial, entry_polynomial
from numerics.kernels import EXPLICIT_KERNELS, DualActivation, explicit_kernels, implicit_kernels, with_dual
from numerics.ledger import explicit_coefficients
from numerics.moments import FloatMoments
from tests.strategies import activation_texts
from theory.activations import Activation, resolve
from theory.analysis import DomainError, GrowthError
from theory.equations import DEQ, EquilibriumError
from theory.grammar import ActivationSyntaxError
from theory.kernels import Kernel, KernelCoefficients
from theory.moments import DivergentMomentError

__all__ = ["Ensemble", "Explicit", "Implicit", "Model", "ensembles", "explicit_models", "implicit_models"]

Array = NDArray[np.float64]

#: Which covariances have a common eigenbasis, so that the law of the spectrum takes a moment: the classes of one
#: ensemble are of one row.  Those of the last do not commute, and their law would take minutes.
BASES = {
    "axes": ("isotropic", "diagonal", "spiked"),
    "stationary": ("isotropic", "toeplitz"),
    "mixed": ("isotropic", "diagonal", "toeplitz", "low rank"),
}


@dataclass(frozen=True)
class Ensemble:
    """A mixture in every dimension.

    Attributes:
        ratio: n/p.
        shares: of the classes, 2 % to 98 %.
        basis: of ``BASES``: which covariances the classes may have.
        kinds: of each class's covariance.
        shifts: s_a, of order 1: the traces are p v (1 + (s_a - mean)/sqrt p).
        scale: v = tau_0^2.
        decay: of Toeplitz covariances.
        strength: of spikes and of the low rank.
        means: (K, 3) coordinates of mu_a in three orthonormal directions, none of them along an axis.
        noise: law of the entries.
    """

    ratio: float
    shares: tuple[float, ...]
    basis: str
    kinds: tuple[str, ...]
    shifts: tuple[float, ...]
    scale: float
    decay: float
    strength: float
    means: tuple[tuple[float, float, float], ...]
    noise: EntryLaw

    @property
    def tau0(self) -> float:
        """The same in every dimension."""
        return float(np.sqrt(self.scale))

    @property
    def commutes(self) -> bool:
        """Whether the covariances have a common eigenbasis."""
        return self.basis != "mixed"

    def dimension(self, size: int) -> int:
        """p with sqrt(n p) about the size."""
        return max(8, round(size / np.sqrt(self.ratio)))

    def at(self, p: int) -> GaussianMixture:
        """The mixture in one dimension."""
        sizes = class_sizes(max(8, round(self.ratio * p)), self.shares)
        shifts = np.array(self.shifts) - np.average(self.shifts, weights=sizes)
        covariances = [
            self._covariance(kind, p, self.scale * (1 + shift / np.sqrt(p)))
            for kind, shift in zip(self.kinds, shifts, strict=True)
        ]
        return GaussianMixture.build(np.array(self.means) @ _waves(p, 3).T, covariances, sizes, self.noise)

    def _covariance(self, kind: str, p: int, level: float) -> Covariance:
        """One of trace p times the level."""
        if kind == "toeplitz":
            return Covariance.toeplitz(p, self.decay, level)
        if kind == "low rank":
            plain = level / (1 + 2 * self.strength / p)
            return Covariance.low_rank_plus_noise(_waves(p, 5)[:, 3:], plain * self.strength * np.ones(2), plain)
        values = np.ones(p)
        if kind == "diagonal":
            values[: p // 2] = 0.4
        if kind == "spiked":
            values[-1] += self.strength
        return Covariance(level * values / values.mean(), p) if kind != "isotropic" else Covariance(level, p)

    def __str__(self) -> str:
        classes = ", ".join(
            f"{share:.3g} {kind} shift {shift:.3g} mean ({', '.join(f'{x:.3g}' for x in mean)})"
            for share, kind, shift, mean in zip(self.shares, self.kinds, self.shifts, self.means, strict=True)
        )
        others = f"tau_0^2 = {self.scale:.3g}, decay {self.decay:.3g}, strength {self.strength:.3g}, {self.noise} noise"
        return f"n/p = {self.ratio:.3g}; {classes}; {others}"


def _waves(p: int, count: int) -> Array:
    """Orthonormal cosine vectors, a (p, count) array."""
    places = np.arange(p) + 0.5
    return np.sqrt(2 / p) * np.cos(np.pi * np.outer(places, np.arange(1, count + 1)) / p)


# Numbers come from short lists: Hypothesis's floats are 0 more often than not, and an ensemble in which all are 0 shows
# little.  It starts from the first of each, which are therefore none of the simplest.
_SHIFTS = (3.0, -2.0, 1.0, 0.0, 5.0)
_COORDINATES = (1.0, -1.5, 0.5, 0.0, 2.0)


@st.composite
def ensembles(draw: st.DrawFn, *, commuting: bool = False) -> Ensemble:
    """One to four classes of anything.

    Args:
        draw: Hypothesis's.
        commuting: only covariances with a common eigenbasis.
    """
    classes = draw(st.sampled_from([2, 3, 1, 4]))
    basis = draw(st.sampled_from([name for name in BASES if not (commuting and name == "mixed")]))
    weights = [draw(st.sampled_from([3, 1, 10, 100])) for _ in range(classes)]
    # Of the sum, each has 2 % at least.
    shares = [0.02 + (1 - 0.02 * classes) * weight / sum(weights) for weight in weights]
    coordinate = st.sampled_from(_COORDINATES)
    return Ensemble(
        ratio=draw(st.sampled_from([0.8, 1.25, 0.4, 2.5])),
        shares=tuple(shares),
        basis=basis,
        kinds=tuple(draw(st.sampled_from(BASES[basis])) for _ in range(classes)),
        shifts=tuple(draw(st.sampled_from(_SHIFTS)) for _ in range(classes)),
        scale=draw(st.sampled_from([0.5, 1.0, 2.0])),
        decay=draw(st.sampled_from([0.6, -0.5, 0.3])),
        strength=draw(st.sampled_from([1.0, 4.0])),
        means=tuple((draw(coordinate), draw(coordinate), draw(coordinate)) for _ in range(classes)),
        noise=draw(st.sampled_from(ENTRY_LAWS)),
    )


#: Tolerance of exact kernels, relative to their diagonals.
TOLERANCE = 1e-9
#: Of polynomials; one more would take SymPy minutes.
_DEGREE = 4


class Model(Protocol):
    """A network of infinite width."""

    @property
    def tau0(self) -> float:
        """Input scale."""
        ...

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Those that exist."""
        ...

    @property
    def series(self) -> tuple[int, float]:
        """How a kernel less its polynomial tends to 0: order, and power of 1/p in the first term."""
        ...

    def coefficients(self, kernel: Kernel) -> KernelCoefficients[float]:
        """Of a kernel's equivalent."""
        ...

    def exact(self, gram: Array, kernels: Sequence[Kernel]) -> Mapping[Kernel, Array]:
        """The kernels of samples."""
        ...

    def polynomial(self, kernel: Kernel) -> EntryPolynomial:
        """A kernel's entries as a polynomial in S_ij and delta_i, in which the four coefficients are those above."""
        ...


@dataclass(frozen=True)
class Implicit:
    """A DEQ, as text and numbers.

    Attributes:
        text: of the activation.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        tau0: input scale.
    """

    text: str
    sigma_a2: float
    sigma_b2: float
    tau0: float
    #: Terms of degree 5 and 6 are of order 1/p in norm at most.
    series: tuple[int, float] = (1, 1.0)

    @property
    def activation(self) -> Activation:
        """With its default parameters."""
        return resolve(self.text).with_parameters({})

    @cached_property
    def solution(self) -> FloatEquilibrium:
        """The coefficients of its kernels."""
        return solve_float(DEQ(self.activation, self.sigma_a2, self.sigma_b2, self.tau0))

    @cached_property
    def phi(self) -> DualActivation:
        """The activation on floats."""
        return with_dual(self.activation)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Those that exist."""
        return tuple(Kernel) if not self.solution.ntk_missing else (Kernel.CK,)

    def coefficients(self, kernel: Kernel) -> KernelCoefficients[float]:
        """Of a kernel's equivalent."""
        return self.solution.kernel(kernel)

    def exact(self, gram: Array, kernels: Sequence[Kernel]) -> Mapping[Kernel, Array]:
        """The kernels of samples."""
        bias = self.solution["bias"]
        return implicit_kernels(
            gram, self.phi, self.sigma_a2, self.sigma_b2, bias, kernels=kernels, tolerance=TOLERANCE
        ).matrices

    def polynomial(self, kernel: Kernel) -> EntryPolynomial:
        """Of the degree above."""
        weights = self.sigma_a2, self.sigma_b2
        return entry_polynomial(self.phi, self.solution["tau"], self.solution["bias"], weights, kernel, degree=_DEGREE)

    def __str__(self) -> str:
        weights = f"sigma_a^2 = {self.sigma_a2:.6g}, sigma_b^2 = {self.sigma_b2:.6g}, tau_0 = {self.tau0:.6g}"
        return f"{self.text}, {weights}"


@dataclass(frozen=True)
class Explicit:
    """An explicit network, as the texts of its layers' activations.

    Attributes:
        texts: of the layers, first to last.
        tau0: input scale.
    """

    texts: tuple[str, ...]
    tau0: float
    #: Of degree 2 only the four terms are kept: S_ij (delta_i + delta_j) is of order p^(-1/2) in norm.
    series: tuple[int, float] = (2, 0.5)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The CK and its only NTK."""
        return EXPLICIT_KERNELS

    @cached_property
    def layers(self) -> list[tuple[DualActivation, float]]:
        """The activations on floats, and the means that centre them, at the scale that the layer before gives."""
        found, scale = [], self.tau0
        for k, text in enumerate(self.texts):
            phi = with_dual(resolve(text).with_parameters({}))
            found.append((phi, checked_moments(pointwise(resolve(text).with_parameters({})), scale).mean))
            scale = float(np.sqrt(explicit_coefficients("explicit-ck", self.texts[: k + 1], self.tau0).diagonal))
        return found

    def coefficients(self, kernel: Kernel) -> KernelCoefficients[float]:
        """Of a kernel's equivalent."""
        name = "explicit-ntk" if kernel.is_tangent else "explicit-ck"
        return explicit_coefficients(name, self.texts, self.tau0)

    def exact(self, gram: Array, kernels: Sequence[Kernel]) -> Mapping[Kernel, Array]:
        """The kernels of samples."""
        return explicit_kernels(gram, self.layers, kernels=kernels, tolerance=TOLERANCE).matrices

    def polynomial(self, kernel: Kernel) -> EntryPolynomial:
        """The four terms."""
        return EntryPolynomial.of_four(self.coefficients(kernel))

    def __str__(self) -> str:
        return f"explicit network of {', '.join(self.texts)}, tau_0 = {self.tau0:.6g}"


#: Half of the DEQs have an activation that people use, the others one from the grammar.
_USED = (
    "relu",
    "leaky_relu",
    "tanh",
    "erf",
    "gelu",
    "swish",
    "elu",
    "softplus",
    "Abs(x) + x/3",
    "x + x**2/4",
    "sin(x)",
)
#: Var phi_0(tau xi) ~ tau^(2 k) near tau_*: k at most this.  (It is 1 for ReLU, 2 for x^2.)  Of x^16 nothing asymptotic
#: is seen at p = 500.
_STEEPEST = 2.5
_CLEAR_ERRORS = (
    *(ActivationSyntaxError, DomainError, GrowthError, DivergentMomentError),
    *(EquilibriumError, UnsupportedExpressionError),
)


@st.composite
def implicit_models(draw: st.DrawFn, tau0: float) -> Implicit:
    """A DEQ at any share of its stability margin up to 0.99.

    tau_* is drawn, and with it sigma_a^2 as a share of where the equilibrium is lost, sigma_a^2 max(d22/2, d1^2) = 1;
    sigma_b^2 follows.  Where another equilibrium is reached from tau_0, the share is another.

    Args:
        draw: Hypothesis's.
        tau0: input scale.
    """
    text = draw(st.one_of(st.sampled_from(_USED), activation_texts))
    scale, share = (
        draw(st.sampled_from([1.0, 0.6, 1.5])) * tau0,
        draw(st.sampled_from([0.5, 0.2, 0.8, 0.0, 0.95, 0.99])),
    )
    try:
        moments = FloatMoments(pointwise(resolve(text).with_parameters({}))).at(scale)
        assume(np.isfinite(moments.variance) and moments.variance > 1e-6)
        assume(0 <= moments.d22 * scale**2 / 2 <= _STEEPEST * moments.variance)
        sigma_a2 = share / max(moments.d22 / 2, moments.d1**2, 1e-3)
        sigma_b2 = (scale**2 - sigma_a2 * moments.variance) / tau0**2
        assume(sigma_b2 > 1e-3)
        model = Implicit(text, float(f"{sigma_a2:.6g}"), float(f"{sigma_b2:.6g}"), tau0)
        assume(model.solution.values["tau"] < 4 * scale)
    except _CLEAR_ERRORS:
        reject()
    return model


@st.composite
def explicit_models(draw: st.DrawFn, tau0: float) -> Explicit:
    """One to three layers of activations that people use.

    Args:
        draw: Hypothesis's.
        tau0: input scale.
    """
    count = draw(st.sampled_from([2, 1, 3]))
    return Explicit(tuple(draw(st.sampled_from(_USED)) for _ in range(count)), tau0)
