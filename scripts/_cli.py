"""What every script shares: arguments, error sentences, exit codes, provenance and files."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import sympy as sp

from theory._lexing import foreign_character
from theory.activations import Activation
from theory.expectations import DivergentMomentError
from theory.growth import GrowthError
from theory.named import NAMED
from theory.parsing import ActivationSyntaxError, parse_number
from theory.piecewise import DomainError
from theory.registry import resolve

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "CLAIM_FAILED",
    "LAWS",
    "UNDECIDED",
    "Parser",
    "UsageError",
    "activation_argument",
    "console",
    "integer_between",
    "move_into_place",
    "nonnegative",
    "number",
    "parameter",
    "prepare_output",
    "provenance",
    "resolve_text",
    "run",
    "short_number",
    "track",
    "write_json",
    "write_text",
]

_Item = TypeVar("_Item")

#: Exit codes: 0 as expected, 1 a claim fails, 2 bad use (sizes beyond memory among it), 3 undecided: nothing fails, but
#: a verdict was asked for that could not be given; 130 interrupted, 141 the reader of a pipe has gone, 143 terminated.
CLAIM_FAILED = 1
BAD_USE = 2
UNDECIDED = 3
INTERRUPTED = 130
PIPE_CLOSED = 141
TERMINATED = 143
#: Characters of an exact number that a heading shows.
_HEADING_LENGTH = 24


#: Laws of noise and weights; not taken from numerics, so that --help need not load it.
LAWS = ("gaussian", "rademacher", "uniform", "student")


class UsageError(ValueError):
    """Something the user can mend, in one sentence."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of examples, and says the default of every option that does not say it itself."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.required:
            return f"{text} (required)"
        if re.search(r"\(default|default:|by default", text) or action.default is argparse.SUPPRESS:
            return text
        if isinstance(action.default, bool):
            return f"{text} (default {'on' if action.default else 'off'})"
        return f"{text} (default {'none' if action.default in (None, []) else '%(default)s'})"


class _ShowAndLeave(argparse.Action):
    """An option that prints a text and leaves, whatever else is given."""

    def __init__(self, text: Callable[[str], str], **others: Any) -> None:
        super().__init__(nargs=0, default=argparse.SUPPRESS, **others)
        self._text = text

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        sys.stdout.write(self._text(parser.prog) + "\n")
        parser.exit()


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence, and whose examples keep their lines.

    Every script has --version, and one with --activation has --list-activations.

    Args:
        description: what the script does.
        examples: lines of the help's end.
        verdicts: what the verdicts mean that the script gives, as lines; "" where it gives none.
    """

    def __init__(self, description: str, examples: str, verdicts: str = "") -> None:
        super().__init__(
            description=description,
            epilog=f"examples:\n{examples}" + (f"\nverdicts:\n{verdicts}" if verdicts else ""),
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.add_argument("--version", action=_ShowAndLeave, text=_version, help="print the version and leave")

    def parse_args(self, args: Sequence[str] | None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse the arguments; a value may begin with a minus, as in --activation "-tanh(x)"."""
        if "--activation" in self._option_string_actions and "--list-activations" not in self._option_string_actions:
            self.add_argument(
                "--list-activations", action=_ShowAndLeave, text=_activations, help="describe the named ones and leave"
            )
            self.epilog = f"{self.epilog}\n{_activation_names()}"
        return super().parse_args(self._joined(sys.argv[1:] if args is None else args))

    def _joined(self, words: Sequence[str]) -> list[str]:
        """Join options that take one value to values that begin with a minus and are no options."""
        joined = list[str]()
        waiting = False
        for word in words:
            if waiting and len(word) > 1 and word.startswith("-") and not self._is_option(word):
                joined[-1] += f"={word}"
                waiting = False
                continue
            action = self._option_string_actions.get(word)
            waiting = action is not None and action.nargs is None
            joined.append(word)
        return joined

    def _is_option(self, word: str) -> bool:
        return word in self._option_string_actions or re.fullmatch(r"--[a-z][a-z0-9-]*(=.*)?", word) is not None

    def error(self, message: str) -> NoReturn:
        """Print the complaint and leave with exit code 2."""
        self.exit(BAD_USE, f"{self.prog}: {message} (--help shows what is accepted)\n")


def _version(program: str) -> str:
    return f"{program} (deqverify {provenance()['versions']['deqverify'] or 'of unknown version'})"


def _activation_names() -> str:
    """The end of the help where an activation is asked for."""
    names = textwrap.fill(", ".join(NAMED), 96, initial_indent="  ", subsequent_indent="  ")
    return (
        f"activations:\n{names}\n"
        '  or an expression in x such as "tanh(x) + |x|/3"; functions may be spelled as in NumPy, PyTorch or JAX\n'
        "  (docs/activations.md; --list-activations describes the names)"
    )


def _activations(_: str) -> str:
    """The named activations, with their parameters, one a line."""
    lines = []
    for name, entry in NAMED.items():
        settings = [f"{' or '.join((each.name, *each.aliases))} = {each.default}" for each in entry.parameters]
        also = f"; also {', '.join(entry.aliases)}" if entry.aliases else ""
        lines.append(f"{name:17} {entry.description}{also}{'; ' * bool(settings)}{', '.join(settings)}")
    return "\n".join(lines)


def number(text: str) -> sp.Expr:
    """Read an exact real number: 0.2 is 1/5; fractions and constants such as sqrt(2) are accepted.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    try:
        return parse_number(text)
    except ActivationSyntaxError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def short_number(value: sp.Expr) -> str:
    """Return an exact number as text, or to 15 digits where that is too long for a heading."""
    text = str(value)
    return text if len(text) <= _HEADING_LENGTH else f"{sp.N(value, 15)}..."


def integer_between(low: int, high: int) -> Callable[[str], int]:
    """Return an argument type for whole numbers in a range; it raises argparse.ArgumentTypeError."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, not {text!r}")
        return value

    return read


def parameter(text: str) -> tuple[str, sp.Expr]:
    """Read NAME=NUMBER.

    Raises:
        argparse.ArgumentTypeError: the text is not of that form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"must be NAME=NUMBER, such as a=0.1, not {text!r}")
    foreign = foreign_character(name)
    if foreign is not None:
        raise argparse.ArgumentTypeError(f"names are ASCII: {foreign}")
    return name.strip(), number(value)


def nonnegative(option: str, value: float) -> None:
    """Raise UsageError unless the value of an option is a finite number >= 0."""
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{option} must be a finite number >= 0, not {value:g}")


def resolve_text(text: str) -> Activation:
    """Return the activation of a registry name or expression; a note on stderr says how ^ is read."""
    if "^" in text:
        sys.stderr.write(f"{Path(sys.argv[0]).name}: note: ^ is read as **, a power\n")
    return resolve(text)


def activation_argument(text: str, parameters: Mapping[str, sp.Expr] | None = None) -> Activation:
    """Return the activation of a registry name or expression, its parameters given values."""
    activation = resolve_text(text).with_parameters(parameters)
    activation.check()
    return activation


def console(*, error: bool = False) -> Console:
    """Return a rich console on stdout or stderr; NO_COLOR is respected by rich itself."""
    from rich.console import Console

    return Console(stderr=error, highlight=False, soft_wrap=False)


def track(items: Sequence[_Item], description: str) -> Iterator[_Item]:
    """Yield items while a bar on stderr shows how far that is; none where stderr is no terminal."""
    from rich.progress import Progress

    shown = console(error=True)
    with Progress(console=shown, transient=True, disable=not shown.is_terminal) as progress:
        yield from progress.track(items, description=description)


def provenance(seed: int | None = None) -> dict[str, Any]:
    """Return the versions that produced a result, and its seed."""

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    names = ("deqverify", "sympy", "mpmath", "numpy", "scipy", "python-flint")
    found = {name: installed(name) for name in names}
    record: dict[str, Any] = {"versions": {"python": platform.python_version(), **found}}
    if seed is not None:
        record["seed"] = seed
    return record


def prepare_output(target: str | None, option: str = "--json") -> None:
    """Raise UsageError when a result could not be written to ``target`` later ("-" and None always can)."""
    if target in (None, "-"):
        return
    path = Path(str(target))
    if path.is_dir():
        raise UsageError(f"{option} {target}: that is a folder; give the name of a file, or - for standard output")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {target}: the folder {path.parent} does not exist; give a file in an existing one")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{option} {target}: the folder {path.parent} cannot be written to")


def write_json(target: str, record: Mapping[str, Any]) -> None:
    """Write a record to a file (all of it or nothing) or, for "-", to standard output."""
    write_text(target, json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(target: str, text: str) -> None:
    """Write a text to a file (all of it or nothing) or, for "-", to standard output."""
    if target == "-":
        sys.stdout.write(text)
        return
    path = Path(target)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as temporary:
        temporary.write(text)
    move_into_place(temporary.name, path)


def move_into_place(temporary: str, path: Path) -> None:
    """Give a finished temporary file the permissions of a new file, and its name."""
    umask = os.umask(0)
    os.umask(umask)
    Path(temporary).chmod(0o666 & ~umask)
    Path(temporary).replace(path)


def run(main: Callable[[Sequence[str] | None], int]) -> NoReturn:
    """Run a script's main function and leave with its exit code; mendable errors become one sentence and code 2."""
    from numerics.equilibrium import EquilibriumError
    from numerics.kernels import KernelConvergenceError
    from numerics.moments import MomentAccuracyError

    mendable = (
        UsageError,
        ActivationSyntaxError,
        DomainError,
        GrowthError,
        DivergentMomentError,
        EquilibriumError,
        MomentAccuracyError,
        KernelConvergenceError,
        OSError,
    )
    name = Path(sys.argv[0]).name
    try:
        code = main(None)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (head, less): nothing is left to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except mendable as error:
        sentence = " ".join(str(error).split())
        if isinstance(error, OSError) and error.strerror and error.filename:
            sentence = f"{error.filename}: {error.strerror.lower()}; give a path that can be read or written"
        sys.stderr.write(f"{name}: {sentence}\n")
        code = BAD_USE
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted\n")
        code = INTERRUPTED
    sys.exit(code)
