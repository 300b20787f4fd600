"""Signals and the parent's death end a campaign with all its workers; a gone reader is no failed claim."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from numerics.records import campaign
from tests.scripts.conftest import ROOT

#: Generous: a loaded machine takes its time, and nothing waits longer than it has to.
_PATIENCE = 120
LONG = {
    "converge": ("--against", "m", "--p", "60", "--sizes", "50,100,3000", "--draws", "40", "--means", "2"),
    "verify": ("--quick", "--claims", "ck", "--activation", "relu", "--p", "60,90,128", "--seeds", "500"),
}
Running = Callable[..., tuple["subprocess.Popen[str]", set[int]]]
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")


def processes() -> dict[int, int]:
    """Parent of every process that runs (those that only wait to be counted do not)."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state not in "ZX":
                found[int(folder.name)] = int(parent)
    return found


def descendants(process: int) -> set[int]:
    parents = processes()
    found, new = set(), {process}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Start a long campaign, and return it with its workers once they have begun to work."""
    started: list[tuple[subprocess.Popen[str], set[int]]] = []

    def start(backend: str, name: str = "converge") -> tuple[subprocess.Popen[str], set[int]]:
        command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *LONG[name], "--backend", backend]
        process = subprocess.Popen(
            [*command, "--jobs", "2", "--resume", "runs", "--json", "result.json"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # A shell that runs the tests in the background ignores SIGINT, and so would what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        started.append((process, set()))
        wait_for(lambda: any(tmp_path.glob("runs/*.json")) or process.poll() is not None, "no record was written")
        assert process.poll() is None, process.communicate()
        workers = descendants(process.pid)
        started[-1] = (process, workers)
        return process, workers

    yield start
    for process, workers in started:
        process.kill()
        process.communicate()
        for worker in workers & set(processes()):
            os.kill(worker, signal.SIGKILL)


_DASK = (
    pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed"),
    pytest.mark.slow,
)
_ENDS = {
    signal.SIGTERM: (143, "terminated"),
    signal.SIGINT: (130, "interrupted"),
    signal.SIGKILL: (-signal.SIGKILL, ""),
}


@pytest.mark.parametrize(
    ("backend", "number"),
    [
        *(("loky", number) for number in _ENDS),
        ("threading", signal.SIGTERM),
        *(pytest.param("dask", number, marks=(*_DASK, pytest.mark.soak)) for number in _ENDS),
    ],
)
def test_no_worker_stays(running: Running, tmp_path: Path, backend: str, number: signal.Signals) -> None:
    code, word = _ENDS[number]
    process, workers = running(backend)
    assert bool(workers) is (backend != "threading")
    process.send_signal(number)
    # The pipes end only when nobody holds them any more.
    output, complaint = process.communicate(timeout=_PATIENCE)
    assert process.returncode == code
    assert output == ""
    if word:
        # On a loaded machine it has said how far it was.
        said = [line for line in complaint.splitlines() if not re.fullmatch(r"relu, ck: draws: \d+ of \d+ done", line)]
        assert said == [f"converge.py: {word}"]
    wait_for(lambda: not workers & set(processes()), "workers are left")
    assert not (tmp_path / "result.json").exists()
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


@pytest.mark.parametrize("name", LONG)
def test_a_worker_that_is_killed_is_named(running: Running, tmp_path: Path, name: str) -> None:
    process, workers = running("loky", name)
    commands = {worker: Path(f"/proc/{worker}/cmdline").read_bytes() for worker in workers}
    os.kill(next(worker for worker, command in commands.items() if b"LokyProcess" in command), signal.SIGKILL)
    _, complaint = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 2
    assert complaint.splitlines()[-1].startswith(f"{name}.py: a worker was killed")
    assert "Traceback" not in complaint
    wait_for(lambda: not workers & set(processes()), "workers are left")
    # What was finished by then is there to be taken up.
    kept = list(tmp_path.glob("runs/*.json"))
    assert kept
    assert all(campaign._read(path) for path in kept)
    assert not list(tmp_path.rglob("*.part"))


def test_a_reader_that_is_gone_is_no_failed_claim(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, str(ROOT / "scripts" / "verify.py"), "--list"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=tmp_path, check=False, timeout=_PATIENCE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
