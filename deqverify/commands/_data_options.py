"""The options of commands that take data of one's own, or a data set that is known by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from reprlib import repr as brief
from typing import TYPE_CHECKING

from deqverify.commands import _errors, _options
from numerics.named import DATASETS, NORMALISATIONS, Normalisation

if TYPE_CHECKING:
    import argparse

    import numpy as np

    from numerics.data import Dataset

__all__ = ["add_arguments", "class_count", "draw", "load", "normalisation", "read", "refuse_without_data"]

_MOST_SAMPLES = 1_000_000
#: Of --normalise, where there are data.
_NORMALISATION: Normalisation = "center"
_MOST_CLASSES = 64


def add_arguments(parser: argparse.ArgumentParser, classes: str = "", default: str = "all") -> None:
    """Add --data, --classes, --samples and --normalise.

    Args:
        parser: where to.
        classes: what --classes means without --data, for commands where it means something.
        default: which samples there are without --samples.
    """
    parser.add_argument(
        "--data",
        metavar="NAME|PATH",
        help=f"{', '.join(DATASETS)}, or a path to samples with labels: .npz, .npy, .csv, IDX, CIFAR-10's batches",
    )
    parser.add_argument(
        "--classes",
        metavar="C,C,...",
        help=f"names of classes of the data (default all){'; ' * bool(classes)}{classes}",
    )
    parser.add_argument(
        "--samples",
        type=_options.integer_between(2, _MOST_SAMPLES),
        metavar="N",
        help=f"how many to draw of the data, as many of each class (default {default})",
    )
    parser.add_argument(
        "--normalise",
        choices=NORMALISATIONS,
        help="scale the data to a mean ||x||^2 of 1: by one number, that after centring, or centred and each sample to "
        f"norm 1 (default {_NORMALISATION})",
    )


def class_count(arguments: argparse.Namespace, default: int = 2) -> int:
    """Return the number of classes that --classes gives where there are no --data.

    Args:
        arguments: of the command.
        default: where the option is not given.

    Raises:
        UsageError: it is no number of classes.
    """
    text = arguments.classes
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= _MOST_CLASSES):
        raise _errors.UsageError(
            f"--classes must be a whole number from 1 to {_MOST_CLASSES}, or names of classes with --data, not {text!r}"
        )
    return int(text)


def read(
    arguments: argparse.Namespace, rng: np.random.Generator, *, most: int | None = None, unasked: int | None = None
) -> Dataset | None:
    """Read the data, choose classes and samples, and scale them; None where there are no --data.

    Args:
        arguments: of the command.
        rng: draws the samples: the generator of the command's seed.
        most: samples that may be drawn, where the command has a limit.
        unasked: samples that are drawn, whatever their classes, where --samples does not say how many; all by default.

    Raises:
        UsageError: data that cannot be had or used so, or options of data without --data.
    """
    found = load(arguments)
    return None if found is None else draw(arguments, found, rng, most=most, unasked=unasked)


def refuse_without_data(arguments: argparse.Namespace, *others: str) -> None:
    """Refuse options of data where there are no --data.

    Args:
        arguments: of the command.
        others: names of options that are of data in this command, besides --samples and --normalise.

    Raises:
        UsageError: one of them is given.
    """
    for name in (*others, "samples", "normalise"):
        if arguments.data is None and getattr(arguments, name):
            raise _errors.UsageError(f"--{name} is of data: give it with --data")


def load(arguments: argparse.Namespace) -> Dataset | None:
    """Read the data and choose classes; None where there are no --data.

    Args:
        arguments: of the command.

    Raises:
        UsageError: data that cannot be had or used so, or options of data without --data.
    """
    if arguments.data is None:
        refuse_without_data(arguments)
        return None
    from numerics.data import load_dataset

    with _data_errors(arguments):
        found = load_dataset(arguments.data)
        if arguments.classes is not None:
            found = found.select(_class_names(arguments.classes))
        return found


def _class_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise _errors.UsageError(
            f"--classes takes names of classes with commas between them, such as 0,1, not {brief(text)}"
        )
    return names


def draw(
    arguments: argparse.Namespace,
    found: Dataset,
    rng: np.random.Generator,
    *,
    per_class: int = 2,
    most: int | None = None,
    unasked: int | None = None,
) -> Dataset:
    """Choose samples of data that were read, and scale them.

    Args:
        arguments: of the command.
        found: the data.
        rng: draws the samples.
        per_class: samples that every class needs.
        most: samples that may be drawn, where the command has a limit.
        unasked: samples that are drawn, whatever their classes, where --samples does not say how many; all by default.

    Raises:
        UsageError: samples that cannot be had or used so.
    """
    with _data_errors(arguments):
        if arguments.samples is not None:
            found = found.subsample(arguments.samples, rng, per_class=per_class, most=most)
        elif unasked is not None:
            found = found.thinned(unasked, rng)
        return found.normalise(normalisation(arguments))


def normalisation(arguments: argparse.Namespace) -> Normalisation:
    """Return how the data are scaled.

    Args:
        arguments: of the command.
    """
    how: Normalisation = arguments.normalise or _NORMALISATION
    return how


@contextmanager
def _data_errors(arguments: argparse.Namespace) -> Iterator[None]:
    """What is wrong with data, as a UsageError."""
    from numerics.data import DatasetError

    try:
        yield
    except DatasetError as error:
        raise _errors.UsageError(f"--data: {error}") from error
