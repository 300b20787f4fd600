"""Campaigns: many independent cells, in parallel, that can be killed and taken up again.

With a folder every finished cell leaves one record there, a JSON file named after a hash of the cell, of what it was
computed with (versions and source) and of the question.  The worker writes it, under another name first, the moment the
cell is done: kill -9 loses only cells in progress.  A record that does not read back, or whose digest is wrong, is
computed anew.  Cells carry their own seeds, so the same campaign gives the same numbers whatever runs where.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sympy as sp

from deqverify.commands import _cli
from deqverify.commands._processes import follow_parent
from numerics.records import remove_stale_drafts, write_whole

if TYPE_CHECKING:
    import argparse

    from numerics.experiments import Experiment
    from theory.activations import Activation

__all__ = ["BACKENDS", "add_arguments", "code_digest", "experiment_question", "prepare", "run_campaign", "workers"]

#: "dask" runs on the cluster that DASK_SCHEDULER_ADDRESS names, or on one of its own on this machine.
BACKENDS = ("loky", "threading", "dask")

#: What a cell is to a campaign: plain JSON values that name it.
CellKey = Mapping[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --jobs, --backend and --resume."""
    parser.add_argument("--jobs", type=_cli.integer_between(1, 1024), help="workers (default: one a core)")
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
        raise _cli.UsageError(
            "--backend dask: Dask is not installed; install the package distributed, or use --backend loky"
        )
    if arguments.resume is None:
        return None
    folder = Path(arguments.resume)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise _cli.UsageError(
            f"--resume {folder}: {reason}; give a folder that exists, or a new one inside one that does"
        ) from error
    if not os.access(folder, os.W_OK):
        raise _cli.UsageError(f"--resume {folder}: the folder cannot be written to")
    remove_stale_drafts(folder)
    return folder


def experiment_question(experiment: Experiment, activation: Activation, **others: Any) -> dict[str, Any]:
    """What the cells of an experiment depend on besides their keys, as `run_campaign` takes it."""
    fields = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    return fields | {"activations": [activation.name, sp.srepr(activation.expr)]} | others


@cache
def code_digest() -> str:
    """Hash of the source of theory/ and numerics/: a record never outlives the code that made it."""
    import numerics
    import theory

    digest = hashlib.sha256()
    for package in (theory, numerics):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"\0{path.relative_to(folder.parent).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def workers(jobs: int | None, tasks: int) -> int:
    """Return how many workers there are for some tasks: as many as asked for, by default one a core."""
    import joblib

    return min(jobs or joblib.cpu_count(), tasks)


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
    """Results of all cells, in the order of the cells; stderr says how far it is.

    Args:
        compute: from a cell to plain JSON values; must be importable by the workers.
        cells: what to compute, the longest first for the best use of the workers.
        question: everything else that the results depend on, as plain JSON values.
        folder: where records are kept, or None.
        jobs: workers, by default one a core.
        backend: one of BACKENDS.
        label: what the progress bar counts.
    """
    import joblib

    context = {"question": question, "versions": _cli.provenance()["versions"], "code": code_digest()}
    paths = [None if folder is None else folder / f"{_digest({'cell': cell, **context})}.json" for cell in cells]
    taken = next((path for path in paths if path is not None and path.is_dir()), None)
    if taken is not None:
        raise _cli.UsageError(f"--resume {folder}: {taken.name} in it is a folder, where a record belongs; remove it")
    # Through JSON and back, so that a result is the same whether it was computed or read.
    found = [None if path is None else _read(path) for path in paths]
    missing = [position for position, result in enumerate(found) if result is None]
    with _cli.progress(label, len(cells), len(cells) - len(missing)) as advance:
        if missing:
            with _workers(backend, jobs, len(missing)) as pool:
                finish = partial(_finish, compute, one_thread=backend == "dask")
                tasks = (joblib.delayed(finish)(cells[k], paths[k], k) for k in missing)
                try:
                    for position, text in pool(tasks):
                        found[position] = json.loads(text)
                        advance()
                except BrokenExecutor as error:
                    raise _cli.UsageError(
                        "a worker was killed, perhaps because memory ran out; give smaller sizes, or fewer --jobs"
                    ) from error
    return [result for result in found if result is not None]


@contextmanager
def _workers(backend: str, jobs: int | None, tasks: int) -> Iterator[Any]:
    """A joblib pool, no larger than the number of tasks, that yields results as they finish."""
    import joblib
    import threadpoolctl

    make = partial(joblib.Parallel, return_as="generator_unordered")
    count = workers(jobs, tasks)
    if backend == "dask":
        # Optional, so that neither is a dependency.
        cloudpickle, distributed = import_module("cloudpickle"), import_module("distributed")
        # The workers of a cluster have the packages installed, but not this script.
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        elsewhere = os.environ.get("DASK_SCHEDULER_ADDRESS")
        own: dict[str, Any] = {}
        if not elsewhere:
            own = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": "ERROR"}
        with distributed.Client(elsewhere, **own) as client, joblib.parallel_config(backend="dask", client=client):
            _refuse_other_code(client)
            yield make(n_jobs=-1)
        return
    # More threads of the linear algebra would give other bytes.  Processes are started with one; threads, and a pool of
    # one, share those of this process: one for all of them, so that a cell which ends first does not give the others
    # more.  A library that is loaded later would not be limited.
    import_module("scipy.linalg")
    own_processes: dict[str, Any] = {}
    if backend == "loky":
        own_processes = {"inner_max_num_threads": 1, "initializer": follow_parent, "initargs": (os.getpid(),)}
    with threadpoolctl.threadpool_limits(limits=1), joblib.parallel_config(backend=backend, **own_processes):
        yield make(n_jobs=count)


def _refuse_other_code(client: Any) -> None:
    """Raise UsageError where the workers of a cluster run other packages than this checkout's."""
    # Without its memory, which is not sent to workers.
    if set(client.run(code_digest.__wrapped__).values()) - {code_digest()}:
        raise _cli.UsageError(
            "--backend dask: the workers of the cluster have another version of theory/ and numerics/ than this "
            "checkout; install this one there, or put its folder on their PYTHONPATH"
        )


def _finish(
    compute: Callable[[CellKey], Mapping[str, Any]],
    cell: CellKey,
    path: Path | None,
    position: int,
    *,
    one_thread: bool,
) -> tuple[int, str]:
    """Compute one cell in a worker, write its record, and return its position and its result as JSON."""
    if one_thread:
        import threadpoolctl

        # For good: another cell may be running in another thread of this worker.
        import_module("scipy.linalg")
        threadpoolctl.threadpool_limits(limits=1)
    text = _canonical(compute(cell))
    if path is not None:
        record = _canonical({"cell": cell, "result": json.loads(text), "digest": _seal(path, text)})
        # No fsync: a record that a power cut spoils has the wrong digest and is computed anew.
        write_whole(path, record.encode())
    return position, text


def _read(path: Path) -> dict[str, Any] | None:
    """The result in a record, or None where there is none that can be trusted."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        result = dict(record["result"])
        return result if record["digest"] == _seal(path, _canonical(result)) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, allow_nan=False)


def _seal(path: Path, text: str) -> str:
    """Digest of a result under its name, so that neither can be changed by itself."""
    return hashlib.sha256(f"{path.stem}\0{text}".encode()).hexdigest()


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(values).encode()).hexdigest()
