"""``python -m deqverify`` and the command ``deqverify``: one subcommand for each command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from deqverify.commands import COMMANDS, _errors, _running, command

__all__ = ["main"]

_COMPLETION = "--print-completion"
_SCHEMA = "--print-schema"
#: What a shell's completion is printed for.
_SHELLS = ("bash", "zsh")
_HELP_WORDS = ("-h", "--help", "help")


def main() -> NoReturn:
    """Run the command that the first argument names on the rest, and leave with its exit code."""
    # What messages and help call the program, however it was started.
    sys.argv[0] = "deqverify"
    _running.run(_front)


def _front(_: Sequence[str] | None) -> int:
    words = sys.argv[1:] or ["--help"]
    if words[0] == "help" and words[1:]:
        words = [words[1], "--help"]
    name, *others = words
    if name in COMMANDS:
        sys.argv = [f"deqverify {name}", *others]
        return command(name).main(None)
    if name in _HELP_WORDS:
        sys.stdout.write(_help())
    elif name == "--version":
        from deqverify import __version__

        sys.stdout.write(f"deqverify {__version__}\n")
    elif name.partition("=")[0] == _COMPLETION:
        _print_completion(name.partition("=")[2] or next(iter(others), ""))
    elif name.partition("=")[0] == _SCHEMA:
        _print_schema(name.partition("=")[2] or next(iter(others), ""))
    else:
        raise _errors.UsageError(_unknown(name))
    return 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    rows = "".join(f"  {name:<{width}}  {meaning}\n" for name, meaning in COMMANDS.items())
    return (
        "usage: deqverify COMMAND [OPTIONS]\n\n"
        "Checks, exactly and in digits, the high-dimensional kernel theory of deep\nequilibrium models.\n\n"
        f"commands:\n{rows}\n"
        "options:\n"
        "  -h, --help                     show this help, or after COMMAND the command's\n"
        "  --version                      print the version and leave\n"
        f"  {_COMPLETION} {{{','.join(_SHELLS)}}}  print a script that completes in that shell\n"
        f"  {_SCHEMA} NAME            print the JSON Schema of a record of --json\n\n"
        'Bash completes after: eval "$(deqverify --print-completion bash)"\n'
        "Zsh: deqverify --print-completion zsh > ~/.zfunc/_deqverify, a folder of fpath.\n"
    )


def _unknown(name: str) -> str:
    """The complaint about a word that is no command, with the one that may be meant."""
    from difflib import get_close_matches

    if name.startswith("-"):
        return f"there is no option {name} before the command; give one of {', '.join(COMMANDS)} first"
    near = get_close_matches(name.lower().replace("_", "-").removesuffix(".py"), COMMANDS, 1)
    meant = f"did you mean {near[0]}?" if near else f"accepted are {', '.join(COMMANDS)}"
    return f"there is no command {name!r}: {meant} (deqverify --help says what each is for)"


def _print_completion(shell: str) -> None:
    if shell not in _SHELLS:
        raise _errors.UsageError(f"{_COMPLETION} {shell}".rstrip() + f": accepted are {' and '.join(_SHELLS)}")
    from deqverify.commands._completion import completion

    sys.stdout.write(completion(shell))


def _print_schema(name: str) -> None:
    from deqverify.commands._schemas import schema_names, schema_text

    if name not in schema_names():
        raise _errors.UsageError(f"{_SCHEMA} {name}".rstrip() + f": accepted are {', '.join(schema_names())}")
    sys.stdout.write(schema_text(name))


if __name__ == "__main__":
    main()
