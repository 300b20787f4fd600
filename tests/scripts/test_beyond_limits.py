"""Sizes beyond memory and numbers that are none: refused in one sentence, before anything is computed or allocated."""

from __future__ import annotations

import argparse
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deqverify.commands import COMMANDS, _campaign_options, _running, command
from numerics import memory

Refused = Callable[..., str]
_MEBIBYTE = 2.0**20
#: What a command cannot be without.
NEEDED = dict.fromkeys(("derive", "design", "export-latex", "solve"), ("--activation", "relu"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "points.npz", X=rng.standard_normal((600, 5)), y=np.repeat([0, 1], 300))
    return tmp_path


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> Refused:
    """Return run(*words) -> the one sentence with which a command refuses, having written and printed nothing."""

    def run(*words: str) -> str:
        before = sorted(folder.iterdir())
        monkeypatch.setattr(sys, "argv", [f"deqverify {words[0]}", *words[1:]])
        with pytest.raises(SystemExit) as stopped:
            _running.run(lambda _: command(words[0]).main(None))
        shown = capsys.readouterr()
        # What it is at, where stderr is no terminal.
        sentence = shown.err.removeprefix("designing ...\n")
        assert (stopped.value.code, shown.out, sentence.count("\n")) == (2, "", 1), shown
        assert sentence.startswith(f"deqverify {words[0]}: ")
        assert sorted(folder.iterdir()) == before
        return sentence

    return run


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (("spectrum", "--p", "2000"), "1600 samples of dimension 2000"),
        (("spectrum", "--p", "40", "--ratio", "1", "--width", "8000"), "a network of 8000 neurons"),
        (("spectrum", "--p", "20000", "--ratio", "1"), "20000 samples of dimension 20000"),
        (("spectrum", "--data", "points.npz", "--samples", "500"), "500 samples of dimension 5"),
        (("spectrum", "--data", "points.npz"), "600 samples of dimension 5"),
        (("design", "--activation", "tanh", "--data", "points.npz", "--samples", "500"), "500 samples of dimension 5"),
        (("design", "--activation", "tanh", "--data", "points.npz"), "400 samples of dimension 5"),
        (("converge", "--sizes", "200,5000"), "4000 samples of dimension 5000"),
        (("converge", "--explicit", "--sizes", "200,5000"), "4000 samples of dimension 5000"),
        (("converge", "--against", "m", "--p", "9000"), "7200 samples of dimension 9000"),
        (("converge", "--against", "m", "--sizes", "20,20000"), "a network of 20000 neurons"),
        (("verify", "--p", "50000"), "40000 samples of dimension 50000"),
        (("verify", "--profile", "full"), "need about"),
    ],
)  # fmt: skip
def test_sizes_beyond_memory_are_named_before_anything_is_allocated(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], size: str
) -> None:
    def work(*_: object, **__: object) -> None:
        pytest.fail("the work was begun")

    monkeypatch.setattr(memory, "free_bytes", lambda: _MEBIBYTE)
    monkeypatch.setattr(_campaign_options, "run_campaign", work)
    monkeypatch.setattr("numerics.matching.design_for_data", work)
    tracemalloc.start()
    try:
        sentence = refused(*words)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size in sentence
    assert "1 MiB are free on this machine" in sentence
    # Modules are loaded, a data set of 600 samples is read: nothing of the size that was refused.
    assert peak < 64 * _MEBIBYTE


def test_verify_counts_the_draws_that_are_made_at_a_time(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits once need not fit as often as there are workers."""
    one = float(memory.bytes_needed(512, 640))
    monkeypatch.setattr(memory, "free_bytes", lambda: 2.5 * one)
    assert "in 3 jobs" in refused("verify", "--p", "640", "--seeds", "3", "--jobs", "8")


@pytest.mark.parametrize(
    ("words", "accepted"),
    [
        (("solve", *NEEDED["solve"], "--digits", "1001"), "from 1 to 1000"),
        (("solve", *NEEDED["solve"], "--sweep", "tau0=1:2:1000000000"), "POINTS must be a whole number from"),
        (("design", *NEEDED["design"], "--digits", "100000"), "a whole number from"),
        (("design", *NEEDED["design"], "--data", "points.npz", "--samples", "1000000"), "up to 2000"),
        (("design", *NEEDED["design"], "--layers", "1000000000"), "--layers"),
        (("export-latex", *NEEDED["export-latex"], "--output", "tex", "--digits", "100000"), "a whole number from"),
        (("spectrum", "--data", "points.npz", "--samples", "9" * 30), "a whole number from"),
        (("spectrum", "--p", "9" * 30), "a whole number from"),
        (("spectrum", "--p", "1000000"), "from 16 to 25000 are accepted"),
        (("spectrum", "--draws", "9" * 30), "a whole number from"),
        (("converge", "--sizes", "9" * 30), "a whole number from"),
        (("converge", "--draws", "9" * 30), "a whole number from"),
        (("converge", "--jobs", "9" * 30), "a whole number from"),
        (("converge", "--sizes", "20", "--ratio", "10**60"), "samples of dimension 20 need about"),
        (("verify", "--p", "9" * 30), "a whole number from"),
        (("verify", "--seeds", "9" * 30), "a whole number from"),
        (("reproduce", "--draws", "9" * 30), "a whole number from"),
        (("fuzz-parser", "--inputs", "9" * 30), "a whole number from"),
    ],
)  # fmt: skip
def test_sizes_without_end_are_refused_with_what_is_accepted(
    refused: Refused, words: tuple[str, ...], accepted: str
) -> None:
    assert accepted in refused(*words)


# --- NaN and infinity ------------------------------------------------------------------------------------------------

NO_NUMBERS = ("nan", "NaN", "inf", "-inf", "Infinity", "1e999", "oo", "zoo", "1/0", "0/0", "")


def numeric_options() -> list[tuple[str, str]]:
    """Every option of a command that is read as a number: it takes 1, or at least a whole number such as 100."""
    found = []
    for name in COMMANDS:
        for action in command(name).parser()._actions:
            if action.type is None or action.nargs is not None or action.choices is not None:
                continue
            for text in ("1", "100"):
                try:
                    action.type(text)
                except (argparse.ArgumentTypeError, ValueError):
                    continue
                found.append((name, action.option_strings[0]))
                break
    return found


def test_the_options_are_found() -> None:
    assert len(numeric_options()) > 30
    assert {("solve", "--tau0"), ("converge", "--ratio"), ("verify", "--seeds")} <= set(numeric_options())


@pytest.mark.parametrize(("name", "option"), numeric_options())
def test_no_option_takes_what_is_no_number(refused: Refused, name: str, option: str) -> None:
    for text in NO_NUMBERS:
        assert option in refused(name, *NEEDED.get(name, ()), option, text)


@pytest.mark.parametrize("text", NO_NUMBERS[:-1])
@pytest.mark.parametrize(
    "words",
    [
        ("solve", "--activation", "x*{}"),
        ("solve", "--activation", "leaky_relu", "--parameter", "a={}"),
        ("solve", *NEEDED["solve"], "--sweep", "tau0=1:{}:5"),
        ("spectrum", "--covariance", "toeplitz:{}"),
        ("spectrum", "--covariance", "diagonal:1,{}"),
        ("spectrum", "--covariance", "low-rank:1,{}"),
        ("spectrum", "--proportions", "1/2,{}"),
        ("design", *NEEDED["design"], "--family", "mine=a*tanh(x)", "--box", "a={}:1"),
        ("verify", "--p", "100,{}"),
        ("converge", "--sizes", "100,{}"),
    ],
)  # fmt: skip
def test_nor_does_any_part_of_one(refused: Refused, words: tuple[str, ...], text: str) -> None:
    refused(*(word.format(text) for word in words))


@pytest.mark.parametrize("name", ["spectrum", "design"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize("ending", ["csv", "npy", "npz"])
def test_data_that_hold_none_are_refused(refused: Refused, folder: Path, name: str, value: str, ending: str) -> None:
    samples = np.random.default_rng(1).standard_normal((20, 3))
    samples[7, 2] = float(value)
    labels = np.repeat([0, 1], 10)
    if ending == "csv":
        lines = [f"{','.join(map(str, row))},{label}\n" for row, label in zip(samples.tolist(), labels, strict=True)]
        (folder / "x.csv").write_text("".join(lines).replace(str(float(value)), value))
    elif ending == "npz":
        np.savez(folder / "x.npz", X=samples, y=labels)
    else:
        np.save(folder / "x.npy", samples)
        np.save(folder / "x-labels.npy", labels)
    sentence = refused(name, *NEEDED.get(name, ()), "--data", f"x.{ending}")
    assert "sample 7" in sentence
