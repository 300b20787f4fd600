"""The program of test_faults.py: runs of commands that are killed, stopped, crowded or refused by the disk.

Usage: python -m tests.scripts.runs_at_risk SEED, in an empty folder.  It says nothing and leaves with 0 where all is
well, and else with the assertion that failed.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from numerics.records import campaign
from tests.scripts.forked import Left, Run, obey_permissions, run

#: Two campaigns of a fraction of a second, and how many records they leave.
CONVERGE = ("converge", "--sizes", "20,30,40", "--draws", "4", "--jobs", "1", "--activation", "tanh")
SPECTRUM = ("spectrum", "--p", "40", "--draws", "4", "--jobs", "1")
RECORDS = {CONVERGE: 12, SPECTRUM: 4}
#: Undecided: there are few draws.
CODES = {CONVERGE: 3, SPECTRUM: 0}
KEEPING = ("--resume", "runs", "--json", "result.json")
KILLS = 4
#: As often as that at most, until one has struck the work itself.
ROUNDS = 10
STOPS = 2
#: Bytes of a file where a disk is full: enough for a semaphore, which lies in a file too, and for no record.
ROOM = 100


def main() -> None:
    """Try everything."""
    rng = np.random.default_rng(int(sys.argv[1]))
    for whole in map(Whole, RECORDS):
        killed_at_any_moment(whole, rng)
        stopped_at_any_moment(whole, rng)
    two_at_once(whole)
    full_from_some_record_on(whole, rng)
    read_only(whole)
    no_space_at_all(whole)
    caches_that_are_of_no_use()
    draws_that_are_no_numbers(Whole(CONVERGE, "spoilt"))


class Whole:
    """A run that nothing happened to: its bytes, its records and its seconds.

    Args:
        words: the command and its arguments.
        name: of its folder.
    """

    def __init__(self, words: tuple[str, ...], name: str = "whole") -> None:
        self.words, self.folder = (*words, *KEEPING), Path(f"{name}-{words[0]}").resolve()
        self.folder.mkdir()
        self._made = 0
        os.environ["DEQVERIFY_CACHE"] = str(Path("cache").resolve())
        # Here, so that the forks have all that it imports.
        warm(self.folder, self.words[:-4])
        begun = time.monotonic()
        left = run(self.folder, *self.words)
        self.seconds = time.monotonic() - begun
        assert left.code == CODES[words], left
        self.table, self.code = left.out, left.code
        self.json = (self.folder / "result.json").read_bytes()
        self.records = records(self.folder)
        assert len(self.records) == RECORDS[words]

    def fresh(self) -> Path:
        """A folder for a run that something happens to."""
        self._made += 1
        folder = self.folder.with_name(f"{self.folder.name}-{self._made}")
        folder.mkdir()
        return folder

    def nothing_wrong_is_written(self, folder: Path) -> int:
        """Whether all in a folder is what it should be, as far as it is there; the number of records."""
        found = records(folder)
        assert found.items() <= self.records.items()
        result = folder / "result.json"
        assert not result.exists() or result.read_bytes() == self.json
        return len(found)

    def is_taken_up(self, folder: Path) -> None:
        """A run over what is there gives the same bytes, computes no record anew, and leaves nothing else."""
        before = {path: path.stat().st_ino for path in folder.glob("runs/*.json")}
        left = run(folder, *self.words)
        assert (left.code, left.out, left.err) == (self.code, self.table, "")
        assert (folder / "result.json").read_bytes() == self.json
        assert records(folder) == self.records
        assert {path: path.stat().st_ino for path in before} == before
        assert not list(folder.rglob("*.part"))
        assert not list(folder.rglob(".deqverify*"))


def warm(folder: Path, words: tuple[str, ...]) -> None:
    """Run a command in this process, which then has imported all that it needs."""
    from deqverify.commands import command

    saved, sys.argv = sys.argv, [f"deqverify {words[0]}", *words[1:], "--json", os.devnull]
    printed = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        command(words[0]).main(None)
        sys.stdout.flush()
        os.dup2(printed, 1)
    sys.argv = saved


def records(folder: Path) -> dict[str, bytes]:
    """The records of a run by name."""
    return {path.name: path.read_bytes() for path in folder.glob("runs/*.json")}


def struck(
    whole: Whole, rng: np.random.Generator, number: signal.Signals, runs: int, times: int = 1
) -> Iterator[tuple[Path, Left]]:
    """Runs that are sent a signal, once or more often, each after another part of its time, and how they ended."""
    for k in range(runs):
        folder = whole.fresh()
        started = Run(folder, *whole.words)
        time.sleep(whole.seconds * (k + rng.random()) / runs)
        for _ in range(times):
            os.kill(started.pid, number)
            time.sleep(0.02 * rng.random())
        yield folder, started.end()


def killed_at_any_moment(whole: Whole, rng: np.random.Generator) -> None:
    """Kill -9 loses what was being computed and nothing else."""
    kept: list[int] = []
    # How long the work takes varies: go on until a moment was one of the work.
    for _ in range(ROUNDS):
        for folder, left in struck(whole, rng, signal.SIGKILL, KILLS):
            assert left.code in (-signal.SIGKILL, whole.code), left
            kept.append(whole.nothing_wrong_is_written(folder))
            whole.is_taken_up(folder)
        if any(0 < count < len(whole.records) for count in kept):
            return
    raise AssertionError(kept)


def stopped_at_any_moment(whole: Whole, rng: np.random.Generator) -> None:
    """Ctrl-C, twice as impatient people press it, and SIGTERM: one word, their exit code, and what was finished."""
    name = whole.words[0]
    for number, times, code, word in (
        (signal.SIGINT, 1, 130, "interrupted"),
        (signal.SIGINT, 2, 130, "interrupted"),
        (signal.SIGTERM, 1, 143, "terminated"),
    ):
        for folder, left in struck(whole, rng, number, STOPS, times):
            if left.code == whole.code:
                continue
            assert (left.code, left.err) == (code, f"deqverify {name}: {word}\n"), left
            whole.nothing_wrong_is_written(folder)
            assert not list(folder.rglob("*.part"))
        whole.is_taken_up(folder)


def two_at_once(whole: Whole) -> None:
    """Two runs in one folder are in each other's way nowhere."""
    folder = whole.fresh()
    started = [Run(folder, *whole.words) for _ in range(2)]
    for each in started:
        left = each.end()
        assert (left.code, left.out, left.err) == (whole.code, whole.table, "")
    whole.is_taken_up(folder)


def full_from_some_record_on(whole: Whole, rng: np.random.Generator) -> None:
    """A disk that fills up in the middle is named, with what was being written, and keeps what was finished."""
    folder, room = whole.fresh(), int(rng.integers(1, len(whole.records)))
    left = run(folder, *whole.words, first=lambda: fills_up_after(room))
    assert left.code == 2
    assert one_sentence(left, "runs/", ".json: no space left on device"), left
    assert whole.nothing_wrong_is_written(folder) == room
    assert not (folder / "result.json").exists()
    whole.is_taken_up(folder)


def fills_up_after(room: int) -> None:
    """Let so many records be written, and then none."""
    written, write = [0], campaign.write_whole

    def full(path: Path, content: bytes) -> None:
        if written[0] == room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written[0] += 1
        write(path, content)

    campaign.write_whole = full


def no_space_at_all(whole: Whole) -> None:
    """No record fits onto the disk: workers in other processes say so as well."""
    for jobs in ("1", "2"):
        folder = whole.fresh()
        words = tuple(jobs if before == "--jobs" else word for before, word in pairs(whole.words))
        # To a pipe: files take nothing.
        left = refused_by_the_disk(folder, words)
        assert left.code == 2, left
        assert one_sentence(left, "runs/", "file too large"), left
        assert not list(folder.rglob("*.part"))
        assert not records(folder)
        whole.is_taken_up(folder)


def pairs(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each word with the one before it."""
    return zip(("", *words), words, strict=False)


def refused_by_the_disk(folder: Path, words: tuple[str, ...]) -> Left:
    """Run a command that can write no record, and which prints to a pipe."""
    reading, writing = os.pipe()

    def first() -> None:
        os.dup2(writing, 2)
        os.close(writing)
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))

    started = Run(folder, *words, first=first)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    return started.end()._replace(err=said)


def one_sentence(left: Left, *parts: str) -> bool:
    """Whether one line was printed, and has these parts."""
    return left.out == "" and left.err.count("\n") == 1 and all(part in left.err for part in parts)


def read_only(whole: Whole) -> None:
    """Folders that take nothing are refused before the work; records that cannot be read are written anew."""
    try:
        obey = os.fork()
        if not obey:
            obey_permissions()
            os._exit(0)
        assert os.waitpid(obey, 0)[1] == 0
    except AssertionError:
        sys.stdout.write("root could not be kept from writing into read-only folders; all else passed\n")
        return
    shut = whole.fresh()
    (shut / "runs").mkdir()
    (shut / "runs").chmod(0o500)
    name = whole.words[0]
    outputs = [("--json", "runs/x.json"), ("--png", "runs/x.png"), ("--pdf", "runs/x.pdf"), ("--resume", "runs")]
    for option, target in outputs:
        left = run(shut, *whole.words[:-4], option, target, first=obey_permissions)
        assert left.code == 2
        assert one_sentence(left, f"deqverify {name}: {option} {target}", "cannot be written to"), left
    assert [path.name for path in shut.iterdir()] == ["runs"]
    words = ("export-latex", "--activation", "relu", "--output", "runs/tex")
    left = run(shut, *words, first=obey_permissions)
    assert left.code == 2
    assert one_sentence(left, "runs/tex"), left
    unreadable = whole.fresh()
    shutil.copytree(whole.folder / "runs", unreadable / "runs")
    next((unreadable / "runs").iterdir()).chmod(0)
    left = run(unreadable, *whole.words, first=obey_permissions)
    assert (left.code, left.out, left.err) == (whole.code, whole.table, "")
    assert records(unreadable) == whole.records


def caches_that_are_of_no_use() -> None:
    """Nobody hears of a cache that cannot be made, read, or believed, and nothing comes out otherwise."""
    words = ("derive", "--activation", "elu", "--json", "-")
    folder = Path("caches").resolve()
    folder.mkdir()

    def derived(cache: Path, first: Callable[[], object] = lambda: None) -> dict[str, object]:
        os.environ["DEQVERIFY_CACHE"] = str(cache)
        left = run(folder, *words, first=first)
        assert (left.code, left.err) == (0, ""), left
        return {key: value for key, value in json.loads(left.out).items() if key not in ("cached", "seconds")}

    expected = derived(folder / "good")
    assert derived(folder / "good") == expected
    shut = folder / "shut"
    shut.mkdir()
    shut.chmod(0o500)
    assert derived(shut, obey_permissions if not list(shut.iterdir()) else lambda: None) == expected
    assert not list(shut.iterdir())
    for name, spoil in (("cut", lambda content: content[:-9]), ("noise", lambda content: bytes(len(content)))):
        shutil.copytree(folder / "good", folder / name)
        for path in (folder / name).rglob("*"):
            if path.is_file():
                path.write_bytes(spoil(path.read_bytes()))
        assert derived(folder / name) == expected
    (folder / "file").write_text("")
    assert derived(folder / "file" / "cache") == expected


def draws_that_are_no_numbers(whole: Whole) -> None:
    """A draw that gives NaN is neither recorded nor written: one sentence says so."""
    folder = whole.fresh()
    left = run(folder, *whole.words, first=spoil_draws)
    assert left.code == 2, left
    assert one_sentence(left, "no finite number"), left
    assert whole.nothing_wrong_is_written(folder) == 0
    assert not (folder / "result.json").exists()


def spoil_draws() -> None:
    """Let every draw of converge give NaN."""
    from numerics.experiments import ConvergenceStudy

    ConvergenceStudy.measure = lambda *_: {"error": float("nan")}  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    main()
