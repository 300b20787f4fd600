"""Data sets: what is refused, and what choosing classes, drawing, splitting and scaling do."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from numerics.data import Dataset, DatasetError


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _data(sizes: tuple[int, ...] = (30, 20, 11), p: int = 4) -> Dataset:
    """Rows that are told apart by their first entry, in an order that mixes the classes."""
    labels = _rng(5).permutation(np.repeat(np.arange(len(sizes)), sizes))
    samples = np.column_stack([np.arange(1.0, len(labels) + 1), _rng(6).standard_normal((len(labels), p - 1))])
    return Dataset.from_arrays(samples, [f"c{label}" for label in labels], "test")


def _identities(data: Dataset) -> list[float]:
    return data.samples[:, 0].tolist()


# --- what a data set is ----------------------------------------------------------------------------------------------


def test_classes_are_those_that_occur_in_order() -> None:
    labels = ["10", "9", "b", "-3", "a"] * 2
    data = Dataset.from_arrays(np.ones((10, 2)), labels)
    assert data.classes == ("-3", "9", "10", "a", "b")
    assert [data.classes[place] for place in data.labels] == labels
    assert data.sizes == (2,) * 5


@pytest.mark.parametrize("labels", [[1.0, 0.0] * 2, np.array([True, False] * 2), np.array([1, 0] * 2, dtype=object)])
def test_labels_of_every_type(labels: Any) -> None:
    assert Dataset.from_arrays(np.eye(4), labels).labels.tolist() == [1, 0, 1, 0]


def test_arrays_are_copied_and_cannot_be_written_to() -> None:
    samples = np.eye(4)
    data = Dataset.from_arrays(samples, [0, 1] * 2)
    samples[0, 0] = 7
    assert data.samples[0, 0] == 1
    for array in (data.samples, data.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_images_become_rows() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    assert np.array_equal(Dataset.from_arrays(images, [0, 1] * 2).samples, np.arange(24.0).reshape(4, 6))


def test_input_scale_and_gram() -> None:
    data = _data()
    assert data.tau0 == pytest.approx(np.sqrt(np.mean(np.linalg.norm(data.samples, axis=1) ** 2)), rel=1e-14)
    assert data.gram() == pytest.approx(data.samples @ data.samples.T, rel=1e-12)
    assert data.tau0**2 == pytest.approx(np.trace(data.gram()) / data.n, rel=1e-13)


def test_how_it_shows_itself() -> None:
    data = Dataset.from_arrays(np.eye(30), [f"<{k}>" for k in range(15)] * 2, "many")
    assert repr(data).startswith("Dataset(many: n = 30, p = 30, classes <0>, <10>, <11>,")
    assert "and 3 more, tau0 = 1)" in repr(data)
    assert "<td>&lt;14&gt;</td><td>2</td>" in data._repr_html_()


@pytest.mark.parametrize(
    ("samples", "labels", "message"),
    [
        (np.eye(4), [0, 1, 0], "4 samples must have as many labels"),
        (np.eye(4), [0, 0, 0, 1], "class 1 has 1 sample; 2 or more are accepted"),
        (np.ones(4), [0, 0, 1, 1], r"must be an \(n, p\) array"),
        (np.ones((0, 4)), [], r"must be an \(n, p\) array"),
        (np.ones((4, 0)), [0] * 4, r"must be an \(n, p\) array"),
        ([[1, 2], [3]], [0, 0], "lists of equal lengths"),
        (np.full((2, 2), 1j), [0, 0], "not of type complex128"),
        (np.full((2, 2), "a"), [0, 0], "samples must be real numbers"),
        (np.full((2, 2), None), [0, 0], "not of type object"),
        (np.ones((2, 2), dtype=np.longdouble), [0, 0], "samples must be real numbers that float64 holds"),
        ([[1, 2], [np.nan, 4]], [0, 0], "number 0 of sample 1 is nan"),
        ([[1, 2], [3, -np.inf]], [0, 0], "number 1 of sample 1 is -inf"),
        ([[1, 2], [3, 1e80]], [0, 0], "number 1 of sample 1 is 1e\\+80"),
        (np.eye(2), [0.5, 0.5], "labels must be whole numbers or texts"),
        (np.eye(2), [np.nan, np.nan], "labels must be whole numbers or texts"),
        (np.eye(2), [None, None], "labels must be whole numbers or texts"),
        (np.eye(2), np.array([{}, {}], dtype=object), "labels must be whole numbers or texts"),
        (np.eye(2), [[0], [0]], r"labels must be an \(n,\) array"),
        (np.eye(2), ["", ""], "names of classes are printable"),
        (np.eye(2), ["a\x1b"] * 2, "names of classes are printable"),
        (np.eye(2), ["a" * 101] * 2, "1 to 100 characters"),
    ],
)
def test_what_is_no_data_set(samples: Any, labels: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Dataset.from_arrays(samples, labels)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 0, 1, 2], ("a", "b"), "labels are places in the list of classes, from 0 to 1"),
        ([0, 0, -1, -1], ("a", "b"), "labels are places in the list of classes"),
        ([0, 0, 0, 0], ("a", "b"), "class b has 0 samples"),
        ([0, 0, 1, 1], ("a", "a"), "each of another name"),
        ([0.0, 0, 1, 1], ("a", "b"), "have as many labels, not an array of shape .* type float64"),
    ],
)
def test_labels_that_are_no_places(labels: Any, classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Dataset(np.eye(4), np.array(labels), classes)


# --- classes chosen --------------------------------------------------------------------------------------------------


def test_classes_are_chosen_in_the_order_given() -> None:
    data = _data()
    chosen = data.select(["c2", "c0"])
    assert chosen.classes == ("c2", "c0")
    assert chosen.sizes == (11, 30)
    names = dict(zip(_identities(data), (data.classes[k] for k in data.labels), strict=True))
    assert [chosen.classes[k] for k in chosen.labels] == [names[one] for one in _identities(chosen)]
    assert _identities(chosen) == sorted(_identities(chosen))
    assert chosen.preprocessing == ("classes c2, c0",)


@pytest.mark.parametrize(
    ("classes", "message"),
    [(["c7"], "no class 'c7'; accepted are c0, c1, c2"), (["c0", "c0"], "given once each"), ([], "not none")],
)
def test_classes_that_cannot_be_chosen(classes: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        _data().select(classes)


def test_classes_are_a_list_of_names_or_numbers() -> None:
    data = Dataset.from_arrays(np.eye(6), [1, 9, 19] * 2)
    assert data.select([9, "1"]).classes == ("9", "1")
    with pytest.raises(TypeError, match=r"a list of names, such as \['19'\]"):
        data.select("19")


# --- drawing and splitting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [6, 7, 8, 20, 33])
def test_a_subsample_is_balanced_and_without_replacement(n: int) -> None:
    drawn = _data().subsample(n, _rng())
    assert sum(drawn.sizes) == n
    assert max(drawn.sizes) - min(drawn.sizes) <= 1
    assert len(set(_identities(drawn))) == n
    assert all(a < b for a, b in pairwise(_identities(drawn)))


@pytest.mark.parametrize("n", [6, 7, 20, 59])
def test_a_thinned_set_keeps_two_of_every_class(n: int) -> None:
    data = _data((56, 2, 2))
    drawn = data.thinned(n, _rng())
    assert drawn.n == n
    assert min(drawn.sizes) == 2
    assert len(set(_identities(drawn))) == n
    assert all(a < b for a, b in pairwise(_identities(drawn)))
    assert data.thinned(60, _rng()) is data.thinned(1000, _rng()) is data
    with pytest.raises(DatasetError, match="5 samples of test are asked for; 6 or more are accepted"):
        data.thinned(5, _rng())


def test_thinned_sets_are_drawn_whatever_the_class() -> None:
    """Of 30 and 10 samples 20: in the mean the classes' own shares, to five standard deviations of 2000 draws."""
    rng = _rng(4)
    sizes = np.array([_data((30, 10)).thinned(20, rng).sizes for _ in range(2000)])
    spread = np.sqrt(20 * 0.75 * 0.25 * 20 / 39 / 2000)
    assert np.abs(sizes.mean(axis=0) - [15, 5]).max() < 5 * spread


def test_every_sample_is_drawn_as_often() -> None:
    """Of 12 samples 4 of each class of 6: each with probability 4/6, in 3000 draws within five standard deviations."""
    data, rng = _data((6, 6)), _rng(3)
    counts = np.zeros(12)
    for _ in range(3000):
        counts[np.array(_identities(data.subsample(8, rng))).astype(int) - 1] += 1
    assert np.abs(counts / 3000 - 2 / 3).max() < 5 * np.sqrt(2 / 9 / 3000)


@pytest.mark.parametrize("n", [-1, 0, 5, 34, 61])
def test_subsamples_that_cannot_be(n: int) -> None:
    with pytest.raises(DatasetError, match=f"{n} samples of test are asked for; 6 to 33 are accepted"):
        _data().subsample(n, _rng())


def test_the_range_that_is_told_is_accepted() -> None:
    data = _data()
    with pytest.raises(DatasetError, match="1 sample of test is asked for; 12 to 20 are accepted") as told:
        data.subsample(1, _rng(), per_class=4, most=20)
    low, high = (int(word) for word in str(told.value).split("; ")[1].split()[:3:2])
    for n in (low, high):
        drawn = data.subsample(n, _rng(), per_class=4, most=20)
        assert drawn.n == n
        assert min(drawn.sizes) >= 4
    for n in (low - 1, high + 1):
        with pytest.raises(DatasetError, match="12 to 20 are accepted"):
            data.subsample(n, _rng(), per_class=4, most=20)
    with pytest.raises(DatasetError, match="class c2 has 11 samples; 12 or more are accepted in every class"):
        data.subsample(36, _rng(), per_class=12)
    with pytest.raises(DatasetError, match="3 classes are too many for 10 samples; up to 2 classes are accepted"):
        data.subsample(10, _rng(), per_class=4, most=10)


def test_long_lists_of_classes_are_cut() -> None:
    data = Dataset.from_arrays(np.ones((200, 2)), [f"{'long' * 20}{k % 100:02}" for k in range(200)])
    for wrong in (["x" * 5000], [data.classes[0]] * 5000):
        with pytest.raises(DatasetError, match=" and 99 more") as told:
            data.select(wrong)
        assert len(str(told.value)) < 500


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.8, 0.99])
def test_parts_are_disjoint_and_make_up_the_whole(fraction: float) -> None:
    data = _data()
    first, second = data.split(fraction, _rng())
    assert sorted(_identities(first) + _identities(second)) == sorted(_identities(data))
    for size, share in zip(data.sizes, first.sizes, strict=True):
        assert share == min(max(round(fraction * size), 2), size - 2)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
def test_fractions_that_cannot_be(fraction: float) -> None:
    with pytest.raises(DatasetError, match="a fraction between 0 and 1"):
        _data().split(fraction, _rng())


def test_other_types_are_refused() -> None:
    data: Any = _data()
    for call in (lambda: data.subsample(9, 0), lambda: data.split(0.5, np.random)):
        with pytest.raises(
            TypeError, match=r"rng must be a numpy.random.Generator, such as np.random.default_rng\(0\)"
        ):
            call()
    with pytest.raises(TypeError, match="integer"):
        data.subsample(9.0, _rng())


def test_small_classes_are_not_split() -> None:
    with pytest.raises(DatasetError, match="classes of 4 samples or more"):
        _data((9, 3)).split(0.5, _rng())


def test_the_same_generator_gives_the_same_bytes() -> None:
    one, other, third = (
        _data().split(0.7, rng)[0].subsample(12, rng).normalise("sample") for rng in (_rng(1), _rng(1), _rng(2))
    )
    assert one.samples.tobytes() == other.samples.tobytes()
    assert one.labels.tobytes() == other.labels.tobytes()
    assert not np.array_equal(one.samples, third.samples)
