"""Campaigns as a user runs them: neither workers, backends nor a killed run change a byte."""

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

import pytest

from deqverify.commands import _campaign_options as options
from deqverify.commands._errors import UsageError
from numerics.records import CellKey
from tests.scripts.conftest import ROOT, Script

SMALL = ("--sizes", "60,80,120", "--draws", "4", "--activation", "tanh", "--means", "2", "--seed", "3")


def run_to_json(script: Script, tmp_path: Path, name: str, *arguments: str) -> bytes:
    done = script("converge", *SMALL, "--json", name, *arguments)
    assert done.returncode in (0, 1, 3), done.stderr
    return (tmp_path / name).read_bytes()


def test_workers_and_backends_do_not_change_a_byte(script: Script, process: Script, tmp_path: Path) -> None:
    one = run_to_json(script, tmp_path, "one.json", "--jobs", "1")
    assert run_to_json(process, tmp_path, "two.json", "--jobs", "2") == one
    assert run_to_json(script, tmp_path, "threads.json", "--jobs", "2", "--backend", "threading") == one


@pytest.mark.soak  # runs_at_risk.py kills runs with one worker
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
        options.prepare(Namespace(backend="loky", resume=str(tmp_path / what)))
    assert options.prepare(Namespace(backend="loky", resume=str(tmp_path / "new"))) == tmp_path / "new"
    assert options.prepare(Namespace(backend="loky", resume=None)) is None


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


def _double(cell: CellKey) -> dict[str, int]:
    return {"value": 2 * cell["index"]}


def test_a_campaign_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal, in lines; none of them within the first ten seconds."""
    cells = [{"index": index} for index in range(3)]
    found = options.run_campaign(_double, cells, {}, jobs=1, label="draws")
    assert [result["value"] for result in found] == [0, 2, 4]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(options, "_LINE_SECONDS", 0.0)
    options.run_campaign(_double, cells, {}, jobs=1, label="draws")
    assert capsys.readouterr().err.splitlines() == [f"draws: {done} of 3 done" for done in range(4)]


def test_a_folder_where_a_record_belongs_is_bad_use(tmp_path: Path) -> None:
    options.run_campaign(_double, [{"index": 0}], {}, folder=tmp_path, jobs=1)
    (record,) = tmp_path.iterdir()
    record.unlink()
    record.mkdir()
    with pytest.raises(UsageError, match=f"{record.name} in it is a folder"):
        options.run_campaign(_double, [{"index": 0}], {}, folder=tmp_path, jobs=1)
