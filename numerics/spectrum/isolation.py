"""What counts as an isolated eigenvalue of a measured spectrum.

The unit is that of an edge's fluctuations, (k n)^(-2/3) (`LawOfKernel.edge_fluctuation`, the larger of the outer two),
in which eigenvalues next to an edge are one or two apart and the first is beyond four with a probability of some 1 in
10,000.  An isolated eigenvalue is outside the predicted support by more than four units, and between it and the rest is
a gap of more than four: at a finite p the whole edge may have moved further than it fluctuates.  From a point mass it
must be further away than the measured operator-norm distance of the kernel to its equivalent, by which any eigenvalue
may have moved.
"""

from __future__ import annotations

import numpy as np

from numerics.arrays import Array
from numerics.spectrum.distances import outside_support
from numerics.spectrum.law import LawOfKernel
from numerics.spectrum.outliers import Side

__all__ = [
    "MARGIN_UNITS",
    "count_isolated",
    "isolated_eigenvalues",
    "isolation_margin",
    "support_bounds",
]

#: Units of an edge's fluctuations by which an isolated eigenvalue is away from the support, and from other eigenvalues.
MARGIN_UNITS = 4.0


def isolation_margin(law: LawOfKernel) -> float:
    """Four units of the fluctuations of the outer edge that fluctuates more, in units of the kernel."""
    return MARGIN_UNITS * max(law.edge_fluctuation("right"), law.edge_fluctuation("left"))


def support_bounds(law: LawOfKernel) -> tuple[float, float]:
    """The least and the greatest point of the support, a point mass included."""
    left, right = law.edges[0][0], law.edges[-1][1]
    return (left if law.point is None else min(left, law.point)), right


def count_isolated(run: Array, side: Side, law: LawOfKernel, opnorm_error: float) -> int:
    """How many of the outermost eigenvalues on one side are isolated.

    Args:
        run: (k,) eigenvalues from the outermost on that side inwards, without a gap in the list.
        side: of the support.
        law: predicted.
        opnorm_error: of the kernel to its equivalent.
    """
    margin = isolation_margin(law)
    left, right = support_bounds(law)
    outside = outside_support(run, law, margin, opnorm_error)[0]
    beyond = np.count_nonzero(outside > right if side == "right" else outside < left)
    # With the first that is not outside: the innermost wide gap ends the isolated ones.
    wide = np.flatnonzero(np.abs(np.diff(run[: beyond + 1])) > margin)
    return int(wide[-1]) + 1 if wide.size else 0


def isolated_eigenvalues(spectrum: Array, law: LawOfKernel, opnorm_error: float) -> tuple[Array, Array]:
    """Eigenvalues that count as isolated, and the others; both descending.

    Args:
        spectrum: (n,) array, in any order.
        law: predicted.
        opnorm_error: of the kernel to its equivalent.

    Raises:
        ValueError: a spectrum that is empty or not finite.
    """
    outside, _ = outside_support(spectrum, law, isolation_margin(law), opnorm_error)
    left, right = support_bounds(law)
    ordered = np.sort(spectrum)[::-1]
    above = count_isolated(ordered, "right", law, opnorm_error)
    below = count_isolated(ordered[::-1], "left", law, opnorm_error)
    among = outside[(outside >= left) & (outside <= right)]
    isolated = np.concatenate([ordered[:above], among, ordered[ordered.size - below :]])
    return isolated, np.setdiff1d(spectrum, isolated)[::-1]
