"""Scripts in forks of one process that has imported what they need: a second less for each, and processes still.

Run as a program this is the server: it reads one request a line, and answers with the exit code of the fork that ran
the script.  A fork has its own descriptors, working folder, environment and arguments, and ends as any interpreter
does.  All have the hash seed of the server: to compare the bytes of two runs, start one as a process of its own.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

__all__ = ["run_forked"]

#: Seconds of a script; then it is killed.
_LIMIT = 300
#: What commands import inside functions, and what takes long of it.
_NEEDED = (
    "deqverify.commands._verdict_table",
    "deqverify.commands.design",
    "deqverify.commands.export_latex",
    "deqverify.commands.solve",
    "deqverify.commands.verify",
    "joblib",
    "matplotlib.figure",
    "numerics.equilibrium",
    "numerics.experiments",
    "numerics.ledger",
    "numerics.matching",
    "numerics.publish",
    "numerics.spectrum",
    "rich.console",
    "scipy.stats",
    "theory.claims",
    "theory.latex",
)


def run_forked(
    script: Path, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, as ``subprocess.run`` would with its output captured as text."""
    asking, answering = _streams()
    with TemporaryDirectory() as outputs:
        request = {
            "script": str(script),
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "outputs": outputs,
        }
        asking.write(json.dumps(request) + "\n")
        asking.flush()
        code = int(answering.readline())
        out, err = ((Path(outputs) / name).read_text(encoding="utf-8") for name in ("out", "err"))
    return subprocess.CompletedProcess([str(script), *arguments], code, out, err)


@cache
def _streams() -> tuple[IO[str], IO[str]]:
    """What the server reads and writes; it is started by the first request, and ends with this process."""
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin
    assert server.stdout
    atexit.register(server.communicate)
    return server.stdin, server.stdout


def _serve() -> Mapping[str, Any] | None:
    """Fork for every request; return it in the fork, and nothing when there are no more."""
    for name in _NEEDED:
        import_module(name)
    # Each run of the ledger takes these from a cache.
    import_module("theory.claims").planted_errors()
    import_module("numerics.ledger").proof_task("forms")
    # Nothing of it is ever collected: a fork need not look through it, and does not copy its pages.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return dict(json.loads(line))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()
    return None


def _become(request: Mapping[str, Any]) -> None:
    """Turn this fork into the process of a script."""
    signal.alarm(_LIMIT)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    places = [os.devnull, *(os.path.join(request["outputs"], name) for name in ("out", "err"))]  # noqa: PTH118
    for number, place in enumerate(places):
        opened = os.open(place, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding=encoding, closefd=False)  # noqa: SIM115
        for number, mode in enumerate("rww")
    )
    sys.argv = [request["script"], *request["arguments"]]
    # As for any script, its own folder comes first; for a package's main module the one that the package is in.
    script = Path(request["script"])
    sys.path[0] = str(script.parent.parent if script.name == "__main__.py" else script.parent)
    runpy.run_path(request["script"], run_name="__main__")


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    asked = _serve()
    if asked is not None:
        _become(asked)
