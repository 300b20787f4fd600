"""What `design --data` does: among the networks that match, the one whose kernel is nearest on a data set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container
from typing import TYPE_CHECKING, Any

from deqverify.commands import _data_options, _errors, _layout, _networks, _outputs, _processes, _progress
from numerics.named import CODE_FORMATS

if TYPE_CHECKING:
    from numerics.data import Dataset
    from numerics.matching import DataDesign, FamilyBox, KernelFit
    from theory.equations import DEQ

__all__ = ["SAMPLES", "design_on_data", "refuse_what_data_decide"]

#: Samples whose pairs are compared at most, where --samples does not say how many.
SAMPLES = 400
#: n x n arrays at a time, measured: S, the DEQ's kernel, those of a network's layers, and what their entries take.
_SQUARES = 12
Records = list[dict[str, Any]]
_HEADINGS = ("network", "Frobenius error", "operator norm error")


def refuse_what_data_decide(arguments: argparse.Namespace, given: Container[str], *, own: bool, latex: str) -> None:
    """Refuse options that say otherwise than --data.

    Args:
        arguments: of the command.
        given: names of the options that are not left to their defaults.
        own: whether families of one's own are given.
        latex: the format that is not written with --data.

    Raises:
        UsageError: a named family, an input scale, LaTeX, or too many samples.
    """
    from numerics.matching import LARGEST_ON_DATA

    if arguments.family and not own:
        raise _errors.UsageError("--data tries all named families: leave out --family, or give one of your own")
    if arguments.rates:
        raise _errors.UsageError(
            "--data tries networks at one learning rate and at a rate per layer: leave out --rates"
        )
    if "tau0" in given:
        raise _errors.UsageError("--data are scaled to tau_0 = 1: leave out --tau0")
    if arguments.emit == latex:
        raise _errors.UsageError(f"--emit {latex} takes no --data; {', '.join(CODE_FORMATS)} are accepted with them")
    if arguments.samples is not None and arguments.samples > LARGEST_ON_DATA:
        raise _errors.UsageError(f"--samples {arguments.samples}: up to {LARGEST_ON_DATA} are compared pair by pair")


def design_on_data(
    arguments: argparse.Namespace,
    deq: DEQ,
    own: FamilyBox | None,
) -> int:
    """Choose the network, print the table, write files.

    Args:
        arguments: of the command.
        deq: the model, with tau_0 = 1.
        own: families of one's own, tried as well.

    Raises:
        UsageError: data that cannot be had or used so, or no network that matches.
        UndecidedError: the processor time was spent before one network was compared.
        NotEnoughMemoryError: more samples than this machine's memory has room for.
    """
    import numpy as np

    from numerics.budget import OverBudgetError
    from numerics.matching import LARGEST_ON_DATA, DesignError, design_for_data
    from numerics.memory import check_memory

    rng = np.random.default_rng(arguments.seed)
    data = _data_options.read(arguments, rng, most=LARGEST_ON_DATA, unasked=SAMPLES)
    assert data is not None  # noqa: S101
    check_memory(data.n, data.p, squares=_SQUARES)
    sys.stderr.write(f"designing, for the pairs of {data.n} samples ...\n")
    try:
        with _processes.one_blas_thread():
            found = design_for_data(deq, data.gram(), kernel=arguments.kernel, own=own, digits=arguments.digits)
    except OverBudgetError as error:
        raise _errors.UndecidedError(f"{error}; fewer --samples, or a larger --budget, may be decided") from error
    except (DesignError, ValueError) as error:
        raise _errors.UsageError(str(error)) from error
    shown = _networks.layers_record(found.network, arguments.digits)
    weights = _networks.weights_record(found.network, arguments.digits) if found.kernel.is_tangent else None
    if arguments.emit:
        _emit(arguments, found, shown, weights)
    elif arguments.json != "-":
        _print(found, data, shown, weights)
    if arguments.json:
        record = _record(found, data, shown, weights) | _outputs.provenance(arguments.seed)
        _outputs.write_json(arguments.json, record, "design-data")
    return 0


def _emit(arguments: argparse.Namespace, found: DataDesign, shown: Records, weights: Records | None) -> None:
    from numerics.publish import emit_network

    sys.stderr.write(f"{found.sentence}\n")
    own = {layer.family.name: layer.family.activation.expr for layer in found.network.layers}
    rates = None if weights is None else [each["rate"] for each in weights]
    text = emit_network(arguments.emit, shown, "1", _title(found), kernel=found.kernel, own=own, rates=rates)
    _outputs.write_text(arguments.output or "-", text)


def _title(found: DataDesign) -> str:
    deq = found.deq
    return (
        f"Has the kernel {found.kernel} of the DEQ with phi(x) = {deq.activation.expr}, "
        f"sigma_a^2 = {deq.sigma_a2}, sigma_b^2 = {deq.sigma_b2}, tau_0 = 1."
    )


def _print(found: DataDesign, data: Dataset, shown: Records, weights: Records | None) -> None:
    from rich.text import Text

    console = _progress.console()
    _layout.show_text(console, f"{data}")
    _layout.show_text(console, found.sentence)
    _layout.show_columns(console, _HEADINGS, found.rows(), left=(0,))
    for name, reason in found.left_out:
        _layout.show_text(console, f"no {name}: {reason}", "dim")
    for place, layer in enumerate(shown, 1):
        values = ", ".join(f"{name} = {value}" for name, value in layer["parameters"].items())
        bias = f"; minus {layer['bias']}" if layer["bias"].strip("-0.") else ""
        # In one line, so that it can be copied.
        console.print(Text(f"layer {place}: {layer['family']}, {values}{bias}"), soft_wrap=True)
    if weights is not None:
        console.print(Text(_networks.rates_line(weights)), soft_wrap=True)


def _record(found: DataDesign, data: Dataset, shown: Records, weights: Records | None) -> dict[str, Any]:
    deq = found.deq

    def rows(fits: tuple[KernelFit, ...]) -> list[dict[str, Any]]:
        return [
            {"network": fit.name, "frobenius": fit.frobenius, "operator": fit.operator, "scalar": fit.scalar}
            for fit in fits
        ]

    return {
        "activation": deq.activation.name,
        "expression": str(deq.activation.expr),
        "sigma_a2": str(deq.sigma_a2),
        "sigma_b2": str(deq.sigma_b2),
        "tau0": str(deq.tau0),
        "kernel": found.kernel,
        "data": data.name,
        "classes": list(data.classes),
        "samples": data.n,
        "dimension": data.p,
        "preprocessing": list(data.preprocessing),
        "chosen": found.chosen.name,
        "advice": found.sentence,
        "layers": shown,
        "weights": weights,
        "matched": rows(found.fits),
        "rivals": rows(found.rivals),
        "left_out": [{"network": name, "reason": reason} for name, reason in found.left_out],
    }
