"""The kernels, and the four coefficients that an equivalent has: the names and types that everything speaks in.

Theory sheet, sections 2 to 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Generic, TypeVar

__all__ = [
    "COEFFICIENTS",
    "NTK_COEFFICIENTS",
    "NTK_KINDS",
    "PARTS",
    "Kernel",
    "KernelCoefficients",
    "UnknownKernelError",
]

T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")

#: The reported quantities in order: the recurrent NTK's are beta, the pre-activation NTK's eta, that of all theta.
COEFFICIENTS = (
    *("tau", "bias", "gamma2", "alpha1", "alpha2", "alpha3", "alpha4", "lambda1", "lambda2", "lambda3"),
    *("beta1", "beta2", "beta3", "kappa2"),
    *("eta1", "eta2", "eta3", "eta_diag"),
    *("theta1", "theta2", "theta3", "theta_diag"),
)


class UnknownKernelError(ValueError):
    """A name that is no kernel's."""


class Kernel(StrEnum):
    """A kernel that has an equivalent: the conjugate kernel, or an NTK by the weights that are trained.

    Theory sheet, section 2.  A member is its own name as text: ``Kernel.CK == "ck"``.

    Example:
        >>> Kernel.read("ntk-all").keys
        ('theta1', 'theta2', 'theta3', 'theta_diag')
    """

    CK = "ck"
    #: Readout and A trained, B frozen: G / (1 - sigma_a^2 Gdot).
    NTK_RECURRENT = "ntk-recurrent"
    #: The recursion written on pre-activations: L / (1 - sigma_a^2 Gdot).
    NTK_PREACTIVATION = "ntk-preactivation"
    #: Readout, A and B all trained: G + L Gdot / (1 - sigma_a^2 Gdot).
    NTK_ALL = "ntk-all"

    @classmethod
    def read(cls, name: str) -> Kernel:
        """Return the kernel of a name; upper case and underscores never matter.

        Raises:
            UnknownKernelError: there is none of this name.
            TypeError: it is no text.
        """
        if not isinstance(name, str):
            raise TypeError(f"a kernel is named by a text, one of {', '.join(cls)}, not {name!r}")
        try:
            return cls(name.lower().replace("_", "-"))
        except ValueError:
            raise UnknownKernelError(f"unknown kernel {name!r}: accepted are {', '.join(cls)}") from None

    @classmethod
    def ntk(cls, kind: str) -> Kernel:
        """Return the NTK of a kind: "recurrent", "preactivation" or "all".

        Raises:
            UnknownKernelError: there is none of this kind.
        """
        if kind not in NTK_KINDS:
            raise UnknownKernelError(f"unknown NTK {kind!r}: accepted are {', '.join(NTK_KINDS)}")
        return cls(f"ntk-{kind}")

    @property
    def is_tangent(self) -> bool:
        """Whether it is an NTK, which exists only where sigma_a^2 E[phi'^2] is below 1."""
        return self is not Kernel.CK

    @property
    def kind(self) -> str:
        """The weights that are trained, for an NTK: "recurrent", "preactivation" or "all"; "ck" for the CK."""
        return self.value.removeprefix("ntk-")

    @property
    def keys(self) -> tuple[str, str, str, str]:
        """Keys of its four coefficients in ``COEFFICIENTS``, in the order of ``KernelCoefficients``."""
        return _KEYS[self]


_KEYS: Mapping[Kernel, tuple[str, str, str, str]] = {
    Kernel.CK: ("alpha1", "alpha2", "alpha3", "gamma2"),
    Kernel.NTK_RECURRENT: ("beta1", "beta2", "beta3", "kappa2"),
    Kernel.NTK_PREACTIVATION: ("eta1", "eta2", "eta3", "eta_diag"),
    Kernel.NTK_ALL: ("theta1", "theta2", "theta3", "theta_diag"),
}
#: The three NTKs of theory sheet section 2, by the parameters that are trained.
NTK_KINDS = tuple(kernel.kind for kernel in Kernel if kernel.is_tangent)
#: Keys of the coefficients of the NTKs, of all three together.
NTK_COEFFICIENTS = frozenset(key for kernel in Kernel if kernel.is_tangent for key in kernel.keys)


@dataclass(frozen=True)
class KernelCoefficients(Generic[T_co]):
    """The four numbers through which the activation and the weights enter a kernel's equivalent.

    Theory sheet, section 4: with C = [[variance t t^T + square T, variance t], [variance t^T, variance]],

      Kbar = linear S + V C V^T + (diagonal - tau_0^2 linear) I_n.

    Exact expressions, Arb balls, mpmath numbers or floats.

    Attributes:
        linear: coefficient of S: alpha_1, or an NTK's.
        variance: of delta_i delta_j, the fluctuations of the norms: alpha_2.
        square: of S squared entry by entry: alpha_3.
        diagonal: value on the diagonal: gamma_*^2.

    Example:
        >>> KernelCoefficients(1, 2, 3, 10).identity(2)
        6
    """

    linear: T_co
    variance: T_co
    square: T_co
    diagonal: T_co

    @classmethod
    def of(cls, values: Mapping[str, Any], kernel: Kernel) -> KernelCoefficients[Any]:
        """Pick a kernel's four from values by key of ``COEFFICIENTS``.

        Raises:
            KeyError: one is absent, as an NTK's are where it does not exist.
        """
        return cls(*(values[key] for key in kernel.keys))

    def __iter__(self) -> Iterator[T_co]:
        return iter((self.linear, self.variance, self.square, self.diagonal))

    def map(self, function: Callable[[T_co], U]) -> KernelCoefficients[U]:
        """Return the coefficients with a function applied to each."""
        return KernelCoefficients(*map(function, self))

    def identity(self, tau0: Any) -> Any:
        """Return the coefficient of the identity, diagonal - tau_0^2 linear."""
        return self.diagonal - tau0**2 * self.linear

    def _repr_latex_(self) -> str:
        symbols = ("k_1", "k_2", "k_3", "k_0")
        return (
            "$" + r",\quad ".join(f"{name} = {_latex(value)}" for name, value in zip(symbols, self, strict=True)) + "$"
        )


def _latex(value: Any) -> str:
    """A coefficient of any kind in LaTeX."""
    import sympy as sp  # names of kernels are wanted where nothing else needs SymPy

    return str(sp.latex(value)) if isinstance(value, sp.Basic) else str(value)


#: Names of the four coefficients, in order.
PARTS = tuple(field.name for field in fields(KernelCoefficients))
