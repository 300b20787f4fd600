"""Campaigns: what is finished is never lost nor computed twice, and nothing changes the numbers."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from numerics.records import campaign

ROOT = Path(__file__).resolve().parents[3]

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


def test_progress_is_told_of_what_is_done(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    campaign.run_campaign(Counter(), CELLS[:4], {}, folder=tmp_path, jobs=1)
    campaign.run_campaign(Counter(), CELLS, {}, folder=tmp_path, jobs=1, progress=lambda *step: told.append(step))
    assert told == [(4, 6), (5, 6), (6, 6)]


def test_a_folder_where_a_record_belongs_is_refused(tmp_path: Path) -> None:
    campaign.run_campaign(Counter(), CELLS[:1], {}, folder=tmp_path, jobs=1)
    (record,) = tmp_path.iterdir()
    record.unlink()
    record.mkdir()
    with pytest.raises(campaign.CampaignError, match=f"{record.name} in it is a folder"):
        campaign.run_campaign(Counter(), CELLS, {}, folder=tmp_path, jobs=1)


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
    monkeypatch.setattr(campaign, "_own_digest", lambda: "changed")
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


_THREADS = """
import json, sys
from numerics.records import run_campaign

def threads(cell):
    import scipy.linalg, threadpoolctl
    return {"threads": [library["num_threads"] for library in threadpoolctl.threadpool_info()]}

if __name__ == "__main__":
    cells = [{"index": index} for index in range(3)]
    print(json.dumps(run_campaign(threads, cells, {}, backend=sys.argv[1], jobs=int(sys.argv[2]))))
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
    environment = os.environ | more | {"PYTHONPATH": str(ROOT)}
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
    with pytest.raises(campaign.CampaignError, match="another version of theory/ and numerics/"):
        campaign._refuse_other_code(Cluster("another"))


def test_only_dasks_destructors_are_muted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter names the function that raised."""
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: said.append(unraisable.object))
    campaign._mute_destructors()

    def one_of(module: str) -> object:
        def complain(self: object) -> None:
            raise TimeoutError

        complain.__module__ = module
        return type("Client", (), {"__del__": complain})()

    for module in ("distributed.client", "elsewhere"):
        one_of(module)
        gc.collect()
    assert [getattr(each, "__module__", "") for each in said] == ["elsewhere"]
