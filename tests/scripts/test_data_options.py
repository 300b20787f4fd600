"""--data and its companions: what they read, and what is refused in one sentence."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from deqverify.commands import _data_options as options
from deqverify.commands._errors import UsageError
from deqverify.commands._options import Parser
from numerics.data import Dataset, load_dataset
from tests.data_files import WRITERS


def _arguments(*words: str) -> argparse.Namespace:
    parser = Parser("test", "none")
    options.add_arguments(parser, "without --data: their number")
    return parser.parse_args(list(words))


def _read(*words: str, seed: int = 0) -> Dataset | None:
    return options.read(_arguments(*words), np.random.default_rng(seed))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """60 samples of three classes."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "three.npz", X=rng.standard_normal((60, 5)) + 2, y=np.repeat([1, 5, 9], 20))
    return str(tmp_path / "three.npz")


def test_without_options_all_are_centred(path: str) -> None:
    found = _read("--data", path)
    assert found is not None
    assert np.array_equal(found.samples, load_dataset(path).normalise("center").samples)


def test_every_option_has_its_say(path: str) -> None:
    found = _read("--data", path, "--classes", "9, 1", "--samples", "11", "--normalise", "sample", seed=4)
    expected = load_dataset(path).select(["9", "1"]).subsample(11, np.random.default_rng(4)).normalise("sample")
    assert found is not None
    assert np.array_equal(found.samples, expected.samples)
    assert (found.classes, found.sizes) == (("9", "1"), (6, 5))
    assert found.preprocessing == expected.preprocessing


def test_without_data_there_are_none() -> None:
    assert _read() is None
    assert _read("--classes", "3") is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", "100"], "--samples is of data: give it with --data"),
        (["--normalise", "none"], "--normalise is of data: give it with --data"),
        (["--data", ""], "--data: an empty text names no data set; accepted are fashion-mnist"),
        (["--data", "nowhere"], "--data: there is no data set and no file 'nowhere'"),
    ],
)
def test_what_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _read(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", "1,7"], "no class '7'; accepted are 1, 5, 9"),
        (["--classes", "1,1"], "given once each"),
        (["--classes", ","], "--classes takes names of classes with commas between them, such as 0,1, not ','"),
        (["--classes", "1,5,"], "not '1,5,'"),
        (["--classes", ""], "not ''"),
        (["--samples", "61"], "61 samples of three are asked for; 6 to 60 are accepted"),
        (["--samples", "2"], "6 to 60 are accepted"),
    ],
)
def test_what_data_do_not_have(words: list[str], message: str, path: str) -> None:
    with pytest.raises(UsageError, match=message):
        _read("--data", path, *words)


def test_the_range_of_samples_is_what_the_command_accepts(path: str) -> None:
    data, rng = load_dataset(path), np.random.default_rng(0)
    with pytest.raises(UsageError, match="2 samples of three are asked for; 12 to 30 are accepted"):
        options.draw(_arguments("--data", path, "--samples", "2"), data, rng, per_class=4, most=30)
    for count in ("12", "30"):
        drawn = options.draw(_arguments("--data", path, "--samples", count), data, rng, per_class=4, most=30)
        assert drawn.n == int(count)
    with pytest.raises(UsageError, match="6 to 40 are accepted"):
        options.read(_arguments("--data", path, "--samples", "2"), rng, most=40)


@pytest.mark.parametrize("words", [["--samples", "1"], ["--samples", "many"], ["--normalise", "unit"]])
def test_what_the_parser_refuses(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        _arguments(*words)
    assert words[0] in capsys.readouterr().err


def test_numbers_of_classes() -> None:
    assert options.class_count(_arguments()) == 2
    assert options.class_count(_arguments("--classes", "7")) == 7
    for text in ("0", "65", "1,9", "two", "²", "9" * 5000):
        with pytest.raises(UsageError, match="a whole number from 1 to 64, or names of classes with --data"):
            options.class_count(_arguments("--classes", text))


def test_a_path_that_no_reader_knows(tmp_path: Path) -> None:
    path = WRITERS["npz"](tmp_path).rename(tmp_path / "set.dat")
    with pytest.raises(UsageError, match="its format is not known"):
        _read("--data", str(path))
