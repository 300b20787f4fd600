"""The coefficients of a kernel's equivalent, whichever way they were found.

Theory sheet, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from theory.equations import NTK_KEYS

__all__ = ["EquivalentCoefficients"]

#: Below this share of the diagonal a coefficient, times its power of tau_0, is rounding: alpha_1 is 0 where the
#: activation is even (the bulk is then a point), alpha_2 and alpha_3 where it is odd.
_ROUNDING = 1e-12
#: Keys of a solved equilibrium, by kernel: coefficients of S, of delta_i delta_j, of S squared entrywise; the diagonal.
KERNEL_KEYS: Mapping[str, tuple[str, str, str, str]] = {
    "ck": ("alpha1", "alpha2", "alpha3", "gamma2"),
    **{f"ntk-{kind}": keys for kind, keys in NTK_KEYS.items()},
}


@dataclass(frozen=True)
class EquivalentCoefficients:
    """The four numbers that an activation and the weights enter an equivalent by, solved at the population's tau_0.

    Attributes:
        linear: coefficient of S: alpha_1, or an NTK's, not negative.
        variance: of the fluctuations of the norms: alpha_2.
        square: of S squared entry by entry: alpha_3.
        diagonal: value on the diagonal: gamma_*^2, or an NTK's.

    Raises:
        ValueError: a coefficient that is not finite, or a negative one of S.
    """

    linear: float
    variance: float
    square: float
    diagonal: float

    def __post_init__(self) -> None:
        numbers = (self.linear, self.variance, self.square, self.diagonal)
        if not all(np.isfinite(number) for number in numbers):
            raise ValueError(f"the coefficients must be finite, got {numbers}")
        if self.linear < 0:
            raise ValueError(f"the coefficient of S must not be negative, got {self.linear}")

    @classmethod
    def from_values(cls, values: Mapping[str, float], kernel: str = "ck") -> EquivalentCoefficients:
        """Pick one kernel's from the values of a solved equilibrium.

        Raises:
            ValueError: an unknown kernel, or an NTK that does not exist.
        """
        if kernel not in KERNEL_KEYS:
            raise ValueError(f"the kernel is one of {', '.join(KERNEL_KEYS)}, not {kernel!r}")
        if any(key not in values for key in KERNEL_KEYS[kernel]):
            raise ValueError(f"this equilibrium has no {kernel}: sigma_a^2 E[phi'^2] is infinite or not below 1")
        return cls(*(values[key] for key in KERNEL_KEYS[kernel]))

    def offset(self, tau0: float) -> float:
        """The diagonal less tau_0^2 times the coefficient of S, exactly 0 where these differ by rounding.

        Of a kernel it is not negative: E phi(x) phi(y) is a power series in the correlation whose coefficients are not.
        """
        found = self.diagonal - tau0**2 * self.linear
        return found if abs(found) > _ROUNDING * abs(self.diagonal) else 0.0

    def without_rounding(self, tau0: float) -> EquivalentCoefficients:
        """The same with coefficients that are 0 up to rounding set to 0."""

        def kept(value: float, power: int) -> float:
            return value if abs(value) * tau0**power > _ROUNDING * abs(self.diagonal) else 0.0

        return EquivalentCoefficients(kept(self.linear, 2), kept(self.variance, 4), kept(self.square, 4), self.diagonal)
