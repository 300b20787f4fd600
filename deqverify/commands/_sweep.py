"""The sweep of ``deqverify solve``: coefficients along a line of one parameter, as a table, a picture and JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from deqverify.commands import _budgets, _errors, _figures, _layout, _options, _outputs, _progress

if TYPE_CHECKING:
    import sympy as sp
    from flint import arb

    from numerics.equilibrium import StabilityLoss, SweepLine, SweepPoint
    from theory.activations import Activation

__all__ = [
    "SHOWN_DIGITS",
    "SHOWN_ROWS",
    "axis",
    "budgeted",
    "loss_record",
    "number_or_tied",
    "print_loss",
    "run",
    "shown",
]

_Point = TypeVar("_Point")
#: Digits in the table where --digits does not say more.
SHOWN_DIGITS = 6

_NAMES = ("sigma-a2", "sigma-b2", "tau0")
_SYMBOLS = {"sigma-a2": "σa²", "sigma-b2": "σb²", "tau0": "τ₀"}
_MOST_POINTS = 100_000
#: Rows that are printed at most; the JSON has them all.
SHOWN_ROWS = 60
#: Columns of a table that shows 1000 digits of everything.
_WIDEST = 100_000


def number_or_tied(text: str) -> sp.Expr | None:
    """Read a number; ``tied`` gives None, which stands for 1 - sigma_a^2."""
    return None if text.strip() == "tied" else _options.number(text)


def axis(text: str) -> tuple[str, sp.Expr, sp.Expr, int]:
    """Read NAME=START:STOP:POINTS.

    Raises:
        argparse.ArgumentTypeError: the text is not of that form.
    """
    name, equals, rest = text.partition("=")
    parts = rest.split(":")
    name = name.strip().replace("_", "-")
    if "[" in name:
        # Of a cell, which is not read yet; its numbers are spelled as in its file.
        name = name.replace("-", "_")
    elif name not in _NAMES:
        equals = ""
    if not equals or len(parts) != 3:
        raise argparse.ArgumentTypeError(
            f"must be NAME=START:STOP:POINTS with NAME {', '.join(_NAMES[:-1])} or {_NAMES[-1]}, such as "
            f"sigma-a2=0:1:50, or an entry of --deq, such as sigma_a2[0][1], not {text!r}"
        )
    start, stop = _options.number(parts[0]), _options.number(parts[1])
    if start == stop:
        raise argparse.ArgumentTypeError(f"must start and stop at different numbers, not both at {start}")
    try:
        points = _options.integer_between(2, _MOST_POINTS)(parts[2])
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"POINTS {error}") from None
    return name, start, stop, points


def run(arguments: argparse.Namespace, activation: Activation) -> int:
    """Solve along the line and print the table; write the picture and the JSON that were asked for.

    Raises:
        UsageError: a combination of options that cannot be, or a file that could not be written.
    """
    name, start, stop, count = arguments.sweep
    _figures.prepare_figure("--plot", arguments.plot)
    if name == "sigma-b2" and arguments.sigma_b2 is None:
        raise _errors.UsageError("--sigma-b2 tied and --sweep sigma-b2 exclude each other: give --sigma-b2 a number")

    from numerics.equilibrium import equidistant

    solved = _solved(_deqs(arguments, activation), equidistant(start, stop, count), arguments)
    losses = _losses(activation, arguments) if name == "sigma-a2" else ()
    if arguments.json != "-":
        _print(arguments, activation, solved, losses)
    if arguments.plot:
        _draw(arguments, activation, solved, losses)
    if arguments.json:
        _outputs.write_json(arguments.json, _record(arguments, activation, solved, losses), "solve-sweep")
    return 0


def _deqs(arguments: argparse.Namespace, activation: Activation) -> SweepLine:
    from numerics.equilibrium import SweepLine

    name = arguments.sweep[0].replace("-", "_")
    return SweepLine(activation, name, arguments.sigma_a2, arguments.sigma_b2, arguments.tau0)


def _solved(along: SweepLine, values: Sequence[sp.Expr], arguments: argparse.Namespace) -> list[SweepPoint]:
    from numerics.equilibrium import sweep

    found = sweep(along, values, arguments.digits, certified=arguments.certify)
    return list(_progress.track(budgeted(found, arguments.budget), "solving", total=len(values)))


def budgeted(found: Iterator[_Point], seconds: int) -> Iterator[_Point]:
    """Give each point its processor time.

    Args:
        found: the points.
        seconds: of processor time for each.
    """
    while True:
        with _budgets.budgeted(seconds):
            point = next(found, None)
        if point is None:
            return
        yield point


def _losses(activation: Activation, arguments: argparse.Namespace) -> tuple[StabilityLoss, ...]:
    """Where the equilibrium is lost as sigma_a^2 grows, and where the NTK is."""
    from numerics.budget import stage
    from numerics.equilibrium import locate_ntk_loss, locate_stability_loss
    from theory.equations import DEQ

    with (
        _progress.console(error=True).status("locating the loss of stability"),
        _budgets.budgeted(arguments.budget),
        stage("locating the loss of stability"),
    ):
        deq, tied = DEQ(activation, 0, arguments.sigma_b2, arguments.tau0), arguments.sigma_b2 is None
        return tuple(locate(deq, arguments.digits, tied=tied) for locate in (locate_stability_loss, locate_ntk_loss))


# --------------------------------------------------------------------------------------------------------------------


def _columns(arguments: argparse.Namespace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What tables and pictures show: of the CK, and of the NTK."""
    from theory.kernels import Kernel

    stem = "alpha" if arguments.form == "post" else "lambda"
    return ("tau", *(f"{stem}{k}" for k in (1, 2, 3)), "gamma2"), Kernel.ntk(arguments.ntk).keys


def _record(
    arguments: argparse.Namespace, activation: Activation, solved: Sequence[SweepPoint], losses: Sequence[StabilityLoss]
) -> dict[str, Any]:
    from theory.kernels import COEFFICIENTS

    name, start, stop, count = arguments.sweep
    along = _deqs(arguments, activation)
    rows = []
    for point in solved:
        row: dict[str, Any] = {"value": str(point.value)}
        row |= {key: str(number) for key, number in along.numbers(point.value).items()}
        row |= {"stable": point.stable, "certified": point.certified, "missing": point.missing}
        row |= {key: point.decimals.get(key) for key in COEFFICIENTS}
        row["margins"] = dict(point.margins)
        rows.append(row)
    found: list[dict[str, Any] | None] = [loss_record(loss) for loss in losses]
    equilibrium, tangent = found or [None, None]
    return {
        "status": "ok",
        "activation": activation.name,
        "expression": str(activation.expr),
        "swept": {"name": name.replace("-", "_"), "start": str(start), "stop": str(stop), "points": count},
        "digits": arguments.digits,
        "form": arguments.form,
        "ntk": arguments.ntk,
        "sweep": rows,
        "stability_loss": equilibrium,
        "ntk_loss": tangent,
        **_outputs.provenance(),
    }


def loss_record(loss: StabilityLoss) -> dict[str, Any]:
    """Return where something is lost as plain JSON values."""
    return {
        "kind": loss.kind,
        "sigma_a2": loss.decimal(),
        "tau": _known_digits(loss.tau),
        "certified": loss.certified,
        "explanation": loss.explanation,
    }


def _known_digits(ball: arb | None) -> str | None:
    """The digits of a ball that its radius leaves sure."""
    from numerics.arithmetic import rounded_decimal

    return None if ball is None else rounded_decimal(ball, max(1, int(0.301 * ball.rel_accuracy_bits()) - 1))[0]


def _print(
    arguments: argparse.Namespace, activation: Activation, solved: Sequence[SweepPoint], losses: Sequence[StabilityLoss]
) -> None:
    from rich.text import Text

    console = _progress.console()
    name = arguments.sweep[0]
    others = {
        "sigma-a2": arguments.sigma_a2,
        "sigma-b2": "1 − σa²" if arguments.sigma_b2 is None else arguments.sigma_b2,
        "tau0": arguments.tau0,
    }
    fixed = ", ".join(f"{_SYMBOLS[other]} = {value}" for other, value in others.items() if other != name)
    console.print(Text(f"{activation.name}: φ₀(x) = {activation.expr};  {fixed}"))
    every = max(1, -(-len(solved) // SHOWN_ROWS))
    for keys in _columns(arguments):
        rows = [
            (
                f"{float(point.value):.6g}",
                *(shown(point.decimals.get(key), arguments.shown_digits) for key in keys),
            )
            for point in solved[::every]
        ]
        _layout.show_columns(console, (_SYMBOLS[name], *keys), rows)
    if every > 1:
        console.print(Text(f"every {every}th of {len(solved)} points; --json has them all", "dim"))
    unproved = sum(point.stable and not point.certified for point in solved)
    lost = [point for point in solved if not point.stable]
    untaught = [point for point in solved if point.stable and point.missing]
    for found, what in ((lost, ""), (untaught, " without NTK")):
        if found:
            console.print(Text(f"{len(found)} of {len(solved)} points{what} (-): {found[0].missing}"))
    for loss in losses:
        print_loss(console, loss)
    if unproved:
        console.print(Text(f"{unproved} of {len(solved)} points are computed, not certified{_float_limit(arguments)}"))
    else:
        console.print(Text("every digit is certified by interval arithmetic", "dim"))


def _float_limit(arguments: argparse.Namespace) -> str:
    from numerics.equilibrium import FLOAT_DIGITS

    limited = not arguments.certify and arguments.digits > FLOAT_DIGITS and arguments.shown_digits > SHOWN_DIGITS
    return f"; without --certify there are at most {FLOAT_DIGITS} digits" if limited else ""


def print_loss(console: Any, loss: StabilityLoss) -> None:
    """Say where something is lost."""
    from rich.text import Text

    from numerics.equilibrium import LossKind

    if loss.sigma_a2 is None:
        console.print(Text(loss.explanation))
        return
    proof = "" if loss.certified else " (not certified)"
    what = "loss of the NTK" if loss.kind is LossKind.NTK else "loss of stability"
    console.print(Text(f"{what} at σa² = {loss.decimal()}{proof}: {loss.explanation}"))


def shown(text: str | None, digits: int) -> str:
    """Return a decimal to at most the digits that are shown; more than float64 holds are those of the text."""
    if text is None:
        return "-"
    return f"{float(text):.{digits}g}" if digits <= SHOWN_DIGITS else text


def _draw(
    arguments: argparse.Namespace, activation: Activation, solved: Sequence[SweepPoint], losses: Sequence[StabilityLoss]
) -> None:
    """Every coefficient in axes of its own."""
    from numerics.publish import coefficient_figure, short_name

    swept = arguments.sweep[0].replace("-", "_")
    fixed = {
        "sigma_a2": f"{arguments.sigma_a2}",
        "sigma_b2": r"1 - \sigma_a^2" if arguments.sigma_b2 is None else f"{arguments.sigma_b2}",
        "tau0": f"{arguments.tau0}",
    }
    del fixed[swept]
    ck, ntk = _columns(arguments)
    title = f"{short_name(activation.name)}: CK, and NTK ({arguments.ntk})"
    figure = coefficient_figure(swept, solved, (*ck, *ntk), losses, fixed=fixed, title=title)
    _figures.write_figure(arguments.plot, figure)
