"""Solve a DEQ's system of nonlinear equations to many digits and print its coefficients.

Every number is certified where that is possible: proved by interval arithmetic to lie in a ball of the
radius shown (in JSON), so that all its digits are right.  What is not certified is marked, with the reason.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from deqverify.commands import _budgets, _cell_sweep, _cells, _errors, _layout, _options, _outputs, _progress, _sweep
from theory.kernels import NTK_KINDS

if TYPE_CHECKING:
    from flint import arb
    from rich.console import Console

    from numerics.equilibrium import CertifiedCoefficients, EquilibriumSet
    from theory.equations import DEQ, CoupledDEQ

__all__ = ["main", "parser"]

_EXAMPLES = """\
  deqverify solve --activation tanh
  deqverify solve --activation "tanh(x)" --sigma-a2 0.2 --sigma-b2 0.8 --tau0 1 --digits 40 --json -
  deqverify solve --activation leaky_relu --parameter a=1/10 --ntk all --form pre
  deqverify solve --activation "5*sigmoid(20*x - 40)" --sigma-a2 1 --sigma-b2 1/2 --all-equilibria
  deqverify solve --activation relu --sigma-a2 0.4 --sigma-b2 0.6 --sigma-c2 0.1 --uncentred
  deqverify solve --deq cell.toml --digits 30 --json -
  deqverify solve --deq cell.toml --sweep "sigma_a2[0][1]=0:0.5:11"
  deqverify solve --activation swish --sigma-b2 tied --sweep sigma-a2=0:0.95:20 --plot swish.png
"""

#: (key, symbol, meaning) of the table's rows, by group.
_Rows = tuple[tuple[str, str, str], ...]
_EQUILIBRIUM: _Rows = (
    ("tau", "τ*", "standard deviation of the pre-activations"),
    ("bias", "E[φ₀(τ*ξ)]", "subtracted from the activation"),
    ("gamma2", "γ*²", "diagonal of the CK"),
)
_RESPONSE = ("alpha4", "α₄", "response of τᵢ² to ‖xᵢ‖²")
_FORMS: dict[str, _Rows] = {
    "post": (
        ("alpha1", "α₁", "CK: coefficient of XᵀX"),
        ("alpha2", "α₂", "CK: of the norms' fluctuations"),
        ("alpha3", "α₃", "CK: of the covariances' traces"),
        _RESPONSE,
    ),
    "pre": (
        ("lambda1", "λ₁", "pre-activations: coefficient of XᵀX"),
        ("lambda2", "λ₂", "pre-activations: of the norms' fluctuations"),
        ("lambda3", "λ₃", "pre-activations: of the covariances' traces"),
        _RESPONSE,
    ),
}
_NTK_SYMBOLS = {"recurrent": "β", "preactivation": "η", "all": "θ"}
_NTK_DIAGONALS = {"recurrent": "κ*²", "preactivation": "η diagonal", "all": "θ diagonal"}
#: Part of the processor time that the search for all equilibria may take; the rest is for the coefficients.
_SEARCH_SHARE = 0.5
_MARGINS = (("tau", "σa² E[(φ²)″]/2"), ("ck", "σa² E[φ′]²"), ("ntk", "σa² E[φ′²]"))


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, solve, print."""
    arguments = _arguments(argv)
    if arguments.deq is not None or arguments.sigma_c2 != 0 or arguments.uncentred:
        with _budgets.budgeted(arguments.budget):
            cell = _cell(arguments)
            if arguments.sweep is None:
                return _cells.solve(cell, arguments)
        return _cell_sweep.run(cell, arguments)
    if arguments.sweep is not None:
        with _budgets.budgeted(arguments.budget):
            activation = _options.activation_argument(arguments.activation, dict(arguments.parameter))
        return _sweep.run(arguments, activation)
    with _budgets.budgeted(arguments.budget):
        return _solve(arguments)


def _cell(arguments: argparse.Namespace) -> CoupledDEQ:
    """The DEQ of --deq, or one state with a bias or uncentred."""
    from theory.equations import DEQ, CoupledDEQ

    if arguments.deq is not None:
        return _cells.read_cell(arguments.deq)
    activation = _options.activation_argument(arguments.activation, dict(arguments.parameter))
    deq = DEQ(activation, arguments.sigma_a2, arguments.sigma_b2, arguments.tau0)
    return CoupledDEQ.of(deq, sigma_c2=arguments.sigma_c2, centred=not arguments.uncentred)


def _solve(arguments: argparse.Namespace) -> int:
    """Solve at one point, print."""
    activation = _options.activation_argument(arguments.activation, dict(arguments.parameter))

    from theory.equations import DEQ, EquilibriumError

    deq = DEQ(activation, arguments.sigma_a2, arguments.sigma_b2, arguments.tau0)
    solution: CertifiedCoefficients | None = None
    status, code = "ok", 0
    if arguments.all_equilibria:
        from numerics.budget import OverBudgetError, share, stage
        from numerics.equilibrium import find_equilibria

        with (
            _progress.console(error=True).status("isolating every equilibrium"),
            share(_SEARCH_SHARE),
            stage("isolating every equilibrium"),
        ):
            equilibria = find_equilibria(deq, arguments.digits)
        try:
            solution = _solution(deq, arguments)
        except EquilibriumError as error:
            # All equilibria were asked for and are known: that none is reached from tau_0 is part of the answer.
            status = str(error)
        except OverBudgetError as error:
            status, code = f"no coefficients: {error}", _errors.UNDECIDED
    else:
        equilibria = None
        solution = _solution(deq, arguments)
    if solution is not None and solution.ntk_missing:
        status = f"ok without NTK: {solution.ntk_missing}"
    if arguments.json != "-":
        _print(deq, arguments, solution, equilibria, status)
    if arguments.json:
        _outputs.write_json(arguments.json, _record(deq, arguments, solution, equilibria, status), "solve")
    return code


def parser() -> _options.Parser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES, activations=True)
    parser.add_argument("--activation", help="a registered name, or an expression in x")
    _options.add_parameter(parser)
    _options.add_weights(parser, "4/5", "input weight variance, or tied: 1 - sigma-a2", _sweep.number_or_tied)
    _options.add_tau0(parser)
    _cells.add_deq(parser)
    _cells.add_bias(parser)
    parser.add_argument(
        "--digits",
        type=_options.integer_between(1, 1000),
        help="significant digits (default 15; a sweep's table shows 6)",
    )
    parser.add_argument(
        "--certify",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="prove every digit by interval arithmetic (default), or only compute it",
    )
    parser.add_argument("--ntk", choices=NTK_KINDS, default="recurrent", help="which NTK the table shows")
    parser.add_argument("--form", choices=tuple(_FORMS), default="post", help="of the CK or of the pre-activations")
    parser.add_argument("--all-equilibria", action="store_true", help="isolate every root tau > 0, with proof")
    parser.add_argument(
        "--sweep",
        type=_sweep.axis,
        metavar="NAME=START:STOP:POINTS",
        help="sigma-a2, sigma-b2 or tau0 along a line, or an entry of --deq",
    )
    parser.add_argument("--plot", metavar="PATH", help="draw a sweep: a .png, .pdf or .svg file")
    _budgets.add_budget(parser)
    parser.add_argument("--json", metavar="PATH", help="write JSON to a file, or to standard output for -")
    return parser


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser()
    arguments = options.parse_args(argv)
    arguments.shown_digits = arguments.digits or _sweep.SHOWN_DIGITS
    arguments.digits = arguments.digits or 15
    if arguments.plot is not None and arguments.sweep is None:
        options.error("--plot draws a sweep: give --sweep NAME=START:STOP:POINTS as well")
    if arguments.sweep is not None and arguments.all_equilibria:
        options.error("--sweep and --all-equilibria exclude each other: give one of them")
    _check_cell(options, arguments, options.given(argv))
    return arguments


def _check_cell(options: _options.Parser, arguments: argparse.Namespace, given: frozenset[str]) -> None:
    """What describes the DEQ is given once, and what is only of one centred state is not asked of others."""
    if arguments.deq is None and arguments.activation is None:
        options.error("the following arguments are required: --activation, or --deq with a file")
    described = {"activation", "parameter", "sigma_a2", "sigma_b2", "sigma_c2", "tau0", "uncentred"} & given
    if arguments.deq is not None and described:
        options.error(f"--deq describes the DEQ, and so does {_cells.spelled(described)}: give one of them")
    if arguments.deq is None and arguments.sigma_c2 == 0 and not arguments.uncentred:
        if arguments.sweep is not None and "[" in arguments.sweep[0]:
            options.error(f"--sweep {arguments.sweep[0]} is an entry of a cell: give --deq with its file as well")
        return
    asked = {"ntk", "form", "all_equilibria", "plot"} & given
    if asked:
        cause = _cells.spelled({"deq", "sigma_c2", "uncentred"} & given)
        options.error(f"{_cells.spelled(asked)} is for one centred state without a bias, without {cause}")


def _solution(deq: DEQ, arguments: argparse.Namespace) -> CertifiedCoefficients:
    from numerics.equilibrium import certify, solve_uncertified

    with _progress.console(error=True).status(f"solving to {arguments.digits} digits"):
        return (certify if arguments.certify else solve_uncertified)(deq, arguments.digits)


def _record(
    deq: DEQ,
    arguments: argparse.Namespace,
    solution: CertifiedCoefficients | None,
    equilibria: EquilibriumSet | None,
    status: str,
) -> dict[str, Any]:
    from theory.kernels import COEFFICIENTS, Kernel

    record: dict[str, Any] = {"status": status}
    record |= {"activation": deq.activation.name, "expression": str(deq.activation.expr)}
    record |= {name: str(getattr(deq, name)) for name in ("sigma_a2", "sigma_b2", "tau0")}
    record |= {"digits": arguments.digits, "form": arguments.form, "ntk": arguments.ntk}
    record["ntk_keys"] = list(Kernel.ntk(arguments.ntk).keys)
    record |= {key: None if solution is None else solution.decimal(key) for key in COEFFICIENTS}
    for name in ("certified", "radius", "reason"):
        found = {} if solution is None else getattr(solution, name)
        record[name] = {key: found[key] for key in COEFFICIENTS if key in found}
    record["followed"] = None if solution is None else solution.followed
    margins = {} if solution is None else solution.margins
    record["margins"] = {key: _cells.proved(ball, 15) for key, ball in margins.items()}
    if equilibria is not None:
        record |= _equilibria_record(equilibria, arguments.digits)
    return record | _outputs.provenance()


def _equilibria_record(found: EquilibriumSet, digits: int) -> dict[str, Any]:
    from numerics.arithmetic import radius_text, rounded_decimal

    roots = [
        {
            "tau": rounded_decimal(root.tau, digits)[0],
            "radius": radius_text(root.tau),
            "slope": rounded_decimal(root.slope, 15)[0],
            "stable": root.stable,
            "followed": root.followed,
        }
        for root in found.equilibria
    ]
    return {
        "equilibria": roots,
        "equilibria_complete": found.complete,
        "unresolved": [list(interval) for interval in found.unresolved],
        "searched_to": found.searched_to,
        "bound": found.reason,
    }


# --------------------------------------------------------------------------------------------------------------------
# the table


def _print(
    deq: DEQ,
    arguments: argparse.Namespace,
    solution: CertifiedCoefficients | None,
    equilibria: EquilibriumSet | None,
    status: str,
) -> None:
    from rich.text import Text

    console = _progress.console()
    weights = "σa² = {}, σb² = {}, τ₀ = {}".format(*map(_options.short_number, (*deq.variances, deq.tau0)))
    console.print(Text(f"{deq.activation.name}: φ₀(x) = {deq.activation.expr};  {weights}"))
    if solution is None:
        console.print(Text(status))
    else:
        _print_solution(console, solution, arguments)
    if equilibria is not None:
        _print_equilibria(console, equilibria, arguments.digits)


def _ntk_rows(kind: str) -> _Rows:
    from theory.kernels import Kernel

    symbol = _NTK_SYMBOLS[kind]
    symbols = (f"{symbol}₁", f"{symbol}₂", f"{symbol}₃", _NTK_DIAGONALS[kind])
    meanings = ("coefficient of XᵀX", "of the norms' fluctuations", "of the covariances' traces", "diagonal")
    rows = zip(Kernel.ntk(kind).keys, symbols, meanings, strict=True)
    return tuple((key, mark, f"NTK ({kind}): {meaning}") for key, mark, meaning in rows)


def _print_solution(console: Console, solution: CertifiedCoefficients, arguments: argparse.Namespace) -> None:
    from rich.text import Text

    groups: Iterable[_Rows] = (_EQUILIBRIUM, _FORMS[arguments.form])
    if not solution.ntk_missing:
        groups = (*groups, _ntk_rows(arguments.ntk))
    shown = []
    for key, symbol, meaning in (row for rows in groups for row in rows):
        shown.append(
            (symbol, solution.decimal(key) or "-", meaning if solution.certified[key] else f"{meaning}, UNPROVED")
        )
    for name, symbol in _MARGINS:
        if name in solution.margins:
            shown.append((symbol, _margin(solution.margins[name]), "must be below 1"))
    _layout.show_rows(console, shown, note_style="dim")
    if solution.ntk_missing:
        console.print(Text(f"no NTK: {solution.ntk_missing}"))
    unproved = {solution.reason[key] for key, proved in solution.certified.items() if not proved}
    for reason in sorted(unproved):
        console.print(Text(f"not certified: {reason}"))
    if not unproved:
        reached = "it is proved" if solution.followed else "it is not proved"
        console.print(
            Text(
                f"every digit is certified by interval arithmetic; {reached} that this is the root reached from τ₀",
                "dim",
            )
        )


def _margin(ball: arb) -> str:
    """A margin to 6 digits, or its distance from 1 where those would not tell it from 1."""
    from numerics.parameters import margin_text

    return margin_text(ball) if abs(float(ball.mid()) - 1) < 1e-4 else _cells.proved(ball, 6)


def _print_equilibria(console: Console, found: EquilibriumSet, digits: int) -> None:
    from rich.text import Text

    from numerics.arithmetic import rounded_decimal

    rows = []
    for root in found.equilibria:
        followed = {True: "reached from τ₀", False: "", None: "nearest to τ₀, not proved to be reached"}[root.followed]
        shown = rounded_decimal(root.tau, digits)[0], rounded_decimal(root.slope, 6)[0]
        rows.append((*shown, "stable" if root.stable else "unstable", followed))
    slope = "slope σa² E[(φ²)″]/2"
    headings = ("τ", slope, "", "")
    console.print(Text("all equilibria" if rows else "no equilibrium", "italic" if rows else ""))
    if rows and _layout.total_width(headings, rows) <= console.width:
        _layout.show_columns(console, headings, rows, left=range(4))
    elif rows:
        notes = [", ".join(filter(None, (f"{slope} = {size}", *words))) for _, size, *words in rows]
        _layout.show_rows(console, [("τ", row[0], note) for row, note in zip(rows, notes, strict=True)])
    for low, high in found.unresolved:
        console.print(Text(f"not resolved: {low:.17g} < τ < {high:.17g}"))
    if found.complete:
        console.print(Text(f"these are all, with proof: {found.reason}", "dim"))
    else:
        console.print(Text(f"searched up to τ = {found.searched_to:.6g}; not proved to be all: {found.reason}"))
