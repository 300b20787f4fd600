"""Files written whole or not at all: under another name in the same folder, which is then given the right one.

The draft is locked while it is written.  The lock ends with its writer, however that ends, so a draft that can be
locked was left by a killed run and may go.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from contextlib import suppress
from pathlib import Path

__all__ = [
    "remove_stale_drafts",
    "write_whole",
]


if sys.platform != "win32":
    import fcntl

_PREFIX, _SUFFIX = ".deqverify-", ".part"
_DRAFT = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]+" + re.escape(_SUFFIX))
#: Drafts of campaigns of version 0.1.0, which had no lock but the number of their process.
_UNLOCKED_DRAFT = re.compile(r"[0-9a-f]{64}\.(\d{1,9})\.\d+" + re.escape(_SUFFIX))


def write_whole(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file, all of it or nothing; a file that is there is replaced.

    Args:
        path: the file, in a folder that exists; a symbolic link would be replaced, not followed.
        content: its bytes.
        mode: its permissions, or None for those of a new file.

    Raises:
        OSError: it cannot be written; what was there before is unchanged, and no draft is left.
    """
    # Named before it is made, so that there is no moment at which a signal could leave it behind.
    draft = path.parent / f"{_PREFIX}{secrets.token_hex(16)}{_SUFFIX}"
    try:
        with os.fdopen(_open_draft(draft), "wb") as file:
            file.write(content)
            file.flush()
            draft.chmod(_mode_of_new_files() if mode is None else mode)
            # While it is locked, so that nobody takes it for a stale one.
            draft.replace(path)
    except OSError as error:
        # Where the disk is full, the system does not say for which file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        try:
            draft.unlink(missing_ok=True)
        finally:  # people press Ctrl-C twice
            draft.unlink(missing_ok=True)


def remove_stale_drafts(folder: Path) -> None:
    """Remove the drafts that killed runs have left in a folder; those that are being written stay.

    Args:
        folder: where to look; what cannot be read or removed is left alone.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_file(follow_symlinks=False) and _is_stale(entry):
                    Path(entry.path).unlink()


def _is_stale(entry: os.DirEntry[str]) -> bool:
    """Whether this is a draft whose writer is gone; its lock, if it was taken here, is given back."""
    old = _UNLOCKED_DRAFT.fullmatch(entry.name)
    if old:
        return not _is_running(int(old.group(1)))
    if not _DRAFT.fullmatch(entry.name):
        return False
    with Path(entry.path).open("r+b") as file:  # some file systems lock only what may be written
        return _lock(file.fileno(), wait=False)


def _is_running(process: int) -> bool:
    """Whether this machine has a process of that number."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _open_draft(draft: Path) -> int:
    """The descriptor of a new file, locked where the file system has locks."""
    while True:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        _lock(handle, wait=True)
        # Another run may have removed it before it was locked.
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    """Lock an open file until it is closed, and say whether that worked."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _mode_of_new_files() -> int:
    """Permissions that the process gives to new files."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
