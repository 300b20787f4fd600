"""What reading data may cost, and the errors of data that cannot be had."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from numerics.memory import free_bytes, readable_bytes

__all__ = ["DEFAULT_LIMITS", "DatasetError", "Limits", "MissingDatasetError"]


#: Axes of an array, as of images in colour.
_MOST_SIDES = 4


class DatasetError(ValueError):
    """Data that cannot be read or used, in one sentence that says what would be accepted."""


class MissingDatasetError(DatasetError):
    """A registered data set that this machine lacks, in one sentence that says how to get it."""


@dataclass(frozen=True)
class Limits:
    """What a file of data may ask for; all is checked before memory is taken.

    Attributes:
        file_bytes: of a file, as it lies on the disk.
        decompressed_bytes: of a compressed file or a member of an archive, decompressed.
        numbers: samples times features.
    """

    file_bytes: int = 1 << 31
    decompressed_bytes: int = 1 << 31
    numbers: int = 1 << 28

    def check_file(self, size: int) -> None:
        """Refuse a file of too many bytes; raises DatasetError."""
        _check_bytes("the file", size, self.file_bytes)

    def check_decompressed(self, size: int) -> None:
        """Refuse too many bytes of what a file holds compressed; raises DatasetError."""
        _check_bytes("what it holds", size, self.decompressed_bytes)

    def check_numbers(self, shape: Sequence[int]) -> None:
        """Refuse an empty array, and one of too many numbers for these limits or for the memory that is free.

        Args:
            shape: of the array.

        Raises:
            DatasetError: there are too many, or none.
        """
        if not 1 <= len(shape) <= _MOST_SIDES or min(shape) < 1:
            raise DatasetError(f"it holds an array of 0 numbers or of no shape; 1 to {_MOST_SIDES} sides are accepted")
        count, sides = math.prod(shape), " x ".join(str(side) if side < 1 << 64 else "..." for side in shape)
        if count > self.numbers:
            raise DatasetError(f"an array of {sides} numbers is asked for; up to {self.numbers} numbers are accepted")
        # As they are stored, and as float64.
        needed, free = 16 * count, free_bytes()
        if needed > free:
            raise DatasetError(
                f"an array of {sides} numbers needs about {readable_bytes(needed)} of memory; up to "
                f"{readable_bytes(free)}, what is free, are accepted"
            )


def _check_bytes(what: str, size: int, most: int) -> None:
    if size > most:
        raise DatasetError(f"{what} has {readable_bytes(size)}; up to {readable_bytes(most)} are accepted")


#: Of every reader, unless others are passed.
DEFAULT_LIMITS = Limits()
