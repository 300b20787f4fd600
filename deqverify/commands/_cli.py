"""What every script shares: arguments, error sentences, exit codes, provenance and files."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import signal
import stat
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from deqverify.commands import _help
from deqverify.commands._processes import Terminated, leave, termination
from deqverify.commands._streams import is_closed, is_unicode, prepare_streams, silence
from theory.kernels import Kernel, UnknownKernelError
from theory.named import NAMED

if TYPE_CHECKING:
    import sympy as sp
    from rich.console import Console

    from theory.activations import Activation

__all__ = [
    "CLAIM_FAILED",
    "UNDECIDED",
    "Parser",
    "UndecidedError",
    "UsageError",
    "activation_argument",
    "add_budget",
    "budgeted",
    "console",
    "integer_between",
    "kernel_argument",
    "memory_used",
    "mendable",
    "nonnegative",
    "number",
    "one_blas_thread",
    "parameter",
    "prepare_output",
    "progress",
    "provenance",
    "resolve_text",
    "run",
    "short_number",
    "track",
    "verdict_lines",
    "write_bytes",
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
_CODES = """\
exit codes:
  0    as expected
  1    a claim or a target fails
  2    bad use
  3    undecided
  130  interrupted
  141  the reader has gone
  143  terminated"""
_ACTIVATIONS = f"""\
activations:
  {", ".join(NAMED)}
  or an expression in x such as "tanh(x) + |x|/3"; functions may be spelled as in NumPy, PyTorch or JAX
  (--list-activations describes the names)"""
#: Characters of an exact number that a heading shows.
_HEADING_LENGTH = 24
#: Between two lines that say how far a run is, where stderr is no terminal.
_PROGRESS_SECONDS = 10.0


class UsageError(ValueError):
    """Something the user can mend, in one sentence."""


class UndecidedError(Exception):
    """A verdict that was asked for and cannot be given, in one sentence."""


def program() -> str:
    """What complaints and help call this program: "deqverify solve", or "solve.py" where that was called."""
    return Path(sys.argv[0]).name


class _Formatter(argparse.HelpFormatter):
    """Lays out paragraphs and examples, and says the default of every option that does not say it itself."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return _help.laid_out(text, width)

    def _get_help_string(self, action: argparse.Action) -> str:
        text = _help.spelled(action.help or "", self._prog)
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

    Every command has --version.  Texts name commands as in "deqverify solve", and are shown as the user calls them.

    Args:
        description: what the command does.
        examples: lines of the help's end.
        verdicts: what the verdicts mean that the command gives, as lines; "" where it gives none.
        activations: whether it takes activations: then it has --list-activations.
    """

    def __init__(self, description: str, examples: str, verdicts: str = "", *, activations: bool = False) -> None:
        name = program()
        ends = ["examples:", examples.rstrip("\n"), "", _CODES]
        ends += ["", "verdicts:", verdicts] if verdicts else []
        ends += ["", _ACTIVATIONS] if activations else []
        super().__init__(
            prog=name,
            description=_help.spelled(description, name),
            epilog=_help.spelled("\n".join(ends), name),
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.add_argument("--version", action=_ShowAndLeave, text=_version, help="print the version and leave")
        if activations:
            self.add_argument(
                "--list-activations", action=_ShowAndLeave, text=_activations, help="describe the named ones and leave"
            )

    def parse_args(self, args: Sequence[str] | None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse the arguments; a value may begin with a minus, as in --activation "-tanh(x)".

        Raises:
            UsageError: an output that could not be written, or a second one to the same path.
        """
        arguments = super().parse_args(self._joined(sys.argv[1:] if args is None else args))
        self._check_outputs(arguments)
        return arguments

    def _check_outputs(self, arguments: argparse.Namespace) -> None:
        outputs: dict[str, str] = {}
        for action in self._actions:
            target = getattr(arguments, action.dest, None)
            if action.metavar not in ("PATH", "DIR") or target is None:
                continue
            option = action.option_strings[0]
            if action.metavar == "PATH":
                target = _other_name_of_standard_output(target)
                setattr(arguments, action.dest, target)
                prepare_output(target, option)
            elif not target:
                raise UsageError(f"{option}: the path is empty; give the name of a folder")
            outputs[option] = target
        _refuse_same_paths(outputs)

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
    from deqverify import __version__

    return f"{program} (deqverify {__version__})"


def _activations(_: str) -> str:
    """The named activations, with their parameters, one a line."""
    lines = []
    for name, entry in NAMED.items():
        settings = [f"{' or '.join((each.name, *each.aliases))} = {each.default}" for each in entry.parameters]
        also = f"; also {', '.join(entry.aliases)}" if entry.aliases else ""
        lines.append(f"{name:17} {entry.description}{also}{'; ' * bool(settings)}{', '.join(settings)}")
    return "\n".join(lines)


def verdict_lines(meanings: Mapping[str, str]) -> str:
    """The end of a help that says what verdicts mean: each by name, with its meaning beside it."""
    width = max(map(len, meanings))
    lines = []
    for name, meaning in meanings.items():
        lead = f"  {name:<{width}}  "
        lines.append(textwrap.fill(meaning, 100, initial_indent=lead, subsequent_indent=" " * len(lead)))
    return "\n".join(lines)


def number(text: str) -> sp.Expr:
    """Read an exact real number: 0.2 is 1/5; fractions and constants such as sqrt(2) are accepted.

    Raises:
        argparse.ArgumentTypeError: the text is not one.
    """
    from theory.grammar import ActivationSyntaxError, parse_number

    try:
        return parse_number(text)
    except ActivationSyntaxError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def short_number(value: sp.Expr) -> str:
    """Return an exact number as text, or to 15 digits where that is too long for a heading."""
    import sympy as sp

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
    from theory.grammar import foreign_character

    foreign = foreign_character(name)
    if foreign is not None:
        raise argparse.ArgumentTypeError(f"names are ASCII: {foreign}")
    return name.strip(), number(value)


def kernel_argument(text: str) -> Kernel:
    """Read the name of a kernel; raises argparse.ArgumentTypeError."""
    try:
        return Kernel.read(text)
    except UnknownKernelError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def nonnegative(option: str, value: float) -> None:
    """Raise UsageError unless the value of an option is a finite number >= 0."""
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{option} must be a finite number >= 0, not {value:g}")


def resolve_text(text: str) -> Activation:
    """Return the activation of a registry name or expression; a note on stderr says how ^ is read."""
    from theory.activations import resolve

    if "^" in text:
        sys.stderr.write(f"{program()}: note: ^ is read as **, a power\n")
    return resolve(text)


def activation_argument(text: str, parameters: Mapping[str, sp.Expr] | None = None) -> Activation:
    """Return the activation of a registry name or expression, its parameters given values."""
    from numerics.budget import stage

    with stage("reading the activation"):
        activation = resolve_text(text).with_parameters(parameters)
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
    from numerics.budget import current_stage, limited, tick

    begun, shown = time.process_time(), _FIRST_WORD_SECONDS

    def look(_number: int, _frame: FrameType | None) -> None:
        nonlocal shown
        elapsed = time.process_time() - begun
        if elapsed >= shown:
            shown *= 2
            _say(f"still at: {current_stage() or 'the work'} ({elapsed:.0f} s of processor time)")
        used = memory_used()
        tick(f"more than {_MOST_MEMORY:g} GiB of memory were used" if used > _MOST_MEMORY else "")

    on_main = threading.current_thread() is threading.main_thread()
    if not (on_main and hasattr(signal, "setitimer")):
        with limited(seconds or None):
            yield
        return
    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _TICK_SECONDS, _TICK_SECONDS)
    try:
        # An interruptible block even without a limit, so that memory is watched.
        with limited(seconds or float("inf"), interrupt=True):
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _say(line: str) -> None:
    """Write a line to stderr at once: the handler of a signal may not use its buffer."""
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    try:
        os.write(2, f"{clear}{program()}: {line}\n".encode(errors="replace"))
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

    class PlainConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would leave with 1, which is the code of a claim that fails

    return PlainConsole(stderr=error, highlight=False, soft_wrap=False)


def track(items: Iterable[_Item], description: str, total: int | None = None) -> Iterator[_Item]:
    """Yield items while stderr shows how far that is: a bar on a terminal, elsewhere a line every ten seconds.

    ``total`` is how many there are, by default the length of the items.
    """
    count = len(items) if total is None and isinstance(items, Sized) else total
    with progress(description, count) as advance:
        for item in items:
            yield item
            advance()


@contextmanager
def progress(description: str, total: int | None = None, completed: int = 0) -> Iterator[Callable[[], None]]:
    """Show on stderr how far a block is: a bar on a terminal, elsewhere a line every ten seconds.

    The line is written by a thread of its own, so that it comes while one long piece is being computed too.

    Args:
        description: what is being done.
        total: how many pieces there are; None for a block that has none.
        completed: how many of them were there before.

    Yields:
        A function to call when a piece is done.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    shown = console(error=True)
    if shown.is_terminal:
        columns = [TextColumn("{task.description}"), BarColumn(), *[MofNCompleteColumn()] * (total is not None)]
        with Progress(*columns, TimeElapsedColumn(), console=shown, transient=True) as bar:
            task = bar.add_task(description, total=total, completed=completed)
            yield lambda: bar.advance(task)
        return
    done, finished, begun = [completed], threading.Event(), time.monotonic()

    def advance() -> None:
        done[0] += 1

    def tell() -> None:
        while not finished.wait(_PROGRESS_SECONDS):
            far = "" if total is None else f": {done[0]} of {total} done"
            _say(f"{description}{far} ({time.monotonic() - begun:.0f} s)")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield advance
    finally:
        finished.set()
        teller.join()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra by one thread: the order of its sums, and so the bytes of an output, depends on the number."""
    # Only libraries that are loaded can be limited: NumPy's, and SciPy's own.
    import scipy.linalg  # noqa: F401
    import threadpoolctl

    with threadpoolctl.threadpool_limits(limits=1):
        yield


def provenance(seed: int | None = None) -> dict[str, Any]:
    """Return the versions that produced a result, and its seed."""
    from numerics import records

    return records.provenance(seed)


def prepare_output(target: str | None, option: str = "--json") -> None:
    """Raise UsageError when a result could not be written to ``target`` later ("-" and None always can)."""
    if target == "-" and is_closed("stdout"):
        raise UsageError(f"{option} -: standard output is closed; give the name of a file")
    if target is None or target == "-":
        return
    if not target:
        raise UsageError(f"{option}: the path is empty; give the name of a file, or - for standard output")
    try:
        found = _status(target)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"{option} {target}: {reason}; give the name of a file that can be written") from error
    if target.endswith(os.sep) or (found is not None and stat.S_ISDIR(found.st_mode)):
        raise UsageError(f"{option} {target}: that is a folder; give the name of a file, or - for standard output")
    if found is not None and (stat.S_ISSOCK(found.st_mode) or not os.access(target, os.W_OK)):
        raise UsageError(f"{option} {target}: that cannot be written to; give the name of a file that can be")
    if found is None or (stat.S_ISREG(found.st_mode) and _stream(found) is None):
        folder = (Path(os.path.realpath(target)) if Path(target).is_symlink() else Path(target)).parent
        if not folder.is_dir():
            raise UsageError(f"{option} {target}: the folder {folder} does not exist; give a file in an existing one")
        try:
            # Tried rather than asked for: permissions do not tell of a file system that is read-only.
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            reason = f" ({error.strerror.lower()})" if error.strerror else ""
            raise UsageError(f"{option} {target}: the folder {folder} cannot be written to{reason}") from error


def _refuse_same_paths(outputs: Mapping[str, str]) -> None:
    """Raise UsageError when two options name the same file or folder, whatever they call it."""
    written: dict[object, str] = {}
    for option, target in outputs.items():
        found = os.fstat(sys.stdout.fileno()) if target == "-" and _has_descriptor() else _status(target)
        place = os.path.realpath(target) if found is None else (found.st_dev, found.st_ino)
        if found is not None and _is_null(found):
            continue
        if place in written:
            where = "standard output" if target == "-" else target
            raise UsageError(f"{written[place]} and {option} would both write to {where}; give each a path of its own")
        written[place] = option


def _has_descriptor() -> bool:
    """Whether standard output is a file of the system, which a test's may not be."""
    try:
        return sys.stdout.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False


def _status(target: str) -> os.stat_result | None:
    """What is at a path, links followed, or None where nothing is."""
    try:
        return Path(target).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_null(found: os.stat_result) -> bool:
    """Whether this is /dev/null, which any number of outputs may share."""
    return os.path.samestat(found, Path(os.devnull).stat())


def _stream(found: os.stat_result) -> int | None:
    """The descriptor of standard output or standard error where a file is one of them."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(found, os.fstat(descriptor)):
                return descriptor
    return None


def _other_name_of_standard_output(target: str) -> str:
    """Give "-" where a path is one, such as /dev/stdout, and otherwise the path."""
    with suppress(OSError, ValueError):
        found = _status(target) if target else None
        if found is not None and _stream(found) == 1 and not _is_null(found):
            return "-"
    return target


def write_json(target: str, record: Mapping[str, Any]) -> None:
    """Write a record to a file (all of it or nothing) or, for "-", to standard output."""
    # JSON is UTF-8: to a stream of another encoding everything beyond ASCII is written as an escape.
    plain = target == "-" and not is_unicode(sys.stdout)
    write_text(target, json.dumps(record, indent=2, ensure_ascii=plain, allow_nan=False) + "\n")


def write_text(target: str, text: str) -> None:
    """Write a text to a file (all of it or nothing) or, for "-", to standard output."""
    if target == "-":
        sys.stdout.write(text)
    else:
        write_bytes(target, text.encode("utf-8", "backslashreplace"))


def write_bytes(target: str, content: bytes) -> None:
    """Write to a file, all of it or nothing; a link is followed, and a device or a pipe written through.

    Raises:
        UsageError: it cannot be written, for a full disk for one.
    """
    from numerics.records import remove_stale_drafts, write_whole

    # What was printed before comes first, wherever it goes.
    sys.stdout.flush()
    try:
        found = _status(target)
        stream = None if found is None else _stream(found)
        if stream is not None or (found is not None and not stat.S_ISREG(found.st_mode)):
            with open(target if stream is None else stream, "wb", closefd=stream is None) as file:
                file.write(content)
            return
        path = Path(os.path.realpath(target))
        remove_stale_drafts(path.parent)
        write_whole(path, content, None if found is None else stat.S_IMODE(found.st_mode))
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"{target} could not be written: {reason}; give a path that has room for it") from error


def mendable() -> tuple[type[Exception], ...]:
    """Return the errors that are one sentence to the user and exit code 2."""
    from numerics.kernels import KernelConvergenceError
    from numerics.moments import MomentAccuracyError
    from theory.analysis import DomainError, GrowthError
    from theory.analysis import UndecidedError as UndecidedComparisonError
    from theory.equations import EquilibriumError
    from theory.grammar import ActivationSyntaxError
    from theory.moments import DivergentMomentError

    return (
        UsageError,
        ActivationSyntaxError,
        DomainError,
        GrowthError,
        DivergentMomentError,
        EquilibriumError,
        MomentAccuracyError,
        KernelConvergenceError,
        UndecidedComparisonError,
        FloatingPointError,
        OSError,
    )


def run(main: Callable[[Sequence[str] | None], int]) -> NoReturn:
    """Run a command's main function and leave with its exit code; mendable errors become one sentence and code 2."""
    from numerics.budget import OverBudgetError

    prepare_streams()
    try:
        with termination():
            code = main(None)
        sys.stdout.flush()
    except SystemExit:
        # First, so that --help does not load the modules that the other errors come from.
        raise
    except BrokenPipeError:
        # The reader has gone (head, less): nothing is left to say, and nobody to say it to.
        silence(sys.stdout)
        code = PIPE_CLOSED
    except (KeyboardInterrupt, Terminated) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        _complain("interrupted" if interrupted else "terminated")
        leave(INTERRUPTED if interrupted else TERMINATED)
    except UndecidedError as error:
        _complain(str(error))
        code = UNDECIDED
    except OverBudgetError as error:
        _complain(f"not decided: {error}; a simpler activation, or a larger --budget, may be decided")
        code = UNDECIDED
    except MemoryError as error:
        # Found before anything is allocated, it says which sizes are too large; NumPy's says how much was asked for.
        sentence = " ".join(str(error).split()) or "an allocation failed"
        if "smaller sizes" not in sentence:
            sentence = f"out of memory ({sentence}); smaller sizes or fewer jobs are accepted"
        _complain(sentence)
        code = BAD_USE
    except UsageError as error:
        _complain(str(error))
        code = BAD_USE
    except mendable() as error:
        _complain(_system_sentence(error) if isinstance(error, OSError) else str(error))
        code = BAD_USE
    sys.exit(code)


def _complain(sentence: str) -> None:
    """Write one line to stderr, under the program's name."""
    name = program()
    sys.stderr.write(f"{name}: {_help.spelled(' '.join(sentence.split()), name)}\n")


def _system_sentence(error: OSError) -> str:
    """What the system refused, and what would be accepted."""
    if error.strerror and error.filename:
        return f"{error.filename}: {error.strerror.lower()}; give a path that can be read or written"
    if not error.strerror:
        return " ".join(str(error).split())
    # Every other file is named.
    silence(sys.stdout)
    return f"standard output could not be written: {error.strerror.lower()}; send it where there is room"
