"""Learning with a DEQ and with the networks beside it: random features, exact kernels, and whether they are equivalent.

Importing this package imports scikit-learn.
"""

from numerics.learning.features import NetworkFeatures, SolvedFeatures
from numerics.learning.networks import NETWORKS, ReferenceNetwork, network_named
from numerics.learning.ridge import ExactKernelClassifier

__all__ = [
    "NETWORKS",
    "ExactKernelClassifier",
    "NetworkFeatures",
    "ReferenceNetwork",
    "SolvedFeatures",
    "network_named",
]
