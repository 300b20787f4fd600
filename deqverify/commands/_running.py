"""How a command is run: errors become one sentence and an exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from deqverify.commands import _help
from deqverify.commands._errors import (
    BAD_USE,
    INTERRUPTED,
    PIPE_CLOSED,
    TERMINATED,
    UNDECIDED,
    UndecidedError,
    UsageError,
    program,
)
from deqverify.commands._processes import Terminated, leave, termination
from deqverify.commands._streams import prepare_streams, silence

__all__ = ["mendable", "run"]


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
        # Ctrl-C pressed twice says no more than once.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
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
