"""What a draw of data, kernels and networks needs of memory, and what this machine has free."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "NotEnoughMemoryError",
    "bytes_needed",
    "check_memory",
    "free_bytes",
    "readable_bytes",
]

#: Arrays of n x n numbers that a draw has at a time: S, a kernel, the equivalent and their difference.
_SQUARES = 4
#: Arrays of m x n numbers: pre-activations, states, slopes and adjoint states, and products with the weights.
_STATES = 6
#: Numbers of the histories of Anderson's method, which works on batches of columns (`numerics.networks.deq`).
_HISTORY = 14 << 22
#: Where control groups are described, and limit and usage of version 2 and of version 1.
_GROUPS = Path("/sys/fs/cgroup")
_LIMITS = (
    ("memory.max", "memory.current", ""),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory"),
)


class NotEnoughMemoryError(MemoryError):
    """Sizes for which the memory of this machine is not enough, found before anything is allocated."""


def bytes_needed(samples: int, dimension: int, width: int = 0, *, squares: int = _SQUARES) -> int:
    """Return about how many bytes one draw needs: data, kernels and, with a width, a finite network.

    Args:
        samples: n.
        dimension: p.
        width: m of a finite network, or 0 without one.
        squares: how many n x n arrays are in memory at a time.
    """
    n, p, m = samples, dimension, width
    numbers = 2 * p * n + squares * n * n
    if m:
        numbers += m * m + m * p + _STATES * m * n + min(2 * 6 * m * n, _HISTORY)
    return 8 * numbers


def check_memory(samples: int, dimension: int, width: int = 0, *, squares: int = _SQUARES, jobs: int = 1) -> None:
    """Raise NotEnoughMemoryError, with the sizes and the bound, where draws of these sizes do not fit into memory.

    Args:
        samples: n.
        dimension: p.
        width: m of a finite network, or 0 without one.
        squares: how many n x n arrays are in memory at a time.
        jobs: draws that are computed at the same time.

    Raises:
        NotEnoughMemoryError: they need more than is free.
    """
    needed, free = jobs * bytes_needed(samples, dimension, width, squares=squares), free_bytes()
    if needed <= free:
        return
    sizes = f"{samples} samples of dimension {dimension}" + (f" and a network of {width} neurons" if width else "")
    mend = "fewer jobs or smaller sizes are accepted" if jobs > 1 else "smaller sizes are accepted"
    raise NotEnoughMemoryError(
        f"{sizes} need about {readable_bytes(needed)} of memory{f' in {jobs} jobs' if jobs > 1 else ''}, and "
        f"{readable_bytes(free)} are free on this machine; {mend}"
    )


def free_bytes() -> float:
    """Return the bytes of memory that may still be taken: of the machine, and of the control groups of this process.

    Infinity where neither the system nor a limit says anything.
    """
    return min([_free_of_machine(), *_free_of_groups()])


def readable_bytes(count: float) -> str:
    """Return a number of bytes with a unit, such as 1.5 GiB."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
    power = 0
    while count >= 1024 and power + 1 < len(units):
        count /= 1024
        power += 1
    return f"{count:.0f} {units[power]}" if 100 <= count < 1e6 else f"{count:.3g} {units[power]}"


def _free_of_machine() -> float:
    """What Linux calls available, else the free pages of other systems, else all pages."""
    for line in _lines(Path("/proc/meminfo")):
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == "MemAvailable" and words and words[0].isdigit():
            return float(int(words[0]) * 1024)
    for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        try:
            pages, size = os.sysconf(name), os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            continue
        if pages > 0 and size > 0:
            return float(pages * size)
    return math.inf


def _free_of_groups() -> Iterator[float]:
    """Limit less usage of every control group that this process is in, from the innermost outwards."""
    for line in _lines(Path("/proc/self/cgroup")):
        parts = line.split(":", 2)
        if len(parts) != 3:
            continue
        _, controllers, path = parts
        for limit_name, usage_name, controller in _LIMITS:
            if controller not in controllers.split(","):
                continue
            root = _GROUPS / controller
            inner = root / path.lstrip("/")
            for folder in (inner, *inner.parents):
                limit, usage = (_number(folder / name) for name in (limit_name, usage_name))
                if limit is not None:
                    # What is cached of files counts as used, and is given back when it is asked for.
                    yield max(0.0, float(limit - (usage or 0) + _reclaimable(folder)))
                if folder == root:
                    break


def _reclaimable(folder: Path) -> int:
    """Bytes of a control group's inactive file cache."""
    for line in _lines(folder / "memory.stat"):
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file") and value.strip().isdigit():
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    """The number in a file, or None where there is no file or no number ("max" is none)."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _lines(path: Path) -> list[str]:
    """The lines of a file of the system, none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
