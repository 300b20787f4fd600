"""Completion for shells: a script made once from the parsers of all commands, so that completing starts no Python."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from deqverify.commands import COMMANDS, command
from deqverify.commands._schemas import schema_names

__all__ = ["completion"]


def completion(shell: str) -> str:
    """Return the script that completes ``deqverify`` in a shell.

    Args:
        shell: "bash" or "zsh".

    Raises:
        ValueError: another shell.
    """
    import shtab

    if shell not in ("bash", "zsh"):
        raise ValueError(f"completion is made for bash and zsh, not {shell!r}")
    return str(shtab.complete(_everything(), shell))


def _everything() -> argparse.ArgumentParser:
    """One parser with all commands below it; it is never run."""
    import shtab

    whole = argparse.ArgumentParser("deqverify", description="front door", allow_abbrev=False)
    whole.add_argument("--version", action="store_true", help="print the version and leave")
    whole.add_argument("--print-completion", choices=("bash", "zsh"), help="print a completion script")
    whole.add_argument("--print-schema", choices=schema_names(), help="print the JSON Schema of what --json writes")
    below = whole.add_subparsers()
    names = _names()
    for name, meaning in COMMANDS.items():
        parser = command(name).parser()
        for action in parser._actions:
            if action.metavar in ("PATH", "FILE"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar == "DIR":
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.dest in names:
                action.choices = list(names[action.dest])
        below.add_parser(name, help=meaning, parents=[parser], add_help=False)
    return whole


def _names() -> dict[str, Iterable[str]]:
    """Values that options are given by name, although they take others too."""
    from theory.claims import CLAIMS, planted_errors
    from theory.kernels import Kernel
    from theory.named import FAMILY_NAMES, NAMED

    return {
        "activation": NAMED,
        "claims": CLAIMS,
        "family": FAMILY_NAMES,
        "kernel": [kernel.value for kernel in Kernel],
        "variant": [name for name in planted_errors() if " " not in name],
    }
