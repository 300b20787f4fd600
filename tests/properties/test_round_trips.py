"""What is written is read back as it was, and what is read is never run."""

from __future__ import annotations

import builtins
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from numerics.data import DatasetError, load_dataset
from tests.data_files import idx_file
from tests.strategies import activation_texts
from theory.analysis import DomainError, GrowthError
from theory.grammar import ActivationSyntaxError, parse_activation, parse_number
from theory.moments import DivergentMomentError

REFUSALS = (ActivationSyntaxError, DomainError, GrowthError, DivergentMomentError)


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(activation_texts)
def test_the_expression_of_a_record_can_be_given_back(text: str) -> None:
    """Records print an activation as SymPy does: the grammar reads it to the same function."""
    try:
        expression = parse_activation(text)
    except REFUSALS:
        return
    again = parse_activation(str(expression))
    assert again == expression or sp.simplify(again - expression) == 0


@given(st.fractions(max_denominator=10**12), st.integers(0, 30))
def test_numbers_are_read_exactly(value: Any, shift: int) -> None:
    """Fractions as they are written, and decimals with an exponent, without a float in between."""
    wanted = sp.Rational(value.numerator, value.denominator)
    assert parse_number(str(value)) == wanted
    assert parse_number(f"{value.numerator}e-{shift}") == sp.Rational(value.numerator, 10**shift)


SHAPES = st.tuples(st.sampled_from([4, 6, 8]), st.integers(2, 5))
NUMBERS = st.floats(-1e6, 1e6, width=32)


def _npz(folder: Path, samples: np.ndarray, labels: np.ndarray) -> Path:
    np.savez(folder / "a.npz", X=samples, y=labels)
    return folder / "a.npz"


def _npy(folder: Path, samples: np.ndarray, labels: np.ndarray) -> Path:
    np.save(folder / "a.npy", samples)
    np.save(folder / "a-labels.npy", labels)
    return folder / "a.npy"


def _idx(folder: Path, samples: np.ndarray, labels: np.ndarray) -> Path:
    (folder / "a-images-idx2-ubyte").write_bytes(idx_file(samples.astype(">f8"), 0x0E))
    (folder / "a-labels-idx1-ubyte").write_bytes(idx_file(labels.astype(np.uint8)))
    return folder / "a-images-idx2-ubyte"


def _csv(folder: Path, samples: np.ndarray, labels: np.ndarray) -> Path:
    rows = [",".join([*map(repr, row), str(label)]) for row, label in zip(samples.tolist(), labels, strict=True)]
    (folder / "a.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder / "a.csv"


def _batch(folder: Path, samples: np.ndarray, labels: np.ndarray) -> Path:
    (folder / "batch").write_bytes(pickle.dumps({"data": samples, "labels": labels.tolist()}))
    return folder / "batch"


@pytest.mark.parametrize("write", [_npz, _npy, _idx, _csv, _batch])
@settings(max_examples=15)
@given(data=st.data())
def test_data_sets_come_back_as_they_were(
    write: Callable[[Path, np.ndarray, np.ndarray], Path], data: st.DataObject
) -> None:
    """Every number to the last bit, negative zero and the smallest ones included."""
    samples = data.draw(arrays(np.float64, SHAPES, elements=NUMBERS))
    # Every class twice, as is asked for.
    labels = np.tile(data.draw(arrays(np.int64, len(samples) // 2, elements=st.integers(0, 3))), 2)
    with TemporaryDirectory() as folder:
        found = load_dataset(write(Path(folder), samples, labels))
    assert found.samples.tobytes() == samples.tobytes()
    assert [int(found.classes[label]) for label in found.labels] == labels.tolist()


class _Call:
    """Pickled as a call, which an unpickler makes."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self._call


def _calls(canary: Path, victim: Path) -> list[_Call]:
    """Ways to make one path or to remove another."""
    touch = f"open({str(canary)!r}, 'w').close()"
    return [
        _Call(builtins.exec, touch),
        _Call(builtins.eval, touch.replace(".close()", "")),
        _Call(os.system, f"touch {canary}"),
        _Call(os.mkdir, str(canary)),
        _Call(os.remove, str(victim)),
        _Call(shutil.copyfile, str(victim), str(canary)),
        _Call(getattr, _Call(__import__, "os"), "getpid"),
    ]


@settings(max_examples=40)
@given(st.integers(0, 6), st.integers(0, 5), st.sampled_from(["data", "labels", "beside", "key", "within", "alone"]))
def test_no_pickle_makes_a_call(which: int, protocol: int, place: str) -> None:
    """Wherever the call stands in what is otherwise a good batch, and in any protocol."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        canary, victim = folder / "canary", folder / "victim"
        victim.write_bytes(b"alive")
        call = _calls(canary, victim)[which]
        good: dict[Any, Any] = {"data": np.eye(4), "labels": [0, 1, 0, 1]}
        bad = {
            "data": good | {"data": call},
            "labels": good | {"labels": call},
            "beside": good | {"filenames": call},
            "key": {call: 1} | good,
            "within": good | {"labels": [0, 1, 0, call]},
            "alone": call,
        }[place]
        (folder / "batch").write_bytes(pickle.dumps(bad, protocol))
        with pytest.raises(DatasetError):
            load_dataset(folder / "batch")
        assert victim.read_bytes() == b"alive"
        assert not canary.exists()


@settings(max_examples=15)
@given(st.text(max_size=30), st.sampled_from(["{0}", "x + {0}", "tanh({0})", "Max({0}, x)"]))
def test_no_text_is_run(text: str, shape: str) -> None:
    """Python that would make a file, among anything else, is refused in one sentence."""
    with TemporaryDirectory() as name:
        canary = Path(name) / "canary"
        for code in (f"open({str(canary)!r}, 'w')", f"__import__('os').mkdir({str(canary)!r})"):
            for hostile in (shape.format(code), f"{text}{code}", f"[{code} for x in (1,)]", f"(lambda: {code})()"):
                with pytest.raises(ActivationSyntaxError) as caught:
                    parse_activation(hostile)
                assert "\n" not in str(caught.value)
        assert not canary.exists()
