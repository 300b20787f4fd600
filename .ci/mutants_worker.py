"""Passes tests in forks of one process that has imported the libraries: a mutant costs what its tests compute.

Reads tasks from standard input, one JSON object a line, and answers each with one.  A task has
  log, record: where the tests' output goes, and a file for what is measured;
  tests: files, or names of tests;
  costs: seconds of processor time by name, to pass those tests alone, the cheapest first; empty to pass those of which
    nothing is known, one of each file in turn, the properties last;
  first: the name of the file of tests that comes before the others then, or empty;
  left_out: names of tests that are not of these;
  broken: whether there is a mutant, and the first failure is the last;
  most: seconds of processor time after which no further test begins;
  wall: seconds that a clock on the wall may show.
An answer has
  code: pytest's exit code, 0 if the time was over before a test failed; -1 if a limit ended it; 70 if a module of the
    project is not of the working folder;
  test: the one that began last;
  seconds: of processor time;
  costs: what each took that passed;
  failed: the names of the others.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flint  # noqa: F401
import hypothesis
import mpmath  # noqa: F401
import numpy  # noqa: F401
import pytest
import scipy.linalg  # noqa: F401
import sympy  # noqa: F401

#: A test may take this many times what it takes without a mutant, and this many seconds more.
_TIMES, _MORE = 10.0, 10.0
#: What a test is given while nothing is known of it, and bytes that its process may have.
_UNKNOWN, _MEMORY = 300.0, 8 << 30
#: The exit code if what was tested is not the copy.
_ELSEWHERE = 70


class Cheapest:
    """A plugin that chooses and measures tests.

    Args:
        task: see above.
    """

    def __init__(self, task: dict[str, Any]) -> None:
        self.costs, self.left_out, self.first = task["costs"], set(task["left_out"]), task["first"]
        self.most, self.record, self.spent = task["most"], Path(task["record"]), 0.0

    @property
    def is_over(self) -> bool:
        """Whether no further test may begin."""
        return bool(self.spent > self.most)

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self) -> None:
        """Register the profile "mutants", before Hypothesis asks for it: fixed draws, and none made smaller."""
        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        fixed = hypothesis.settings.get_profile("fixed")
        hypothesis.settings.register_profile("mutants", fixed, phases=phases, report_multiple_bugs=False)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Choose and sort."""
        if self.costs:
            items[:] = sorted((each for each in items if each.nodeid in self.costs), key=self._cost)
            return
        items[:] = [i for i in items if not i.get_closest_marker("slow") and i.nodeid not in self.left_out]
        turns: Counter[Path] = Counter()
        order = {}
        for each in items:
            order[each.nodeid] = (each.path.name != self.first, "properties" in each.path.parts, turns[each.path])
            turns[each.path] += 1
        items.sort(key=lambda i: order[i.nodeid])

    def _cost(self, item: pytest.Item) -> float:
        return self.costs[item.nodeid]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Measure a test; one that takes far longer than it should ends the process (SIGPROF)."""
        with self.record.open("a", encoding="utf-8") as file:
            file.write(f"{item.nodeid}\n")
        limit = _TIMES * self.costs[item.nodeid] + _MORE if self.costs else _UNKNOWN
        signal.setitimer(signal.ITIMER_PROF, limit)
        begun = time.process_time()
        yield
        seconds = time.process_time() - begun
        signal.setitimer(signal.ITIMER_PROF, 0)
        self.spent += seconds
        with self.record.open("a", encoding="utf-8") as file:
            file.write(f"\t{seconds}\n")
        if self.is_over:
            item.session.shouldstop = "the time for the tests of a package is over"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say which tests failed."""
        if report.failed:
            with self.record.open("a", encoding="utf-8") as file:
                file.write("\tfailed\n")


def measured(record: Path) -> tuple[dict[str, float], list[str], str]:
    """Seconds by test that came to its end and passed, those that failed, and the one that began last."""
    costs: dict[str, float] = {}
    failed: list[str] = []
    name = ""
    for line in record.read_text(encoding="utf-8").splitlines() if record.exists() else ():
        if not line.startswith("\t"):
            name = line
        elif line == "\tfailed":
            failed.append(name)
        elif name not in failed:
            costs[name] = float(line)
    return costs, failed, name


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Do one task in a fork."""
    record = Path(task["record"])
    record.unlink(missing_ok=True)
    begun = time.monotonic()
    child = os.fork()
    if not child:
        _tests(task)
    try:
        while not (ended := os.wait4(child, os.WNOHANG))[0]:
            if time.monotonic() - begun > task["wall"]:
                _end_group(child)
            time.sleep(0.05)
    finally:
        _end_group(child)
    code = os.WEXITSTATUS(ended[1]) if os.WIFEXITED(ended[1]) else -1
    costs, failed, last = measured(record)
    seconds = ended[2].ru_utime + ended[2].ru_stime
    return {"code": code, "test": last, "seconds": seconds, "costs": costs, "failed": failed}


def _end_group(child: int) -> None:
    """End what the tests have started and left."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return


def _tests(task: dict[str, Any]) -> None:
    """Run pytest, in the fork, and leave it."""
    code = 3
    try:
        # A group and not a session: what the scheduler gives to a session it gives to this one.
        os.setpgrp()
        log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        # What a mutant compiles to is not kept; what measuring compiles is.
        if task["broken"]:
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile=mutants", "--tb=short"]
        # Of the libraries imported beforehand.
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        # Until the first test begins: what is imported may not come to an end.
        signal.setitimer(signal.ITIMER_PROF, _UNKNOWN)
        plugin = Cheapest(task)
        code = int(pytest.main([*options, *(["-x"] if task["broken"] else []), *task["tests"]], plugins=[plugin]))
        if plugin.is_over and code == pytest.ExitCode.INTERRUPTED:
            code = 0
        _only_the_copy()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _only_the_copy() -> None:
    """Exit with 70 if a module of the project came from elsewhere than the working folder."""
    tops = ("theory", "numerics", "deqverify")
    files = [module.__file__ for name, module in list(sys.modules.items()) if name.partition(".")[0] in tops]
    if any(file and not Path(file).is_relative_to(Path.cwd()) for file in files):
        os._exit(_ELSEWHERE)


if __name__ == "__main__":
    for text in sys.stdin:
        sys.stdout.write(json.dumps(run(json.loads(text))) + "\n")
        sys.stdout.flush()
