"""CSV: a sample in each row, its label in the column named label, class or y, or else in the last one."""

from __future__ import annotations

import csv
import io
from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from numerics.data.limits import DatasetError, Limits
from numerics.data.readers.files import Stored, describing, opened

__all__ = ["read_csv"]

_LABELS = ("label", "class", "y")


def read_csv(path: Path, limits: Limits) -> Stored:
    """Read rows of numbers with a label; the first row may name the columns.

    Args:
        path: of the file, UTF-8 with commas.
        limits: of what is read.

    Raises:
        DatasetError: a cell is no number, rows differ in length, or there are too many.
    """
    with describing(path), opened(path, limits) as (stream, _):
        try:
            with io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
                return _read_rows(csv.reader(text), limits)
        except UnicodeDecodeError:
            raise DatasetError("it is no text; CSV in UTF-8 is accepted") from None
        except csv.Error as error:
            raise DatasetError(f"it is no CSV ({error}); rows of numbers with commas are accepted") from None


def _read_rows(rows: csv._reader, limits: Limits) -> Stored:  # type: ignore[name-defined]
    """Samples and labels of all rows; empty ones are passed over."""
    values, labels = array("d"), list[str]()
    width, column = 0, -1
    for row in rows:
        if not row:
            continue
        if not width:
            width, column = len(row), _label_column(row)
            if width < 2:
                raise DatasetError("it has one column; numbers and a label in each row are accepted")
            if _is_header(row, column):
                continue
        if len(row) != width:
            raise DatasetError(f"line {rows.line_num} has {len(row)} cells; {width}, as the first has, are accepted")
        labels.append(row.pop(column).strip())
        values.extend(_numbers(row, rows.line_num))
        if len(values) > limits.numbers:
            raise DatasetError(f"it holds more than {limits.numbers} numbers; up to as many are accepted")
    if not labels:
        raise DatasetError("it has no rows; numbers and a label in each row are accepted")
    _check_labels(labels)
    return Stored(np.array(values).reshape(len(labels), width - 1), np.array(labels, dtype=object))


def _check_labels(labels: Sequence[str]) -> None:
    """Refuse measurements in the place of labels: numbers that are not whole, and one of them once only."""
    counts = Counter(labels)
    single = next((text for text, count in counts.items() if count == 1), None)
    if single is not None and _is_number(single) and not float(single).is_integer():
        raise DatasetError(
            f"its labels are read from the last column or the one called label, and {len(counts)} different numbers "
            f"such as {single[:30]} are no classes; labels of classes are accepted there"
        )


def _label_column(first: Sequence[str]) -> int:
    """The column with the name of labels, else the last."""
    names = [cell.strip().lower() for cell in first]
    return next((names.index(name) for name in _LABELS if name in names), len(first) - 1)


def _is_header(first: Sequence[str], column: int) -> bool:
    """Whether the first row names columns: the label by its name, or all others by what are no numbers."""
    others = [cell for k, cell in enumerate(first) if k != column]
    return first[column].strip().lower() in _LABELS or not any(map(_is_number, others))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(cells: Sequence[str], line: int) -> list[float]:
    try:
        return list(map(float, cells))
    except ValueError:
        wrong = next(cell for cell in cells if not _is_number(cell))
        raise DatasetError(f"line {line} has {wrong[:30]!r}; numbers are accepted but for the label") from None
