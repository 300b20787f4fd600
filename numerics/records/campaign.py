"""Campaigns: many independent cells, in parallel, that can be killed and taken up again.

With a folder every finished cell leaves one record there, a JSON file named after a hash of the cell, of the question,
and of the versions and the source that can change the answer.  The worker writes it, under another name first, the
moment the cell is done: kill -9 loses only cells in progress.  A record that does not read back, or whose digest is
wrong, is computed anew.  Cells carry their own seeds, so the same campaign gives the same numbers whatever runs where.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from numerics.records.files import write_whole
from numerics.records.versions import SHOWING, provenance, source_digest

__all__ = ["CampaignError", "CellKey", "Progress", "RecordFolderError", "campaign_digest", "run_campaign", "workers"]

#: What a cell is to a campaign: plain JSON values that name it.
CellKey = Mapping[str, Any]
#: Told of how many cells of how many are done, at the start and after each.
Progress = Callable[[int, int], None]

_PR_SET_PDEATHSIG = 1
#: Seconds between two looks at the parent, where the system does not tell of its death.
_INTERVAL = 0.5


class CampaignError(RuntimeError):
    """A campaign that cannot begin or go on: its folder, its workers or its cluster."""


class RecordFolderError(CampaignError):
    """A folder of records that cannot be used."""


def campaign_digest(root: Path | None = None) -> str:
    """Return a hash of the source that a record depends on: a record never outlives the code that made it.

    That is all of theory/ and numerics/ but what only shows results: a comma in the LaTeX voids no record.

    Args:
        root: the folder of theory/ and numerics/; by default where they are imported from.
    """
    return source_digest(("theory", "numerics"), SHOWING, root)


#: That of this process, read once.
_own_digest = cache(campaign_digest)


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
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Return the results of all cells, in the order of the cells.

    Args:
        compute: from a cell to plain JSON values; must be importable by the workers.
        cells: what to compute, the longest first for the best use of the workers.
        question: everything else that the results depend on, as plain JSON values.
        folder: where records are kept, or None.
        jobs: workers, by default one a core.
        backend: what joblib runs on: "loky", "threading", or "dask", the cluster that DASK_SCHEDULER_ADDRESS names, or
            one of its own on this machine.
        progress: told how far the campaign is.

    Raises:
        RecordFolderError: a folder where a record belongs.
        CampaignError: a worker that was killed, a cluster with other packages, or a result that holds no number.
    """
    import joblib

    context = {"question": question, "versions": provenance()["versions"], "code": _own_digest()}
    paths = [None if folder is None else folder / f"{_digest({'cell': cell, **context})}.json" for cell in cells]
    taken = next((path for path in paths if path is not None and path.is_dir()), None)
    if taken is not None:
        raise RecordFolderError(f"{folder}: {taken.name} in it is a folder, where a record belongs; remove it")
    # Through JSON and back, so that a result is the same whether it was computed or read.
    found = [None if path is None else _read(path) for path in paths]
    missing = [position for position, result in enumerate(found) if result is None]
    done = len(cells) - len(missing)
    tell = progress or (lambda *_: None)
    tell(done, len(cells))
    if missing:
        with _workers(backend, jobs, len(missing)) as pool:
            finish = partial(_finish, compute, one_thread=backend == "dask")
            tasks = (joblib.delayed(finish)(cells[k], paths[k], k) for k in missing)
            try:
                for position, text in pool(tasks):
                    found[position] = json.loads(text)
                    done += 1
                    tell(done, len(cells))
            except BrokenExecutor as error:
                raise CampaignError(
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
        # Sent along, so that workers with another version can be asked for theirs, whatever they have installed.
        for name in (__name__, source_digest.__module__):
            cloudpickle.register_pickle_by_value(sys.modules[name])
        elsewhere = os.environ.get("DASK_SCHEDULER_ADDRESS")
        own: dict[str, Any] = {}
        if not elsewhere:
            own = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": "CRITICAL"}
            # After a signal all complain about what has gone; what a cell raises comes back.
            logging.getLogger("tornado.application").setLevel(logging.CRITICAL)
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
        own_processes = {"inner_max_num_threads": 1, "initializer": _follow_parent, "initargs": (os.getpid(),)}
    with threadpoolctl.threadpool_limits(limits=1), joblib.parallel_config(backend=backend, **own_processes):
        yield make(n_jobs=count)


def _refuse_other_code(client: Any) -> None:
    """Raise CampaignError where the workers of a cluster run other packages than this process."""
    if set(client.run(campaign_digest).values()) - {_own_digest()}:
        raise CampaignError(
            "the workers of the Dask cluster have another version of theory/ and numerics/ than this checkout; "
            "install this one there, or put its folder on their PYTHONPATH"
        )


def _follow_parent(parent: int) -> None:
    """End this worker when its parent is gone, however that ended; leave Ctrl-C, which all are sent, to the parent."""
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
    text = _result_text(cell, compute(cell))
    if path is not None:
        record = _canonical({"cell": cell, "result": json.loads(text), "digest": _seal(path, text)})
        # No fsync: a record that a power cut spoils has the wrong digest and is computed anew.
        write_whole(path, record.encode())
    return position, text


def _result_text(cell: CellKey, result: Mapping[str, Any]) -> str:
    """A result as JSON, which has no NaN and no infinity."""
    try:
        return _canonical(result)
    except ValueError as error:
        named = ", ".join(f"{name} = {value}" for name, value in cell.items())
        raise CampaignError(f"the cell {named} gave what is no finite number, and nothing was kept of it") from error


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
