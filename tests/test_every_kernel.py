"""Every kernel has its place in each table that has one a kernel: a new one that is forgotten in some fails here."""

from __future__ import annotations

import numpy as np
import pytest

from deqverify.commands import _figures, solve
from numerics.arithmetic import pointwise
from numerics.equilibrium import solve_float
from numerics.kernels import implicit_kernels
from numerics.publish.paper import document
from theory.claims import CLAIMS
from theory.equations import DEQ, expand_ck, expand_ntk
from theory.kernels import COEFFICIENTS, Kernel
from theory.latex import COEFFICIENT_SYMBOLS


@pytest.mark.parametrize("kernel", Kernel)
def test_every_kernel_has_its_names(kernel: Kernel) -> None:
    assert set(kernel.keys) <= set(COEFFICIENTS) & set(COEFFICIENT_SYMBOLS)
    assert kernel.value in CLAIMS
    assert kernel.value in _figures.KERNEL_NAMES
    assert kernel.is_tangent is (kernel is not Kernel.CK)
    if kernel.is_tangent:
        assert all({kernel.kind} <= set(table) for table in (solve._NTK_SYMBOLS, document._NTK_TITLES))


@pytest.mark.parametrize("kernel", Kernel)
def test_every_kernel_is_expanded_solved_and_evaluated(kernel: Kernel) -> None:
    expansion = expand_ntk(kernel.kind) if kernel.is_tangent else expand_ck()
    assert expansion.coefficients.linear.free_symbols
    assert np.isfinite(float(solve_float(DEQ("tanh", "1/5")).kernel(kernel).diagonal))
    found = implicit_kernels(np.eye(2), pointwise("tanh"), 0.2, 0.8, 0.0, kernels=(kernel,))
    assert found[kernel].shape == (2, 2)
