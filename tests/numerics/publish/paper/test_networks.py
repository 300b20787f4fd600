"""The section of matching networks: what its formulas say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from numerics.publish.paper import networks
from tests.latex_reader import evaluate


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5, 9])
def test_hermite_polynomials_are_defined_for_any_degree(degree: int) -> None:
    text = networks._hermite_polynomial(degree)
    left, _, right = text.partition(" = ")
    assert left == rf"\operatorname{{he}}_{degree}(y)"
    y = np.linspace(-2, 2, 9)
    expected = np.polynomial.hermite_e.hermeval(y, [0] * degree + [1]) / math.sqrt(math.factorial(degree))
    assert evaluate(right, {"y": y}) == pytest.approx(expected)
