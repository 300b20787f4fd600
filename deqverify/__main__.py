"""``python -m deqverify`` and the command ``deqverify``: one subcommand for each command."""

from __future__ import annotations

import sys

from deqverify.commands import COMMANDS, run_command

__all__ = ["main"]

_USAGE = 2


def main() -> None:
    """Run the command that the first argument names, on the rest."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        sys.argv[:2] = [f"deqverify {name}"]
        run_command(name)
    if name in ("-h", "--help"):
        sys.stdout.write(_help())
    elif name == "--version":
        from deqverify import __version__

        sys.stdout.write(f"deqverify {__version__}\n")
    else:
        sys.stderr.write(f"deqverify: there is no command {name!r}: accepted are {', '.join(COMMANDS)}\n")
        sys.exit(_USAGE)


def _help() -> str:
    width = max(map(len, COMMANDS))
    rows = "".join(f"  {name:<{width}}  {meaning}\n" for name, meaning in COMMANDS.items())
    return (
        "usage: deqverify COMMAND [OPTIONS]\n\n"
        "Checks, exactly and in digits, the high-dimensional kernel theory of deep equilibrium models.\n\n"
        f"commands:\n{rows}\n"
        "deqverify COMMAND --help shows a command's options and examples; deqverify --version the version.\n"
    )


if __name__ == "__main__":
    main()
