"""Which equivalent can be trusted on given samples, in one sentence.

The rule is an error: what the samples predict of every equivalent, and where the exact kernel is known what is
measured; the larger of the two counts.  There is no table of data sets behind it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from numerics.experiments.diagnostics import DataDiagnostics
from numerics.experiments.equivalents_on_data import Equivalent, Prediction, Reason
from theory.kernels import Kernel

__all__ = ["TRUSTED", "advise", "equivalent_name"]

#: An equivalent is trusted up to this error, relative to the kernel's norm.
TRUSTED = 0.05
#: A simpler equivalent is preferred to a better one up to this ratio of their errors.
_PREFERRED = 2.0
#: From here on two digits would be 1e+02 %.
_ROUND = 0.995
#: Share of p from which on an effective dimension is of the order of p.
_NEAR = 0.5
#: Effective dimensions that are listed one by one.
_LISTED = 4


def equivalent_name(equivalent: Equivalent, kernel: Kernel = Kernel.CK) -> str:
    """Return what an equivalent is called in sentences and tables.

    Example:
        >>> equivalent_name(Equivalent.SECOND_ORDER)
        'the second-order equivalent'
    """
    bar = "Kbar" if kernel.is_tangent else "Gbar"
    return {
        Equivalent.GBAR: bar,
        Equivalent.WITH_MEANS: f"{bar} with means",
        Equivalent.SECOND_ORDER: "the second-order equivalent",
        Equivalent.THIRD_ORDER: "the third-order equivalent",
        Equivalent.KEPT_NORMS: "the third-order equivalent with norms kept",
    }[equivalent]


def advise(
    diagnostics: DataDiagnostics,
    prediction: Prediction,
    measured: Mapping[Equivalent, float] | None = None,
    kernel: Kernel = Kernel.CK,
) -> str:
    """Return one sentence: whether Gbar can be trusted on the samples, why not, and which equivalent can.

    Args:
        diagnostics: of the samples.
        prediction: errors that the samples predict.
        measured: errors against the exact kernel, where it is known.
        kernel: which kernel.
    """
    known = prediction.errors if measured is None else measured
    errors = {each: max(prediction.errors[each], known[each]) for each in Equivalent}
    best = _best(errors)
    trusted = errors[Equivalent.GBAR] <= TRUSTED
    bar, percent = equivalent_name(Equivalent.GBAR, kernel), _percent(known[Equivalent.GBAR])
    verb = "is predicted to be" if measured is None else "is"
    source = (
        "" if measured is None else f" (predicted from the samples: {_percent(prediction.errors[Equivalent.GBAR])})"
    )
    error = f"it {verb} off by {percent} of the kernel's norm{source}"
    if trusted:
        better = (
            "" if best is Equivalent.GBAR else f"; {equivalent_name(best, kernel)} is off by {_percent(known[best])}"
        )
        return f"{bar} can be trusted here: {error}{better}."
    why = _why(prediction.reason, diagnostics)
    if errors[best] <= TRUSTED:
        which = f"use {equivalent_name(best, kernel)}, which is off by {_percent(known[best])}"
    else:
        which = f"no equivalent can: the nearest is {equivalent_name(best, kernel)}, off by {_percent(known[best])}"
    return f"{bar} cannot be trusted here: {error}, most of all because {why}; {which}."


def _best(errors: Mapping[Equivalent, float]) -> Equivalent:
    """The simplest whose error is near the least."""
    least = min(errors.values())
    return next(each for each in Equivalent if errors[each] <= _PREFERRED * least)


def _why(reason: Reason, diagnostics: DataDiagnostics) -> str:
    match reason:
        case Reason.DIMENSION:
            return f"S o S does not average out: {_too_small(diagnostics)}"
        case Reason.MEANS:
            return f"T leaves out the class means, which carry {_percent(diagnostics.mean_energy_share)} of the energy"
        case Reason.NORMS:
            return f"the squared norms spread by {_percent(diagnostics.norm_spread)} of their mean"
        case Reason.CORRELATIONS:
            return f"correlations are as large as {diagnostics.largest_correlation:.2g}, so that their cubes count"


def _too_small(diagnostics: DataDiagnostics) -> str:
    """Which dimension: that of the classes, or p itself where theirs is as large as it can be."""
    sizes, p = diagnostics.effective_dimension, diagnostics.dimension
    if np.isnan(sizes).any():
        return "how small the effective dimension of the classes is cannot be estimated from these samples"
    if sizes.min() >= _NEAR * p:
        return f"p = {p} itself is too small"
    shown = f"{sizes.min():.3g} to {sizes.max():.3g}" if len(sizes) > _LISTED else _joined(sizes.tolist())
    return f"the effective dimension of the classes is {shown}, not of the order of p = {p}"


def _joined(numbers: list[float]) -> str:
    return " and ".join(filter(None, (", ".join(f"{x:.3g}" for x in numbers[:-1]), f"{numbers[-1]:.3g}")))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < _ROUND else f"{100 * share:.0f} %"
