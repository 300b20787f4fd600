"""What every script shares: arguments, error sentences, exit codes, provenance and files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import sympy as sp

from theory.activations import Activation
from theory.expectations import DivergentMomentError
from theory.growth import GrowthError
from theory.parsing import ActivationSyntaxError, parse_number
from theory.piecewise import DomainError
from theory.realline import UndecidedError
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
    "add_budget",
    "budgeted",
    "console",
    "integer_between",
    "memory_used",
    "mendable",
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


#: Processor time of one derivation or proof by default, in seconds; what is being tried is said after so many.
BUDGET_SECONDS = 50
_FIRST_WORD_SECONDS = 10.0
#: Seconds of processor time between two looks at the time and the memory.
_TICK_SECONDS = 0.25
#: Memory beyond which a derivation or proof is stopped, in GiB.
_MOST_MEMORY = 2.0


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Add the option --budget."""
    parser.add_argument(
        "--budget",
        type=integer_between(0, 10**6),
        default=BUDGET_SECONDS,
        metavar="SECONDS",
        help=f"processor time for each derivation or proof, 0 for no limit (default {BUDGET_SECONDS})",
    )


@contextmanager
def budgeted(seconds: int) -> Iterator[None]:
    """Give a block processor time (0: without limit), and say on stderr what is being tried when it takes long.

    Args:
        seconds: processor time of this process.

    Raises:
        OverBudgetError: the block was stopped, for time or for memory.
    """
    from numerics import budget

    begun, shown = time.process_time(), _FIRST_WORD_SECONDS

    def look(_number: int, _frame: FrameType | None) -> None:
        nonlocal shown
        elapsed = time.process_time() - begun
        if elapsed >= shown:
            shown *= 2
            _say(f"still at: {budget.current_stage() or 'reading the activation'} ({elapsed:.0f} s of processor time)")
        used = memory_used()
        budget.tick(f"more than {_MOST_MEMORY:g} GiB of memory were used" if used > _MOST_MEMORY else "")

    on_main = threading.current_thread() is threading.main_thread()
    if not (on_main and hasattr(signal, "setitimer")):
        with budget.limited(seconds or None):
            yield
        return
    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _TICK_SECONDS, _TICK_SECONDS)
    try:
        # An interruptible block even without a limit, so that memory is watched.
        with budget.limited(seconds or float("inf"), interrupt=True):
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _say(line: str) -> None:
    """Write a line to stderr at once: the handler of a signal may not use its buffer."""
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    try:
        os.write(2, f"{clear}{Path(sys.argv[0]).name}: {line}\n".encode(errors="replace"))
    except OSError:
        return


def memory_used() -> float:
    """Memory of this process in GiB, now where the system says so, else at its largest; 0 where it says neither."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        pass
    else:
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**30
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30


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


def mendable() -> tuple[type[Exception], ...]:
    """Return the errors that are one sentence to the user and exit code 2."""
    from numerics.equilibrium import EquilibriumError
    from numerics.kernels import KernelConvergenceError
    from numerics.moments import MomentAccuracyError

    return (
        UsageError,
        ActivationSyntaxError,
        DomainError,
        GrowthError,
        DivergentMomentError,
        EquilibriumError,
        MomentAccuracyError,
        KernelConvergenceError,
        UndecidedError,
        OSError,
    )


def run(main: Callable[[Sequence[str] | None], int]) -> NoReturn:
    """Run a script's main function and leave with its exit code; mendable errors become one sentence and code 2."""
    from numerics.budget import OverBudgetError

    name = Path(sys.argv[0]).name
    try:
        code = main(None)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (head, less): nothing is left to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except mendable() as error:
        sentence = " ".join(str(error).split())
        if isinstance(error, OSError) and error.strerror and error.filename:
            sentence = f"{error.filename}: {error.strerror.lower()}; give a path that can be read or written"
        sys.stderr.write(f"{name}: {sentence}\n")
        code = BAD_USE
    except OverBudgetError as error:
        sys.stderr.write(f"{name}: not decided: {error}; a simpler activation, or a larger --budget, may be\n")
        code = UNDECIDED
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted\n")
        code = INTERRUPTED
    sys.exit(code)
