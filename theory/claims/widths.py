"""Wrong theories of the spectrum at finite width, as data beside the true one.

Theory sheet, section 9.  A theory is the linear network that a DEQ, or a layer, is said to be equivalent to.  The wrong
ones change one of its expressions, as `theory.claims.mutants` changes those of the equivalents, or all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

import sympy as sp

from theory.claims.mutants import mutations
from theory.claims.variants import AT_TAU_0
from theory.equations import LinearNetwork, ck_coefficients, linear_network
from theory.kernels import Kernel
from theory.symbols import neurons, samples, tau, tau_0, variance

__all__ = ["BULK_PARTS", "WidthTheory", "width_theories"]

#: The numbers of a linear network that its bulk depends on, and their names in the theory sheet.
BULK_PARTS: Mapping[str, str] = MappingProxyType(
    {"linear": "a", "identity": "c", "feedback2": "s^2", "ratio": "n/M"},
)


@dataclass(frozen=True)
class WidthTheory:
    """One theory of the conjugate kernel's spectrum at finite width.

    Attributes:
        identifier: short name.
        description: what it says, or what is wrong with it, in words.
        network: the linear network.
        kernel: whose spectrum.
        source: where it comes from.
    """

    identifier: str
    description: str
    network: LinearNetwork
    kernel: Kernel = Kernel.CK
    source: str = "planted"

    def scaled(self, part: str, factor: sp.Rational) -> WidthTheory:
        """The theory with one of its numbers, by name, times a factor."""
        changed = replace(self.network, **{part: factor * getattr(self.network, part)})
        return replace(self, network=changed)


@cache
def width_theories() -> Mapping[str, WidthTheory]:
    """The true theory, and wrong ones that a check must refute, by identifier.

    Example:
        >>> theories = width_theories()
        >>> theories["width: Marchenko-Pastur over Gbar"].network.feedback2
        0
        >>> theories["width: s^2: d_1**2 dropped"].description
        's^2 = sigma_a^2'
    """
    true = linear_network()
    alpha1 = ck_coefficients()["alpha1"]
    at_tau_0 = {**AT_TAU_0, tau: tau_0}
    listed = (
        WidthTheory("true", "the theory", true, source="theory sheet, section 9"),
        WidthTheory(
            "width: Marchenko-Pastur over Gbar",
            "the law of an explicit network's layer with the same kernel of infinite width",
            replace(true, linear=alpha1, identity=variance - tau_0**2 * alpha1, feedback2=sp.S.Zero),
        ),
        WidthTheory("width: n and M exchanged", "M/n for n/M", replace(true, ratio=neurons / samples)),
        WidthTheory(
            "width: tau_0 for tau_*",
            "every moment at tau_0",
            replace(true, **{part: getattr(true, part).xreplace(at_tau_0) for part in BULK_PARTS}),
        ),
    )
    theories = (*listed, *(theory for part in BULK_PARTS for theory in _generated(true, part)))
    return MappingProxyType({theory.identifier: theory for theory in theories})


def _generated(true: LinearNetwork, part: str) -> Iterator[WidthTheory]:
    """The theories with one place of an expression changed, every one once."""
    right, name = getattr(true, part), BULK_PARTS[part]
    seen = {right}
    for change, wrong in mutations(right):
        if (form := sp.expand(wrong)) in seen:
            continue
        seen.add(form)
        description = f"{name} = {wrong}"
        yield WidthTheory(f"width: {name}: {change}", description, replace(true, **{part: wrong}), source="generated")
