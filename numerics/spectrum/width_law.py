r"""The limiting spectrum of a network's conjugate kernel at a width of the order of n, isolated eigenvalues included.

Theory sheet, section 9.  In the equivalents of `finite_width` the rows of H, or of Y, have a covariance that is itself
an equivalent, Sigma = a S + c I + V C V^T, whose isolated eigenvalues l are known.  A deterministic equivalent of the
resolvent is (H^T H/m - z)^{-1} ~ (Sigma - w)^{-1}/mu with z = mu w: so l goes to z(l) where z rises with w there, and
is swallowed by the bulk where it does not.  The squared cosines of its eigenvectors are those of Sigma's times
(dz/dw)/mu, the residue of the resolvent.  Layers are composed: the next one's Sigma is a G + c I, with G's isolated
eigenvalues where E[phi''] = 0; what other layers add of low rank at finite width is not derived.  For independent
rows this is proved (Baik and Silverstein, Journal of Multivariate Analysis 97, 2006; Bai and Yao, Journal of
Multivariate Analysis 106, 2012).

In a DEQ Sigma = d_1^2 sigma_b^2 S + (gamma_*^2 - d_1^2 tau_*^2) I and, in the directions that isolated eigenvalues
have,

- (d_2^2/2) (lambda_1^2 J T J^T/p + f 1 1^T), where f = sigma_a^4 gamma_*^4/((1 - s^2)^2 m) is what the fluctuations of
  H^T H/m off the diagonal add to the mean of L_ij^2;
- (d_2^2/4) zeta zeta^T, zeta_i = tau_i^2 - tau_*^2 = alpha_4 delta_i + a fluctuation of the width, of variance
  sigma_a^4 (E[phi^4] - gamma_*^4)/(m (1 - sigma_a^2 d_22/2)^2).

All of this is a conjecture for DEQs.  The formulas are those of `theory.equations.linear_network`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from numbers import Integral

import numpy as np
import threadpoolctl

from numerics.arithmetic import FloatArithmetic, PointwiseActivation, Program, compile_program, pointwise
from numerics.arrays import Array
from numerics.data import GaussianMixture
from numerics.equilibrium import FloatEquilibrium, checked_moments
from numerics.equivalents import identity_coefficient
from numerics.moments import FloatMoments, gaussian_rule
from numerics.spectrum.bulk import Bulk, solve_bulk
from numerics.spectrum.finite_width import FiniteWidthBulk, Layer, solve_finite_width
from numerics.spectrum.fixed_point import resolvent_trace
from numerics.spectrum.law import LawOfKernel, SpectralLaw
from numerics.spectrum.outliers import Outlier
from numerics.spectrum.population import Population
from theory.equations import DEQ, linear_network
from theory.kernels import Kernel, KernelCoefficients
from theory.symbols import d1, d2, d22, fourth, neurons, samples, sigma_a2, sigma_b2, tau, variance

__all__ = ["DEQRows", "FiniteWidthLaw", "deq_rows", "deq_width_law", "explicit_width_law"]

#: Coefficients below this share of the diagonal are rounding.
_SAME = 1e-9
#: What the numbers of a linear network depend on.
_INPUTS = (sigma_a2, sigma_b2, tau, variance, d1, d2, d22, fourth, samples, neurons)


@dataclass(frozen=True, repr=False)
class FiniteWidthLaw(LawOfKernel):
    """Limiting spectrum of a network's conjugate kernel H^T H/m, n/m fixed.

    Attributes:
        population: of the data.
        coefficients: of the kernel at infinite width.
        layers: from the data upwards.
        bulk: without isolated eigenvalues.
        outliers: isolated eigenvalues, descending.
        missing: why isolated eigenvalues are not known, or an empty string.
    """

    population: Population
    coefficients: KernelCoefficients[float]
    layers: tuple[Layer, ...]
    bulk: FiniteWidthBulk
    outliers: tuple[Outlier, ...]
    missing: str = ""


def explicit_width_law(
    data: Population | GaussianMixture,
    coefficients: Sequence[KernelCoefficients[float]],
    widths: Sequence[int],
    noise: Bulk | None = None,
) -> FiniteWidthLaw:
    """The law of an explicit network's conjugate kernel.

    Args:
        data: the mixture, or what the law needs of it.
        coefficients: of the equivalent of every layer's kernel at infinite width, from the first hidden layer upwards.
        widths: m of every layer.
        noise: law of the data's W^T W, if it is known.

    Raises:
        ValueError: lists of different lengths, a width below 1, or a kernel below the last layer without X^T X.
        SpectralLawError: something was not found to the accuracy asked for.

    Example:
        >>> from numerics.spectrum import Population, explicit_width_law
        >>> from theory.kernels import KernelCoefficients
        >>> population = Population.isotropic([1.0], [[0.0]], [400], 800)
        >>> explicit_width_law(population, [KernelCoefficients(1.0, 0.0, 0.0, 1.0)], [400]).point_mass
        0.0
    """
    if not coefficients or len(coefficients) != len(widths):
        raise ValueError(f"every layer needs coefficients and a width: got {len(coefficients)} and {len(widths)}")
    # The rows of the first layer; of a last one that forgets the data nothing below matters.
    below = SpectralLaw.of(data, coefficients[0] if coefficients[-1].linear else coefficients[-1], noise)
    layers: list[Layer] = []
    tau0, adds = below.population.tau0, False
    previous = KernelCoefficients(1.0, 0.0, 0.0, tau0**2)
    for numbers, width in zip(coefficients, widths, strict=True):
        _check_width(width)
        if numbers.linear and not previous.linear:
            raise ValueError("a layer above one whose kernel has no multiple of X^T X must have none either")
        linear = numbers.linear / previous.linear if previous.linear else 0.0
        identity = identity_coefficient(numbers, tau0) - linear * identity_coefficient(previous, tau0)
        adds |= bool(layers) and not _passes_on(numbers, previous, linear)
        layers.append(Layer(linear, max(identity, 0.0), below.population.samples / width))
        previous = numbers
    missing = (
        "isolated eigenvalues are derived for odd activations above the first layer, not for others" if adds else ""
    )
    return _law(below, coefficients[-1], layers, missing)


def _passes_on(numbers: KernelCoefficients[float], below: KernelCoefficients[float], linear: float) -> bool:
    """Whether a layer adds no part of low rank, but for rounding: E[phi''] = 0, as of odd activations."""
    own = (numbers.variance - linear * below.variance, numbers.square - linear * below.square)
    return max(map(abs, own)) <= _SAME * numbers.diagonal


def deq_width_law(
    data: Population | GaussianMixture, deq: DEQ, solution: FloatEquilibrium, width: int
) -> FiniteWidthLaw:
    """The law of a DEQ's conjugate kernel, a conjecture.

    Args:
        data: the mixture, or what the law needs of it.
        deq: of one state.
        solution: its equilibrium.
        width: m.

    Raises:
        ValueError: a width below 1.
        EquilibriumError: moments that are not certified.
        SpectralLawError: something was not found to the accuracy asked for.
    """
    population = Population.from_mixture(data) if isinstance(data, GaussianMixture) else data
    _check_width(width)
    rows = deq_rows(population, deq, solution, width)
    identity = identity_coefficient(rows.coefficients, population.tau0)
    layer = Layer(rows.coefficients.linear, identity, population.samples / width, rows.feedback)
    return _law(SpectralLaw.of(rows.population, rows.coefficients), solution.kernel(Kernel.CK), [layer], "")


@dataclass(frozen=True)
class DEQRows:
    """The rows Y of the linear DEQ H = (I - s A/sqrt(m))^-1 Y that is equivalent to one of finite width.

    Attributes:
        population: of the data, with what the width adds to T and to the energies of psi.
        coefficients: of the rows' covariance.
        feedback: s.
    """

    population: Population
    coefficients: KernelCoefficients[float]
    feedback: float


def deq_rows(population: Population, deq: DEQ, solution: FloatEquilibrium, width: int) -> DEQRows:
    """The rows' covariance, a conjecture.

    Args:
        population: of the data.
        deq: of one state.
        solution: its equilibrium.
        width: m.

    Raises:
        EquilibriumError: moments that are not certified.
    """
    phi, scale = pointwise(deq.activation), solution["tau"]
    moments = checked_moments(phi, scale)
    network = _linear_network(
        float(deq.sigma_a2), float(deq.sigma_b2), scale, moments.variance, moments.d1, moments.d2, moments.d22,
        _fourth_moment(phi, scale, moments.mean), float(population.samples), float(width),
    )  # fmt: skip
    # Terms of the equivalent that are multiples of J J^T and of ||psi||^2 are counted with T and with psi.
    p = population.dimension
    rows = replace(
        population,
        T=population.T + (p * network.between / solution["lambda1"] ** 2 if moments.d2 else 0.0),
        norm_energies=population.norm_energies + (p * network.own / solution["alpha4"] ** 2 if moments.d2 else 0.0),
    )
    diagonal = network.identity + network.linear * population.tau0**2
    numbers = KernelCoefficients(network.linear, network.variance, network.square, diagonal)
    return DEQRows(rows, numbers, float(np.sqrt(network.feedback2)))


@dataclass(frozen=True)
class _Numbers:
    """The fields of `theory.equations.LinearNetwork` in float64."""

    linear: float
    identity: float
    feedback2: float
    ratio: float
    variance: float
    square: float
    between: float
    own: float


def _linear_network(*values: float) -> _Numbers:
    """The linear network for values of ``_INPUTS``."""
    return _Numbers(*map(float, _program()(*values)))


@cache
def _program() -> Program:
    expressions = vars(linear_network())
    return compile_program([expressions[each.name] for each in fields(_Numbers)], _INPUTS, FloatArithmetic())


def _check_width(width: int) -> None:
    if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
        raise ValueError(f"a width must be a whole number of at least 1, got {width}")


def _fourth_moment(phi: PointwiseActivation, scale: float, mean: float) -> float:
    """E[phi^4] of the centred activation, to the accuracy of the quadrature."""
    scales = np.array([scale])
    xi, weight = gaussian_rule(scales, phi.breakpoints, refinement=FloatMoments(phi).refinement(scales))
    return float(np.sum(weight * (phi.value(scale * xi) - mean) ** 4))


def _law(
    below: SpectralLaw, coefficients: KernelCoefficients[float], layers: Sequence[Layer], missing: str
) -> FiniteWidthLaw:
    """The law of the last layer; of the first one's rows below."""
    with threadpoolctl.threadpool_limits(limits=1):
        if below.bulk is None:
            bulk = _of_white_rows(below.population, layers[-1])
        else:
            bulk = solve_finite_width(below.bulk, layers)
        outliers = () if missing else tuple(_images(below, layers if below.bulk else layers[-1:]))
    return FiniteWidthLaw(below.population, coefficients, tuple(layers), bulk, outliers, missing)


def _of_white_rows(population: Population, layer: Layer) -> FiniteWidthBulk:
    """Of rows of covariance c I, whatever is below: the law of Marchenko and Pastur."""
    width = population.samples / layer.ratio
    white = Population.isotropic([layer.identity], [[0.0]], [population.samples], round(width))
    bulk = solve_bulk(white)
    return FiniteWidthBulk(bulk.intervals, bulk.mass_at_zero, white, (), tuple(gap.reach for gap in bulk.gaps))


def _images(below: SpectralLaw, layers: Sequence[Layer]) -> list[Outlier]:
    """Where isolated eigenvalues of the first layer's rows go; those that a layer's bulk swallows are left out."""
    found = []
    for outlier in below.outliers:
        place, share = np.array([outlier.value]), 1.0
        trace, slope = _transform(below, outlier.value)
        for number, layer in enumerate(layers):
            if number:
                place = layer.linear * place + layer.identity
                trace, slope = trace / layer.linear, slope / layer.linear**2
            with np.errstate(all="ignore"):
                image, trace, slope, moved = layer.image(place, trace, slope)
            # nan, which is not positive, where z is not real.
            if not moved[0] > 0:
                break
            place, share = image, share * float(moved[0] * place[0] / image[0])
        else:
            found.append(Outlier(float(place[0]), outlier.multiplicity, share * outlier.alignment))
    return found


def _transform(law: SpectralLaw, place: float) -> tuple[Array, Array]:
    """Stieltjes transform of a law without its isolated eigenvalues, and its derivative, at a point outside."""
    if law.bulk is None:
        distance = np.array([law.shift - place])
        return 1 / distance, 1 / distance**2
    below = (place - law.shift) / law.slope
    (gap,) = (gap for gap in law.bulk.gaps if gap.reach[0] < below < gap.reach[1])
    point = gap.at(below)
    trace, slope = resolvent_trace(law.bulk.population.covariances, np.array([point.z]), point.q[None])
    return trace / law.slope, slope / law.slope**2
