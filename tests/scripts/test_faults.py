"""Killed at any moment, stopped, two in one folder, a full disk, shut folders: nothing that was finished is lost."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and permissions are those of Linux")


def test_runs_at_risk(tmp_path: Path) -> None:
    """All of it in one program, which has imported what the commands need once: see there."""
    seed = 0 if os.environ.get("CI") else secrets.randbelow(2**32)
    command = [sys.executable, "-m", "tests.scripts.runs_at_risk", str(seed)]
    # Forks of a library's threads would not have them.
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = os.environ | one_thread | {"COLUMNS": "120", "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"seed {seed}\n{done.stderr}"
    if done.stdout:
        pytest.skip(done.stdout)
