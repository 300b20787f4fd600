"""Match by layers of one's own families: all networks in a stated box of parameters, or the proof of none.

The matching equations of ``theory.matching.equations`` are solved as they stand, by branch and prune.  The gauge of two
layers is fixed by E[phi_1']^2 = 1 (k_1 > 0 forbids E[phi_1'] = 0), unless a fixed parameter does.  Equations that
follow from the others are left out where that is known: k_2 and k_3 where odd families meet an odd target, k_3 = ratio
k_2 of one layer, and the diagonal's where a linear relation holds for every such network and, the activation being
homogeneous, for the DEQ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp
from flint import arb
from scipy.optimize import minimize

from numerics.arithmetic import BallSystem, FloatArithmetic, Search, compile_program, constant_ball, hull, search
from numerics.matching.constructive import no_single_layer, one_layer_excluded
from numerics.matching.explicit_network import ExplicitLayer, ExplicitNetwork
from numerics.matching.targets import Decision, Target, infeasible, undecided
from theory.kernels import Kernel
from theory.matching import TARGETS, Family, MatchingSystem, matching_system, rate_symbol
from theory.named import MatchStatus
from theory.symbols import tau, tau_0

__all__ = [
    "FamilyBox",
    "FamilyBoxError",
    "closest_in_box",
    "match_own",
    "own_residual_bound",
    "search_networks",
]

_STARTS = 12
#: Boxes that a search for one target may look at.
_EFFORT = 100_000
#: Parts of the residual that are tried as its bound, and the boxes that each trial may look at.
_SHARES = ("0.01", "0.1", "0.3", "0.5", "0.7", "0.9")
_BOUND_EFFORT = 20_000
Ends = tuple[sp.Expr, sp.Expr]


class FamilyBoxError(ValueError):
    """A box, or fixed values, that do not determine the parameters of a network."""


@dataclass(frozen=True)
class FamilyBox:
    """Layers of given families, and where their parameters are looked for.

    Attributes:
        families: of the layers, in order.
        box: exact ends by unknown, such as ``a_1`` (parameter a of layer 1), or for an NTK ``rate_0``, the learning
            rate of the weights on the data, ``rate_1``, that of those on layer 1's output, and so on; rates that stand
            nowhere are 1.
        fixed: exact values of the other unknowns.
    """

    families: tuple[Family, ...]
    box: Mapping[str, Ends]
    fixed: Mapping[str, sp.Expr]

    def statement(self) -> str:
        """Return the box in words."""
        inside = [f"{name} in [{low}, {high}]" for name, (low, high) in self.box.items()]
        return ", ".join([*inside, *(f"{name} = {value}" for name, value in self.fixed.items())])

    @property
    def rates(self) -> tuple[sp.Expr, ...]:
        """The learning rates as unknowns, or 1; none where all are 1."""
        symbols = [rate_symbol(matrix) for matrix in range(len(self.families) + 1)]
        named = [symbol.name in self.box or symbol.name in self.fixed for symbol in symbols]
        if not any(named):
            return ()
        return tuple(symbol if given else sp.S.One for symbol, given in zip(symbols, named, strict=True))

    def network(self, values: Mapping[str, arb], tau0: sp.Expr) -> ExplicitNetwork:
        """Return the network with the given values of the box's unknowns, by name."""
        known = {name: arb(constant_ball(value)) for name, value in self.fixed.items()} | dict(values)
        layers = []
        for number, family in enumerate(self.families, 1):
            names = [symbol.name for symbol in family.symbols if symbol.name != family.own_scale]
            layers.append(ExplicitLayer(family, {name: known[f"{name}_{number}"] for name in names}))
        rates = tuple(known.get(str(rate), arb(1)) for rate in self.rates)
        return ExplicitNetwork(tuple(layers), tau0, rates)


def _equations(target: Target, wanted: FamilyBox) -> tuple[list[sp.Expr], list[sp.Symbol]]:
    """What must vanish, in the box's unknowns (in its order), the targets and tau_0."""
    system = matching_system(target.kernel, wanted.families, wanted.rates)
    named = {symbol.name: symbol for symbol in system.unknowns}
    _check_rates(target, wanted)
    if set(wanted.box) | set(wanted.fixed) != set(named) or set(wanted.box) & set(wanted.fixed):
        given = ", ".join(sorted({*wanted.box, *wanted.fixed})) or "none"
        raise FamilyBoxError(f"box and fixed values must cover {', '.join(named)}, each once; given are {given}")
    equations = list(system.equations)
    if system.relations and target.homogeneous:
        equations.pop()
    elif len(wanted.families) == 1 and target.one_layer and not target.odd and not wanted.rates:
        del equations[2]
    place: dict[sp.Symbol, sp.Expr] = {named[name]: value for name, value in wanted.fixed.items()}
    if _free_gauge(system, wanted):
        if not target.coefficients.linear > 0:
            raise FamilyBoxError("k_1 may be 0, so E[phi_1'] = 1 does not fix the gauge: fix a parameter of layer 1")
        first = wanted.families[0]
        names = {s: named[f"{s.name}_1"] for s in first.symbols if s.name != first.own_scale}
        equations.append(first.moments.d1.subs({tau: tau_0} | names, simultaneous=True) ** 2 - 1)
    if target.odd:
        place |= {TARGETS.variance: sp.S.Zero, TARGETS.square: sp.S.Zero}
    equations = [e for e in (equation.subs(place) for equation in equations) if e != 0]
    if len(equations) < len(wanted.box):
        raise FamilyBoxError(
            f"{len(equations)} equations do not determine the {len(wanted.box)} unknowns {', '.join(wanted.box)}: fix "
            f"{len(wanted.box) - len(equations)} of them"
        )
    return equations, [named[name] for name in wanted.box]


def _check_rates(target: Target, wanted: FamilyBox) -> None:
    """Refuse learning rates that there are not, or that are left free up to a factor."""
    names = [str(rate) for rate in wanted.rates if rate != 1]
    if names and target.kernel == Kernel.CK:
        raise FamilyBoxError(f"{names[0]} is a learning rate, and the CK has none: no weights are trained")
    negative = [name for name in names if (wanted.box[name][0] if name in wanted.box else wanted.fixed[name]) < 0]
    if negative:
        raise FamilyBoxError(f"{negative[0]} is a learning rate, which is not negative")
    if len(names) == len(wanted.families) + 1 and not any(wanted.fixed.get(name, 0) > 0 for name in names):
        raise FamilyBoxError(f"learning rates are determined up to a factor: leave out {names[-1]}, which is 1 then")


def _free_gauge(system: MatchingSystem, wanted: FamilyBox) -> bool:
    """Whether a change of scale between the layers is left free by the fixed values."""
    return any(system.gauge.values()) and not any(
        power for symbol, power in system.gauge.items() if symbol.name in wanted.fixed
    )


def search_networks(target: Target, wanted: FamilyBox) -> Search:
    """Find all networks with parameters in a box.

    Raises:
        FamilyBoxError: the box and the fixed values do not cover the unknowns, or do not determine them.
    """
    equations, unknowns = _equations(target, wanted)
    ends = [hull(arb(constant_ball(low)), arb(constant_ball(high))) for low, high in wanted.box.values()]
    system = BallSystem(equations, unknowns, [*TARGETS, tau_0])
    return search(system, ends, [*target.coefficients, target.scale], budget=target.effort)


def match_own(target: Target, wanted: FamilyBox) -> Decision:
    """Find every matching network in the box, or prove that it has none.

    Raises:
        FamilyBoxError: the box and the fixed values do not cover the unknowns, or do not determine them.
    """
    where = wanted.statement()
    _equations(target, wanted)
    if _one_layer_excluded(target, wanted):
        return no_single_layer(target)
    outcome = search_networks(replace(target, effort=_EFFORT), wanted)
    if not outcome.complete:
        return undecided(
            f"{len(outcome.undecided)} of the {outcome.examined} boxes looked at may hold a solution ({where}): "
            "a smaller box, or more fixed parameters, may decide it",
            digits_help=outcome.examined <= _EFFORT,
        )
    if not outcome.roots:
        return infeasible(f"no network with {where} matches: the search is complete")
    networks = [wanted.network(dict(zip(wanted.box, root, strict=True)), target.tau0) for root in outcome.roots]
    branches = tuple(network.layers for network in networks)
    rates = tuple(network.rates for network in networks if network.rates)
    count = "one solution" if len(branches) == 1 else f"all {len(branches)} solutions"
    return Decision(MatchStatus.EXACT, branches, f"{count} with {where}, by a complete search", rates=rates)


def _one_layer_excluded(target: Target, wanted: FamilyBox) -> bool:
    """Whether one hidden layer, all weights at one rate, is asked for and excluded."""
    return len(wanted.families) == 1 and not wanted.rates and one_layer_excluded(target)


def closest_in_box(target: Target, wanted: FamilyBox) -> ExplicitNetwork:
    """Return the network in the box with the smallest largest difference that float64 finds (no proof of that).

    Raises:
        FamilyBoxError: no network in the box that was tried has finite moments.
    """
    system = matching_system(target.kernel, wanted.families, wanted.rates)
    named = {symbol.name: symbol for symbol in system.unknowns}
    # NumPy's numbers divide by 0, which degenerate networks ask for.
    known = dict(
        zip((*TARGETS, tau_0), np.array([float(b.mid()) for b in (*target.coefficients, target.scale)]), strict=True)
    )
    place = {named[name]: value for name, value in wanted.fixed.items()}
    symbols = [named[name] for name in wanted.box]
    forms = [equation.subs(place) for equation in system.equations]
    program = compile_program(forms, [*symbols, *known], FloatArithmetic())
    lows, highs = (np.array([float(constant_ball(pair[i]).mid()) for pair in wanted.box.values()]) for i in (0, 1))
    size = known[TARGETS.diagonal]

    def gaps(point: np.ndarray) -> np.ndarray:
        return np.asarray(np.array(program(*point[:-1], *known.values()), dtype=float) / size)

    best: tuple[float, np.ndarray] | None = None
    for start in _spread(len(symbols)):
        with np.errstate(all="ignore"):  # points outside the moments' domain are rejected below
            optimum = minimize(
                lambda point: point[-1],
                np.append(lows + start * (highs - lows), 1.0),
                method="SLSQP",
                bounds=[*zip(lows, highs, strict=True), (0, None)],
                constraints=[{"type": "ineq", "fun": lambda p: np.concatenate([p[-1] - gaps(p), p[-1] + gaps(p)])}],
                options={"maxiter": 300, "ftol": 1e-14},
            )
            point = np.clip(optimum.x[:-1], lows, highs)
            reached = float(np.max(np.abs(gaps(np.append(point, 0.0)))))
        if np.isfinite(reached) and (best is None or reached < best[0]):
            best = reached, point
    if best is None:
        raise FamilyBoxError(
            f"no network with {wanted.statement()} was found whose moments are finite: give another box"
        )
    values = {name: arb(float(value)) for name, value in zip(wanted.box, best[1], strict=True)}
    return wanted.network(values, target.tau0)


def _spread(count: int) -> Iterator[np.ndarray]:
    """Points in the unit cube, evenly spread: a Kronecker sequence of the generalised golden ratio."""
    ratio = 1.0
    for _ in range(60):
        ratio = (1 + ratio) ** (1 / (count + 1))
    steps = ratio ** -np.arange(1, count + 1)
    for k in range(_STARTS):
        yield (0.5 + k * steps) % 1


def own_residual_bound(target: Target, wanted: FamilyBox, residual: arb) -> arb:
    """Return a number below which no network in the box has its residual."""
    proved = arb(0)
    for share in _SHARES:
        radius = (residual * arb(share)).lower()
        inflated = replace(target.inflated(radius), effort=_BOUND_EFFORT)
        if not _one_layer_excluded(inflated, wanted):
            try:
                outcome = search_networks(inflated, wanted)
            except FamilyBoxError:
                break
            if outcome.roots or not outcome.complete:
                break
        proved = radius
    return proved
