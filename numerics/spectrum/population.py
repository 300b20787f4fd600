"""What the spectral law needs of a Gaussian mixture: class proportions, covariances as functionals, means, t and T.

Theory sheet, section 5, works with q_a = -1 / (z (1 + delta_a)).  In these the resolvent of the noise is
-z Qt(z) = R(q) = (I_p + sum_b (n_b/p) q_b C_b)^-1, and all that is asked of the covariances is tr C_a R,
tr C_a R C_b R, the number of negative eigenvalues of R, and M^T (I + z Qt) M = M^T (I - R) M.  Covariances with a
common eigenbasis are reduced to their eigenvalues, equal directions counted once: for isotropic ones the cost is
independent of p.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numerics.arrays import Array
from numerics.data import Covariance, GaussianMixture

__all__ = [
    "CommutingCovariances",
    "DenseCovariances",
    "Population",
]

#: Real or complex.
Field = NDArray[Any]
#: Entries off the common eigenbasis, relative to the largest covariance, that count as rounding.
_COMMUTES = 1e-10
#: Eigenvalues of a covariance, relative to its largest, that count as zero.
_NULL = 1e-12
#: With more kinds of null space than this the rank's minimum over subsets would take too long.
_MOST_PATTERNS = 16


@dataclass(frozen=True)
class CommutingCovariances:
    """Covariances with a common eigenbasis, equal directions together.

    Attributes:
        values: (R, K) array, eigenvalue of C_a in each kind of direction.
        weights: (R,) array, number of such directions over p.
        mean_grams: (R, L, L) array, L = K or one more, M^T P_r M, P_r projecting on the directions of one kind.
        proportions: (K,) array, n_a / p.
    """

    values: Array
    weights: Array
    mean_grams: Array
    proportions: Array

    @property
    def directions(self) -> int:
        """How many columns M has: a mean of each class, and a direction beside them if there is one."""
        return int(self.mean_grams.shape[-1])

    def _slopes(self, q: Field) -> Field:
        """Eigenvalues of sum_b (n_b/p) q_b C_b, shape (..., R)."""
        return np.asarray((q * self.proportions) @ self.values.T)

    def evaluate(self, q: Field) -> tuple[Field, Field]:
        """tr C_a R / p, shape (..., K), and tr(C_a R C_b R) / p, shape (..., K, K), for q of shape (..., K)."""
        resolvent = 1 / (1 + self._slopes(q))
        rows, classes = self.values.shape
        weighted = self.weights[:, None] * self.values
        products = (weighted[:, :, None] * self.values[:, None, :]).reshape(rows, classes**2)
        theta = (resolvent**2 @ products).reshape(*q.shape, classes)
        return resolvent @ weighted, theta

    def negative_rows(self, q: Array) -> NDArray[np.bool_]:
        """Kinds of direction in which R(q) is negative, q real of shape (K,)."""
        return np.asarray(1 + self._slopes(q) < 0)

    def negative(self, q: Array) -> float:
        """Negative eigenvalues of R(q) over p, q real of shape (K,)."""
        return float(self.weights @ self.negative_rows(q))

    def joint(self, q: Field, other: Field) -> Field:
        """tr(C_a R(q) C_b R(q')) / p, shape (..., K, K), for q and q' of shapes that broadcast to (..., K)."""
        resolvents = 1 / ((1 + self._slopes(q)) * (1 + self._slopes(other)))
        rows, classes = self.values.shape
        products = (self.weights[:, None, None] * self.values[:, :, None] * self.values[:, None, :]).reshape(rows, -1)
        return np.asarray((resolvents @ products).reshape(*resolvents.shape[:-1], classes, classes))

    def mean_form(self, q: Field) -> Field:
        """M^T (I - R) M, shape (..., directions, directions), for q of shape (..., K)."""
        slopes = self._slopes(q)
        return np.asarray(np.einsum("...r,rab->...ab", slopes / (1 + slopes), self.mean_grams))

    def moved_mean_form(self, q: Field, other: Field, rates: Field) -> Field:
        """M^T R(q) (sum_b (n_b/p) rates_b C_b) R(q') M; with q' = q the derivative of `mean_form`."""
        share = self._slopes(rates) / ((1 + self._slopes(q)) * (1 + self._slopes(other)))
        return np.asarray(np.einsum("...r,rab->...ab", share, self.mean_grams))

    def range_dimension(self, classes: tuple[int, ...]) -> float:
        """Dimension of the sum of the ranges of some classes' covariances, over p."""
        positive = self.values > _NULL * self.values.max(initial=0.0)
        return float(self.weights @ positive[:, classes].any(axis=1))

    def null_patterns(self) -> list[tuple[int, ...]]:
        """Classes grouped by equal null spaces."""
        positive = self.values > _NULL * self.values.max(initial=0.0)
        groups: dict[bytes, list[int]] = {}
        for a in range(self.values.shape[1]):
            groups.setdefault(positive[:, a].tobytes(), []).append(a)
        return [tuple(members) for members in groups.values()]


@dataclass(frozen=True)
class DenseCovariances:
    """Covariances without a common eigenbasis: every evaluation costs O(K p^3).

    Attributes:
        matrices: (K, p, p) array, C_a.
        means: (p, L) array, L = K or one more, M.
        proportions: (K,) array, n_a / p.
    """

    matrices: Array
    means: Array
    proportions: Array

    @property
    def directions(self) -> int:
        """How many columns M has: a mean of each class, and a direction beside them if there is one."""
        return int(self.means.shape[1])

    def _inverse(self, q: Field) -> Field:
        p = self.matrices.shape[1]
        return np.asarray(np.linalg.inv(np.eye(p) + np.tensordot(q * self.proportions, self.matrices, axes=1)))

    def evaluate(self, q: Field) -> tuple[Field, Field]:
        """tr C_a R / p, shape (..., K), and tr(C_a R C_b R) / p, shape (..., K, K), for q of shape (..., K)."""
        classes, p = self.matrices.shape[:2]
        flat = q.reshape(-1, classes)
        traces, theta = np.empty(flat.shape, q.dtype), np.empty((*flat.shape, classes), q.dtype)
        for row, point in enumerate(flat):
            products = self.matrices @ self._inverse(point)
            traces[row] = np.trace(products, axis1=1, axis2=2)
            theta[row] = np.einsum("aij,bji->ab", products, products, optimize=True)
        return traces.reshape(q.shape) / p, theta.reshape(*q.shape, classes) / p

    def negative(self, q: Array) -> float:
        """Negative eigenvalues of R(q) over p, q real of shape (K,)."""
        p = self.matrices.shape[1]
        matrix = np.eye(p) + np.tensordot(q * self.proportions, self.matrices, axes=1)
        return float(np.mean(np.linalg.eigvalsh(matrix) < 0))

    def joint(self, q: Field, other: Field) -> Field:
        """tr(C_a R(q) C_b R(q')) / p, shape (..., K, K), for q and q' of shapes that broadcast to (..., K)."""
        one, two = np.broadcast_arrays(q, other)
        classes, p = self.matrices.shape[:2]
        theta = np.empty((*one.shape, classes), np.result_type(q, other))
        for place in np.ndindex(one.shape[:-1]):
            left, right = self.matrices @ self._inverse(one[place]), self.matrices @ self._inverse(two[place])
            theta[place] = np.einsum("aij,bji->ab", left, right, optimize=True)
        return np.asarray(theta / p)

    def mean_form(self, q: Field) -> Field:
        """M^T (I - R) M, shape (..., directions, directions), for q of shape (..., K)."""
        form = np.empty((*q.shape[:-1], self.directions, self.directions), q.dtype)
        for place in np.ndindex(q.shape[:-1]):
            form[place] = self.means.T @ (self.means - self._inverse(q[place]) @ self.means)
        return form

    def moved_mean_form(self, q: Field, other: Field, rates: Field) -> Field:
        """M^T R(q) (sum_b (n_b/p) rates_b C_b) R(q') M; with q' = q the derivative of `mean_form`."""
        one, two, moves = np.broadcast_arrays(q, other, rates)
        form = np.empty((*one.shape[:-1], self.directions, self.directions), np.result_type(q, other, rates))
        for place in np.ndindex(one.shape[:-1]):
            change = np.tensordot(moves[place] * self.proportions, self.matrices, axes=1)
            left = (self._inverse(one[place]) @ self.means).T
            form[place] = left @ change @ (self._inverse(two[place]) @ self.means)
        return form

    def range_dimension(self, classes: tuple[int, ...]) -> float:
        """Dimension of the sum of the ranges of some classes' covariances, over p."""
        spectrum = np.linalg.eigvalsh(self.matrices[list(classes)].sum(axis=0))
        return float(np.mean(spectrum > _NULL * max(spectrum[-1], 0.0) * spectrum.size))

    def null_patterns(self) -> list[tuple[int, ...]]:
        """Classes grouped by equal null spaces: here each apart, unless all are nonsingular."""
        p, classes = self.matrices.shape[1], range(self.matrices.shape[0])
        if all(round(self.range_dimension((a,)) * p) == p for a in classes):
            return [tuple(classes)]
        return [(a,) for a in classes]


@dataclass(frozen=True)
class Population:
    """A mixture reduced to what its kernels' limiting spectra depend on.

    Attributes:
        samples: int, n.
        dimension: int, p.
        proportions: (K,) array, n_a / p (their sum is n / p).
        covariances: of the bulk.
        mean_gram: (K, K) array, M^T M.
        t: (K,) array, tr(C_a - C°) / sqrt(p).
        T: (K, K) array, tr(C_a C_b) / p.
        norm_energies: (K,) array, p E psi_i^2 of a sample of each class, psi_i = ||w_i||^2 - tr C_a / p; 2 T_aa for
            Gaussian noise.
        tau0: float, sqrt(tr C° / p), the population's reading.
        spike_values: (k, K) array, eigenvalues of C_a in directions taken out of the bulk, one a row.
        spike_means: (k, K) array, M^T u of the same directions u.
    """

    samples: int
    dimension: int
    proportions: Array
    covariances: CommutingCovariances | DenseCovariances
    mean_gram: Array
    t: Array
    T: Array
    norm_energies: Array
    tau0: float
    spike_values: Array
    spike_means: Array

    @property
    def classes(self) -> int:
        """K."""
        return int(self.proportions.size)

    @property
    def ratio(self) -> float:
        """n / p."""
        return float(self.proportions.sum())

    @classmethod
    def isotropic(cls, scales: ArrayLike, mean_gram: ArrayLike, sizes: ArrayLike, dimension: int) -> Population:
        """Classes C_a = scales_a I_p of Gaussian noise: nothing here grows with p.

        Args:
            scales: (K,) array, not negative.
            mean_gram: (K, K) array, M^T M.
            sizes: (K,) whole numbers, n_a.
            dimension: p.

        Raises:
            ValueError: shapes that do not fit or numbers out of range.
        """
        level, gram = np.array(scales, dtype=np.float64), np.array(mean_gram, dtype=np.float64)
        counts = np.array(sizes, dtype=np.float64)
        if level.ndim != 1 or counts.shape != level.shape or gram.shape != (level.size, level.size):
            raise ValueError(f"scales {level.shape}, sizes {counts.shape} and mean_gram {gram.shape} do not fit")
        if not (np.all(level >= 0) and np.any(level > 0) and np.all(counts >= 1) and dimension >= 1):
            raise ValueError("scales must not be negative nor all zero, sizes and the dimension be at least 1")
        proportions = counts / dimension
        centre = float(counts @ level) / float(counts.sum())
        return cls(
            samples=int(counts.sum()),
            dimension=dimension,
            proportions=proportions,
            covariances=CommutingCovariances(level[None, :], np.ones(1), gram[None], proportions),
            mean_gram=gram,
            t=np.sqrt(dimension) * (level - centre),
            T=np.outer(level, level),
            norm_energies=2 * level**2,
            tau0=float(np.sqrt(centre)),
            spike_values=np.empty((0, level.size)),
            spike_means=np.empty((0, level.size)),
        )

    @classmethod
    def from_mixture(cls, mixture: GaussianMixture, direction: ArrayLike | None = None) -> Population:
        """Reduce a mixture: isotropic and diagonal covariances, and others that commute, to their eigenvalues.

        The law of the noise enters through the variance of psi alone: resolvents forget all but two moments, and psi
        is not correlated with W for the symmetric laws of `numerics.data.entry_laws`.

        Args:
            mixture: of the data.
            direction: (p,) array, a direction that forms of the covariances know beside the means, as one column more.

        Raises:
            ValueError: covariances that are all zero, or a direction of another length or not finite.
        """
        if mixture.tau0 == 0:
            raise ValueError("the covariances must not all be zero")
        proportions = np.array(mixture.sizes) / mixture.dimension
        known = mixture.means
        if direction is not None:
            beside = np.array(direction, dtype=np.float64)
            if beside.shape != (mixture.dimension,) or not np.all(np.isfinite(beside)):
                raise ValueError(f"a direction must be {mixture.dimension} finite numbers")
            known = np.vstack([mixture.means, beside])
        basis = _common_basis(mixture.covariances)
        covariances: CommutingCovariances | DenseCovariances
        if basis is None:
            matrices = np.array([c.dense() for c in mixture.covariances])
            covariances = DenseCovariances(matrices, known.T.copy(), proportions)
        else:
            covariances = _grouped(*basis, known, proportions)
        return cls(
            samples=mixture.samples,
            dimension=mixture.dimension,
            proportions=proportions,
            covariances=covariances,
            mean_gram=mixture.means @ mixture.means.T,
            t=mixture.trace_shifts,
            T=mixture.trace_products,
            norm_energies=mixture.norm_energies,
            tau0=mixture.tau0,
            spike_values=np.empty((0, mixture.classes)),
            spike_means=np.empty((0, mixture.classes)),
        )

    def with_spikes(self, rows: NDArray[np.intp]) -> Population:
        """The same population with some kinds of direction moved from the bulk to the spikes.

        The means within one kind of direction span at most K of its directions; any orthonormal basis of these does.

        Args:
            rows: (k,) array, the numbers of those kinds.

        Raises:
            ValueError: the covariances have no common eigenbasis.
        """
        if not isinstance(self.covariances, CommutingCovariances):
            raise ValueError("spikes are told from the bulk only for covariances with a common eigenbasis")
        held = self.covariances
        values, means = [self.spike_values], [self.spike_means]
        for row in rows:
            count = round(float(held.weights[row]) * self.dimension)
            level, vectors = np.linalg.eigh(held.mean_grams[row])
            factors = (vectors * np.sqrt(np.clip(level, 0, None))).T[::-1][:count]
            values.append(np.tile(held.values[row], (count, 1)))
            means.append(np.vstack([factors, np.zeros((count - len(factors), self.classes))]))
        kept = np.setdiff1d(np.arange(held.weights.size), rows)
        bulk = replace(held, values=held.values[kept], weights=held.weights[kept], mean_grams=held.mean_grams[kept])
        return replace(self, covariances=bulk, spike_values=np.vstack(values), spike_means=np.vstack(means))

    def rank(self) -> tuple[int, bool]:
        """Rank of the noise W, and whether its smallest nonzero singular values come down to 0 as n, p grow.

        Generic columns in given subspaces have rank min_T (sum_{a not in T} n_a + dim sum_{a in T} range C_a) over sets
        T of classes (Rado).  Where two sets attain it a block of W is square, and its spectrum touches 0.

        Raises:
            ValueError: more than 16 different null spaces.
        """
        groups = self.covariances.null_patterns()
        if len(groups) > _MOST_PATTERNS:
            raise ValueError(f"{len(groups)} classes have different null spaces; at most {_MOST_PATTERNS} are handled")
        counts = []
        for size in range(len(groups) + 1):
            for chosen in combinations(groups, size):
                inside = tuple(a for group in chosen for a in group)
                others = self.ratio - float(self.proportions[list(inside)].sum())
                spanned = self.covariances.range_dimension(inside) if inside else 0.0
                counts.append(round((others + spanned) * self.dimension))
        return min(counts), counts.count(min(counts)) > 1


def _is_diagonal(covariance: Covariance) -> bool:
    """Whether ||C||_F^2 is that of the diagonal alone."""
    return covariance.trace_product(covariance) == float(covariance.diagonal @ covariance.diagonal)


def _common_basis(covariances: tuple[Covariance, ...]) -> tuple[Array, Array | None] | None:
    """Eigenvalues (p, K) in a common eigenbasis and that basis (None: the standard one), or None if there is none."""
    if all(_is_diagonal(c) for c in covariances):
        return np.column_stack([c.diagonal for c in covariances]), None
    matrices = [c.dense() for c in covariances]
    # Generic weights: an eigenspace of the sum is then one of every commuting term.  A coincidence costs only time.
    generic = sum((np.sqrt(2 + 3 * a) * matrix for a, matrix in enumerate(matrices)), np.zeros_like(matrices[0]))
    _, basis = np.linalg.eigh(generic)
    columns = []
    for matrix in matrices:
        rotated = basis.T @ matrix @ basis
        values = np.diagonal(rotated).copy()
        rotated[np.diag_indices_from(rotated)] = 0
        if np.abs(rotated).max() > _COMMUTES * np.abs(matrix).max():
            return None
        columns.append(np.clip(values, 0, None))
    return np.column_stack(columns), basis


def _grouped(values: Array, basis: Array | None, means: Array, proportions: Array) -> CommutingCovariances:
    """Directions with equal eigenvalues together; those computed as eigenvalues are equal up to rounding."""
    p, rows = values.shape[0], means.shape[0]
    rotated = means if basis is None else means @ basis
    if basis is None:
        keys = values
    else:
        step = _COMMUTES * max(float(values.max()), np.finfo(np.float64).tiny)
        keys = np.round(values / step)
    _, index, owner, counts = np.unique(keys, axis=0, return_index=True, return_inverse=True, return_counts=True)
    owner = owner.reshape(-1)
    grams = np.zeros((index.size, rows, rows))
    touched = np.flatnonzero(np.any(rotated != 0, axis=0))
    np.add.at(grams, owner[touched], rotated[:, touched].T[:, :, None] * rotated[:, touched].T[:, None, :])
    return CommutingCovariances(values[index], counts / p, grams, proportions)
