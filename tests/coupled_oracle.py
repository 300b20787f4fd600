"""Cells solved in plain mpmath: iteration of the exact recursions of a pair of samples, and numerical differentiation.

Nothing of the expansion of section 8 is used: G_ij as a function of S_ij and of the two norms is iterated to its fixed
point from the dual activation's closed form, and its derivatives are difference quotients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import sympy as sp
from mpmath import mp, mpf

from theory.activations import Activation
from theory.equations import CoupledDEQ, TrainedWeights
from theory.moments import GaussianMoments, correlation, dual_form, left_scale, right_scale, sine
from theory.symbols import tau, x

__all__ = ["CoupledOracle"]

#: Step of the difference quotients, and digits to which they are right.
STEP, DIGITS = mpf(10) ** -10, 16
#: Multiples of the step of S_ij, delta_i and delta_j at which entries are evaluated.
PLACES = ((0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 1, 1), (0, 1, -1), (0, -1, -1))
_WORKING = 60
_ITERATIONS = 4000


@cache
def _dual(activation: Activation) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """E[f(u) f(v)] of tau_i, tau_j, rho and sqrt(1 - rho^2), and E[f(tau xi)]."""
    form = dual_form(activation)
    assert form is not None
    value = sp.lambdify((left_scale, right_scale, correlation, sine), form.value, modules="mpmath")
    return value, sp.lambdify(tau, GaussianMoments(activation).mean, modules="mpmath")


class CoupledOracle:
    """The entries of a cell's kernels for a pair of samples; activations must have a closed dual.

    Args:
        cell: the cell.
    """

    def __init__(self, cell: CoupledDEQ) -> None:
        self.cell = cell
        with mp.workdps(_WORKING):
            self.sigma = [[self._number(value) for value in row] for row in cell.sigma_a2]
            self.inputs = [self._number(state.sigma_b2) for state in cell.states]
            self.biases = [self._number(state.sigma_c2) for state in cell.states]
            self.size = self._number(cell.tau0) ** 2
            self.means = [mpf(0) for _ in cell.states]
            self.squares = self._scales(self.size, moving=True)
            self.means = [
                _dual(s.activation)[1](mp.sqrt(a)) if s.centred else mpf(0)
                for s, a in zip(cell.states, self.squares, strict=True)
            ]
            self.limits = self.entry(0, 0, 0)[0]

    @staticmethod
    def _number(value: sp.Expr) -> Any:
        return mpf(str(sp.N(value, _WORKING + 10)))

    def _expectation(self, r: int, a: Any, b: Any, covariance: Any) -> Any:
        value, mean = _dual(self.cell.states[r].activation)
        rho = covariance / mp.sqrt(a * b)
        rho = min(rho, mpf(1))
        found = value(mp.sqrt(a), mp.sqrt(b), rho, mp.sqrt(1 - rho**2))
        m = self.means[r]
        return mp.re(found - m * (mean(mp.sqrt(a)) + mean(mp.sqrt(b))) + m * m if m else found)

    def _fixed_point(self, step: Callable[[list[Any]], list[Any]], start: list[Any]) -> list[Any]:
        found = start
        for _ in range(_ITERATIONS):
            new = step(found)
            if all(abs(x - y) <= mpf(10) ** (5 - _WORKING) * (1 + abs(x)) for x, y in zip(new, found, strict=True)):
                return new
            found = new
        raise AssertionError("iteration has not settled")

    def _coupled(self, kernels: Sequence[Any], drive: Any) -> list[Any]:
        return [
            sum(w * k for w, k in zip(row, kernels, strict=True)) + b * drive + c
            for row, b, c in zip(self.sigma, self.inputs, self.biases, strict=True)
        ]

    def _scales(self, norm: Any, *, moving: bool = False) -> list[Any]:
        """tau_{r,i}^2 of a sample; the means move along where the equilibrium itself is sought."""

        def energies(squares: list[Any]) -> list[Any]:
            if moving:
                self.means = [
                    _dual(s.activation)[1](mp.sqrt(a)) if s.centred else mpf(0)
                    for s, a in zip(self.cell.states, squares, strict=True)
                ]
            return [self._expectation(r, a, a, a) for r, a in enumerate(squares)]

        start = [self.size for _ in self.cell.states] if moving else list(self.squares)
        return self._fixed_point(lambda squares: self._coupled(energies(squares), norm), start)

    def entry(self, inner: Any, first: Any, second: Any) -> tuple[list[Any], list[Any]]:
        """L_ij and G_ij of every state for S_ij and the two delta."""
        a, b = self._scales(self.size + first), self._scales(self.size + second)

        def kernels(covariances: list[Any]) -> list[Any]:
            return [self._expectation(r, a[r], b[r], c) for r, c in enumerate(covariances)]

        found = self._fixed_point(lambda c: self._coupled(kernels(c), inner), [mpf(0) for _ in self.cell.states])
        return found, kernels(found)

    def coefficients(self) -> list[dict[str, Any]]:
        """By state: tau, q, g0, gS, gd, gdd, gSS, ge, diagonal; derivatives to about ``DIGITS`` digits."""
        with mp.workdps(_WORKING):
            at = {place: self.entry(*(STEP * part for part in place))[1] for place in PLACES}
            found = []
            for r, square in enumerate(self.squares):
                ends = {"tau": mp.sqrt(square), "q": self.limits[r]}
                ends["diagonal"] = self._expectation(r, square, square, square)
                found.append(ends | derivatives({place: values[r] for place, values in at.items()}))
            return found

    def tangent(self, inner: Any, first: Any, second: Any, trained: TrainedWeights) -> Any:
        """The NTK's entry off the diagonal, by its definition; E[phi' phi'] is d E[phi phi]/dL (Price's theorem)."""
        a, b = self._scales(self.size + first), self._scales(self.size + second)
        covariances, kernels = self.entry(inner, first, second)

        def slope(r: int) -> Any:
            h = mpf(10) ** -20
            ends = [self._expectation(r, a[r], b[r], covariances[r] + sign * h) for sign in (1, -1)]
            return (ends[0] - ends[1]) / (2 * h)

        slopes = [slope(r) for r in range(len(kernels))]
        return self._added(kernels, slopes, inner, trained)

    def tangent_diagonal(self, trained: TrainedWeights) -> Any:
        """The NTK's limit on the diagonal; E[phi'^2] by quadrature."""
        kernels = [self._expectation(r, square, square, square) for r, square in enumerate(self.squares)]
        energies = []
        for state, square in zip(self.cell.states, self.squares, strict=True):
            value, scale = sp.lambdify(x, state.activation.expr, modules="mpmath"), mp.sqrt(square)
            ends = [-mp.inf, *(self._number(place) / scale for place in state.activation.breakpoints), mp.inf]
            energies.append(mp.quad(partial(_slope_energy, value, scale), ends))
        return self._added(kernels, energies, self.size, trained)

    def _added(self, kernels: Sequence[Any], slopes: Sequence[Any], drive: Any, trained: TrainedWeights) -> Any:
        """G of the readout and B M of every state, B = Gdot (e + Sigma2^T B) solved as a linear system."""
        count, out = len(kernels), self.cell.readout
        left = mp.matrix(count)
        for r in range(count):
            for s in range(count):
                left[r, s] = int(r == s) - slopes[r] * self.sigma[s][r]
        right = mp.matrix([slopes[r] if r == out else 0 for r in range(count)])
        adjoint = mp.lu_solve(left, right)
        total = kernels[out] if trained.readout else mpf(0)
        for r in range(count):
            part = sum((self.sigma[r][s] * kernels[s] for s in range(count) if (r, s) in trained.recurrent), mpf(0))
            part += self.inputs[r] * drive if r in trained.input else 0
            part += self.biases[r] if r in trained.bias else 0
            total += adjoint[r] * part
        return total

    def tangent_coefficients(self, trained: TrainedWeights) -> dict[str, Any]:
        """The NTK's g0, gS, gd, gdd, gSS, ge and diagonal; derivatives to about ``DIGITS`` digits."""
        with mp.workdps(_WORKING):
            g = {place: self.tangent(*(STEP * part for part in place), trained) for place in PLACES}
            return derivatives(g) | {"diagonal": self.tangent_diagonal(trained)}


def _slope_energy(value: Callable[[Any], Any], scale: Any, z: Any) -> Any:
    """phi'(tau z)^2 times the Gaussian density at z."""
    return mp.diff(value, scale * z) ** 2 * mp.npdf(z)


def derivatives(g: Mapping[tuple[int, int, int], Any]) -> dict[str, Any]:
    """g0, gS, gd, gSS, gdd, ge from an entry's values at ``PLACES``."""
    h = STEP
    return {
        "g0": g[0, 0, 0],
        "gS": (g[1, 0, 0] - g[-1, 0, 0]) / (2 * h),
        "gd": (g[0, 1, 0] - g[0, -1, 0]) / (2 * h),
        "gSS": (g[1, 0, 0] - 2 * g[0, 0, 0] + g[-1, 0, 0]) / (2 * h * h),
        "gdd": (g[0, 1, 1] - 2 * g[0, 1, -1] + g[0, -1, -1]) / (4 * h * h),
        "ge": (g[0, 1, 0] - 2 * g[0, 0, 0] + g[0, -1, 0]) / (2 * h * h),
    }
