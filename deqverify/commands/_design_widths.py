"""What `design --width` adds: the widths at which the network has nearly the spectrum of a DEQ of finite width."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from deqverify.commands import _errors, _options, _processes
from theory.named import MatchStatus

if TYPE_CHECKING:
    from numerics.matching import Design
    from theory.equations import DEQ

__all__ = ["add_arguments", "refuse_what_widths_exclude", "sentences", "widths_record"]

_MOST = 10_000_000
#: Kolmogorov distance in per cent that --within asks for where it is not given.
_WITHIN = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --width, --p and --within."""
    parser.add_argument(
        "--width",
        type=_options.integer_between(1, _MOST),
        metavar="M",
        help="of a DEQ on --samples N samples of isotropic data: the widths at which the network's CK has nearly its "
        "spectrum are looked for",
    )
    parser.add_argument(
        "--p", type=_options.integer_between(2, _MOST), help="dimension of these samples (default 5 N/4)"
    )
    parser.add_argument(
        "--within",
        type=_percent,
        metavar="PERCENT",
        help=f"Kolmogorov distance of the spectra for which a width is asked (default {_WITHIN:g})",
    )


def _percent(text: str) -> float:
    value = float(_options.number(text))
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 100, got {text}")
    return value


def refuse_what_widths_exclude(arguments: argparse.Namespace) -> None:
    """Refuse options that say otherwise than --width, or that need it.

    Raises:
        UsageError: data, a kernel whose law is not known, no number of samples, or --p or --within alone.
    """
    if arguments.width is None:
        for name in ("p", "within"):
            if getattr(arguments, name) is not None:
                raise _errors.UsageError(f"--{name} is of finite widths: give it with --width")
        return
    for name in ("data", "classes", "normalise", "seed"):
        if getattr(arguments, name):
            raise _errors.UsageError(f"--width takes isotropic samples of no classes: leave out --{name}")
    if arguments.kernel != "ck":
        raise _errors.UsageError(f"--width knows the law of the CK only, not of {arguments.kernel}: leave out --kernel")
    if arguments.samples is None:
        raise _errors.UsageError("--width needs the number of samples: give --samples N")


def widths_record(arguments: argparse.Namespace, deq: DEQ, outcome: Design) -> dict[str, Any] | None:
    """What was found, as plain JSON values; None without --width, or where no network matches.

    Raises:
        UsageError: a DEQ or a network whose law is not known.
        UndecidedError: a law was not found to the accuracy asked for.
    """
    if arguments.width is None or outcome.status is not MatchStatus.EXACT:
        return None
    from numerics.equilibrium import solve_float
    from numerics.spectrum import Population, SpectralLawError, deq_width_law, match_widths
    from theory.equations import EquilibriumError

    samples = arguments.samples
    p = arguments.p or max(2, round(1.25 * samples))
    within = _WITHIN if arguments.within is None else arguments.within
    population = Population.isotropic([float(deq.tau0) ** 2], [[0.0]], [samples], p)
    try:
        with _processes.one_blas_thread():
            law = deq_width_law(population, deq, solve_float(deq).checked(), arguments.width)
            found = match_widths(law, outcome.network.layer_kernels(), arguments.width, within / 100)
    except (EquilibriumError, ValueError) as error:
        raise _errors.UsageError(str(error)) from error
    except SpectralLawError as error:
        raise _errors.UndecidedError(f"the law of some width was not found: {error}") from error
    return {
        "width": arguments.width,
        "samples": samples,
        "p": p,
        "widths": list(found.widths),
        "distance": found.distance,
        "at_equal_width": found.at_equal_width,
        "equal_second_moment": found.second_moment,
        "within": within / 100,
        "range": None if found.range is None else list(found.range),
        "proved": False,
    }


def sentences(record: dict[str, Any]) -> list[str]:
    """Return what was found in words, a line each."""
    widths = " and ".join(map(str, record["widths"]))
    within = f"{100 * record['within']:g} %"
    if record["range"]:
        low, high = record["range"]
        upwards = "neurons on" if high is None else f"to {high} neurons"
        asked = f"with the same width in all layers, from {low} {upwards} are within {within}"
    else:
        asked = f"no width, the same in all layers, was found within {within}"
    return [
        f"nearest in spectrum to the DEQ of {record['width']} neurons on {record['samples']} samples, of the widths "
        f"that were tried: {widths} neurons, at a Kolmogorov distance of {record['distance']:.2g}",
        f"{asked}; at equal width it is {record['at_equal_width']:.2g}",
        "by the laws of finite width, that of the DEQ being a conjecture; that nothing is nearer is not proved",
    ]
