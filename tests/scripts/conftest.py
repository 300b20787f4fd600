"""Runs scripts as a user does: in a process of their own, with the checkout as the working folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
Script = Callable[..., "subprocess.CompletedProcess[str]"]


def command_module(name: str) -> ModuleType:
    """Return the module of a command, or one that commands share."""
    return import_module(f"deqverify.commands.{name}")


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return run(name, *arguments) -> completed process with its text output."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "DEQVERIFY_CACHE": str(tmp_path / "cache")}
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=300,
            check=False,
        )

    return run
