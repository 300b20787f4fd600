"""The functions that tasks name, so that a task travels between processes and files as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from numerics.equilibrium import EquilibriumError
from numerics.fixed_point import SpectralLawError
from numerics.kernels import KernelConvergenceError
from numerics.ledger.assumptions import past_the_fold_task
from numerics.ledger.checks import Task
from numerics.ledger.few import few_task
from numerics.ledger.rates import distance_task, width_task
from numerics.ledger.spectra import side_task, transition_task
from numerics.ledger.spectral_witnesses import spectrum_cell
from numerics.ledger.system import equilibrium_task, proof_task, tied_layers_task
from numerics.ledger.witnesses import explicit_witness_cell, witness_cell
from numerics.moments import MomentAccuracyError
from numerics.networks import NonConvergenceError

__all__ = ["TASKS", "run_task"]

TASKS: Mapping[str, Callable[..., dict[str, Any]]] = MappingProxyType(
    {
        "proof": proof_task,
        "equilibrium": equilibrium_task,
        "tied layers": tied_layers_task,
        "witness": witness_cell,
        "explicit witness": explicit_witness_cell,
        "distance": distance_task,
        "width distance": width_task,
        "few": few_task,
        "spectrum": spectrum_cell,
        "transition": transition_task,
        "transition side": side_task,
        "past the fold": past_the_fold_task,
    }
)


def run_task(task: Task) -> dict[str, Any]:
    """Do a task's work; what the theory's assumptions rule out is returned as ``failure``, not raised.

    Raises:
        KeyError: there is no such function.
    """
    function = TASKS[task.function]
    try:
        return function(**task.arguments)
    except (
        EquilibriumError,
        KernelConvergenceError,
        MomentAccuracyError,
        NonConvergenceError,
        SpectralLawError,
    ) as error:
        return {"failure": str(error)}
