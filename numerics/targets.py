"""What a network has to match: the four numbers of a DEQ's kernel, with what is known of them exactly."""

from __future__ import annotations

import sympy as sp
from flint import arb, fmpq

from numerics.balls import exact_bounds
from numerics.certified import CertifiedCoefficients
from numerics.equilibrium import NTK_KEYS
from numerics.matches import Target
from theory.activations import Activation
from theory.expectations import GaussianMoments
from theory.symbols import x
from theory.theories import KERNELS

__all__ = ["TargetError", "target_of"]

#: Largest denominator of a tau_*^2 that is tried as its exact value.
_SIMPLE = 10_000


class TargetError(ValueError):
    """A kernel that no network can be designed for, because it is not known or does not exist."""


def target_of(deq: CertifiedCoefficients, kernel: str) -> Target:
    """Return a DEQ's four numbers, with what its activation says of them exactly.

    Raises:
        TargetError: an unknown kernel, an NTK that does not exist, numbers that are not certified, or a constant DEQ.
    """
    if kernel not in KERNELS:
        raise TargetError(f"unknown kernel {kernel!r}: accepted are {', '.join(KERNELS)}")
    if kernel != "ck" and deq.ntk_missing:
        raise TargetError(f"the kernel {kernel} cannot be matched: {deq.ntk_missing}")
    keys = ("alpha1", "alpha2", "alpha3", "gamma2") if kernel == "ck" else NTK_KEYS[kernel.removeprefix("ntk-")]
    for key in keys:
        if not deq.certified.get(key, False):
            raise TargetError(f"{key} of the DEQ is not certified: {deq.reason.get(key, 'it does not exist')}")
    activation, shallow = deq.activation, deq.sigma_a2 == 0
    degree = _degree(activation)
    if degree == 0:
        raise TargetError("the activation is constant, so the DEQ's kernel vanishes and there is nothing to match")
    first, second, third, diagonal = (deq[key] for key in keys)
    # L = sigma_a^2 G + sigma_b^2 S keeps its linear part, and nothing else where sigma_a^2 = 0.
    affine = degree == 1 or (shallow and kernel == "ntk-preactivation")
    even = kernel != "ntk-preactivation" and (activation.parity == 1 or (first.contains(0) and _vanishes(deq, 1)))
    odd = (
        affine or _odd_up_to_a_constant(activation) or (second.contains(0) and third.contains(0) and _vanishes(deq, 2))
    )
    zero = arb(0)
    return Target(
        kernel,
        (zero if even else first, zero if odd else second, zero if odd else third, diagonal),
        deq.tau0,
        odd=odd,
        even=even,
        homogeneous=activation.homogeneity == 1,
        affine=affine,
        quadratic=affine or (shallow and degree == 2),
        # With sigma_a^2 = 0 the DEQ is a network with one layer; its NTKs other than "all" train fewer parameters.
        one_layer=odd or (shallow and kernel in ("ck", "ntk-all")),
    )


def _degree(activation: Activation) -> int | None:
    """Degree of a polynomial of degree at most 2, or None."""
    if len(activation.pieces) > 1 or not activation.pieces[0].expr.is_polynomial(x):
        return None
    degree = max(int(sp.degree(activation.pieces[0].expr, x)), 0) if activation.pieces[0].expr != 0 else 0
    return degree if degree <= 2 else None


def _odd_up_to_a_constant(activation: Activation) -> bool:
    if activation.parity == -1:
        return True
    at_zero = activation.expr.subs(x, 0)
    if not at_zero.is_finite or at_zero == 0:
        return False
    return Activation(activation.name, activation.expr - at_zero).parity == -1


def _vanishes(deq: CertifiedCoefficients, order: int) -> bool:
    """Whether E[phi'] or E[phi''] is proved to vanish at tau_*, which symmetry alone does not tell.

    A proof is found where tau_*^2 is a simple fraction and the moments have closed forms, as for Hermite polynomials.
    """
    low, high = exact_bounds(deq["tau"])
    simple = ((low + high) ** 2 / 4).limit_denominator(_SIMPLE)
    if not (deq["tau"] ** 2 - arb(fmpq(simple.numerator, simple.denominator))).contains(0):
        return False
    square = sp.Rational(simple.numerator, simple.denominator)
    moments = GaussianMoments(deq.activation, sp.sqrt(square))
    wanted = moments.first_derivative if order == 1 else moments.second_derivative
    gap = square - deq.sigma_a2 * moments.variance - deq.sigma_b2 * deq.tau0**2
    return all(GaussianMoments.is_closed(form) and sp.simplify(form) == 0 for form in (wanted, gap))
