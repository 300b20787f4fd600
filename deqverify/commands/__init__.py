"""The commands: one module each, run by ``deqverify COMMAND`` or by the script of its name.

A command's module has ``parser()``, which gives its parser and computes nothing, and ``main(argv)``, which does the
work and returns the exit code.  Nothing that takes time is imported with it: ``--help`` loads neither SymPy nor NumPy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

__all__ = ["COMMANDS", "Command", "command", "run_command"]

#: Each command, and what it is for in one line.
COMMANDS = {
    "solve": "solve a DEQ's equations, with every digit proved",
    "derive": "derive its equations and moments in closed form",
    "spectrum": "predict a kernel's spectrum, and measure it beside",
    "learn": "predict what a kernel learns, and measure it beside",
    "converge": "measure how fast the errors fall with p, or with the width",
    "design": "find the explicit network that has a DEQ's kernel",
    "verify": "check the claims of the theory, with a verdict on each",
    "reproduce": "repeat the released code's experiments, and correct them",
    "export-latex": "write equations, constants and verdicts as LaTeX",
    "bench": "time the main computations",
    "fuzz-parser": "try the grammar on random texts",
}


class Command(Protocol):
    """What the module of a command offers."""

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser of its arguments."""

    def main(self, argv: Sequence[str] | None) -> int:
        """Run on some arguments, by default those of this process, and return the exit code."""


def command(name: str) -> Command:
    """Return the module of a command.

    Args:
        name: one of ``COMMANDS``.

    Raises:
        KeyError: there is no such command.
    """
    if name not in COMMANDS:
        raise KeyError(name)
    return cast("Command", import_module(f"deqverify.commands.{name.replace('-', '_')}"))


def run_command(name: str) -> NoReturn:
    """Run the command on the arguments of this process, and leave with its exit code."""
    try:
        from deqverify.commands import _running

        _running.run(lambda argv: command(name).main(argv))
    except KeyboardInterrupt:  # while the modules that would say so were loaded
        sys.stderr.write("interrupted\n")
        sys.exit(130)
