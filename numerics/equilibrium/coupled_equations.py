"""The equations of a cell's scales tau_r and limits q_r in balls, as systems for Krawczyk's test.

Theory sheet, section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flint import arb

from numerics.arithmetic import constant_ball
from numerics.budget import checkpoint
from numerics.moments import CertifiedMoments, HermiteBalls, Key, UncertifiedError
from theory.equations import CoupledDEQ, State

__all__ = ["LimitEquations", "ScaleEquations", "SquareMoments", "square_moments"]

#: Moments of f^2 and of f that E[phi^2] and its two derivatives need.
_SQUARE_KEYS: tuple[Key, ...] = ((0, 2), (2, 2), (0, 1), (2, 1))
_CURVATURE_KEYS: tuple[Key, ...] = ((4, 2), (4, 1))


@dataclass(frozen=True)
class SquareMoments:
    """E[(phi^2)^(m)(tau xi)] for m = 0, 2, 4 (absent where it was not asked for)."""

    values: tuple[arb, ...]

    @property
    def slope(self) -> arb:
        """V_1, the derivative of E[phi^2] in tau^2."""
        return self.values[1] / 2


def square_moments(moments: CertifiedMoments, state: State, scale: arb, *, curvature: bool) -> SquareMoments:
    """Return E[phi^2] and its derivatives, by Stein's identities from the moments of f^2 and f.

    Args:
        moments: of the state's activation f.
        state: a centred phi keeps its mean at this scale.
        scale: ball of tau > 0.
        curvature: whether the fourth derivative is asked for.

    Raises:
        UncertifiedError: a moment is not enclosed.
    """
    raw = moments.enclose(scale, (*_SQUARE_KEYS, *(_CURVATURE_KEYS if curvature else ())))
    mean = raw[0, 1] if state.centred else arb(0)

    def hermite(j: int) -> list[arb]:
        zero, two = raw[0, j], raw[2, j] - raw[0, j]
        return [zero, two, raw[4, j] - 6 * raw[2, j] + 3 * raw[0, j]] if curvature else [zero, two]

    of_square, of_value = hermite(2), hermite(1)
    found = [square - 2 * mean * value for square, value in zip(of_square, of_value, strict=True)]
    found[0] += mean * mean
    return SquareMoments(tuple(value / scale ** (2 * k) for k, value in enumerate(found)))


class ScaleEquations:
    """The equations tau_r^2 = sum_s sigma_rs^2 E[phi_s^2] + sigma_{b,r}^2 tau_0^2 + sigma_{c,r}^2 in tau."""

    def __init__(self, cell: CoupledDEQ, moments: Sequence[CertifiedMoments], matrix: list[list[arb]]) -> None:
        self._cell, self._moments, self._matrix = cell, moments, matrix
        self._drive = [
            constant_ball(state.sigma_b2 * cell.tau0**2 + state.sigma_c2) for state in cell.states
        ]  # fmt: skip
        self._known: tuple[str, list[SquareMoments]] | None = None

    def squares(self, box: Sequence[arb]) -> list[SquareMoments]:
        """E[phi_s^2] and its derivative on a box, remembered for the last one."""
        key = " ".join(f"{part.mid().man_exp()} {part.rad().man_exp()}" for part in box)
        if self._known is None or self._known[0] != key:
            checkpoint()
            found = [
                square_moments(one, state, scale, curvature=False)
                for one, state, scale in zip(self._moments, self._cell.states, box, strict=True)
            ]
            self._known = (key, found)
        return self._known[1]

    def values(self, box: Sequence[arb], data: Sequence[arb]) -> list[arb]:
        """The equations' left side less the right."""
        energies = [one.values[0] for one in self.squares(box)]
        return [
            box[r] ** 2 - sum((w * e for w, e in zip(row, energies, strict=True)), self._drive[r])
            for r, row in enumerate(self._matrix)
        ]

    def jacobian(self, box: Sequence[arb], data: Sequence[arb]) -> list[list[arb]]:
        """Derivatives in tau: 2 tau_s (1 - sigma_rs^2 V_1)."""
        slopes = [one.slope for one in self.squares(box)]
        return [
            [2 * box[s] * (int(r == s) - weight * slopes[s]) for s, weight in enumerate(row)]
            for r, row in enumerate(self._matrix)
        ]


class LimitEquations:
    """The equations q_r = sum_s sigma_rs^2 F_s(tau_s^2, tau_s^2, q_s) + sigma_{c,r}^2, where q is not 0."""

    def __init__(
        self,
        cell: CoupledDEQ,
        series: Sequence[HermiteBalls | None],
        means: Sequence[arb],
        matrix: list[list[arb]],
        chosen: Sequence[int],
    ) -> None:
        self._series, self._matrix, self._chosen = series, matrix, chosen
        # A state whose own limit is 0 gives the square of its mean to the others.
        fixed = [s for s in range(len(matrix)) if s not in chosen]
        self._drive = [
            sum((row[s] * means[s] ** 2 for s in fixed), constant_ball(state.sigma_c2))
            for row, state in zip(matrix, cell.states, strict=True)
        ]

    def _pair(self, s: int, order: int, limit: arb) -> arb:
        series = self._series[s]
        if series is None:
            raise UncertifiedError("a correlation that vanishes has no series")
        return series.pair_moment(order, order, limit / series.scale**2)

    def values(self, box: Sequence[arb], data: Sequence[arb]) -> list[arb]:
        """The equations' left side less the right."""
        duals = {s: self._pair(s, 0, part) for s, part in zip(self._chosen, box, strict=True)}
        return [
            part - sum((self._matrix[r][s] * dual for s, dual in duals.items()), self._drive[r])
            for r, part in zip(self._chosen, box, strict=True)
        ]

    def jacobian(self, box: Sequence[arb], data: Sequence[arb]) -> list[list[arb]]:
        """Derivatives in q: 1 - sigma_rs^2 F_l."""
        slopes = {s: self._pair(s, 1, part) for s, part in zip(self._chosen, box, strict=True)}
        return [[int(r == s) - self._matrix[r][s] * slopes[s] for s in self._chosen] for r in self._chosen]
