"""IDX files, the format of MNIST: an array of big-endian numbers after a header of its type and sides.

The four bytes of the magic number are 0, 0, the type, and the number of sides; each side has four more.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.data.limits import DatasetError, Limits
from numerics.data.readers.files import Readable, Stored, describing, opened, read_exactly

__all__ = ["GZIP_MAGIC", "IDX_TYPES", "idx_bytes", "read_idx"]

#: The types of numbers, by the third byte of a file.
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"
_MOST_SIDES = 4


def read_idx(path: Path, limits: Limits) -> Stored:
    """Read images and, of the file of their labels beside them, the labels; either may be compressed with gzip.

    Args:
        path: of the images, ``...images-idx3-ubyte`` or the like; that of the labels has "labels-idx1" in that place.
        limits: of what is read.

    Raises:
        DatasetError: one of the two is missing, or is no IDX file.
    """
    name = re.sub(r"images([-.])idx\d", r"labels\1idx1", path.name)
    if name == path.name:
        raise DatasetError(
            f"{path}: its labels are not known; images-idx3 and labels-idx1 are accepted in two such names"
        )
    plain = path.with_name(name.removesuffix(".gz"))
    labels = next((each for each in (path.with_name(name), plain, Path(f"{plain}.gz")) if each.exists()), None)
    if labels is None:
        raise DatasetError(f"{path}: its labels are missing; they are accepted in {name} beside it")
    return Stored(_read_file(path, limits), _read_file(labels, limits))


def _read_file(path: Path, limits: Limits) -> NDArray[Any]:
    with describing(path), opened(path, limits) as (stream, size):
        if stream.peek(2)[:2] != GZIP_MAGIC:
            return _read_array(stream, size, limits)
        return _read_compressed(stream, limits)


def _read_compressed(stream: BufferedReader, limits: Limits) -> NDArray[Any]:
    """The array of a file compressed with gzip, decompressed one byte further than its header says."""
    try:
        with gzip.GzipFile(fileobj=stream) as plain:
            return _read_array(plain, None, limits)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise DatasetError("what gzip compressed is damaged or not whole; a whole file is accepted") from None


def _read_array(stream: Readable, size: int | None, limits: Limits) -> NDArray[Any]:
    """The array of a stream of so many bytes, where they are known."""
    magic = read_exactly(stream, 4)
    if magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or not 1 <= magic[3] <= _MOST_SIDES:
        raise DatasetError(
            f"it does not begin as an IDX file does; 0, 0, a type of {', '.join(map(str, IDX_TYPES))} and 1 to "
            f"{_MOST_SIDES} sides are accepted"
        )
    dtype = np.dtype(IDX_TYPES[magic[2]])
    shape = tuple(np.frombuffer(read_exactly(stream, 4 * magic[3]), ">u4").tolist())
    limits.check_numbers(shape)
    length, wanted = 4 + 4 * len(shape), math.prod(shape) * dtype.itemsize
    limits.check_decompressed(length + wanted)
    if size not in (None, length + wanted):
        raise DatasetError(
            f"its header asks for {length + wanted} bytes, and there are {size}; a file of the size that its header "
            "says is accepted"
        )
    data = read_exactly(stream, wanted)
    if stream.read(1):
        raise DatasetError("it holds more than its header says; a file of the size that its header says is accepted")
    return np.frombuffer(data, dtype).reshape(shape)


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    r"""Return the IDX file of an array of bytes, of any shape of 1 to 4 sides.

    Example:
        >>> idx_bytes(np.array([7, 9], dtype=np.uint8))
        b'\x00\x00\x08\x01\x00\x00\x00\x02\x07\t'
    """
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8, casting="no").tobytes()
