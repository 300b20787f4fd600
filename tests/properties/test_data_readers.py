"""Readers of data: files that were changed or cut give a data set or a DatasetError, and take little memory."""

from __future__ import annotations

import tracemalloc
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerics.data import Dataset, DatasetError, Limits, load_dataset
from tests.data_files import WRITERS

LIMITS = Limits(file_bytes=1 << 20, decompressed_bytes=1 << 20, numbers=1 << 17)
#: Two arrays of as many numbers as are accepted, as they are stored and as float64, and a reader's own.
_MOST_MEMORY = 8 << 20


@cache
def _files(kind: str) -> tuple[str, dict[str, bytes]]:
    """The files of a format by name, and which of them is read."""
    with TemporaryDirectory() as folder:
        read = WRITERS[kind](Path(folder))
        return read.name, {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _mutated(content: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    """Bytes replaced, put in, taken away, or all after a place cut."""
    changed = bytearray(content)
    for how, where, new in changes:
        place = where % (len(changed) + 1)
        end = place + len(new) if how in ("replace", "remove") else len(changed) if how == "cut" else place
        changed[place:end] = b"" if how in ("remove", "cut") else new
    return bytes(changed)


_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["replace", "replace", "replace", "insert", "remove", "cut"]),
        st.integers(0, 1 << 16),
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from(
                [b"\0", b"\xff" * 4, b"\xff" * 8, b"nan", b"9999999999", b"(", b",", b"\n", b"'|O'", b"q\x00"]
            ),
        ),
    ),
    min_size=1,
    max_size=4,
)


def _is_a_data_set_or_an_error(path: Path) -> None:
    found: Dataset | str
    tracemalloc.start()
    try:
        found = load_dataset(path, limits=LIMITS)
    except DatasetError as error:
        found = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < _MOST_MEMORY, f"{peak / 2**20:.1f} MiB"
    if isinstance(found, Dataset):
        assert np.isfinite(found.samples).all()
        assert found.samples.size <= LIMITS.numbers
    else:
        assert "\n" not in found
        assert len(found) < 600 + len(str(path))


@pytest.mark.parametrize("kind", WRITERS)
@given(data=st.data())
def test_changed_files(kind: str, data: st.DataObject) -> None:
    read, contents = _files(kind)
    changed = data.draw(st.sampled_from(sorted(contents)))
    with TemporaryDirectory() as folder:
        for name, content in contents.items():
            (Path(folder) / name).write_bytes(_mutated(content, data.draw(_CHANGES)) if name == changed else content)
        _is_a_data_set_or_an_error(Path(folder) / read)


@pytest.mark.parametrize("kind", WRITERS)
def test_files_cut_at_every_place(kind: str, tmp_path: Path) -> None:
    """A file that was cut is never a data set, but for CSV, whose last rows may be whole."""
    read, contents = _files(kind)
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for length in range(len(contents[read])):
        (tmp_path / read).write_bytes(contents[read][:length])
        if kind.startswith("CSV"):
            _is_a_data_set_or_an_error(tmp_path / read)
        else:
            with pytest.raises(DatasetError):
                load_dataset(tmp_path / read, limits=LIMITS)


@given(st.sampled_from([b"\x80\x02", b"\x80\x04", b"\x1f\x8b\x08", b"PK\x03\x04", b"\0\0\x08\x02", b""]), st.binary())
def test_any_bytes(start: bytes, rest: bytes) -> None:
    with TemporaryDirectory() as folder:
        for name in ("a.npz", "a.npy", "a.csv", "a-images-idx2-ubyte", "batch"):
            (Path(folder) / name).write_bytes(start + rest)
            (Path(folder) / "a-labels.npy").write_bytes(start + rest)
            _is_a_data_set_or_an_error(Path(folder) / name)


@given(st.lists(st.sampled_from([
    b"}", b"]", b"(", b"N", b"K\x01", b"K\x06K\x04\x86", b"U\x04data", b"U\x06labels", b"q\x00", b"h\x00", b"\x94",
    b"e", b"a", b"s", b"u", b"t", b"\x85", b"\x86", b"\x87", b"R", b"b", b"0", b"2", b"\x81", b"cnumpy\nndarray\n",
    b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n", b"cos\nsystem\n", b"U\x02u1",
    b"X\x06\0\0\0latin1", b"U\x01|", b"K\x03", b"\x89", b"T\x18\0\0\0" + bytes(24), b"J\xff\xff\xff\x7f",
])))  # fmt: skip
def test_any_instructions(instructions: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "batch"
        path.write_bytes(b"\x80\x02" + b"".join(instructions) + b".")
        _is_a_data_set_or_an_error(path)
