"""Exit codes, and the errors that are one sentence to the user."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = [
    "BAD_USE",
    "CLAIM_FAILED",
    "INTERRUPTED",
    "PIPE_CLOSED",
    "TERMINATED",
    "UNDECIDED",
    "UndecidedError",
    "UsageError",
    "program",
]

#: Exit codes: 0 as expected, 1 a claim fails, 2 bad use (sizes beyond memory among it), 3 undecided: nothing fails, but
#: a verdict was asked for that could not be given; 130 interrupted, 141 the reader of a pipe has gone, 143 terminated.
CLAIM_FAILED = 1


BAD_USE = 2


UNDECIDED = 3


INTERRUPTED = 130


PIPE_CLOSED = 141


TERMINATED = 143


class UsageError(ValueError):
    """Something the user can mend, in one sentence."""


class UndecidedError(Exception):
    """A verdict that was asked for and cannot be given, in one sentence."""


def program() -> str:
    """What complaints and help call this program: "deqverify solve", or "solve.py" where that was called."""
    return Path(sys.argv[0]).name
