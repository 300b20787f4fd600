"""What the front door does: one function for each task, of a ``DEQ`` and of plain NumPy arrays.

The numbers and proofs come from ``numerics``; here are the names, and the conventions of a data matrix: its rows are
samples with entries of order 1, so that S = X X^T/p, and random numbers come from the generator that is passed.  An
argument of another type is a TypeError that says what is accepted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from reprlib import repr as brief
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from deqverify.mixtures import Mixture, _generator, _require, _whole
from deqverify.results import (
    Convergence,
    DataSpectrum,
    KernelMatrices,
    LearningComparison,
    Match,
    SpectrumComparison,
    gram_of_rows,
)
from numerics.data import Dataset
from numerics.equilibrium import certify as _certify
from numerics.equilibrium import find_equilibria
from numerics.experiments import (
    LEARNERS,
    Cell,
    Experiment,
    LearningStudy,
    Network,
    Readout,
    distance_to_equivalent,
    distance_to_limit,
    exact_kernels,
    measure,
    predict,
    predict_network,
    report_rate,
    study_data,
    summarise_outliers,
)
from numerics.matching import design
from numerics.memory import check_memory
from numerics.named import ENTRY_LAWS
from theory.claims import CLAIMS
from theory.equations import DEQ
from theory.kernels import Kernel

if TYPE_CHECKING:
    from numerics.arrays import Array
    from numerics.data import EntryLaw, GaussianMixture
    from numerics.equilibrium import CertifiedCoefficients, EquilibriumSet
    from theory.claims import Verdict

__all__ = ["certify", "check", "converge", "equilibria", "kernels", "latex", "learn", "match", "spectrum"]

_SEEDS = 2**63
#: Entries of X beyond these sizes have squares that float64 does not hold.
_SMALLEST, _LARGEST = 1e-100, 1e100
#: Sizes that a rate needs.
_FEWEST_SIZES = 3


# --- arguments -------------------------------------------------------------------------------------------------------


def _model(deq: DEQ) -> DEQ:
    _require(deq, DEQ, "deq must be a DEQ, such as DEQ('tanh', sigma_a2='1/5')")
    return deq


def _one_of(value: Any, accepted: Collection[str], what: str) -> None:
    """Refuse what is not one of the names."""
    if not isinstance(value, str) or value not in accepted:
        refusal = ValueError if isinstance(value, str) else TypeError
        raise refusal(f"there is no {what} {brief(value)}: accepted are {', '.join(accepted)}")


def _scale(tau0: Any) -> Any:
    """Refuse a word that is no way to read tau_0; numbers, as texts too, are read by the DEQ."""
    if isinstance(tau0, str) and tau0.isidentifier():
        raise ValueError(f'tau0 is read as "empirical", or is a number: there is no reading {brief(tau0)}')
    return tau0


def _gram(X: ArrayLike, *, zero: bool) -> Array:
    """S = X X^T/p of a data matrix of entries that float64 can square; of zeros alone where that is accepted."""
    try:
        rows = np.asarray(X)
    except ValueError:
        raise ValueError("X must be an (n, p) array of finite numbers, not lists of different lengths") from None
    if not np.can_cast(rows.dtype, np.float64, "safe"):
        raise TypeError(f"X must be an (n, p) array of real numbers that float64 holds, not of dtype {rows.dtype}")
    if rows.ndim == 2 and rows.size:
        for i, j in np.argwhere(~np.isfinite(rows)):
            raise ValueError(f"X must be an (n, p) array of finite numbers, and X[{i}, {j}] is {rows[i, j]}")
        largest = np.abs(rows.astype(np.float64)).max()
        if not _SMALLEST <= largest <= _LARGEST and not (zero and largest == 0):
            raise ValueError(f"X must have entries of order 1, and its largest in absolute value is {largest:g}")
    return gram_of_rows(rows)


# --- the lower floors, one line a call -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Study(Experiment):
    """An experiment on a mixture of the front door."""

    data: Mixture | None = None

    def mixture(self, p: int) -> GaussianMixture:
        """Return the data model in dimension p."""
        assert self.data is not None  # noqa: S101
        return self.data.at(p).population


def _study(deq: DEQ, mixture: Mixture, rng: np.random.Generator) -> _Study:
    _model(deq)
    _require(mixture, Mixture, "mixture must be a Mixture, such as Mixture(p=400)")
    seed = int(_generator(rng).integers(_SEEDS))
    return _Study((deq.activation,), float(deq.sigma_a2), float(deq.sigma_b2), seed=seed, data=mixture)


def _implicit(deq: DEQ, gram: Any, asked: Sequence[Kernel]) -> tuple[dict[Kernel, Any], float]:
    """The kernels at a Gram matrix, the activation centred at the equilibrium of the DEQ's tau_0; and the residual."""
    found = exact_kernels(deq, gram=gram, kernels=asked)
    return {kernel: found[kernel] for kernel in asked}, found.evidence.residual


# --- the tasks -------------------------------------------------------------------------------------------------------


def certify(deq: DEQ, digits: int = 15) -> CertifiedCoefficients:
    """Solve a DEQ's equations with proof: every coefficient in a ball that holds it.

    Args:
        deq: the model.
        digits: significant digits, >= 1.

    Raises:
        EquilibriumError: no stable equilibrium is reached from tau_0.

    Example:
        >>> solution = certify(DEQ("tanh", "1/5"), digits=30)
        >>> solution.decimal("alpha1")
        '0.344987632659798712080705117170'
        >>> solution.certified["alpha1"], solution.followed
        (True, True)
    """
    return _certify(_model(deq), _whole(digits, "digits"))


def equilibria(deq: DEQ, digits: int = 15) -> EquilibriumSet:
    """Find every equilibrium of a DEQ, with proof where that is possible.

    Args:
        deq: the model.
        digits: significant digits of the roots.

    Example:
        >>> equilibria(DEQ("x + x**3/10", "1/5"), digits=10)
        EquilibriumSet(complete: tau_* = 1.179592950 (stable, reached from tau_0), 1.563796048 (unstable))
    """
    return find_equilibria(_model(deq), _whole(digits, "digits"))


def kernels(
    deq: DEQ, X: ArrayLike | Dataset, kernels: str | Sequence[str] = Kernel.CK, *, tau0: Any = "empirical"
) -> KernelMatrices:
    """The kernels of a data matrix in the limit of infinite width: exact, no equivalent.

    Rows are samples and S = X X^T/p, as in neural-tangents, whose first layer divides by sqrt(p): columns scaled to
    mean 0 and variance 1 have tau_0 = 1.  A data set is scaled by `Dataset.normalise`, and its S = X X^T is taken as it
    is.

    Args:
        deq: the model; its own tau_0 is not used unless it is passed.
        X: (n, p) array, a sample in each row; or a data set.
        kernels: "ck", "ntk-recurrent", "ntk-preactivation", "ntk-all", or several of them.
        tau0: how the input scale is read, at whose equilibrium the activation is centred: "empirical" for
            sqrt(tr S/n), or a number.

    Raises:
        ValueError: X is not an (n, p) array of finite numbers, or an unknown kernel.
        EquilibriumError: no stable equilibrium at this tau_0.
        KernelConvergenceError: an entry has no stable fixed point, or an NTK does not exist.

    Example:
        >>> X = np.random.default_rng(0).standard_normal((5, 100))
        >>> found = kernels(DEQ("relu", "1/5"), X, ["ck", "ntk-all"])
        >>> found
        KernelMatrices(ck, ntk-all: n = 5, tau0 = 1.01396 (empirical))
        >>> found["ck"].shape
        (5, 5)
    """
    _model(deq)
    names = [kernels] if isinstance(kernels, str) or not isinstance(kernels, Iterable) else kernels
    asked = [Kernel.read(name) for name in names]
    reading = "empirical" if isinstance(tau0, str) and tau0 == "empirical" else "given"
    gram = X.gram() if isinstance(X, Dataset) else _gram(X, zero=reading == "given")
    scale = float(np.sqrt(np.trace(gram) / len(gram))) if reading == "empirical" else _scale(tau0)
    centred = DEQ(deq.activation, deq.sigma_a2, deq.sigma_b2, scale)
    matrices, residual = _implicit(centred, gram, asked)
    return KernelMatrices(centred, MappingProxyType(matrices), float(centred.tau0), reading, residual)


@overload
def spectrum(
    deq: DEQ,
    mixture: Mixture,
    kernel: str = Kernel.CK,
    *,
    rng: np.random.Generator,
    draws: int = 1,
    width: int | None = None,
    weights: EntryLaw = "gaussian",
) -> SpectrumComparison: ...


@overload
def spectrum(deq: DEQ, mixture: Dataset, kernel: str = Kernel.CK, *, rng: np.random.Generator) -> DataSpectrum: ...


def spectrum(
    deq: DEQ,
    mixture: Mixture | Dataset,
    kernel: str = Kernel.CK,
    *,
    rng: np.random.Generator,
    draws: int = 1,
    width: int | None = None,
    weights: EntryLaw = "gaussian",
) -> SpectrumComparison | DataSpectrum:
    """Compare the predicted spectrum of a kernel with that of simulated data, or its equivalents on real data.

    Args:
        deq: the model; tau_0 is the mixture's, sqrt(tr C/p), or 1 for a data set.
        mixture: of the data; or a data set, which is divided by one number so that the mean of ||x||^2 is 1.
        kernel: which kernel, by name.
        rng: gives the seed of all draws; of a data set, draws its Gaussian twin.
        draws: number of draws of a mixture.
        width: neurons of finite networks whose kernels are measured on a mixture; None for the exact kernel.
        weights: law of the networks' weights.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        SpectralLawError: the law was not found to the accuracy asked for.
        ValueError: no draws, an unknown kernel, covariances that the law does not cover, or a data set with draws or
            networks, or too small.
        NotEnoughMemoryError: sizes beyond this machine's memory, before anything is allocated.

    Example:
        >>> from deqverify import Mixture
        >>> found = spectrum(DEQ("relu", "1/5"), Mixture(p=200, means=3), rng=np.random.default_rng(0))
        >>> found.law.outlier_values.round(2), found.isolated.round(2)
        (array([1.75, 1.47]), array([1.87, 1.4 ]))
    """
    draws = _whole(draws, "draws")
    _one_of(weights, ENTRY_LAWS, "law of weights")
    if isinstance(mixture, Dataset):
        if draws != 1 or width is not None:
            raise ValueError("draws and width are of mixtures; a data set is studied as it is, with the exact kernel")
        return _data_spectrum(deq, mixture, Kernel.read(kernel), rng)
    which, study = Kernel.read(kernel), _study(deq, mixture, rng)
    network = None if width is None else Network(_whole(width, "width"), weights)
    check_memory(study.mixture(mixture.p).samples, mixture.p, 0 if network is None else network.width)
    law, solution = (
        predict(study, deq.activation, which, mixture.p)
        if network is None
        else predict_network(study, deq.activation, which, mixture.p, network.width)
    )
    found = tuple(
        measure(study, deq.activation, which, mixture.p, index, law, solution, network=network)
        for index in range(draws)
    )
    return SpectrumComparison(deq, mixture, which, width, law, found, summarise_outliers(law, found))


def _data_spectrum(deq: DEQ, data: Dataset, kernel: Kernel, rng: np.random.Generator) -> DataSpectrum:
    scaled = data.normalise("none")
    return DataSpectrum(deq, scaled, kernel, study_data(_model(deq), scaled, kernel, _generator(rng)))


def learn(
    deq: DEQ,
    mixture: Mixture,
    kernel: str = Kernel.CK,
    *,
    rng: np.random.Generator,
    ridge: float | None = None,
    time: float | None = None,
    width: int | None = None,
    learners: Sequence[str] = LEARNERS,
    draws: int = 4,
    tests: int = 2000,
) -> LearningComparison:
    """Predict what readouts on a DEQ's kernel learn of a mixture's classes, and measure it on draws.

    Args:
        deq: the model; tau_0 is the mixture's.
        mixture: of the data, with two classes or more; labels are +1 and -1, or one output a class.
        kernel: which kernel, by name.
        rng: gives the seed of all draws.
        ridge: penalty of ridge regression, relative to tr(kernel)/n; 1/10 by default.
        time: of gradient flow, in units of n/tr(kernel), in place of a ridge.
        width: neurons of finite networks whose features are learned on; None for the exact kernel.
        learners: some of "deq", "matched" (the explicit network with its kernel), "naive" and "linear".
        draws: of the data.
        tests: fresh samples of every draw.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        NoMatchError: no explicit network has the kernel.
        ValueError: a ridge and a time, numbers out of range, one class, or an unknown learner.
        NotEnoughMemoryError: sizes beyond this machine's memory, before anything is allocated.

    Example:
        >>> from deqverify import Mixture
        >>> found = learn(DEQ("relu"), Mixture(p=100, means=3), learners=["deq"], rng=np.random.default_rng(0))
        >>> round(found.predicted["deq"].test_error, 4), round(found.mean("deq"), 4)
        (0.028, 0.0363)
    """
    if ridge is not None and time is not None:
        raise ValueError("a ridge is of ridge regression and a time of gradient flow: give one of them")
    readout = Readout("time", time) if time is not None else Readout("ridge", 0.1 if ridge is None else ridge)
    for learner in learners:
        _one_of(learner, LEARNERS, "learner")
    draws, tests = _whole(draws, "draws"), _whole(tests, "tests")
    which, experiment = Kernel.read(kernel), _study(deq, mixture, rng)
    neurons = None if width is None else _whole(width, "width")
    samples = experiment.mixture(mixture.p).samples
    check_memory(max(samples, int(np.sqrt(samples * tests))), mixture.p, neurons or 0)
    study = LearningStudy(experiment, deq.activation, which, mixture.p, neurons)
    predicted = {learner: study.predict(learner, readout) for learner in learners}
    found = [study.measure(index, {learner: [readout] for learner in learners}, tests) for index in range(draws)]
    measured = {learner: tuple(draw[learner][0] for draw in found) for learner in learners}
    return LearningComparison(deq, mixture, which, readout, neurons, predicted, measured)


def converge(
    deq: DEQ,
    mixture: Mixture,
    sizes: Sequence[int],
    kernel: str = Kernel.CK,
    *,
    rng: np.random.Generator,
    draws: int = 8,
    against: str = "p",
    weights: EntryLaw = "gaussian",
) -> Convergence:
    """Measure how fast an error falls with the size, and test the theory's rate of -1/2.

    Args:
        deq: the model; tau_0 is the mixture's.
        mixture: of the data; against p it is taken to every dimension, n/p fixed.
        sizes: three or more, ascending.
        kernel: which kernel, by name.
        rng: gives the seed of all draws, and resamples them.
        draws: draws at every size, at least two.
        against: "p" for the distance of the exact kernel to its equivalent, over dimensions; "m" for that of a finite
            network's to the exact one, over widths, at the mixture's dimension.
        weights: law of the finite networks' weights.

    Raises:
        EquilibriumError: no stable equilibrium, or an NTK that does not exist.
        ValueError: another ``against``, too few sizes or draws, an unknown kernel, or a mixture that does not exist in
            every dimension.

    Example:
        >>> from deqverify import Mixture
        >>> study = converge(DEQ("relu"), Mixture(), [60, 90, 120], rng=np.random.default_rng(0), draws=3)
        >>> study.errors.shape, study.verdict
        ((3, 3), 'undecided')
    """
    if against not in ("p", "m"):
        raise ValueError(f'errors fall against "p" (dimensions) or "m" (widths), not {against!r}')
    _one_of(weights, ENTRY_LAWS, "law of weights")
    draws = _whole(draws, "draws", 2)
    _require(sizes, Iterable, "sizes must be a list of whole numbers, such as [60, 90, 120]")
    ladder = tuple(sorted({_whole(size, "a size") for size in sizes}))
    if len(ladder) < _FEWEST_SIZES:
        raise ValueError(f"sizes must be {_FEWEST_SIZES} different ones or more, not {list(ladder)}")
    which, study = Kernel.read(kernel), _study(deq, mixture, rng)
    activation = deq.activation

    def error(size: int, index: int) -> float:
        if against == "p":
            return distance_to_equivalent(study, activation, which, Cell(size, index)).error
        return distance_to_limit(study, activation, which, Cell(mixture.p, index), size, weights).error

    errors = np.array([[error(size, index) for index in range(draws)] for size in ladder])
    report = report_rate(ladder, errors, rng, symbol=against)
    return Convergence(deq, mixture, which, against, ladder, errors, report)


def match(
    deq: DEQ,
    kernel: str = Kernel.CK,
    *,
    family: str | None = None,
    layers: int | None = None,
    rates: str | None = None,
    digits: int = 15,
) -> Match:
    """Find an explicit network with the kernel of a DEQ, with proof, or prove that a family has none.

    Args:
        deq: the model; the network matches at its tau_0.
        kernel: which kernel, by name.
        family: of the layers: one of ``theory.matching.FAMILY_NAMES``; None lets the DEQ decide.
        layers: number of hidden layers; None for what suits the family.
        rates: how an NTK's network is trained: "one" learning rate for all weights, or "per-layer"; None is one rate,
            and a rate for each weight matrix where that does not match.
        digits: significant digits of the parameters.

    Raises:
        DesignError: a family, rates or a kernel that is not offered; UndecidedDesignError where nothing is proved.
        EquilibriumError: the DEQ has no stable equilibrium.

    Example:
        >>> found = match(DEQ("tanh", "1/5"))
        >>> found
        Match(tanh, ck: exact, one hard_tanh layer)
          ExplicitNetwork(hard_tanh(a=0.764297, c=1.19649), tau0=1)
        >>> {name: round(float(value), 6) for name, value in found.network.layers[0].parameters.items()}
        {'a': 0.764297, 'c': 1.196485}
    """
    which = Kernel.read(kernel)
    layers = None if layers is None else _whole(layers, "layers")
    found = design(
        _model(deq), kernel=which, family=family, layers=layers, rates=rates, digits=_whole(digits, "digits")
    )
    return Match(deq, which, found, _implicit)


def check(claim: str, deq: DEQ, *, rng: np.random.Generator | None = None, profile: str = "quick") -> Verdict:
    """Check one claim of the ledger for a DEQ: derived, certified, or tested on exact kernels of random data.

    Args:
        claim: one of ``deqverify.CLAIMS``.
        deq: the model; the data and tau_0 are the ledger's own, and claims on one activation, such as limit-unstable,
            are checked on theirs.
        rng: gives the seed of the data; claims that are decided without random data need none.
        profile: how much work: "quick", "default" or "full".

    Returns:
        The verdict; of several, as on several data sets, one that is not as expected where there is one.

    Raises:
        ValueError: an unknown claim or profile, weights that are not rational, or no generator where one is needed.

    Example:
        >>> verdict = check("equilibrium", DEQ("tanh", "1/5"))
        >>> verdict.kind.value, verdict.as_expected
        ('certified', True)
    """
    from numerics.ledger import PROFILES, Plan, checks_for, judge, run_task, tasks_for
    from theory.activations import resolve

    _one_of(claim, CLAIMS, "claim")
    _one_of(profile, PROFILES, "profile")
    _model(deq)
    if not (deq.sigma_a2.is_Rational and deq.sigma_b2.is_Rational):
        raise ValueError(f"the ledger's weights are fractions, not {deq.sigma_a2} and {deq.sigma_b2}")
    seed = 0 if rng is None else int(_generator(rng).integers(_SEEDS))
    text = deq.activation.name
    if not text.isidentifier() or resolve(text).with_parameters({}) != deq.activation:
        text = str(deq.activation.expr)
    plan = Plan(PROFILES[profile], seed, str(deq.sigma_a2), str(deq.sigma_b2), activations=(text,))
    checks = checks_for([claim])
    tasks = tasks_for(checks, plan)
    if rng is None and any("seed" in task.arguments for task in tasks):
        raise ValueError(f"{claim} is tested on random data: pass rng, a numpy.random.Generator")
    results = {task.name: run_task(task) for task in tasks}
    verdicts = judge(checks, plan, results, [claim])
    return next((one for one in verdicts if not one.as_expected), verdicts[0])


def latex(deq: DEQ, digits: int = 10) -> str:
    r"""LaTeX of all constants of a DEQ, every digit proved: an ``aligned`` block, which needs amsmath.

    Args:
        deq: the model.
        digits: significant digits at most; a constant that is not certified is marked.

    Raises:
        EquilibriumError: no stable equilibrium is reached from tau_0.

    Example:
        >>> print(latex(DEQ("relu", "1/5"), digits=5).splitlines()[1])
        \tau_* &= 0.92657 \\
    """
    return certify(deq, digits).latex(digits)
