"""Two checkouts in one environment: a script, and every process that it starts, runs its own checkout's packages."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.scripts.conftest import ROOT, Script

SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py") if not path.name.startswith("_"))


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another checkout, which comes first on the path of the environment, and whose packages cannot be imported."""
    folder = tmp_path / "other"
    for package in ("theory", "numerics"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text("raise SystemExit('the other checkout')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.usefixtures("other")
def test_a_script_runs_its_own_checkout(process: Script, name: str) -> None:
    done = process(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")


BACKENDS = [
    "loky",
    "threading",
    pytest.param(
        "dask",
        marks=(
            pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed"),
            pytest.mark.soak,
        ),
    ),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.usefixtures("other")
def test_so_do_its_workers(process: Script, backend: str) -> None:
    small = ("--sizes", "20,30", "--draws", "1", "--jobs", "2", "--backend", backend, "--json", "-")
    done = process("converge", *small)
    assert done.returncode in (0, 3), done.stderr
    assert json.loads(done.stdout)["seed"] == 0
