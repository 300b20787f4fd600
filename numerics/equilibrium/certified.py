"""Certified solutions of a DEQ's system: every coefficient in a ball that is proved to contain it.

Theory sheet, section 3.  ``numerics.equilibrium.interval_newton`` encloses tau_* and evaluates theory's formulas in
balls.  What cannot be certified comes from the plain path (``numerics.equilibrium.solve``) and says why.  Which of
several equilibria is meant is the plain path's choice; ``CertifiedCoefficients.followed`` proves it on demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from flint import arb

from numerics.arithmetic import (
    ball_from_text,
    ball_to_text,
    contains_decimal,
    proved_decimal,
    radius_text,
    rounded_decimal,
)
from numerics.budget import OverBudgetError, share, stage
from numerics.equilibrium.all_equilibria import find_followed, is_followed
from numerics.equilibrium.digits import decimal_string, solve
from numerics.equilibrium.float64 import enclose_reached, ntk_missing
from numerics.equilibrium.formulas import kernel_of
from numerics.equilibrium.interval_newton import Enclosure, enclose_coefficients
from numerics.moments import MomentAccuracyError
from theory.equations import DEQ, EquilibriumError
from theory.kernels import COEFFICIENTS, NTK_COEFFICIENTS, Kernel, KernelCoefficients
from theory.moments import DivergentMomentError

__all__ = [
    "CertifiedCoefficients",
    "certify",
    "solve_at",
    "solve_uncertified",
]

#: Parts of the processor time left that a proof and what needs none may take.
_PROOF_SHARE, _PLAIN_SHARE = 0.5, 0.75
#: Digits of the plain path's numbers that are checked against balls.
_CHECKED_DIGITS = 15


@dataclass(frozen=True)
class CertifiedCoefficients:
    """The certified solution of a DEQ's system.

    Attributes:
        deq: the DEQ.
        digits: significant digits asked for; the balls are at least a thousand times narrower than the last one.
        balls: Arb balls by key of ``theory.equations.COEFFICIENTS``, of the certified coefficients only.
        plain: decimals from the plain path, of the coefficients that are not certified.
        margins: Arb balls of what must be below 1: ``tau`` (sigma_a^2 d22/2), ``ck`` (sigma_a^2 d1^2) and ``ntk``
            (sigma_a^2 E[phi'^2], absent where that is infinite or not certified).
        certified: by key, whether the coefficient is certified.
        reason: by key, why a coefficient is not certified, or what its certificate means where the ball holds 0.
        ntk_missing: why the NTKs' coefficients are absent, or an empty string.
    """

    deq: DEQ
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
        if "tau" not in self.balls:
            return None
        try:
            with share(_PLAIN_SHARE, interrupt=True), stage("proving which root is reached from tau_0"):
                return is_followed(self.deq, self.balls["tau"])
        except OverBudgetError:
            return None

    def __getitem__(self, key: str) -> arb:
        """Return the ball of a certified coefficient."""
        if key not in self.balls:
            why = f"; {self.ntk_missing}" if self.ntk_missing else ""
            raise KeyError(f"no certified coefficient {key!r}: there are {', '.join(self.balls)}{why}")
        return self.balls[key]

    def kernel(self, kernel: str) -> KernelCoefficients[arb]:
        """Return the balls of a kernel's coefficients, the kernel by its name.

        Raises:
            UnknownKernelError: there is no such kernel.
            EquilibriumError: an NTK that does not exist, or coefficients that are not certified.
        """
        kernel = Kernel.read(kernel)
        unproved = next((key for key in kernel.keys if key in self.plain), None)
        missing = self.ntk_missing if unproved is None else f"{unproved} is not certified: {self.reason[unproved]}"
        return kernel_of(self.balls, kernel, missing)

    def decimal(self, key: str) -> str | None:
        """Return ``digits`` significant digits, or None where the coefficient does not exist.

        A certified coefficient's decimal is the correctly rounded one, except where the number lies within the ball's
        radius (under a thousandth of a unit in the last digit) of a tie: there it may be the other neighbour.

        Raises:
            KeyError: no coefficient is called so.
        """
        if key not in COEFFICIENTS:
            raise KeyError(f"no coefficient {key!r}: there are {', '.join(COEFFICIENTS)}")
        ball = self.balls.get(key)
        if ball is None:
            return self.plain.get(key)
        if ball.contains(0):
            return rounded_decimal(arb(0), self.digits)[0]
        return rounded_decimal(ball, self.digits)[0]

    def contains(self, key: str, text: str) -> bool:
        """Return whether a decimal text is the certified coefficient rounded to the text's digits.

        A text off by one unit in its last digit is refused (see ``numerics.arithmetic.contains_decimal``).

        Raises:
            KeyError: the coefficient is not certified.
        """
        return contains_decimal(self[key], text)

    def __repr__(self) -> str:
        proved = sum(self.certified.values())
        shown = ", ".join(f"{key} = {self.decimal(key)}" for key in ("tau", "alpha1", "alpha2", "alpha3", "gamma2"))
        return (
            f"CertifiedCoefficients({proved} of {len(self.certified)} coefficients certified to {self.digits} digits)\n"
            f"  {shown}"
        )

    def latex(self, digits: int | None = None) -> str:
        """Return all coefficients in LaTeX, an ``aligned`` block of amsmath.

        Args:
            digits: significant digits at most, of which those that are not proved are left out.
        """
        from theory.latex import COEFFICIENT_SYMBOLS

        digits = self.digits if digits is None else min(digits, self.digits)
        rows = []
        for key in COEFFICIENTS:
            ball = self.balls.get(key)
            shown = self.plain.get(key) if ball is None else proved_decimal(ball, digits)
            if shown is not None:
                mark = "" if ball is not None else r"\quad\text{(not certified)}"
                rows.append(rf"{COEFFICIENT_SYMBOLS[key]} &= {_latex_number(shown)}{mark}")
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"${self.latex(20)}$"

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


def certify(deq: DEQ, digits: int = 15, *, prove_absence: bool = True) -> CertifiedCoefficients:
    """Solve the system with proof, to a number of significant digits.

    Args:
        deq: the DEQ.
        digits: significant decimal digits, >= 1.
        prove_absence: where the quick way finds no equilibrium, whether to search for it with proof.

    Raises:
        EquilibriumError: digits out of range, or no stable equilibrium reached from tau_0.
        MomentAccuracyError: nothing could be certified, and the plain path's digits do not settle either.

    Example:
        >>> certify(DEQ("tanh", "1/5"), 30).decimal("alpha1")
        '0.344987632659798712080705117170'
    """
    _check_digits(digits)
    try:
        start, found = enclose_reached(deq, digits)
        return _assembled(deq, digits, found, start)
    except EquilibriumError:
        # Next to a fold float64 may miss two roots that nearly meet, or see one where there is none.
        proved = None
        if prove_absence:
            with suppress(OverBudgetError), share(_PROOF_SHARE, interrupt=True):
                proved = find_followed(deq)
        if proved is None:
            raise
    return solve_at(deq, digits, proved)


def solve_uncertified(deq: DEQ, digits: int = 15) -> CertifiedCoefficients:
    """Solve the system without proof, by the plain path; arguments, result and errors are those of ``certify``.

    Quadrature at two precisions agrees on a peak that both miss, so that its first digits are checked against balls
    where there are any.

    Raises:
        EquilibriumError: digits out of range, or no stable equilibrium reached from tau_0.
        MomentAccuracyError: the digits do not settle, or are proved to be wrong.
    """
    _check_digits(digits)
    found = _assembled(deq, digits, Enclosure({}, {}, {}, "no proof was asked for"), None)
    proved = enclose_coefficients(deq, min(digits, _CHECKED_DIGITS), float(found.plain["tau"])).balls
    for key in sorted(found.plain.keys() & proved.keys()):
        ball, value = proved[key], arb(found.plain[key])
        # Half a unit of the last digit, twice.
        if abs(value - ball) > abs(ball) * arb(10) ** (1 - digits) + ball.rad():
            raise MomentAccuracyError(
                f"without proof {key} = {found.plain[key]}, which is wrong: it is {rounded_decimal(ball, 10)[0]}; the "
                "quadrature misses a narrow peak, and certified numbers (--certify) would be right"
            )
    return found


def solve_at(deq: DEQ, digits: int, start: float) -> CertifiedCoefficients:
    """Do as ``certify`` for one of several equilibria; arguments, result and errors are those of ``certify``.

    Args:
        deq: the DEQ.
        digits: significant decimal digits, >= 1.
        start: tau_* of the equilibrium that is meant, to a few digits.
    """
    _check_digits(digits)
    return _assembled(deq, digits, enclose_coefficients(deq, digits, start), start)


def _check_digits(digits: int) -> None:
    if digits < 1:
        raise EquilibriumError(f"digits must be at least 1, not {digits}")


def _assembled(deq: DEQ, digits: int, found: Enclosure, start: float | None) -> CertifiedCoefficients:
    """Put the certified balls together with what only the plain path gives, of the same equilibrium."""
    balls, reason = found.balls, found.reason
    plain: dict[str, str] = {}
    missing = ntk_missing(deq.activation, found.margins) if found.margins else ""
    wanted = [key for key in COEFFICIENTS if not (missing and key in NTK_COEFFICIENTS)]
    if any(key not in balls for key in wanted):
        reason = reason or "the ball's radius does not reach the digits asked for"
        if "tau" in balls:
            start = float(balls["tau"])
        try:
            with share(_PLAIN_SHARE, interrupt=True), stage("solving without proof"):
                solution = solve(deq, digits, start=start)
        except (EquilibriumError, MomentAccuracyError, DivergentMomentError, OverBudgetError) as error:
            # What is proved stays proved.
            if not balls:
                raise type(error)(f"{error}; and not certified: {reason}") from error
            missing = missing or _left_out(balls, found.notes, f"{reason}; and not computed without proof: {error}")
        else:
            missing = solution.ntk_missing
            plain = {k: decimal_string(v, digits) for k, v in solution.values.items() if k not in balls}
    notes = found.notes | {key: found.notes.get(key, reason) for key in plain}
    return CertifiedCoefficients(
        deq,
        digits,
        balls=MappingProxyType({key: balls[key] for key in COEFFICIENTS if key in balls}),
        plain=MappingProxyType(plain),
        margins=MappingProxyType(found.margins),
        certified=MappingProxyType({key: key in balls for key in COEFFICIENTS if key in balls or key in plain}),
        reason=MappingProxyType(notes),
        ntk_missing=missing,
    )


def _left_out(balls: Mapping[str, arb], notes: Mapping[str, str], reason: str) -> str:
    """Why the NTKs' coefficients are absent where nothing gives them; empty where the balls have them."""
    absent = [key for key in sorted(NTK_COEFFICIENTS) if key not in balls]
    return "" if not absent else notes.get(absent[0], reason)
