"""NumPy's ``.npy`` files: one array, without pickles, its header checked before its numbers are read."""

from __future__ import annotations

import math
import tokenize
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.data.limits import DatasetError, Limits
from numerics.data.readers.files import Readable, Stored, describing, opened, read_exactly

__all__ = ["read_array", "read_npy"]

_MAGIC = b"\x93NUMPY"
#: NumPy's readers of a header, by version, and the bytes of the length before it.
_HEADERS = {1: (np.lib.format.read_array_header_1_0, 2), 2: (np.lib.format.read_array_header_2_0, 4)}
#: NumPy itself reads no longer header of a file that is not trusted.
_LONGEST_HEADER = 10_000
#: Bytes of a text, four for each character.
_LONGEST_TEXT = 400
_LARGEST_CHARACTER = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
#: What NumPy raises for headers that are none.
_BAD_HEADER = (
    ValueError, TypeError, KeyError, AttributeError, OverflowError, SyntaxError, RecursionError, MemoryError,
    tokenize.TokenError,
)  # fmt: skip


def read_npy(path: Path, limits: Limits) -> Stored:
    """Read the samples of ``NAME.npy`` and their labels of ``NAME-labels.npy``.

    Args:
        path: of the samples.
        limits: of what is read.

    Raises:
        DatasetError: one of the two is missing, or holds no array of numbers.
    """
    labels = path.with_name(f"{path.stem}-labels.npy")
    if not labels.exists():
        raise DatasetError(
            f"{path}: its labels are missing; they are accepted in {labels.name} beside it, or in an .npz"
        )
    return Stored(_read_file(path, limits), _read_file(labels, limits))


def _read_file(path: Path, limits: Limits) -> NDArray[Any]:
    with describing(path), opened(path, limits) as (stream, size):
        return read_array(stream, size, limits)


def read_array(stream: Readable, size: int, limits: Limits) -> NDArray[Any]:
    """Read the array that a stream of so many bytes holds in the ``.npy`` format.

    Args:
        stream: its bytes.
        size: how many there are.
        limits: of what is read.

    Raises:
        DatasetError: it is not one, or holds anything but numbers or texts.
    """
    shape, fortran, dtype, length = _header(stream, size)
    numbers = dtype.kind in "iuf" and dtype.itemsize <= 8
    if not (numbers or (dtype.kind == "U" and 0 < dtype.itemsize <= _LONGEST_TEXT)):
        raise DatasetError(
            f"it holds {dtype.name or dtype}; integers, floats of up to 64 bits and short texts are accepted"
        )
    limits.check_numbers(shape)
    wanted = math.prod(shape) * dtype.itemsize
    if length + wanted != size:
        raise DatasetError(
            f"its header asks for {length + wanted} bytes, and there are {size}; a file of the size that its header "
            "says is accepted"
        )
    data = read_exactly(stream, wanted)
    if dtype.kind == "U":
        _check_text(np.frombuffer(data, np.dtype("u4").newbyteorder(dtype.byteorder)))
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(stream: Readable, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran's order, type of an element, and the bytes of the header itself."""
    start = read_exactly(stream, min(8, size))
    if not start.startswith(_MAGIC) or len(start) < 8 or start[6] not in _HEADERS:
        raise DatasetError("it does not begin as a .npy file does; one of version 1 or 2 is accepted")
    read, width = _HEADERS[start[6]]
    before = read_exactly(stream, width)
    length = int.from_bytes(before, "little")
    if length > _LONGEST_HEADER:
        raise DatasetError(f"its header would have {length} bytes; up to {_LONGEST_HEADER} are accepted")
    text = read_exactly(stream, length)
    try:
        with warnings.catch_warnings():
            # Of headers that Python 2 wrote, and of what is no header.
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(BytesIO(before + text), max_header_size=_LONGEST_HEADER)
    except _BAD_HEADER:
        raise DatasetError("its header cannot be read; one that NumPy wrote is accepted") from None
    return shape, fortran, dtype, len(start) + width + length


def _check_text(characters: NDArray[np.uint32]) -> None:
    """Refuse numbers that are no characters: NumPy would not say so before they are used."""
    low, high = _SURROGATES
    if np.any((characters > _LARGEST_CHARACTER) | ((characters >= low) & (characters <= high))):
        raise DatasetError("it holds texts that are none; Unicode is accepted")
