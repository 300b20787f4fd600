"""Draws ever new examples of every property until the time is up, and goes on there the next time: `make soak`.

A round is one property with one seed, and round k is property k mod n with the seed k div n, so that all that a soak
has to remember is the number of the next round.  One that fails, or takes half an hour, leaves a file in
out/soak/failures that begins with the command which draws the same again.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parent.parent
#: Seconds of a round; it hangs if it takes more.
_LONGEST = 1800
_PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
_PROFILE = "--hypothesis-profile=soak"


def properties(where: Sequence[str]) -> list[str]:
    """The tests that draw examples, and those that only a soak has time for."""
    command = [*_PYTEST, _PROFILE, "--collect-only", "-m", "hypothesis or soak", *where]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if "::" in line]
    if done.returncode or not found:
        sys.exit(f"no properties were found:\n{done.stdout}{done.stderr}")
    return found


class Soak:
    """Rounds in order, each given out once.

    Args:
        tests: the properties.
        folder: where the next round and failures are kept.
        deadline: of `time.monotonic`, when no round may go on.
    """

    def __init__(self, tests: Sequence[str], folder: Path, deadline: float) -> None:
        self.tests, self.folder, self.deadline = tests, folder, deadline
        self.failures: list[Path] = []
        self._next = folder / "next-round"
        first = int(self._next.read_text()) if self._next.exists() else 0
        self._numbers, self._open, self._lock = count(first), {first}, Lock()
        self.done = 0

    def work(self) -> None:
        """Do one round after another until the time is up."""
        while time.monotonic() < self.deadline:
            with self._lock:
                number = next(self._numbers)
                self._open.add(number)
            if self._round(number):
                self._finish(number)

    def _finish(self, number: int) -> None:
        """Remember the first round that is open, or to come: those beyond it that are done may be done again."""
        with self._lock:
            self.done += 1
            self._open.discard(number)
            draft = self._next.with_suffix(".part")
            draft.write_text(f"{min(self._open, default=number + 1)}\n")
            draft.replace(self._next)

    def _round(self, number: int) -> bool:
        """Whether a round came to its end."""
        seed, place = divmod(number, len(self.tests))
        command = [*_PYTEST, _PROFILE, f"--hypothesis-seed={seed}", self.tests[place]]
        left = self.deadline - time.monotonic()
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=min(left, _LONGEST),
            )
        except subprocess.TimeoutExpired:
            if left <= _LONGEST:
                return False
            self._fail(self.tests[place], seed, f"not done in {_LONGEST} s")
            return True
        if done.returncode:
            self._fail(self.tests[place], seed, done.stdout)
        return True

    def _fail(self, test: str, seed: int, said: str) -> None:
        options = f"{_PROFILE} --hypothesis-seed={seed}"
        name = re.sub(r"\W+", "-", test.rpartition("/")[2])[:120]
        path = self.folder / "failures" / f"{name}-{seed}.txt"
        path.write_text(f"make test ARGS={shlex.quote(f'{options} {shlex.quote(test)}')}\n\n{said}", encoding="utf-8")
        self.failures.append(path)
        sys.stdout.write(f"failed: {path}\n")
        sys.stdout.flush()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float, help="what it may take")
    parser.add_argument(
        "tests", nargs="*", help="files of tests, or tests, in place of all; with a --folder of its own"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "out" / "soak", help="where it keeps what it found")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rounds at a time")
    arguments = parser.parse_args()
    deadline = time.monotonic() + 60 * arguments.minutes
    (arguments.folder / "failures").mkdir(parents=True, exist_ok=True)
    soak = Soak(properties(arguments.tests), arguments.folder, deadline)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for worker in [pool.submit(soak.work) for _ in range(arguments.jobs)]:
            worker.result()
    sys.stdout.write(f"{soak.done} rounds of {len(soak.tests)} properties, {len(soak.failures)} failed\n")
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
