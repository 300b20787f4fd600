"""The experiments of the released code StephenLi24/INN_eqvi_ENN, as they were released and as they should be."""

from numerics.released.designs import PAIRS, ReleasedDesign, ReleasedPair, released_design, released_difference
from numerics.released.experiments import (
    EXPERIMENTS,
    SCALES,
    Mean,
    ReleasedExperiment,
    Row,
    Scale,
    measure_cell,
    summarise,
)
from numerics.released.formulas import released_image_statistics, released_mixture_statistics
from numerics.released.main_networks import MainNetworks, main_networks, shadowed_scale

__all__ = [
    "EXPERIMENTS",
    "PAIRS",
    "SCALES",
    "MainNetworks",
    "Mean",
    "ReleasedDesign",
    "ReleasedExperiment",
    "ReleasedPair",
    "Row",
    "Scale",
    "main_networks",
    "measure_cell",
    "released_design",
    "released_difference",
    "released_image_statistics",
    "released_mixture_statistics",
    "shadowed_scale",
    "summarise",
]
