"""The whole way from a text to certified coefficients, for the command fuzz-parser, in processes that can be killed."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import re
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from deqverify.commands import _budgets, _options, _running

__all__ = ["GOALS", "MOST_MEMORY", "walk", "walk_all"]

#: How far a text is taken.
GOALS = ("derive", "solve")
#: Memory of one process in GiB beyond which a text has failed.
MOST_MEMORY = 2.5
#: A process is killed once it has been at one text for so many times the budget: other processes may have its core.
_PATIENCE = 10
#: Relative difference between a certified variance and plain quadrature that is a failure.
_AGREEMENT = 1e-6
_PARAMETERS = {"a": "(1/3)", "b": "(5/4)"}

Progress = Callable[[int, Sequence[dict[str, Any]]], None]


class _Caught:
    """Catches every error of the block, to look at it: finding foreign ones is the purpose here."""

    error: Exception | None = None

    def __enter__(self) -> _Caught:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.error = error if isinstance(error, Exception) else None
        return self.error is not None


def walk(text: str, goal: str, seconds: int, *, compare: bool) -> dict[str, Any]:
    """Take one text as far as the goal.

    Args:
        text: an activation, perhaps; the parameters a and b take values.
        goal: "derive" or "solve".
        seconds: budget of processor time.
        compare: whether a certified variance is compared with plain quadrature.

    Returns:
        The ``outcome`` (accepted, refused, undecided or failure), ``what`` says why, ``seconds`` of processor time,
        ``memory`` in GiB, and whether the numbers were ``compared``.
    """
    from numerics.budget import OverBudgetError

    begun = time.process_time()
    found: dict[str, Any] = {"text": text, "outcome": "accepted", "what": "", "compared": False}
    with _Caught() as caught:
        found |= _way(re.sub(r"\b[ab]\b", lambda match: _PARAMETERS[match[0]], text), goal, seconds, compare=compare)
    error = caught.error
    if isinstance(error, _running.mendable()):
        found |= {"outcome": "refused", "what": f"{type(error).__name__}: {error}"[:300]}
    elif isinstance(error, OverBudgetError):
        found |= {"outcome": "undecided", "what": f"{error}"[:300]}
    elif error is not None:
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} at {where.name}, line {where.lineno}: {error}"
        found |= {"outcome": "failure", "what": what[:300]}
    found |= {"seconds": time.process_time() - begun, "memory": _budgets.memory_used()}
    if found["outcome"] != "failure" and found["memory"] > MOST_MEMORY:
        found |= {"outcome": "failure", "what": f"{found['memory']:.1f} GiB of memory"}
    return found


def _way(text: str, goal: str, seconds: int, *, compare: bool) -> dict[str, Any]:
    from numerics.equilibrium import certify
    from numerics.records import derive
    from theory.equations import DEQ

    with _budgets.budgeted(seconds):
        activation = _options.activation_argument(text)
        derived = derive(activation, use_cache=False)
        if goal == "derive":
            return {} if derived.finished else {"what": "closed forms were not all sought to the end"}
        solution = certify(DEQ(activation, "1/5"))
        if not all(solution.certified.values()):
            return {"what": f"UNPROVED: {'; '.join(sorted(set(solution.reason.values())))}"[:300]}
    if not compare:
        return {}
    return _compared(activation, solution)


def _compared(activation: Any, solution: Any) -> dict[str, Any]:
    """Whether plain quadrature finds the certified variance, where it converges."""
    from numerics.equilibrium import naive_variance

    value, error = naive_variance(activation.expr, solution.decimal("tau"), activation.breakpoints)
    gamma2, tau = float(solution["gamma2"]), float(solution["tau"])
    size = max(abs(gamma2), 1e-12)
    if not float(error) < _AGREEMENT * size / 10:
        return {}
    if abs(float(value) - gamma2) > _AGREEMENT * size or abs(tau**2 - gamma2 / 5 - 0.8) > _AGREEMENT * tau**2:
        what = f"wrong: tau = {tau!r}, gamma2 = {gamma2!r}, but quadrature gives {float(value)!r}"
        return {"outcome": "failure", "what": what, "compared": True}
    return {"compared": True}


def _serve(connection: Any) -> None:
    """Take the texts that come in, until there are none."""
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(walk(*task[:3], compare=task[3]))


class _Worker:
    """A process at one text at a time."""

    def __init__(self, seconds: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other,), daemon=True)
        self.process.start()
        other.close()
        self.seconds = seconds
        self.text, self.since = "", 0.0

    def give(self, task: tuple[str, str, int, bool]) -> None:
        self.text, self.since = task[0], time.monotonic()
        self.connection.send(task)

    def taken(self) -> dict[str, Any] | None:
        """What came of the text; None while it is at work."""
        lost = ""
        if self.connection.poll():
            try:
                result: dict[str, Any] = self.connection.recv()
            except (EOFError, ConnectionError):
                lost = "the process died"
            else:
                return result
        elif time.monotonic() - self.since > _PATIENCE * self.seconds + 30:
            lost = "killed: it neither answered nor stopped in time"
        if not lost:
            return None
        self.end()
        return {"text": self.text, "outcome": "failure", "what": lost, "compared": False, "seconds": 0.0, "memory": 0.0}

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def walk_all(
    texts: Sequence[str], goal: str, seconds: int, jobs: int, compared_share: float, progress: Progress
) -> list[dict[str, Any]]:
    """Take every text as far as the goal, several at a time; a process that hangs or grows is replaced.

    Args:
        texts: what to try.
        goal: "derive" or "solve".
        seconds: budget of processor time for each.
        jobs: processes.
        compared_share: part of the texts whose certified numbers are compared with plain quadrature.
        progress: called with the number done and all results.
    """
    every = round(1 / compared_share) if compared_share else 0
    waiting = [(text, goal, seconds, bool(every) and index % every == 0) for index, text in enumerate(texts)][::-1]
    workers: list[_Worker] = []
    results: list[dict[str, Any]] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(_Worker(seconds))
                workers[-1].give(waiting.pop())
            multiprocessing.connection.wait([worker.connection for worker in workers], timeout=1.0)
            for worker in tuple(workers):
                result = worker.taken()
                if result is None:
                    continue
                results.append(result)
                progress(len(results), results)
                fresh = worker.process.is_alive() and result["memory"] < MOST_MEMORY / 4
                if fresh and waiting:
                    worker.give(waiting.pop())
                    continue
                if worker.process.is_alive():
                    worker.end()
                workers.remove(worker)
    finally:
        for worker in workers:
            worker.end()
    return results
