"""Programs that end when they should: a signal ends one as an exception, and leaves no worker behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

__all__ = ["Terminated", "leave", "termination"]

#: What joblib's process that puts its semaphores away would say when a signal has ended the program.
_NOISE = "ignore:resource_tracker:UserWarning"


class Terminated(BaseException):
    """SIGTERM has come."""


@contextmanager
def termination() -> Iterator[None]:
    """Let SIGTERM end the program as an exception in here, so that what it has begun is put away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    given = os.environ.get("PYTHONWARNINGS", "")
    if _NOISE not in given:
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [given, _NOISE]))
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one is not argued with
    raise Terminated


def leave(code: int) -> NoReturn:
    """End this process at once, without waiting for workers, which follow it; files are complete or absent."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra by one thread: the order of its sums, and so the bytes of an output, depends on the number."""
    # Only libraries that are loaded can be limited: NumPy's, and SciPy's own.
    import scipy.linalg  # noqa: F401
    import threadpoolctl

    with threadpoolctl.threadpool_limits(limits=1):
        yield
