"""Solvers give one answer: at every precision asked for, and whatever the process around them is set to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import flint
import mpmath
import numpy as np
import sympy as sp
import threadpoolctl
from flint import arb
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from numerics.arithmetic import pointwise
from numerics.equilibrium import CertifiedCoefficients, certify, solve, solve_float
from numerics.kernels import implicit_kernels
from theory.activations import Activation
from theory.equations import DEQ, EquilibriumError
from theory.kernels import COEFFICIENTS, Kernel

TEXTS = st.sampled_from(["Max(x, 0) + x/4", "tanh(x)", "x*sigmoid(x)", "clip(x, -1/3, 7/4)", "sin(3*x/2) + 1/4"])
VARIANCES = st.fractions(min_value="1/30", max_value="2/5", max_denominator=30).map(str).map(sp.Rational)
SCALES = st.fractions(min_value="1/3", max_value=3, max_denominator=12).map(str).map(sp.Rational)


@st.composite
def deqs(draw: st.DrawFn) -> DEQ:
    """A DEQ with a stable equilibrium."""
    deq = DEQ(Activation.from_text(draw(TEXTS)), draw(VARIANCES), sp.Rational(4, 5), draw(SCALES))
    try:
        certify(deq, 5)
    except EquilibriumError:
        assume(False)
    return deq


def shown(found: CertifiedCoefficients) -> dict[str, str | None]:
    return {key: found.decimal(key) for key in COEFFICIENTS}


@settings(max_examples=10)
@given(deqs(), st.integers(3, 20), st.integers(1, 30))
def test_more_digits_refine_the_same_numbers(deq: DEQ, digits: int, more: int) -> None:
    """Both balls hold the number, the finer one is narrower, and both are as narrow as was asked for."""
    coarse, fine = certify(deq, digits), certify(deq, digits + more)
    with flint.ctx.workprec(300):
        for key, ball in coarse.balls.items():
            finer = fine.balls[key]
            assert ball.overlaps(finer), key
            for one, asked in ((ball, digits), (finer, digits + more)):
                assert one.rad() <= arb(10) ** -asked * (1 + abs(one)), (key, one)
            text = coarse.decimal(key)
            assert text is not None
            # Rounding what is known better lands within a unit of what was shown.
            assert abs(arb(text) - finer) <= arb(10) ** (1 - digits) * (1 + abs(finer)), key


@settings(max_examples=4)
@given(deqs(), st.integers(5, 10), st.sampled_from([17, 53, 400]), st.sampled_from([3, 15, 80]))
def test_the_callers_precision_does_not_matter(deq: DEQ, digits: int, bits: int, decimals: int) -> None:
    """Balls, radii, mpmath's numbers and floats are the same, and the settings are left as they were."""
    plain = certify(deq, digits), solve(deq, digits), solve_float(deq)
    with flint.ctx.workprec(bits), mpmath.workdps(decimals):
        other = certify(deq, digits), solve(deq, digits), solve_float(deq)
        settled = flint.ctx.prec, mpmath.mp.dps
    assert settled == (bits, decimals)
    assert shown(other[0]) == shown(plain[0])
    assert other[0].radius == plain[0].radius
    assert [other[1].decimal(key) for key in COEFFICIENTS] == [plain[1].decimal(key) for key in COEFFICIENTS]
    assert [other[2].kernel(kernel) for kernel in Kernel] == [plain[2].kernel(kernel) for kernel in Kernel]


@settings(max_examples=5)
@given(deqs(), st.integers(5, 25))
def test_digits_are_the_same_in_another_thread(deq: DEQ, digits: int) -> None:
    """What FLINT remembers thread by thread moves the last bits of a radius, and no digit."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: shown(certify(deq, digits))).result() == shown(certify(deq, digits))


@settings(max_examples=8)
@given(deqs(), st.integers(0, 2**32 - 1))
def test_kernels_have_the_same_bytes_on_any_number_of_threads(deq: DEQ, seed: int) -> None:
    """Those of the linear algebra, and those of the caller."""
    samples = np.random.default_rng(seed).standard_normal((12, 7)) / np.sqrt(12)
    gram, phi, bias = samples.T @ samples, pointwise(deq.activation), solve_float(deq)["bias"]

    def computed() -> list[bytes]:
        found = implicit_kernels(gram, phi, float(deq.sigma_a2), 0.8, bias, kernels=Kernel)
        return [found[kernel].tobytes() for kernel in Kernel]

    found = []
    for threads in (1, 2):
        with threadpoolctl.threadpool_limits(limits=threads):
            found.append(computed())
    with ThreadPoolExecutor(2) as pool:
        found += list(pool.map(lambda _: computed(), range(2)))
    assert found[1:] == found[:-1]
