"""Derive an activation's structure, its Gaussian moments and its DEQ's system of equations, exactly."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from deqverify.commands import _budgets, _errors, _layout, _options, _outputs, _progress

if TYPE_CHECKING:
    import sympy as sp

    from numerics.records import DerivedMoments
    from theory.activations import Activation

__all__ = ["main", "parser"]

_EXAMPLES = """\
  deqverify derive --activation relu
  deqverify derive --activation leaky_relu --symbolic
  deqverify derive --activation hard_tanh --parameter c=1/2 --symbolic
  deqverify derive --activation "x*Phi(x)" --latex
  deqverify derive --activation "Piecewise((x, x > 0), (exp(x) - 1, True))" --json -
  deqverify derive --registry --no-cache

Parameters of a named activation take their defaults unless --parameter gives them a value; --symbolic keeps
the others as symbols."""

#: (name in GaussianMoments, how it is written).
_MOMENTS = (
    ("mean", "E[φ₀(τξ)]"),
    ("second_moment", "E[φ₀(τξ)²]"),
    ("variance", "Var φ₀(τξ)"),
    ("first_derivative", "E[φ₀′(τξ)]"),
    ("second_derivative", "E[φ₀″(τξ)]"),
    ("square_second_derivative", "E[(φ₀²)″(τξ)]"),
    ("slope_energy", "E[φ₀′(τξ)²]"),
)
#: Part of the processor time left that the exact Lipschitz constant may take.
_LIPSCHITZ_SHARE = 0.5
#: Width of the text that LaTeX is broken to, in hundredths of a point.
_LATEX_WIDTH = 39_000

_MOMENT_HEADING = (
    "moments of the centred activation phi = phi_0 - m: mean m and variance v of phi_0, d_1 = E[phi'], d_2 = E[phi''], "
    "d_22 = E[(phi^2)''], d_d = E[phi'^2]"
)


def main(argv: Sequence[str] | None) -> int:
    """Parse the arguments, derive, print."""
    options = parser()
    arguments = options.parse_args(argv)
    if arguments.registry:
        if arguments.parameter or arguments.latex or arguments.symbolic:
            options.error("--registry goes with --json and --no-cache only")
        return _registry(arguments)
    with _budgets.budgeted(arguments.budget):
        return _derive(arguments)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = _options.Parser(__doc__ or "", _EXAMPLES, activations=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--activation", help="a registered name, or an expression in x")
    what.add_argument("--registry", action="store_true", help="derive every registered activation, and say how long")
    _options.add_parameter(parser)
    parser.add_argument("--symbolic", action="store_true", help="keep the other parameters as symbols")
    parser.add_argument("--latex", action="store_true", help="print the equations as LaTeX (amsmath, amssymb)")
    _budgets.add_budget(parser)
    parser.add_argument("--json", metavar="PATH", help="write JSON to a file, or to standard output for -")
    parser.add_argument("--no-cache", action="store_true", help="neither read nor write the cache of derivations")
    return parser


def _derive(arguments: argparse.Namespace) -> int:
    """Derive one activation, print."""
    from numerics.records import derive

    activation = _options.resolve_text(arguments.activation).with_parameters(
        dict(arguments.parameter), keep_symbolic=arguments.symbolic
    )
    derived = derive(activation, use_cache=not arguments.no_cache)
    if not derived.finished:
        sys.stderr.write(
            f"{_errors.program()}: closed forms were not all sought to the end; a larger --budget may find more\n"
        )
    if arguments.json != "-":
        if arguments.latex:
            _print_latex(activation, derived, use_cache=not arguments.no_cache)
        else:
            _print(activation, derived)
    if arguments.json:
        _outputs.write_json(arguments.json, _record(activation, derived) | _outputs.provenance(), "derive")
    return 0


def _structure(activation: Activation) -> dict[str, str]:
    """What is derived about the shape of an activation, in words."""

    def places(found: tuple[tuple[sp.Expr, sp.Expr], ...], what: str) -> str:
        return ", ".join(f"x = {place} ({what} {height})" for place, height in found) or "none"

    import sympy as sp

    from numerics.budget import OverBudgetError, share

    threshold = activation.threshold(1)
    lipschitz = None
    with suppress(OverBudgetError), share(_LIPSCHITZ_SHARE, interrupt=True):
        lipschitz = activation.lipschitz
    finite = activation.has_finite_slope_energy
    return {
        "kinks": places(activation.kinks, "slope changes by"),
        "jumps": places(activation.jumps, "by"),
        "parity": {1: "even", -1: "odd", 0: "neither even nor odd"}[activation.parity],
        "homogeneity": "not homogeneous" if activation.homogeneity is None else f"of degree {activation.homogeneity}",
        "growth": activation.growth_class,
        "moments exist": "for every tau" if threshold is sp.oo else f"E|phi|^j for tau < {threshold}/sqrt(j)",
        "Lipschitz constant": "not found exactly" if lipschitz is None else "infinite" if lipschitz is sp.oo
        else str(lipschitz),
        "E[phi'^2]": "finite" if finite else "infinite: phi jumps" if activation.jumps
        else "infinite: the slope is too singular",
    }  # fmt: skip


def _kind(value: sp.Expr) -> str:
    from theory.moments import GaussianMoments

    return "closed form" if GaussianMoments.is_closed(value) else "integral"


def _equations(derived: DerivedMoments) -> list[tuple[str, list[sp.Eq]]]:
    """The DEQ's system under headings; definitions are of the centred activation phi = phi_0 - E[phi_0]."""
    import sympy as sp

    from theory.equations import (
        ck_coefficients,
        ck_equations,
        ntk_coefficients,
        preactivation_coefficients,
        stability_slope,
        tau_equation,
    )
    from theory.symbols import alpha, d1, dd, lambda_, sigma_a2

    definitions = [sp.Eq(symbol, value, evaluate=False) for symbol, value in derived.definitions.items()]
    found = [
        ("equilibrium: tau is the root tau_* of", [tau_equation()]),
        (_MOMENT_HEADING, definitions),
        ("conjugate kernel", list(ck_equations().values())),
        (
            "solved",
            [
                *(sp.Eq(alpha[k], ck_coefficients()[f"alpha{k}"], evaluate=False) for k in (1, 2, 3, 4)),
                sp.Eq(lambda_[1], preactivation_coefficients()["lambda1"], evaluate=False),
            ],
        ),
    ]
    if "slope_energy" in derived.values:
        definitions.append(sp.Eq(dd, derived.values["slope_energy"], evaluate=False))
        ntk = ntk_coefficients("recurrent")
        names = sp.symbols("beta_1:4 kappa_*^2")
        found.append(
            (
                "neural tangent kernel (readout and recurrent weights trained)",
                [sp.Eq(name, part, evaluate=False) for name, part in zip(names, ntk, strict=True)],
            )
        )
    stable = [sp.Lt(stability_slope(), 1), sp.Lt(sigma_a2 * d1**2, 1)]
    if "slope_energy" in derived.values:
        stable.append(sp.Lt(sigma_a2 * dd, 1))
    found.append(("stable where", stable))
    return found


def _record(activation: Activation, derived: DerivedMoments) -> dict[str, Any]:
    from theory.latex import latex, readable

    moments: dict[str, Any] = {}
    for name, _ in _MOMENTS:
        if name in derived.divergent:
            moments[name] = {"kind": "infinite", "reason": derived.divergent[name]}
        else:
            value = derived.values[name]
            moments[name] = {"kind": _kind(value), "expression": str(value), "latex": latex(readable(value))}
    return {
        "activation": activation.name,
        "expression": str(activation.expr),
        "parameters": {parameter.symbol.name: parameter.meaning for parameter in activation.parameters},
        "structure": _structure(activation),
        "moments": moments,
        "equations": {heading: [_readable(line) for line in lines] for heading, lines in _equations(derived)},
        "cached": derived.cached,
    }


def _readable(relation: sp.Basic) -> str:
    """An equation on one line, variances written as squares (sigma_b**4, not sigma_b^2**2)."""
    import sympy as sp

    from theory.symbols import sigma_a2, sigma_b2

    squares = (sigma_a2, sigma_b2)
    roots = {square: sp.Symbol(square.name.removesuffix("^2"), positive=True) ** 2 for square in squares}
    relation = relation.func(*(side.xreplace(roots) for side in relation.args), evaluate=False)
    sign = {"Equality": "=", "StrictLessThan": "<"}[type(relation).__name__]
    return f"{relation.args[0]} {sign} {relation.args[1]}"


def _print(activation: Activation, derived: DerivedMoments) -> None:
    from rich.text import Text

    console = _progress.console()
    console.print(Text(f"{activation.name}: φ₀(x) = {activation.expr}"))
    if activation.description:
        console.print(Text(activation.description, style="dim"))
    console.print(Text("structure", style="italic"))
    _layout.show_rows(console, [(label, "", text) for label, text in _structure(activation).items()])
    console.print(Text("moments", style="italic"))
    moments = []
    for name, label in _MOMENTS:
        if name in derived.divergent:
            moments.append((label, "infinite", derived.divergent[name]))
        else:
            moments.append((label, _kind(derived.values[name]), str(derived.values[name])))
    _layout.show_rows(console, moments, value_style="dim")
    for heading, lines in _equations(derived):
        console.print(Text(f"\n{heading}", style="italic"))
        for line in lines:
            console.print(Text(f"  {_readable(line)}"), soft_wrap=True)


def _print_latex(activation: Activation, derived: DerivedMoments, *, use_cache: bool) -> None:
    """The equations as ``deqverify export-latex`` writes them, one display after the other."""
    from numerics.records import derive
    from theory.latex import activation_moments, activation_system, general_sets, name_long_constants

    named, constants = name_long_constants(activation)
    if constants:
        derived = derive(named, use_cache=use_cache)
    general = general_sets()
    sets = [
        activation_moments("moments", named, derived.values, derived.definitions, _LATEX_WIDTH, constants),
        activation_system("system", derived.definitions),
        general["solution"],
        *([general["ntk-recurrent"]] if "slope_energy" in derived.values else []),
        general["conditions"],
    ]
    for each in sets:
        print(f"% {activation.name}: {each.name}\n{each.latex(_LATEX_WIDTH)}")


def _registry(arguments: argparse.Namespace) -> int:
    from rich.table import Table

    from numerics.records import derive
    from theory.activations import registered, registered_names

    target = arguments.json
    rows: list[dict[str, Any]] = []
    for name in _progress.track(registered_names(), "deriving"):
        with _budgets.budgeted(arguments.budget):
            derived = derive(registered(name), use_cache=not arguments.no_cache)
        kinds = [_kind(value) for value in derived.values.values()]
        rows.append(
            {
                "activation": name,
                "closed_forms": kinds.count("closed form"),
                "integrals": kinds.count("integral"),
                "infinite": len(derived.divergent),
                "cached": derived.cached,
                "seconds": round(derived.seconds, 4),
            }
        )
    total = round(sum(row["seconds"] for row in rows), 3)
    if target != "-":
        table = Table(box=None, pad_edge=False)
        for heading in ("activation", "closed forms", "integrals", "infinite", "cached", "seconds"):
            table.add_column(heading, justify="left" if heading == "activation" else "right")
        for row in rows:
            cells = [str(row[key]) for key in ("activation", "closed_forms", "integrals", "infinite")]
            table.add_row(*cells, "yes" if row["cached"] else "no", f"{row['seconds']:.3f}")
        slowest = max(rows, key=lambda row: float(row["seconds"]))
        console = _progress.console()
        console.print(table)
        console.print(f"{len(rows)} activations in {total:.2f} s; slowest: {slowest['activation']}, "
                      f"{slowest['seconds']:.2f} s")  # fmt: skip
    if target:
        record = {"activations": rows, "seconds": total} | _outputs.provenance()
        _outputs.write_json(target, record, "derive-registry")
    return 0
