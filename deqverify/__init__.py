"""The front door: the names that tasks start from."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("deqverify")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "unknown"
