"""Balls of tau_* and of every coefficient: an interval Newton step, and theory's formulas in ball arithmetic.

Theory sheet, section 3.  For F(tau) = tau^2 - sigma_a^2 Var phi_0(tau xi) - sigma_b^2 tau_0^2: where
N(V) = m - F(m)/F'(V) lies inside V, there is one root in V and no other, and it lies in N(V).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from flint import arb, ctx

from numerics.arithmetic import BITS_PER_DIGIT, BallArithmetic, UnsupportedExpressionError, constant_ball
from numerics.budget import OverBudgetError, share, stage
from numerics.equilibrium.formulas import CompiledFormulas
from numerics.moments import CertifiedMoments, Key, UnboundedError, UncertifiedError, certified_moments, stein_balls
from numerics.parameters import margin_text
from theory.equations import DEQ, EquilibriumError
from theory.kernels import NTK_COEFFICIENTS
from theory.moments import RAW_MOMENTS

__all__ = [
    "Certifier",
    "Enclosure",
    "enclose_coefficients",
    "enclose_equilibrium",
]

#: Decimal digits by which a ball's relative radius is to be smaller than asked for.
_MARGIN = 3
#: Part of the processor time left that a proof may take.
_PROOF_SHARE = 0.5
#: How often the guard digits are doubled before a quantity is given up.
_ATTEMPTS = 7
_FIRST_GUARD = 12
_NEWTON_STEPS = 60
_ZERO = "contains 0: certified to within its radius, which is absolute"


@dataclass(frozen=True)
class Enclosure:
    """What is proved of one equilibrium.

    Attributes:
        balls: of the coefficients, by key; empty where nothing is proved.
        margins: balls of what must be below 1, by key.
        notes: by key, why a coefficient is not enclosed, or what a ball that holds 0 means.
        reason: why something is not enclosed, or an empty string.
    """

    balls: dict[str, arb]
    margins: dict[str, arb]
    notes: dict[str, str]
    reason: str


def enclose_coefficients(deq: DEQ, digits: int, start: float) -> Enclosure:
    """Enclose the equilibrium next to ``start`` and its coefficients, without E[phi'^2] where that has no enclosure.

    Args:
        deq: the DEQ.
        digits: significant digits asked for.
        start: tau_* to a few digits.

    Raises:
        EquilibriumError: the equilibrium is not stable, or the CK's coefficients do not exist.
    """
    reasons: list[str] = []
    for with_energy in (True, False):
        try:
            with (
                share(_PROOF_SHARE, interrupt=True),
                stage(f"certifying the solution for {deq.activation.name}"),
            ):
                found = Certifier(certified_moments(deq.activation, with_energy), deq, digits).run(start)
        except (UncertifiedError, UnsupportedExpressionError, OverBudgetError) as error:
            reasons.append(str(error))
            continue
        return Enclosure(*found, reason="" if with_energy else reasons[0])
    return Enclosure({}, {}, {}, reason=reasons[-1])


def enclose_equilibrium(moments: CertifiedMoments, deq: DEQ, digits: int, start: float) -> tuple[arb, arb]:
    """Enclose the one root of the tau equation next to ``start``, stable or not, and the slope sigma_a^2 d22/2 there.

    Args:
        moments: of its activation.
        deq: the DEQ.
        digits: significant digits asked of tau.
        start: tau to a few digits.

    Raises:
        UncertifiedError: no ball is proved to hold exactly one root.
    """
    return Certifier(moments, deq, digits).enclose_only(start)


class Certifier:
    """One DEQ: raises the precision until the balls are narrow enough.

    Args:
        moments: of its activation.
        deq: the DEQ.
        digits: significant digits asked for.
    """

    def __init__(self, moments: CertifiedMoments, deq: DEQ, digits: int) -> None:
        self._moments = moments
        self._deq = deq
        self._digits = digits

    def run(self, start: float) -> tuple[dict[str, arb], dict[str, arb], dict[str, str]]:
        """Return balls, margins and notes, each by key.

        Raises:
            UncertifiedError: tau_* is not certified at any precision that is tried.
            EquilibriumError: the equilibrium is not stable, or the CK's coefficients do not exist.
        """
        small = max(0.0, -np.log10(start))
        guard = _FIRST_GUARD + int(2 * small) + int(max(0.0, np.log10(start)) / 2)
        kept: tuple[dict[str, arb], dict[str, arb], dict[str, str]] | None = None
        last: UncertifiedError | None = None
        centre = arb(start)
        closed = self._moments.closed_forms_at(centre)
        for _ in range(_ATTEMPTS):
            working = self._digits + guard
            try:
                with ctx.workprec(int((working + 2 * small) * BITS_PER_DIGIT) + 30):
                    centre, correct = self._approximate(centre, working // 2 + 6, small, closed)
                    scale, raw = self._enclose(centre, correct, closed)
                    kept = self._coefficients(scale, raw)
            except UnboundedError:
                raise
            except OverBudgetError:
                if kept is None:
                    raise
                break
            except UncertifiedError as error:
                last = error
            if kept is not None and self._finished(kept):
                break
            guard *= 2
        if kept is None:
            raise last if last is not None else UncertifiedError("tau_* is not certified")
        return self._narrow_enough(kept)

    def enclose_only(self, start: float) -> tuple[arb, arb]:
        """tau_* and the slope there, without the coefficients and without regard to stability."""
        small = max(0.0, -np.log10(start))
        closed = self._moments.closed_forms_at(arb(start))
        guard = _FIRST_GUARD + int(2 * small)
        last = UncertifiedError("tau_* is not certified")
        for _ in range(_ATTEMPTS):
            working = self._digits + guard
            guard *= 2
            try:
                with ctx.workprec(int((working + 2 * small) * BITS_PER_DIGIT) + 30):
                    centre, correct = self._approximate(arb(start), working // 2 + 6, small, closed)
                    scale, raw = self._enclose(centre, correct, closed)
                    slope = self._constants()[0] * stein_balls(scale, raw).d22 / 2
            except UnboundedError:
                raise
            except UncertifiedError as error:
                last = error
                continue
            if self._good(scale) and (slope < 1 or slope > 1):
                return scale, slope
        raise last

    def _constants(self) -> tuple[arb, arb, arb]:
        a, b, scale = (constant_ball(value) for value in (*self._deq.variances, self._deq.tau0))
        return a, b, scale

    def _approximate(self, centre: arb, goal: int, small: float, closed: frozenset[Key]) -> tuple[arb, int]:
        """Newton's method without proof: an exact point, and about how many digits of it are right."""
        digits = 24
        begin = float(centre)
        for _ in range(_NEWTON_STEPS):
            with ctx.workprec(int((digits + 3 * small) * BITS_PER_DIGIT) + 40):
                residual, slope = self._equation(centre, self._moments.enclose(centre, RAW_MOMENTS, closed=closed))
                step = residual / slope
                new = (centre - step).mid()
                if not step.is_finite() or (step.rad() > abs(step.mid()) and not step.contains(0)):
                    digits = 2 * digits
                    if digits > 16 * goal + 400:
                        break
                    continue
                size = (abs(step.mid()) + step.rad()) / centre
                reached = goal if size.is_zero() else int(-float(size.log() / arb(10).log()))
                lost = max(0, int(-float(abs(slope / (2 * centre)).log() / arb(10).log())))
            if abs(float(new) - begin) > 0.05 * begin:
                raise UncertifiedError("Newton's method leaves the neighbourhood of the float64 solution")
            centre = new
            correct = min(2 * reached - lost - 1, digits - lost - 2)
            if correct >= goal:
                return centre, correct
            digits = max(digits + 1, min(max(2 * correct, 24), goal) + lost + 6)
        raise UncertifiedError("Newton's method for tau_* does not settle: the equilibrium nearly loses its stability")

    def _equation(self, scale: arb, raw: Mapping[Key, arb]) -> tuple[arb, arb]:
        """F(tau) and F'(tau) = 2 tau (1 - sigma_a^2 d22/2)."""
        weight_a, weight_b, scale0 = self._constants()
        stein = stein_balls(scale, raw)
        residual = scale * scale - weight_a * stein.variance - weight_b * scale0 * scale0
        return residual, 2 * scale * (1 - weight_a * stein.d22 / 2)

    def _enclose(self, centre: arb, correct: int, closed: frozenset[Key]) -> tuple[arb, dict[Key, arb]]:
        """The interval Newton step: a ball that holds exactly one root, and the raw moments over it."""
        radius = (centre * arb(10) ** -(correct - 3)).upper()
        values = None
        for _ in range(4):
            box = arb(centre, radius)
            expansion = self._moments.expand(centre, box, values, closed=closed)
            values = expansion.values
            residual, _ = self._equation(centre, expansion.at(centre, RAW_MOMENTS))
            _, slope = self._equation(box, expansion.at(box, RAW_MOMENTS))
            narrowed = centre - residual / slope
            if narrowed.is_finite() and box.contains_interior(narrowed):
                return narrowed, expansion.at(narrowed, self._moments.keys)
            radius = (radius * 10_000).upper()
            if not radius < centre / 8:
                break
        raise UncertifiedError(
            "the interval Newton test for tau_* fails: the tau equation's slope is too close to 1 for the precision"
        )

    def _coefficients(self, scale: arb, raw: dict[Key, arb]) -> tuple[dict[str, arb], dict[str, arb], dict[str, str]]:
        stein = stein_balls(scale, raw)
        energy = stein.slope_energy
        moments = (stein.variance, stein.d1, stein.d2, stein.d22, arb(0) if energy is None else energy)
        inputs = (scale, *moments, *self._constants()[:2])
        formulas = _compiled_formulas().renewed(BallArithmetic())
        margins = {k: arb(value) for k, value in formulas.margins_at(inputs, with_energy=energy is not None).items()}
        self._check_margins(margins, scale)
        with_ntk = energy is not None and bool(margins["ntk"] < 1)
        undecided = energy is not None and not with_ntk and not margins["ntk"] >= 1
        why = "whether sigma_a^2 E[phi'^2] is below 1 is not decided at this precision"
        notes = dict.fromkeys(sorted(NTK_COEFFICIENTS), why) if undecided else {}
        found = formulas.coefficients_at(inputs, with_ntk=with_ntk)
        return {"tau": scale, "bias": stein.mean, **{key: arb(value) for key, value in found.items()}}, margins, notes

    @staticmethod
    def _check_margins(margins: Mapping[str, arb], scale: arb) -> None:
        where = f"at tau_* = {float(scale.mid()):.6g}"
        if margins["tau"] >= 1:
            raise EquilibriumError(
                f"no stable equilibrium: {where} the slope sigma_a^2 E[(phi^2)'']/2 is "
                f"{margin_text(margins['tau'], 12)}, and it must be below 1; a smaller sigma_a2 would be accepted"
            )
        if margins["ck"] >= 1:
            raise EquilibriumError(
                f"the CK's coefficients do not exist: sigma_a^2 E[phi']^2 = {margin_text(margins['ck'])} {where}, "
                "and it must be below 1; a smaller sigma_a2 would be accepted"
            )
        if not (margins["tau"] < 1 and margins["ck"] < 1):
            raise UncertifiedError("whether the margins sigma_a^2 d22/2 and sigma_a^2 d1^2 are below 1 is not decided")

    def _finished(self, kept: tuple[dict[str, arb], dict[str, arb], dict[str, str]]) -> bool:
        balls, _, notes = kept
        undecided = any(key in NTK_COEFFICIENTS for key in notes)
        return not undecided and all(self._good(ball) for ball in balls.values())

    def _good(self, ball: arb) -> bool:
        if not ball.is_finite():
            return False
        if ball.contains(0):
            return bool(ball.rad() < arb(10) ** -(self._digits + _MARGIN))
        return bool(ball.rad() <= abs(ball.mid()) * arb(10) ** -(self._digits + _MARGIN))

    def _narrow_enough(
        self, kept: tuple[dict[str, arb], dict[str, arb], dict[str, str]]
    ) -> tuple[dict[str, arb], dict[str, arb], dict[str, str]]:
        balls, margins, notes = kept
        good = {key: ball for key, ball in balls.items() if self._good(ball)}
        notes |= {key: _ZERO for key, ball in good.items() if ball.contains(0) and not ball.is_zero()}
        return good, margins, notes


@cache
def _compiled_formulas() -> CompiledFormulas:
    return CompiledFormulas.over(BallArithmetic())
