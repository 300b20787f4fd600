"""Runs scripts as a user does: in a process of their own, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deqverify.commands import _outputs
from tests.scripts.forks import run_forked
from tests.scripts.schema_checks import check_record, check_written

ROOT = Path(__file__).resolve().parents[2]
Script = Callable[..., "subprocess.CompletedProcess[str]"]


def command_module(name: str) -> ModuleType:
    """Return the module of a command, or one that commands share."""
    return import_module(f"deqverify.commands.{name}")


@pytest.fixture(autouse=True)
def records_are_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold every record that a command makes in this process against its schema."""
    made = _outputs.json_text

    def checked(record: Mapping[str, Any], schema: str, *, plain: bool = False) -> str:
        text = made(record, schema, plain=plain)
        check_record(text)
        return text

    monkeypatch.setattr(_outputs, "json_text", checked)


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "DEQVERIFY_CACHE": str(folder / "cache")}


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return run(name, *arguments, **environment) -> completed process with its text output.

    It is a fork of one that is ready, and has one core to it: workers are started where --jobs asks for them.  Its JSON
    is held against the schema.
    """

    def run(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        around = _environment(tmp_path) | {"LOKY_MAX_CPU_COUNT": "1"} | environment
        done = run_forked(ROOT / "scripts" / f"{name}.py", arguments, tmp_path, around)
        if done.returncode in (0, 1, 3):
            check_written(arguments, done.stdout, tmp_path)
        return done

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
