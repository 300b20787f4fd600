"""The law of a readout's outputs, Gaussian in every class, and the errors that follow from it.

Theory sheet, section 10.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import multivariate_normal, norm

from numerics.arrays import Array

__all__ = ["Learned", "Outputs", "class_targets"]

#: The seed of the quasi-random points by which probabilities of three and more differences are integrated.
_POINTS = 20261128
#: Relative to the largest, eigenvalues of a covariance that rounding made negative.
_ROUNDING = 1e-9


def class_targets(classes: int) -> Array:
    """The targets of a classifier, (K, outputs): +1 and -1 for two classes, else one output a class, 1 against -1.

    Raises:
        ValueError: fewer than two classes.

    Example:
        >>> from numerics.spectrum import class_targets
        >>> class_targets(2).tolist()
        [[1.0], [-1.0]]
    """
    if classes < 2:
        raise ValueError(f"a classifier needs two classes at least, got {classes}")
    return np.array([[1.0], [-1.0]]) if classes == 2 else 2 * np.eye(classes) - 1


@dataclass(frozen=True)
class Outputs:
    """Outputs on samples of each class: Gaussian, with these moments.

    Attributes:
        mean: (K, o) array, of the output.
        covariance: (K, o, o) array; nan where labels hold more than classes and noise.
        targets: (K, o) array, the labels without their noise.
        class_mse: (K,) array, mean squared difference of labels and outputs, averaged over the outputs.
        shares: (K,) array, the classes' shares of the samples.
    """

    mean: Array
    covariance: Array
    targets: Array
    class_mse: Array
    shares: Array

    @property
    def mse(self) -> float:
        """Mean squared error over all classes."""
        return float(self.shares @ self.class_mse)

    @property
    def class_errors(self) -> Array:
        """(K,) array, the share of each class's samples that is put into another class.

        One output puts a sample into the class whose target has its sign, several into the class of the largest.

        Raises:
            ValueError: targets that do not tell the classes apart in this way.
        """
        classes, outputs = self.targets.shape
        if np.isnan(self.covariance).any():
            raise ValueError("labels that hold more than the classes name none: only mean squared errors are predicted")
        if outputs == 1:
            signs = np.sign(self.targets[:, 0])
            if classes != 2 or signs[0] * signs[1] >= 0:
                raise ValueError("one output tells two classes with targets of opposite signs apart, and no others")
            return np.array([_above(signs[a] * self.mean[a], self.covariance[a]) for a in range(classes)])
        if outputs != classes:
            raise ValueError(f"{outputs} outputs do not name {classes} classes; one output a class would")
        errors = np.empty(classes)
        for a in range(classes):
            # The differences of the own output to every other: all positive where the sample is put right.
            differences = np.delete(np.eye(classes)[a] - np.eye(classes), a, axis=0)
            errors[a] = _above(differences @ self.mean[a], differences @ self.covariance[a] @ differences.T)
        return errors

    @property
    def error(self) -> float:
        """Share of all samples put into a wrong class.

        Raises:
            ValueError: targets that do not tell the classes apart.
        """
        return float(self.shares @ self.class_errors)


@dataclass(frozen=True)
class Learned:
    """What a readout has learned.

    Attributes:
        test: outputs on fresh samples.
        train: outputs on the training samples.
        leverage: (K,) array, how much of its own label is in a training sample's output, by class.
        effective: the penalty at infinite width that has the same mean outputs; None in time.
    """

    test: Outputs
    train: Outputs
    leverage: Array
    effective: float | None = None


def _above(mean: Array, covariance: Array) -> float:
    """Probability that a Gaussian vector is not positive in all its entries."""
    if mean.size == 1:
        variance = float(covariance[0, 0])
        return float(norm.cdf(-mean[0] / np.sqrt(variance))) if variance > 0 else float(mean[0] <= 0)
    law = multivariate_normal(
        np.zeros(mean.size), covariance, allow_singular=True, seed=np.random.default_rng(_POINTS), abseps=1e-7
    )
    return float(np.clip(1 - law.cdf(mean), 0.0, 1.0))
