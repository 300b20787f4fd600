"""Processes that end when they should: no signal, and no death of a parent, leaves a worker behind."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

__all__ = ["Terminated", "follow_parent", "leave", "termination"]

_PR_SET_PDEATHSIG = 1
#: Seconds between two looks at the parent, where the system does not tell of its death.
_INTERVAL = 0.5


class Terminated(BaseException):
    """SIGTERM has come."""


@contextmanager
def termination() -> Iterator[None]:
    """Let SIGTERM end the program as an exception in here, so that what it has begun is put away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
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


def follow_parent(parent: int) -> None:
    """End this worker when its parent is gone, however that ended; leave Ctrl-C, which all are sent, to the parent.

    Args:
        parent: number of the process that started this one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        # At once, even in the middle of a computation that lets no other thread run.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> NoReturn:
    """Wait for the parent's end, which gives this process another parent, and end."""
    while os.getppid() == parent:
        time.sleep(_INTERVAL)
    os._exit(1)
