"""The sweep of ``deqverify solve --deq``: a cell's numbers along a line of one of its entries, as tables and JSON."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deqverify.commands import _budgets, _cells, _errors, _layout, _outputs, _progress, _sweep

if TYPE_CHECKING:
    from numerics.equilibrium import CellPoint, StabilityLoss
    from theory.equations import CoupledDEQ

__all__ = ["run"]

#: Columns of a state, those of section 3 where its correlations vanish at every point.
_CENTRED = (("tau", "alpha1", "alpha2", "alpha3", "gamma2"),)
_GENERAL = (("tau", "q", "g0", "gS", "diagonal"), ("gd", "gdd", "gSS", "ge"))


def run(cell: CoupledDEQ, arguments: argparse.Namespace) -> int:
    """Solve along the line, print the tables and write the JSON that was asked for; the exit code.

    Args:
        cell: the cell.
        arguments: of solve: ``sweep``, ``digits``, ``shown_digits``, ``certify``, ``budget`` and ``json``.

    Raises:
        UsageError: no entry of that name, or a file that could not be written.
    """
    from numerics.equilibrium import equidistant, sweep_cell
    from theory.equations import CoupledDEQError

    name, start, stop, count = arguments.sweep
    try:
        cell.number(name)
    except CoupledDEQError as error:
        raise _errors.UsageError(f"--sweep: {error}") from None
    points = sweep_cell(cell, name, equidistant(start, stop, count), arguments.digits, certified=arguments.certify)
    solved = list(_progress.track(_sweep.budgeted(points, arguments.budget), "solving", total=count))
    loss = _loss(cell, arguments)
    if arguments.json != "-":
        _print(cell, arguments, solved)
        if loss is not None:
            _sweep.print_loss(_progress.console(), loss)
    if arguments.json:
        _outputs.write_json(arguments.json, _record(cell, arguments, solved, loss), "solve-states-sweep")
    return 0


def _loss(cell: CoupledDEQ, arguments: argparse.Namespace) -> StabilityLoss | None:
    """Where the slope at correlation 1 reaches 1 as sigma_a^2 of one state grows; None for other sweeps."""
    from numerics.budget import stage
    from numerics.equilibrium import locate_slope_loss

    if len(cell.states) > 1 or not arguments.sweep[0].startswith("sigma_a2"):
        return None
    with _budgets.budgeted(arguments.budget), stage("locating the loss of the NTK"):
        return locate_slope_loss(cell, arguments.digits)


def _record(
    cell: CoupledDEQ, arguments: argparse.Namespace, solved: Sequence[CellPoint], loss: StabilityLoss | None
) -> dict[str, Any]:
    name, start, stop, count = arguments.sweep
    rows = [
        {
            "value": str(point.value),
            "solved": bool(point.states),
            "certified": point.certified,
            "missing": point.missing,
            "states": [dict(state) for state in point.states],
            "margins": dict(point.margins),
        }
        for point in solved
    ]
    lost = None if loss is None else _sweep.loss_record(loss)
    swept = {"name": name, "start": str(start), "stop": str(stop), "points": count}
    record = {"status": "ok", "swept": swept, "tau0": str(cell.tau0)} | _cells.description(cell)
    return record | {"digits": arguments.digits, "sweep": rows, "ntk_loss": lost} | _outputs.provenance()


def _print(cell: CoupledDEQ, arguments: argparse.Namespace, solved: Sequence[CellPoint]) -> None:
    from rich.text import Text

    console = _progress.console()
    every = max(1, -(-len(solved) // _sweep.SHOWN_ROWS))
    found = [point for point in solved if point.states]
    for r, state in enumerate(cell.states):
        console.print(Text(f"state {r}: {state.activation.name}{_cells.role(cell, r)}"))
        centred = all("alpha1" in point.states[r] for point in found)
        for keys in _CENTRED if centred else _GENERAL:
            rows = []
            for point in solved[::every]:
                numbers = point.states[r] if point.states else {}
                shown = (_sweep.shown(numbers.get(key), arguments.shown_digits) for key in keys)
                rows.append((f"{float(point.value):.6g}", *shown))
            _layout.show_columns(console, (arguments.sweep[0], *keys), rows)
    if every > 1:
        console.print(Text(f"every {every}th of {len(solved)} points; --json has them all", "dim"))
    lost = [point for point in solved if not point.states]
    if lost:
        console.print(Text(f"{len(lost)} of {len(solved)} points (-): {lost[0].missing}"))
    unproved = [point for point in found if not point.certified]
    if unproved:
        why = f": {unproved[0].missing}" if unproved[0].missing else ""
        console.print(Text(f"{len(unproved)} of {len(solved)} points are computed, not certified{why}"))
    elif found:
        console.print(Text("every digit is certified by interval arithmetic", "dim"))
