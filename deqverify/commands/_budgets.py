"""The option --budget: processor time and memory of one derivation or proof."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from deqverify.commands._options import integer_between
from deqverify.commands._progress import say

__all__ = ["BUDGET_SECONDS", "add_budget", "budgeted", "memory_used"]

#: Processor time of one derivation or proof by default, in seconds; what is being tried is said after so many.
BUDGET_SECONDS = 50


_FIRST_WORD_SECONDS = 10.0


#: Seconds of processor time between two looks at the time and the memory.
_TICK_SECONDS = 0.25


#: Memory beyond which a derivation or proof is stopped, in GiB.
_MOST_MEMORY = 2.0


#: Where the import system's own code says that it is.
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"


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

    def look(_number: int, frame: FrameType | None) -> None:
        nonlocal shown
        # A half-made module would fail later, and an import in here would unlock what the one outside has locked.
        if _is_importing(frame):
            return
        elapsed = time.process_time() - begun
        if elapsed >= shown:
            shown *= 2
            say(f"still at: {current_stage() or 'the work'} ({elapsed:.0f} s of processor time)")
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


def _is_importing(frame: FrameType | None) -> bool:
    """Whether this frame, or one that it was called from, is of the import system."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_SYSTEM:
            return True
        frame = frame.f_back
    return False


def memory_used() -> float:
    """Memory of this process in GiB, now where the system says so, else at its largest; 0 where it says neither."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        pass
    else:
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**30
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30
