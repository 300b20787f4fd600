"""CIFAR-10's Python version: batches of 3072 bytes an image (1024 red, green, blue, row by row), with their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from numerics.data.limits import DatasetError, Limits
from numerics.data.readers.files import Stored, describing, read_whole
from numerics.data.readers.pickled import read_pickle

__all__ = ["TEST_BATCH", "TRAINING_BATCHES", "read_batch", "read_batches"]

TRAINING_BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
TEST_BATCH = "test_batch"
#: A batch has 31 MB; features of one's own in its place may have more.
_BATCH_BYTES = 1 << 28


def read_batch(path: Path, limits: Limits) -> Stored:
    """Read one batch: a pickle of a dictionary whose data are an array and whose labels are a list or an array.

    Args:
        path: of the batch.
        limits: of what is read.

    Raises:
        DatasetError: it is none.
    """
    with describing(path):
        narrower = Limits(min(limits.file_bytes, _BATCH_BYTES), limits.decompressed_bytes, limits.numbers)
        found = read_pickle(read_whole(path, narrower), limits)
        samples, labels = found.get("data"), found.get("labels")
        if isinstance(labels, list) and all(type(label) is int and 0 <= label < 1 << 31 for label in labels):
            labels = np.array(labels, dtype=np.int64)
        if not (isinstance(samples, np.ndarray) and isinstance(labels, np.ndarray)):
            raise DatasetError("it has no array of data and labels; a batch of CIFAR-10 or of that form is accepted")
        return Stored(samples, labels)


def read_batches(folder: Path, limits: Limits, *, test: bool = False) -> Stored:
    """Read the five batches of training, or the one of the test.

    Args:
        folder: in which they are.
        limits: of what is read, all together.
        test: whether it is the test split.

    Raises:
        DatasetError: one is missing or is none, or they do not go together.
    """
    batches = [read_batch(folder / name, limits) for name in ((TEST_BATCH,) if test else TRAINING_BATCHES)]
    shapes = {batch.samples.shape[1:] for batch in batches}
    if len(shapes) > 1 or any(batch.labels.ndim != 1 for batch in batches):
        raise DatasetError(f"{folder}: its batches differ in their samples' shapes; batches of one shape are accepted")
    limits.check_numbers((sum(len(batch.samples) for batch in batches), *shapes.pop()))
    return Stored(*(np.concatenate([getattr(batch, name) for batch in batches]) for name in ("samples", "labels")))
