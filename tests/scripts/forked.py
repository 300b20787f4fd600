"""Runs commands in forks of one process that has imported all they need: a run costs what it computes.

The tests of faults start this module's callers as programs of their own: a process with threads must not fork.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from deqverify.commands import _running, command

#: Of Linux: version 3 of the structures that capset takes.
_CAPABILITIES = 0x20080522


class Left(NamedTuple):
    """How a run ended: its exit code, minus the signal that ended it, and what it printed."""

    code: int
    out: str
    err: str


class Run:
    """A command that runs in a fork.

    Args:
        folder: its working folder.
        words: the command and its arguments.
        first: called in the fork before the command.
    """

    def __init__(self, folder: Path, *words: str, first: Callable[[], object] = lambda: None) -> None:
        # Outside the folder, which may be what cannot be written to; files, which no reader has to empty.
        self._streams = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        self.pid = os.fork()
        if not self.pid:
            self._run(folder, words, first)

    def _run(self, folder: Path, words: tuple[str, ...], first: Callable[[], object]) -> None:
        code = 99
        try:
            for stream, descriptor in zip(self._streams, (1, 2), strict=True):
                os.dup2(stream.fileno(), descriptor)
            # A shell that runs the tests in the background ignores SIGINT, and so would what they start.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.chdir(folder)
            sys.argv = [f"deqverify {words[0]}", *words[1:]]
            first()
            try:
                _running.run(lambda _: command(words[0]).main(None))
            except SystemExit as left:
                code = int(left.code or 0)
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def end(self) -> Left:
        """Wait for its end."""
        _, status = os.waitpid(self.pid, 0)
        texts = []
        for stream in self._streams:
            stream.seek(0)
            texts.append(stream.read().decode())
            stream.close()
        return Left(os.waitstatus_to_exitcode(status), *texts)


def run(folder: Path, *words: str, first: Callable[[], object] = lambda: None) -> Left:
    """Run a command in a fork to its end."""
    return Run(folder, *words, first=first).end()


def obey_permissions() -> None:
    """Give up what root may do beyond other users, so that read-only folders are read-only; for good."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
        if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
            raise OSError(ctypes.get_errno(), "capabilities cannot be given up")
