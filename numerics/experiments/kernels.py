"""The exact kernels of a DEQ on given samples: its equilibrium solved for the centring, then every entry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from numerics.arrays import Array
from numerics.equilibrium import solve_float
from numerics.kernels import ExactKernels, implicit_kernels, with_dual
from numerics.parameters import as_array
from theory.equations import DEQ
from theory.kernels import Kernel

__all__ = ["exact_kernels"]


def exact_kernels(
    deq: DEQ,
    samples: Any = None,
    *,
    gram: Any = None,
    kernels: Iterable[Kernel | str] = (Kernel.CK,),
    tolerance: float = 1e-12,
) -> ExactKernels:
    """Kernels of a DEQ in the limit of infinite width, for any samples.

    Args:
        deq: the model.  Its tau_0 is the samples' root mean square norm; it enters through the centring
            E[phi_0(tau_* xi)] alone.
        samples: (n, p) array X, a sample in each row, as scikit-learn has it.  The norm of a row is O(1) (theory sheet,
            section 1): features of variance 1 are divided by sqrt(p) first.
        gram: (n, n) array S = X X^T, in place of the samples.
        kernels: which to compute, members of `Kernel` or their names.
        tolerance: relative to sqrt(G_ii G_jj), for the residual and for the truncation of the series.

    Raises:
        TypeError: not exactly one of samples and gram.
        ValueError: samples that are no (n, p) array of finite numbers, a matrix that is no Gram matrix, or no kernel.
        EquilibriumError: no stable equilibrium.
        KernelConvergenceError: an entry has no stable fixed point, or an NTK that was asked for does not exist.

    Example:
        >>> found = exact_kernels(DEQ("relu", 0), [[1, 0], [0, 1]], kernels=("ck", "ntk-all"))
        >>> found["ntk-all"].round(6).tolist()
        [[0.840845, 0.0], [0.0, 0.840845]]
    """
    if (samples is None) == (gram is None):
        raise TypeError("either the samples, an (n, p) array, or gram, their (n, n) Gram matrix, must be given")
    if gram is None:
        rows = as_array(samples, "the samples")
        if rows.ndim != 2 or 0 in rows.shape or not np.all(np.isfinite(rows)):
            raise ValueError(f"the samples must be a finite (n, p) array, a sample in each row, not {_described(rows)}")
        # NumPy computes X X^T symmetric to the last bit.
        gram = rows @ rows.T
    phi = with_dual(deq.activation)
    bias = solve_float(deq).checked()["bias"]
    variances = float(deq.sigma_a2), float(deq.sigma_b2)
    return implicit_kernels(gram, phi, *variances, bias, kernels=kernels, tolerance=tolerance)


def _described(rows: Array) -> str:
    return f"of shape {rows.shape}" if rows.ndim != 2 or 0 in rows.shape else "with infinite or undefined numbers"
