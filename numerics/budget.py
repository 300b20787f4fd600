"""Processor time for derivations and proofs: what is being tried, how much time is left, and giving up in good order.

Nothing is limited unless a caller says so.  ``limited`` gives a block of code seconds of processor time, ``share`` a
part of what is left.  Loops call ``checkpoint``, which raises ``OverBudgetError`` once the time is spent, so that they
stop between two steps.  Calls into SymPy have no such loops: around them ``limited`` and ``share`` take
``interrupt=True``, and ``tick`` stops them wherever they are.  A script calls it from a timer; without a timer only
checkpoints count.  What was stopped by time is never stored.

Time decides only whether there is a result and how it was found, never its value: a closed form that is not found in
time is replaced by the integral, and a proof that is not by a number without one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "Interruption",
    "OverBudgetError",
    "checkpoint",
    "current_stage",
    "limited",
    "share",
    "spent",
    "stage",
    "tick",
]


class OverBudgetError(ArithmeticError):
    """Work that was given up because its processor time was spent, and what it was."""


class Interruption(BaseException):
    """A block that is being stopped, raised by ``tick``; the block's end turns it into OverBudgetError.

    No ``except Exception`` of a library catches it.
    """

    def __init__(self, limit: _Limit, reason: str) -> None:
        super().__init__(reason)
        self.limit = limit


class _Limit:
    """A deadline in seconds of the process's processor time."""

    def __init__(self, deadline: float, seconds: float, *, interrupt: bool) -> None:
        self.deadline, self.seconds, self.interrupt = deadline, seconds, interrupt


#: Seconds of processor time of this process.
_clock = time.process_time
#: Innermost last.
_limits: list[_Limit] = []
_stages: list[tuple[str, object]] = []


@contextmanager
def limited(seconds: float | None, *, interrupt: bool = False) -> Iterator[None]:
    """Give a block processor time; a block inside another has at most what that one has left.

    Args:
        seconds: processor time of this process; None for no limit of its own.
        interrupt: whether ``tick`` may stop the block anywhere, and not only at its checkpoints.

    Raises:
        OverBudgetError: the block was stopped.
    """
    if seconds is None:
        yield
        return
    now = _clock()
    deadline = min([now + seconds, *(limit.deadline for limit in _limits)])
    limit = _Limit(deadline, deadline - now, interrupt=interrupt)
    depth = len(_stages)
    _limits.append(limit)
    try:
        yield
    except Interruption as interruption:
        if interruption.limit is not limit:
            raise
        raise OverBudgetError(str(interruption)) from None
    finally:
        _limits.remove(limit)
        del _stages[depth:]


@contextmanager
def share(part: float, *, interrupt: bool = False) -> Iterator[None]:
    """Give a block a part of the processor time that is left; without a limit it has none.

    Args:
        part: of the time left, between 0 and 1.
        interrupt: as in ``limited``.

    Raises:
        OverBudgetError: the block was stopped.
    """
    left = _limits[-1].deadline - _clock() if _limits else None
    with limited(None if left is None else max(0.0, part * left), interrupt=interrupt):
        yield


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Say what a block does, such as "certifying tau_*", for messages and for whoever waits.

    Args:
        what: a phrase that fits behind "still at" and "while".
    """
    entry = (what, object())
    _stages.append(entry)
    try:
        yield
    finally:
        if entry in _stages:
            del _stages[_stages.index(entry) :]


def current_stage() -> str | None:
    """Return what is being done, or None."""
    return _stages[-1][0] if _stages else None


def spent() -> bool:
    """Return whether the time of the innermost block is over."""
    return bool(_limits) and _clock() >= _limits[-1].deadline


def checkpoint() -> None:
    """Raise OverBudgetError where the time of the innermost block is over."""
    if spent():
        raise OverBudgetError(_reason(_limits[-1]))


def tick(lack: str = "") -> None:
    """Stop a block that may be stopped anywhere; called by a script's timer.

    Args:
        lack: what else than time is used up, such as memory, as a sentence without its end: the innermost block is
            stopped.  Without it the outermost block whose time is over is.

    Raises:
        Interruption: a block is stopped.
    """
    now = _clock()
    for limit in reversed(_limits) if lack else _limits:
        if limit.interrupt and (lack or now >= limit.deadline):
            raise Interruption(limit, f"{lack}{_doing()}" if lack else _reason(limit))


def _reason(limit: _Limit) -> str:
    return f"{limit.seconds:.3g} s of processor time were spent{_doing()}"


def _doing() -> str:
    return f" while {_stages[-1][0]}" if _stages else ""
