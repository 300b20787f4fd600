"""What the front door returns where the lower floors have no type for it: each shows itself and draws itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from numerics.arrays import Array
from numerics.display import axes_or_new, html_table
from numerics.experiments import (
    DataDiagnostics,
    DataStudy,
    Equivalent,
    MeasuredSpectrum,
    OutlierSummary,
    RateReport,
    Readout,
    Scores,
    equivalent_name,
)
from numerics.kernels import explicit_kernels
from numerics.linalg import gram_matrix
from numerics.parameters import as_array
from numerics.publish import convergence_figure, draw_eigenvalues, draw_spectrum
from numerics.spectrum import LawOfKernel
from theory.equations import DEQ
from theory.kernels import Kernel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from deqverify.mixtures import Mixture
    from numerics.data import Dataset
    from numerics.matching import DataDesign, Design, ExplicitNetwork

__all__ = [
    "Convergence",
    "DataSpectrum",
    "KernelMatrices",
    "KernelPair",
    "LearningComparison",
    "Match",
    "SpectrumComparison",
    "gram_of_rows",
]

#: Makes the DEQ's kernels at a Gram matrix, with their residual.
Implicit = Callable[[DEQ, Array, Sequence[Kernel]], tuple[dict[Kernel, Array], float]]

#: Samples up to here, and down to its inverse, have squares that float64 holds, and products of these.
_LARGEST_ENTRY = 1e70


def gram_of_rows(X: ArrayLike) -> Array:
    """S = X X^T/p of samples in rows.

    Args:
        X: (n, p) array.

    Raises:
        ValueError: it is no such array of finite numbers.
    """
    rows = _rows(X)
    return gram_matrix(rows.T / np.sqrt(rows.shape[1]))


def _rows(X: ArrayLike) -> Array:
    """An (n, p) array of finite numbers."""
    rows = as_array(X, "X")
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"X must be an (n, p) array of finite numbers, a sample a row, not one of shape {rows.shape}")
    wrong = np.argwhere(~np.isfinite(rows))
    if wrong.size:
        row, column = wrong[0].tolist()
        raise ValueError(
            f"X must be an (n, p) array of finite numbers, and number {column} of sample {row} is {rows[row, column]:g}"
        )
    return rows


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer)


def _check_size(rows: Array) -> None:
    """Refuse zeros, and samples whose squares float64 does not hold."""
    largest = float(np.abs(rows).max())
    if largest == 0:
        raise ValueError("X must have samples that are not all zero")
    if not 1 / _LARGEST_ENTRY <= largest <= _LARGEST_ENTRY:
        raise ValueError(
            f"X must have a largest entry from {1 / _LARGEST_ENTRY:g} to {_LARGEST_ENTRY:g}, not {largest:g}: divide X "
            "by one number"
        )


@dataclass(frozen=True, repr=False, eq=False)
class KernelMatrices:
    """Exact kernels of one data matrix.

    Attributes:
        deq: the model, with the tau_0 at which its activation is centred.
        matrices: (n, n) arrays by kernel.
        tau0: input scale.
        reading: "empirical" for sqrt(tr S/n), or "given".
        residual: of the entrywise fixed point, the largest.

    Example:
        >>> import deqverify as dv, numpy as np
        >>> found = dv.kernels(dv.DEQ("tanh"), np.eye(3), tau0=1)
        >>> found["ck"].shape
        (3, 3)
    """

    deq: DEQ
    matrices: Mapping[Kernel, Array]
    tau0: float
    reading: str
    residual: float

    def __getitem__(self, kernel: str) -> Array:
        """Return the (n, n) matrix of a kernel, by its name."""
        which = Kernel.read(kernel)
        if which not in self.matrices:
            raise KeyError(f"{which} was not asked for; here are {', '.join(self.matrices)}")
        return self.matrices[which]

    def __iter__(self) -> Any:
        return iter(self.matrices)

    def __repr__(self) -> str:
        n = len(next(iter(self.matrices.values())))
        return f"KernelMatrices({', '.join(self.matrices)}: n = {n}, tau0 = {self.tau0:.6g} ({self.reading}))"

    def _repr_html_(self) -> str:
        rows = [(k, f"{np.trace(m) / len(m):.6g}", f"{np.linalg.norm(m, 2):.6g}") for k, m in self.matrices.items()]
        n = len(next(iter(self.matrices.values())))
        caption = f"{self.deq.activation.name}: n = {n}, tau0 = {self.tau0:.6g} ({self.reading})"
        return html_table(caption, ("kernel", "mean of the diagonal", "operator norm"), rows)


@dataclass(frozen=True, repr=False, eq=False)
class SpectrumComparison:
    """A predicted spectrum, and measured ones beside it.

    Attributes:
        deq: the model.
        mixture: of the data.
        kernel: whose spectrum.
        width: neurons of the finite networks, or None for the exact kernel.
        law: the prediction.
        draws: what was measured, one a draw.
        outliers: isolated eigenvalues over the draws.

    Example:
        >>> import deqverify as dv, numpy as np
        >>> dv.spectrum(dv.DEQ("tanh"), dv.Mixture(p=100, means=0, cov_shift=0), rng=np.random.default_rng(0))
        SpectrumComparison(tanh, ck: p = 100, n = 80, 1 draw)
          support [0.0288, 1.26]; isolated: predicted none, measured none
          Kolmogorov distance 0.0294, operator norm of kernel less equivalent 0.0918
    """

    deq: DEQ
    mixture: Mixture
    kernel: Kernel
    width: int | None
    law: LawOfKernel
    draws: tuple[MeasuredSpectrum, ...]
    outliers: OutlierSummary

    @property
    def isolated(self) -> Array:
        """Isolated eigenvalues, means over the draws: a (k,) array, descending."""
        return self.outliers.mean

    @property
    def ks_distance(self) -> float:
        """Kolmogorov distance of the bulk to the law, mean over the draws."""
        return float(np.mean([draw.ks_distance for draw in self.draws]))

    @property
    def opnorm_error(self) -> float:
        """Operator norm of kernel less equivalent, mean over the draws."""
        return float(np.mean([draw.opnorm_error for draw in self.draws]))

    @property
    def _title(self) -> str:
        count = "1 draw" if len(self.draws) == 1 else f"{len(self.draws)} draws"
        network = "" if self.width is None else f", m = {self.width}"
        p, n = self.mixture.p, self.law.population.samples
        return f"{self.deq.activation.name}, {self.kernel}: p = {p}, n = {n}{network}, {count}"

    def __repr__(self) -> str:
        support = ", ".join(f"[{left:.3g}, {right:.3g}]" for left, right in self.law.edges)
        predicted, measured = (
            ", ".join(f"{value:.4g}" for value in values) or "none"
            for values in (self.law.outlier_values, self.isolated)
        )
        return (
            f"SpectrumComparison({self._title})\n"
            f"  support {support}; isolated: predicted {predicted}, measured {measured}\n"
            f"  Kolmogorov distance {self.ks_distance:.3g}, operator norm of kernel less equivalent "
            f"{self.opnorm_error:.3g}"
        )

    def _repr_html_(self) -> str:
        found = self.outliers.match
        rows = [
            (f"{predicted:.6g}", f"{measured:.6g}", f"{error:+.2%}")
            for (predicted, measured), error in zip(found.pairs, found.relative_errors, strict=True)
        ]
        rows += [(f"{value:.6g}", "-", "-") for value in found.missing]
        rows += [("-", f"{value:.6g}", "-") for value in found.unexpected]
        return html_table(f"isolated eigenvalues of {self._title}", ("predicted", "measured", "relative error"), rows)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the measured eigenvalues under the predicted density; isolated ones are marks on the foot.

        Args:
            ax: Matplotlib axes; those of a new figure by default.

        Raises:
            ValueError: spectra that were estimated, too large to be diagonalised.
        """
        if any(draw.estimate is not None for draw in self.draws):
            raise ValueError("only spectra that were diagonalised are drawn here; a smaller p is accepted")
        axes = axes_or_new(ax)
        values, apart = (
            np.concatenate([getattr(draw, name) for draw in self.draws]) for name in ("eigenvalues", "isolated")
        )
        label = "exact kernel" if self.width is None else f"network of {self.width} neurons"
        draw_spectrum(axes, self.law, values, apart, draws=len(self.draws), label=label)
        axes.set_title(self._title, fontsize=10)
        return axes


@dataclass(frozen=True, repr=False, eq=False)
class LearningComparison:
    """What several learners are predicted to learn, and what they learned on draws.

    Attributes:
        deq: the model.
        mixture: of the data.
        kernel: whose readouts.
        readout: ridge regression or gradient flow.
        width: neurons of the finite networks, or None for the exact kernel.
        predicted: asymptotic scores by learner, None where they are not known.
        measured: scores by learner, one a draw.

    Example:
        >>> import deqverify as dv, numpy as np
        >>> dv.learn(dv.DEQ("tanh"), dv.Mixture(p=60), learners=("deq",), draws=2, rng=np.random.default_rng(0))
        LearningComparison(tanh, ck: p = 60, ridge 0.1, 2 draws)
          test error, predicted and measured: deq 0.243 0.241
    """

    deq: DEQ
    mixture: Mixture
    kernel: Kernel
    readout: Readout
    width: int | None
    predicted: Mapping[str, Scores | None]
    measured: Mapping[str, tuple[Scores, ...]]

    def mean(self, learner: str, score: str = "test_error") -> float:
        """Mean of a score over the draws.

        Args:
            learner: one of those compared.
            score: the name of a field of ``Scores``.
        """
        return float(np.mean([getattr(draw, score) for draw in self.measured[learner]]))

    @property
    def _title(self) -> str:
        count = len(next(iter(self.measured.values())))
        network = "" if self.width is None else f", m = {self.width}"
        draws = "1 draw" if count == 1 else f"{count} draws"
        model = f"{self.deq.activation.name}, {self.kernel}: p = {self.mixture.p}{network}"
        return f"{model}, {self.readout.kind} {self.readout.value:g}, {draws}"

    def _rows(self, score: str) -> list[tuple[str, str, str]]:
        rows = []
        for learner, known in self.predicted.items():
            expected = "-" if known is None else f"{getattr(known, score):.3g}"
            rows.append((learner, expected, f"{self.mean(learner, score):.3g}"))
        return rows

    def __repr__(self) -> str:
        errors = ", ".join(" ".join(row) for row in self._rows("test_error"))
        return f"LearningComparison({self._title})\n  test error, predicted and measured: {errors}"

    def _repr_html_(self) -> str:
        rows = [(*one, *two[1:]) for one, two in zip(self._rows("test_error"), self._rows("test_mse"), strict=True)]
        heads = ("learner", "test error, predicted", "measured", "test mean square, predicted", "measured")
        return html_table(self._title, heads, rows)


@dataclass(frozen=True, repr=False, eq=False)
class DataSpectrum:
    """A kernel on data of one's own, its equivalents, and a Gaussian twin beside them.

    Attributes:
        deq: the model.
        data: the samples, scaled so that the mean of ||x||^2 is 1.
        kernel: whose spectrum.
        study: diagnostics, errors and eigenvalues, of the data and of the twin.

    Example:
        >>> import deqverify as dv, numpy as np
        >>> rng = np.random.default_rng(0)
        >>> data = dv.Dataset.from_arrays(rng.standard_normal((60, 400)), [0, 1] * 30, name="noise")
        >>> found = dv.spectrum(dv.DEQ("tanh"), data, rng=rng)
        >>> found.advice.split(":")[0], round(found.diagnostics.norm_spread, 2)
        ('Gbar can be trusted here', 0.07)
    """

    deq: DEQ
    data: Dataset
    kernel: Kernel
    study: DataStudy

    @property
    def advice(self) -> str:
        """Which equivalent can be trusted, in one sentence."""
        return self.study.advice

    @property
    def diagnostics(self) -> DataDiagnostics:
        """What the data are like."""
        return self.study.data.diagnostics

    @property
    def errors(self) -> Mapping[Equivalent, float]:
        """Operator norms of kernel less equivalent, relative to the kernel's."""
        return self.study.data.errors

    @property
    def twin_errors(self) -> Mapping[Equivalent, float]:
        """The same on Gaussian samples of the same class means and covariances."""
        return self.study.twin.errors

    @property
    def _title(self) -> str:
        return f"{self.deq.activation.name}, {self.kernel} on {self.data.name}: n = {self.data.n}, p = {self.data.p}"

    def __repr__(self) -> str:
        return f"DataSpectrum({self._title})\n  {self.advice}"

    def _repr_html_(self) -> str:
        rows = [
            (equivalent_name(each, self.kernel), f"{self.errors[each]:.2%}", f"{self.twin_errors[each]:.2%}")
            for each in Equivalent
        ]
        return html_table(f"{self._title}. {self.advice}", ("equivalent", "error on the data", "on a twin"), rows)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the eigenvalues of data, twin and equivalents by rank.

        Args:
            ax: Matplotlib axes; those of a new figure by default.
        """
        axes = axes_or_new(ax)
        measured = {"data, exact kernel": self.study.data.spectrum, "Gaussian twin": self.study.twin.spectrum}
        spectra = self.study.data.spectra.items()
        draw_eigenvalues(axes, measured, {equivalent_name(each, self.kernel): values for each, values in spectra})
        axes.legend()
        axes.set_title(self._title, fontsize=10)
        return axes


@dataclass(frozen=True, repr=False, eq=False)
class Convergence:
    """Errors over a ladder of sizes, and what they say of the rate -1/2.

    Attributes:
        deq: the model.
        mixture: of the data.
        kernel: whose error.
        against: "p" or "m".
        sizes: ascending.
        errors: (m, draws) array, in operator norm, a row a size.
        report: the test of the rate, with the slopes and what would decide it.

    Example:
        >>> import deqverify as dv, numpy as np
        >>> rng, mixture = np.random.default_rng(0), dv.Mixture(means=0)
        >>> dv.converge(dv.DEQ("relu"), mixture, [50, 80, 120], rng=rng, draws=2).sizes
        (50, 80, 120)
    """

    deq: DEQ
    mixture: Mixture
    kernel: Kernel
    against: str
    sizes: tuple[int, ...]
    errors: Array
    report: RateReport

    @property
    def verdict(self) -> str:
        """On the rate: "supported", "refuted" or "undecided"."""
        return str(self.report.verdict)

    def __repr__(self) -> str:
        means = ", ".join(f"{value:.3g}" for value in self.errors.mean(axis=1))
        sizes = ", ".join(map(str, self.sizes))
        fit = self.report.fit
        slope = "" if fit is None else f"; slope {fit.plain.slope:.2f}"
        return (
            f"Convergence({self.deq.activation.name}, {self.kernel}: {self.verdict}{slope})\n"
            f"  {self.against} = {sizes}: mean errors {means} over {self.errors.shape[1]} draws"
        )

    def _repr_html_(self) -> str:
        draws = self.errors.shape[1]
        spreads = self.errors.std(axis=1, ddof=1) / np.sqrt(draws) if draws > 1 else np.full(len(self.sizes), np.nan)
        means = self.errors.mean(axis=1)
        rows = [(str(p), f"{e:.4g}", f"{s:.1g}") for p, e, s in zip(self.sizes, means, spreads, strict=True)]
        caption = f"{self.deq.activation.name}, {self.kernel}: {self.verdict}. {self.report.sentence}"
        return html_table(caption, (self.against, "mean error", "standard error"), rows)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the errors on logarithmic axes, with the law that was tested and its verdict.

        Args:
            ax: Matplotlib axes; those of a new figure by default.
        """
        axes = axes_or_new(ax)
        name = self.deq.activation.name
        title = f"{self.kernel.upper()}: error against {self.against}"
        convergence_figure(
            self.sizes, {name: list(self.errors)}, {name: self.report}, symbol=self.against, title=title, axes=axes
        )
        return axes


@dataclass(frozen=True, repr=False, eq=False)
class KernelPair:
    """A DEQ's kernel, and that of an explicit network, on the same samples.

    Attributes:
        kernel: which kernel.
        deq: (n, n) array, the DEQ's.
        network: (n, n) array, the network's.

    Example:
        >>> import numpy as np
        >>> KernelPair(Kernel.CK, np.eye(2), np.eye(2)).difference
        0.0
    """

    kernel: Kernel
    deq: Array
    network: Array

    @property
    def difference(self) -> float:
        """Operator norm of the difference, relative to the DEQ's kernel."""
        return float(np.linalg.norm(self.deq - self.network, 2) / np.linalg.norm(self.deq, 2))

    def __repr__(self) -> str:
        return f"KernelPair({self.kernel}: n = {len(self.deq)}, relative difference {self.difference:.3g})"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the entries off the diagonal of one kernel against those of the other.

        Args:
            ax: Matplotlib axes; those of a new figure by default.
        """
        axes = axes_or_new(ax)
        above = np.triu_indices(len(self.deq), 1)
        points: dict[str, Any] = {"ms": 3, "alpha": 0.5, "rasterized": True, "zorder": 3}
        axes.plot(self.deq[above], self.network[above], ".", label="pairs of samples", **points)
        axes.axline((0, 0), slope=1, color="black", lw=0.9, label="equal")
        axes.set(xlabel=f"DEQ, {self.kernel.upper()}", ylabel="explicit network")
        axes.legend()
        return axes


@dataclass(frozen=True, repr=False, eq=False)
class Match:
    """The explicit network that has a DEQ's kernel, or the nearest one of a family that has none.

    Attributes:
        deq: the model.
        kernel: which kernel.
        design: the network with its proof.

    Example:
        >>> import deqverify as dv
        >>> dv.match(dv.DEQ("relu")).exact
        True
    """

    deq: DEQ
    kernel: Kernel
    design: Design
    _implicit: Implicit = field(repr=False)

    @property
    def exact(self) -> bool:
        """Whether the network is proved to match."""
        return str(self.design.status) == "exact"

    @property
    def network(self) -> ExplicitNetwork:
        """The network: its layers, their activations and parameters."""
        return self.design.network

    def __repr__(self) -> str:
        count = len(self.network.layers)
        layers = f"one {self.design.family} layer" if count == 1 else f"{count} {self.design.family} layers"
        status = "exact" if self.exact else f"infeasible, residual at least {float(self.design.residual_bound):.3g}"
        trained = f"\n  {self.design.training}" if self.network.rates else ""
        return f"Match({self.deq.activation.name}, {self.kernel}: {status}, {layers})\n  {self.network}{trained}"

    def _repr_html_(self) -> str:
        return self.design._repr_html_()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the activations of the network's layers.

        Args:
            ax: Matplotlib axes; those of a new figure by default.
        """
        return self.design.plot(ax)

    def for_data(
        self, X: ArrayLike | Dataset, *, samples: int = 400, rng: np.random.Generator | None = None
    ) -> DataDesign:
        """Of all networks that match, choose the one whose exact kernel is nearest on data.

        All of them have the DEQ's four numbers at the data's input scale sqrt(tr S/n), which takes the place of the
        DEQ's own tau_0; at the norms and correlations that occur they differ.  Beside them stand networks that need no
        design: one layer of the DEQ's activation, that layer times the best number, and the DEQ stopped after one step
        and after two.

        Args:
            X: (n, p) array, a sample in each row, S = X X^T/p; or a ``Dataset``, whose S = X X^T.
            samples: how many of them are compared, pair by pair, 2 to 2000.
            rng: draws them, where there are more.

        Raises:
            ValueError: X is no such array, too few or too many samples, or no generator where one is needed.
            DesignError: no family matches at this input scale.
            KernelConvergenceError: an entry has no stable fixed point, or an NTK does not exist.

        Example:
            >>> import deqverify as dv, numpy as np
            >>> X = np.random.default_rng(0).standard_normal((60, 20))
            >>> dv.match(dv.DEQ("relu", "4/5")).for_data(X).chosen.name
            '2 x leaky_relu, solution 1'
        """
        from numerics.data import Dataset
        from numerics.matching import LARGEST_ON_DATA, design_for_data

        rows = X.samples * np.sqrt(X.p) if isinstance(X, Dataset) else _rows(X)
        if not _is_whole(samples) or not 2 <= samples <= LARGEST_ON_DATA:
            raise ValueError(f"samples must be a whole number from 2 to {LARGEST_ON_DATA}, not {samples}")
        if len(rows) > samples:
            if not isinstance(rng, np.random.Generator):
                raise ValueError(f"{samples} of {len(rows)} samples are drawn: pass rng, a numpy.random.Generator")
            rows = rows[np.sort(rng.choice(len(rows), samples, replace=False))]
        _check_size(rows)
        gram = gram_of_rows(rows)
        scale = float(np.sqrt(np.trace(gram) / len(gram)))
        deq = DEQ(self.deq.activation, self.deq.sigma_a2, self.deq.sigma_b2, scale)
        return design_for_data(deq, gram, kernel=self.kernel)

    def kernels(self, X: ArrayLike) -> KernelPair:
        """The DEQ's kernel and the network's on the same samples, both centred at the DEQ's tau_0.

        They are near each other where tr S/n, S = X X^T/p, is near tau_0^2, and ever nearer as p grows.

        Args:
            X: (n, p) array, a sample in each row.

        Raises:
            ValueError: X is not an (n, p) array of finite numbers.
            KernelConvergenceError: an entry has no stable fixed point, or an NTK does not exist.
        """
        gram, layers = gram_of_rows(X), self.network.pointwise()
        own = self._implicit(self.deq, gram, [self.kernel])[0][self.kernel]
        which = Kernel.NTK_ALL if self.kernel.is_tangent else Kernel.CK
        other = explicit_kernels(gram, layers, kernels=(which,), rates=self.network.float_rates())[which]
        return KernelPair(self.kernel, own, other)
