"""Activations for large arrays against those evaluated piece by piece."""

from __future__ import annotations

import numpy as np
import pytest

from numerics.arithmetic import elementwise, pointwise
from theory.activations import resolve
from theory.named import NAMED


@pytest.mark.parametrize("name", [*NAMED, "x*log(Abs(x))", "1"])
def test_elementwise_is_the_activation(name: str) -> None:
    activation = resolve(name).with_parameters()
    plain = pointwise(activation)
    places = np.concatenate([np.linspace(-900, 900, 3001), np.linspace(-4, 4, 801), plain.breakpoints])
    expected = plain.value(places)
    found = elementwise(activation)(places)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-300)
    single = elementwise(activation)(places[3001:].astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, plain.value(places[3001:].astype(np.float32)), rtol=2e-5, atol=2e-6)
