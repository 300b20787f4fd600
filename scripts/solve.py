"""Solve a DEQ's system of nonlinear equations to many digits and print its coefficients.

Every number is certified where that is possible: proved by interval arithmetic to lie in a ball of the
radius shown (in JSON), so that all its digits are right.  What is not certified is marked, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import _cli

if TYPE_CHECKING:
    from numerics.certified import CertifiedCoefficients

__all__ = ["main"]

_EXAMPLES = """\
  solve.py --activation tanh
  solve.py --activation "tanh(x)" --sigma-a2 0.2 --sigma-b2 0.8 --tau0 1 --digits 40 --json -
  solve.py --activation leaky_relu --parameter a=1/10
  solve.py --activation "Piecewise((x, x > 0), (exp(x) - 1, True))" --digits 100
"""

#: Heading, and (key, symbol, meaning), of the table's groups.
_TABLE = (
    (
        "equilibrium",
        (
            ("tau", "τ*", "standard deviation of the pre-activations"),
            ("bias", "E[φ₀(τ*ξ)]", "subtracted from the activation"),
            ("gamma2", "γ*²", "diagonal of the CK"),
        ),
    ),
    (
        "conjugate kernel",
        (
            ("alpha1", "α₁", "coefficient of XᵀX"),
            ("alpha2", "α₂", "of the norms' fluctuations"),
            ("alpha3", "α₃", "of the covariances' traces"),
            ("alpha4", "α₄", "response of τᵢ² to ‖xᵢ‖²"),
        ),
    ),
    (
        "neural tangent kernel (readout and recurrent weights trained)",
        (
            ("beta1", "β₁", "coefficient of XᵀX"),
            ("beta2", "β₂", "of the norms' fluctuations"),
            ("beta3", "β₃", "of the covariances' traces"),
            ("kappa2", "κ*²", "diagonal of the NTK"),
        ),
    ),
)
_EXTRA_KEYS = ("lambda1", "lambda2", "lambda3", "theta1", "theta2", "theta3", "theta_diag")
_KEYS = tuple(key for _, rows in _TABLE for key, _, _ in rows) + _EXTRA_KEYS


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, solve, print."""
    parser = _cli.Parser(__doc__ or "", _EXAMPLES)
    parser.add_argument("--activation", required=True, help="a registered name, or an expression in x")
    parser.add_argument(
        "--parameter", action="append", type=_cli.parameter, default=[], metavar="NAME=NUMBER", help="repeatable"
    )
    parser.add_argument("--sigma-a2", type=_cli.number, default=_cli.number("0.2"), help="recurrent weight variance")
    parser.add_argument("--sigma-b2", type=_cli.number, default=_cli.number("0.8"), help="input weight variance")
    parser.add_argument("--tau0", type=_cli.number, default=_cli.number("1"), help="input scale, sqrt(tr C/p)")
    parser.add_argument("--digits", type=_cli.integer_between(1, 1000), default=15, help="significant digits")
    parser.add_argument("--json", metavar="PATH", help="write JSON to a file, or to standard output for -")
    arguments = parser.parse_args(argv)
    _cli.prepare_output(arguments.json)
    activation = _cli.activation_argument(arguments.activation, dict(arguments.parameter))

    from numerics.certified import certify

    solution = certify(activation, arguments.sigma_a2, arguments.sigma_b2, arguments.tau0, arguments.digits)
    if arguments.json:
        _cli.write_json(arguments.json, _record(solution))
    if arguments.json != "-":
        _print_table(solution)
    return 0


def _record(solution: CertifiedCoefficients) -> dict[str, Any]:
    from numerics.balls import rounded_decimal

    record: dict[str, Any] = {
        "status": "ok" if not solution.ntk_missing else f"ok without NTK: {solution.ntk_missing}",
        "activation": solution.activation.name,
        "expression": str(solution.activation.expr),
        "sigma_a2": str(solution.sigma_a2),
        "sigma_b2": str(solution.sigma_b2),
        "tau0": str(solution.tau0),
        "digits": solution.digits,
    }
    record |= {key: solution.decimal(key) for key in _KEYS}
    record["certified"] = {key: solution.certified[key] for key in _KEYS if key in solution.certified}
    record["radius"] = {key: solution.radius[key] for key in _KEYS if key in solution.radius}
    record["reason"] = {key: solution.reason[key] for key in _KEYS if key in solution.reason}
    record["margins"] = {key: rounded_decimal(ball, 15)[0] for key, ball in solution.margins.items()}
    return record | _cli.provenance()


def _print_table(solution: CertifiedCoefficients) -> None:
    from rich.table import Table
    from rich.text import Text

    from numerics.balls import rounded_decimal

    console = _cli.console()
    weights = f"σa² = {solution.sigma_a2}, σb² = {solution.sigma_b2}, τ₀ = {solution.tau0}"
    console.print(Text(f"{solution.activation.name}: φ₀(x) = {solution.activation.expr};  {weights}"))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=solution.digits <= 60, overflow="fold")
    table.add_column(style="dim")
    for heading, rows in _TABLE:
        if solution.ntk_missing and "tangent" in heading:
            continue
        for key, symbol, meaning in rows:
            table.add_row(symbol, solution.decimal(key), meaning if solution.certified[key] else f"{meaning}, UNPROVED")
    for name, symbol in (("tau", "σa² E[(φ²)″]/2"), ("ck", "σa² E[φ′]²"), ("ntk", "σa² E[φ′²]")):
        if name in solution.margins:
            table.add_row(symbol, rounded_decimal(solution.margins[name], 6)[0], "must be below 1")
    console.print(table)
    if solution.ntk_missing:
        console.print(Text(f"no NTK: {solution.ntk_missing}"))
    unproved = {solution.reason[key] for key, proved in solution.certified.items() if not proved}
    for reason in sorted(unproved):
        console.print(Text(f"not certified: {reason}"))
    if not unproved:
        console.print(Text("every digit is certified by interval arithmetic", "dim"))


if __name__ == "__main__":
    _cli.run(main)
