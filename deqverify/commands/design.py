"""Design an explicit network whose kernel has the same high-dimensional equivalent as a DEQ's.

The answer is proved either way: `exact` means that the parameters printed lie within a proved radius of a network that
matches, `infeasible` that no network of the family does, with a lower bound of how far every one of them is off.
Without --family, a family that can match is chosen.  An NTK depends on how the network is trained: all weights at one
learning rate, or, where that does not match, each weight matrix at its own.  `infeasible` is an answer: the exit code
is 0.
With --width and --samples the widths are looked for at which the network's CK has nearly the spectrum of a DEQ of that
width; these are the nearest found, not proved.
With --data all families that match are compared on a data set, and the one whose exact kernel is nearest is chosen;
beside them stand networks that need no design.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Sequence
from dataclasses import asdict
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING, Any

from deqverify.commands import (
    _budgets,
    _cells,
    _data_options,
    _design_data,
    _design_widths,
    _errors,
    _families,
    _networks,
    _options,
    _outputs,
    _processes,
    _progress,
)
from numerics.named import CODE_FORMATS
from theory.named import MatchStatus, RateChoice

if TYPE_CHECKING:
    from flint import arb

    from numerics.matching import Design, Threshold
    from theory.equations import DEQ, CoupledDEQ

__all__ = ["main", "parser"]

_EXAMPLES = """\
  deqverify design --activation relu --sigma-a2 0.2 --family leaky_relu --layers 2 --kernel ck --json -
  deqverify design --activation tanh --digits 50
  deqverify design --activation elu --emit numpy --output network.py
  deqverify design --activation swish --kernel ntk-all
  deqverify design --activation relu --kernel ntk-recurrent --rates per-layer --emit torch
  deqverify design --deq cell.toml
  deqverify design --activation tanh --sigma-a2 0.8 --data fashion-mnist
  deqverify design --activation relu --sigma-a2 0.8 --width 2000 --samples 320
  deqverify design --activation tanh --family "s*x + u*erf(x)" --box s_1=0:2 --box u_1=-2:2
"""
#: Part of the processor time left that the threshold may take.
_THRESHOLD_SHARE = 0.8
_VERDICTS = "\n".join(f"  {each:12} {each.sentence}" for each in (MatchStatus.EXACT, MatchStatus.INFEASIBLE))
_GAUGE = "multiply layer 1 by k > 0 and divide the input of layer 2 by k: no kernel changes"
_DEEP_GAUGE = "multiply a layer by k > 0 and divide the input of the next one by k: no kernel changes"
_RATE_GAUGE = "multiply the last layer by k and divide every learning rate by k^2: no NTK changes"
_SIGNS = "phi -> -phi in any layer, and x -> -x at the input, change no kernel either"

#: What --emit writes; LaTeX as in the export, fitted to lines of that many hundredths of a point.
_LATEX, _LATEX_WIDTH = "latex", 39_000
_FORMATS = (*CODE_FORMATS, _LATEX)


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, design, print."""
    options = parser()
    arguments, given = options.parse_args(argv), options.given(argv)
    _check_deq(options, arguments, given)
    _check_outputs(arguments)
    _design_widths.refuse_what_widths_exclude(arguments)
    if arguments.width is None:
        _data_options.refuse_without_data(arguments, "classes", "seed")
    with _budgets.budgeted(arguments.budget):
        return _design(arguments, given)


def parser() -> _options.Parser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES, _VERDICTS, activations=True)
    parser.add_argument("--activation", help="a registered name, or an expression in x")
    _options.add_parameter(parser)
    _options.add_weights(parser)
    _options.add_tau0(parser)
    _cells.add_deq(parser)
    _families.add_arguments(parser)
    _options.add_kernel(parser, "kernel to match")
    parser.add_argument(
        "--rates",
        choices=[*RateChoice],
        help="how an NTK's network is trained: all weights at one learning rate, or each weight matrix at its own "
        "(default: one where that matches, else per-layer)",
    )
    parser.add_argument(
        "--digits", type=_options.integer_between(1, 300), default=15, help="significant digits (default 15)"
    )
    _data_options.add_arguments(parser, default=f"all up to {_design_data.SAMPLES}, else as many of whatever class")
    _design_widths.add_arguments(parser)
    parser.add_argument(
        "--seed",
        type=_options.integer_between(0, 2**63),
        default=0,
        help="seed of what is drawn of the data (default 0)",
    )
    _budgets.add_budget(parser)
    parser.add_argument("--json", metavar="PATH", help="write JSON to a file, or to standard output for -")
    parser.add_argument("--emit", choices=_FORMATS, help="write the network's text")
    parser.add_argument("--output", metavar="PATH", help="where --emit writes (standard output by default)")
    return parser


def _design(arguments: argparse.Namespace, given: Container[str]) -> int:
    """Design one network, print; some options are not left to their defaults."""
    own = _families.own_families(arguments)
    named = None if own is not None or not arguments.family else arguments.family[0]

    from numerics.budget import stage
    from numerics.matching import DesignError, UndecidedDesignError, design
    from numerics.moments import UncertifiedError
    from theory.equations import CoupledDEQ

    deq = _deq(arguments)
    only = deq.deq if isinstance(deq, CoupledDEQ) else deq
    if arguments.data is not None and only is not None:
        _design_data.refuse_what_data_decide(arguments, given, own=own is not None, latex=_LATEX)
        return _design_data.design_on_data(arguments, only, own)
    sys.stderr.write("designing ...\n")
    try:
        with _processes.one_blas_thread(), stage("looking for the network, with proof"):
            outcome = design(
                deq, kernel=arguments.kernel, family=named, own=own,
                layers=None if own is not None else arguments.layers, rates=arguments.rates, digits=arguments.digits,
            )  # fmt: skip
    except (UndecidedDesignError, UncertifiedError) as error:
        raise _errors.UndecidedError(str(error)) from error
    except DesignError as error:
        raise _errors.UsageError(str(error)) from error
    threshold = None if only is None else _threshold(outcome, only, arguments)
    if arguments.width is not None and only is not None:
        with stage("looking for the widths"):
            widths = _design_widths.widths_record(arguments, only, outcome)
    else:
        widths = None
    record = _record(outcome, threshold, widths)
    if arguments.emit:
        _write_network(arguments, outcome, record)
    elif arguments.json != "-":
        _print(outcome, record)
    if arguments.json:
        _outputs.write_json(arguments.json, record, "design" if only is not None else "design-states")
    return 0


def _deq(arguments: argparse.Namespace) -> DEQ | CoupledDEQ:
    """The DEQ of the options, or of --deq."""
    from theory.equations import DEQ

    if arguments.deq is not None:
        return _cells.read_cell(arguments.deq)
    activation = _options.activation_argument(arguments.activation, dict(arguments.parameter))
    if arguments.sigma_b2 is None and not arguments.sigma_a2 < 1:
        raise _errors.UsageError(
            f"--sigma-a2 {arguments.sigma_a2}: sigma_b2 = 1 - sigma_a2 would not be positive; give a sigma-a2 below 1, "
            "or --sigma-b2 as well"
        )
    return DEQ(activation, arguments.sigma_a2, arguments.sigma_b2, arguments.tau0)


def _threshold(outcome: Design, deq: DEQ, arguments: argparse.Namespace) -> Threshold | None:
    """Where the family stops matching as sigma_a^2 grows, as far as there is time to locate it."""
    from numerics.budget import OverBudgetError, share, stage
    from numerics.matching import ThresholdError, locate_threshold

    try:
        with (
            _processes.one_blas_thread(),
            share(_THRESHOLD_SHARE, interrupt=True),
            stage("locating where the family stops matching"),
        ):
            return locate_threshold(
                deq, family=outcome.family, kernel=outcome.kernel, layers=len(outcome.network.layers),
                tied=arguments.deq is None and arguments.sigma_b2 is None, digits=arguments.digits,
            )  # fmt: skip
    except (ThresholdError, OverBudgetError) as error:
        sys.stderr.write(f"no threshold is shown: {error}\n")
        return None


def _check_deq(options: _options.Parser, arguments: argparse.Namespace, given: frozenset[str]) -> None:
    """What describes the DEQ is given once."""
    if arguments.deq is None and arguments.activation is None:
        options.error("the following arguments are required: --activation, or --deq with a file")
    described = {"activation", "parameter", "sigma_a2", "sigma_b2", "tau0"} & given
    if arguments.deq is not None and described:
        options.error(f"--deq describes the DEQ, and so does {_cells.spelled(described)}: give one of them")
    alone = {"data", "width"} & given
    if arguments.deq is not None and alone:
        options.error(f"{_cells.spelled(alone)} is for one centred state without a bias: leave it or --deq out")


def _check_outputs(arguments: Any) -> None:
    if arguments.output is not None and not arguments.emit:
        raise _errors.UsageError(f"--output {arguments.output} needs --emit, one of {', '.join(_FORMATS)}")
    if arguments.emit and arguments.output in (None, "-") and arguments.json == "-":
        raise _errors.UsageError(
            "--emit and --json - would both write to standard output; give --output a file for one"
        )


def _rounded(bound: arb, direction: str) -> str:
    """Three digits of an exact number, rounded so that it remains a bound."""
    from numerics.arithmetic import exact_bounds

    value, _ = exact_bounds(bound)
    context = Context(prec=3, rounding=direction)
    return str(context.divide(Decimal(value.numerator), Decimal(value.denominator)))


def _gauge(outcome: Design) -> dict[str, Any]:
    layers = outcome.network.layers
    rates = {"rates": _RATE_GAUGE} if outcome.training else {}
    if len(layers) < 2:
        return {"freedom": None, "signs": _SIGNS} | rates
    if len(layers) > 2:
        return {"freedom": _DEEP_GAUGE, "fixed_by": "E[phi']^2 = 1 in all layers but the last", "signs": _SIGNS} | rates
    scalings = [layer.family.scaling for layer in layers]
    exponents = []
    for scaling, side in zip(scalings, ("output", "input"), strict=True):
        exponents.append(None if scaling is None else dict(getattr(scaling, side)))
    slope2 = outcome.network.ball_reports(outcome.digits)[0].coefficients["a1"]
    fixed_by = "E[phi_1']^2 = 1" if slope2.overlaps(1) else "the parameters of layer 1 as they are shown"
    return {"freedom": _GAUGE, "exponents_of_k": exponents, "fixed_by": fixed_by, "signs": _SIGNS} | rates


def _conditions(outcome: Design) -> list[str]:
    """What any target of such networks has to satisfy, in k_1, k_2, k_3, k_0 and tau_0."""
    from theory.matching import necessary_conditions

    conditions = necessary_conditions(
        outcome.kernel, len(outcome.network.layers), outcome.family, per_layer=bool(outcome.network.rates)
    )
    return [str(condition) for condition in conditions]


def _training(outcome: Design) -> dict[str, Any] | None:
    """Which weights are trained at which rates, of the network shown and of every branch; None for the CK."""
    if not outcome.training:
        return None
    return {
        "weights": _networks.weights_record(outcome.network, outcome.digits),
        "branches": [_networks.weights_record(network, outcome.digits) for network in outcome.branches],
        "one_rate": not outcome.network.rates,
        "why_not_one_rate": outcome.one_rate or None,
    }


def _record(outcome: Design, threshold: Threshold | None, widths: dict[str, Any] | None) -> dict[str, Any]:
    from numerics.arithmetic import radius_text, rounded_decimal

    exact, digits = outcome.status is MatchStatus.EXACT, outcome.digits
    shown = _networks.layers_record(outcome.network, digits)
    return {
        "status": outcome.status,
        **_described(outcome),
        "tau0": str(outcome.target.tau0),
        "kernel": outcome.kernel,
        "family": outcome.family,
        "choice": outcome.choice or None,
        "reason": outcome.reason,
        "digits": digits,
        "target": {
            name: rounded_decimal(ball, digits)[0]
            for name, ball in zip(("k1", "k2", "k3", "diagonal"), outcome.target.coefficients, strict=True)
        },
        "layers": shown if exact else [],
        "closest": None if exact else shown,
        "gauge": _gauge(outcome),
        "conditions": _conditions(outcome),
        "branches": [_networks.layers_record(network, digits) for network in outcome.branches],
        "training": _training(outcome),
        "residual": _rounded(outcome.residual, ROUND_CEILING),
        "residual_bound": _rounded(outcome.residual_bound, ROUND_FLOOR),
        "certified": True,
        "universal": outcome.universal,
        "threshold": None
        if threshold is None
        else {
            "sigma_a2": rounded_decimal(threshold.sigma_a2, digits)[0],
            "radius": radius_text(threshold.sigma_a2),
            "path": threshold.path,
            "matches_below": threshold.works_below,
        },
        "cost": None if outcome.cost is None else asdict(outcome.cost),
        "finite_width": widths,
    } | _outputs.provenance()


def _described(outcome: Design) -> dict[str, Any]:
    """The DEQ but for its tau_0."""
    from numerics.equilibrium import CertifiedStates

    if isinstance(outcome.solution, CertifiedStates):
        return _cells.description(outcome.solution.cell)
    deq = outcome.solution.deq
    record = {"activation": deq.activation.name, "expression": str(deq.activation.expr)}
    return record | {"sigma_a2": str(deq.sigma_a2), "sigma_b2": str(deq.sigma_b2)}


def _title(outcome: Design) -> str:
    from numerics.equilibrium import CertifiedStates

    what = "Has" if outcome.status is MatchStatus.EXACT else "Is near"
    if isinstance(outcome.solution, CertifiedStates):
        cell = outcome.solution.cell
        names = ", ".join(state.activation.name for state in cell.states)
        return f"{what} the kernel ck of state {cell.readout} of the cell of {names} at tau_0 = {cell.tau0}."
    deq = outcome.solution.deq
    return (
        f"{what} the kernel {outcome.kernel} of the DEQ with phi(x) = {deq.activation.expr}, "
        f"sigma_a^2 = {deq.sigma_a2}, sigma_b^2 = {deq.sigma_b2}, tau_0 = {deq.tau0}."
    )


def _write_network(arguments: Any, outcome: Design, record: dict[str, Any]) -> None:
    from flint import ctx

    from numerics.arithmetic import constant_ball, rounded_decimal

    if outcome.status is not MatchStatus.EXACT:
        sys.stderr.write("no network of this family matches: what is written is the closest one found\n")
    with ctx.workdps(outcome.digits + 10):
        tau0 = rounded_decimal(constant_ball(outcome.target.tau0), outcome.digits)[0]
    if arguments.emit == _LATEX:
        from numerics.publish.paper import network_latex

        text = f"% {_title(outcome)}\n{network_latex(outcome, _LATEX_WIDTH)}\n"
    else:
        from numerics.publish import emit_network

        own = {layer.family.name: layer.family.activation.expr for layer in outcome.network.layers}
        layers = record["layers"] or record["closest"]
        training = record["training"]
        rates = None if training is None else [each["rate"] for each in training["weights"]]
        text = emit_network(arguments.emit, layers, tau0, _title(outcome), kernel=outcome.kernel, own=own, rates=rates)
    _outputs.write_text(arguments.output or "-", text)


def _print(outcome: Design, record: dict[str, Any]) -> None:
    from rich.text import Text

    console = _progress.console()
    console.print(Text(_title(outcome)))
    console.print(Text(f"{record['status']}: {outcome.reason}"))
    if outcome.choice:
        console.print(Text(f"family {outcome.family}: {outcome.choice}", "dim"))
    training = record["training"]
    if outcome.one_rate:
        console.print(Text(f"at one learning rate for all weights {outcome.one_rate}", "dim"))
    exact = outcome.status is MatchStatus.EXACT
    shown = record["branches"] if exact else [record["closest"]]
    rates = [] if training is None else training["branches"] if exact else [training["weights"]]
    for number, layers in enumerate(shown, 1):
        heading = (
            f"solution {number} of {len(shown)}" if outcome.status is MatchStatus.EXACT else "the closest network found"
        )
        console.print(Text(heading))
        for place, layer in enumerate(layers, 1):
            values = ", ".join(f"{name} = {value}" for name, value in layer["parameters"].items())
            bias = f"; minus {layer['bias']}" if layer["bias"].strip("-0.") else ""
            # In one line, so that it can be copied.
            console.print(Text(f"  layer {place}: {layer['family']}, {values}{bias}"), soft_wrap=True)
        if training is not None and not training["one_rate"]:
            console.print(Text(f"  {_networks.rates_line(rates[number - 1])}"), soft_wrap=True)
    if training is not None and training["one_rate"]:
        console.print(Text(outcome.training))
    if outcome.status is MatchStatus.EXACT:
        console.print(Text(f"proved; the kernel's numbers agree within {record['residual']}", "dim"))
    else:
        console.print(
            Text(f"its largest difference is {record['residual']}; every network's is above {record['residual_bound']}")
        )
    if outcome.universal:
        trained = ", all weights at one learning rate," if training is not None else ""
        console.print(Text(f"no network with one or two hidden layers{trained} matches, whatever its activations"))
    if record["threshold"]:
        found = record["threshold"]
        side = "below" if found["matches_below"] else "above"
        console.print(Text(f"the family matches {side} sigma_a^2 = {found['sigma_a2']} (with {found['path']})"))
    if record["cost"]:
        cost = record["cost"]
        console.print(
            Text(
                f"a forward pass to {cost['accuracy']:g}: {cost['deq_products']} products with an m x m matrix for the "
                f"DEQ, {cost['explicit_products']} for the explicit network",
                "dim",
            )
        )
    if record["finite_width"]:
        for line in _design_widths.sentences(record["finite_width"]):
            console.print(Text(line))
