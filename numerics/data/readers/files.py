"""Files as the readers see them: regular ones alone, of limited size, read without more memory than is asked for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from numerics.data.limits import DatasetError, Limits

__all__ = ["Readable", "Stored", "describing", "opened", "read_exactly", "read_whole"]

#: Bytes that are read at a time: a header that promises more than there is costs no more than this.
_CHUNK = 1 << 20
#: A FIFO would wait for a writer, and Windows would turn line ends.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Readable(Protocol):
    """What bytes are read from: a file, or a decompressor."""

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes, none at the end."""


@dataclass(frozen=True)
class Stored:
    """Samples and labels as a file holds them.

    Attributes:
        samples: (n, ...) array, a sample in each row; of images, with more axes than two.
        labels: (n,) array, or one of another shape that no data set has.
    """

    samples: NDArray[Any]
    labels: NDArray[Any]


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[tuple[BufferedReader, int]]:
    """Open a regular file that is not too large, and give it with its size; raises DatasetError for anything else."""
    try:
        stream = os.fdopen(os.open(path, _FLAGS), "rb")
    except IsADirectoryError:
        raise DatasetError("it is a folder; a file is accepted") from None
    except OSError as error:
        raise DatasetError(f"it cannot be read ({error.strerror or error}); a file that can be is accepted") from error
    except ValueError:
        raise DatasetError("it is no path; the path of a file is accepted") from None
    with stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise DatasetError("it is no regular file; a regular file is accepted")
        limits.check_file(found.st_size)
        yield stream, found.st_size


def read_exactly(stream: Readable, count: int) -> bytearray:
    """Return so many bytes; raises DatasetError where the stream ends before."""
    found = bytearray()
    while len(found) < count:
        chunk = stream.read(min(_CHUNK, count - len(found)))
        if not chunk:
            raise DatasetError(f"it ends after {len(found)} of {count} bytes; a whole file is accepted")
        found += chunk
    return found


def read_whole(path: Path, limits: Limits) -> bytearray:
    """Return the bytes of a regular file that is not too large; raises DatasetError for anything else."""
    with opened(path, limits) as (stream, size):
        return read_exactly(stream, size)


@contextmanager
def describing(path: Path) -> Iterator[None]:
    """Put the name of a file before the complaints about it; raises DatasetError, and makes it of a disk's errors."""
    try:
        yield
    except DatasetError as error:
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:
        raise DatasetError(
            f"{path}: it cannot be read ({error.strerror or error}); a whole file is accepted"
        ) from error
