"""Rigorous enclosures of the raw moments E[xi^k f(tau xi)^j] and of E[xi^k f'(tau xi)^2], xi ~ N(0, 1).

Theory's closed form is evaluated in balls where there is one (``closed_forms``); otherwise the integral over the line
is enclosed (``enclosures``).

A derivative in tau is again a moment: d/dtau E[xi^k g(tau xi)] = E[(xi^(k+2) - (k+1) xi^k) g(tau xi)]/tau, so that a
second-order Taylor expansion carries thin values to a ball of scales.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import sympy as sp
from flint import arb, ctx

from numerics.arithmetic import Program, constant_ball, real_part
from numerics.moments.closed_forms import ClosedForms, find_closed_forms, has_slope_energy
from numerics.moments.enclosures import BOUND_BITS, Integrand, LineIntegrals, UncertifiedError
from numerics.moments.values import Key, raw_moment_keys
from theory.activations import Activation
from theory.moments import RAW_MOMENTS
from theory.symbols import tau

__all__ = [
    "CertifiedMoments",
    "MomentExpansion",
    "certified_moments",
]


@dataclass(frozen=True)
class MomentExpansion:
    """Moments as functions of tau on a ball of scales.

    Attributes:
        centre: exact scale m, inside the ball of scales.
        scales: the ball of scales.
        closed: programs of those in closed form, by key, of the precision of the expansion.
        values: moments at m, also those of higher k that the first derivatives need.
        wide: low-precision moments on the whole ball of scales, for the second derivatives.
    """

    centre: arb
    scales: arb
    closed: Mapping[Key, Program]
    values: Mapping[Key, arb]
    wide: Mapping[Key, arb]

    def at(self, scale: arb, keys: Iterable[Key]) -> dict[Key, arb]:
        """Return enclosures over a ball of scales inside the expansion's."""
        return {
            key: real_part(self.closed[key](scale)[0]) if key in self.closed else self._taylor(scale, key)
            for key in keys
        }

    def _taylor(self, scale: arb, key: Key) -> arb:
        k, j = key
        step = scale - self.centre
        first = (self.values[k + 2, j] - (k + 1) * self.values[key]) / self.centre
        # Taylor's intermediate point lies anywhere between the centre and the scale.
        above = (self.wide[k + 4, j] - (k + 3) * self.wide[k + 2, j]) / self.scales
        below = (self.wide[k + 2, j] - (k + 1) * self.wide[key]) / self.scales
        second = (above - (k + 1) * below - below) / self.scales
        return self.values[key] + step * first + step * step * second / 2


@dataclass(frozen=True)
class CertifiedMoments:
    """Certified moments of one activation without free parameters.

    What it remembers (closed forms, bounds) follows from its fields alone, and which closed forms serve at a scale is
    an argument: one object serves any number of callers, in any order.  It may be shared by threads, but python-flint's
    working precision is global to the process: a thread that sets another one makes the other threads' balls wider or
    narrower, never wrong.  Where balls have to reach given digits, work in processes.

    Attributes:
        activation: f.
        with_slope_energy: unset to leave E[phi'^2] out, where it exists but cannot be enclosed.

    Example:
        >>> from theory.activations import registered
        >>> moments = CertifiedMoments(registered("relu"))
        >>> moments.enclose(arb(2), [(0, 2)], precision=100)[0, 2].str(20, radius=False)
        '2.0000000000000000000'
    """

    activation: Activation
    with_slope_energy: bool = field(default=True, kw_only=True)

    @cached_property
    def has_slope_energy(self) -> bool:
        """Whether E[phi'^2] is finite (and wanted)."""
        return self.with_slope_energy and has_slope_energy(self.activation)

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """The moments that the theory needs."""
        return raw_moment_keys(with_slope_energy=self.has_slope_energy)

    @cached_property
    def closed_forms(self) -> ClosedForms:
        """Closed forms, of those of ``keys`` for which they are found in time."""
        return ClosedForms(find_closed_forms(self.activation, self.keys))

    def closed_forms_at(self, scale: arb) -> frozenset[Key]:
        """Return which closed forms serve near a scale: the ``closed`` argument of the enclosures."""
        return self.closed_forms.useful_at(scale)

    def all_closed(self, closed: frozenset[Key] | None = None) -> bool:
        """Return whether the raw moments are all evaluated in closed form.

        Args:
            closed: as in ``enclose``.
        """
        return set(RAW_MOMENTS) <= self.closed_forms.programs(closed).keys()

    def variance_polynomial(self) -> tuple[sp.Expr, ...] | None:
        """Return the coefficients of Var f(tau xi) in tau^2, constant first, or None where it is no polynomial."""
        closed = self.closed_forms.expressions
        if not {(0, 1), (0, 2)} <= closed.keys():
            return None
        variance = sp.expand(closed[0, 2] - closed[0, 1] ** 2)
        if not variance.is_polynomial(tau):
            return None
        coefficients = sp.Poly(variance, tau).all_coeffs()[::-1]
        return tuple(coefficients[::2]) if not any(coefficients[1::2]) else None

    def enclose(
        self,
        scale: arb,
        keys: Iterable[Key] | None = None,
        *,
        closed: frozenset[Key] | None = None,
        precision: int | None = None,
    ) -> dict[Key, arb]:
        """Enclose moments at a scale, or over a ball of scales.

        Args:
            scale: tau.
            keys: of the moments; those of ``keys`` where left out.
            closed: the closed forms to use, as ``closed_forms_at`` returns them; all where left out.
            precision: working precision in bits; that which is set where left out.

        Raises:
            UncertifiedError: an enclosure was not found, with the reason.
        """
        with ctx.workprec(ctx.prec if precision is None else precision):
            self._check_scale(scale)
            wanted = self.keys if keys is None else tuple(dict.fromkeys(keys))
            programs = self.closed_forms.programs(closed)
            balls = {key: real_part(programs[key](scale)[0]) for key in wanted if key in programs}
            return balls | self._line.at(scale, [key for key in wanted if key not in balls])

    def enclose_by_mean_value(self, scales: arb, *, closed: frozenset[Key] | None = None) -> dict[Key, arb]:
        """Enclose the moments of f over a wide ball of scales by the mean value form, which is tighter there.

        Args:
            scales: ball of tau.
            closed: as in ``enclose``.

        Raises:
            UncertifiedError: an enclosure was not found, with the reason.
        """
        self._check_scale(scales)
        centre = scales.mid()
        programs = self.closed_forms.programs(closed)
        wanted = [key for key in self.keys if key[1] != 0]
        balls = {key: real_part(programs[key](scales)[0]) for key in wanted if key in programs}
        others = [key for key in wanted if key not in balls]
        thin = self._line.at(centre, others)
        wide = self._line.at(scales, _raised(others, (0, 2)))
        for k, j in others:
            slope = (wide[k + 2, j] - (k + 1) * wide[k, j]) / scales
            form = thin[k, j] + (scales - centre) * slope
            direct = wide[k, j]
            balls[k, j] = form if form.rad() < direct.rad() or not direct.is_finite() else direct
        return balls

    def expand(
        self,
        centre: arb,
        scales: arb,
        known: Mapping[Key, arb] | None = None,
        *,
        closed: frozenset[Key] | None = None,
    ) -> MomentExpansion:
        """Expand round an exact scale, for use on a ball of scales that contains it.

        Args:
            centre: exact scale.
            scales: ball of scales.
            known: values of an earlier expansion round the same centre, at the same precision.
            closed: as in ``enclose``.

        Raises:
            UncertifiedError: an enclosure was not found, with the reason.
        """
        self._check_scale(scales)
        programs = self.closed_forms.programs(closed)
        others = [key for key in self.keys if key not in programs]
        values = known or {}
        if known is None:
            values = self.enclose(centre, _raised(others, (0, 2)), closed=closed)
        with ctx.workprec(BOUND_BITS):
            wide = self._line.at(scales, _raised(others, (0, 2, 4)))
        return MomentExpansion(centre, scales, programs, values, wide)

    def tails(self, scales: arb, bits: int) -> tuple[arb, tuple[arb, arb]]:
        """Return L, and bounds of the integrals of (1 + |xi|)^2 |f(tau xi)|^j phi(xi), j = 1 and 2, beyond +-L.

        Args:
            scales: ball of scales.
            bits: both bounds are below 2^-bits.

        Raises:
            UncertifiedError: no bound was found, with the reason.
        """
        self._check_scale(scales)
        tails = self._line.tails(scales, bits, 2)
        return tails.start, tails.bounds[:2]

    @cached_property
    def _line(self) -> LineIntegrals:
        return LineIntegrals(Integrand(self.activation, self.has_slope_energy))

    @cached_property
    def _threshold(self) -> sp.Expr:
        return self.activation.threshold(2)

    def _check_scale(self, scale: arb) -> None:
        """A closed form goes on beyond the scales at which its moment exists, and means nothing there."""
        if self._threshold is not sp.oo and not scale < constant_ball(self._threshold):
            raise UncertifiedError(f"the moments are proved to exist only for tau < {self._threshold}")


@lru_cache(maxsize=16)
def certified_moments(activation: Activation, with_slope_energy: bool = True) -> CertifiedMoments:
    """Return the moments of an activation, remembered: its closed forms and bounds serve every parameter."""
    return CertifiedMoments(activation, with_slope_energy=with_slope_energy)


def _raised(keys: Iterable[Key], by: tuple[int, ...]) -> list[Key]:
    """Keys with k raised by each of some numbers, ascending and once each: what derivatives in tau need."""
    return sorted({(k + i, j) for k, j in keys for i in by})
