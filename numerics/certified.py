"""Certified solutions of a DEQ's system: every coefficient in a ball that is proved to contain it.

Theory sheet, section 3.  tau_* is enclosed by an interval Newton step for
F(tau) = tau^2 - sigma_a^2 Var phi_0(tau xi) - sigma_b^2 tau_0^2: where N(V) = m - F(m)/F'(V) lies inside V, there is
one root in V and no other, and it lies in N(V).  The coefficients are theory's formulas, evaluated in ball arithmetic.
What cannot be certified comes from the plain path (``numerics.equilibrium.solve``) and says why.
Which of several equilibria is meant is the plain path's choice; ``CertifiedCoefficients.followed`` proves it on demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import sympy as sp
from flint import arb, ctx

from numerics.balls import (
    BallArithmetic,
    ball_from_text,
    ball_to_text,
    constant_ball,
    contains_decimal,
    proved_decimal,
    radius_text,
    rounded_decimal,
)
from numerics.certified_moments import CertifiedMoments, Key, UnboundedError, UncertifiedError
from numerics.equilibrium import (
    COEFFICIENTS,
    NTK_KEYS,
    EquilibriumError,
    check_parameters,
    decimal_string,
    float_scale,
    solve,
)
from numerics.float_moments import FloatMoments
from numerics.formulas import CompiledFormulas
from numerics.moments import MomentAccuracyError
from numerics.pointwise import moment_threshold, pointwise
from numerics.programs import Program, UnsupportedExpressionError, compile_program
from theory.activations import Activation
from theory.latex import COEFFICIENT_SYMBOLS
from theory.stein import RAW_MOMENTS, STEIN_FORMS
from theory.symbols import d1, d2, d22, mean, tau, variance

__all__ = [
    "CertifiedCoefficients",
    "certified_moments",
    "certify",
    "enclose_equilibrium",
    "solve_at",
    "solve_uncertified",
]

#: Decimal digits by which a ball's relative radius is to be smaller than asked for.
_MARGIN = 3
_BITS_PER_DIGIT = 3.3219281
#: How often the guard digits are doubled before a quantity is given up.
_ATTEMPTS = 7
_FIRST_GUARD = 12
_NEWTON_STEPS = 60
_ZERO = "contains 0: certified to within its radius, which is absolute"


@dataclass(frozen=True)
class CertifiedCoefficients:
    """The certified solution of a DEQ's system.

    Attributes:
        activation: the activation, without free parameters.
        sigma_a2: exact variance of the recurrent weights.
        sigma_b2: exact variance of the input weights.
        tau0: exact input scale tau_0.
        digits: significant digits asked for; the balls are at least a thousand times narrower than the last one.
        balls: Arb balls by key of ``numerics.equilibrium.COEFFICIENTS``, of the certified coefficients only.
        plain: decimals from the plain path, of the coefficients that are not certified.
        margins: Arb balls of what must be below 1: ``tau`` (sigma_a^2 d22/2), ``ck`` (sigma_a^2 d1^2) and ``ntk``
            (sigma_a^2 E[phi'^2], absent where that is infinite or not certified).
        certified: by key, whether the coefficient is certified.
        reason: by key, why a coefficient is not certified, or what its certificate means where the ball holds 0.
        ntk_missing: why the NTKs' coefficients are absent, or an empty string.
    """

    activation: Activation
    sigma_a2: sp.Expr
    sigma_b2: sp.Expr
    tau0: sp.Expr
    digits: int
    balls: Mapping[str, arb]
    plain: Mapping[str, str]
    margins: Mapping[str, arb]
    certified: Mapping[str, bool]
    reason: Mapping[str, str]
    ntk_missing: str

    @property
    def radius(self) -> Mapping[str, str]:
        """Radii of the balls, rounded up to two digits, by key."""
        return MappingProxyType({key: radius_text(ball) for key, ball in self.balls.items()})

    @cached_property
    def followed(self) -> bool | None:
        """Whether tau_* is the equilibrium next to tau_0 in the direction in which iteration leaves tau_0.

        True is proved: there is no other equilibrium between tau_0 and tau_*.  None where no proof was found.
        """
        from numerics.equilibria import is_followed  # which builds on this module

        exact = (self.sigma_a2, self.sigma_b2, self.tau0)
        return is_followed(self.activation, exact, self.balls["tau"]) if "tau" in self.balls else None

    def __getitem__(self, key: str) -> arb:
        """Return the ball of a certified coefficient."""
        return self.balls[key]

    def decimal(self, key: str) -> str | None:
        """Return ``digits`` significant digits, or None where the coefficient does not exist.

        A certified coefficient's decimal is the correctly rounded one, except where the number lies within the ball's
        radius (under a thousandth of a unit in the last digit) of a tie: there it may be the other neighbour.
        """
        ball = self.balls.get(key)
        if ball is None:
            return self.plain.get(key)
        if ball.contains(0):
            return rounded_decimal(arb(0), self.digits)[0]
        return rounded_decimal(ball, self.digits)[0]

    def contains(self, key: str, text: str) -> bool:
        """Return whether a decimal text is the certified coefficient rounded to the text's digits.

        A text off by one unit in its last digit is refused (see ``numerics.balls.contains_decimal``).

        Raises:
            KeyError: the coefficient is not certified.
        """
        return contains_decimal(self.balls[key], text)

    def _repr_latex_(self) -> str:
        digits = min(self.digits, 20)
        rows = []
        for key in COEFFICIENTS:
            ball = self.balls.get(key)
            shown = self.plain.get(key) if ball is None else proved_decimal(ball, digits)
            if shown is not None:
                mark = "" if ball is not None else r"\quad\text{(not certified)}"
                rows.append(rf"{COEFFICIENT_SYMBOLS[key]} &= {_latex_number(shown)}{mark}")
        return r"$\begin{aligned}" + r"\\ ".join(rows) + r"\end{aligned}$"

    def __getstate__(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("balls", "margins"):
            state[name] = {key: ball_to_text(ball) for key, ball in state[name].items()}
        return state | {name: dict(state[name]) for name in ("plain", "certified", "reason")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if name in ("balls", "margins"):
                value = {key: ball_from_text(text) for key, text in value.items()}
            object.__setattr__(self, name, MappingProxyType(value) if isinstance(value, dict) else value)


def _latex_number(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def certify(
    activation: Activation,
    sigma_a2: sp.Expr,
    sigma_b2: sp.Expr,
    tau0: sp.Expr,
    digits: int = 15,
    *,
    prove_absence: bool = True,
) -> CertifiedCoefficients:
    """Solve the system with proof, to a number of significant digits.

    Args:
        activation: the activation, without free parameters.
        sigma_a2: exact variance of the recurrent weights, >= 0.
        sigma_b2: exact variance of the input weights, > 0.
        tau0: exact input scale tau_0 > 0.
        digits: significant decimal digits, >= 1.
        prove_absence: where the quick way finds no equilibrium, whether to search for it with proof.

    Raises:
        EquilibriumError: parameters out of range, or no stable equilibrium reached from tau_0.
        MomentAccuracyError: nothing could be certified, and the plain path's digits do not settle either.
    """
    check_parameters(sigma_a2, sigma_b2, tau0)
    if digits < 1:
        raise EquilibriumError(f"digits must be at least 1, not {digits}")
    floats = float(sigma_a2), float(sigma_b2), float(tau0)
    try:
        start = float_scale(FloatMoments(pointwise(activation)), *floats, moment_threshold(activation))
        return solve_at(activation, sigma_a2, sigma_b2, tau0, digits, start)
    except EquilibriumError:
        from numerics.equilibria import find_followed  # which builds on this module

        # Next to a fold float64 may miss two roots that nearly meet, or see one where there is none.
        proved = find_followed(activation, (sigma_a2, sigma_b2, tau0)) if prove_absence else None
        if proved is None:
            raise
    return solve_at(activation, sigma_a2, sigma_b2, tau0, digits, proved)


def solve_uncertified(
    activation: Activation, sigma_a2: sp.Expr, sigma_b2: sp.Expr, tau0: sp.Expr, digits: int = 15
) -> CertifiedCoefficients:
    """Solve the system without proof, by the plain path; arguments, result and errors are those of ``certify``."""
    return _assembled((activation, sigma_a2, sigma_b2, tau0, digits), {}, {}, {}, reason="no proof was asked for")


@lru_cache(maxsize=16)
def certified_moments(activation: Activation, with_slope_energy: bool = True) -> CertifiedMoments:
    """Return the moments of an activation, remembered: its closed forms and bounds serve every parameter."""
    return CertifiedMoments(activation, with_slope_energy=with_slope_energy)


def solve_at(
    activation: Activation, sigma_a2: sp.Expr, sigma_b2: sp.Expr, tau0: sp.Expr, digits: int, start: float
) -> CertifiedCoefficients:
    """Do as ``certify`` for one of several equilibria; arguments, result and errors are those of ``certify``.

    Args:
        activation: the activation, without free parameters.
        sigma_a2: exact variance of the recurrent weights, >= 0.
        sigma_b2: exact variance of the input weights, > 0.
        tau0: exact input scale tau_0 > 0.
        digits: significant decimal digits, >= 1.
        start: tau_* of the equilibrium that is meant, to a few digits.
    """
    exact = (sigma_a2, sigma_b2, tau0)
    parameters = (activation, *exact, digits)
    reasons: list[str] = []
    for with_energy in (True, False):
        try:
            found = _Certifier(certified_moments(activation, with_energy), exact, digits).run(start)
        except (UncertifiedError, UnsupportedExpressionError) as error:
            reasons.append(str(error))
            continue
        return _assembled(parameters, *found, reason="" if with_energy else reasons[0])
    return _assembled(parameters, {}, {}, {}, reason=reasons[-1])


def enclose_equilibrium(
    moments: CertifiedMoments, exact: tuple[sp.Expr, sp.Expr, sp.Expr], digits: int, start: float
) -> tuple[arb, arb]:
    """Enclose the one root of the tau equation next to ``start``, stable or not, and the slope sigma_a^2 d22/2 there.

    Args:
        moments: of the activation.
        exact: sigma_a^2, sigma_b^2 and tau_0.
        digits: significant digits asked of tau.
        start: tau to a few digits.

    Raises:
        UncertifiedError: no ball is proved to hold exactly one root.
    """
    return _Certifier(moments, exact, digits).enclose_only(start)


def _assembled(
    parameters: tuple[Activation, sp.Expr, sp.Expr, sp.Expr, int],
    balls: dict[str, arb],
    margins: dict[str, arb],
    notes: dict[str, str],
    *,
    reason: str,
) -> CertifiedCoefficients:
    """Put the certified balls together with what only the plain path gives."""
    plain: dict[str, str] = {}
    missing = _ntk_missing(parameters[0], margins)
    wanted = [key for key in COEFFICIENTS if not (missing and key in _NTK)]
    if any(key not in balls for key in wanted):
        reason = reason or "the ball's radius does not reach the digits asked for"
        try:
            solution = solve(*parameters)
        except MomentAccuracyError as error:
            if not balls:
                raise MomentAccuracyError(f"{error}; and not certified: {reason}") from error
        else:
            missing = solution.ntk_missing
            digits = parameters[-1]
            plain = {k: decimal_string(v, digits) for k, v in solution.values.items() if k not in balls}
    notes |= {key: notes.get(key, reason) for key in plain}
    return CertifiedCoefficients(
        *parameters,
        balls=MappingProxyType({key: balls[key] for key in COEFFICIENTS if key in balls}),
        plain=MappingProxyType(plain),
        margins=MappingProxyType(margins),
        certified=MappingProxyType({key: key in balls for key in COEFFICIENTS if key in balls or key in plain}),
        reason=MappingProxyType(notes),
        ntk_missing=missing,
    )


_NTK = frozenset(key for keys in NTK_KEYS.values() for key in keys)


def _ntk_missing(activation: Activation, margins: Mapping[str, arb]) -> str:
    margin = margins.get("ntk")
    if margin is not None and margin >= 1:
        return f"sigma_a^2 E[phi'^2] = {float(margin.mid()):.6g} is not below 1, so the NTKs do not exist"
    if margins and not certified_moments(activation).has_slope_energy:
        return "E[phi'^2] is infinite, so the NTKs do not exist"
    return ""


class _Certifier:
    """One activation, one set of parameters: raises the precision until the balls are narrow enough."""

    def __init__(self, moments: CertifiedMoments, exact: tuple[sp.Expr, sp.Expr, sp.Expr], digits: int) -> None:
        self._moments = moments
        self._exact = exact
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
        self._moments.choose_closed_forms(arb(start))
        centre = arb(start)
        for _ in range(_ATTEMPTS):
            working = self._digits + guard
            try:
                with ctx.workprec(int((working + 2 * small) * _BITS_PER_DIGIT) + 30):
                    centre, correct = self._approximate(centre, working // 2 + 6, small)
                    scale, raw = self._enclose(centre, correct)
                    kept = self._coefficients(scale, raw)
            except UnboundedError:
                raise
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
        self._moments.choose_closed_forms(arb(start))
        guard = _FIRST_GUARD + int(2 * small)
        last = UncertifiedError("tau_* is not certified")
        for _ in range(_ATTEMPTS):
            working = self._digits + guard
            guard *= 2
            try:
                with ctx.workprec(int((working + 2 * small) * _BITS_PER_DIGIT) + 30):
                    centre, correct = self._approximate(arb(start), working // 2 + 6, small)
                    scale, raw = self._enclose(centre, correct)
                    slope = self._constants()[0] * _stein(scale, raw)[d22] / 2
            except UnboundedError:
                raise
            except UncertifiedError as error:
                last = error
                continue
            if self._good(scale) and (slope < 1 or slope > 1):
                return scale, slope
        raise last

    def _constants(self) -> tuple[arb, arb, arb]:
        a, b, scale = (constant_ball(value) for value in self._exact)
        return a, b, scale

    def _approximate(self, centre: arb, goal: int, small: float) -> tuple[arb, int]:
        """Newton's method without proof: an exact point, and about how many digits of it are right."""
        digits = 24
        begin = float(centre)
        for _ in range(_NEWTON_STEPS):
            with ctx.workprec(int((digits + 3 * small) * _BITS_PER_DIGIT) + 40):
                residual, slope = self._equation(centre, self._moments.values(centre, RAW_MOMENTS))
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
        stein = _stein(scale, raw)
        residual = scale * scale - weight_a * stein[variance] - weight_b * scale0 * scale0
        return residual, 2 * scale * (1 - weight_a * stein[d22] / 2)

    def _enclose(self, centre: arb, correct: int) -> tuple[arb, dict[Key, arb]]:
        """The interval Newton step: a ball that holds exactly one root, and the raw moments over it."""
        radius = (centre * arb(10) ** -(correct - 3)).upper()
        values = None
        for _ in range(4):
            box = arb(centre, radius)
            expansion = self._moments.expand(centre, box, values)
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
        stein = _stein(scale, raw)
        energy = raw.get((0, 0))
        moments = (stein[variance], stein[d1], stein[d2], stein[d22], arb(0) if energy is None else energy)
        inputs = (scale, *moments, *self._constants()[:2])
        formulas = _compiled_formulas().renewed(BallArithmetic())
        margins = {k: arb(value) for k, value in formulas.margins_at(inputs, with_energy=energy is not None).items()}
        self._check_margins(margins, scale)
        with_ntk = energy is not None and bool(margins["ntk"] < 1)
        undecided = energy is not None and not with_ntk and not margins["ntk"] >= 1
        why = "whether sigma_a^2 E[phi'^2] is below 1 is not decided at this precision"
        notes = dict.fromkeys(sorted(_NTK), why) if undecided else {}
        found = formulas.coefficients_at(inputs, with_ntk=with_ntk)
        return {"tau": scale, "bias": stein[mean], **{key: arb(value) for key, value in found.items()}}, margins, notes

    @staticmethod
    def _check_margins(margins: Mapping[str, arb], scale: arb) -> None:
        where = f"at tau_* = {float(scale.mid()):.6g}"
        if margins["tau"] >= 1:
            raise EquilibriumError(
                f"no stable equilibrium: {where} the slope sigma_a^2 E[(phi^2)'']/2 is "
                f"{float(margins['tau'].mid()):.12g}, and it must be below 1; a smaller sigma_a2 would be accepted"
            )
        if margins["ck"] >= 1:
            raise EquilibriumError(
                f"the CK's coefficients do not exist: sigma_a^2 E[phi']^2 = {float(margins['ck'].mid()):.6g} {where}, "
                "and it must be below 1; a smaller sigma_a2 would be accepted"
            )
        if not (margins["tau"] < 1 and margins["ck"] < 1):
            raise UncertifiedError("whether the margins sigma_a^2 d22/2 and sigma_a^2 d1^2 are below 1 is not decided")

    def _finished(self, kept: tuple[dict[str, arb], dict[str, arb], dict[str, str]]) -> bool:
        balls, _, notes = kept
        undecided = any(key in _NTK for key in notes)
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


def _stein(scale: arb, raw: Mapping[Key, arb]) -> dict[sp.Symbol, arb]:
    """The theory's moments from the raw ones."""
    forms: Iterable[sp.Symbol] = (mean, variance, d1, d2, d22)
    program = _stein_forms(tuple(forms)).renewed(BallArithmetic())
    return dict(zip(forms, program(scale, *(raw[key] for key in RAW_MOMENTS)), strict=True))


@cache
def _stein_forms(forms: tuple[sp.Symbol, ...]) -> Program:
    inputs = [tau, *(RAW_MOMENTS[key] for key in RAW_MOMENTS)]
    return compile_program([STEIN_FORMS[form] for form in forms], inputs, BallArithmetic())


@cache
def _compiled_formulas() -> CompiledFormulas:
    return CompiledFormulas.over(BallArithmetic())
