"""NumPy's ``.npz`` archives of samples and labels, each member of limited size and read without pickles."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from numerics.data.limits import DatasetError, Limits
from numerics.data.readers.files import Stored, describing, opened
from numerics.data.readers.npy import read_array

__all__ = ["read_npz"]

#: Names that the arrays may have, the first that is there being taken.
_SAMPLES = ("X", "x", "data", "samples", "features", "images")
_LABELS = ("y", "Y", "labels", "label", "targets")
_ENDS_WITH = b"PK\x05\x06"
_END_BYTES = 22
#: Bytes of the archive's table of contents, which is read whole.
_LARGEST_CONTENTS = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: What zipfile raises for archives that are none, or damaged, or locked.
_BAD_ARCHIVE = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


def read_npz(path: Path, limits: Limits, *, test: bool = False) -> Stored:
    """Read the samples (X, x, data, samples, features or images) and labels (y, Y, labels, label or targets).

    A name may end in _train or _test; where it does not, there is no test split.

    Args:
        path: of the archive.
        limits: of what is read.
        test: whether the test split is read.

    Raises:
        DatasetError: it is no such archive, or lacks one of them.
    """
    with describing(path), opened(path, limits) as (stream, size):
        _check_contents(stream, size)
        try:
            with zipfile.ZipFile(stream) as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                return Stored(
                    *(_member(archive, _named(members, names, test), limits) for names in (_SAMPLES, _LABELS))
                )
        except DatasetError:
            raise
        except _BAD_ARCHIVE:
            raise DatasetError("the archive is damaged or locked; one that NumPy wrote is accepted") from None


def _check_contents(stream: BinaryIO, size: int) -> None:
    """Refuse archives whose table of contents would be large: it is read before any limit is known."""
    stream.seek(max(0, size - _END_BYTES))
    end = stream.read(_END_BYTES)
    # Archives of more than 4 GiB have another record before this one, and a place that does not fit into it.
    if not end.startswith(_ENDS_WITH) or end[-2:] != b"\0\0" or end[16:20] == b"\xff" * 4:
        raise DatasetError("it does not end as a .npz file does; a whole one that NumPy wrote is accepted")
    if int.from_bytes(end[12:16], "little") > _LARGEST_CONTENTS:
        raise DatasetError("its table of contents is too large; an archive of a few arrays is accepted")
    stream.seek(max(0, size - _END_BYTES - 20))
    if stream.read(4) == b"PK\x06\x07":
        raise DatasetError("it is an archive for more than 4 GiB; one that NumPy wrote of smaller arrays is accepted")
    stream.seek(0)


def _named(members: Mapping[str, zipfile.ZipInfo], names: tuple[str, ...], test: bool) -> zipfile.ZipInfo:
    """The first member that has one of the names."""
    wanted = [f"{name}_test" for name in names] if test else [*(f"{name}_train" for name in names), *names]
    for name in wanted:
        if name in members:
            return members[name]
    raise DatasetError(
        f"it has none of {', '.join(wanted)}; an archive with samples and labels of such names is accepted"
    )


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> NDArray[Any]:
    """One array, not decompressed further than its header says."""
    limits.check_decompressed(info.file_size)
    if info.compress_type not in _METHODS:
        raise DatasetError("it is compressed in another way than NumPy does; one that NumPy wrote is accepted")
    with archive.open(info) as stream:
        found = read_array(stream, info.file_size, limits)
        # At the end the checksum is compared.
        stream.read(1)
    return found
