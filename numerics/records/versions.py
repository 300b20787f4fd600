"""What made a result: the versions of the packages, and a digest of the source that can change it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["SHOWING", "provenance", "source_digest"]

_PACKAGES = ("deqverify", "sympy", "mpmath", "numpy", "scipy", "python-flint")
#: Packages that say how results are shown, and can change no number of them.
SHOWING = ("numerics/publish", "theory/latex")


def provenance(seed: int | None = None) -> dict[str, Any]:
    """Return the versions that produced a result, and its seed where one is given, as plain JSON values."""

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    record: dict[str, Any] = {"versions": {"python": platform.python_version()} | {n: installed(n) for n in _PACKAGES}}
    if seed is not None:
        record["seed"] = seed
    return record


def source_digest(paths: Iterable[str], without: Iterable[str] = (), root: Path | None = None) -> str:
    """Return a hash of Python files: their names and every byte of them.

    Args:
        paths: packages and files in them, such as "theory" and "numerics/records/derivations.py".
        without: packages inside those that do not count.
        root: the folder that the packages are in; by default where they are imported from.

    Raises:
        ValueError: a path, or a package left out, that does not exist.
    """
    digest = hashlib.sha256()
    left_out = tuple(without)
    for path in (*paths, *left_out):
        if not (_root(path, root) / path).exists():
            raise ValueError(f"{path} is neither a package nor a file of this installation")
    for path in paths:
        base = _root(path, root)
        source = base / path
        for file in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            name = file.relative_to(base).as_posix()
            if not any(name.startswith(f"{package}/") for package in left_out):
                digest.update(f"\0{name}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _root(path: str, root: Path | None) -> Path:
    """The folder that a package is in."""
    if root is not None:
        return root
    found = find_spec(path.partition("/")[0])
    if found is None or found.origin is None:
        raise ValueError(f"{path} is not installed")
    return Path(found.origin).parent.parent
