"""What every script shares: arguments, error sentences, exit codes, provenance and files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import sympy as sp

from theory.activations import Activation
from theory.expectations import DivergentMomentError
from theory.growth import GrowthError
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
    "number",
    "parameter",
    "prepare_output",
    "provenance",
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
#: Between two lines that say how far a run is, where stderr is no terminal.
_PROGRESS_SECONDS = 10.0


#: Laws of noise and weights; not taken from numerics, so that --help need not load it.
LAWS = ("gaussian", "rademacher", "uniform", "student")


class UsageError(ValueError):
    """Something the user can mend, in one sentence."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence, and whose examples keep their lines."""

    def __init__(self, description: str, examples: str) -> None:
        super().__init__(
            description=description,
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Print the complaint and leave with exit code 2."""
        self.exit(BAD_USE, f"{self.prog}: {message} (--help shows what is accepted)\n")


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
    return name.strip(), number(value)


def activation_argument(text: str, parameters: Mapping[str, sp.Expr] | None = None) -> Activation:
    """Return the activation of a registry name or expression, its parameters given values."""
    activation = resolve(text).with_parameters(parameters)
    activation.check()
    return activation


def console(*, error: bool = False) -> Console:
    """Return a rich console on stdout or stderr; NO_COLOR is respected by rich itself."""
    from rich.console import Console

    return Console(stderr=error, highlight=False, soft_wrap=False)


def track(items: Iterable[_Item], description: str, total: int | None = None) -> Iterator[_Item]:
    """Yield items while stderr shows how far that is: a bar on a terminal, elsewhere a line every ten seconds.

    ``total`` is how many there are, by default the length of the items.
    """
    from rich.progress import Progress

    count = len(items) if total is None and isinstance(items, Sized) else total
    shown = console(error=True)
    if shown.is_terminal:
        with Progress(console=shown, transient=True) as progress:
            yield from progress.track(items, total=count, description=description)
        return
    last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last >= _PROGRESS_SECONDS:
            last = now
            sys.stderr.write(f"{description}: {done} of {count} done\n")
            sys.stderr.flush()
        yield item


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
        FloatingPointError,
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
