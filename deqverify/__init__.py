"""The front door: the names that tasks start from.

``import deqverify as dv`` is quick: a name is imported when it is first used.  ``docs/library.md`` shows each at work.

Example:
    >>> import deqverify as dv
    >>> solution = dv.certify(dv.DEQ("tanh", sigma_a2="1/5"), digits=20)
    >>> solution.decimal("alpha1")
    '0.34498763265979871208'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deqverify.api import certify, check, converge, equilibria, kernels, latex, learn, match, spectrum
    from deqverify.mixtures import Mixture
    from numerics.data import Dataset, load_dataset
    from numerics.equilibrium import certify_states
    from theory.claims import CLAIMS
    from theory.equations import DEQ, CoupledDEQ, State
    from theory.kernels import Kernel

    __version__: str

__all__ = [
    "CLAIMS",
    "DEQ",
    "CoupledDEQ",
    "Dataset",
    "Kernel",
    "Mixture",
    "State",
    "__version__",
    "certify",
    "certify_states",
    "check",
    "converge",
    "equilibria",
    "kernels",
    "latex",
    "learn",
    "load_dataset",
    "match",
    "spectrum",
]

#: Where a name that is not of ``deqverify.api`` lives.
_HOMES = {
    "CLAIMS": "theory.claims",
    "CoupledDEQ": "theory.equations",
    "DEQ": "theory.equations",
    "Dataset": "numerics.data",
    "Kernel": "theory.kernels",
    "Mixture": "deqverify.mixtures",
    "State": "theory.equations",
    "certify_states": "numerics.equilibrium",
    "load_dataset": "numerics.data",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'deqverify' has no attribute {name!r}: it offers {', '.join(__all__)}")
    found = _version() if name == "__version__" else getattr(import_module(_HOMES.get(name, "deqverify.api")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return list(__all__)


def _version() -> str:
    """Of the installed package; a checkout that was never installed has none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("deqverify")
    except PackageNotFoundError:
        return "unknown"
