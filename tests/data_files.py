"""Small files of labelled samples in every format that is read, as the programs that write them would."""

from __future__ import annotations

import gzip
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

__all__ = ["LABELS", "SAMPLES", "WRITERS", "idx_file", "npy_header", "python2_batch"]

SAMPLES = np.random.default_rng(0).integers(0, 256, (6, 4), dtype=np.uint8)
LABELS = np.array([3, 8, 3, 8, 8, 3])


def idx_file(array: np.ndarray, code: int = 8) -> bytes:
    return struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def npy_header(shape: str, descr: str = "'<f8'", length: int = 118) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(length - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def python2_batch(samples: np.ndarray, labels: list[int]) -> bytes:
    """What Python 2 wrote for CIFAR-10: protocol 2 with strings of bytes, as pickletools shows the original."""

    def put(text: str) -> bytes:
        return b"U" + bytes([len(text)]) + text.encode() + b"q\x01"

    data = samples.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
        b"(K\x01J" + struct.pack("<i", len(samples)) + b"J" + struct.pack("<i", samples.shape[1]) + b"\x86"
        b"cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"
    )
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}q\x00(" + put("data") + array + put("labels") + listed + put("batch_label") + put("one") + b"u."


def _npz(folder: Path) -> Path:
    np.savez(folder / "set.npz", X=SAMPLES, y=LABELS)
    return folder / "set.npz"


def _npz_compressed(folder: Path) -> Path:
    np.savez_compressed(folder / "small.npz", data=SAMPLES.astype(np.float32), labels=LABELS.astype(str))
    return folder / "small.npz"


def _npy(folder: Path) -> Path:
    np.save(folder / "set.npy", np.asfortranarray(SAMPLES.astype(np.float64)))
    np.save(folder / "set-labels.npy", LABELS.astype(">i2"))
    return folder / "set.npy"


def _idx(folder: Path) -> Path:
    (folder / "some-images-idx3-ubyte").write_bytes(idx_file(SAMPLES.reshape(6, 2, 2)))
    (folder / "some-labels-idx1-ubyte").write_bytes(idx_file(LABELS.astype(np.uint8)))
    return folder / "some-images-idx3-ubyte"


def _idx_compressed(folder: Path) -> Path:
    (folder / "gz.images.idx2.gz").write_bytes(gzip.compress(idx_file(SAMPLES.astype(">f4"), 0x0D)))
    (folder / "gz.labels.idx1.gz").write_bytes(gzip.compress(idx_file(LABELS.astype(">i4"), 0x0C)))
    return folder / "gz.images.idx2.gz"


def _csv(folder: Path) -> Path:
    lines = [",".join(map(str, [*row, label])) for row, label in zip(SAMPLES, LABELS, strict=True)]
    (folder / "set.csv").write_text("\n".join(lines))
    return folder / "set.csv"


def _csv_with_header(folder: Path) -> Path:
    lines = [f"{label},{','.join(map(str, row))}" for row, label in zip(SAMPLES, LABELS, strict=True)]
    (folder / "named.csv").write_bytes("\ufeffClass,a,b,c,d\r\n".encode() + "\r\n\r\n".join(lines).encode())
    return folder / "named.csv"


def _batch(folder: Path) -> Path:
    (folder / "data_batch_2").write_bytes(python2_batch(SAMPLES, LABELS.tolist()))
    return folder / "data_batch_2"


def _new_batch(folder: Path) -> Path:
    (folder / "features").write_bytes(pickle.dumps({"data": SAMPLES.astype(np.float32), "labels": LABELS.tolist()}))
    return folder / "features"


#: By format, what writes SAMPLES and LABELS into a folder and returns the path to read.
WRITERS: dict[str, Callable[[Path], Path]] = {
    "npz": _npz,
    "npz, compressed": _npz_compressed,
    "npy": _npy,
    "IDX": _idx,
    "IDX, compressed": _idx_compressed,
    "CSV": _csv,
    "CSV with a header": _csv_with_header,
    "CIFAR-10 of Python 2": _batch,
    "CIFAR-10 of Python 3": _new_batch,
}
