"""The options of commands that draw Gaussian mixtures for one DEQ, and the experiment that they describe."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from deqverify.commands import _errors, _options
from numerics.named import ENTRY_LAWS

if TYPE_CHECKING:
    import argparse

    from numerics.experiments import Experiment

__all__ = ["add_arguments", "experiment", "read"]


def add_arguments(parser: argparse.ArgumentParser, means: str, noise: str, shape: str) -> None:
    """Add --sigma-a2, --sigma-b2, --ratio, --means, --cov-shift, the law of the noise and --weights.

    Args:
        parser: where to.
        means: default of --means.
        noise: the option of the noise's law, without its dashes.
        shape: what the covariances are but for their shift, in letters.
    """
    _options.add_weights(parser)
    parser.add_argument("--ratio", type=_options.number, default="4/5", help="n/p")
    parser.add_argument("--means", type=_options.number, default=means, help="norm of the class means")
    parser.add_argument("--cov-shift", type=_options.number, default="8", help=f"C_a = (1 + shift a/sqrt p) {shape}")
    parser.add_argument(f"--{noise}", choices=ENTRY_LAWS, default="gaussian", dest="noise", help="law of the noise")
    parser.add_argument("--weights", choices=ENTRY_LAWS, help="law of the networks' weights (default gaussian)")


def read(arguments: argparse.Namespace) -> None:
    """Make the numbers floats, and refuse those that describe no experiment.

    Raises:
        UsageError: a number out of range.
    """
    if arguments.sigma_b2 is None:
        arguments.sigma_b2 = 1 - arguments.sigma_a2
        if not arguments.sigma_b2 > 0:
            raise _errors.UsageError(
                f"--sigma-a2 {arguments.sigma_a2} leaves no 1 - sigma_a2 > 0: give --sigma-b2 as well"
            )
    for name in ("sigma_a2", "sigma_b2", "ratio", "means", "cov_shift"):
        setattr(arguments, name, float(getattr(arguments, name)))
    for option, value in (("--means", arguments.means), ("--cov-shift", arguments.cov_shift)):
        _options.nonnegative(option, value)
    if not (math.isfinite(arguments.ratio) and arguments.ratio > 0):
        raise _errors.UsageError(f"--ratio must be a finite number > 0, not {arguments.ratio:g}")


def experiment(arguments: argparse.Namespace, dimensions: Iterable[int], **others: Any) -> Experiment:
    """Return the experiment of arguments that were read.

    Args:
        arguments: of the command.
        dimensions: every p at which data are drawn.
        others: more fields of the ``Experiment``.

    Raises:
        UsageError: there are no such data in one of the dimensions.
    """
    from numerics.experiments import Experiment

    shared = ("sigma_a2", "sigma_b2", "ratio", "means", "cov_shift", "seed", "noise")
    found = Experiment(activations=(), **{name: getattr(arguments, name) for name in shared}, **others)
    for p in dimensions:
        try:
            found.mixture(p)
        except ValueError as error:
            raise _errors.UsageError(f"no data for p = {p}: {error}") from error
    return found
