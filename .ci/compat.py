"""Pass the exact part of the tests under other interpreters, dependencies, ground types and numbers of BLAS threads.

Each row of the table is one such surrounding.  Environments are made under build/compat, and kept until what they are
made from changes.  The oldest dependencies are the lower bounds of pyproject.toml, what these need in turn is as new
as it may be.  Exit code 0: every row that could be tried passes; 1: one fails; 2: no row of that name.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "compat"
#: What the ground types of SymPy can change.
SYMBOLIC = ("theory", *(f"numerics/{name}" for name in ("arithmetic", "equilibrium", "matching", "moments", "records")))
#: What the number of threads can change.
FLOAT = (
    *(f"numerics/{name}" for name in ("data", "equivalents", "kernels", "learning", "linalg", "networks", "spectrum")),
    "numerics/records/test_campaign.py",
    "deqverify",
)
#: What the tests need besides the package itself.
TEST_TOOLS = {"hypothesis", "packaging", "pylatexenc", "pytest", "pytest-xdist"}


@dataclass(frozen=True)
class Row:
    """One surrounding.

    Attributes:
        name: what it is called, and chosen by.
        python: major and minor version of the interpreter.
        oldest: whether dependencies are at their lower bounds, else those of requirements.lock.
        ground: what SymPy computes with.
        threads: of the linear algebra.
        tests: under tests/.
    """

    name: str
    python: str = "3.11"
    oldest: bool = False
    ground: str = "flint"
    threads: int = 1
    tests: tuple[str, ...] = field(default=tuple(dict.fromkeys((*SYMBOLIC, *FLOAT))))


ROWS = (
    Row("oldest", oldest=True),
    Row("ground-python", ground="python", tests=SYMBOLIC),
    Row("ground-gmpy", ground="gmpy", tests=SYMBOLIC),
    Row("ground-flint", tests=SYMBOLIC),
    Row("threads-1", tests=FLOAT),
    Row("threads-2", threads=2, tests=FLOAT),
    Row("python-3.12", python="3.12"),
    Row("python-3.13", python="3.13"),
)
#: Says what a row runs on, so that a row is never taken for another.
SURROUNDING = """
import sys, scipy.linalg, sympy.external.gmpy, threadpoolctl
threads = {each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"}
print("%d.%d" % sys.version_info[:2], sympy.external.gmpy.GROUND_TYPES, *threads)
"""


class RowError(Exception):
    """A row that fails, in one sentence."""


class MissingError(Exception):
    """A row that cannot be tried on this machine, in one sentence."""


def main() -> int:
    """Try the rows, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [row.name for row in ROWS]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"by default all: {', '.join(names)}")
    parser.add_argument("--jobs", default="auto", help="processes that tests run in (default: one a core)")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="under tests/, instead of those of the row")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(names):
        parser.error(f"there is no row {', '.join(sorted(unknown))}: accepted are {', '.join(names)}")
    chosen = [row for row in ROWS if row.name in (arguments.rows or names)]
    outcomes = [tried(row, arguments.tests or row.tests, arguments.jobs) for row in chosen]
    print()
    for row, (outcome, seconds, sentence) in zip(chosen, outcomes, strict=True):
        print(f"{row.name:14} {outcome:9} {seconds:6.0f} s  {sentence}")
    return int(any(outcome == "failed" for outcome, _, _ in outcomes))


def tried(row: Row, tests: Sequence[str], jobs: str) -> tuple[str, float, str]:
    """What became of a row: "passed", "failed" or "not there", the seconds it took, and a sentence."""
    begun = time.monotonic()
    print(f"{row.name} ...", flush=True)
    try:
        outcome, sentence = "passed", passed(row, tests, jobs)
    except RowError as error:
        outcome, sentence = "failed", str(error)
    except MissingError as error:
        outcome, sentence = "not there", str(error)
    return outcome, time.monotonic() - begun, sentence


def passed(row: Row, tests: Sequence[str], jobs: str) -> str:
    """Run the tests of a row; return pytest's last line, and raise RowError unless they pass."""
    python = environment(row)
    variables = os.environ | {
        "CI": "true",
        "PYTHONPATH": str(ROOT),
        "SYMPY_GROUND_TYPES": row.ground,
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(row.threads)),
    }
    found = run(row, "surrounding", [python, "-c", SURROUNDING], variables)
    if found != f"{row.python} {row.ground} {row.threads}":
        raise RowError(f"asked for Python {row.python}, {row.ground}, {row.threads} threads, and got {found}")
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "-n", jobs]
    if row.oldest:
        # Old packages call what newer ones below them have since renamed, and nobody will mend that there.
        command += ["-W", "ignore::DeprecationWarning"]
    return run(row, "tests", [*command, *(str(ROOT / "tests" / path) for path in tests)], variables)


def environment(row: Row) -> str:
    """The interpreter of a row's environment, which is made unless it is there."""
    kind = f"{row.python}-{'oldest' if row.oldest else 'locked'}"
    folder, wanted = FOLDER / kind, requirements(row)
    stamp, digest = folder / "made-from", hashlib.sha256(wanted.encode()).hexdigest()
    python = str(folder / "bin" / "python")
    if stamp.exists() and stamp.read_text() == digest:
        return python
    base = interpreter(row.python)
    FOLDER.mkdir(parents=True, exist_ok=True)
    listed = FOLDER / f"{kind}.txt"
    listed.write_text(wanted, encoding="utf-8")
    run(row, "venv", [base, "-m", "venv", "--clear", str(folder)])
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "-r", str(listed)]
    run(row, "install", pip + ([] if row.oldest else ["--require-hashes"]))
    stamp.write_text(digest)
    return python


def interpreter(version: str) -> str:
    """An interpreter of a version: on the PATH, or among those that pyenv keeps."""
    on_path = shutil.which(f"python{version}")
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in [on_path, *map(str, kept)]:
        # Tried by running it: a name on the PATH may be a launcher for a version that is absent.
        if (
            candidate
            and subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False).returncode == 0
        ):
            return candidate
    raise MissingError(f"no Python {version} on this machine")


def requirements(row: Row) -> str:
    """What is installed for a row, in the format of pip."""
    if not row.oldest:
        return (ROOT / "requirements.lock").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    own = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["gmpy2"]
    tools = [text for text in project["dependency-groups"]["dev"] if Requirement(text).name in TEST_TOOLS]
    return "".join(f"{line}\n" for line in [*map(lowest, own), *tools])


def lowest(text: str) -> str:
    """A requirement at its lower bound: "numpy>=2.0,<3" becomes "numpy==2.0"."""
    requirement = Requirement(text)
    (bound,) = (each.version for each in requirement.specifier if each.operator in (">=", "=="))
    return f"{requirement.name}=={bound.removesuffix('.*')}"


def run(row: Row, step: str, command: Sequence[str], variables: dict[str, str] | None = None) -> str:
    """Run a step of a row; return the last line it prints, or raise RowError with what failed and where it is told."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    log = FOLDER / f"{row.name}-{step}.log"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, cwd=ROOT, env=variables, stdout=file, stderr=subprocess.STDOUT, check=False)
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "").strip("= ")
    if done.returncode:
        failures = list(told(lines))
        raise RowError(f"{step}: {last} ({log.relative_to(ROOT)}){''.join(failures)}")
    return last


def told(lines: Sequence[str]) -> Iterator[str]:
    """The tests that failed, each in a line below the row."""
    for line in lines:
        if re.match(r"(FAILED|ERROR) ", line):
            yield f"\n    {line}"


if __name__ == "__main__":
    sys.exit(main())
