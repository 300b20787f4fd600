"""What draws need of memory, and what the system says is free."""

from __future__ import annotations

import math
import os
import tracemalloc
from pathlib import Path

import pytest

from numerics import memory
from numerics.experiments import Cell, Experiment, distance_to_equivalent
from numerics.memory import NotEnoughMemoryError, bytes_needed, check_memory, free_bytes, readable_bytes
from theory.activations import registry
from theory.kernels import Kernel


def test_the_estimate_is_what_a_draw_takes() -> None:
    """A draw of a distance, measured, without the small arrays that count only in small draws."""
    p, n = 600, 900
    experiment = Experiment(activations=(), sigma_a2=0.2, sigma_b2=0.8, ratio=n / p)
    tracemalloc.start()
    try:
        distance_to_equivalent(experiment, registry.registered("tanh").with_parameters(), Kernel.CK, Cell(p, 0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * peak < bytes_needed(n, p) < 1.5 * peak


def test_sizes_beyond_memory_are_named_with_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 2.0**30)
    check_memory(1000, 1000, 500)
    with pytest.raises(
        NotEnoughMemoryError, match=r"^20000 samples of dimension 25000 need about .* GiB .* 1 GiB are free"
    ):
        check_memory(20_000, 25_000)
    with pytest.raises(NotEnoughMemoryError, match="and a network of 20000 neurons"):
        check_memory(100, 100, 20_000)
    with pytest.raises(NotEnoughMemoryError, match=r"in 64 jobs.*fewer jobs"):
        check_memory(1000, 1000, 500, jobs=64)
    assert issubclass(NotEnoughMemoryError, MemoryError)


def test_what_is_free_is_positive_and_no_more_than_there_is() -> None:
    assert 0 < free_bytes() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_limits_of_control_groups_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Version 2: the tightest of the group and those around it; what is cached of files is given back."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner / "memory.current").write_text("5000\n")
    (inner.parent / "memory.max").write_text("10000\n")
    (inner.parent / "memory.current").write_text("6000\n")
    (inner.parent / "memory.stat").write_text("anon 1\ninactive_file 500\n")
    known = {"/proc/self/cgroup": ["0::/outer/inner"], "/proc/meminfo": ["MemTotal: 9 kB", "MemAvailable:     8 kB"]}
    plain = memory._lines
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    monkeypatch.setattr(memory, "_lines", lambda path: known.get(str(path)) or plain(path))
    assert free_bytes() == 4500
    # Version 1, in a folder of its own.
    folder = tmp_path / "memory" / "job"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("3000\n")
    (folder / "memory.usage_in_bytes").write_text("1000\n")
    known["/proc/self/cgroup"] = ["4:memory:/job"]
    assert free_bytes() == 2000
    # The machine itself, and systems that describe neither.
    known["/proc/self/cgroup"] = ["not a line of this kind"]
    assert free_bytes() == 8 * 1024
    monkeypatch.setattr(memory, "_lines", lambda path: [])
    assert 0 < free_bytes() < math.inf
    monkeypatch.delattr(os, "sysconf")
    assert free_bytes() == math.inf


def test_bytes_are_readable() -> None:
    assert [readable_bytes(size) for size in (12, 2048, 1.5 * 2**30, 2.0**60)] == [
        "12 bytes",
        "2 KiB",
        "1.5 GiB",
        "1024 PiB",
    ]
