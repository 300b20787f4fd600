"""Kernel ridge classification with the exact kernels of a DEQ and of the networks beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from numerics.kernels import GramBlock
from numerics.learning.inputs import default_deq, scale_to
from numerics.learning.networks import network_named
from numerics.matching import ExplicitNetwork
from theory.equations import DEQ

__all__ = ["ExactKernelClassifier"]


class ExactKernelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression on +-1 for each class, with the conjugate kernel of a network of infinite width.

    It is the limit of `NetworkFeatures` with a ridge readout.  Samples are scaled as they are there, the test samples
    by the number of the training samples, and the activation is centred once for both.

    Args:
        network: one of ``numerics.learning.NETWORKS``, or an ``ExplicitNetwork``.
        deq: the model; None for DEQ("tanh", "4/5").
        ridge: the penalty, relative to the mean of the kernel's diagonal over the training samples.
        block: test samples whose kernel with the training samples is in memory at a time.

    Attributes:
        classes_: (k,) array of the labels.
        scale_: the number that samples are multiplied by.
        alpha_: the penalty itself.
        n_features_in_: p.

    Example:
        >>> X = np.array([[2.0, 0.1], [1.8, -0.2], [-2.1, 0.0], [-1.9, 0.2]])
        >>> ExactKernelClassifier().fit(X, ["a", "a", "b", "b"]).predict([[1.5, 0], [-1.5, 0]]).tolist()
        ['a', 'b']
    """

    def __init__(
        self,
        network: str | ExplicitNetwork = "deq",
        deq: DEQ | None = None,
        *,
        ridge: float = 1e-2,
        block: int = 2048,
    ) -> None:
        self.network = network
        self.deq = deq
        self.ridge = ridge
        self.block = block

    def fit(self, X: Any, y: Any) -> ExactKernelClassifier:
        """Compute the kernel of the training samples and solve for the readout.

        Args:
            X: (n, p) array, a sample in each row.
            y: (n,) array of labels, of two classes or more.

        Raises:
            ValueError: samples or labels that are no such arrays, one class only, or a parameter out of range.
            DesignError: no explicit network matches the DEQ.
            EquilibriumError: the DEQ has no stable equilibrium.
            KernelConvergenceError: an entry has no stable fixed point.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if not self.ridge > 0 or self.block < 1:
            raise ValueError(f"ridge > 0 and block >= 1 are accepted, not {self.ridge} and {self.block}")
        deq = default_deq(self.deq)
        self.scale_ = scale_to(X, deq)
        self._reference = network_named(self.network, deq)
        self._samples = self.scale_ * X
        self._binarizer = LabelBinarizer(neg_label=-1).fit(y)
        self.classes_ = self._binarizer.classes_
        if len(self.classes_) < 2:
            raise ValueError(f"labels of two classes or more are accepted, not of one class alone: {self.classes_[0]}")
        kernel = self._reference.kernel(self._samples @ self._samples.T)
        self.alpha_ = self.ridge * float(np.trace(kernel)) / X.shape[0]
        self._regression = KernelRidge(alpha=self.alpha_, kernel="precomputed")
        self._regression.fit(kernel, self._binarizer.transform(y).astype(np.float64))
        return self

    def decision_function(self, X: Any) -> Any:
        """Return what the regression says: (n, k) array, a column a class, or for two classes (n,) for the second.

        Args:
            X: (n, p) array, a sample in each row.
        """
        check_is_fitted(self)
        X = self.scale_ * validate_data(self, X, dtype=np.float64, reset=False)
        parts = []
        for start in range(0, X.shape[0], self.block):
            block = GramBlock.of(X[start : start + self.block], self._samples)
            parts.append(self._regression.predict(self._reference.kernel(block)))
        found = np.concatenate(parts)
        return found.ravel() if len(self.classes_) == 2 else found

    def predict(self, X: Any) -> Any:
        """Return the labels, an (n,) array.

        Args:
            X: (n, p) array, a sample in each row.
        """
        decision = self.decision_function(X)
        if decision.ndim == 1:
            return self.classes_[(decision > 0).astype(np.intp)]
        return self.classes_[decision.argmax(axis=1)]
