"""What the estimators share: the model meant by None, the scale of the samples, and seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

from numerics.arrays import Array
from theory.equations import DEQ

__all__ = ["default_deq", "generator_of", "scale_to"]


def default_deq(deq: DEQ | None) -> DEQ:
    """The model itself, or the one that None stands for.

    Raises:
        TypeError: neither a DEQ nor None.

    Example:
        >>> default_deq(None).activation.name
        'tanh'
    """
    if deq is None:
        return DEQ("tanh", "4/5")
    if not isinstance(deq, DEQ):
        raise TypeError(f"deq must be a DEQ, such as DEQ('tanh', '4/5'), not {type(deq).__name__}")
    return deq


def scale_to(samples: Array, deq: DEQ) -> float:
    """The number that gives samples the root mean square norm tau_0; 1 where all of them are 0.

    Args:
        samples: (n, p) array.
        deq: whose tau_0.

    Example:
        >>> scale_to(np.array([[3.0, 4.0]]), DEQ("tanh"))
        0.2
    """
    norm = float(np.sqrt(np.einsum("ij,ij->", samples, samples) / samples.shape[0]))
    return float(deq.tau0) / norm if norm > 0 else 1.0


def generator_of(random_state: Any) -> np.random.Generator:
    """The generator of a seed, or the one given.

    Args:
        random_state: an integer >= 0, or a ``numpy.random.Generator``.

    Raises:
        TypeError: neither an integer that is not negative nor a generator.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool) and random_state >= 0:
        return np.random.default_rng(int(random_state))
    raise TypeError(f"random_state must be an integer >= 0 or a numpy.random.Generator, not {random_state!r}")
