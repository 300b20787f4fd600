"""Evidence on spectra at a width of the order of n, from networks that are drawn and solved.

Theory sheet, section 9.  Where n/M is fixed, tr (H^T H/M - z)^{-1}/n tends to the Stieltjes transform of a law, and its
values at a few z determine it.  The networks and their widths are fixed; the activations and weights that a user gives
are of DEQs with as many neurons as samples.  Every draw serves the true law and all wrong ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import sympy as sp
import threadpoolctl
from numpy.typing import NDArray

from numerics.arithmetic import FloatArithmetic, Program, compile_program, pointwise
from numerics.arrays import Array
from numerics.data import EntryLaw, draw_entries
from numerics.equilibrium import solve_float
from numerics.ledger.checks import Check, Plan, PlantedOutcome, Results, Task, by_size, ladder
from numerics.ledger.limits import LimitTest, figures, limit_test, limit_verdict, power_of
from numerics.ledger.populations import mixture
from numerics.ledger.witnesses import theory_inputs
from numerics.linalg import eigenvalues
from numerics.networks import FiniteDEQ, FiniteExplicitNetwork
from numerics.spectrum import Layer, Population, SpectralLawError, stieltjes
from theory.activations import resolve
from theory.claims import BULK_PARTS, Verdict, VerdictKind, WidthTheory, width_theories
from theory.equations import DEQ
from theory.symbols import neurons, samples, variance

__all__ = ["CHECKS", "width_task"]

Complex = NDArray[np.complex128]

_DATA = "uneven"
#: Where the resolvent is taken, in units of the kernel's diagonal.
_PLACES = np.array([-0.3, -2.0, 0.7 + 0.7j])
_NAMES = ("resolvent at -0.3", "resolvent at -2", "resolvent at 0.7 + 0.7i", "its imaginary part")
#: Real places are looked at from so far above, relative to the diagonal.
_ABOVE = 1e-12j
#: Relative change of a number by which its effect is found.
_CHANGE = sp.Rational(1, 100)
#: Relative residual of a DEQ's states; and what a user may stop at.
_SOLVED, _LOOSE = 1e-6, 1e-3
_EXPLICIT, _DEQ, _TIED, _UNIVERSAL = (
    *("width-law-explicit", "width-law-deq"),
    *("width-law-tied-differs", "width-law-universal"),
)
_MARCHENKO_PASTUR = "width: Marchenko-Pastur over Gbar"


@dataclass(frozen=True)
class _Network:
    """What is drawn: explicit layers, or one DEQ.

    Attributes:
        activations: registered names, or expressions in x, from the data upwards.
        shares: M/n of every layer.
        sigma_a2: variance of the recurrent weights, as text that is an exact number; 0 for explicit layers.
        sigma_b2: variance of the input weights, as text.
        law: of the weights.
        tolerance: relative residual of the states.
    """

    activations: tuple[str, ...]
    shares: tuple[str, ...]
    sigma_a2: str = "0"
    sigma_b2: str = "1"
    law: EntryLaw = "gaussian"
    tolerance: float = _SOLVED

    @property
    def arguments(self) -> dict[str, Any]:
        """Its fields as plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @property
    def subject(self) -> str:
        """What verdicts on it are headed by."""
        widths = ", ".join(f"M = {'' if share == '1' else share + ' '}n" for share in self.shares)
        weights = f", sigma_a^2 = {self.sigma_a2}" if self.sigma_a2 != "0" else ""
        others = f", {self.law} weights" if self.law != "gaussian" else ""
        others += f", solved to {self.tolerance:g}" if self.tolerance != _SOLVED else ""
        return f"{' and '.join(self.activations)}{weights}, {widths}{others}"

    def widths(self, count: int) -> tuple[int, ...]:
        """M of every layer for a number of samples."""
        return tuple(round(float(sp.Rational(share)) * count) for share in self.shares)


def _deq(activation: str, weight: str, share: str, **others: Any) -> _Network:
    return _Network((activation,), (share,), weight, str(1 - sp.Rational(weight)), **others)


# --- what is drawn -------------------------------------------------------------------------------


def width_task(
    activations: Sequence[str], shares: Sequence[str], sigma_a2: str, sigma_b2: str, law: EntryLaw, tolerance: float,
    p: int, index: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Draw data and a network, and return D tr (H^T H/M - z D)^{-1}/n at the places, D the diagonal.

    Args:
        activations: of the layers, or of a DEQ.
        shares: M/n of each, as texts.
        sigma_a2: variance of the recurrent weights, as text; 0 for explicit layers.
        sigma_b2: variance of the input weights, as text.
        law: of the weights.
        tolerance: relative residual of a DEQ's states.
        p: dimension.
        index: number of the draw.
        seed: root seed; with p and the index it fixes the draw.

    Raises:
        EquilibriumError: no stable equilibrium.
        NonConvergenceError: the network has no equilibrium that the iteration reaches.
    """
    network = _Network(tuple(activations), tuple(shares), sigma_a2, sigma_b2, law, tolerance)
    rng = np.random.default_rng([seed, p, index])
    with threadpoolctl.threadpool_limits(limits=1):
        sample = mixture(_DATA, p).sample(rng)
        kernel = _kernel(network, sample.data, sample.mixture.tau0, rng)
        spectrum = eigenvalues(kernel)
    diagonal = _diagonal(network, sample.mixture.tau0)
    return {"traces": _parts(np.mean(1 / (spectrum / diagonal - _PLACES[:, None]), axis=1))}


def _kernel(network: _Network, data: Array, tau0: float, rng: np.random.Generator) -> Array:
    p, count = data.shape
    widths = network.widths(count)
    if network.sigma_a2 != "0":
        deq = DEQ(network.activations[0], network.sigma_a2, network.sigma_b2, tau0)
        bias = solve_float(deq).checked()["bias"]
        drawn = FiniteDEQ.draw(deq, bias, width=widths[0], dimension=p, rng=rng, law=network.law)
        return drawn.equilibrium(data, tolerance=network.tolerance).ck
    layers, scale = [], tau0
    for activation in network.activations:
        solution = solve_float(DEQ(activation, 0, 1, scale)).checked()
        layers.append((pointwise(resolve(activation).with_parameters({})), solution["bias"]))
        scale = float(np.sqrt(solution["gamma2"]))
    shapes = zip(widths, (p, *widths), strict=False)
    return FiniteExplicitNetwork(tuple(layers), tuple(draw_entries(network.law, shape, rng) for shape in shapes)).ck(
        data
    )


def _parts(values: Complex) -> list[float]:
    """Real parts, and the imaginary part at the last place, as ``_NAMES`` has them."""
    return [*map(float, values.real), float(values[-1].imag)]


# --- what a theory predicts ----------------------------------------------------------------------


def _inputs(network: _Network, tau0: float) -> list[dict[sp.Symbol, float]]:
    """What the expressions of the linear network depend on besides n and M, of every layer."""
    weights = float(sp.Rational(network.sigma_a2)), float(sp.Rational(network.sigma_b2))
    found, scale = [], tau0
    for activation in network.activations:
        found.append(theory_inputs(activation, *weights, scale))
        scale = float(np.sqrt(found[-1][variance]))
    return found


def _diagonal(network: _Network, tau0: float) -> float:
    return _inputs(network, tau0)[-1][variance]


@cache
def _program(theory: WidthTheory) -> Program:
    # Any inputs have the symbols, in one order.
    symbols = [*theory_inputs("x", 0.0, 1.0, 1.0), samples, neurons]
    return compile_program([getattr(theory.network, part) for part in BULK_PARTS], symbols, FloatArithmetic())


def _layers(theory: WidthTheory, network: _Network, population: Population) -> list[Layer]:
    """The layers by a theory.

    Raises:
        ValueError: they are none: a variance is negative, or s is not below 1.
    """
    count = population.samples
    layers = []
    for numbers, width in zip(_inputs(network, population.tau0), network.widths(count), strict=True):
        a, c, s2, ratio = map(float, _program(theory)(*numbers.values(), float(count), float(width)))
        if s2 < 0:
            raise ValueError(f"s^2 must not be negative, got {s2:g}")
        layers.append(Layer(a, c, ratio, float(np.sqrt(s2))))
    return layers


@lru_cache(maxsize=64)
def _population(p: int) -> Population:
    return Population.from_mixture(mixture(_DATA, p))


def _predicted(theory: WidthTheory, network: _Network, p: int) -> Array:
    population = _population(p)
    diagonal = _diagonal(network, population.tau0)
    with threadpoolctl.threadpool_limits(limits=1):
        found = stieltjes(population, _layers(theory, network, population), diagonal * (_PLACES + _ABOVE))
    return np.array(_parts(diagonal * found), dtype=np.float64)


def _test(theory: WidthTheory, network: _Network, records: Mapping[int, Array], level: float) -> LimitTest:
    """The test of a theory on traces of every draw (rows), by p."""
    values = [rows - _predicted(theory, network, p) for p, rows in records.items()]
    # A series in 1/p: that in size^(-1/2) for the sizes p^2.
    return limit_test(_NAMES, [p**2 for p in records], values, order=min(2, len(records) - 2), level=level)


# --- the claims ----------------------------------------------------------------------------------


def _deqs(plan: Plan) -> list[_Network]:
    """The DEQs that decide, and whose draws the wrong theories are tried on."""
    if plan.activations:
        return [_Network((name,), ("1",), plan.sigma_a2, plan.sigma_b2) for name in plan.activations]
    chosen = [_deq("tanh", "3/5", "3/4")]
    if plan.profile.name != "quick":
        chosen += [_deq("swish", "9/10", "3/2"), _deq("relu", "4/5", "2"), _deq("sin(x) + x**2/(5 + x**2)", "1/2", "1")]
    return chosen


def _networks(plan: Plan) -> dict[str, list[_Network]]:
    """By claim, what is drawn for it."""
    explicit = [_Network(("tanh", "relu"), ("1", "1/2"))]
    other = [_deq("tanh", "3/5", "1", law="rademacher"), _deq("gelu", "4/5", "1", tolerance=_LOOSE)]
    return {_EXPLICIT: explicit, _DEQ: _deqs(plan), _UNIVERSAL: other}


def _ladder(plan: Plan, network: _Network) -> list[Task]:
    profile = plan.profile
    common = {**network.arguments, "seed": plan.seed}
    return ladder(width_task, common, profile.law_sizes, profile.law_draws, cost=6.0)


def _records(plan: Plan, network: _Network, results: Results) -> dict[int, Array]:
    found = by_size(_ladder(plan, network), lambda task: results[task.name]["traces"])
    return {p: np.array(rows) for p, rows in found.items()}


def _verdict(plan: Plan, claim: str, network: _Network, results: Results) -> Verdict:
    true, level = width_theories()["true"], plan.profile.level
    records = _records(plan, network, results)
    test = _test(true, network, records, level)

    def changed(part: str) -> LimitTest:
        return _test(true.scaled(part, 1 + _CHANGE), network, records, level)

    # Explicit layers have s = 0, which no relative change changes.
    parts = [part for part in BULK_PARTS if part != "feedback2" or network.sigma_a2 != "0"]
    power = power_of(test, changed, float(_CHANGE), parts)
    last = max(records)
    relative = np.mean(records[last], axis=0) / _predicted(true, network, last) - 1
    before = f"at p = {last} the mean traces are within {100 * np.abs(relative).max():.2g} % of the law's; "
    return limit_verdict(
        claim, network.subject, test, {BULK_PARTS[part]: value for part, value in power.items()},
        activation=_heading(plan, network), before=before,
    )  # fmt: skip


def _heading(plan: Plan, network: _Network) -> str:
    """The column of the table: the user's activations have their own."""
    return network.activations[0] if plan.activations and network in _deqs(plan) else ""


def _tied(plan: Plan, network: _Network, results: Results) -> Verdict:
    """Whether the law of an explicit layer with the same kernel is refuted."""
    theories, level = width_theories(), plan.profile.level
    records = _records(plan, network, results)
    base, test = (_test(theories[name], network, records, level) for name in ("true", _MARCHENKO_PASTUR))
    change = test.limits - base.limits
    seen = base.detectable(change)
    kind = VerdictKind.SUPPORTED if test.refuted else VerdictKind.REFUTED if seen <= 1 else VerdictKind.UNDECIDED
    why = (
        f"of the law of Marchenko and Pastur over Gbar {test.sentence()}; in the limit the two laws differ by "
        f"{np.abs(change).max():.2g} there"
    )
    why += "" if kind is not VerdictKind.UNDECIDED else ", which these draws are too few to see; missing: more draws"
    details = figures(test) | {"power": {"difference": None if np.isinf(seen) else seen}}
    return Verdict(_TIED, network.subject, kind, why, details, _heading(plan, network))


def _judge(plan: Plan, results: Results) -> list[Verdict]:
    chosen = _networks(plan)
    verdicts = [_verdict(plan, claim, one, results) for claim in (_EXPLICIT, _DEQ) for one in chosen[claim]]
    return verdicts + [_tied(plan, one, results) for one in chosen[_DEQ]]


def _planted(plan: Plan, results: Results) -> Sequence[PlantedOutcome]:
    """Every wrong theory that has a law; nothing where the user's own DEQs are asked about."""
    if plan.activations:
        return ()
    networks = [*_networks(plan)[_DEQ], *_networks(plan)[_EXPLICIT]]
    level, true = plan.profile.level / len(networks), width_theories()["true"]
    tried = []
    for network in networks:
        records = _records(plan, network, results)
        tried.append(_Tried(network, records, _test(true, network, records, level)))
    outcomes = (_outcome(theory, tried) for theory in width_theories().values() if theory is not true)
    return [outcome for outcome in outcomes if outcome is not None]


@dataclass(frozen=True)
class _Tried:
    """What wrong theories are tried on: a network, its traces by p, and the test of the true theory."""

    network: _Network
    records: Mapping[int, Array]
    base: LimitTest


def _outcome(theory: WidthTheory, tried: Sequence[_Tried]) -> PlantedOutcome | None:
    """What the draws say of a wrong theory, up to the first network that refutes it.

    None where it has no law for any network of which it says something else than the theory does.
    """
    found: list[PlantedOutcome] = []
    for each in tried:
        try:
            test = _test(theory, each.network, each.records, each.base.level)
        except (ValueError, SpectralLawError):
            continue
        worst, seen = test.worst, each.base.detectable(test.limits - each.base.limits)
        if np.isfinite(seen):
            by = f"{test.names[worst]}, {each.network.subject}"
            found.append(PlantedOutcome(theory, test.refuted, by, float(test.scores[worst]), seen))
        if test.refuted:
            break
    return max(found, key=lambda one: (one.refuted, abs(one.score)), default=None)


CHECKS = (
    Check(
        (_EXPLICIT, _DEQ, _TIED),
        lambda plan: [
            task for claim in (_EXPLICIT, _DEQ) for one in _networks(plan)[claim] for task in _ladder(plan, one)
        ],
        _judge,
        _planted,
    ),
    Check(
        (_UNIVERSAL,),
        lambda plan: [task for one in _networks(plan)[_UNIVERSAL] for task in _ladder(plan, one)],
        lambda plan, results: [_verdict(plan, _UNIVERSAL, one, results) for one in _networks(plan)[_UNIVERSAL]],
    ),
)
