"""Files are written whole or not at all, and drafts of killed writers go."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest

from numerics.records import remove_stale_drafts, write_whole


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """A limit on the size of files, as a full disk would set one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_file_is_replaced_with_all_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    for content in (b"first", b"", b"x" * 100_000):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_a_new_file_or_those_asked_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", b"")
        write_whole(tmp_path / "own", b"", 0o604)
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o604


def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with at_most(1000), pytest.raises(OSError, match=r"too large.*file"):
        write_whole(path, b"x" * 100_000)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:.*unclosed file")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_step_leaves_no_draft(tmp_path: Path) -> None:
    """Of Python's steps that is: signals are handled between them."""
    path = tmp_path / "file"
    step = 0
    while not path.exists() or path.read_bytes() != b"after":
        path.write_bytes(b"before")
        step += 1
        with interrupted_at(step), suppress(KeyboardInterrupt):
            write_whole(path, b"after")
        assert list(tmp_path.iterdir()) == [path], step
        assert path.read_bytes() in (b"before", b"after"), step
    assert step > 20


@contextmanager
def interrupted_at(step: int) -> Iterator[None]:
    """Ctrl-C before the given step of write_whole."""
    before, left = sys.gettrace(), [step]

    def enter(frame: FrameType, _: str, __: object) -> Callable[..., object] | None:
        inside = frame.f_code is write_whole.__code__ or (frame.f_back and frame.f_back.f_trace)
        frame.f_trace_opcodes = bool(inside)
        return count if inside else None

    def count(_: FrameType, event: str, __: object) -> Callable[..., object]:
        left[0] -= event == "opcode"
        if event == "opcode" and not left[0]:
            raise KeyboardInterrupt
        return count

    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)


_WRITER = """
import sys, time
from pathlib import Path
from numerics.records import files as whole_files
draft = Path(sys.argv[1]) / ".deqverify-0.part"
handle = whole_files._open_draft(draft)
print(draft.name, flush=True)
time.sleep(600)
"""


def test_drafts_of_killed_writers_go_and_others_stay(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        draft = tmp_path / writer.stdout.readline().strip()
        old = f"{'a' * 64}.{writer.pid}.3.part"
        (tmp_path / old).touch()
        kept = {"notes.part", ".deqverify-notes.txt", f"{'a' * 63}.1.3.part", "result.json"}
        for name in kept:
            (tmp_path / name).touch()
        (tmp_path / ".deqverify-link.part").symlink_to("result.json")
        kept.add(".deqverify-link.part")
        remove_stale_drafts(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == kept | {draft.name, old}
        writer.kill()
        writer.wait()
    remove_stale_drafts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_folder_that_is_not_there_has_no_drafts(tmp_path: Path) -> None:
    remove_stale_drafts(tmp_path / "missing")
