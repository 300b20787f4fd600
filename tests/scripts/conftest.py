"""Runs scripts as a user does: in a process of their own, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts.forks import run_forked

ROOT = Path(__file__).resolve().parents[2]
Script = Callable[..., "subprocess.CompletedProcess[str]"]


def command_module(name: str) -> ModuleType:
    """Return the module of a command, or one that commands share."""
    return import_module(f"deqverify.commands.{name}")


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "DEQVERIFY_CACHE": str(folder / "cache")}


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return run(name, *arguments, **environment) -> completed process with its text output.

    It is a fork of one that is ready, and has one core to it: workers are started where --jobs asks for them.
    """

    def run(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        around = _environment(tmp_path) | {"LOKY_MAX_CPU_COUNT": "1"} | environment
        return run_forked(ROOT / "scripts" / f"{name}.py", arguments, tmp_path, around)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Script:
    """Return what ``script`` does, but each in an interpreter that starts with nothing, and a hash seed of its own."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=_environment(tmp_path),
            timeout=300,
            check=False,
        )

    return run
