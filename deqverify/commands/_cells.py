"""DEQs of several states, with biases or uncentred: the option --deq and its file, and what solve shows of them."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deqverify.commands import _errors, _layout, _options, _outputs, _progress

if TYPE_CHECKING:
    from flint import arb

    from numerics.equilibrium import CertifiedStates, FloatStates
    from theory.equations import CoupledDEQ, State

__all__ = ["add_bias", "add_deq", "certified", "description", "proved", "read_cell", "role", "solve", "spelled"]

#: Bytes of a file that describes a DEQ.
_LARGEST_FILE = 1 << 16
#: Letters of a sentence about such a file, which may quote it.
_LONGEST_SENTENCE = 400
#: (key, symbol, meaning) of the rows of a state, those of section 3 where its correlations vanish.
_CENTRED = (
    ("gamma2", "γ*²", "diagonal of the CK"),
    ("alpha1", "α₁", "CK: coefficient of XᵀX"),
    ("alpha2", "α₂", "CK: of the norms' fluctuations"),
    ("alpha3", "α₃", "CK: of the covariances' traces"),
    ("alpha4", "α₄", "response of τᵢ² to ‖xᵢ‖²"),
    ("lambda1", "λ₁", "pre-activations: coefficient of XᵀX"),
    ("lambda2", "λ₂", "pre-activations: of the norms' fluctuations"),
    ("lambda3", "λ₃", "pre-activations: of the covariances' traces"),
)
_GENERAL = (
    ("q", "q", "limit of the pre-activations' covariance off the diagonal"),
    ("g0", "g₀", "CK: coefficient of 1 1ᵀ"),
    ("gS", "g_S", "CK: of XᵀX"),
    ("gd", "g_d", "CK: of δ 1ᵀ + 1 δᵀ"),
    ("gdd", "g_dd", "CK: of δ δᵀ"),
    ("gSS", "g_SS", "CK: of J T Jᵀ/p"),
    ("ge", "g_e", "CK: of 1 (δ²)ᵀ + (δ²) 1ᵀ"),
    ("diagonal", "E[φ²]", "diagonal of the CK"),
)
_MARGINS = (
    ("tau", "Σ² diag(V₁)", "spectral radius, must be below 1"),
    ("ck", "Σ² diag(F_l)", "spectral radius, must be below 1"),
    ("ntk", "Σ² diag(E[φ′²])", "spectral radius, below 1 where NTKs exist"),
)


def add_deq(parser: argparse._ActionsContainer) -> None:
    """Add --deq."""
    parser.add_argument("--deq", metavar="FILE", help="a DEQ of one or several states in TOML, instead of --activation")


def add_bias(parser: argparse.ArgumentParser) -> None:
    """Add --sigma-c2 and --uncentred."""
    parser.add_argument("--sigma-c2", type=_options.number, default="0", help="variance of a bias (default 0)")
    parser.add_argument("--uncentred", action="store_true", help="the activation as it is, not less its mean")


def read_cell(path: str) -> CoupledDEQ:
    """Read a DEQ from a TOML file; numbers in it are texts or integers, taken exactly.

    Raises:
        UsageError: no file of at most 64 KiB in TOML, or not the description of a DEQ; the sentence names the key.
    """
    from theory.equations import CoupledDEQ, EquilibriumError

    try:
        with Path(path).open("rb") as stream:
            text = stream.read(_LARGEST_FILE + 1)
        if len(text) > _LARGEST_FILE:
            raise _errors.UsageError(f"--deq {path}: the file is larger than {_LARGEST_FILE >> 10} KiB")
        data = tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _errors.UsageError(f"--deq {path}: {reason}; give a file in TOML that can be read") from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _errors.UsageError(f"--deq {path}: no TOML: {_one_line(reason)}") from error
    try:
        return CoupledDEQ.from_mapping(data)
    except EquilibriumError as error:
        raise _errors.UsageError(f"--deq {path}: {_one_line(str(error))}") from error


def _one_line(text: str) -> str:
    """A sentence that quotes a file, without its line ends and control characters, and cut where it quotes too much."""
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in " ".join(text.split()))
    return line if len(line) <= _LONGEST_SENTENCE else f"{line[:_LONGEST_SENTENCE]} ..."


def solve(cell: CoupledDEQ, arguments: argparse.Namespace) -> int:
    """Solve a cell's equations, print and write; the exit code.

    Args:
        cell: the cell.
        arguments: of solve: ``digits``, ``certify`` and ``json``.

    Raises:
        UndecidedError: nothing could be proved.
    """
    found = certified(cell, arguments.digits) if arguments.certify else _computed(cell, arguments.digits)
    if arguments.json != "-":
        _print(found)
    if arguments.json:
        _outputs.write_json(arguments.json, _record(found), "solve-states")
    return 0


def certified(cell: CoupledDEQ, digits: int) -> CertifiedStates:
    """Solve a cell's equations with proof.

    Raises:
        UndecidedError: nothing could be proved.
    """
    from numerics.equilibrium import certify_states
    from numerics.moments import UncertifiedError

    try:
        with _progress.console(error=True).status(f"solving to {digits} digits"):
            return certify_states(cell, digits)
    except UncertifiedError as error:
        raise _errors.UndecidedError(f"not certified: {error}; a smoother activation may be") from error


def _computed(cell: CoupledDEQ, digits: int) -> FloatStates:
    """Solve a cell's equations in float64."""
    from numerics.equilibrium import solve_states

    with _progress.console(error=True).status("solving in float64"):
        return solve_states(cell, digits)


def proved(ball: arb, digits: int) -> str:
    """Return the digits of a ball that it proves, or the ball where it proves none."""
    from numerics.arithmetic import proved_decimal

    try:
        return proved_decimal(ball, digits)
    except ValueError:
        return str(ball.str(3))


def _record(found: CertifiedStates | FloatStates) -> dict[str, Any]:
    cell = found.cell
    record: dict[str, Any] = {"status": "ok", "tau0": str(cell.tau0), "readout": cell.readout}
    record["sigma_a2"] = _rows(cell)
    record["digits"] = found.digits
    record["states"] = [_state_record(found, r) for r in range(len(cell.states))]
    record["followed"] = found.followed
    record["margins"] = {key: proved(ball, 15) for key, ball in found.margins.items()}
    return record | _outputs.provenance()


def _rows(cell: CoupledDEQ) -> list[list[str]]:
    return [[str(value) for value in row] for row in cell.sigma_a2]


def _described(state: State) -> dict[str, Any]:
    record: dict[str, Any] = {"activation": state.activation.name, "expression": str(state.activation.expr)}
    return record | {"sigma_b2": str(state.sigma_b2), "sigma_c2": str(state.sigma_c2), "centred": state.centred}


def description(cell: CoupledDEQ) -> dict[str, Any]:
    """Return what describes a cell but for its tau_0, as plain JSON values."""
    return {"readout": cell.readout, "sigma_a2": _rows(cell), "states": [_described(state) for state in cell.states]}


def role(cell: CoupledDEQ, r: int) -> str:
    """Return what is said of a state after its name: whether it is uncentred, and whether it is read out."""
    words = "" if cell.states[r].centred else ", uncentred"
    return words + (", read out" if r == cell.readout and len(cell.states) > 1 else "")


def spelled(names: Iterable[str]) -> str:
    """The first of some options, as it is typed."""
    return "--" + min(names).replace("_", "-")


def _state_record(found: CertifiedStates | FloatStates, r: int) -> dict[str, Any]:
    from numerics.arithmetic import radius_text

    balls = found.states[r]
    record = _described(found.cell.states[r])
    record |= {key: found.decimal(r, key) for key in balls}
    record["certified"] = dict.fromkeys(balls, found.certified)
    record["radius"] = {key: radius_text(ball) for key, ball in balls.items()} if found.certified else {}
    return record


def _print(found: CertifiedStates | FloatStates) -> None:
    from rich.text import Text

    console, cell = _progress.console(), found.cell
    for r, state in enumerate(cell.states):
        numbers = [("σb²", state.sigma_b2), ("σc²", state.sigma_c2)]
        shown = ", ".join(f"{symbol} = {_options.short_number(value)}" for symbol, value in numbers)
        weights = ", ".join(map(_options.short_number, cell.sigma_a2[r]))
        words = role(cell, r)
        console.print(Text(f"state {r}: {state.activation.name}{words}; from the states {weights}; {shown}"))
        rows = [("τ", "tau", "standard deviation of the pre-activations")]
        groups = _CENTRED if cell.decorrelated[r] else _GENERAL
        rows += [(symbol, key, meaning) for key, symbol, meaning in groups]
        mark = "" if found.certified else ", UNPROVED"
        shown_rows = [(symbol, found.decimal(r, key), f"{meaning}{mark}") for symbol, key, meaning in rows]
        _layout.show_rows(console, shown_rows, note_style="dim")
    margins = [(symbol, proved(found.margins[key], 6), note) for key, symbol, note in _MARGINS if key in found.margins]
    _layout.show_rows(console, margins, note_style="dim")
    if not found.certified:
        console.print(Text("not certified: no proof was asked for"))
        return
    reached = "it is proved" if found.followed else "it is not proved"
    console.print(
        Text(f"every digit is certified by interval arithmetic; {reached} that τ₀ leads to this solution", "dim")
    )
