"""Learning with a DEQ and with the networks beside it: random features, exact kernels, and whether they are equivalent.

Importing this package imports scikit-learn.
"""

from numerics.learning.equivalence import (
    DISAGREEMENT,
    LEVEL,
    MARGIN,
    EquivalenceTest,
    EquivalenceVerdict,
    compare_draws,
    compare_predictions,
    judge_equivalence,
)
from numerics.learning.features import NetworkFeatures, SolvedFeatures
from numerics.learning.networks import NETWORKS, ReferenceNetwork, network_named
from numerics.learning.ridge import ExactKernelClassifier
from numerics.learning.study import FeatureStudy, KernelStudy, study_features, study_kernels

__all__ = [
    "DISAGREEMENT",
    "LEVEL",
    "MARGIN",
    "NETWORKS",
    "EquivalenceTest",
    "EquivalenceVerdict",
    "ExactKernelClassifier",
    "FeatureStudy",
    "KernelStudy",
    "NetworkFeatures",
    "ReferenceNetwork",
    "SolvedFeatures",
    "compare_draws",
    "compare_predictions",
    "judge_equivalence",
    "network_named",
    "study_features",
    "study_kernels",
]
