"""Labelled samples, whatever they come from: a sample in each row, and what was done to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import index
from reprlib import repr as brief
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerics.arrays import Array, Index
from numerics.data.limits import DatasetError
from numerics.data.mixture import class_sizes
from numerics.data.norms import root_mean_square
from numerics.data.wording import counted, listed
from numerics.display import html_table
from numerics.linalg import gram_matrix
from numerics.named import Normalisation

__all__ = ["Dataset"]

#: Samples without which a class has no covariance.
_FEWEST = 2
_LONGEST_NAME = 100
_LABEL_TYPES = (str, int, np.integer)
#: A sum of the squares of all entries that leaves room for products of such sums.
_LARGEST_SQUARE = 1e150


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in K classes, checked once and not changed after.

    Attributes:
        samples: (n, p) array, a sample in each row.
        labels: (n,) array of the samples' classes, as places in ``classes``.
        classes: names of the K classes, each with at least two samples.
        name: of the data set.
        preprocessing: what was done to the samples as they were read, in words, in order.

    Raises:
        DatasetError: shapes that do not fit, entries that are not finite, or a class of fewer than two samples.

    Example:
        >>> X = np.random.default_rng(0).standard_normal((6, 3))
        >>> data = Dataset.from_arrays(X, ["cat", "dog"] * 3, name="pets")
        >>> data.normalise("sample")
        Dataset(pets: n = 6, p = 3, classes cat, dog, tau0 = 1; centred, every sample scaled to norm 1)
        >>> data.select(["dog"]).samples.shape
        (3, 3)
    """

    samples: Array
    labels: Index
    classes: tuple[str, ...]
    name: str = "data"
    preprocessing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        samples, labels = _frozen(_numbers(self.samples)), np.asarray(self.labels)
        _check_finite(samples)
        classes = tuple(self.classes)
        if labels.shape != samples.shape[:1] or labels.dtype.kind not in "iu":
            raise DatasetError(
                f"{counted(len(samples), 'sample')} must have as many labels, not an array of shape {labels.shape}, "
                f"type {labels.dtype}"
            )
        _check_names(classes)
        if labels.size and not 0 <= labels.min() <= labels.max() < len(classes):
            raise DatasetError(f"labels are places in the list of classes, from 0 to {len(classes) - 1}")
        _check_sizes(classes, np.bincount(labels, minlength=len(classes)))
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "labels", _frozen(labels.astype(np.intp, copy=False)))
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "preprocessing", tuple(self.preprocessing))

    @classmethod
    def from_arrays(cls, samples: ArrayLike, labels: ArrayLike, name: str = "data") -> Dataset:
        """Make a data set of a matrix and labels; the arrays are copied.

        Args:
            samples: (n, ...) array of real numbers, a sample in each row; further axes become one.
            labels: (n,) array of whole numbers or texts: the classes are those that occur, in order.
            name: of the data set.

        Raises:
            DatasetError: see the class.

        Example:
            >>> Dataset.from_arrays(np.eye(4), [7, 7, 3, 3]).classes
            ('3', '7')
        """
        rows = _array(samples, "samples")
        if rows.ndim < 2 or 0 in rows.shape:
            raise DatasetError(f"samples must be an (n, p) array with n, p >= 1, not one of shape {rows.shape}")
        classes, places = _classes(_array(labels, "labels"))
        return cls(_numbers(rows.reshape(len(rows), -1), copy=True), places, classes, name)

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.samples)

    @property
    def p(self) -> int:
        """Dimension, the number of features."""
        return int(self.samples.shape[1])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of samples of each class."""
        return tuple(np.bincount(self.labels, minlength=len(self.classes)).tolist())

    @property
    def tau0(self) -> float:
        """Input scale, the root of the mean of ||x||^2."""
        return root_mean_square(self.samples)

    def gram(self) -> Array:
        """S = X X^T, shape (n, n): nothing is divided, so that samples of norm 1 have 1 on its diagonal."""
        return gram_matrix(self.samples.T)

    def select(self, classes: Iterable[str | int]) -> Dataset:
        """The samples of some classes, in the order that these are given in.

        Args:
            classes: names among ``classes``, each once; a whole number is its digits.

        Raises:
            DatasetError: a name that is none or is given twice, or no name.
            TypeError: one text, which would be read letter by letter.

        Example:
            >>> Dataset.from_arrays(np.eye(6), [0, 1, 2] * 2).select(["2", "0"]).labels
            array([1, 0, 1, 0])
        """
        if isinstance(classes, str):
            raise TypeError(f"classes are given as a list of names, such as [{classes!r}]")
        chosen = tuple(map(str, classes))
        wrong = next((name for name in chosen if name not in self.classes), None)
        if wrong is not None:
            raise DatasetError(f"{self.name} has no class {brief(wrong)}; accepted are {listed(self.classes)}")
        if not chosen or len(set(chosen)) < len(chosen):
            raise DatasetError(
                f"classes are given once each, some of {listed(self.classes)}, not {listed(chosen) or 'none'}"
            )
        if chosen == self.classes:
            return self
        places = np.full(len(self.classes), -1)
        places[[self.classes.index(name) for name in chosen]] = np.arange(len(chosen))
        members = np.flatnonzero(places[self.labels] >= 0)
        return self._of(members, f"classes {listed(chosen)}", labels=places[self.labels[members]], classes=chosen)

    def thinned(self, n: int, rng: np.random.Generator) -> Dataset:
        """n samples whatever their classes, but two of each, drawn without replacement and left in their order.

        Args:
            n: how many; where there are no more, all are kept.
            rng: gives the random numbers.

        Raises:
            DatasetError: fewer than two a class.
            TypeError: n that is no whole number, or another generator.

        Example:
            >>> data = Dataset.from_arrays(np.eye(100), [0] * 97 + [1] * 3)
            >>> data.thinned(10, np.random.default_rng(0)).sizes
            (8, 2)
        """
        n, least = index(n), _FEWEST * len(self.classes)
        _check_generator(rng)
        if n < least:
            raise DatasetError(f"{n} samples of {self.name} are asked for; {least} or more are accepted, two a class")
        if n >= self.n:
            return self
        order = rng.permutation(self.n)
        # The first two of every class come first.
        rank = np.empty(self.n, dtype=np.intp)
        for place in range(len(self.classes)):
            members = np.flatnonzero(self.labels[order] == place)
            rank[members] = np.where(np.arange(len(members)) < _FEWEST, 0, 1)
        chosen = order[np.argsort(rank, kind="stable")[:n]]
        return self._of(np.sort(chosen), f"{n} drawn")

    def subsample(
        self, n: int, rng: np.random.Generator, *, per_class: int = _FEWEST, most: int | None = None
    ) -> Dataset:
        """n samples, as many of each class but for one, drawn without replacement and left in their order.

        Args:
            n: how many; what is left over after equal shares goes one each to the first classes.
            rng: gives the random numbers.
            per_class: how many every class gets at least, two or more.
            most: how many all classes may get together; as many as there are by default.

        Raises:
            DatasetError: fewer than so many a class, or more than the smallest class or ``most`` allows.
            TypeError: n that is no whole number, or another generator.

        Example:
            >>> data = Dataset.from_arrays(np.eye(20), [0] * 12 + [1] * 8)
            >>> data.subsample(9, np.random.default_rng(0)).sizes
            (5, 4)
        """
        n = index(n)
        _check_generator(rng)
        self._check_count(n, per_class, most)
        chosen = [
            rng.choice(np.flatnonzero(self.labels == place), size, replace=False)
            for place, size in enumerate(class_sizes(n, np.ones(len(self.classes))))
        ]
        return self._of(np.sort(np.concatenate(chosen)), f"{n} drawn, as many of each class")

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[Dataset, Dataset]:
        """Two disjoint parts that make up the whole, each class divided in the same ratio.

        Args:
            fraction: of each class that the first part, for training, has; rounded, at least two on either side.
            rng: gives the random numbers.

        Raises:
            DatasetError: a fraction outside (0, 1), or a class of fewer than four samples.
            TypeError: another generator.

        Example:
            >>> data = Dataset.from_arrays(np.eye(20), [0] * 12 + [1] * 8)
            >>> [part.sizes for part in data.split(0.75, np.random.default_rng(0))]
            [(9, 6), (3, 2)]
        """
        _check_generator(rng)
        if not 0 < fraction < 1:
            raise DatasetError(f"a fraction between 0 and 1 is accepted, not {fraction}")
        if min(self.sizes) < 2 * _FEWEST:
            raise DatasetError(
                f"classes of {2 * _FEWEST} samples or more can be split; the smallest here has {min(self.sizes)}"
            )
        first = np.zeros(self.n, dtype=np.bool_)
        for place, size in enumerate(self.sizes):
            share = min(max(round(fraction * size), _FEWEST), size - _FEWEST)
            first[rng.choice(np.flatnonzero(self.labels == place), share, replace=False)] = True
        return (
            self._of(np.flatnonzero(first), f"training part of a split at {fraction:g}"),
            self._of(np.flatnonzero(~first), f"test part of a split at {fraction:g}"),
        )

    def normalise(self, how: Normalisation) -> Dataset:
        """Scale the samples so that the mean of ||x||^2 is 1, by their own numbers.

        Splits that go together are scaled by one ``Preprocessing``, fitted to the training split.

        Args:
            how: "none" divides all by one number; "center" subtracts the mean before; "sample" subtracts the mean and
                scales every sample to norm 1.

        Raises:
            DatasetError: another way, or samples that are all zero, or one that is where each is scaled.
        """
        from numerics.data.preprocessing import Preprocessing

        return Preprocessing.fit(self, how).apply(self)

    def transformed(self, samples: Array, *done: str) -> Dataset:
        """The same labels with other samples.

        Args:
            samples: (n, q) array.
            done: what was done, in words.

        Raises:
            DatasetError: shapes that do not fit, or entries that are not finite.
        """
        return replace(self, samples=samples, preprocessing=(*self.preprocessing, *done))

    def _check_count(self, n: int, per_class: int, most: int | None) -> None:
        """Refuse a subsample that cannot be had, with the range of those that can."""
        smallest, classes = min(self.sizes), len(self.classes)
        if smallest < per_class:
            name = self.classes[self.sizes.index(smallest)]
            raise DatasetError(
                f"class {name} has {counted(smallest, 'sample')}; {per_class} or more are accepted in every class"
            )
        low, high = per_class * classes, smallest * classes if most is None else min(smallest * classes, most)
        if high < low:
            raise DatasetError(
                f"{classes} classes are too many for {high} samples; up to {high // per_class} classes are accepted"
            )
        if not low <= n <= high:
            raise DatasetError(
                f"{counted(n, 'sample')} of {self.name} {'is' if n == 1 else 'are'} asked for; {low} to {high} are "
                f"accepted, as many of each class and at least {per_class}"
            )

    def _of(self, members: Index, done: str, **changed: Any) -> Dataset:
        """Some of the samples."""
        kept = {"labels": self.labels[members], "preprocessing": (*self.preprocessing, done), **changed}
        return replace(self, samples=self.samples[members], **kept)

    def __repr__(self) -> str:
        done = f"; {', '.join(self.preprocessing)}" if self.preprocessing else ""
        return (
            f"Dataset({self.name}: n = {self.n}, p = {self.p}, classes {listed(self.classes)}, "
            f"tau0 = {self.tau0:.6g}{done})"
        )

    def _repr_html_(self) -> str:
        done = f", {', '.join(self.preprocessing)}" if self.preprocessing else ""
        caption = f"{self.name}: n = {self.n}, p = {self.p}, tau0 = {self.tau0:.6g}{done}"
        rows = [[name, str(size)] for name, size in zip(self.classes, self.sizes, strict=True)]
        return html_table(caption, ["class", "samples"], rows)


# --- checks ----------------------------------------------------------------------------------------------------------


def _array(value: Any, what: str) -> NDArray[Any]:
    """An array of any type, lists of different lengths refused."""
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError):
        raise DatasetError(f"{what} must be an array, or lists of equal lengths") from None


def _numbers(value: Any, *, copy: bool = False) -> Array:
    """An (n, p) float64 array, of the same memory where it is one already and no copy is asked for."""
    rows = _array(value, "samples")
    if rows.ndim != 2 or 0 in rows.shape:
        raise DatasetError(f"samples must be an (n, p) array with n, p >= 1, not one of shape {rows.shape}")
    if rows.dtype.kind not in "iufb" or rows.dtype.itemsize > 8:
        raise DatasetError(f"samples must be real numbers that float64 holds, not of type {rows.dtype.name}")
    return rows.astype(np.float64, copy=copy)


def _check_finite(samples: Array) -> None:
    """Refuse what is not finite and what cannot be squared, in one pass that takes no memory."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.einsum("ij,ij->", samples, samples) <= _LARGEST_SQUARE:
            return
        worst = np.where(np.isfinite(samples), np.abs(samples), np.inf).argmax()
    row, column = np.unravel_index(worst, samples.shape)
    raise DatasetError(
        f"samples must be finite numbers with squares that add up to {_LARGEST_SQUARE:g} or less, and number {column} "
        f"of sample {row} is {samples[row, column]:g}"
    )


def _classes(labels: NDArray[Any]) -> tuple[tuple[str, ...], Index]:
    """Names of the classes that occur, in order, and the place of each label among them."""
    if labels.ndim != 1 or labels.size < 1:
        raise DatasetError(f"labels must be an (n,) array with n >= 1, not one of shape {labels.shape}")
    if labels.dtype.kind == "f" and np.all(np.isfinite(labels)) and np.all(labels == np.floor(labels)):
        labels = np.array([int(value) for value in labels.tolist()], dtype=object)
    if labels.dtype.kind not in "iubUO" or not all(isinstance(each, _LABEL_TYPES) for each in labels.tolist()):
        raise DatasetError(f"labels must be whole numbers or texts, not of type {labels.dtype.name}")
    texts = [str(value) for value in labels.tolist()]
    names = sorted(set(texts), key=_order)
    place = {name: k for k, name in enumerate(names)}
    return tuple(names), np.array([place[text] for text in texts], dtype=np.intp)


def _order(name: str) -> tuple[int, int, str]:
    """Whole numbers by their value, before texts by their letters."""
    digits = name.removeprefix("-")
    whole = digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_NAME
    return (0, int(name), name) if whole else (1, 0, name)


def _check_names(classes: Sequence[Any]) -> None:
    """Names are shown to people, on terminals too."""
    for name in classes:
        if not (isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable()):
            raise DatasetError(
                f"names of classes are printable texts of 1 to {_LONGEST_NAME} characters, not {str(name)[:20]!r}"
            )
    if not classes or len(set(classes)) < len(classes):
        raise DatasetError("a data set needs one class or more, each of another name")


def _check_sizes(classes: Sequence[str], sizes: NDArray[np.intp]) -> None:
    for name, size in zip(classes, sizes, strict=True):
        if size < _FEWEST:
            raise DatasetError(
                f"class {name} has {counted(int(size), 'sample')}; {_FEWEST} or more are accepted in every class"
            )


def _check_generator(rng: Any) -> None:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, such as np.random.default_rng(0), not {brief(rng)}")


def _frozen(array: Any) -> Any:
    """A view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view
