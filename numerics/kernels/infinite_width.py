"""The kernels of networks of infinite width: the conjugate kernel and the NTKs of a DEQ and of an explicit network.

Theory sheet, sections 2 and 4.  The entries are solved in `numerics.kernels.entries`, the NTKs come from the same pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from numerics.arithmetic import Pointwise, as_pointwise
from numerics.arrays import Array
from numerics.kernels.entries import (
    EntryEquations,
    Evidence,
    KernelConvergenceError,
    Tile,
    check_parameters,
    entry_equations,
    solve_tiles,
)
from numerics.kernels.gram import GramBlock
from numerics.moments import quiet
from numerics.parameters import as_array, learning_rates
from theory.kernels import Kernel

__all__ = [
    "EXPLICIT_KERNELS",
    "ExactKernels",
    "explicit_kernels",
    "implicit_kernels",
    "stopped_kernel",
]

#: The kernels of an explicit network: its NTK is that of all parameters.
EXPLICIT_KERNELS = (Kernel.CK, Kernel.NTK_ALL)


@dataclass(frozen=True, eq=False)
class ExactKernels:
    """Kernels of a network in the limit of infinite width, with the evidence for them.

    Attributes:
        matrices: (n, n) array of every kernel that was asked for, symmetric to the last bit, or (r, c) array between
            two sets of samples; ``kernels[Kernel.CK]`` is short for ``kernels.matrices[Kernel.CK]``.
        variances: pre-activation variances: (n,) array of a DEQ's tau_i^2, or (L, n) array, a layer in each row.  Of
            two sets of samples, those of the rows stand first.
        slope_energies: E[phi'(tau_i xi)^2], an array of the same shape; infinite where phi jumps.
        evidence: residual, bounds and counts; those of an explicit network for all layers together.
    """

    matrices: Mapping[Kernel, Array]
    variances: Array
    slope_energies: Array
    evidence: Evidence

    def __getitem__(self, kernel: Kernel) -> Array:
        """Return the (n, n) array of a kernel.

        Raises:
            KeyError: it was not asked for.
        """
        if kernel not in self.matrices:
            raise KeyError(f"the kernels here are {', '.join(self.matrices)}, not {kernel}")
        return self.matrices[kernel]

    def __repr__(self) -> str:
        return (
            f"ExactKernels({', '.join(self.matrices)}; n = {self.variances.shape[-1]}, "
            f"residual {self.evidence.residual:.1e}, truncation at most {self.evidence.truncation_bound:.1e})"
        )


@quiet
def implicit_kernels(
    gram: Array | GramBlock,
    phi: Pointwise,
    sigma_a2: float,
    sigma_b2: float,
    bias: float,
    *,
    kernels: Iterable[Kernel | str] = (Kernel.CK,),
    tolerance: float = 1e-12,
) -> ExactKernels:
    """Implicit-CK and Implicit-NTKs of theory sheet section 2 for any Gram matrix.

    Memory is the arrays asked for and a few tiles.

    Args:
        gram: (n, n) array S = X^T X, symmetric positive semidefinite; or a block of one, for the kernels between two
            sets of samples.
        phi: the activation, uncentred; an `Activation`, a registered name or an expression in x will do, and one with
            a field `dual` (see `numerics.kernels.duals`) brings its closed form.
        sigma_a2: variance of the recurrent weights, nonnegative.
        sigma_b2: variance of the input weights, nonnegative.
        bias: subtracted from phi, E[phi_0(tau_* xi)].
        kernels: which to compute, members of `Kernel` or their names.
        tolerance: relative to sqrt(G_ii G_jj), for the residual and for the truncation of the series.

    Raises:
        ValueError: a parameter out of range, no kernel or one that does not exist, or a Gram matrix that cannot be one.
        KernelConvergenceError: an entry has no stable fixed point, none was reached, or an NTK was asked for that
            does not exist: phi jumps, or sigma_a^2 E[phi'(tau_i xi)^2] >= 1 for some sample.

    Example:
        >>> kernels = implicit_kernels([[1, 0], [0, 1]], "relu", 0, 1, 0, kernels=(Kernel.CK, Kernel.NTK_RECURRENT))
        >>> kernels[Kernel.CK].round(6).tolist()
        [[0.5, 0.159155], [0.159155, 0.5]]
    """
    asked = _asked(kernels, tuple(Kernel), "a DEQ")
    gram, phi = _read(gram), as_pointwise(phi)
    equations = entry_equations(gram, phi, sigma_a2, sigma_b2, bias, tolerance)
    if any(kernel.is_tangent for kernel in asked):
        _require_tangent(equations)
    matrices = {kernel: np.empty(equations.gram.shape) for kernel in asked}
    evidence = [equations.evidence]
    for tile in solve_tiles(equations):
        for kernel, matrix in matrices.items():
            tile.write(matrix, _entries(kernel, tile, sigma_a2))
        evidence.append(tile.evidence)
    return ExactKernels(
        MappingProxyType(matrices),
        equations.diagonal.variances,
        equations.ladder.slope_energy,
        Evidence.of_entries(evidence),
    )


@quiet
def explicit_kernels(
    gram: Array | GramBlock,
    layers: Sequence[tuple[Pointwise, float]],
    *,
    kernels: Iterable[Kernel | str] = (Kernel.CK,),
    rates: Sequence[float] | None = None,
    tolerance: float = 1e-12,
) -> ExactKernels:
    """CK and NTK of an explicit network (theory sheet, section 4) for any Gram matrix.

    Layer by layer, with (u, v) of covariance G_{l-1}, G_0 = S and K_0 = r_0 S,

        G_l = E[phi_l(u) phi_l(v)],    K_l = r_l G_l + K_{l-1} E[phi_l'(u) phi_l'(v)]   (entrywise),

    r_l the learning rate of the weights on layer l's output.

    Args:
        gram: (n, n) array S, or a block of one, for the kernels between two sets of samples.
        layers: (phi_l, bias_l) in order, at least one; the activation of layer l is phi_l - bias_l.
        kernels: which to compute, from `EXPLICIT_KERNELS`: `Kernel.NTK_ALL` is K_L, every layer and the readout
            trained at the given rates.
        rates: learning rates of W_1, W_2, ... and of the readout, 0 where they are frozen; 1 by default.
        tolerance: relative truncation of the series, as for `implicit_kernels`.

    Raises:
        ValueError: no layers, another number of rates or one that is negative, no kernel or one that an explicit
            network does not have, or a Gram matrix that cannot be one.
        KernelConvergenceError: the NTK was asked for, and an activation jumps.

    Example:
        >>> found = explicit_kernels([[1, 0], [0, 1]], [("relu", 0), ("relu", 0)], kernels=(Kernel.NTK_ALL,))
        >>> found[Kernel.NTK_ALL].round(6).tolist()
        [[0.75, 0.171427], [0.171427, 0.75]]
    """
    asked = _asked(kernels, EXPLICIT_KERNELS, "an explicit network")
    if not layers:
        raise ValueError("an explicit network needs at least one layer")
    first_rate, *other_rates = learning_rates(rates, len(layers))
    current = gram = _read(gram)
    inner = gram.inner if isinstance(gram, GramBlock) else gram
    ck = np.empty(inner.shape)
    ntk = first_rate * inner if Kernel.NTK_ALL in asked else None
    variances, slope_energies, evidence = [], [], []
    for (phi, bias), rate in zip(layers, other_rates, strict=True):
        # Without recurrence the fixed point is its own right side.
        equations = entry_equations(current, as_pointwise(phi), 0.0, 1.0, bias, tolerance, checked=current is not gram)
        if ntk is not None:
            _require_tangent(equations)
        layer = [equations.evidence]
        for tile in solve_tiles(equations):
            # From the second layer on ck is overwritten while it is read: a tile is read before it is written, and
            # its mirror image is not read at all.
            tile.write(ck, tile.kernel)
            if ntk is not None:
                tile.write(ntk, rate * tile.kernel + ntk[tile.place] * tile.slope)
            layer.append(tile.evidence)
        current = _layered(gram, ck, equations)
        variances.append(equations.diagonal.variances)
        slope_energies.append(equations.ladder.slope_energy)
        evidence.append(Evidence.of_entries(layer))
    matrices = {kernel: ck if ntk is None or kernel is Kernel.CK else ntk for kernel in asked}
    return ExactKernels(
        MappingProxyType(matrices), np.array(variances), np.array(slope_energies), Evidence.of_layers(evidence)
    )


@quiet
def stopped_kernel(
    gram: Array | GramBlock,
    phi: Pointwise,
    sigma_a2: float,
    sigma_b2: float,
    bias: float,
    steps: int,
    *,
    tolerance: float = 1e-12,
) -> Array:
    """CK of a DEQ whose iteration from h = 0 is stopped after some steps.

    It is that of a weight-tied explicit network with input injection (theory sheet, section 4):

        G_l = E[phi(u) phi(v)],  (u, v) of covariance L_{l-1},   L_0 = sigma_b^2 S,   L_l = sigma_a^2 G_l + sigma_b^2 S.

    Args:
        gram: (n, n) array S, or a block of one, for the kernel between two sets of samples.
        phi: the activation, uncentred, as for `implicit_kernels`.
        sigma_a2: variance of the recurrent weights, nonnegative.
        sigma_b2: variance of the input weights, nonnegative.
        bias: subtracted from phi; the DEQ's own, at its equilibrium.
        steps: how many are taken, at least one.
        tolerance: relative truncation of the series, as for `implicit_kernels`.

    Returns:
        (n, n) array, or (r, c) array for a block.

    Raises:
        ValueError: no steps, a variance out of range, or a Gram matrix that cannot be one.

    Example:
        >>> stopped_kernel([[1, 0], [0, 1]], "relu", 0.8, 1, 0, steps=1).round(6).tolist()
        [[0.5, 0.159155], [0.159155, 0.5]]
    """
    if steps < 1:
        raise ValueError(f"at least one step is taken, not {steps}")
    gram, phi = _read(gram), as_pointwise(phi)
    check_parameters(sigma_a2, sigma_b2, bias, tolerance)
    current = _injected(gram, None, sigma_a2, sigma_b2)
    for step in range(steps):
        equations = entry_equations(current, phi, 0.0, 1.0, bias, tolerance, checked=step > 0)
        kernel = np.empty(equations.gram.shape)
        for tile in solve_tiles(equations):
            tile.write(kernel, tile.kernel)
        current = _injected(gram, _layered(gram, kernel, equations), sigma_a2, sigma_b2)
    return kernel


def _read(gram: Array | GramBlock) -> Array | GramBlock:
    """The Gram matrix or its block in float64."""
    return _made_of([as_array(part, "the Gram matrix") for part in _parts(gram)])


def _parts(gram: Array | GramBlock) -> list[Array]:
    """The arrays of a Gram matrix or of a block of one."""
    return [gram.inner, gram.rows, gram.columns] if isinstance(gram, GramBlock) else [gram]


def _made_of(parts: list[Array]) -> Array | GramBlock:
    """The Gram matrix or the block of these arrays."""
    return parts[0] if len(parts) == 1 else GramBlock(*parts)


def _layered(gram: Array | GramBlock, kernel: Array, equations: EntryEquations) -> Array | GramBlock:
    """The kernel after a layer, as what the next one starts from."""
    if not isinstance(gram, GramBlock):
        return kernel
    energy = equations.ladder.energy
    return GramBlock(kernel, energy[: gram.rows.size], energy[gram.rows.size :])


def _injected(
    gram: Array | GramBlock, kernel: Array | GramBlock | None, sigma_a2: float, sigma_b2: float
) -> Array | GramBlock:
    """L = sigma_a^2 G + sigma_b^2 S, with no G before the first step."""
    driven = [np.asarray(sigma_b2 * part) for part in _parts(gram)]
    if kernel is not None:
        driven = [part + sigma_a2 * other for part, other in zip(driven, _parts(kernel), strict=True)]
    return _made_of(driven)


def _asked(kernels: Iterable[Kernel | str], accepted: tuple[Kernel, ...], network: str) -> tuple[Kernel, ...]:
    """The kernels by their names, each once, checked."""
    asked = tuple(dict.fromkeys((kernels,) if isinstance(kernels, str) else kernels))
    unknown = [name for name in asked if name not in accepted]
    if unknown or not asked:
        but = f"not {', '.join(map(repr, map(str, unknown)))}" if unknown else "and at least one must be asked for"
        raise ValueError(f"the kernels of {network} are {', '.join(accepted)}, {but}")
    return tuple(Kernel.read(name) for name in asked)


def _entries(kernel: Kernel, tile: Tile, sigma_a2: float) -> Array:
    """The tile of a kernel of theory sheet section 2."""
    contraction = 1 - sigma_a2 * tile.slope
    match kernel:
        case Kernel.CK:
            return tile.kernel
        case Kernel.NTK_RECURRENT:
            return np.asarray(tile.kernel / contraction)
        case Kernel.NTK_PREACTIVATION:
            return np.asarray(tile.covariance / contraction)
        case Kernel.NTK_ALL:
            return np.asarray(tile.kernel + tile.covariance * tile.slope / contraction)


def _require_tangent(equations: EntryEquations) -> None:
    """Raise unless every sample has a finite tangent kernel."""
    slope_energy, margin = equations.ladder.slope_energy, equations.evidence.margin
    if not np.all(np.isfinite(slope_energy)):
        raise KernelConvergenceError(
            "there is no tangent kernel: E[phi'(tau xi)^2] is infinite (phi jumps, or its slope is too singular), or "
            "phi is too steep at this tau to be integrated; the conjugate kernel exists"
        )
    if margin >= 1:
        sample = int(np.argmax(slope_energy))
        raise KernelConvergenceError(
            f"sample {sample} has no tangent kernel: sigma_a^2 E[phi'(tau xi)^2] = {margin:.4g} there "
            f"(tau = {equations.scales[sample]:.4g}), and it must be below 1; a smaller sigma_a^2 has one"
        )
