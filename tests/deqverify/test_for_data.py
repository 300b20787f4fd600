"""Match.for_data, and what importing the front door costs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import deqverify as dv
from numerics.data import Dataset
from numerics.matching import DataDesign


def test_arrays_and_data_sets_are_one() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 9)) * rng.uniform(0.5, 2, (50, 1))
    match = dv.match(dv.DEQ("tanh", "4/5"))
    first = match.for_data(X)
    # The norm of a data set's sample is the one that S has: nothing is divided.
    second = match.for_data(Dataset.from_arrays(X / 3, np.arange(50) % 2))
    assert isinstance(first, DataDesign)
    assert first.rows() == second.rows()
    assert float(first.deq.tau0) == pytest.approx(np.sqrt(np.mean(X**2)))
    assert first.chosen.frobenius == pytest.approx(min(fit.frobenius for fit in first.fits))
    assert first.chosen.name in repr(first)


def test_samples_are_drawn() -> None:
    X = np.random.default_rng(0).standard_normal((50, 9))
    match = dv.match(dv.DEQ("relu"))
    with pytest.raises(ValueError, match="20 of 50 samples are drawn: pass rng"):
        match.for_data(X, samples=20)
    found = [match.for_data(X, samples=20, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert found[0].samples == 20
    assert found[0].rows() == found[1].rows() != found[2].rows()


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(3), r"X must be an \(n, p\) array"),
        (np.zeros((3, 2)), "not all zero"),
        (np.ones((1, 2)), "2 to 2000 samples"),
        (
            [[1.0, np.nan], [0.0, 1.0]],
            r"X must be an \(n, p\) array of finite num.*, and number 1 of sample 0 is nan",
        ),
        (np.full((500, 2), np.nan), "and number 0 of sample 0 is nan$"),
        ([["a", "b"], ["c", "d"]], "X must be an array of real numbers, or lists of equal lengths, not list$"),
        ([[1.0, 2.0], [3.0]], "X must be an array of real numbers, or lists of equal lengths, not list$"),
        (np.ones((2, 2, 2)), r"not one of shape \(2, 2, 2\)$"),
        (np.full((3, 3), 1e200), r"a largest entry from 1e-70 to 1e\+70, not 1e\+200: divide X by one number$"),
        (np.full((3, 3), 1e-200), r"a largest entry from 1e-70 to 1e\+70, not 1e-200: divide X by one number$"),
    ],
)
def test_what_is_refused(X: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dv.match(dv.DEQ("tanh")).for_data(X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="from 2 to 2000"):
        dv.match(dv.DEQ("tanh")).for_data(np.eye(3), samples=1)
    for samples in (2.5, None, "two", np.int64(1)):
        with pytest.raises(ValueError, match=f"samples must be a whole number from 2 to 2000, not {samples}$"):
            dv.match(dv.DEQ("tanh")).for_data(np.eye(3), samples=samples)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"pass rng, a numpy\.random\.Generator$"):
        dv.match(dv.DEQ("tanh")).for_data(np.eye(3), samples=2, rng=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", [1e10, 1e-20])
def test_a_family_that_fails_at_a_scale_is_left_out(unit: float) -> None:
    """The linear programme of hard tanh or of another family has no answer there, and the rest have."""
    found = dv.match(dv.DEQ("tanh", "4/5")).for_data(unit * np.eye(3))
    assert any("linear programme" in reason for _, reason in found.left_out)
    assert found.fits


def test_scikit_learn_is_not_imported_by_the_front_door() -> None:
    code = (
        "import sys, deqverify as dv, deqverify.__main__\n"
        "dv.match(dv.DEQ('tanh')).for_data([[1., 0.], [0., 1.]])\n"
        "print('sklearn' in sys.modules)\n"
        "import numerics.learning\nprint('sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]
