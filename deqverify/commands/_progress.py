"""What a terminal shows while a command works: the console, bars, and a line every ten seconds elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from deqverify.commands._errors import program

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "progress", "say", "track"]

_Item = TypeVar("_Item")


#: Between two lines that say how far a run is, where stderr is no terminal.
_PROGRESS_SECONDS = 10.0


def say(line: str) -> None:
    """Write a line to stderr at once: the handler of a signal may not use its buffer."""
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    try:
        os.write(2, f"{clear}{program()}: {line}\n".encode(errors="replace"))
    except OSError:
        return


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
            say(f"{description}{far} ({time.monotonic() - begun:.0f} s)")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield advance
    finally:
        finished.set()
        teller.join()
