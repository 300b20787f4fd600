"""The commands: one module each, run by ``deqverify COMMAND`` or by the script of its name."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

__all__ = ["COMMANDS", "run_command"]

#: Each command, and what it is for in one line.
COMMANDS = {
    "solve": "solve a DEQ's equations, with every digit proved",
    "derive": "derive its equations and moments in closed form",
    "spectrum": "predict a kernel's spectrum, and measure it beside",
    "converge": "measure how fast the errors fall with p, or with the width",
    "design": "find the explicit network that has a DEQ's kernel",
    "verify": "check the claims of the theory, with a verdict on each",
    "export-latex": "write equations, constants and verdicts as LaTeX",
    "bench": "time the main computations",
    "fuzz-parser": "try the grammar on random texts",
}


def run_command(name: str) -> NoReturn:
    """Run the command on the arguments of this process, and leave with its exit code."""
    from deqverify.commands import _cli

    # What complaints and --help call the program.
    if not sys.argv[0].endswith(".py"):
        sys.argv[0] = f"deqverify {name}"
    _cli.run(import_module(f"deqverify.commands.{name.replace('-', '_')}").main)
