"""Where a family has no matching network: the closest one, and a proved lower bound of every network's residual.

The residual of a network is the largest of the four differences |k_i - k_i(target)|.  If a family has no network for
any target within r of the given one, every network of the family has a residual above r: so the proof of infeasibility,
repeated on an inflated target, gives the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import sympy as sp
from flint import arb
from scipy.optimize import linprog, minimize, minimize_scalar

from numerics.arithmetic import BallArithmetic, FloatArithmetic, compile_program, constant_ball, hull
from numerics.matching.constructive import one_layer_excluded
from numerics.matching.explicit_network import ExplicitLayer, ExplicitNetwork
from numerics.matching.impossibility import ck_is_forbidden, ntk_is_forbidden
from numerics.matching.odd import match_odd
from numerics.matching.targets import Target, evaluate
from theory.matching import (
    TARGETS,
    MatchStatus,
    compose,
    kernel_part,
    leaky_kernel,
    leaky_relations,
    matching_system,
    named_family,
    odd_ratio_limit,
)
from theory.symbols import tau, tau_0

__all__ = [
    "closest_network",
    "largest_difference",
    "residual_bound",
]

_GRID = 48
#: Parts of the residual that are tried as its bound, and parts of the covering that proves one.
_SHARES = ("0.999", "0.99", "0.9", "0.7", "0.5", "0.3", "0.1", "0.03", "0.01", "0.003", "0.001")
_MOST_PARTS = 400
#: Families whose lack of a network is proved for all activations.
_POLYNOMIAL = ("hermite", "rational")
#: Widths of the odd layers that come near a limit which is not reached, in units of tau_0.
_LIMITING_WIDTHS = (sp.Rational(1, 100), sp.Integer(20))


def largest_difference(found: Sequence[arb], wanted: Sequence[arb]) -> arb:
    """Return an exact upper bound of max_i |found_i - wanted_i|."""
    worst = arb(0)
    for have, want in zip(found, wanted, strict=True):
        worst = worst.max(abs(have - want).upper())
    return worst.upper()


def residual_bound(target: Target, family: str, layers: int, residual: arb) -> arb:
    """Return a number below which no network of the family has its residual.

    Args:
        target: a target that the family has no network for.
        family: its name.
        layers: number of hidden layers.
        residual: the residual of some network of the family.
    """
    if family == "leaky_relu":
        return _leaky_bound(target, layers, residual)
    if family in _POLYNOMIAL:
        for share in _SHARES[2:]:
            radius = (residual * arb(share)).lower()
            inflated = target.inflated(radius)
            if one_layer_excluded(inflated) if layers == 1 else _hermite_excluded(inflated):
                return radius
        return arb(0)
    return _odd_bound(target, family)


def _odd_bound(target: Target, name: str) -> arb:
    """No odd layer has k_2 or k_3, nor k_0 above a limit times tau_0^2 k_1 (whatever its width)."""
    k1, k2, k3, k0 = target.numbers
    worst = k2.max(k3).max(arb(0))
    limit = odd_ratio_limit(target.kernel, name)
    if limit.is_finite:
        slope = arb(constant_ball(limit)) * target.scale**2
        worst = worst.max((k0 - slope * k1) / (1 + slope))
    return worst.lower().max(arb(0))


def _hermite_excluded(target: Target) -> bool:
    """Whether no network of one or two layers of any kind has a kernel in an inflated target."""
    if target.kernel == "ck":
        return ck_is_forbidden(target.numbers, target.scale, _MOST_PARTS)
    return one_layer_excluded(target) and ntk_is_forbidden(target.numbers, target.scale, _MOST_PARTS)


def closest_network(target: Target, family: str, layers: int) -> ExplicitNetwork:
    """Return a network of the family whose residual is as small as could be found, in float64 (no proof of that).

    Args:
        target: the four numbers to be matched.
        family: name of the layers' family.
        layers: how many there are, 1 or 2.
    """
    if family == "leaky_relu":
        return _closest_leaky(target, layers)
    if family in _POLYNOMIAL:
        return _closest_hermite(target, layers)
    return _closest_odd(target, family)


class _LastLeakyLayer:
    """Best last layer for a given direction (u_1^2, w_1^2) = (1 - m, m) of the first (one layer: m plays no part).

    The kernel is linear in the last layer's squares s_j, so the least residual is a linear programme, and every
    multiplier y with sum |y_i| <= 1 bounds it from below,

      max_i |k_i - T_i| >= y.(T - k) = y.T - sum_j s_j y.P_j,   P_j the kernel of s_j = 1,

    where the squares s_j >= 0 satisfy sum_j s_j P_j0 <= T_0 + residual.
    """

    def __init__(self, target: Target, layers: int) -> None:
        self.target = target
        squares, parts = leaky_kernel(target.kernel, layers)
        path = sp.Symbol("m", nonnegative=True)
        place = dict(zip(squares[:-2], (1 - path, path), strict=True)) if layers == 2 else {}
        columns = []
        for unit in ((1, 0), (0, 1)):
            last = dict(zip(squares[-2:], unit, strict=True))
            columns += [sp.expand(part.subs(place | last)) for part in parts]
        self._float = compile_program(columns, [path, tau_0], FloatArithmetic())
        slopes = [sp.diff(column, path) for column in columns]
        self._ball = compile_program([*columns, *slopes], [path, tau_0], BallArithmetic())
        self._wanted = np.array([float(ball.mid()) for ball in target.numbers])
        self._solved: dict[float, tuple[float, np.ndarray, np.ndarray]] = {}

    def solve(self, position: float) -> tuple[float, np.ndarray, np.ndarray]:
        """Residual, squares and multipliers of the best last layer; coverings for several goals share them."""
        if position not in self._solved:
            self._solved[position] = self._programme(position)
        return self._solved[position]

    def _programme(self, position: float) -> tuple[float, np.ndarray, np.ndarray]:
        columns = np.array(self._float(position, float(self.target.scale)), dtype=float).reshape(2, 4).T
        ones = np.ones((4, 1))
        found = linprog(
            [0, 0, 1],
            A_ub=np.block([[columns, -ones], [-columns, -ones]]),
            b_ub=np.concatenate([self._wanted, -self._wanted]),
            bounds=[(0, None)] * 3,
        )
        if found.status != 0:
            raise ArithmeticError(f"the linear programme for the last layer failed: {found.message}")
        duals = found.ineqlin.marginals
        return float(found.fun), found.x[:2], np.asarray(duals[:4] - duals[4:])

    def bound(self, positions: arb, multipliers: np.ndarray, residual: arb) -> arb:
        """Lower bound of the residual over a ball of first layers, for networks with at most the given residual."""
        scale, numbers = self.target.scale, self.target.numbers
        centre = positions.mid()
        wide, thin = self._ball(positions, scale), self._ball(centre, scale)
        exact = [arb(float(y)) for y in multipliers]
        size = sum((abs(y) for y in exact), arb(0)).max(arb(1))
        worst = arb(0)
        for column in (0, 4):
            # The mean value form, so that what cancels at the centre also does next to it.
            price = sum((y * thin[column + i] for i, y in enumerate(exact)), arb(0))
            price += sum((y * wide[8 + column + i] for i, y in enumerate(exact)), arb(0)) * (positions - centre)
            worst = worst.max((price / wide[column + 3]).upper())
        gain = sum((y * number for y, number in zip(exact, numbers, strict=True)), arb(0))
        return ((gain - worst * (numbers[3] + residual)) / size).lower()


def _closest_leaky(target: Target, layers: int) -> ExplicitNetwork:
    last = _LastLeakyLayer(target, layers)
    position, values = 0.0, []
    if layers == 2:

        def on_path(position: float) -> float:
            return last.solve(position)[0]

        grid = np.linspace(0, 1, _GRID)
        best = int(np.argmin([on_path(float(position)) for position in grid]))
        ends = (float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID - 1)]))
        position = float(minimize_scalar(on_path, bounds=ends, method="bounded", options={"xatol": 1e-12}).x)
        values += [1 - position, position]
    values += [float(v) for v in last.solve(position)[1]]
    roots = [arb(value).sqrt().mid() for value in values]
    family = named_family("leaky_relu")
    built = tuple(
        ExplicitLayer(family, {"a": roots[i] + roots[i + 1], "b": roots[i] - roots[i + 1]})
        for i in range(0, 2 * layers, 2)
    )
    return ExplicitNetwork(built, target.tau0)


def _leaky_bound(target: Target, layers: int, residual: arb) -> arb:
    """The distance from the linear relations; where it falls short of the residual, a covering of all first layers.

    On each part of the covering the multipliers of its centre prove a bound.
    """
    plane = arb(0)
    for relation in leaky_relations(target.kernel, layers):
        values = evaluate([sum((x * k for x, k in zip(relation, TARGETS, strict=True)), sp.S.Zero), *relation], target)
        plane = plane.max((abs(values[0]) / sum((abs(value) for value in values[1:]), arb(0))).lower())
    if plane >= residual * arb(_SHARES[0]):
        return plane
    last = _LastLeakyLayer(target, layers)
    if layers == 1:
        return last.bound(arb(0), last.solve(0.0)[2], residual).max(plane)
    for share in _SHARES[1:]:
        goal = (residual * arb(share)).lower()
        if goal <= plane:
            break
        pending = [hull(arb(0), arb(1))]
        for _ in range(_MOST_PARTS):
            if not pending:
                return goal
            part = pending.pop()
            if last.bound(part, last.solve(float(part.mid()))[2], residual) >= goal:
                continue
            pending += [hull(part.lower(), part.mid()), hull(part.mid(), part.upper())]
    return plane


def _closest_odd(target: Target, name: str) -> ExplicitNetwork:
    """k_2 and k_3 cannot be helped; k_1 and k_0 are matched, or shared out evenly near the limit of their ratio."""
    k1, _, _, k0 = target.numbers
    zero = arb(0)
    if k1 > 0:
        decision = match_odd(replace(target, numbers=(k1, zero, zero, k0), odd=True), name)
        if decision.status is MatchStatus.EXACT:
            return ExplicitNetwork(decision.branches[0], target.tau0)
    family = named_family(name)
    amplitude, shape = family.symbols
    fields = {f: getattr(family.moments, f).subs(tau, tau_0) for f in family.moments.__dataclass_fields__}
    state = kernel_part(target.kernel, compose([replace(family.moments, **fields)]))
    program = compile_program([state.linear, state.diagonal], [amplitude, shape, tau_0], BallArithmetic())
    candidates: list[tuple[float, ExplicitLayer]] = []
    for limiting in _LIMITING_WIDTHS:
        width = constant_ball(limiting) * target.scale
        parameter = width if name == "hard_tanh" else 1 / width
        first, diagonal = program(arb(1), parameter, target.scale)
        square = ((k1 + k0) / (first + diagonal)).mid()
        gap = float(abs(k0 - square * diagonal).upper())
        parameters = {amplitude.name: square.sqrt().mid(), shape.name: parameter.mid()}
        candidates.append((gap, ExplicitLayer(family, parameters)))
    return ExplicitNetwork((min(candidates, key=lambda pair: pair[0])[1],), target.tau0)


def _closest_hermite(target: Target, layers: int) -> ExplicitNetwork:
    """Layers of degree 3, by sequential quadratic programming on the largest difference, from a few starts."""
    family = named_family("hermite")
    system = matching_system(target.kernel, [family] * layers)
    symbols = system.unknowns if layers == 1 else system.unknowns[1:]
    known = dict(zip((*TARGETS, tau_0), [float(b.mid()) for b in (*target.numbers, target.scale)], strict=True))
    # The gauge: slope 1 in the first of two layers.
    fixed = known if layers == 1 else known | {system.unknowns[0]: known[tau_0]}
    size = known[TARGETS[3]]
    parts = [sp.expand(equation.subs(fixed)) / size for equation in system.equations]
    values = compile_program(parts, symbols, FloatArithmetic())
    slopes = compile_program([sp.diff(part, s) for part in parts for s in symbols], symbols, FloatArithmetic())

    def margins(point: np.ndarray) -> np.ndarray:
        have = np.array(values(*point[:-1]), dtype=float)
        return np.concatenate([point[-1] - have, point[-1] + have])

    def margin_slopes(point: np.ndarray) -> np.ndarray:
        have = np.array(slopes(*point[:-1]), dtype=float).reshape(4, len(symbols))
        return np.block([[-have, np.ones((4, 1))], [have, np.ones((4, 1))]])

    last = np.sqrt([known[TARGETS[0]] * known[tau_0] ** 2, known[TARGETS[2]] * known[tau_0] ** 4, size / 10])
    best: tuple[float, np.ndarray] | None = None
    for second, third in ((0.01, -0.1), (0.2, 0.05), (0.05, 0.3)):
        first = [] if layers == 1 else [second * known[tau_0], third * known[tau_0]]
        with np.errstate(all="ignore"):  # steps that overflow are rejected below
            found = minimize(
                lambda point: point[-1],
                np.array([*first, *last, 1.0]),
                jac=lambda point: np.eye(len(point))[-1],
                method="SLSQP",
                constraints=[{"type": "ineq", "fun": margins, "jac": margin_slopes}],
                options={"maxiter": 500, "ftol": 1e-14},
            )
            reached = float(np.max(np.abs(np.array(values(*found.x[:-1]), dtype=float))))
        if np.isfinite(reached) and (best is None or reached < best[0]):
            best = reached, found.x[:-1]
    if best is None:
        raise ArithmeticError("no polynomial network near the target was found")
    numbers = [arb(float(value)) for value in best[1]]
    if layers == 2:
        numbers = [target.scale.mid(), *numbers]
    built = [
        ExplicitLayer(family, {f"c{k}": value for k, value in zip((1, 2, 3), numbers[i : i + 3], strict=True)})
        for i in range(0, 3 * layers, 3)
    ]
    return ExplicitNetwork(tuple(built), target.tau0)
