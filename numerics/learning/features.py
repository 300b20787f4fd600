"""Random features of a DEQ and of the networks beside it, as a transformer of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import threadpoolctl
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from numerics.learning.inputs import default_deq, generator_of, scale_to
from numerics.learning.networks import Drawing, network_named
from numerics.matching import ExplicitNetwork
from theory.equations import DEQ

__all__ = ["NetworkFeatures", "SolvedFeatures"]

_DTYPES = ("float64", "float32")


@dataclass(frozen=True, eq=False)
class SolvedFeatures:
    """Features of some samples, with the evidence for them.

    Attributes:
        values: (n, m) array.
        residual: largest relative residual of a sample's equilibrium; 0 for networks that are not iterated.
        steps: most steps of any sample; the number of layers for explicit networks.
    """

    values: Any
    residual: float
    steps: int


class NetworkFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """States of the last layer of a random network of m neurons, divided by sqrt(m).

    Samples are scaled by one number, found in `fit`, so that their root mean square norm is the DEQ's tau_0; the
    activation is centred at the equilibrium of that tau_0.  The weights depend on `random_state`, the network and the
    sizes alone: blocks, threads and dtype change the features by rounding only.  A network of another `random_state`
    is one drawn anew.

    Args:
        network: one of ``numerics.learning.NETWORKS``, or an ``ExplicitNetwork``.
        deq: the model; None for DEQ("tanh", "4/5").
        width: m.
        random_state: seed of the weights, an integer >= 0, or a generator.
        tolerance: bound on the relative residual of every sample's equilibrium.
        dtype: "float64" or "float32", of weights and features.
        block: samples that are iterated together.
        n_jobs: threads, as joblib counts them; each block is computed in one.

    Attributes:
        scale_: the number that samples are multiplied by.
        n_features_in_: p.

    Example:
        >>> X = np.random.default_rng(0).standard_normal((50, 20))
        >>> NetworkFeatures("deq", DEQ("tanh", "1/5"), width=64).fit_transform(X).shape
        (50, 64)
    """

    def __init__(
        self,
        network: str | ExplicitNetwork = "deq",
        deq: DEQ | None = None,
        *,
        width: int = 1024,
        random_state: int | np.random.Generator = 0,
        tolerance: float = 1e-5,
        dtype: str = "float64",
        block: int = 256,
        n_jobs: int | None = None,
    ) -> None:
        self.network = network
        self.deq = deq
        self.width = width
        self.random_state = random_state
        self.tolerance = tolerance
        self.dtype = dtype
        self.block = block
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> NetworkFeatures:
        """Find the scale of the samples and draw the weights.

        Args:
            X: (n, p) array, a sample in each row.
            y: not used.

        Raises:
            ValueError: samples that are no such array of finite numbers, or a parameter out of range.
            DesignError: no explicit network matches the DEQ.
            EquilibriumError: the DEQ has no stable equilibrium.
        """
        X = validate_data(self, X, dtype=np.float64)
        if self.dtype not in _DTYPES or self.width < 1 or self.block < 1:
            raise ValueError(
                f"a dtype of {' or '.join(_DTYPES)}, and a width and a block of at least 1 are accepted, not "
                f"{self.dtype!r}, {self.width} and {self.block}"
            )
        deq = default_deq(self.deq)
        self.scale_ = scale_to(X, deq)
        drawing = Drawing(self.width, X.shape[1], self.dtype, self.tolerance)
        self._map = network_named(self.network, deq).draw(drawing, generator_of(self.random_state))
        self._n_features_out = self.width
        return self

    def transform(self, X: Any) -> Any:
        """Return the features, an (n, m) array of the dtype asked for.

        Args:
            X: (n, p) array, a sample in each row.

        Raises:
            NonConvergenceError: a sample has no equilibrium that the iteration reaches.
        """
        return self.solve(X).values

    def solve(self, X: Any) -> SolvedFeatures:
        """Return the features with the evidence for them.

        Args:
            X: (n, p) array, a sample in each row.

        Raises:
            NonConvergenceError: as for `transform`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        values = np.empty((X.shape[0], self.width), dtype=self.dtype)
        # Samples of like norm need about as many steps: none waits long for the others of its block.
        order = np.argsort(np.einsum("ij,ij->i", X, X), kind="stable")

        def fill(start: int) -> tuple[float, int]:
            chosen = order[start : start + self.block]
            samples = (X[chosen] * self.scale_).astype(self.dtype, copy=False)
            values[chosen], residual, steps = self._map(samples)
            return residual, steps

        # One BLAS thread each: the same bytes for any number of threads.
        with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
            run = joblib.Parallel(n_jobs=self.n_jobs, prefer="threads")
            done = run(joblib.delayed(fill)(start) for start in range(0, X.shape[0], self.block))
        return SolvedFeatures(values, max(residual for residual, _ in done), max(steps for _, steps in done))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # The dtype is asked for, whatever that of the samples is.
        tags.transformer_tags.preserves_dtype = []
        return tags
