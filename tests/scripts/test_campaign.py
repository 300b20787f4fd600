"""Campaigns: what is finished is never lost nor computed twice, and nothing changes the numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from deqverify.commands import _campaign as campaign
from deqverify.commands._cli import UsageError
from tests.scripts.conftest import ROOT, Script

CELLS = [{"size": size, "index": index} for size in (3, 2, 1) for index in range(2)]


class Counter:
    """A computation that keeps account of itself, and can fail."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.done: list[tuple[int, int]] = []
        self.fail_at = fail_at

    def __call__(self, cell: dict[str, int]) -> dict[str, Any]:
        if len(self.done) == self.fail_at:
            raise ZeroDivisionError("stopped on purpose")
        self.done.append((cell["size"], cell["index"]))
        return {"value": 0.1 * cell["size"] + cell["index"], "size": cell["size"]}


def test_every_cell_is_computed_once_and_in_order(tmp_path: Path) -> None:
    first, second = Counter(), Counter()
    results = campaign.run_campaign(first, CELLS, {"seed": 1}, folder=tmp_path, jobs=1)
    assert [r["value"] for r in results] == [0.1 * c["size"] + c["index"] for c in CELLS]
    assert len(first.done) == len(list(tmp_path.iterdir())) == 6
    assert campaign.run_campaign(second, CELLS, {"seed": 1}, folder=tmp_path, jobs=1) == results
    assert second.done == []
    assert campaign.run_campaign(Counter(), CELLS, {"seed": 1}, jobs=1) == results


def test_a_stopped_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    stopped, resumed = Counter(fail_at=3), Counter()
    with pytest.raises(ZeroDivisionError):
        campaign.run_campaign(stopped, CELLS, {}, folder=tmp_path, jobs=1)
    campaign.run_campaign(resumed, CELLS, {}, folder=tmp_path, jobs=1)
    assert len(stopped.done) == len(resumed.done) == 3
    assert sorted(stopped.done + resumed.done) == sorted((c["size"], c["index"]) for c in CELLS)


def test_more_draws_only_add(tmp_path: Path) -> None:
    campaign.run_campaign(Counter(), CELLS[:4], {}, folder=tmp_path, jobs=1)
    more = Counter()
    campaign.run_campaign(more, CELLS, {}, folder=tmp_path, jobs=1)
    assert more.done == [(1, 0), (1, 1)]


def test_another_question_or_other_code_shares_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign.run_campaign(Counter(), CELLS, {"seed": 1}, folder=tmp_path, jobs=1)
    other = Counter()
    campaign.run_campaign(other, CELLS, {"seed": 2}, folder=tmp_path, jobs=1)
    assert len(other.done) == 6
    monkeypatch.setattr(campaign, "code_digest", lambda: "changed")
    changed = Counter()
    campaign.run_campaign(changed, CELLS, {"seed": 1}, folder=tmp_path, jobs=1)
    assert len(changed.done) == 6


def spoil(kind: str, path: Path, other: Path) -> None:
    text = path.read_text()
    if kind == "truncated":
        path.write_text(text[: len(text) // 2])
    elif kind == "empty":
        path.write_text("")
    elif kind == "binary":
        path.write_bytes(b"\xff\x00\xfe")
    elif kind == "changed":
        path.write_text(text.replace('"value": ', '"value": 1'))
    elif kind == "not a record":
        path.write_text("[1, 2]")
    elif kind == "no result":
        path.write_text('{"result": 3, "digest": 4}')
    elif kind == "nested too deeply":
        path.write_text("[" * 100_000)
    elif kind == "another's":
        path.write_text(other.read_text())


@pytest.mark.parametrize(
    "kind",
    ["truncated", "empty", "binary", "changed", "not a record", "no result", "nested too deeply", "another's"],
)
def test_a_spoilt_record_is_computed_anew(tmp_path: Path, kind: str) -> None:
    results = campaign.run_campaign(Counter(), CELLS, {}, folder=tmp_path, jobs=1)
    first, second = sorted(tmp_path.glob("*.json"))[:2]
    spoil(kind, first, second)
    again = Counter()
    assert campaign.run_campaign(again, CELLS, {}, folder=tmp_path, jobs=1) == results
    assert len(again.done) == 1


# --- as a user runs it ---------------------------------------------------------------------------

SMALL = ("--sizes", "60,80,120", "--draws", "4", "--activation", "tanh", "--means", "2", "--seed", "3")


def run_to_json(script: Script, tmp_path: Path, name: str, *arguments: str) -> bytes:
    done = script("converge", *SMALL, "--json", name, *arguments)
    assert done.returncode in (0, 1, 3), done.stderr
    return (tmp_path / name).read_bytes()


def test_workers_and_backends_do_not_change_a_byte(script: Script, tmp_path: Path) -> None:
    one = run_to_json(script, tmp_path, "one.json", "--jobs", "1")
    assert run_to_json(script, tmp_path, "two.json", "--jobs", "2") == one
    assert run_to_json(script, tmp_path, "threads.json", "--jobs", "2", "--backend", "threading") == one


def test_a_run_killed_with_signal_9_resumes_to_the_same_bytes(script: Script, tmp_path: Path) -> None:
    """Killed once some cells are recorded: those are read, the others computed, and the result is the same."""
    arguments = ("--against", "m", "--p", "60", "--sizes", "50,100,600", "--draws", "6", "--means", "2")
    folder = tmp_path / "records"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "converge.py"), *arguments, "--resume", str(folder), "--jobs", "2"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (folder.is_dir() and len(list(folder.glob("*.json"))) >= 3):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline, "no record in two minutes"
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert 3 <= len(before) < 18, "nothing is left to resume"
    resumed = script("converge", *arguments, "--resume", str(folder), "--json", "resumed.json", "--jobs", "1")
    whole = script("converge", *arguments, "--json", "whole.json", "--jobs", "1")
    assert resumed.returncode == whole.returncode
    assert (tmp_path / "resumed.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert len(list(folder.glob("*.json"))) == 18
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("what", ["a file", "missing/folder"])
def test_a_folder_that_cannot_be_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(UsageError, match=f"--resume .*{what}: .*; give a folder"):
        campaign.prepare(Namespace(backend="loky", resume=str(tmp_path / what)))
    assert campaign.prepare(Namespace(backend="loky", resume=str(tmp_path / "new"))) == tmp_path / "new"
    assert campaign.prepare(Namespace(backend="loky", resume=None)) is None


@pytest.mark.skipif(find_spec("distributed") is not None, reason="Dask is installed")
def test_dask_that_is_not_installed_is_refused_with_a_sentence(script: Script) -> None:
    done = script("converge", *SMALL, "--backend", "dask")
    assert done.returncode == 2
    assert "Dask is not installed" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
def test_a_local_dask_cluster_gives_the_same_bytes(script: Script, tmp_path: Path) -> None:
    one = run_to_json(script, tmp_path, "one.json", "--jobs", "1")
    assert run_to_json(script, tmp_path, "dask.json", "--jobs", "2", "--backend", "dask", "--resume", "r") == one
    assert len(list((tmp_path / "r").glob("*.json"))) == 12
    assert json.loads(one)["seed"] == 3


_THREADS = """
import json, sys
import _campaign

def threads(cell):
    import scipy.linalg, threadpoolctl
    return {"threads": [library["num_threads"] for library in threadpoolctl.threadpool_info()]}

if __name__ == "__main__":
    cells = [{"index": index} for index in range(3)]
    print(json.dumps(_campaign.run_campaign(threads, cells, {}, backend=sys.argv[1], jobs=int(sys.argv[2]))))
"""


@pytest.mark.parametrize(
    ("backend", "jobs"),
    [
        ("loky", "1"),
        ("loky", "2"),
        ("threading", "2"),
        pytest.param(
            "dask", "2", marks=pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
        ),
    ],
)
def test_every_cell_has_one_thread_of_the_linear_algebra(tmp_path: Path, backend: str, jobs: str) -> None:
    """Whatever the environment says: another number of threads would give other bytes."""
    (tmp_path / "cells.py").write_text(_THREADS, "utf-8")
    more = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    environment = os.environ | more | {"PYTHONPATH": os.pathsep.join([str(ROOT / "scripts"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "cells.py", backend, jobs],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [result["threads"] for result in json.loads(done.stdout)]
    assert len(found) == 3
    assert all(threads and set(threads) == {1} for threads in found)


def test_a_cluster_with_other_packages_is_refused() -> None:
    class Cluster:
        def __init__(self, *digests: str) -> None:
            self.digests = digests

        def run(self, function: Any) -> dict[str, str]:
            return {"own": function()} | {str(k): digest for k, digest in enumerate(self.digests)}

    campaign._refuse_other_code(Cluster())
    with pytest.raises(campaign._cli.UsageError, match="another version of theory/ and numerics/"):
        campaign._refuse_other_code(Cluster("another"))


_CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed")
def test_a_cluster_that_runs_elsewhere_gives_the_same_bytes(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers have another folder and have never seen the script; records go where the command was given."""
    one = run_to_json(script, tmp_path, "one.json", "--jobs", "1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "cluster.py").write_text(_CLUSTER, "utf-8")
    with subprocess.Popen(
        [sys.executable, "cluster.py"], cwd=elsewhere, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as cluster:
        try:
            assert cluster.stdout is not None
            monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.stdout.readline().strip())
            assert run_to_json(script, tmp_path, "two.json", "--backend", "dask", "--resume", "r") == one
        finally:
            cluster.communicate()
    assert len(list((tmp_path / "r").glob("*.json"))) == 12
    assert not list(elsewhere.glob("r*"))
