"""The options of commands that run campaigns, and how far a campaign is on stderr (``numerics.records`` runs it)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deqverify.commands import _errors, _options, _progress

if TYPE_CHECKING:
    import argparse

    from numerics.records import CellKey, Progress

__all__ = ["BACKENDS", "add_arguments", "prepare", "run_campaign"]

#: What ``numerics.records.run_campaign`` runs on.
BACKENDS = ("loky", "threading", "dask")
#: Seconds between two lines that say how far a campaign is, where stderr is no terminal.
_LINE_SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --jobs, --backend and --resume."""
    parser.add_argument("--jobs", type=_options.integer_between(1, 1024), help="workers (default: one a core)")
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="loky",
        help="what joblib runs on: processes, threads, or a Dask cluster (the one at DASK_SCHEDULER_ADDRESS if set)",
    )
    parser.add_argument(
        "--resume",
        metavar="DIR",
        help="keep a record of every finished cell in this folder, and compute only what is not there yet",
    )


def prepare(arguments: argparse.Namespace) -> Path | None:
    """Check --backend and --resume, and return the folder of records.

    Raises:
        UsageError: a folder that cannot be made or written to, or a backend that is not installed.
    """
    if arguments.backend == "dask" and find_spec("distributed") is None:
        raise _errors.UsageError(
            "--backend dask: Dask is not installed; install the package distributed, or use --backend loky"
        )
    if arguments.resume is None:
        return None
    from numerics.records import remove_stale_drafts

    folder = Path(arguments.resume)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise _errors.UsageError(
            f"--resume {folder}: {reason}; give a folder that exists, or a new one inside one that does"
        ) from error
    if not os.access(folder, os.W_OK):
        raise _errors.UsageError(f"--resume {folder}: the folder cannot be written to")
    remove_stale_drafts(folder)
    return folder


def run_campaign(
    compute: Callable[[CellKey], Mapping[str, Any]],
    cells: Sequence[CellKey],
    question: Mapping[str, Any],
    *,
    folder: Path | None = None,
    jobs: int | None = None,
    backend: str = "loky",
    label: str = "cells",
) -> list[dict[str, Any]]:
    """Run ``numerics.records.run_campaign`` while stderr shows how far it is; the label says what is counted.

    Raises:
        UsageError: a campaign that cannot go on, for a worker that was killed for one.
    """
    from numerics import records

    try:
        with _shown(label) as progress:
            return records.run_campaign(
                compute, cells, question, folder=folder, jobs=jobs, backend=backend, progress=progress
            )
    except records.RecordFolderError as error:
        raise _errors.UsageError(f"--resume {error}") from error
    except records.CampaignError as error:
        raise _errors.UsageError(str(error)) from error


@contextmanager
def _shown(label: str) -> Iterator[Progress]:
    """A bar on a terminal, elsewhere a line every ten seconds."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = _progress.console(error=True)
    if not console.is_terminal:
        last = time.monotonic()

        def say(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _LINE_SECONDS:
                last = time.monotonic()
                sys.stderr.write(f"{label}: {done} of {total} done\n")
                sys.stderr.flush()

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
