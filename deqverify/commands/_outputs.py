"""Files that commands write: checked before the work, written whole, through devices and links."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from deqverify.commands._errors import UsageError
from deqverify.commands._streams import is_closed, is_unicode

__all__ = [
    "json_text",
    "other_name_of_standard_output",
    "prepare_output",
    "provenance",
    "refuse_same_paths",
    "write_bytes",
    "write_json",
    "write_text",
]


def provenance(seed: int | None = None) -> dict[str, Any]:
    """Return the versions that produced a result, and its seed."""
    from numerics import records

    return records.provenance(seed)


def prepare_output(target: str | None, option: str = "--json") -> None:
    """Raise UsageError when a result could not be written to ``target`` later ("-" and None always can)."""
    if target == "-" and is_closed("stdout"):
        raise UsageError(f"{option} -: standard output is closed; give the name of a file")
    if target is None or target == "-":
        return
    if not target:
        raise UsageError(f"{option}: the path is empty; give the name of a file, or - for standard output")
    try:
        found = _status(target)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"{option} {target}: {reason}; give the name of a file that can be written") from error
    if target.endswith(os.sep) or (found is not None and stat.S_ISDIR(found.st_mode)):
        raise UsageError(f"{option} {target}: that is a folder; give the name of a file, or - for standard output")
    if found is not None and (stat.S_ISSOCK(found.st_mode) or not os.access(target, os.W_OK)):
        raise UsageError(f"{option} {target}: that cannot be written to; give the name of a file that can be")
    if found is None or (stat.S_ISREG(found.st_mode) and _stream(found) is None):
        folder = (Path(os.path.realpath(target)) if Path(target).is_symlink() else Path(target)).parent
        if not folder.is_dir():
            raise UsageError(f"{option} {target}: the folder {folder} does not exist; give a file in an existing one")
        try:
            # Tried rather than asked for: permissions do not tell of a file system that is read-only.
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            reason = f" ({error.strerror.lower()})" if error.strerror else ""
            raise UsageError(f"{option} {target}: the folder {folder} cannot be written to{reason}") from error


def refuse_same_paths(outputs: Mapping[str, str]) -> None:
    """Raise UsageError when two options name the same file or folder, whatever they call it."""
    written: dict[object, str] = {}
    for option, target in outputs.items():
        found = os.fstat(sys.stdout.fileno()) if target == "-" and _has_descriptor() else _status(target)
        place = os.path.realpath(target) if found is None else (found.st_dev, found.st_ino)
        if found is not None and _is_null(found):
            continue
        if place in written:
            where = "standard output" if target == "-" else target
            raise UsageError(f"{written[place]} and {option} would both write to {where}; give each a path of its own")
        written[place] = option


def _has_descriptor() -> bool:
    """Whether standard output is a file of the system, which a test's may not be."""
    try:
        return sys.stdout.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False


def _status(target: str) -> os.stat_result | None:
    """What is at a path, links followed, or None where nothing is."""
    try:
        return Path(target).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_null(found: os.stat_result) -> bool:
    """Whether this is /dev/null, which any number of outputs may share."""
    return os.path.samestat(found, Path(os.devnull).stat())


def _stream(found: os.stat_result) -> int | None:
    """The descriptor of standard output or standard error where a file is one of them."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(found, os.fstat(descriptor)):
                return descriptor
    return None


def other_name_of_standard_output(target: str) -> str:
    """Give "-" where a path is one, such as /dev/stdout, and otherwise the path."""
    with suppress(OSError, ValueError):
        found = _status(target) if target else None
        if found is not None and _stream(found) == 1 and not _is_null(found):
            return "-"
    return target


def write_json(target: str, record: Mapping[str, Any], schema: str) -> None:
    """Write a record to a file (all of it or nothing) or, for "-", to standard output.

    Args:
        target: where to.
        record: plain JSON values.
        schema: which of the published schemas it follows, the name of a file in ``deqverify/schemas``.

    Raises:
        UsageError: it cannot be written, or holds what is no finite number.
    """
    # JSON is UTF-8: to a stream of another encoding everything beyond ASCII is written as an escape.
    plain = target == "-" and not is_unicode(sys.stdout)
    try:
        text = json_text(record, schema, plain=plain)
    except ValueError as error:
        raise UsageError(
            f"{target} was not written: a figure is no finite number; other sizes may be accepted"
        ) from error
    write_text(target, text)


def json_text(record: Mapping[str, Any], schema: str, *, plain: bool = False) -> str:
    """Return a record as JSON that names its schema first; plain, with everything beyond ASCII as an escape."""
    return json.dumps({"schema": schema, **record}, indent=2, ensure_ascii=plain, allow_nan=False) + "\n"


def write_text(target: str, text: str) -> None:
    """Write a text to a file (all of it or nothing) or, for "-", to standard output."""
    if target == "-":
        sys.stdout.write(text)
    else:
        write_bytes(target, text.encode("utf-8", "backslashreplace"))


def write_bytes(target: str, content: bytes) -> None:
    """Write to a file, all of it or nothing; a link is followed, and a device or a pipe written through.

    Raises:
        UsageError: it cannot be written, for a full disk for one.
    """
    from numerics.records import remove_stale_drafts, write_whole

    # What was printed before comes first, wherever it goes.
    sys.stdout.flush()
    try:
        found = _status(target)
        stream = None if found is None else _stream(found)
        if stream is not None or (found is not None and not stat.S_ISREG(found.st_mode)):
            with open(target if stream is None else stream, "wb", closefd=stream is None) as file:
                file.write(content)
            return
        path = Path(os.path.realpath(target))
        remove_stale_drafts(path.parent)
        write_whole(path, content, None if found is None else stat.S_IMODE(found.st_mode))
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"{target} could not be written: {reason}; give a path that has room for it") from error
