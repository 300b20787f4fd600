"""Witnesses: linear functionals of a kernel's error that the operator norm bounds.

For a symmetric M of nuclear norm at most 1, |tr(M R)| <= ||R||: where ||G* - Gbar|| -> 0, each witness tr(M(G* - Gbar))
tends to 0 as well.  A witness is an average over many entries, so its scatter is far smaller than the norm, and its
limit tells terms of the equivalent apart that the norm hides: M = I/n, S/tr S, and u v^T for the classes' indicators
and psi.  It is linear in the equivalent's coefficients, so that one kernel serves every theory, right or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations_with_replacement, pairwise, product
from typing import Any

import numpy as np
import scipy.optimize
import sympy as sp
import threadpoolctl

from numerics.arithmetic import FloatArithmetic, PointwiseActivation, Program, compile_program, pointwise
from numerics.arrays import Array
from numerics.data import MixtureSample
from numerics.equilibrium import FloatEquilibrium, checked_moments, solve_float
from numerics.kernels import EXPLICIT_KERNELS, explicit_kernels, implicit_kernels
from numerics.ledger.control_variates import control_variates
from numerics.ledger.populations import PopulationStatistics, mixture
from numerics.moments import MomentValues
from theory.activations import Activation, resolve
from theory.claims import ASSEMBLY, AT_TAU_0, NUMBERS, Assembly, Statistic, T_ab, Theory, t, t_a, t_b, true_theory
from theory.equations import DEQ, EquilibriumError, LayerCoefficients, LayerMoments, input_layer, next_layer
from theory.kernels import Kernel, KernelCoefficients
from theory.matching import kernel_part
from theory.symbols import d1, d2, d22, dd, mean, sigma_a2, sigma_b2, tau, tau_0, variance

__all__ = [
    "EquivalentTerms",
    "WitnessRecord",
    "coefficients_of",
    "explicit_coefficients",
    "explicit_witness_cell",
    "residuals",
    "terms_of",
    "theory_inputs",
    "theory_terms",
    "witness_cell",
    "witness_names",
    "witness_orders",
    "wrong_terms",
]


@dataclass(frozen=True)
class WitnessRecord:
    """The witnesses of one draw.

    Attributes:
        p: dimension.
        kernels: by name of a ``Kernel``, (W,) array, tr(M K) for every witness.
        gram: (W,) array, tr(M S) for every witness.
        trace: (W,) array, tr M for every witness.
        low_rank: (W, K+1, K+1) array, V^T M V for every witness.
        controls: (C,) array, the draw's control variates (``numerics.ledger.control_variates``).
    """

    p: int
    kernels: Mapping[str, Array]
    gram: Array
    trace: Array
    low_rank: Array
    controls: Array

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> WitnessRecord:
        """Read what ``witness_cell`` returned."""
        return cls(
            p=int(record["p"]),
            kernels={name: np.array(values) for name, values in record["kernels"].items()},
            gram=np.array(record["gram"]),
            trace=np.array(record["trace"]),
            low_rank=np.array(record["low_rank"]),
            controls=np.array(record["controls"]),
        )


def witness_names(classes: int) -> tuple[str, ...]:
    """Names of the witnesses for a number of classes, in the order of the records."""
    vectors = [f"class {a + 1}" for a in range(classes)] + ["psi"]
    return ("I", "S", *(f"{u} x {v}" for u, v in combinations_with_replacement(vectors, 2)))


def witness_orders(classes: int) -> tuple[int, ...]:
    """Highest power of p^(-1/2) that each witness is fitted with.

    I and S average over all samples: less their control variates they scatter so little that one term more shows.
    """
    return tuple(3 if name in ("I", "S") else 2 for name in witness_names(classes))


def witness_cell(
    data: str, activation: str, sigma_a2: float, sigma_b2: float, p: int, index: int, seed: int
) -> dict[str, Any]:
    """Draw data, compute the DEQ's exact kernels and return their witnesses, as plain numbers.

    The NTKs are left out where they do not exist.

    Args:
        data: name of ``numerics.ledger.MIXTURES``.
        activation: registered name, or an expression in x.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        p: dimension.
        index: number of the draw.
        seed: root seed; with p and the index it fixes the draw.
    """
    with threadpoolctl.threadpool_limits(limits=1):
        sample = mixture(data, p).sample(np.random.default_rng([seed, p, index]))
        phi = _phi(activation)
        solution = _solution(activation, sigma_a2, sigma_b2, sample.mixture.tau0)
        wanted = tuple(Kernel) if "kappa2" in solution.values else (Kernel.CK,)
        gram = sample.gram()
        found = implicit_kernels(gram, phi, sigma_a2, sigma_b2, bias=solution["bias"], kernels=wanted)
        return _record(sample, gram, {kernel.value: matrix for kernel, matrix in found.matrices.items()})


def explicit_witness_cell(data: str, activations: Sequence[str], p: int, index: int, seed: int) -> dict[str, Any]:
    """Do as ``witness_cell`` for an explicit network, whose layers have the given activations, first to last."""
    with threadpoolctl.threadpool_limits(limits=1):
        sample = mixture(data, p).sample(np.random.default_rng([seed, p, index]))
        layers = [(_phi(text), bias) for text, (_, bias) in _layers(tuple(activations), sample.mixture.tau0)]
        gram = sample.gram()
        found = explicit_kernels(gram, layers, kernels=EXPLICIT_KERNELS)
        return _record(sample, gram, {"explicit-ck": found[Kernel.CK], "explicit-ntk": found[Kernel.NTK_ALL]})


@lru_cache(maxsize=64)
def _activation(text: str) -> Activation:
    return resolve(text).with_parameters({})


@lru_cache(maxsize=256)
def _solution(activation: str, sigma_a2: float, sigma_b2: float, tau0: float) -> FloatEquilibrium:
    """The equilibrium of the population, which all draws of a size share."""
    return solve_float(DEQ(_activation(activation), sigma_a2, sigma_b2, tau0)).checked()


def _phi(text: str) -> PointwiseActivation:
    return pointwise(_activation(text))


def _record(sample: MixtureSample, gram: Array, kernels: Mapping[str, Array]) -> dict[str, Any]:
    statistics = sample.statistics()
    V = statistics.low_rank
    indicator = statistics.indicator / np.sqrt(statistics.indicator.sum(axis=0))
    vectors = np.column_stack([indicator, statistics.psi / np.linalg.norm(statistics.psi)])
    pairs = list(combinations_with_replacement(range(vectors.shape[1]), 2))

    def on(matrix: Array) -> list[float]:
        """tr(M matrix) for every witness M."""
        spectral = [float(np.trace(matrix)) / len(matrix), float(np.sum(matrix * gram)) / float(np.trace(gram))]
        small = vectors.T @ matrix @ vectors
        return spectral + [float(small[i, j]) for i, j in pairs]

    projected = V.T @ vectors
    low_rank = [V.T @ V / len(gram), V.T @ gram @ V / np.trace(gram)]
    for i, j in pairs:
        outer = np.outer(projected[:, i], projected[:, j])
        low_rank.append((outer + outer.T) / 2)
    overlaps = vectors.T @ vectors
    return {
        "p": sample.mixture.dimension,
        "kernels": {name: on(kernel) for name, kernel in kernels.items()},
        "gram": on(gram),
        "trace": [1.0, 1.0, *(float(overlaps[i, j]) for i, j in pairs)],
        "low_rank": np.array(low_rank).tolist(),
        "controls": control_variates(sample, gram).tolist(),
    }


#: The moments, in the order in which ``_numbers`` has them.
_MOMENTS = (variance, d1, d2, d22, dd)
_SCALE_INPUTS = (tau, *_MOMENTS, sigma_a2, sigma_b2, tau_0, *(AT_TAU_0[moment] for moment in _MOMENTS))
_INPUTS = (*_SCALE_INPUTS, mean)
#: Where a wrong equation of tau has no root within this factor of the right one, it is said to have none.
_FARTHEST, _STEPS = 8.0, 24


@cache
def _program(theory: Theory) -> Program:
    return compile_program(list(theory.coefficients), _INPUTS, FloatArithmetic())


def coefficients_of(
    theory: Theory, activation: str, sigma_a2: float, sigma_b2: float, tau0: float
) -> KernelCoefficients[float]:
    """Evaluate a theory's four coefficients for an activation, in float64.

    Args:
        theory: what is evaluated.
        activation: a name or an expression in x.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        tau0: input scale tau_0.

    Raises:
        ValueError: the theory is of an NTK, and E[phi'^2] is infinite.
        EquilibriumError: a wrong theory's equation of tau has no root near the right one, or it has no finite numbers.
    """
    scale, moments = _moments(activation, sigma_a2, sigma_b2, tau0)
    if moments.slope_energy is None and theory.kernel.is_tangent:
        raise ValueError(f"E[phi'^2] is infinite for {activation}: it has no NTK")
    if theory.scale != true_theory(theory.kernel).scale:
        scale = _wrong_scale(theory.scale, activation, sigma_a2, sigma_b2, tau0)
        moments = _moments_at(activation, scale)
    known = (sigma_a2, sigma_b2, tau0, *_numbers(_moments_at(activation, tau0)))
    try:
        return KernelCoefficients(*map(float, _program(theory)(scale, *_numbers(moments), *known, moments.mean)))
    except (ZeroDivisionError, TypeError) as error:  # float refuses the square root of a negative number
        raise EquilibriumError(f"{theory.identifier}: it has no real number for {activation}") from error


def theory_inputs(activation: str, sigma_a2: float, sigma_b2: float, tau0: float) -> dict[sp.Symbol, float]:
    """What the expressions of theories depend on, for an activation in float64.

    Args:
        activation: a name or an expression in x.
        sigma_a2: variance of the recurrent weights.
        sigma_b2: variance of the input weights.
        tau0: input scale tau_0.

    Raises:
        EquilibriumError: no stable equilibrium.
    """
    scale, moments = _moments(activation, sigma_a2, sigma_b2, tau0)
    known = (sigma_a2, sigma_b2, tau0, *_numbers(_moments_at(activation, tau0)))
    return dict(zip(_INPUTS, (scale, *_numbers(moments), *known, moments.mean), strict=True))


def _numbers(moments: MomentValues[float]) -> tuple[float, ...]:
    """The values of ``_MOMENTS``; E[phi'^2], where it is infinite, is not needed."""
    return (moments.variance, moments.d1, moments.d2, moments.d22, moments.slope_energy or 0.0)


@lru_cache(maxsize=4096)
def _moments_at(activation: str, scale: float) -> MomentValues[float]:
    return checked_moments(_phi(activation), scale)


@lru_cache(maxsize=4096)
def _wrong_scale(right: sp.Expr, activation: str, sigma_a2: float, sigma_b2: float, tau0: float) -> float:
    """The root of tau^2 = right side that is nearest to tau_*, on a logarithmic scale."""
    program = compile_program([right], _SCALE_INPUTS, FloatArithmetic())
    known = (sigma_a2, sigma_b2, tau0, *_numbers(_moments_at(activation, tau0)))

    def excess(scale: float) -> float:
        return float(program(scale, *_numbers(_moments_at(activation, scale)), *known)[0]) - scale**2

    start, _ = _moments(activation, sigma_a2, sigma_b2, tau0)
    steps = start * np.geomspace(1, _FARTHEST, _STEPS)
    for near, far in pairwise(steps):
        for edges in ((near, far), (start**2 / near, start**2 / far)):
            if excess(edges[0]) * excess(edges[1]) <= 0:
                return float(scipy.optimize.brentq(excess, *edges, xtol=1e-12))
    raise EquilibriumError(f"tau^2 = {right} has no root within a factor {_FARTHEST:g} of tau_* = {start:.6g}")


@lru_cache(maxsize=256)
def _moments(activation: str, sigma_a2: float, sigma_b2: float, tau0: float) -> tuple[float, MomentValues[float]]:
    """tau_* and the moments there."""
    scale = _solution(activation, sigma_a2, sigma_b2, tau0)["tau"]
    return scale, _moments_at(activation, scale)


@lru_cache(maxsize=64)
def _layers(activations: tuple[str, ...], tau0: float) -> tuple[tuple[str, tuple[LayerCoefficients, float]], ...]:
    """Coefficients after each layer of an explicit network in float64, and what centres the layer."""
    found = []
    state = LayerCoefficients(**{name: float(value.subs(tau_0, tau0)) for name, value in vars(input_layer()).items()})
    for text in activations:
        at = checked_moments(_phi(text), float(np.sqrt(state.tau2)))
        moments = LayerMoments(at.d1, at.d2, at.d22, at.slope_energy, at.variance)
        state = LayerCoefficients(
            **{name: float(value) for name, value in vars(next_layer(state, moments=moments)).items()}
        )
        found.append((text, (state, at.mean)))
    return tuple(found)


def explicit_coefficients(kernel: str, activations: Sequence[str], tau0: float) -> KernelCoefficients[float]:
    """The coefficients of an explicit network's kernel, "explicit-ck" or "explicit-ntk"."""
    _, (last, _) = _layers(tuple(activations), tau0)[-1]
    return kernel_part(Kernel.CK if kernel == "explicit-ck" else Kernel.NTK_ALL, last)


@dataclass(frozen=True)
class EquivalentTerms:
    """An equivalent's terms: gram S + V core V^T + identity I_n.

    Attributes:
        gram: coefficient of S.
        core: (K+1, K+1) array.
        identity: coefficient of the identity.
    """

    gram: float
    core: Array
    identity: float


def terms_of(
    coefficients: KernelCoefficients[float],
    statistics: PopulationStatistics,
    changes: frozenset[Statistic] = frozenset(),
) -> EquivalentTerms:
    """Assemble an equivalent at one p.

    Args:
        coefficients: of the kernel, at this p.
        statistics: of the population at this p.
        changes: of the statistics, by a wrong theory.
    """
    core = statistics.core(coefficients.variance, coefficients.square, changes)
    return EquivalentTerms(coefficients.linear, core, coefficients.identity(statistics.tau0))


@cache
def _assembly_program(assembly: Assembly) -> Program:
    inputs = (*NUMBERS, tau_0, tau, t_a, t_b, T_ab, t)
    return compile_program(list(vars(assembly).values()), inputs, FloatArithmetic())


def wrong_terms(
    assembly: Assembly, coefficients: KernelCoefficients[float], statistics: PopulationStatistics, scale: float
) -> EquivalentTerms:
    """Assemble an equivalent at one p in another way than the theory's.

    Args:
        assembly: the way.
        coefficients: of the kernel, at this p.
        statistics: of the population at this p.
        scale: tau_*.
    """
    program, classes = _assembly_program(assembly), statistics.t.size
    core = np.empty((classes + 1, classes + 1))
    for a, b in product(range(classes), repeat=2):
        of_data = statistics.t[a], statistics.t[b], statistics.T[a, b], statistics.t[a]
        gram, identity, core[a, b], core[a, classes], core[classes, classes] = program(
            *coefficients, statistics.tau0, scale, *of_data
        )
        core[classes, a] = core[a, classes]
    return EquivalentTerms(float(gram), core, float(identity))


def theory_terms(
    theory: Theory, activation: str, sigma_a2: float, sigma_b2: float, statistics: PopulationStatistics
) -> EquivalentTerms:
    """Assemble the equivalent of a theory, right or wrong, for an activation at one p.

    Raises:
        ValueError: the theory is of an NTK, and E[phi'^2] is infinite.
        EquilibriumError: a wrong theory's equation of tau has no root near the right one.
    """
    coefficients = coefficients_of(theory, activation, sigma_a2, sigma_b2, statistics.tau0)
    if theory.assembly == ASSEMBLY:
        return terms_of(coefficients, statistics, theory.statistics)
    scale, _ = _moments(activation, sigma_a2, sigma_b2, statistics.tau0)
    return wrong_terms(theory.assembly, coefficients, statistics, scale)


def residuals(kernel: str, terms: EquivalentTerms, records: Sequence[WitnessRecord]) -> Array:
    """tr(M (K - Kbar)) of every draw (rows) and witness (columns), at one p.

    Args:
        kernel: key of the records' kernels.
        terms: of the equivalent, at this p.
        records: of the draws.
    """
    kernels, gram, trace = (
        np.array(rows)
        for rows in zip(*((record.kernels[kernel], record.gram, record.trace) for record in records), strict=True)
    )
    low = np.einsum("rwij,ij->rw", np.array([record.low_rank for record in records]), terms.core)
    return np.asarray(kernels - terms.gram * gram - low - terms.identity * trace)
